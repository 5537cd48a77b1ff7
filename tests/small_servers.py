"""Small servers on loopback for tests of balancers, with sessions of long polling, and visitors that keep a cookie."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from http.cookies import SimpleCookie

import aiohttp
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from live.balancers.settings import source_address
from live.balancers.slots import Slot
from realtime_sim.scenario import Scenario
from tests.conftest import small

__all__ = ["SmallServer", "Visitor", "chat", "small_servers"]


def chat(
    policy: str = "least_connections", affinity: str = "none", detection: object = 0, **cohort: object
) -> Scenario:
    """One cohort of 60."""
    clients = [{"name": "c", "count": 60} | cohort]
    return small(clients=clients, balancer={"policy": policy, "affinity": affinity, "detection": detection})


class SmallServer:
    """`/ws` on one port, the rest on the other; each answer begins with its number.

    `/events` sends the time every `event_every_s`, a WebSocket echoes, and a poll is answered if its session is known
    here, after the seconds it asks for. `n_websockets` is how many there are now, `held` how many streams and polls.
    """

    def __init__(self, number: int, slot: Slot, event_every_s: float = 0.02) -> None:
        self.number, self.slot, self.event_every_s = number, slot, event_every_s
        self.sessions: set[str] = set()
        self.n_websockets = 0
        self.held = 0
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/poll", self._poll)
        app.router.add_get("/events", self._events)
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", self.slot.http_port).start()
        port = self.slot.websocket_port
        await self._stack.enter_async_context(
            serve(self._echo, "127.0.0.1", port, compression=None, ping_interval=None, close_timeout=0.1)
        )

    async def stop(self) -> None:
        """Close all connections and listen no more."""
        await self._stack.aclose()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _poll(self, request: web.Request) -> web.Response:
        session = request.query.get("session")
        if session is not None and session not in self.sessions:
            return web.Response(status=404, text=f"{self.number} unknown session")
        self.sessions.add(session or f"{self.number}-{len(self.sessions)}")
        session = session or f"{self.number}-{len(self.sessions) - 1}"
        with self._holding():
            await asyncio.sleep(float(request.query.get("hold", 0)))
        return web.Response(text=f"{self.number} {session} {request.headers['X-Forwarded-For']} {request.host}")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await answer.prepare(request)
        with self._holding(), suppress(ConnectionError):
            await answer.write(b"data: %d\n\n" % self.number)
            while True:
                await asyncio.sleep(self.event_every_s)
                await answer.write(b"data: %d\n\n" % time.monotonic_ns())
        return answer

    @contextmanager
    def _holding(self):
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    async def _echo(self, websocket) -> None:
        self.n_websockets += 1
        try:
            await websocket.send(str(self.number))
            async for text in websocket:
                await websocket.send(text)
        except ConnectionClosed:
            pass
        finally:
            self.n_websockets -= 1


@asynccontextmanager
async def small_servers(slots: Sequence[Slot], n: int, **options: float):
    """Servers for all slots, the first `n` of them started."""
    servers = [SmallServer(i, slot, **options) for i, slot in enumerate(slots)]
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.push_async_callback(server.stop)
        for server in servers[:n]:
            await server.start()
        yield servers


class Visitor:
    """A client with an address of its own and, if it likes, a cookie; every request goes over a fresh connection."""

    def __init__(self, number: int, url: str, keeps_cookies: bool = True) -> None:
        self.address, self.url, self.keeps_cookies = (source_address(number), 0), url, keeps_cookies
        self.cookie = ""

    def _headers(self) -> dict[str, str]:
        return {"Cookie": self.cookie} if self.cookie else {}

    def _keep(self, headers) -> None:
        if self.keeps_cookies and (written := headers.get("Set-Cookie")):
            [(name, morsel)] = SimpleCookie(written).items()
            self.cookie = f"{name}={morsel.value}"

    @asynccontextmanager
    async def get(self, path: str):
        """The answer to one request."""
        connector = aiohttp.TCPConnector(local_addr=self.address, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=10)
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session,
            session.get(self.url + path, headers=self._headers()) as answer,
        ):
            self._keep(answer.headers)
            yield answer

    async def poll(self, query: str = "") -> tuple[int, str]:
        """Status and text of a poll."""
        async with self.get(f"/poll?{query}") as answer:
            return answer.status, await answer.text()

    async def first_event(self) -> int:
        """Number of the server behind a stream."""
        async with self.get("/events") as answer:
            return int((await answer.content.readline()).split()[1])

    @asynccontextmanager
    async def websocket(self):
        """A WebSocket."""
        url = self.url.replace("http", "ws") + "/ws"
        async with connect(
            url, additional_headers=self._headers(), local_addr=self.address, compression=None, ping_interval=None,
            close_timeout=0.1, proxy=None,
        ) as websocket:  # fmt: skip
            self._keep(websocket.response.headers)
            yield websocket

    async def websocket_server(self) -> int:
        """Number of the server behind a WebSocket."""
        async with self.websocket() as websocket:
            return int(await websocket.recv())

    async def round_of_requests(self) -> list[int]:
        """Servers met by a poll, a stream, a WebSocket, a poll and a WebSocket."""
        met = [int((await self.poll())[1].split()[0]), await self.first_event(), await self.websocket_server()]
        return [*met, int((await self.poll())[1].split()[0]), await self.websocket_server()]
