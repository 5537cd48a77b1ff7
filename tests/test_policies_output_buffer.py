"""A stalled subscriber is cut off at the hard limit at once, and at the soft limit when it stays there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies.output_buffer import NOT_SOFT, OutputBufferLimit, check, check_kernel

MB = 2**20


def cut_after_s(rate_bytes_per_s: float, limit: OutputBufferLimit, step_s: float = 0.01) -> float:
    """When a subscriber that takes nothing is cut off, seconds."""
    since, steps = None, 0
    while True:
        steps += 1
        since, decision, _ = check(limit, round(rate_bytes_per_s * steps * step_s), since, steps * step_s)
        if decision == "cut":
            return steps * step_s


# Known values.


@pytest.mark.parametrize(
    ("mb_per_s", "seconds"),
    [(10, 3.2), (0.5, 64.0), (0.2, 100.0)],  # 32 / 10; 32 / 0.5; 8 / 0.2 + 60
)
def test_a_stalled_redis_subscriber_is_cut_off_when_its_limits_say(mb_per_s, seconds):
    """min(32 / r, 8 / r + 60) seconds for r MB/s; the soft limit is passed with the next write after the minute."""
    assert seconds <= cut_after_s(mb_per_s * MB, OutputBufferLimit()) <= seconds + 0.02


def test_a_nats_subscriber_has_a_hard_limit_alone():
    assert cut_after_s(MB, OutputBufferLimit(64 * MB, 0, 0.0)) == pytest.approx(64, abs=0.011)


def test_a_break_below_the_soft_limit_starts_the_minute_anew():
    limit = OutputBufferLimit()
    since, decision, _ = check(limit, 8 * MB, None, 10.0)
    assert (since, decision) == (10.0, "keep")
    since, decision, reason = check(limit, 8 * MB - 1, since, 69.0)
    assert (since, decision, reason) == (None, "keep", "8,388,607 B buffered, below the soft limit")
    assert check(limit, 9 * MB, since, 71.0)[:2] == (71.0, "keep")
    assert check(limit, 9 * MB, 71.0, 131.0)[1] == "keep"  # a minute is allowed, and more is not
    assert check(limit, 9 * MB, 71.0, 131.1)[1] == "cut"


# Properties.


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(0, 100), st.integers(0, 50), st.lists(st.integers(0, 9), max_size=80))
def test_nobody_is_cut_off_below_both_limits_and_nobody_stays_at_the_hard_one(hard, soft, grace, writes):
    buffered, since = 0, NOT_SOFT
    for now, n_bytes in enumerate(writes):
        buffered += n_bytes
        since, cut = check_kernel(hard, soft, grace, buffered, since, now)
        if buffered >= hard:
            assert cut
        elif soft == 0 or buffered < soft:
            assert not cut and since == NOT_SOFT
        else:
            assert cut == (now - since > grace)


# Errors.


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hard_bytes", -1, "hard_bytes must be"),
        ("soft_bytes", 1.5, "soft_bytes must be"),
        ("soft_for_s", -1.0, "soft_for_s must be 0 or more, got -1.0"),
    ],
)
def test_a_wrong_limit_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        OutputBufferLimit(**{field: value})
