"""How long a slider takes to show in its figure: `make widgets`, or `python -m benchmarks.widgets`.

Sliders of a widget are moved to other values, one after the other, in turns over its fields; the time is that from when
the new value is set until the new picture and the table are in the widget: the simulation, its figures, drawing and
encoding. What is not in it is the way from the browser and back, and the browser's own drawing. What moves is the
default explorer, 100,000 connections; each move sets one field to a value up to three steps from where it began.
Compiling is done before, by the first figure, and does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from rich.console import Console
from rich.table import Table

from realtime_sim import widgets
from realtime_sim.widgets import Study
from realtime_sim.widgets.explorer import LIVE_UPDATES

BARS_MS = {"p50": 200.0, "p95": 500.0}
"""What a move in the default explorer may take."""

STEPS = (1, -1, 2, -2, 3, -3)
"""How far from where it began a slider is moved, and in which order."""


def moves(study: Study, n: int) -> list[tuple[str, float, float]]:
    """Field, wall time and CPU time in seconds of each of `n` moves."""
    found = []
    sliders = {path: control for path, control in study.controls.items() if len(getattr(control, "options", ())) > 6}
    begun = {path: control.value for path, control in sliders.items()}
    for i in range(n):
        path = list(sliders)[i % len(sliders)]
        value = begun[path] + STEPS[i // len(sliders) % len(STEPS)]
        before = study.results
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        sliders[path].value = value
        found.append((path, time.perf_counter() - wall_s, time.process_time() - cpu_s))
        if study.error or study.results is before:
            raise RuntimeError(f"{path}: {study.error or 'nothing new was shown'}")
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.widgets", description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=240, help="how often a slider is moved")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    begun_s = time.perf_counter()
    study = widgets.explore()
    first_s = time.perf_counter() - begun_s
    moves(study, 12)  # what is loaded at the second figure and later; these leave sliders elsewhere than the next begin
    load = os.getloadavg()[0]
    found = moves(study, asked.moves)
    table = Table("field", "moves", "p50, ms", "p95, ms", "CPU, ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for path in dict.fromkeys(path for path, _, _ in found):
        table.add_row(path, *_figures([row for row in found if row[0] == path]))
    table.add_section()
    table.add_row("all", *_figures(found))
    console.print(table)
    walls = [wall_s for _, wall_s, _ in found]
    for name, share in (("p50", 50), ("p95", 95)):
        value = _percentile_ms(walls, share)
        met = "met" if value <= BARS_MS[name] else "MISSED"
        console.print(f"{name} {value:.0f} ms, at most {BARS_MS[name]:.0f} ms: {met}")
    clients = f"{LIVE_UPDATES.n_clients:,} connections"
    console.print(f"{clients}; first figure after {first_s:.1f} s; load average {load:.1f} on {os.cpu_count()} cores")


def _figures(rows: list[tuple[str, float, float]]) -> list[str]:
    walls = [wall_s for _, wall_s, _ in rows]
    cpu_ms = statistics.median(cpu_s for _, _, cpu_s in rows) * 1e3
    return [f"{len(rows):,}", *(f"{_percentile_ms(walls, share):.0f}" for share in (50, 95)), f"{cpu_ms:.0f}"]


def _percentile_ms(seconds: list[float], share: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[share - 1] * 1e3


if __name__ == "__main__":
    main()
