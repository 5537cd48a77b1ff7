"""Replications give the same results in one process or several, and go to several where that saves time."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from realtime_sim import replications
from realtime_sim.errors import ScenarioError
from realtime_sim.replications import PROCESSES_START_S, Task, processes_that_pay, replicate
from realtime_sim.simulation import simulate
from realtime_sim.trace import N_BATCHES, Trace
from realtime_sim.workload import Workload
from tests.conftest import small


@pytest.mark.parametrize(
    ("run_s", "n_left", "n_most", "n"),
    [
        (PROCESSES_START_S / 2, 2, 2, 1),  # saves 1.5 s of 3, for 3 s
        (PROCESSES_START_S, 2, 2, 1),  # saves as much as it costs
        (PROCESSES_START_S * 1.01, 2, 2, 2),
        (PROCESSES_START_S * 1.01, 2, 64, 2),  # no more processes than runs
        (PROCESSES_START_S * 0.6, 3, 2, 1),  # two turns instead of three save 1.8 s
        (1.0, 100, 8, 8),
        (1.0, 100, 1, 1),
        (0.0, 100, 8, 1),
        (-2.0, 100, 8, 1),  # the first run, without what loading takes
    ],
)
def test_processes_are_started_where_they_save_more_than_they_cost(run_s, n_left, n_most, n):
    assert processes_that_pay(run_s, n_left, n_most) == n


# --- the same results -----------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_the_number_of_processes():
    case = small(clients=[{"name": "c", "count": 100, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}])
    figures = [simulate(case, replications=4, n_jobs=n).to_plain() for n in (1, 2, 3)]
    assert figures[0] == figures[1] == figures[2]
    assert figures[0]["replications"] == 4


def test_every_delivery_comes_back_from_other_processes_too():
    case = small(traffic=[{"name": "t", "rate": 5}])
    here, there = (simulate(case, replications=2, n_jobs=n, record="full").traces for n in (1, 2))
    assert [one.diff(other) for one, other in zip(here, there, strict=True)] == [None, None]
    assert len(here[0].rows["client"]) > 0 and here[0].diff(here[1]) is not None


def test_of_several_replications_only_the_sum_of_their_slices_is_kept():
    """Each one's slices and groups of clients take 17 MB, which a view of nothing would hold on to."""
    case = small(traffic=[{"name": "t", "rate": 5}])
    results = simulate(case, replications=2)
    for trace in results.traces:
        assert trace.batch_histogram.base is None and trace.batch_histogram.size == 0
        assert trace.group_histogram.base is None and trace.group_histogram.size == 0
    single = [simulate(case.replace(seed=seed)).latency_over_time["delivered"] for seed in (0, 1)]
    assert results.latency_over_time["delivered"].tolist() == (single[0] + single[1]).tolist()
    assert len(results.latency_over_time) == N_BATCHES


# --- where they run, and what is told of it -------------------------------------------------------------------------


@pytest.mark.parametrize(("run_s", "ran_here"), [(0.1, 5), (10.0, 1)])
def test_the_rest_goes_to_processes_if_the_first_run_took_long(monkeypatch, run_s, ran_here):
    """Four runs of 10 s are worth starting processes, four of 0.1 s are not. No process is started here."""
    clock, here, there = [0.0], [], []
    monkeypatch.setattr(replications.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(replications, "_cores", lambda: 4)

    def run(task: Task, number: int, progress: object) -> int:
        clock[0] += run_s + PROCESSES_START_S * (number == 0)
        here.append(number)
        return number

    def run_there(task: Task, numbers: range, n_processes: int) -> range:
        there.append((numbers, n_processes))
        return numbers

    monkeypatch.setattr(replications, "_replication", run)
    monkeypatch.setattr(replications, "_in_processes", run_there)
    task = Task(small(), "reference", run, "summary", replications=5)
    assert list(replicate(task, None, most_jobs=3, report=lambda _: None)) == [0, 1, 2, 3, 4]
    assert here == list(range(ran_here))
    assert there == ([] if ran_here == 5 else [(range(1, 5), 3)])


def test_progress_of_other_processes_comes_by_whole_replications():
    seen: list[float] = []
    simulate(small(), replications=4, n_jobs=2, progress=seen.append)
    assert seen == [0.25, 0.5, 0.75, 1.0]


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [0, -2, True, 2.5, "2"])
def test_a_wrong_number_of_processes_is_refused(n_jobs):
    with pytest.raises(ScenarioError) as caught:
        simulate(small(), n_jobs=n_jobs)
    rule = "n_jobs must be a whole number of processes from 1, or -1 for all cores"
    assert str(caught.value) == f"{rule}, got {n_jobs!r}; use 1 to stay in this process"


def test_an_error_in_another_process_is_the_same_as_here():
    texts = []
    for n_jobs in (1, 2):
        with pytest.raises(ScenarioError) as caught:
            simulate(small(seed=2**63 - 1), replications=2, n_jobs=n_jobs)
        texts.append(str(caught.value))
    assert texts[0] == texts[1] and texts[0].startswith("seed must be a whole number")


def killed(workload: Workload, record: str, progress: object, control: tuple) -> Trace:
    """A run that the system ends for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_message():
    with pytest.raises(ScenarioError, match="n_jobs must leave every process the memory it needs .* got 2; use fewer"):
        list(replicate(Task(small(), "reference", killed, "summary", 2), 2, 2, lambda _: None))


def abandoned(workload: Workload, record: str, progress: object, control: tuple) -> Trace:
    """A run whose parent is gone."""
    os.getppid = lambda: 1
    progress(0.0)


def test_a_run_ends_when_whom_it_works_for_was_killed():
    """It ends itself, which here looks as if it had been killed."""
    with pytest.raises(ScenarioError, match="one was killed"):
        list(replicate(Task(small(), "reference", abandoned, "summary", 2), 2, 2, lambda _: None))


def test_a_run_for_this_very_process_does_not_end_it(monkeypatch):
    """Under joblib's threads, a run is no process of its own; that the shell is gone is nothing to it."""
    progress = replications._end_with_parent(started_by=os.getpid())
    monkeypatch.setattr(os, "getppid", lambda: 1)
    progress(0.5)
    monkeypatch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    other = replications._end_with_parent(started_by=os.getpid() + 1)
    monkeypatch.setattr(os, "getppid", lambda: 2)
    with pytest.raises(SystemExit):
        other(0.5)


def test_numbers_of_numpy_are_numbers():
    results = simulate(small(duration=2), replications=np.int64(2), n_jobs=np.int64(1))
    assert results.n_replications == 2
