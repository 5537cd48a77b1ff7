"""What tests of live brokers share: brokers of a scenario, messages, links that are closed, waiting with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time

from live.brokers.base import BrokerDown
from live.brokers.links import open_link
from realtime_sim.scenario.brokers import BROKERS, kind_of
from realtime_sim.wire import Message, encode, number_of

PARTS = {kind_of(part): part for part in BROKERS}
WITHIN_S = 20.0
"""Longest time a test waits for one thing; a machine may be slow."""

_members = itertools.count()


def part(kind: str, **changes: object):
    """A broker of a scenario that comes back soon, and whose publishers lose what cannot be published."""
    if kind == "none":
        return PARTS[kind](kind=kind)
    plain = {"reconnect_delay": 0.05, "when_down": "lose"}
    if kind == "kafka":
        plain |= {"partitions": 4, "linger": 0, "rebalance_delay": 0.05}
    return PARTS[kind](kind=kind, **plain | changes)


def body(number: int, room: int = 5, size: int = 200) -> bytes:
    """An encoded message."""
    return encode(Message(number, room, number, "", ""), size)


class Server:
    """A link, and everything it has heard."""

    def __init__(self, url: str, broker, reads: bool = True) -> None:
        self.heard = []
        self._reads = reads
        self.link = open_link(url, broker, f"member-{next(_members)}")

    async def start(self) -> Server:
        await self.link.start(self.heard.append if self._reads else None)
        return self

    @property
    def numbers(self) -> list[int]:
        return [number_of(message.body) for message in self.heard]


@contextlib.asynccontextmanager
async def servers(url: str, broker, n: int):
    """`n` servers and one publisher, all of them closed in the end."""
    everyone = [Server(url, broker, reads=number > 0) for number in range(n + 1)]
    try:
        for one in everyone:
            await one.start()
        yield everyone[1:], everyone[0].link
    finally:
        for one in everyone:
            await one.link.close()


async def eventually(condition, what: object = "") -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        await asyncio.sleep(0.005)


async def until_heard(server: Server, numbers: list[int]) -> None:
    """Wait until a server has heard as many; then it must be these."""
    with contextlib.suppress(AssertionError):
        await eventually(lambda: len(server.heard) >= len(numbers))
    assert server.numbers == numbers


async def publish(link, numbers, room: int = 5) -> list[int]:
    """Publish one after the other; which of them were acknowledged."""
    done = []
    for number in numbers:
        try:
            await link.publish(room, body(number, room))
        except BrokerDown:
            continue
        done.append(number)
    return done
