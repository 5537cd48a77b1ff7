"""Long polling: one request after the other, each held by the server until it has something to say (RFC 6202)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from live.clients.event_stream import publish
from live.clients.http_connection import HttpConnection, connect_http
from live.clients.reception import ABNORMAL, Caller, Reception, TurnedAway, turned_away

__all__ = ["LongPollingConnection", "connect"]

GOING_AWAY = 1001
"""What an answer of 410 means: the server has ended the session."""


class LongPollingConnection:
    """One session; a task asks again as soon as it has an answer.

    Parameters
    ----------
    url : str
        Of `/poll`, with token and position in its query.
    caller : Caller
        Who connects.
    reception : Reception
        Where frames go.
    half_rtt_s : float
        Half a round trip, seconds: what an answer and the next request take, and loopback does not.
    polled : callable
        Called with each request.
    """

    def __init__(
        self, url: str, caller: Caller, reception: Reception, half_rtt_s: float, polled: Callable[[], None]
    ) -> None:
        self.reception = reception
        self._url, self._caller = url, caller
        self._half_rtt_s, self._polled = half_rtt_s, polled
        self._http: HttpConnection | None = None
        self._task: asyncio.Task | None = None
        self._publishing: set[asyncio.Task] = set()

    async def open(self) -> None:
        """Begin a session: the first answer is the server's welcome."""
        self._http = await connect_http(self._url, lambda: self.reception.over(ABNORMAL), self._caller.source)
        await self._ask("")
        await self.reception.welcomed
        self._task = asyncio.get_running_loop().create_task(self._poll())

    async def _poll(self) -> None:
        """Ask again and again, until the server or the network ends it."""
        try:
            while True:
                if self._half_rtt_s > 0:
                    await asyncio.sleep(2 * self._half_rtt_s)  # the answer's way and the next request's
                self._polled()
                await self._ask(f"&session={self.reception.session}")
        except TurnedAway as away:
            self.reception.turned_away = away.outcome
            self.reception.over(ABNORMAL)

    async def _ask(self, more: str) -> None:
        parts = urlsplit(self._url)
        answer = await self._get().ask("GET", f"{parts.path}?{parts.query}{more}", self._caller.headers())
        self._caller.remember(answer.headers.get("set-cookie"))
        if answer.status == 410:
            self.reception.over(GOING_AWAY)
            raise TurnedAway("server_died")
        if answer.status != 200:
            self._get().close()
            raise turned_away(answer.status, answer.headers.get("retry-after"))
        self.reception.heard()
        self.reception.batch(answer.body)

    def send(self, frame: bytes) -> None:
        """Publish by a request of its own."""
        task = asyncio.get_running_loop().create_task(publish(self._url, self._caller, frame, self.reception))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    def close(self) -> None:
        """The user leaves."""
        self._stop()
        self._get().close()

    def abort(self) -> None:
        """A reset."""
        self._stop()
        self._get().abort()

    def freeze(self) -> None:
        """Nothing is read any more."""
        self._get().freeze()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _get(self) -> HttpConnection:
        assert self._http is not None
        return self._http


async def connect(
    url: str, caller: Caller, reception: Reception, half_rtt_s: float, polled: Callable[[], None]
) -> LongPollingConnection:
    """As `live.clients.picows_client.connect`; see `LongPollingConnection` for what is more."""
    connection = LongPollingConnection(url, caller, reception, half_rtt_s, polled)
    try:
        await connection.open()
    except asyncio.CancelledError:
        if connection._http is not None:
            connection.abort()
        raise
    return connection
