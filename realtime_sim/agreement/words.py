"""Figures in words: a difference with its interval as people say it, and which way it goes."""

from __future__ import annotations

import math
import re

from realtime_sim.stats import Estimate

__all__ = ["difference_text", "more_or_less", "percent", "shown", "tight", "value_text"]

_TIMES = ((0.9995, 1.0, "s"), (0.9995e-4, 1e-3, "ms"), (0.9995e-6, 1e-6, "µs"), (0.0, 1e-9, "ns"))
"""From which size on a time goes by which unit: divisor and name."""

_UNIT = re.compile(r"[\d)\]] (%|s|ms|µs|ns|/s|MiB)(?![\w])")

LATENCY = "delivery latency "
"""What the names of latency figures begin with."""


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Divisor and unit that make a value readable; times below a second go by the unit that fits."""
    if unit != "s":
        return 1.0, {"1/s": "/s", "per run": "", "ratio": ""}.get(unit, unit)
    if value == 0:
        return 1.0, ""
    return next((divisor, name) for least, divisor, name in _TIMES if abs(value) >= least)


def _digits(number: float) -> str:
    """Three digits, or all of a whole number; no exponent."""
    if not math.isfinite(number):
        return "-" if math.isnan(number) else ("never" if number > 0 else "-never")
    if number == round(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    text = f"{number:.3g}"
    return text if "e" not in text else f"{number:.9f}".rstrip("0")


def value_text(value: float, unit: str) -> str:
    """A figure with its unit.

    Examples
    --------
    >>> [value_text(x, "s") for x in (0.0123, 12.0, 3e-6, 0, math.inf, math.nan)]
    ['12.3 ms', '12 s', '3 µs', '0', 'never', '-']
    >>> value_text(12_345, "per run"), value_text(0.0312, "ratio"), value_text(410.24, "1/s")
    ('12,345', '0.0312', '410 /s')
    """
    if not math.isfinite(value):
        return _digits(value)
    divisor, name = _scale(value, unit)
    return f"{_digits(value / divisor)} {name}".rstrip()


def tight(text: str) -> str:
    """Text of a page whose numbers stay on one line with their units.

    Examples
    --------
    >>> tight("within 250 ms").split(" ")
    ['within', '250\\xa0ms']
    """
    return _UNIT.sub(lambda found: found.group().replace(" ", "\u00a0"), text)


def difference_text(difference: Estimate, unit: str) -> str:
    """The size of a difference, with its interval in the same unit.

    Examples
    --------
    >>> difference_text(Estimate(0.012, 0.008, 0.016), "s"), difference_text(Estimate(-0.012, -0.016, -0.008), "s")
    ('12 ms [8, 16]', '12 ms [8, 16]')
    >>> difference_text(Estimate(3.0), "per run")
    '3'
    """
    sign = math.copysign(1.0, difference.value)
    divisor, _ = _scale(difference.value, unit)
    text = value_text(abs(difference.value), unit)
    if difference.low is None or difference.high is None:
        return text
    low, high = sorted((sign * difference.low, sign * difference.high))
    return f"{text} [{_digits(low / divisor)}, {_digits(high / divisor)}]"


def more_or_less(figure: str, unit: str, difference: Estimate, who: str) -> str:
    """Which way somebody's figure goes, in words.

    Parameters
    ----------
    figure, unit : str
        What it is called, and what it is in.
    difference : Estimate
        Of that somebody less the other one.
    who : str
        The somebody.

    Examples
    --------
    >>> more_or_less("delivery latency p99", "s", Estimate(0.012, 0.008, 0.016), "b")
    'b is 12 ms [8, 16] slower at p99'
    >>> more_or_less("deliveries lost", "per run", Estimate(-3.0), "many")
    'many has 3 fewer'
    >>> more_or_less("recovery from fault 0 (kill_server)", "s", Estimate(2.0, 1.0, 3.0), "b")
    'b takes 2 s [1, 3] longer'
    """
    size, up = difference_text(difference, unit), difference.value > 0
    if figure.startswith(LATENCY):
        return f"{who} is {size} {'slower' if up else 'faster'} {_where(figure.removeprefix(LATENCY))}"
    if unit == "s":
        return f"{who} takes {size} {'longer' if up else 'less'}"
    if unit == "per run":
        return f"{who} has {size} {'more' if up else 'fewer'}"
    return f"{who} is {size} {'higher' if up else 'lower'}"


def _where(name: str) -> str:
    return {"mean": "on average", "max": "at the most"}.get(name, f"at {name}")


def percent(ratio: float) -> str:
    """A share in per cent, two digits or all before the point.

    Examples
    --------
    >>> percent(0.4212), percent(0.0123), percent(12.5), percent(0), percent(math.inf), percent(1e-7)
    ('42 %', '1.2 %', '1,250 %', '0 %', '-', 'under 0.001 %')
    """
    if not math.isfinite(ratio):
        return "-"
    number = ratio * 100
    if 0 < abs(number) < 0.001:
        return "under 0.001 %"
    return f"{number:,.0f} %" if abs(number) >= 10 or number == 0 else f"{number:.2g} %"


def shown(difference: Estimate) -> bool | None:
    """Whether an interval shows that there is a difference; None where there is no interval.

    Examples
    --------
    >>> [shown(d) for d in (Estimate(1.0, 0.5, 2.0), Estimate(1.0, -1.0, 3.0), Estimate(1.0), Estimate(0.0))]
    [True, False, None, False]
    """
    if difference.value == 0:
        return False
    if difference.low is None or difference.high is None:
        return None
    return not difference.low <= 0 <= difference.high
