"""What became of events is counted exactly, and what services push is worked out from it."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_sim.buckets import N_BUCKETS
from realtime_sim.errors import EngineError
from realtime_sim.pipeline import DONE, FATES, NEVER_NS, UNFINISHED, PipelineRun, Served
from realtime_sim.scenario import Scenario
from realtime_sim.workload import draw_workload

S = 10**9
EVENT_NS = np.array([0, 1, 2, 3, 4]) * S
ENDED_NS = np.array([6 * S, 3 * S, 3 * S, int(7.5 * S), NEVER_NS])
FATE = np.array([DONE, DONE, DONE, DONE, UNFINISHED])


def run(every: object = None, **changes: object) -> PipelineRun:
    """Five events, a second apart; the first is the third to be finished, the last never is."""
    scenario = Scenario(**{
        "name": "x", "duration": 5, "warmup": 0, "drain": 5, "clients": [{"name": "c", "count": 1}],
        "events": [{"name": "order", "rate": 1, "arrivals": "constant"}],
        "services": [{"name": "mail", "consumes": "order", "service": 1}],
        "traffic": [{"name": "push", "from": "mail", "every": every}],
    } | changes)  # fmt: skip
    served = Served(
        event_ns=EVENT_NS, entered_ns=EVENT_NS + S, started_ns=ENDED_NS - S, ended_ns=ENDED_NS,
        attempts=np.ones(5, dtype=np.int32), fate=FATE, n_redelivered=0, busy_ns=4 * S, caught_up_ns=np.zeros(0),
    )  # fmt: skip
    return PipelineRun(scenario, (served,))


def test_each_event_is_pushed_when_it_is_done_in_the_order_of_time_then_number():
    (pushes,) = run().pushes().values()
    assert [*zip(*(column.tolist() for column in pushes), strict=True)] == [
        (3 * S, 1 * S, 1), (3 * S, 2 * S, 2), (6 * S, 0, 0), (int(7.5 * S), 3 * S, 3),
    ]  # fmt: skip


def test_a_dashboard_is_sent_once_in_an_interval_with_news_as_old_as_the_oldest():
    """Intervals of 4 s end at 4 and 8 s; one of 3 s ends when two events are done, and has them."""
    (pushes,) = run(every=4).pushes().values()
    assert [column.tolist() for column in pushes] == [[4 * S, 8 * S], [1 * S, 0], [0, 1]]
    (pushes,) = run(every=3).pushes().values()
    assert [column.tolist() for column in pushes] == [[3 * S, 6 * S, 9 * S], [1 * S, 0, 3 * S], [0, 1, 2]]


def test_nothing_is_pushed_after_the_drain():
    (pushes,) = run(every=8, drain=2).pushes().values()
    assert len(pushes.time_ns) == 0


def test_lag_counts_what_has_entered_and_is_open_just_before():
    (served,) = run().services
    assert served.lag(np.array([0, 1, 2, 3, 4, 6, 10]) * S).tolist() == [0, 0, 1, 2, 1, 3, 1]
    assert served.highest_lag() == 3


def test_books_leave_out_events_of_the_warm_up():
    books = run(warmup=1).books()["mail"]
    assert dict(zip(FATES, books["fates"].tolist(), strict=True)) == dict.fromkeys(FATES, 0) | {
        "done": 3, "unfinished": 1,
    }  # fmt: skip
    assert books["sum_ns"] == (2 + 1) * S + int(4.5 * S)
    assert len(books["histogram"]) == N_BUCKETS and books["histogram"].sum() == 3
    assert books["lag"].tolist() == [0, 0, 1, 2, 1, 2]


def test_a_workload_without_what_services_push_is_refused():
    with pytest.raises(EngineError, match="stream 'push' needs what its service pushes: run the services first"):
        draw_workload(run().scenario)
