"""Shares of a promise: how much of what is promised was found, so that promises of all kinds stand on one scale."""

from __future__ import annotations

import math

from realtime_sim.planning import Check

__all__ = ["share_of_promise", "worst_of"]


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
    if check.constraint == "headroom":
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
