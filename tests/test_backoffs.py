"""Backoffs are compared on one storm with the same draws; the table says what runs of their own would say."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from realtime_sim.backoffs import BackoffComparison, compare_backoff
from realtime_sim.errors import ScenarioError
from realtime_sim.plots import compare_backoff as draw
from realtime_sim.plots import storm as draw_storm
from realtime_sim.policies.backoff import Fixed, FullJitter
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

EXAMPLES = Path(__file__).parent.parent / "examples"
STORM = Scenario.from_yaml(EXAMPLES / "reconnect_storm.yaml")
FIXED = {"policy": "fixed", "delay": "1s"}


@pytest.fixture(scope="module")
def found() -> BackoffComparison:
    return compare_backoff(STORM, ["full_jitter", FIXED], engine="fast")


def few(**changes: object) -> Scenario:
    return STORM.replace(**({"clients.phones.count": 100, "duration": 20, "servers.count": 1} | changes))


def test_full_jitter_recovers_and_short_waits_without_jitter_do_not(found):
    frame = found.frame
    assert frame.index.tolist() == ["full_jitter", "fixed(delay=1s)"]
    assert frame["recovered_runs"].tolist() == [1, 0]
    assert frame["metastable_runs"].tolist() == [0, 1]
    assert frame.loc["full_jitter", "p100_s"] < 45 < frame.loc["fixed(delay=1s)", "p100_s"] == np.inf
    assert (frame["peak_to_capacity"] > 5).all()
    assert "metastable" in str(found) and "metastable" in found._repr_html_()


def test_a_row_is_what_a_run_of_its_own_says(found):
    alone = simulate(STORM.replace(**{"clients.phones.reconnect": FIXED}), engine="fast")
    for name in ("attempts", "timeouts", "wasted_ratio", "peak_attempts_per_s", "verdict", "p99_during_s"):
        assert found.frame.loc["fixed(delay=1s)", name] == alone.storm.loc[0, name]


def test_replications_give_every_figure_an_interval():
    case = few(**{"clients.phones.count": 500})
    frame = compare_backoff(case, ["full_jitter", "equal_jitter"], replications=4).frame
    assert frame["runs"].tolist() == [4, 4]
    for name in ("attempts", "timeouts", "p50_s"):
        assert (frame[f"{name}_low"] < frame[name]).all() and (frame[name] < frame[f"{name}_high"]).all()


def test_policies_are_names_dicts_objects_or_have_names_of_their_own():
    given = ["socketio", {"policy": "fixed", "delay": "2s"}, FullJitter(base_s=0.5), Fixed()]
    names = ["socketio", "fixed(delay=2s)", "full_jitter(base=500ms)", "fixed"]
    assert list(compare_backoff(few(duration=12), given).results) == names
    assert list(compare_backoff(few(duration=12), {"gentle": Fixed(2.0)}).results) == ["gentle"]


def test_every_cohort_takes_the_policy():
    second = {"name": "desks", "count": 5, "reconnect": "phoenix"}
    case = few(duration=12).replace(clients=[*few().to_plain()["clients"], second])
    (run,) = compare_backoff(case, ["socketio"]).results.values()
    assert len({type(cohort.reconnect) for cohort in run.scenario.clients}) == 1


def drops(env, cluster):
    yield env.timeout(5)
    cluster.drop_clients("phones")


def test_an_act_of_ones_own_is_compared_as_a_fault_is():
    """The same storm, once as a fault of the scenario and once by a process of one's own, which has no fault at all."""
    policies = ["full_jitter", {"policy": "fixed", "delay": "2s"}]
    calm = few(duration=30, faults=[])
    own = compare_backoff(calm, policies, control=[drops])
    told = compare_backoff(calm.replace(faults=[{"at": 5, "kind": "drop_clients", "cohort": "phones"}]), policies)
    assert own.frame.to_dict() == told.frame.to_dict() and own.frame["recovered_runs"].tolist() == [1, 1]
    assert [line.get_ydata()[-1] for line in draw(own).axes[1].get_lines()[:2]] == [100, 100]


