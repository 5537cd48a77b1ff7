"""A sweep is the runs one would make by hand, in one tidy frame; what is wrong with it is told before the first run."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import stats, sweeps
from realtime_sim.errors import ScenarioError, UnsupportedFeature
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.sweeps import FIGURES, sweep, sweeping
from realtime_sim.sweeps.answer import mean_of
from realtime_sim.sweeps.combinations import MOST_RUNS, combinations, value_at
from tests.conftest import small

CASE = small(
    clients=[{"name": "phones", "count": 8, "network": {"rtt": {"low": "10ms", "high": "90ms"}}}],
    traffic=[{"name": "news", "rate": 5}],
    faults=[{"at": 4, "kind": "drop_clients", "cohort": "phones"}],
)
OVER = {"servers.count": [1, 2], "clients.phones.network.jitter": ["1ms", "4ms", "9ms"]}


@pytest.fixture(scope="module")
def found() -> sweeps.Sweep:
    return sweep(CASE, OVER, replications=2)


# --- every combination, run as by hand ------------------------------------------------------------------------------


def test_there_is_a_row_for_every_combination_and_replication(found):
    assert found.paths == ("servers.count", "clients.phones.network.jitter")
    rows = found.frame[[*found.paths, "replication"]].to_numpy().tolist()
    assert rows == [[n, jitter, i] for n in (1, 2) for jitter in (0.001, 0.004, 0.009) for i in (0, 1)]
    assert list(found.frame)[3:] == list(FIGURES) == list(found.figures)
    assert found.replications == 2 and len(found.scenarios) == 6


def test_a_row_is_what_a_run_of_its_own_says(found):
    row = found.frame.iloc[7]  # two servers, 1 ms, the second replication
    alone = simulate(CASE.replace(**{"servers.count": 2, "clients.phones.network.jitter": "1ms", "seed": 1})).to_plain()
    for name, figure in alone["delivery_latency_s"].items():
        assert row[f"{name}_s"] == figure["value"]
    for hop, figure in alone["hops_s"].items():
        assert row[f"{hop}_mean_s"] == figure["value"]
    for name in ("expected", "delivered", "lost", "dropped", "duplicate", "cancelled"):
        assert row[f"deliveries_{name}"] == alone["deliveries"][name]
    for name in ("peak", "attempts", "reconnects", "timeouts"):
        assert row[f"connections_{name}"] == alone["connections"][name]
    assert row["lost_ratio"] == alone["summary"]["deliveries lost or dropped"]["value"] > 0
    assert row["delivered_per_s"] == alone["summary"]["delivered rate"]["value"]
    assert row["recovery_s"] == alone["recovery"][0]["p100_s"] > 0
    assert row["deliveries_back_s"] == alone["recovery"][0]["deliveries_s"]
    assert row["server_utilization_highest"] == alone["summary"]["server utilization, highest"]["value"]
    assert row["server_connections_highest"] == max(one["peak_connections"] for one in alone["servers"])
    assert row["broker_utilization"] == alone["broker"]["utilization"]


def test_all_combinations_have_the_same_draws(found):
    """Clients, their round trips and the messages are the same; jitter alone differs, and by its own length."""
    one = found.frame[found.frame["replication"] == 0]
    assert one["deliveries_expected"].nunique() == 1
    mean_s = one["mean_s"].to_numpy()
    assert mean_s[1] - mean_s[0] == pytest.approx(0.003, abs=1e-6)
    assert (found.frame.groupby("replication")["mean_s"].first().diff().dropna() != 0).all()


def test_the_frame_is_the_same_for_any_number_of_processes(found):
    pd.testing.assert_frame_equal(sweep(CASE, OVER, replications=2, n_jobs=2).frame, found.frame)


def test_engines_give_the_same_frame(found):
    pd.testing.assert_frame_equal(sweep(CASE, OVER, replications=2, engine="fast").frame, found.frame)


@pytest.mark.parametrize(
    "over",
    [
        [{"servers.count": n, "clients.phones.network.jitter": ms} for n in (1, 2) for ms in ("1ms", "4ms", "9ms")],
        pd.DataFrame({"servers.count": [1] * 3 + [2] * 3, "clients.phones.network.jitter": [0.001, 0.004, 0.009] * 2}),
        {"servers.count": np.array([1, 2]), "clients.phones.network.jitter": pd.Series([0.001, 0.004, 0.009])},
    ],
)
def test_combinations_may_be_listed(found, over):
    pd.testing.assert_frame_equal(sweep(CASE, over, replications=2).frame, found.frame)


def test_the_scenario_as_it_is_may_be_one_of_them():
    one = sweep(CASE, [{}, {"servers.count": 3}, {"broker.kind": "nats"}], figures=["p99_s"]).frame
    assert one["servers.count"].tolist() == [1, 3, 1]
    assert one["broker.kind"].tolist() == ["none", "none", "nats"]


def test_progress_reaches_the_whole():
    seen: list[float] = []
    sweep(CASE, OVER, figures=["p99_s"], progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_figures_may_be_chosen_and_be_those_of_one_cohort():
    case = small(traffic=[{"name": "t", "rate": 5}])
    case = case.replace(**{"clients.desks.network": {"rtt": "80ms"}})
    one = sweep(case, {"seed": [1, 2]}, figures=["desks.p50_s", "phones.max_s", "deliveries_lost"]).frame
    assert list(one) == ["seed", "replication", "desks.p50_s", "phones.max_s", "deliveries_lost"]
    assert one["desks.p50_s"].tolist() == [0.0401, 0.0401] and one["phones.max_s"].tolist() == [0.0001, 0.0001]


# --- swept fields as columns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("servers.count", "1_000", 1000),
        ("servers.memory", "1GiB", 2**30),
        ("traffic.news.rate", "30/min", 0.5),
        ("traffic[0].payload", "1KiB", 1024),
        ("clients.phones.network.rtt", "40ms", 0.04),
        ("clients.phones.network.rtt", {"mean": "40ms"}, '{"mean": "40ms"}'),
        ("clients.phones.network.rtt.low", "1ms", 0.001),
        ("clients.phones.tls", False, False),
        ("clients.phones.reconnect", "socketio", "socketio"),
        ("clients.phones.reconnect", {"policy": "fixed", "delay": "2s"}, '{"policy": "fixed", "delay": "2s"}'),
        ("clients.phones.reconnect.base", "250ms", 0.25),
        ("clients.0.count", 3, 3),
        ("traffic.news.from", "phones", "phones"),
        ("broker", {"kind": "kafka", "partitions": 2}, '{"kind": "kafka", "partitions": 2}'),
        ("broker.kind", "nats", "nats"),
        ("faults", [], "[]"),
        ("clients.phones.reconnect", "full_jitter", "full_jitter"),
        ("balancer", {}, '{"policy": "least_connections", "affinity": "none", "detection": "0s"}'),
        ("warmup", None, None),
    ],
)
def test_a_field_is_a_number_in_si_units_or_a_word(path, value, shown):
    case = CASE.replace(
        **{"clients.phones.reconnect": {"policy": "full_jitter"}, "servers.memory": "2GiB", "warmup": 1}
    )
    found = value_at(case.replace(**{path: value}), path)
    assert found == shown and type(found) is type(shown)


def test_what_a_scenario_does_not_have_is_nothing():
    assert value_at(CASE, "broker.partitions") is None and value_at(CASE, "clients.desks.count") is None


def test_a_column_of_words_and_numbers_is_one_of_words():
    over = {"clients.phones.network.rtt": [0, {"mean": "5ms"}]}
    assert [one.values for one in combinations(CASE, over, 1)] == [
        {"clients.phones.network.rtt": "0.0"},
        {"clients.phones.network.rtt": '{"mean": "5ms"}'},
    ]


# --- figures with intervals -----------------------------------------------------------------------------------------


def test_a_table_has_means_over_replications_with_intervals(found):
    table = found.table("mean_s")
    assert table.columns.name == "mean_s" and table.index.names == list(found.paths)
    values = found.frame.loc[found.frame["servers.count"] == 2, "mean_s"].to_numpy()[2:4]
    expected = stats.over_replications(values)
    assert table.loc[(2, 0.004)].tolist() == [expected.value, max(0.0, expected.low), expected.high]
    alone = sweep(CASE, {"servers.count": [1, 2]}, figures=["mean_s"]).table("mean_s")
    assert alone["mean"].notna().all() and alone[["low", "high"]].isna().all(axis=None)
    assert alone.index.name == "servers.count"


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=9))
def test_a_mean_is_within_its_interval_and_never_below_0(values):
    mean = mean_of(np.array(values))
    assert 0 <= mean.low <= mean.value * (1 + 1e-9) and mean.value <= mean.high * (1 + 1e-9)


def test_a_figure_that_some_runs_lack_has_no_mean():
    assert math.isnan(mean_of(np.array([1.0, math.inf])).value)


def test_it_shows_itself_and_is_plain_data(found, tmp_path):
    lines = str(found).splitlines()
    assert lines[0] == "small: 6 combinations, 2 runs of each, the same draws for all; means with 95 % intervals"
    assert lines[2].split() == [*found.paths, "p50_s", "p99_s", "lost_ratio", "server_utilization_highest"]
    assert len(lines) == 11 and "[" in lines[3] and lines[-1].startswith("2 replications tell little")  # of losses
    assert found._repr_html_().count("<tr") == 13
    plain = json.loads(found.to_json(tmp_path / "sweep.json"))
    assert plain == json.loads((tmp_path / "sweep.json").read_text())
    assert plain["over"] == list(found.paths) and len(plain["runs"]) == 12
    assert plain["runs"][0]["p99_s"] == found.frame.loc[0, "p99_s"]
    assert Scenario(**plain["scenario"]) == CASE


def test_public_names_are_those_of_the_package():
    import realtime_sim

    assert realtime_sim.sweep is sweep and realtime_sim.Sweep is sweeps.Sweep


# --- errors: before anything runs -----------------------------------------------------------------------------------


def refused(over: object = OVER, **options: object) -> str:
    """The message of a sweep that is refused; it must not run anything."""
    with pytest.raises(ScenarioError) as caught:
        sweep(CASE, over, progress=lambda share: pytest.fail("it ran"), **options)
    return str(caught.value)


def test_every_wrong_value_is_told_at_once_and_once():
    text = refused({"servers.count": [1, 0, "many"], "broker.kind": ["none", "redis"], "servers.cont": [1]})
    assert set(re.findall(r"^[\w.]+ ", text, flags=re.MULTILINE)) == {"servers.cont ", "broker ", "servers.count "}
    assert "got 0;" in text and "got 'many';" in text
    assert len(text.splitlines()) == len(set(text.splitlines()))


def test_rules_between_fields_are_checked_in_every_combination():
    text = refused({"clients.phones.count": [5, 50], "traffic.news.to": ["everyone", "group"]})
    assert "traffic[0].to" in text and "'group'" in text


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "over must give one combination or more, got 0; write it like {'servers.count': [2, 4, 8]}"),
        ([], "over must give one combination or more, got 0"),
        ([{}], "over must give one combination or more, got 0"),
        ("servers.count", "over must be a dict of lists, a list of dicts or a DataFrame, got 'servers.count'"),
        ({"servers.count": 2}, "over['servers.count'] must be a list of one value or more, got 2"),
        ({"servers.count": []}, "over['servers.count'] must be a list of one value or more, got []"),
        ({"broker.kind": "nats"}, "over['broker.kind'] must be a list of one value or more, got 'nats'"),
        ({3: [1]}, "over must have paths for keys, got 3"),
        ([{"servers.count": 1}, 3], "over[1] must be a dict of values by path, got 3"),
        ({"seed": range(MOST_RUNS + 1)}, f"over must give at most {MOST_RUNS:_} runs"),
        ({"warmup": [1, "1s"]}, "over must differ (combinations 0 and 1 are the same scenario), got {'warmup': '1s'}"),
        (pd.DataFrame({"servers.count": [1, None]}), "over[1] must have a value in every column, got 'servers.count'"),
        ({"seed": [1, 2**63 - 1]}, "seed must be a whole number from 0 to 2**63 - 1"),
    ],
)
def test_a_wrong_question_is_named(over, message):
    assert message in refused(over, replications=2)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        (["p98_s"], "figures must be a figure of a run, got 'p98_s'; did you mean"),
        ("p99_s", "figures must be a list of one figure or more, got 'p99_s'; use ['p99_s']"),
        ([], "figures must be a list of one figure or more, got []"),
        (["p99_s", "p99_s"], "figures must differ, got ['p99_s', 'p99_s']"),
        (["desks.p99_s"], "figures must be a figure of a run, got 'desks.p99_s'"),
    ],
)
def test_a_wrong_figure_is_named(figures, message):
    assert message in refused(figures=figures)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replications": 0}, "replications must be a whole number from 1 to 10_000, got 0"),
        ({"n_jobs": 0}, "n_jobs must be a whole number of processes from 1, or -1 for all cores, got 0"),
        ({"engine": "fats"}, "engine must be a known engine, got 'fats'; did you mean 'fast'?"),
    ],
)
def test_a_wrong_option_is_that_of_simulate(options, message):
    assert message in refused(**options)


def test_what_an_engine_cannot_run_is_told_before_the_first_run():
    with pytest.raises(UnsupportedFeature, match="clients"):
        sweep(CASE, {"clients.phones.count": [8, 20_000_000]}, progress=lambda share: pytest.fail("it ran"))


def test_a_sweep_needs_a_scenario():
    with pytest.raises(ScenarioError, match="scenario must be a Scenario, got 'str'"):
        sweep("chat", OVER)


def test_another_version_on_another_machine_is_refused():
    """Its figures would be others, and nobody would see it."""
    (case,) = combinations(CASE, {"servers.count": [1]}, 1)
    run = sweeping._Run(0, 0, case, "reference", ("p99_s",), "", version="9.9")
    with pytest.raises(
        ScenarioError, match=r"realtime_sim must be of version 9\.9 everywhere, got '0\.1\.0'; install 9"
    ):
        sweeping._figures(run, lambda _: None)


def test_a_table_needs_a_figure_that_was_kept():
    one = sweep(CASE, {"servers.count": [1]}, figures=["p99_s", "mean_s"])
    with pytest.raises(ScenarioError, match=r"figure must be one that the sweep has kept, got 'p95_s'; did you mean"):
        one.table("p95_s")


def test_a_sweep_whose_replications_tell_little_says_so():
    """One client, whose round trip is drawn anew for each run, from a wide distribution, or is 40 ms in all of them."""
    far = {"clients.phones.network.rtt": {"median": "40ms", "p99": "900ms"}, "clients.phones.count": 1, "faults": []}
    same = {"clients.phones.network.rtt": "40ms", "clients.phones.count": 1, "faults": []}
    told = {name: str(sweep(CASE.replace(**changes), {"servers.count": [1, 2]}, replications=2, figures=["p50_s"]))
            for name, changes in (("far", far), ("same", same))}  # fmt: skip
    assert told["far"].splitlines()[-1].startswith("2 replications tell little: an interval is wider")
    assert "[0, " in told["far"] and "tell little" not in told["same"]
