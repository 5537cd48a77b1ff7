"""Servers against clients: what each limit asks for, and which of them decides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from realtime_sim.limits import Limits
from realtime_sim.plots._style import BEHIND, COLOURS, axes_or_new, draw_legend, label_point, line_style, say, tidy

__all__ = ["servers_by_clients"]

ROOM = 1.5
"""Times the largest number of servers, where the axis ends."""


def servers_by_clients(limits: Mapping[int, Limits], now: int, ax: Axes | None = None) -> Axes:
    """Servers that each limit asks for on its own, and what all of them together do, against clients.

    Parameters
    ----------
    limits : mapping of int to Limits
        By the number of clients, at least one; where no number of servers is enough, lines end.
    now : int
        The number of clients that is marked, one of those in `limits`.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Clients against servers, both on logarithmic axes.
    """
    ax = axes_or_new(ax)
    title = "Servers needed against clients, by arithmetic"
    clients = np.array(sorted(limits))
    tables = [limits[n] for n in clients]
    needed = np.array([np.nan if table.needed is None else table.needed for table in tables], dtype=float)
    if not np.isfinite(needed).any():
        return say(ax, title, "no number of servers is enough")
    for i, row in enumerate(tables[0].rows):
        each = [table.row(row.name) for table in tables]
        asked = np.array(
            [np.nan if one.servers is None else one.to_survive or one.servers for one in each], dtype=float
        )
        if np.isfinite(asked).any():
            ax.plot(clients, asked, label=row.name, linewidth=1.2, **line_style(i))
    ax.plot(clients, needed, color="#000000", linewidth=2.4, alpha=0.35, label="all together")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(clients[0], clients[-1])
    ax.set_ylim(0.8, np.nanmax(needed) * ROOM)
    chosen = limits[now]
    if chosen.needed is not None:
        ax.plot(now, chosen.needed, "o", color="#000000", markersize=6)
        binds = f", {chosen.binding} binds" if chosen.binding else ""
        text = f"{now:,} clients: {chosen.needed:,}{binds}"
        label_point(ax, text, (now, chosen.needed), (8, -6), va="top", fontsize=9)
    ax.axvline(now, color="#777777", linestyle=":", linewidth=1)
    if np.isnan(needed[-1]):
        _shade_beyond(ax, clients, needed)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    draw_legend(ax)
    return tidy(ax, title, "clients, logarithmic scale", "servers, logarithmic scale")


def _shade_beyond(ax: Axes, clients: np.ndarray, needed: np.ndarray) -> None:
    """Say from where on no number of servers is enough."""
    last = clients[np.flatnonzero(np.isfinite(needed))[-1]]
    ax.axvspan(last, clients[-1], color=COLOURS[1], alpha=0.08, linewidth=0)
    middle = float(np.sqrt(float(last) * float(clients[-1])))
    place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom", "fontsize": 9}
    ax.annotate("no number\nis enough", (middle, 0.04), bbox=BEHIND, **place)
