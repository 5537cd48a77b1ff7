"""A plan in pictures: promises and limits against servers, what each step adds, latency at the answer and below it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from realtime_sim.latency import QUANTILES
from realtime_sim.limits.table import plural
from realtime_sim.planning import Check, Plan
from realtime_sim.plots._style import (
    BEHIND,
    COLOURS,
    axes_or_new,
    draw_legend,
    even_ticks,
    label_point,
    line_style,
    rows_from_top,
    say,
    side_bars,
    tidy,
    time_text,
)
from realtime_sim.plots.latency import latency_cdf
from realtime_sim.sizing.shares import drill_of_both, limit_shares, share_of_promise, worst_of
from realtime_sim.sizing.steps import lag_of, steps_of

__all__ = ["latency_around", "limits_used", "promises_by_servers", "servers_by_step"]

MARKERS = "osD^vPX"
HIGHEST_RATIO = 3.0
"""Of found to promised: what is beyond stands at the upper edge."""

MOST_COUNTS = 9
"""Numbers of servers that are drawn, those nearest to the answer."""

SPREAD = 0.5
"""Of the distance between two counts, over which the points of several promises are spread."""

UNMEASURED = (None, "survivors", "faults")
"""What may bind and is no share of anything: nothing, and that too few servers are left or there at all."""

_LABEL_ROOM = 0.3
"""Of the width left of a promise, what its label takes right of it."""
_LAG = "autoscaler's lag"
_KINDS = {
    "the arithmetic": {"color": COLOURS[0]}, "added": {"color": COLOURS[1]},
    "taken back": {"color": COLOURS[2], "hatch": "..."}, "the answer": {"color": COLOURS[4]},
    "beyond the plan": {"color": COLOURS[3], "hatch": "///"},
}  # fmt: skip


def promises_by_servers(plan: Plan, ax: Axes | None = None) -> Axes:
    """What was found of each promise as a share of what is promised, against servers; above 1 it is broken.

    Whiskers are 95 % intervals; of several drills the one that comes closest to breaking the promise counts. Where a
    share must stay free (headroom), it is what is used as a share of what may be. What is beyond three times the
    promise, or never came, stands at the upper edge. Where arithmetic alone decides, the limit that binds has its line.

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
        return say(ax, title, "no promise was simulated")
    for i, name in enumerate(names):
        points = [(place, *shares[n][name]) for place, n in enumerate(counts) if name in shares[n]]
        _draw_promise(ax, name, np.array(points), i, SPREAD * ((i + 0.5) / len(names) - 0.5))
    ax.axhspan(1, HIGHEST_RATIO * 1.2, color=COLOURS[1], alpha=0.08, linewidth=0)
    ax.axhline(1, color="#000000", linewidth=1.2, linestyle="--", label="promised")
    if plan.servers in counts:
        at = counts.index(plan.servers)
        ax.axvspan(at - 0.5, at + 0.5, color="#777777", alpha=0.12, linewidth=0)
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "top", "fontsize": 9}
        ax.annotate(f"answer: {plan.servers:,}", (at, 0.98), bbox=BEHIND, **place)
    highest = max(low_high[2] for found in shares.values() for low_high in found.values())
    ax.set_ylim(-0.05, HIGHEST_RATIO * 1.12 if highest > 1.8 else 2.0)
    ax.set_xlim(-0.6, len(counts) - 0.4)
    ax.set_xticks(range(len(counts)), [f"{n:,}" for n in counts])
    draw_legend(ax)
    return tidy(ax, title, "servers; whiskers: 95 % interval", "found / promised (above 1: broken)", grid="y")


def _counts_shown(plan: Plan) -> list[int]:
    """Numbers of servers with something to draw, those nearest to the answer; the largest where there is none."""
    if not any(map(_is_promise, itertools.chain.from_iterable(one.checks for one in plan.evaluations))):
        return []
    counts = [one.servers for one in plan.evaluations if _shares(plan, one.servers)]
    if plan.servers is None:
        return counts[-MOST_COUNTS:]
    return sorted(sorted(counts, key=lambda n: abs(math.log(n / plan.servers)))[:MOST_COUNTS])


