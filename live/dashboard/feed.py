"""The feed: a page on loopback, and the stream of events that keeps it up to date (server-sent events).

All viewers read one history, each from where it is: there is no queue for a viewer, so one that does not read costs
the bytes in its socket and holds up nobody. Figures leave in the order they came.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from live.dashboard.history import History
from live.dashboard.snapshot import Snapshot
from realtime_sim.errors import LiveError

__all__ = ["Dashboard"]

HEARTBEAT_S = 10.0
"""A comment goes out when nothing else has for so long: proxies take a silent stream for a dead one."""

RETRY_S = 1.0
"""After so long a browser that lost the stream tries again."""

GRACE_S = 3.0
"""Most time that viewers have at the end of a run to read what is left; who has read it is not waited for."""

LONGEST_LINE = 1000
"""Most characters of one line in the event log."""

_CHUNK_BYTES = 32_768
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)

_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_STREAM = _SAFE | {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",  # nor may a proxy compress it, which would collect it first
    "X-Accel-Buffering": "no",  # nginx
}


class Dashboard:
    """The page of one live run, with everything shown so far for whoever opens it late.

    All of it belongs to the loop that has started it; `show` and `log` may come before the start.

    Parameters
    ----------
    heartbeat_s, retry_s : float
        Silence after which a comment is sent, and the time after which browsers reconnect, seconds.
    history : History, optional
        Where events are kept.
    """

    def __init__(
        self, heartbeat_s: float = HEARTBEAT_S, retry_s: float = RETRY_S, history: History | None = None
    ) -> None:
        self._heartbeat_s = heartbeat_s
        self._history = History() if history is None else history
        opening = json.dumps({"run": self._history.run})
        self._opening = f"retry: {round(retry_s * 1000)}\nevent: run\ndata: {opening}\n\n".encode()
        self._page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        self._page_headers = _SAFE | {"Content-Security-Policy": _policy(self._page)}
        self._over = False
        self._closing = False
        self._news = asyncio.Event()
        self._viewers: set[asyncio.Future] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Serve on a port of loopback, a free one for 0. Returns the address of the page.

        Raises
        ------
        LiveError
            If the port is taken.
        """
        self._closing = False
        app = web.Application(middlewares=[_from_this_machine])
        app.router.add_get("/", self._send_page)
        app.router.add_get("/feed", self._send_feed, allow_head=False)
        app.router.add_get("/healthz", self._send_health)
        # A viewer that has gone is noticed at once, not at the next write.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            await runner.cleanup()
            found = f"cannot listen on port {port} of loopback ({error.strerror})"
            raise LiveError("dashboard", found, "choose another port, or 0 for any that is free") from None
        self._runner = runner
        return f"http://127.0.0.1:{runner.addresses[0][1]}/"

    def show(self, snapshot: Snapshot) -> None:
        """The figures of now, for all viewers."""
        self._tell("snapshot", snapshot.to_json(), snapshot.reconnects_per_s)

    def log(self, time_s: float, text: str) -> None:
        """One line of the event log: a fault, a deploy, a decision of the autoscaler."""
        self._tell("log", _line(time_s=time_s, text=text))

    async def finish(self, text: str) -> None:
        """The run is over: viewers are told, and have a moment to read what is left. The page can still be opened."""
        self._tell("over", _line(text=text))
        self._over = True
        if self._viewers:
            await asyncio.wait(set(self._viewers), timeout=GRACE_S)

    async def close(self) -> None:
        """Serve no more. Browsers that have not been told of the end keep trying to reconnect."""
        self._closing = True
        self._wake()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _tell(self, kind: str, data: str, weight: float = 0.0) -> None:
        if self._over:
            raise RuntimeError(f"the run is over: no {kind} can follow")
        self._history.add(kind, data, weight)
        self._wake()

    def _wake(self) -> None:
        """Whoever waits for news has its event; the next news have another."""
        self._news.set()
        self._news = asyncio.Event()

    async def _send_page(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers=self._page_headers)

    async def _send_health(self, request: web.Request) -> web.Response:
        state = {"status": "ok", "over": self._over, "viewers": len(self._viewers), "events": len(self._history)}
        return web.json_response(state, headers=_SAFE)

    async def _send_feed(self, request: web.Request) -> web.StreamResponse:
        """The stream of one viewer, from what it has seen up to the end of the run."""
        seen = self._history.position(request.headers.get("Last-Event-ID", ""))
        if self._over and seen == self._history.newest:
            return web.Response(status=204, headers=_SAFE)  # which tells a browser not to come back
        response = web.StreamResponse(headers=_STREAM)
        gone = asyncio.get_running_loop().create_future()
        self._viewers.add(gone)
        try:
            await response.prepare(request)
            await response.write(self._opening)
            await self._keep_up(response, seen)
        except ConnectionResetError:
            pass  # the viewer has gone
        finally:
            self._viewers.discard(gone)
            gone.set_result(None)
        return response

    async def _keep_up(self, response: web.StreamResponse, seen: int) -> None:
        """Send what is new, as fast as this viewer reads, and a comment when nothing is."""
        while not self._closing:
            news, is_last = self._news, self._over
            chunk = bytearray()
            for event in self._history.after(seen):
                chunk += event.text
                seen = event.number
                if len(chunk) >= _CHUNK_BYTES:
                    break
            if chunk:
                await response.write(bytes(chunk))
            elif is_last:
                return
            else:
                try:
                    await asyncio.wait_for(news.wait(), self._heartbeat_s)
                except TimeoutError:
                    await response.write(b": still here\n\n")


def _line(**fields: object) -> str:
    """JSON on one line, with its text cut to what is kept of it."""
    text = str(fields["text"])
    fields["text"] = text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"
    return json.dumps(fields, ensure_ascii=False, allow_nan=False)


def _policy(page: str) -> str:
    """What the page may do: run its own script and style and no others, and talk to this server alone."""

    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


@web.middleware
async def _from_this_machine(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse requests under another name: a foreign page whose name leads here could read the answers."""
    if not _LOCAL.fullmatch(request.host):
        return web.Response(status=421, text="open the dashboard as http://127.0.0.1:PORT/ or http://localhost:PORT/\n")
    return await handler(request)
