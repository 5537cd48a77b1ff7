"""Servers that sleep when they are idle: an arrival that wakes one costs more, and a busy one is woken less often."""

from __future__ import annotations

from scipy.optimize import brentq

from realtime_sim.theory._inputs import at_least_zero, whole
from realtime_sim.theory.queues import erlang_c

__all__ = ["utilization_with_wakeups"]


def utilization_with_wakeups(servers: int, offered_load: float, arrival_rate_per_s: float, wakeup_s: float) -> float:
    """Busy share of servers that an arrival must wake, for `wakeup_s`, where it finds one of them idle.

    The solution of `c rho = a + lam w (1 - C(c, c rho))`, with `C` from `erlang_c`: the busier, the fewer wake-ups.
    For one server `rho = (a + lam w) / (1 + lam w)`.

    Parameters
    ----------
    servers : int
        Number of servers `c` behind one line, at least 1.
    offered_load : float
        Work without wake-ups `a` (erlang, dimensionless), 0 or more.
    arrival_rate_per_s : float
        Poisson arrivals `lam` per second to all servers together, 0 or more.
    wakeup_s : float
        Further work `w` of an arrival that finds a server idle, seconds, 0 or more.

    Returns
    -------
    float
        Busy share of each server (dimensionless); `offered_load / servers` where that is 1 or more, for then nobody
        is idle. Wake-ups alone never make it 1.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Exact for one server, whatever the service time, if arrivals are Poisson; for several an approximation by M/M/c.
    Fails where arrivals come in bursts, whose first customer alone wakes the server: then too high.

    References
    ----------
    Welch, Operations Research 12 (1964), for one server; Gross et al. on M/M/c for the chance that all are busy.

    Examples
    --------
    >>> round(utilization_with_wakeups(servers=1, offered_load=0.5, arrival_rate_per_s=5000, wakeup_s=1e-4), 6)
    0.666667
    """
    servers = whole("servers", servers, low=1)
    load = at_least_zero("offered_load", offered_load)
    waking = at_least_zero("arrival_rate_per_s", arrival_rate_per_s) * at_least_zero("wakeup_s", wakeup_s)
    if load >= servers or not waking:
        return load / servers
    if servers == 1:
        return (load + waking) / (1 + waking)

    def missing(busy: float) -> float:
        return load + waking * (1 - erlang_c(servers, busy)) - busy

    return float(brentq(missing, load, servers, xtol=1e-12)) / servers
