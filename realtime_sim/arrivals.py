"""Arrivals: times at which publishes or events occur by chance."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from realtime_sim.draws import Stream, uniforms

__all__ = ["poisson_ns"]

ARRIVAL = Stream.ARRIVAL  # compiled code reads plain numbers, no attributes of a class

DRAWN_AT_ONCE = 1024
"""Draws that stay in the processor's first cache until they are used."""


@njit(cache=True, error_model="numpy")
def poisson_ns(seed, process, rate, start, stop, stream=ARRIVAL):
    """Times of a Poisson process, of publishes or events: exponential gaps, added up.

    Parameters
    ----------
    seed, process : int
        The gaps are drawn for these ids.
    rate : float
        How many per second.
    start, stop : float
        When it begins and ends, seconds.
    stream : int
        A `Stream`: what occurs.

    Returns
    -------
    ndarray of int64, shape (n,)
        Ascending, nanoseconds, all before `stop` in whole nanoseconds.

    Examples
    --------
    >>> times = poisson_ns(0, 0, 1000.0, 2.0, 3.0)
    >>> len(times), bool(times[0] >= 2e9), bool(times[-1] < 3e9)
    (983, True, True)
    """
    end_ns, chunk = np.int64(np.rint(stop * 1e9)), int((stop - start) * rate * 1.05) + 100
    out, n, last = np.empty(chunk, dtype=np.int64), 0, start
    while True:
        passed = 0.0
        if n > 0:
            out = np.concatenate((out, np.empty(chunk, dtype=np.int64)))
        for i in range(chunk):
            if i % DRAWN_AT_ONCE == 0:
                u = uniforms(seed, stream, process, n + i, DRAWN_AT_ONCE)
            passed += -math.log(1.0 - u[i % DRAWN_AT_ONCE]) / rate
            out[n + i] = np.int64(np.rint((last + passed) * 1e9))
            if out[n + i] >= end_ns:
                return out[: n + i]
        n, last = n + chunk, last + passed
