"""Sockets that say what they like, right or wrong, and how what they say and hear is put together."""

from __future__ import annotations

import asyncio
import json
import struct

from realtime_sim import wire

WAIT_S = 15.0
"""Bound on whatever is waited for; a machine with other work takes a fraction of it."""

HEAD_END = b"\r\n\r\n"


class Socket:
    """A connection that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def until(self, end: bytes) -> bytes:
        """All that comes up to and with these bytes, and may be a little more."""
        found = bytearray()
        async with asyncio.timeout(WAIT_S):
            while end not in found[-(2**18) - len(end) :]:
                chunk = await self.reader.read(2**18)
                assert chunk, f"the server has hung up before {end!r}, after {bytes(found[-200:])}"
                found += chunk
        return bytes(found)

    def reads(self, does: bool) -> None:
        """Whether anything is read from the connection."""
        (self.writer.transport.resume_reading if does else self.writer.transport.pause_reading)()

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        if data and not self.writer.is_closing():
            self.writer.write(data)

    async def rest(self, within_s: float = WAIT_S) -> bytes:
        """All that comes until the server hangs up."""
        found = b""
        try:
            async with asyncio.timeout(within_s):
                while chunk := await self.reader.read(2**18):
                    found += chunk
        except ConnectionError:
            pass  # a reset is an end as well
        return found

    async def head(self) -> bytes:
        """The head of an answer."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readuntil(HEAD_END)

    async def frame(self) -> tuple[int, bytes]:
        """The next WebSocket frame of the server: its opcode and payload."""
        async with asyncio.timeout(WAIT_S):
            first, length = await self.reader.readexactly(2)
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            return first & 15, await self.reader.readexactly(length)

    async def said(self) -> object:
        """The next frame of the wire."""
        return wire.read_from_server((await self.frame())[1])

    def hang_up(self) -> None:
        """A reset, or an end without further ado."""
        self.writer.transport.abort()


# What is sent.


def request(method: str, path: str, *headers: str, body: bytes = b"", host: str = "Host: x") -> bytes:
    """A request of HTTP/1.1, the last one of its connection."""
    lines = [f"{method} {path} HTTP/1.1", host, "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def upgrade(token: str, *headers: str, query: str = "", path: str = "/ws") -> bytes:
    """The request for a WebSocket."""
    lines = [
        f"GET {path}?token={token}{query} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *filter(None, headers), "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1")


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A WebSocket frame, right or wrong; its mask is 0."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mask = 128 * masked
    if len(payload) < 126:
        head += bytes([mask | len(payload)])
    else:
        size, code = ("!H", 126) if len(payload) < 2**16 else ("!Q", 127)
        head += bytes([mask | code]) + struct.pack(size, len(payload))
    return head + bytes(4 * masked) + payload


def text(content: object) -> bytes:
    """A text frame with JSON, or with a frame of the wire."""
    return frame(1, content if isinstance(content, bytes) else json.dumps(content).encode())


# What comes back.


def status_of(answer: bytes) -> int | None:
    """Status of an answer; None where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """WebSocket frames of a server: opcodes and payloads."""
    found = []
    while data:
        length, at = data[1], 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
        found.append((data[0] & 15, data[at : at + length]))
        data = data[at + length :]
    return found


def close_code(data: bytes) -> int | None:
    """The code of the close frame among the last frames of a server; None where it has sent none."""
    codes = [int.from_bytes(payload[:2], "big") for opcode, payload in frames_in(data) if opcode == 8]
    return codes[0] if codes else None
