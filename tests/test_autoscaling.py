"""The autoscaler of a run decides as the policy does, on what it sees of the servers; new ones stay cold at first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from realtime_sim import Results, Scenario, ScenarioError, simulate

N, T = 24_000, 600
MILLIONTH_SIGMA = 4.9
"""A normal variable is further off than so many standard deviations less than once in a million times."""


def scaled(**changes: object) -> Scenario:
    """Clients that come over a minute, on one server, with an autoscaler for ten of them each."""
    return Scenario(
        **{
            "name": "scaled", "duration": 600, "warmup": 0, "sample_interval": 5,
            "clients": [{"name": "c", "count": 100, "ramp_up": 60, "keepalive": None}],
            "servers": {"count": 1, "profile": "zero", "startup": 20, "grace": 10},
            "autoscaling": {"max_replicas": 20, "metrics": [{"name": "connections", "target": 10}]},
        } | changes
    )  # fmt: skip


def growing(policy: str, seed: int = 1) -> Results:
    """Four servers, and two more after 100 s: sessions of 600 s on average, taken up anew at once (FACTS 4.2)."""

    def grow(env, cluster):
        yield env.timeout(100)
        cluster.add_server(0)
        cluster.add_server(0)

    case = Scenario(
        name="growing", seed=seed, duration=700, warmup=0,
        clients=[{"name": "c", "count": N, "keepalive": None, "network": {"rtt": 0},
                  "session": {"length": {"mean": T}, "absence": 0}}],
        servers={"count": 4, "profile": "zero"}, balancer={"policy": policy},
    )  # fmt: skip
    return simulate(case, control=[grow], engine="fast")


# Known values.


def test_growth_follows_the_default_policies_and_the_start_up_time():
    """All 100 clients are on one server after a minute: 1, 5 and 10 by the policies, then as many as the target asks.

    They stay where they are, so the mean falls to ten a server only by counting servers, and no new one is used.
    """
    results = simulate(scaled(clients=[{"name": "c", "count": 100, "keepalive": None}]))
    scales = results.decisions[results.decisions["action"] == "scale"]
    assert scales["target"].tolist() == ["1 to 5 servers", "5 to 10 servers"]
    assert scales["time_s"].tolist() == [15.0, 30.0]
    assert scales["reason"].iloc[0].startswith("connections 100 a pod against 10: 1 to 10 pods, held at 5 by scale-up")
    series = results.timeseries
    assert series["servers_desired"].loc[[15, 20, 35]].tolist() == [1, 5, 10]
    assert series["servers_ready"].loc[[35, 40, 50, 55]].tolist() == [1, 5, 5, 10]
    assert series["imbalance"].iloc[-1] == 10.0  # everybody is still on the first


def test_clients_leave_and_servers_go_after_five_minutes():
    """The stabilization window of scaling down is 300 s from the last high recommendation; the youngest go first."""
    case = scaled(
        clients=[{"name": "c", "count": 100, "keepalive": None, "session": {"length": "200s", "absence": "1d"}}],
        servers={"count": 10, "profile": "zero", "grace": 10},
    )
    results = simulate(case)
    scales = results.decisions[results.decisions["action"] == "scale"]
    assert scales["target"].tolist() == ["10 to 1 servers"]
    assert scales["time_s"].iloc[0] == pytest.approx(495, abs=1e-9)  # the last sync before 200 s is at 195 s
    drained = results.decisions[results.decisions["action"] == "drain"]
    assert drained["target"].tolist() == [f"server {i}" for i in range(9, 0, -1)]


def test_scaling_down_makes_clients_reconnect():
    """Two servers for twenty clients go down to one, which a target of 40 asks for: those of the other come over."""
    case = scaled(
        clients=[{"name": "c", "count": 20, "keepalive": None}],
        servers={"count": 2, "profile": "zero", "grace": 10},
        autoscaling={"max_replicas": 4, "metrics": [{"name": "connections", "target": 40}],
                     "scale_down": {"stabilization": 0, "policies": [{"kind": "pods", "value": 1, "period": 60}]}},
    )  # fmt: skip
    results = simulate(case)
    assert results.recovery[["affected", "recovered"]].to_numpy().tolist() == [[10, 10]]
    assert results.connections["reconnects"] == 10
    assert results.timeseries["servers_ready"].iloc[-1] == 1


@pytest.mark.parametrize(
    ("name", "target", "wanted"), [("cpu", 50, 2), ("messages_per_s", 400, 3), ("connections", 25, 4)]
)
def test_every_metric_counts_what_it_says(name, target, wanted):
    """A hundred clients hear ten messages a second, each send of 0.8 ms: a load of 0.8, 1,000 sends a second."""
    case = scaled(
        clients=[{"name": "c", "count": 100, "keepalive": None}],
        servers={"count": 1, "profile": "zero", "startup": 5, "costs": {"send": "800us"}},
        traffic=[{"name": "t", "rate": 10, "arrivals": "constant"}],
        autoscaling={"max_replicas": 20, "sync_period": 30, "metrics": [{"name": name, "target": target}]},
        duration=50,
    )
    results = simulate(case)
    assert results.timeseries["servers_desired"].iloc[-1] == wanted


# Servers that die.

KEEPS_FOUR = {
    "duration": 120, "clients": [{"name": "c", "count": 40, "keepalive": None}],
    "servers": {"count": 4, "profile": "zero", "startup": 20, "grace": 10},
    "autoscaling": {"min_replicas": 4, "max_replicas": 20, "metrics": [{"name": "connections", "target": 10}]},
}  # fmt: skip


def orders(results: Results) -> list[tuple]:
    found = results.decisions[results.decisions["action"].isin(["order server", "start server"])]
    return list(found[["time_s", "actor", "action", "reason"]].itertuples(index=False, name=None))


def test_a_server_that_dies_is_replaced_at_once():
    """Three servers were left to the end, as four were desired all the time and the autoscaler had nothing to do."""
    results = simulate(scaled(**KEEPS_FOUR, faults=[{"at": 31.5, "kind": "kill_server", "server": 0, "count": 2}]))
    ordered, ready = "order server", ("replica set", "start server", "ready for connections")
    assert orders(results) == [
        (31.5, "replica set", ordered, "server 0 has died"), (31.5, "replica set", ordered, "server 1 has died"),
        (51.5, *ready), (51.5, *ready),
    ]  # fmt: skip
    series = results.timeseries
    assert series["servers_ready"].loc[[30, 35, 50, 55, 120]].tolist() == [4, 2, 2, 4, 4]
    assert set(series["servers_desired"]) == {4}


def test_a_fault_that_replaces_its_server_is_left_to_it():
    fault = {"at": 30, "kind": "kill_server", "server": 0, "restart_after": "7s"}
    results = simulate(scaled(**KEEPS_FOUR, faults=[fault]))
    assert orders(results) == [
        (37.0, "kill_server 0", "order server", "in the place of server 0"),
        (57.0, "kill_server 0", "start server", "ready for connections"),
    ]
    assert results.timeseries["servers_ready"].iloc[-1] == 4


def test_acts_of_ones_own_are_replaced_once():
    """`restart` orders the other server itself; for one that is drained another is ordered, as for one that dies."""

    def chaos(env, cluster):
        yield env.timeout(20)
        cluster.kill(0)
        cluster.restart(1)
        yield env.timeout(30)
        cluster.drain(2)

    results = simulate(scaled(**KEEPS_FOUR), control=[chaos])
    assert [(time_s, actor) for time_s, actor, action, _ in orders(results) if action == "order server"] == [
        (20, "replica set"), (20, "chaos"), (50, "replica set"),
    ]  # fmt: skip
    assert results.timeseries["servers_ready"].iloc[-1] == 4


def test_a_server_that_dies_while_it_is_given_up_is_not_replaced():
    def chaos(env, cluster):
        yield env.timeout(22)
        cluster.kill(4)  # the youngest, drained since 15 s

    case = {**KEEPS_FOUR, "servers": KEEPS_FOUR["servers"] | {"count": 5, "grace": 30}}
    case["autoscaling"] = KEEPS_FOUR["autoscaling"] | {
        "scale_down": {"stabilization": 0, "policies": [{"kind": "pods", "value": 1, "period": 60}]}
    }
    results = simulate(scaled(**case), control=[chaos])
    assert results.decisions["action"].tolist()[:2] == ["scale", "drain"] and orders(results) == []


def test_servers_that_die_are_pending_to_the_autoscaler_and_no_more_are_ordered_for_them():
    """All four die; the four in their place are on their way when it next looks, and 40 clients ask for four."""
    results = simulate(scaled(**KEEPS_FOUR, faults=[{"at": 31, "kind": "kill_server", "server": 0, "count": 4}]))
    assert [action for *_, action, _ in orders(results)].count("order server") == 4
    assert len(results.servers) == 8


DEPLOY = {"at": 20, "kind": "rolling_deploy"}
DRAIN, KILL = ({"at": 33, "kind": kind, "server": 3} for kind in ("drain_server", "kill_server"))


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize(
    "faults",
    [[DRAIN], [DEPLOY], [DEPLOY | {"surge": 0, "max_unavailable": 2}], [DEPLOY, DRAIN, KILL], [DEPLOY | {"surge": 3}]],
    ids=["drain", "deploy", "deploy with fewer", "deploy, drain and death", "deploy with more"],
)
def test_there_are_as_many_servers_as_wanted_whoever_drains_some(faults, engine):
    """A deploy and an autoscaler do not order the same servers twice, and neither takes the other's away."""
    case = scaled(**KEEPS_FOUR, faults=faults).replace(duration=300)
    results = simulate(case, engine=engine)
    series = results.timeseries
    assert set(series["servers_desired"]) == {4} and series["servers_ready"].iloc[-1] == 4
    n_orders = [action for *_, action, _ in orders(results)].count("order server")
    assert n_orders == (1 if faults == [DRAIN] else 4)


