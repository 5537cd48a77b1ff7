"""Counts that are said to be determined are: no run of the scenario, whatever its timing, has others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from realtime_sim import presets
from realtime_sim.agreement import determined, undetermined
from realtime_sim.agreement.determined import COUNTS
from realtime_sim.engines.services import draw
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.units import to_ns
from tests.conftest import small
from tests.strategies import scenarios

CLIENTS_PUBLISH = [{"name": "t", "rate": 5, "from": "clients"}]
KILL = [{"at": "5s", "kind": "kill_server", "server": 0}]
LOGGED = {
    "broker": {"kind": "redis_streams"}, "servers": {"count": 2, "profile": "zero"}, "faults": KILL,
    "clients": [{"name": "c", "count": 10, "resume": True}], "traffic": [{"name": "t", "rate": 5}],
}  # fmt: skip
CALM = LOGGED | {"broker": {"kind": "redis_pubsub"}, "faults": []}
POLLS = [{"name": "c", "count": 10, "transport": "long_polling"}]


def cohort(**fields: object) -> dict:
    return {"clients": [{"name": "c", "count": 10, "resume": True, **fields}]}


# --- known values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        (CALM, "expected delivered lost dropped duplicate"),
        (CALM | {"broker": {"kind": "kafka"}}, "expected delivered lost dropped duplicate"),
        (CALM | {"traffic": CLIENTS_PUBLISH}, "expected delivered lost dropped duplicate"),
        (CALM | {"faults": KILL}, "expected dropped duplicate"),
        (CALM | {"faults": KILL, "traffic": CLIENTS_PUBLISH}, "dropped duplicate"),
        (CALM | {"broker": {"kind": "none"}}, "expected dropped duplicate"),
        (CALM | {"broker": {"kind": "none"}, "servers": {"count": 1}}, "expected delivered lost dropped duplicate"),
        (CALM | cohort(session="10s"), "dropped duplicate"),
        (CALM | cohort(ramp_up="2s"), "dropped duplicate"),
        (CALM | {"clients": POLLS}, "expected dropped duplicate"),
        (CALM | {"clients": POLLS, "balancer": {"affinity": "cookie"}}, "expected delivered lost dropped duplicate"),
        (CALM | {"servers": {"count": 2, "max_connections": 4}}, "dropped duplicate"),
        (CALM | {"servers": {"count": 2, "max_connections": 5}}, "expected delivered lost dropped duplicate"),
        (CALM | {"drain": 0}, "expected dropped duplicate"),
        (CALM | cohort(network={"bandwidth": 1000}, overflow={"policy": "drop_newest", "limit": 999}),
         "expected duplicate"),
        (CALM | {"servers": {"count": 2, "connection_age": "5s"}}, "expected dropped duplicate"),
        (LOGGED, "expected delivered lost dropped"),
        (LOGGED | {"broker": {"kind": "kafka"}}, "expected delivered lost dropped"),
        (LOGGED | {"broker": {"kind": "redis_streams", "max_length": 100}}, "expected dropped"),
        (LOGGED | cohort(resume=False), "expected dropped"),
        (LOGGED | cohort(resume_within="5s"), "expected dropped"),
        (LOGGED | cohort(reconnect="signalr"), "expected dropped"),
        (LOGGED | {"traffic": CLIENTS_PUBLISH}, "dropped"),
        (LOGGED | {"faults": [KILL[0] | {"notice": "silent"}]}, "expected dropped"),
        (LOGGED | {"servers": {"count": 1}}, "expected dropped"),
        (LOGGED | {"servers": {"count": 2, "max_connections": 9}}, "expected dropped"),
        (LOGGED | {"faults": [{"at": "5s", "kind": "stop_broker"}]}, "expected dropped"),
        (CALM | {"faults": [{"at": "5s", "kind": "stop_broker", "lasts": "1s"}],
                 "broker": {"kind": "redis_pubsub", "when_down": "retry"}}, "expected dropped"),
    ],
)  # fmt: skip
def test_which_counts_are_determined(changes, counts):
    scenario = small(**changes)
    assert list(determined(scenario)) == counts.split()
    assert sorted([*determined(scenario), *undetermined(scenario)]) == sorted(COUNTS)


@pytest.mark.parametrize(
    ("changes", "count", "reason"),
    [
        (CALM | {"faults": KILL}, "lost", "a fault cuts clients off or holds messages up (kill_server at 5 s)"),
        (CALM | cohort(session="10s"), "expected", "users come and go (clients.c.session)"),
        (CALM | {"broker": {"kind": "none"}}, "delivered", "(broker.kind)"),
        (CALM | {"clients": POLLS}, "lost", "(clients.c, balancer.affinity)"),
        (CALM | {"drain": 0}, "lost", "(drain is 0 s)"),
        (CALM | {"faults": KILL, "traffic": CLIENTS_PUBLISH}, "expected", "clients publish, and cannot while they are"),
        (LOGGED, "duplicate", "what a log replays may come twice"),
    ],
)
def test_what_is_not_determined_names_the_field(changes, count, reason):
    assert reason in undetermined(small(**changes))[count]


def test_a_stopped_service_is_over_before_the_push_tier_starts():
    """What services push is part of the workload, which every producer gets."""
    events = {
        "events": [{"name": "order", "rate": 5}],
        "services": [{"name": "s", "consumes": "order", "service": 0.01}],
    }
    traffic = [{"name": "t", "from": "s"}]
    stopped = (
        CALM | events | {"traffic": traffic, "faults": [{"at": 2, "kind": "stop_service", "service": "s", "lasts": 3}]}
    )
    assert list(determined(small(**stopped))) == list(COUNTS)


def test_the_chat_has_sessions_and_is_held_to_little():
    assert list(determined(presets.load("chat"))) == ["dropped", "duplicate"]


# --- properties -----------------------------------------------------------------------------------------------------


@st.composite
def calm_scenarios(draw) -> dict:
    """Scenarios of which more than usual is determined: some without faults, some without sessions, some with a log."""
    case, how = draw(scenarios()), draw(st.sampled_from(["no faults", "no sessions", "neither", "log"]))
    if how in ("no faults", "neither"):
        case["faults"] = []
    if how != "no faults":
        for one in case["clients"]:
            one |= {"session": None, "ramp_up": None, "overflow": "unbounded"}
            one["network"].pop("idle_timeout", None)
        for field in ("max_connections", "connection_age"):
            case["servers"].pop(field, None)
    if how == "log":
        case["faults"] = [f | {"notice": "rst"} for f in case["faults"] if f["kind"] in ("kill_server", "drop_clients")]
        case["servers"]["count"] = 3
        for one in case["clients"]:
            one["resume"] = True
            one.pop("resume_within", None)
        for stream in case["traffic"]:
            stream["from"] = "backend"
        case["broker"] = {"kind": draw(st.sampled_from(["redis_streams", "kafka", "nats_jetstream"]))}
        case["autoscaling"] = None
    return case | {"drain": "60s"}


@settings(max_examples=60)
@given(calm_scenarios())
def test_the_simulation_has_the_counts_that_are_determined(case):
    """What the schedule says is expected, nothing else lost, dropped or doubled; who is not back says so itself."""
    scenario = Scenario(**case)
    known = determined(scenario)
    assume({"expected", "lost"} & set(known))
    results = simulate(scenario)
    total = results.deliveries.loc["total"]
    if "expected" in known:
        assert total["expected"] == scheduled(scenario)
    away = total["lost_unfinished"] or (results.recovery["recovered"] < results.recovery["affected"]).any()
    for count in ("lost", "dropped", "duplicate"):
        assert count not in known or total[count] == 0 or (count == "lost" and away)
    assert "delivered" not in known or away or total["delivered"] == total["expected"]


def scheduled(scenario: Scenario) -> int:
    """Publishes after the warm-up times the members of their rooms, less senders who do not hear themselves."""
    workload, _ = draw(scenario, lambda time_s: None)
    publishes, total = workload.publishes, 0
    for i in np.flatnonzero(publishes.intended_ns >= to_ns(scenario.warmup_s)):
        members = workload.rooms.members_of(publishes.room[i])
        echo = scenario.traffic[publishes.traffic[i]].echo
        total += len(members) - (0 if echo else int(publishes.sender[i] in members))
    return total
