"""Statistics of output are those of the textbooks: quantiles by definition, intervals of Student, MSER as published."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special

from realtime_sim.buckets import N_BUCKETS, bucket_of
from realtime_sim.draws import Stream, uniforms
from realtime_sim.stats import (
    Estimate,
    bounds_of_rare,
    histogram_quantile_ns,
    mser,
    over_batches,
    over_divisions,
    over_replications,
)

LATENCIES = st.lists(st.integers(0, 10**12), min_size=1, max_size=40)
FIGURES = st.lists(st.integers(-1_000, 1_000), min_size=2, max_size=20)
P = st.integers(0, 1_000).map(lambda k: Fraction(k, 1_000))


def histogram(latencies_ns: list[int]) -> np.ndarray:
    return np.bincount(bucket_of(np.array(latencies_ns, dtype=np.int64)), minlength=N_BUCKETS)


def defined_mser(values: list[int]) -> int:
    """White, Cobb and Spratt (2000), eq. 2, in fractions: the cut d up to half that makes the squared standard error
    of the rest, its sum of squares over (n - d)**2, least; the first of equal ones."""
    n = len(values)
    scores = []
    for d in range(n // 2 + 1):
        rest = [Fraction(value) for value in values[d:]]
        mean = sum(rest) / len(rest)
        scores.append(sum((value - mean) ** 2 for value in rest) / len(rest) ** 2)
    return scores.index(min(scores))


# Known values.


@pytest.mark.parametrize(
    ("p", "ns"), [(0, 1), (0.2, 1), (0.21, 2), (0.5, 3), (0.6, 3), (0.61, 100), (0.8, 100), (0.81, 200), (1, 200)]
)
def test_a_quantile_is_the_least_value_that_a_share_p_does_not_exceed(p, ns):
    """Of 1, 2, 3, 100 and 200 ns each is a fifth; below 256 ns a bucket is one value."""
    assert histogram_quantile_ns(histogram([200, 3, 1, 100, 2]), p) == ns


def test_a_quantile_is_read_as_the_middle_of_its_bucket():
    """1 ms is in the bucket from 999,424 to 1,003,519 ns."""
    assert histogram_quantile_ns(histogram([1_000_000]), 0.5) == 1_001_471.5


def test_an_empty_histogram_has_no_quantile():
    assert math.isnan(histogram_quantile_ns(np.zeros(N_BUCKETS, dtype=np.int64), 0.5))


@pytest.mark.parametrize(
    ("n", "t"), [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262), (31, 2.042)]
)  # NIST/SEMATECH e-Handbook §1.3.6.7.2, t for 0.975 and n - 1 degrees of freedom, three decimals
def test_the_interval_has_the_t_of_the_table(n, t):
    """Figures -1 and 1 (and 0 for an odd one) around 7: the half width is t s / sqrt(n)."""
    values = 7.0 + np.resize([-1.0, 1.0], n) * (np.arange(n) < n // 2 * 2)
    estimate = over_replications(values)
    half = t * math.sqrt(n // 2 * 2 / (n - 1) / n)
    assert estimate.value == pytest.approx(7, rel=1e-15)
    assert estimate.high - 7 == pytest.approx(half, rel=0.0005 / t) == 7 - estimate.low


def test_figures_are_plain_floats_that_every_file_can_hold():
    estimate = over_replications(np.array([1.0, 2.0, 4.0]))
    assert {type(number) for number in (estimate.value, estimate.low, estimate.high)} == {float}


def test_a_weighted_interval_is_the_ratio_estimator_s_as_worked_by_hand():
    """Four batches of one delivery with mean 1, four of three with mean 2: 28 / 16 = 1.75 in all. Deviations times
    relative size: -0.75 / 2 and 0.25 * 3 / 2, squares 0.140625 each, so s2 = 8 * 0.140625 / 7; t(7) = 2.364624."""
    estimate = over_batches(1.75, np.array([1.0, 2] * 4), np.array([1, 3] * 4))
    half = 2.364624 * math.sqrt(0.140625 / 7)
    assert estimate.high - 1.75 == pytest.approx(half, rel=1e-6) == 1.75 - estimate.low


def test_correlated_batches_count_for_fewer_as_worked_by_hand():
    """-1 four times, then 1 four times: sum of squares 8, of neighbours' products 6 - 1 = 5, so r = 0.625 and the
    variance is 1.625 / 0.375 times 8 / 7 / 8; all deviations are equal, so t has 7 degrees of freedom."""
    estimate = over_batches(0.0, np.array([-1.0] * 4 + [1.0] * 4))
    assert estimate.high == pytest.approx(2.364624 * math.sqrt(1.625 / 0.375 / 7), rel=1e-6) == -estimate.low


def test_batches_of_which_few_differ_tell_little_as_worked_by_hand():
    """28 of 0 and, apart from each other, four of 8: around 1 the squares are 1 and 49, 224 in all, fourth powers 1 and
    2401. The kurtosis is 301 / 7**2, and of 31 degrees of freedom 31 * 2 / (43 / 7 - 1) = 12.06 are left."""
    estimate = over_batches(1.0, np.resize([0.0] * 7 + [8.0], 32)[::-1])
    half = scipy.stats.t.ppf(0.975, 62 * 7 / 36) * math.sqrt(224 / 31 / 32)
    assert estimate.high - 1 == pytest.approx(half, rel=1e-9) == 1 - estimate.low


def test_two_divisions_have_satterthwaites_degrees_of_freedom():
    """Swings of 1 in 32 slices and of 3 in 8 groups: variances 1 / 31 and 9 / 7 add up."""
    slices, groups = (np.resize([-1.0, 1.0], n) for n in (32, 8))
    estimate = over_divisions(0.0, (slices, np.ones(32)), (3 * groups, np.ones(8)))
    freedom = (1 / 31 + 9 / 7) ** 2 / ((1 / 31) ** 2 / 31 + (9 / 7) ** 2 / 7)
    assert estimate.high == pytest.approx(scipy.stats.t.ppf(0.975, freedom) * math.sqrt(1 / 31 + 9 / 7), rel=1e-9)


@pytest.mark.parametrize(
    ("n", "low", "high"), [(1, 0.025, 5.572), (5, 1.624, 11.668), (10, 4.795, 18.390), (50, 37.111, 65.919)]
)
def test_rare_events_have_the_interval_of_a_poisson_count(n, low, high):
    """Garwood (1936): limits of the mean of a Poisson variable that was found to be n."""
    bounds = bounds_of_rare(0.01, half=0.01 * 1.959964 / math.sqrt(n))
    assert [bound * n / 0.01 for bound in bounds] == pytest.approx([low, high], abs=1e-3)


def test_a_share_without_spread_is_its_own_bound():
    assert bounds_of_rare(0.01, 0.0) == (0.01, 0.01)


@pytest.mark.parametrize(
    ("values", "cut"),
    [
        ([9, 1, 1, 1], 1),
        ([9, 9, 1, 1], 2),
        ([5, 5, 5, 5], 0),
        ([9, 1, 1], 0),  # too few to say
        ([1, 2, 3, 4, 5, 6], 3),  # never settles: the most that may be cut
        ([0, 4, 4, 4, 4, 4, 4, 0], 1),  # what is odd at the end is not cut
    ],
)
def test_mser_cuts_the_start_that_has_not_settled(values, cut):
    assert mser(np.array(values, dtype=float)) == cut


def test_an_estimate_shows_four_digits_and_its_interval():
    assert str(Estimate(1 / 3)) == "0.3333"
    assert str(Estimate(1 / 3, 0.25, 0.5)) == "0.3333 [0.25, 0.5]"
    assert Estimate(1.0, 0.5, 2.0).to_plain() == {"value": 1.0, "low": 0.5, "high": 2.0}


# Properties and agreement.


@given(LATENCIES, P)
def test_the_histogram_s_quantile_is_the_exact_one_within_its_bucket(latencies, p):
    """The middle of a bucket is off by at most 1/256 of the value. The rank is counted in fractions."""
    n = len(latencies)
    exact = sorted(latencies)[max(0, math.ceil(p * n) - 1)]
    assert abs(histogram_quantile_ns(histogram(latencies), float(p)) - exact) <= exact / 256


@given(LATENCIES, st.sampled_from([0, 0.5, 0.25, 0.875, 1]))
def test_numpy_has_the_same_quantile(latencies, p):
    """At probabilities that a double holds exactly; at others numpy's own rank is one off now and then."""
    exact = np.quantile(latencies, p, method="inverted_cdf")
    assert abs(histogram_quantile_ns(histogram(latencies), p) - exact) <= exact / 256


