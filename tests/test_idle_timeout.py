"""A proxy drops what is idle: never where pings are more frequent, always where they are not, by chance in between."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from realtime_sim.engines import fast, reference
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import Trace
from realtime_sim.workload import draw_workload
from tests.conftest import small

EXAMPLE = Scenario.from_yaml(Path(__file__).parent.parent / "examples" / "idle_proxy.yaml")
NETWORK = {"rtt": "100ms", "idle_timeout": "10s"}


def idle(ping: object, n: int = 1, **changes: object) -> Scenario:
    """Clients that connect at 0 and hear nothing; one that is dropped waits 1 s. A connection opens 0.25 s after the
    attempt: TCP and TLS take a round trip each, the request half of one."""
    keepalive = None if ping is None else {"interval": ping, "timeout": "5s"}
    cohort = {"name": "c", "count": n, "network": NETWORK, "keepalive": keepalive, "ramp_up": "0s"}
    fixed = {"policy": "fixed", "delay": "1s"}
    return small(**({"duration": 30, "clients": [cohort | {"reconnect": fixed}]} | changes))


def run(case: Scenario) -> Trace:
    """The trace of both engines."""
    workload = draw_workload(case)
    trace = reference.run(workload)
    assert trace.diff(fast.run(workload)) is None
    return trace


def post(at_s: float) -> dict:
    """One message to everyone, without a broker."""
    traffic = [{"name": "t", "rate": 1, "arrivals": "constant", "start": at_s, "stop": at_s + 0.5}]
    return {"traffic": traffic, "broker": {"kind": "none", "publisher_link": 0}}


def drops_s(trace: Trace) -> list[float]:
    """Sampling times after which drops show, less the interval: the whole second of each."""
    times = trace.series["time_ns"][1:] // 10**9 - 1
    return np.repeat(times, np.diff(trace.series["idle_drops"])).tolist()


# Known values, worked by hand. Attempts at 0, 11.3 (10.25, half a round trip, 1 s) and 22.6.


def test_what_is_never_pinged_is_dropped_each_time():
    trace = run(idle(None))
    assert drops_s(trace) == [10, 21]
    assert trace.counters["attempts"] == 3 and trace.counters["lost_connections"] == 2


@pytest.mark.parametrize("ping", ["15s", "11s"])
def test_pings_rarer_than_the_timeout_save_nothing(ping):
    assert drops_s(run(idle(ping))) == [10, 21]


def test_a_message_puts_the_timer_on():
    """It arrives at 5.05 s; the proxy sees nothing until 15.05 s."""
    assert drops_s(run(idle(None, **post(5.0)))) == [15, 26]


def test_a_ping_that_comes_in_time_puts_the_timer_on():
    """A message at 5.05 s, a ping at 12.25 s: dropped at 22.25 s, two seconds before the next ping."""
    assert drops_s(run(idle("12s", **post(5.0)))) == [22]


def test_both_sides_learn_of_it_half_a_round_trip_later():
    """The client, open from 0.3 s, is dropped at 10.25 s; a message at 10.28 s finds it on the list, in vain."""
    trace = run(idle(None, **post(10.28)))
    assert trace.deliveries["lost_connection_lost"].sum() == 1
    assert run(idle(None, **post(10.31))).deliveries["lost_offline"].sum() == 1


def test_pings_more_frequent_than_the_timeout_cost_nothing():
    """The run is the one without a proxy, in every figure, and `fast` may take its way without an agenda."""
    with_proxy = idle("9s", n=50, **post(5.0))
    trace, plain = run(with_proxy), run(with_proxy.replace(**{"clients.c.network.idle_timeout": None}))
    assert trace.counters["idle_drops"] == 0
    assert trace.counters == plain.counters
    assert all(np.array_equal(trace.series[name], plain.series[name]) for name in plain.series)
    assert np.array_equal(trace.histogram, plain.histogram)
    steady = with_proxy.replace(**{"clients.c.ramp_up": None})
    assert fast.is_steady(steady, "summary")
    assert not fast.is_steady(steady.replace(**{"clients.c.keepalive.interval": "10s"}), "summary")


def test_pings_as_frequent_as_the_timeout_lose_half_of_the_races():
    """A thousand connections, open for some time at the start, have one race each in the first ten seconds; those who
    are dropped have the next one later. Binomial(1000, 1/2) is within 5 standard deviations, 79, but once in a million
    runs."""
    case = idle("10s", n=1_000, duration=10).replace(**{"clients.c.ramp_up": None})
    trace = run(case)
    assert abs(trace.counters["idle_drops"] - 500) <= 79
    per_s = np.diff(trace.series["idle_drops"])
    assert per_s.max() < 100 and per_s.min() > 10  # and they are spread, as they were opened


def test_polls_are_requests_of_their_own():
    network = NETWORK | {"idle_timeout": "31s"}
    case = idle(None).replace(**{"clients.c.transport": "long_polling", "clients.c.network": network})
    assert run(case).counters["idle_drops"] == 0


# The case of Mattermost.


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        ({}, 1_000, 2_000),
        ({"clients.users.network.idle_timeout": "90s"}, 0, 0),
        ({"clients.users.keepalive": "engineio"}, 0, 0),
        ({"clients.users.keepalive": None}, 3_000, 5_000),
    ],
)
def test_equal_times_drop_masses_and_a_longer_timeout_or_more_pings_none(change, least, most):
    results = simulate(EXAMPLE.replace(**change))
    assert least <= results.connections["idle_drops"] <= most
    said = [text for text in results.warnings if "dropped by a proxy" in text]
    assert len(said) == (1 if least else 0)
    dropped = results.trace.series["idle_drops"][-1]
    assert results.timeseries["idle_drops_per_s"].sum() == pytest.approx(dropped)
    assert dropped <= results.connections["idle_drops"]  # more come in the drain


# Errors.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"clients.c.transport": "long_polling"},
            "clients[0].network.idle_timeout must be longer than a poll is held, 30 s",
        ),
        ({"clients.c.network.idle_timeout": 0}, "clients[0].network.idle_timeout must be above 0"),
    ],
)
def test_a_timeout_that_cannot_be_is_named(change, message):
    with pytest.raises(ScenarioError, match=re.escape(message)):
        idle("9s").replace(**change)
