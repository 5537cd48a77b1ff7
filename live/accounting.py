"""Accounts of CPU time: what each process used and how long it waited for a core, and what others used meanwhile.

From `/proc` (Linux): `/proc/PID/task/*/schedstat` has nanoseconds on a core and nanoseconds in the run queue; both
together are the wall time of a process that had work. `/proc/stat` has the whole machine.

References
----------
Linux kernel documentation, scheduler/sched-stats (field 1 time on the CPU, field 2 time waiting on a run queue);
proc(5), /proc/stat.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "Usage", "machine_now", "usage_of"]

NS_PER_TICK = 10**9 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process had used at one time.

    Parameters
    ----------
    run_ns : int
        Time on a core, over all threads, nanoseconds.
    wait_ns : int
        Time its threads waited in a run queue, nanoseconds.
    memory_bytes : int
        Resident memory of its own: what it shares, such as programs and the books of a run, is left out.
    """

    run_ns: int
    wait_ns: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What the whole machine had used at one time: nanoseconds of all cores, busy and in all."""

    busy_ns: int
    total_ns: int


def usage_of(pid: int) -> Usage | None:
    """The accounts of a process; None if it is gone.

    Examples
    --------
    >>> usage_of(os.getpid()).run_ns > 0
    True
    """
    run_ns = wait_ns = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            run, wait, _ = Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()
            run_ns, wait_ns = run_ns + int(run), wait_ns + int(wait)
        _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return Usage(run_ns, wait_ns, (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE"))


def machine_now() -> Machine:
    """The accounts of the machine.

    Examples
    --------
    >>> 0 < machine_now().busy_ns <= machine_now().total_ns
    True
    """
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle and waiting for I/O
    return Machine((sum(ticks) - idle) * NS_PER_TICK, sum(ticks) * NS_PER_TICK)
