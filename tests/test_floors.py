"""The package is a house of floors: a module imports from lower floors only, and third parties where they belong.

The tables below are the rule. A new module gets a row in `FLOORS`; an exception gets a row with its reason.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import realtime_sim

PACKAGE = "realtime_sim"
ROOT = Path(realtime_sim.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
LONGEST_MODULE = 450

FLOORS = {
    # 0 ground
    "errors": 0,
    "files": 0,
    "units": 0,
    # 1 rules
    "arrivals": 1,
    "buckets": 1,
    "costs": 1,
    "draws": 1,
    "grouping": 1,
    "metrics": 1,
    "policies": 1,
    "theory": 1,
    "transports": 1,
    "wire": 1,
    # 2 statement
    "pipeline": 2,
    "presets": 2,
    "prices": 2,
    "profile_files": 2,
    "profiles": 2,
    "proxies": 2,
    "recorder": 2,
    "scenario": 2,
    "trace": 2,
    "workload": 2,
    # 3 producers
    "control": 3,
    "engines": 3,
    "engines.fast": 3,
    "engines.reference": 3,
    # 4 meaning
    "answers": 4,
    "diagnosis": 4,
    "latency": 4,
    "objectives": 4,
    "recovery": 4,
    "results": 4,
    "services": 4,
    "states": 4,
    "stats": 4,
    "storms": 4,
    "timelines": 4,
    # 5 questions
    "agreement": 5,
    "backoffs": 5,
    "choose": 5,
    "deployment": 5,
    "limits": 5,
    "planning": 5,
    "processes": 5,
    "progress": 5,
    "replications": 5,
    "simulation": 5,
    "sweeps": 5,
    "sizing": 5,
    # 6 faces
    "__main__": 6,
    "app": 6,
    "cli": 6,
    "comparison": 6,
    "demo": 6,
    "guide": 6,
    "plots": 6,
    "report": 6,
    "tables": 6,
    "teaching": 6,
    "widgets": 6,
}
"""Floor of each module or package; what a package holds belongs to it, unless it has a row of its own."""

THIRD_PARTY = {
    0: {"numpy"},
    1: {"numba", "numpy", "scipy"},
    2: {"numpy", "pydantic", "pydantic_core", "yaml"},
    3: {"numba", "numpy", "simpy"},
    4: {"numpy", "pandas", "scipy"},
    5: {"joblib", "numpy", "pandas"},
    6: {"numpy", "pandas"},
}
"""What the modules of a floor may import besides the standard library and this package."""

THIRD_PARTY_OF_ONE = {
    ("app", "jupyter_client"): "kernels of the page are those of this Python",
    ("app", "nbformat"): "the page is a notebook",
    ("app", "tornado"): "a socket that was opened before the server",
    ("app", "traitlets"): "how the server is configured",
    ("app", "voila"): "the server of the page",
    ("engines.fast", "llvmlite"): "a type of its own for compiled code",
    ("deployment", "yaml"): "manifests are YAML",
    ("cli", "rich"): "tables and progress on a terminal",
    ("cli", "typer"): "the command line",
    ("cli", "yaml"): "values of --set are YAML",
    ("plots", "matplotlib"): "the one module that draws",
    ("report", "jinja2"): "pages are written from templates",
    ("scenario", "scipy"): "quantiles of the gamma distribution",
    ("progress", "IPython"): "a bar below a cell of a notebook",
    ("progress", "rich"): "a bar on a terminal",
    ("widgets", "ipywidgets"): "sliders and figures of a notebook",
    ("sweeps", "SALib"): "the methods of Morris and Sobol",
}
"""What one module may import beyond its floor, and why."""

SAME_FLOOR = {
    ("agreement", "limits"): "tables of text are aligned in one way",
    ("deployment", "limits"): "how fast servers accept clients is theirs, and so are figures in words",
    ("__main__", "cli"): "python -m realtime_sim is the command",
    ("backoffs", "progress"): "a long comparison shows how far it is",
    ("backoffs", "simulation"): "each policy is a simulation",
    ("cli", "app"): "the command `app` serves it",
    ("cli", "comparison"): "`simulate --compare` prints it",
    ("demo", "comparison"): "the demonstration compares the transports",
    ("cli", "demo"): "the command `demo` runs it",
    ("cli", "guide"): "the commands `fields`, `profiles` and `policies` print it",
    ("cli", "plots"): "commands save figures",
    ("cli", "report"): "commands write pages",
    ("cli", "tables"): "commands print them",
    ("arrivals", "draws"): "arrivals are drawn",
    ("demo", "plots"): "the demonstration saves figures",
    ("engines", "control"): "an engine starts the control processes and implements their cluster",
    ("engines.fast", "control"): "an engine starts the control processes and implements their cluster",
    ("engines.fast", "engines"): "what every engine takes for granted, and the clock of the control processes",
    ("engines.reference", "control"): "an engine starts the control processes and implements their cluster",
    ("engines.reference", "engines"): "the written order of simultaneous events is one for all engines",
    ("files", "errors"): "a file that cannot be written is one clear message",
    ("pipeline", "scenario"): "what services push depends on its streams",
    ("pipeline", "workload"): "what services push is part of a workload",
    ("presets", "scenario"): "a preset is a scenario",
    ("recorder", "pipeline"): "what becomes of events is part of a trace",
    ("recorder", "scenario"): "whether clients differ by chance is the scenario's word",
    ("recorder", "trace"): "a recorder fills a trace",
    ("recorder", "workload"): "it is told the population it records",
    ("diagnosis", "latency"): "a promise is about its quantiles",
    ("diagnosis", "results"): "for the type checker alone: it reads results, and they call it",
    ("diagnosis", "services"): "services that cannot keep up are warned of",
    ("diagnosis", "stats"): "checks compare intervals",
    ("diagnosis", "timelines"): "a busy thread of the broker shows in its series",
    ("planning", "deployment"): "an answer may be deployed",
    ("planning", "limits"): "what arithmetic rules out is not simulated",
    ("planning", "progress"): "a long search shows how far it is",
    ("planning", "simulation"): "the drills are simulations",
    ("replications", "processes"): "replications may run at a time",
    ("prices", "scenario"): "what a user writes is read in one way",
    ("sizing", "limits"): "a row may be arithmetic alone",
    ("sizing", "planning"): "each row is a plan",
    ("simulation", "replications"): "a simulation is one run or several",
    ("simulation", "progress"): "a long run shows how far it is",
    ("sweeps", "limits"): "servers needed may be the figure, and tables of text are aligned in one way",
    ("sweeps", "processes"): "runs of a sweep run at a time",
    ("sweeps", "progress"): "a long sweep shows how far it is",
    ("sweeps", "simulation"): "each run is a simulation",
    ("report", "plots"): "a report has figures",
    ("widgets", "demo"): "a scenario is put on another transport in one way",
    ("widgets", "guide"): "fields are what their schema says, in one way",
    ("widgets", "plots"): "a widget shows figures",
    ("widgets", "report"): "a page offers reports",
    ("widgets", "tables"): "verdicts are worded in one way",
    ("results", "answers"): "results are told as every answer is",
    ("results", "diagnosis"): "results carry their own warnings",
    ("latency", "stats"): "figures come with intervals",
    ("objectives", "diagnosis"): "who was never connected breaks a promise too",
    ("objectives", "latency"): "promises are made of its quantiles",
    ("objectives", "recovery"): "a promise to recover is judged by the worst run",
    ("objectives", "stats"): "figures come with intervals",
    ("objectives", "timelines"): "how busy the busiest was is in its series",
    ("objectives", "results"): "for the type checker alone: it reads results, and they call it",
    ("recovery", "latency"): "deliveries are back when their latency is",
    ("recovery", "stats"): "figures come with intervals",
    ("results", "objectives"): "results judge their scenario's promises",
    ("results", "services"): "results give out what their traces say",
    ("services", "stats"): "figures come with intervals",
    ("results", "recovery"): "results give out what their traces say",
    ("results", "timelines"): "results give out what their traces say",
    ("results", "latency"): "results give out the figures of their traces",
    ("results", "stats"): "figures come with intervals",
    ("results", "states"): "results give out what their traces say",
    ("results", "storms"): "results give out what their traces say",
    ("storms", "latency"): "latency during a storm is that of slices of time",
    ("storms", "recovery"): "how long a storm lasts is when all are back",
    ("storms", "stats"): "figures of replications are means",
    ("profile_files", "profiles"): "a file may build on a profile",
    ("proxies", "scenario"): "how long a proxy waits follows from pings and polls",
    ("scenario", "profile_files"): "a scenario may name a file",
    ("scenario", "profiles"): "a scenario may name a profile",
    ("trace", "scenario"): "a trace says what was asked",
    ("workload", "scenario"): "a workload is drawn from a scenario",
}
"""(importer, imported) on one floor, and why."""


def owner(module: str) -> str | None:
    """The row of `FLOORS` a dotted module name below the package belongs to: the longest that fits."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOORS), None)


