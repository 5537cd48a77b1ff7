"""Waiting times of M/G/1 from their Laplace transform, where there is no closed form.

The transform is that of Pollaczek and Khinchine; it is inverted numerically, by the Fourier series of a damped function
whose partial sums are averaged (Euler summation).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import comb

from realtime_sim.theory._inputs import at_least_zero, positive, probability
from realtime_sim.theory.waits import smallest_time_with_tail

__all__ = ["mg1_wait_quantile_s", "mg1_wait_tail"]

_DAMPING = 18.4
"""Aliases of the Fourier series are e**-18.4 of a tail, 1e-8."""

_TERMS, _AVERAGED = 60, 13
"""Terms before the first partial sum that counts, and how many more partial sums are averaged."""


def mg1_wait_tail(
    arrival_rate_per_s: float, service_s: float, cv: float, t_s: float | np.ndarray
) -> float | np.ndarray:
    """Probability that an arrival in M/G/1 waits longer than `t_s`, for gamma distributed services.

    The services of a scenario's `{mean, cv}` are such; at a cv of 1 they are exponential.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time, seconds, positive.
    cv : float
        Standard deviation of the service time over its mean (dimensionless), positive; for 0 see `md1_wait_tail`.
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
    With the transform `B(s)` of the service time, that of the tail is `(rho - lam (1 - B(s)) / s) / (s - lam (1 -
    B(s)))`. The error is some 1e-8, so tails below 1e-6 have few digits; a cv below 0.1 has kinks that are smoothed.

    References
    ----------
    Abate and Whitt, Numerical Inversion of Laplace Transforms of Probability Distributions, ORSA Journal on Computing 7
    (1995), algorithm EULER; Kleinrock, Queueing Systems I (1975), chapter 5, for the transform.

    Examples
    --------
    >>> round(mg1_wait_tail(arrival_rate_per_s=0.8, service_s=1.0, cv=1.0, t_s=5.0), 6), round(0.8 / math.e, 6)
    (0.294304, 0.294304)
    """
    rate, service_s = at_least_zero("arrival_rate_per_s", arrival_rate_per_s), positive("service_s", service_s)
    tail = _tail(rate * service_s, positive("cv", cv), np.asarray(t_s, dtype=float) / service_s)
    return tail if np.ndim(t_s) else float(tail)


def mg1_wait_quantile_s(arrival_rate_per_s: float, service_s: float, cv: float, p: float) -> float:
    """Waiting time not exceeded with probability `p` in M/G/1, for gamma distributed services.

    The inverse of `mg1_wait_tail`; 0 up to `p = 1 - rho`, the share that finds the server idle.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time, seconds, positive.
    cv : float
        Standard deviation of the service time over its mean (dimensionless), positive.
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
    Fails as `mg1_wait_tail` does, beyond `p = 1 - 1e-6`.

    References
    ----------
    As for `mg1_wait_tail`.

    Examples
    --------
    >>> round(mg1_wait_quantile_s(arrival_rate_per_s=0.8, service_s=1.0, cv=2.0, p=0.99), 2)
    56.6
    """
    rate, service_s = at_least_zero("arrival_rate_per_s", arrival_rate_per_s), positive("service_s", service_s)
    cv, p = positive("cv", cv), probability("p", p)
    utilization = rate * service_s
    if utilization >= 1:
        return math.inf
    return service_s * smallest_time_with_tail(lambda x: float(_tail(utilization, cv, np.asarray(x))), 1 - p)


def _tail(utilization: float, cv: float, services: np.ndarray) -> np.ndarray:
    """`P(W > services)` with the mean service time as the unit of time, for any shape."""
    if utilization >= 1:
        return np.ones_like(services)
    t = np.where(services > 0, services, 1.0)[..., None]
    k = np.arange(_TERMS + _AVERAGED + 1)
    terms = _transform(utilization, cv, (_DAMPING + 2j * math.pi * k) / (2 * t)).real * (-1.0) ** k
    terms[..., 0] /= 2
    partial_sums = np.cumsum(terms, axis=-1)[..., _TERMS:]
    weights = comb(_AVERAGED, np.arange(_AVERAGED + 1)) / 2**_AVERAGED
    tail = math.exp(_DAMPING / 2) / t[..., 0] * (partial_sums @ weights)
    return np.where(services < 0, 1.0, np.where(services == 0, utilization, np.clip(tail, 0.0, utilization)))


def _transform(utilization: float, cv: float, s: np.ndarray) -> np.ndarray:
    """Laplace transform of the tail, for a mean service of 1."""
    unserved = -utilization * np.expm1(-np.log1p(cv**2 * s) / cv**2)
    return (utilization - unserved / s) / (s - unserved)
