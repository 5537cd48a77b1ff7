"""The replica set: it keeps as many servers as the autoscaler asks for, those that have died by themselves included.

References
----------
Kubernetes documentation, "ReplicaSet": it holds a stable set of replica Pods running at any given time, and creates and
deletes Pods as needed to reach the desired number. On the way down it prefers the youngest.
"""

from __future__ import annotations

import simpy

from realtime_sim.control.cluster import Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.control.machinery import Instance, Observation
from realtime_sim.policies.autoscaling import Pod

__all__ = ["ReplicaSet"]


class ReplicaSet:
    """The servers as pods: those that run, those that were ordered, and those that are on their way out.

    Parameters
    ----------
    env : Environment
        The clock.
    cluster : Cluster
        What it acts on, in its own name.
    """

    def __init__(self, env: Environment, cluster: Cluster) -> None:
        self.env, self.cluster = env, cluster
        self._orders: list[tuple[float, simpy.Process]] = []
        self._ordered_s: dict[int, float] = {}
        self._going: set[int] = set()
        self._seen: Observation | None = None

    def pods(self) -> list[Pod]:
        """What the policy is told: figures of each pod since the last look."""
        self._settle()
        before, now = self._seen, self.cluster.observe()
        self._seen = now
        pods = [self._pod(instance, before, now) for instance in now.alive]
        return pods + [Pod(phase="pending", started_s=ordered_s) for ordered_s, _ in self._orders]

    def _pod(self, instance: Instance, before: Observation | None, now: Observation) -> Pod:
        busy_s, sends, since_s = 0.0, 0, instance.started_s
        if before is not None and instance.number < len(before.instances):
            known = before.instances[instance.number]
            busy_s, sends, since_s = known.busy_s, known.sends, before.time_s
        span_s = now.time_s - since_s
        usage: dict[str, float | None] = {"connections": instance.connections, "cpu": None, "messages_per_s": None}
        if span_s > 0:
            usage |= {"cpu": (instance.busy_s - busy_s) / span_s, "messages_per_s": (instance.sends - sends) / span_s}
        return Pod(
            usage=usage,
            requests={"cpu": float(self.cluster.scenario.servers.workers)},
            ready=instance.ready,
            deleting=instance.number in self._going,
            started_s=self._ordered_s.get(instance.number, instance.started_s),
            ready_changed_s=instance.started_s,
            sampled_s=now.time_s,
            sample_window_s=span_s,
        )

    def scale(self, change: int) -> None:
        """Order so many servers more, or give up so many: orders first, the latest of them, then the youngest."""
        for _ in range(change):
            self._orders.append((self.env.now, self.cluster.add_server(reason="ordered by the autoscaler")))
        for _ in range(-change):
            if self._orders:
                self._orders.pop()[1].interrupt()
                continue
            staying = [one.number for one in self.cluster.observe().alive if one.number not in self._going]
            if staying:
                self._going.add(staying[-1])
                self.cluster.drain(staying[-1], reason="the youngest goes first")

    def replace(self, server: int) -> None:
        """A server has died, and nobody wanted it to: order another at once, unless it was on its way out."""
        if server not in self._going:
            order = self.cluster.add_server(reason=f"server {server} has died")
            self._orders.append((self.env.now, order))

    def _settle(self) -> None:
        """Orders that have been carried out are servers."""
        for ordered_s, order in self._orders:
            if not order.is_alive:
                self._ordered_s[order.value] = ordered_s
        self._orders = [(ordered_s, order) for ordered_s, order in self._orders if order.is_alive]
