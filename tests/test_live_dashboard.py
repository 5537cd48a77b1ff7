"""The dashboard shows every viewer the whole run, however late, slow or often cut off, and does not grow."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.dashboard import Dashboard, Snapshot
from live.dashboard.feed import LONGEST_LINE
from live.dashboard.history import History
from realtime_sim.errors import LiveError
from realtime_sim.metrics import METRICS
from realtime_sim.plots._style import time_text
from tests.chromium import Chromium, Page, session_of

PATIENCE_S = 30.0
"""Bound of every test that waits; a hundred times what it takes."""

ARTIFACTS = Path(__file__).parents[1] / "out" / "test-artifacts"

CALM = Snapshot(
    time_s=12.0,
    duration_s=60.0,
    scenario="chat",
    broker="redis_pubsub",
    connections=(4000, 4000, 4000),
    ready=(True, True, True),
    latency_p50_s=0.0061,
    latency_p95_s=0.0214,
    latency_p99_s=0.0437,
    channel_subscribers=750,
    reconnects_per_s=0.0,
    delivered_per_s=8000.0,
    lost=0,
)
"""Three servers at work."""


def run(body: Coroutine) -> None:
    asyncio.run(asyncio.wait_for(body, PATIENCE_S))


@asynccontextmanager
async def serving(dashboard: Dashboard, port: int = 0) -> AsyncIterator[str]:
    try:
        yield await dashboard.start(port)
    finally:
        await dashboard.close()


class Stream:
    """One viewer, without a browser: blocks of the event stream as they come, fields as lists of (name, value)."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def block(self) -> list[tuple[str, str]] | None:
        """The next block, None at the end of the stream; a comment has the name ''."""
        found: list[tuple[str, str]] = []
        while line := await self.answer.content.readline():
            if line == b"\n":
                return found
            name, _, value = line.decode().rstrip("\n").partition(":")
            found.append((name, value.removeprefix(" ")))
        assert not found, f"the stream ends within a block: {found}"
        return None

    async def event(self) -> tuple[str, str, dict] | None:
        """The next event that has an id: id, kind and data; None at the end."""
        while (block := await self.block()) is not None:
            fields = dict(block)
            if "id" in fields:
                return fields["id"], fields["event"], json.loads(fields["data"])
        return None

    async def events(self, n: int) -> list[tuple[str, str, dict]]:
        found = [await self.event() for _ in range(n)]
        assert None not in found, "the stream has ended"
        return found


@asynccontextmanager
async def viewer(url: str, last: str | None = None) -> AsyncIterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": last}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        session.get(f"{url}feed", headers=headers) as answer,
    ):
        yield Stream(answer)


async def get(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text(), dict(answer.headers)


async def until_viewers(url: str, n: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while json.loads((await get(f"{url}healthz"))[1])["viewers"] != n:
            await asyncio.sleep(0.01)


# --- a snapshot -----------------------------------------------------------------------------------------------------


def test_a_snapshot_names_the_metrics_as_every_monitoring_page_does():
    plain = json.loads(replace(CALM, connections=(1, None, 3), invalid="a busy machine").to_json())
    assert set(METRICS) <= set(plain)
    assert plain == {
        "time_s": 12.0,
        "duration_s": 60.0,
        "scenario": "chat",
        "broker": "redis_pubsub",
        "ready": [True, True, True],
        "active_connections": [1, None, 3],
        "delivery_latency": {"p50": 0.0061, "p95": 0.0214, "p99": 0.0437},
        "channel_subscribers": 750,
        "reconnection_rate": 0.0,
        "delivered_per_s": 8000.0,
        "lost": 0,
        "invalid": "a busy machine",
    }


def test_what_is_not_known_is_null():
    nothing = replace(CALM, latency_p50_s=None, latency_p95_s=None, latency_p99_s=None, channel_subscribers=None)
    plain = json.loads(nothing.to_json())
    assert plain["delivery_latency"] == {"p50": None, "p95": None, "p99": None}
    assert plain["channel_subscribers"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ready": (True,)}, "connections and ready must be of the same servers, got 3 and 1"),
        ({"latency_p99_s": math.nan}, "latency_p99_s must be a number from 0 on, got nan"),
        ({"time_s": None}, "time_s must be a number from 0 on, got None"),
        ({"reconnects_per_s": math.inf}, "reconnects_per_s must be a number from 0 on, got inf"),
        ({"connections": (1, -1, 1)}, r"connections\[1\] must be a number from 0 on, got -1"),
    ],
)
def test_a_figure_that_is_none_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CALM, **change)


