"""Pictures in steps tell what a run has, stand on any page beside others, and are there without scripts as well."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

from realtime_sim import plots, presets
from realtime_sim.errors import ScenarioError
from realtime_sim.plots._style import time_text
from realtime_sim.plots.states import LOOKS, MOST_STEPS
from realtime_sim.plots.steps import MOST_TOLD
from realtime_sim.report.hypertext import html_of
from realtime_sim.report.page import Mark, Page
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.states import STATES
from realtime_sim.trace import HOPS, STAMPS
from tests.chromium import Chromium
from tests.conftest import as_live, small

ARTIFACTS = Path(__file__).parent.parent / "out" / "test-artifacts"
EXAMPLES = Path(__file__).parent.parent / "examples"
DROP = {"at": 4, "kind": "drop_clients", "cohort": "phones"}


@pytest.fixture(scope="module")
def run() -> Results:
    case = presets.load("fallback").replace(duration="4s", warmup="1s")
    return simulate(case, engine="reference", record="full")


@pytest.fixture(scope="module")
def storm() -> Results:
    scenario = Scenario.from_yaml(EXAMPLES / "reconnect_storm.yaml")
    small_ones = {"clients.phones.count": 600, "duration": 70, "servers.backlog": 50, "sample_interval": 0.5}
    return simulate(scenario.replace(**small_ones), engine="reference")


# --- the way of a message -------------------------------------------------------------------------------------------


def test_a_real_delivery_has_its_own_times_and_the_median_of_all(run):
    rows, frames = run.trace.rows, plots.message_steps(run).frames
    measured = (rows["outcome"] == 0) & (rows["published_ns"] >= 1_000_000_000)
    whole_ns = np.sort((rows["received_ns"] - rows["published_ns"])[measured])
    median_ns = whole_ns[(len(whole_ns) - 1) // 2]
    clocks = [step.figures[0][1] for step in frames]
    assert clocks[0] == "0 ms" and clocks[-1] == time_text(median_ns / 1e6)
    (one,) = np.flatnonzero(measured & (rows["received_ns"] - rows["published_ns"] == median_ns))[:1]
    stamps = [int(rows[name][one]) for name in STAMPS]
    ends = [time_text((b - stamps[0]) / 1e6) for a, b in zip(stamps, stamps[1:], strict=False) if b > a]
    assert clocks[1:] == ends and "Times: the delivery at the median." in frames[0].caption


def test_without_single_deliveries_every_hop_takes_its_mean_time(storm):
    steps = plots.message_steps(storm)
    means = storm.hops["mean_s"]
    assert [step.figures[1][1] for step in steps.frames[1:]] == [
        time_text(means[hop] * 1e3) for hop in HOPS if means[hop]
    ]
    assert steps.frames[-1].figures[0][1] == time_text(means["total"] * 1e3)
    assert (
        "Times: the mean time of each hop." in steps.frames[0].caption
        and "The client has it." in steps.frames[-1].caption
    )


def test_nothing_delivered_has_no_way():
    with pytest.raises(ScenarioError, match="results must have delivered something, got '0 deliveries'; take a run"):
        plots.message_steps(simulate(small()))


# --- a storm --------------------------------------------------------------------------------------------------------


def test_areas_add_up_to_all_clients_at_every_sample(storm):
    (ax,) = plots.storm_states(storm).axes
    states = storm.client_states
    highest = np.max([area.get_paths()[0].vertices[:, 1].max() for area in ax.collections])
    assert highest == 600 == ax.get_ylim()[1] and set(states.sum(axis=1)) == {600}
    labels = [area.get_label() for area in ax.collections]
    assert labels == [STATES[name] for name in LOOKS if name in states and states[name].any()]
    for area, name in zip(ax.collections, [name for name in LOOKS if STATES[name] in labels], strict=True):
        below = [other for other in LOOKS if other in states][: [*LOOKS].index(name)]
        tops = states[[*below, name]].sum(axis=1)
        assert {*tops} <= {*area.get_paths()[0].vertices[:, 1]}, name


def test_few_in_trouble_have_axes_of_their_own():
    phones = {"name": "phones", "count": 5, "reconnect": {"policy": "fixed", "delay": "1500ms"}}
    case = small(clients=[phones, {"name": "c", "count": 95}], faults=[DROP])
    upper, lower = plots.storm_states(simulate(case), 0).axes
    assert upper.get_ylim() == (0, 100) and 5 <= lower.get_ylim()[1] < 10
    assert lower.get_xlim()[0] > 3 and not {"connected", "away"} & {area.get_label() for area in lower.collections}


def test_every_step_of_a_storm_has_the_counts_of_its_sample(storm):
    steps = plots.storm_steps(storm)
    states = storm.client_states
    assert MOST_TOLD < len(steps) <= MOST_STEPS
    for step in steps.frames:
        time_s = float(re.match(r"At ([\d.]+) s", step.caption)[1])
        counts = {name: int(value.replace(",", "")) for name, value, _ in step.figures}
        assert sum(counts.values()) == 600 and counts["connected"] == states.loc[time_s, "connected"]
    assert "servers left can accept 333.3/s" in steps.frames[0].caption


def test_a_live_run_has_two_states(storm):
    names = {name for step in plots.storm_steps(as_live(storm)).frames for name, _, _ in step.figures}
    assert names == {"connected", "not connected"}


def test_a_disturbance_that_is_not_there_is_refused(storm):
    for draw in (plots.storm_steps, plots.storm_states):
        with pytest.raises(
            ScenarioError, match="fault must be the number of a disturbance of every run, got 1; they are"
        ):
            draw(storm, 1)


# --- on a page ------------------------------------------------------------------------------------------------------


def test_a_player_is_small_stands_alone_and_is_the_same_every_time(run, storm):
    for make, of in ((plots.message_steps, run), (plots.storm_steps, storm)):
        text = make(of)._repr_html_()
        assert len(text.encode()) < 300_000 and text == make(of)._repr_html_()
        assert not re.findall(r"https?:(?!//www.w3.org)|@import|\bsrc=", text)
        assert text.count("<li ") == text.count('<svg class="layer"') == len(make(of))


def test_what_somebody_named_is_text():
    steps = plots.Steps("<b>", "<svg></svg>", (plots.Step("<i>", '"<u>', "", (("<s>", "<q>", ""),)),))
    text = steps._repr_html_()
    assert not re.findall("<[biusq]>", text) and "&lt;b&gt;" in text and "&quot;&lt;u&gt;" in text


def test_no_steps_and_another_ending_are_refused(run, tmp_path):
    with pytest.raises(ScenarioError, match="frames must hold at least one step, got"):
        plots.Steps("x", "<svg></svg>", ())
    with pytest.raises(ScenarioError, match="path must end in .html, got"):
        plots.message_steps(run).write(tmp_path / "x.svg")
    assert list(tmp_path.iterdir()) == []


def test_colours_are_those_of_reports(run):
    page = html_of(Page("t", "q", Mark("good", "yes"), "about", []))
    css = plots.message_steps(run)._repr_html_()
    dark = dict(re.findall(r"--(plot-[a-z]+): (#[0-9a-f]{6})", page.partition("color-scheme: dark")[2]))
    assert {name: re.search(rf"--{name}: light-dark\(#\w+, (#\w+)\)", css)[1] for name in dark} == dark and len(
        dark
    ) == 8


SEEN = """(() => [...document.querySelectorAll('.realtime-steps')].map((player) => ({
  step: player.querySelector('input').value,
  told: [...player.querySelectorAll('li')].filter((one) => one.offsetParent).length,
  layers: [...player.querySelectorAll('.layer')].filter((one) => getComputedStyle(one).display !== 'none').length,
  controls: Boolean(player.querySelector('.controls').offsetParent),
  play: Boolean(player.querySelector('.play').offsetParent),
  playing: player.querySelector('.play').textContent,
  alt: player.querySelector('svg').getAttribute('aria-label'),
  said: player.querySelector('input').getAttribute('aria-valuetext'),
})))()"""


@pytest.mark.live
def test_players_on_one_page_move_by_themselves(run, storm, tmp_path):
    """Two of a kind and one of another; the keyboard moves the one with the focus, buttons and Play their own."""
    way, states = plots.message_steps(run), plots.storm_steps(storm)
    players = [way._repr_html_(), states._repr_html_(), way._repr_html_()]
    (tmp_path / "page.html").write_text("<!doctype html><title>x</title>" + "\n".join(players), encoding="utf-8")
    address = (tmp_path / "page.html").as_uri()

    async def body() -> None:
        async with Chromium() as browser:
            page = await browser.open(address, width=1280, height=900)
            await page.evaluate("document.querySelectorAll('input')[1].focus()")
            await page.press("ArrowRight")
            await page.press("ArrowRight")
            first, second, third = await page.evaluate(SEEN)
            assert (first["step"], second["step"], third["step"]) == ("0", "2", "0")
            assert second["alt"] == states.frames[2].alt and second["said"] == f"3 of {len(states)}"
            assert (
                [one["told"] for one in (first, second, third)]
                == [1, 1, 1]
                == [one["layers"] for one in (first, second, third)]
            )
            await page.evaluate("document.querySelectorAll('.on')[0].click()")
            await page.evaluate("document.querySelectorAll('.back')[1].click()")
            await page.evaluate("document.querySelectorAll('.back')[2].click()")
            assert [one["step"] for one in await page.evaluate(SEEN)] == ["1", "1", "0"]
            await page.evaluate("document.querySelectorAll('.play')[1].click()")
            await page.wait_for("document.querySelectorAll('input')[1].value > 2")
            assert [one["playing"] for one in await page.evaluate(SEEN)] == ["Play", "Pause", "Play"]
            await page.evaluate("document.querySelectorAll('.play')[1].click()")
            assert [one["playing"] for one in await page.evaluate(SEEN)] == ["Play", "Play", "Play"]
            for name, width, scheme in (("wide", 1280, "light"), ("dark", 1280, "dark"), ("narrow", 390, "light")):
                await page.prefer(color_scheme=scheme)
                await page.screenshot(ARTIFACTS / f"steps-{name}.png", width, 900, whole=True)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            for _ in way.frames:
                await page.evaluate("document.querySelectorAll('.on')[2].click()")
            assert await page.evaluate("document.querySelectorAll('.stage')[2].scrollLeft") > 200  # to the message
            assert page.console == [] and page.requests == [address]

    asyncio.run(body())


@pytest.mark.live
def test_where_motion_is_not_wanted_nothing_plays(storm, tmp_path):
    plots.storm_steps(storm).write(tmp_path / "s.html")

    async def body() -> dict:
        async with Chromium() as browser:
            page = await browser.open((tmp_path / "s.html").as_uri())
            await page.prefer(reduced_motion="reduce")
            assert page.console == []
            return (await page.evaluate(SEEN))[0]

    found = asyncio.run(body())
    assert found["controls"] and not found["play"]


@pytest.mark.live
def test_without_scripts_and_in_print_the_drawing_and_the_words_are_there(run, storm, tmp_path):
    """A way has all its steps in words; a storm of many steps has its drawing, which says what it shows."""
    way, states = plots.message_steps(run), plots.storm_steps(storm)
    forbid = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    text = f"<!doctype html>{forbid}<title>x</title>{way._repr_html_()}{states._repr_html_()}"
    (tmp_path / "still.html").write_text(text, encoding="utf-8")
    (tmp_path / "print.html").write_text(text.replace(forbid, ""), encoding="utf-8")

    async def body() -> None:
        async with Chromium() as browser:
            still = await browser.open((tmp_path / "still.html").as_uri())
            await still.screenshot(ARTIFACTS / "steps-still.png", 1280, 900, whole=True)
            printed = await browser.open((tmp_path / "print.html").as_uri())
            await printed._send("Emulation.setEmulatedMedia", media="print")
            await printed.screenshot(ARTIFACTS / "steps-print.png", 800, 900, whole=True)
            for page in (still, printed):
                found = await page.evaluate(SEEN)
                assert [one["controls"] for one in found] == [False, False] and [one["layers"] for one in found] == [
                    0,
                    0,
                ]
                assert [one["told"] for one in found] == [len(way), 0]
                drawn = (
                    "[...document.querySelectorAll('svg.plot')].map((one) => one.getBoundingClientRect().height > 200)"
                )
                assert await page.evaluate(drawn) == [True, True]

    asyncio.run(body())


def test_a_system_in_which_nothing_takes_time_is_drawn_all_the_same():
    at_once = Scenario(
        name="at once",
        duration=4,
        warmup=0,
        clients=[{"name": "c", "count": 5}],
        servers={"profile": "zero"},
        broker={"kind": "none", "publisher_link": 0},
        traffic=[{"name": "n", "rate": 5}],
    )
    run = simulate(at_once, engine="reference", record="full")
    assert len(plots.message_steps(run)) == 1
    low, high = plots.latency_cdf(run).get_xlim()
    assert 0 < low < high
