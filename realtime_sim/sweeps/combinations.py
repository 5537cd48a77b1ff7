"""Combinations: the scenarios of a sweep, one for each combination of values, checked before the first of them runs.

They keep the seed, so all draws that two of them share are the same, and what differs is what the fields make of it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.policies import POLICIES
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.distributions import Constant
from realtime_sim.scenario.problems import STEP
from realtime_sim.scenario.quantities import Part, format_field, format_parameter, written_name

__all__ = ["MOST_RUNS", "Combination", "combinations", "scenarios_of", "value_at", "written"]

MOST_RUNS = 100_000
"""Most runs of one sweep; their scenarios take a gigabyte."""

_COSTS = "servers.costs."

_STEP = "write it like {'servers.count': [2, 4, 8]}"


@dataclass(frozen=True, slots=True)
class Combination:
    """One combination of values.

    Parameters
    ----------
    values : dict of str to object
        What each of the swept fields is, by its path, as `value_at` reads it.
    scenario : Scenario
        With these values.
    """

    values: dict[str, Any]
    scenario: Scenario


def combinations(scenario: Scenario, over: object, replications: int) -> tuple[Combination, ...]:
    """Every combination of values in the order given, the last path changing fastest.

    Parameters
    ----------
    scenario : Scenario
        What they have in common.
    over : mapping, sequence of mapping or DataFrame
        Values by path, of which every combination is taken; or combinations themselves: a list of dicts, or a frame
        whose columns are paths.
    replications : int
        Runs of each.

    Raises
    ------
    ScenarioError
        If there are none or too many, two are the same, or a scenario breaks a rule: everything that is wrong at once.
    """
    chosen = _chosen(over, replications)
    paths = list(dict.fromkeys(path for values in chosen for path in values))
    made = scenarios_of(scenario, chosen)
    _refuse_twins(made, chosen)
    rows = [{path: value_at(each, path) for path in paths} for each in made]
    for path in paths:  # a column is of one kind: where some are text, all are
        if len({isinstance(row[path], str) for row in rows if row[path] is not None}) > 1:
            for row in rows:
                row[path] = None if row[path] is None else _text(row[path])
    return tuple(Combination(row, each) for row, each in zip(rows, made, strict=True))


def scenarios_of(scenario: Scenario, chosen: Sequence[Mapping[str, Any]]) -> list[Scenario]:
    """The scenario with each of several sets of values.

    Raises
    ------
    ScenarioError
        If any of them is wrong, with everything that is wrong in all of them.
    """
    made, problems = [], {}
    for values in chosen:
        try:
            made.append(scenario.replace(**values) if values else scenario)
        except ScenarioError as error:
            problems |= {str(problem): problem for problem in error.problems}
    if problems:
        raise ScenarioError(problems.values())
    return made


def _chosen(over: object, replications: int) -> list[dict[str, Any]]:
    """What is to be replaced in each combination."""
    if isinstance(over, pd.DataFrame):
        found = [{str(path): _plain(value) for path, value in row.items()} for row in over.to_dict("records")]
        problems = [
            Problem(f"over[{number}]", "must have a value in every column", path, "fill the gap, or drop the row")
            for number, row in enumerate(found)
            for path, value in row.items()
            if isinstance(value, float) and math.isnan(value)
        ]
    elif isinstance(over, Mapping):
        problems = [found for path, values in over.items() for found in _wrong_values(path, values)]
        if not problems:  # before all combinations are made
            _check_number(math.prod(map(len, over.values())) if over else 0, replications)
        product = itertools.product(*(() if problems else map(_plain, values) for values in over.values()))
        found = [dict(zip(over, values, strict=True)) for values in product]
    elif isinstance(over, Sequence) and not isinstance(over, str):
        problems = [
            Problem(f"over[{number}]", "must be a dict of values by path", row, "write it like {'servers.count': 2}")
            for number, row in enumerate(over)
            if not isinstance(row, Mapping) or not all(isinstance(path, str) for path in row)
        ]
        found = [] if problems else [{path: _plain(value) for path, value in row.items()} for row in over]
    else:
        problems = [Problem("over", "must be a dict of lists, a list of dicts or a DataFrame", over, _STEP)]
    if problems:
        raise ScenarioError(problems)
    _check_number(sum(map(bool, found)) and len(found), replications)  # the scenario as it is alone is no sweep
    return found


def _wrong_values(path: object, values: object) -> list[Problem]:
    if not isinstance(path, str):
        return [Problem("over", "must have paths for keys", path, _STEP)]
    listed = isinstance(values, (Sequence, np.ndarray, pd.Series, pd.Index)) and not isinstance(values, (str, bytes))
    if not listed or not len(values):
        return [Problem(f"over[{path!r}]", "must be a list of one value or more", values, _STEP)]
    return []


def _check_number(n: int, replications: int) -> None:
    if not n:
        raise ScenarioError(Problem("over", "must give one combination or more", n, _STEP))
    if n * replications > MOST_RUNS:
        rule = f"must give at most {MOST_RUNS:_} runs, combinations times replications"
        raise ScenarioError(Problem("over", rule, n * replications, "leave values out, or draw some of them"))


def _refuse_twins(made: Sequence[Scenario], chosen: Sequence[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for number, scenario in enumerate(made):
        first = seen.setdefault(scenario.model_dump_json(by_alias=True), number)
        if first != number:
            rule = f"must differ (combinations {first} and {number} are the same scenario)"
            raise ScenarioError(Problem("over", rule, chosen[number], "leave one of them out"))


def _plain(value: object) -> object:
    """A value of NumPy's as Python has it."""
    return value.item() if isinstance(value, np.generic) else value