# --- the history ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["snapshot", "log"]), st.integers(0, 9)), max_size=80))
def test_a_history_is_bounded_and_keeps_order_the_newest_and_the_heaviest(events):
    history = History(most_snapshots=8, most_lines=4)
    for kind, weight in events:
        history.add(kind, "{}", weight)
    kept = history.after(0)
    assert [event.number for event in kept] == sorted({event.number for event in kept})
    assert history.newest == len(events) and (not events or kept[-1].number == len(events))
    snapshots = [event for event in kept if event.kind == "snapshot"]
    assert len(snapshots) <= 8 and len(kept) - len(snapshots) <= 4
    heaviest = max((weight for kind, weight in events if kind == "snapshot"), default=0)
    assert heaviest == max((event.weight for event in snapshots), default=0)
    assert kept == [event for event in kept if event in history.after(event.number - 1)]


def test_the_beginning_of_a_run_becomes_coarse_and_does_not_vanish():
    history = History(most_snapshots=64)
    for _ in range(10_000):
        history.add("snapshot", "{}")
    numbers = [event.number for event in history.after(0)]
    assert numbers[0] == 1 and numbers[-30:] == list(range(9_971, 10_001))
    assert max(after - before for before, after in pairwise(numbers)) <= 2 * 1024, "16 stretches of 2^10"


@pytest.mark.parametrize("foreign", ["", "7", "abc-1", "-1", "{run}-", "{run}-9", "{run}--1", "{run}-٣", "{run}-1e0"])
def test_a_position_that_is_none_of_this_run_is_the_beginning(foreign):
    history = History()
    history.add("log", "{}")
    assert history.position(foreign.format(run=history.run)) == 0
    assert history.position(f"{history.run}-1") == 1


# --- the feed, over HTTP --------------------------------------------------------------------------------------------


def test_the_stream_has_the_headers_that_keep_it_a_stream():
    async def body() -> None:
        dashboard = Dashboard(retry_s=0.25)
        async with serving(dashboard) as url, viewer(url) as stream:
            headers = stream.answer.headers
            assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert headers["Cache-Control"] == "no-store, no-transform"
            assert headers["X-Accel-Buffering"] == "no"
            assert "Content-Length" not in headers and "Content-Encoding" not in headers
            (retry, kind, data) = await stream.block()
            assert retry == ("retry", "250") and kind == ("event", "run") and set(json.loads(data[1])) == {"run"}

    run(body())


def test_who_comes_late_gets_the_whole_run_in_order_and_what_follows():
    async def body() -> None:
        dashboard = Dashboard()
        dashboard.log(0.5, "clients connect")  # before anything is served
        async with serving(dashboard) as url:
            dashboard.show(CALM)
            dashboard.log(20, "fault: kill_server, server 1")
            async with viewer(url) as stream:
                found = await stream.events(3)
                assert [kind for _, kind, _ in found] == ["log", "snapshot", "log"]
                assert [data for _, _, data in found] == [
                    {"time_s": 0.5, "text": "clients connect"},
                    json.loads(CALM.to_json()),
                    {"time_s": 20, "text": "fault: kill_server, server 1"},
                ]
                assert [identity.rpartition("-")[2] for identity, _, _ in found] == ["1", "2", "3"]
                dashboard.show(replace(CALM, time_s=21.0))
                assert (await stream.event())[2]["time_s"] == 21.0

    run(body())


def test_who_comes_back_gets_what_it_has_missed_and_nothing_twice():
    async def body() -> None:
        dashboard = Dashboard()
        async with serving(dashboard) as url:
            for second in range(5):
                dashboard.show(replace(CALM, time_s=second))
            async with viewer(url) as stream:
                last = (await stream.events(3))[-1][0]
            async with viewer(url, last) as stream:
                assert [data["time_s"] for _, _, data in await stream.events(2)] == [3, 4]
                dashboard.show(replace(CALM, time_s=5))
                assert (await stream.event())[2]["time_s"] == 5
            async with viewer(url, "another run-3") as stream:
                assert [data["time_s"] for _, _, data in await stream.events(6)] == [0, 1, 2, 3, 4, 5]

    run(body())


