"""A figure that is drawn again and again while somebody moves a slider.

What stays (axes, ticks, titles) is drawn once and kept as a picture; what moves is drawn over it. That takes a fifth of
the time, and a curve that moves in axes that stay is easier to follow. Axes change only where a figure leaves them, or
would be squeezed into a corner.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from matplotlib import image
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from realtime_sim.latency import QUANTILES, hop_means_s
from realtime_sim.limits import Limits
from realtime_sim.plots._style import (
    BEHIND,
    COLOURS,
    draw_legend,
    even_ticks,
    line_style,
    new_figure,
    plain_ticks,
    rows_from_top,
    tidy,
    time_text,
    time_ticks,
)
from realtime_sim.plots.latency import FAINTEST_SHARE, cumulative
from realtime_sim.results import Results
from realtime_sim.trace import HOPS

__all__ = ["MovingFigure", "png"]

DPI = 100
FAST_PNG = {"compress_level": 1}
"""Of the levels of compression the fastest; the best would take twice the time, and save a tenth of the bytes."""

MOST_SHOWN = 130.0
"""Per cent of a limit at which its axis ends; a bar that is longer ends there, and its label says how long it is."""

LABEL_ROOM = 1.25
"""Of the longest bar of the hops, so that its label has room beside it."""

LABEL_WIDTH = 0.25 * MOST_SHOWN
"""Per cent that the label of a limit takes: where what may be used is marked there, it stands behind the mark."""

ROUND = (1, 2, 5, 10)
MARKED = ("p50", "p99")
LOWER = 5
"""Per cent that the name of a point stands below it, where a curve that never falls leaves room."""

LATE = 0.7
"""Share of the width beyond which the name of a point stands before it, and not in the next panel."""

NOW = {"color": COLOURS[0], "linestyle": "-"}
BEFORE = {"color": "#777777", "linestyle": "--", "linewidth": 1.2}


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure as the bytes of a PNG picture, fast rather than small.

    Parameters
    ----------
    figure : Figure
        What to draw.
    dpi : int
        Dots per inch.
    """
    figure.set_dpi(dpi)
    figure.canvas.draw()
    return _encoded(figure)


