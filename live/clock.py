"""The clock of the control plane: the same SimPy processes as in a simulation, stepped on the wall clock."""

from __future__ import annotations

import asyncio
import time

from realtime_sim.engines.clock import Clock
from realtime_sim.units import NS_PER_S

__all__ = ["step_on_the_wall_clock"]

LONGEST_WAIT_S = 0.05
"""The queue of events is looked at again after so long: what happens outside may put an earlier one there."""


async def step_on_the_wall_clock(clock: Clock, begun_ns: int, end_ns: int) -> None:
    """Let simulated events happen at their time, from `begun_ns` of `time.monotonic_ns` on, until `end_ns` after it.

    Simulated time is that of the event, not of the moment at which it was handled: a process that is late does not
    make the next one later.

    Parameters
    ----------
    clock : Clock
        With the processes.
    begun_ns : int
        When the run begins, nanoseconds of the monotonic clock.
    end_ns : int
        When it ends, nanoseconds from its beginning.
    """
    while True:
        now_ns = time.monotonic_ns() - begun_ns
        while clock.peek() <= min(now_ns, end_ns):
            clock.step()
        if now_ns >= end_ns:
            return
        wait_s = (min(clock.peek(), end_ns) - now_ns) / NS_PER_S
        await asyncio.sleep(min(max(wait_s, 0.0), LONGEST_WAIT_S))
