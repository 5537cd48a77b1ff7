"""Clients of a target see what can be seen from outside, ask nobody but the named host, and say what is not known."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import pytest
import socketio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

import live
from live.clients.reception import Caller, TurnedAway
from live.foreign.connecting import connect
from live.foreign.reception import AHEAD, UNKNOWN, ForeignReception, sent_ns
from live.foreign.target import Target
from live.options import Options
from live.processes import free_ports
from live.supported import check_supported
from realtime_sim.errors import LiveError, ScenarioError, UnsupportedFeature
from tests.conftest import small

LIMIT_S = 20.0

HOUR_NS = 3_600 * 10**9

BACK = {"policy": "full_jitter", "base": 0.2, "cap": 0.5}


# Targets.


@pytest.mark.parametrize(
    ("url", "asked", "transport", "is_here", "source"),
    [
        ("ws://127.0.0.1:80/ws", "ws://127.0.0.1:80/ws?token=a%26b", "websocket", True, "127.0.1.1"),
        ("wss://chat.example", "wss://chat.example/?token=a%26b", "websocket", False, ""),
        ("http://localhost:8/events?room=1", "http://localhost:8/events?room=1&token=a%26b", "sse", True, ""),
        ("https://10.0.0.7/events", "https://10.0.0.7/events?token=a%26b", "sse", False, ""),
        ("socketio://[::1]:3000", "http://[::1]:3000/socket.io/", "websocket", True, ""),
        ("socketio://chat.example/own/", "http://chat.example/own/", "websocket", False, ""),
    ],
)
def test_a_target_is_what_its_url_says(url, asked, transport, is_here, source):
    target = Target(url, token="a&b")
    assert (target.request_url, target.transport, target.is_here, target.source) == (asked, transport, is_here, source)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("file:///etc/passwd", "known scheme"),
        ("redis://127.0.0.1", "known scheme"),
        ("127.0.0.1:80", "known scheme"),
        ("ws://", "must name a host"),
        ("ws://host:0/", "must name a host"),
        ("ws://host/a b", "must name a host"),
        ("ws://host/\r\nX: y", "must name a host"),
        ("ws://host:port/", "must be a URL"),
        ("ws://user:secret@host/", "neither user nor fragment"),
    ],
)
def test_anything_else_is_refused_before_anything_is_started(url, rule):
    with pytest.raises(ScenarioError, match=f"target .*{rule}"):
        live.run(small(), target=url)


def test_secrets_of_a_query_are_not_shown():
    assert Target("ws://host/ws?key=secret", token="secret").shown == "ws://host/ws"


# When a message was sent.


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), st.lists(st.text(max_size=3), max_size=3))
def test_whatever_comes_is_no_error(body, path):
    found = sent_ns(body, path)
    assert found is None or found > 0


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"at":1700000000}', 1_700_000_000 * 10**9),
        (b'{"at":1700000000250}', 1_700_000_000_250 * 10**6),
        (b'{"at":"1700000000"}', None),
        (b'{"at":NaN}', None),
        (b'{"at":1e300}', None),
        (b'{"at":-1}', None),
        (b'{"at":{"at":1}}', None),
        (b"[1700000000]", None),
        (b"[" * 100_000, None),
    ],
)
def test_seconds_and_milliseconds_are_told_apart_and_nothing_else_is_taken(body, found):
    assert sent_ns(body, ["at"]) == found


def test_a_latency_is_known_unknown_or_impossible():
    async def scene() -> list[int]:
        rows: list[int] = []
        reception = ForeignReception(0, 0, lambda *row: rows.append(row[0]), "at", lambda error: None)
        for age_s in (60, -60):
            reception.frame(json.dumps({"at": time.time() - age_s}).encode())
        reception.frame(b'{"other":1}')
        return rows

    first, second, third = asyncio.run(scene())
    assert 60 * 10**9 <= first < HOUR_NS
    assert (second, third) == (AHEAD, UNKNOWN)


# What cannot be.


@pytest.mark.parametrize(
    ("change", "url", "field"),
    [
        ({}, "http://host/events", r"clients.phones.transport: websocket with a target http://host/events"),
        ({"clients.phones.polling_handshake": True}, "ws://host/ws", "clients.phones.polling_handshake"),
        ({"faults": [{"at": 1, "kind": "kill_server", "server": 0}]}, "ws://host/ws", r"faults\[0\].kind: kill_server"),
        (
            {"autoscaling": {"max_replicas": 2, "metrics": [{"name": "connections", "target": 5}]}},
            "ws://host/ws",
            "autosc",
        ),
        ({"clients.phones.count": 40_000}, "ws://host/ws", "more than 30_000"),
        ({"duration": "2h"}, "ws://host/ws", "duration"),
    ],
)
def test_what_is_not_ours_to_do_is_named(change, url, field):
    with pytest.raises(UnsupportedFeature, match=field):
        check_supported(small().replace(**change), Options(target=Target(url)))


def test_brokers_balancers_and_watchers_are_not_for_targets():
    with pytest.raises(ScenarioError, match="balancer must be left out with a target, got 'nginx'"):
        live.run(small(), target="ws://127.0.0.1:1/", balancer="nginx")
    with pytest.raises(UnsupportedFeature, match="control or a dashboard with a target"):
        live.run(small(), target="ws://127.0.0.1:1/", control=[lambda cluster: None])


# Other people's servers.


@asynccontextmanager
async def serving(app: web.Application):
    """Its port, while it listens."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def heard(app: web.Application, url: str, n: int, **target: str) -> list[int]:
    """The first `n` rows that a client of a target writes down; at the end the connection's close code."""

    async def scene() -> list[int]:
        rows: list[int] = []
        async with asyncio.timeout(LIMIT_S), serving(app) as port:
            reception = ForeignReception(0, 0, lambda *row: rows.append(row[0]), "at", lambda error: None)
            found = await connect(Target(url.format(port), **target), Caller("", ""), reception, False)
            while len(rows) < n:
                await asyncio.sleep(0.01)
            found.close()
            return [*rows, await reception.closed]

    return asyncio.run(scene())


