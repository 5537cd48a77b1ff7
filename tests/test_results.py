"""Results say what traces mean: frames agree with each other, intervals and warnings mean what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from realtime_sim import metrics, presets
from realtime_sim.errors import EngineError, ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import FAILURES, HOPS


def queue(rate: float = 500, duration: float = 40, **changes: object) -> Scenario:
    """A single queue of 1 ms jobs."""
    return Scenario(
        **{
            "name": "queue",
            "duration": duration,
            "sample_interval": duration / 100,
            "clients": [{"name": "c", "count": 1, "keepalive": None, "network": {"rtt": "2us"}}],
            "servers": {"profile": "zero", "costs": {"event": "1ms"}},
            "broker": {"kind": "none", "publisher_link": 0},
            "traffic": [{"name": "t", "rate": rate}],
        }
        | changes
    )


@pytest.fixture(scope="module")
def chat() -> Results:
    return simulate(presets.load("chat").replace(duration="20s", warmup="4s"), record="full")


def test_hop_means_add_up_to_the_mean_of_the_whole(chat):
    hops = chat.hops
    assert list(hops.index) == [*HOPS, "total"]
    assert hops.loc[list(HOPS), "mean_s"].sum() == pytest.approx(hops.loc["total", "mean_s"], rel=1e-12)
    assert hops.loc[list(HOPS), "share"].sum() == pytest.approx(1, rel=1e-12)


def test_latency_figures_are_those_of_the_single_deliveries(chat):
    """Two ways to one figure: the histogram's quantile is within 0.5 % of the exact one."""
    rows = chat.trace.rows
    measured = (rows["outcome"] == 0) & (rows["published_ns"] >= 4e9)
    latency_s = (rows["received_ns"] - rows["published_ns"])[measured] / 1e9
    figures = chat.latency_s()
    assert figures["mean"].value == pytest.approx(latency_s.mean(), rel=1e-9)
    assert figures["max"].value == latency_s.max()
    for name, p in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
        exact = np.quantile(latency_s, p, method="inverted_cdf")
        assert figures[name].value == pytest.approx(exact, rel=0.005)


def test_every_figure_lies_in_its_interval(chat):
    for hop in (*HOPS, None):
        for name, figure in chat.latency_s(hop=hop).items():
            if figure.low is not None:
                assert figure.low <= figure.value <= figure.high, (hop, name)


def test_replications_use_seeds_of_their_own_and_give_student_intervals():
    several = simulate(queue(), replications=3)
    single = [simulate(queue(seed=seed)).latency_s()["mean"].value for seed in (0, 1, 2)]
    assert several.n_replications == 3
    assert several.latency_s()["mean"].value == pytest.approx(np.mean(single), rel=1e-12)
    half = 4.302653 * np.std(single, ddof=1) / np.sqrt(3)
    assert several.latency_s()["mean"].high == pytest.approx(np.mean(single) + half, rel=1e-6)


def test_the_four_metrics_of_monitoring_are_there(chat):
    assert set(chat.monitoring) == set(metrics.MONITORED)
    assert sum(chat.monitoring["active_connections"]) == pytest.approx(2000, rel=0.02)
    assert chat.monitoring["channel_subscribers"] == 4
    assert chat.monitoring["reconnection_rate"]["peak"] == 0


def test_time_series_cover_the_run(chat):
    assert list(chat.timeseries.index) == [float(t) for t in range(1, 21)]
    by_server = chat.server_series()
    assert by_server.shape == (21, 4)
    assert by_server.sum(axis=1).iloc[1:].to_numpy() == pytest.approx(chat.timeseries["connections"].to_numpy())


def test_json_is_strict_and_complete(chat, tmp_path):
    path = tmp_path / "deep" / "run.json"
    text = chat.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    plain = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert {
        "scenario",
        "engine",
        "delivery_latency_s",
        "hops_s",
        "deliveries",
        "connections",
        "servers",
        "broker",
    } <= set(plain)
    assert {"mean", "p50", "p90", "p95", "p99", "p999", "max"} == set(plain["delivery_latency_s"])
    assert {"peak", "attempts", "refused", "timeouts", "reconnects", "recovered_at_s"} <= set(plain["connections"])
    assert Scenario(**plain["scenario"]) == chat.scenario


def test_a_notebook_shows_figures_and_warnings():
    results = simulate(queue(rate=1200, duration=10))
    page = results._repr_html_()
    assert "Offered load at or above capacity" in page and "delivery latency p99" in page
    assert "p99" in repr(results)


def test_failures_over_time_have_a_name_each_and_a_sum():
    """Four of ten find the backlog of three full, six others are refused; all in the second after the fault at 1 s."""
    case = queue(
        duration=10,
        clients=[{"name": "c", "count": 10, "reconnect": {"policy": "fixed", "delay": "2s"}}],
        servers={"profile": "zero", "backlog": 3, "costs": {"handshake": "100ms"}},
        sample_interval=1,
        traffic=[],
        faults=[{"at": "1s", "kind": "drop_clients", "cohort": "c"}],
    )
    series = simulate(case).timeseries
    assert {f"{name}_per_s" for name in ("attempts", "accepted", "reconnects", *FAILURES)} <= set(series)
    assert series["backlog_full_per_s"].sum() == series["turned_away_per_s"].sum() == 8
    assert series["attempts_per_s"].sum() == 18


