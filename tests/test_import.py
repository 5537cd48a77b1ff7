"""`import realtime_sim` loads the standard library only, and takes less than a second."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = (
    "aiohttp",
    "ipywidgets",
    "joblib",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "pydantic",
    "redis",
    "rich",
    "scipy",
    "simpy",
)
HEAVY += ("typer", "websockets", "yaml")


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120).stdout


def loaded_by(statement: str) -> list[str]:
    """Modules in a fresh interpreter that the statement has loaded."""
    before, after = (
        "import sys, json; before = set(sys.modules)",
        "print(json.dumps(sorted(set(sys.modules) - before)))",
    )
    return json.loads(run(f"{before}; {statement}; {after}"))


def seconds(code: str) -> float:
    """Wall time of a fresh interpreter, the median of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run(code)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def foreign(modules: list[str]) -> list[str]:
    """Those that are neither standard library nor the package's root."""
    return [
        name for name in modules if name != "realtime_sim" and name.partition(".")[0] not in sys.stdlib_module_names
    ]


def test_import_loads_nothing_but_the_standard_library():
    modules = loaded_by("import realtime_sim")
    assert "realtime_sim" in modules
    assert [name for name in HEAVY if name in modules] == []
    assert foreign(modules) == []


def test_looking_at_the_names_loads_nothing_either():
    assert foreign(loaded_by("import realtime_sim; dir(realtime_sim); realtime_sim.__version__")) == []


def test_import_takes_under_a_second():
    """Beyond the start of the bare interpreter."""
    assert seconds("import realtime_sim") - seconds("pass") < 1.0


@pytest.mark.parametrize("name", ["numpy", "yaml"])
def test_a_heavy_module_would_be_found(name):
    assert name in foreign(loaded_by(f"import realtime_sim, {name}"))
