"""The control plane: faults as SimPy processes against a small `Cluster` protocol, the same for every producer.

A process waits on `env` and calls the cluster; it never touches an engine. Times of the environment are integer
nanoseconds.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import simpy

from realtime_sim.scenario import Scenario
from realtime_sim.units import to_ns

__all__ = ["Cluster", "start_control"]


class Cluster(Protocol):
    """What control processes may do to a running system, simulated or real."""

    def kill(self, server: int, silent: bool, fault: int) -> None:
        """A server process dies at once. `fault` is the fault's number in the scenario."""

    def drop_clients(self, cohort: str, share: float, silent: bool, fault: int) -> None:
        """A share of a cohort's clients lose their connections at once."""

    def observe(self) -> None:
        """Record one sample of the monitored quantities."""

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, in the written order of events at that time; `phase` is `"sample"` or `"fault"`."""


def start_control(env: simpy.Environment, cluster: Cluster, scenario: Scenario) -> None:
    """Start one process for each fault of the scenario, and the monitor.

    Parameters
    ----------
    env : simpy.Environment
        Simulated time, or wall-clock time stepped by the live cluster; integer nanoseconds.
    cluster : Cluster
        What the processes act on.
    scenario : Scenario
        Its faults, and its sampling interval.
    """
    env.process(monitor(env, cluster, scenario))
    for number, event in enumerate(scenario.faults):
        if event.kind == "stop_service":
            continue  # the services have run before, and know it
        process = {"kill_server": kill_server, "drop_clients": drop_clients}[event.kind]
        env.process(process(cluster, event, number))


def monitor(env: simpy.Environment, cluster: Cluster, scenario: Scenario) -> Generator:
    """Sample every `sample_interval`, from time 0 to the end of the run."""
    step_ns, end_ns = max(1, to_ns(scenario.sample_interval)), to_ns(scenario.duration)
    times_ns = range(0, end_ns + 1, step_ns)
    for time_ns in (*times_ns, end_ns) if times_ns[-1] < end_ns else times_ns:
        yield cluster.wait_until(time_ns, "sample")
        cluster.observe()


def kill_server(cluster: Cluster, event, number: int) -> Generator:
    """At its time, one server dies."""
    yield cluster.wait_until(to_ns(event.at), "fault")
    cluster.kill(event.server, silent=event.notice == "silent", fault=number)


def drop_clients(cluster: Cluster, event, number: int) -> Generator:
    """At its time, a share of a cohort loses its connections."""
    yield cluster.wait_until(to_ns(event.at), "fault")
    cluster.drop_clients(event.cohort, event.share, silent=event.notice == "silent", fault=number)
