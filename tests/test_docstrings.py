"""Docstrings do not drift: their parameters are those of the signature, and their examples run."""

from __future__ import annotations

import doctest
import inspect
import io
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import realtime_sim

ROOT = Path(realtime_sim.__file__).parent
MODULES = sorted(
    ".".join(["realtime_sim", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)
PUBLIC = [name for name in MODULES if "._" not in name and name != "realtime_sim"]
"""Without the package itself: what it exports is checked where it is written."""
MANY = 3
"""From so many parameters on, a public function explains them."""


def described(docstring: str) -> list[str] | None:
    """Names in the numpydoc section Parameters, in order; None where there is no such section."""
    lines = inspect.cleandoc(docstring).splitlines()
    starts = [i for i in range(len(lines) - 1) if lines[i] == "Parameters" and re.fullmatch("-+", lines[i + 1])]
    if not starts:
        return None
    names: list[str] = []
    for i in range(starts[0] + 2, len(lines)):
        line = lines[i]
        if i + 1 < len(lines) and re.fullmatch("-{3,}", lines[i + 1]):
            break
        if line and not line.startswith(" "):
            names += [name.strip().lstrip("*") for name in line.partition(" :")[0].split(",")]
    return names


def accepted(value: object) -> list[str]:
    """Names in the signature, without `self` and `cls`."""
    return [name for name in inspect.signature(value).parameters if name not in ("self", "cls")]


def drift(name: str, value: object) -> str | None:
    """How docstring and signature of a public function, method or class differ; None where they agree."""
    names = described(inspect.getdoc(value) or "")
    if names is None:
        is_function = inspect.isroutine(inspect.unwrap(value))
        if is_function and "." not in name and len(accepted(value)) >= MANY:
            return f"{name} has {len(accepted(value))} parameters and no section Parameters"
        return None
    expected = accepted(value)
    return None if names == expected else f"{name} describes {names} and accepts {expected}"


def public_members(module: ModuleType):
    """(name, value) of the functions and classes in `__all__`, and of the public methods of those classes."""
    for name in getattr(module, "__all__", []):
        value = getattr(module, name, None)
        if inspect.isclass(value):
            yield name, value
            for method in vars(value):
                if not method.startswith("_") and inspect.isroutine(getattr(value, method, None)):
                    yield f"{name}.{method}", getattr(value, method)
        elif inspect.isroutine(inspect.unwrap(value)):
            yield name, value


def run_examples(module: ModuleType) -> tuple[int, str]:
    """Number of examples in a module's docstrings, and the report of those that fail."""
    report = io.StringIO()
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        runner.run(test, out=report.write)
    return runner.tries, report.getvalue()


@pytest.mark.parametrize("name", PUBLIC)
def test_described_parameters_are_those_of_the_signature(name):
    found = [text for text in (drift(*member) for member in public_members(import_module(name))) if text]
    assert not found, f"{name}:\n" + "\n".join(found)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    _, failures = run_examples(import_module(name))
    assert not failures, failures


# --- the guard can fail ---------------------------------------------------------------------------------------------

SECTION = '''"""Text.

    Parameters
    ----------
    {}

    Returns
    -------
    int
        Not a parameter.
    """'''


def make(signature: str, text: str):
    """A function with this signature and this first line in its section Parameters."""
    space: dict = {}
    exec(f"def f({signature}):\n    {SECTION.format(text)}", space)
    return space["f"]


@pytest.mark.parametrize(
    ("signature", "text", "agree"),
    [
        ("a", "a : int\n        Seconds: from 0 on.", True),
        ("a, b", "a, b : int", True),
        ("*a, **b", "*a : int\n    **b : int", True),
        ("self, a", "a : int", True),
        ("a, b", "a : int", False),
        ("a", "a, b : int", False),
        ("a, b", "b : int\n    a : int", False),
        ("cap_s", "cap : float", False),
    ],
)
def test_a_parameter_that_drifted_is_found(signature, text, agree):
    assert (drift("f", make(signature, text)) is None) == agree


def test_many_parameters_need_a_section():
    assert drift("f", lambda a, b, c: "no docstring") == "f has 3 parameters and no section Parameters"
    assert drift("f", lambda a, b: "no docstring") is None


def test_an_example_that_fails_is_found():
    module = ModuleType("broken", ">>> 1 + 1\n3")
    tries, failures = run_examples(module)
    assert tries == 1
    assert "Expected:\n    3\nGot:\n    2" in failures


def test_examples_of_compiled_functions_are_found():
    """They are objects of the compiler, not functions, and must not be skipped."""
    found = doctest.DocTestFinder(exclude_empty=True).find(import_module("realtime_sim.draws"))
    assert "realtime_sim.draws.philox4x32" in [test.name for test in found if test.examples]
