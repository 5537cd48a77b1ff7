"""The publisher process: `python -m live.publisher CHANNEL_FD LOGBOOK_FD` publishes what the backend does, on time.

The schedule is that of the workload, and it is kept: a message does not wait for the broker's answer to the one before
it, one that is late counts from the time it was due (open loop), and how late it was is written down.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import socket
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from live.brokers.base import BrokerDown, Link
from live.brokers.links import open_link
from live.brokers.reconnecting import ReconnectingLink
from live.channel import Channel, ChannelClosed
from live.logbook import Logbook
from realtime_sim.units import NS_PER_S
from realtime_sim.wire import Message, encode

if TYPE_CHECKING:
    from live.socketio_server.exchange import Emitter

__all__ = ["COLUMNS"]

COLUMNS = ("message", "sent_ns", "acknowledged_ns")
"""Of its logbook: when a message was handed to the broker's client, and when the broker had answered; -1 if it never
did."""

COARSE_NS = 1_000_000
"""How early the loop's timer is set: by more than it is late."""

MOST_UNANSWERED = 10_000
"""Messages on their way to the broker at once, where the link keeps their order; the next one waits."""

RETRY_EVERY_S = 0.1
"""Between two tries to publish a message that the broker did not take, where the scenario says `when_down: retry`."""


async def main() -> None:
    """Set up, say so, publish, and say so again."""
    channel = await Channel.open(socket.socket(fileno=int(sys.argv[1])))
    told = await channel.receive()
    arrays = told["arrays"]
    book = Logbook(COLUMNS, len(arrays["message"]) + 1, int(sys.argv[2]))
    part = SimpleNamespace(**told["broker"])
    link = _open(told, part)
    await link.start(None)
    gc.freeze()
    channel.send({"is": "ready"})
    try:
        order = await channel.receive()
        at_once = MOST_UNANSWERED if isinstance(link, ReconnectingLink) else 1
        publishing = asyncio.create_task(_publish_all(link, part, arrays, book, order["begun_ns"], at_once))
        publishing.add_done_callback(lambda _: channel.send({"is": "published"}))
        await channel.receive()  # the end, in order or not
        publishing.cancel()
    except ChannelClosed:
        pass  # the run is gone, and this process goes too
    await link.close()
    await channel.close()


def _open(told: dict[str, Any], part: SimpleNamespace) -> Link | Emitter:
    """The way to the servers: straight through the broker, or as the servers' own stack has it."""
    if told["stack"] == "socketio":
        from live.socketio_server.exchange import Emitter  # no other run needs python-socketio

        return Emitter(told["url"], told["namespace"])
    return open_link(told["url"], part, "publisher", told["namespace"])


async def _publish_all(
    link: Link | Emitter,
    part: SimpleNamespace,
    arrays: dict[str, np.ndarray],
    book: Logbook,
    begun_ns: int,
    at_once: int,
) -> None:
    names = ("message", "time_ns", "room", "seq", "bytes")
    free, newest = asyncio.Semaphore(at_once), None
    async with asyncio.TaskGroup() as unanswered:
        for number, time_ns, room, seq, size in zip(*(arrays[name].tolist() for name in names), strict=True):
            body = encode(Message(number, room, seq, "", ""), size)
            due_ns = begun_ns + time_ns
            await _until(due_ns, newest)
            await free.acquire()
            newest = unanswered.create_task(_publish(link, part, book, number, room, body, due_ns))
            newest.add_done_callback(lambda _: free.release())


async def _until(due_ns: int, newest: asyncio.Task | None) -> None:
    """Hear the broker's answer, then sleep until a time of the clock: the last of it as a whole process, which wakes a
    tenth of a millisecond earlier than one whose loop has to find out what it wakes for."""
    await asyncio.sleep(0)  # whoever ends the run is heard between two messages
    wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > 0 and newest is not None:
        await asyncio.wait({newest}, timeout=wait_ns / NS_PER_S)
        wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > COARSE_NS:
        await asyncio.sleep((wait_ns - COARSE_NS) / NS_PER_S)
    wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > 0:
        time.sleep(wait_ns / NS_PER_S)


async def _publish(
    link: Link | Emitter, part: SimpleNamespace, book: Logbook, number: int, room: int, body: bytes, due_ns: int
) -> None:
    """Publish one message; try again, where that is what publishers do, as long as it may take."""
    retries = getattr(part, "when_down", "lose") == "retry"
    until_ns = due_ns + int(getattr(part, "delivery_timeout", 0.0) * NS_PER_S)
    while True:
        sent_ns = time.monotonic_ns()
        try:
            await link.publish(room, body)
        except BrokerDown:
            if retries and time.monotonic_ns() < until_ns:
                await asyncio.sleep(RETRY_EVERY_S)
                continue
            book.append(number, sent_ns, -1)
            return
        book.append(number, sent_ns, time.monotonic_ns())
        return


def _loop() -> asyncio.AbstractEventLoop:
    """One whose timers are a tenth of a millisecond late: epoll, which others use, counts in whole milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(main())
