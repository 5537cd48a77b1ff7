"""Replications: independent runs of one scenario, one after the other or in several processes.

A replication is a function of the scenario and its number alone, so its trace does not depend on where it runs, nor on
how many run beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from realtime_sim.engines import compile_engine
from realtime_sim.engines.services import draw
from realtime_sim.processes import Runs, run_all
from realtime_sim.scenario import Scenario
from realtime_sim.trace import Trace

__all__ = ["Task", "replicate"]


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
        Processes at a time, as for `realtime_sim.processes.run_all`.
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
    n = task.replications
    compiled = partial(compile_engine, task.engine, task.scenario, task.record)
    runs = Runs(partial(_replication, task), range(n), [task.scenario.duration] * n, compiled)
    for _, trace in run_all(runs, n_jobs, most_jobs, report):
        yield trace


def _replication(task: Task, number: int, progress: Callable[[float], None]) -> Trace:
    """Draw and run one of several."""
    workload, services = draw(task.scenario.replace(seed=task.scenario.seed + number), progress)
    trace = task.run(workload, task.record, progress, task.control)
    trace = dataclasses.replace(trace, services=services) if services else trace
    return trace if task.replications == 1 else trace.without_parts()
