"""Every preset and every example runs, keeps its promises, and shows what it says it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_sim import presets
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))


def example(name: str, **changes: object) -> Scenario:
    return Scenario.from_yaml(next(path for path in EXAMPLES if path.stem == name)).replace(**changes)


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_loads_and_survives_a_round_trip(name):
    scenario = presets.load(name)
    assert scenario.name == name
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario
    assert 20 < len(presets.about(name)) < 110


def test_every_file_beside_the_presets_is_one_of_them():
    folder = Path(presets.__file__).parent
    assert {path.stem for path in folder.glob("*.yaml")} == set(presets.NAMES)


@pytest.mark.parametrize("name", [name for name in presets.NAMES if name != "million"])
def test_a_preset_keeps_its_promises(name):
    scenario = presets.load(name)
    if name == "ticker":
        scenario = scenario.replace(duration="8s", warmup="1s")
    results = simulate(scenario)
    assert results.objectives()["kept"].all()
    assert results.warnings == ()


def test_the_million_at_a_thousandth_of_its_size_keeps_its_promise():
    """1,000 connections on one server with two loops, 46.7 publishes/s: a twentieth of a server's share."""
    changes = {
        "clients[0].count": 1000, "rooms.group.count": 100, "servers.count": 1, "traffic[0].rate": 46.7,
    }  # fmt: skip
    assert simulate(presets.load("million").replace(**changes)).objectives()["kept"].all()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_delivers(path):
    scenario = Scenario.from_yaml(path)
    assert scenario.description
    faults = [fault for fault in scenario.faults if fault.at < 25]
    results = simulate(scenario.replace(duration=min(scenario.duration, 25), faults=faults))
    assert results.deliveries.loc["total", "delivered"] > 500


def test_jitter_brings_the_storm_home_and_retrying_at_once_does_not():
    """The figures of the example's comment; without backoff the first ten seconds after the fault say enough."""
    text = next(path for path in EXAMPLES if path.stem == "reconnect_storm").read_text(encoding="utf-8")
    jitter = simulate(example("reconnect_storm"))
    (row,) = jitter.recovery.to_dict("records")
    assert f"half are back after {row['p50_s']:.1f} s and all after {row['p100_s']:.1f} s" in text
    assert f"{jitter.connections['wasted_handshakes']:,.0f} handshakes wasted" in text
    assert row["recovered"] == 2000 and jitter.objectives()["kept"].all()
    hasty = {"clients.phones.reconnect": "none", "duration": 20}
    early = simulate(example("reconnect_storm", duration=20))
    without = simulate(example("reconnect_storm", **hasty))
    assert without.recovery["recovered"].item() < early.recovery["recovered"].item() / 2
    assert without.connections["backlog_full"] > 20 * early.connections["backlog_full"]


def test_stickiness_cures_the_long_polls():
    loose = simulate(example("sticky_sessions")).connections["session_unknown"]
    sticky = simulate(example("sticky_sessions", **{"balancer.affinity": "cookie"})).connections["session_unknown"]
    assert loose > 100 and sticky == 0


def test_a_log_and_resume_cure_the_losses_of_a_dead_server():
    lossy = simulate(example("server_dies")).deliveries.loc["total", "lost"]
    cured = example("server_dies", broker={"kind": "redis_streams"}, **{"clients.browsers.resume": True})
    assert lossy > 0 and simulate(cured).deliveries.loc["total", "lost"] == 0


def test_a_bus_keeps_services_apart_and_direct_calls_do_not():
    """The figures of the example's comment."""
    text = next(path for path in EXAMPLES if path.stem == "slow_analytics").read_text(encoding="utf-8")
    bus, direct = (simulate(example("slow_analytics", **{"pipeline.coupling": name})) for name in ("bus", "direct"))
    assert f"caught up {bus.catch_up['catch_up_s'].item():.1f} s after its restart" in text
    assert (bus.services["done"] == bus.services["events"]).all()
    events, done = direct.services.loc["notifications", ["events", "done"]]
    assert f"{events - done:,.0f} of {events:,.0f} orders never reach the buyer" in text


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(ScenarioError, match="preset must be a preset, got 'chta'; did you mean 'chat'?"):
        presets.load("chta")
