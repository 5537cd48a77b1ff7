"""The channel between a run and one of its processes: messages with arrays, over a pair of connected sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Channel", "ChannelClosed", "pair"]

_HEAD = struct.Struct("!II")


class ChannelClosed(ConnectionError):
    """The process at the other end is gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: one to keep, one for a child to inherit."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Channel:
    """One end of the channel. A message is a dict of plain values, under `arrays` NumPy arrays by name.

    Examples
    --------
    >>> async def talk():
    ...     one, other = [await Channel.open(end) for end in pair()]
    ...     one.send({"do": "count"}, numbers=np.arange(3))
    ...     message = await other.receive()
    ...     await one.close(), await other.close()
    ...     return message["do"], message["arrays"]["numbers"].tolist()
    >>> asyncio.run(talk())
    ('count', [0, 1, 2])
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """The channel over a connected socket, which it takes over."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Mapping[str, Any], /, **arrays: np.ndarray) -> None:
        """Write a message; nothing happens if the other side is gone, whose end is noticed elsewhere."""
        if self._writer.is_closing():
            return
        parts = [np.ascontiguousarray(array) for array in arrays.values()]
        shapes = {name: [part.dtype.str, part.shape] for name, part in zip(arrays, parts, strict=True)}
        text = json.dumps({**message, "arrays": shapes}).encode()
        self._writer.write(_HEAD.pack(len(text), sum(part.nbytes for part in parts)) + text)
        for part in parts:
            self._writer.write(part.tobytes())

    async def drain(self) -> None:
        """Wait until what was written has left."""
        try:
            await self._writer.drain()
        except ConnectionError:
            raise ChannelClosed("the other process is gone") from None

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises `ChannelClosed` at the end."""
        try:
            n_text, n_blob = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            message = json.loads(await self._reader.readexactly(n_text))
            blob = await self._reader.readexactly(n_blob)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ChannelClosed("the other process is gone") from None
        at, arrays = 0, {}
        for name, (dtype, shape) in message["arrays"].items():
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(blob, dtype=dtype, count=count, offset=at).reshape(shape)
            at += arrays[name].nbytes
        message["arrays"] = arrays
        return message

    async def close(self) -> None:
        """Give the socket back."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other side was faster
