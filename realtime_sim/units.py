"""Units: what people write ("250ms", "10 KiB", "500/s") to SI numbers, and seconds to integer nanoseconds.

Plain numbers are SI already: seconds, bytes, events per second, bytes per second.
Nothing else in the package converts between seconds and nanoseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

import numpy as np

__all__ = [
    "MAX_SECONDS",
    "format_bandwidth",
    "format_duration",
    "format_rate",
    "format_size",
    "from_ns",
    "parse_bandwidth",
    "parse_count",
    "parse_duration",
    "parse_number",
    "parse_rate",
    "parse_size",
    "text_pattern",
    "to_ns",
]

NS_PER_S = 1_000_000_000

MAX_SECONDS = 1e9
"""Longest time this package accepts, about 31 years: its nanoseconds fit an int64 nine times."""

_DURATIONS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0,
    "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_SIZES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_BITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}
# No two neighbours match the same sign, so that even text made to hurt is read in one pass.
_MANTISSA, _EXPONENT = r"(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)", r"(?:[eE][+-]?[0-9]+)"
_NUMBER = rf"{_MANTISSA}{_EXPONENT}?"
_QUANTITY = re.compile(rf"([+-]?{_NUMBER})(?:\s*([A-Za-zµμ]+))?(?:\s*/\s*([A-Za-z]+))?")


def _split(value: object, kind: str, example: str) -> tuple[float, str, str]:
    """Number, unit and 'per' unit of a quantity; a plain number has empty units."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, np.integer, np.floating)):
        raise ValueError(f"must be {kind} such as {example}")
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"must be {kind} such as {example}")
        number, unit, per = float(match[1].replace("_", "")), match[2] or "", match[3] or ""
    else:
        try:
            number, unit, per = float(value), "", ""
        except OverflowError:
            number, unit, per = math.inf, "", ""
    if not math.isfinite(number):
        raise ValueError(f"must be a finite {kind.removeprefix('a ')} such as {example}")
    return number, unit, per


def _refuse_bits(unit: str, rule: str, hint: str) -> None:
    """A lower-case b after a prefix is how others write bits: who writes it must say what is meant."""
    if len(unit) > 1 and unit.endswith("b") and unit.lower() in _SIZES:
        large, binary = unit[0].upper(), unit[1:-1].lower()
        small = "k" if large == "K" else large
        known = hint.format(bits=f"{small}bit", n_bytes=f"{large if binary else small}{binary}B")
        raise ValueError(f"must be {rule}, and {unit!r} may be {known}")


def parse_duration(value: object) -> float:
    """Seconds, from a number of seconds or text with a unit (ns, us, ms, s, min, h, d).

    Raises
    ------
    ValueError
        If the text is no duration; the message states the rule.

    Examples
    --------
    >>> parse_duration("250ms"), parse_duration("1.5 min"), parse_duration(3)
    (0.25, 90.0, 3.0)
    """
    number, unit, per = _split(value, "a duration", "'250ms' or 0.25")
    if per or (unit and unit not in _DURATIONS):
        raise ValueError("must be a duration with unit ns, us, ms, s, min, h or d")
    return _scaled(number, _DURATIONS[unit] if unit else 1.0)


def parse_size(value: object) -> int:
    """Bytes, from a number of bytes or text with a unit (B, kB, MB, GB, KiB, MiB, GiB).

    A prefix takes a capital B: "100 Mb" may mean bits, and is refused.

    Examples
    --------
    >>> parse_size("10 KiB"), parse_size("200B"), parse_size(1e3)
    (10240, 200, 1000)
    """
    number, unit, per = _split(value, "a size", "'10 KiB' or 10240")
    if per or (unit and unit.lower() not in _SIZES):
        raise ValueError("must be a size with unit B, kB, MB, GB, KiB, MiB or GiB")
    _refuse_bits(unit, "a size in bytes", "bits (write {n_bytes})")
    size = _scaled(number, _SIZES[unit.lower()] if unit else 1)
    whole = round(size)
    # 1.001 kB is 1,001 bytes, though 1.001 * 1000 is a little less: two roundings are no fraction of a byte.
    if size != whole and not (unit and math.isclose(size, whole, rel_tol=2**-51)):
        raise ValueError("must be a whole number of bytes")
    return whole


