"""Outages: what piles up while a server stands still, and how long it takes to work it off."""

from __future__ import annotations

import math

from realtime_sim.theory._inputs import at_least_zero, positive

__all__ = ["catch_up_s"]


def catch_up_s(outage_s: float, arrival_rate_per_s: float, capacity_per_s: float) -> float:
    """Time from the end of an outage until the backlog is gone, `T lam / (mu - lam)`.

    While it lasts, `T lam` customers pile up; afterwards `mu - lam` more are served than come in each second.

    Parameters
    ----------
    outage_s : float
        Length of the outage `T`, seconds, 0 or more.
    arrival_rate_per_s : float
        Arrivals `lam` per second, 0 or more.
    capacity_per_s : float
        Customers `mu` that are served in a second by servers that are all busy, positive.

    Returns
    -------
    float
        Seconds, 0 or more; `inf` where arrivals reach the capacity.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    A fluid: it leaves out that arrivals and services vary, so it is the mean of a simulated time for long outages, and
    fails for short ones and near full load.

    References
    ----------
    Newell, "Applications of Queueing Theory" (2nd ed., 1982), ch. 2 (deterministic fluid approximations).

    Examples
    --------
    >>> catch_up_s(outage_s=30, arrival_rate_per_s=50, capacity_per_s=100)
    30.0
    """
    outage, rate = at_least_zero("outage_s", outage_s), at_least_zero("arrival_rate_per_s", arrival_rate_per_s)
    spare = positive("capacity_per_s", capacity_per_s) - rate
    if not outage * rate:
        return 0.0
    return outage * rate / spare if spare > 0 else math.inf
