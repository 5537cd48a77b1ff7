"""The steady kernel gives the trace that the reference engine and the general kernel give, where it may be taken."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sim import Scenario
from realtime_sim.engines import fast, reference
from realtime_sim.engines.fast.steady import SteadyCluster
from realtime_sim.policies import balancing
from realtime_sim.recorder import Recorder
from realtime_sim.trace import Trace
from realtime_sim.workload import draw_workload
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
            "count": pick(1, 3, 20, 70),
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
            "name": f"t{i}", "to": pick("everyone", "room", "inbox", "few"), "rate": draw(st.integers(1, 60)),
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
