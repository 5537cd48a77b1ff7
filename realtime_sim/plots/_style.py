"""What all plots share: colours, axes, bars, ticks, labels, titles and legends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator

from realtime_sim.agreement.sheets import LIVE
from realtime_sim.plots._shown import ShownAxes, new_figure
from realtime_sim.results import Results
from realtime_sim.units import from_ns

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
TICK_STEPS = (1, 2, 2.5, 5, 10)
BROKER_ACTS = ("partition", "heal", "cut off", "stop broker", "start broker")
"""What is marked besides disturbances: it cuts no client off, and decides what is lost."""
BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8}
BAR, GAP = 0.36, 0.04
"""Height of one bar of several in a row, and the room between two, as shares of a row."""


def axes_or_new(ax: Axes | None) -> Axes:
    return new_figure(7, 4.2).add_subplot(axes_class=ShownAxes) if ax is None else ax


def line_style(i: int) -> dict[str, str]:
    """Colour and dashes of line `i`: there are more of one than of the other, so that many lines differ."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}


def time_text(ms: float) -> str:
    """A time of so many milliseconds as people write it: three digits, the unit that fits, no exponent.

    Examples
    --------
    >>> [time_text(ms) for ms in (1040, 218.3, 30, 0.1, 0.00444, 0, 999.96)]
    ['1.04 s', '218 ms', '30 ms', '0.1 ms', '4.44 µs', '0', '1 s']
    """
    if ms == 0:
        return "0"
    rounded = float(f"{ms:.3g}")
    scale, unit = next(row for row in ((1e3, "s"), (0.1, "ms"), (1e-3, "µs"), (0, "ns")) if abs(rounded) >= row[0])
    factor = {"s": 1e-3, "ms": 1.0, "µs": 1e3, "ns": 1e6}[unit]
    value = float(f"{rounded * factor:.3g}")
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def time_ticks(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda ms, _: time_text(ms)))


def plain_ticks(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))


def even_ticks(axis: Axis, integer: bool = False) -> None:
    """Some six ticks at round figures."""
    axis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS, integer=integer))


def rows_from_top(ax: Axes, names: Sequence[str], right: float) -> None:
    """Axes of horizontal bars: the first name on top, and figures from 0 to `right`."""
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlim(0, right)
    even_ticks(ax.xaxis)


def side_bars(ax: Axes, lengths: np.ndarray, i: int, n: int, **style: object) -> np.ndarray:
    """Side `i` of `n` in each row: bars beside those of the other side; where they are."""
    at = np.arange(len(lengths)) + (i - (n - 1) / 2) * (BAR + GAP)
    ax.barh(at, lengths, height=BAR, hatch=("", "///")[i], edgecolor="white", linewidth=0, **style)
    return at


def label_point(ax: Axes, text: str, point: tuple[float, float], offset: tuple[float, float], **style: object) -> None:
    """A text so many points right of a place and above it, on a ground of its own."""
    ax.annotate(text, point, xytext=offset, textcoords="offset points", bbox=BEHIND, **style)


def tidy(ax: Axes, title: str, x: str, y: str, grid: str = "both") -> Axes:
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


def draw_legend(ax: Axes) -> None:
    """Above the axes, in one row where it fits, or else in as many columns as the longest label allows."""
    _, labels = ax.get_legend_handles_labels()
    widths = [len(label) + 7 for label in labels]  # in signs, the handle's included
    columns = len(labels) if sum(widths) <= 84 else max(1, 84 // max(widths))
    ax.legend(
        frameon=False, fontsize=8, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2,
        borderpad=0, columnspacing=1.2, handlelength=2.4,
    )  # fmt: skip


def say(ax: Axes, title: str, text: str) -> Axes:
    """A sentence in place of a picture."""
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color="#555555")
    ax.set_xticks([])
    ax.set_yticks([])
    return tidy(ax, title, "", "")


def title_of(results: Results, title: str) -> str:
    """A title that says so where the picture is that of one replication among several."""
    n = results.n_replications
    return title if n == 1 else f"{title} (first of {n} replications)"


def as_written(name: str) -> str:
    """A name as text of a figure, where two dollar signs would open and close a formula."""
    return name.replace("$", r"\$")


def over_time(results: Results, ax: Axes, title: str, y: str, marks: bool = True) -> Axes:
    """What plots over time share: axes from 0, whole counts; with `marks`, faults and what ends them above."""
    faults = _marks(results) if marks else []
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
            kind, (at_s, 1), xycoords=("data", "axes fraction"), va="top",
            xytext=(-3 if late else 3, -2 - 11 * (i % 3)), textcoords="offset points", ha="right" if late else "left",
            fontsize=8, color="#555555", bbox=BEHIND,
        )  # fmt: skip
    even_ticks(ax.yaxis, integer)
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    x = "time, s" if results.engine == LIVE else "simulated time, s"
    return tidy(ax, title_of(results, title), x, y)


def _marks(results: Results) -> list[tuple[float, str]]:
    """Times and words of faults, of what cut connections off, and of what was done to the broker and its servers."""
    marks = {(float(from_ns(at_ns)), kind.replace("_", " ")) for kind, at_ns in results.trace.disturbances}
    for row in results.decisions.itertuples():
        text = f"{row.action} {row.target}" if row.target == "broker" else row.action
        if text in BROKER_ACTS:
            marks.add((row.time_s, text))
    return sorted(marks)


def in_steps(rates: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Times and rates for a line in steps: each rate holds from the time before to its own, the first from 0."""
    return np.concatenate([[0.0], rates.index]), np.concatenate([rates.to_numpy()[:1], rates])
