"""A small plan, made once for every test of a process that looks at one."""

from __future__ import annotations

from functools import cache

from realtime_sim.planning import Plan, plan
from realtime_sim.scenario import Scenario

CASE = Scenario(
    name="chat",
    description="Does <b>this</b> & that hold?",
    duration=12,
    warmup=1,
    drain=5,
    sample_interval=0.5,
    clients=[
        {"name": "phones", "count": 60, "network": {"rtt": {"median": "20ms", "p99": "80ms"}},
         "reconnect": {"policy": "full_jitter", "base": "500ms", "cap": "5s"}},
        {"name": "desks", "count": 20, "transport": "sse"},
    ],
    servers={
        "max_connections": 120, "memory": "1GiB", "startup": 1, "grace": 2,
        "costs": {"event": "10ms", "handshake": "20ms", "wakeup": 0},
    },
    broker={"kind": "redis_pubsub", "subscription": "per_room"},
    rooms=[{"name": "group", "count": 40, "members": 2}],
    traffic=[{"name": "messages", "to": "group", "rate": "95/s"}],
    slo={"p99": "150ms", "headroom": 0.2, "max_utilization": 0.99, "max_lost_ratio": 0.05, "recover_within": "5s",
         "survive_servers": 1},
)  # fmt: skip
"""Eighty clients, and messages of 10 ms each: of two servers one is left, busy for 95 % of the time; of three, two."""


@cache
def planned() -> Plan:
    """The plan of `CASE`, by three replications of the readable engine."""
    return plan(CASE, engine="reference")


@cache
def without_an_answer() -> Plan:
    """What no number of servers keeps: half a round trip takes longer."""
    return plan(CASE.replace(slo={"p99": "5ms"}), engine="reference")


@cache
def full() -> Plan:
    """What connections decide, by arithmetic: 32 of 40 may be used, so three servers must be left of four."""
    changes = {"servers.max_connections": 40, "servers.costs.event": "1ms", "traffic[0].rate": "20/s"}
    return plan(CASE.replace(**changes), replications=2, engine="reference")


@cache
def broker_bound() -> Plan:
    """What no number of servers keeps: 28 have room for everybody, and the broker has more to do than it can."""
    changes = {"clients[0].count": 3_980, "servers.max_connections": 150, "servers.memory": None, "servers.costs": {},
               "servers.count": 4, "broker.subscription": "all_servers", "rooms[0].count": 200, "rooms[0].members": 20,
               "traffic[0].rate": "26000/s", "slo": {"p99": "200ms", "survive_servers": 1}}  # fmt: skip
    return plan(CASE.replace(**changes))


@cache
def deploying() -> Plan:
    """Held to a rolling deploy alone."""
    slo = {"max_lost_ratio": 0.5, "recover_within": "5s", "survive_deploy": True}
    return plan(CASE.replace(slo=slo), replications=1, engine="reference")


@cache
def by_arithmetic() -> Plan:
    """The static calculator's."""
    return plan(CASE, queueing=False)
