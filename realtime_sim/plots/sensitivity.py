"""Which input moves a figure most: one bar for each, the longest on top."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from realtime_sim.plots._style import (
    COLOURS,
    as_written,
    axes_or_new,
    draw_legend,
    even_ticks,
    plain_ticks,
    tidy,
    time_ticks,
)
from realtime_sim.sweeps import Sensitivity

__all__ = ["sensitivity_bars"]


def sensitivity_bars(found: Sensitivity, ax: Axes | None = None) -> Axes:
    """What `realtime_sim.sensitivity` found.

    Of a tornado each bar reaches from the figure of the scenario as it is to those at the two ends of an input, which
    stand beside it. Of Morris it is `mu_star`, of Sobol there are two, `S1` and `ST`, all with their intervals.

    Parameters
    ----------
    found : Sensitivity
        By any method.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        The figure, times in milliseconds, or shares in per cent, against the inputs.
    """
    ax = axes_or_new(ax)
    frame = found.frame.iloc[::-1]  # the first stands on top
    is_time = found.of.endswith("_s") and not found.of.endswith("_per_s")
    label = as_written(found.of.removesuffix("_s") if is_time else found.of).replace("_", " ")
    if found.method == "tornado":
        _tornado(ax, found, frame, 1e3 if is_time else 1.0)
        title = f"{label} at both ends of each input"
    elif found.method == "morris":
        _bars(ax, frame, ["mu_star"], 1e3 if is_time else 1.0)
        title, label = f"How far {label} moves over the range of each input", "mean effect (mu*)"
    else:
        _bars(ax, frame, ["S1", "ST"], 100.0)
        title, label = f"Shares in the variance of {label}", "share, %"
    ax.set_yticks(range(len(frame)), [as_written(path) for path in frame.index])
    even_ticks(ax.xaxis)
    if is_time and found.method != "sobol":
        time_ticks(ax.xaxis)
    else:
        plain_ticks(ax.xaxis)
    draw_legend(ax)
    return tidy(ax, title, label, "", grid="x")


def _tornado(ax: Axes, found: Sensitivity, frame: pd.DataFrame, scale: float) -> None:
    base = frame["at_base"].iloc[0] * scale
    room = max(frame[["at_low", "at_high"]].max().max() - frame[["at_low", "at_high"]].min().min(), 0.0) * scale or 1.0
    for i, end in enumerate(("low", "high")):
        lengths = frame[f"at_{end}"] * scale - base
        ax.barh(range(len(frame)), lengths, left=base, height=0.6, color=COLOURS[i], label=f"{end} end")
        for y, (path, value, length) in enumerate(zip(frame.index, frame[end], lengths, strict=True)):
            right = length > 0 or (length == 0 and end == "high")
            at = {"xytext": (4 if right else -4, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(
                as_written(found.value(path, value)),
                (base + length, y),
                ha="left" if right else "right",
                fontsize=8,
                **at,
            )
    ax.axvline(base, color="#000000", linewidth=1, label="as it is")
    low, high = ax.get_xlim()
    ax.set_xlim(low - 0.15 * room, high + 0.15 * room)  # for the values beside the bars


def _bars(ax: Axes, frame: pd.DataFrame, names: list[str], scale: float) -> None:
    height = 0.7 / len(names)
    for i, name in enumerate(names):
        value, low, high = (frame[column] * scale for column in (name, f"{name}_low", f"{name}_high"))
        y = [row + (len(names) / 2 - 0.5 - i) * height for row in range(len(frame))]
        error = [(value - low).clip(lower=0), (high - value).clip(lower=0)]
        ax.barh(
            y, value, height=height, color=COLOURS[i], label=name, xerr=error, error_kw={"elinewidth": 1, "capsize": 3}
        )