def test_a_deploy_goes_on_to_what_the_autoscaler_asks_for_meanwhile():
    """From 1 server to 10 while it is replaced: the new version is started ten times, and no server stays too many."""
    results = simulate(scaled(faults=[{"at": 14, "kind": "rolling_deploy"}]))
    series = results.timeseries
    assert series["servers_desired"].iloc[-1] == series["servers_ready"].iloc[-1] == 10
    assert results.decisions["reason"].str.startswith("the old version").sum() == 1
    assert len(results.servers) == 11


def test_servers_that_nobody_asked_for_go_at_the_next_turn():
    def eager(env, cluster):
        yield env.timeout(20)
        for _ in range(3):
            cluster.add_server(startup=0)

    series = simulate(scaled(**KEEPS_FOUR), control=[eager]).timeseries
    assert series["servers_ready"].loc[[25, 30, 35, 120]].tolist() == [7, 7, 4, 4]


# Long-lived connections after scale-out, against what theory says (FACTS 4.2).


@pytest.mark.parametrize("seed", [1, 2])
def test_least_connections_levels_as_sessions_end(seed):
    """New servers hold whoever has left an old one once: C (1 - exp(-t/T)), level at T ln(1 + k/n0) = 243 s."""
    series = growing("least_connections", seed).server_series("connections")
    for t in (50, 100, 150, 200):
        p = 1 - math.exp(-t / T)
        low, high = stats.binom.ppf([5e-7, 1 - 5e-7], N, p)
        assert low <= series.loc[100 + t, [4, 5]].sum() <= high
    level_s = T * math.log(1 + 2 / 4)
    assert level_s == pytest.approx(243.3, abs=0.05)
    per_s = N * math.exp(-level_s / T) / T  # how fast the new servers fill then
    error_s = MILLIONTH_SIGMA * math.sqrt(N * (1 / 3) * (2 / 3)) / per_s
    new = series[[4, 5]].sum(axis=1)
    reached_s = float(new.index[new >= 0.98 * N / 3][0]) - 100
    assert reached_s == pytest.approx(-T * math.log(1 - 0.98 / 3), abs=error_s + 1)
    after = series.loc[100 + level_s + error_s :]
    assert (after.max(axis=1) / after.mean(axis=1)).max() < 1.03


