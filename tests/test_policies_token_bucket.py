"""The token bucket lets through exactly what a bucket of tokens does, in whole nanoseconds."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.policies.token_bucket import TURNED_AWAY, arrive, bucket_ns

ARRIVALS = st.lists(st.integers(0, 10**9), min_size=1, max_size=60).map(sorted)
RATES = st.floats(1e-3, 1e6)
BURSTS = st.integers(1, 20)


def let_through(times_ns: list[int], increment_ns: int, limit_ns: int) -> list[bool]:
    """Which of the arrivals conform."""
    expected_ns, found = 0, []
    for now_ns in times_ns:
        answer = arrive(expected_ns, now_ns, increment_ns, limit_ns)
        found.append(answer != TURNED_AWAY)
        expected_ns = answer if found[-1] else expected_ns
    return found


# Known values.


@pytest.mark.parametrize(
    ("rate_per_s", "burst", "increment_ns", "limit_ns"),
    [
        (1.0, 1, 10**9, 0),
        (500.0, 100, 2_000_000, 99 * 2_000_000),
        (3.0, 2, 333_333_333, 333_333_333),
        (1e9, 1, 1, 0),
        (1e-12, 5, 2**60, 2**60),  # as long as a time may be
    ],
)
def test_increment_and_limit_follow_from_rate_and_burst(rate_per_s, burst, increment_ns, limit_ns):
    assert bucket_ns(rate_per_s, burst) == (increment_ns, limit_ns)


def test_without_a_burst_arrivals_are_spaced():
    """I.371 with T = 10 and tau = 0: at 0, 9, 10, 12, 20, 31, 40 those at 9 and 12, and the one at 40, 9 after 31."""
    assert let_through([0, 9, 10, 12, 20, 31, 40], 10, 0) == [True, False, True, False, True, True, False]


def test_a_burst_goes_through_after_a_pause_and_then_the_rate():
    """T = 10 and tau = 20, three at once: after them one each 10, and three again after a pause of 30."""
    times = [0, 0, 0, 0, 10, 10, 20, 50, 50, 50, 50]
    assert let_through(times, 10, 20) == [True, True, True, False, True, False, True, True, True, True, False]


# Properties.


def by_tokens(times_ns: list[int], increment_ns: int, burst: int) -> list[bool]:
    """The other way to the same answer: a bucket that starts full, gains a token an increment, and holds `burst`."""
    tokens, before, found = Fraction(burst), times_ns[0], []
    for now in times_ns:
        tokens = min(Fraction(burst), tokens + Fraction(now - before, increment_ns))
        before = now
        found.append(tokens >= 1)
        tokens -= found[-1]
    return found


@given(ARRIVALS, RATES, BURSTS)
def test_it_is_a_bucket_of_tokens(times_ns, rate_per_s, burst):
    increment_ns, limit_ns = bucket_ns(rate_per_s, burst)
    assert let_through(times_ns, increment_ns, limit_ns) == by_tokens(times_ns, increment_ns, burst)


@given(ARRIVALS, RATES, BURSTS)
def test_no_window_holds_more_than_burst_and_rate(times_ns, rate_per_s, burst):
    increment_ns, limit_ns = bucket_ns(rate_per_s, burst)
    passed = np.array(times_ns)[let_through(times_ns, increment_ns, limit_ns)]
    for i, first in enumerate(passed):
        assert (np.arange(1, len(passed) - i + 1) <= burst + (passed[i:] - first) // increment_ns).all()


# Errors.


@pytest.mark.parametrize(
    ("rate_per_s", "burst", "message"),
    [
        (0.0, 1, "rate_per_s must be positive, got 0.0"),
        (-2.0, 1, "rate_per_s must be positive, got -2.0"),
        ("fast", 1, "rate_per_s must be a finite number, got 'fast'"),
        (1.0, 0, "burst must be"),
    ],
)
def test_a_wrong_parameter_is_named(rate_per_s, burst, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bucket_ns(rate_per_s, burst)
