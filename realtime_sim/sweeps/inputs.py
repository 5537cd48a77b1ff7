"""Inputs: the fields whose influence is asked for, each with its range or its list of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.sweeps.combinations import scenarios_of, value_at

__all__ = ["Input", "inputs_of"]

_STEP = "write it like {'servers.count': (2, 8)}, or give all values: ['sse', 'websocket']"


@dataclass(frozen=True, slots=True)
class Input:
    """One field with what it may be.

    Parameters
    ----------
    path : str
        Which field.
    values : tuple
        The ends of a range, in SI units, or all values as they were given.
    shown : tuple
        The same values as a frame shows them.
    base : object
        What it is in the scenario itself.
    is_range : bool
        Whether everything between two values is meant.
    """

    path: str
    values: tuple
    shown: tuple
    base: Any
    is_range: bool

    def at(self, share: float) -> Any:
        """The value at a share of the way, 0 to 1: whole numbers and listed values have equal parts of it.

        Examples
        --------
        >>> workers = Input("servers.workers", (1, 4), (1, 4), 1, is_range=True)
        >>> [workers.at(share) for share in (0, 0.24, 0.25, 0.99, 1)]
        [1, 1, 2, 4, 4]
        """
        n = self._n_steps
        if n is None:
            return self.values[0] + share * (self.values[1] - self.values[0])
        step = min(int(share * n), n - 1)
        return self.values[0] + step if self.is_range else self.values[step]

    def place(self, share: float) -> float:
        """Where the value at a share of the way stands between the first and the last, 0 to 1.

        Examples
        --------
        >>> cores = Input("servers.cores", (1, 2), (1, 2), 1, is_range=True)
        >>> [cores.place(share) for share in (0, 1 / 3, 2 / 3, 1)]
        [0.0, 0.0, 1.0, 1.0]
        """
        n = self._n_steps
        return share if n is None else min(int(share * n), n - 1) / (n - 1)

    @property
    def _n_steps(self) -> int | None:
        """How many values there are; None for everything between two."""
        if not self.is_range:
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if all(isinstance(value, int) for value in self.values) else None


def inputs_of(scenario: Scenario, given: object) -> tuple[Input, ...]:
    """Inputs as a user gives them: two numbers are a range, all else is a list of values.

    Parameters
    ----------
    scenario : Scenario
        Whose fields they are.
    given : mapping of str to sequence
        Values by path.

    Raises
    ------
    ScenarioError
        If there is none, one has fewer than two values, or the scenario refuses one; with all that is wrong.
    """
    if not isinstance(given, Mapping) or not given:
        raise ScenarioError(Problem("inputs", "must be a dict of ranges by path", given, _STEP))
    problems: list[Problem] = []
    found = []
    for path, values in given.items():
        place = f"inputs[{path!r}]"
        if isinstance(values, (str, Mapping)) or not isinstance(values, Sequence) or len(values) < 2:
            problems.append(Problem(place, "must be two values or more", values, _STEP))
            continue
        try:
            shown = tuple(value_at(each, path) for each in scenarios_of(scenario, [{path: value} for value in values]))
        except ScenarioError as error:
            problems += error.problems
            continue
        is_range = len(values) == 2 and all(_is_number(value) for value in shown)
        if len(set(shown)) < len(shown):
            problems.append(Problem(place, "must differ", values, "leave one out"))
        elif is_range and shown[0] > shown[1]:
            problems.append(Problem(place, "must be a range with its lower end first", values, "swap the two"))
        found.append(Input(path, shown if is_range else tuple(values), shown, value_at(scenario, path), is_range))
    if problems:
        raise ScenarioError(problems)
    return tuple(found)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
