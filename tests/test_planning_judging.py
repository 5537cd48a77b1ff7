"""A check is kept as the run's own objectives say, and sure where the whole interval lies on one side."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from realtime_sim.planning.judging import Check, Evaluation, checks_of, judge
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import FAILURES

NAN = math.nan


def check(
    constraint="p99", promised=100.0, found=50.0, low=40.0, high=60.0, kept=True, sure=True, drill="normal", **more
):
    return Check(constraint, drill, promised, found, low, high, "ms", kept, sure, **more)


def judged(name: str, promised: float, found: float, low: float, high: float, kept: bool | None) -> Check:
    row = {"promised": promised, "found": found, "low": low, "high": high, "judged_by": high, "kept": kept}
    frame = pd.DataFrame(row | {"unit": "ms", "note": ""}, index=pd.Index([name])).astype({"kept": object})
    (made,) = checks_of("normal", SimpleNamespace(objectives=lambda: frame, connections=dict.fromkeys(FAILURES, 0)))
    return made


@pytest.mark.parametrize(
    ("row", "kept", "sure", "met"),
    [
        (("p99", 100, 50, 40, 60, True), True, True, True),
        (("p99", 100, 95, 80, 110, False), False, False, True),  # the figure keeps it, its interval does not
        (("p99", 100, 105, 80, 130, False), False, False, False),
        (("p99", 100, 120, 110, 130, False), False, True, False),
        (("p99", 100, 95, NAN, NAN, True), True, False, True),  # of one run
        (("p99", 100, NAN, NAN, NAN, None), None, False, None),
        (("utilization", 0.9, 0.89, 0.88, 0.91, False), False, False, True),
        (("lost ratio", 0.1, 0.05, 0.04, 0.06, True), True, True, True),
        (("lost ratio", 0, 0.05, 0, 0.11, False), False, True, False),  # where nothing may be lost, one loss is enough
        (("recovery", 9, 8, 7, 10, True), True, False, True),
        (("recovery", 9, math.inf, math.inf, math.inf, False), False, True, False),
        (("headroom", 0.2, 0.3, 0.25, 0.35, True), True, True, True),
        (("headroom", 0.2, 0.3, 0.15, 0.45, True), True, False, True),
        (("headroom", 0.2, 0.1, 0.05, 0.15, False), False, True, False),
    ],
)
def test_a_verdict_is_sure_with_its_whole_interval(row, kept, sure, met):
    found = judged(*row)
    assert (found.kept, found.sure, found.met) == (kept, sure, met)


@pytest.mark.parametrize(
    ("made", "margin"),
    [
        (check(promised=100.0, found=75.0), 0.25),
        (check(promised=100.0, found=150.0, kept=False), -0.5),
        (check("headroom", promised=0.2, found=0.3), 0.5),
        (check("lost ratio", promised=0.0, found=0.0), 0.0),
        (check("lost ratio", promised=0.0, found=0.1, kept=False), -math.inf),
        (check(promised=100.0, found=math.inf, kept=False), -math.inf),
    ],
)
def test_a_margin_is_what_is_left_of_the_promise(made, margin):
    assert made.margin == pytest.approx(margin)


def test_a_figure_that_keeps_its_promise_is_not_called_broken_for_its_interval():
    hanging = judged("p99", 150, 145, 138, 152, False)
    broken = judged("utilization", 0.9, 0.95, 0.94, 0.96, False)
    assert (hanging.verdict, broken.verdict) == ("not shown to keep it", "broken")
    assert (judged("p99", 150, 120, 110, 130, True).verdict, judged("p99", 1, NAN, NAN, NAN, None).verdict) == (
        "kept",
        "not decided",
    )
    alone, both = Evaluation(3, (hanging, check("p50"))), Evaluation(3, (hanging, broken))
    assert (alone.verdict, alone.broken, alone.not_shown) == ("not shown to keep all", (), ("p99",))
    assert (both.verdict, both.broken, both.not_shown) == ("broken", ("utilization",), ("p99",))
    assert not alone.kept and not alone.sure and both.sure


def test_an_evaluation_is_broken_for_sure_if_one_promise_is_and_kept_for_sure_if_all_are():
    unsure = check("recovery", sure=False)
    broken = check("p99", found=150.0, kept=False)
    assert Evaluation(3, (check(), check("p50"))).sure and not Evaluation(3, (check(), unsure)).sure
    assert Evaluation(3, (unsure, broken)).sure and not Evaluation(3, (unsure, broken)).kept
    assert Evaluation(3, (unsure, broken)).broken == ("p99",)


def test_what_simulation_could_not_judge_leaves_an_evaluation_open_and_what_arithmetic_could_not_does_not():
    nothing = check(found=NAN, low=NAN, high=NAN, kept=None, sure=False)
    open_one = Evaluation(3, (check(), nothing))
    assert open_one.kept and not open_one.sure and open_one.verdict == "not decided"
    near = check("cpu", kept=None, sure=False, decided_by="arithmetic")
    assert Evaluation(3, (check(), near)).sure and Evaluation(3, (check(), near)).verdict == "kept"


def test_of_several_drills_the_worst_check_of_a_constraint_is_shown():
    normal, loss = check(found=20.0), check(found=80.0, drill="loss")
    assert Evaluation(3, (normal, loss)).check("p99") is loss
    assert Evaluation(3, (normal, check(found=10.0, drill="loss", kept=False))).check("p99").drill == "loss"
    assert Evaluation(3, (normal,)).check("recovery") is None


def test_drills_are_run_until_one_has_decided_and_the_likeliest_first():
    case = Scenario(name="x", duration=2, clients=[{"name": "c", "count": 4}], traffic=[{"name": "t", "rate": 9}],
                    servers={"profile": "zero"}, slo={"p99": "1ms"})  # fmt: skip
    drills = {"normal": case, "loss": case.replace(**{"clients.c.network.rtt": "50ms"}), "other": case}
    found = judge(1, (), drills, simulate, lambda one: one.kept is False, first="loss")
    assert list(found.results) == ["loss"] and found.broken == ("p99",) and found.replications == 1
    whole = judge(1, (check("cpu"),), drills, simulate, lambda one: False, first="loss")
    assert list(whole.results) == ["loss", "normal", "other"]
    assert [one.drill for one in whole.checks] == ["normal", "loss", "normal", "other"]
