"""The autoscaler: a control loop that looks at the servers, asks the policy, and has servers ordered or drained."""

from __future__ import annotations

from collections.abc import Generator

from realtime_sim.control.cluster import Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.control.replica_set import ReplicaSet
from realtime_sim.policies.autoscaling import AutoscalerState, decide
from realtime_sim.recorder import Recorder
from realtime_sim.scenario.autoscaling import Autoscaling

__all__ = ["autoscaler"]


def autoscaler(
    env: Environment, cluster: Cluster, replica_set: ReplicaSet, recorder: Recorder, settings: Autoscaling
) -> Generator:
    """Decide every `sync_period`, from the first one on, and carry it out.

    Parameters
    ----------
    env : Environment
        The clock.
    cluster : Cluster
        Where its decisions are written down.
    replica_set : ReplicaSet
        What it acts on.
    recorder : Recorder
        Where the count that is asked for is written down.
    settings : Autoscaling
        What the scenario says.
    """
    state, policy = AutoscalerState(), settings.policy
    desired = len(replica_set.pods())
    while True:
        recorder.desired = cluster.standing.desired = desired
        replica_set.keep()
        yield env.timeout(settings.sync_period)
        current = desired
        state, desired, reason = decide(policy, state, replica_set.pods(), current, env.now)
        if desired != current:
            cluster.note("scale", f"{current} to {desired} servers", reason)
