"""Runs go to other processes where that saves time, come back in order or at once, and leave no process behind."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable
from functools import partial

import joblib
import pytest

from realtime_sim import processes
from realtime_sim.errors import ScenarioError
from realtime_sim.processes import PROCESSES_START_S, Runs, processes_that_pay, run_all


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


def nothing() -> None:
    """What needs no compiling."""


def doubled(item: int, progress: Callable[[float], None]) -> int:
    progress(1.0)
    return 2 * item


def runs(run: Callable, items: list, ordered: bool = True) -> Runs:
    return Runs(run, items, [1.0] * len(items), nothing, ordered)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_run_comes_back_once_with_its_number(n_jobs, ordered):
    found = list(run_all(runs(doubled, [5, 6, 7, 8, 9], ordered), n_jobs, 2, lambda _: None))
    assert sorted(found) == [(0, 10), (1, 12), (2, 14), (3, 16), (4, 18)]
    assert not ordered or found == sorted(found)


def test_progress_of_runs_here_comes_from_within_and_counts_simulated_time():
    seen: list[float] = []
    work = Runs(doubled, [1, 2], [1.0, 3.0], nothing)
    assert len(list(run_all(work, 1, 1, seen.append))) == 2
    assert seen == [0.25, 0.5]


@pytest.mark.parametrize(("run_s", "ran_here"), [(0.1, 5), (10.0, 1)])
def test_the_rest_goes_to_processes_if_the_first_run_took_long(monkeypatch, run_s, ran_here):
    """Four runs of 10 s are worth starting processes, four of 0.1 s are not. No process is started here."""
    clock, here, there = [0.0], [], []
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(processes, "_cores", lambda: 4)

    def run(number: int, progress: object) -> int:
        clock[0] += run_s + PROCESSES_START_S * (number == 0)
        here.append(number)
        return number

    def run_there(work: Runs, numbers: range, n_processes: int) -> list[tuple[int, int]]:
        there.append((numbers, n_processes))
        return [(number, number) for number in numbers]

    monkeypatch.setattr(processes, "_in_processes", run_there)
    found = run_all(runs(run, [0, 1, 2, 3, 4]), None, most_jobs=3, report=lambda _: None)
    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    assert here == list(range(ran_here))
    assert there == ([] if ran_here == 5 else [(range(1, 5), 3)])


def endless(item: int, progress: object) -> int:
    """The first is done at once, all others never are."""
    if item:
        threading.Event().wait(120)
    return item


def test_who_stops_in_the_middle_hears_no_warning_and_does_not_wait():
    """Warnings are errors here, and joblib warns of tasks whose results nobody takes."""
    found = run_all(runs(endless, [0, 1, 2, 3], ordered=False), 2, 2, lambda _: None)
    assert next(found) == (0, 0)
    with warnings.catch_warnings(action="error"):
        found.close()


# --- errors ---------------------------------------------------------------------------------------------------------


def killed(item: object, progress: object) -> None:
    """A run that the system ends for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def abandoned(item: object, progress: object) -> None:
    """A run whose parent is gone; its process ends itself, which here looks as if it had been killed."""
    os.getppid = lambda: 1
    threading.Event().wait(60)


@pytest.mark.parametrize("run", [killed, abandoned])
def test_a_killed_process_is_one_message(run):
    with pytest.raises(ScenarioError, match="n_jobs must leave every process the memory it needs .* got 2; use fewer"):
        list(run_all(runs(run, [1, 2]), 2, 2, lambda _: None))


def failing(item: int, progress: object) -> None:
    raise ValueError(f"run {item}")


def test_an_error_in_another_process_is_raised_here():
    for n_jobs in (1, 2):
        with pytest.raises(ValueError, match="run [78]"):
            list(run_all(runs(failing, [7, 8]), n_jobs, 2, lambda _: None))


def test_threads_of_this_very_process_do_not_watch_its_parent():
    """Under joblib's threads, a run is no process of its own; that the shell is gone is nothing to it."""
    with joblib.parallel_config("threading"):
        assert list(run_all(runs(doubled, [1, 2]), 2, 2, lambda _: None)) == [(0, 2), (1, 4)]
    assert "realtime-sim-parent" not in [thread.name for thread in threading.enumerate()]


def test_what_is_compiled_is_compiled_once_and_before_other_processes_start():
    calls: list[int] = []
    work = Runs(doubled, [1, 2, 3], [1.0] * 3, partial(calls.append, 1))
    list(run_all(work, 1, 1, lambda _: None))
    assert calls == []
    list(run_all(work, 2, 2, lambda _: None))
    assert calls == [1]