def _is_promise(check: Check) -> bool:
    return check.decided_by == "simulation" and not math.isnan(check.promised)


def _shares(plan: Plan, servers: int) -> dict[str, tuple[float, float, float]]:
    """Of each promise what was found with so many servers, in the drill that is worst for it, and of the limit that
    binds what arithmetic says."""
    checks = tuple(filter(_is_promise, plan.at(servers).checks))
    worst = {check.constraint: worst_of(checks, check.constraint) for check in checks}
    binding = [check for check in plan.at(servers).checks if check.decided_by == "arithmetic"]
    if plan.binding not in worst and plan.binding not in UNMEASURED:
        worst[f"{plan.binding}, arithmetic"] = worst_of(tuple(binding), plan.binding)
    return {name: share_of_promise(check) for name, check in worst.items() if check is not None}


def _draw_promise(ax: Axes, name: str, points: np.ndarray, i: int, shift: float) -> None:
    """The points of one promise over the counts, with their intervals; those beyond the edge stand at it."""
    x, found, low, high = points.T
    x = x + shift
    shown = np.minimum(found, HIGHEST_RATIO)
    style = line_style(i)
    ax.plot(x, shown, marker=MARKERS[i % len(MARKERS)], markersize=5, linewidth=1.2, label=name, **style)
    known = np.isfinite(low) & (found <= HIGHEST_RATIO)
    if known.any():
        ends = [
            np.maximum(found - np.maximum(low, 0), 0)[known],
            np.maximum(np.minimum(high, HIGHEST_RATIO) - found, 0)[known],
        ]
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
    plan, ax
        As for `promises_by_servers`.

    Returns
    -------
    Axes
        Bars in per cent; where servers may be lost, a second bar for those that are left. Of connections and memory
        it is a share of what need not stay free.
    """
    ax = axes_or_new(ax)
    servers, shares = limit_shares(plan)
    title = f"Limits used with {plural(servers, 'server')}, by arithmetic"
    if not shares:
        return say(ax, title, "nothing is limited")
    sides = {f"all {servers:,}": [share.used for share in shares]}
    if any(share.left is not None for share in shares):
        sides[f"{plan.limits.lost:,} lost"] = [share.left or 0.0 for share in shares]
    shown = [x for side in sides.values() for x in side if math.isfinite(x)]
    right = max(114.0, min(HIGHEST_RATIO, max(shown, default=1.0)) * 118)
    _draw_bars(ax, sides, [share.allowed for share in shares], right)
    rows_from_top(ax, [share.name + " (binds)" * share.binds for share in shares], right)
    draw_legend(ax)
    return tidy(ax, title, "used, %", "", grid="x")


def _draw_bars(ax: Axes, sides: Mapping[str, list[float]], allowed: list[float], right: float) -> None:
    """Bars of each side with their figures, which keep clear of the marks of what is allowed."""
    for i, (label, shares) in enumerate(sides.items()):
        lengths = np.minimum(np.array(shares) * 100, right)
        at = side_bars(ax, lengths, i, len(sides), color=COLOURS[(0, 4)[i]], label=label)
        for y, share, most in zip(at, shares, allowed, strict=True):
            end = min(share * 100, right * 0.86)
            end = most * 100 if -0.02 * right < most * 100 - end < 0.14 * right else end
            text = f"{share * 100:,.3g} %" if share * 100 < 1_000 else f"{share:,.0f} times"
            label_point(ax, text, (end, y), (5, 0), va="center", fontsize=8)
    for place, most in enumerate(allowed):
        label = "may be used" if not place else None
        ax.plot([most * 100] * 2, [place - 0.44, place + 0.44], color="#000000", linewidth=2, label=label)


def servers_by_step(plan: Plan, ax: Axes | None = None) -> Axes:
    """What each thing that a static calculator leaves out adds to its answer, up to the plan's, and beyond it what an
    autoscaler's lag would.

    Parameters
    ----------
    plan, ax
        As for `promises_by_servers`.

    Returns
    -------
    Axes
        Steps against servers.
    """
    ax = axes_or_new(ax)
    title = "From the static answer to the plan"
    steps, lag = steps_of(plan), lag_of(plan)
    if not steps or lag is None:
        return say(ax, title, "no number of servers is enough")
    bars = [(step.name, step.servers - step.added, step.servers) for step in steps]
    bars += [("answer", 0, plan.servers), (_LAG, plan.servers, lag.needed)]
    names = [step.name if step.exact else f"{step.name}\n(at most)" for step in steps]
    told: set[str] = set()
    for place, (name, before, after) in enumerate(bars):
        kind = _kind(name, after - before)
        label = None if kind in told else kind
        told.add(kind)
        ax.bar(
            place, after - before, bottom=before, width=0.6, linewidth=0, edgecolor="white", label=label, **_KINDS[kind]
        )
        text = f"{after:,}" if not before else f"{after - before:+,} = {after:,}"
        label_point(ax, text, (place, max(before, after)), (0, 4), ha="center", fontsize=9)
        if place:
            ax.plot([place - 0.7, place - 0.3], [bars[place - 1][2]] * 2, color="#777777", linewidth=1)
    ax.set_xticks(range(len(bars)), [*names, "answer", _LAG.replace(" ", "\n")])
    ax.set_ylim(0, max(max(before, after) for _, before, after in bars) * 1.15)
    even_ticks(ax.yaxis, integer=True)
    draw_legend(ax)
    return tidy(ax, title, "", "servers", grid="y")


def _kind(name: str, added: int) -> str:
    if name in ("arithmetic", "answer"):
        return f"the {name}"
    if name == _LAG:
        return "beyond the plan"
    return "taken back" if added < 0 else "added"


def latency_around(plan: Plan, ax: Axes | None = None) -> Axes:
    """Latency at the answer and with one server less, with what is promised.

    Parameters
    ----------
    plan, ax
        As for `promises_by_servers`.

    Returns
    -------
    Axes
        Latency in milliseconds against per cent, as `latency_cdf`; diamonds are promises.
    """
    ax = axes_or_new(ax)
    title = "Delivery latency at the answer and below it"
    drill = drill_of_both(plan)
    found = {one.servers: one.results[drill] for one in (plan.answer, plan.below) if one and drill in one.results}
    if not found:
        return say(ax, title, "no run was simulated")
    latency_cdf({f"{n:,} server{'s' * (n != 1)}": run for n, run in found.items()}, ax)
    several = max(run.n_replications for run in found.values())
    _mark_promises(ax, plan)
    note = "" if drill == "normal" else f", drill “{drill}”"
    note += f" (first of {several} replications)" if several > 1 else ""
    return tidy(ax, title + note, "latency, logarithmic scale", "deliveries within, %")


def _mark_promises(ax: Axes, plan: Plan) -> None:
    """Diamonds at the promised quantiles, with their figures at the lower right, which a curve leaves free."""
    left, right = ax.get_xlim()
    for name, p in QUANTILES.items():
        promised_s = getattr(plan.scenario.slo, name)
        if promised_s is None:
            continue
        x_ms = promised_s * 1e3
        ax.plot(x_ms, p * 100, "D", color="#000000", markersize=6, zorder=4)
        label_point(ax, f"promised: {name} {time_text(x_ms)}", (x_ms, p * 100), (7, -4), va="top", fontsize=8)
        left = min(left, x_ms / 1.1)
        right = max(right, x_ms * (x_ms / left) ** _LABEL_ROOM)
    ax.set_xlim(left, right)