def test_every_row_of_the_summary_has_an_interval_over_replications():
    faults = [{"at": "10s", "kind": "drop_clients", "cohort": "c"}]
    clients = [{"name": "c", "count": 3, "reconnect": {"policy": "fixed", "delay": "1s"}}]
    several = simulate(queue(duration=20, rate=20, faults=faults, clients=clients), replications=3)
    assert several.summary[["low", "high"]].notna().all(axis=None)
    assert {f"connections {name.replace('_', ' ')}" for name in FAILURES} <= set(several.summary.index)
    single = simulate(queue(duration=20, rate=20, faults=faults, clients=clients)).summary
    assert single.index[single["low"].notna()].str.startswith("delivery latency").all()
    assert single.loc[["delivery latency p999", "delivery latency max"], "low"].isna().all()


def test_servers_are_means_over_replications():
    several = simulate(queue(), replications=3)
    each = [simulate(queue(seed=seed)).servers["utilization"][0] for seed in (0, 1, 2)]
    assert several.servers["utilization"][0] == pytest.approx(np.mean(each), rel=1e-12)


def test_json_holds_objectives_and_latency_over_time():
    plain = simulate(queue(duration=10, slo={"p95": "1s"})).to_plain()
    (objective,) = plain["objectives"]
    assert {key: objective[key] for key in ("objective", "promised", "kept", "unit")} == {
        "objective": "p95", "promised": 1000, "kept": True, "unit": "ms",
    }  # fmt: skip
    assert len(plain["timeseries"]["latency_over_time"]["p99_s"]) == 32


# Warnings.


def test_overload_speaks_up():
    assert any("Offered load at or above capacity" in text for text in simulate(queue(rate=1100)).warnings)
    assert not simulate(queue(rate=500)).warnings


def test_a_start_that_is_still_settling_speaks_up():
    """Two thousand publishes in the first second take four seconds to work off: the start is no steady state."""
    flood = {"name": "flood", "rate": 3000, "stop": "1s"}
    case = queue(warmup=0, traffic=[{"name": "t", "rate": 500}, flood])
    assert any("Warm-up too short" in text for text in simulate(case).warnings)
    assert not any("Warm-up too short" in text for text in simulate(case.replace(warmup="10s")).warnings)


def test_littles_law_speaks_up_when_work_piles_up():
    """At 1.5 times the capacity the average under way is less than arrival rate times latency."""
    texts = " ".join(simulate(queue(rate=1500, duration=20)).warnings)
    assert "Little's law" in texts


def test_few_deliveries_give_no_interval_and_say_so():
    results = simulate(queue(rate=0.1))
    assert results.latency_s()["mean"].low is None
    assert any("No interval" in text for text in results.warnings)


def test_losses_speak_up_with_their_causes():
    case = queue(faults=[{"at": "10s", "kind": "drop_clients", "cohort": "c"}], rate=500).replace(
        **{"clients.c.reconnect": {"policy": "fixed", "delay": "1s"}}
    )
    results = simulate(case)
    assert any("did not arrive" in text and "offline" in text for text in results.warnings)


def test_objectives_are_judged_by_the_end_of_the_interval_that_hurts():
    slo = {"p99": 1.0, "p50": 1e-6, "max_lost_ratio": 0}
    judged = simulate(queue(slo=slo)).objectives()
    assert judged["kept"].to_dict() == {"p50": False, "p99": True, "lost ratio": True}


# Errors.


def test_nothing_delivered_is_no_error():
    results = simulate(queue(traffic=[]))
    assert np.isnan(results.latency_s()["mean"].value)
    assert json.loads(results.to_json())["delivery_latency_s"]["mean"]["value"] is None
    assert results._repr_html_()


def test_unknown_names_are_refused(chat):
    with pytest.raises(ScenarioError, match="cohort must be a cohort of the scenario, got 'x'; known: phones"):
        chat.latency_s("x")
    with pytest.raises(ScenarioError, match="hop must be a hop, got 'x'; known: publisher_to_broker"):
        chat.latency_s(hop="x")
    with pytest.raises(ScenarioError, match="what must be a series of servers"):
        chat.server_series("x")


def test_traces_of_different_scenarios_are_no_replications(chat):
    other = simulate(queue(rate=1))
    with pytest.raises(EngineError, match="differ in their seed alone"):
        Results([chat.trace, other.trace])
    with pytest.raises(EngineError, match="at least one trace"):
        Results([])


def test_a_file_that_cannot_be_written_leaves_nothing_behind(chat, tmp_path):
    with pytest.raises(ScenarioError, match="output must be a file that can be written"):
        chat.to_json(tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("kept")
    with pytest.raises(ScenarioError, match="output must be a file that can be written"):
        chat.to_json(blocked / "run.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
