"""Storms are counted as they were, and a verdict of metastability stands on every one of its conditions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.storms import handshake_cost_s, handshake_requests, storm_figures, verdict
from realtime_sim.units import to_ns
from tests.conftest import small

EXAMPLE = Scenario.from_yaml(Path(__file__).parent.parent / "examples" / "reconnect_storm.yaml")
FIXED = {"policy": "fixed", "delay": "1s"}


def storm(**changes: object) -> Scenario:
    """Five clients drop at 1 s and try again every 10 s with a patience of 1 s; a handshake takes 0.4 s."""
    cohort = {"name": "c", "count": 5, "keepalive": None, "connect_timeout": "1s"}
    fields = {
        "duration": 60,
        "clients": [cohort | {"reconnect": {"policy": "fixed", "delay": "10s"}}],
        "servers": {"profile": "zero", "costs": {"handshake": "400ms"}},
        "faults": [{"at": "1s", "kind": "drop_clients", "cohort": "c"}],
    }
    return small(**(fields | changes))


@pytest.fixture(scope="module")
def metastable() -> Results:
    return simulate(EXAMPLE.replace(**{"clients.phones.reconnect": FIXED}), engine="fast")


# Known values, worked by hand.


def test_a_storm_is_counted_from_its_fault_until_all_are_back():
    """At 11 s five try and two are in time, at 22 s three and two, at 33 s one: it is back at 33.4 s. The CPU of the
    server is enough for 2.5 handshakes a second, and five came in one."""
    row = simulate(storm()).storm.loc[0]
    assert row["verdict"] == "recovered after 32.4 s" and not row["metastable"]
    assert (row["affected"], row["recovered"], row["p50_s"], row["p100_s"]) == (5, 5, 21.4, 32.4)
    assert (row["attempts"], row["timeouts"], row["wasted_handshakes"]) == (9, 4, 4)
    assert row["wasted_ratio"] == 4 / 9
    assert (row["peak_attempts_per_s"], row["capacity_per_s"], row["peak_to_capacity"]) == (5, 2.5, 2)


@pytest.mark.parametrize(
    "second", [{"kind": "drop_clients", "cohort": "c", "share": 0}, {"kind": "slow_server", "server": 0, "factor": 1}]
)
def test_a_storm_goes_on_until_all_are_back_whatever_comes_that_cuts_nobody_off(second):
    """Nobody is back when the second fault comes at 11.2 s, and it changes nothing."""
    case = storm(faults=[*storm().to_plain()["faults"], {"at": "11.2s"} | second])
    row = simulate(case.replace(sample_interval=0.1)).storm.loc[0]
    assert (row["attempts"], row["verdict"]) == (9, "recovered after 32.4 s")
    assert row["lasted_s"] == pytest.approx(row["p100_s"]) == pytest.approx(32.4)


def test_storms_that_overlap_end_when_their_own_clients_are_back():
    """One more client drops at 20 s, when two of the five are back: each storm has its own clients, and all attempts of
    its time."""
    cohorts = [*storm().to_plain()["clients"], {"name": "d", "count": 1, "keepalive": None}]
    late = {"at": "20s", "kind": "drop_clients", "cohort": "d"}
    frame = simulate(storm(clients=cohorts, faults=[*storm().to_plain()["faults"], late])).storm
    assert frame["affected"].tolist() == [5, 1] and frame["lasted_s"].tolist() == pytest.approx(
        frame["p100_s"].tolist()
    )
    assert frame["p100_s"].iloc[0] > 19 and frame["attempts"].iloc[0] > 9


def test_capacity_is_that_of_the_servers_left_and_of_what_they_let_in():
    kill = {"at": "1s", "kind": "kill_server", "server": 0}
    servers = {"profile": "zero", "count": 3, "workers": 2, "costs": {"handshake": "400ms"}}
    assert simulate(storm(servers=servers, faults=[kill])).storm.loc[0, "capacity_per_s"] == 10
    limited = servers | {"admission": {"rate": "3/s"}}
    assert simulate(storm(servers=limited, faults=[kill])).storm.loc[0, "capacity_per_s"] == 6


def test_a_polling_handshake_is_four_requests():
    cohorts = [{"name": "c", "count": 1, "polling_handshake": True}, {"name": "d", "count": 2}]
    case = storm(clients=cohorts, servers={"profile": "zero", "costs": {"handshake": "2ms", "http_request": "1ms"}})
    assert (handshake_requests(case), handshake_cost_s(case)) == (2.0, pytest.approx(0.003))


def test_latency_before_and_during_is_that_of_slices_by_publish_time():
    """Half of the clients stay, and get their messages behind handshakes of 0.4 s."""
    case = storm(traffic=[{"name": "t", "rate": 10}], seed=3).replace(**{"faults[0].share": 0.5, "faults[0].at": 20})
    row = simulate(case).storm.loc[0]
    assert row["p99_before_s"] < 0.1 < row["p99_during_s"] < 2.0


def test_an_act_of_ones_own_and_a_drain_of_the_autoscaler_have_their_storms():
    """Ten of twenty clients come over from the server that the autoscaler gives up at 15 s; at 40 s two are dropped."""

    def drops(env, cluster):
        yield env.timeout(40)
        cluster.drop_clients("phones")

    down = {"stabilization": 0, "policies": [{"kind": "pods", "value": 1, "period": 60}]}
    cohorts = [{"name": "phones", "count": 2, "keepalive": None}, {"name": "desks", "count": 18, "keepalive": None}]
    case = small(
        duration=60, clients=cohorts, servers={"count": 2, "grace": 10},
        autoscaling={"max_replicas": 4, "metrics": [{"name": "connections", "target": 40}], "scale_down": down},
    )  # fmt: skip
    results = simulate(case, control=[drops])
    frame = results.storm
    assert frame[["fault", "at_s", "affected", "recovered"]].to_numpy().tolist() == [
        ["drain_server", 15.0, 10, 10], ["drop_clients", 40.0, 2, 2],
    ]  # fmt: skip
    assert frame.index.tolist() == [0, 1] and frame["attempts"].tolist() == [10, 2]
    assert frame["lasted_s"].iloc[0] == pytest.approx(results.recovery["p100_s"].iloc[0])
    assert all(row["at_s"] == own for row, own in zip(results.to_plain()["storm"], (15.0, 40.0), strict=True))


def test_a_storm_that_the_next_one_cuts_short_is_not_told_to_run_longer():
    """Everybody of a cohort drops at 1 s and waits 10 s before the first try; at 7 s another one drops."""
    faults = [{"at": at, "kind": "drop_clients", "cohort": cohort} for at, cohort in ((1, "c"), (7, "d"))]
    cohorts = [cohort | {"name": name} for name in "cd" for cohort in storm().to_plain()["clients"]]
    first, second = simulate(storm(duration=9, clients=cohorts, faults=faults)).storm["verdict"]
    assert first.endswith("(cut short by the next disturbance, at 7 s: set them further apart)")
    assert second.startswith("not recovered: 5 of 5 are not back")
    assert simulate(storm(duration=9)).storm["verdict"].item().endswith("(it may come back: run longer)")


# Agreement.


def test_counts_of_a_storm_are_those_of_the_whole_run_where_nothing_else_happens(metastable):
    row, counters = metastable.storm.loc[0], metastable.trace.counters
    late = metastable.trace.series["time_ns"][-1] / to_ns(1)
    assert late == EXAMPLE.duration
    for name in ("attempts", "backlog_full", "timeouts", "wasted_handshakes", "refused", "throttled"):
        assert row[name] == metastable.trace.series[name][-1] <= counters[name]  # more come in the drain
    rates = metastable.timeseries["attempts_per_s"]
    assert row["peak_attempts_per_s"] == rates.max()


def test_of_replications_figures_are_means_and_the_verdict_that_of_the_worst():
    case = EXAMPLE.replace(**{"clients.phones.count": 100, "servers.count": 1, "duration": 40})
    results = simulate(case, replications=3)
    each = [storm_figures(trace, 0) for trace in results.traces]
    row = results.storm.loc[0]
    assert row["attempts"] == pytest.approx(np.mean([found["attempts"] for found in each]))
    slowest = max(found["p100_s"] for found in each)
    assert row["verdict"] == f"all runs recovered, the slowest after {slowest:,.3g} s"


# Metastable failures.


def test_a_storm_that_feeds_itself_does_not_end_however_long_one_waits(metastable):
    """Three minutes later one more of 2,000 is back."""
    row = metastable.storm.loc[0]
    assert row["metastable"] and "metastable: the cause is gone" in row["verdict"]
    assert any("metastable" in text and "servers.admission" in text for text in metastable.warnings)
    case = EXAMPLE.replace(**{"clients.phones.reconnect": FIXED, "duration": 240})
    later = simulate(case, engine="fast").storm.loc[0]
    assert later["metastable"]
    assert row["recovered"] <= later["recovered"] <= row["recovered"] + 10 < 0.5 * row["affected"]


@pytest.mark.parametrize(
    "cure", [{"servers.admission": {"concurrency": 100}}, {"clients.phones.reconnect": "full_jitter"}]
)
def test_what_sheds_load_or_spreads_it_cures_it(cure):
    row = simulate(EXAMPLE.replace(**({"clients.phones.reconnect": FIXED} | cure)), engine="fast").storm.loc[0]
    assert row["recovered"] == row["affected"] == 2_000
    assert row["verdict"].startswith("recovered after") and not row["metastable"]


def every_server(**fault: object) -> list[dict]:
    """The storm of the example with a fault at each of its servers."""
    n_servers = EXAMPLE.servers.count
    return [*EXAMPLE.to_plain()["faults"], *({"server": server} | fault for server in range(n_servers))]


@pytest.mark.parametrize(
    ("fault", "pace"),
    [
        ({"kind": "slow_server", "at": 0, "factor": 2}, "50%"),
        ({"kind": "slow_server", "at": 0, "factor": 2, "lasts": 30}, ""),
        ({"kind": "pause_server", "at": 0, "lasts": "300ms", "every": "1s"}, "71%"),
        ({"kind": "pause_server", "at": 0, "lasts": "10ms", "every": "1s"}, ""),
    ],
    ids=["slow to the end", "slow at first", "pauses", "hardly pauses"],
)
def test_the_cause_is_not_gone_as_long_as_servers_are_held_up(fault, pace):
    """By more than a tenth of their pace, in the last quarter."""
    changes = {"clients.phones.reconnect": FIXED, "faults": every_server(**fault)}
    row = simulate(EXAMPLE.replace(**changes), engine="fast").storm.loc[0]
    why = f"the cause is there still: servers or broker work at {pace} of their pace" if pace else "the cause is gone"
    assert why in row["verdict"] and row["metastable"] == (not pace)


def test_capacity_is_that_of_servers_that_are_ready_at_the_pace_they_have():
    """Of three servers for five handshakes a second each one is slow, half as fast, and one takes nobody."""

    def cordon(env, cluster):
        yield env.timeout(3)
        cluster.set_ready(2, False)

    servers = {"profile": "zero", "count": 3, "workers": 2, "costs": {"handshake": "400ms"}}
    slow = {"kind": "slow_server", "at": 0, "server": 1, "factor": 2}
    case = storm(servers=servers, faults=[*storm().to_plain()["faults"], slow])
    assert simulate(case, control=[cordon]).storm.loc[0, "capacity_per_s"] == 7.5


DOWN = {
    "affected": 100, "recovered": 20, "p100_s": math.inf, "late_attempts_per_s": 95.0, "earlier_attempts_per_s": 100.0,
    "late_wasted_ratio": 0.93, "capacity_per_s": 10.0, "lasted_s": 30.0, "room": 100, "clients": 100, "gave_up": 0,
    "spare_s": 0.5, "pace": 1.0, "next_s": math.inf,
}  # fmt: skip


def test_all_conditions_together_are_a_metastable_failure():
    text, metastable = verdict(DOWN)
    assert metastable
    assert text == (
        "not recovered: 80 of 100 are not back, still 95 attempts/s, 93% of handshakes wasted "
        "(metastable: the cause is gone, the load of retries keeps it down)"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"recovered": 100, "p100_s": 12.3}, "recovered after 12.3 s"),
        ({"affected": 0, "recovered": 0}, "nobody was cut off"),
        ({"late_attempts_per_s": 89.0}, "run longer"),
        ({"late_attempts_per_s": 89.0, "next_s": 40.0}, "by the next disturbance, at 40 s: set them further apart"),
        ({"late_attempts_per_s": 0.0, "earlier_attempts_per_s": 0.0}, "run longer"),
        ({"late_wasted_ratio": 0.5}, "run longer"),
        ({"late_wasted_ratio": math.nan}, "run longer"),
        ({"capacity_per_s": 3.0}, "can accept 3/s: too few in that time"),
        ({"room": 99}, "have room for 99 of 100 clients"),
        ({"pace": 0.89}, "the cause is there still: servers or broker work at 89% of their pace"),
        ({"spare_s": 0.0}, "even alone an attempt takes longer"),
        ({"late_attempts_per_s": 5.0, "gave_up": 80}, "80 gave up"),
        ({"late_attempts_per_s": math.nan}, "too short to say more"),
    ],
)
def test_each_condition_alone_decides(change, why):
    text, metastable = verdict(DOWN | change)
    assert why in text and not metastable
