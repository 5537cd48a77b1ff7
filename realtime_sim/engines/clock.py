"""Simulated time: SimPy's environment with integer nanoseconds and the written order of ties."""

from __future__ import annotations

import math
from collections.abc import Callable

import simpy

from realtime_sim.engines.order import Phase

__all__ = ["Clock"]


class _Moment(simpy.Event):
    """An event that is already sure to happen, as SimPy's own Timeout is."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None


class Clock(simpy.Environment):
    """SimPy's environment; what is scheduled through `at` follows `Phase`, all else happens first and at once."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    def schedule(self, event: simpy.Event, priority=1, delay: int = 0) -> None:
        """SimPy's own events (priorities 0 and 1) come before every phase."""
        super().schedule(event, priority if isinstance(priority, tuple) else (priority - 2,), delay)

    def at(self, time_ns: int, phase: Phase, server: int = -1, client: int = -1, message: int = -1) -> simpy.Event:
        """The moment `time_ns`: `yield` it to wait until then."""
        moment = _Moment(self)
        self.schedule(moment, (phase, server, client, message), int(time_ns) - self.now)
        return moment

    def call_at(self, moment: simpy.Event, action: Callable, *arguments: object) -> None:
        """Do `action(*arguments)` at a moment; for what happens to something that has no life of its own."""
        moment.callbacks.append(lambda _: action(*arguments))

    def next_besides(self, phase: Phase) -> float:
        """The earliest moment that belongs to another phase, infinity if there is none."""
        return min((time for time, order, *_ in self._queue if order[0] != phase), default=math.inf)
