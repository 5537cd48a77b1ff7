"""The explorer: its figures are those of the scenario that its sliders stand for, and so is the YAML it gives out."""

from __future__ import annotations

import asyncio
import base64
import html
import io
import re

import pytest
from PIL import Image

import realtime_sim
from realtime_sim import presets, widgets
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.sizing.growth import grown
from realtime_sim.widgets import explorer
from realtime_sim.widgets.page import table
from realtime_sim.widgets.running import Cancelled
from realtime_sim.widgets.study import Study

SMALL = Scenario(
    name="small <chat> & more",
    seed=3,
    duration="4s",
    warmup="1s",
    clients=[{"name": "phones", "count": 40, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}],
    servers={"count": 2, "max_connections": 100},
    broker={"kind": "redis_pubsub"},
    rooms=[{"name": "group", "count": 4, "members": 10}],
    traffic=[{"name": "messages", "to": "group", "rate": "20/s"}],
    slo={"p99": "400ms", "max_lost_ratio": 0},
)
"""Less than the compiled engine is worth compiling for, however often it runs."""

LONGEST_S = 120.0


def choose(study: Study, path: str, text: str) -> None:
    """Move a slider to a value as it is shown."""
    control = study.controls[path]
    control.value = next(i for shown, i in control.options if shown == text)


def picture(study: Study) -> bytes:
    """The image that the figure holds."""
    return base64.b64decode(re.search(r"base64,([^\"]+)", study._picture.value)[1])


def yaml(study: Study) -> str:
    """What Copy as YAML copies."""
    return html.unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", study._yaml.value, re.DOTALL)[1])


@pytest.fixture
def study():
    made = widgets.explore(SMALL)
    yield made
    made.close()


def test_widgets_are_a_public_name():
    assert realtime_sim.widgets.explore is widgets.explore


def test_moving_a_slider_shows_the_figures_of_the_new_scenario(study):
    before, seen = (picture(study), study._table.value), []
    study.on_update(lambda told: seen.append(told.results.scenario.servers.count))
    choose(study, "servers.count", "1")
    assert study.scenario == SMALL.replace(**{"servers.count": 1}) == study.results.scenario
    assert repr(study.results) == repr(simulate(study.scenario))
    assert picture(study) != before[0] and study._table.value != before[1]
    assert seen == [1]


def test_the_figure_is_a_picture_with_words_for_who_does_not_see_it(study):
    assert Image.open(io.BytesIO(picture(study))).size == (960, 560)
    alt = re.search(r'alt="([^"]+)"', study._picture.value)[1]
    assert "small &lt;chat&gt; &amp; more" in alt and "p99" in alt


def test_the_table_has_headings_intervals_limits_and_verdicts(study):
    found = study._table.value
    assert '<th scope="row">latency p99</th>' in found and '<th scope="col">figure</th>' in found
    p99 = study.results.latency_s()["p99"].value
    assert f"{p99 * 1e3:.3g} ms" in found
    assert re.search(r"promise: p99</th><td>400 ms</td><td>kept", found)
    assert "none is missing" in found and "1 server" in found


def test_the_yaml_is_the_scenario_of_the_sliders(study):
    choose(study, "clients.phones.network.rtt", "median 80 ms")
    assert Scenario.from_yaml(yaml(study)) == study.scenario != SMALL
    link = re.search(r'href="data:text/yaml;charset=utf-8,([^"]+)"', study._yaml.value)[1]
    assert "<" not in link and 'download="' in study._yaml.value


def test_values_that_do_not_go_together_are_told_and_what_was_shown_stays_in_grey(study):
    before, results = picture(study), study.results
    choose(study, "rooms.group.members", "100")
    assert "rooms[0].members must not exceed the clients that can join, got 100" in study.error
    assert 'role="alert"' in study._message.value and html.escape(study.error) in study._message.value
    assert picture(study) == before and study.results is results
    assert "realtime-sim-old" in study._picture._dom_classes
    choose(study, "rooms.group.members", "5")
    assert study.error == "" and "realtime-sim-old" not in study._picture._dom_classes
    assert study.results.scenario.rooms[0].members == 5


def test_what_an_engine_refuses_is_told_as_well(study):
    choose(study, "clients.phones.count", "600")
    assert study.error == ""
    too_large = widgets.explore(SMALL, over={"traffic.messages.rate": [1e9]})
    choose(too_large, "traffic.messages.rate", "1,000,000,000.0")
    assert "is not supported by engine" in too_large.error


