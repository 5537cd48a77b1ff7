"""Random numbers as a pure function of (seed, stream, ids): nothing here remembers what it drew.

Philox4x32-10 is a counter-based generator: the seed is its key, the stream and the ids are its counter, so the same
question has the same answer in any order, in any engine and on any number of workers. Two scenarios that differ in one
field share every other draw (common random numbers).

All variates come from one uniform by inversion, through the one compiled function `sample_ns`. Both engines and the
workload call it, which is why they agree to the nanosecond.

References
----------
Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC'11; known-answer vectors from
Random123's ``kat_vectors``. Wichura (1988), Algorithm AS 241, Applied Statistics 37, for the normal quantile.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from realtime_sim.units import MAX_SECONDS

__all__ = [
    "LAST_CLOSED_FORM",
    "Sampler",
    "Stream",
    "closed_form_ns",
    "fill_samples_ns",
    "inlined_uniform",
    "normal_quantile",
    "philox4x32",
    "sample",
    "sample_ns",
    "samples_ns",
    "uniform",
    "uniforms",
]


LAST_CLOSED_FORM = 3
"""Kinds of a `Sampler` up to this one need no table."""

CENTRAL = 0.425
"""Distance from one half up to which one formula gives the normal quantile."""

LEAST = 1.1e-16
"""Stands for a draw of 0, of which there is no normal quantile."""


class Stream:
    """Every purpose a number is drawn for. New streams are added at the end, so that old figures stay.

    Plain integers and no enum: compiled functions take ten times as long to read a member of an enum.
    """

    ARRIVAL = 1  # ids: traffic, publish
    TARGET = 2  # ids: traffic, publish
    SENDER = 3  # ids: traffic, publish
    MEMBERSHIP = 4  # ids: room group, client
    RTT = 5  # ids: 0, client
    CONNECT_TIME = 6  # ids: 0, client
    SESSION = 7  # ids: client, session
    ABSENCE = 8  # ids: client, session
    JITTER = 9  # ids: publish, client, traffic
    EVENT_COST = 10  # ids: publish, server, traffic
    HANDSHAKE_COST = 11  # ids: client, request
    BACKOFF = 12  # ids: client, loss, attempt
    CLIENT = 13  # ids: client (one number for the client's life)
    BALANCE = 14  # ids: client, request, 0 and 1
    PUBLISHER_LINK = 15  # ids: publish, 0, traffic
    SERVER_LINK = 16  # ids: publish, server, traffic
    DETECTION = 17  # ids: client, connection, 0 for the client's own detection and 1 for the server's
    FAULT = 18  # ids: fault, client
    BROKER_COST = 19  # ids: publish, 0, traffic
    EVENT = 20  # ids: kind of event, event
    APPEND = 21  # ids: kind of event, event
    FETCH = 22  # ids: service, event
    SERVICE = 23  # ids: service, event, attempt
    FAILURE = 24  # ids: service, event, attempt
    AGE = 25  # ids: client, connection, 0 for the age and 1 for the part of it that is over at the start
    IDLE = 26  # ids: client, connection, ping that races the proxy; ping 0: since when it was idle at the start
    WAKEUP = 27  # ids: publish, server, traffic
    RECEIVE = 28  # ids: publish, client, traffic; of an answer to a long poll the last publish in it
    RECEIVE_WAKEUP = 29  # ids: as those of RECEIVE
    FANOUT_WAIT = 30  # ids: publish, server, traffic


@njit(inline="always")
def _philox4x32(c0, c1, c2, c3, k0, k1):
    mask = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    x0, x1, x2, x3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    key0, key1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        product0 = np.uint64(0xD2511F53) * x0
        product1 = np.uint64(0xCD9E8D57) * x2
        x0 = (product1 >> half) ^ x1 ^ key0
        x1 = product1 & mask
        x2 = (product0 >> half) ^ x3 ^ key1
        x3 = product0 & mask
        key0 = (key0 + np.uint64(0x9E3779B9)) & mask
        key1 = (key1 + np.uint64(0xBB67AE85)) & mask
    return x0, x1, x2, x3


@njit(cache=True)
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.

    Parameters
    ----------
    c0, c1, c2, c3 : int
        Counter words on [0, 2**32).
    k0, k1 : int
        Key words on [0, 2**32).

    Returns
    -------
    tuple of 4 int
        Words on [0, 2**32).

    Examples
    --------
    >>> [hex(int(word)) for word in philox4x32(0, 0, 0, 0, 0, 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    return _philox4x32(c0, c1, c2, c3, k0, k1)


@njit(inline="always")
def inlined_uniform(seed, stream, i, j, k):
    """`uniform`, written out where it is called: in a plain loop the processor then makes several draws at once.

    Parameters
    ----------
    seed, stream, i, j, k : int
        As for `uniform`.

    Examples
    --------
    >>> inlined_uniform(0, Stream.RTT, 7, 0, 0) == uniform(0, Stream.RTT, 7)
    True
    """
    key = np.uint64(seed)
    w0, w1, _, _ = _philox4x32(stream, i, j, k, key & np.uint64(0xFFFFFFFF), key >> np.uint64(32))
    return np.float64((w0 >> np.uint64(5)) * np.uint64(67108864) + (w1 >> np.uint64(6))) / 9007199254740992.0


@njit(cache=True)
def uniform(seed, stream, i, j=0, k=0):
    """One uniform draw on [0, 1), 53 bits, for the address (seed, stream, i, j, k).

    Parameters
    ----------
    seed : int
        On [0, 2**64). Seed 0 is a seed like any other.
    stream : int
        A `Stream`: what the number is for.
    i, j, k : int
        Ids on [0, 2**32): which client, message, attempt.

    Returns
    -------
    float
        Dimensionless, on [0, 1).

    Examples
    --------
    >>> uniform(0, Stream.RTT, 7) == uniform(0, Stream.RTT, 7) != uniform(1, Stream.RTT, 7)
    True
    """
    return inlined_uniform(seed, stream, i, j, k)


@njit(cache=True)
def uniforms(seed, stream, i, first, n):
    """`n` uniform draws on [0, 1) for the addresses (seed, stream, i, first ... first + n - 1).

    Parameters
    ----------
    seed, stream, i : int
        As for `uniform`.
    first, n : int
        The first of the second ids, and how many.

    Returns
    -------
    ndarray of float, shape (n,)
        Dimensionless, on [0, 1).

    Examples
    --------
    >>> uniforms(3, Stream.ARRIVAL, 0, 5, 2)[1] == uniform(3, Stream.ARRIVAL, 0, 6)
    np.True_
    """
    out = np.empty(n)
    for offset in range(n):
        out[offset] = inlined_uniform(seed, stream, i, first + offset, 0)
    return out


@njit(inline="always")
def _central_quantile(q):
    """The quantile at 0.5 + q, for q up to 0.425 on either side."""
    r = 0.180625 - q * q
    num = (((((((r * 2509.0809287301226727 + 33430.575583588128105) * r + 67265.770927008700853) * r
             + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
           + 133.14166789178437745) * r + 3.387132872796366608)  # fmt: skip
    den = (((((((r * 5226.495278852545925 + 28729.085735721942674) * r + 39307.89580009271061) * r
             + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
           + 42.313330701600911252) * r + 1.0)  # fmt: skip
    return q * num / den


@njit(cache=True)
def normal_quantile(p):
    """Standard normal quantile, relative error about 1e-16 (Wichura 1988, AS 241, PPND16).

    Parameters
    ----------
    p : float
        Probability on (0, 1).

    Examples
    --------
    >>> round(float(normal_quantile(0.99)), 10)
    2.326347874
    """
    q = p - 0.5
    if abs(q) <= CENTRAL:
        return _central_quantile(q)
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        num = (((((((r * 7.7454501427834140764e-4 + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
                 + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
               + 4.6303378461565452959) * r + 1.42343711074968357734)  # fmt: skip
        den = (((((((r * 1.05075007164441684324e-9 + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
                 + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
               + 2.05319162663775882187) * r + 1.0)  # fmt: skip
    else:
        r -= 5.0
        num = (((((((r * 2.01033439929228813265e-7 + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
                 + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
               + 5.4637849111641143699) * r + 6.6579046435011037772)  # fmt: skip
        den = (((((((r * 2.04426310338993978564e-15 + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
                 + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
               + 0.59983220655588793769) * r + 1.0)  # fmt: skip
    return -num / den if q < 0.0 else num / den


class Sampler(NamedTuple):
    """A distribution in the form the compiled code reads; scenario distributions make theirs once.

    `kind` 0 constant a; 1 uniform on [a, b); 2 exponential with mean a; 3 lognormal with median a and sigma b;
    4 table of quantiles at equal steps of the normal score, from -a to a; 5 quantiles `y` at probabilities `x`.
    All values are seconds.
    """

    kind: int
    a: float
    b: float
    x: np.ndarray
    y: np.ndarray


@njit(inline="always")
def _whole_ns(seconds):
    return np.int64(np.rint(min(seconds, MAX_SECONDS) * 1e9))


@njit(inline="always")
def _uniform_between(low, high, u):
    return low + (high - low) * u


@njit(inline="always")
def _exponential(mean, u):
    return -mean * math.log(1.0 - u)


@njit(cache=True)
def _closed_form(kind, a, b, u):
    if kind == 0:
        return a
    if kind == 1:
        return _uniform_between(a, b, u)
    if kind == 2:
        return _exponential(a, u)
    return a * math.exp(b * normal_quantile(max(u, LEAST)))


@njit(cache=True)
def _from_table(kind, a, x, y, u):
    if kind == 5:
        return np.interp(u, x, y)
    steps = len(y) - 1
    position = min(max((normal_quantile(max(u, LEAST)) + a) / (2.0 * a), 0.0), 1.0) * steps
    left = min(int(position), steps - 1)
    return y[left] + (y[left + 1] - y[left]) * (position - left)


@njit(cache=True)
def sample(sampler, u):
    """The quantile, in seconds, of the distribution at the uniform draw `u` on [0, 1).

    Examples
    --------
    >>> none = np.zeros(1)
    >>> float(sample(Sampler(1, 2.0, 4.0, none, none), 0.25))
    2.5
    """
    if sampler.kind <= LAST_CLOSED_FORM:
        return _closed_form(sampler.kind, sampler.a, sampler.b, u)
    return _from_table(sampler.kind, sampler.a, sampler.x, sampler.y, u)


@njit(cache=True)
def sample_ns(sampler, u):
    """`sample` in whole nanoseconds, rounded half to even; at most `MAX_SECONDS`, so that it fits an int64.

    Examples
    --------
    >>> none = np.zeros(1)
    >>> int(sample_ns(Sampler(0, 0.25, 0.0, none, none), 0.5))
    250000000
    """
    return _whole_ns(sample(sampler, u))


@njit(cache=True, error_model="numpy")
def _fill_lognormal_ns(median, sigma, u, out):
    """The quantiles near the middle all in one go, those in the tails one by one."""
    z = np.empty(len(u))
    for i in range(len(u)):
        z[i] = _central_quantile(u[i] - 0.5)
    for i in range(len(u)):
        if abs(u[i] - 0.5) > CENTRAL:
            z[i] = normal_quantile(max(u[i], LEAST))
    for i in range(len(u)):
        out[i] = _whole_ns(median * math.exp(sigma * z[i]))


@njit(cache=True)
def fill_samples_ns(kind, a, b, x, y, u, out):
    """`sample_ns` of every element of an array of uniform draws, into an array of the same length.

    Parameters
    ----------
    kind, a, b, x, y
        The fields of a `Sampler`: handed on one by one they cost less than the drawing does.
    u : ndarray of float, shape (n,)
        Uniform draws on [0, 1).
    out : ndarray of int64, shape (n,)
        The times, nanoseconds.

    Examples
    --------
    >>> out, none = np.zeros(2, dtype=np.int64), np.zeros(1)
    >>> fill_samples_ns(1, 0.0, 1e-6, none, none, np.array([0.25, 0.5]), out)
    >>> out.tolist()
    [250, 500]
    """
    if kind == 1:
        for i in range(len(u)):
            out[i] = _whole_ns(_uniform_between(a, b, u[i]))
    elif kind == 2:
        for i in range(len(u)):
            out[i] = _whole_ns(_exponential(a, u[i]))
    elif kind == 3:
        _fill_lognormal_ns(a, b, u, out)
    elif kind == 0:
        out[:] = _whole_ns(a)
    else:
        for i in range(len(u)):
            out[i] = _whole_ns(_from_table(kind, a, x, y, u[i]))


@njit(cache=True)
def closed_form_ns(kind, a, b, u):
    """`sample_ns` for a kind that needs no table: up to `LAST_CLOSED_FORM`.

    Parameters
    ----------
    kind, a, b
        The first fields of a `Sampler`.
    u : float
        One uniform draw on [0, 1).

    Examples
    --------
    >>> int(closed_form_ns(1, 0.0, 1e-6, 0.25))
    250
    """
    return _whole_ns(_closed_form(kind, a, b, u))


@njit(cache=True)
def samples_ns(sampler, u):
    """`sample_ns` of every element of an array of uniform draws.

    Examples
    --------
    >>> none = np.zeros(1)
    >>> samples_ns(Sampler(1, 0.0, 1e-6, none, none), np.array([0.25, 0.5])).tolist()
    [250, 500]
    """
    out = np.empty(len(u), dtype=np.int64)
    fill_samples_ns(sampler.kind, sampler.a, sampler.b, sampler.x, sampler.y, u, out)
    return out
