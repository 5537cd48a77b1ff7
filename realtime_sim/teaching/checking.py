"""Check the answer to an exercise: not answered, not yet right and why, or right and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from types import ModuleType

from realtime_sim.errors import Problem, RealtimeSimError, ScenarioError, nearest
from realtime_sim.progress import progress_bar
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.text import replace
from realtime_sim.simulation import expected_deliveries

__all__ = ["EXERCISES", "Verdict", "changed", "check", "patience", "quantity", "scenario"]

EXERCISES = {
    "hops": "01 Where do 40 ms go?",
    "knee": "02 How full is too full?",
    "transports": "03 WebSocket, SSE or long polling?",
    "fanout": "04 Who pays for a large room, and for a slow reader?",
    "outage": "05 What is lost in a ten-second outage?",
    "stickiness": "06 Why does the new server idle?",
    "storm": "07 When everybody comes back at once",
    "autoscaling": "08 Why does the autoscaler come too late, and then flap?",
    "proof": "09 Plan and prove",
}
"""Name of each exercise, which is that of its module, and the notebook it ends."""

MOST = 50_000_000
"""Clients, members of rooms, and deliveries of a run that an answer may ask for."""

PATIENCE_S = 60.0
"""A run of an answer that takes longer is given up: none of those that are asked for takes a quarter of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of an answer; a notebook shows it as text.

    Parameters
    ----------
    passed : bool
        Whether the answer is right.
    text : str
        Why it is, or a hint.
    """

    passed: bool
    text: str

    def __repr__(self) -> str:
        return f"{'Right.' if self.passed else 'Not yet.'} {self.text}"


def check(exercise: str, answer: object) -> Verdict:
    """Whether an answer to an exercise is right.

    Parameters
    ----------
    exercise : str
        One of `EXERCISES`.
    answer : object
        What the exercise asks for. `...`, which stands in the notebook, is no answer.

    Returns
    -------
    Verdict
        Never an error because of the answer: what is wrong with it is in the text.

    Raises
    ------
    ScenarioError
        If there is no such exercise.

    Examples
    --------
    >>> check("hops", ...)
    Not yet. There is no answer: put yours in the place of the three dots, and run the cell again.
    """
    judge = _module(exercise).judge
    if answer is ... or answer is None:
        return Verdict(False, "There is no answer: put yours in the place of the three dots, and run the cell again.")
    try:
        return judge(answer)
    except RealtimeSimError as error:
        return Verdict(False, str(error))


def scenario(exercise: str) -> Scenario:
    """The scenario an exercise and its notebook begin with.

    Parameters
    ----------
    exercise : str
        One of `EXERCISES`.

    Raises
    ------
    ScenarioError
        If there is no such exercise, or it has no scenario.

    Examples
    --------
    >>> scenario("hops").servers.count
    4
    """
    _module(exercise)
    file = files("realtime_sim.teaching") / f"{exercise}.yaml"
    if not file.is_file():
        raise ScenarioError(Problem("exercise", "must be one with a scenario", exercise, "its notebook writes its own"))
    return Scenario.from_yaml(file.read_text(encoding="utf-8"))


def changed(exercise: str, answer: object, fields: int) -> Scenario:
    """The scenario of an exercise with the changes that an answer asks for.

    Parameters
    ----------
    exercise : str
        One of `EXERCISES`.
    answer : object
        New values by path, as `Scenario.replace` takes them.
    fields : int
        How many changes there may be at most.

    Raises
    ------
    ScenarioError
        If it is no such thing, changes too much, or breaks a rule of the scenario.

    Examples
    --------
    >>> changed("hops", {"servers.count": 8}, fields=1).servers.count
    8
    """
    if (
        not isinstance(answer, dict)
        or not 0 < len(answer) <= fields
        or not all(isinstance(path, str) for path in answer)
    ):
        rule = f"must be a dict with {'one change' if fields == 1 else f'one to {fields} changes'}"
        raise ScenarioError(Problem("answer", rule, answer, 'write it like {"servers.count": 8}'))
    asked = replace(scenario(exercise), answer)  # a path may be called as an argument of the method is
    members = sum(group.count * group.members for group in asked.rooms if not group.per_user)
    if max(asked.n_clients, members, expected_deliveries(asked)) > MOST:
        raise _too_large(answer)
    return asked


@contextmanager
def patience(answer: object) -> Iterator[Callable[[float], None]]:
    """What a run of an answer is to report its progress to: it shows a bar, and gives up a run that takes too long.

    Parameters
    ----------
    answer : object
        Which is to be named in the error.

    Raises
    ------
    ScenarioError
        Out of the run, if it takes too long.

    Examples
    --------
    >>> with patience({"servers.count": 8}) as progress:
    ...     progress(0.5)
    """
    begun_s = None
    with progress_bar("Checking the answer", 0) as show:

        def report(share: float) -> None:
            nonlocal begun_s
            if begun_s is None and share > 0:  # an engine is compiled before, which is not the fault of an answer
                begun_s = time.monotonic()
            if begun_s is not None and time.monotonic() - begun_s > PATIENCE_S:
                raise _too_large(answer)
            show(share)

        yield report


def _too_large(answer: object) -> ScenarioError:
    rule = f"must be a system that is simulated within {PATIENCE_S:.0f} s"
    return ScenarioError(Problem("answer", rule, answer, "ask for fewer clients, deliveries and connections"))


def quantity(answer: object, read: Callable[[object], float]) -> float:
    """The number that an answer is.

    Parameters
    ----------
    answer : object
        A number, or text with a unit.
    read : callable
        How such a number is read, one of `realtime_sim.units`.

    Raises
    ------
    ScenarioError
        If it is no such number.

    Examples
    --------
    >>> from realtime_sim.units import parse_duration
    >>> quantity("12ms", parse_duration)
    0.012
    """
    try:
        return read(answer)
    except ValueError as error:
        raise ScenarioError(Problem("answer", str(error), answer, "write the number alone, as answer = 42")) from None


def _module(exercise: str) -> ModuleType:
    if exercise not in EXERCISES:
        raise ScenarioError(Problem("exercise", "must be that of a notebook", exercise, nearest(exercise, EXERCISES)))
    return import_module(f"realtime_sim.teaching.{exercise}")
