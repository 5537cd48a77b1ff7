"""The steady kernel gives the trace that the reference engine and the general kernel give, where it may be taken."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sim import Scenario
from realtime_sim.engines import fast, reference
from realtime_sim.engines.fast.steady import SteadyCluster
from realtime_sim.policies import balancing
from realtime_sim.recorder import Recorder
from realtime_sim.trace import Trace
from realtime_sim.workload import draw_workload
from tests.conftest import small
from tests.strategies import TIMES


def steady_trace(scenario: Scenario) -> Trace | None:
    """The trace of the steady kernel alone; None where it hands the run back."""
    workload = draw_workload(scenario)
    return SteadyCluster(workload, Recorder(workload, "summary")).run(lambda _: None)


def difference(scenario: Scenario) -> str:
    """The first difference to the reference engine, with both values; empty where there is none."""
    found = steady_trace(scenario)
    assert found is not None
    first = reference.run(draw_workload(scenario), "summary").diff(found)
    return "" if first is None else str(first)


@st.composite
def steady_scenarios(draw) -> dict:
    """A scenario of two seconds that the steady kernel takes, as a mapping that `Scenario(**mapping)` takes."""

    def pick(*options: object) -> object:
        return draw(st.sampled_from(options))

    n_cohorts, n_servers = pick(1, 1, 2, 3), pick(1, 1, 2, 3, 5)
    clients = [
        {
            "name": f"c{i}",
            "count": pick(1, 3, 20, 70, 150),
            "transport": pick("websocket", "sse"),
            "tls": pick(True, False),
            "keepalive": pick(None, {"interval": "100ms", "timeout": "300ms"}, {"interval": "70ms", "timeout": "1s"}),
            "network": {"rtt": pick(0, "40ms", {"median": "40ms", "p99": "200ms"}), "jitter": pick(*TIMES)},
        }
        for i in range(n_cohorts)
    ]
    members = sum(cohort["count"] for cohort in clients)
    broker = {"kind": "none"}
    if n_servers > 1 or pick(True, False):
        broker = {
            "kind": "redis_pubsub", "subscription": pick("all_servers", "per_room"), "publish": pick(*TIMES),
            "copy": pick(0, "20us", "2ms"),
        }  # fmt: skip
        broker["server_link"] = pick(*TIMES)
    # With two random links copies may arrive at one time in another order than they left in; see below.
    if broker.get("server_link", 0) in (0, "1ms"):
        broker["publisher_link"] = pick(*TIMES)
    traffic = [
        {
            "name": f"t{i}", "to": pick("everyone", "room", "inbox", "few"), "rate": draw(st.integers(1, 25)),
            "arrivals": pick("poisson", "constant"), "payload": pick(0, 100, 3_000), "pick": pick("uniform", "by_size"),
        }
        for i in range(pick(0, 1, 2, 3))
    ]  # fmt: skip
    costs = {
        "event": pick(*TIMES), "send": pick(0, "1us", "500us"), "ping": pick(0, "1us", "3ms"),
        "wakeup": pick(0, "1ms"),
    }  # fmt: skip
    return {
        "name": "drawn",
        "seed": draw(st.integers(0, 2**63 - 1)),
        "duration": 2,
        "drain": 100_000,
        "warmup": pick(0, 1, None),
        "sample_interval": pick(1, "300ms", "70ms"),
        "clients": clients,
        "servers": {
            "count": n_servers, "profile": pick("zero", "websockets-asyncio"), "workers": pick(1, 1, 2, 3, 4),
            "costs": costs, "egress": pick(None, None, 20_000, 1_000_000),
        },
        "balancer": {"policy": pick(*sorted(balancing.REGISTRY)), "affinity": pick("none", "cookie")},
        "broker": broker,
        "rooms": [
            {"name": "room", "count": 3, "members": draw(st.integers(1, members)), "zipf": pick(0, 1.0)},
            {"name": "inbox", "per_user": True},
            {"name": "few", "count": 5, "members": 1, "cohort": "c0"},
        ],
        "traffic": traffic,
    }  # fmt: skip


@given(steady_scenarios())
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_drawn_scenarios_give_the_same_trace(drawn):
    """Loops, heartbeats, cohorts, links, egress, jitter, rooms of all kinds, both subscriptions, overload."""
    scenario = Scenario(**drawn)
    assert fast.is_steady(scenario, "summary")
    assert difference(scenario) == ""


@given(steady_scenarios(), st.sampled_from(TIMES[2:]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_copies_out_of_order_are_found_out(drawn, link):
    """Where both links are random, copies may arrive at one time in another order than they left in: the trace is the
    same, or the run is handed back."""
    broker = {"kind": "redis_pubsub", "publisher_link": link, "server_link": link}
    scenario = Scenario(**drawn | {"broker": broker})
    found = steady_trace(scenario)
    assert found is None or str(reference.run(draw_workload(scenario), "summary").diff(found)) == "None"


# Larger runs, against the general kernel.


DRAWN_RTT = {"rtt": {"median": "40ms", "p99": "200ms"}}
LARGE = {
    "broadcast to drawn round trips": {"clients": [{"name": "c", "count": 30_000, "network": DRAWN_RTT}]},
    "jitter for each copy": {
        "clients": [
            {"name": "c", "count": 20_000, "network": DRAWN_RTT | {"jitter": {"median": "5ms", "p99": "50ms"}}}
        ],
        "servers": {"count": 3, "workers": 2},
    },
    "cohorts on one link": {
        "clients": [
            {"name": "a", "count": 5_000, "network": DRAWN_RTT | {"jitter": {"mean": "9ms", "cv": 0.5}}},
            {"name": "b", "count": 70, "transport": "sse", "tls": False},
            {"name": "c", "count": 9_000, "network": {"rtt": {"low": "1ms", "high": "90ms"}}},
        ],
        "servers": {"count": 2, "egress": "20 MB/s", "costs": {"ping": "5us"}},
        "balancer": {"policy": "random"},
    },
    "rooms of all sizes": {
        "clients": [{"name": "c", "count": 6_000, "network": DRAWN_RTT | {"jitter": {"mean": "1ms"}}}],
        "broker": {"kind": "redis_pubsub", "subscription": "per_room", "server_link": {"mean": "1ms"}},
        "servers": {"count": 7, "workers": 3},
        "rooms": [{"name": "r", "count": 50, "members": 900, "zipf": 1}, {"name": "inbox", "per_user": True}],
        "traffic": [{"name": "r", "to": "r", "rate": 90}, {"name": "i", "to": "inbox", "rate": 900}],
    },
    "one queue of 100,000 customers": {
        "clients": [{"name": "c", "count": 1, "keepalive": None}],
        "servers": {"profile": "zero", "costs": {"event": {"mean": "80us"}, "wakeup": "7us"}},
        "broker": {"kind": "none", "publisher_link": 0},
        "traffic": [{"name": "t", "rate": 10_000}],
    },
}


@pytest.mark.parametrize("name", LARGE)
def test_large_runs_give_the_trace_of_the_general_kernel(name):
    from realtime_sim.engines.fast.cluster import CompiledCluster

    base = {"name": name, "duration": 10, "broker": {"kind": "redis_pubsub"}, "servers": {"count": 4}}
    scenario = Scenario(**base | {"traffic": [{"name": "t", "rate": 9}]} | LARGE[name])
    workload = draw_workload(scenario)
    general = CompiledCluster(workload, Recorder(workload, "summary")).run(lambda _: None)
    found = steady_trace(scenario)
    assert found is not None and found.deliveries["delivered"].sum() > 50_000
    assert str(general.diff(found)) == "None"


# Where it may be taken.


STEADY = small(clients=[{"name": "c", "count": 10}], broker={"kind": "redis_pubsub"}, rooms=[], traffic=[])


@pytest.mark.parametrize(
    "changes",
    [
        {"clients.c.ramp_up": 0},
        {"clients.c.session": "9s"},
        {"clients.c.transport": "long_polling"},
        {"clients.c.network.bandwidth": 10_000},
        {"faults": [{"kind": "drop_clients", "at": 1, "cohort": "c"}]},
        {"traffic": [{"name": "t", "rate": 1}, {"name": "u", "rate": 1, "from": "clients"}]},
        {"broker": {"kind": "kafka"}},
        {"broker": {"kind": "redis_streams"}},
        {"broker": {"kind": "redis_pubsub", "shards": 2}},
        {"broker": {"kind": "none"}, "servers.count": 2},
        {"servers.fanout": "task_per_client"},
    ],
    ids=str,
)
def test_what_may_change_who_is_connected_or_what_flows_back_is_not_steady(changes):
    assert fast.is_steady(STEADY, "summary")
    assert not fast.is_steady(STEADY, "full")
    assert not fast.is_steady(STEADY.replace(**changes), "summary")


@pytest.mark.parametrize(
    "changes",
    [
        {"servers.max_connections": 4, "servers.count": 2},  # two of ten find no room
        {
            "servers.costs.event": 2,
            "drain": 3,
            "traffic": [{"name": "t", "rate": 9}],
        },  # 2 s of work nine times a second
    ],
    ids=("no room for all", "not done in time"),
)
def test_a_run_that_turns_out_not_to_be_steady_is_done_by_the_general_kernel(changes):
    scenario = STEADY.replace(**changes)
    workload = draw_workload(scenario)
    assert fast.is_steady(scenario, "summary")
    assert steady_trace(scenario) is None
    assert str(reference.run(workload, "summary").diff(fast.run(workload, "summary"))) == "None"


def test_what_a_run_does_not_need_is_not_compiled():
    """A newcomer waits for twenty seconds of compiling, not for two minutes."""
    program = (
        "import sys; from realtime_sim import Scenario, simulate; "
        "simulate(Scenario(name='x', duration=1, clients=[{'name': 'c', 'count': 3}]), engine='fast'); "
        "print([name for name in ('steady', 'cluster') if f'realtime_sim.engines.fast.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['steady']"


def test_a_long_run_says_how_far_it_is():
    """9 messages to a million clients; Python has its turn at least once for each."""
    scenario = small(
        clients=[{"name": "c", "count": 1_000_000}], servers={"count": 20}, broker={"kind": "redis_pubsub"}, rooms=[],
        traffic=[{"name": "t", "rate": 9, "arrivals": "constant"}], duration=1,
    )  # fmt: skip
    seen, workload = [], draw_workload(scenario)
    SteadyCluster(workload, Recorder(workload, "summary")).run(seen.append)
    assert len(seen) > 3 and seen == sorted(seen)
