"""A Comparison says how far a simulation and live runs are apart, figure by figure, and whether that is allowed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim import compare
from realtime_sim.agreement import MERGED_HOPS
from realtime_sim.errors import ScenarioError
from realtime_sim.simulation import simulate
from tests.compared import DYING, base, noisy, ticking
from tests.conftest import as_live

# --- known values ---------------------------------------------------------------------------------------------------


def test_a_simulation_and_a_live_run_are_apart_by_shares_of_the_live_figure():
    """10 ms against 15 ms is a third of what was measured: too much at p50 and p95, and allowed at p99."""
    found = compare(simulate(ticking("10ms")), as_live(simulate(ticking("15ms"))))
    rows = found.figures.loc[["delivery latency p50", "delivery latency p95", "delivery latency p99"]]
    assert rows["deviation_ratio"].tolist() == pytest.approx([1 / 3] * 3, rel=0.01)
    assert rows["difference"].tolist() == pytest.approx([0.005] * 3, rel=0.02)
    assert rows["allowed_ratio"].tolist() == [0.15, 0.20, 0.35]
    assert rows["verdict"].tolist() == ["off by 33 % (allowed 15 %)", "off by 33 % (allowed 20 %)", "agrees"]
    assert not found.agrees
    assert found.verdict == (
        "The simulation and one live run do not agree: p50 off by 33 % (allowed 15 %); p95 off by 33 % (allowed 20 %). "
        "At p50: live +5 ms, most at fanout: +5 ms (p50 10 ms simulated, 15 ms live)."
    )


def test_live_runs_stand_as_their_median_and_their_range():
    runs = [as_live(simulate(ticking(event))) for event in ("30ms", "11ms", "10ms")]
    found = compare(simulate(ticking("10ms")), runs)
    row = found.figures.loc["delivery latency p50"]
    assert (row["b"], row["b_low"], row["b_high"]) == pytest.approx((0.011, 0.010, 0.030), rel=0.005)
    assert found.agrees and row["verdict"] == "agrees"
    assert found.verdict.startswith("The simulation agrees with 3 live runs: p50, p95 and p99 are within what is")


def test_the_median_of_two_runs_is_between_them_and_hops_still_add_up():
    runs = [as_live(simulate(ticking(event))) for event in ("10ms", "14ms")]
    found = compare(simulate(ticking("10ms")), runs)
    assert found.figures.loc["delivery latency mean", "b"] == pytest.approx(0.012)
    assert found.hops.loc["total", "b_mean_s"] == pytest.approx(0.012)
    assert found.hops.loc[list(MERGED_HOPS), "b_mean_s"].sum() == pytest.approx(0.012)


def test_counts_that_the_scenario_decides_must_be_equal_to_the_last():
    """One delivery that is not there is one too few."""
    live = as_live(simulate(ticking()))
    live.trace.deliveries["delivered"][0] -= 1
    live.trace.deliveries["lost"][0] += 1
    found = compare(simulate(ticking()), live)
    rows = found.figures.loc[["deliveries expected", "deliveries delivered", "deliveries lost", "deliveries dropped"]]
    assert rows["verdict"].tolist() == ["agrees", "off by 1 (must be equal)", "off by 1 (must be equal)", "agrees"]
    assert rows.loc["deliveries delivered", "why"] == "live has -1"
    assert rows["allowed_ratio"].tolist() == [0] * 4 and not found.agrees


def test_counts_that_hang_on_timing_are_not_determined_and_say_why():
    found = compare(simulate(noisy(**DYING)), as_live(simulate(noisy(**DYING))))
    row = found.figures.loc["deliveries lost"]
    assert row["verdict"] == "not determined" and row["why"].endswith("(kill_server at 5 s)")
    assert found.figures.loc["deliveries expected", "verdict"] == "agrees"


def test_counts_are_compared_with_the_simulation_of_the_same_seed():
    """Seeds 1 to 4 publish different numbers; a live run of seed 3 has those of seed 3."""
    live = as_live(simulate(noisy(seed=3)))
    expected = live.deliveries.loc["total", "expected"]
    assert expected != simulate(noisy(seed=1)).deliveries.loc["total", "expected"]
    row = compare(base(), live).figures.loc["deliveries expected"]
    assert (row["a"], row["b"], row["verdict"]) == (expected, expected, "agrees")
    unknown = compare(base(), as_live(simulate(noisy(seed=9)))).figures.loc["deliveries expected"]
    assert (unknown["verdict"], unknown["why"]) == (
        "not determined", "no simulated run has the seed of the live run (9)",
    )  # fmt: skip


def test_a_simulation_that_loses_what_no_rule_explains_determines_nothing():
    """3 ms of work every 2 ms: the queue is longer than the drain when the run ends."""
    crowded = ticking("3ms", drain=1, traffic=[{"name": "t", "rate": 500, "arrivals": "constant"}])
    found = compare(simulate(crowded), as_live(simulate(crowded)))
    assert found.figures.loc["deliveries lost", "a"] > 0
    for count in ("lost", "delivered"):
        row = found.figures.loc[f"deliveries {count}"]
        assert row["verdict"] == "not determined" and "does not keep up" in row["why"]


def test_a_simulation_that_loses_what_live_runs_deliver_is_off():
    crowded = ticking("3ms", drain=1, traffic=[{"name": "t", "rate": 500, "arrivals": "constant"}])
    found = compare(simulate(crowded), as_live(simulate(crowded.replace(**{"servers.costs.event": "1ms"}))))
    row = found.figures.loc["deliveries lost"]
    assert row["a"] > 0 == row["b"]
    assert row["verdict"] == f"off by {row['a']:,.0f} (must be equal)"
    assert not found.agrees


def test_recovery_is_held_to_a_fifth_of_what_was_measured():
    """One client of two is cut off at 5 s, and back after a fixed second and its handshake."""
    name, cohort = "recovery from fault 0 (kill_server)", {"name": "c", "count": 2, "tls": False}
    dying = noisy(clients=[cohort | {"reconnect": {"policy": "fixed", "delay": "1s"}}], traffic=[], **DYING)
    slow, slower = (dying.replace(**{"servers.costs.handshake": cost}) for cost in ("210ms", "310ms"))
    row = compare(simulate(dying), as_live(simulate(slow))).figures.loc[name]
    assert (row["a"], row["b"]) == pytest.approx((1.01, 1.21))
    assert row["deviation_ratio"] == pytest.approx(0.2 / 1.21) and row["verdict"] == "agrees"
    off = compare(simulate(dying), as_live(simulate(slower)))
    assert off.figures.loc[name, "verdict"] == "off by 23 % (allowed 20 %)"
    assert "recovery off by 23 % (allowed 20 %)" in off.verdict


def test_who_never_came_back_is_off_and_on_both_sides_agrees():
    gone = noisy(**DYING | {"duration": 6, "drain": 1, "warmup": 0}).replace(
        **{"clients.c.reconnect": {"policy": "fixed", "delay": "1h"}}
    )
    back = gone.replace(**{"clients.c.reconnect": {"policy": "fixed", "delay": "100ms"}})
    same = compare(simulate(gone), as_live(simulate(gone)))
    assert same.figures.loc["recovery from fault 0 (kill_server)", "verdict"] == "agrees"
    two = compare(simulate(gone), simulate(back))
    assert two.figures.loc["recovery from fault 0 (kill_server)", "verdict"] == "never in a"
    assert "recovery from fault 0 (kill_server): never in a" in two.verdict


def test_a_live_figure_of_0_has_no_shares():
    """What takes no time cannot be off by a share of it."""
    idle = ticking("0ms")
    found = compare(simulate(ticking("10ms")), as_live(simulate(idle)))
    row = found.figures.loc["delivery latency p50"]
    assert row["verdict"] == "off: nothing in live" and row["deviation_ratio"] == -math.inf
    assert found.to_plain()["figures"]["delivery latency p50"]["deviation_ratio"] is None


# --- properties -----------------------------------------------------------------------------------------------------

CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 50), "event": st.sampled_from(["0ms", "2ms", "9ms"]),
        "traffic": st.sampled_from([[], [{"name": "t", "rate": 10}], [{"name": "t", "rate": 60}]]),
        "faults": st.sampled_from([[], [{"at": "1s", "kind": "kill_server", "server": 0}]]), "duration": st.just(3),
    }
)  # fmt: skip


@settings(max_examples=12)
@given(CASES, st.integers(1, 3))
def test_a_run_agrees_with_itself_and_differs_by_nothing(case, replications):
    run = simulate(noisy(**case), replications=replications)
    found = compare(run, run)
    known = found.figures["difference"].notna()
    assert (found.figures.loc[known, "difference"] == 0).all() and found.agrees
    assert found.figures.loc[~known, ["a", "b"]].isna().all(axis=None)
    live = compare(run, as_live(run))
    assert not live.figures["verdict"].str.startswith("off").any()


@settings(max_examples=8)
@given(CASES, CASES, st.integers(1, 3))
def test_swapped_sides_give_the_same_differences_the_other_way(one, two, replications):
    a, b = (simulate(noisy(**case), replications=replications) for case in (one, two))
    there, back = compare(a, b).figures, compare(b, a).figures
    names = [name for name in there.index if name in back.index]
    for name, mirrored in (("difference", "difference"), ("difference_low", "difference_high")):
        np.testing.assert_allclose(there.loc[names, name], -back.loc[names, mirrored], rtol=1e-9, atol=1e-12)
    assert compare(a, b).agrees == compare(b, a).agrees


# --- live runs about themselves -------------------------------------------------------------------------------------


def test_a_live_run_that_is_not_valid_is_left_out_and_named():
    bad = as_live(simulate(ticking("50ms")), valid=False, reasons=["foreign load of 1.3 cores"])
    found = compare(simulate(ticking()), [as_live(simulate(ticking())), bad])
    assert found.agrees and found.notes == ("Live run 2 is not valid: foreign load of 1.3 cores. It is left out.",)
    assert len(found.runs) == 3 and found.side_text("b") == "1 live run, seed 0"


def test_without_a_valid_live_run_nothing_is_decided():
    bad = as_live(simulate(ticking()), valid=False, reasons=["the publisher was late"])
    found = compare(simulate(ticking()), bad)
    assert not found.agrees
    assert found.verdict == ("Not decided: no live run is valid. Live run 1 is not valid: the publisher was late.")
    assert set(found.figures["verdict"]) == {"not decided", "not judged"}
    assert found.figures.loc["delivery latency p99", "why"] == "by runs that are not valid: agrees"


def test_what_would_be_off_is_not_said_to_be_by_runs_that_are_not_valid():
    bad = as_live(simulate(ticking("50ms")), valid=False, reasons=["the publisher was late"])
    found = compare(simulate(ticking()), bad)
    p99 = found.figures.loc["delivery latency p99"]
    assert (p99["verdict"], p99["deviation_ratio"]) == ("not decided", pytest.approx(0.8, abs=0.01))
    assert p99["why"].startswith("by runs that are not valid: off by 80 % (allowed 35 %); live +40")
    assert "not decided" in str(found) and "off by" not in str(found)


def test_results_keep_and_tell_their_conditions():
    live = as_live(simulate(ticking()), valid=False, reasons=["the clients were the bottleneck"], host_cores=2)
    assert live.to_plain()["conditions"]["host_cores"] == 2
    assert live.warnings[0] == "This run is not valid: the clients were the bottleneck."
    assert "conditions" not in simulate(ticking()).to_plain()


# --- errors ---------------------------------------------------------------------------------------------------------


def test_what_is_compared_must_fit_together():
    run, live = base(), as_live(simulate(noisy()))
    for args, message in (
        ((run, "x"), "b must be Results, got 'str'"),
        ((run, []), "b must hold at least one run"),
        ((run, [run, run]), "b must be one Results, or live runs, got '2 Results'"),
        ((live, run), "a must be the simulated side, got 'a live run'; swap the two"),
        ((run, as_live(simulate(noisy(duration=9)))), r"b must be of the same scenario (duration differs), got '9.0'"),
        ((run, [live, as_live(simulate(noisy(duration=9)))]), "(duration differs), got '9.0'; run the one with 10.0"),
    ):
        with pytest.raises(ScenarioError) as error:
            compare(*args)
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allowed": {"p98": 0.1}}, "allowed must name a figure, got 'p98'; did you mean"),
        ({"allowed": {"p99": -0.1}}, "allowed['p99'] must be a share of 0 or more, got -0.1; write 0.35 for 35"),
        ({"allowed": {"p99": "35%"}}, "allowed['p99'] must be a share"),
        ({"allowed": {"p99": math.nan}}, "allowed['p99'] must be a share"),
        ({"labels": ("a",)}, "labels must be two names, got ('a',)"),
    ],
)
def test_a_wrong_option_is_one_clear_message(options, message):
    with pytest.raises(ScenarioError) as error:
        compare(base(), base(), **options)
    assert message in str(error.value)
