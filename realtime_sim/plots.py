"""Plots: the pictures of a run. Every function takes Results and returns Matplotlib axes or a figure.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines differ in style as well. Times
carry their unit at every tick and label. Legends stand above the axes, where they cover nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

from realtime_sim.backoffs import BackoffComparison
from realtime_sim.buckets import bucket_bounds_ns
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import write_whole
from realtime_sim.results import Results
from realtime_sim.storms import storm_figures, verdict
from realtime_sim.trace import HOPS
from realtime_sim.units import from_ns

__all__ = [
    "compare_backoff", "connections_per_server", "hop_waterfall", "lag", "latency_cdf", "reconnect_rate", "save",
    "storm", "summary_figure",
]  # fmt: skip

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MAX_LINES = 12
FAINTEST_SHARE = 0.1
"""Per cent of the deliveries left of the first tick of a CDF: a single fast one would squeeze all others together."""
_STEPS = (1, 2, 2.5, 5, 10)
_LOG_STEPS = ((0.3, ()), (0.8, (1, 1.5, 2, 3, 4, 6, 8)), (1.6, (1, 2, 5)), (3.2, (1, 3)), (math.inf, (1,)))
"""Ticks of a logarithmic axis, by the decades it spans; too short for them it has even steps."""
_LABEL_SHARE = 0.24
"""How much of the width of an axis the label of a point takes."""
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8}


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _time_text(ms: float) -> str:
    """A time of so many milliseconds as people write it: three digits, the unit that fits, no exponent.

    Examples
    --------
    >>> [_time_text(ms) for ms in (1040, 218.3, 30, 0.1, 0.00444, 0, 999.96)]
    ['1.04 s', '218 ms', '30 ms', '0.1 ms', '4.44 µs', '0', '1 s']
    """
    if ms == 0:
        return "0"
    rounded = float(f"{ms:.3g}")
    scale, unit = next(row for row in ((1e3, "s"), (0.1, "ms"), (1e-3, "µs"), (0, "ns")) if abs(rounded) >= row[0])
    factor = {"s": 1e-3, "ms": 1.0, "µs": 1e3, "ns": 1e6}[unit]
    value = float(f"{rounded * factor:.3g}")
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def _time_ticks(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda ms, _: _time_text(ms)))


def _tidy(ax: Axes, title: str, x: str, y: str, grid: str = "both") -> Axes:
    """Title, labels and grid; the title stands above the legend where there is one."""
    legend = ax.get_legend()
    rows = math.ceil(len(legend.get_texts()) / legend._ncols) if legend else 0
    ax.set_title(title, loc="left", fontsize=11, pad=6 + 13 * rows)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, axis=grid, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def _legend(ax: Axes) -> None:
    """Above the axes, in one row where it fits, or else in as many columns as the longest label allows."""
    _, labels = ax.get_legend_handles_labels()
    widths = [len(label) + 7 for label in labels]  # in signs, the handle's included
    columns = len(labels) if sum(widths) <= 84 else max(1, 84 // max(widths))
    ax.legend(
        frameon=False, fontsize=8, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2,
        borderpad=0, columnspacing=1.2, handlelength=2.4,
    )  # fmt: skip


def _say(ax: Axes, text: str) -> None:
    """A sentence in place of a picture."""
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color="#555555")
    ax.set_xticks([])
    ax.set_yticks([])


def _of(results: Results, title: str) -> str:
    """A title that says so where the picture is that of one replication among several."""
    n = results.n_replications
    return title if n == 1 else f"{title} (first of {n} replications)"


def _as_written(name: str) -> str:
    """A name as text of a figure, where two dollar signs would open and close a formula."""
    return name.replace("$", r"\$")


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
    runs = results if isinstance(results, Mapping) else {results.scenario.name: results}
    if not runs:
        step = "give Results, or a dict of them by label"
        raise ScenarioError(Problem("results", "must hold at least one run", dict(runs), step))
    figures = {label: run.latency_s(cohort) for label, run in runs.items()}
    ax = _axes(ax)
    edges = []
    for i, (label, run) in enumerate(runs.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        p50, p99 = (figures[label][name].value * 1e3 for name in ("p50", "p99"))
        x_ms, share = _cumulative(run, cohort)
        if not len(x_ms):
            where = "" if np.isnan(p50) else " in the first replication"
            ax.plot([], [], label=f"{_as_written(label)}: nothing was delivered{where}", **style)
            continue
        text = f"{_as_written(label)}: p50 {_time_text(p50)}, p99 {_time_text(p99)}"
        ax.step(x_ms, share, where="post", label=text, **style)
        for x, level in ((p50, 50), (p99, 99)):
            ax.plot(x, level, "o", color=style["color"], markersize=5)
        first = min(x_ms[np.searchsorted(share, FAINTEST_SHARE)], p50)
        edges.append((first, p99, x_ms[-1]))
        if len(runs) == 1:
            _name_points(ax, {f"p50 {_time_text(p50)}": (p50, 50), f"p99 {_time_text(p99)}": (p99, 99)})
    title = "Delivery latency" if cohort is None else f"Delivery latency, {_as_written(cohort)}"
    if not edges:
        _say(ax, "nothing was delivered")
        return _tidy(ax, title, "", "")
    firsts, p99s, lasts = zip(*edges, strict=True)
    _log_time_axis(ax, min(firsts), max(lasts), max(p99s) if len(runs) == 1 else None)
    ax.set_ylim(0, 102)
    if len(runs) > 1:
        _legend(ax)
    several = [run for run in runs.values() if run.n_replications > 1]
    return _tidy(ax, _of(several[0], title) if several else title, "latency, logarithmic scale", "deliveries within, %")


def _cumulative(run: Results, cohort: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Latencies in milliseconds and the per cent of deliveries up to each, from 0 on."""
    rows = [i for i, part in enumerate(run.scenario.clients) if cohort in (None, part.name)]
    counts = run.trace.histogram[rows, -1].sum(axis=0)
    low, high = bucket_bounds_ns()
    held = np.flatnonzero(counts)
    if not len(held):
        return np.zeros(0), np.zeros(0)
    x_ms = np.maximum((low[held] + high[held]) / 2e6, 1e-6)
    share = np.cumsum(counts[held]) / counts.sum() * 100
    return np.concatenate([x_ms[:1], x_ms]), np.concatenate([[0.0], share])


