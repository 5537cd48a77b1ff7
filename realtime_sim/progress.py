"""Progress of a long run: a bar on a terminal or in a notebook, from two seconds on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["PROGRESS_AFTER_S", "progress_bar"]

PROGRESS_AFTER_S = 2.0
"""Work that takes less shows no bar."""


@contextmanager
def progress_bar(title: str, simulated_s: float, silent: bool = False) -> Iterator[Callable[[float], None]]:
    """A function to report the share done to, from 0 to 1; nothing shows where nobody watches.

    Parameters
    ----------
    title : str
        What is being done.
    simulated_s : float
        Simulated seconds of the whole work, all replications together; 0 where that is not known.
    silent : bool
        Long times may pass without a report, as when other processes do the work: the bar is shown in any case.

    Examples
    --------
    >>> with progress_bar("Simulating chat", simulated_s=60) as report:
    ...     report(0.5)
    """
    begun, shown, done, lock = time.monotonic(), None, 0.0, threading.Lock()

    def report(share: float) -> None:
        nonlocal shown, done
        with lock:
            done = share
            elapsed_s = time.monotonic() - begun
            if elapsed_s < PROGRESS_AFTER_S:
                return
            if shown is None:
                shown = _bar(title)  # what it needs is imported only for work that takes long
            done_s = share * simulated_s
            speed = f"{done_s:,.1f} of {simulated_s:,.0f} s simulated, {done_s / elapsed_s:,.3g} s/s"
            text = speed if simulated_s else ""
            shown.update(shown.task_ids[0], completed=share, simulated=text)

    waiting = threading.Timer(PROGRESS_AFTER_S, lambda: report(done))
    waiting.daemon = True
    if silent:
        waiting.start()
    try:
        yield report
    finally:
        if silent:
            waiting.cancel()
            waiting.join()
        if shown is not None:
            shown.stop()


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
