"""The tables of a plan keep apart what is kept, what is broken, what is not shown, and what was a first look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime_sim.limits import server_limits
from realtime_sim.planning import Check, Evaluation, Plan
from realtime_sim.planning.tables import constraint_cells, looked_at_cells
from realtime_sim.report.plan_choices import what_if
from realtime_sim.report.plan_words import verdict_mark
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

CASE = Scenario(name="chat", duration=2, clients=[{"name": "c", "count": 4}], traffic=[{"name": "t", "rate": 9}],
                servers={"profile": "zero"}, slo={"p99": "150ms"})  # fmt: skip
RUN = {"normal": simulate(CASE, engine="reference")}


def p99(found: float, low: float, high: float) -> tuple[Check, ...]:
    sure = high <= 150 or low > 150
    return (Check("p99", "normal", 150, found, low, high, "ms", high <= 150, sure),)


def look(n: int, found: float) -> Evaluation:
    return Evaluation(n, p99(found, found - 20, found + 20), RUN, 1, first_look=True)


BELOW = Evaluation(33, p99(145, 138, 152), RUN, 12)
ANSWER = Evaluation(34, p99(142, 139, 145), RUN, 3)


@pytest.fixture
def undecided() -> Plan:
    """34 keep the promise and 33 are not shown to; first looks on the way there had wide intervals."""
    evaluations = (look(20, 190), BELOW, ANSWER, look(35, 151), look(39, 140))
    limits = server_limits(CASE.replace(**{"servers.count": 34}), 0.7)
    return Plan(CASE, 34, False, evaluations, limits, own={"p99": 33}, replications=3)


def test_first_looks_stand_apart_from_what_is_judged(undecided):
    assert looked_at_cells(undecided) == [
        (
            "numbers that were judged",
            [
                ["servers", "verdict", "which", "by"],
                ["33", "not shown to keep all", "p99", "12 replications of normal"],
                ["34", "kept", "", "3 replications of normal"],
            ],
        ),
        (
            "first looks of one run, which steer the search and decide nothing",
            [
                ["servers", "figures", "which", "by"],
                ["20", "miss the promise", "p99", "normal"],
                ["35", "miss the promise", "p99", "normal"],
                ["39", "meet all", "", "normal"],
            ],
        ),
    ]


def test_what_is_not_sure_either_way_says_so():
    broken, kept = (
        Evaluation(2, p99(155, 148, 162), RUN, 3),
        Evaluation(3, (replace(ANSWER.checks[0], sure=False),), RUN, 3),
    )
    limits = server_limits(CASE, 0.7)
    ((_, rows),) = looked_at_cells(Plan(CASE, 3, False, (broken, kept), limits, replications=3))
    assert [row[1] for row in rows[1:]] == ["broken, not for sure", "kept, not for sure"]


def test_a_first_look_beyond_the_answer_does_not_speak_against_it(undecided):
    (row,) = constraint_cells(undecided)[1:]
    assert row[:6] == ["p99", "normal", "150 ms", "142 ms", "145 ms", "= 34"]


def test_an_undecided_plan_says_so_in_its_headline(undecided):
    assert undecided.headline == "chat: 34 servers, not decided: p99 with 33 is not sure. What decides is p99."
    assert undecided.verdict == (
        "Not decided at 95 %: p99 with 33 is 145 ms [138 ms, 152 ms], promised 150 ms. More replications decide it."
    )
    plain = undecided.to_plain()["evaluations"]
    assert [one["verdict"] for one in plain] == [
        "broken",
        "not shown to keep all",
        "kept",
        "broken",
        "not shown to keep all",
    ]
    assert [one["first_look"] for one in plain] == [True, False, False, True, True]


def test_the_report_puts_an_open_mark_at_what_is_not_shown(undecided):
    mark = verdict_mark(BELOW.checks[0])
    assert (mark.kind, mark.text) == ("open", "not shown to keep it")
    assert verdict_mark(p99(160, 155, 165)[0]).kind == "bad" and verdict_mark(ANSWER.checks[0]).kind == "good"
    less = what_if(undecided).blocks[0].rows[0]
    assert less[3].kind == "open" and less[3].text == "not shown to keep p99 (usual load) 145 ms of 150 ms"
