"""A server process of the stack `socketio`: `python -m live.socketio_server CHANNEL_FD PAGE_FD SENDS_FD FANOUTS_FD`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys

from live.channel import Channel, ChannelClosed
from live.logbook import Logbook
from live.page import Page
from live.server.gate import Gate
from live.server.hub import Membership
from live.server.settings import FANOUTS, ServerSettings
from live.socketio_server.door import Door
from live.socketio_server.face import Face

LEAVE_S = 1.0
"""Time clients have to hang up when the server ends; whoever ends it waits for twice as long."""


async def main() -> None:
    """Set up, say so, and do what the run asks until it hangs up."""
    channel = await Channel.open(socket.socket(fileno=int(sys.argv[1])))
    told = await channel.receive()
    settings = ServerSettings.from_plain(told["settings"])
    arrays, page = told["arrays"], Page(int(sys.argv[2]))
    gate = Gate(settings, arrays["cohort_of"])
    membership = Membership(arrays["room_offsets"], arrays["rooms"])
    fanouts = Logbook(FANOUTS, settings.n_fanouts, int(sys.argv[4]))
    door = Door(settings, membership, arrays["skipped"], gate, page, fanouts)
    face = Face(door)
    await door.exchange.start(patient=settings.is_late)
    await face.listen()
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    gc.freeze()
    page.set("subscriptions", 1)
    channel.send({"is": "ready"})
    orders = asyncio.create_task(_obey(channel, door, face))
    await asyncio.wait({orders, asyncio.create_task(leaving.wait())}, return_when=asyncio.FIRST_COMPLETED)
    gate.is_draining = True
    await face.shut()
    await _send_away(door, len(door.connections))
    await face.stop()
    await door.sio.shutdown()
    await door.exchange.close()
    await channel.close()
    orders.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await orders  # an order that could not be done ends the process, and its log says why


async def _obey(channel: Channel, door: Door, face: Face) -> None:
    """Do what the run asks, one thing after the other."""
    while True:
        try:
            order = await channel.receive()
        except ChannelClosed:
            return
        match order["do"]:
            case "drain":
                door.gate.is_draining = bool(order["draining"])
                if door.settings.shuts_when_draining:
                    await (face.shut() if order["draining"] else face.listen())
            case "close":
                door.start(_send_away(door, order["n"]))
            case other:  # the run asks for nothing else of this stack
                raise AssertionError(other)


async def _send_away(door: Door, n: int) -> None:
    """Close so many connections, those of the lowest client numbers; wait until they are gone, but not for long."""
    leaving = [connected for _, connected in sorted(door.connections.items())[:n]]
    if leaving:
        tasks = [asyncio.create_task(door.send_away(connected)) for connected in leaving]
        await asyncio.wait(tasks, timeout=LEAVE_S)


if __name__ == "__main__":
    asyncio.run(main())
