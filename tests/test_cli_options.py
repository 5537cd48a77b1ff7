"""A message calls what is wrong by the option that the user has written, with the rule, the value and a next step."""

from __future__ import annotations

import re
import shlex

import pytest

from realtime_sim.cli.app import app
from realtime_sim.cli.options import assigned, check_outputs, listed, refuse_empty, spelled
from realtime_sim.errors import Problem, ScenarioError

COUNTS = "must be a whole number from 1 to"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plan chat --growth 0", "--growth must be a number above 0, got 0.0; use 2 for twice as many clients"),
        ("plan chat --growth=-1", "--growth must be a number above 0, got -1.0; use 2 for twice as many clients"),
        ("plan chat --growth nan", "--growth must be numbers with commas between them, got 'nan'; write them like 1,2"),
        ("plan chat --growth 1e300", "--growth must leave every field within its rules (clients[0].count must be at "),
        ("plan chat --replications 0", f"--replications {COUNTS} 1_000, got 0; use 3"),
        ("plan chat --n-jobs=-5", "--n-jobs must be a whole number of processes from 1, or -1 for all cores, got -5;"),
        ("plan chat --over servers.workers=", "--over servers.workers must have a value or more, got []; write it "),
        ("plan chat --over servers.workers=0", "servers.workers must be at least 1, got 0; write it like 2"),
        ("plan chat --slo p99=", "--slo p99 must have a value, got ''; write it like p99=200ms, or null for nothing"),
        ("plan chat --slo p99=-1", "slo.p99 must be at least 0s, got -1; write it like '250ms'"),
        ("plan chat --prices none.yaml", "--prices must be a readable YAML file (No such file or directory), got "),
        ("plan chat --report x.pdf", "--report must end in .html, .md or .json, got 'x.pdf';"),
        (
            "sweep chat --over seed=1,1",
            "--over must differ (combinations 0 and 1 are the same scenario), got {'seed': ",
        ),
        ("sweep chat --over seed=1 --replications=-1", f"--replications {COUNTS} 10_000, got -1; use 1"),
        ("sweep chat --over seed=1 --n-jobs 0", "--n-jobs must be a whole number of processes from 1"),
        ("sweep chat --over seed=1 --engine fst", "--engine must be a known engine, got 'fst'; did you mean 'fast'?"),
        ("sweep chat --over seed=1 --figures p98_s", "--figures must be a figure of a run, got 'p98_s'; did you mean"),
        (
            "sweep chat --over seed=1 --figures ,",
            "--figures must name a figure or more, got ','; write them like p99_s",
        ),
        ("sweep chat --over seed=1 --file x.txt", "--file must end in .csv or .parquet, got 'x.txt'; choose one of"),
        ("sensitivity chat --input servers.count=2", "--input servers.count must have two values or more, got [2];"),
        (
            "sensitivity chat --input servers.count=4,2",
            "--input servers.count must be a range with its lower end first",
        ),
        ("sensitivity chat --input servers.count=1,2 --of x", "--of must be a figure of a run, got 'x'; known names: "),
        ("sensitivity chat --input servers.count=1,2 --method sobel", "--method must be a known method, got 'sobel'; "),
        ("sensitivity chat --input servers.count=1,2 --samples 3", "--samples must be left out for a tornado, got 3; "),
        ("sensitivity chat --input servers.count=1,2 --plot x.xyz", "--plot must end in .png, .svg or .pdf, got 'x.xy"),
        ("manifests chat --out k8s --servers 0", "--servers must be at least 1, got 0; write it like 4"),
        (f"manifests chat --out k8s --servers {10**30}", f"--servers must be at most 10_000, got {10**30}; model one"),
        ("manifests chat --out k8s --image 'a b'", "--image must be the name of an image, got 'a b'; write it like"),
        (
            "manifests chat --out k8s --name 'No Name'",
            "--name must be a DNS label of at most 50 signs that begins with",
        ),
        ("manifests chat --out k8s --port 0", "--port must be from 1 to 65_535, got 0; use the port that the server"),
        (
            "manifests chat --out /dev/null/x",
            "--out must be a file that can be written (Not a directory), got '/dev/nu",
        ),
        (
            "limits chat --target-utilization nan",
            "--target-utilization must be above 0 and at most 1, got nan; use 0.7",
        ),
    ],
)
def test_a_bad_value_is_told_of_its_option_before_anything_runs(line, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError, match=f"^{re.escape(message)}"):
        app(args=shlex.split(line), standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "option"),
    [(["plan", "chat", "--growth", ""], "--growth"), (["plan", "chat", "--report="], "--report")],
)
def test_an_option_without_a_value_is_not_taken_for_one_left_out(words, option):
    with pytest.raises(ScenarioError, match=f"^{option} must not be empty, got ''; give it a value, or leave it out$"):
        refuse_empty(words)


def test_what_is_no_option_or_has_a_value_may_be_written():
    refuse_empty(["plan", "", "--set=servers.count=8", "--set", "name=", "--no-queueing"])


def test_values_are_read_as_yaml_and_lists_need_no_brackets():
    assert assigned("--set", "broker={kind: nats}") == ("broker", {"kind": "nats"})
    assert listed("--over", ["servers.count=2,4", "broker.kind=nats"]) == {
        "servers.count": [2, 4],
        "broker.kind": ["nats"],
    }


def test_a_path_that_stands_there_twice_does_not_win_in_silence():
    with pytest.raises(ScenarioError, match="^--over seed must stand there once, got \\[2\\]; write all values behind"):
        listed("--over", ["seed=1", "seed=2"])


def test_only_arguments_of_the_function_are_called_by_their_options():
    """Their parts keep their names, and the file that a message is about stays."""
    problems = [Problem(path, "must be", 0, "do") for path in ("n_jobs", "inputs['seed']", "servers.count", "n_job")]
    with pytest.raises(ScenarioError) as caught, spelled("n_jobs", inputs="--input"):
        raise ScenarioError(problems, "a.yaml")
    assert [problem.path for problem in caught.value.problems] == ["--n-jobs", "--input seed", "servers.count", "n_job"]
    assert caught.value.source == "a.yaml"


def test_files_are_tried_before_a_run_and_leave_nothing(tmp_path):
    check_outputs(json_="-", report="", plots=tmp_path / "figures" / "a.png")
    assert list((tmp_path / "figures").iterdir()) == []
    with pytest.raises(ScenarioError, match="^--json must be a file that can be written"):
        check_outputs(json_="/dev/null/x.json", report=tmp_path / "a.html")
