"""Progress of a long run: a bar on a terminal or in a notebook, from two seconds on, and lines in a log."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["LINE_EVERY_S", "PROGRESS_AFTER_S", "progress_bar"]

PROGRESS_AFTER_S = 2.0
"""Work that takes less shows no bar."""

LINE_EVERY_S = 30.0
"""How often work says how far it is where standard error is no terminal, such as the log of a job; of less, nothing."""


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
        if not shown.disable:
            text = _pace(done * simulated_s, simulated_s, elapsed_s, wall_clock)
            shown.update(shown.task_ids[0], completed=done, simulated=text)
        elif elapsed_s - told_s >= LINE_EVERY_S:
            told_s = elapsed_s
            print(f"{title}: {done * 100:.0f} % done after {elapsed_s:,.0f} s", file=sys.stderr, flush=True)

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
    speed = "" if wall_clock else f" simulated, {done_s / elapsed_s:,.3g} s/s"
    return f"{done_s:,.1f} of {simulated_s:,.0f} s{speed}"


def _bar(title: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
               TextColumn("{task.fields[simulated]}"), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn())  # fmt: skip
    watched = console.is_terminal or console.is_jupyter
    bar = Progress(*columns, console=console, transient=True, disable=not watched)
    bar.add_task(title, total=1.0, simulated="")
    bar.start()
    return bar
