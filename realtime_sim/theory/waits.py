"""Distributions of waiting time: quantiles of M/M/1 and M/M/c in closed form, M/D/1 exactly and without cancellation.

Erlang's formula for M/D/1 is a sum with alternating signs, useless beyond a few services. Here every term is positive,
so that the tail keeps its relative accuracy however far out it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc

from realtime_sim.theory._inputs import at_least_zero, positive, probability, whole
from realtime_sim.theory.queues import erlang_c

__all__ = [
    "md1_wait_cdf",
    "md1_wait_quantile_s",
    "md1_wait_tail",
    "mm1_sojourn_quantile_s",
    "mm1_wait_quantile_s",
    "mmc_wait_quantile_s",
]

_EXACT_LEVELS = 64
"""Queue lengths found by recursion; from here on the tail is geometric to the last bit, at any utilization."""

_NEVER_BUSY = 1e-280
"""Utilization below which no one is said to wait: the root of the geometric tail would leave the range of floats."""

_POISSON_TERMS = 64
"""Terms of a Poisson distribution of mean 1 or less that can matter, with a wide margin."""


def mm1_wait_quantile_s(arrival_rate_per_s: float, service_s: float, p: float) -> float:
    """Waiting time not exceeded with probability `p` in M/M/1.

    `P(W <= t) = 1 - rho exp(-(mu - lam) t)`; the quantile is 0 up to `p = 1 - rho`, the share that finds the server
    idle.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time, seconds, positive.
    p : float
        Probability (dimensionless), strictly between 0 and 1.

    Returns
    -------
    float
        Seconds, 0 or more; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails as `mm1` does, and worse: bursts and regular service change the far tail more than the mean.

    References
    ----------
    Kleinrock, Queueing Systems I (1975), chapter 5.

    Examples
    --------
    >>> round(mm1_wait_quantile_s(arrival_rate_per_s=0.8, service_s=1.0, p=0.99), 3)
    21.91
    """
    return mmc_wait_quantile_s(arrival_rate_per_s, service_s, servers=1, p=p)


def mm1_sojourn_quantile_s(arrival_rate_per_s: float, service_s: float, p: float) -> float:
    """Sojourn time not exceeded with probability `p` in M/M/1.

    The sojourn is exponential with mean `s / (1 - rho)`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time, seconds, positive.
    p : float
        Probability (dimensionless), strictly between 0 and 1.

    Returns
    -------
    float
        Seconds, positive; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails as `mm1_wait_quantile_s` does.

    References
    ----------
    Kleinrock, Queueing Systems I (1975), chapter 5.

    Examples
    --------
    >>> round(mm1_sojourn_quantile_s(arrival_rate_per_s=0.8, service_s=1.0, p=0.99), 3)
    23.026
    """
    utilization = at_least_zero("arrival_rate_per_s", arrival_rate_per_s) * positive("service_s", service_s)
    p = probability("p", p)
    if utilization >= 1:
        return math.inf
    return -math.log1p(-p) * service_s / (1 - utilization)


def mmc_wait_quantile_s(arrival_rate_per_s: float, service_s: float, servers: int, p: float) -> float:
    """Waiting time not exceeded with probability `p` in M/M/c.

    `P(W > t) = C exp(-(c mu - lam) t)` with `C` from `erlang_c`; the quantile is 0 up to `p = 1 - C`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second to all servers together, 0 or more.
    service_s : float
        Mean service time at one server, seconds, positive.
    servers : int
        Number of servers, at least 1.
    p : float
        Probability (dimensionless), strictly between 0 and 1.

    Returns
    -------
    float
        Seconds, 0 or more; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails as `mmc` does. Sojourn quantiles are not these plus a quantile of service: quantiles do not add.

    References
    ----------
    Gross, Shortle, Thompson, Harris, Fundamentals of Queueing Theory, on M/M/c.

    Examples
    --------
    >>> round(mmc_wait_quantile_s(arrival_rate_per_s=9.0, service_s=1.0, servers=10, p=0.99), 3)
    4.203
    """
    rate = at_least_zero("arrival_rate_per_s", arrival_rate_per_s)
    service_s = positive("service_s", service_s)
    servers = whole("servers", servers, low=1)
    p = probability("p", p)
    utilization = rate * service_s / servers
    if utilization >= 1:
        return math.inf
    p_wait = erlang_c(servers, rate * service_s)
    if p_wait <= 1 - p:
        return 0.0
    return (math.log(p_wait) - math.log1p(-p)) * service_s / servers / (1 - utilization)


def md1_wait_tail(arrival_rate_per_s: float, service_s: float, t_s: float | np.ndarray) -> float | np.ndarray:
    """Probability that an arrival in M/D/1 waits longer than `t_s`.

    The exact tail, to about 11 digits however small it is: the form to use for the last percentiles. Very near
    utilization 1 the inputs decide the digits: the relative error is some `1e-15 / (1 - rho)`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Service time of every customer, seconds, positive.
    t_s : float or ndarray of float
        Waiting times, seconds; a negative one is exceeded for certain.

    Returns
    -------
    float or ndarray of float
        Probabilities on [0, 1], in the shape of `t_s`; 1 from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    With `k = floor(t / s) + 1` and `u = k s - t`, a customer waits no longer than `t` if at most `k - j` are in the
    system when `j` arrive in `u`: `P(W > t) = sum_{j<k} P(N > k - j) Poisson(j; lam u) + P(Poisson(lam u) >= k)`. The
    queue length N comes from level crossing, `p_{n+1} a_0 = p_0 A_{n+1} + sum_{i=1..n} p_i A_{n+2-i}`, where `a_0` is
    the chance of no arrival in a service and `A_k` that of `k` or more. Fails where service varies or arrivals are not
    Poisson.

    References
    ----------
    Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters 29 (2001);
    Tijms, A First Course in Stochastic Models (2003), chapter 9.

    Examples
    --------
    >>> round(md1_wait_tail(arrival_rate_per_s=0.8, service_s=1.0, t_s=0.0), 12)
    0.8
    >>> f"{md1_wait_tail(arrival_rate_per_s=0.8, service_s=1.0, t_s=100.0):.4g}"
    '1.685e-19'
    """
    utilization = at_least_zero("arrival_rate_per_s", arrival_rate_per_s) * positive("service_s", service_s)
    tail = _md1_tail(utilization, np.asarray(t_s, dtype=float) / service_s)
    return tail if np.ndim(t_s) else float(tail)


def md1_wait_cdf(arrival_rate_per_s: float, service_s: float, t_s: float | np.ndarray) -> float | np.ndarray:
    """Probability that an arrival in M/D/1 waits at most `t_s`.

    One minus `md1_wait_tail`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Service time of every customer, seconds, positive.
    t_s : float or ndarray of float
        Waiting times, seconds.

    Returns
    -------
    float or ndarray of float
        Probabilities on [0, 1], in the shape of `t_s`: 0 for a negative time, `1 - rho` at 0; 0 from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails as `md1_wait_tail` does; near 1 it cannot resolve more than 16 digits, the tail can.

    References
    ----------
    Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters 29 (2001).

    Examples
    --------
    >>> md1_wait_cdf(arrival_rate_per_s=0.5, service_s=1.0, t_s=np.array([-1.0, 0.0, 1.0, 2.0])).round(6).tolist()
    [0.0, 0.5, 0.824361, 0.946961]
    """
    return 1 - md1_wait_tail(arrival_rate_per_s, service_s, t_s)


def md1_wait_quantile_s(arrival_rate_per_s: float, service_s: float, p: float) -> float:
    """Waiting time not exceeded with probability `p` in M/D/1.

    The inverse of `md1_wait_cdf`, by bisection to 13 digits; 0 up to `p = 1 - rho`. Add `service_s` for the sojourn.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Service time of every customer, seconds, positive.
    p : float
        Probability (dimensionless), strictly between 0 and 1.

    Returns
    -------
    float
        Seconds, 0 or more; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails as `md1_wait_tail` does. The service being constant, the sojourn's quantile is this one plus `service_s`.

    References
    ----------
    Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters 29 (2001).

    Examples
    --------
    >>> round(md1_wait_quantile_s(arrival_rate_per_s=80.0, service_s=0.01, p=0.99), 6)
    0.103559
    """
    utilization = at_least_zero("arrival_rate_per_s", arrival_rate_per_s) * positive("service_s", service_s)
    p = probability("p", p)
    if utilization >= 1:
        return math.inf
    return service_s * smallest_time_with_tail(lambda x: float(_md1_tail(utilization, np.asarray(x))), 1 - p)


def smallest_time_with_tail(tail: Callable[[float], float], p_tail: float) -> float:
    """The smallest time, 0 or more, at which a falling `tail` is at most `p_tail`; jumps are allowed.

    Doubling finds an upper bound, bisection the time, so that the result is never below the quantile.

    Examples
    --------
    >>> round(smallest_time_with_tail(lambda t: math.exp(-t), 0.01), 9)
    4.605170186
    """
    if tail(0.0) <= p_tail:
        return 0.0
    low, high = 0.0, 1.0
    while tail(high) > p_tail:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if tail(middle) > p_tail:
            low = middle
        else:
            high = middle
    return high


def _md1_tail(utilization: float, services: np.ndarray) -> np.ndarray:
    """`P(W > services)` with the service time as the unit of time, for any shape."""
    services = np.asarray(services, dtype=float)
    if utilization >= 1:
        return np.ones_like(services)
    if utilization < _NEVER_BUSY:
        return np.where(services < 0, 1.0, 0.0)
    longer_than, decay = _md1_in_system_tail(utilization)
    now = np.clip(services, 0.0, 1e300)  # an infinite time would be a difference of infinities
    k = np.floor(now) + 1
    mean = utilization * (k - now)
    poisson = np.exp(-mean)
    tail = gammainc(k, mean)
    for j in range(_POISSON_TERMS):
        level = k - j
        within = level >= 1
        if not within.any():
            break
        exact = longer_than[np.clip(level, 0, _EXACT_LEVELS).astype(np.int64)]
        beyond = np.exp(-decay * np.maximum(level - _EXACT_LEVELS, 0.0))
        tail = tail + np.where(within, exact * beyond * poisson, 0.0)
        poisson = poisson * mean / (j + 1)
    return np.where(services < 0, 1.0, np.minimum(tail, 1.0))


@lru_cache(maxsize=256)
def _md1_in_system_tail(utilization: float) -> tuple[np.ndarray, float]:
    """`P(N > n)` for n from 0 to `_EXACT_LEVELS`, and the decay per customer of the geometric tail beyond.

    The decay is `log(tau)` for the root `tau > 1` of `tau = exp(rho (tau - 1))`.
    """
    arrivals_at_least = gammainc(np.arange(1, _EXACT_LEVELS + 1), utilization)  # index 0: one or more
    p = np.zeros(_EXACT_LEVELS + 1)
    p[0] = 1 - utilization
    for n in range(_EXACT_LEVELS):
        up = p[0] * arrivals_at_least[n] + p[1 : n + 1] @ arrivals_at_least[n:0:-1]
        p[n + 1] = up * math.exp(utilization)
    growth = _tau_minus_one(utilization)
    beyond = p[-1] / growth
    tail = beyond + np.append(np.cumsum(p[:0:-1])[::-1], 0.0)
    tail.setflags(write=False)
    return tail, math.log1p(growth)


def _tau_minus_one(utilization: float) -> float:
    """The positive root of `log(1 + x) = rho x`, which stays accurate as it nears 0 with utilization near 1."""
    low = 1 - utilization  # log1p(x) / x > 1 - x / 2, so the root is above 2 (1 - rho)
    high = 1.0
    while math.log1p(high) > utilization * high:
        high *= 2
    return float(brentq(lambda x: math.log1p(x) / x - utilization, low, high, xtol=1e-300, rtol=1e-15))
