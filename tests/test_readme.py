"""The README tells the truth: its examples run, its tables name what there is, its diagram is the code's own."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from realtime_sim.policies import POLICIES, lifecycle
from realtime_sim.scenario import Scenario, system
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS
from realtime_sim.transports import TRANSPORTS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


COMMANDS = [line for block in blocks("") for line in block.splitlines() if line.startswith("realtime-sim ")]


def test_the_scenario_of_the_readme_runs_and_keeps_its_promises():
    text, _ = blocks("yaml")
    results = simulate(Scenario.from_yaml(text))
    assert results.objectives()["kept"].all()


def test_the_commented_scenario_has_every_part_runs_and_delivers():
    _, text = blocks("yaml")
    data = yaml.safe_load(text)
    schema = Scenario.json_schema()
    assert list(data) == list(schema["properties"])
    written = {field for cohort in data["clients"] for field in cohort}
    assert written == set(schema["$defs"]["Cohort"]["properties"])
    assert set(data["servers"]) == set(schema["$defs"]["Servers"]["properties"])
    results = simulate(Scenario.from_yaml(text))
    total = results.deliveries.loc["total"]
    assert total["delivered"] > 0.9 * total["expected"] > 1_000


def test_the_python_of_the_readme_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "delivery latency p99" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, tmp_path):
    words = [word.replace("out/", f"{tmp_path}/") for word in shlex.split(command)[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "realtime_sim", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_commands_to_run():
    assert len(COMMANDS) >= 5


def test_the_table_of_hops_names_them_in_order():
    named = [name for name in re.findall(r"^\| (\w+) \|", TEXT, flags=re.MULTILINE) if name in HOPS]
    assert tuple(named) == HOPS


def test_the_diagram_is_generated_from_the_table():
    (diagram,) = blocks("mermaid")
    assert diagram.strip() == lifecycle.mermaid().strip()


def test_every_name_a_scenario_may_use_is_spelled_as_there():
    brokers = re.findall(r"\bkind: Literal\[\"(\w+)\"\]", inspect.getsource(system))
    names = [name for registry in POLICIES.values() for name in registry] + [*TRANSPORTS, *brokers]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_what_helps_to_write_a_scenario_is_mentioned():
    for word in (
        "--plots",
        "--replications",
        "--compare",
        "help(Scenario)",
        "schema",
        "fields",
        "policies",
        "profiles",
    ):
        assert word in TEXT, word
