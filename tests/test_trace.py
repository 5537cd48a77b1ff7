"""A trace tells the first difference between two runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.recorder import Recorder
from realtime_sim.trace import HOPS, STAMPS, Trace
from realtime_sim.workload import draw_workload
from tests.conftest import small


def recorded(**changes: object) -> Trace:
    """A run of one delivery that takes 1, 2, ... 8 ns over its hops, kept in full."""
    recorder = Recorder(draw_workload(small(**changes)), "full")
    recorder.sample(time_ns=0, connections=np.array([10]))
    recorder.settled(0, 4, 0, 0, tuple(5_000 + i * (i + 1) // 2 for i in range(len(STAMPS))))
    return recorder.trace("reference")


TRACE = recorded()


# Known values.


def test_there_are_eight_hops_between_nine_stamps():
    assert len(STAMPS) == len(HOPS) + 1 == 9


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