def parse_rate(value: object) -> float:
    """Events per second, from a number or text such as "500/s", "30/min", "1_000_000/s".

    Examples
    --------
    >>> parse_rate("500/s"), parse_rate("30/min"), parse_rate(2)
    (500.0, 0.5, 2.0)
    """
    number, unit, per = _split(value, "a rate", "'500/s' or 500")
    if unit or (per and per not in _DURATIONS):
        raise ValueError("must be a rate such as '500/s', '30/min' or a plain number per second")
    span_s = _DURATIONS[per] if per else 1.0
    return number / span_s if span_s >= 1 else number * round(1 / span_s)


def parse_bandwidth(value: object) -> float:
    """Bytes per second, from a number or text such as "1 Gbit/s" or "12.5 MB/s".

    A prefix takes a capital B or the word bit: "100 Mb/s" may be either, and is refused.

    Examples
    --------
    >>> parse_bandwidth("1 Gbit/s"), parse_bandwidth("12.5 MB/s")
    (125000000.0, 12500000.0)
    """
    number, unit, per = _split(value, "a bandwidth", "'1 Gbit/s' or '12.5 MB/s'")
    if not unit and not per:
        return number
    if per == "s":
        _refuse_bits(unit, "a bandwidth in bits or bytes", "either ({bits}/s or {n_bytes}/s)")
    unit = unit.lower()
    if per != "s" or (unit not in _SIZES and unit not in _BITS):
        raise ValueError("must be a bandwidth such as '1 Gbit/s', '12.5 MB/s' or a plain number of bytes per second")
    return _scaled(number, _SIZES[unit]) if unit in _SIZES else _scaled(number, _BITS[unit]) / 8


def parse_count(value: object) -> int:
    """A whole number, from an int, a float without fraction or text such as "1_000_000".

    Examples
    --------
    >>> parse_count("1_000_000"), parse_count(2e4)
    (1000000, 20000)
    """
    number, unit, per = _split(value, "a whole number", "20_000")
    if unit or per or number != int(number):
        raise ValueError("must be a whole number such as 20_000")
    return int(value) if isinstance(value, (int, np.integer)) else int(number)


def parse_number(value: object) -> float:
    """A number without a unit, from a number or text such as "0.25".

    Examples
    --------
    >>> parse_number("0.25"), parse_number(2)
    (0.25, 2.0)
    """
    number, unit, per = _split(value, "a number", "0.25")
    if unit or per:
        raise ValueError("must be a number such as 0.25")
    return number


def _one_of(units: Iterable[str], any_case: bool = False) -> str:
    """Regular expression of unit names, in any case where parsing does not mind; after a prefix B is a capital."""
    spelled = (
        "".join(f"[{c}{c.upper()}]" if any_case else c for c in unit[:-1])
        + (
            unit[-1]
            if not any_case
            else "B"
            if unit[-1] == "b" and len(unit) > 1
            else f"[{unit[-1]}{unit[-1].upper()}]"
        )
        for unit in units
    )
    return f"(?:{'|'.join(spelled)})"


# A fraction cannot be whole; with an exponent only arithmetic could tell.
_WHOLE = rf"(?:[0-9][0-9_]*\.?[0_]*|\.0[0_]*|{_MANTISSA}{_EXPONENT})"
_TEXTS = {
    parse_duration: rf"{_NUMBER}\s*{_one_of(_DURATIONS)}?",
    parse_size: rf"(?:{_WHOLE}\s*{_one_of((u for u in _SIZES if _SIZES[u] == 1), any_case=True)}?|"
    rf"{_NUMBER}\s*{_one_of((u for u in _SIZES if _SIZES[u] > 1), any_case=True)})",
    parse_rate: rf"{_NUMBER}\s*(?:/\s*{_one_of(u for u in _DURATIONS if u.isascii())})?",
    parse_bandwidth: rf"{_NUMBER}\s*(?:{_one_of([*_SIZES, *_BITS], any_case=True)}\s*/\s*s)?",
    parse_count: _WHOLE,
    parse_number: _NUMBER,
}


