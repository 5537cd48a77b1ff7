"""`teaching`: an answer is judged, never an error; a wrong name is."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_sim import teaching
from realtime_sim.errors import ScenarioError
from realtime_sim.teaching import checking
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


@pytest.mark.parametrize(
    ("exercise", "answer", "passed", "says"),
    [
        ("knee", 250, True, "50 % busy, and a message waits 2 ms on average"),
        ("knee", "260/s", False, "too long"),
        ("knee", 142, False, "A cv of 2 is that of decoding alone"),
        ("knee", 200, False, "room for more"),
        ("knee", 600, False, "120 % busy, and a message waits longer and longer"),
        ("transports", "100ms", True, "slowest message takes up to 150 ms: three transits"),
        ("transports", 0.3, False, "takes up to 450 ms. That would be so if an answer were always on its way"),
        ("transports", "50ms", False, "half a round trip"),
        ("transports", "200ms", False, "too long"),
        ("transports", "80ms", False, "further away"),
        ("transports", 100, False, "must be at most 5 s, and a number alone is seconds, got 100; write it like"),
        ("fanout", {"clients.train.overflow": {"policy": "drop_newest", "limit": "8kB"}}, True, "keeps it fresh"),
        ("fanout", {"clients.train.overflow": {"policy": "drop_newest", "limit": "1kB"}}, False, "no message fits"),
        ("fanout", {"clients.train.overflow": {"policy": "disconnect", "limit": "8kB"}}, False, "cut off 16 times"),
        ("fanout", {"clients.train.overflow": "unbounded"}, False, "ever further behind"),
        ("fanout", {"clients.train.network.bandwidth": "1 Mbit/s"}, False, "Train and traffic are as they are"),
    ],
)
def test_a_hint_is_that_of_the_mistake(exercise, answer, passed, says):
    verdict = teaching.check(exercise, answer)
    assert verdict.passed is passed and says in verdict.text


@pytest.mark.parametrize(
    ("exercise", "answer", "says"),
    [
        ("hops", {"traffic": []}, "messages are to come from clients still"),
        ("hops", {"self": 1}, "self is not a known field"),
        ("hops", {"traffic.messages.rate": "1e9/s"}, "simulated within 60 s"),
        ("hops", {"rooms.group.count": 10_000_000}, "simulated within 60 s"),
        ("hops", {"clients.phones.count": 100_000_000}, "simulated within 60 s"),
        ("transports", 1e-320, "further away"),
        ("proof", {"servers": 31, "binds": np.array(["cpu", "memory"])}, "a limit that is one of"),
    ],
)
def test_an_answer_out_of_all_proportion_is_judged_as_well(exercise, answer, says):
    verdict = teaching.check(exercise, answer)
    assert not verdict.passed and says in verdict.text


def test_a_run_that_would_never_end_is_given_up(monkeypatch):
    """Every connection ends after a microsecond and is made anew."""
    monkeypatch.setattr(checking, "PATIENCE_S", 0.5)
    verdict = teaching.check(
        "stickiness",
        {
            "balancer.affinity": "none",
            "clients.users.polling_handshake": False,
            "servers.connection_age": {"low": "1us", "high": "1us"},
        },
    )
    assert not verdict.passed and "must be a system that is simulated within 0 s" in verdict.text


@pytest.mark.parametrize(
    "change",
    [{"clients.users.ramp_up": "6min"}, {"clients.users.session": {"mean": "1min"}}],
    ids=["come late", "leave early"],
)
def test_users_that_move_by_themselves_do_not_solve_the_exercise_of_stickiness(change):
    """With these the fourth server would fill without anybody being sent away."""
    answer = {"balancer.affinity": "none", "clients.users.polling_handshake": False} | change
    verdict = teaching.check("stickiness", answer)
    assert not verdict.passed and "when they come and go" in verdict.text


def test_far_more_than_a_loop_can_do_is_told_in_few_digits():
    assert "gets 2e+96 times what it can do" in teaching.check("knee", 1e99).text
