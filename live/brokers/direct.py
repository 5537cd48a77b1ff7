"""No broker: servers know nothing of each other, and the publisher hands each message to one of them.

A server listens on a port of its own and writes its number into a folder that the publisher looks into: one file a
server, named after it. Who is to be left out is taken out of the folder. A message is its length and its room, eight
bytes each, and its body; one byte comes back.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from live.brokers.addresses import Address
from live.brokers.base import BrokerDown, Delivered, Receive
from realtime_sim.errors import LiveError
from realtime_sim.wire import number_of

__all__ = ["DirectLink"]

_HEAD = struct.Struct("!QQ")
_ANSWER = b"+"
_CLOCK_NS = 50_000_000
"""A folder that changed within so short a time may have changed again without showing it."""


class DirectLink:
    """A server that listens, or a publisher that hands messages to servers; nothing comes back by itself.

    The publisher takes the servers in turn by the messages' numbers, as a simulation does. What a server publishes
    itself goes to its own clients.
    """

    connected = True
    position = ""

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        self.member = member
        self._file = Path(address.path) / member
        self._folder = self._file.parent
        self._receive: Receive | None = None
        self._server: asyncio.Server | None = None
        self._inputs: set[_Input] = set()
        self._ways: dict[str, tuple[str, _Way]] = {}
        self._seen_ns = -1
        self._looking = asyncio.Lock()

    async def start(self, receive: Receive | None, *, patient: bool = False) -> None:
        """A server listens; a publisher has a look at who does."""
        self._receive = receive
        if receive is None:
            await self._look()
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Input(receive, self._inputs), "127.0.0.1", 0, backlog=128)
        port = self._server.sockets[0].getsockname()[1]
        half = self._file.with_suffix(".half")
        try:
            half.write_text(str(port))
            half.rename(self._file)
        except OSError as error:
            self._server.close()
            raise LiveError("broker none", f"cannot write {half} ({error.strerror})", "name another folder") from None

    async def subscribe(self, rooms: Iterable[int]) -> None:
        """A server gets what it is given."""

    async def unsubscribe(self, rooms: Iterable[int]) -> None:
        """A server gets what it is given."""

    async def publish(self, room: int, body: bytes) -> None:
        """Hand a message to one server that lives; raises `BrokerDown` if there is none, or if it dies over it."""
        if self._receive is not None:
            self._receive(Delivered(room, body, ""))
            return
        await self._look()
        alive = [name for name in sorted(self._ways, key=_age) if self._ways[name][1].is_open]
        if not alive:
            raise BrokerDown("no server listens")
        name = alive[number_of(body) % len(alive)]
        try:
            await self._ways[name][1].hand_over(room, body)
        except ConnectionError:
            raise BrokerDown(f"server {name} went away before it answered") from None

    async def read_between(self, after: str, until: str) -> list[Delivered]:
        """There is no log."""
        return []

    async def n_subscribers(self) -> int:
        """There is nothing to subscribe to."""
        return 0

    def cut(self, silent: bool) -> None:
        """Raises `LiveError`: there is nothing to be cut off from."""
        raise LiveError("broker none", "servers have no connection to cut", "choose another broker.kind")

    def heal(self) -> None:
        """Raises `LiveError`: see `cut`."""
        self.cut(False)

    async def close(self) -> None:
        """Listen no more, or let go of all servers."""
        if self._server is not None:
            self._file.unlink(missing_ok=True)
            self._server.close()
        for one in [*self._inputs, *(way for _, way in self._ways.values())]:
            one.drop()
        self._ways.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    async def _look(self) -> None:
        """Connect to servers that are new in the folder, let go of those that are not there any more."""
        async with self._looking:
            changed_ns = os.stat(self._folder).st_mtime_ns
            if changed_ns == self._seen_ns:
                return
            found = {path.name: path.read_text() for path in self._folder.iterdir() if path.suffix != ".half"}
            for name in [name for name, (port, _) in self._ways.items() if found.get(name) != port]:
                self._ways.pop(name)[1].drop()
            for name in found.keys() - self._ways.keys():
                self._ways[name] = (found[name], await _connect(int(found[name])))
            if time.time_ns() - changed_ns > _CLOCK_NS:
                self._seen_ns = changed_ns


class _Input(asyncio.Protocol):
    """A server's side: messages in, an answer to each."""

    def __init__(self, receive: Receive, all_of_them: set[_Input]) -> None:
        self._receive, self._all = receive, all_of_them
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._rest + data if self._rest else data
        at = n = 0
        while len(buffer) >= at + _HEAD.size:
            length, room = _HEAD.unpack_from(buffer, at)
            end = at + _HEAD.size + length
            if len(buffer) < end:
                break
            self._receive(Delivered(room, buffer[at + _HEAD.size : end], ""))
            at, n = end, n + 1
        self._rest = buffer[at:]
        if n:
            self._transport.write(_ANSWER * n)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.discard(self)

    def drop(self) -> None:
        self._transport.abort()


class _Way(asyncio.Protocol):
    """The publisher's side of a connection to one server."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: deque[asyncio.Future] = deque()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.is_open = transport, True

    def data_received(self, data: bytes) -> None:
        for _ in data:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(ConnectionResetError())

    def hand_over(self, room: int, body: bytes) -> asyncio.Future:
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(_HEAD.pack(len(body), room) + body)
        return answer

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _connect(port: int) -> _Way:
    """A way to a server; one that does not listen any more is closed from the start."""
    try:
        _, way = await asyncio.get_running_loop().create_connection(_Way, "127.0.0.1", port)
    except OSError:
        return _Way()
    return way


def _age(name: str) -> tuple[int, str]:
    """Names that end in numbers, in the order of these."""
    return len(name), name
