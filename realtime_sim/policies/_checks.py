"""Checks on the parameters of a policy; each raises a `ValueError` that names the parameter and shows its value.

The scenario puts the path in front of these messages, so they stay short.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

LONGEST_S = 1e6
"""Longest time a policy accepts, seconds: eleven days."""


def number(name: str, value: object) -> float:
    """A finite plain number.

    Examples
    --------
    >>> number("factor", "two")
    Traceback (most recent call last):
    ValueError: factor must be a finite number, got 'two'
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def seconds(name: str, value: object) -> float:
    """A time above zero and up to `LONGEST_S`.

    Examples
    --------
    >>> seconds("base_s", -1.0)
    Traceback (most recent call last):
    ValueError: base_s must be positive, got -1.0
    """
    given = number(name, value)
    if given <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    if given > LONGEST_S:
        raise ValueError(f"{name} must be at most {LONGEST_S:g} s, got {value!r}")
    return given


def not_below(name: str, value: float, low_name: str, low: float) -> None:
    """Refuse a value under another parameter of the same policy.

    Examples
    --------
    >>> not_below("cap_s", 1.0, "base_s", 2.0)
    Traceback (most recent call last):
    ValueError: cap_s must be at least base_s (2.0), got 1.0
    """
    if value < low:
        raise ValueError(f"{name} must be at least {low_name} ({low!r}), got {value!r}")


def growth(name: str, value: object) -> float:
    """A factor of at least one.

    Examples
    --------
    >>> growth("factor", 0.5)
    Traceback (most recent call last):
    ValueError: factor must be at least 1, got 0.5
    """
    given = number(name, value)
    if given < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return given


def between(name: str, value: object, low: float, high: float) -> float:
    """A number from `low` to `high`, both included.

    Examples
    --------
    >>> between("stabilization_window_s", 7200, 0, 3600)
    Traceback (most recent call last):
    ValueError: stabilization_window_s must lie between 0 and 3600, got 7200
    """
    given = number(name, value)
    if not low <= given <= high:
        raise ValueError(f"{name} must lie between {low!r} and {high!r}, got {value!r}")
    return given


def share(name: str, value: object) -> float:
    """A number from zero to one, both included.

    Examples
    --------
    >>> share("jitter", 2)
    Traceback (most recent call last):
    ValueError: jitter must lie between 0 and 1, got 2
    """
    return between(name, value, 0, 1)


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not one of those allowed.

    Examples
    --------
    >>> one_of("kind", "pod", ("pods", "percent"))
    Traceback (most recent call last):
    ValueError: kind must be 'pods' or 'percent', got 'pod'
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}")


def whole(name: str, value: object, low: int) -> int:
    """A whole number of at least `low`.

    Examples
    --------
    >>> whole("limit_bytes", 0.5, 1)
    Traceback (most recent call last):
    ValueError: limit_bytes must be a whole number of at least 1, got 0.5
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")
    return int(value)


def draws(name: str, value: object) -> np.ndarray:
    """Uniform draws on [0, 1), as an array of float64.

    Examples
    --------
    >>> draws("u", [0.5, 1.0])
    Traceback (most recent call last):
    ValueError: u must lie on [0, 1), got 1.0
    """
    given = np.asarray(value, dtype=np.float64)
    outside = ~((given >= 0) & (given < 1))
    if outside.any():
        raise ValueError(f"{name} must lie on [0, 1), got {float(given[outside].flat[0])!r}")
    return given


def counts(name: str, value: object) -> np.ndarray:
    """Whole numbers of at least zero, as an array of int64.

    Examples
    --------
    >>> counts("attempt", -1)
    Traceback (most recent call last):
    ValueError: attempt must be whole and at least 0, got -1
    """
    given = np.asarray(value)
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0):
        wrong = given if given.dtype.kind not in "iu" else given[given < 0]
        raise ValueError(f"{name} must be whole and at least 0, got {wrong.flat[0]!s}")
    return given.astype(np.int64)


def _size(name: str, value: object) -> int:
    return whole(name, value, 1)


class Bounds(NamedTuple):
    """The check of a kind of parameter, and in numbers what it holds a value to; `low` itself is refused if `above`."""

    check: Callable[[str, Any], float]
    low: float
    high: float = math.inf
    above: bool = False


BOUNDS = MappingProxyType(
    {
        "_s": Bounds(seconds, 0, LONGEST_S, above=True),
        "_bytes": Bounds(_size, 1),
        "factor": Bounds(growth, 1),
        "jitter": Bounds(share, 0, 1),
    }
)
"""Kinds of parameters by the end of their name."""


def bounds(name: str) -> Bounds:
    """What a parameter of this name is held to, in every policy.

    Examples
    --------
    >>> bounds("base_s").low, bounds("base_s").high
    (0, 1000000.0)
    """
    return next(known for ending, known in BOUNDS.items() if name.endswith(ending))


def parameters(policy: Any) -> None:
    """Check each parameter of a policy on its own."""
    for field in dataclasses.fields(policy):
        bounds(field.name).check(field.name, getattr(policy, field.name))