def test_a_history_sent_is_bounded():
    async def body() -> None:
        dashboard = Dashboard(history=History(most_snapshots=32, most_lines=4))
        async with serving(dashboard) as url:
            for second in range(400):
                dashboard.show(replace(CALM, time_s=second))
                dashboard.log(second, "scaled")
            assert json.loads((await get(f"{url}healthz"))[1])["events"] <= 36
            await dashboard.finish("done")
            async with viewer(url) as stream:
                found = []
                while (event := await stream.event()) is not None:
                    found.append(event)
            assert len(found) <= 37 and found[-1][1] == "over"
            assert [data["time_s"] for _, kind, data in found if kind == "log"] == [396, 397, 398, 399]

    run(body())


def test_silence_is_broken_by_comments():
    async def body() -> None:
        async with serving(Dashboard(heartbeat_s=0.02)) as url, viewer(url) as stream:
            await stream.block()
            assert [await stream.block() for _ in range(3)] == [[("", "still here")]] * 3

    run(body())


@pytest.mark.parametrize(
    "text", ["two\nlines\r\nand\rmore", "\u2028 \u2029 \x00", 'data: x\n\nid: 9\n\n"', "日本 🎉", ""]
)
def test_any_text_arrives_as_it_was_sent(text):
    async def body() -> None:
        dashboard = Dashboard()
        async with serving(dashboard) as url, viewer(url) as stream:
            dashboard.log(1, text)
            dashboard.show(replace(CALM, scenario=text, broker=text, invalid=text))
            (_, _, line), (_, _, shot) = await stream.events(2)
            assert line["text"] == text
            assert (shot["scenario"], shot["broker"], shot["invalid"]) == (text, text, text)

    run(body())


def test_a_line_that_is_too_long_is_cut_and_says_so():
    async def body() -> None:
        dashboard = Dashboard()
        async with serving(dashboard) as url, viewer(url) as stream:
            dashboard.log(1, "x" * 100_000)
            text = (await stream.event())[2]["text"]
            assert len(text) == LONGEST_LINE and text.endswith("x…")

    run(body())


def test_a_hundred_viewers_see_the_same():
    async def body() -> None:
        dashboard = Dashboard()
        for second in range(50):
            dashboard.show(replace(CALM, time_s=second))

        async def watch(url: str) -> list[tuple[str, str, dict]]:
            async with viewer(url) as stream:
                return await stream.events(101)

        async with serving(dashboard) as url:
            watching = [asyncio.create_task(watch(url)) for _ in range(100)]
            await until_viewers(url, 100)
            for second in range(50, 100):
                dashboard.show(replace(CALM, time_s=second))
                await asyncio.sleep(0)
            await dashboard.finish("done")
            first, *others = await asyncio.gather(*watching)
            assert [data.get("time_s") for _, _, data in first] == [*range(100), None]
            assert all(other == first for other in others)

    run(body())


