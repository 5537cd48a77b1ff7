"""Checks on the arguments of a formula; each returns the plain number or names the parameter that is wrong."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, cast

from realtime_sim.errors import Problem, ScenarioError


def at_least_zero(name: str, value: object) -> float:
    """A finite number, zero or more."""
    number = _finite(name, value, "must be a finite number of at least 0")
    if number < 0:
        raise _wrong(name, "must be at least 0", value, "give 0 or a positive number")
    return number


def at_least_one(name: str, value: object) -> float:
    """A finite number, one or more."""
    number = _finite(name, value, "must be a finite number of at least 1")
    if number < 1:
        raise _wrong(name, "must be at least 1", value, "give 1 or a larger number")
    return number


def positive(name: str, value: object) -> float:
    """A finite number above zero."""
    number = _finite(name, value, "must be a finite positive number")
    if number <= 0:
        raise _wrong(name, "must be positive", value, "give a number above 0")
    return number


def probability(name: str, value: object) -> float:
    """A number strictly between 0 and 1."""
    number = _finite(name, value, "must lie strictly between 0 and 1")
    if not 0 < number < 1:
        raise _wrong(name, "must lie strictly between 0 and 1", value, "give 0.99 for the 99th percentile")
    return number


def whole(name: str, value: object, low: int, high: int | None = None) -> int:
    """A whole number of at least `low` and at most `high`; 1e4 is one, True is not."""
    rule = (
        f"must be a whole number of at least {low}" if high is None else f"must be a whole number from {low} to {high}"
    )
    number = _finite(name, value, rule)
    if number != int(number) or number < low or (high is not None and number > high):
        raise _wrong(name, rule, value, "choose a whole number in that range")
    return int(cast(Any, value))  # not of the float, which has 53 bits


def _finite(name: str, value: object, rule: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _wrong(name, rule, value, "give one plain number in SI units")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(name, rule, value, "give one plain number in SI units")
    return number


def _wrong(name: str, rule: str, value: object, next_step: str) -> ScenarioError:
    return ScenarioError(Problem(name, rule, value, next_step))
