"""Time as control processes see it: SimPy's words, in seconds, whatever clock runs below."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import simpy

from realtime_sim.control.arguments import duration_s
from realtime_sim.control.machinery import Machinery
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.units import from_ns, to_ns

__all__ = ["Environment"]

MOST_WAITS = 100_000
"""Waits for no time, one after the other, that are let pass."""


class Environment:
    """A SimPy environment in seconds, simulated or of the wall clock.

    Parameters
    ----------
    clock : simpy.Environment
        What keeps time, in integer nanoseconds; the simulated clock, or one stepped by the live cluster.
    machinery : Machinery
        What orders events of the same time.
    end_ns : int
        The end of the traffic: nothing is done after it.
    """

    def __init__(self, clock: simpy.Environment, machinery: Machinery, end_ns: int) -> None:
        self._clock, self._machinery, self._end_ns = clock, machinery, end_ns
        self._n_waits, self._waited_ns = 0, -1

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return float(from_ns(self._clock.now))

    @property
    def now_ns(self) -> int:
        """The same in nanoseconds."""
        return int(self._clock.now)

    @property
    def end(self) -> float:
        """When the traffic ends, seconds; what waits longer waits for ever."""
        return float(from_ns(self._end_ns))

    def timeout(self, delay: float | str) -> simpy.Event:
        """`yield` it to wait for so long: seconds, or text with a unit such as "250ms"."""
        return self.at_ns(self.now_ns + _ns("delay", delay))

    def until(self, time: float | str) -> simpy.Event:
        """`yield` it to wait until so long after the start of the run; at once if that is past."""
        return self.at_ns(max(self.now_ns, _ns("time", time)))

    def at_ns(self, time_ns: int) -> simpy.Event:
        """The same for nanoseconds."""
        self._note_wait(time_ns)
        return self._machinery.wait_until(time_ns, "fault") if time_ns <= self._end_ns else self._clock.event()

    def _note_wait(self, time_ns: int) -> None:
        """A process that waits for no time again and again would keep time from passing for ever."""
        now_ns = self.now_ns
        self._n_waits = self._n_waits + 1 if time_ns == now_ns == self._waited_ns else 0
        self._waited_ns = now_ns
        if self._n_waits >= MOST_WAITS:
            rule = f"must let time pass (it has waited {MOST_WAITS:_} times for no time at all)"
            raise ScenarioError(Problem("control", rule, f"{self.now:g} s", "wait for longer: env.timeout('1s')"))

    def sample_at(self, time_ns: int) -> simpy.Event:
        """A moment that comes before all else at its time, for those who only look."""
        return self._machinery.wait_until(time_ns, "sample")

    def process(self, generator: Generator) -> simpy.Process:
        """Start a process beside this one; `yield` it to wait for its end and get what it returns."""
        return self._clock.process(generator)

    def event(self) -> simpy.Event:
        """Something that another process makes happen by `succeed()`."""
        return self._clock.event()

    def all_of(self, events: Iterable[simpy.Event]) -> simpy.Event:
        """When all of them have happened."""
        return self._clock.all_of(events)

    def any_of(self, events: Iterable[simpy.Event]) -> simpy.Event:
        """When the first of them has happened."""
        return self._clock.any_of(events)


def _ns(name: str, value: float | str) -> int:
    return int(to_ns(duration_s(name, value)))
