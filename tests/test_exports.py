"""Public names are real: what `__all__` lists exists, is documented, and is what `dir()` shows."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
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


def undocumented(module: ModuleType, source: str) -> list[str]:
    """What the module lists in `__all__` and does not have, or has without a docstring.

    A class or function has its own; a constant has the text below its assignment.
    """
    texts = text_below_assignments(source)
    found = []
    for name in getattr(module, "__all__", []):
        if not hasattr(module, name):
            found.append(f"{name} does not exist")
            continue
        value = inspect.unwrap(getattr(module, name))
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
            made_by_dataclass = inspect.isclass(value) and (own or "").startswith(f"{value.__name__}(")
            if not (own or "").strip() or made_by_dataclass:
                found.append(f"{name} has no docstring")
        elif texts.get(name, "imported") == "" and not name.startswith("__"):
            found.append(f"{name} has no text below its assignment")
    return found


def text_below_assignments(source: str) -> dict[str, str]:
    """For each name assigned at the top of a file: the text that follows, empty where none does."""
    body = ast.parse(source).body
    texts = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        for target in targets:
            if isinstance(target, ast.Name):
                texts[target.id] = str(after.value.value) if is_text else ""
    return texts


@pytest.mark.parametrize("name", realtime_sim.__all__)
def test_public_name_of_the_package_resolves(name):
    assert getattr(realtime_sim, name) is not None
    assert name in dir(realtime_sim)


def test_public_names_of_the_package_are_sorted_and_unique():
    assert list(realtime_sim._EXPORTS) == sorted(set(realtime_sim._EXPORTS))


@pytest.mark.parametrize("name", MODULES)
def test_module_says_what_it_is(name):
    assert (import_module(name).__doc__ or "").strip(), f"{name} has no docstring"


@pytest.mark.parametrize("name", PUBLIC)
def test_names_a_module_lists_exist_and_are_documented(name):
    module = import_module(name)
    found = undocumented(module, Path(module.__file__).read_text(encoding="utf-8"))
    assert not found, f"{name}: " + "; ".join(found)


@pytest.mark.parametrize("name", PUBLIC)
def test_names_a_module_lists_are_sorted_and_shown(name):
    listed = getattr(import_module(name), "__all__", [])
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(dir(import_module(name)))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'realtime_sim' has no attribute 'simulat'"):
        _ = realtime_sim.simulat


def test_no_export_hides_a_module_of_the_same_name():
    """Importing a submodule sets it as an attribute of the package, and would replace the export."""
    exported = {name for name, module in realtime_sim._EXPORTS.items() if name != module}
    assert exported & {name.split(".")[1] for name in MODULES if "." in name} == set()


def test_an_export_is_the_same_whatever_was_imported_first():
    code = "import realtime_sim.{0}, realtime_sim, sys; assert realtime_sim.{0} is sys.modules['realtime_sim.{0}']"
    for name in ("theory", "units"):
        subprocess.run([sys.executable, "-c", code.format(name)], check=True, timeout=120)


# --- the guard can fail ---------------------------------------------------------------------------------------------

BROKEN = '''
from dataclasses import dataclass
__all__ = ["Bare", "Child", "LIMIT", "STATED", "Stated", "bare", "gone"]
LIMIT = 3
STATED = 4
"""What four is for."""
class Stated:
    """Has one."""
class Child(Stated):
    pass
@dataclass
class Bare:
    x: int
def bare():
    pass
'''


def test_missing_names_and_docstrings_are_found():
    module = ModuleType("broken")
    exec(compile(BROKEN, "broken", "exec", dont_inherit=True), vars(module))
    assert undocumented(module, BROKEN) == [
        "Bare has no docstring",
        "Child has no docstring",
        "LIMIT has no text below its assignment",
        "bare has no docstring",
        "gone does not exist",
    ]
