"""Start of the control plane: the monitor, a process for each fault, and those a user has written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import simpy

from realtime_sim.control.autoscaler import autoscaler
from realtime_sim.control.cluster import Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.control.faults import PROCESSES
from realtime_sim.control.machinery import Machinery
from realtime_sim.control.monitor import monitor
from realtime_sim.control.process import watched
from realtime_sim.control.replica_set import ReplicaSet
from realtime_sim.control.standing import Standing
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.units import to_ns

__all__ = ["Control", "start_control"]

Control = Callable[[Environment, Cluster], Generator]
"""What a user may write: a generator function ``def chaos(env, cluster)``."""


def start_control(
    clock: simpy.Environment,
    machinery: Machinery,
    scenario: Scenario,
    recorder: Recorder,
    control: Sequence[Control] = (),
) -> None:
    """Start the monitor, a process for each fault of the scenario, the autoscaler with its replica set, and the user's
    own.

    Parameters
    ----------
    clock : simpy.Environment
        Simulated time, or wall-clock time stepped by the live cluster; integer nanoseconds.
    machinery : Machinery
        What the processes act on.
    scenario : Scenario
        Its faults, its autoscaling, and its sampling interval.
    recorder : Recorder
        Where decisions are written down.
    control : sequence of callable
        Generator functions ``(env, cluster)`` of the user.
    """
    env = Environment(clock, machinery, to_ns(scenario.duration))
    env.process(monitor(env, machinery, scenario))
    settings, standing = scenario.autoscaling, Standing()

    def cluster_of(actor: str, disturbance: int | None = None) -> Cluster:
        return Cluster(actor, env, machinery, scenario, recorder, disturbance, standing)

    if settings is not None:
        replica_set = ReplicaSet(env, cluster_of("replica set"))
        standing.missing = replica_set.order_missing
    for number, fault in enumerate(scenario.faults):
        if fault.kind not in PROCESSES:
            continue  # that of a service, which has run before and knows it
        env.process(PROCESSES[fault.kind](env, cluster_of(f"{fault.kind} {number}", number), fault))
    if settings is not None:
        env.process(autoscaler(env, cluster_of("autoscaler"), replica_set, recorder, settings))
    for number, process in enumerate(control):
        name = getattr(process, "__name__", type(process).__name__)
        own = process(env, cluster_of(name))
        env.process(watched(f"control[{number}] ({name})", own, lambda: env.now))
