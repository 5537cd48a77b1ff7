"""Servers that are drained, deployed anew or rebalanced close connections at their pace, within the limits."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controlled import controlled, faulty


def test_a_drain_closes_connections_evenly():
    """Thirty in three seconds: three after 0.3 s, 30 in all, and then the server stops."""
    bench = controlled(faulty({"kind": "drain_server", "at": 10, "server": 2, "over": 3}), (10, 10, 30))
    closed = [(round(now - 10, 3), n) for now, _, _, n, _ in bench.acts("close")]
    assert bench.acts("unready") == [(10.0, "unready", 2)]
    assert closed == [(round(0.1 * i, 3), 1) for i in range(1, 31)]
    assert bench.acts("stop") == [(13.0, "stop", 2, 0)]


def test_a_server_that_is_drained_twice_goes_at_the_pace_of_the_first():
    """Thirty connections in three seconds; the second one neither closes any nor stops it, and waits for the same."""

    def chaos(env, cluster):
        yield env.timeout(10)
        first = cluster.drain(2, over=3)
        yield env.timeout(1)
        assert cluster.drain(2, over=1) is first
        yield first
        assert env.now == 13

    bench = controlled(faulty(), (10, 10, 30), control=(chaos,))
    assert [n for _, _, _, n, _ in bench.acts("close")] == [1] * 30
    assert [one.reason for one in bench.recorder.decisions if one.time_ns == 11 * 10**9] == [
        "nothing done: it is being drained"
    ]
    assert len(bench.recorder.disturbances) == 1


def test_a_deploy_replaces_every_server_within_its_limits():
    """Three servers, one more at most: start (4 s), drain (2 s), and the next starts when the first begins to go."""
    bench = controlled(faulty({"kind": "rolling_deploy", "at": 10}, startup=4, grace=2))
    assert bench.acts("start", "stop") == [
        (14.0, "start", 3), (16.0, "stop", 0, 0), (18.0, "start", 4), (20.0, "stop", 1, 0), (22.0, "start", 5),
        (24.0, "stop", 2, 0),
    ]  # fmt: skip
    assert bench.recorder.decisions[-1].reason == "3 servers replaced in 14 s"


def test_a_budget_is_the_most_that_a_deploy_closes_in_a_second():
    """Two may go at a time: each of them closes half of ten a second, so ten connections take two seconds."""
    fault = {"kind": "rolling_deploy", "at": 10, "surge": 0, "max_unavailable": 2, "budget": "10/s"}
    bench = controlled(faulty(fault, startup=1))
    assert bench.acts("stop")[:2] == [(12.0, "stop", 0, 0), (12.0, "stop", 1, 0)]
    n_closed = [sum(n for now, _, _, n, _ in bench.acts("close") if t < now <= t + 1) for t in range(10, 20)]
    assert max(n_closed) == 10


@pytest.mark.parametrize("dies_at", [10, 11, 15, 17])
@pytest.mark.parametrize("victim", [0, 2, 3])
@pytest.mark.parametrize("limits", [{"surge": 1}, {"surge": 0, "max_unavailable": 1}], ids=["one more", "one less"])
@pytest.mark.parametrize("restart_after", [None, 1])
def test_a_deploy_comes_to_its_end_whoever_dies_meanwhile(dies_at, victim, limits, restart_after):
    """Three new servers are there in the end, those in the place of old ones that died included."""

    def chaos(env, cluster):
        yield env.timeout(dies_at)
        if victim < len(cluster.observe().instances) and cluster.kill(victim) and restart_after:
            yield env.timeout(restart_after)
            cluster.add_server()

    bench = controlled(faulty({"kind": "rolling_deploy", "at": 10} | limits, startup=4, grace=2), control=(chaos,))
    assert "deployed" in [one.action for one in bench.recorder.decisions]
    assert bench.alive[:3] == [False] * 3 and 3 <= sum(bench.alive) <= 4


def test_a_deploy_replaces_servers_that_are_out_of_the_balancer_first():
    """One is taken out while the first drain goes on: it goes next, though one less is all that may be missing."""

    def cordon(env, cluster):
        yield env.timeout(11)
        cluster.set_ready(2, False)

    fault = {"kind": "rolling_deploy", "at": 10, "surge": 0, "max_unavailable": 1}
    bench = controlled(faulty(fault, startup=4, grace=2), control=(cordon,))
    assert [server for _, _, server, _ in bench.acts("stop")] == [0, 2, 1] and bench.alive == [False] * 3 + [True] * 3


def test_rebalancing_stops_when_all_are_level():
    """A mean of ten: the one with 20 closes ten, at five a second, and nobody else anything."""
    bench = controlled(faulty({"kind": "rebalance", "at": 10, "rate": "5/s"}), (20, 5, 5))
    assert {server for _, _, server, _, _ in bench.acts("close")} == {0}
    assert bench.recorder.decisions[-1].action == "level"
    seconds = [now for now, *_ in bench.acts("close")]
    assert all(b - a >= 0.2 - 1e-9 for a, b in pairwise(seconds))


# Properties.


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 5), st.integers(0, 5))
def test_a_deploy_keeps_its_limits(n, surge, unavailable, startup, grace):
    if surge == unavailable == 0:
        surge = 1
    fault = {"kind": "rolling_deploy", "at": 1, "surge": surge, "max_unavailable": unavailable}
    bench = controlled(faulty(fault, n_servers=n, startup=startup, grace=grace), (7,) * n)
    n_ready = n
    for _, what, *_ in bench.acts("start", "unready"):
        n_ready += 1 if what == "start" else -1
        assert n - unavailable <= n_ready <= n + surge
    assert n_ready == n
    assert [server for _, _, server, _ in bench.acts("stop")] == list(range(n))
