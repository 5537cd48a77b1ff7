"""Small scenarios for tests of limits, and the rows of their table."""

from __future__ import annotations

from realtime_sim.limits import server_limits
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


def busy_rooms(servers: int, source: str = "backend", rate: int = 2500, **more: object) -> Scenario:
    """1,000 clients in 100 rooms of 10, 2,500 messages a second: many small jobs, most of which wake a loop."""
    return scenario(
        duration=5, warmup=1,
        clients=[{"name": "c", "count": 1000, "network": {"rtt": "40ms"}}],
        servers={"count": servers} | more,
        broker={"kind": "redis_pubsub"},
        rooms=[{"name": "group", "count": 100, "members": 10}],
        traffic=[{"name": "t", "to": "group", "rate": rate, "payload": "200B", "from": source}],
    )  # fmt: skip
