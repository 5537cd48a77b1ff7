"""Log-bucket histograms of latencies: which bucket a value falls into, and what a bucket stands for.

Every power of two has 128 equal steps; values below 256 ns are exact. Reading a bucket as its middle is off by at most
1/256 of the value, 0.4 %. The rule is integer arithmetic, so every engine files a value under the same number, and
histograms of several runs add up (as HdrHistogram's do).

References
----------
Tene, HdrHistogram (https://github.com/HdrHistogram/HdrHistogram, README): buckets of equal steps within powers of two.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["N_BUCKETS", "bucket", "bucket_bounds_ns", "bucket_of", "inlined_bucket"]

SUB_BUCKETS = 128
N_BUCKETS = 57 * SUB_BUCKETS
"""Buckets of a histogram: enough for every int64."""


@njit(inline="always")
def inlined_bucket(ns):
    """`bucket`, written out where it is called: in a plain loop the processor then files several values at once.

    Examples
    --------
    >>> inlined_bucket(257) == bucket(257)
    True
    """
    # The exponent field of the double nearest to ns is that of its highest bit, but where rounding carries it over.
    shift = max((np.float64(ns).view(np.int64) >> 52) - 1030, 0)
    if ns >> 53 != 0 and ns >> (shift + 7) == 0:
        shift -= 1
    return (ns >> shift) + shift * SUB_BUCKETS


@njit(cache=True)
def bucket(ns):
    """Bucket of one latency.

    Parameters
    ----------
    ns : int
        On [0, 2**62], nanoseconds.

    Returns
    -------
    int
        On [0, N_BUCKETS).

    Examples
    --------
    >>> [bucket(ns) for ns in (0, 255, 256, 257, 258)]
    [0, 255, 256, 256, 257]
    """
    return inlined_bucket(ns)


@njit(cache=True)
def bucket_of(ns):
    """Bucket of each latency.

    Parameters
    ----------
    ns : ndarray of int64, shape (n,)
        Latencies, nanoseconds, 0 or more.

    Returns
    -------
    ndarray of int64, shape (n,)
        On [0, N_BUCKETS).

    Examples
    --------
    >>> bucket_of(np.array([0, 255, 256, 257, 258])).tolist()
    [0, 255, 256, 256, 257]
    """
    out = np.empty(len(ns), dtype=np.int64)
    for i in range(len(ns)):
        out[i] = inlined_bucket(ns[i])
    return out


def bucket_bounds_ns() -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of every bucket, nanoseconds.

    Examples
    --------
    >>> low, high = bucket_bounds_ns()
    >>> int(low[256]), int(high[256])
    (256, 257)
    """
    index = np.arange(N_BUCKETS, dtype=np.int64)
    shift = np.maximum(index // SUB_BUCKETS - 1, 0)
    low = (index - shift * SUB_BUCKETS) << shift
    return low, low + (np.int64(1) << shift) - 1
