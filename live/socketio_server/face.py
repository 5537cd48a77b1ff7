"""Everything a server says over its port: Socket.IO with admission before it, and what is there for those who watch."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

from live.server.gate import Refused
from live.server.http import HTTP_LOG
from live.server.monitoring import monitoring_text
from live.socketio_server.door import Door
from live.socketio_server.strict import UNREADABLE

__all__ = ["PATH", "Face"]

PATH = "/socket.io/"
"""Where clients of Socket.IO look unless told otherwise."""


class Handshake:
    """A connection that is being made: it counts at the gate until it is over, and has so much time.

    The library itself lets a client that never says who it is stay for as long as it answers pings.
    """

    def __init__(self, door: Door, request: web.Request) -> None:
        self._door, self._request, self._is_over, self._is_welcome = door, request, False, False
        limit_s = door.settings.header_timeout_s
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._too_late)

    def welcomed(self) -> None:
        """The client has shown who it is."""
        self._is_welcome = True

    def over(self) -> None:
        """The client is let in, or not."""
        if not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._door.gate.handshake_over()
            if not self._is_welcome:
                self._door.page.add("failed")

    def _too_late(self) -> None:
        self.over()
        if "engine" in self._request:
            self._door.turn_away(self._request)


class Face:
    """The port of one server; it can stop to listen, and begin again, while its connections go on.

    Parameters
    ----------
    door : Door
        What to do with connections.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._upgrading: set[str] = set()

    async def listen(self) -> None:
        """Take connections."""
        if self._site is not None:
            return
        settings = self._door.settings
        if self._runner is None:

            @web.middleware
            async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
                try:
                    return await self._admit(request, handler)
                except (*UNREADABLE, ConnectionError):  # which a client has sent, or has hung up
                    if request.path != PATH:
                        raise
                    if request.query.get("transport") == "websocket" and request.transport is not None:
                        request.transport.abort()
                    return web.Response(status=400)

            app = web.Application(middlewares=[admit])
            app.router.add_get("/metrics", self._metrics)
            app.router.add_get("/healthz", self._healthz)
            self._door.sio.attach(app)
            self._runner = web.AppRunner(
                app, access_log=None, logger=HTTP_LOG, handle_signals=False, shutdown_timeout=0.5,
                auto_decompress=False,
                keepalive_timeout=settings.header_timeout_s,  # counts from the connection on, until a request is whole
            )  # fmt: skip
            await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", settings.http_port, backlog=settings.backlog)
        await self._site.start()

    async def shut(self) -> None:
        """Take no new connections."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()

    async def stop(self) -> None:
        """Close everything."""
        await self.shut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whether there is room, before the library hears of a new connection."""
        if request.path != PATH:
            return await handler(request)
        if request.method != "GET":
            if request.content_length is None:  # the library would read nothing of it
                return web.Response(status=411, text="the body must say its length\n")
            try:
                async with asyncio.timeout(self._door.settings.header_timeout_s):
                    return await handler(request)
            except TimeoutError:
                return web.Response(status=408, text="the body has not come\n")
        becomes_websocket = request.query.get("transport") == "websocket"
        if "sid" in request.query:
            if not becomes_websocket:
                return await handler(request)
            return await self._upgrade(request.query["sid"], request, handler)
        gate = self._door.gate
        try:
            gate.admit(len(self._door.connections) + gate.n_handshaking)
        except Refused as refused:
            self._door.page.add("refused")
            return web.Response(status=refused.status, text=f"{refused.reason}\n", headers=refused.headers)
        handshake = request["handshake"] = Handshake(self._door, request)
        is_begun = False
        try:
            response = await handler(request)
            is_begun = response.status == 200 and not becomes_websocket
            return response
        finally:
            if not is_begun:  # a WebSocket has ended, or the library wants nothing of this request
                handshake.over()
                self._door.has_ended(request.get("engine", ""))

    async def _upgrade(self, engine: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Somebody who has polled so far gets a WebSocket: one at a time, and with so much time to begin with it."""
        if engine in self._upgrading:
            return web.Response(status=400, text="there is one already\n")
        self._upgrading.add(engine)
        limit_s = self._door.settings.header_timeout_s
        timer = asyncio.get_running_loop().call_later(limit_s, self._upgrade_too_late, engine, request)
        self._door.upgrades(engine, request)
        try:
            return await handler(request)
        finally:
            timer.cancel()
            self._upgrading.discard(engine)
            self._door.has_ended(engine)

    def _upgrade_too_late(self, engine: str, request: web.Request) -> None:
        if not self._door.has_websocket(engine) and request.transport is not None:
            request.transport.abort()

    async def _metrics(self, request: web.Request) -> web.Response:
        text = monitoring_text(self._door.settings.number, self._door.page)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _healthz(self, request: web.Request) -> web.Response:
        ready = not self._door.gate.is_draining
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "draining\n")
