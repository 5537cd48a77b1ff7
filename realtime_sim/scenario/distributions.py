"""Latency and service-time distributions: how a user writes them, their moments, and the sampler engines use.

The fields that are written choose the family: a plain value is constant, `{mean}` exponential, `{median, p99}`
lognormal, `{mean, cv}` gamma, `{low, high}` uniform, `{quantiles}` empirical. All values are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Union

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from scipy import special

from realtime_sim.draws import Sampler, normal_quantile
from realtime_sim.errors import nearest
from realtime_sim.scenario.quantities import (
    Broken,
    Duration,
    Part,
    PositiveDuration,
    Ratio,
    fault,
    faults,
    plain_number,
)
from realtime_sim.units import format_duration, parse_number, text_pattern

__all__ = ["Constant", "Distribution", "Empirical", "Exponential", "Gamma", "Lognormal", "Uniform"]

_EMPTY = np.zeros(1)
_Z99 = float(normal_quantile(0.99))
_SCORES = 8.25  # the largest normal score that a 53-bit uniform draw reaches
_TABLE_STEPS = 8192
_POINTS: dict[str, Any] = {
    "minProperties": 2,
    "maxProperties": 10_000,
    "propertyNames": {"pattern": text_pattern(parse_number)},  # JSON knows no other keys than text
}


class Constant(Part):
    """Always the same time.

    Parameters
    ----------
    value : float or str
        The time, seconds, 0 or more.
    """

    value: Duration

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return self.value

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation, dimensionless."""
        return 0.0

    def sampler(self) -> Sampler:
        """The form compiled code reads."""
        return Sampler(0, self.value, 0.0, _EMPTY, _EMPTY)


class Uniform(Part):
    """Any time from `low` to `high`, all equally likely.

    Parameters
    ----------
    low : float or str
        The shortest time, seconds, 0 or more.
    high : float or str
        The longest time, seconds, not below `low`.
    """

    low: Duration
    high: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.high < self.low:
            raise fault("must have low <= high", "swap low and high")
        return self

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return (self.low + self.high) / 2

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation, dimensionless."""
        return ((self.high - self.low) / self.mean_s) ** 2 / 12 if self.mean_s else 0.0

    def sampler(self) -> Sampler:
        """The form compiled code reads."""
        return Sampler(1, self.low, self.high, _EMPTY, _EMPTY)


class Exponential(Part):
    """Memoryless, by its mean.

    Parameters
    ----------
    mean : float or str
        Mean, seconds, above 0.
    """

    mean: PositiveDuration

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return self.mean

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation, dimensionless."""
        return 1.0

    def sampler(self) -> Sampler:
        """The form compiled code reads."""
        return Sampler(2, self.mean, 0.0, _EMPTY, _EMPTY)


class Lognormal(Part):
    """Lognormal by its median and 99th percentile, the two figures a monitoring page shows.

    Parameters
    ----------
    median : float or str
        The time that half of all stay below, seconds, above 0.
    p99 : float or str
        The time that 99 in 100 stay below, seconds, at least the median.
    """

    median: PositiveDuration
    p99: PositiveDuration

    @model_validator(mode="after")
    def _ordered(self) -> Lognormal:
        if self.p99 < self.median:
            raise fault("must have p99 >= median", "swap them, or give the larger one as p99")
        if self.p99 > 1e6 * self.median:
            raise fault("must have p99 at most 1_000_000 times the median", "check the units of both")
        return self

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm, dimensionless."""
        return math.log(self.p99 / self.median) / _Z99

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return self.median * math.exp(self.sigma**2 / 2)

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation, dimensionless."""
        return math.expm1(self.sigma**2)

    def sampler(self) -> Sampler:
        """The form compiled code reads."""
        return Sampler(3, self.median, self.sigma, _EMPTY, _EMPTY)


