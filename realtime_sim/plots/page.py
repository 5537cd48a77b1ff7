"""The plots of a run on one page, and how a figure gets into a file."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import write_whole
from realtime_sim.plots._style import as_written
from realtime_sim.plots.latency import hop_waterfall, latency_cdf
from realtime_sim.plots.over_time import connections_per_server, lag, reconnect_rate
from realtime_sim.results import Results

__all__ = ["save", "summary_figure"]


def summary_figure(results: Results) -> Figure:
    """The four plots of a run on one page, and that of its services where it has some."""
    rows = 3 if results.scenario.services else 2
    figure = Figure(figsize=(12, 3.8 * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, 2)
    axes = np.array([[figure.add_subplot(grid[row, column]) for column in range(2)] for row in range(2)])
    latency_cdf(results, axes[0, 0])
    hop_waterfall(results, axes[0, 1])
    connections_per_server(results, axes[1, 0])
    reconnect_rate(results, axes[1, 1])
    if results.scenario.services:
        lag(results, figure.add_subplot(grid[2, :]))
    total = results.deliveries.loc["total"]
    counts = f"{int(total['delivered']):,} of {int(total['expected']):,} deliveries arrived"
    figure.suptitle(f"{as_written(results.scenario.name)}: {counts}", x=0.01, ha="left", fontsize=13)
    return figure


def save(figure: Figure | Axes, path: str | Path) -> None:
    """Write a figure, or the figure of axes, as PNG, SVG or PDF by the ending of the path; whole, or not at all.

    Raises
    ------
    ScenarioError
        If the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise ScenarioError(Problem("path", "must end in .png, .svg or .pdf", str(path), "choose one of them"))
    while not isinstance(figure, Figure):
        figure = figure.figure
    buffer = io.BytesIO()
    no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with matplotlib.rc_context({"svg.hashsalt": "realtime-sim"}):  # the same figure gives the same file
        figure.savefig(buffer, format=kind, dpi=130, metadata=no_date)
    write_whole(path, buffer.getvalue())
