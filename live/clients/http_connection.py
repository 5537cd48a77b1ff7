"""A light HTTP/1.1 client connection: `httptools` reads, and nothing is between the socket and who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

from live.clients.reception import TurnedAway, local_address

__all__ = ["Answer", "HttpConnection", "connect_http"]


@dataclass(slots=True)
class Answer:
    """One answer of a server: its status, headers (names in lower case) and body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class HttpConnection(asyncio.Protocol):
    """One connection, with one request at a time.

    Parameters
    ----------
    host : str
        For the header of that name.
    lost : callable
        Called when the connection is over.
    """

    def __init__(self, host: str, lost: Callable[[], None]) -> None:
        self._host, self._lost = host, lost
        self._transport: asyncio.Transport | None = None
        self._answer = Answer()
        self._done: asyncio.Future[Answer] | None = None
        self._on_body: Callable[[bytes], None] | None = None
        self._parser = httptools.HttpResponseParser(self)

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes for the parser, which calls the methods below."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(TurnedAway("server_died"))
            self._done.exception()  # whoever waits hears of it; nobody may
        self._lost()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """What follows is the body; one that is read as it comes has its answer now."""
        self._answer.status = self._parser.get_status_code()
        if self._on_body is not None and self._answer.status == 200:
            self._settle()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._on_body is not None and self._answer.status == 200:
            self._on_body(body)
        else:
            self._answer.body += body

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._on_body is not None and self._answer.status == 200:
            self.abort()  # a stream that ends is over
        else:
            self._settle()

    def _settle(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(self._answer)

    # Called by clients.

    async def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        on_body: Callable[[bytes], None] | None = None,
    ) -> Answer:
        """Send a request, and wait for the answer.

        Parameters
        ----------
        method, path : str
            What to ask for.
        headers : dict of str to str, optional
            Further headers.
        body : bytes
            Of the request.
        on_body : callable, optional
            Takes the body as it comes, without end; the answer is then there with its headers.

        Raises
        ------
        TurnedAway
            If the connection is lost before.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise TurnedAway("server_died")
        self._on_body = on_body
        self._done = asyncio.get_running_loop().create_future()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self._done

    def close(self) -> None:
        """Give it back."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """A reset, or an end without further ado."""
        if self._transport is not None:
            self._transport.abort()

    def freeze(self) -> None:
        """Nothing is read any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()


async def connect_http(url: str, lost: Callable[[], None], source: str) -> HttpConnection:
    """Connect to the host of a URL.

    Parameters
    ----------
    url : str
        Of which scheme, host and port count.
    lost : callable
        Called when the connection is over.
    source : str
        Loopback address of the socket; empty where the system is to choose.

    Raises
    ------
    TurnedAway
        If nobody is there.
    """
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HttpConnection(parts.netloc, lost), parts.hostname, parts.port or (443 if is_tls else 80),
            ssl=is_tls or None, local_addr=local_address(source),
        )  # fmt: skip
    except OSError as error:
        raise TurnedAway("server_died") from error
    return connection
