"""README and docs/ tell the truth: their examples run, tables name what there is, the diagram is the code's own."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from realtime_sim import presets
from realtime_sim.cli.app import app
from realtime_sim.policies import POLICIES, lifecycle
from realtime_sim.scenario import Scenario, system
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS
from realtime_sim.transports import TRANSPORTS
from tests.conftest import as_live
from tests.test_profile_files import HERE

ROOT = Path(__file__).parent.parent
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if file.parent != ROOT / "docs" / "reference" / "python"  # which a build writes
}
"""Text of README and of every page of the documentation that is written by hand."""

TEXT = PAGES["README.md"]


def blocks(*languages: str, page: str = "README.md") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name in languages]


def commands(page: str) -> list[str]:
    """Every line of a block that a reader may paste, from the top to the bottom."""
    lines = [line for block in blocks("", "sh", page=page) for line in block.splitlines()]
    return [line for line in lines if line.startswith("realtime-sim ")]


def named(page: str) -> list[str]:
    """Commands within sentences and tables."""
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    return [" ".join(text.split()).partition(" > ")[0] for text in re.findall(r"`(realtime-sim [^`]+)`", prose)]


COMMANDS = [*dict.fromkeys(line for page in PAGES for line in commands(page))]
NAMED = [*dict.fromkeys(line for page in PAGES for line in named(page))]

ON_REAL_SOCKETS = ("live", "validate", "calibrate")
"""Commands that take a minute, and the machine for themselves; `test_live_cli` runs them."""

UNTIL_CTRL_C = ("app",)
"""Commands that end when somebody ends them; `test_app` does."""

WRITTEN = ("json_", "out", "report", "file", "plot", "plots")
"""What the commands call the files and folders that they write."""

FILE = re.compile(r"[\w./-]+\.(yaml|json|csv|html|png)")

MAKE = [
    line
    for text in (*PAGES.values(), (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    for line in re.findall(r"(?:^|`)(make [a-z][^`\n]*)", text, flags=re.MULTILINE)
]


def parsed(line: str) -> dict[str, Any]:
    """What the command line makes of a line, by the names of the command's parameters; nothing is run."""
    _, name, *words = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    with command.make_context(name, words) as context:
        return context.params


def files(given: dict[str, Any], written: bool) -> Iterator[str]:
    """Files that a line reads, or those that it writes."""
    for name, value in given.items():
        for text in value if isinstance(value, (list, tuple)) else [value]:
            path = str(text).rpartition("=")[2]
            if (name in WRITTEN) == written and FILE.fullmatch(path):
                yield path


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


@pytest.mark.parametrize("page", [page for page in PAGES if blocks("python", page=page)])
def test_the_python_of_a_page_runs(page, monkeypatch, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for block in blocks("python", page=page):
        exec(compile(block, page, "exec"), {})


@pytest.mark.parametrize("line", [line for line in COMMANDS + NAMED if len(line.split()) > 2])
def test_the_command_line_takes_a_line_of_a_page(line):
    given = parsed(line)
    scenario = given.get("scenario")
    assert scenario is None or scenario in presets.NAMES or FILE.fullmatch(scenario), scenario


@pytest.mark.parametrize("line", [line for line in NAMED if len(line.split()) == 2])
def test_a_command_that_is_only_named_is_there(line):
    assert line.split()[1] in typer.main.get_command(app).commands


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_files_that_a_page_names_are_there_or_written_by_a_line_before(page):
    written: set[str] = set()
    for line in commands(page):
        given = parsed(line)
        assert [path for path in files(given, written=False) if not ((ROOT / path).exists() or path in written)] == []
        written.update(files(given, written=True))


def leave(folder: Path, path: str) -> None:
    """What a live run, or a line that comes before, would have left there."""
    chat = Scenario.from_yaml(ROOT / "examples" / "chat.yaml").replace(duration=3, warmup=1)
    simulated = simulate(chat) if path.endswith(".json") else None
    left = {
        "out/here.yaml": lambda: yaml.safe_dump(HERE),
        "out/chat.json": lambda: simulated.to_json(),
        "out/live.json": lambda: as_live(simulated).to_json(),
    }
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text(left[path](), encoding="utf-8")


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.split()[1] not in ON_REAL_SOCKETS + UNTIL_CTRL_C])
def test_a_command_of_a_page_runs_as_it_stands(line, tmp_path):
    """But for plans by simulation, which take minutes: those are left to arithmetic."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    given, words = parsed(line), shlex.split(line)[1:]
    for path in files(given, written=False):
        if not (tmp_path / path).exists():
            leave(tmp_path, path)
    done = subprocess.run(
        [sys.executable, "-m", "realtime_sim", *words, *(["--no-queueing"] if words[0] == "plan" else [])],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert [path for path in files(given, written=True) if not (tmp_path / path).is_file()] == []


def test_there_are_commands_to_run():
    assert len(commands("README.md")) >= 15 and len(NAMED) >= 3 and len(MAKE) >= 10
    assert sum(bool(commands(page)) for page in PAGES) >= 5
    assert {line.split()[1] for line in COMMANDS} > {*ON_REAL_SOCKETS, "plan", "sweep", "sensitivity", "manifests"}


@pytest.mark.parametrize("line", sorted(set(MAKE)))
def test_a_target_that_is_named_is_in_the_makefile(line):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in line.split()[1:]:
        name, equals, _ = word.partition("=")
        assert re.search(rf"^{name} \?=" if equals else rf"^{name}:", makefile, flags=re.MULTILINE), word


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
