"""Latency figures of a run: quantiles within what occurred, intervals that hold the truth, slices that add up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

N_SEEDS = 40
COVERAGE = 0.85
"""What at least is asked of intervals that call themselves 95 %."""


def chat(seed: int = 0, **changes: object) -> Scenario:
    """512 clients whose round trips differ by chance, 30 messages a second to rooms of ten."""
    return Scenario(
        **{
            "name": "chat",
            "seed": seed,
            "duration": 11,
            "warmup": 1,
            "clients": [{"name": "c", "count": 512, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}],
            "servers": {"count": 2},
            "broker": {"kind": "redis_pubsub"},
            "rooms": [{"name": "r", "count": 64, "members": 10}],
            "traffic": [{"name": "t", "to": "r", "rate": 30}],
        }
        | changes
    )


@pytest.fixture(scope="module")
def runs() -> list[Results]:
    return [simulate(chat(seed)) for seed in range(N_SEEDS)]


# Known values.


def test_quantiles_of_a_constant_hop_are_its_value():
    """20 ms lies below the middle of its bucket."""
    results = simulate(chat(clients=[{"name": "c", "count": 512, "network": {"rtt": "40ms"}}]))
    figures = results.latency_s(hop="client_network")
    assert {figures[name].value for name in ("mean", "p50", "p90", "p95", "p99", "p999", "max")} == {0.02}
    assert (figures["p99"].low, figures["p99"].high) in ((None, None), (0.02, 0.02))


def test_latency_over_time_is_by_slices_of_the_measured_time(runs):
    """10 s in 32 slices: their middles are 5/16 s apart, and their deliveries and sums are those of the run."""
    frame = runs[0].latency_over_time
    assert list(frame.columns) == ["time_s", "delivered", "mean_s", "p50_s", "p99_s"]
    assert frame["time_s"].tolist() == [1 + (i + 0.5) * 10 / 32 for i in range(32)]
    assert frame["delivered"].sum() == runs[0].deliveries.loc["total", "delivered"]
    mean = (frame["mean_s"] * frame["delivered"]).sum() / frame["delivered"].sum()
    assert mean == pytest.approx(runs[0].latency_s()["mean"].value, rel=1e-12)
    assert (frame["p50_s"] <= frame["p99_s"]).all()


def test_latency_over_time_holds_all_replications(runs):
    several = Results([run.trace for run in runs[:3]])
    assert several.latency_over_time["delivered"].sum() == several.deliveries.loc["total", "delivered"]


def test_a_slice_without_deliveries_has_no_latency():
    frame = simulate(chat(traffic=[{"name": "t", "to": "r", "rate": 30, "stop": "6s"}])).latency_over_time
    assert frame["delivered"].tolist()[16:] == [0] * 16
    assert frame.loc[16:, ["mean_s", "p50_s", "p99_s"]].isna().all(axis=None)


def rare(n_seeds: int) -> list[Results]:
    """One message in two seconds on average, measured for one: about 6 runs of 10 deliver nothing."""
    case = chat(clients=[{"name": "c", "count": 10}], rooms=[], traffic=[{"name": "t", "rate": 0.5}])
    return [simulate(case.replace(duration=2, warmup=1, seed=seed)) for seed in range(n_seeds)]


def test_replications_that_delivered_nothing_have_no_latency_and_are_left_out():
    runs = rare(12)
    full = [run for run in runs if run.deliveries.loc["total", "delivered"]]
    empty = [run for run in runs if run not in full]
    assert len(full) >= 2 and len(empty) >= 2
    traces = [run.trace for run in (*full, *empty)]
    for hop in (None, "server_wait"):
        assert Results(traces).latency_s(hop=hop) == Results(traces[: len(full)]).latency_s(hop=hop)
    assert Results(traces).warnings[0].startswith(f"{len(empty)} of 12 replications delivered nothing: ")
    alone = Results([full[0].trace, empty[0].trace])
    for name, figure in alone.latency_s().items():
        assert (figure.value, figure.low, figure.high) == (full[0].latency_s()[name].value, None, None)
    assert any(text.startswith("No interval: fewer than two replications") for text in alone.warnings)
    nothing = Results([run.trace for run in empty])
    assert all(np.isnan(figure.value) for figure in nothing.latency_s().values())
    assert not any("replications" in text for text in nothing.warnings)


# Properties.


def test_no_quantile_lies_outside_what_occurred(runs):
    for run in runs:
        figures = run.latency_s()
        low_s = run.trace.min_ns[:, -1].min() / 1e9
        for figure in figures.values():
            assert low_s <= figure.value <= figures["max"].value
            assert figure.low is None or low_s <= figure.low or figure is figures["mean"]


@pytest.mark.parametrize("name", ["mean", "p50", "p99"])
def test_intervals_of_single_runs_hold_the_truth_though_clients_are_drawn(runs, name):
    """The truth is the mean over the seeds. Hits are binomial; a program whose intervals hold it in 85 % of the runs
    has fewer than the bound once in a million times. Slices of time alone hold it in 1 run of 5."""
    figures = [run.latency_s()[name] for run in runs]
    truth = np.mean([figure.value for figure in figures])
    hits = sum(figure.low is not None and figure.low <= truth <= figure.high for figure in figures)
    assert hits >= binom.ppf(1e-6, N_SEEDS, COVERAGE)


def test_one_of_several_replications_has_its_figures_and_no_interval():
    """Its slices and groups were not kept, which an interval would need."""
    several = simulate(chat(), replications=3)
    for trace in several.traces:
        alone, whole = Results([trace]), simulate(trace.scenario)
        for name, figure in whole.latency_s().items():
            found = alone.latency_s()[name]
            assert found.value == figure.value and found.low is None
        assert alone.summary["value"].equals(whole.summary["value"])


def test_an_interval_over_replications_does_not_reach_below_0():
    """One client, whose round trip is drawn anew for each run: halves of Student's interval are 12.706 (t at one degree
    of freedom) x half the difference of the two runs, which is more than their mean."""
    alone = {"name": "c", "count": 1, "network": {"rtt": {"median": "40ms", "p99": "900ms"}}}
    case = chat(clients=[alone], rooms=[], traffic=[{"name": "t", "rate": 30}])
    both, *each = (simulate(case, replications=2), simulate(case), simulate(case.replace(seed=1)))
    for name, figure in both.latency_s().items():
        first, second = (run.latency_s()[name].value for run in each)
        assert figure.value == pytest.approx((first + second) / 2) and figure.low == 0.0 and figure.is_wide
        assert figure.high == pytest.approx(figure.value + 12.706 * abs(second - first) / 2, rel=1e-4)
