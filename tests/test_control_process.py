"""What a user's process does wrong names the process and the time; what befalls its own processes is its to handle."""

from __future__ import annotations

import pytest

from realtime_sim import ScenarioError, simulate
from tests.conftest import small
from tests.controlled import controlled, faulty


@pytest.mark.parametrize(
    ("value", "write"), [(5, "5"), ("5s", "'5s'"), (None, "1"), ([], "1")], ids=["number", "text", "nothing", "list"]
)
def test_what_cannot_be_waited_for_is_one_clear_message(value, write):
    def chaos(env, cluster):
        yield env.timeout(3)
        yield value

    with pytest.raises(ScenarioError) as caught:
        controlled(faulty(), control=(nothing, chaos))
    assert str(caught.value) == (
        f"control[1] (chaos), at 3 s, must yield what can be waited for, got {value!r}; "
        f"write `yield env.timeout({write})`"
    )


def nothing(env, cluster):
    yield env.timeout(0)


def test_a_process_may_wait_for_others_of_its_own_and_handle_what_befalls_them():
    """An order that is cancelled, one that is refused, and a process that fails in its own way."""
    seen = []

    def part(env):
        yield env.timeout(1)
        raise ZeroDivisionError

    def chaos(env, cluster):
        order = cluster.add_server("5s")
        yield env.timeout(1)
        order.interrupt()
        seen.append((yield order))
        try:
            yield env.process(part(env))
        except ZeroDivisionError:
            seen.append(env.now)
        try:
            cluster.kill(99)
        except ScenarioError:
            seen.append("refused")

    controlled(faulty(), control=(chaos,))
    assert seen == [None, 2.0, "refused"]


def test_what_an_inner_process_is_refused_is_told_once():
    def inner(env):
        yield env.timeout("soon")

    def chaos(env, cluster):
        yield env.timeout(1)
        yield env.process(inner(env))

    with pytest.raises(ScenarioError) as caught:
        controlled(faulty(), control=(chaos,))
    assert str(caught.value).startswith(
        "control[0] (chaos), at 1 s: delay must be a duration such as '250ms' or 0.25, got"
    )


def nothing_again(env):
    return
    yield


def again_and_again(env):
    yield env.process(again_and_again(env))


@pytest.mark.parametrize(
    ("waits", "what"),
    [
        (lambda env: env.timeout(0), "a process has gone on"),
        (lambda env: env.all_of([]), "a process has gone on"),
        (lambda env: env.event().succeed(), "a process has gone on"),
        (lambda env: env.process(nothing_again(env)), "a process has gone on"),
        (lambda env: env.process(again_and_again(env)), "processes were started"),
    ],
    ids=["no time", "nothing", "an event of its own", "processes that end at once", "processes without end"],
)
def test_a_process_that_lets_no_time_pass_is_one_clear_message(waits, what):
    def chaos(env, cluster):
        yield env.timeout(1)
        while True:
            yield waits(env)

    with pytest.raises(ScenarioError) as caught:
        controlled(faulty(), control=(chaos,))
    assert f"control must let time pass ({what} 100_000 times without), got '1 s'; wait " in str(caught.value)


def nobody():
    yield


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (lambda env, cluster: None, "control must be a list of processes, got 'function'; "),
        ([nobody], "control[0] must take two arguments, the environment and the cluster, got '()'; "),
        ([lambda env, cluster: None], "control[0] must be a generator function, with at least one yield, got "),
    ],
)
def test_what_is_no_process_is_refused(control, message):
    with pytest.raises(ScenarioError) as caught:
        simulate(small(), control=control)
    assert str(caught.value).startswith(message)
