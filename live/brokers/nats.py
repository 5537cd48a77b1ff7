"""Core NATS: at most once, like Redis Pub/Sub; a room is a subject.

Nothing is acknowledged here: a ping behind each message says that the broker has read it. Rooms that are subscribed one
by one have a queue each in nats-py: their messages come in the order of each room.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from live.brokers.addresses import Address
from live.brokers.base import Delivered
from live.brokers.nats_connection import NatsConnection
from live.brokers.rooms import RoomsLink

__all__ = ["NatsLink", "monitored"]


class NatsLink(RoomsLink):
    """A process's link to core NATS; a room is the subject `namespace.room`."""

    _connection: NatsConnection | None = None

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        super().__init__(address, broker, member, namespace)
        self._before_room = len(self.namespace) + 1
        self._subscriptions: dict[int, Subscription] = {}

    @property
    def _there(self) -> NatsConnection:
        """The connection; one that is gone is an error of the network."""
        if self._connection is None:
            raise ConnectionResetError("there is no connection to the broker")
        return self._connection

    async def open(self, first: bool) -> None:
        """Connect, and subscribe to what is wanted."""
        what = "asks" if self.receive is None else "reads"
        self._connection = NatsConnection(self.broken)
        await self._there.connect(self.address, f"{self.namespace}:{what}:{self.member}")
        if self.receive is not None:
            await self.hear_anew()

    def drop(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self.leave(self._connection.drop())
        self._connection = None
        self._subscriptions.clear()

    def hold_reading(self, held: bool) -> None:
        """Read nothing, or read on."""
        self._connection.hold(held)

    async def hear_all(self) -> None:
        """One subject with a wildcard."""
        connection = self._there
        await connection.hear(f"{self.namespace}.*", self._hear)
        await connection.read()

    async def say(self, new: list[int], old: list[int]) -> None:
        """A subscription for each room, and a ping behind them."""
        connection = self._there
        for room in new:
            self._subscriptions[room] = await connection.hear(f"{self.namespace}.{room}", self._hear)
        for room in old:
            await connection.forget(self._subscriptions.pop(room))
        await connection.read()

    async def _hear(self, message: Msg) -> None:
        self.receive(Delivered(int(message.subject[self._before_room :]), message.data, ""))

    async def send(self, room: int, body: bytes) -> None:
        """The message, and a ping."""
        connection = self._there
        await connection.send(f"{self.namespace}.{room}", body)
        await connection.read()

    async def count(self) -> int | None:
        """Subjects that the servers' connections hear, if the address names the port of its monitoring."""
        port = self.address.options.get("monitor")
        if port is None:
            return None
        report = await monitored(self.address.host, port, "/connz?subs=1&limit=65536")
        ours = [one for one in report["connections"] if one.get("name", "").startswith(f"{self.namespace}:reads:")]
        subjects = [subject for one in ours for subject in one.get("subscriptions_list", ())]
        return sum(subject.startswith(f"{self.namespace}.") for subject in subjects)


async def monitored(host: str, port: int, path: str) -> dict:
    """What a broker's monitoring says over HTTP.

    Parameters
    ----------
    host, port : str, int
        Where it is.
    path : str
        What is asked.

    Raises
    ------
    OSError
        If it cannot be reached.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.transport.abort()
    return json.loads(answer.partition(b"\r\n\r\n")[2])
