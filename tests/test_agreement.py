"""A Comparison says how far two runs are apart, figure by figure, if that is chance or allowed, and at which hop."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sim import Comparison, compare
from realtime_sim.agreement import ALLOWED, MERGED_HOPS, compare_json
from realtime_sim.agreement.hops import SINGLE_HOPS, blame
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.planning import plan
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.stats import Estimate, difference_of
from realtime_sim.sweeps import sweep
from realtime_sim.trace import HOPS
from tests.conftest import as_live


def ticking(event: str = "10ms", **changes: object) -> Scenario:
    """One client, one server, a message every 100 ms that takes `event` and nothing else: every latency is the same."""
    return Scenario(
        **{
            "name": "ticking", "duration": 10, "warmup": 0, "clients": [{"name": "c", "count": 1}],
            "servers": {"profile": "zero", "costs": {"event": event}}, "broker": {"kind": "none", "publisher_link": 0},
            "traffic": [{"name": "t", "rate": 10, "arrivals": "constant", "start": "50ms"}],
        }
        | changes
    )  # fmt: skip


def noisy(seed: int = 1, event: str = "4ms", **changes: object) -> Scenario:
    """Twenty clients at two servers, Poisson messages, drawn round trips: figures differ from seed to seed."""
    return Scenario(
        **{
            "name": "noisy", "seed": seed, "duration": 10, "warmup": 1,
            "clients": [{"name": "c", "count": 20, "network": {"rtt": {"median": "20ms", "p99": "60ms"}}}],
            "servers": {"count": 2, "profile": "zero", "costs": {"event": event, "send": "100us"}},
            "broker": {"kind": "redis_pubsub"}, "traffic": [{"name": "t", "rate": 40}],
        }
        | changes
    )  # fmt: skip


DYING = {
    "duration": 20, "servers": {"count": 2, "profile": "zero", "costs": {"handshake": "10ms"}},
    "faults": [{"at": "5s", "kind": "kill_server", "server": 0}],
}  # fmt: skip


@pytest.fixture(scope="module")
def base() -> Results:
    return simulate(noisy(), replications=4)


@pytest.fixture(scope="module")
def slower() -> Results:
    return simulate(noisy(event="5200us"), replications=4)


READ = ("scenario", "engine", "replications", "summary", "hops_s", "recovery")
"""What is read of the JSON of a simulated run."""


@pytest.fixture(scope="module")
def base_json() -> str:
    plain = simulate(noisy(**DYING)).to_plain()
    return json.dumps({key: plain[key] for key in READ}, indent=1)


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


def test_counts_are_compared_with_the_simulation_of_the_same_seed(base):
    """Seeds 1 to 4 publish different numbers; a live run of seed 3 has those of seed 3."""
    live = as_live(simulate(noisy(seed=3)))
    expected = live.deliveries.loc["total", "expected"]
    assert expected != simulate(noisy(seed=1)).deliveries.loc["total", "expected"]
    row = compare(base, live).figures.loc["deliveries expected"]
    assert (row["a"], row["b"], row["verdict"]) == (expected, expected, "agrees")
    unknown = compare(base, as_live(simulate(noisy(seed=9)))).figures.loc["deliveries expected"]
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


# --- the hop that is off --------------------------------------------------------------------------------------------


def test_the_hop_that_is_off_is_named_for_each_latency_figure_that_is():
    """Sends of 180 instead of 100 us to a hundred clients show in the fan-out, a slow link on the way to the server."""
    sending = ticking(clients=[{"name": "c", "count": 100}], servers={"profile": "zero", "costs": {"send": "100us"}})
    slow = sending.replace(**{"servers.costs.send": "180us"})
    why = compare(simulate(sending), as_live(simulate(slow))).figures["why"]
    assert re.fullmatch(
        r"live \+7.\d+ ms, most at fanout: \+7.\d+ ms \(p99 9.\d+ ms simulated, 17.\d ms live\)",
        why["delivery latency p99"],
    )
    far = sending.replace(**{"broker.publisher_link": "9ms"})
    why = compare(simulate(sending), as_live(simulate(far))).figures["why"]
    assert re.match(
        r"live \+9.01 ms, most at to_server: \+9 ms \(p99 0 simulated, 9 ms live\)", why["delivery latency p99"]
    )


def test_quantiles_of_several_hops_need_single_deliveries_and_are_exact_with_them(base):
    full = simulate(noisy(), record="full")
    merged = compare(full, as_live(full)).hops
    rows = full.trace.rows
    taken = (rows["started_ns"] - rows["published_ns"])[(rows["published_ns"] >= 1e9) & (rows["outcome"] == 0)] / 1e9
    assert merged.loc["to_server", "a_p99_s"] == pytest.approx(np.quantile(taken, 0.99, method="inverted_cdf"))
    lean = simulate(noisy())
    unknown = compare(lean, as_live(lean)).hops
    assert math.isnan(unknown.loc["to_server", "a_p99_s"]) and unknown.loc["fanout", "a_p99_s"] > 0


def test_merged_hops_are_all_hops_once_and_add_up(base):
    assert [hop for hops in MERGED_HOPS.values() for hop in hops] == list(HOPS) == list(SINGLE_HOPS)
    live = compare(base, as_live(simulate(noisy()))).hops
    assert list(live.index) == [*MERGED_HOPS, "total"]
    for column in ("a_mean_s", "b_mean_s", "difference_s"):
        assert live[column].iloc[:-1].sum() == pytest.approx(live.loc["total", column], abs=1e-15)
    assert list(compare(base, base).hops.index) == [*HOPS, "total"]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=4), st.floats(-1, 1).filter(bool))
def test_the_hop_that_is_blamed_is_off_most_in_the_direction_of_the_figure(offs, difference_s):
    frame = pd.DataFrame({f"{side}_{name}_s": 0.0 for side in "ab" for name in ("mean", "p50", "p99")},
                         index=[*map(str, range(len(offs))), "total"])  # fmt: skip
    frame.loc[frame.index[:-1], "b_mean_s"] = offs
    frame["a_p99_s"] = math.nan
    found = blame(frame, "p99", difference_s)
    toward = [off * math.copysign(1, difference_s) for off in offs]
    if max(toward) <= 0:
        assert found is None
    else:
        hop, of_what, off_s = found
        assert of_what == "mean" and off_s == offs[int(hop)] and toward[int(hop)] == max(toward)


# --- two simulations ------------------------------------------------------------------------------------------------


def test_replications_with_the_same_seeds_are_compared_one_by_one(base, slower):
    found = compare(base, slower)
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


def test_common_draws_make_intervals_narrow(base, slower):
    other = simulate(noisy(seed=11, event="5200us"), replications=4)
    paired, unpaired = compare(base, slower), compare(base, other)
    assert (paired.kind, unpaired.kind) == ("paired", "unpaired")
    widths = [c.figures.loc["delivery latency mean", "difference_high"]
              - c.figures.loc["delivery latency mean", "difference_low"] for c in (paired, unpaired)]  # fmt: skip
    assert widths[0] < widths[1] / 5
    assert "not paired" in unpaired.notes[0] and not paired.notes


def test_a_difference_is_said_in_words_with_its_interval(base, slower):
    found = compare(base, slower, labels=("now", "then"))
    row = found.figures.loc["delivery latency p99"]
    scale = 1e3
    numbers = [row[name] * scale for name in ("difference", "difference_low", "difference_high")]
    assert row["difference_low"] > 0
    text = f"then is {numbers[0]:.3g} ms [{numbers[1]:.3g}, {numbers[2]:.3g}] slower at p99"
    assert row["verdict"] == text and text in found.verdict
    back = compare(slower, base).figures.loc["delivery latency p99", "verdict"]
    assert back == text.replace("then", "b").replace("slower", "faster")


def test_another_seed_shows_no_difference_beyond_chance(base):
    found = compare(base, simulate(noisy(seed=21), replications=4))
    assert found.agrees and found.verdict == "No difference shown between a and b."


def test_one_run_of_each_side_has_its_own_intervals_and_none_for_counts():
    found = compare(simulate(noisy()), simulate(noisy(event="12ms")))
    mean = found.figures.loc["delivery latency mean"]
    alone = difference_of(*(simulate(noisy(event=e)).latency_s()["mean"] for e in ("4ms", "12ms")))
    assert (mean["difference_low"], mean["difference_high"]) == pytest.approx((alone.low, alone.high))
    assert found.figures.loc["server utilization, highest", "verdict"].endswith("higher, no interval")
    assert "counts have no interval" in found.notes[0]


def test_an_allowance_takes_the_place_of_chance(base, slower):
    found = compare(base, slower, allowed={"mean": 0.01, "p50": 0.9})
    assert found.figures.loc["delivery latency mean", "verdict"].startswith("off by")
    assert found.figures.loc["delivery latency p50", "verdict"] == "agrees"


def test_fields_that_differ_are_listed(base, slower):
    (change,) = compare(base, slower).changes
    assert (change.path, change.a, change.b) == ("servers.costs.event", "4ms", "5.2ms") or change.path.startswith(
        "servers.costs.event"
    )


def test_two_live_runs_are_held_to_chance_and_know_merged_hops(base):
    runs = [as_live(simulate(noisy(seed))) for seed in (1, 2, 3)]
    found = compare(runs[0], runs)
    assert found.kind == "unpaired" and list(found.hops.index) == [*MERGED_HOPS, "total"] and found.agrees


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


@given(st.lists(st.floats(0, 1e6), min_size=6, max_size=6))
def test_an_interval_of_a_difference_holds_it_and_is_narrower_than_that_of_the_extremes(numbers):
    a, b = (Estimate(mid, low, high) for low, mid, high in (sorted(numbers[:3]), sorted(numbers[3:])))
    found = difference_of(a, b)
    assert found.low <= found.value <= found.high
    slack = 1e-6 * max(1.0, *numbers)
    assert b.low - a.high - slack <= found.low and found.high <= b.high - a.low + slack


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


# --- as text, HTML and JSON -----------------------------------------------------------------------------------------


def test_json_is_strict_and_says_what_the_comparison_says(base, slower, tmp_path):
    found = compare(base, slower)
    text = found.to_json(tmp_path / "deep" / "c.json")
    plain = json.loads((tmp_path / "deep" / "c.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert json.loads(text) == plain == found.to_plain()
    assert plain["figures"]["delivery latency p99"]["b"] == found.figures.loc["delivery latency p99", "b"]
    assert Scenario(**plain["b"]["scenario"]) == slower.scenario and plain["verdict"] == found.verdict


def test_the_table_is_aligned_and_html_is_escaped(base):
    found = compare(base, as_live(simulate(noisy())), labels=("<a>", "b"))
    figures = str(found).split("\n\n")[1].splitlines()
    starts = {line.index(word) for line in figures for word in ("verdict", "agrees", "not judged") if word in line}
    assert len(starts) == 1
    assert "<a>" not in found._repr_html_() and "&lt;a&gt;" in found._repr_html_()
    assert found.verdict in repr(found)


def test_runs_of_json_say_the_same_as_the_runs_themselves(tmp_path):
    a, b = simulate(noisy()), as_live(simulate(noisy(event="9ms")), valid=True)
    a.to_json(tmp_path / "a.json"), b.to_json(tmp_path / "b.json")
    direct, saved = compare(a, b), compare_json(tmp_path / "a.json", tmp_path / "b.json")
    pd.testing.assert_frame_equal(saved.figures.drop(columns="why"), direct.figures.drop(columns="why"))
    pd.testing.assert_series_equal(saved.hops["difference_s"], direct.hops["difference_s"])
    assert saved.kind == "validation" and saved.b.conditions == ({"valid": True},) and not saved.runs


def test_replications_of_json_are_not_paired_and_counts_are_those_that_all_have(base, slower, tmp_path):
    for name, run in (("a", base), ("b", slower), ("live", as_live(simulate(noisy())))):
        run.to_json(tmp_path / f"{name}.json")
    found = compare_json(tmp_path / "a.json", tmp_path / "b.json", labels=("one", "two"))
    assert found.kind == "unpaired" and found.labels == ("one", "two")
    direct = compare(base, slower).figures["difference"]
    np.testing.assert_allclose(found.figures["difference"], direct, rtol=1e-9, atol=1e-12)
    counts = compare_json(tmp_path / "a.json", tmp_path / "live.json").figures["verdict"]
    assert (counts["deliveries lost"], counts["deliveries expected"]) == ("agrees", "not determined")


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be a file that can be read, got 'No such file or directory'; give a file that `realtime-sim"),
        ("{]}", "must be JSON, got 'Expecting property name"),
        ("", "must be JSON to its end, and is cut short, got 'Expecting value: line 1"),
        ("[1, 2]", "must hold one run, got 'a list of 2'; give the runs as two files"),
        ("3", "must be the JSON of a run, got 3"),
        ('{"scenario": {}}', "scenario: name must be given"),
        ('{"engine": "x"}', "must be the JSON of a run, got \"no 'scenario'\""),
        ('{"scenario": 3}', "must be the JSON of a run, got "),
    ],
)
def test_a_file_that_is_no_run_is_one_clear_message(text, message, tmp_path):
    path, good = tmp_path / "bad.json", tmp_path / "good.json"
    simulate(ticking()).to_json(good)
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        compare_json(good, path)
    assert message in str(error.value) and str(path) in str(error.value)


@given(data=st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_a_file_of_a_run_ends_early_the_message_names_it(base_json, data, tmp_path):
    path, good = tmp_path / "cut.json", tmp_path / "good.json"
    good.write_text(base_json)
    path.write_text(base_json[: data.draw(st.integers(0, len(base_json.rstrip()) - 1))])
    with pytest.raises(ScenarioError) as error:
        compare_json(good, path)
    told = rf"^{re.escape(str(path))} must be JSON( to its end, and is cut short)?, got .+; give a file that "
    assert re.match(told, str(error.value)), str(error.value)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_with_something_else_in_one_place_is_compared_or_refused_by_its_name(base_json, data, tmp_path):
    """A number, a text, a list, a mapping or nothing where a run has something else."""
    path, good = tmp_path / "other.json", tmp_path / "good.json"
    good.write_text(base_json)
    plain = node = json.loads(base_json)
    while isinstance(node, (dict, list)) and node:
        parent, key = node, data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node))))
        node = node[key]
        if data.draw(st.booleans()):
            break
    parent[key] = data.draw(st.sampled_from([None, True, -1, 10**30, 0.5, math.nan, "x", [], [1], {}, {"x": 1}]))
    path.write_text(json.dumps(plain))
    try:
        compare_json(good, path)
    except ScenarioError as error:
        assert str(error).startswith(str(path)), str(error)


@pytest.mark.parametrize("kind", ["plan", "limits", "sweep", "comparison", "scenario"])
def test_json_of_something_else_is_told_from_that_of_a_run(kind, base, tmp_path):
    other = {
        "plan": lambda: plan(ticking(), {"p99": "1s"}, queueing=False).to_json(),
        "limits": lambda: json.dumps(server_limits(ticking()).to_plain()),
        "sweep": lambda: sweep(ticking(), {"seed": [1, 2]}).to_json(),
        "comparison": lambda: compare(base, base).to_json(),
        "scenario": lambda: json.dumps(ticking().to_plain()),
    }
    path, good = tmp_path / f"{kind}.json", tmp_path / "good.json"
    base.to_json(good)
    path.write_text(other[kind]())
    with pytest.raises(ScenarioError) as error:
        compare_json(path, good)
    assert str(error.value).startswith(f"{path} must be the JSON of a run, got "), str(error.value)


def test_files_that_do_not_fit_together_are_told_by_their_names(base, tmp_path):
    files = {"live": as_live(simulate(noisy())), "short": as_live(simulate(noisy(duration=9))), "base": base}
    paths = {name: tmp_path / f"{name}.json" for name in files}
    for name, run in files.items():
        run.to_json(paths[name])
    with pytest.raises(ScenarioError, match=rf"^{paths['live']} must be the simulated side, got 'a live run'; swap"):
        compare_json(paths["live"], paths["base"])
    with pytest.raises(ScenarioError, match=rf"^{paths['short']} must be of the same scenario \(duration differs\)"):
        compare_json(paths["base"], paths["short"])


def test_what_is_compared_must_fit_together(base):
    live = as_live(simulate(noisy()))
    for args, message in (
        ((base, "x"), "b must be Results, got 'str'"),
        ((base, []), "b must hold at least one run"),
        ((base, [base, base]), "b must be one Results, or live runs, got '2 Results'"),
        ((live, base), "a must be the simulated side, got 'a live run'; swap the two"),
        ((base, as_live(simulate(noisy(duration=9)))), r"b must be of the same scenario (duration differs), got '9.0'"),
        ((base, [live, as_live(simulate(noisy(duration=9)))]), "(duration differs), got '9.0'; run the one with 10.0"),
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
def test_a_wrong_option_is_one_clear_message(base, options, message):
    with pytest.raises(ScenarioError) as error:
        compare(base, base, **options)
    assert message in str(error.value)


def test_live_runs_may_be_of_measured_costs_and_networks(base):
    measured = noisy().replace(**{"clients.c.network.rtt": "1ms", "servers.costs.event": "3ms"})
    found = compare(simulate(measured), as_live(simulate(noisy())))
    assert isinstance(found, Comparison) and {change.path for change in found.changes} >= {"servers.costs.event"}
    assert set(ALLOWED) == {"p50", "p95", "p99", "recovery"}


def test_a_live_figure_of_0_has_no_shares():
    """What takes no time cannot be off by a share of it."""
    idle = ticking("0ms")
    found = compare(simulate(ticking("10ms")), as_live(simulate(idle)))
    row = found.figures.loc["delivery latency p50"]
    assert row["verdict"] == "off: nothing in live" and row["deviation_ratio"] == -math.inf
    assert found.to_plain()["figures"]["delivery latency p50"]["deviation_ratio"] is None


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
