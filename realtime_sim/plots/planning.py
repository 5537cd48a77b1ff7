"""A plan in pictures: promises and limits against servers, what each step adds, latency at the answer and below it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from realtime_sim.limits import Limit
from realtime_sim.planning import Check, Plan
from realtime_sim.plots._style import BEHIND, COLOURS, STYLES, TICK_STEPS, axes_or_new, draw_legend, say, tidy
from realtime_sim.plots.latency import latency_cdf
from realtime_sim.sizing.shares import share_of_promise, worst_of
from realtime_sim.sizing.steps import lag_of, steps_of

__all__ = ["latency_around", "limits_used", "promises_by_servers", "servers_by_step"]

MARKERS = "osD^vPX"
HIGHEST_RATIO = 3.0
"""Of found to promised: what is beyond stands at the upper edge."""

MOST_COUNTS = 9
"""Numbers of servers that are drawn, those nearest to the answer."""

SPREAD = 0.5
"""Of the distance between two counts, over which the points of several promises are spread."""

_BAR = 0.36


def promises_by_servers(plan: Plan, ax: Axes | None = None) -> Axes:
    """What was found of each promise as a share of what is promised, against servers; above 1 it is broken.

    Whiskers are 95 % intervals; of several drills the one that comes closest to breaking the promise counts. Where a
    share must stay free (headroom), it is what is used as a share of what may be. What is beyond three times the
    promise, or never came, stands at the upper edge.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Numbers of servers that were looked at, in even steps, against found / promised.
    """
    ax = axes_or_new(ax)
    title = "Every promise against the number of servers"
    counts = _counts_shown(plan)
    shares = {n: _shares(plan, n) for n in counts}
    names = list(dict.fromkeys(name for found in shares.values() for name in found))
    if not names:
        say(ax, "no promise was simulated")
        return tidy(ax, title, "", "")
    for i, name in enumerate(names):
        points = [(place, *shares[n][name]) for place, n in enumerate(counts) if name in shares[n]]
        _draw_promise(ax, name, np.array(points), i, SPREAD * ((i + 0.5) / len(names) - 0.5))
    ax.axhspan(1, HIGHEST_RATIO * 1.1, color=COLOURS[1], alpha=0.08, linewidth=0)
    ax.axhline(1, color="#000000", linewidth=1.2, linestyle="--", label="promised")
    if plan.servers in counts:
        at = counts.index(plan.servers)
        ax.axvspan(at - 0.5, at + 0.5, color="#777777", alpha=0.12, linewidth=0)
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom", "fontsize": 9}
        ax.annotate(f"answer: {plan.servers:,}", (at, 0.02), bbox=BEHIND, **place)
    highest = max(low_high[2] for found in shares.values() for low_high in found.values())
    ax.set_ylim(0, HIGHEST_RATIO * 1.06 if highest > 2 else 2.0)
    ax.set_xlim(-0.6, len(counts) - 0.4)
    ax.set_xticks(range(len(counts)), [f"{n:,}" for n in counts])
    draw_legend(ax)
    return tidy(ax, title, "servers; whiskers: 95 % interval", "found / promised (above 1: broken)", grid="y")


def _counts_shown(plan: Plan) -> list[int]:
    """Numbers of servers that were simulated, those nearest to the answer; the largest where there is none."""
    counts = [one.servers for one in plan.evaluations if any(map(_is_promise, one.checks))]
    if plan.servers is None:
        return counts[-MOST_COUNTS:]
    return sorted(sorted(counts, key=lambda n: abs(math.log(n / plan.servers)))[:MOST_COUNTS])


def _is_promise(check: Check) -> bool:
    return check.decided_by == "simulation" and not math.isnan(check.promised)


def _shares(plan: Plan, servers: int) -> dict[str, tuple[float, float, float]]:
    """Of each promise what was found with so many servers, in the drill that is worst for it."""
    checks = tuple(filter(_is_promise, plan.at(servers).checks))
    worst = {check.constraint: worst_of(checks, check.constraint) for check in checks}
    return {name: share_of_promise(check) for name, check in worst.items() if check is not None}


def _draw_promise(ax: Axes, name: str, points: np.ndarray, i: int, shift: float) -> None:
    """The points of one promise over the counts, with their intervals; those beyond the edge stand at it."""
    x, found, low, high = points.T
    x = x + shift
    shown = np.minimum(found, HIGHEST_RATIO)
    style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
    ax.plot(x, shown, marker=MARKERS[i % len(MARKERS)], markersize=5, linewidth=1.2, label=name, **style)
    known = np.isfinite(low) & (found <= HIGHEST_RATIO)
    if known.any():
        ends = [np.maximum(found - low, 0)[known], np.maximum(np.minimum(high, HIGHEST_RATIO) - found, 0)[known]]
        ax.errorbar(x[known], found[known], yerr=ends, fmt="none", ecolor=style["color"], elinewidth=1, capsize=3)
    for place, value in zip(x, found, strict=True):
        if value > HIGHEST_RATIO:
            text = "never" if math.isinf(value) else f"{value:,.0f}x"
            at = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "fontsize": 7}
            ax.annotate(text, (place, HIGHEST_RATIO), color="#555555", **at)


def limits_used(plan: Plan, ax: Axes | None = None) -> Axes:
    """How far each limit is used at the answer, by arithmetic, and up to where it may be.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Bars in per cent of all there is; where servers may be lost, a second bar for those that are left.
    """
    ax = axes_or_new(ax)
    limits = plan.limits
    rows = [row for row in limits.rows if row.used_ratio is not None]
    title = "Limits used" if limits.needed is None else f"Limits used with {limits.needed:,} servers, by arithmetic"
    if not rows:
        say(ax, "no number of servers is enough" if limits.needed is None else "nothing is limited")
        return tidy(ax, title, "", "")
    sides = {"all servers": [row.used_ratio for row in rows]}
    if limits.lost:
        sides[f"{limits.lost:,} lost"] = [row.left_used_ratio or 0.0 for row in rows]
    _draw_bars(ax, sides)
    for place, row in enumerate(rows):
        allowed = _allowed(plan, row) * 100
        ax.plot(
            [allowed] * 2, [place - 0.42, place + 0.42], color="#000000", linewidth=2, label="may be used" * (not place)
        )
    ax.set_yticks(range(len(rows)), [row.name + (" (binds)" if row.binding else "") for row in rows])
    ax.invert_yaxis()
    highest = max(max(shares) for shares in sides.values()) * 100
    ax.set_xlim(0, max(highest * 1.14, 112))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS))
    draw_legend(ax)
    return tidy(ax, title, "used, % of all there is", "", grid="x")


def _draw_bars(ax: Axes, sides: Mapping[str, list[float]]) -> None:
    for i, (label, shares) in enumerate(sides.items()):
        at = np.arange(len(shares)) + (i - (len(sides) - 1) / 2) * (_BAR + 0.04)
        style = {"color": COLOURS[(0, 4)[i]], "hatch": ("", "///")[i], "edgecolor": "white", "linewidth": 0}
        ax.barh(at, np.array(shares) * 100, height=_BAR, label=label, **style)
        for y, share in zip(at, shares, strict=True):
            where = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
            ax.annotate(f"{share * 100:,.3g} %", (share * 100, y), bbox=BEHIND, **where)


def _allowed(plan: Plan, row: Limit) -> float:
    """Share that a limit may be used: what must stay free is promised for connections and memory alone."""
    slo = plan.scenario.slo
    if row.name in ("connections", "memory"):
        return 1.0 - ((slo.headroom if slo else None) or 0.0)
    return plan.limits.target_utilization


def servers_by_step(plan: Plan, ax: Axes | None = None) -> Axes:
    """What each thing that a static calculator leaves out adds to its answer, up to the plan's, and beyond it what an
    autoscaler's lag would.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Steps against servers; blue is what was there, vermilion what is added, green what simulation takes back.
    """
    ax = axes_or_new(ax)
    title = "From the static answer to the plan"
    steps, lag = steps_of(plan), lag_of(plan)
    if not steps or lag is None:
        say(ax, "no number of servers is enough")
        return tidy(ax, title, "", "")
    bars = [(step.name, step.servers - step.added, step.servers, "" if step.exact else "at most ") for step in steps]
    bars += [("answer", 0, plan.servers, ""), ("autoscaler's lag", plan.servers, lag.needed, "")]
    for place, (name, before, after, doubt) in enumerate(bars):
        whole = name in ("arithmetic", "answer")
        colour = COLOURS[4] if name == "answer" else COLOURS[0] if whole else COLOURS[2 if after < before else 1]
        hatch = {"hatch": "///", "edgecolor": "white"} if name == "autoscaler's lag" else {}
        ax.bar(place, after - before, bottom=before, width=0.6, color=colour, linewidth=0, **hatch)
        text = f"{after:,}" if whole else f"{doubt}{after - before:+,} = {after:,}"
        at = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "fontsize": 9}
        ax.annotate(text, (place, max(before, after)), bbox=BEHIND, **at)
        if place:
            ax.plot([place - 0.7, place - 0.3], [bars[place - 1][2]] * 2, color="#777777", linewidth=1)
    ax.set_xticks(range(len(bars)), [name.replace(" ", "\n") for name, *_ in bars])
    ax.set_ylim(0, max(max(before, after) for _, before, after, _ in bars) * 1.15)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS, integer=True))
    return tidy(ax, title, "", "servers", grid="y")


def latency_around(plan: Plan, ax: Axes | None = None) -> Axes:
    """Latency at the answer and with one server less, with what is promised.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    Axes
        Latency in milliseconds against per cent, as `latency_cdf`; diamonds are promises.
    """
    ax = axes_or_new(ax)
    title = "Delivery latency at the answer and below it"
    found = {one.servers: one.results["normal"] for one in (plan.answer, plan.below) if one and "normal" in one.results}
    if not found:
        say(ax, "no run was simulated")
        return tidy(ax, title, "", "")
    latency_cdf({f"{n:,} server{'s' * (n != 1)}": run for n, run in found.items()}, ax)
    several = max(run.n_replications for run in found.values())
    left, right = ax.get_xlim()
    slo = plan.scenario.slo
    promises = {name: getattr(slo, name) for name in ("p50", "p90", "p95", "p99", "p999")}
    for name, promised_s in promises.items():
        if promised_s is not None:
            level = float(f"{name[1:3]}.{name[3:] or 0}")
            ax.plot(promised_s * 1e3, level, "D", color="#000000", markersize=6, zorder=4)
            at = {"xytext": (-7, 0), "textcoords": "offset points", "ha": "right", "va": "center", "fontsize": 8}
            ax.annotate(f"promised {name}", (promised_s * 1e3, level), bbox=BEHIND, **at)
            left, right = min(left, promised_s * 1e3 / 1.1), max(right, promised_s * 1e3 * 1.1)
    ax.set_xlim(left, right)
    note = f" (first of {several} replications)" if several > 1 else ""
    return tidy(ax, title + note, "latency, logarithmic scale", "deliveries within, %")
