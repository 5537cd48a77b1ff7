"""What the methods of the Cluster take: each argument is read here, or is one clear message."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.scenario import Scenario
from realtime_sim.units import MAX_SECONDS, parse_duration, parse_number, parse_rate

__all__ = ["count", "duration_s", "factor", "flag", "moment_ns", "notice", "rate_per_s", "share"]

NOTICES = ("rst", "silent")


def _read(name: str, parse: Callable, value: object, low: float, high: float, rule: str, step: str) -> float:
    try:
        number = parse(value)
    except ValueError as error:
        raise ScenarioError(Problem(name, str(error), value, step)) from None
    if not low <= number <= high:
        raise ScenarioError(Problem(name, rule, value, step))
    return number


def duration_s(name: str, value: object) -> float:
    """Seconds, from a number or text with a unit, 0 or more.

    Examples
    --------
    >>> duration_s("over", "250ms")
    0.25
    >>> duration_s("over", -1)
    Traceback (most recent call last):
    realtime_sim.errors.ScenarioError: over must be from 0 to 1e+09 s, got -1; write it like '250ms'
    """
    return _read(
        name, parse_duration, value, 0, MAX_SECONDS, f"must be from 0 to {MAX_SECONDS:g} s", "write it like '250ms'"
    )


def rate_per_s(name: str, value: object) -> float:
    """Events a second, from a number or text such as "50/s", from one in a million seconds on."""
    return _read(name, parse_rate, value, 1e-6, 1e9, "must be from 1e-6 to 1e9 a second", "write it like '50/s'")


def factor(value: object) -> float:
    """How many times as long something takes."""
    return _read("factor", parse_number, value, 0.001, 1_000, "must be from 0.001 to 1_000", "use 1 for its own pace")


def share(value: object) -> float:
    """A part of the whole."""
    return _read("share", parse_number, value, 0, 1, "must be from 0 to 1", "use 1 for all of them")


def count(name: str, value: object, most: int, rule: str, step: str) -> int:
    """A whole number.

    Parameters
    ----------
    name : str
        What it is called.
    value : int
        What was given.
    most : int
        The largest it may be; 0 is the smallest.
    rule, step : str
        What must hold, and what to do.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= value <= most:
        raise ScenarioError(Problem(name, rule, value, step))
    return int(value)


def moment_ns(name: str, value: object, now_ns: int) -> int:
    """Integer nanoseconds since the start of the run, from now on.

    Parameters
    ----------
    name : str
        What it is called.
    value : int
        What was given.
    now_ns : int
        What time it is.

    Examples
    --------
    >>> moment_ns("time_ns", 5, now_ns=7)
    Traceback (most recent call last):
    realtime_sim.errors.ScenarioError: time_ns must be a whole number from 7 ns on, got 5; until takes what is past
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < now_ns:
        rule = f"must be a whole number from {now_ns} ns on"
        raise ScenarioError(Problem(name, rule, value, "until takes what is past"))
    return int(value)


def flag(name: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ScenarioError(Problem(name, "must be True or False", value, "pass one of them"))
    return value


def notice(value: object, scenario: Scenario | None = None) -> str:
    """How a loss shows: at once, or, with the scenario's keepalives, in silence."""
    if value not in NOTICES:
        raise ScenarioError(Problem("notice", "must be one of rst, silent", value, nearest(str(value), NOTICES)))
    if value == "silent" and scenario is not None and any(cohort.keepalive is None for cohort in scenario.clients):
        step = "give every cohort a keepalive, or use notice: rst"
        raise ScenarioError(Problem("notice", "must not be silent where a cohort has no keepalive", value, step))
    return str(value)
