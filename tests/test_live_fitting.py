"""Fitting reads from a run what its messages cost: of a simulation, whose costs are known, it finds these."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from live.fitting import PROBABILITIES, fit, median_of
from realtime_sim import Scenario, ScenarioError, simulate
from realtime_sim.results import Results

US = 1e-6

COSTS = {"event": {"low": 100 * US, "high": 300 * US}, "send": 40 * US}
HOST = {
    "cores": 64, "wakeup": {"low": 200 * US, "high": 600 * US}, "fanout_wait": {"low": 0, "high": 100 * US},
    "receive": {"low": 10 * US, "high": 30 * US}, "receive_wakeup": {"low": 0, "high": 400 * US},
}  # fmt: skip


@functools.cache
def simulated(rate: float) -> Results:
    """A run whose costs are known, two servers with five members of every room each, as if it had been real."""
    scenario = Scenario(
        name="known", seed=11, duration=3, warmup=0.5, servers={"count": 2, "profile": "zero", "costs": COSTS},
        clients=[{"name": "c", "count": 100, "network": {"rtt": "2ms"}}],
        broker={"kind": "redis_pubsub", "publisher_link": 0, "server_link": 50 * US, "publish": 0, "copy": 0},
        rooms=[{"name": "group", "count": 10, "members": 10}], host=HOST,
        traffic=[{"name": "t", "to": "group", "rate": rate}],
    )  # fmt: skip
    return as_live(simulate(scenario, record="full"))


def as_live(results: Results) -> Results:
    """What a live run with one client process would have left behind."""
    traces = [dataclasses.replace(trace, engine="live") for trace in results.traces]
    conditions = {"processes": [{"name": "clients 0"}], "connecting_s": {"servers": 800 * US, "clients": 900 * US}}
    return Results(traces, conditions=conditions)


@pytest.mark.parametrize("rate", [250, 1_000, 1_800], ids=["idle", "half busy", "busy"])
def test_the_costs_of_a_simulation_are_found_whatever_its_load(rate):
    """Medians of some hundreds of uniform draws at the least: within a tenth of their range, which is 4.9 standard
    errors of 600 draws, and so a chance of 10**-6."""
    found = fit(simulated(rate))
    assert found.send_s == pytest.approx(40 * US, abs=5 * US)  # those that wait least wait a little
    assert found.way_s == pytest.approx(50 * US, abs=210 * US)  # the shortest way of all has a short wake-up in it
    median = PROBABILITIES.index(0.5)
    assert found.event_s[median] == pytest.approx(200 * US, abs=20 * US)
    assert found.send_s * 5 + found.fanout_wait_s[median] == pytest.approx(250 * US, abs=25 * US)
    assert found.way_s + found.wakeup_s[median] == pytest.approx(450 * US, abs=20 * US)
    assert found.receive_s[median] == pytest.approx(20 * US, abs=4 * US)
    assert found.receive_wakeup_s[median] == pytest.approx(200 * US, abs=25 * US)
    assert (found.handshake_s, found.connect_s) == (800 * US, 900 * US)


@pytest.mark.parametrize("rate", [250, 1_000, 1_800], ids=["idle", "half busy", "busy"])
def test_a_simulation_with_what_was_found_is_the_one_it_was_found_in(rate):
    """Both runs have the same draws of messages, and costs are drawn anew. Over 16 seeds a busy one was too short by
    2.6 % at p50, 5.4 % at p95 and 6.1 % at p99, as drawn costs keep no order, with standard deviations of 0.65, 1.4 and
    1.6 %; others were nearer. That and 4.9 standard deviations are allowed, a chance of 10**-6."""
    known = simulated(rate)
    again = simulate(fit(known).apply(known.scenario))
    for figure, allowed in (("p50", 0.058), ("p95", 0.123), ("p99", 0.140)):
        assert again.latency_s()[figure].value == pytest.approx(known.latency_s()[figure].value, rel=allowed)


def test_how_long_connections_outlive_their_server_is_found():
    case = simulated(250).scenario.replace(
        **{"host.teardown": "25ms", "faults": [{"at": 1, "kind": "kill_server", "server": 0}]}
    )
    assert fit(as_live(simulate(case, record="full"))).teardown_s == pytest.approx(0.025, abs=1e-9)
    unheard = case.replace(faults=[{"at": 1, "kind": "kill_server", "server": 0, "notice": "silent"}])
    assert fit(as_live(simulate(unheard, record="full"))).teardown_s == 0


def test_of_three_fits_one_may_be_disturbed():
    one = fit(simulated(500))
    less, more = (
        dataclasses.replace(one, send_s=by * one.send_s, event_s=tuple(by * value for value in one.event_s))
        for by in (0.5, 100.0)
    )
    assert median_of([more, one, less]) == one


def test_a_simulation_is_refused():
    results = simulate(Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}]))
    with pytest.raises(ScenarioError, match="results must be a live run that kept every delivery, got 'reference'"):
        fit(results)


def test_a_run_that_delivered_nothing_is_refused():
    silent = Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}])
    with pytest.raises(ScenarioError, match="results must have deliveries"):
        fit(as_live(simulate(silent, record="full")))