def test_progress_is_told_of_all_the_work():
    shares: list[float] = []
    compare_backoff(few(duration=12), ["socketio", "signalr"], progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert any(share < 0.5 for share in shares)


# The figure.


def test_one_figure_shows_attempts_against_capacity_and_who_is_back(found):
    upper, lower = draw(found).axes
    rates = found.results["fixed(delay=1s)"].timeseries["attempts_per_s"]
    assert upper.get_lines()[1].get_ydata()[1:].tolist() == rates.tolist()
    (capacity,) = [line for line in upper.get_lines() if "capacity" in str(line.get_label())]
    assert capacity.get_ydata()[0] == pytest.approx(2 / 0.006)
    assert upper.get_ylabel() == "attempts per second" and lower.get_xlabel() == "simulated time, s"
    full, fixed = (line.get_ydata() for line in lower.get_lines()[:2])
    assert full[-1] == 100 and fixed[-1] == len(found.results["fixed(delay=1s)"].trace.recovery[0]) / 20
    labels = [text.get_text() for text in lower.get_legend().get_texts()]
    assert labels[0].startswith("full_jitter: all back after 38") and "metastable" in labels[1]


def test_attempts_far_beyond_capacity_need_a_logarithmic_axis():
    run = simulate(few(**{"clients.phones.reconnect": "none", "clients.phones.count": 600, "servers.backlog": 10}))
    upper, _ = draw_storm(run).axes
    assert upper.get_yscale() == "symlog" and "logarithmic above 10" in upper.get_ylabel()


def test_a_figure_needs_a_fault(found):
    with pytest.raises(ScenarioError, match=r"fault must be the number of a disturbance of every run, got 1"):
        draw_storm(found.results, fault=1)


def test_the_example_draws_its_figure(tmp_path, monkeypatch, capsys):
    target = tmp_path / "figure.png"
    monkeypatch.setattr(sys, "argv", ["compare_backoff.py", str(target)])
    runpy.run_path(str(EXAMPLES / "compare_backoff.py"))
    assert target.stat().st_size > 10_000
    text = capsys.readouterr().out
    assert "metastable" in text.split("fixed(delay=1s)")[1].split("policy")[0]
    assert "recovered after" in text.rsplit("fixed(delay=1s)", 1)[1]


# Errors.


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ([], "policies must hold at least one policy"),
        ("full_jitter", "policies must be a list of policies, or a dict by name, got 'full_jitter'"),
        (["full_jitter", "full_jitter"], "policies must differ, got 'full_jitter'"),
        (["ful_jitter"], "policies['ful_jitter'].policy must be a known policy"),
        ([{"policy": "fixed", "dela": 1}], "is not a parameter of 'fixed'"),
    ],
)
def test_wrong_policies_are_named(policies, message):
    with pytest.raises(ScenarioError, match=re.escape(message)):
        compare_backoff(few(), policies)


@pytest.mark.parametrize(
    ("fault", "faults", "message"),
    [
        (1, None, "fault must be the number of a fault of the scenario, got 1; they are numbered 0 to 0"),
        (0, (), "faults must have one whose storm is compared, got []; add one to the scenario"),
        (
            0,
            [{"at": 1, "kind": "pause_server", "lasts": 1}],
            "fault must be the number of a disturbance that cuts connections off in every run of 'full_jitter', got 0; "
            "those of Results.storm: there is none",
        ),
    ],
)
def test_a_wrong_fault_is_named(fault, faults, message):
    case = few() if faults is None else few(faults=faults)
    with pytest.raises(ScenarioError, match=re.escape(message)):
        compare_backoff(case, ["full_jitter"], fault=fault)


def test_a_wrong_number_of_replications_is_that_of_simulate():
    with pytest.raises(ScenarioError, match="replications must be a whole number"):
        compare_backoff(few(), ["full_jitter"], replications="3")
