"""Replications give the same results in one process or several."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_sim.errors import ScenarioError
from realtime_sim.simulation import simulate
from realtime_sim.trace import N_BATCHES
from tests.conftest import small

# --- the same results -----------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_the_number_of_processes():
    case = small(clients=[{"name": "c", "count": 100, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}])
    figures = [simulate(case, replications=4, n_jobs=n).to_plain() for n in (1, 2, 3)]
    assert figures[0] == figures[1] == figures[2]
    assert figures[0]["replications"] == 4


def test_every_delivery_comes_back_from_other_processes_too():
    case = small(traffic=[{"name": "t", "rate": 5}])
    here, there = (simulate(case, replications=2, n_jobs=n, record="full").traces for n in (1, 2))
    assert [one.diff(other) for one, other in zip(here, there, strict=True)] == [None, None]
    assert len(here[0].rows["client"]) > 0 and here[0].diff(here[1]) is not None


def test_of_several_replications_only_the_sum_of_their_slices_is_kept():
    """Each one's slices and groups of clients take 17 MB, which a view of nothing would hold on to."""
    case = small(traffic=[{"name": "t", "rate": 5}])
    results = simulate(case, replications=2)
    for trace in results.traces:
        assert trace.batch_histogram.base is None and trace.batch_histogram.size == 0
        assert trace.group_histogram.base is None and trace.group_histogram.size == 0
    single = [simulate(case.replace(seed=seed)).latency_over_time["delivered"] for seed in (0, 1)]
    assert results.latency_over_time["delivered"].tolist() == (single[0] + single[1]).tolist()
    assert len(results.latency_over_time) == N_BATCHES


# --- what is told of it ---------------------------------------------------------------------------------------------


def test_progress_of_other_processes_comes_by_whole_replications():
    seen: list[float] = []
    simulate(small(), replications=4, n_jobs=2, progress=seen.append)
    assert seen == [0.25, 0.5, 0.75, 1.0]


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [0, -2, True, 2.5, "2"])
def test_a_wrong_number_of_processes_is_refused(n_jobs):
    with pytest.raises(ScenarioError) as caught:
        simulate(small(), n_jobs=n_jobs)
    rule = "n_jobs must be a whole number of processes from 1, or -1 for all cores"
    assert str(caught.value) == f"{rule}, got {n_jobs!r}; use 1 to stay in this process"


def test_an_error_in_another_process_is_the_same_as_here():
    texts = []
    for n_jobs in (1, 2):
        with pytest.raises(ScenarioError) as caught:
            simulate(small(seed=2**63 - 1), replications=2, n_jobs=n_jobs)
        texts.append(str(caught.value))
    assert texts[0] == texts[1] and texts[0].startswith("seed must be a whole number")


def test_numbers_of_numpy_are_numbers():
    results = simulate(small(duration=2), replications=np.int64(2), n_jobs=np.int64(1))
    assert results.n_replications == 2
