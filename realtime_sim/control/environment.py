"""Time as control processes see it: SimPy's words, in seconds, whatever clock runs below."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import simpy

from realtime_sim.control.machinery import Machinery
from realtime_sim.units import from_ns, parse_duration, to_ns

__all__ = ["Environment"]


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
        return self.at_ns(self.now_ns + _ns(delay))

    def until(self, time: float | str) -> simpy.Event:
        """`yield` it to wait until so long after the start of the run; at once if that is past."""
        return self.at_ns(max(self.now_ns, _ns(time)))

    def at_ns(self, time_ns: int) -> simpy.Event:
        """The same for nanoseconds."""
        return self._machinery.wait_until(time_ns, "fault") if time_ns <= self._end_ns else self._clock.event()

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


def _ns(duration: float | str) -> int:
    seconds = parse_duration(duration)
    if seconds < 0:
        raise ValueError(f"a time to wait must be 0 or more, got {duration!r}")
    return int(to_ns(seconds))
