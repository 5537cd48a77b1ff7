"""A run as it went: connections, attempts, servers and services over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from realtime_sim.plots._style import (
    COLOURS,
    as_written,
    axes_or_new,
    draw_legend,
    even_ticks,
    in_steps,
    line_style,
    over_time,
    plain_ticks,
    say,
    title_of,
)
from realtime_sim.results import Results
from realtime_sim.timelines import by_server
from realtime_sim.units import from_ns

__all__ = ["connections_per_server", "lag", "reconnect_rate", "replicas"]

MAX_LINES = 12

HELD = "steps-pre"
"""How states over time are drawn. A sample comes before all else at its time, so that what is seen first in one sample
has happened since the one before, and for what is done at the time of a sample, as most acts are, at that very time."""


def connections_per_server(results: Results, ax: Axes | None = None) -> Axes:
    """Open connections of each server over time, in steps; above a dozen servers their range and median."""
    ax = axes_or_new(ax)
    draw_servers(results, ax)
    draw_legend(ax)
    return over_time(results, ax, "Connections per server", "open connections")


def draw_servers(results: Results, ax: Axes) -> None:
    """The lines of `connections_per_server`."""
    series = results.server_series()
    if series.shape[1] <= MAX_LINES:
        for server in series:
            ax.plot(series.index, series[server], drawstyle=HELD, label=f"server {server}", **line_style(server))
    else:
        low, high = series.min(axis=1), series.max(axis=1)
        ax.fill_between(series.index, low, high, step="pre", color=COLOURS[5], alpha=0.5, label="range")
        ax.plot(series.index, series.median(axis=1), drawstyle=HELD, color=COLOURS[0], label="median")


def reconnect_rate(results: Results, ax: Axes | None = None) -> Axes:
    """Attempts, reconnects, and attempts turned away or given up, per second over time."""
    ax = axes_or_new(ax)
    series = results.timeseries
    lines = {
        "attempts": series["attempts_per_s"],
        "reconnects": series["reconnects_per_s"],
        "turned away or timed out": _failed_per_s(results),
    }
    if not any(values.any() for values in lines.values()):
        return say(ax, title_of(results, "Connection attempts"), "no attempts")
    for i, (label, values) in enumerate(lines.items()):
        ax.plot(*in_steps(values), drawstyle="steps-pre", label=label, **line_style(i))
    draw_legend(ax)
    return over_time(results, ax, "Connection attempts", "per second")


def lag(results: Results, ax: Axes | None = None) -> Axes:
    """Events of each service that wait or are in work, over time; each `stop_service` is shaded in its colour."""
    ax = axes_or_new(ax)
    series = results.service_lag
    if not series.shape[1]:
        return say(ax, title_of(results, "Events that wait for a service"), "no services")
    for i, service in enumerate(series):
        style = line_style(i)
        ax.plot(series.index, series[service], label=as_written(service), **style)
        for fault in results.scenario.faults:
            if fault.kind == "stop_service" and fault.service == service:
                end_s = min(fault.at + fault.lasts, series.index[-1])
                ax.axvspan(fault.at, end_s, color=style["color"], alpha=0.15, linewidth=0)
    draw_legend(ax)
    return over_time(results, ax, "Events that wait for a service, or are in work", "events")


def _failed_per_s(results: Results) -> pd.Series:
    """Attempts that failed for want of room, of a server or of time, per second, as in `Results.timeseries`."""
    series = results.trace.series
    failed = sum(series[name] for name in ("refused", "backlog_full", "throttled", "no_server", "timeouts"))
    return pd.Series(np.diff(failed) / np.diff(from_ns(series["time_ns"].astype(float))), results.timeseries.index)


def replicas(results: Results, ax: Axes | None = None) -> Axes:
    """Servers wanted and ready over time; on a second axis at the right connections of one server: the mean of those
    that are ready, and those of the fullest of all, also of one that is being drained."""
    ax = axes_or_new(ax)
    trace = results.trace
    time_s = from_ns(trace.series["time_ns"].astype(float))
    connections, is_ready = (by_server(trace, name) for name in ("connections", "ready"))
    ready = is_ready.sum(axis=1)
    for i, (label, values) in enumerate((("servers wanted", trace.series["desired"]), ("servers ready", ready))):
        ax.plot(time_s, values, drawstyle=HELD, label=label, **line_style(i))
    load, total = ax.twinx(), (connections * is_ready).sum(axis=1).astype(float)
    mean = np.divide(total, ready, out=np.zeros_like(total), where=ready > 0)
    lines = (("connections of a ready server, mean", mean), ("of the fullest", connections.max(axis=1)))
    for i, (label, values) in enumerate(lines, start=2):
        ax.plot([], [], label=label, **line_style(i))
        load.plot(time_s, values, drawstyle=HELD, **line_style(i))
    load.set_ylim(0, max(float(connections.max()) * 1.4, 1))  # clear of the lines of the other axis
    load.set_ylabel("connections of one server")
    even_ticks(load.yaxis, integer=True)
    plain_ticks(load.yaxis)
    load.spines[["top"]].set_visible(False)
    draw_legend(ax)
    return over_time(results, ax, "Servers against load", "servers")
