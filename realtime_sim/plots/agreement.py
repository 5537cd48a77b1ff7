"""Two sides of a comparison in one picture: their latencies, their hops, their connections."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from realtime_sim.agreement import Comparison
from realtime_sim.agreement.sheets import LIVE
from realtime_sim.agreement.words import value_text
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.plots._style import (
    COLOURS,
    as_written,
    axes_or_new,
    draw_legend,
    label_point,
    line_style,
    new_figure,
    over_time,
    rows_from_top,
    say,
    side_bars,
    tidy,
    time_text,
    time_ticks,
)
from realtime_sim.plots.latency import FAINTEST_SHARE, cumulative, log_time_axis
from realtime_sim.plots.over_time import draw_servers
from realtime_sim.results import Results

__all__ = ["agreement_cdf", "agreement_hops", "connections_of"]

MARKED = {"p50": 50, "p95": 95, "p99": 99}
"""Quantiles that are marked on a curve, in per cent."""

MOST_PANELS = 4


def agreement_cdf(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Share of deliveries within a latency, both sides over each other, on a logarithmic axis.

    p50, p95 and p99 are marked; of several live runs, which are drawn one by one, their medians. Where a figure is held
    to what is allowed, a bar shows how far from the live one the simulated one may be.

    Parameters
    ----------
    comparison : Comparison
        From `realtime_sim.compare`; those of JSON have no curves.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Latency in milliseconds against per cent.
    """
    ax = axes_or_new(ax)
    edges = []
    for i, side in enumerate("ab"):
        runs = getattr(comparison, side).runs
        label = _legend(comparison, side)
        for run in runs:
            x_ms, share = cumulative(run, None)
            if not len(x_ms):
                continue
            width = 1.8 if len(runs) == 1 else 1.1
            ax.step(x_ms, share, where="post", label=label, linewidth=width, **line_style(i))
            label = None
            edges.append((x_ms[np.searchsorted(share, FAINTEST_SHARE)], x_ms[-1]))
    title = "Delivery latency, both sides over each other"
    if not edges:
        return say(ax, title, "nothing was delivered" if comparison.runs else "curves are not in the JSON of a run")
    _mark(ax, comparison)
    log_time_axis(ax, min(first for first, _ in edges), max(last for _, last in edges), None)
    ax.set_ylim(0, 104)
    draw_legend(ax)
    return tidy(ax, title, "latency, logarithmic scale", "deliveries within, %")


def _legend(comparison: Comparison, side: str) -> str:
    rows = comparison.figures
    quantiles = [f"{name} {value_text(rows.loc[f'delivery latency {name}', side], 's')}" for name in ("p50", "p99")]
    found, label = getattr(comparison, side), comparison.labels[side == "b"]
    runs = f" ({len(found.seeds)} runs)" if len(found.seeds) > 1 else ""
    return f"{as_written(label)}{runs}: {', '.join(quantiles)}"


def _mark(ax: Axes, comparison: Comparison) -> None:
    """Points at the marked quantiles, and how far they may be apart."""
    for name, level in MARKED.items():
        row = comparison.figures.loc[f"delivery latency {name}"]
        allowed, live_ms = row["allowed_ratio"], row["b"] * 1e3
        if not math.isnan(allowed) and comparison.kind == "validation" and live_ms > 0:
            low_ms, high_ms = live_ms * (1 - allowed), live_ms * (1 + allowed)
            ax.plot([low_ms, high_ms], [level, level], color="#555555", linewidth=1.2, marker="|", markersize=9)
            text = f"{name}: live ± {allowed * 100:g} %"
            label_point(ax, text, (high_ms, level), (7, -3), va="top", fontsize=8, color="#555555")
        for i, side in enumerate("ab"):
            ax.plot(row[side] * 1e3, level, "os"[i], color=COLOURS[i], markersize=5, zorder=3)


def agreement_hops(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Mean latency of each hop that both sides know, one bar a side, from the publisher at the top to the whole.

    Parameters
    ----------
    comparison, ax
        As for `agreement_cdf`; those of JSON have hops.

    Returns
    -------
    Axes
        Bars in milliseconds. Whiskers are 95 % intervals of a simulation, and the range of live runs.
    """
    ax = axes_or_new(ax)
    hops, title = comparison.hops * 1e3, "Mean latency, hop by hop"
    if not np.isfinite(hops.loc["total", ["a_mean_s", "b_mean_s"]]).all():
        return say(ax, title, "one side has no latency: nothing was delivered")
    whiskers, furthest = False, 0.0
    for i, side in enumerate("ab"):
        means, low, high = (hops[f"{side}_{name}_s"].to_numpy() for name in ("mean", "low", "high"))
        at = side_bars(ax, means, i, 2, color=COLOURS[i], label=as_written(comparison.labels[i]))
        known = np.isfinite(low) & (high > low)
        if known.any():
            whiskers = True
            spread = np.maximum([(means - low)[known], (high - means)[known]], 0)
            ax.errorbar(means[known], at[known], xerr=spread, fmt="none", ecolor="#000000", elinewidth=1, capsize=2)
        for y, mean, end in zip(at, means, np.where(known, np.maximum(high, means), means), strict=True):
            furthest = max(furthest, end)
            label_point(ax, time_text(mean), (end, y), (5, 0), va="center", fontsize=8)
    rows_from_top(ax, [str(hop).replace("_", " ") for hop in hops.index], furthest * 1.16 or 1)
    time_ticks(ax.xaxis)
    draw_legend(ax)
    spread = "95 % interval, range of live runs" if comparison.kind == "validation" else "95 % interval"
    return tidy(ax, title, "mean time" + (f"; whiskers: {spread}" if whiskers else ""), "", grid="x")


def connections_of(runs: Mapping[str, Results]) -> Figure:
    """Open connections over time: all of each run above, and those of each server below, run by run.

    Parameters
    ----------
    runs : mapping of str to Results
        At least one, by what to call it; of replications the first is drawn. Of more than four, servers are drawn for
        the first four.

    Raises
    ------
    ScenarioError
        If there is no run.
    """
    if not runs:
        step = "give a dict of Results by label"
        raise ScenarioError(Problem("runs", "must hold at least one run", dict(runs), step))
    shown = dict(list(runs.items())[:MOST_PANELS])
    x = "time, s" if any(run.engine == LIVE for run in runs.values()) else "simulated time, s"
    figure = new_figure(9, 6.2)
    grid = figure.add_gridspec(2, len(shown))
    whole, first = figure.add_subplot(grid[0, :]), next(iter(runs.values()))
    for i, (label, run) in enumerate(runs.items()):
        series = run.server_series().sum(axis=1)
        whole.plot(series.index, series, label=as_written(label), **line_style(i))
    draw_legend(whole)
    over_time(first, whole, "Connections of all servers", "open connections").set_xlabel(x)
    panels = [figure.add_subplot(grid[1, i]) for i in range(len(shown))]
    for ax, (label, run) in zip(panels, shown.items(), strict=True):
        draw_servers(run, ax)
        over_time(run, ax, f"By server: {as_written(label)}", "", marks=False).set_xlabel(x)
    top = max(ax.get_ylim()[1] for ax in panels)
    for ax in panels:
        ax.set_ylim(0, top)
        ax.tick_params(labelleft=ax is panels[0])
    panels[0].set_ylabel("open connections")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, ncols=min(len(labels), 6), loc="outside lower left")
    return figure
