"""The commands of the live cluster print and save what they found, and say by their exit code what it is worth."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

VALID, OFF, BAD_INPUT, INVALID = 0, 1, 2, 3

SHORT = ["--set", "duration=4s", "--set", "warmup=1s"]


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "realtime_sim", *words], cwd=ROOT, capture_output=True, text=True, timeout=240
    )


@pytest.mark.live
def test_live_prints_and_saves_a_run(tmp_path):
    path, figures = tmp_path / "live.json", tmp_path / "figures"
    done = command("live", "examples/chat.yaml", *SHORT, "--json", str(path), "--plots", str(figures), "--dashboard")
    plain = json.loads(path.read_text())
    assert done.returncode == (VALID if plain["conditions"]["valid"] else INVALID), done.stderr
    assert [done.stdout.count(reason) for reason in plain["conditions"]["reasons"]] == [1] * (
        done.returncode == INVALID
    )
    assert plain["engine"] == "live"
    assert plain["deliveries"]["delivered"] == plain["deliveries"]["expected"] > 1_000
    assert re.search(
        r"^Dashboard: http://127\.0\.0\.1:\d+/ until the run is over; a page that", done.stderr, re.MULTILINE
    )
    assert [file.name for file in figures.iterdir()] == ["chat-live.png"]


@pytest.mark.live
def test_live_says_why_a_run_is_not_valid_beside_json_on_standard_output():
    done = command("live", "examples/chat.yaml", *SHORT, "--json", "-")
    plain = json.loads(done.stdout)
    told = [line for line in done.stderr.splitlines() if line.startswith("NOT VALID: ")]
    assert told == [f"NOT VALID: {reason}" for reason in plain["conditions"]["reasons"]]
    assert done.returncode == (INVALID if told else VALID)


@pytest.mark.live
def test_validate_writes_its_report(tmp_path):
    report, path = tmp_path / "chat.html", tmp_path / "chat.json"
    done = command(
        "validate", "examples/chat.yaml", *SHORT, "--runs", "1", "--report", str(report), "--json", str(path)
    )
    assert done.returncode in (VALID, OFF), done.stderr
    assert "delivery latency p99" in done.stdout
    assert "</html>" in report.read_text()
    figures = json.loads(path.read_text())["figures"]
    assert figures["deliveries delivered"]["verdict"] in ("agrees", "not judged", "not decided")


@pytest.mark.live
def test_a_foreign_broker_that_is_not_there_is_one_message():
    done = command("live", "examples/chat.yaml", "--broker", "redis://127.0.0.1:1")
    assert done.returncode == BAD_INPUT
    assert done.stderr.count("\n") == 1
    assert "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["live", "examples/chat.yaml", "--broker", "redsi"], "--broker must be a known broker or a URL"),
        (["live", "examples/chat.yaml", "--balancer", "ngnix"], "did you mean 'nginx'?"),
        (["live", "chatt"], "scenario must be a preset or a file"),
        (["live", "examples/chat.yaml", "--set", "servers.workers=2"], "servers.workers"),
        (["live", "examples/chat.yaml", "--record", "fulll"], "did you mean 'full'?"),
        (["live", "examples/chat.yaml", "--dashboard", "--port", "70000"], "from 0 to 65_535"),
        (["live", "examples/chat.yaml", "--port", "8000"], "--port must be left out without a page"),
        (["live", "examples/chat.yaml", "--port", "x"], "as an integer. See realtime-sim live --help."),
        (["validate", "examples/chat.yaml", "--runs", "0"], "--runs must be a whole number from 1"),
        (["validate", "examples/chat.yaml", "--profile", "no.yaml"], "written (No such file or directory)"),
        (["validate", "examples/chat.yaml", "--report", "out/chat.pdf"], "--report must end in .html, .md or .json"),
        (["validate", "examples/chat.yaml", "--report", "-"], "--report must end in .html, .md or .json"),
        (["calibrate", "--repeats", "0"], "--repeats must be a whole number from 1"),
        (["compare", "no.json", "no.json"], "no.json must be a file that can be read"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(words, message):
    done = command(*words)
    assert done.returncode == BAD_INPUT
    assert message in done.stderr
    assert "Traceback" not in done.stderr