def _encoded(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    image.imsave(buffer, np.asarray(figure.canvas.buffer_rgba()), format="png", pil_kwargs=FAST_PNG)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Frame:
    """What must be the same for what stays to stay: ranges of the axes in milliseconds and seconds, promises, rows."""

    latency_ms: tuple[float, float]
    hops_ms: float
    until_s: float
    promises_ms: tuple[tuple[str, float], ...]
    limits: tuple[tuple[str, float], ...]
    has_before: bool


class MovingFigure:
    """One run in four panels: latency, its hops, how far limits are used, and its course.

    Parameters
    ----------
    before : Results, optional
        A run to compare with; its curve is drawn as a dashed grey line.
    """

    def __init__(self, before: Results | None = None) -> None:
        self.before = before
        self.figure = new_figure(9.6, 5.6)
        self.figure.set_dpi(DPI)
        self._frame: _Frame | None = None
        self._panels: tuple[_Panel, ...] = ()
        self._kept: object = None

    def draw(self, results: Results, limits: Limits) -> bytes:
        """Draw a run.

        Parameters
        ----------
        results : Results
            What happened.
        limits : Limits
            Of the same scenario.

        Returns
        -------
        bytes
            A PNG picture.
        """
        frame = self._framed(results, limits)
        if frame != self._frame:
            self._stay(frame)
        self.figure.canvas.restore_region(self._kept)
        for panel in self._panels:
            panel.move(results, limits)
            for artist in panel.artists:
                panel.ax.draw_artist(artist)
        return _encoded(self.figure)

    def _framed(self, results: Results, limits: Limits) -> _Frame:
        """Ranges for a run; those of before where it fits in."""
        old, slo = self._frame, results.scenario.slo
        given = {name: getattr(slo, name, None) for name in QUANTILES}
        promises = tuple((name, promised * 1e3) for name, promised in given.items() if promised)
        runs = [run for run in (results, self.before) if run is not None]
        return _Frame(
            _latency_range(runs, promises, None if old is None else old.latency_ms),
            _hops_range(results, 0.0 if old is None else old.hops_ms),
            results.scenario.duration,
            promises,
            tuple((row.name, limits.allowed(row) * 100) for row in limits.rows),
            self.before is not None,
        )

    def _stay(self, frame: _Frame) -> None:
        """Draw and keep what stays."""
        self._frame = frame
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        axes = self.figure.subplots(2, 2).ravel()
        latency = _LatencyPanel(axes[0], frame, self.before)
        self._panels = (latency, _HopsPanel(axes[1], frame), _LimitsPanel(axes[2], frame), _CoursePanel(axes[3], frame))
        self.figure.canvas.draw()  # without what is animated
        self.figure.set_layout_engine("none")
        self._kept = self.figure.canvas.copy_from_bbox(self.figure.bbox)


def _latency_range(
    runs: list[Results], promises: tuple[tuple[str, float], ...], old: tuple[float, float] | None
) -> tuple[float, float]:
    """Whole decades around what is drawn, milliseconds; those of before where they are not two more than needed."""
    curves = [cumulative(run, None) for run in runs]
    ends = [(x_ms[np.searchsorted(share, FAINTEST_SHARE)], x_ms[-1]) for x_ms, share in curves if len(x_ms)]
    ends += [(promised_ms, promised_ms) for _, promised_ms in promises]
    if not ends:
        return old or (1.0, 1_000.0)
    low = 10.0 ** math.floor(math.log10(min(first for first, _ in ends)))
    high = 10.0 ** math.ceil(math.log10(max(last for _, last in ends) * 1.01))
    if old and old[0] <= low and high <= old[1] and (old[1] / old[0]) / (high / low) < 100:
        return old
    return low, high


def _hops_range(results: Results, old_ms: float) -> float:
    """A round figure above the mean of the whole, milliseconds; that of before where bars do not get too short."""
    mean_ms = results.latency_s()["mean"].value * 1e3
    if not math.isfinite(mean_ms) or mean_ms <= 0:
        return old_ms or 1.0
    needed_ms = mean_ms * LABEL_ROOM
    if needed_ms <= old_ms < 5 * needed_ms:
        return old_ms
    decade = 10.0 ** math.floor(math.log10(needed_ms))
    return next(step * decade for step in ROUND if step * decade >= needed_ms)


class _Panel:
    """Axes that stay, and the artists in them that move: made once, as making them takes longer than drawing them."""

    def __init__(self, ax: Axes) -> None:
        self.ax = ax
        self.artists: list[Artist] = []

    def move(self, results: Results, limits: Limits) -> None:
        """Bring the artists to where a run has them."""
        raise NotImplementedError

    def _line(self, **style: object) -> Line2D:
        (line,) = self.ax.plot([], [], animated=True, **style)
        self.artists.append(line)
        return line

    def _bars(self, n: int, **style: object) -> list[Rectangle]:
        bars = list(self.ax.barh(range(n), [0.0] * n, edgecolor="white", linewidth=0, animated=True, **style))
        self.artists += bars
        return bars

    def _texts(self, n: int, **style: object) -> list[Text]:
        texts = [self.ax.text(0, row, "", va="center", fontsize=9, animated=True, **style) for row in range(n)]
        self.artists += texts
        return texts


def _decades(axis: Axis) -> None:
    """Ticks of a logarithmic axis of times that spans whole decades."""
    axis.set_major_locator(LogLocator(numticks=12))
    axis.set_minor_formatter(NullFormatter())
    time_ticks(axis)


class _LatencyPanel(_Panel):
    def __init__(self, ax: Axes, frame: _Frame, before: Results | None) -> None:
        super().__init__(ax)
        ax.set_xscale("log")
        ax.set_xlim(*frame.latency_ms)
        _decades(ax.xaxis)
        ax.set_ylim(0, 103)
        if before is not None:
            ax.step(*cumulative(before, None), where="post", label="before", **BEFORE)
        ax.plot([], [], label="now", **NOW)
        for name, promised_ms in frame.promises_ms:
            label = f"promised: {name} {time_text(promised_ms)}"
            ax.plot(promised_ms, QUANTILES[name] * 100, "D", color="#000000", markersize=5, label=label)
        draw_legend(ax)
        tidy(ax, "Delivery latency", "latency, logarithmic scale", "deliveries within, %")
        self._curve = self._line(drawstyle="steps-post", **NOW)
        self._names = self._texts(len(MARKED), bbox=BEHIND)
        self._points = self._line(marker="o", linestyle="", color=COLOURS[0], markersize=5)

    def move(self, results: Results, limits: Limits) -> None:
        self._curve.set_data(*cumulative(results, None))
        figures = results.latency_s()
        marked = [(figures[name].value * 1e3, QUANTILES[name] * 100, name) for name in MARKED]
        self._points.set_data([x_ms for x_ms, _, _ in marked], [level for _, level, _ in marked])
        for text, (x_ms, level, name) in zip(self._names, marked, strict=True):
            known = math.isfinite(x_ms)
            words = f"{name} {time_text(x_ms)}" if known else ""
            late = known and _share_of(self.ax, x_ms) > LATE
            text.set_text(f"{words}  " if late else f"  {words}")
            text.set_ha("right" if late else "left")
            text.set_position((x_ms, level - LOWER) if known else (1, 50))
        if not math.isfinite(marked[0][0]):
            self._names[0].set_text("nothing was delivered")
            self._names[0].set_ha("left")
            self._names[0].set_position((self.ax.get_xlim()[0] * 1.2, 50))


def _share_of(ax: Axes, x_ms: float) -> float:
    """Where on a logarithmic axis something is, of its width."""
    low, high = ax.get_xlim()
    return math.log(x_ms / low) / math.log(high / low) if x_ms > 0 else 0.0


class _HopsPanel(_Panel):
    def __init__(self, ax: Axes, frame: _Frame) -> None:
        super().__init__(ax)
        rows = len(HOPS) + 1
        self._rows = self._bars(rows, color=[COLOURS[0]] * len(HOPS) + [COLOURS[4]])
        self._times = self._texts(rows)
        rows_from_top(ax, [hop.replace("_", " ") for hop in (*HOPS, "total")], frame.hops_ms)
        ax.set_ylim(rows - 0.4, -0.6)
        time_ticks(ax.xaxis)
        tidy(ax, "Mean latency, hop by hop", "time since the intended publish", "", grid="x")

    def move(self, results: Results, limits: Limits) -> None:
        means = np.nan_to_num(hop_means_s(results.traces)) * 1e3
        starts = np.append(np.cumsum(means[:-1]) - means[:-1], 0.0)
        for row, (start, mean) in enumerate(zip(starts, means, strict=True)):
            self._rows[row].set_x(start)
            self._rows[row].set_width(mean)
            self._times[row].set_x(start + mean)
            self._times[row].set_text(f"  {time_text(mean)}")


class _LimitsPanel(_Panel):
    def __init__(self, ax: Axes, frame: _Frame) -> None:
        super().__init__(ax)
        rows = len(frame.limits)
        self._rows = self._bars(rows, height=0.6)
        self._words = self._texts(rows)
        rows_from_top(ax, [name for name, _ in frame.limits], MOST_SHOWN)
        ax.set_ylim(rows - 0.4, -0.6)
        for place, (_, allowed) in enumerate(frame.limits):
            label = None if place else "may be used"
            ax.plot([allowed] * 2, [place - 0.4, place + 0.4], color="#000000", linewidth=2, label=label)
        draw_legend(ax)
        tidy(ax, "Limits of these servers, by arithmetic", "used, %", "", grid="x")

    def move(self, results: Results, limits: Limits) -> None:
        for bar, text, row in zip(self._rows, self._words, limits.rows, strict=True):
            used, allowed = row.given_used_ratio, limits.allowed(row)
            over = used is not None and used > allowed * (1 + 1e-9)
            length = min((used or 0.0) * 100, MOST_SHOWN)
            bar.set_width(length)
            bar.set_facecolor(COLOURS[1] if over else COLOURS[0])
            bar.set_hatch("///" if over else None)
            words = "not limited" if used is None else f"{used:,.0%}" + ", too much" * over + ", binds" * row.binding
            inside = length > 0.45 * MOST_SHOWN
            text.set_text(f"{words}  " if inside else f"  {words}")
            hits_mark = not inside and length <= allowed * 100 < length + LABEL_WIDTH
            text.set_x(allowed * 100 if hits_mark else length)
            text.set_ha("right" if inside else "left")
            text.set_color("#ffffff" if inside else "#000000")


class _CoursePanel(_Panel):
    def __init__(self, ax: Axes, frame: _Frame) -> None:
        super().__init__(ax)
        ax.set_yscale("log")
        ax.set_ylim(*frame.latency_ms)
        _decades(ax.yaxis)
        ax.set_xlim(0, frame.until_s)
        even_ticks(ax.xaxis)
        plain_ticks(ax.xaxis)
        for i, name in enumerate(MARKED):
            ax.plot([], [], label=name, **line_style(i))
        draw_legend(ax)
        tidy(ax, "Latency as the run went", "simulated time, s", "latency, log scale")
        self._courses = {name: self._line(**line_style(i)) for i, name in enumerate(MARKED)}

    def move(self, results: Results, limits: Limits) -> None:
        course = results.latency_over_time
        for name, line in self._courses.items():
            line.set_data(course["time_s"], course[f"{name}_s"] * 1e3)
