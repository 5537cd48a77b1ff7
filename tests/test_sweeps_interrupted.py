"""A sweep that is interrupted twice, by a real Ctrl-C to real processes, ends with the frame of one that never was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from realtime_sim import presets
from realtime_sim.sweeps import sweep

CASE = {"duration": "2s", "warmup": "1s", "clients.phones.count": 200}
OVER = {"servers.count": [1, 2, 3], "servers.workers": [1, 2]}
WORDS = ["sweep", "chat", "--over", "servers.count=1,2,3", "--over", "servers.workers=1,2", "--replications", "4"]
N = 24


def started(file: Path, n_jobs: int) -> subprocess.Popen[str]:
    changes = [word for path, value in CASE.items() for word in ("--set", f"{path}={value}")]
    words = [*WORDS, *changes, "--n-jobs", str(n_jobs), "--file", str(file)]
    return subprocess.Popen(
        [sys.executable, "-m", "realtime_sim", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )  # fmt: skip


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for_lines(file: Path, n: int, of: subprocess.Popen) -> None:
    """Until so many lines are there; two minutes at most."""
    until = time.monotonic() + 120
    while lines_in(file) < n:
        assert of.poll() is None, of.communicate()
        assert time.monotonic() < until, f"{lines_in(file)} of {n} lines after two minutes"
        os.sched_yield()


def processes_of(session: int) -> list[int]:
    """Processes that belong to a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def wait_until_gone(session: int) -> None:
    """Until a session has no process any more: others see in half a second that theirs is gone; a minute at most."""
    until = time.monotonic() + 60
    while left := processes_of(session):
        assert time.monotonic() < until, left
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are read from /proc")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupted_twice_it_ends_with_the_same_frame(tmp_path, n_jobs):
    file = tmp_path / "sweep.csv"
    lines: list[bytes] = []
    for least in (3, 9):
        with started(file, n_jobs) as one:
            wait_for_lines(file, least, one)
            os.killpg(one.pid, signal.SIGINT)
            out, err = one.communicate(timeout=60)
        assert (one.returncode, out) == (130, "")
        n_done = lines_in(file) - 1
        told = re.search(rf"realtime-sim: interrupted; (\d+) of {N} runs are in {file}; asked again, the sweep", err)
        assert n_done - int(told[1]) in (0, 1)  # the signal may have come while the last line was forced to the disk
        wait_until_gone(one.pid)
        assert least - 1 <= n_done < N
        kept = file.read_bytes().splitlines()
        assert kept[: len(lines)] == lines  # nothing that was there has changed
        lines = kept
    with started(file, n_jobs) as last:
        _, err = last.communicate(timeout=300)
    assert (last.returncode, err) == (0, "")
    read = pd.read_csv(file)
    assert len(read) == N and read["run"].is_unique and file.read_bytes().splitlines()[: len(lines)] == lines

    scenario = presets.load("chat").replace(**CASE)
    resumed = sweep(scenario, OVER, replications=4, file=file, progress=lambda _: pytest.fail("it ran"))
    pd.testing.assert_frame_equal(resumed.frame, sweep(scenario, OVER, replications=4).frame)


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are read from /proc")
def test_killed_outright_it_loses_nothing_and_leaves_no_process(tmp_path):
    """SIGKILL leaves no time to end the workers: they see that whom they work for is gone, and end."""
    file = tmp_path / "sweep.csv"
    with started(file, 2) as one:
        wait_for_lines(file, 3, one)
        one.kill()
        one.wait(60)
        n_done = file.read_bytes().count(b"\n")
        wait_until_gone(one.pid)
    assert lines_in(file) == n_done >= 3


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are read from /proc")
def test_killed_while_its_processes_start_it_leaves_none(tmp_path):
    """A process that starts when its parent is gone already has another one, which stays: it must know whose it was."""
    with started(tmp_path / "sweep.csv", 2) as one:
        until = time.monotonic() + 60
        while len(processes_of(one.pid)) < 4:  # itself, what tracks its resources, and the two that are to run
            assert one.poll() is None and time.monotonic() < until
        one.kill()
        one.wait(60)
        wait_until_gone(one.pid)
