"""Latency: how it is spread, where it comes from, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from realtime_sim.buckets import bucket_bounds_ns
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.plots._style import (
    COLOURS,
    TICK_STEPS,
    as_written,
    axes_or_new,
    draw_legend,
    label_point,
    line_style,
    over_time,
    rows_from_top,
    say,
    tidy,
    time_text,
    time_ticks,
    title_of,
)
from realtime_sim.results import Results
from realtime_sim.trace import HOPS

__all__ = ["hop_waterfall", "latency_cdf", "latency_over_time"]

FAINTEST_SHARE = 0.1
"""Per cent of the deliveries left of the first tick of a CDF: a single fast one would squeeze all others together."""
_LOG_STEPS = ((0.3, ()), (0.8, (1, 1.5, 2, 3, 4, 6, 8)), (1.6, (1, 2, 5)), (3.2, (1, 3)), (math.inf, (1,)))
"""Ticks of a logarithmic axis, by the decades it spans; too short for them it has even steps."""
_LABEL_SHARE = 0.24
"""How much of the width of an axis the label of a point takes."""
_LEAST_MS = 1e-6
"""Where no time at all is drawn on a logarithmic axis: at a nanosecond."""


def latency_cdf(results: Results | Mapping[str, Results], ax: Axes | None = None, cohort: str | None = None) -> Axes:
    """Share of deliveries within a latency, on a logarithmic axis; p50 and p99 are marked.

    The axis begins where one delivery in a thousand has arrived, and reaches beyond the last. Of several replications
    the curve is that of the first, and the marks are their means.

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

    Raises
    ------
    ScenarioError
        If there is no run to draw, or no such cohort.
    """
    runs = _some(results) if isinstance(results, Mapping) else {results.scenario.name: results}
    figures = {label: run.latency_s(cohort) for label, run in runs.items()}
    ax = axes_or_new(ax)
    edges = []
    for i, (label, run) in enumerate(runs.items()):
        style = line_style(i)
        p50, p99 = (figures[label][name].value * 1e3 for name in ("p50", "p99"))
        x_ms, share = cumulative(run, cohort)
        if not len(x_ms):
            where = "" if np.isnan(p50) else " in the first replication"
            ax.plot([], [], label=f"{as_written(label)}: nothing was delivered{where}", **style)
            continue
        text = f"{as_written(label)}: p50 {time_text(p50)}, p99 {time_text(p99)}"
        ax.step(x_ms, share, where="post", label=text, **style)
        for x, level in ((p50, 50), (p99, 99)):
            ax.plot(x, level, "o", color=style["color"], markersize=5)
        first = min(x_ms[np.searchsorted(share, FAINTEST_SHARE)], p50)
        edges.append((first, p99, x_ms[-1]))
        if len(runs) == 1:
            _name_points(ax, {f"p50 {time_text(p50)}": (p50, 50), f"p99 {time_text(p99)}": (p99, 99)})
    title = "Delivery latency" if cohort is None else f"Delivery latency, {as_written(cohort)}"
    if not edges:
        return say(ax, title, "nothing was delivered")
    firsts, p99s, lasts = zip(*edges, strict=True)
    log_time_axis(ax, min(firsts), max(lasts), max(p99s) if len(runs) == 1 else None)
    ax.set_ylim(0, 102)
    if len(runs) > 1:
        draw_legend(ax)
    several = [run for run in runs.values() if run.n_replications > 1]
    return tidy(
        ax, title_of(several[0], title) if several else title, "latency, logarithmic scale", "deliveries within, %"
    )


def _some(runs: Mapping[str, Results]) -> Mapping[str, Results]:
    if not runs:
        step = "give Results, or a dict of them by label"
        raise ScenarioError(Problem("results", "must hold at least one run", dict(runs), step))
    return runs


def cumulative(run: Results, cohort: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Latencies in milliseconds and the per cent of deliveries up to each, from 0 on."""
    rows = [i for i, part in enumerate(run.scenario.clients) if cohort in (None, part.name)]
    counts = run.trace.histogram[rows, -1].sum(axis=0)
    low, high = bucket_bounds_ns()
    held = np.flatnonzero(counts)
    if not len(held):
        return np.zeros(0), np.zeros(0)
    x_ms = np.maximum((low[held] + high[held]) / 2e6, _LEAST_MS)
    share = np.cumsum(counts[held]) / counts.sum() * 100
    return np.concatenate([x_ms[:1], x_ms]), np.concatenate([[0.0], share])


