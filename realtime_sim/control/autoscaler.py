"""The autoscaler: a control loop that looks at the servers, asks the policy, and orders or drains servers."""

from __future__ import annotations

from collections.abc import Generator

import simpy

from realtime_sim.control.cluster import Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.control.machinery import Instance, Observation
from realtime_sim.policies.autoscaling import AutoscalerState, Pod, decide
from realtime_sim.recorder import Recorder
from realtime_sim.scenario.autoscaling import Autoscaling

__all__ = ["autoscaler"]


def autoscaler(env: Environment, cluster: Cluster, recorder: Recorder, settings: Autoscaling) -> Generator:
    """Decide every `sync_period`, from the first one on, and carry it out.

    Parameters
    ----------
    env : Environment
        The clock.
    cluster : Cluster
        What it acts on.
    recorder : Recorder
        Where the count that is asked for is written down.
    settings : Autoscaling
        What the scenario says.
    """
    fleet, state, policy = Fleet(env, cluster), AutoscalerState(), settings.policy
    desired = len(cluster.observe().alive)
    while True:
        recorder.desired = desired
        yield env.timeout(settings.sync_period)
        current = desired
        state, desired, reason = decide(policy, state, fleet.pods(), current, env.now)
        if desired != current:
            cluster.note("scale", f"{current} to {desired} servers", reason)
            fleet.scale(desired - current)


class Fleet:
    """The servers as pods: those that run, those that were ordered, and those that are on their way out."""

    def __init__(self, env: Environment, cluster: Cluster) -> None:
        self.env, self.cluster = env, cluster
        self._orders: list[tuple[float, simpy.Process]] = []
        self._ordered_s: dict[int, float] = {}
        self._going: set[int] = set()
        self._seen = cluster.observe()

    def pods(self) -> list[Pod]:
        """What the policy is told: figures of each pod since the last look."""
        self._settle()
        before, now = self._seen, self.cluster.observe()
        self._seen = now
        pods = [self._pod(instance, before, now) for instance in now.alive]
        return pods + [Pod(phase="pending", started_s=ordered_s) for ordered_s, _ in self._orders]

    def _pod(self, instance: Instance, before: Observation, now: Observation) -> Pod:
        known = before.instances[instance.number] if instance.number < len(before.instances) else None
        busy_s, sends, since_s = (known.busy_s, known.sends, before.time_s) if known else (0.0, 0, instance.started_s)
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

    def _settle(self) -> None:
        """Orders that have been carried out are servers."""
        for ordered_s, order in self._orders:
            if not order.is_alive:
                self._ordered_s[order.value] = ordered_s
        self._orders = [(ordered_s, order) for ordered_s, order in self._orders if order.is_alive]
