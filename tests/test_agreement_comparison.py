"""A Comparison says the same as text, HTML and JSON, and the JSON of runs compares like the runs themselves."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from realtime_sim import Comparison, compare
from realtime_sim.agreement import ALLOWED, compare_json
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from tests.compared import base, noisy, slower
from tests.conftest import as_live


def test_json_is_strict_and_says_what_the_comparison_says(tmp_path):
    found = compare(base(), slower())
    text = found.to_json(tmp_path / "deep" / "c.json")
    plain = json.loads((tmp_path / "deep" / "c.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert json.loads(text) == plain == found.to_plain()
    assert plain["figures"]["delivery latency p99"]["b"] == found.figures.loc["delivery latency p99", "b"]
    assert Scenario(**plain["b"]["scenario"]) == slower().scenario and plain["verdict"] == found.verdict


def test_the_table_is_aligned_and_html_is_escaped():
    found = compare(base(), as_live(simulate(noisy())), labels=("<a>", "b"))
    figures = str(found).split("\n\n")[1].splitlines()
    starts = {line.index(word) for line in figures for word in ("verdict", "agrees", "not judged") if word in line}
    assert len(starts) == 1
    assert "<a>" not in found._repr_html_() and "&lt;a&gt;" in found._repr_html_()
    assert found.verdict in repr(found)


def test_fields_that_differ_are_listed():
    (change,) = compare(base(), slower()).changes
    assert (change.path, change.a, change.b) == ("servers.costs.event", "4ms", "5.2ms")


def test_live_runs_may_be_of_measured_costs_and_networks():
    measured = noisy().replace(**{"clients.c.network.rtt": "1ms", "servers.costs.event": "3ms"})
    found = compare(simulate(measured), as_live(simulate(noisy())))
    assert isinstance(found, Comparison) and {change.path for change in found.changes} >= {"servers.costs.event"}
    assert set(ALLOWED) == {"p50", "p95", "p99", "recovery"}


def test_runs_of_json_say_the_same_as_the_runs_themselves(tmp_path):
    a, b = simulate(noisy()), as_live(simulate(noisy(event="9ms")), valid=True)
    a.to_json(tmp_path / "a.json"), b.to_json(tmp_path / "b.json")
    direct, saved = compare(a, b), compare_json(tmp_path / "a.json", tmp_path / "b.json")
    pd.testing.assert_frame_equal(saved.figures.drop(columns="why"), direct.figures.drop(columns="why"))
    pd.testing.assert_series_equal(saved.hops["difference_s"], direct.hops["difference_s"])
    assert saved.kind == "validation" and saved.b.conditions == ({"valid": True},) and not saved.runs


def test_replications_of_json_are_not_paired_and_counts_are_those_that_all_have(tmp_path):
    for name, run in (("a", base()), ("b", slower()), ("live", as_live(simulate(noisy())))):
        run.to_json(tmp_path / f"{name}.json")
    found = compare_json(tmp_path / "a.json", tmp_path / "b.json", labels=("one", "two"))
    assert found.kind == "unpaired" and found.labels == ("one", "two")
    direct = compare(base(), slower()).figures["difference"]
    np.testing.assert_allclose(found.figures["difference"], direct, rtol=1e-9, atol=1e-12)
    counts = compare_json(tmp_path / "a.json", tmp_path / "live.json").figures["verdict"]
    assert (counts["deliveries lost"], counts["deliveries expected"]) == ("agrees", "not determined")
