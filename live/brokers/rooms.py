"""What Redis Pub/Sub and core NATS have in common: the rooms that a server wants to hear, and those that it does.

While the broker cannot be reached rooms are only noted; they are made good for when it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from live.brokers.addresses import Address
from live.brokers.reconnecting import ReconnectingLink

__all__ = ["RoomsLink"]


class RoomsLink(ReconnectingLink):
    """A link to channels: with `all_servers` it hears one pattern, with `per_room` a channel for each of its rooms."""

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        super().__init__(address, broker, member, namespace)
        self.per_room = broker.subscription == "per_room"
        self._wanted: set[int] = set()
        self._heard: set[int] = set()
        self._answer: asyncio.Task | None = None

    async def subscribe(self, rooms: Iterable[int]) -> None:
        """Hear these rooms; returns when the broker has answered, or at once when it cannot."""
        if self.per_room:
            rooms = set(rooms)
            self._wanted |= rooms
            await self._change(rooms - self._heard, set())

    async def unsubscribe(self, rooms: Iterable[int]) -> None:
        """Hear these rooms no more."""
        if self.per_room:
            rooms = set(rooms)
            self._wanted -= rooms
            await self._change(set(), rooms & self._heard)

    def hold(self, held: bool) -> None:
        """Read nothing, or read on and make good for what could not be said meanwhile."""
        self.hold_reading(held)
        if not held and self.per_room:
            self._say(self._wanted - self._heard, self._heard - self._wanted)

    async def hear_anew(self) -> None:
        """Over a new connection: subscribe to everything that is wanted, also to what is wanted meanwhile."""
        self._heard = set()
        if not self.per_room:
            await self.hear_all()
        while self._wanted != self._heard:
            self._say(self._wanted - self._heard, self._heard - self._wanted)
            await self._answered()
            self._answer.result()

    async def _change(self, new: set[int], old: set[int]) -> None:
        if self.connected:
            self._say(new, old)
            await self._answered()  # also of what another has asked for; a connection that breaks is an answer too

    def _say(self, new: set[int], old: set[int]) -> None:
        if new or old:
            self._heard |= new
            self._heard -= old
            self._answer = asyncio.get_running_loop().create_task(self.say(sorted(new), sorted(old)))
            self._answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
            self.leave(self._answer)

    async def _answered(self) -> None:
        if self._answer is not None and not self._answer.done():
            await asyncio.wait({self._answer})

    def hold_reading(self, held: bool) -> None:
        """Read nothing from the connection, or read on."""
        raise NotImplementedError

    async def hear_all(self) -> None:
        """Subscribe to every room at once."""
        raise NotImplementedError

    async def say(self, new: list[int], old: list[int]) -> None:
        """Write what is to be heard and what no more; returns when the broker has read it. Raises `ConnectionError`."""
        raise NotImplementedError
