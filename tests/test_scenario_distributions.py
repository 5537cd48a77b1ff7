"""A distribution has the moments and quantiles of its name, is written as it is read, and its draws are times."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import integrate, special

from realtime_sim.draws import sample, sample_ns
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Constant, Empirical, Exponential, Gamma, Lognormal, Uniform
from realtime_sim.scenario.distributions import Distribution
from realtime_sim.units import MAX_SECONDS, to_ns
from tests.conftest import small

FIELD = TypeAdapter(Distribution)
Z99 = special.ndtri(0.99)

TIMES = st.floats(1e-9, MAX_SECONDS)
U = st.integers(0, 2**53 - 1).map(lambda k: k / 2**53)
"""Draws have 53 bits, so that 1 - u is exact."""

PAIRS = st.tuples(TIMES, TIMES).map(sorted)


@st.composite
def empiricals(draw) -> Empirical:
    inner = draw(st.sets(st.integers(1, 99), max_size=6))
    values = sorted(draw(st.lists(st.floats(0, 1e6), min_size=len(inner) + 2, max_size=len(inner) + 2)))
    return Empirical(quantiles=dict(zip([0, *(p / 100 for p in sorted(inner)), 1], values, strict=True)))


LOGNORMALS = st.builds(lambda m, ratio: Lognormal(median=m, p99=m * ratio), st.floats(1e-9, 1e3), st.floats(1, 9.9e5))
FAMILIES = st.one_of(
    st.builds(Constant, value=TIMES),
    PAIRS.map(lambda pair: Uniform(low=pair[0], high=pair[1])),
    st.builds(Exponential, mean=TIMES),
    LOGNORMALS,
    st.builds(Gamma, mean=TIMES, cv=st.floats(0.1, 10)),
    empiricals(),
)  # fmt: skip


# Known values, worked by hand.


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("40ms", Constant(value=0.04)),
        (0, Constant(value=0)),
        ({"low": "1ms", "high": "4ms"}, Uniform(low=0.001, high=0.004)),
        ({"mean": "5ms"}, Exponential(mean=0.005)),
        ({"median": "40ms", "p99": 0.25}, Lognormal(median=0.04, p99=0.25)),
        ({"mean": "5ms", "cv": 2}, Gamma(mean=0.005, cv=2)),
        ({"quantiles": {0: "1ms", 0.5: "2ms", 1: "9ms"}}, Empirical(quantiles={0: 0.001, 0.5: 0.002, 1: 0.009})),
    ],
)
def test_the_fields_that_are_written_choose_the_family(written, read):
    assert FIELD.validate_python(written) == read
    assert type(FIELD.validate_python(written)) is type(read)


@pytest.mark.parametrize(
    ("distribution", "mean_s", "cv2"),
    [
        (Constant(value=3), 3, 0),
        (Uniform(low=1, high=3), 2, 1 / 12),  # (3 - 1)**2 / 12 over 2**2
        (Uniform(low=0, high=0), 0, 0),
        (Exponential(mean=2), 2, 1),
        (Lognormal(median=1, p99=math.exp(Z99)), math.exp(0.5), math.e - 1),  # sigma is 1
        (Lognormal(median=2, p99=2), 2, 0),
        (Gamma(mean=2, cv=0.5), 2, 0.25),
        (Empirical(quantiles={0: 0, 1: 2}), 1, 1 / 3),
        # Half of the time 1, else even between 1 and 3: mean 1.5, mean square 1/2 + 13/6 = 8/3, over 9/4.
        (Empirical(quantiles={0: 1, 0.5: 1, 1: 3}), 1.5, 32 / 27 - 1),
        (Empirical(quantiles={0: 0, 1: 0}), 0, 0),
    ],
)
def test_moments_are_those_worked_by_hand(distribution, mean_s, cv2):
    assert distribution.mean_s == pytest.approx(mean_s, rel=1e-14)
    assert distribution.cv2 == pytest.approx(cv2, rel=1e-13, abs=1e-15)


# Properties.


@given(FAMILIES, U, U)
@example(Exponential(mean=MAX_SECONDS), 0.0, 1 - 2.0**-53)
@example(Lognormal(median=1, p99=9e5), 0.0, 1 - 2.0**-53)
def test_every_draw_is_a_time_and_a_higher_draw_is_never_a_shorter_one(distribution, a, b):
    """36.7 times a mean of 31 years is more than the nanoseconds of an int64; a time ends at the longest one."""
    sampler = distribution.sampler()
    low, high = (sample_ns(sampler, u) for u in sorted((a, b)))
    assert 0 <= low <= high <= to_ns(MAX_SECONDS)


@given(FAMILIES)
def test_a_distribution_is_written_so_that_it_reads_back_the_same(distribution):
    for mode in ("python", "json"):
        assert FIELD.validate_python(FIELD.dump_python(distribution, mode=mode)) == distribution


@given(FAMILIES, U)
def test_a_distribution_stays_within_its_support(distribution, u):
    drawn = sample(distribution.sampler(), u)
    if isinstance(distribution, Constant):
        assert drawn == distribution.value
    elif isinstance(distribution, Uniform):
        assert distribution.low <= drawn <= distribution.high
    elif isinstance(distribution, Empirical):
        assert min(distribution.quantiles.values()) <= drawn <= max(distribution.quantiles.values())
    else:
        assert drawn >= 0


@given(st.floats(0, 1e-150), st.floats(0, 1e-150))
@example(0, 1e-200)
def test_moments_of_the_shortest_times_are_numbers_too(a, b):
    """The square of 1e-200 is 0 in a double."""
    low, high = sorted((a, b))
    assume(low < high)
    for distribution in (Uniform(low=low, high=high), Empirical(quantiles={0: low, 1: high})):
        assert 0 <= distribution.cv2 <= 1 / 3 * (1 + 1e-9)


# Agreement with scipy.


@given(PAIRS, U)
def test_uniform_is_scipy_s(pair, u):
    low, high = pair
    known = scipy.stats.uniform(low, high - low)
    ours = Uniform(low=low, high=high)
    assert sample(ours.sampler(), u) == pytest.approx(known.ppf(u) if low < high else low, rel=1e-15)
    assert ours.mean_s == pytest.approx(low + (high - low) / 2, rel=1e-15)
    assert ours.cv2 == pytest.approx((high - low) ** 2 / 12 / ours.mean_s**2, rel=1e-12, abs=0)


@given(TIMES, U)
def test_exponential_is_scipy_s(mean, u):
    known = scipy.stats.expon(scale=mean)
    ours = Exponential(mean=mean)
    assert sample(ours.sampler(), u) == pytest.approx(known.ppf(u), rel=1e-12)
    assert (ours.mean_s, ours.cv2) == pytest.approx((known.mean(), known.var() / known.mean() ** 2), rel=1e-12)


@given(LOGNORMALS, st.floats(1e-12, 1 - 1e-12))
def test_lognormal_is_scipy_s_by_its_median_and_99th_percentile(ours, u):
    """The logarithm is off by sigma z times 2e-14, the error of the normal quantile; sigma is at most 6 and z 7."""
    known = scipy.stats.lognorm(ours.sigma, scale=ours.median) if ours.sigma else None
    assert sample(ours.sampler(), 0.5) == pytest.approx(ours.median, rel=1e-12)
    assert sample(ours.sampler(), 0.99) == pytest.approx(ours.p99, rel=1e-12)
    if known is not None:
        assert sample(ours.sampler(), u) == pytest.approx(known.ppf(u), rel=1e-11)
        assert ours.mean_s == pytest.approx(known.mean(), rel=1e-12)
        assert ours.cv2 == pytest.approx(known.var() / known.mean() ** 2, rel=1e-9)


@given(st.floats(1e-6, 1e3), st.floats(0.1, 10), U.filter(bool))
@example(1.0, 10.0, 0.87)
@example(1.0, 10.0, 1 - 2.0**-53)
@example(1.0, 0.1, 2.0**-53)
def test_gamma_is_scipy_s_within_the_steps_of_its_table(mean, cv, u):
    """A straight line over a step h of a curve like exp(s z) is off by (h s)**2 / 8, and by less than
    (h (s + 1))**2 / 8 where s changes with z. What is below a billionth of the mean does not matter."""
    known = scipy.stats.gamma(1 / cv**2, scale=mean * cv**2)
    ours = Gamma(mean=mean, cv=cv)
    quantile = known.ppf(u) if u < 0.5 else known.isf(1 - u)
    h, tolerance = 16.5 / 8_192, 0.0
    if quantile > 1e-9 * mean:
        slope = math.exp(scipy.stats.norm.logpdf(special.ndtri(u)) - known.logpdf(quantile)) / quantile
        tolerance = (h * (slope + 1)) ** 2 / 8
    assert sample(ours.sampler(), u) == pytest.approx(quantile, rel=tolerance, abs=1e-9 * mean)
    assert (ours.mean_s, ours.cv2) == pytest.approx((known.mean(), known.var() / known.mean() ** 2), rel=1e-12)


@given(st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True), st.data())
def test_an_empirical_distribution_is_scipy_s_histogram(percents, data):
    """Straight lines between quantiles are even densities between values; 1e-9: both add up seven products."""
    edges = sorted(data.draw(st.sets(st.integers(0, 1_000), min_size=len(percents) + 2, max_size=len(percents) + 2)))
    p = [0, *(percent / 100 for percent in sorted(percents)), 1]
    ours = Empirical(quantiles=dict(zip(p, edges, strict=True)))
    known = scipy.stats.rv_histogram((np.diff(p) / np.diff(edges), np.array(edges)), density=True)
    assert ours.mean_s == pytest.approx(known.mean(), rel=1e-9)
    assert ours.cv2 == pytest.approx(known.var() / known.mean() ** 2, rel=1e-9)
    u = data.draw(U)
    assert sample(ours.sampler(), u) == pytest.approx(known.ppf(u), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("distribution", [Uniform(low=1, high=4), Exponential(mean=2), Gamma(mean=2, cv=0.5)])
def test_the_mean_is_the_area_under_the_quantiles(distribution):
    """Gauss and Kronrod's rule to 1e-7 and the table's own error, 2e-6 at cv 0.5."""
    sampler = distribution.sampler()
    area, _ = integrate.quad(lambda u: sample(sampler, u), 0, 1, epsrel=1e-7, limit=200)
    assert area == pytest.approx(distribution.mean_s, rel=3e-6)


# Errors.


LIKE = "write it like {0: 1ms, 0.5: 10ms, 0.99: 40ms, 1: 90ms}"


@pytest.mark.parametrize(
    ("written", "at", "rule", "next_step"),
    [
        ({"low": 3, "high": 1}, "", "must have low <= high", "swap low and high"),
        ({"mean": 0}, ".mean", "must be above 0", "write it like '250ms'"),
        ({"median": 2, "p99": 1}, "", "must have p99 >= median", "swap them, or give the larger one as p99"),
        (
            {"median": 1, "p99": 2e6}, "", "must have p99 at most 1_000_000 times the median",
            "check the units of both",
        ),
        ({"mean": 1, "cv": 0.05}, ".cv", "must be at least 0.1", "write it like 0.5"),
        ({"mean": 1, "cv": 11}, ".cv", "must be at most 10", "write it like 0.5"),
        ({"quantiles": {0: 2, 1: 1}}, ".quantiles", "must have values that do not fall", LIKE),
        ({"quantiles": {0: 1}}, ".quantiles", "must have rising probabilities from 0 to 1", LIKE),
        ({"quantiles": {0: 1, 1: 2, 0.5: 3}}, ".quantiles", "must have rising probabilities from 0 to 1", LIKE),
        ({"mean": 1, "p98": 2}, ".p98", "is not a field of a distribution", "did you mean 'p99'?"),
        (
            {"mean": 1, "high": 2}, "", "must be a distribution",
            "write a value ('40ms'), {mean}, {median, p99}, {mean, cv}, {low, high} or {quantiles}",
        ),
        ("soon", "", "must be a duration such as '250ms' or 0.25", "write it like '250ms'"),
    ],
)  # fmt: skip
def test_what_is_no_distribution_is_refused_with_the_rule_it_breaks(written, at, rule, next_step):
    with pytest.raises(ScenarioError) as caught:
        small(clients=[{"name": "c", "count": 1, "network": {"rtt": written}}])
    (problem,) = caught.value.problems
    assert (problem.path, problem.rule, problem.next_step) == (f"clients[0].network.rtt{at}", rule, next_step)
    assert problem.value == (written[at[1:]] if at else written)