def _name_points(ax: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Texts to the lower right of points: a curve that never falls leaves that side free."""
    for text, at in points.items():
        label_point(ax, text, at, (7, -4), va="top", zorder=3)


def log_time_axis(ax: Axes, first_ms: float, last_ms: float, named_ms: float | None) -> None:
    """A logarithmic axis with a handful of ticks that carry their unit, and room for a label right of one point."""
    low, high = (math.log10(max(ms, _LEAST_MS)) for ms in (first_ms, last_ms))
    low, high = low - 0.05, high + 0.05
    if named_ms is not None:
        at = math.log10(max(named_ms, _LEAST_MS))
        high = max(high, at + 0.1, low + (at - low) / (1 - _LABEL_SHARE))
    ax.set_xscale("log")
    ax.set_xlim(10**low, 10**high)
    _log_ticks(ax.xaxis, high - low)


def _log_ticks(axis: Axis, decades: float) -> None:
    steps = next(steps for limit, steps in _LOG_STEPS if decades < limit)
    axis.set_major_locator(LogLocator(subs=steps, numticks=9) if steps else MaxNLocator(5, steps=TICK_STEPS))
    axis.set_minor_locator(NullLocator())
    time_ticks(axis)


def latency_over_time(results: Results | Mapping[str, Results], ax: Axes | None = None) -> Axes:
    """p50 and p99 of the deliveries published in each slice of the measured time; of several runs p99 alone.

    A line ends where nothing that was published then has arrived.

    Parameters
    ----------
    results : Results or mapping of str to Results
        One run, or several by label; faults are marked as those of the first.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Simulated seconds against milliseconds, on a logarithmic axis.

    Raises
    ------
    ScenarioError
        If there is no run to draw.
    """
    if isinstance(results, Mapping):
        lines = {f"{as_written(label)}: p99": (run, "p99_s") for label, run in _some(results).items()}
    else:
        lines = {name: (results, f"{name}_s") for name in ("p50", "p99")}
    ax = axes_or_new(ax)
    first = next(run for run, _ in lines.values())
    for i, (label, (run, name)) in enumerate(lines.items()):
        slices = run.latency_over_time
        ax.plot(slices["time_s"], slices[name] * 1e3, drawstyle="steps-mid", label=label, **line_style(i))
    low, high = ax.dataLim.y0, ax.dataLim.y1
    title = "Delivery latency over time"
    if not np.isfinite(low):
        return say(ax, title_of(first, title), "nothing was delivered")
    draw_legend(ax)
    over_time(first, ax, title, "latency, logarithmic scale")
    low, high = math.log10(max(low, 1e-6)) - 0.1, math.log10(max(high, 1e-6)) + 0.15
    ax.set_yscale("log")
    ax.set_ylim(10**low, 10**high)
    _log_ticks(ax.yaxis, high - low)
    return ax


def hop_waterfall(results: Results, ax: Axes | None = None) -> Axes:
    """Mean latency hop by hop, from the publisher at the top to the client; the last bar is the whole.

    Bars are in milliseconds; the whisker of the whole is its 95 % interval.
    """
    ax = axes_or_new(ax)
    hops, title = results.hops, "Mean latency, hop by hop"
    if not np.isfinite(hops.loc["total", "mean_s"]):
        return say(ax, title, "nothing was delivered")
    means = hops.loc[list(HOPS), "mean_s"].to_numpy() * 1e3
    starts = np.concatenate([[0], np.cumsum(means)[:-1]])
    total, low, high = (hops.loc["total", name] * 1e3 for name in ("mean_s", "low_s", "high_s"))
    ax.barh(range(len(means)), means, left=starts, color=COLOURS[0])
    known = np.isfinite(low)
    whisker = {"xerr": [[total - low], [high - total]], "capsize": 3} if known else {}
    ax.barh(len(means), total, color=COLOURS[4], **whisker)
    ends = [*(starts + means), max(total, high) if known else total]
    for row, (end, mean) in enumerate(zip(ends, [*means, total], strict=True)):
        label_point(ax, time_text(mean), (end, row), (5, 0), va="center", fontsize=9)
    rows_from_top(ax, [hop.replace("_", " ") for hop in (*HOPS, "total")], ends[-1] * 1.18 or 1)
    time_ticks(ax.xaxis)
    x = "time since the intended publish" + ("; whisker: 95 % interval" if known else "")
    return tidy(ax, title, x, "", grid="x")
