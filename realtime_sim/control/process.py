"""A control process as it is run: what it yields is looked at, and what goes wrong says whose it is, and when."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from typing import Any

import simpy

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["watched"]


def watched(name: str, generator: Generator, now_s: Callable[[], float]) -> Generator:
    """A user's process, step by step.

    Parameters
    ----------
    name : str
        What to call it.
    generator : generator
        What the user has written.
    now_s : callable
        The time, seconds.

    Raises
    ------
    ScenarioError
        If it yields what nobody can wait for, or an act of it is refused; with its name and the time.
    """
    outcome: Any = None
    go_on: Callable[[Any], Any] = generator.send
    while True:
        try:
            event = go_on(outcome)
        except StopIteration as end:
            return end.value
        except ScenarioError as error:
            raise _placed(error, f"{name}, at {now_s():g} s: ") from None
        if not isinstance(event, simpy.Event):
            delay = repr(event) if isinstance(event, (int, float, str)) else "1"
            rule, step = "must yield what can be waited for", f"write `yield env.timeout({delay})`"
            raise ScenarioError(Problem(f"{name}, at {now_s():g} s,", rule, event, step))
        try:
            go_on, outcome = generator.send, (yield event)
        except BaseException as error:  # what it waited for has failed, or it is interrupted: that is its to handle
            go_on, outcome = generator.throw, error


def _placed(error: ScenarioError, where: str) -> ScenarioError:
    """The same error with the name and the time before it, once."""
    problems = [
        one if one.path.startswith("control[") else dataclasses.replace(one, path=where + one.path)
        for one in error.problems
    ]
    return ScenarioError(problems)