def imported(tree: ast.AST, package: str):
    """(line, dotted name) of every import anywhere in a file, `import_module("...")` included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            parts = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base]
            yield from ((node.lineno, name) for name in names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def violations(file: str, source: str) -> list[str]:
    """Every import in `file` (a path below the package) that the tables forbid, as a sentence with its line."""
    parts = file.removesuffix(".py").split("/")
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    importer = owner(module)
    if importer is None:
        return [f"{file}: `{module}` has no floor; give it a row in FLOORS of tests/test_floors.py"]
    found = []
    for line, name in imported(ast.parse(source), ".".join([PACKAGE, *parts[:-1]])):
        problem = complaint(importer, name)
        if problem:
            found.append(f"{file}:{line}: {problem}")
    return found


def complaint(importer: str, name: str) -> str | None:
    """What is wrong when the module `importer` imports the dotted `name`; None where nothing is."""
    floor = FLOORS[importer]
    top, _, below = name.partition(".")
    if top != PACKAGE:
        allowed = top in sys.stdlib_module_names or top in THIRD_PARTY[floor] or (importer, top) in THIRD_PARTY_OF_ONE
        return None if allowed else f"`{importer}` (floor {floor}) may not import the third party `{top}`"
    if not below:
        return f"`import {PACKAGE}` hides the floor of what is used; import the module itself"
    if below == "__version__":
        return None
    below = exported_from(below)
    target = owner(below)
    if target is None:
        return f"`{importer}` imports `{below}`, which has no floor; give it a row in FLOORS of tests/test_floors.py"
    if target == importer or FLOORS[target] < floor or (importer, target) in SAME_FLOOR:
        return None
    return f"`{importer}` (floor {floor}) may not import `{target}` (floor {FLOORS[target]}); imports go down only"


def exported_from(name: str) -> str:
    """The module behind a name that the package exports; any other name as it is."""
    return realtime_sim._EXPORTS.get(name, name)


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_module_imports_what_its_floor_allows(file):
    found = violations(file, (ROOT / file).read_text(encoding="utf-8"))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("file", FILES)
def test_module_is_short_enough_to_hold_in_the_head(file):
    length = len((ROOT / file).read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST_MODULE, f"{file} has {length} lines, at most {LONGEST_MODULE} are allowed"


def test_every_folder_with_modules_is_a_package():
    folders = {(ROOT / file).parent for file in FILES}
    assert [folder.name for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_the_package_itself_imports_only_the_standard_library_at_once():
    found = eager_imports((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert [name for name in found if name.partition(".")[0] not in sys.stdlib_module_names] == []


def eager_imports(source: str) -> list[str]:
    """What a file imports when it is loaded, that is outside functions."""
    tree = ast.parse(source)
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        node._lazy = id(node) in lazy
    kept = ast.Module([node for node in ast.walk(tree) if isinstance(node, ast.stmt) and not node._lazy], [])
    shallow = [node for node in kept.body if isinstance(node, ast.Import | ast.ImportFrom)]
    calls = [node for node in kept.body if isinstance(node, ast.Expr | ast.Assign)]
    return [name for _, name in imported(ast.Module([*shallow, *calls], []), PACKAGE)]


def test_every_exception_in_the_tables_is_on_one_floor_and_has_a_reason():
    assert [pair for pair in SAME_FLOOR if FLOORS[pair[0]] != FLOORS[pair[1]]] == []
    assert all(SAME_FLOOR.values()) and all(THIRD_PARTY_OF_ONE.values())
    assert [key for key in THIRD_PARTY_OF_ONE if key[1] in THIRD_PARTY[FLOORS[key[0]]]] == []


# --- the guard can fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "source", "part"),
    [
        ("units.py", "from realtime_sim.draws import uniform", "`units` (floor 0) may not import `draws` (floor 1)"),
        ("units.py", "from realtime_sim import draws", "may not import `draws`"),
        ("draws.py", "from realtime_sim import simulate", "may not import `simulation`"),
        ("policies/backoff.py", "from ..draws import uniform", "may not import `draws`"),
        ("draws.py", "import realtime_sim.policies.backoff", "may not import `policies`"),
        ("policies/backoff.py", "def f():\n    import simpy", "backoff.py:2: `policies` (floor 1)"),
        ("policies/backoff.py", "def f():\n    import_module('realtime_sim.results')", "may not import `results`"),
        ("engines/reference/system.py", "import pandas as pd", "third party `pandas`"),
        ("results.py", "if TYPE_CHECKING:\n    from matplotlib.figure import Figure", "third party `matplotlib`"),
        ("results.py", "import live.run", "third party `live`"),
        ("simulation.py", "import typer", "third party `typer`"),
        ("engines/__init__.py", "from .reference import run", "may not import `engines.reference`"),
        ("choose.py", "from realtime_sim.simulation import simulate", "may not import `simulation` (floor 5)"),
        ("errors.py", "import realtime_sim", "hides the floor"),
        ("helpers.py", "import math", "`helpers` has no floor"),
        ("errors.py", "from realtime_sim import helpers", "`helpers`, which has no floor"),
    ],
)
def test_a_forbidden_import_is_found(file, source, part):
    (found,) = violations(file, source)
    assert part in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("draws.py", "import math\nfrom numba import njit\nfrom realtime_sim.units import to_ns"),
        ("policies/backoff.py", "from . import _checks\nfrom realtime_sim.policies._checks import number"),
        ("policies/backoff.py", "from ..errors import ScenarioError\nfrom realtime_sim import units"),
        ("results.py", "from realtime_sim import Scenario, __version__\nfrom realtime_sim.stats import mser"),
        ("plots.py", "def draw():\n    import matplotlib.pyplot as plt"),
    ],
)
def test_an_allowed_import_is_let_pass(file, source):
    assert violations(file, source) == []


def test_an_eager_import_is_told_from_a_lazy_one():
    source = "import math\ntry:\n    import yaml\nexcept ImportError:\n    pass\ndef f():\n    import numpy"
    assert eager_imports(source) == ["math", "yaml"]
