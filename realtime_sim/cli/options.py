"""What is given with options: values of fields, files to write, and what messages call them: as the user has spelled
them, and not as the functions behind them do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["assigned", "check_outputs", "listed", "refuse_empty", "spelled"]

_FORMS = {
    "--set": ("{}", "servers.count=8"),
    "--slo": ("{}", "p99=200ms"),
    "--compare": ("[{}]", "servers.count=2,4"),
    "--over": ("[{}]", "servers.count=2,4"),
    "--input": ("[{}]", "servers.count=2,8"),
}
"""What the value of PATH=VALUE stands in, as YAML, and how it is written."""

_ENDINGS = {"report": ("realtime_sim.report", "check_format"), "plot": ("realtime_sim.plots.page", "check_picture")}
"""Options whose file has an ending, and what knows them; loaded when it is asked for."""


def assigned(option: str, change: str) -> tuple[str, Any]:
    """Path and value of PATH=VALUE; the value of some options is a list.

    Parameters
    ----------
    option : str
        A key of `_FORMS`.
    change : str
        What was given.

    Raises
    ------
    ScenarioError
        If it is not written like that, or the value is no YAML.
    """
    from realtime_sim.scenario.text import UNREADABLE, read_value

    form, example = _FORMS[option]
    path, equals, text = change.partition("=")
    path = path.strip()
    if not equals or not path:
        raise ScenarioError(Problem(option, "must be PATH=VALUE", change, f"write it like {example}"))
    if form == "{}" and not text.strip():
        step = f"write it like {example}, or null for nothing"
        raise ScenarioError(Problem(f"{option} {path}", "must have a value", text, step))
    try:
        return path, read_value(form.format(text))
    except UNREADABLE:
        raise ScenarioError(Problem(f"{option} {path}", "must have a YAML value", text, "check the brackets")) from None


def listed(option: str, changes: Sequence[str], least: int = 1) -> dict[str, list]:
    """The values of each PATH=A,B.

    Parameters
    ----------
    option : str
        A key of `_FORMS`.
    changes : sequence of str
        What was given.
    least : int
        How many values each must have.

    Raises
    ------
    ScenarioError
        If one has too few, or a path stands there twice.
    """
    found: dict[str, list] = {}
    problems = []
    for change in changes:
        path, values = assigned(option, change)
        if len(values) < least:
            rule = f"must have {'a value' if least == 1 else 'two values'} or more"
            problems.append(Problem(f"{option} {path}", rule, values, f"write it like {_FORMS[option][1]}"))
        elif path in found:
            step = f"write all values behind one {option} {path}="
            problems.append(Problem(f"{option} {path}", "must stand there once", values, step))
        found[path] = values
    if problems:
        raise ScenarioError(problems)
    return found


@contextmanager
def spelled(*names: str, **others: str) -> Iterator[None]:
    """What is wrong with an argument of a function is told of the option that it came from.

    Parameters
    ----------
    names : str
        Arguments with an option of their name, as `n_jobs` of `--n-jobs`.
    others : str
        The option of each argument that is called otherwise.
    """
    options = {name: _option_of(name) for name in names} | others
    try:
        yield
    except ScenarioError as error:
        raise ScenarioError([_told_of(options, problem) for problem in error.problems], error.source) from None


def _option_of(name: str) -> str:
    return f"--{name.strip('_').replace('_', '-')}"


def _told_of(options: dict[str, str], problem: Problem) -> Problem:
    """The problem with the option for its path; of one part, such as `inputs['seed']`, the part stays."""
    name, bracket, part = problem.path.partition("[")
    if name not in options:
        return problem
    part = part.strip("]'\"")
    return dataclasses.replace(problem, path=f"{options[name]} {part}" if bracket else options[name])


def check_outputs(**files: str | Path) -> None:
    """Find out before a long run that a file could not be written after it.

    Parameters
    ----------
    files : str or Path
        By the name of the option; an empty one is not asked for, and `json_` may be a dash.

    Raises
    ------
    ScenarioError
        If a file cannot be written, or has an ending that there is not.
    """
    from realtime_sim.files import check_writable

    asked = {name: Path(path) for name, path in files.items() if path and not (name == "json_" and path == "-")}
    for name in asked.keys() & _ENDINGS.keys():
        module, check = _ENDINGS[name]
        with spelled(path=_option_of(name)):
            getattr(import_module(module), check)(asked[name])
    for name, path in asked.items():
        with spelled(output=_option_of(name)):
            check_writable(path)


def refuse_empty(words: Sequence[str]) -> None:
    """An option whose value is empty, as that of a variable of the shell that is not set, is not one left out.

    Raises
    ------
    ScenarioError
        If there is one.
    """
    for before, word in zip(["", *words], words, strict=False):
        option = before if not word else word.removesuffix("=") if word.count("=") == 1 and word.endswith("=") else ""
        if option.startswith("--"):
            raise ScenarioError(Problem(option, "must not be empty", "", "give it a value, or leave it out"))
