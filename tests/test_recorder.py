"""A recorder counts what engines report: the same in any block size as by hand, delivery by delivery."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_sim import recorder as recorders
from realtime_sim.buckets import bucket_of
from realtime_sim.recorder import Recorder
from realtime_sim.trace import (
    CAUSES,
    COUNTERS,
    DELIVERIES,
    HOPS,
    N_BATCHES,
    N_GROUPS,
    NOTHING_NS,
    OUTCOMES,
    STAMPS,
    Trace,
)
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.conftest import small

DURATION_NS, WARMUP_NS = 10**10, 2 * 10**9
WORKLOAD = draw_workload(small(warmup=2))
COHORT = [0] * 4 + [1] * 6

SETTLED = st.tuples(
    st.integers(0, 50),
    st.integers(0, 9),
    st.sampled_from([0, 0, *range(len(OUTCOMES))]),
    st.integers(0, DURATION_NS - 1),
    st.tuples(*[st.integers(0, 10**11)] * len(HOPS)),
)  # fmt: skip
"""Message, client, outcome, publish time, and how long each hop took."""


def settle(recorder: Recorder, deliveries: list[tuple]) -> Trace:
    for message, client, outcome, published_ns, hops in deliveries:
        stamps = (published_ns + sum(hops[:i]) for i in range(len(STAMPS)))
        recorder.settled(message, client, 0, outcome, tuple(stamps))
    recorder.sample(time_ns=0)
    return recorder.trace("reference")


def in_blocks_of(size: int, level: str, deliveries: list[tuple]) -> Trace:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorders, "_BLOCK", size)
        return settle(Recorder(WORKLOAD, level), deliveries)


# Known values, worked by hand.


def test_a_delivery_is_filed_under_its_cohort_its_hops_and_its_slice():
    """Published 4 s after the warm-up of 2 s, half way through the measured 8 s; hops of 1 to 8 ns, 36 in all."""
    trace = settle(Recorder(WORKLOAD, "full"), [(7, 5, 0, 6 * 10**9, (1, 2, 3, 4, 5, 6, 7, 8))])
    assert trace.sum_ns.tolist() == trace.max_ns.tolist() == [[0] * 9, [1, 2, 3, 4, 5, 6, 7, 8, 36]]
    assert trace.min_ns.tolist() == [[NOTHING_NS] * 9, [1, 2, 3, 4, 5, 6, 7, 8, 36]]
    assert np.argwhere(trace.histogram).tolist() == [[1, hop, hop + 1] for hop in range(8)] + [[1, 8, 36]]
    assert trace.batch_count.tolist() == [0] * 16 + [1] + [0] * 15
    assert trace.batch_sum_ns[16].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 36]
    assert {name: column.tolist() for name, column in trace.rows.items()} == {
        "message": [7], "client": [5], "server": [0], "outcome": [0],
        **{name: [6 * 10**9 + n] for name, n in zip(STAMPS, (0, 1, 3, 6, 10, 15, 21, 28, 36), strict=True)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("published_ns", "slice_"),
    [(WARMUP_NS - 1, None), (WARMUP_NS, 0), (WARMUP_NS + 249_999_999, 0), (WARMUP_NS + 250_000_000, 1),
     (DURATION_NS - 1, 31)],
)  # fmt: skip
def test_a_slice_is_a_32nd_of_the_measured_time(published_ns, slice_):
    """8 s in 32 slices of 250 ms; what was published before the warm-up's end is in none of them."""
    trace = settle(Recorder(WORKLOAD, "summary"), [(0, 0, 0, published_ns, (0,) * 8)])
    assert np.flatnonzero(trace.batch_count).tolist() == ([] if slice_ is None else [slice_])


