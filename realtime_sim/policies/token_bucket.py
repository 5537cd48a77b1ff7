"""Token bucket: how many requests a second are let through, and how many of them at once, in whole nanoseconds.

The rule is the generic cell rate algorithm in its form of virtual scheduling. Instead of tokens it keeps one time: when
the next request would arrive if all came evenly. A request that is earlier than that by more than the bucket allows is
turned away and changes nothing; any other puts the time on by one interval. A bucket of `burst` tokens that is filled
at `rate_per_s` lets through exactly the same requests, and two integers need no rounding as they go.

References
----------
ITU-T Recommendation I.371 (2004), "Traffic control and congestion control in B-ISDN", annex on the GCRA, which also
shows that virtual scheduling and the leaky bucket are one rule.
"""

from __future__ import annotations

from numba import njit

from realtime_sim.policies import _checks
from realtime_sim.units import NS_PER_S

__all__ = ["TURNED_AWAY", "arrive", "bucket_ns"]

TURNED_AWAY = -1
"""What `arrive` answers instead of a time."""

_LONGEST_NS = 2**60
"""Thirty-six years: times stay within 64 bits whatever is added to them."""


def bucket_ns(rate_per_s: float, burst: int) -> tuple[int, int]:
    """Increment and limit of the algorithm, the `T` and `tau` of I.371.

    Parameters
    ----------
    rate_per_s : float
        Requests per second in the long run, above 0.
    burst : int
        Requests that are let through at one moment after a long pause, at least 1.

    Returns
    -------
    tuple of 2 int
        Nanoseconds between two requests at that rate, at least 1; and nanoseconds that one may be early.

    Raises
    ------
    ValueError
        If the rate is not positive, or `burst` no whole number of at least 1.

    Examples
    --------
    >>> bucket_ns(500.0, 100)
    (2000000, 198000000)
    """
    rate = _checks.number("rate_per_s", rate_per_s)
    if rate <= 0:
        raise ValueError(f"rate_per_s must be positive, got {rate_per_s!r}")
    increment = min(max(1, round(NS_PER_S / rate)), _LONGEST_NS)
    return increment, min((_checks.whole("burst", burst, 1) - 1) * increment, _LONGEST_NS)


@njit(cache=True)
def arrive(expected_ns, now_ns, increment_ns, limit_ns):
    """A request arrives: when the next one is expected, or `TURNED_AWAY`, after which the old time goes on to hold.

    Parameters
    ----------
    expected_ns : int
        When it was expected, the theoretical arrival time of I.371, nanoseconds; any past time at the start.
    now_ns : int
        When it arrives, nanoseconds.
    increment_ns, limit_ns : int
        From `bucket_ns`.

    Returns
    -------
    int
        Nanoseconds.

    Examples
    --------
    Ten a second and a burst of two: the third at one moment is one too many.

    >>> first = arrive(0, 0, 100_000_000, 100_000_000)
    >>> second = arrive(first, 0, 100_000_000, 100_000_000)
    >>> first, second, arrive(second, 0, 100_000_000, 100_000_000)
    (100000000, 200000000, -1)
    """
    if now_ns < expected_ns - limit_ns:
        return -1
    return max(expected_ns, now_ns) + increment_ns