def text_pattern(parse: Callable, above: bool = False) -> str:
    """Regular expression of the text that `parse` reads as 0 or more, in the dialect of JSON Schema (ECMA 262).

    Parameters
    ----------
    parse : callable
        One of the parsers of this module.
    above : bool
        Leave out zero, too.

    Examples
    --------
    >>> seconds = text_pattern(parse_duration, above=True)
    >>> [bool(re.search(seconds, text)) for text in ("250ms", "1_000 s", "0s", "-3s", "60 parsec")]
    [True, True, False, False, False]
    """
    sign = r"\+?(?=[0-9_.]*[1-9])" if above else r"(?:\+|-(?![0-9_.]*[1-9]))?"
    return rf"^\s*{sign}{_TEXTS[parse]}\s*$"


def _scaled(number: float, factor: float) -> float:
    """`number * factor`, dividing where that is exact (250 ms is 250/1000, not 250 * 0.001)."""
    if factor < 1:
        inverse = round(1 / factor)
        if math.isclose(inverse * factor, 1.0, rel_tol=1e-12):
            return number / inverse
    return number * factor


def _shortest(value: float, units: list[tuple[str, float]], parse, suffix: str = "") -> str:
    """The first unit in which the value is a short decimal that parses back to the very same number."""
    for unit, factor in units:
        amount = value / factor if factor >= 1 else value * round(1 / factor)
        text = f"{amount:.12g}{unit}{suffix}"
        if (abs(amount) >= 1 or factor == units[-1][1]) and parse(text) == value:
            return text
    return f"{float(value)!r}{'s' if parse is parse_duration else suffix}"


def format_duration(seconds: float) -> str:
    """Text that `parse_duration` reads back to exactly the same number.

    Examples
    --------
    >>> format_duration(0.25), format_duration(90.0), format_duration(0.0)
    ('250ms', '1.5min', '0s')
    """
    if seconds == 0:
        return "0s"
    return _shortest(
        seconds, [("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)], parse_duration
    )


def format_size(n_bytes: int) -> str:
    """Text that `parse_size` reads back to exactly the same number.

    Examples
    --------
    >>> format_size(2 * 2**30), format_size(200), format_size(1_000_000)
    ('2GiB', '200B', '1MB')
    """
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        factor = _SIZES[unit.lower()]
        if n_bytes and n_bytes % factor == 0:
            return f"{n_bytes // factor}{unit}"
    return f"{n_bytes}B"


def format_rate(per_s: float) -> str:
    """Text that `parse_rate` reads back to exactly the same number.

    Examples
    --------
    >>> format_rate(500.0), format_rate(0.5)
    ('500/s', '0.5/s')
    """
    text = f"{per_s:.12g}/s"
    return text if parse_rate(text) == per_s else f"{float(per_s)!r}/s"


def format_bandwidth(bytes_per_s: float) -> str:
    """Text that `parse_bandwidth` reads back to exactly the same number.

    Examples
    --------
    >>> format_bandwidth(125e6), format_bandwidth(1000.0)
    ('1Gbit/s', '8kbit/s')
    """
    for unit in ("gbit", "mbit", "kbit", "bit"):
        text = f"{bytes_per_s * 8 / _BITS[unit]:.12g}{unit.capitalize() if unit[0] in 'gm' else unit}/s"
        if bytes_per_s * 8 >= _BITS[unit] and parse_bandwidth(text) == bytes_per_s:
            return text
    return f"{float(bytes_per_s)!r}B/s"


def to_ns(seconds):
    """Integer nanoseconds, rounded half to even, from seconds.

    Parameters
    ----------
    seconds : float or ndarray of float
        At most `MAX_SECONDS`.

    Returns
    -------
    int or ndarray of int64
        Nanoseconds.

    Examples
    --------
    >>> to_ns(0.25), to_ns(np.array([1e-9, 2.0])).tolist()
    (250000000, [1, 2000000000])
    """
    if isinstance(seconds, np.ndarray):
        return np.rint(seconds * NS_PER_S).astype(np.int64)
    return round(float(seconds) * NS_PER_S)


def from_ns(ns):
    """Seconds from integer nanoseconds; scalars and arrays.

    Examples
    --------
    >>> from_ns(250_000_000)
    0.25
    """
    if isinstance(ns, np.ndarray):
        return ns / NS_PER_S
    return ns / NS_PER_S
