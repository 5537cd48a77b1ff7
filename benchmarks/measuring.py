"""One measurement: a producer does a work of some size in a fresh process; how long it took, and what it found.

`python -m benchmarks.measuring WORK PRODUCER SIZE SEED` prints one line of JSON. What is compiled is compiled by a
small run of the same work first, which does not count. Peak memory is that of the whole process, and the
base beside it what the process held before the small run, with everything imported. A peer's process imports the peer
alone: neither its memory nor its compiler has anything of ours.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

__all__ = ["PEERS", "Measurement", "measure"]

PEERS = {
    "simpy": "benchmarks.simpy_models",
    "heapq": "benchmarks.heapq_models",
    "ciw": "benchmarks.ciw_models",
    "cimba": "benchmarks.cimba_models",
}
"""Module of each peer; it has a function for each work that the peer can do."""

FUNCTIONS = {"M/M/1": "mm1", "M/D/1": "md1", "broadcast": "broadcast", "reconnect storm": "storm"}

WARM_SHARE = 100
"""The small run has a hundredth of the size, but is no larger than 1,000 units nor smaller than 200."""

SHORT_S = 0.3
"""What takes less is repeated as long, and the median is taken."""

LONGEST_S = 3_600


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one process measured, in seconds and megabytes.

    Parameters
    ----------
    seconds : float
        Wall time of the work, statistics included; the median where it was repeated.
    base_mb, peak_mb : float
        Memory before the work with everything imported, and at most.
    figures : dict of str to float
        What the producer found out.
    """

    seconds: float
    base_mb: float
    peak_mb: float
    figures: dict[str, float]


def measure(work: str, producer: str, size: int, seed: int) -> Measurement:
    """Measure in a fresh process.

    Raises
    ------
    RuntimeError
        If it failed; with what it printed.
    """
    command = [sys.executable, "-m", "benchmarks.measuring", work, producer, str(size), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
    if done.returncode:
        raise RuntimeError(f"{work}, {producer}, {size:_}: {done.stderr[-2_000:]}")
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def _run_of(work: str, producer: str) -> Callable[[int, int], dict[str, float]]:
    """The function (size, seed) to figures of a producer; what it needs is imported now."""
    if producer in PEERS:
        return getattr(import_module(PEERS[producer]), FUNCTIONS[work])
    from benchmarks.works import WORKS

    import_module(f"realtime_sim.engines.{producer}")
    return lambda size, seed: WORKS[work].run(size, producer, seed)


def _peak_mb() -> float:
    """Most memory this process ever held.

    `getrusage` counts what its parent held when it was forked as well, so where Linux knows better, that is taken.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return (
            int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) * 1024e-6
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts in bytes, others in KiB
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024e-6


def _compile_for_million() -> None:
    from realtime_sim import presets
    from realtime_sim.engines import compile_engine

    compile_engine("fast", presets.load("million"), "summary")


def _measured(work: str, producer: str, size: int, seed: int) -> Measurement:
    run, seconds, figures = _run_of(work, producer), [], {}
    base_mb = _peak_mb()
    if work == "million preset":  # it has one size
        _compile_for_million()
    else:
        run(max(200, min(1_000, size // WARM_SHARE)), seed)
    while not seconds or sum(seconds) < SHORT_S:
        begun = time.perf_counter()
        figures = run(size, seed)
        seconds.append(time.perf_counter() - begun)
    median_s = statistics.median(seconds)
    figures = {name: float(value) for name, value in figures.items()}
    return Measurement(median_s, base_mb, _peak_mb(), figures)


if __name__ == "__main__":
    found = _measured(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps({name: getattr(found, name) for name in Measurement.__slots__}))