def _name_points(ax: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Texts to the lower right of points: a curve that never falls leaves that side free."""
    for text, at in points.items():
        ax.annotate(text, at, xytext=(7, -4), textcoords="offset points", va="top", bbox=_BEHIND, zorder=3)


def _log_time_axis(ax: Axes, first_ms: float, last_ms: float, named_ms: float | None) -> None:
    """A logarithmic axis with a handful of ticks that carry their unit, and room for a label right of one point."""
    low, high = math.log10(first_ms) - 0.05, math.log10(last_ms) + 0.05
    if named_ms is not None:
        at = math.log10(named_ms)
        high = max(high, at + 0.1, low + (at - low) / (1 - _LABEL_SHARE))
    ax.set_xscale("log")
    ax.set_xlim(10**low, 10**high)
    decades = high - low
    steps = next(steps for limit, steps in _LOG_STEPS if decades < limit)
    ax.xaxis.set_major_locator(LogLocator(subs=steps, numticks=9) if steps else MaxNLocator(5, steps=_STEPS))
    ax.xaxis.set_minor_locator(NullLocator())
    _time_ticks(ax.xaxis)


def hop_waterfall(results: Results, ax: Axes | None = None) -> Axes:
    """Mean latency hop by hop, from the publisher at the top to the client; the last bar is the whole.

    Bars are in milliseconds; the whisker of the whole is its 95 % interval.
    """
    ax = _axes(ax)
    hops = results.hops
    if not np.isfinite(hops.loc["total", "mean_s"]):
        _say(ax, "nothing was delivered")
        return _tidy(ax, "Mean latency, hop by hop", "", "")
    means = hops.loc[list(HOPS), "mean_s"].to_numpy() * 1e3
    starts = np.concatenate([[0], np.cumsum(means)[:-1]])
    total, low, high = (hops.loc["total", name] * 1e3 for name in ("mean_s", "low_s", "high_s"))
    ax.barh(range(len(means)), means, left=starts, color=COLOURS[0])
    known = np.isfinite(low)
    whisker = {"xerr": [[total - low], [high - total]], "capsize": 3} if known else {}
    ax.barh(len(means), total, color=COLOURS[4], **whisker)
    ends = [*(starts + means), max(total, high) if known else total]
    for row, (end, mean) in enumerate(zip(ends, [*means, total], strict=True)):
        at = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(_time_text(mean), (end, row), fontsize=9, bbox=_BEHIND, **at)
    ax.set_yticks(range(len(ends)), [hop.replace("_", " ") for hop in (*HOPS, "total")])
    ax.invert_yaxis()
    ax.set_xlim(0, ends[-1] * 1.18 or 1)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    _time_ticks(ax.xaxis)
    x = "time since the intended publish" + ("; whisker: 95 % interval" if known else "")
    return _tidy(ax, "Mean latency, hop by hop", x, "", grid="x")


def _over_time(results: Results, ax: Axes, title: str, y: str) -> Axes:
    """What plots over time share: axes from 0, whole counts, faults marked above the curves."""
    faults = sorted((float(from_ns(at_ns)), kind) for kind, at_ns in results.trace.disturbances)
    rows = min(len(faults), 3)
    last_s = float(results.server_series().index[-1])
    ax.set_xlim(0, last_s)
    top = ax.dataLim.y1 if np.isfinite(ax.dataLim.y1) else 0
    ax.set_ylim(0, (top or 1) * (1.08 + 0.06 * rows))
    integer = y != "per second" or top >= 3
    for i, (at_s, kind) in enumerate(faults):
        ax.axvline(at_s, color="#777777", linestyle=":", linewidth=1)
        late = at_s > 0.7 * last_s
        ax.annotate(
            kind.replace("_", " "), (at_s, 1), xycoords=("data", "axes fraction"), va="top",
            xytext=(-3 if late else 3, -2 - 11 * (i % 3)), textcoords="offset points", ha="right" if late else "left",
            fontsize=8, color="#555555", bbox=_BEHIND,
        )  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS, integer=integer))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    return _tidy(ax, _of(results, title), "simulated time, s", y)


def connections_per_server(results: Results, ax: Axes | None = None) -> Axes:
    """Open connections of each server over time; above a dozen servers their range and median."""
    ax = _axes(ax)
    series = results.server_series()
    if series.shape[1] <= MAX_LINES:
        for server in series:
            style = {"color": COLOURS[server % len(COLOURS)], "linestyle": STYLES[server % len(STYLES)]}
            ax.plot(series.index, series[server], label=f"server {server}", **style)
    else:
        low, high = series.min(axis=1), series.max(axis=1)
        ax.fill_between(series.index, low, high, color=COLOURS[5], alpha=0.5, label="range")
        ax.plot(series.index, series.median(axis=1), color=COLOURS[0], label="median")
    _legend(ax)
    return _over_time(results, ax, "Connections per server", "open connections")


def reconnect_rate(results: Results, ax: Axes | None = None) -> Axes:
    """Attempts, reconnects, and attempts turned away or given up, per second over time."""
    ax = _axes(ax)
    series = results.timeseries
    lines = {
        "attempts": series["attempts_per_s"],
        "reconnects": series["reconnects_per_s"],
        "turned away or timed out": _failed_per_s(results),
    }
    if not any(values.any() for values in lines.values()):
        _say(ax, "no attempts")
        return _tidy(ax, _of(results, "Connection attempts"), "", "")
    for i, (label, values) in enumerate(lines.items()):
        ax.plot(*_steps(values), drawstyle="steps-pre", color=COLOURS[i], linestyle=STYLES[i], label=label)
    _legend(ax)
    return _over_time(results, ax, "Connection attempts", "per second")


def lag(results: Results, ax: Axes | None = None) -> Axes:
    """Events of each service that wait or are in work, over time; each `stop_service` is shaded in its colour."""
    ax = _axes(ax)
    series = results.service_lag
    if not series.shape[1]:
        _say(ax, "no services")
        return _tidy(ax, _of(results, "Events that wait for a service"), "", "")
    for i, service in enumerate(series):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        ax.plot(series.index, series[service], label=_as_written(service), **style)
        for fault in results.scenario.faults:
            if fault.kind == "stop_service" and fault.service == service:
                end_s = min(fault.at + fault.lasts, series.index[-1])
                ax.axvspan(fault.at, end_s, color=style["color"], alpha=0.15, linewidth=0)
    _legend(ax)
    return _over_time(results, ax, "Events that wait for a service, or are in work", "events")


def _failed_per_s(results: Results) -> pd.Series:
    """Attempts that failed for want of room, of a server or of time, per second, as in `Results.timeseries`."""
    series = results.trace.series
    failed = sum(series[name] for name in ("refused", "backlog_full", "throttled", "no_server", "timeouts"))
    return pd.Series(np.diff(failed) / np.diff(from_ns(series["time_ns"].astype(float))), results.timeseries.index)


def _steps(rates: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Times and rates for a line in steps: each rate holds from the time before to its own, the first from 0."""
    return np.concatenate([[0.0], rates.index]), np.concatenate([rates.to_numpy()[:1], rates])


def storm(results: Results | Mapping[str, Results], fault: int = 0) -> Figure:
    """One reconnect storm: attempts over time against what the servers can accept, and who is back.

    Rates are those of each sampling interval. Where one policy makes more than ten times as many attempts as the
    servers could accept, the upper axis is logarithmic above ten a second.

    Parameters
    ----------
    results : Results or mapping of str to Results
        One run, or several by label, of which the same fault is looked at; of replications the first.
    fault : int
        Number of the fault, from 0.

    Returns
    -------
    Figure
        Two axes, one above the other: attempts per second, and per cent of those who were cut off, against time.

    Raises
    ------
    ScenarioError
        If there is no run to draw, or no such fault.
    """
    runs = results if isinstance(results, Mapping) else {results.scenario.name: results}
    n_faults = min((len(run.scenario.faults) for run in runs.values()), default=0)
    if not 0 <= fault < n_faults:
        step = f"they are numbered 0 to {n_faults - 1}" if n_faults else "draw runs of a scenario with a fault"
        raise ScenarioError(Problem("fault", "must be the number of a fault of every run", fault, step))
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    found = {label: storm_figures(run.trace, fault) for label, run in runs.items()}
    first = next(iter(runs.values()))
    for i, (label, run) in enumerate(runs.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        upper.plot(*_steps(run.timeseries["attempts_per_s"]), drawstyle="steps-pre", label=_as_written(label), **style)
        lower.step(*_back(run, fault), where="post", label=f"{_as_written(label)}: {_outcome(found[label])}", **style)
    capacities = sorted({f["capacity_per_s"] for f in found.values() if 0 < f["capacity_per_s"] < math.inf})
    for capacity in capacities:
        text = f"capacity: {capacity:,.4g} handshakes/s"
        upper.axhline(capacity, color="#000000", linewidth=1, label=text)
        upper.update_datalim([(0, capacity)])
    for ax in (upper, lower):
        _legend(ax)
    _over_time(first, upper, "Connection attempts", "attempts per second")
    if capacities and max(f["peak_attempts_per_s"] for f in found.values()) > 10 * capacities[-1]:
        upper.set_yscale("symlog", linthresh=10)
        upper.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=10))
        upper.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
        upper.set_ylabel("attempts per second,\nlogarithmic above 10")
    _over_time(first, lower, "Clients that are back", "of those who were cut off, %")
    lower.set_ylim(0, 104)
    upper.set_xlabel("")
    return figure


