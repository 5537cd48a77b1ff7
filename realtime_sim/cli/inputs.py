"""What commands have in common: the scenario they are given, and the JSON they give."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtime_sim.errors import Problem, ScenarioError, nearest

if TYPE_CHECKING:
    from realtime_sim.scenario import Scenario

__all__ = ["JsonOption", "ScenarioArgument", "SetOption", "assigned", "check_outputs", "give_json", "scenario_of"]

ScenarioArgument = Annotated[str, typer.Argument(help="A YAML file, the name of a preset, or - for standard input.")]
"""Which scenario."""

SetOption = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change a field, as servers.count=8. May be repeated.")
]
"""Changes to it."""

JsonOption = Annotated[str, typer.Option("--json", metavar="FILE", help="Write JSON there; - for standard output.")]
"""Where JSON goes."""


def scenario_of(source: str, changes: list[str]) -> Scenario:
    """The scenario a user names, with the changes of `--set`.

    Parameters
    ----------
    source : str
        A file, the name of a preset, or a dash for standard input.
    changes : list of str
        Each PATH=VALUE.

    Raises
    ------
    ScenarioError
        If there is no such scenario, or a change does not fit it.
    """
    from realtime_sim import presets
    from realtime_sim.scenario import Scenario
    from realtime_sim.scenario.text import read_text

    if source == "-":
        scenario = Scenario.from_yaml(read_text(sys.stdin.buffer, "standard input") + "\n")
    elif source in presets.NAMES:
        scenario = presets.load(source)
    elif _is_a_name(source):
        raise ScenarioError(Problem("scenario", "must be a preset or a file", source, nearest(source, presets.NAMES)))
    else:
        scenario = Scenario.from_yaml(Path(source))
    values = dict(assigned("--set", change, "{}") for change in changes)
    return scenario.replace(**values) if values else scenario


def assigned(option: str, change: str, form: str) -> tuple[str, Any]:
    """Path and value of PATH=VALUE.

    Parameters
    ----------
    option : str
        What messages call it.
    change : str
        What was given.
    form : str
        What the value stands in, as YAML.
    """
    from realtime_sim.scenario.text import UNREADABLE, read_value

    path, equals, text = change.partition("=")
    path = path.strip()
    if not equals or not path:
        raise ScenarioError(Problem(option, "must be PATH=VALUE", change, "write it like servers.count=8"))
    try:
        return path, read_value(form.format(text))
    except UNREADABLE:
        raise ScenarioError(Problem(f"{option} {path}", "must have a YAML value", text, "check the brackets")) from None


def _is_a_name(source: str) -> bool:
    """Whether a word is meant as the name of a preset: it is no file, and does not look like a path."""
    return not (os.path.exists(source) or source.endswith((".yaml", ".yml")) or "/" in source)


def check_outputs(json_: str, report: str) -> None:
    """Find out before a long run that its JSON or its report could not be written after it.

    Parameters
    ----------
    json_, report : str
        What was given as `--json` and `--report`.

    Raises
    ------
    ScenarioError
        If a file cannot be written, or a report has an ending that there is not.
    """
    from realtime_sim.files import check_writable
    from realtime_sim.report import check_format

    if json_ not in ("", "-"):
        check_writable(Path(json_))
    if report:
        check_writable(check_format(report))


def give_json(text: str, path: str) -> None:
    """Write JSON text to a file, or to standard output.

    Parameters
    ----------
    text : str
        The JSON.
    path : str
        A file, a dash for standard output, or nothing at all.
    """
    import json

    from realtime_sim.files import write_whole

    if path == "-":
        print(text if _can_be_printed(text) else json.dumps(json.loads(text), indent=1))
    elif path:
        write_whole(Path(path), text)
        print(f"\nJSON: {path}")


def _can_be_printed(text: str) -> bool:
    """Whether standard output has every letter; JSON can spell those it lacks."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
