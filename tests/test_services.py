"""Results say what became of events at each service, how it caught up, and that a bus keeps services apart."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from realtime_sim import simulate
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from tests.conftest import small

EXAMPLE = Path(__file__).parent.parent / "examples" / "slow_analytics.yaml"


@cache
def outage(coupling: str, stopped: bool, replications: int = 5) -> Results:
    """The example: analytics stands still from 20 to 50 s, or does not."""
    scenario = Scenario.from_yaml(EXAMPLE).replace(**{"pipeline.coupling": coupling})
    return simulate(scenario if stopped else scenario.replace(faults=[]), replications=replications)


def constant(replications: int = 1, **changes: object) -> Results:
    """Ten events a second, 20 ms each at the one service, everything at once otherwise."""
    fields = {
        "events": [{"name": "order", "rate": 10, "arrivals": "constant"}], "pipeline": {"append": 0, "fetch": 0},
        "services": [{"name": "mail", "consumes": "order", "service": "20ms"}],
        "traffic": [{"name": "push", "from": "mail"}],
    }  # fmt: skip
    return simulate(small(**fields | changes), replications=replications)


# Frames.


def test_who_has_nothing_to_catch_up_with_has_done_so_at_once():
    """A stop of 0.2 s from 0.1 s on, in which no event comes; in floats 0.1 + 0.2 is more than 0.3."""
    results = constant(
        events=[{"name": "order", "rate": 0.01, "arrivals": "constant"}],
        faults=[{"kind": "stop_service", "service": "mail", "at": 0.1, "lasts": 0.2}],
    )
    assert results.catch_up["catch_up_s"].tolist() == [0.0]


def test_figures_of_a_service_are_those_worked_by_hand():
    """20 ms of 100 ms; the warm-up leaves out a second."""
    row = constant(warmup=1).services.loc["mail"]
    assert row["events"] == row["done"] == row["attempts"] == 90
    assert row["utilization"] == pytest.approx(0.2) and row["highest_lag"] == 1
    assert row["mean_s"] == pytest.approx(0.02) and row["p99_s"] == pytest.approx(0.02, rel=0.005)


def test_replications_give_intervals_and_one_run_none():
    one, several = constant(), constant(3, events=[{"name": "order", "rate": 10}])
    assert not [name for name in one.services if name.endswith("_low")]
    frame = several.services
    assert (frame["mean_s_low"] <= frame["mean_s"]).all() and (frame["mean_s"] <= frame["mean_s_high"]).all()
    assert frame.loc["mail", "events_low"] < frame.loc["mail", "events_high"]
    assert several.summary.loc["service mail p99", "low"] < several.summary.loc["service mail p99", "high"]


def test_a_scenario_without_services_has_empty_frames():
    results = simulate(small(traffic=[{"name": "t", "rate": 5}]))
    assert len(results.services) == len(results.catch_up) == 0 and results.service_lag.shape[1] == 0
    assert json.loads(results.to_json())["services"] == {}


def test_a_trace_whose_producer_ran_no_services_has_empty_frames_too():
    run = constant(faults=[{"kind": "stop_service", "service": "mail", "at": 1, "lasts": 1}])
    bare = Results([dataclasses.replace(run.trace, services={})])
    assert len(bare.services) == len(bare.catch_up) == bare.service_lag.shape[1] == 0
    assert "service" not in " ".join(bare.summary.index) and bare.to_json()


def test_catching_up_is_told_for_each_stop_and_never_where_the_run_ended_before():
    """As worked by hand in tests/test_engine_services.py: stopped from 10.01 to 20.01 s, caught up at 29.96 s."""
    stop = {"kind": "stop_service", "service": "mail", "lasts": 10}
    slow = [{"name": "mail", "consumes": "order", "service": "50ms"}]
    drop = {"kind": "drop_clients", "at": 1, "cohort": "phones"}
    results = constant(duration=40, services=slow, faults=[drop, {"at": 10.01, **stop}, {"at": 35, **stop}], drain=1)
    assert results.catch_up.index.tolist() == [1, 2]
    assert results.catch_up["catch_up_s"].tolist() == [pytest.approx(9.95), math.inf]
    assert results.catch_up.loc[1, ["service", "at_s", "for_s"]].tolist() == ["mail", 10.01, 10]
    assert results.summary.loc["catch-up of mail after fault 1", "value"] == pytest.approx(9.95)
    assert "recovery from fault 0 (drop_clients)" in results.summary.index
    assert not [name for name in results.summary.index if "stop_service" in name]


def test_lag_over_time_is_sampled_with_everything_else():
    """Stopped from 2.05 to 5.05 s: 30 events of 3 s wait, and are worked off with 40 to spare each second."""
    fault = {"kind": "stop_service", "service": "mail", "at": 2.05, "lasts": 3}
    lag = constant(faults=[fault]).service_lag
    assert constant(sample_interval=3).service_lag.index.tolist() == [0, 3, 6, 9, 10]
    assert lag.index.tolist() == list(range(11))
    assert lag["mail"].tolist() == [0, 0, 0, 9, 19, 29, 0, 0, 0, 0, 0]


def test_json_has_services_and_their_lag():
    plain = json.loads(outage("bus", stopped=True).to_json())
    assert set(plain["services"]) == {"notifications", "analytics"}
    assert plain["services"]["analytics"]["done"] > 0 and plain["catch_up"][0]["service"] == "analytics"
    assert max(plain["timeseries"]["service_lag"]["analytics"]) > 1_000


# Warnings.


def test_a_service_without_time_to_spare_is_warned_of():
    (text,) = [text for text in constant(events=[{"name": "order", "rate": 60}], drain=0).warnings if "Workers" in text]
    assert text.startswith("Workers of service mail are busy 100% of the time: events pile up")
    assert "unfinished. Nothing was published of them, and none of it counts as a lost delivery." in text


def test_events_that_come_to_nothing_are_warned_of():
    fails = [{"name": "mail", "consumes": "order", "service": "1ms", "p_failure": 1, "retries": 0}]
    assert any("Of 100 events 100 came to nothing at service mail: 100 dead letter." in text
               for text in constant(services=fails).warnings)  # fmt: skip
    assert not any("came to nothing" in text for text in constant().warnings)


@pytest.mark.parametrize(("promised", "kept"), [(0.4, False), (0.7, True)])
def test_events_that_come_to_nothing_break_the_promise_to_lose_little(promised, kept):
    """Half of all attempts fail, and there is no second one: what is pushed arrives, but half is never pushed."""
    fails = [{"name": "mail", "consumes": "order", "service": "1ms", "p_failure": 0.5, "retries": 0}]
    row = constant(services=fails, slo={"max_lost_ratio": promised}).objectives().loc["lost ratio"]
    assert (row["found"], row["kept"]) == (0, kept)
    assert ("of the events came to nothing at service mail" in row["note"]) is not kept


# A slow service: the bus keeps the others apart, direct calls do not.


def test_with_a_bus_the_notifications_feel_nothing_and_no_event_is_lost():
    calm, stopped = outage("bus", stopped=False), outage("bus", stopped=True)
    before, after = (results.latency_s("buyers")["p99"] for results in (calm, stopped))
    assert before.low <= after.high and after.low <= before.high
    assert before.value < 0.25
    row = stopped.services.loc["analytics"]
    assert row["done"] == row["events"] > 4_000
    assert stopped.deliveries.loc["buyers", "delivered"] == calm.deliveries.loc["buyers", "delivered"]


def test_with_a_bus_the_dashboard_is_late_and_catches_up_as_the_fluid_does():
    """30 s at 50 events a second and a capacity of 100 a second are worked off in 30 s."""
    row = outage("bus", stopped=True).catch_up.loc[0]
    assert row["catch_up_low_s"] <= 30 <= row["catch_up_high_s"]
    assert outage("bus", stopped=True).latency_s("admins")["p99"].value > 25


def test_with_direct_calls_the_notifications_are_late_and_orders_are_lost():
    calm, stopped = outage("direct", stopped=False), outage("direct", stopped=True)
    before, after = (results.latency_s("buyers")["p99"] for results in (calm, stopped))
    assert before.high < 0.25 and after.low > 10
    lost = stopped.services["events"] - stopped.services["done"]
    assert lost["notifications"] > 900 and lost["analytics"] > lost["notifications"]
    assert (calm.services["done"] == calm.services["events"]).all()


def test_latency_counts_from_the_event_and_the_first_hop_has_the_pipeline():
    results = constant()
    low, high = results.hops.loc["publisher_to_broker", ["mean_s", "p99_s"]]
    assert low == pytest.approx(0.0201) and high == pytest.approx(0.0201, rel=0.005)
    assert np.isclose(results.hops["mean_s"][:-1].sum(), results.hops.loc["total", "mean_s"])


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_services_are_the_same_with_either_engine(engine):
    results = simulate(Scenario.from_yaml(EXAMPLE).replace(duration=30), engine=engine)
    assert results.services.loc["analytics", "redelivered"] == outage_short()["redelivered"]
    assert results.latency_s()["mean"].value == outage_short()["mean_s"]


@cache
def outage_short() -> dict[str, float]:
    results = simulate(Scenario.from_yaml(EXAMPLE).replace(duration=30))
    return {
        "redelivered": results.services.loc["analytics", "redelivered"], "mean_s": results.latency_s()["mean"].value
    }  # fmt: skip
