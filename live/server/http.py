"""Event streams, polls and publishing over HTTP, and what is there for those who watch: an `aiohttp` application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from aiohttp import web
from aiohttp.http import HttpProcessingError, HttpVersion11
from websockets.frames import CloseCode

from live.server.frontdoor import TOO_MANY_FRAMES, FrontDoor, Misbehaved
from live.server.gate import Allowance, Refused
from live.server.monitoring import monitoring_text
from live.server.polling import PollSubscriber

__all__ = ["HTTP_LOG", "EventStream", "HttpFace"]

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",  # WHATWG HTML, section 9.2.7: caches and proxies must keep their hands off
    "X-Accel-Buffering": "no",
}

CLOSE_TIMEOUT_S = 2.0
"""Time a client has to read the rest of a stream that has ended."""

_RETRY_MS = 3_000
"""What a stream asks a client to wait before it connects anew; EventSource of Chrome waits as long by itself."""

_RETRY = b"retry: %d\n\n" % _RETRY_MS

HTTP_LOG = logging.getLogger(__name__)
"""What aiohttp has to say of a port here."""


def _is_our_fault(record: logging.LogRecord) -> bool:
    """What is no HTTP is answered, and not worth a line each time somebody sends it."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, web.RequestPayloadError))


HTTP_LOG.addFilter(_is_our_fault)


class EventStream:
    """One Server-Sent Events stream: `id:` is the position in the log, so that Last-Event-ID resumes there."""

    __slots__ = ("_transport", "allowance", "client", "closed", "cohort", "held")

    def __init__(self, client: int, cohort: int, transport: asyncio.Transport) -> None:
        self.client, self.cohort = client, cohort
        self.allowance: Allowance | None = None
        self.held: list[tuple[bytes, str]] | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self._transport = transport

    @property
    def is_open(self) -> bool:
        """Whether the stream goes on."""
        return not self.closed.done() and not self._transport.is_closing()

    @property
    def buffered_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def send(self, body: bytes, position: str, number: int = -1) -> bool:
        """One event, as a chunk of its own, straight into the transport: no task wakes up for it."""
        event = b"id: %b\ndata: %b\n\n" % (position.encode(), body) if position else b"data: %b\n\n" % body
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        return True

    def comment(self) -> None:
        """A line that says nothing, so that proxies and clients see that the stream is alive, unless it says more."""
        if self.is_open and not self.buffered_bytes:
            self._transport.write(b"3\r\n:\n\n\r\n")

    def close(self, code: int, reason: str) -> None:
        """End the stream; the protocol has no way to say why. Who does not read must not keep it."""
        if not self.closed.done():
            self.closed.set_result(None)
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)


