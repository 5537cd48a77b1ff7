"""Shares: how much of what is promised was found, and how far limits are used, so that all stand on one scale."""

from __future__ import annotations

import math
from typing import NamedTuple

from realtime_sim.planning import Check, Plan
from realtime_sim.planning.judging import AT_LEAST

__all__ = ["LimitShare", "drill_of_both", "limit_shares", "share_of_promise", "worst_of"]


class LimitShare(NamedTuple):
    """How far one limit is used, by arithmetic (dimensionless).

    Of connections and memory it is a share of what need not stay free; `left` is with as many servers lost as may be,
    None where none may; `allowed` is how far the limit may be used.
    """

    name: str
    used: float
    left: float | None
    allowed: float
    binds: bool


def limit_shares(plan: Plan) -> tuple[int, list[LimitShare]]:
    """The number of servers that limits are shown for, and how far it uses each that there is.

    That number is the answer; where there is none, what arithmetic needs, or else what the scenario has.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    limits = plan.limits
    at_needed = plan.servers is None and limits.needed is not None
    shares = []
    for row in limits.rows:
        used, left = (
            (row.used_ratio, row.left_used_ratio) if at_needed else (row.given_used_ratio, row.given_left_used_ratio)
        )
        allowed = 1.0 if row.name in ("connections", "memory") else limits.target_utilization
        if used is not None:
            shares.append(LimitShare(row.name, used, left, allowed, row.binding))
    return limits.needed if at_needed else limits.given, shares


def drill_of_both(plan: Plan) -> str | None:
    """The drill that was run at the answer and with one server less, `"normal"` before others; else one of the answer.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    here = list(plan.answer.results) if plan.answer else []
    both = [drill for drill in here if plan.below and drill in plan.below.results] or here
    return "normal" if "normal" in both else next(iter(both), None)


def share_of_promise(check: Check) -> tuple[float, float, float]:
    """Found, low and high as shares of what is promised (dimensionless); above 1 the promise is broken.

    Of a headroom it is what is used as a share of what may be. Where nothing at all may be lost, whatever is lost is
    beyond all measure.

    Parameters
    ----------
    check : Check
        Of a plan's evaluation.

    Examples
    --------
    >>> slow = Check("p99", "normal", 0.2, 0.1, 0.05, 0.15, "s", True, True)
    >>> full = Check("headroom", "normal", 0.2, 0.4, 0.4, 0.4, "ratio", True, True)
    >>> [round(share, 4) for share in share_of_promise(slow)], [round(share, 4) for share in share_of_promise(full)]
    ([0.5, 0.25, 0.75], [0.75, 0.75, 0.75])
    """
    promised, found, low, high = check.promised, check.found, check.low, check.high
    if check.constraint in AT_LEAST:
        promised, found, low, high = 1 - promised, 1 - found, 1 - high, 1 - low
    if promised > 0:
        return found / promised, low / promised, high / promised
    known = [x if x == 0 or math.isnan(x) else math.inf for x in (found, low, high)]
    return known[0], known[1], known[2]


def worst_of(checks: tuple[Check, ...], constraint: str) -> Check | None:
    """The check of a constraint that comes closest to breaking it, of all drills; None where it was not judged.

    Parameters
    ----------
    checks : tuple of Check
        Of one number of servers.
    constraint : str
        Which one.
    """
    known = [check for check in checks if check.constraint == constraint and not math.isnan(share_of_promise(check)[0])]
    return max(known, key=lambda check: (check.kept is False, share_of_promise(check)[0]), default=None)
