"""What a producer of traces, simulated or real, must be able to do so that the control plane can run on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import simpy

__all__ = ["Instance", "Machinery", "Observation"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One server as the control plane sees it.

    Parameters
    ----------
    number : int
        Its number; a replacement has a new one.
    alive, ready : bool
        Whether the process runs, and whether the balancer sends new connections to it.
    started_s : float
        When its process started, seconds; 0 for those there were at the start.
    connections : int
        Open client connections.
    queue_length : int
        Jobs that wait for a loop.
    busy_s : float
        Loop time spent so far, over all its loops, seconds.
    sends : int
        Messages sent so far.
    """

    number: int
    alive: bool
    ready: bool
    started_s: float
    connections: int
    queue_length: int
    busy_s: float
    sends: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What there is to see at one time.

    Parameters
    ----------
    time_s : float
        When, seconds.
    instances : tuple of Instance
        All servers that there are or were, by number.
    """

    time_s: float
    instances: tuple[Instance, ...]

    @property
    def alive(self) -> tuple[Instance, ...]:
        """Servers whose process runs."""
        return tuple(instance for instance in self.instances if instance.alive)

    @property
    def ready(self) -> tuple[Instance, ...]:
        """Servers that get new connections."""
        return tuple(instance for instance in self.instances if instance.alive and instance.ready)


class Machinery(Protocol):
    """A running system in the hands of the control plane. Times are integer nanoseconds.

    `disturbance` is the number of what is to blame for connections that are cut off, so that recovery from it can be
    measured. What is asked of a server that is dead already does nothing.
    """

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, in the written order of events at that time; `phase` is `"sample"` or `"fault"`."""

    def sample(self) -> None:
        """Record one sample of the monitored quantities."""

    def observe(self) -> Observation:
        """What there is to see now."""

    def start_server(self) -> int:
        """One more server process runs, and is ready at once. Returns its number."""

    def set_ready(self, server: int, ready: bool) -> None:
        """The balancer sends new connections to a server, or no more."""

    def kill(self, server: int, silent: bool, disturbance: int) -> None:
        """A server process dies at once; its clients notice by a reset, or by a ping that is not answered."""

    def stop(self, server: int, disturbance: int) -> None:
        """A server process ends in order: no request finds it, and whoever is left is cut off by a reset."""

    def close_connections(self, server: int, n: int, disturbance: int) -> int:
        """A server closes so many of its connections, those of the lowest client numbers. Returns how many it had."""

    def pause(self, server: int, pause_ns: int) -> None:
        """Every loop of a server does nothing for so long, as soon as it is done with its job."""

    def set_pace(self, server: int, permille: int) -> None:
        """From the next job on, work takes a server so many thousandths of its cost."""

    def drop_clients(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        """A share of a cohort's clients lose their connections at once."""

    def partition(self, server: int, silent: bool) -> bool:
        """A server and the broker cannot reach each other: their connection is gone, or stays and takes nothing.

        Returns whether they could before.
        """

    def heal(self, server: int) -> bool:
        """A server and the broker can reach each other again. Returns whether they could not before."""

    def stop_broker(self) -> bool:
        """The broker stops. Returns whether it ran before."""

    def start_broker(self) -> bool:
        """The broker runs again. Returns whether it did not before."""

    def set_broker_pace(self, permille: int) -> None:
        """From the next request on, work takes the broker so many thousandths of its cost."""