def value_at(scenario: Scenario, path: str) -> Any:
    """What a field is: a number in SI units, a word, true or false, or None; of anything larger its plain form as text.

    A cost that is left to the profile of the servers is the profile's.

    Parameters
    ----------
    scenario : Scenario
        Whose field.
    path : str
        As in `Scenario.replace`; a field that this scenario does not have is None.

    Examples
    --------
    >>> phones = {"name": "phones", "count": 9, "network": {"rtt": "40ms"}, "reconnect": "socketio"}
    >>> chat = Scenario(name="chat", duration="1s", clients=[phones])
    >>> [value_at(chat, f"clients.phones.{field}") for field in ("count", "network.rtt", "reconnect", "network.jitter")]
    [9, 0.04, 'socketio', 0.0]
    """
    value = _walk(scenario, path)
    if value is None and path.startswith(_COSTS):
        return _child(scenario.servers.resolved_costs, path.removeprefix(_COSTS))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Constant):
        return value.value
    plain = _walk(scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True), path)
    return _text(_default_form(value) if plain is None else plain)


def written(scenario: Scenario, path: str, value: Any) -> str:
    """A value of a field as a file has it, with its unit, and thousands apart in what has none; `-` for None.

    Parameters
    ----------
    scenario : Scenario
        Whose field.
    path : str
        As in `Scenario.replace`.
    value : object
        As `value_at` reads it.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 9}])
    >>> fields = {"servers.memory": 2**29, "servers.costs.send": 2.18e-05, "clients.phones.count": 10_000}
    >>> [written(chat, path, value) for path, value in fields.items()]
    ['512MiB', '21.8us', '10,000']
    """
    if value is None or isinstance(value, (str, bool)):
        return "-" if value is None else str(value)
    *above, last = (name or number for name, number in STEP.findall(path))
    node = scenario
    for step in above:
        node = _child(node, step)
    shown = _with_unit(node, last, value)
    if isinstance(shown, str):
        return shown
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _with_unit(node: Any, name: str, value: float) -> object:
    """A number as the field of this name writes it; the number itself where the scenario has no such field."""
    if isinstance(node, Part):
        for field, about in type(node).model_fields.items():
            if name in (field, about.alias):
                return format_field(about, value)
    elif is_dataclass(node):
        for parameter in fields(node):
            if name in (parameter.name, written_name(parameter.name)):
                return format_parameter(parameter.name, value)
    return value


def _default_form(value: Any) -> object:
    """The plain form of a part or a policy that is at its default, and so is not written."""
    if isinstance(value, Part):
        return value.model_dump(mode="json", by_alias=True)
    names = [name for family in POLICIES.values() for name, kind in family.items() if type(value) is kind]
    return names[0] if names else list(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _walk(node: Any, path: str) -> Any:
    """Follow a path through parts or through their plain form."""
    for name, number in STEP.findall(path):
        node = _child(node, name or number)
        if node is None:
            return None
    return node


def _child(node: Any, step: str) -> Any:
    if isinstance(node, (tuple, list)):
        named = [part for part in node if _child(part, "name") == step and not isinstance(part, (tuple, list))]
        if named or not step.isdecimal():
            return named[0] if named else None
        return node[int(step)] if int(step) < len(node) else None
    if isinstance(node, Mapping):
        return node.get(step)
    step = "source" if step == "from" else step
    for field in (step, f"{step}_s", f"{step}_bytes"):  # parameters of policies have their unit in their name
        if hasattr(node, field):
            return getattr(node, field)
    return None
