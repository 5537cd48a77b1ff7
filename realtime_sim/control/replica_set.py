"""The replica set: it keeps as many servers as the autoscaler asks for, whatever others do to them.

What counts are servers that are not on their way out, and those that were ordered by whoever. A rolling deploy sees to
their number itself while it lasts.

References
----------
Kubernetes documentation, "ReplicaSet": it holds a stable set of replica Pods running at any given time, and creates and
deletes Pods as needed to reach the desired number. Pods that terminate count no more. On the way down it prefers those
that do not run yet, then the youngest.
"""

from __future__ import annotations

from realtime_sim.control.cluster import Cluster
from realtime_sim.control.environment import Environment, Process
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
        self._orders: list[Process] = []
        self._seen: Observation | None = None

    def pods(self) -> list[Pod]:
        """What the policy is told: figures of each pod since the last look."""
        before, now = self._seen, self.cluster.observe()
        self._seen = now
        pods = [self._pod(instance, before, now) for instance in now.alive]
        return pods + [Pod(phase="pending", started_s=ordered_s) for ordered_s in self.cluster.standing.orders.values()]

    def _pod(self, instance: Instance, before: Observation | None, now: Observation) -> Pod:
        busy_s, sends, since_s = 0.0, 0, instance.started_s
        if before is not None and instance.number < len(before.instances):
            known = before.instances[instance.number]
            busy_s, sends, since_s = known.busy_s, known.sends, before.time_s
        span_s, standing = now.time_s - since_s, self.cluster.standing
        usage: dict[str, float | None] = {"connections": instance.connections, "cpu": None, "messages_per_s": None}
        if span_s > 0:
            usage |= {"cpu": (instance.busy_s - busy_s) / span_s, "messages_per_s": (instance.sends - sends) / span_s}
        return Pod(
            usage=usage,
            requests={"cpu": float(self.cluster.scenario.servers.workers)},
            ready=instance.ready,
            deleting=instance.number in standing.drains,
            started_s=standing.ordered_s.get(instance.number, instance.started_s),
            ready_changed_s=standing.ready_changed_s.get(instance.number, instance.started_s),
            sampled_s=now.time_s,
            sample_window_s=span_s,
        )

    def keep(self) -> None:
        """Order what is missing to the servers that are wanted, or give up what is too much.

        Orders go first, the latest of them, then the youngest servers.
        """
        self.order_missing("ordered by the autoscaler")
        for _ in range(-self._n_missing()):
            self._orders = [order for order in self._orders if order.is_alive]
            if self._orders:
                self._orders.pop().interrupt()
            elif staying := self.cluster.standing.staying(self.cluster.observe()):
                self.cluster.drain(staying[-1].number, reason="the youngest goes first")

    def order_missing(self, reason: str) -> None:
        """Order what is missing to the servers that are wanted."""
        for _ in range(self._n_missing()):
            self._orders.append(self.cluster.add_server(reason=reason))

    def _n_missing(self) -> int:
        standing = self.cluster.standing
        if standing.desired is None or standing.n_deploys:
            return 0
        return standing.desired - len(standing.staying(self.cluster.observe())) - standing.n_coming
