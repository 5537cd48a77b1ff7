"""Runs behind a widget: one at a time, the newest question wins, and nobody waits for an outdated answer.

Where an event loop runs, as in a notebook, a run has a thread of its own: the loop goes on hearing sliders and the
button Cancel. Where none does, as in a script, a run is over when `Newest.ask` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Cancelled", "Newest"]

PATIENCE_S = 0.3
"""A run that takes longer shows its progress, and is given up as soon as there is a newer question; a shorter one is
let finish, so that a figure moves while a slider is dragged."""

LOOKS_PER_S = 10


class Cancelled(Exception):
    """A run was given up: somebody pressed Cancel, asked anew, or closed the widget."""


class _Run:
    """One run, from its question to its outcome."""

    def __init__(self, question: Any) -> None:
        self.question = question
        self.begun_s = time.monotonic()
        self.share = 0.0
        self.cancelled = self.outdated = self.taken = False
        self.answer: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def report(self, share: float) -> None:
        """What the work calls now and then; here it is given up."""
        self.share = share
        if self.cancelled or (self.outdated and self.age_s > PATIENCE_S):
            raise Cancelled

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.begun_s

    def work(self, do: Callable[[Any, Callable[[float], None]], Any]) -> None:
        try:
            self.answer = do(self.question, self.report)
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Newest:
    """Answers to the newest of many questions.

    Parameters
    ----------
    work : callable
        ``work(question, progress) -> answer``; `progress` is to be called now and then with the share done, 0 to 1, and
        raises `Cancelled` where the answer is not wanted any more.
    answered : callable
        ``answered(question, answer, error)``, one of the last two being None; called where `ask` was.
    told : callable
        ``told(share)`` some times a second for a run that takes long, and ``told(None)`` when nothing runs any more.

    Examples
    --------
    >>> squares = Newest(lambda question, progress: question**2, lambda *found: print(found), lambda share: None)
    >>> squares.ask(3)
    (3, 9, None)
    """

    def __init__(
        self,
        work: Callable[[Any, Callable[[float], None]], Any],
        answered: Callable[[Any, Any, BaseException | None], None],
        told: Callable[[float | None], None],
    ) -> None:
        self._work, self._answered, self._told = work, answered, told
        self._run: _Run | None = None
        self._waiting: list[Any] = []
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether a run is under way, or a question waits for one."""
        return self._run is not None or bool(self._waiting)

    def ask(self, question: Any, wait_s: float = 0.0) -> None:
        """Answer a question, unless a newer one comes before its run begins.

        Parameters
        ----------
        question : object
            What `work` gets.
        wait_s : float
            So long this call waits for the answer where an event loop runs, seconds.
        """
        if self._closed:
            return
        self._waiting = [question]
        if self._run is not None:
            self._run.outdated = True
            return
        loop = _running_loop()
        if loop is None:
            self._here()
        else:
            self._beside(loop, wait_s)

    def cancel(self) -> None:
        """Give up the run that is under way, and the question that waits."""
        self._waiting = []
        if self._run is not None:
            self._run.cancelled = True

    def close(self) -> None:
        """Give up all runs for good; nobody is told of anything any more."""
        self.cancel()
        self._closed = True

    def _here(self) -> None:
        """Run until no question waits; one may be asked by who hears an answer."""
        while self._waiting:
            run = self._run = _Run(self._waiting.pop())
            run.work(self._work)
            self._take(run)

    def _beside(self, loop: asyncio.AbstractEventLoop, wait_s: float = 0.0) -> None:
        """Run in a thread, and take the answer in the loop."""
        run = self._run = _Run(self._waiting.pop())

        def work() -> None:
            run.work(self._work)
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody is there to hear
                loop.call_soon_threadsafe(self._take, run, loop)

        # Who ends the interpreter does not wait for a run.
        threading.Thread(target=work, name="realtime-sim-widget", daemon=True).start()
        if run.ended.wait(wait_s):
            self._take(run, loop)
        else:
            loop.call_later(max(0.0, PATIENCE_S - wait_s), self._look, run, loop)

    def _look(self, run: _Run, loop: asyncio.AbstractEventLoop) -> None:
        if run.taken or self._closed:
            return
        self._told(run.share)
        loop.call_later(1 / LOOKS_PER_S, self._look, run, loop)

    def _take(self, run: _Run, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Take the outcome of a run once, and begin the next."""
        if run.taken:
            return
        run.taken, self._run = True, None
        if self._closed:
            return
        try:
            if not run.cancelled and not isinstance(run.error, Cancelled):  # it may have ended before it heard of it
                self._answered(run.question, run.answer, run.error)
        finally:  # the next one after its answer: it must not stand over a newer one
            if loop is not None and self._waiting:
                self._beside(loop)
            elif loop is not None and self._run is None:
                self._told(None)
