"""What commands have in common: the scenario they are given, and the JSON they give."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_sim.cli.options import assigned
from realtime_sim.errors import Problem, ScenarioError, nearest

if TYPE_CHECKING:
    from realtime_sim.scenario import Scenario

__all__ = ["JsonOption", "ScenarioArgument", "SetOption", "give_json", "scenario_of"]

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
    values = dict(assigned("--set", change) for change in changes)
    return scenario.replace(**values) if values else scenario


def _is_a_name(source: str) -> bool:
    """Whether a word is meant as the name of a preset: it is no file, and does not look like a path."""
    return not (os.path.exists(source) or source.endswith((".yaml", ".yml")) or "/" in source)


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
