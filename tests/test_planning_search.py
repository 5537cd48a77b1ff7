"""The search finds the least number that keeps all, in few looks, and gives up where more servers do not help."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.planning.judging import Check, Evaluation
from realtime_sim.planning.search import hopeless, least_decided, least_met


def at(n: int, found: float, promised: float = 100.0, constraint: str = "p99", sure: bool = True) -> Evaluation:
    """One promise at one number of servers: at most so much, and of `headroom` at least."""
    kept = found >= promised if constraint == "headroom" else found <= promised
    return Evaluation(n, (Check(constraint, "normal", promised, found, found, found, "ms", kept, sure),))


def counted(latency):
    """A look by a function from servers to latency, and the numbers that it was asked for."""
    asked: list[int] = []

    def look(n: int) -> Evaluation:
        asked.append(n)
        return at(n, latency(n))

    return look, asked


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_the_least_number_is_found_wherever_the_search_begins(needed, lowest, guess):
    guess = max(lowest, guess)
    look, asked = counted(lambda n: 0.0 if n >= needed else 1e10 / n**3)
    answer = least_met(look, lowest, guess, at_most=1_000)
    assert answer == max(needed, lowest)
    assert len(asked) == len(set(asked)) <= 2 + 2 * math.log2(2 + abs(guess - answer))


def test_a_recovery_is_given_up_where_two_doublings_gain_nothing_and_not_before():
    """A storm that feeds itself lasts as long with twice the servers, and with twice as many again it is over."""
    stuck = {n: at(n, 140.0, constraint="recovery") for n in (3, 6, 12)}
    assert hopeless({n: stuck[n] for n in (6, 12)}) is None and hopeless(stuck).found == 140
    assert hopeless(stuck | {6: at(6, 150.0, constraint="recovery")}) is None
    never = {n: at(n, math.inf, constraint="recovery") for n in (1, 2, 4, 8)}
    assert hopeless(never) is None
    assert least_met(lambda n: at(n, 6.0 if n >= 37 else math.inf, 10.0, "recovery"), 1, 1, at_most=1_000) == 37


def test_a_good_guess_takes_two_looks():
    look, asked = counted(lambda n: 2000 / n)
    assert least_met(look, lowest=2, guess=20, at_most=1_000) == 20 and asked == [20, 19]


def test_a_guess_that_arithmetic_bounds_takes_one():
    look, asked = counted(lambda n: 1.0)
    assert least_met(look, lowest=7, guess=7, at_most=1_000) == 7 and asked == [7]


@pytest.mark.parametrize(
    ("few", "many", "given_up"),
    [
        (300, 200, False),  # another 100 ms, and the promise is met
        (300, 201, True),
        (120, 120, True),
        (120, 130, True),  # more servers, and it is slower
        (math.inf, 150, False),
        (math.inf, math.inf, True),
    ],
)
def test_the_search_ends_where_as_much_again_as_a_doubling_gained_would_not_do(few, many, given_up):
    assert (hopeless({5: at(5, few), 10: at(10, many)}) is not None) == given_up


def test_less_than_a_doubling_proves_nothing():
    assert hopeless({5: at(5, 120.0), 9: at(9, 120.0)}) is None


def test_what_is_not_sure_proves_nothing():
    assert hopeless({5: at(5, 120.0), 10: at(10, 120.0, sure=False)}) is None


def test_of_headroom_more_is_better():
    few, many = (at(n, free, 0.5, "headroom") for n, free in ((5, 0.1), (10, 0.3)))
    assert hopeless({5: few, 10: many}) is None  # 0.3 and 0.2 more would do
    assert hopeless({5: few, 10: at(10, 0.2, 0.5, "headroom")}).found == 0.2


def test_where_no_number_keeps_the_promise_few_are_looked_at():
    look, asked = counted(lambda n: 150 + 10 / n)
    assert least_met(look, lowest=1, guess=1, at_most=1_000) is None
    assert asked == [1, 2]


def test_where_fewer_servers_are_better_than_the_guess_the_lowest_is_looked_at_too():
    """A broker that copies to every server has more to do for more of them."""
    look, asked = counted(lambda n: 20.0 * n)
    assert least_met(look, lowest=2, guess=8, at_most=1_000) == 2 and 2 in asked


def test_the_most_that_may_be_taken_is_looked_at_and_no_more():
    look, asked = counted(lambda n: 1e6 / n)
    assert least_met(look, lowest=1, guess=3, at_most=50) is None and max(asked) == 50


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_all_replications_correct_a_short_look_either_way(needed, lowest, start):
    start = max(start, lowest)
    answer = least_decided(lambda n: at(n, 0.0 if n >= needed else 200.0), start, lowest, at_most=60)
    assert answer == max(needed, lowest)


def test_all_replications_may_find_that_no_number_is_enough():
    assert least_decided(lambda n: at(n, 200.0), 3, lowest=1, at_most=5) is None
