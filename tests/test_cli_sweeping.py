"""`sweep` and `sensitivity` on the command line say what the functions find, in tables, JSON, files and pictures."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd

from realtime_sim import presets
from realtime_sim.sweeps import sensitivity, sweep

QUICK = ["--set", "duration=2s", "--set", "warmup=1s", "--set", "clients.phones.count=100"]
CASE = presets.load("chat").replace(**{"duration": "2s", "warmup": "1s", "clients.phones.count": 100})


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "realtime_sim", *words], capture_output=True, text=True, timeout=300, check=False
    )


def test_sweep_prints_the_table_and_keeps_the_runs(tmp_path):
    file = tmp_path / "sweep.csv"
    over = ["--over", "servers.count=1,2", "--over", "broker.kind=redis_pubsub,kafka"]
    done = command("sweep", "chat", *QUICK, *over, "--replications", "2", "--file", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    found = sweep(CASE, {"servers.count": [1, 2], "broker.kind": ["redis_pubsub", "kafka"]}, replications=2)
    assert done.stdout == f"{found}\n\nRuns: {file}\n"
    assert len(pd.read_csv(file)) == 8


def test_json_of_a_sweep_is_that_of_the_function():
    done = command("sweep", "chat", *QUICK, "--over", "seed=1,2", "--figures", "p99_s, lost_ratio", "--json", "-")
    expected = sweep(CASE, {"seed": [1, 2]}, figures=["p99_s", "lost_ratio"])
    assert json.loads(done.stdout) == json.loads(expected.to_json())


def test_sensitivity_prints_draws_and_writes(tmp_path):
    words = ["--input", "servers.max_connections=500,5_000", "--input", "servers.memory=512MiB,4GiB", "--of", "servers"]
    done = command(
        "sensitivity", "million", *words, "--plot", str(tmp_path / "bars.png"), "--json", str(tmp_path / "found.json")
    )
    assert (done.returncode, done.stderr) == (0, "")
    ranges = {"servers.max_connections": (500, 5_000), "servers.memory": ("512MiB", "4GiB")}
    found = sensitivity(presets.load("million"), ranges, of="servers")
    assert done.stdout.startswith(f"{found}\n") and "moves most with servers.max_connections" in found.headline
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(found.to_json())
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_one_message_and_exit_code_2(tmp_path):
    done = command("sweep", "chat", "--over", "servers.count=0,2", "--over", "servers.cont=1")
    assert done.returncode == 2 and done.stdout == ""
    assert "servers.count must be at least 1, got 0" in done.stderr and "servers.cont is not a known" in done.stderr
    done = command("sweep", "chat")
    assert done.returncode == 2 and "--over" in done.stderr
    done = command("sensitivity", "chat", "--input", "servers.count", "--of", "servers")
    assert done.returncode == 2 and "--input must be PATH=VALUE, got 'servers.count'" in done.stderr
    (tmp_path / "notes.csv").write_text("notes")
    done = command("sweep", "chat", *QUICK, "--over", "seed=1,2", "--file", str(tmp_path / "notes.csv"))
    assert done.returncode == 2 and "it is no table of a sweep" in done.stderr
