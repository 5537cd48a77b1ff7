"""The plots of a run on one page, and how a figure gets into a file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import write_whole
from realtime_sim.plots._style import as_written, new_figure
from realtime_sim.plots.latency import hop_waterfall, latency_cdf
from realtime_sim.plots.over_time import connections_per_server, lag, reconnect_rate, replicas
from realtime_sim.results import Results

__all__ = ["check_picture", "comparison_figure", "save", "summary_figure"]


def summary_figure(results: Results) -> Figure:
    """The plots of a run on one page: latency, hops and connections, and of attempts, of services and of a changing
    number of servers where there are any."""
    panels = [latency_cdf, hop_waterfall, connections_per_server]
    panels += [reconnect_rate] * bool(results.timeseries["attempts_per_s"].any())
    panels += [replicas] * _servers_change(results) + [lag] * bool(results.scenario.services)
    rows = (len(panels) + 1) // 2
    figure = new_figure(12, 3.8 * rows)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    grid = figure.add_gridspec(rows, 2)
    for i, panel in enumerate(panels):
        alone = i == len(panels) - 1 and i % 2 == 0
        panel(results, figure.add_subplot(grid[i // 2, :] if alone else grid[i // 2, i % 2]))
    total = results.deliveries.loc["total"]
    counts = f"{int(total['delivered']):,} of {int(total['expected']):,} deliveries arrived"
    figure.suptitle(f"{as_written(results.scenario.name)}: {counts}", x=0.01, ha="left", fontsize=13)
    return figure


def comparison_figure(runs: Mapping[str, Results]) -> Figure:
    """Latency of several runs by label, with a panel for each cohort: those of all together may hide who waits.

    Parameters
    ----------
    runs : mapping of str to Results
        At least one.
    """
    cohorts = list(dict.fromkeys(cohort.name for run in runs.values() for cohort in run.scenario.clients))
    figure = new_figure(8, 4.2 * len(cohorts))
    axes = figure.subplots(len(cohorts), 1, squeeze=False)[:, 0]
    for name, ax in zip(cohorts, axes, strict=True):
        having = {label: run for label, run in runs.items() if name in (part.name for part in run.scenario.clients)}
        latency_cdf(having, ax, cohort=name if len(cohorts) > 1 else None)
    return figure


def _servers_change(results: Results) -> bool:
    """Whether servers come or go: an autoscaler may act, or their number has changed, in order or not."""
    servers = results.trace.servers
    return results.scenario.autoscaling is not None or bool((servers["started_ns"] > 0).any())


def save(figure: Figure | Axes, path: str | Path) -> None:
    """Write a figure, or the figure of axes, as PNG, SVG or PDF by the ending of the path; whole, or not at all.

    Raises
    ------
    ScenarioError
        If the ending is another one, or the file cannot be written.
    """
    kind = check_picture(path)
    while not isinstance(figure, Figure):
        figure = figure.figure
    buffer = io.BytesIO()
    no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with matplotlib.rc_context({"svg.hashsalt": "realtime-sim"}):  # the same figure gives the same file
        figure.savefig(buffer, format=kind, dpi=130, metadata=no_date)
    write_whole(Path(path), buffer.getvalue())


def check_picture(path: str | Path) -> str:
    """The kind of a picture by the ending of its path, `"png"`, `"svg"` or `"pdf"`: found out before a long run.

    Raises
    ------
    ScenarioError
        If the ending is another one.

    Examples
    --------
    >>> check_picture("out/chat.PNG")
    'png'
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise ScenarioError(Problem("path", "must end in .png, .svg or .pdf", str(path), "choose one of them"))
    return kind
