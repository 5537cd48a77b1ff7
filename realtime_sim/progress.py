"""Progress of a long run: a bar on a terminal or in a notebook, from two seconds on, and lines in a log."""

from __future__ import annotations

import html
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LINE_EVERY_S", "PROGRESS_AFTER_S", "progress_bar"]

PROGRESS_AFTER_S = 2.0
"""Work that takes less shows no bar."""

LINE_EVERY_S = 30.0
"""How often work says how far it is where standard error is no terminal, such as the log of a job; of less, nothing."""

COMPILED = "; an engine that is new here is compiled first"
"""Why nothing may have been simulated for a while."""

CELL_EVERY_S = 0.1
"""How often a bar below a cell of a notebook moves at most."""


@contextmanager
def progress_bar(
    title: str, simulated_s: float, silent: bool = False, wall_clock: bool = False
) -> Iterator[Callable[[float], None]]:
    """A function to report the share done to, from 0 to 1: a bar where somebody watches, elsewhere a line now and then.

    Parameters
    ----------
    title : str
        What is being done.
    simulated_s : float
        Seconds of the whole work, all replications together; 0 where that is not known.
    silent : bool
        Long times may pass without a report, as when other processes do the work: progress is shown in any case.
    wall_clock : bool
        The seconds are real ones, which pass as fast as they do: no speed is shown.

    Examples
    --------
    >>> with progress_bar("Simulating chat", simulated_s=60) as report:
    ...     report(0.5)
    """
    begun, told_s, shown, done, lock = time.monotonic(), 0.0, None, 0.0, threading.Lock()

    def show() -> None:
        nonlocal shown, told_s
        elapsed_s = time.monotonic() - begun
        if elapsed_s < PROGRESS_AFTER_S:
            return
        if shown is None:
            shown = _bar(title)  # what it needs is imported only for work that takes long
        if shown.watched:
            shown.tell(done, _pace(done * simulated_s, simulated_s, elapsed_s, wall_clock), elapsed_s)
        elif elapsed_s - told_s >= LINE_EVERY_S:
            told_s = elapsed_s
            ready = "" if done else _pace(0.0, simulated_s, elapsed_s, wall_clock)
            text = f"{title}: {done * 100:.0f} % done after {elapsed_s:,.0f} s" + (f" ({ready})" if ready else "")
            print(text, file=sys.stderr, flush=True)

    def report(share: float) -> None:
        nonlocal done
        with lock:
            done = share
            show()

    def keep_showing() -> None:
        for wait_s in itertools.chain([PROGRESS_AFTER_S], itertools.repeat(LINE_EVERY_S)):
            if ended.wait(wait_s):
                return
            with lock:
                show()

    ended, keeper = threading.Event(), threading.Thread(target=keep_showing, daemon=True)
    if silent:
        keeper.start()
    try:
        yield report
    finally:
        ended.set()
        if silent:
            keeper.join()
        if shown is not None:
            shown.stop()


def _pace(done_s: float, simulated_s: float, elapsed_s: float, wall_clock: bool) -> str:
    """How much of the time is done, and how fast; real seconds pass as fast as they do, and have no speed."""
    if not simulated_s:
        return ""
    if wall_clock and not done_s:
        return "starting"
    speed = "" if wall_clock else f" simulated, {done_s / elapsed_s:,.3g} s/s" if done_s else f" simulated{COMPILED}"
    return f"{done_s:,.1f} of {simulated_s:,.0f} s{speed}"


def _bar(title: str) -> _TerminalBar | _CellBar:
    from rich.console import Console

    console = Console(stderr=True)
    return _CellBar(title) if console.is_jupyter else _TerminalBar(title, console)


class _TerminalBar:
    """A line that is drawn anew, and is gone in the end; nobody watches where there is no terminal."""

    def __init__(self, title: str, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                   TextColumn("{task.fields[simulated]}"), TimeElapsedColumn(), TextColumn("left"),
                   TimeRemainingColumn())  # fmt: skip
        self.watched = console.is_terminal
        self._bar = Progress(*columns, console=console, transient=True, disable=not self.watched)
        self._task = self._bar.add_task(title, total=1.0, simulated="")
        self._bar.start()

    def tell(self, done: float, pace: str, elapsed_s: float) -> None:
        self._bar.update(self._task, completed=done, simulated=pace)

    def stop(self) -> None:
        self._bar.stop()


class _CellBar:
    """A bar below a cell of a notebook, which leaves nothing in the file: a widget would leave what none can show."""

    watched = True

    def __init__(self, title: str) -> None:
        from IPython.display import display

        self._title, self._told_s = title, 0.0
        self._place = display(_content(title, 0.0), raw=True, display_id=True)

    def tell(self, done: float, pace: str, elapsed_s: float) -> None:
        if elapsed_s - self._told_s >= CELL_EVERY_S:
            self._told_s = elapsed_s
            left = f", {elapsed_s * (1 - done) / done:,.0f} s left" if done else ""
            self._place.update(_content(f"{self._title}: {done * 100:.0f} % {pace}{left}", done), raw=True)

    def stop(self) -> None:
        self._place.update({"text/plain": ""}, raw=True)


def _content(text: str, done: float) -> dict[str, str]:
    bar = f'<progress value="{done:.3f}" max="1" aria-label="{html.escape(text)}"></progress>'
    return {"text/html": f"{bar} {html.escape(text)}", "text/plain": text}
