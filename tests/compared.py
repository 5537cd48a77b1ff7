"""Scenarios whose runs are compared: one in which every latency is the same, and one that differs from seed to seed."""

from __future__ import annotations

from functools import cache

from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate


def ticking(event: str = "10ms", **changes: object) -> Scenario:
    """One client, one server, a message every 100 ms that takes `event` and nothing else: every latency is the same."""
    return Scenario(
        **{
            "name": "ticking", "duration": 10, "warmup": 0, "clients": [{"name": "c", "count": 1}],
            "servers": {"profile": "zero", "costs": {"event": event}}, "broker": {"kind": "none", "publisher_link": 0},
            "traffic": [{"name": "t", "rate": 10, "arrivals": "constant", "start": "50ms"}],
        }
        | changes
    )  # fmt: skip


def noisy(seed: int = 1, event: str = "4ms", **changes: object) -> Scenario:
    """Twenty clients at two servers, Poisson messages, drawn round trips: figures differ from seed to seed."""
    return Scenario(
        **{
            "name": "noisy", "seed": seed, "duration": 10, "warmup": 1,
            "clients": [{"name": "c", "count": 20, "network": {"rtt": {"median": "20ms", "p99": "60ms"}}}],
            "servers": {"count": 2, "profile": "zero", "costs": {"event": event, "send": "100us"}},
            "broker": {"kind": "redis_pubsub"}, "traffic": [{"name": "t", "rate": 40}],
        }
        | changes
    )  # fmt: skip


DYING = {
    "duration": 20, "servers": {"count": 2, "profile": "zero", "costs": {"handshake": "10ms"}},
    "faults": [{"at": "5s", "kind": "kill_server", "server": 0}],
}  # fmt: skip


@cache
def base() -> Results:
    """Four replications of `noisy`."""
    return simulate(noisy(), replications=4)


@cache
def slower() -> Results:
    """The same with messages that take longer."""
    return simulate(noisy(event="5200us"), replications=4)
