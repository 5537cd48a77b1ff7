"""A plan is the smallest number that keeps every promise, and an independent run of its drills says so too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime_sim import Scenario, plan, simulate
from realtime_sim.errors import ScenarioError
from realtime_sim.report.plan_choices import what_helps

EXAMPLES = Path(__file__).parent.parent / "examples"


def small(**changes: object) -> Scenario:
    """60 clients, 20 ms away, who hear four messages a second, of which each takes a server 1 ms a client."""
    return Scenario(
        **{
            "name": "small",
            "seed": 1,
            "duration": 12,
            "clients": [{"name": "c", "count": 60, "network": {"rtt": "20ms"}, "reconnect": "full_jitter"}],
            "servers": {"costs": {"send": "1ms"}},
            "broker": {"kind": "redis_pubsub"},
            "traffic": [{"name": "t", "rate": 4}],
        }
        | changes
    )


@pytest.fixture(scope="module")
def tenth():
    """A tenth of examples/million.yaml, in which sessions end and begin, with one server dead in every drill.

    Its storm is to be over in twice the time, so that loops decide: who comes back over 30 s may be later than 5 s.
    """
    scenario = Scenario.from_yaml(EXAMPLES / "million.yaml").replace(
        **{
            "clients.connections.count": 100_000,
            "rooms.group.count": 10_000,
            "traffic[0].rate": "4_670/s",
            "slo.recover_within": "10s",
        }
    )
    return plan(scenario)


def test_at_the_answer_every_drill_keeps_every_promise_when_it_is_run_again(tenth):
    for name, drill in tenth.drills(tenth.servers).items():
        again = simulate(drill, replications=3).objectives()
        assert again["kept"].all(), name
        found = {check.constraint: check.found for check in tenth.answer.checks if check.drill == name}
        assert all(found[constraint] == row["found"] for constraint, row in again.iterrows())


def test_with_one_server_less_a_drill_breaks_a_promise_when_it_is_run_again(tenth):
    again = simulate(tenth.drills(tenth.servers - 1)["loss"], replications=3).objectives()
    assert again.loc[tenth.binding, "kept"] is False and again.loc[tenth.binding, "low"] > 0.9
    assert tenth.binding == "utilization" and tenth.servers == 4


def test_with_other_draws_the_answer_is_the_same(tenth):
    other = {"seed": tenth.scenario.seed + 100}
    assert simulate(tenth.drills(tenth.servers)["loss"].replace(**other)).objectives().loc["utilization", "kept"]
    assert not simulate(tenth.drills(tenth.servers - 1)["loss"].replace(**other)).objectives()["kept"].all()


def test_the_same_seed_gives_the_same_plan_for_any_number_of_processes():
    case = small(slo={"p99": "60ms", "recover_within": "4s", "survive_servers": 1})
    first, again = plan(case).to_json(), plan(case, n_jobs=2).to_json()
    assert first == again


def test_a_storm_that_feeds_itself_is_no_reason_to_give_up():
    """With a server or two of examples/reconnect_storm.yaml it takes half a minute and more, with five six seconds."""
    storm = Scenario.from_yaml(EXAMPLES / "reconnect_storm.yaml")
    found = plan(storm, {"recover_within": "10s"}, replications=1, engine="fast")
    assert found.servers in (4, 5)
    slow = simulate(storm.replace(**{"servers.count": 2, "slo": {"recover_within": "10s"}}), engine="fast")
    assert slow.objectives().loc["recovery", "kept"] is False


def test_nobody_may_be_shut_out_whatever_is_promised():
    """Ten servers for a hundred each, and a hash that does not fill them evenly."""
    full = small(
        clients=[{"name": "c", "count": 200, "reconnect": "full_jitter"}], slo={"p99": "1s"},
        servers={"max_connections": 20, "costs": {"send": "1us"}}, balancer={"policy": "consistent_hash"},
    )  # fmt: skip
    found = plan(full)
    assert found.servers > 10
    assert "admission" in found.below.broken or found.below.check("connections").kept is False


def test_the_servers_that_are_there_do_not_matter():
    case = small(slo={"p99": "60ms"})
    assert plan(case).servers == plan(case.replace(**{"servers.count": 9})).servers == 3


def test_what_arithmetic_decides_is_simulated_at_the_answer_alone():
    found = plan(
        small(servers={"max_connections": 40}, slo={"p99": "200ms", "survive_servers": 1, "recover_within": 4})
    )
    assert (found.servers, found.confident, found.binding) == (3, True, "connections")
    assert {one.servers: one.replications for one in found.evaluations} == {2: 0, 3: 3}
    assert "connections is broken by arithmetic: 60, 40 allowed" in found.verdict


def test_without_queueing_fewer_servers_seem_to_do():
    """Four broadcasts a second to 60 clients keep one loop busy for a quarter of the time, but 60 sends take 60 ms."""
    case = small(slo={"p99": "60ms"})
    static, queueing = plan(case, queueing=False), plan(case)
    assert (static.servers, queueing.servers) == (1, 3)
    assert static.confident and "queueing" in static.verdict and not static.answer.results


def test_every_promise_counts_in_a_deploy():
    """The clients of a server that is replaced miss what is sent until they are back: so many that half is promised."""
    slo = {"p99": "200ms", "survive_deploy": True, "recover_within": "4s", "max_lost_ratio": 0.5}
    case = small(servers={"max_connections": 40, "startup": "1s", "grace": "2s"}, slo=slo)
    found = plan(case)
    assert found.servers == 2 and found.answer.check("lost ratio").drill == "deploy"
    strict = plan(case.replace(**{"slo.max_lost_ratio": 0}), at_most=8)
    assert strict.servers is None and strict.binding == "lost ratio"


def test_a_promise_below_what_any_number_reaches_is_given_up_with_the_figures():
    found = plan(small(slo={"p99": "10.5ms"}))
    assert (found.servers, found.confident, found.binding) == (None, False, "p99")
    assert "more servers do not help" in found.headline and "10.5 ms at most" in found.headline
    assert found.evaluations[-1].servers < 100 and found.answer is found.below is found.next_binding is None


def test_a_promise_below_the_network_is_refused_at_once():
    found = plan(small(slo={"p99": "9ms"}))
    assert found.servers is None and "half a round trip alone takes 10 ms" in found.headline
    assert not any(one.replications for one in found.evaluations)


def test_a_broker_that_is_full_is_no_matter_of_servers_and_the_remedies_are_plans():
    """4,000 messages a second to rooms of two, copied to every server: 10 us and 5 us a copy are too much from 50."""
    case = small(
        clients=[{"name": "c", "count": 1_000, "keepalive": None}],
        servers={"max_connections": 20, "profile": "zero", "costs": {"event": "1us"}},
        broker={"kind": "redis_pubsub", "publish": "10us", "copy": "5us"},
        rooms=[{"name": "pair", "count": 500, "members": 2}],
        traffic=[{"name": "t", "to": "pair", "rate": 4_000}],
        slo={"p99": "100ms"},
        duration=4,
    )
    found = plan(case, at_most=100)
    assert found.servers is None and found.binding == "broker"
    assert "104 % busy with 50 servers" in found.headline and "more servers give it no less to do" in found.headline
    first = found.remedies[0]
    assert first.changes == {"broker.subscription": "per_room"} and first.servers == 50
    assert plan(first.scenario, replications=1).servers == 50
    assert all(remedy.servers <= 60 and remedy.text for remedy in found.remedies)


def test_where_no_number_suffices_nothing_is_said_of_the_servers_that_there_are_and_remedies_are_in_words():
    """Redis copies 4,000 messages a second to each of 50 servers, which 1,000 clients need: a thread is 104 % busy."""
    case = small(
        clients=[{"name": "c", "count": 1_000, "keepalive": None}],
        servers={"count": 37, "max_connections": 20, "costs": {"wakeup": 0}},
        broker={"kind": "redis_pubsub", "publish": "10us", "copy": "5us"},
        rooms=[{"name": "pair", "count": 500, "members": 2}],
        traffic=[{"name": "t", "to": "pair", "rate": 4_000}],
        slo={"p99": "100ms"},
    )
    found = plan(case, queueing=False)
    assert found.servers is None and found.limits.given == 50
    assert found.to_plain()["limits"]["given"] == 50 and "37" not in str(found.limits)
    helps = "per-room subscriptions, so that only servers with members copy; sharded Pub/Sub on 2 instances; Kafka with"
    assert f"These would help: {helps} 12 partitions; core NATS" in found.verdict
    told = " ".join(str(cell) for row in next(what_helps(found)).blocks[0].rows for cell in row)
    assert "Kafka with 12 partitions 50 arithmetic 50 servers by arithmetic, loops " in told
    assert "{" not in told + str(found)


def test_of_several_choices_the_one_with_the_fewest_servers_is_the_answer():
    found = plan(small(slo={"p99": "60ms"}), over={"servers.workers": [1, 2], "seed": [1]})
    assert [(one.chosen, one.servers) for one in found.alternatives] == [
        ({"servers.workers": 1, "seed": 1}, 3),
        ({"servers.workers": 2, "seed": 1}, 2),
    ]
    assert found.servers == 2 and found.scenario.servers.workers == 2
    assert "servers.workers=1, seed=1: 3 servers" in str(found)


def test_a_choice_of_parts_is_told_in_words():
    brokers = [{"kind": "kafka", "partitions": 12}, {"kind": "nats"}]
    found = plan(small(slo={"p99": "1s"}), queueing=False, over={"broker": brokers})
    assert "broker=kafka with partitions 12: 1 server\n  broker=nats: 1 server\n" in str(found)


def test_one_replication_is_not_sure_and_the_plan_says_so():
    found = plan(small(slo={"recover_within": "4s", "survive_servers": 1}), replications=1)
    assert found.servers == 2 and not found.confident
    assert found.verdict.startswith("Not decided at 95 %: recovery with 2 is ") and "Replications" in found.verdict
    assert found.headline == "small: 2 servers, not decided: recovery with 2 is not sure. What decides is survivors."


def test_a_promise_that_nothing_tests_is_told():
    silent = plan(small(traffic=[], slo={"p99": "1s"}))
    assert silent.servers == 1 and not silent.confident and "no deliveries" in silent.verdict
    calm = plan(small(slo={"p99": "1s", "recover_within": "4s"}))
    assert any("Nothing tries recover_within" in text for text in calm.assumptions)


def test_a_number_with_which_the_scenario_cannot_be_is_broken():
    faults = [{"kind": "kill_server", "at": 6, "server": 2}]
    found = plan(small(servers={"count": 3}, faults=faults, slo={"recover_within": "8s"}))
    assert found.servers == 3 and found.binding == "faults"
    assert "faults[0].server must be the number of a server" in found.verdict


def test_the_million_of_the_examples_asks_for_a_number_that_arithmetic_is_near_to():
    """36.2 loops' work on what 21 servers of two loops leave when one dies is 90.6 %; with 22 it is 86.3 %."""
    found = plan(Scenario.from_yaml(EXAMPLES / "million.yaml"), queueing=False)
    assert found.servers == 22 and found.binding == "cpu"
    busy = [round(one.check("cpu").found, 3) for one in found.evaluations]
    assert busy == [0.906, 0.863]