@pytest.mark.parametrize("seed", [1, 2])
def test_random_routing_follows_the_exponential_curve(seed):
    """A new server has C/(n0+k) (1 - exp(-t/T)): of those who left, each came to it with probability 1/6."""
    results = growing("random", seed)
    series = results.server_series("connections")
    for t in (100, 300, 600):
        p = (1 - math.exp(-t / T)) / 6
        low, high = stats.binom.ppf([5e-7, 1 - 5e-7], N, p)
        assert ((low <= series.loc[100 + t, [4, 5]]) & (series.loc[100 + t, [4, 5]] <= high)).all()
    assert results.timeseries["imbalance"].loc[343] > 1.2


# Remedies.


def test_connection_age_spreads_clients_over_new_servers():
    """Without it, idle clients stay on the servers they have; with it, they are level after one age."""
    old = scaled(
        clients=[{"name": "c", "count": 400, "keepalive": None}], servers={"count": 2, "profile": "zero"},
        autoscaling={"min_replicas": 1, "max_replicas": 4, "metrics": [{"name": "connections", "target": 100}]},
    )  # fmt: skip
    cold = simulate(old).timeseries["imbalance"].iloc[-1]
    aged = simulate(old.replace(**{"servers.connection_age": {"low": "90s", "high": "110s"}}))
    assert cold == 2.0
    assert aged.timeseries["imbalance"].iloc[-1] < 1.1
    assert aged.deliveries.loc["total", "lost"] == 0


