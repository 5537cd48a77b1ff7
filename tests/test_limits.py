"""Limits: each row can be worked out by hand, and the rows together decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.errors import ScenarioError
from realtime_sim.limits import connections_claim, server_limits
from realtime_sim.scenario import Scenario


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
