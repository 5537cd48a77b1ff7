"""A run against a target: clients alone, and afterwards what they saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from live.clients.settings import Happening, Place
from live.cluster import LiveCluster
from live.conditions import conditions_of
from live.crowd import Crowd
from live.fleet import Fleet
from live.foreign.collecting import collect, received_by
from live.foreign.reception import AHEAD, UNKNOWN
from live.options import Options
from live.running import LiveRun
from realtime_sim.engines.clock import Clock
from realtime_sim.errors import LiveError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.workload import CONNECTED

__all__ = ["TargetRun"]

NOT_KNOWN = (
    "deliveries expected, lost and duplicate: when the target sends what to whom is not known; expected stands for "
    "delivered",
    "hops: all of the latency is in the hop broker",
    "servers: they are one here, whose only figures are those of connections",
)

NOT_USED = ("servers", "balancer", "broker", "rooms", "traffic", "clients.network", "clients.tls", "drain")
"""Parts of a scenario that say nothing about clients, or that the real network takes the place of."""


class TargetRun(LiveRun):
    """One run, from the first process to the Results.

    Parameters
    ----------
    scenario : Scenario
        Its clients, its duration and its `drop_clients` are used.
    options : Options
        With the target.
    record : str
        As in a simulation.
    report : callable
        Takes the share that is done.
    """

    def __init__(self, scenario: Scenario, options: Options, record: str, report: Callable[[float], None]) -> None:
        super().__init__(scenario, options, record, (), (), report)
        assert options.target is not None
        self.target = options.target
        self.workload = dataclasses.replace(self.workload, rtt_ns=np.zeros_like(self.workload.rtt_ns))
        self.recorder.servers = {name: values[:1] for name, values in self.recorder.servers.items()}
        self.recorder.desired = 1
        self.publisher = None
        self.has_all = not self.target.is_here  # of this machine: what the target uses there is not ours to judge
        self.unknown = NOT_KNOWN

    async def _start(self) -> None:
        """Start the clients, and connect those who are connected at time 0."""
        self.clock = Clock()
        self.fleet = Fleet(self.workload, self.children, (), self.options)  # nobody is in it
        self.crowd = Crowd(self.workload, self.options, self.children)
        for part in (self.fleet, self.crowd):
            self._closing.push_async_callback(part.close)
        none = "the target's own"
        self.about = {"target": self.target.shown, "broker": none, "balancer": none}
        await self.crowd.start(self.fleet.secret, assigns=False)
        self.cluster = LiveCluster(self.scenario, self.fleet, self.crowd, None, self.recorder, self.clock, False)
        self.crowd.update([Place(self.target.url, self.target.url, True)])
        await self.crowd.connect()
        self._check_reachable()

    def _check_reachable(self) -> None:
        """Clients that should be connected at time 0 must not all have been turned away."""
        books = [process.happened.read() for process in self.crowd.processes]
        n_in = sum(int((book["what"] == Happening.CONNECTED_AT_START).sum()) for book in books)
        wanted = int((self.workload.connect_ns == CONNECTED).sum())
        if wanted and not n_in:
            raise LiveError(
                f"target {self.target.shown}", f"none of {wanted:_} clients could connect",
                "check that it runs there, its path, and target_token",
            )  # fmt: skip

    def _broker_busy_ns(self) -> int:
        return 0

    async def _n_subscribers(self) -> int:
        return 0

    async def _drain(self) -> None:
        """Nobody knows whether anything is still to come."""

    async def _finish(self) -> Results:
        """Hang up, and make a Trace of what the clients have written down."""
        conditions = conditions_of(self, {})
        await self.crowd.end()
        trace = collect(self)
        conditions |= self._said()
        return Results([trace], "clients of somebody's own cluster", conditions=conditions)

    def _said(self) -> dict[str, Any]:
        """What messages said of when they were sent, and what was not used of the scenario."""
        latency_ns = received_by(self.crowd)["message"]
        return {
            "not_used": list(NOT_USED),
            "messages": len(latency_ns),
            "messages_without_time": int((latency_ns == UNKNOWN).sum()),
            "messages_ahead_of_time": int((latency_ns == AHEAD).sum()),
        }
