"""Redis Pub/Sub: at most once. What is published while a server is not subscribed is gone for it.

Commands and subscriptions go over two connections, as client libraries have it: one that is subscribed takes no other
commands.
"""

from __future__ import annotations

import asyncio

from live.brokers.base import Delivered
from live.brokers.redis_connection import RedisConnection, connect
from live.brokers.rooms import RoomsLink

__all__ = ["RedisPubSubLink", "clients"]


class RedisPubSubLink(RoomsLink):
    """A process's link to Redis Pub/Sub; a room is the channel `namespace:room`."""

    _commands: RedisConnection | None = None
    _listener: RedisConnection | None = None

    @property
    def _asks(self) -> RedisConnection:
        """The connection for commands; one that is gone is an error of the network."""
        if self._commands is None:
            raise ConnectionResetError("there is no connection to the broker")
        return self._commands

    async def open(self, first: bool) -> None:
        """Connect, and subscribe to what is wanted."""
        self._commands = await connect(self.address, f"{self.namespace}:asks:{self.member}", None, self.broken)
        if self.receive is not None:
            name = f"{self.namespace}:reads:{self.member}"
            self._listener = await connect(self.address, name, self._hear, self.broken)
            await self.hear_anew()

    def drop(self) -> None:
        """Let both connections go."""
        for connection in (self._listener, self._commands):
            if connection is not None:
                self.leave(*connection.drop())
        self._listener = self._commands = None

    def hold_reading(self, held: bool) -> None:
        """Read nothing from either connection, or read on."""
        for connection in (self._listener, self._commands):
            if connection is not None:
                connection.hold(held)

    def _hear(self, reply: list) -> None:
        """`message channel body`, or `pmessage pattern channel body`."""
        room = int(reply[-2][len(self.namespace) + 1 :])
        self.receive(Delivered(room, reply[-1], ""))

    async def hear_all(self) -> None:
        """One pattern, as Socket.IO's adapter has it."""
        await self._subscribe(("PSUBSCRIBE", f"{self.namespace}:*"))

    async def say(self, new: list[int], old: list[int]) -> None:
        """Two commands at most."""
        words = (("SUBSCRIBE", new), ("UNSUBSCRIBE", old))
        rooms_of = [(word, *(f"{self.namespace}:{room}" for room in rooms)) for word, rooms in words if rooms]
        await self._subscribe(*rooms_of)

    async def _subscribe(self, *commands: tuple[str, ...]) -> None:
        """Subscriptions are answered one by one; the ping behind them is once."""
        if self._listener is None:
            raise ConnectionResetError("there is no connection to the broker")
        answer = asyncio.get_running_loop().create_future()
        self._listener.send((*commands, ("PING",)), answer)
        await answer

    async def send(self, room: int, body: bytes) -> None:
        """The answer is how many connections got it."""
        await self._asks.ask("PUBLISH", f"{self.namespace}:{room}", body)

    async def count(self) -> int | None:
        """Channels and patterns that the servers' connections hear, by `CLIENT LIST`, unless it is of no use."""
        if not self.address.options.get("counts", 1):
            return None
        listed = await self._asks.ask("CLIENT", "LIST")
        readers = clients(listed, f"{self.namespace}:reads:")
        return sum(int(reader[count]) for reader in readers for count in ("sub", "psub"))


def clients(listed: bytes, prefix: str) -> list[dict[str, str]]:
    """What `CLIENT LIST` says about the connections whose name begins so.

    Examples
    --------
    >>> clients(b"id=3 name=feed:reads:0 sub=2 psub=0\\nid=4 name= sub=0 psub=1\\n", "feed:reads:")
    [{'id': '3', 'name': 'feed:reads:0', 'sub': '2', 'psub': '0'}]
    """
    lines = [line.split(" ") for line in listed.decode().splitlines()]
    rows = [dict(pair.split("=", 1) for pair in line if "=" in pair) for line in lines]
    return [row for row in rows if row["name"].startswith(prefix)]
