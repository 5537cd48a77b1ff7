"""What clients wait, over how busy the servers are: points of runs, and the curves of theory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.plots._style import (
    as_written,
    axes_or_new,
    draw_legend,
    even_ticks,
    line_style,
    plain_ticks,
    tidy,
    time_ticks,
)
from realtime_sim.results import Results

__all__ = ["utilization_curve"]

_MARKERS = "os^Dv"


def utilization_curve(
    runs: Sequence[Results] | Mapping[str, Sequence[Results]],
    curves: Mapping[str, Callable[[float], float]] | None = None,
    *,
    figures: Sequence[str] = ("mean", "p99"),
    hop: str | None = "server_wait",
    ax: Axes | None = None,
) -> Axes:
    """Latency of runs at several loads, over the busy share of the busiest server; whiskers are 95 % intervals.

    Parameters
    ----------
    runs : sequence of Results, or mapping of str to sequence of Results
        One run for each load; several rows of them by label.
    curves : mapping of str to callable, optional
        What theory says for a row of points, seconds for a utilization, by the label of the row in the legend: the
        figure, or `"label, figure"` of several rows.
    figures : sequence of str
        Which figures of the latency, as `Results.latency_s` calls them.
    hop : str, optional
        One of `realtime_sim.trace.HOPS`, or None for the whole latency.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Time in milliseconds against per cent.

    Raises
    ------
    ScenarioError
        If there is no run, no such hop or figure, or a curve belongs to no row.

    Examples
    --------
    >>> from realtime_sim import Scenario, simulate
    >>> calm = Scenario(name="x", duration=2, clients=[{"name": "c", "count": 1}], traffic=[{"name": "t", "rate": 50}])
    >>> ax = utilization_curve([simulate(calm), simulate(calm.replace(**{"traffic.t.rate": 100}))])
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_legend().get_texts()]
    ('utilization of the server, %', ['mean', 'p99'])
    """
    rows = _rows(runs, figures, hop)
    curves = curves or {}
    for name in curves:
        if name not in rows:
            raise ScenarioError(Problem("curves", "must belong to a row of points", name, nearest(name, rows)))
    ax = axes_or_new(ax)
    for i, (label, points) in enumerate(rows.items()):
        style, (busy, values, low, high) = line_style(i), points
        whiskers = np.nan_to_num([values - low, high - values])
        ax.errorbar(
            busy * 100, values * 1e3, whiskers * 1e3, color=style["color"], marker=_MARKERS[i % len(_MARKERS)],
            linestyle="none", markersize=5, capsize=2, elinewidth=1, label=as_written(label), zorder=3,
        )  # fmt: skip
        if label in curves:
            line = np.linspace(0, busy.max(), 200)
            theory = [curves[label](u) * 1e3 for u in line]
            ax.plot(line * 100, theory, **style, label=f"{as_written(label)}, theory")
    ax.set_xlim(0, 100)
    ax.set_ylim(bottom=0)
    for axis in (ax.xaxis, ax.yaxis):
        even_ticks(axis)
    plain_ticks(ax.xaxis)
    time_ticks(ax.yaxis)
    draw_legend(ax)
    what = "latency" if hop is None else hop.replace("_", " ")
    return tidy(ax, f"How full and how slow: {what}", "utilization of the server, %", what)


def _rows(
    runs: Sequence[Results] | Mapping[str, Sequence[Results]], figures: Sequence[str], hop: str | None
) -> dict[str, np.ndarray]:
    """Utilization, figure and its interval of every run, by label, from the least busy on."""
    by_label = runs if isinstance(runs, Mapping) else {"": runs}
    if not by_label or not all(by_label.values()):
        raise ScenarioError(Problem("runs", "must hold at least one run", runs, "give a list of Results, one a load"))
    rows = {}
    for label, several in by_label.items():
        latencies = [run.latency_s(hop=hop) for run in several]
        busy = [run.servers["utilization"].max() for run in several]
        for figure in figures:
            if figure not in latencies[0]:
                step = nearest(figure, latencies[0])
                raise ScenarioError(Problem("figures", "must be those of a latency", figure, step))
            found = [
                (u, at[figure].value, at[figure].low, at[figure].high) for u, at in zip(busy, latencies, strict=True)
            ]
            name = f"{label}, {figure}" if label and len(figures) > 1 else label or figure
            rows[name] = np.array(sorted(found), dtype=float).T
    return rows
