"""A trace files latencies in buckets of 1/128, and tells the first difference between two runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_sim.recorder import Recorder
from realtime_sim.trace import HOPS, N_BUCKETS, STAMPS, Trace, bucket_bounds_ns, bucket_of
from realtime_sim.workload import draw_workload
from tests.conftest import small

LOW, HIGH = bucket_bounds_ns()
LATENCIES = st.one_of(
    st.integers(0, 2**62),
    st.tuples(st.integers(0, 62), st.integers(-2, 2)).map(lambda pair: min(max(0, 2 ** pair[0] + pair[1]), 2**62)),
)


def defined_bucket(ns: int) -> int:
    """The definition in whole numbers of any size: the leading 8 bits, and 128 for every bit that is cut off."""
    cut_off = max(0, ns.bit_length() - 8)
    return ns // 2**cut_off + 128 * cut_off


def recorded(**changes: object) -> Trace:
    """A run of one delivery that takes 1, 2, ... 8 ns over its hops, kept in full."""
    recorder = Recorder(draw_workload(small(**changes)), "full")
    recorder.sample(time_ns=0, connections=np.array([10]))
    recorder.settled(0, 4, 0, 0, tuple(5_000 + i * (i + 1) // 2 for i in range(len(STAMPS))))
    return recorder.trace("reference")


TRACE = recorded()


# Known values, worked by hand.


@pytest.mark.parametrize(
    ("ns", "bucket", "low", "high"),
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
def test_latencies_are_filed_where_arithmetic_by_hand_files_them(ns, bucket, low, high):
    assert bucket_of(np.array([ns])).tolist() == [bucket]
    assert (LOW[bucket], HIGH[bucket]) == (low, high)


def test_there_are_eight_hops_between_nine_stamps():
    assert len(STAMPS) == len(HOPS) + 1 == 9


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
    bucket = int(bucket_of(np.array([ns]))[0])
    low, high = int(LOW[bucket]), int(HIGH[bucket])
    assert low <= ns <= high
    assert 256 * abs(2 * ns - low - high) < 2 * ns or low == ns == high


@given(LATENCIES, LATENCIES)
def test_a_longer_latency_is_never_filed_lower(a, b):
    first, second = bucket_of(np.array(sorted((a, b))))
    assert first <= second


# Differences.


def test_two_recordings_of_one_run_tell_the_same_story():
    assert recorded().diff(recorded()) is None
    assert recorded().diff(dataclasses.replace(recorded(), engine="fast")) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: {"level": "summary"}, "level: 'full' != 'summary'"),
        (lambda t: {"affected": (1,)}, "affected: () != (1,)"),
        (lambda t: {"counters": t.counters | {"polls": 3}}, "counters['polls']: 0 != 3"),
        (lambda t: {"batch_count": t.batch_count[:5]}, "batch_count.shape: (32,) != (5,)"),
        (lambda t: {"batch_count": np.arange(32)}, "batch_count, row 0: 1 != 0"),
        (lambda t: {"sum_ns": t.sum_ns + np.eye(2, 9, 3, dtype=int)}, "sum_ns[3], row 0: 0 != 1"),
        (lambda t: {"rows": t.rows | {"client": np.array([5])}}, "rows['client'], row 0: 4 != 5"),
        (lambda t: {"rows": {}}, f"rows: {sorted(recorded().rows)} != []"),
        (lambda t: {"recovery": (np.array([1, 2]),)}, "recovery: () != (array([1, 2]),)"),
    ],
)  # fmt: skip
def test_the_first_difference_is_named_with_its_row_and_both_values(change, text):
    trace = recorded()
    assert str(trace.diff(dataclasses.replace(trace, **change(trace)))) == text


def test_the_scenario_comes_first():
    found = recorded().diff(recorded(seed=1))
    assert (found.field, found.first.seed, found.second.seed) == ("scenario", 0, 1)


def test_a_different_number_of_faults_is_a_difference_too():
    one = (np.array([1, 2]),)
    first = dataclasses.replace(recorded(), recovery=one)
    found = first.diff(dataclasses.replace(first, recovery=(np.array([1, 2]), np.array([3]))))
    assert found.field == "recovery" and (len(found.first), len(found.second)) == (1, 2)


@given(st.integers(0, 31), st.integers(0, 31))
def test_the_first_row_that_differs_is_found(a, b):
    counts = np.zeros(32, dtype=np.int64)
    counts[[a, b]] += 1
    first = dataclasses.replace(TRACE, batch_count=counts * 0)
    found = first.diff(dataclasses.replace(TRACE, batch_count=counts))
    assert (found.field, found.row, found.second - found.first) == ("batch_count", min(a, b), 1)


# Errors.


def test_a_trace_is_frozen_and_equal_to_itself_alone():
    """Arrays have no single truth value, so traces are compared by `diff` and never by ==."""
    trace = recorded()
    assert trace != recorded() and trace == trace
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'level'"):
        trace.level = "x"
