"""Deliveries are back when no slice is worse any more than the worst before, to the slice, before the next fault."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import Results
from realtime_sim.buckets import N_BUCKETS, bucket_of
from realtime_sim.engines import fast, reference
from realtime_sim.recovery import deliveries_back_s
from realtime_sim.trace import N_BATCHES
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.conftest import small

TEN = [10] * N_BATCHES


def back_s(times_s, lost=(), slow=(), number=0, delivered=TEN) -> float:
    """32 slices of one second from 8 s on, ten deliveries of 100 ms in each: those in `slow` take 203 ms, and of those
    in `lost` one more was to come."""
    scenario = small(duration=40, warmup=8)
    slices = np.zeros((N_BATCHES, N_BUCKETS), dtype=np.int64)
    for i, n in enumerate(delivered):
        slices[i, bucket_of(np.array([203_000_000 if i in slow else 100_000_000]))] = n
    trace = SimpleNamespace(
        scenario=scenario, disturbances=tuple(("stop_broker", to_ns(at)) for at in times_s),
        batch_count=np.array(delivered), batch_missing=np.isin(np.arange(N_BATCHES), lost).astype(int),
        min_ns=np.full((1, 1), 0), max_ns=np.full((1, 1), 10**10),
    )  # fmt: skip
    return deliveries_back_s([trace], slices, number)


@pytest.mark.parametrize(
    ("times_s", "lost", "slow", "number", "found"),
    [
        ([20], [], [], 0, 0.0),
        ([20], [12], [], 0, 1.0),  # that of 20 to 21 s
        ([20.25], [12], [], 0, 0.75),
        ([20], [12, 13], [15], 0, 4.0),
        ([20], [12, 31], [], 0, math.inf),  # the last one, too
        ([20], [3, 12, 31], [], 0, 0.0),  # as much was lost before
        ([20], [12], [3, 20], 0, 1.0),  # as slow before
        ([20, 30], [12, 21, 22], [], 0, math.inf),  # up to the next fault
        ([20, 30], [12, 23], [], 0, 1.0),
        ([20, 30], [3, 12], [23], 1, 2.0),
        ([20, 30], [12], [22, 31], 1, math.inf),
        ([20, 20], [12], [], 0, 1.0),
        ([20, 20], [12], [], 1, 1.0),
        ([20, 20.5], [12], [], 0, math.nan),  # no whole slice between them
        ([8.5], [], [], 0, math.nan),  # no slice before
        ([3, 20], [12], [], 1, math.nan),  # none before the first, which was in the warm-up
    ],
)
def test_deliveries_are_back_after_the_last_slice_that_is_worse_than_before(times_s, lost, slow, number, found):
    assert back_s(times_s, lost, slow, number) == pytest.approx(found, nan_ok=True)


def test_a_slice_that_lost_everything_is_worse_and_one_in_which_nothing_was_sent_is_not():
    none_at = [0 if i in (12, 14) else 10 for i in range(N_BATCHES)]
    assert back_s([20], lost=[12], delivered=none_at) == 1.0
    assert math.isnan(back_s([20], lost=[12], delivered=[0] * 12 + [10] * 20))


@given(st.sets(st.integers(12, 31)), st.sets(st.integers(12, 31)))
def test_worse_slices_never_bring_deliveries_back_sooner(one, more):
    assert back_s([20], lost=list(one)) <= back_s([20], lost=list(one | more))


def drops_and_closes(env, cluster):
    """Six close one by one, a second apart; then the phones drop at once."""
    yield env.timeout(1)
    for _ in range(6):
        cluster.close_connections(0, 1)
        yield env.timeout(1)
    cluster.drop_clients("phones")


@pytest.mark.parametrize("faults", [
    [{"at": 2, "kind": "drain_server", "server": 0, "over": "5s"}], [{"at": 2, "kind": "kill_server", "server": 0}], [],
], ids=["drain", "kill", "own"])  # fmt: skip
def test_each_client_is_away_from_its_own_cut_and_both_engines_say_so(faults):
    """They try again after 1.5 s: a drain takes 5 s, and none of its clients is away for longer than that wait."""
    cohorts = [{"name": name, "count": n, "reconnect": {"policy": "fixed", "delay": "1.5s"}}
               for name, n in (("phones", 4), ("desks", 6))]  # fmt: skip
    case = small(duration=20, servers={"profile": "zero", "count": 2}, clients=cohorts, faults=faults)
    workload, control = draw_workload(case), [] if faults else [drops_and_closes]
    first, second = (engine.run(workload, control=control) for engine in (reference, fast))
    assert first.diff(second) is None
    results = Results([first])
    assert np.concatenate(first.away).tolist() == [1_500_000_000] * len(np.concatenate(first.recovery))
    assert set(results.recovery["away_p50_s"].dropna()) == set(results.recovery["away_max_s"].dropna()) == {1.5}
    if faults and faults[0]["kind"] == "drain_server":
        assert results.recovery["p100_s"].item() > 5


@pytest.mark.parametrize("broker", ["redis_pubsub", "kafka"])
def test_slices_know_what_is_missing_and_both_engines_say_so(broker):
    """What every slice misses adds up to what is lost and dropped; a slow client drops, the broker stops for 3 s."""
    slow = {"name": "slow", "count": 3, "network": {"bandwidth": "4kB/s"},
            "overflow": {"policy": "drop_newest", "limit": "2kB"}}  # fmt: skip
    case = small(
        duration=16, drain=20, clients=[slow, {"name": "desks", "count": 6}], broker={"kind": broker},
        traffic=[{"name": "t", "rate": 9, "payload": 900}], faults=[{"at": 8, "kind": "stop_broker", "lasts": 3}],
    )  # fmt: skip
    first, second = (engine.run(draw_workload(case)) for engine in (reference, fast))
    assert first.diff(second) is None
    total = Results([first]).deliveries.loc["total"]
    assert first.batch_missing.sum() == total["lost"] + total["dropped"] and total["dropped"] > 0
    assert first.batch_missing[17:21].all()