def test_promises_may_be_given_beside_the_scenario():
    assert plan(small(), {"p99": "1s"}).scenario.slo.p99 == 1
    assert plan(small(slo={"p99": "9ms"}), small(slo={"p99": "1s"}).slo).servers == 1


def test_progress_goes_up_to_the_whole():
    shares: list[float] = []
    plan(small(slo={"p99": "60ms"}), progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 5


def test_a_plan_is_plain_data_a_table_and_a_page(tmp_path):
    found = plan(small(servers={"max_connections": 40}, slo={"p99": "200ms"}))
    plain = json.loads(found.to_json(tmp_path / "plan.json"))
    assert json.loads((tmp_path / "plan.json").read_text()) == plain
    assert (plain["servers"], plain["confident"], plain["binding"]) == (2, True, "connections")
    assert Scenario(**plain["evaluations"][1]["drills"]["normal"]) == found.drills(2)["normal"]
    assert [row["constraint"] for row in plain["constraints"]] == ["connections", "cpu", "broker", "p99"]
    assert "2 servers keep every promise" in found._repr_html_()
    assert found.answer_scenario == found.scenario.replace(**{"servers.count": 2})
    assert found.to_kubernetes(name="small")["deployment.yaml"]["spec"]["replicas"] == 2


def test_the_table_shows_each_constraint_at_the_answer_and_below_it():
    found = plan(small(servers={"max_connections": 40, "profile": "zero"}, slo={"p99": "200ms"}), queueing=False)
    assert str(found).splitlines()[:9] == [
        "small: 2 servers keep every promise. What decides is connections.",
        "By arithmetic alone: queueing, storms and what they do to latency are left out.",
        "",
        "constraint   drill   promised     with 2      with 1  alone needs  to spare  by",
        "connections  normal        40         30          60          = 2       25%  arithmetic  binding",
        "cpu          normal      70 %        0 %         0 %          = 1      100%  arithmetic",
        "broker       normal      70 %  0.00147 %  0.000856 %                   100%  arithmetic",
        "next: cpu: 1 server",
        "",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "small"}, "scenario must be a Scenario"),
        ({}, "slo must promise at least one thing"),
        ({"slo": {}}, "slo must promise at least one thing"),
        ({"slo": {"recover_within": 1}}, "slo.recover_within must have something to recover from"),
        ({"slo": {"p98": 1}}, "slo.p98"),
        ({"slo": {"p99": 1}, "replications": 0}, "replications must be a whole number from 1 to 1_000"),
        ({"slo": {"p99": 1}, "at_most": 20_000}, "at_most must be a whole number from 1 to 10_000"),
        ({"slo": {"p99": 1}, "over": {}}, "over must be a dict of fields"),
        ({"slo": {"p99": 1}, "over": {"servers.profile": "zero"}}, "over['servers.profile'] must be a list"),
        ({"slo": {"p99": 1}, "over": {"servers.workers": [0]}}, "servers.workers"),
        ({"slo": {"p99": 1}, "engine": "slow"}, "engine must be a known engine"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ScenarioError) as error:
        plan(**{"scenario": small()} | arguments)
    assert message in str(error.value)


def test_an_autoscaler_is_not_planned():
    scaled = small(slo={"p99": 1}, autoscaling={"max_replicas": 4, "metrics": [{"name": "connections", "target": 10}]})
    with pytest.raises(ScenarioError, match="autoscaling must be left out of a plan"):
        plan(scaled)
