"""Time as control processes see it: SimPy's words, in seconds, whatever clock runs below."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import simpy

from realtime_sim.control.arguments import duration_s, moment_ns
from realtime_sim.control.machinery import Machinery
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.units import from_ns, to_ns

__all__ = ["Environment", "Process"]

MOST_TURNS = 100_000
"""Times that a process may go on, or processes may be started, while no time passes."""


class Process(simpy.Process):
    """What `env.process`, `cluster.add_server` and `cluster.drain` give: `yield` it to wait for its end."""

    def interrupt(self, cause: object = None) -> None:
        """Break it off where it waits; one that has ended stays as it is."""
        if self.is_alive:
            super().interrupt(cause)


class _Turns:
    """Counts what happens without time passing, which could go on for ever."""

    def __init__(self, clock: simpy.Environment, what: str) -> None:
        self._clock, self._what = clock, what
        self._n, self._at_ns = 0, -1

    def count(self) -> None:
        """Once more."""
        self._n = self._n + 1 if self._clock.now == self._at_ns else 1
        self._at_ns = self._clock.now
        if self._n > MOST_TURNS:
            rule = f"must let time pass ({self._what} {MOST_TURNS:_} times without)"
            now = f"{from_ns(self._at_ns):g} s"
            raise ScenarioError(Problem("control", rule, now, "wait for longer: yield env.timeout('1s')"))


class _Counted:
    """A generator whose turns are counted."""

    def __init__(self, generator: Generator, turns: _Turns) -> None:
        self._generator, self._turns = generator, turns
        self.__name__ = getattr(generator, "__name__", type(generator).__name__)

    def send(self, value: object) -> simpy.Event:
        """Its next turn."""
        self._turns.count()
        return self._generator.send(value)

    def throw(self, *error: object) -> simpy.Event:
        """Its next turn, with an error to begin with."""
        self._turns.count()
        return self._generator.throw(*error)


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
        self._started = _Turns(clock, "processes were started")

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
        """The same for integer nanoseconds, from now on."""
        time_ns = moment_ns("time_ns", time_ns, self.now_ns)
        return self._machinery.wait_until(time_ns, "fault") if time_ns <= self._end_ns else self._clock.event()

    def sample_at(self, time_ns: int) -> simpy.Event:
        """A moment that comes before all else at its time, integer nanoseconds from now on, for those who only look."""
        return self._machinery.wait_until(moment_ns("time_ns", time_ns, self.now_ns), "sample")

    def process(self, generator: Generator) -> Process:
        """Start a process beside this one; `yield` it to wait for its end and get what it returns."""
        self._started.count()
        return Process(self._clock, _Counted(generator, _Turns(self._clock, "a process has gone on")))

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
