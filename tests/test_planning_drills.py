"""Drills are scenarios like any other: each says what dies or is replaced, when, and from when on promises count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.planning.drills import drills_of, lengths_of
from realtime_sim.planning.judging import checks_of
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

SLO = {"p99": "200ms", "recover_within": "5s", "survive_servers": 1}
QUICK = {"p50": "200ms", "max_lost_ratio": 0, "recover_within": "5s", "survive_servers": 1}
"""A median needs ten seconds."""


def chat(**changes: object) -> Scenario:
    """60 clients who hear 20 messages a second: 1,200 deliveries a second."""
    return Scenario(
        **{
            "name": "chat",
            "seed": 7,
            "duration": "10min",
            "warmup": "1min",
            "clients": [{"name": "phones", "count": 60, "reconnect": {"policy": "full_jitter", "base": "500ms"}}],
            "servers": {"count": 9, "startup": "1s", "grace": "2s"},
            "broker": {"kind": "redis_pubsub"},
            "traffic": [{"name": "news", "rate": "20/s"}],
            "slo": SLO,
        }
        | changes
    )


def lengths(**changes: object):
    return lengths_of(Arithmetic(chat(**changes)), 3)


@pytest.mark.parametrize(
    ("slo", "measured_s"),
    [
        ({"p99": 1}, 167),  # 200,000 deliveries at 1,200 a second
        ({"p99": 1, "p50": 1}, 167),  # the rarest counts
        ({"p999": 1}, 540),  # 2,000,000 deliveries would take 28 minutes: the scenario's own measured time
        ({"p50": 1}, 10),  # 200 publishes take longer than 4,000 deliveries
        ({"max_lost_ratio": 0}, 167),  # as for p99 where no quantile is promised
    ],
)
def test_a_run_is_as_long_as_the_promise_needs(slo, measured_s):
    assert lengths(slo=slo).measured_s == measured_s


def test_at_first_no_run_makes_more_than_four_million_deliveries():
    many = lengths(clients=[{"name": "phones", "count": 100_000}], slo={"p999": 1})
    assert many.measured_s == 2  # 4,000,000 of 2,000,000 a second
    assert lengths(clients=[{"name": "phones", "count": 60_000}], slo={"p999": 1}).measured_s == 3  # of 1,200,000


@given(st.floats(1, 900), st.floats(0.01, 0.99), st.sampled_from(["1/s", "7/s", "20/s"]))
def test_times_that_are_chosen_are_whole_seconds(duration, warm_up, rate):
    """But for what the scenario's own warm-up and measured time cut them to."""
    case = chat(duration=duration, warmup=duration * warm_up, traffic=[{"name": "news", "rate": rate}])
    found = lengths_of(Arithmetic(case), 3)
    own_s = (case.warmup_s, case.duration - case.warmup_s)
    for chosen_s, most_s in zip((found.settle_s, found.measured_s), own_s, strict=True):
        assert chosen_s == most_s or (chosen_s == int(chosen_s) and chosen_s < most_s)


def test_a_deploy_has_whole_seconds_too():
    """Three batches, each of a second and of 20 clients at 7 a second, and 5 s to recover: 16.57 s."""
    deploy = {"at": "5s", "kind": "rolling_deploy", "budget": "7/s"}
    case = chat(duration=12, warmup=2, slo=QUICK | {"survive_deploy": True}, faults=[deploy])
    assert drills_of(case, 3)["deploy"].duration == 2 + 17


def test_longer_is_four_times_as_long_up_to_the_scenarios_own_time():
    first = lengths(slo={"p50": 1})
    steps = [first]
    while steps[-1].longer is not None:
        steps.append(steps[-1].longer)
    assert [step.measured_s for step in steps] == [10, 40, 160, 540]


def test_the_normal_drill_is_the_scenario_with_so_many_servers_and_a_shorter_run():
    drill = drills_of(chat(), 3)["normal"]
    as_written = chat().replace(**{"servers.count": 3, "slo.survive_servers": None})
    shorter = {"duration": drill.duration, "warmup": 2, "sample_interval": drill.sample_interval}
    assert drill == as_written.replace(**shorter)
    assert drill.duration == 2 + 167


