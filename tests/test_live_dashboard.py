"""The dashboard shows every viewer the whole run, however late, slow or often cut off, and does not grow."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.dashboard import Dashboard, Watching
from live.dashboard.feed import LONGEST_LINE
from live.dashboard.history import History
from live.dashboard.watching import OVER, STOPPED
from realtime_sim.errors import LiveError
from realtime_sim.metrics import MONITORED
from tests.dashboards import CALM, PATIENCE_S, port_of, run, serving


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
    assert set(MONITORED) <= set(plain)
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
                slow.connect(("127.0.0.1", port_of(url)))
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


@pytest.mark.parametrize(("error", "text"), [(None, OVER), (KeyError("x"), STOPPED)])
def test_a_page_is_there_before_a_run_begins_and_says_how_it_ended(error, text):
    async def body() -> None:
        told: list[str] = []
        watching = Watching(0, told.append)
        await watching.__aenter__()
        (url,) = told
        assert (await get(url))[0] == 200 and json.loads((await get(f"{url}healthz"))[1])["events"] == 0
        async with viewer(url) as stream:
            await stream.block()
            ending = asyncio.create_task(watching.__aexit__(error and type(error), error, None))
            assert (await stream.event())[1:] == ("over", {"text": text})
            assert await stream.event() is None
            await ending
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(url)

    run(body())


def test_closing_does_not_wait_for_a_viewer_that_does_not_read():
    async def body() -> None:
        dashboard = Dashboard()
        url = await dashboard.start()
        port = port_of(url)
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
            port = port_of(url)
            with pytest.raises(
                LiveError, match=rf"^dashboard: cannot listen on port {port} of loopback \(.+\); choose"
            ):
                await Dashboard().start(port)

    run(body())


def test_only_this_machine_under_its_own_name_is_answered():
    """A page of another site whose name leads to 127.0.0.1 would be of the same origin, and could read the run."""

    async def body() -> None:
        async with serving(Dashboard()) as url:
            port = port_of(url)
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
            assert set(re.findall(r'data-metric="(\w+)"', page)) == set(MONITORED)

    run(body())
