"""Plots: the pictures of a run. Every function takes Results and returns Matplotlib axes or a figure.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines differ in style as well.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from realtime_sim.buckets import bucket_bounds_ns
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import write_whole
from realtime_sim.results import Results
from realtime_sim.trace import HOPS

__all__ = ["connections_per_server", "hop_waterfall", "latency_cdf", "reconnect_rate", "save", "summary_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MAX_LINES = 12


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _tidy(ax: Axes, title: str, x: str, y: str) -> Axes:
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def _nothing(ax: Axes) -> None:
    ax.text(0.5, 0.5, "nothing was delivered", ha="center", va="center", transform=ax.transAxes)


def latency_cdf(results: Results | Mapping[str, Results], ax: Axes | None = None, cohort: str | None = None) -> Axes:
    """Share of deliveries within a latency, on a logarithmic axis; p50 and p99 are marked.

    Parameters
    ----------
    results : Results or mapping of str to Results
        One run, or several by label.
    ax : Axes, optional
        Where to draw; a new figure if left out.
    cohort : str, optional
        Only this cohort's deliveries.

    Returns
    -------
    Axes
        Latency in milliseconds against per cent.
    """
    ax = _axes(ax)
    runs = results if isinstance(results, Mapping) else {results.scenario.name: results}
    drawn = False
    for i, (label, run) in enumerate(runs.items()):
        names = [part.name for part in run.scenario.clients]
        rows = range(len(names)) if cohort is None else [names.index(cohort)]
        counts = run.trace.histogram[list(rows), -1].sum(axis=0)
        if not counts.sum():
            continue
        drawn = True
        low, high = bucket_bounds_ns()
        held = np.flatnonzero(counts)
        x_ms = np.maximum((low[held] + high[held]) / 2e6, 1e-6)
        share = np.cumsum(counts[held]) / counts.sum() * 100
        colour = COLOURS[i % len(COLOURS)]
        ax.step(x_ms, share, where="post", color=colour, linestyle=STYLES[i % 4], label=label)
        figures = run.latency_s(cohort)
        for name, level in (("p50", 50), ("p99", 99)):
            ax.plot(figures[name].value * 1e3, level, "o", color=colour, markersize=5)
            if len(runs) == 1:
                text = f"{name} {figures[name].value * 1e3:,.3g} ms"
                ax.annotate(text, (figures[name].value * 1e3, level), xytext=(7, -13), textcoords="offset points")
    if not drawn:
        _nothing(ax)
    else:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    ax.set_ylim(0, 101)
    ax.margins(x=0.12)
    if len(runs) > 1:
        ax.legend(frameon=False, loc="upper left")
    return _tidy(ax, "Delivery latency", "latency, ms (logarithmic)", "deliveries within, %")


def hop_waterfall(results: Results, ax: Axes | None = None) -> Axes:
    """Mean latency hop by hop, from the publisher at the top to the client; the last bar is the whole."""
    ax = _axes(ax)
    hops = results.hops
    if not np.isfinite(hops.loc["total", "mean_s"]):
        _nothing(ax)
        return _tidy(ax, "Mean latency, hop by hop", "ms", "")
    means = hops.loc[list(HOPS), "mean_s"].to_numpy() * 1e3
    starts = np.concatenate([[0], np.cumsum(means)[:-1]])
    labels = [hop.replace("_", " ") for hop in HOPS] + ["total"]
    total = hops.loc["total"]
    ax.barh(range(len(means)), means, left=starts, color=COLOURS[0])
    error = (
        None
        if np.isnan(total["low_s"])
        else [[(total["mean_s"] - total["low_s"]) * 1e3], [(total["high_s"] - total["mean_s"]) * 1e3]]
    )
    ax.barh(len(means), total["mean_s"] * 1e3, color=COLOURS[4], xerr=error, capsize=3)
    for row, (start, mean) in enumerate([*zip(starts, means, strict=True), (0, total["mean_s"] * 1e3)]):
        ax.annotate(
            f"{mean:,.3g}", (start + mean, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
        )
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.margins(x=0.14)
    return _tidy(ax, "Mean latency, hop by hop", "ms since the intended publish time", "")


def _mark_faults(results: Results, ax: Axes) -> None:
    for fault in results.scenario.faults:
        ax.axvline(fault.at, color="#777777", linestyle=":", linewidth=1)
        ax.annotate(
            fault.kind.replace("_", " "),
            (fault.at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
            color="#555555",
        )


def connections_per_server(results: Results, ax: Axes | None = None) -> Axes:
    """Open connections of each server over time; above a dozen servers their range and median."""
    ax = _axes(ax)
    series = results.server_series()
    if series.shape[1] <= MAX_LINES:
        for server in series:
            style = {"color": COLOURS[server % len(COLOURS)], "linestyle": STYLES[server % 4]}
            ax.plot(series.index, series[server], label=f"server {server}", **style)
        ax.legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    else:
        ax.fill_between(
            series.index, series.min(axis=1), series.max(axis=1), color=COLOURS[5], alpha=0.5, label="range"
        )
        ax.plot(series.index, series.median(axis=1), color=COLOURS[0], label="median")
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.set_ylim(0, ax.get_ylim()[1] * 1.1)
    _mark_faults(results, ax)
    return _tidy(ax, "Connections per server", "simulated time, s", "open connections")


def reconnect_rate(results: Results, ax: Axes | None = None) -> Axes:
    """Attempts, reconnects, and attempts turned away, per second over time."""
    ax = _axes(ax)
    series = results.timeseries
    lines = {
        "attempts": series["attempts_per_s"],
        "reconnects": series["reconnects_per_s"],
        "refused or timed out": series["refused_per_s"] + series["timeouts_per_s"],
    }
    for i, (label, values) in enumerate(lines.items()):
        ax.plot(values.index, values, color=COLOURS[i], linestyle=STYLES[i], label=label)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.1)
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    _mark_faults(results, ax)
    return _tidy(ax, "Connection attempts", "simulated time, s", "per second")


def summary_figure(results: Results) -> Figure:
    """The four plots of a run on one page."""
    figure = Figure(figsize=(12, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    latency_cdf(results, axes[0, 0])
    hop_waterfall(results, axes[0, 1])
    connections_per_server(results, axes[1, 0])
    reconnect_rate(results, axes[1, 1])
    figure.suptitle(results.scenario.name, x=0.01, ha="left", fontsize=13)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF by the ending of the path; whole, or not at all.

    Raises
    ------
    ScenarioError
        If the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise ScenarioError(Problem("path", "must end in .png, .svg or .pdf", str(path), "choose one of them"))
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=130)
    write_whole(path, buffer.getvalue())