def _back(run: Results, fault: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and per cent of the clients that a fault cut off, from the fault to the end of the run."""
    trace, at_s = run.trace, run.scenario.faults[fault].at
    times_s = from_ns(trace.recovery[fault].astype(float))
    share = np.arange(len(times_s) + 1) / max(trace.affected[fault], 1) * 100
    return np.concatenate([[at_s], times_s, [run.scenario.duration]]), np.append(share, share[-1])


def _outcome(found: Mapping[str, float]) -> str:
    if not found["affected"]:
        return "nobody was cut off"
    if found["recovered"] >= found["affected"]:
        return f"all back after {found['p100_s']:,.3g} s"
    back = f"{found['recovered']:,} of {found['affected']:,} back at the end"
    return f"{back}, metastable" if verdict(found)[1] else back


def compare_backoff(comparison: BackoffComparison) -> Figure:
    """What `realtime_sim.compare_backoff` found, as one figure: `storm` with a line for each policy.

    Parameters
    ----------
    comparison : BackoffComparison
        Of one policy or more.
    """
    return storm(comparison.results, comparison.fault)


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
    figure.suptitle(f"{_as_written(results.scenario.name)}: {counts}", x=0.01, ha="left", fontsize=13)
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
    figure.savefig(buffer, format=kind, dpi=130)
    write_whole(path, buffer.getvalue())
