"""The page of a live run shows what was sent, to everybody, on every screen, and finds back to a run by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from live.dashboard import Dashboard, Snapshot
from live.dashboard.history import History
from realtime_sim.plots._style import time_text
from tests.chromium import Chromium, Page, session_of
from tests.dashboards import CALM, port_of, run, serving

pytestmark = pytest.mark.live

ARTIFACTS = Path(__file__).parents[1] / "out" / "test-artifacts"
"""Where pictures of the page are kept."""


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


def test_times_are_written_as_in_the_plots():
    seconds = [x * 10.0**power for power in range(-9, 2) for x in (1, 4.44, 5.5, 9.994, 9.996)]

    async def body() -> None:
        async with serving(Dashboard()) as url, Chromium() as browser:
            page = await browser.open(url)
            assert await page.evaluate(f"{seconds}.map(duration)") == [time_text(s * 1e3) for s in seconds]
            assert await page.evaluate("[duration(0), duration(null)]") == ["0 s", "–"]

    run(body())


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


def test_the_page_comes_back_after_a_restart_and_goes_on_where_it_was():
    """First the server is gone and comes back with the same run, then with another one."""

    async def body() -> None:
        state = "document.querySelector('#state').textContent.trim()"
        history = History()
        first = Dashboard(retry_s=0.1, history=history)
        async with serving(first) as url, Chromium() as browser:
            port = port_of(url)
            tell(first, 21)
            page = await browser.open(url)
            await page.wait_for(f"{state} === 'Live' && document.querySelectorAll('#log li').length === 3")
            await first.close()
            await page.wait_for(f"{state} === 'Reconnecting' && !document.querySelector('#stale').hidden")
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
            assert await page.evaluate("document.title") == "Run over · chat with 12,000 phones"
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