def test_ages_at_the_start_are_spread_evenly():
    """Of connections that are there at the start a part of the age is over: they close at a steady rate."""
    case = scaled(
        clients=[{"name": "c", "count": 20_000, "keepalive": None}], autoscaling=None, duration=100,
        servers={"count": 2, "profile": "zero", "connection_age": "100s"},
    )  # fmt: skip
    lost = simulate(case, engine="fast").trace.series["lost_connections"]
    share = lost[10] / 20_000  # after 50 s
    assert abs(share - 0.5) < MILLIONTH_SIGMA * math.sqrt(0.25 / 20_000)
    assert np.all(np.diff(lost) > 0)


# Errors.


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("servers.count", 30, "servers.count must be from autoscaling.min_replicas to max_replicas (1 to 20), got 30"),
        ("autoscaling.metrics", [], "autoscaling.metrics must have at least 1 entry"),
        ("autoscaling.metrics", [{"name": "cpu", "target": 0.5}], "target must be whole per cent for cpu, got 0.5"),
        ("autoscaling.min_replicas", 21, "autoscaling.max_replicas must be at least min_replicas (21), got 20"),
        ("autoscaling.sync_period", "11.9ms", "autoscaling.sync_period must give at most 50_000 decisions in duration"),
        ("autoscaling.minimum", 1, "autoscaling.minimum is not a known field"),
        ("autoscaling.scale_down", {"stabilization": "2h", "policies": []}, "scale_down"),
    ],
)
def test_a_wrong_autoscaler_is_one_clear_message(path, value, message):
    with pytest.raises(ScenarioError) as caught:
        scaled().replace(**{path: value})
    assert message in str(caught.value)


def test_a_wrong_entry_does_not_make_its_list_too_short():
    with pytest.raises(ScenarioError) as caught:
        scaled().replace(**{"autoscaling.metrics": [{"name": "cpus", "target": 1}]})
    assert [problem.path for problem in caught.value.problems] == ["autoscaling.metrics[0].name"]