@given(LATENCIES, P, P)
def test_a_higher_quantile_is_never_lower(latencies, p, q):
    low, high = sorted((float(p), float(q)))
    counts = histogram(latencies)
    assert histogram_quantile_ns(counts, low) <= histogram_quantile_ns(counts, high)


@given(FIGURES)
def test_the_interval_of_replications_is_that_of_scipy(values):
    """1e-9 of the spread: both add up doubles of at most 1,000 with 16 digits."""
    found = over_replications(np.array(values))
    mean, error = np.mean(values), scipy.stats.sem(values)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, mean, error) if error else (mean, mean)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@given(st.lists(st.integers(-1_000, 1_000), min_size=8, max_size=32), st.integers(1, 9))
def test_batches_around_their_own_mean_are_replications_or_less_certain(values, weight):
    """Correlation and kurtosis can only widen the interval, and weights that are equal change nothing."""
    batches = np.array(values, dtype=float)
    replications = over_replications(batches)
    found = over_batches(batches.mean(), batches)
    assert found.low <= replications.low + 1e-9 and replications.high - 1e-9 <= found.high
    weighted = over_batches(batches.mean(), batches, batches * 0 + weight)
    assert (weighted.low, weighted.high) == pytest.approx((found.low, found.high), abs=1e-9)


