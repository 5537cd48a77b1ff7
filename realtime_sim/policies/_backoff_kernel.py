"""The arithmetic of every backoff rule, as one compiled function of plain numbers.

Codes and parameter arrays are made by the classes of `backoff` and `client_backoff`; entry 0 of an array is the longest
wait. The array has one length for all rules, so that an engine can stack the cohorts of a scenario in one table.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

N_PARAMS = 4

NONE, FIXED, EXPONENTIAL, FULL, EQUAL, DECORRELATED = range(6)
SOCKETIO, PHOENIX, SIGNALR, WEBSOCKETS, RECONNECTING = range(6, 11)

PHOENIX_S = (0.010, 0.050, 0.100, 0.150, 0.200, 0.250, 0.500, 1.000, 2.000)
SIGNALR_S = (0.0, 2.0, 10.0, 30.0)


def pack(*values: float) -> np.ndarray:
    """Parameters in the order the kernel reads them, filled up with zeros, float64, shape (N_PARAMS,).

    Examples
    --------
    >>> pack(30.0, 1.0).tolist()
    [30.0, 1.0, 0.0, 0.0]
    """
    return np.array((*values, *(0.0,) * (N_PARAMS - len(values))), dtype=np.float64)


@njit(cache=True)
def _socketio(p, attempt, u):
    """Socket.IO in its own units, milliseconds, operation by operation (backo2.ts, `duration`)."""
    wait_ms = p[1] * 1000.0 * p[2] ** float(attempt)
    if p[3] > 0.0:
        deviation_ms = np.floor(u * p[3] * wait_ms)
        wait_ms = wait_ms - deviation_ms if int(u * 10.0) % 2 == 0 else wait_ms + deviation_ms
    if math.isnan(wait_ms):  # infinity - infinity, or 0 * infinity; JavaScript's `NaN | 0` is 0
        return 0.0
    return np.floor(min(wait_ms, p[0] * 1000.0)) / 1000.0


@njit(cache=True)
def delay_kernel(code, p, attempt, u, previous_s, u_client):
    """The wait before the next connection attempt, seconds.

    Parameters
    ----------
    code : int
        `code` of the policy's class.
    p : ndarray of float64, shape (4,)
        `params()` of the policy.
    attempt : int
        Waits since the connection was last open, from 0; 0 is the first.
    u : float
        One uniform draw on [0, 1) for this attempt, stream `backoff`.
    previous_s : float
        The wait before this one, seconds; 0 if there was none.
    u_client : float
        One uniform draw on [0, 1) for the client's life.

    Returns
    -------
    float
        Seconds, on [0, p[0]], or infinity if the client gives up.

    Raises
    ------
    ValueError
        If no rule has this code.

    References
    ----------
    Brooker (2015) for codes 1 to 5, the classes of `client_backoff` for the others.

    Examples
    --------
    >>> float(delay_kernel(EXPONENTIAL, pack(30.0, 1.0, 2.0), 3, 0.0, 0.0, 0.0))
    8.0
    """
    if code == NONE:
        return 0.0
    if code == FIXED:
        return p[0]
    if code == EXPONENTIAL:
        return min(p[0], p[1] * p[2] ** float(attempt))
    if code == FULL:
        return u * min(p[0], p[1] * p[2] ** float(attempt))
    if code == EQUAL:
        half = min(p[0], p[1] * p[2] ** float(attempt)) / 2.0
        return half + u * half
    if code == DECORRELATED:
        before = max(previous_s, p[1])
        return min(p[0], p[1] + u * (3.0 * before - p[1]))
    if code == SOCKETIO:
        return _socketio(p, attempt, u)
    if code == PHOENIX:
        return PHOENIX_S[attempt] if attempt < len(PHOENIX_S) else p[0]
    if code == SIGNALR:
        return SIGNALR_S[attempt] if attempt < len(SIGNALR_S) else math.inf
    if code == WEBSOCKETS:
        return u * p[1] if attempt == 0 else min(p[0], p[2] * p[3] ** float(attempt - 1))
    if code == RECONNECTING:
        return min(p[0], (p[1] + u_client * (p[2] - p[1])) * p[3] ** float(attempt))
    raise ValueError("no backoff rule has this code")


@njit(cache=True)
def delays(code, p, attempt, u, previous_s, u_client):
    """`delay_kernel` for every element of arrays of one length.

    It stands in this file because numba's on-disk cache notices changes of a function's own file only.
    """
    out = np.empty(attempt.size)
    for i in range(attempt.size):
        out[i] = delay_kernel(code, p, attempt[i], u[i], previous_s[i], u_client[i])
    return out
