"""Latencies are filed in buckets of 1/128 of a power of two, the same by one value and by arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_sim.buckets import N_BUCKETS, bucket, bucket_bounds_ns, bucket_of

LOW, HIGH = bucket_bounds_ns()
LATENCIES = st.one_of(
    st.integers(0, 2**62),
    st.tuples(st.integers(0, 62), st.integers(-2, 2)).map(lambda pair: min(max(0, 2 ** pair[0] + pair[1]), 2**62)),
)


def defined_bucket(ns: int) -> int:
    """The definition in whole numbers of any size: the leading 8 bits, and 128 for every bit that is cut off."""
    cut_off = max(0, ns.bit_length() - 8)
    return ns // 2**cut_off + 128 * cut_off


# Known values, worked by hand.


@pytest.mark.parametrize(
    ("ns", "number", "low", "high"),
    [
        (0, 0, 0, 0),
        (255, 255, 255, 255),  # the last bucket of one value
        (256, 256, 256, 257),  # from here on two values share a bucket
        (511, 383, 510, 511),
        (512, 384, 512, 515),  # and from here on four
        (1_000_000, 1_780, 999_424, 1_003_519),  # 1 ms has 20 bits, 12 are cut off: 244 * 4,096, and 244 + 12 * 128
        (2**62, 128 + 55 * 128, 2**62, 2**62 + 2**55 - 1),
    ],
)
def test_latencies_are_filed_where_arithmetic_by_hand_files_them(ns, number, low, high):
    assert bucket_of(np.array([ns])).tolist() == [number]
    assert (LOW[number], HIGH[number]) == (low, high)


def test_buckets_cover_every_int64_without_gap_or_overlap():
    assert len(LOW) == len(HIGH) == N_BUCKETS
    assert LOW[0] == 0 and HIGH[-1] == 2**63 - 1
    assert (LOW[1:] == HIGH[:-1] + 1).all() and (LOW <= HIGH).all()


# Properties and agreement.


@given(st.lists(LATENCIES, min_size=1))
@example([2**53 - 1, 2**53 + 1, 2**54 - 1, 2**62 - 1, 2**62])
def test_buckets_are_those_of_the_definition_in_whole_numbers(latencies):
    """From 2**53 on a double rounds, up to the next power of two and so into another bucket."""
    assert bucket_of(np.array(latencies)).tolist() == [defined_bucket(ns) for ns in latencies]


@given(LATENCIES)
def test_the_middle_of_a_bucket_is_off_by_less_than_a_256th(ns):
    """Whole numbers, doubled: |2 ns - (low + high)| / 2 < ns / 256."""
    number = int(bucket_of(np.array([ns]))[0])
    low, high = int(LOW[number]), int(HIGH[number])
    assert low <= ns <= high
    assert 256 * abs(2 * ns - low - high) < 2 * ns or low == ns == high


@given(LATENCIES, LATENCIES)
def test_a_longer_latency_is_never_filed_lower(a, b):
    first, second = bucket_of(np.array(sorted((a, b))))
    assert first <= second


@given(LATENCIES)
def test_one_value_is_filed_as_an_array_of_it(ns):
    assert bucket(ns) == bucket_of(np.array([ns]))[0]
