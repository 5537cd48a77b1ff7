"""Server-Sent Events: a stream of events over one HTTP answer (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from live.clients.http_connection import HttpConnection, connect_http
from live.clients.reception import ABNORMAL, Caller, Reception, TurnedAway, turned_away

__all__ = ["EventStreamConnection", "connect"]


class EventStreamConnection:
    """One stream. What the client publishes goes by a request of its own."""

    def __init__(self, url: str, caller: Caller, reception: Reception) -> None:
        self.reception = reception
        self._url, self._caller = url, caller
        self._http: HttpConnection | None = None
        self._rest = b""
        self._tasks: set[asyncio.Task] = set()

    async def open(self) -> None:
        """Connect, and wait for the server's welcome."""
        parts = urlsplit(self._url)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"} | self._caller.headers()
        if self.reception.position:
            headers["Last-Event-ID"] = self.reception.position
        self._http = await connect_http(self._url, lambda: self.reception.over(ABNORMAL), self._caller.source)
        answer = await self._http.ask("GET", f"{parts.path}?{parts.query}", headers, on_body=self._body)
        self._caller.remember(answer.headers.get("set-cookie"))
        if answer.status != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream"):
            self._http.abort()
            raise turned_away(answer.status, answer.headers.get("retry-after"))
        self.reception.stands()
        await self.reception.welcomed

    def _body(self, data: bytes) -> None:
        """Split what has come into events; a blank line ends one."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            self._event(event)

    def _event(self, event: bytes) -> None:
        """One event: its id is a position, its data a frame; a line that begins with a colon is a heartbeat."""
        self.reception.heard()
        for line in event.split(b"\n"):
            if line.startswith(b"data: "):
                self.reception.frame(line[6:])
            elif line.startswith(b"id: "):
                self.reception.position = line[4:].decode()

    def send(self, frame: bytes) -> None:
        """Publish by a request."""
        task = asyncio.get_running_loop().create_task(publish(self._url, self._caller, frame, self.reception))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """The user leaves."""
        self._get().close()

    def abort(self) -> None:
        """A reset."""
        self._get().abort()

    def freeze(self) -> None:
        """Nothing is read any more."""
        self._get().freeze()

    def _get(self) -> HttpConnection:
        assert self._http is not None
        return self._http


async def connect(
    url: str, caller: Caller, reception: Reception, kind: type[EventStreamConnection] = EventStreamConnection
) -> EventStreamConnection:
    """As `live.clients.picows_client.connect`; the URL is that of `/events`."""
    connection = kind(url, caller, reception)
    try:
        await connection.open()
    except asyncio.CancelledError:
        if connection._http is not None:
            connection.abort()
        raise
    return connection


async def publish(url: str, caller: Caller, frame: bytes, reception: Reception) -> None:
    """POST a frame to the server of a URL, over a connection of its own; `reception` hears if that fails."""
    parts = urlsplit(url)
    headers = {"Connection": "close", "Content-Type": "application/json"} | caller.headers()
    try:
        http = await connect_http(url, lambda: None, caller.source)
        answer = await http.ask("POST", f"/publish?{parts.query}", headers, frame)
        http.close()
    except TurnedAway as away:
        reception.rejected(away.outcome)
        return
    if answer.status != 204:
        reception.rejected(f"HTTP {answer.status}")