def test_slices_of_a_run_of_31_years_are_as_equal():
    """10**18 ns times 32 is more than an int64 holds."""
    workload = draw_workload(small(duration=1e9, sample_interval=1e6))
    published = [0, 10**18 // 32, 5 * 10**17, 10**18 - 1]
    trace = settle(Recorder(workload, "summary"), [(0, 0, 0, at, (0,) * 8) for at in published])
    assert np.flatnonzero(trace.batch_count).tolist() == [0, 1, 16, 31]


def test_clients_that_differ_by_chance_are_kept_in_32_groups():
    """Clients 1 and 33 are one group; of fewer than 64 clients, or with one round trip for all, no groups are kept."""
    cohort = {"name": "c", "count": 64, "network": {"rtt": {"mean": "40ms"}}}
    recorder = Recorder(draw_workload(small(clients=[cohort])), "summary")
    trace = settle(recorder, [(0, client, 0, 0, (client,) * 8) for client in (1, 33, 40)])
    assert trace.group_count.tolist() == [0, 2] + [0] * 6 + [1] + [0] * (N_GROUPS - 9)
    assert trace.group_sum_ns[[1, 8]].tolist() == [[34] * 8 + [272], [40] * 8 + [320]]
    assert trace.group_histogram.dtype == np.int32
    assert np.argwhere(trace.group_histogram[:, 0]).tolist() == [[1, 1], [1, 33], [8, 40]]
    for other in (cohort | {"count": 63}, cohort | {"network": {"rtt": "40ms"}}):
        empty = settle(Recorder(draw_workload(small(clients=[other])), "summary"), [(0, 0, 0, 0, (1,) * 8)])
        assert empty.group_histogram.shape == (0, 9, trace.histogram.shape[2])
        assert empty.group_sum_ns.shape == (0, 9) and empty.group_count.shape == (0,)


def test_a_sample_holds_all_that_is_counted_so_far():
    recorder = Recorder(WORKLOAD, "summary")
    recorder.sample(time_ns=0)
    recorder.expected(0, WARMUP_NS, 3)
    recorder.count("attempts", 2)
    recorder.count("server_died")
    series = settle(recorder, []).series
    counted = {name: values.tolist() for name, values in series.items() if values[-1]}
    assert set(COUNTERS) <= set(series)
    assert counted == {"expected": [0, 3], "attempts": [0, 2], "server_died": [0, 1], "desired": [1, 1]}


def test_arrays_that_an_engine_fills_itself_are_the_trace_s():
    recorder = Recorder(WORKLOAD, "summary")
    recorder.deliveries[DELIVERIES.index("lost_trimmed"), 1] = 7
    recorder.counters[COUNTERS.index("polls")] = 5
    recorder.servers["link_busy_ns"][0] = 9
    recorder.histogram[0, 8, 3] = 2
    trace = settle(recorder, [])
    assert (trace.deliveries["lost_trimmed"][1], trace.counters["polls"], type(trace.counters["polls"])) == (7, 5, int)
    assert (trace.servers["link_busy_ns"][0], trace.histogram[0, 8, 3]) == (9, 2)


def test_expected_lost_and_cancelled_are_counted_from_the_end_of_the_warmup():
    recorder = Recorder(WORKLOAD, "summary")
    for published_ns in (WARMUP_NS - 1, WARMUP_NS):
        recorder.expected(0, published_ns, 5)
        recorder.expected(9, published_ns)
        recorder.cancelled(0, published_ns)
        recorder.lost(9, published_ns, "trimmed")
    counted = {name: column.tolist() for name, column in settle(recorder, []).deliveries.items() if column.any()}
    assert counted == {"expected": [4, 1], "cancelled": [1, 0], "lost_trimmed": [0, 1]}


def test_faults_keep_who_came_back_and_when_in_order():
    faults = [{"at": 1, "kind": "drop_clients", "cohort": "phones"}, {"at": 2, "kind": "kill_server", "server": 0}]
    recorder = Recorder(draw_workload(small(faults=faults)), "summary")
    for fault, now_ns in ((1, 30), (0, 5), (1, 10)):
        recorder.recovered(fault, now_ns, 1)
    recorder.affected[1] = 3
    trace = settle(recorder, [])
    assert [times.tolist() for times in trace.recovery] == [[5], [10, 30]]
    assert [times.tolist() for times in trace.away] == [[4], [9, 29]]
    assert trace.affected == (0, 3)


def test_samples_become_series():
    recorder = Recorder(WORKLOAD, "summary")
    for time_ns in (0, 10):
        recorder.sample(time_ns=time_ns, connections=np.array([time_ns + 1, time_ns + 2]))
    series = recorder.trace("reference").series
    assert series["time_ns"].tolist() == [0, 10]
    assert series["connections"].tolist() == [[1, 2], [11, 12]]


def test_nothing_has_happened_before_a_run():
    trace = settle(Recorder(WORKLOAD, "full"), [])
    assert trace.counters == dict.fromkeys(COUNTERS, 0)
    assert set(trace.deliveries) == {"expected", *OUTCOMES, "cancelled", *(f"lost_{cause}" for cause in CAUSES)}
    assert trace.servers["died_ns"].tolist() == [-1]
    assert all(len(column) == 0 for column in trace.rows.values()) and len(trace.rows) == 13


# Agreement: blocks of any size with counting by hand.


@given(st.lists(SETTLED, max_size=12), st.integers(1, 5))
@example([(1, 0, 0, WARMUP_NS, (9,) * 8), (2, 0, 0, WARMUP_NS, (1,) * 8)], 2)
def test_blocks_of_any_size_give_what_counting_by_hand_gives(deliveries, size):
    trace = in_blocks_of(size, "full", deliveries)
    measured = [row for row in deliveries if row[3] >= WARMUP_NS]
    for outcome, name in enumerate(OUTCOMES):
        by_cohort = Counter(COHORT[row[1]] for row in measured if row[2] == outcome)
        assert trace.deliveries[name].tolist() == [by_cohort[0], by_cohort[1]]
    arrived = [(COHORT[row[1]], row[3], (*row[4], sum(row[4]))) for row in measured if row[2] == 0]
    for hop in range(len(HOPS) + 1):
        for cohort in (0, 1):
            latencies = [hops[hop] for c, _, hops in arrived if c == cohort]
            assert trace.sum_ns[cohort, hop] == sum(latencies)
            assert trace.min_ns[cohort, hop] == min(latencies, default=NOTHING_NS)
            assert trace.max_ns[cohort, hop] == max(latencies, default=0)
            filed = Counter(bucket_of(np.array(latencies, dtype=np.int64)).tolist())
            found = trace.histogram[cohort, hop]
            assert {bucket: found[bucket] for bucket in np.flatnonzero(found)} == filed
    slices = Counter((at - WARMUP_NS) * N_BATCHES // (DURATION_NS - WARMUP_NS) for _, at, _ in arrived)
    assert trace.batch_count.tolist() == [slices[i] for i in range(N_BATCHES)]
    assert (trace.batch_histogram.sum(axis=0) == trace.histogram.sum(axis=0)).all()
    assert (trace.batch_sum_ns.sum(axis=0) == trace.sum_ns.sum(axis=0)).all()
    keys = [(row[0], row[1], row[2]) for row in deliveries]
    assert [*zip(*(trace.rows[name].tolist() for name in ("message", "client", "outcome")), strict=True)] == sorted(
        keys
    )


@given(st.lists(SETTLED, max_size=8))
def test_a_summary_is_the_full_record_without_its_rows(deliveries):
    full, summary = in_blocks_of(3, "full", deliveries), in_blocks_of(4, "summary", deliveries)
    found = full.diff(summary)
    assert (found.field, summary.rows) == ("level", {})
    for name in ("histogram", "sum_ns", "max_ns", "batch_histogram", "batch_sum_ns", "batch_count"):
        assert np.array_equal(getattr(full, name), getattr(summary, name)), name


@given(st.lists(SETTLED, max_size=8))
def test_hops_add_up_to_the_whole_for_every_cohort_and_slice(deliveries):
    trace = in_blocks_of(3, "summary", deliveries)
    for sums in (trace.sum_ns, trace.batch_sum_ns):
        assert (sums[:, :-1].sum(axis=1) == sums[:, -1]).all()
    assert (trace.histogram.sum(axis=2) == trace.deliveries["delivered"][:, None]).all()


# Errors.


def test_an_unknown_cause_and_a_fault_that_is_none_are_refused():
    recorder = Recorder(WORKLOAD, "summary")
    with pytest.raises(KeyError, match="lost_bad_luck"):
        recorder.lost(0, to_ns(5), "bad_luck")
    with pytest.raises(IndexError, match="list index out of range"):
        recorder.recovered(0, 5, 3)
