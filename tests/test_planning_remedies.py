"""Remedies are changes that help: with each of them some number of servers is enough, by arithmetic and theory."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime_sim.planning import plan
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.planning.remedies import remedies_of
from realtime_sim.scenario import Scenario


def case(**changes: object) -> Scenario:
    """1,000 clients in pairs, and 4,000 messages a second, copied to each of 50 servers: 104 % of a thread of Redis."""
    return Scenario(
        **{
            "name": "case",
            "duration": 10,
            "clients": [{"name": "c", "count": 1_000, "keepalive": None}],
            "servers": {"max_connections": 20, "costs": {"wakeup": 0}},
            "broker": {"kind": "redis_pubsub", "publish": "10us", "copy": "5us"},
            "rooms": [{"name": "pair", "count": 500, "members": 2}],
            "traffic": [{"name": "t", "to": "pair", "rate": 4_000}],
            "slo": {"p99": "100ms"},
        }
        | changes
    )


def found(scenario: Scenario, needed: int | None = None, constraint: str = "broker") -> dict[str, int]:
    return {next(iter(one.changes)): one.servers for one in remedies_of(scenario, constraint, 1_000, needed)}


def test_a_broker_that_copies_to_all_servers_is_helped_by_subscriptions_per_room():
    remedies = remedies_of(case(), "broker", 1_000, None)
    assert remedies[0].changes == {"broker.subscription": "per_room"}
    assert remedies[0].scenario == case().replace(**{"broker.subscription": "per_room"})
    assert remedies[0].text.startswith("per-room subscriptions") and "50 servers by arithmetic" in remedies[0].text


def test_every_remedy_is_enough_by_the_same_arithmetic():
    for remedy in remedies_of(case(), "broker", 1_000, None):
        arithmetic = Arithmetic(remedy.scenario)
        assert arithmetic.promising(1_000) == remedy.servers
        assert all(check.kept is not False for check in arithmetic.checks(remedy.servers))
        assert any(check.kept is False for check in Arithmetic(case()).checks(remedy.servers))


def personal(clients: int, rate: int, workers: int, **slo: object) -> Scenario:
    """Messages to single clients, which every server decodes; 2,000 connections a server."""
    return case(
        clients=[{"name": "c", "count": clients}],
        servers={"max_connections": 2_000, "workers": workers},
        broker={"kind": "redis_pubsub"},
        rooms=[{"name": "own", "per_user": True}],
        traffic=[{"name": "t", "to": "own", "rate": rate}],
        slo={"p99": "200ms"} | {name: value for name, value in slo.items() if value is not None},
    )


OVER = {"clients": 400_000, "rate": 2_800, "workers": 2, "max_utilization": None, "survive_servers": 0}
"""400,000 clients on 200 servers: Redis, which copies to all of them, is 86 % busy, and may be 70 %."""


@settings(max_examples=40)
@given(
    clients=st.sampled_from([20_000, 60_000, 400_000]),
    rate=st.sampled_from([1_000, 2_800, 8_000, 25_000, 40_000]),
    workers=st.sampled_from([1, 2, 8]),
    max_utilization=st.sampled_from([None, 0.5, 0.9]),
    survive_servers=st.sampled_from([0, 1, 3]),
)
@example(**OVER)
def test_planning_a_remedy_of_the_static_calculator_gives_the_number_that_it_names(**drawn):
    for remedy in plan(personal(**drawn), queueing=False).remedies:
        assert plan(remedy.scenario, queueing=False).servers == remedy.servers, remedy.text


def test_the_static_calculator_offers_no_remedy_beyond_its_own_ceiling():
    blocked = plan(personal(**OVER | {"rate": 10_000}), queueing=False)
    assert blocked.servers is None and blocked.remedies
    for remedy in blocked.remedies:
        assert all(check.found <= check.promised for check in Arithmetic(remedy.scenario, 0.7).checks(remedy.servers))


def test_a_remedy_is_found_where_more_servers_would_be_too_many():
    """40,000 messages a second: two instances of Redis can copy them to 21 servers and to 31, but not to 36."""
    heavy = personal(40_000, 40_000, 8, survive_servers=1)
    offered = remedies_of(heavy, "broker", 1_000, None)
    (sharded,) = (one for one in offered if one.changes == {"broker.shards": 2})
    assert sharded.servers == 21 and Arithmetic(sharded.scenario).guess(21, 1_000) == 21
    broker = [Arithmetic(sharded.scenario).checks(n)[-1] for n in (21, 31, 36)]
    assert [(check.constraint, check.kept) for check in broker] == [
        ("broker", True),
        ("broker", True),
        ("broker", False),
    ]


def test_only_what_needs_fewer_servers_helps_where_there_is_an_answer():
    fewer = found(case(broker={"kind": "nats"}, servers={"max_connections": 20}), needed=50)
    assert fewer == {}  # 50 servers are what 1,000 connections need, whatever else is changed


def test_long_polls_are_helped_by_websockets():
    """A poll a second of each of 100,000 clients at 300 us, and its answer: 30 loops beside the sends."""
    polling = [{"name": "c", "count": 100_000, "keepalive": None, "transport": "long_polling"}]
    heavy = case(
        clients=polling,
        servers={"costs": {"http_request": "300us"}},
        broker={"kind": "nats"},
        rooms=[{"name": "own", "per_user": True}],
        traffic=[{"name": "t", "to": "own", "rate": 100_000}],
    )
    needed = Arithmetic(heavy).promising(1_000)
    assert found(heavy, needed)["clients[0].transport"] < needed


def test_losses_are_helped_by_a_log_and_clients_that_resume():
    lossy = case(slo={"max_lost_ratio": 0})
    (first, *_) = remedies_of(lossy, "lost ratio", 1_000, None)
    assert first.changes == {"broker": {"kind": "redis_streams"}, "clients[0].resume": True}
    cured = case(broker={"kind": "redis_streams"}).replace(**{"clients.c.resume": True})
    assert found(cured, constraint="lost ratio") == {}


def test_nothing_helps_against_the_network_and_arithmetic_knows_nothing_against_storms():
    far = [{"name": "c", "count": 1_000, "keepalive": None, "network": {"rtt": "80ms"}}]
    assert found(case(clients=far, slo={"p99": "1ms"}), constraint="p99") == {}
    assert found(case(), constraint="recovery") == {}
