"""Runs behind a widget: the newest question is answered, an outdated answer never stands over a newer one."""

from __future__ import annotations

import asyncio
import threading

import pytest

from realtime_sim.widgets import running
from realtime_sim.widgets.running import Cancelled, Newest

LONGEST_S = 30.0
"""What any of these tests may wait for."""


class Gate:
    """Work that begins when it is asked to, and ends when it is let."""

    def __init__(self) -> None:
        self.begun: list[object] = []
        self.started, self.open = threading.Event(), threading.Event()
        self.given_up: list[object] = []

    def work(self, question: object, progress) -> object:
        self.begun.append(question)
        self.started.set()
        while not self.open.wait(0.005):
            try:
                progress(0.5)
            except Cancelled:
                self.given_up.append(question)
                raise
        return question


async def until(true) -> None:
    async with asyncio.timeout(LONGEST_S):
        while not true():
            await asyncio.sleep(0.005)


def test_without_an_event_loop_the_answer_is_there_at_once():
    found = []
    Newest(lambda question, progress: question * 2, lambda *outcome: found.append(outcome), lambda share: None).ask(21)
    assert found == [(21, 42, None)]


def test_an_error_is_handed_on_with_its_question():
    found = []

    def work(question, progress):
        raise ValueError("wrong")

    Newest(work, lambda *outcome: found.append(outcome), lambda share: None).ask(1)
    ((question, answer, error),) = found
    assert (question, answer, str(error)) == (1, None, "wrong")


def test_while_a_run_is_under_way_only_the_newest_question_is_kept():
    async def test():
        gate, found = Gate(), []
        runs = Newest(gate.work, lambda *outcome: found.append(outcome), lambda share: None)
        runs.ask(1)
        await until(gate.started.is_set)
        for question in (2, 3, 4):
            runs.ask(question)
        gate.open.set()
        await until(lambda: not runs.running)
        return gate.begun, [question for question, _, _ in found]

    begun, answered = asyncio.run(test())
    assert begun == [1, 4]
    assert answered in ([4], [1, 4])  # the first is shown if it took no longer than patience lasts


def test_a_run_that_takes_long_is_given_up_for_a_newer_question(monkeypatch):
    monkeypatch.setattr(running, "PATIENCE_S", 0.0)

    async def test():
        gate, found = Gate(), []
        runs = Newest(gate.work, lambda *outcome: found.append(outcome), lambda share: None)
        runs.ask(1)
        await until(gate.started.is_set)
        runs.ask(2)
        await until(lambda: gate.begun == [1, 2])
        gate.open.set()
        await until(lambda: not runs.running)
        return gate.given_up, [question for question, _, _ in found]

    assert asyncio.run(test()) == ([1], [2])


def test_cancel_gives_up_the_run_and_what_waits(monkeypatch):
    monkeypatch.setattr(running, "PATIENCE_S", 1_000.0)

    async def test():
        gate, found, told = Gate(), [], []
        runs = Newest(gate.work, lambda *outcome: found.append(outcome), told.append)
        runs.ask(1)
        await until(gate.started.is_set)
        runs.ask(2)
        runs.cancel()
        await until(lambda: not runs.running)
        return gate.begun, gate.given_up, found, told

    assert asyncio.run(test()) == ([1], [1], [], [None])


def test_an_answer_that_comes_although_its_run_was_cancelled_is_not_shown():
    async def test():
        started, open_, found = threading.Event(), threading.Event(), []

        def deaf(question, progress):
            started.set()
            open_.wait(LONGEST_S)
            return question

        runs = Newest(deaf, lambda *outcome: found.append(outcome), lambda share: None)
        runs.ask(1)
        await until(started.is_set)
        runs.cancel()
        open_.set()
        await until(lambda: not runs.running)
        return found

    assert asyncio.run(test()) == []


def test_a_long_run_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr(running, "PATIENCE_S", 0.0)

    async def test():
        gate, told = Gate(), []
        runs = Newest(gate.work, lambda *outcome: None, told.append)
        runs.ask(1)
        await until(lambda: 0.5 in told)
        gate.open.set()
        await until(lambda: not runs.running)
        return told

    assert asyncio.run(test())[-1] is None


def test_nothing_runs_and_nobody_is_told_once_it_is_closed():
    async def test():
        gate, found = Gate(), []
        runs = Newest(gate.work, lambda *outcome: found.append(outcome), lambda share: None)
        runs.ask(1)
        await until(gate.started.is_set)
        runs.close()
        await until(lambda: not runs.running)
        runs.ask(2)
        return gate.begun, gate.given_up, found

    assert asyncio.run(test()) == ([1], [1], [])


def test_the_first_answer_may_be_waited_for():
    async def test():
        found = []
        runs = Newest(lambda question, progress: question, lambda *outcome: found.append(outcome), lambda share: None)
        runs.ask(1, wait_s=LONGEST_S)
        seen_at_once = list(found)
        await asyncio.sleep(0)
        return seen_at_once, found

    at_once, later = asyncio.run(test())
    assert at_once == later == [(1, 1, None)]


def test_the_loop_goes_on_while_a_run_is_under_way():
    async def test():
        gate = Gate()
        runs = Newest(gate.work, lambda *outcome: None, lambda share: None)
        runs.ask(1)
        beats = 0
        while not gate.started.is_set() or beats < 10:
            await asyncio.sleep(0.001)
            beats += 1
        under_way = runs.running
        gate.open.set()
        await until(lambda: not runs.running)
        return under_way

    assert asyncio.run(test())


@pytest.mark.parametrize("question", [0, None, ""])
def test_any_value_is_a_question(question):
    found = []
    Newest(lambda asked, progress: "done", lambda *outcome: found.append(outcome), lambda share: None).ask(question)
    assert found == [(question, "done", None)]
