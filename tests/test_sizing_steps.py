"""Steps lead from the static answer to the plan's and add up; shares of promises and limits stand on one scale."""

from __future__ import annotations

import dataclasses
import math

import pytest

from realtime_sim.limits import server_limits
from realtime_sim.planning import Check, Evaluation, Plan
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.sizing import lag_of, share_of_promise, steps_of, worst_of
from realtime_sim.sizing.shares import limit_shares
from tests.conftest import small

CASE = Scenario(
    name="case",
    duration=10,
    clients=[{"name": "c", "count": 1_000}],
    servers={"profile": "zero", "max_connections": 100, "costs": {"send": "20us"}},
    traffic=[{"name": "t", "rate": 10}],
    slo={"p99": "100ms", "survive_servers": 2},
)
"""Ten servers for the connections, and two that may be lost; 0.2 s of CPU a second."""

RUN = simulate(small())


def check(constraint: str, drill: str, kept: bool | None, found: float = 1.0, promised: float = 1.0, **more) -> Check:
    return Check(constraint, drill, promised, found, found, found, "s", kept, True, **more)


def evaluated(servers: int, normal: bool | None = None, loss: bool | None = None, fits: bool = True) -> Evaluation:
    """What arithmetic and the drills say of a number; None: that drill was not run."""
    checks = [check("connections", "loss", fits, decided_by="arithmetic")]
    drills = {"normal": normal, "loss": loss}
    checks += [check("p99", drill, kept) for drill, kept in drills.items() if kept is not None]
    return Evaluation(servers, tuple(checks), {drill: RUN for drill, kept in drills.items() if kept is not None}, 3)


def planned(servers: int | None, *evaluations: Evaluation, scenario: Scenario = CASE) -> Plan:
    counted = scenario if servers is None else scenario.replace(**{"servers.count": servers})
    return Plan(scenario, servers, servers is not None, evaluations, server_limits(counted))


def told(plan: Plan) -> list[tuple]:
    return [(step.name, step.added, step.servers, step.exact) for step in steps_of(plan)]


def test_each_drill_adds_what_it_asks_for():
    plan = planned(
        16, evaluated(11, fits=False), evaluated(12, normal=False), evaluated(13, normal=False),
        evaluated(14, normal=True, loss=False), evaluated(15, normal=True, loss=False), evaluated(16, True, True),
    )  # fmt: skip
    assert told(plan) == [
        ("arithmetic", 10, 10, True),
        ("reserve", 2, 12, True),
        ("queueing", 2, 14, True),
        ("storms", 2, 16, True),
    ]


def test_what_was_not_looked_at_is_an_upper_bound():
    """With 15 only the loss was simulated, so that queueing is known to ask for at most 16; with 20 and 17 for 17."""
    assert told(planned(16, evaluated(15, loss=False), evaluated(16, True, True)))[-2:] == [
        ("queueing", 4, 16, False), ("storms", 0, 16, True),
    ]  # fmt: skip
    wide = planned(20, evaluated(12, normal=False), evaluated(17, True, False), evaluated(19, True, False),
                   evaluated(20, True, True))  # fmt: skip
    assert told(wide)[-2:] == [("queueing", 5, 17, False), ("storms", 3, 20, True)]


def test_simulation_takes_back_what_a_rule_of_thumb_asked_for():
    plan = planned(9, evaluated(8, normal=False), evaluated(9, True, True))
    assert told(plan)[-2:] == [("queueing", -3, 9, True), ("storms", 0, 9, True)]


def test_steps_add_up_to_the_answer_and_name_the_tightest_limit():
    plan = planned(14, evaluated(13, normal=False), evaluated(14, True, True))
    steps = steps_of(plan)
    assert sum(step.added for step in steps) == steps[-1].servers == plan.servers
    assert steps[0].why == "the tightest limit, connections" and steps[0].to_plain()["servers"] == 10


def test_without_an_answer_there_are_no_steps_and_no_lag():
    plan = planned(None, evaluated(14, normal=False))
    assert steps_of(plan) == () and lag_of(plan) is None
    assert lag_of(planned(20, evaluated(20, True, True))).needed == 23  # 20 x (1 + 0.1 + 0.1 x 25 s / 60 s)


def test_arithmetic_alone_ends_at_its_answer():
    assert told(planned(12, evaluated(12)))[-1] == ("reserve", 2, 12, True)


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        (check("p99", "normal", True, found=0.05, promised=0.2), 0.25),
        (check("headroom", "normal", True, found=0.6, promised=0.2), 0.5),  # 0.4 of 0.8 that may be used
        (check("lost ratio", "normal", True, found=0.0, promised=0.0), 0.0),
        (check("lost ratio", "normal", False, found=0.1, promised=0.0), math.inf),
    ],
)
def test_a_share_is_what_was_found_of_what_may_be(given, shares):
    assert share_of_promise(given) == pytest.approx((shares,) * 3)


def test_the_interval_of_a_headroom_turns_with_it():
    given = dataclasses.replace(check("headroom", "normal", True, found=0.6, promised=0.2), low=0.5, high=0.7)
    assert share_of_promise(given) == pytest.approx((0.5, 0.375, 0.625))


def test_the_worst_drill_is_a_broken_one_or_the_closest():
    close, broken = check("p99", "normal", True, found=0.9), check("p99", "loss", False, found=0.8)
    unknown = check("p99", "deploy", None, found=math.nan)
    assert worst_of((close, broken, unknown), "p99") is broken
    assert worst_of((check("p99", "loss", True, found=0.1), close), "p99") is close
    assert worst_of((unknown,), "p99") is None


def test_limits_are_shown_for_the_answer_or_for_what_arithmetic_needs():
    servers, shares = limit_shares(planned(20, evaluated(20, True, True)))
    used = {share.name: (share.used, share.left, share.allowed) for share in shares}
    assert servers == 20 and used["connections"] == pytest.approx((0.5, 1_000 / 1_800, 1.0))
    assert used["cpu"] == pytest.approx((0.2 / 20, 0.2 / 18, 0.7))
    assert limit_shares(planned(None, evaluated(14, normal=False)))[0] == 12
