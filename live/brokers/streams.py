"""Redis Streams: a log, read by one consumer group for each server.

What has been read is acknowledged with the request for more. A link that comes back asks for what the broker has handed
out without hearing of it again (XAUTOCLAIM), takes what never arrived and acknowledges the rest: nothing comes twice to
a link that lives, and nothing is missing.
"""

from __future__ import annotations

import re

from live.brokers.base import Delivered
from live.brokers.channels import clients
from live.brokers.reconnecting import ReconnectingLink, Refused
from live.brokers.redis_connection import RedisConnection, connect

__all__ = ["RedisStreamsLink"]

_BEGINNING = "0-0"
_ID = re.compile("[0-9]{1,19}-[0-9]{1,19}")
_AT_ONCE = 1_000
"""Entries of one XRANGE: a long replay does not hold up the broker's one thread."""


class RedisStreamsLink(ReconnectingLink):
    """A process's link to the stream `namespace:log`; its group has its own name."""

    _commands: RedisConnection | None = None
    _reader: RedisConnection | None = None
    _position = ""

    @property
    def position(self) -> str:
        """Id of the last entry that was read."""
        return self._position

    @property
    def _stream(self) -> str:
        return f"{self.namespace}:log"

    @property
    def _ask_for_more(self) -> tuple[str | int, ...]:
        group, count = self.member, self.broker.read_count
        return ("XREADGROUP", "GROUP", group, group, "COUNT", count, "BLOCK", 0, "STREAMS", self._stream, ">")

    @property
    def _asks(self) -> RedisConnection:
        """The connection for commands; one that is gone is an error of the network."""
        if self._commands is None:
            raise ConnectionResetError("there is no connection to the broker")
        return self._commands

    async def open(self, first: bool) -> None:
        """Connect; the first time make a group at the end of the log, later go on with what was pending."""
        self._commands = await connect(self.address, f"{self.namespace}:asks:{self.member}", None, self.broken)
        if self.receive is None:
            return
        name = f"{self.namespace}:reads:{self.member}"
        self._reader = await connect(self.address, name, None, self.broken)
        end = await self._end()
        if first:
            self._position = end
            await self._group("DESTROY")
        elif _order(end) < _order(self._position):
            self._position = _BEGINNING  # another log than the one that was read: the broker came back without it
        await self._group("CREATE", self._position, "MKSTREAM")
        if not first:
            await self._take_pending()
        self._reader.send((self._ask_for_more,), self._take)

    async def _end(self) -> str:
        """Id of the newest entry there ever was."""
        try:
            about = await self._asks.ask("XINFO", "STREAM", self._stream)
        except Refused as no:
            if "no such key" in no.answer:
                return _BEGINNING
            raise
        return about[about.index(b"last-generated-id") + 1].decode()

    async def _group(self, verb: str, *more: str) -> None:
        try:
            await self._asks.ask("XGROUP", verb, self._stream, self.member, *more)
        except Refused as no:
            if not (no.answer.startswith("BUSYGROUP") or "key to exist" in no.answer):
                raise

    async def _take_pending(self) -> None:
        """What was handed out over the connection that broke."""
        cursor: bytes | str = _BEGINNING
        while True:
            command = ("XAUTOCLAIM", self._stream, self.member, self.member, 0, cursor, "COUNT", self.broker.read_count)
            cursor, entries, *_ = await self._asks.ask(*command)
            entries = [entry for entry in entries if entry is not None and entry[1] is not None]  # trimmed meanwhile
            if entries:
                had = _order(self._position)
                self._hand_over([entry for entry in entries if _order(entry[0].decode()) > had])
                await self._asks.ask("XACK", self._stream, self.member, *(entry[0] for entry in entries))
            if cursor == _BEGINNING.encode():
                return

    def _take(self, reply: object) -> None:
        """The answer to a request for more: hand over, acknowledge, ask again."""
        if isinstance(reply, Refused):
            self.broken()  # the group is gone, or the broker does not want: open again
        elif reply is None:
            self._reader.send((self._ask_for_more,), self._take)
        else:
            entries = reply[0][1]
            self._hand_over(entries)
            acknowledge = ("XACK", self._stream, self.member, *(entry[0] for entry in entries))
            self._reader.send((acknowledge, self._ask_for_more), None, self._take)

    def _hand_over(self, entries: list) -> None:
        receive = self.receive
        for entry in entries:
            message = _delivered(entry)
            self._position = message.position
            receive(message)

    def drop(self) -> None:
        """Let both connections go."""
        for connection in (self._reader, self._commands):
            if connection is not None:
                self.leave(*connection.drop())
        self._reader = self._commands = None

    def hold(self, held: bool) -> None:
        """Read nothing from either connection, or read on."""
        for connection in (self._reader, self._commands):
            if connection is not None:
                connection.hold(held)

    async def send(self, room: int, body: bytes) -> None:
        """Append, and trim to exactly so many entries; the answer is the id."""
        length = self.broker.max_length
        await self._asks.ask("XADD", self._stream, "MAXLEN", "=", length, "*", "r", room, "m", body)

    async def replay(self, after: str, until: str) -> list[Delivered]:
        """By XRANGE."""
        for position in (after, until):
            if position and not _ID.fullmatch(position):
                raise ValueError(f"a position of a stream is needed, got {position!r}")
        found: list[Delivered] = []
        after = after or _BEGINNING
        while True:
            entries = await self._asks.ask("XRANGE", self._stream, f"({after}", until or "+", "COUNT", _AT_ONCE)
            found += map(_delivered, entries)
            if len(entries) < _AT_ONCE:
                return found
            after = found[-1].position

    async def count(self) -> int:
        """Connections of readers, by `CLIENT LIST`: groups stay when their server has died."""
        listed = await self._asks.ask("CLIENT", "LIST")
        return len(clients(listed, f"{self.namespace}:reads:"))

    async def say_goodbye(self) -> None:
        """The group would be there for ever."""
        if self.receive is not None:
            await self._group("DESTROY")


def _delivered(entry: list) -> Delivered:
    place, fields = entry
    return Delivered(int(fields[1]), fields[3], place.decode())


def _order(place: str) -> tuple[int, ...]:
    """An id as numbers that compare.

    Examples
    --------
    >>> _order("170-10") > _order("170-9")
    True
    """
    return tuple(int(part) for part in place.split("-"))
