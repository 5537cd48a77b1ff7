"""The compiled engine's agenda beside a binary heap: the hold model, at several sizes.

One hold takes the earliest of n events out and puts it back, up to 17 s later. ``python -m benchmarks.agenda``
"""

from __future__ import annotations

import time

import numpy as np

from realtime_sim.engines.fast import agenda
from realtime_sim.engines.fast.compiling import EVENTS, compiled
from realtime_sim.engines.fast.setup import make_state
from realtime_sim.engines.fast.state import EVENT
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.workload import draw_workload

N_HOLDS = 2_000_000

insert, peek, pop = agenda.insert, agenda.peek, agenda.pop
sift_up, sift_down = agenda._sift_up, agenda._sift_down


@compiled()
def _next(x):
    """A linear congruential generator (Knuth, MMIX): its upper bits are good enough for waiting times."""
    return (x * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF


@compiled()
def fill_agenda(s, n, x):
    """Insert `n` events."""
    for i in range(n):
        x = _next(x)
        insert(s, x >> 29, i, -1, i, 0)


@compiled()
def hold_agenda(s, n, x):
    """`n` holds."""
    for _ in range(n):
        now = peek(s)
        key, message, ref, aux = pop(s)
        x = _next(x)
        insert(s, now + 1 + (x >> 29), key, message, ref, aux)


@compiled(heap=EVENTS)
def fill_heap(heap, n, x):
    """Insert `n` events."""
    for i in range(n):
        x = _next(x)
        event = heap[i]
        event.time, event.key, event.number = x >> 29, i, i
        sift_up(heap, i)


@compiled(heap=EVENTS)
def hold_heap(heap, size, n, x):
    """`n` holds; the event at the top is replaced, which saves a heap half of its work."""
    for _ in range(n):
        x = _next(x)
        heap[0].time += 1 + (x >> 29)
        sift_down(heap, size)


def main() -> None:
    """Print millions of holds a second."""
    scenario = Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}])
    workload = draw_workload(scenario)
    print("   events   agenda     heap   million holds/s")
    for size in (1_000, 100_000, 1_000_000):
        state = make_state(workload, Recorder(workload, "summary"))
        fill_agenda(state, size, 1)
        heap = np.zeros(size, dtype=EVENT)
        fill_heap(heap, size, 1)
        rates = []
        for hold, arguments in ((hold_agenda, (state,)), (hold_heap, (heap, size))):
            hold(*arguments, 3, 5)
            begun = time.perf_counter()
            hold(*arguments, N_HOLDS, 7)
            rates.append(N_HOLDS / (time.perf_counter() - begun) / 1e6)
        print(f"{size:>9,}{rates[0]:9.1f}{rates[1]:9.1f}")


if __name__ == "__main__":
    main()
