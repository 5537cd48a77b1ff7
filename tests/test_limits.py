"""Limits: each row can be worked out by hand, and the rows together decide."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import presets
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import connections_claim, server_limits
from realtime_sim.limits.load import Load
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

EXAMPLES = Path(__file__).parent.parent / "examples"


def scenario(**changes: object) -> Scenario:
    """A thousand clients, ten broadcasts a second, 20 us a send: 0.2 s of CPU a second."""
    return Scenario(
        **{
            "name": "case",
            "duration": 10,
            "clients": [{"name": "c", "count": 1000, "keepalive": None}],
            "servers": {"profile": "zero", "costs": {"send": "20us"}},
            "broker": {"kind": "redis_pubsub", "publish": "10us", "copy": "5us"},
            "traffic": [{"name": "t", "rate": 10}],
        }
        | changes
    )


def rows(case: Scenario, **options: float) -> dict:
    return {row.name: row for row in server_limits(case, **options).rows}


def test_connections_and_memory_divide():
    """1,000 clients at 300 a server: 4. Memory of 100 kB less 20 kB at 1 kB each holds 80: 13."""
    servers = {
        "profile": "zero", "max_connections": 300, "memory": 100_000,
        "costs": {"base_memory": 20_000, "connection_memory": 1_000},
    }  # fmt: skip
    found = rows(scenario(servers=servers))
    assert (found["connections"].servers, found["memory"].servers) == (4, 13)
    assert server_limits(scenario(servers=servers)).binding == "memory"


def test_cpu_is_work_over_the_target():
    """10/s x 1,000 x 20 us = 0.2 s/s: one server at 0.7, two at 0.1 ... and 0.1 s/s each."""
    assert rows(scenario())["cpu"].servers == 1
    assert rows(scenario(), target_utilization=0.1)["cpu"].servers == 2
    assert rows(scenario())["cpu"].demand == pytest.approx(0.2)


def test_decoding_every_message_on_every_server_can_be_too_much_for_any_number():
    servers = {"profile": "zero", "costs": {"event": "100ms"}}
    found = rows(scenario(servers=servers))["cpu"]
    assert found.servers is None and not found.possible


def test_the_claim_of_65_servers_is_taken_at_its_word():
    """1,000,000 / 20 = 50,000; / 65 = 15,385; / 10,000 = 100; / 65,000 = 15.4, so 16."""
    text = str(connections_claim())
    for figure in ("50,000", "15,385", "100", "16"):
        assert figure in text
    assert "do not agree" in text


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_more_clients_never_need_fewer_servers(a, b):
    few, many = sorted((a, b))

    def needed(count: int) -> int:
        clients = [{"name": "c", "count": count, "keepalive": None}]
        servers = {"profile": "zero", "costs": {"send": "20us"}, "max_connections": 500}
        return server_limits(scenario(clients=clients, servers=servers)).needed

    assert needed(few) <= needed(many)


def test_what_is_needed_is_the_most_that_any_limit_needs():
    limits = server_limits(scenario(servers={"profile": "zero", "costs": {"send": "20us"}, "max_connections": 77}))
    assert limits.needed == max(row.servers for row in limits.rows if row.servers is not None) == 13
    assert [row.name for row in limits.rows if row.binding] == [limits.binding] == ["connections"]


def test_wrong_arguments_are_refused():
    with pytest.raises(ScenarioError, match="target_utilization"):
        server_limits(scenario(), target_utilization=1.5)
    with pytest.raises(ScenarioError, match="scenario must be a Scenario"):
        server_limits("chat")


# --- agreement with the simulator -----------------------------------------------------------------------------------


def busy_rooms(servers: int, source: str = "backend", workers: int = 1) -> Scenario:
    """1,000 clients in 100 rooms of 10, 2,500 messages a second: many small jobs, most of which wake a loop."""
    return scenario(
        duration=5, warmup=1,
        clients=[{"name": "c", "count": 1000, "network": {"rtt": "40ms"}}],
        servers={"count": servers, "workers": workers},
        broker={"kind": "redis_pubsub"},
        rooms=[{"name": "group", "count": 100, "members": 10}],
        traffic=[{"name": "t", "to": "group", "rate": "2500/s", "payload": "200B", "from": source}],
    )  # fmt: skip


@pytest.mark.parametrize(
    "case, predicted",
    [
        (busy_rooms(1), 0.758),
        (busy_rooms(1, "clients"), 0.859),
        (busy_rooms(4), 0.512),
        (busy_rooms(4, "clients"), 0.567),
        (busy_rooms(1, workers=2), 0.517),
        (busy_rooms(4, "clients", workers=2), 0.419),
        (presets.load("chat").replace(duration=30), 0.046),
        (presets.load("dashboard"), 0.046),
        (presets.load("fallback").replace(duration=30), 0.080),
        (Scenario.from_yaml(EXAMPLES / "million_scaled.yaml").replace(duration=10), 0.362),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else str(value),
)
def test_the_busy_share_is_that_of_the_simulator(case, predicted):
    """Within 3 points, and an eighth of small figures; standard errors are below a fifth of that."""
    assert Load(case).utilization(case.servers.count) == pytest.approx(predicted, abs=6e-4)
    simulated = simulate(case).servers["utilization"].mean()
    assert simulated == pytest.approx(predicted, abs=min(0.03, predicted / 8))


def test_wakeups_are_a_line_of_the_arithmetic():
    """By hand: 545 + 42.5 + 5.9 ms of work, 2,505 jobs; (0.5934 + 2,505 x 271 us) / (1 + 0.6789) = 75.8 %."""
    case = busy_rooms(1)
    row = server_limits(case, target_utilization=0.8).row("cpu")
    assert row.servers == 1 and row.demand == pytest.approx(0.7578, abs=1e-4)
    assert "each server: rho = (0.5934 + 2,505/s x 271 us) / (1 + 0.6789) = 75.8%" in row.arithmetic
    assert any(line.startswith("wake-ups") and line.endswith("CPU s/s") for line in row.arithmetic.splitlines())


def test_the_servers_needed_are_those_that_the_simulator_confirms():
    """86 % on one server, and below the target on the two that are asked for."""
    needed = server_limits(busy_rooms(1, "clients")).needed
    assert needed == 2
    busy = [simulate(busy_rooms(n, "clients")).servers["utilization"].max() for n in (needed - 1, needed)]
    assert busy[0] > 0.7 >= busy[1]