class HttpFace:
    """Everything a server says over HTTP.

    Parameters
    ----------
    door : FrontDoor
        What to do with connections.
    """

    def __init__(self, door: FrontDoor) -> None:
        self.door = door
        self._sessions: dict[str, PollSubscriber] = {}
        self._n_sessions = 0
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._tasks: set[asyncio.Task] = set()

    async def listen(self) -> None:
        """Take connections; the second time after `shut`."""
        if self._runner is None:
            await self._set_up()
        assert self._runner is not None
        settings = self.door.settings
        self._site = web.TCPSite(self._runner, "127.0.0.1", settings.http_port, backlog=settings.backlog)
        await self._site.start()

    async def shut(self) -> None:
        """Take no new connections; those there are go on."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()

    async def _set_up(self) -> None:
        settings = self.door.settings
        app = web.Application(client_max_size=settings.max_message_bytes)
        for path, handler in (
            ("/events", self._events),
            ("/poll", self._poll),
            ("/metrics", self._metrics),
            ("/healthz", self._healthz),
        ):
            app.router.add_get(path, handler, allow_head=False)
        app.router.add_post("/publish", self._publish)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=HTTP_LOG,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=0.5,
            keepalive_timeout=settings.header_timeout_s,  # counts from the connection on, until a request is whole
            lingering_time=CLOSE_TIMEOUT_S,
            auto_decompress=False,  # nobody makes this server inflate anything
        )
        await self._runner.setup()
        for number, rules in enumerate(settings.cohorts):
            if rules.transport == "sse" and rules.ping_interval_s is not None:
                self._start(self._beat(number, rules.ping_interval_s))

    def _start(self, work: Coroutine) -> None:
        """Do something beside all else; the loop alone would not keep it from being collected."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()

    def _identify(self, request: web.Request) -> tuple[int, int]:
        client = self.door.gate.identify(request.query.get("token", ""), request.headers.getall("Origin", []))
        return client, self.door.gate.cohort_of(client)

    # Server-Sent Events.

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if request.version < HttpVersion11:
            return web.Response(status=505, text="a stream needs HTTP/1.1\n")
        try:
            client, cohort = self._identify(request)
            entry = self.door.admit()
        except Refused as refused:
            return _answer(refused)
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        response.enable_chunked_encoding()
        response.force_close()  # whatever ends a stream ends its connection
        stream = None
        try:
            await response.prepare(request)
            transport = request.transport
            if transport is None:  # gone already
                return response
            transport.write(b"%x\r\n%b\r\n" % (len(_RETRY), _RETRY))
            stream = EventStream(client, cohort, transport)
            after = request.headers.get("Last-Event-ID", request.query.get("after", ""))
            await self.door.open(stream, entry, "", after)
            await stream.closed  # aiohttp cancels this handler when the client goes
        except Misbehaved as error:
            assert stream is not None
            stream.close(error.code, error.reason)
        finally:
            entry.over()
            if stream is not None:
                await asyncio.shield(self.door.leave(stream))
        return response

    async def _beat(self, cohort: int, interval_s: float) -> None:
        """A comment on every stream of a cohort, once in an interval."""
        while True:
            await asyncio.sleep(interval_s)
            for subscriber in list(self.door.hub.connections.values()):
                if isinstance(subscriber, EventStream) and subscriber.cohort == cohort:
                    subscriber.comment()

    # Long polling.

    async def _poll(self, request: web.Request) -> web.Response:
        try:
            client, cohort = self._identify(request)
            session = request.query.get("session", "")
            if not session:
                return await self._new_session(request, client, cohort)
            subscriber = self._sessions.get(session)
            if subscriber is None or subscriber.client != client:
                raise Refused(404, "this server knows no such session")
        except Refused as refused:
            return _answer(refused)
        return _batch(await subscriber.answer_within(self.door.settings.poll_hold_s))

    async def _new_session(self, request: web.Request, client: int, cohort: int) -> web.Response:
        entry = self.door.admit()
        self._n_sessions += 1
        session = f"{self.door.settings.number}-{self._n_sessions}"
        subscriber = self._sessions[session] = PollSubscriber(
            client, cohort, lambda: self._forget(session), self.door.hub.has_left
        )
        answered = False
        try:
            await self.door.open(subscriber, entry, session, request.query.get("after", ""))
            body = await subscriber.answer_within(0.0)
            answered = True
        except Misbehaved as error:
            return web.Response(status=400, text=f"{error.reason}\n")
        finally:
            if not answered:  # nobody knows of the session
                subscriber.close(CloseCode.GOING_AWAY, "it has not begun")
        return _batch(body)

    def _forget(self, session: str) -> None:
        """A session is over: nobody has polled for too long, or the server has closed it."""
        self._start(self.door.leave(self._sessions.pop(session)))

    # Publishing, and what is there to see.

    async def _publish(self, request: web.Request) -> web.Response:
        try:
            client, _ = self._identify(request)
        except Refused as refused:
            return _answer(refused)
        try:
            async with asyncio.timeout(self.door.settings.header_timeout_s):
                body = await request.read()
        except TimeoutError:
            return web.Response(status=408, text="the body has not come\n")
        except web.RequestPayloadError:
            return web.Response(status=400, text="the body cannot be read\n")
        subscriber = self.door.hub.connections.get(client)
        if subscriber is None:
            return web.Response(status=409, text="connect first\n")
        try:
            await self.door.take(subscriber, body)
        except Misbehaved as error:
            return web.Response(status=429 if error.reason == TOO_MANY_FRAMES else 400, text=f"{error.reason}\n")
        return web.Response(status=204)

    async def _metrics(self, request: web.Request) -> web.Response:
        text = monitoring_text(self.door.settings.number, self.door.hub.page)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _healthz(self, request: web.Request) -> web.Response:
        ready = not self.door.gate.is_draining
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "draining\n")


def _batch(body: bytes | None) -> web.Response:
    if body is None:
        return web.Response(status=410, text="the session is over\n")
    return web.Response(body=body, content_type="application/json")


def _answer(refused: Refused) -> web.Response:
    return web.Response(status=refused.status, text=f"{refused.reason}\n", headers=refused.headers)
