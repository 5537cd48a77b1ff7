"""`teaching`: an answer is judged, never an error; a wrong name is."""

from __future__ import annotations

import pytest

from realtime_sim import teaching
from realtime_sim.errors import ScenarioError
from realtime_sim.teaching.checking import changed


@pytest.mark.parametrize("blank", [..., None])
@pytest.mark.parametrize("name", teaching.EXERCISES)
def test_a_blank_is_no_answer(name, blank):
    verdict = teaching.check(name, blank)
    assert not verdict.passed and repr(verdict).startswith("Not yet. There is no answer: ")


@pytest.mark.parametrize("answer", ["many", 1.5, -1, {}, [], {"servers.count": "x"}, {"nonsense": 1}, {1: 2}, object()])
@pytest.mark.parametrize("name", teaching.EXERCISES)
def test_whatever_is_answered_is_judged(name, answer):
    verdict = teaching.check(name, answer)
    assert not verdict.passed and verdict.text


def test_an_unknown_exercise_is_an_error_that_offers_a_known_one():
    for ask in (teaching.scenario, lambda name: teaching.check(name, ...)):
        with pytest.raises(ScenarioError, match="exercise must be that of a notebook, got 'hop'; did you mean 'hops'"):
            ask("hop")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"servers.count": 8, "seed": 2},
            'answer must be a dict with one change, got {.*}; write it like {"servers.co',
        ),
        ({}, "answer must be a dict with one change, got {}"),
        (8, "answer must be a dict with one change, got 8"),
        ({"servers.cout": 8}, r"servers\.cout .* did you mean 'count'"),
    ],
)
def test_changes_are_checked(answer, message):
    with pytest.raises(ScenarioError, match=message):
        changed("hops", answer, fields=1)