class Gamma(Part):
    """Gamma by its mean and coefficient of variation.

    Parameters
    ----------
    mean : float or str
        Mean, seconds, above 0.
    cv : float
        Standard deviation divided by the mean, dimensionless, 0.1 to 10; for no variation write a plain time.
    """

    mean: PositiveDuration
    cv: plain_number(0.1, 10, 0.5)  # type: ignore[valid-type]

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return self.mean

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation, dimensionless."""
        return self.cv**2

    def sampler(self) -> Sampler:
        """The form compiled code reads: quantiles at equal steps of the normal score, where they are smooth."""
        scores = np.linspace(-_SCORES, _SCORES, _TABLE_STEPS + 1)
        shape = 1 / self.cv2
        lower = special.gammaincinv(shape, special.ndtr(scores))
        upper = special.gammainccinv(shape, special.ndtr(-scores))
        return Sampler(4, _SCORES, 0.0, _EMPTY, np.where(scores < 0, lower, upper) * self.mean / shape)


class Empirical(Part):
    """Measured quantiles, joined by straight lines.

    Parameters
    ----------
    quantiles : dict of float to float or str
        Times in seconds that do not fall, by probabilities that rise from 0 to 1: {0: 1ms, 0.5: 10ms, 1: 90ms}.
    """

    quantiles: Annotated[dict[Ratio, Duration], Field(json_schema_extra=_POINTS)]

    @model_validator(mode="after")
    def _a_distribution(self) -> Empirical:
        p, values = list(self.quantiles), list(self.quantiles.values())
        step = "write it like {0: 1ms, 0.5: 10ms, 0.99: 40ms, 1: 90ms}"
        if (
            len(p) < _POINTS["minProperties"]
            or len(p) > _POINTS["maxProperties"]
            or p[0] != 0
            or p[-1] != 1
            or any(a >= b for a, b in zip(p, p[1:], strict=False))
        ):
            raise fault("must have rising probabilities from 0 to 1", step, at="quantiles")
        if any(a > b for a, b in zip(values, values[1:], strict=False)):
            raise fault("must have values that do not fall", step, at="quantiles")
        return self

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        p, y = self._points()
        return float(np.sum(np.diff(p) * (y[1:] + y[:-1]) / 2))

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation, dimensionless."""
        if not self.mean_s:
            return 0.0
        p, y = self._points()
        y /= self.mean_s  # squares of times as short as 1e-200 s would be 0
        second = float(np.sum(np.diff(p) * (y[1:] ** 2 + y[1:] * y[:-1] + y[:-1] ** 2) / 3))
        return max(0.0, second - 1)

    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(list(self.quantiles), float), np.array(list(self.quantiles.values()), float)

    def sampler(self) -> Sampler:
        """The form compiled code reads."""
        return Sampler(5, 0.0, 0.0, *self._points())


_FAMILIES: dict[frozenset[str], type[Part]] = {
    frozenset(cls.model_fields): cls for cls in (Uniform, Exponential, Lognormal, Gamma, Empirical)
}
_KNOWN = sorted({name for names in _FAMILIES for name in names})
_EXAMPLES = "write a value ('40ms'), {mean}, {median, p99}, {mean, cv}, {low, high} or {quantiles}"


def _read(value: object) -> object:
    if isinstance(value, (Constant, *_FAMILIES.values())):
        return value
    if not isinstance(value, Mapping):
        return Constant(value=value)
    names = frozenset(str(key) for key in value)
    if names in _FAMILIES:
        return _FAMILIES[names].model_validate(dict(value))
    if odd := sorted(names - set(_KNOWN)):
        raise faults([Broken("is not a field of a distribution", nearest(name, _KNOWN), name) for name in odd])
    raise fault("must be a distribution", _EXAMPLES)


def _write(value: Part) -> object:
    return format_duration(value.value) if isinstance(value, Constant) else value.model_dump(mode="json")


Distribution = Annotated[
    Any,
    BeforeValidator(_read, json_schema_input_type=Union[(Duration, *_FAMILIES.values())]),  # noqa: UP007 - of a table
    PlainSerializer(_write),
]
"""Field type: any of the distributions, or its short form."""
