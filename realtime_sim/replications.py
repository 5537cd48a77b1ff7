"""Replications: independent runs of one scenario, one after the other or in several processes.

A replication is a function of the scenario and its number alone, so its trace does not depend on where it runs, nor on
how many run beside it. Processes come from joblib, whose `parallel_config` may put others (Dask, Ray) in their place.
"""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from realtime_sim.engines import compile_engine
from realtime_sim.engines.services import draw
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.trace import Trace

__all__ = ["PROCESSES_START_S", "Task", "processes_that_pay", "replicate"]

PROCESSES_START_S = 3.0
"""What starting processes is taken to cost until they work, most of it imports: a ceiling. Four small runs in two
processes took 1.6 s in all."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be run, and how often.

    Parameters
    ----------
    scenario : Scenario
        What to run; replication i has the seed `scenario.seed + i`.
    engine : str
        Name of the engine.
    run : callable
        Its function `run(workload, record, progress, control) -> Trace`.
    record : str
        How much a trace keeps.
    replications : int
        How many, at least 1.
    control : tuple of callable
        Control processes of the user.
    """

    scenario: Scenario
    engine: str
    run: Callable
    record: str
    replications: int
    control: tuple[Callable, ...] = ()


def replicate(task: Task, n_jobs: int | None, most_jobs: int, report: Callable[[float], None]) -> Iterator[Trace]:
    """Traces of the replications in their order; of several without what intervals of a single run need.

    Parameters
    ----------
    task : Task
        What to run.
    n_jobs : int, optional
        Processes at a time, -1 for all cores. Left out, runs stay in this process until `processes_that_pay` says
        that the rest should not.
    most_jobs : int
        Most processes where `n_jobs` is left out.
    report : callable
        Told the share done: within replications here, with whole ones of other processes.

    Yields
    ------
    Trace
        One for each replication.

    Raises
    ------
    ScenarioError
        If a process was killed, most likely for want of memory.
    """
    n, n_done, n_processes = task.replications, 0, 1
    if n_jobs is not None and n_jobs != 1 and n > 1:
        n_processes = min(_cores() if n_jobs == -1 else n_jobs, n)
    while n_done < n and n_processes == 1:
        begun = time.monotonic()
        yield _replication(task, n_done, _part(report, n_done, n, task.scenario.duration))
        # The first run of an engine loads it, as a new process would.
        run_s = time.monotonic() - begun - PROCESSES_START_S * (n_done == 0)
        n_done += 1
        if n_jobs is None and run_s * (n - n_done) > PROCESSES_START_S:
            n_processes = processes_that_pay(run_s, n - n_done, min(_cores(), most_jobs))
    if n_done < n:
        for trace in _in_processes(task, range(n_done, n), n_processes):
            n_done += 1
            report(n_done / n)
            yield trace


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


def _replication(
    task: Task, number: int, progress: Callable[[float], None] | None = None, started_by: int = 0
) -> Trace:
    """Draw and run one of several, here or, without `progress`, for the process `started_by`."""
    progress = progress or _end_with_parent(started_by)
    workload, services = draw(task.scenario.replace(seed=task.scenario.seed + number), progress)
    trace = task.run(workload, task.record, progress, task.control)
    trace = dataclasses.replace(trace, services=services) if services else trace
    return trace if task.replications == 1 else trace.without_parts()


def _part(report: Callable[[float], None], number: int, of: int, duration_s: float) -> Callable[[float], None]:
    """Progress of one replication as a share of all."""
    return lambda time_s: report((number + min(time_s / duration_s, 1.0)) / of)


def _in_processes(task: Task, numbers: range, n_processes: int) -> Iterator[Trace]:
    from joblib import Parallel, delayed

    compile_engine(task.engine, task.scenario, task.record)
    runs = (delayed(_replication)(task, number, started_by=os.getpid()) for number in numbers)
    try:
        with _blind_to_ctrl_c():
            traces = Parallel(n_jobs=n_processes, return_as="generator")(runs)
        yield from traces
    except BrokenProcessPool:
        rule = "must leave every process the memory it needs (one was killed)"
        raise ScenarioError(Problem("n_jobs", rule, n_processes, "use fewer, 1 in the end")) from None


def _end_with_parent(started_by: int) -> Callable[[float], None]:
    """Progress of a run in another process: nobody is told, but it ends if the process it works for was killed.

    Another of joblib's backends may run it in that very process, which must not end.
    """
    here, parent = os.getpid(), os.getppid()

    def progress(time_s: float) -> None:
        if here != started_by and os.getppid() != parent:
            os._exit(1)

    return progress


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