@pytest.mark.live
def test_a_stream_of_events_is_read_however_its_lines_end():
    async def events(request: web.Request) -> web.StreamResponse:
        assert request.query["token"] == "abc" and "Origin" not in request.headers
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await stream.prepare(request)
        now = b"%d" % (time.time_ns() // 10**6)
        for part in (b": hello\n\n", b'data:{"at":' + now, b"}\r\n\r", b"\nid: 7\nevent: x\ndata: {\n", b"data: }\n\n"):
            await stream.write(part)
        await asyncio.Event().wait()
        return stream

    app = web.Application()
    app.router.add_get("/events", events)
    latency_ns, without_time, _ = heard(app, "http://127.0.0.1:{}/events", 2, token="abc")
    assert 0 <= latency_ns < HOUR_NS
    assert without_time == UNKNOWN


def site() -> web.Application:
    """A WebSocket that says one thing in text and one in bytes, and a page of HTML."""

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"at": time.time()})
        await socket.send_bytes(b"\x00\x01")
        async for _ in socket:
            pass
        return socket

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="data: hello\n\n", content_type="text/html")

    app = web.Application()
    app.router.add_get("/ws", websocket)
    app.router.add_get("/page", page)
    return app


@pytest.mark.live
def test_messages_count_in_text_and_in_bytes():
    latency_ns, without_time, _ = heard(site(), "ws://127.0.0.1:{}/ws", 2)
    assert 0 <= latency_ns < HOUR_NS
    assert without_time == UNKNOWN


@pytest.mark.live
@pytest.mark.parametrize("path", ["http://127.0.0.1:{}/page", "http://127.0.0.1:{}/none", "ws://127.0.0.1:{}/none"])
def test_a_page_is_no_stream_and_nothing_is_no_page(path):
    with pytest.raises(TurnedAway, match="refused"):
        heard(site(), path, 1)


# A whole run.


@contextmanager
def plain_socketio(every_s: float):
    """A server of somebody else's in a thread: news to everybody, now and then. `cut()` closes all connections."""
    server = SimpleNamespace(tokens=set(), port=0, cut=None)
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        loop, sio = asyncio.get_running_loop(), socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")

        async def connected(sid, environ, auth) -> None:
            server.tokens.add(auth["token"])

        async def cut() -> None:
            for engine in list(sio.eio.sockets):
                await sio.eio.disconnect(engine)

        sio.on("connect", connected)
        server.cut = lambda: asyncio.run_coroutine_threadsafe(cut(), loop)
        app = web.Application()
        sio.attach(app)
        async with serving(app) as server.port:
            ready.set()
            while not over.is_set():
                await sio.emit("news", {"text": "hello", "sent": {"at": time.time()}})
                await asyncio.sleep(every_s)
            await sio.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(LIMIT_S)
        yield server
    finally:
        over.set()
        thread.join(LIMIT_S)


@pytest.mark.live
def test_a_run_measures_connections_messages_losses_and_latency_of_a_socketio_server():
    """All connections are cut once during the run: a burst of losses that nobody here has caused."""
    clients = [{"name": "c", "count": 20, "reconnect": BACK, "polling_handshake": True, "network": {"rtt": "200ms"}}]
    scenario = small(duration=3, clients=clients, traffic=[{"name": "ours", "rate": 50, "from": "clients"}])
    with plain_socketio(every_s=0.1) as server:
        n_reports = 0

        def report(share: float) -> None:
            nonlocal n_reports
            n_reports += share > 0.02
            if n_reports == 1:
                server.cut()

        results = live.run(
            scenario, target=f"socketio://127.0.0.1:{server.port}", target_token="abc",
            target_time_field="sent.at", record="full", progress=report,
        )  # fmt: skip
    assert server.tokens == {"abc"}
    totals = results.deliveries.loc["total"]
    assert totals["expected"] == totals["delivered"] > 20
    assert 0 < results.latency_s()["p50"].value < 10
    assert results.connections["connected_at_start"] == results.connections["reconnects"] == 20
    (burst,) = results.recovery.to_dict("records")
    assert (burst["fault"], burst["affected"], burst["recovered"]) == ("lost_by_target", 20, 20)
    assert results.connections["closed_going_away"] == 20
    assert results.timeseries["connections"].iloc[-1] == 20
    assert results.conditions["unknown"][0].startswith("deliveries expected")
    assert results.conditions["messages_without_time"] == 0
    assert len(results.servers) == 1
    assert results.to_json()


@pytest.mark.live
def test_a_target_that_is_not_there_is_one_clear_message():
    [port] = free_ports(1)
    with pytest.raises(LiveError, match=rf"target ws://127.0.0.1:{port}/ws: none of 10 clients could connect"):
        live.run(small(), target=f"ws://127.0.0.1:{port}/ws")
