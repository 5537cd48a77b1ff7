"""Two simulations are held to chance: run by run where they share their draws, or side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import compare
from realtime_sim.agreement import MERGED_HOPS
from realtime_sim.simulation import simulate
from realtime_sim.stats import Estimate, difference_of
from tests.compared import base, noisy, slower
from tests.conftest import as_live


def test_replications_with_the_same_seeds_are_compared_one_by_one():
    found = compare(base(), slower())
    pairs = [
        simulate(noisy(seed, event="5200us")).latency_s()["mean"].value
        - simulate(noisy(seed)).latency_s()["mean"].value
        for seed in (1, 2, 3, 4)
    ]
    half = 3.182446 * np.std(pairs, ddof=1) / 2  # Student's t for 3 degrees of freedom, and the root of 4
    row = found.figures.loc["delivery latency mean"]
    assert found.kind == "paired"
    assert row["difference"] == pytest.approx(np.mean(pairs), rel=1e-9)
    assert row["difference_high"] - row["difference"] == pytest.approx(half, rel=1e-6)


def test_common_draws_make_intervals_narrow():
    other = simulate(noisy(seed=11, event="5200us"), replications=4)
    paired, unpaired = compare(base(), slower()), compare(base(), other)
    assert (paired.kind, unpaired.kind) == ("paired", "unpaired")
    widths = [c.figures.loc["delivery latency mean", "difference_high"]
              - c.figures.loc["delivery latency mean", "difference_low"] for c in (paired, unpaired)]  # fmt: skip
    assert widths[0] < widths[1] / 5
    assert "not paired" in unpaired.notes[0] and not paired.notes


def test_a_difference_is_said_in_words_with_its_interval():
    found = compare(base(), slower(), labels=("now", "then"))
    row = found.figures.loc["delivery latency p99"]
    scale = 1e3
    numbers = [row[name] * scale for name in ("difference", "difference_low", "difference_high")]
    assert row["difference_low"] > 0
    text = f"then is {numbers[0]:.3g} ms [{numbers[1]:.3g}, {numbers[2]:.3g}] slower at p99"
    assert row["verdict"] == text and text in found.verdict
    back = compare(slower(), base()).figures.loc["delivery latency p99", "verdict"]
    assert back == text.replace("then", "b").replace("slower", "faster")


def test_another_seed_shows_no_difference_beyond_chance():
    found = compare(base(), simulate(noisy(seed=21), replications=4))
    assert found.agrees and found.verdict == "No difference shown between a and b."


def test_one_run_of_each_side_has_its_own_intervals_and_none_for_counts():
    found = compare(simulate(noisy()), simulate(noisy(event="12ms")))
    mean = found.figures.loc["delivery latency mean"]
    alone = difference_of(*(simulate(noisy(event=e)).latency_s()["mean"] for e in ("4ms", "12ms")))
    assert (mean["difference_low"], mean["difference_high"]) == pytest.approx((alone.low, alone.high))
    assert found.figures.loc["server utilization, highest", "verdict"].endswith("higher, no interval")
    assert "counts have no interval" in found.notes[0]


def test_an_allowance_takes_the_place_of_chance():
    found = compare(base(), slower(), allowed={"mean": 0.01, "p50": 0.9})
    assert found.figures.loc["delivery latency mean", "verdict"].startswith("off by")
    assert found.figures.loc["delivery latency p50", "verdict"] == "agrees"


def test_two_live_runs_are_held_to_chance_and_know_merged_hops():
    runs = [as_live(simulate(noisy(seed))) for seed in (1, 2, 3)]
    found = compare(runs[0], runs)
    assert found.kind == "unpaired" and list(found.hops.index) == [*MERGED_HOPS, "total"] and found.agrees


def test_a_fault_that_cuts_off_nobody_in_some_runs_leaves_these_out():
    """Three clients, each cut off with a chance of one half: in some of the runs it is nobody."""
    case = noisy(
        clients=[{"name": "c", "count": 3, "reconnect": {"policy": "fixed", "delay": "1s"}}], duration=8,
        faults=[{"at": "2s", "kind": "drop_clients", "cohort": "c", "share": 0.5}],
    )  # fmt: skip
    runs = [simulate(case.replace(**{"servers.costs.handshake": cost}), replications=12) for cost in ("10ms", "30ms")]
    affected = [trace.affected[0] for trace in runs[0].traces]
    row = compare(*runs).figures.loc["recovery from fault 0 (drop_clients)"]
    assert 0 in affected and row["why"] == f"of {sum(map(bool, affected))} of 12 pairs of runs"
    assert row["difference"] > 0.019


@given(st.lists(st.floats(0, 1e6), min_size=6, max_size=6))
def test_an_interval_of_a_difference_holds_it_and_is_narrower_than_that_of_the_extremes(numbers):
    a, b = (Estimate(mid, low, high) for low, mid, high in (sorted(numbers[:3]), sorted(numbers[3:])))
    found = difference_of(a, b)
    assert found.low <= found.value <= found.high
    slack = 1e-6 * max(1.0, *numbers)
    assert b.low - a.high - slack <= found.low and found.high <= b.high - a.low + slack