def test_a_slider_that_stands_where_it_began_changes_nothing(study):
    choose(study, "servers.count", "3")
    choose(study, "servers.count", "2")
    assert study.scenario is SMALL


def test_another_broker_is_another_part():
    study = widgets.explore(SMALL, over=["broker.kind"])
    choose(study, "broker.kind", "nats")
    assert study.scenario.broker.kind == study.results.scenario.broker.kind == "nats"


def test_values_of_ones_own_and_of_any_field():
    study = widgets.explore(SMALL, over={"servers.count": [1, 8], "clients.phones.tls": None})
    assert [text for text, _ in study.controls["servers.count"].options] == ["1", "8", "2"]
    study.controls["clients.phones.tls"].value = False
    assert study.scenario.clients[0].tls is False


def test_a_path_that_leads_nowhere_is_refused_at_once():
    with pytest.raises(ScenarioError, match="did you mean 'count'"):
        widgets.explore(SMALL, over=["servers.cuont"])


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_can_be_explored(name):
    preset = presets.load(name).replace(duration="2s", warmup="1s")
    preset = grown(preset, 0.0005) if name == "million" else preset
    study = widgets.explore(preset.replace(**{f"traffic[{i}].rate": 2 for i in _rated(preset)}))
    assert study.error == "" and study.results.scenario == study.scenario
    assert study.results.deliveries.loc["total", "delivered"] > 0
    assert len(study.controls) == len(set(study.controls)) >= 6


def _rated(scenario: Scenario) -> list[int]:
    return [i for i, stream in enumerate(scenario.traffic) if stream.rate is not None]


def test_in_an_event_loop_the_answer_to_the_newest_value_is_what_stays():
    async def test() -> tuple:
        study, seen = widgets.explore(SMALL), []
        await idle(study)
        study.on_update(lambda told: seen.append(told.results.scenario.servers.count))
        for text in ("1", "3", "4", "5"):
            choose(study, "servers.count", text)
        await idle(study)
        return seen, study.results.scenario, study.scenario

    seen, shown, asked = asyncio.run(test())
    assert shown == asked and asked.servers.count == 5
    assert seen[-1] == 5 and len(seen) <= 2  # the first that was asked, and the newest


def test_a_run_can_be_cancelled_by_the_button_and_the_next_one_is_shown(monkeypatch):
    async def test() -> list:
        study = widgets.explore(SMALL)
        await idle(study)
        shown = study.results
        monkeypatch.setattr(explorer, "simulate", endless)
        choose(study, "servers.count", "3")
        async with asyncio.timeout(LONGEST_S):
            while study._progress.layout.visibility != "visible":
                await asyncio.sleep(0.01)
        study._cancel.click()
        told, greyed = study.error, "realtime-sim-old" in study._picture._dom_classes
        await idle(study)
        kept = study.results is shown
        monkeypatch.undo()
        choose(study, "servers.count", "4")
        await idle(study)
        return [
            told,
            greyed,
            kept,
            study._progress.layout.visibility,
            study.results.scenario.servers.count,
            study.error,
        ]

    assert asyncio.run(test()) == ["Cancelled. The figure is of the values before.", True, True, "hidden", 4, ""]


def test_nothing_runs_once_the_widget_is_closed(monkeypatch):
    given_up = []

    def noted(*arguments, **named):
        try:
            endless(*arguments, **named)
        except Cancelled:
            given_up.append(True)
            raise

    async def test() -> None:
        study = widgets.explore(SMALL)
        await idle(study)
        monkeypatch.setattr(explorer, "simulate", noted)
        choose(study, "servers.count", "3")
        study.close()
        await idle(study)

    asyncio.run(test())
    assert given_up == [True]


def endless(scenario, *, engine, progress):
    """A simulation that goes on until it is given up."""
    while True:
        progress(0.25)


async def idle(study: Study) -> None:
    async with asyncio.timeout(LONGEST_S):
        while study.running:
            await asyncio.sleep(0.01)


def test_what_fails_for_another_reason_is_shown_and_raised(monkeypatch, study):
    def broken(scenario, *, engine, progress):
        raise RuntimeError("a defect")

    monkeypatch.setattr(explorer, "simulate", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        choose(study, "servers.count", "1")
    assert study.error == "RuntimeError: a defect"


def test_a_table_escapes_what_it_holds():
    assert "<b>" not in table("<b>", ("<b>",), [("<b>", "<b>")])
