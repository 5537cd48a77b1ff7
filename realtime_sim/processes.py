"""Processes: many runs one after the other in this process, or several at a time in others, whoever asks for them.

Other processes come from joblib, whose `parallel_config` may put others (Dask, Ray) in their place. A run is a function
of its item alone, so it does not matter where it runs, nor how many run beside it.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["PROCESSES_START_S", "Runs", "processes_that_pay", "run_all"]

PROCESSES_START_S = 3.0
"""What starting processes is taken to cost until they work, most of it imports: a ceiling. Four small runs in two
processes took 1.6 s in all."""

WATCH_S = 0.5
"""How often another process looks whether its parent is still there; left to itself it would wait for five minutes."""


@dataclass(frozen=True, slots=True)
class Runs:
    """What is to be run.

    Parameters
    ----------
    run : callable
        ``run(item, progress)``, which other processes can import; `progress` is told the simulated time, seconds.
    items : sequence
        One for each run; other processes get them as copies.
    simulated_s : sequence of float
        Simulated seconds of each run.
    compile : callable
        Called once before other processes start, as several would compile the same at a time.
    ordered : bool
        Whether runs come back in their order, or each as soon as it is done.
    """

    run: Callable[[Any, Callable[[float], None]], Any]
    items: Sequence[Any]
    simulated_s: Sequence[float]
    compile: Callable[[], None]
    ordered: bool = True


def run_all(
    runs: Runs, n_jobs: int | None, most_jobs: int, report: Callable[[float], None]
) -> Iterator[tuple[int, Any]]:
    """Number and result of every run.

    Parameters
    ----------
    runs : Runs
        What to run.
    n_jobs : int, optional
        Processes at a time, -1 for all cores. Left out, runs stay in this process until `processes_that_pay` says
        that the rest should not.
    most_jobs : int
        Most processes where `n_jobs` is left out.
    report : callable
        Told the share done: within runs here, with whole ones of other processes.

    Yields
    ------
    tuple of (int, object)
        Number of the run, from 0, and what it returned.

    Raises
    ------
    ScenarioError
        If a process was killed, most likely for want of memory.
    """
    n, n_done, n_processes = len(runs.items), 0, 1
    whole_s, done_s = sum(runs.simulated_s), 0.0
    if n_jobs is not None and n_jobs != 1 and n > 1:
        n_processes = min(_cores() if n_jobs == -1 else n_jobs, n)
    while n_done < n and n_processes == 1:
        begun = time.monotonic()
        yield n_done, runs.run(runs.items[n_done], _part(report, done_s, runs.simulated_s[n_done], whole_s))
        # The first run of an engine loads it, as a new process would.
        run_s = time.monotonic() - begun - PROCESSES_START_S * (n_done == 0)
        done_s += runs.simulated_s[n_done]
        n_done += 1
        if n_jobs is None and run_s * (n - n_done) > PROCESSES_START_S:
            n_processes = processes_that_pay(run_s, n - n_done, min(_cores(), most_jobs))
    if n_done < n:
        for number, result in _in_processes(runs, range(n_done, n), n_processes):
            done_s += runs.simulated_s[number]
            report(done_s / whole_s)
            yield number, result


def processes_that_pay(run_s: float, n_left: int, n_most: int) -> int:
    """Processes for the runs that are left: as many as may be, or 1 where starting them costs more than they save.

    Parameters
    ----------
    run_s : float
        What one run takes, seconds.
    n_left : int
        Runs that are left.
    n_most : int
        Most processes.

    Examples
    --------
    Nine runs of 0.1 s stay where they are; of one second each, four processes do them in three.

    >>> processes_that_pay(0.1, 9, n_most=4), processes_that_pay(1.0, 9, n_most=4)
    (1, 4)
    """
    n_processes = max(1, min(n_left, n_most))
    in_turns_s = run_s * math.ceil(n_left / n_processes)
    return n_processes if in_turns_s + PROCESSES_START_S < run_s * n_left else 1


def _cores() -> int:
    """Cores this process may use, or what the parallel backend of the caller offers."""
    import joblib  # here and not above: most runs need none of it

    return joblib.effective_n_jobs(-1)


def _part(
    report: Callable[[float], None], before_s: float, simulated_s: float, whole_s: float
) -> Callable[[float], None]:
    """Progress of one run as a share of all."""
    return lambda time_s: report((before_s + min(time_s, simulated_s)) / whole_s)


def _in_processes(runs: Runs, numbers: range, n_processes: int) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, delayed

    runs.compile()
    calls = (delayed(_numbered)(runs.run, number, runs.items[number]) for number in numbers)
    back = "generator" if runs.ordered else "generator_unordered"
    try:
        with _blind_to_ctrl_c():
            # One at a time: what is back with others in a batch would be lost with them.
            found = Parallel(n_jobs=n_processes, return_as=back, batch_size=1, **_first_in_each())(calls)
        try:
            for numbered in found:  # noqa: UP028 - `yield from` would close what it goes through, and that warns
                yield numbered
        finally:
            with warnings.catch_warnings(action="ignore"):  # who stops in the middle knows that not all is done
                found.close()
    except BrokenProcessPool:
        rule = "must leave every process the memory it needs (one was killed)"
        raise ScenarioError(Problem("n_jobs", rule, n_processes, "use fewer, 1 in the end")) from None


def _numbered(run: Callable, number: int, item: Any) -> tuple[int, Any]:
    """One run for another process, which is heard of when it is done."""
    return number, run(item, lambda time_s: None)


def _first_in_each() -> dict[str, Any]:
    """What processes that joblib itself starts do first; those of other backends end by rules of their own."""
    from joblib.parallel import BACKENDS, get_active_backend

    backend, _ = get_active_backend()
    return {"initializer": _end_with, "initargs": (os.getpid(),)} if type(backend) is BACKENDS["loky"] else {}


def _end_with(parent: int) -> None:
    """See to it that this process ends when its parent was killed: before the first run, in one, or between them."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="realtime-sim-parent", daemon=True).start()


@contextmanager
def _blind_to_ctrl_c() -> Iterator[None]:
    """Processes started inside never see a Ctrl-C: this one gets it, ends them, and has one message for all."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield  # how signals are handled is not ours to change
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # new processes inherit it
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