@pytest.mark.parametrize(
    "change",
    [
        {"faults": [{"at": "2min", "kind": "kill_server", "server": 0}]},
        {"traffic": [{"name": "news", "rate": "20/s", "start": "1min"}]},
        {"traffic": [{"name": "news", "rate": "20/s", "stop": "1min"}]},
        {"clients": [{"name": "phones", "count": 60, "ramp_up": "1min"}]},
    ],
)
def test_a_scenario_in_which_something_has_its_hour_is_run_as_written(change):
    case = chat(**change)
    drills = drills_of(case, 3)
    assert drills["normal"] == case.replace(**{"servers.count": 3, "slo.survive_servers": None})
    assert drills["loss"].warmup == 60 + 5 and drills["loss"].duration == 60 + 5 + 540


def test_in_the_loss_drill_servers_die_and_promises_count_from_when_recovery_is_due():
    drill = drills_of(chat(slo=SLO | {"survive_servers": 2}), 5)["loss"]
    (fault,) = drill.faults
    assert (fault.kind, fault.at, fault.count, fault.restart_after, fault.notice) == ("kill_server", 2, 2, None, "rst")
    assert drill.warmup == 2 + 5 and drill.duration == 7 + 167


def test_without_a_promised_recovery_it_is_due_after_half_a_minute():
    assert drills_of(chat(slo={"p99": 1, "survive_servers": 1}), 3)["loss"].warmup == 32


def test_the_storm_is_judged_and_what_it_loses_is_not():
    """One of three servers dies with twenty clients: they miss what is sent until they are back, within the warm-up."""
    results = simulate(drills_of(chat(slo=QUICK), 3)["loss"])
    judged = results.objectives()
    assert results.recovery.loc[0, "affected"] == 20 and 0 < judged.loc["recovery", "found"] < 5
    assert results.deliveries.loc["total", "lost"] == 0 and results.connections["reconnects"] == 20
    assert judged["kept"].all()


def test_a_deploy_replaces_every_server_within_the_drill_and_counts_throughout():
    drill = drills_of(chat(slo=QUICK | {"survive_deploy": True, "max_lost_ratio": 0.5}), 3)["deploy"]
    (fault,) = drill.faults
    assert (fault.kind, fault.at, fault.surge, drill.warmup) == ("rolling_deploy", 2, 1, 2)
    results = simulate(drill)
    assert "deployed" in set(results.decisions["action"])
    judged = results.objectives()
    assert judged.loc["lost ratio", "found"] > 0 and judged["kept"].all()


def test_a_deploy_of_the_scenarios_own_is_the_one_that_is_drilled():
    deploy = {"at": "5min", "kind": "rolling_deploy", "surge": 2, "max_unavailable": 1, "budget": "10/s"}
    (fault,) = drills_of(chat(slo={"p99": 1, "survive_deploy": True}, faults=[deploy]), 4)["deploy"].faults
    assert (fault.at, fault.surge, fault.max_unavailable, fault.budget) == (60, 2, 1, 10)


@given(st.integers(2, 60))
def test_all_drills_share_the_seed_and_can_be_run(n):
    drills = drills_of(chat(slo=SLO | {"survive_deploy": True}), n)
    assert list(drills) == ["normal", "loss", "deploy"]
    assert {(drill.seed, drill.servers.count) for drill in drills.values()} == {(7, n)}
    assert all(drill.slo.survive_servers is None and not drill.slo.survive_deploy for drill in drills.values())
    assert all((drill.duration - drill.warmup_s) / drill.sample_interval >= 20 for drill in drills.values())


def test_a_deploy_that_is_not_done_when_its_drill_ends_is_broken():
    drill = drills_of(chat(slo=QUICK | {"survive_deploy": True}), 3)["deploy"]
    done = checks_of("deploy", simulate(drill))[-1]
    assert (done.constraint, done.kept) == ("deploy", True) and 3 < done.found < drill.duration
    cut_short = checks_of("deploy", simulate(drill.replace(duration=4)))[-1]
    assert (cut_short.kept, cut_short.found) == (False, float("inf")) and "gave it 2 s" in cut_short.note
