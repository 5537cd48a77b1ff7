"""Core NATS: at most once, like Redis Pub/Sub; a room is a subject.

Nothing is acknowledged here: a ping behind each message says that the broker has read it.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial

from live.brokers.base import Delivered
from live.brokers.nats_wire import NatsConnection, connect
from live.brokers.rooms import RoomsLink

__all__ = ["NatsLink", "monitored"]

_EVERY_ROOM = b"1"
"""Number of the subscription to all rooms; those to single rooms come after it."""


class NatsLink(RoomsLink):
    """A process's link to core NATS; a room is the subject `namespace.room`."""

    _connection: NatsConnection | None = None

    async def open(self, first: bool) -> None:
        """Connect, and subscribe to what is wanted."""
        what = "asks" if self.receive is None else "reads"
        self._connection = await connect(self.address, f"{self.namespace}:{what}:{self.member}", self.broken)
        if self.receive is not None:
            await self.hear_anew()

    def drop(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.drop()
        self._connection = None

    def hold_reading(self, held: bool) -> None:
        """Read nothing, or read on."""
        self._connection.hold(held)

    async def hear_all(self) -> None:
        """One subject with a wildcard."""
        cut = len(self.namespace) + 1
        receive = self.receive

        def heard(subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
            receive(Delivered(int(subject[cut:]), body, ""))

        self._connection.hear(_EVERY_ROOM, heard)
        await self._connection.ping(b"SUB %s.* %s\r\n" % (self.namespace.encode(), _EVERY_ROOM))

    def say(self, new: list[int], old: list[int]) -> asyncio.Future:
        """A line for each room, and a ping behind them."""
        lines = []
        for room in new:
            self._connection.hear(_number(room), partial(self._hear, room))
            lines.append(b"SUB %s.%d %s\r\n" % (self.namespace.encode(), room, _number(room)))
        for room in old:
            self._connection.forget(_number(room))
            lines.append(b"UNSUB %s\r\n" % _number(room))
        return self._connection.ping(b"".join(lines))

    def _hear(self, room: int, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        self.receive(Delivered(room, body, ""))

    async def send(self, room: int, body: bytes) -> None:
        """One line, the message, and a ping."""
        connection = self._connection
        if connection is None:
            raise ConnectionResetError("there is no connection to the broker")
        await connection.ping(b"PUB %s.%d %d\r\n%s\r\n" % (self.namespace.encode(), room, len(body), body))

    async def count(self) -> int | None:
        """Subjects that the servers' connections hear, if the address names the port of its monitoring."""
        port = self.address.options.get("monitor")
        if port is None:
            return None
        report = await monitored(self.address.host, port, "/connz?subs=1&limit=65536")
        ours = [one for one in report["connections"] if one.get("name", "").startswith(f"{self.namespace}:reads:")]
        subjects = [subject for one in ours for subject in one.get("subscriptions_list", ())]
        return sum(subject.startswith(f"{self.namespace}.") for subject in subjects)


def _number(room: int) -> bytes:
    return b"%d" % (room + 2)


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