@given(st.lists(st.integers(1, 1_000), min_size=8, max_size=32))
def test_batches_that_swing_are_replications(values):
    """Neighbours on both sides of the mean are not positively correlated, and equal swings have a kurtosis of 1."""
    batches = np.resize([-1.0, 1.0], len(values) // 2 * 2) * values[0]
    found, expected = over_batches(0.0, batches), over_replications(batches)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=20))
def test_batches_without_data_do_not_count(values):
    batches = np.array(values, dtype=float)
    weights = np.ones(len(values))
    more, more_weights = np.append(batches, [np.nan, 5.0]), np.append(weights, [1, 0])
    assert over_batches(3.0, more, more_weights) == over_batches(3.0, batches, weights)


@given(st.lists(st.integers(-50, 50), max_size=24))
@example([1] * 31)
def test_mser_is_its_definition(values):
    assert mser(np.array(values, dtype=float)) == (defined_mser(values) if len(values) >= 4 else 0)


@given(st.floats(1e-6, 1e6), st.integers(4, 40))
@example(0.1, 31)
def test_a_series_that_never_changes_is_never_cut(value, n):
    """31 times 0.1 have a mean that is not 0.1, and squares of that are no reason to cut."""
    assert mser(np.full(n, value)) == 0


def test_intervals_hold_the_truth_as_often_as_they_say():
    """2,000 runs of 32 normal batches. Hits are binomial with p = 0.95: outside these bounds once in a million."""
    batches = special.ndtri(uniforms(1, Stream.JITTER, 0, 0, 2_000 * 32)).reshape(2_000, 32) + 10
    intervals = [over_batches(row.mean(), row) for row in batches]
    hits = sum(interval.low <= 10 <= interval.high for interval in intervals)
    low, high = scipy.stats.binom(2_000, 0.95).interval(1 - 1e-6)
    assert low <= hits <= high


# Where there is no interval.


@pytest.mark.parametrize(
    "estimate",
    [
        over_replications(np.array([3.0])),
        over_batches(3.0, np.arange(7.0)),
        over_batches(3.0, np.full(32, np.nan)),
        over_batches(3.0, np.arange(32.0), np.arange(32) < 7),
    ],
    ids=["one run", "seven batches", "no data", "seven with data"],
)
def test_too_few_figures_give_no_interval(estimate):
    assert estimate == Estimate(3.0, None, None)


def test_a_figure_that_is_not_known_has_no_interval():
    estimate = over_batches(math.nan, np.arange(32.0))
    assert math.isnan(estimate.value) and estimate.low is None and estimate.high is None