def test_a_viewer_that_does_not_read_holds_up_nobody_and_costs_no_memory():
    """2,000 snapshots of 4 KB are 8 MB; what may be held is the history, and the buffers of one socket."""

    async def body() -> None:
        dashboard = Dashboard(history=History(most_snapshots=32))
        async with serving(dashboard) as url, viewer(url) as reader:
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.connect(("127.0.0.1", int(url.rpartition(":")[2].strip("/"))))
                slow.sendall(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await until_viewers(url, 2)
                tracemalloc.start()
                try:
                    before, _ = tracemalloc.get_traced_memory()
                    seen = -1.0
                    for second in range(2000):
                        dashboard.show(replace(CALM, time_s=second, invalid="x" * 4000))
                        if second % 20 == 19:  # the reader keeps up, as it can
                            while seen < second:
                                seen = (await reader.event())[2]["time_s"]
                    assert seen == 1999
                    grown = tracemalloc.get_traced_memory()[0] - before
                finally:
                    tracemalloc.stop()
                assert grown < 2e6, f"{grown / 1e6:.1f} MB for a history of 0.2 MB"
            await until_viewers(url, 1)

    run(body())


def test_a_viewer_that_leaves_is_forgotten_at_once():
    async def body() -> None:
        async with serving(Dashboard()) as url:
            async with viewer(url) as stream:
                await stream.block()
                await until_viewers(url, 1)
            await until_viewers(url, 0)

    run(body())


def test_the_end_of_a_run_reaches_all_and_tells_browsers_not_to_come_back():
    async def body() -> None:
        dashboard = Dashboard()
        async with serving(dashboard) as url:
            dashboard.show(CALM)
            async with viewer(url) as stream:
                await stream.event()
                await dashboard.finish("all clients are back")
                last, kind, data = await stream.event()
                assert (kind, data) == ("over", {"text": "all clients are back"})
                assert await stream.event() is None
            assert (await get(f"{url}feed", **{"Last-Event-ID": last}))[0] == 204
            async with viewer(url) as stream:  # who opens the page now
                assert [kind for _, kind, _ in await stream.events(2)] == ["snapshot", "over"]
                assert await stream.event() is None
            with pytest.raises(RuntimeError, match="the run is over: no snapshot can follow"):
                dashboard.show(CALM)

    run(body())


def test_closing_does_not_wait_for_a_viewer_that_does_not_read():
    async def body() -> None:
        dashboard = Dashboard()
        url = await dashboard.start()
        port = int(url.rpartition(":")[2].strip("/"))
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", port))
            slow.sendall(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until_viewers(url, 1)
            for second in range(2000):
                dashboard.show(replace(CALM, time_s=second, invalid="x" * 4000))
            async with asyncio.timeout(10):
                await dashboard.finish("done")
                await dashboard.close()
            await dashboard.close()  # once more does nothing
            async with serving(Dashboard(), port) as again:
                assert again == url

    run(body())


def test_a_port_that_is_taken_is_one_clear_message():
    async def body() -> None:
        async with serving(Dashboard()) as url:
            port = int(url.rpartition(":")[2].strip("/"))
            with pytest.raises(
                LiveError, match=rf"^dashboard: cannot listen on port {port} of loopback \(.+\); choose"
            ):
                await Dashboard().start(port)

    run(body())


def test_only_this_machine_under_its_own_name_is_answered():
    """A page of another site whose name leads to 127.0.0.1 would be of the same origin, and could read the run."""

    async def body() -> None:
        async with serving(Dashboard()) as url:
            port = int(url.rpartition(":")[2].strip("/"))
            for path in ("", "feed", "healthz"):
                for name in ("evil.example", f"localhost.evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
                    assert (await get(f"{url}{path}", Host=name))[0] == 421
            for name in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}"):
                assert (await get(f"{url}healthz", Host=name))[0] == 200
            with socket.socket() as outside, pytest.raises(OSError):
                outside.settimeout(1)
                outside.connect(("127.0.0.2", port))

    run(body())


def test_the_page_is_one_file_that_needs_nothing_else():
    async def body() -> None:
        async with serving(Dashboard()) as url:
            status, page, headers = await get(url)
            assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
            assert set(re.findall(r"https?://[^\s\"'<>]+", page)) == {"http://www.w3.org/2000/svg"}  # a name only
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page)
            assert set(re.findall(r'data-metric="(\w+)"', page)) == set(METRICS)

    run(body())


# --- the page, in a browser -----------------------------------------------------------------------------------------


def tell(dashboard: Dashboard, until_s: float) -> Snapshot:
    """A run of 60 s with a snapshot every half second: server 1 of four dies at 20 s with 4,000 clients, who are back
    some seconds later; from 32 s to 35 s the broker is down. Returns the last snapshot."""
    lines = {
        0.0: "4 servers are ready, 12,000 clients connect",
        20.0: "fault: kill_server, server 1",
        20.5: "4,000 clients have lost their connection",
        26.0: "all clients are back",
        32.0: "fault: stop_broker for 3 s",
        35.0: "the broker runs again",
    }
    for half_second in range(round(2 * until_s) + 1):
        second = half_second / 2
        if second in lines:
            dashboard.log(second, lines[second])
        share, away = min(1.0, second / 4), math.exp(-max(0.0, second - 20) / 1.5) if second >= 20 else 0.0
        moved = 0 if second < 20 else int(4000 * (1 - away) / 3)
        wave, down = 0.001 * math.sin(7 * second), 32 <= second < 35
        p50, p95, p99 = (None if down else base + wave + peak * away for base, peak in
                         ((0.007, 0.1), (0.022, 0.5), (0.045, 1.4)))  # fmt: skip
        last = Snapshot(
            time_s=second,
            duration_s=60,
            scenario="chat with 12,000 phones",
            broker="redis_pubsub",
            connections=(
                int(2750 * share) + moved,
                int(4000 * share) if second < 20 else None,
                int(2750 * share) + moved,
                int(2500 * share) + moved,
            ),
            ready=(True, second < 20, True, second >= 2),
            latency_p50_s=p50,
            latency_p95_s=p95,
            latency_p99_s=p99,
            channel_subscribers=None if down else 1000 if second < 20 else 750,
            reconnects_per_s=4000 / 1.5 * away,
            delivered_per_s=0 if down else 7912,
            lost=0 if second < 20 else 1873,
        )
        dashboard.show(last)
    return last


async def figures(page: Page) -> dict[str, str]:
    names = ("scenario", "broker", "time", "duration", "connections", "alive", "p50", "p95", "p99", "subscribers",
             "reconnects", "delivered", "lost")  # fmt: skip
    return {name: await page.text(f"#{name}") for name in names}


@pytest.mark.live
def test_figures_on_the_page_are_those_of_the_last_snapshot():
    async def body() -> None:
        dashboard = Dashboard()
        last = tell(dashboard, 24)
        async with serving(dashboard) as url, Chromium() as browser:
            page = await browser.open(url)
            await page.wait_for("document.querySelector('#time').textContent === '24 s'")
            assert await figures(page) == {
                "scenario": "chat with 12,000 phones",
                "broker": "broker: redis_pubsub",
                "time": "24 s",
                "duration": "of 60 s",
                "connections": f"{sum(n for n in last.connections if n is not None):,}",
                "alive": "on 3 of 4 servers",
                "p50": time_text(last.latency_p50_s * 1e3),
                "p95": time_text(last.latency_p95_s * 1e3),
                "p99": time_text(last.latency_p99_s * 1e3),
                "subscribers": "750",
                "reconnects": f"{last.reconnects_per_s:.0f} /s",
                "delivered": "7,912 /s",
                "lost": "1,873",
            }
            assert await page.text("#state") == "Live" and await page.text("#dead") == "✕ 1 dead"
            bars = await page.evaluate("[...document.querySelectorAll('#servers li')].map((bar) => bar.title)")
            assert bars == [
                f"server {i}: {'dead' if n is None else f'{n:,} connections'}" for i, n in enumerate(last.connections)
            ]
            assert await page.text("#peak") == "peak 2,667 /s" and await page.text("#peak-at") == "at 20 s"
            assert (await page.text("#log")).startswith("20.5 s 4,000 clients have lost their connection 20.0 s fault:")
            await page.screenshot(ARTIFACTS / "dashboard.png", 1280, 720)
            await page.prefer(color_scheme="dark")
            await page.screenshot(ARTIFACTS / "dashboard-dark.png", 1280, 720)
            await page.screenshot(ARTIFACTS / "dashboard-narrow.png", 390, 844, whole=True)
            dashboard.show(replace(last, time_s=33, latency_p99_s=None, channel_subscribers=None, invalid="too busy"))
            await page.wait_for("document.querySelector('#time').textContent === '33 s'")
            assert await page.text("#p99") == "–" and await page.text("#subscribers") == "–"
            assert await page.text("#no-broker") == "✕ no answer"
            assert (await page.text("#invalid")).endswith("These figures are not to be trusted: too busy")
            assert page.console == []
            assert set(page.requests) == {url, f"{url}feed"}

    run(body())


@pytest.mark.live
def test_times_are_written_as_in_the_plots():
    seconds = [x * 10.0**power for power in range(-9, 2) for x in (1, 4.44, 5.5, 9.994, 9.996)]

    async def body() -> None:
        async with serving(Dashboard()) as url, Chromium() as browser:
            page = await browser.open(url)
            assert await page.evaluate(f"{seconds}.map(duration)") == [time_text(s * 1e3) for s in seconds]
            assert await page.evaluate("[duration(0), duration(null)]") == ["0 s", "–"]

    run(body())


@pytest.mark.live
def test_text_is_never_read_as_markup():
    async def body() -> None:
        dashboard, attack = Dashboard(), "<img src=x onerror=\"document.title='gone'\"><b>bold</b> &amp;"
        dashboard.log(1, attack)
        dashboard.show(replace(CALM, scenario=attack, broker=attack, invalid=attack))
        async with serving(dashboard) as url, Chromium() as browser:
            page = await browser.open(url)
            await dashboard.finish(attack)
            await page.wait_for("document.querySelector('#state').dataset.state === 'over'")
            await page.wait_for("!document.querySelector('#ending').hidden")
            for place in ("#scenario", "#broker", "#invalid", "#ending", "#log"):
                assert attack in await page.text(place)
            assert await page.evaluate("document.querySelectorAll('img, b:not([id])').length") == 0
            assert page.console == [] and set(page.requests) == {url, f"{url}feed"}

    run(body())


@pytest.mark.live
def test_the_page_comes_back_after_a_restart_and_goes_on_where_it_was():
    """First the server is gone and comes back with the same run, then with another one."""

    async def body() -> None:
        state = "document.querySelector('#state').textContent.trim()"
        history = History()
        first = Dashboard(retry_s=0.1, history=history)
        async with serving(first) as url, Chromium() as browser:
            port = int(url.rpartition(":")[2].strip("/"))
            tell(first, 21)
            page = await browser.open(url)
            await page.wait_for(f"{state} === 'Live' && document.querySelectorAll('#log li').length === 3")
            await first.close()
            await page.wait_for(f"{state} === 'Reconnecting'")
            assert (await page.text("#stale")).startswith(
                "⚠ The connection to the run is lost; figures are those of 21 s"
            )
            again = Dashboard(retry_s=0.1, history=history)
            again.log(22, "still the same run")
            async with serving(again, port):
                await page.wait_for(f"{state} === 'Live' && document.querySelectorAll('#log li').length === 4")
                assert (await page.text("#log")).startswith("22.0 s still the same run 20.5 s ")
                assert await page.text("#time") == "21 s"
                await page.wait_for("document.querySelector('#stale').hidden")
            await page.wait_for(f"{state} === 'Reconnecting'")
            another = Dashboard(retry_s=0.1)
            another.show(replace(CALM, time_s=2.0, scenario="another run"))
            async with serving(another, port):
                await page.wait_for(f"{state} === 'Live' && document.querySelector('#time').textContent === '2 s'")
                assert await page.text("#scenario") == "another run" and await page.text("#connections") == "12,000"
                assert await page.evaluate("document.querySelectorAll('#log li').length") == 0
            assert {line.source for line in page.console} <= {"network"}  # the browser says that nobody answered

    run(body())


@pytest.mark.live
def test_the_end_of_a_run_stays_on_the_page_and_nobody_is_asked_again():
    async def body() -> None:
        dashboard = Dashboard(retry_s=0.05)
        tell(dashboard, 60)
        async with serving(dashboard) as url, Chromium() as browser:
            page = await browser.open(url)
            await page.wait_for("document.querySelector('#time').textContent === '60 s'")
            await dashboard.finish("1,873 deliveries were lost, all clients are back after 6 s")
            await page.wait_for("document.querySelector('#state').textContent.trim() === 'Run over'")
            await page.wait_for("!document.querySelector('#ending').hidden")
            assert await page.text("#ending") == "Run over: 1,873 deliveries were lost, all clients are back after 6 s"
            late = await browser.open(url)
            await late.wait_for("document.querySelector('#state').textContent.trim() === 'Run over'")
            assert await figures(late) == await figures(page)
            await page.evaluate("new Promise((done) => setTimeout(done, 300))")  # six times what it would wait
            assert page.requests == late.requests == [url, f"{url}feed"]
            await dashboard.close()
            assert await page.text("#state") == "Run over"
            assert page.console == [] and late.console == []

    run(body())


FAINT_TEXT = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((part) => part / 255).map((part) => part <= .04045 ? part / 12.92
    : ((part + .055) / 1.055) ** 2.4).reduce((sum, part, i) => sum + part * [.2126, .7152, .0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
  };
  const found = [];
  for (const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walk.nextNode();) {
    const node = walk.currentNode.parentElement, style = getComputedStyle(node);
    if (!walk.currentNode.data.trim() || !node.getClientRects().length || node.tagName === "SCRIPT") continue;
    const ink = numbers(node instanceof SVGElement ? style.fill : style.color);
    if (ink[3] === 0) continue;
    const [low, high] = [light(ink), light(ground(node))].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    if ((high + .05) / (low + .05) < (large ? 3 : 4.5)) found.push(`${walk.currentNode.data}: ${style.color}`);
  }
  return found;
})()"""
"""Texts whose contrast is below what WCAG 2.2 asks for at level AA (1.4.3): 4.5, or 3 for large ones."""

TOO_WIDE = """[...document.querySelectorAll('body *')].filter((node) => node.getClientRects().length
  && node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.outerHTML.slice(0, 80))"""


@pytest.mark.live
def test_the_page_can_be_read_by_everybody_and_everywhere():
    async def body() -> None:
        dashboard = Dashboard()
        last = tell(dashboard, 24)
        dashboard.show(replace(last, time_s=25, invalid="other programs used 0.7 of the cores"))
        async with serving(dashboard) as url, Chromium() as browser:
            page = await browser.open(url)
            await page.wait_for("document.querySelector('#time').textContent === '25 s'")
            for scheme in ("light", "dark"):
                await page.prefer(color_scheme=scheme, reduced_motion="reduce")
                assert await page.evaluate(FAINT_TEXT) == []
                for width, height in ((1280, 720), (1920, 1080), (820, 1180), (390, 844), (320, 640)):
                    await page.resize(width, height)
                    assert await page.evaluate(TOO_WIDE) == [], (width, height)
            await page.resize(1280, 720)
            assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
            spilt = """[...document.querySelectorAll('.tile')].filter((tile) => [...tile.children].some((part) =>
              part.getBoundingClientRect().bottom > tile.getBoundingClientRect().bottom + 1)).length"""
            assert await page.evaluate(spilt) == 0
            assert await page.evaluate("document.getAnimations().length") == 0
            await page.prefer(color_scheme="light", reduced_motion="no-preference")
            assert await page.evaluate("document.getAnimations().length") > 0
            roles = "[...document.querySelectorAll('[role]')].map((node) => node.getAttribute('role'))"
            assert {"log", "status", "alert", "progressbar", "slider"} == set(await page.evaluate(roles))
            assert await page.evaluate("document.querySelector('#log').getAttribute('aria-live')") == "polite"
            assert (
                await page.evaluate("document.querySelector('#bar').getAttribute('aria-valuetext')") == "25 s of 60 s"
            )

    run(body())


@pytest.mark.live
def test_any_moment_of_a_run_can_be_read_with_the_arrow_keys():
    async def body() -> None:
        dashboard = Dashboard()
        tell(dashboard, 24)
        async with serving(dashboard) as url, Chromium() as browser:
            page = await browser.open(url)
            await page.wait_for("document.querySelector('#time').textContent === '24 s'")
            value = "document.querySelector('#{}-chart').getAttribute('aria-valuetext')"
            await page.evaluate("document.querySelector('#reconnects-chart').focus()")
            for _ in range(8):
                await page.press("ArrowLeft")
            await page.wait_for(f"{value.format('reconnects')} === '20.0 s: 2,667 /s'")
            assert await page.evaluate(value.format("total")) == "20.0 s: 8,000"
            assert await page.evaluate(value.format("subscribers")) == "20.0 s: 750"
            assert (await page.evaluate(value.format("latency"))).endswith("p99 1.45 s")
            assert await page.evaluate("document.querySelectorAll('.cursor').length") == 4
            await page.press("Escape")
            await page.wait_for("document.querySelectorAll('.cursor').length === 0")

    run(body())


@pytest.mark.live
def test_a_browser_leaves_nothing_behind():
    async def body() -> None:
        browser = Chromium()
        with pytest.raises(KeyError):
            async with browser:
                page = await browser.open("about:blank")
                assert await page.evaluate("6 * 7") == 42
                assert len(session_of(browser.pid)) > 1
                raise KeyError
        assert session_of(browser.pid) == [] and not browser.folder.exists()

    run(body())
