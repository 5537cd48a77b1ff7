"""The slowest of n independent copies: its mean, its quantiles, and what one copy must meet for all to meet a bound."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import digamma

from realtime_sim.theory._inputs import positive, probability, whole

__all__ = ["max_of_exponentials", "max_of_exponentials_quantile_s", "max_of_n_quantile"]


def max_of_exponentials(n: int, mean_s: float = 1.0) -> float:
    """Mean of the longest of `n` independent exponential times: the mean times the harmonic number `H_n`.

    Parameters
    ----------
    n : int
        Number of times, at least 1.
    mean_s : float
        Mean of one time, seconds, positive.

    Returns
    -------
    float
        Seconds, at least `mean_s`.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails for times that depend on each other, such as copies sent by one busy loop: the true maximum is then smaller.

    References
    ----------
    Renyi, On the theory of order statistics, Acta Mathematica Hungarica 4 (1953).

    Examples
    --------
    >>> round(max_of_exponentials(1000), 3)
    7.485
    """
    return float(digamma(whole("n", n, low=1) + 1) + np.euler_gamma) * positive("mean_s", mean_s)


def max_of_exponentials_quantile_s(n: int, p: float, mean_s: float = 1.0) -> float:
    """Time within which all of `n` independent exponential times end with probability `p`.

    `-mean_s log(1 - p^(1/n))`, computed without loss for large `n`.

    Parameters
    ----------
    n : int
        Number of times, at least 1.
    p : float
        Probability (dimensionless), strictly between 0 and 1.
    mean_s : float
        Mean of one time, seconds, positive.

    Returns
    -------
    float
        Seconds, positive.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails for times that depend on each other, as `max_of_exponentials` does.

    References
    ----------
    David and Nagaraja, Order Statistics (2003), chapter 2.

    Examples
    --------
    >>> round(max_of_exponentials_quantile_s(n=100, p=0.99), 3)
    9.205
    """
    n = whole("n", n, low=1)
    return -math.log(-math.expm1(math.log(probability("p", p)) / n)) * positive("mean_s", mean_s)


def max_of_n_quantile(p: float, n: int) -> float:
    """The quantile that one copy must meet so that all `n` independent copies meet it with probability `p`.

    `p^(1/n)`: to have the whole room served within a bound in 99 of 100 cases, one copy must be within it far more
    often.

    Parameters
    ----------
    p : float
        Probability wanted for the slowest copy (dimensionless), strictly between 0 and 1.
    n : int
        Number of copies, at least 1.

    Returns
    -------
    float
        Probability for one copy, at least `p`; rounded to 1 for `n` near 10^16.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Holds for any distribution, for independent copies only; for copies that share a wait it asks too much.

    References
    ----------
    David and Nagaraja, Order Statistics (2003), chapter 2.

    Examples
    --------
    >>> round(max_of_n_quantile(p=0.99, n=1000), 8)
    0.99998995
    """
    p = probability("p", p)
    return math.exp(math.log(p) / whole("n", n, low=1))
