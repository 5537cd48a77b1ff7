"""Balancing: which server a new connection or request goes to.

The rule: `pick` chooses one of the healthy servers from their loads, two uniform draws, the client's number and a
counter, or -1 when none is healthy. Both engines call it; `choose` is the same with a reason, for people. A balancer
decides once a connection, so after a scale-out only new connections reach the new servers.

References
----------
HAProxy configuration manual, `balance`: roundrobin, leastconn, source, random. Mitzenmacher (2001), "The power of two
choices in randomized load balancing", IEEE TPDS 12(10). Thaler and Ravishankar (1998), "Using name-based mappings to
increase hit rates", IEEE/ACM ToN 6(1), for highest random weight hashing. Steele, Lea and Flood (2014), "Fast
splittable pseudorandom number generators", OOPSLA, for SplitMix64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from realtime_sim.policies import _checks

__all__ = [
    "NO_SERVER",
    "REGISTRY",
    "Balancing",
    "ConsistentHash",
    "LeastConnections",
    "PowerOfTwo",
    "Random",
    "RoundRobin",
    "SourceHash",
    "choose",
    "pick",
    "pick_affine",
    "splitmix64",
]

NO_SERVER = -1
"""The server `pick` returns when none is healthy."""

_ROUND_ROBIN, _LEAST_CONNECTIONS, _RANDOM, _POWER_OF_TWO, _SOURCE_HASH, _CONSISTENT_HASH = range(6)


class Balancing(Protocol):
    """What every balancing policy has: the code of its rule."""

    code: ClassVar[int]


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """Each healthy server in turn; a server that is down is passed over."""

    code: ClassVar[int] = _ROUND_ROBIN


@dataclass(frozen=True, slots=True)
class LeastConnections:
    """The healthy server with the fewest connections, the lowest index among equals.

    HAProxy recommends it where sessions are very long. After a scale-out it sends every new connection to the new
    servers until they are level.
    """

    code: ClassVar[int] = _LEAST_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Random:
    """A healthy server by chance, all alike."""

    code: ClassVar[int] = _RANDOM


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    """The less loaded of two different healthy servers drawn by chance (Mitzenmacher 2001; HAProxy `random(2)`)."""

    code: ClassVar[int] = _POWER_OF_TWO


@dataclass(frozen=True, slots=True)
class SourceHash:
    """Hash of the client modulo the number of healthy servers; most clients move when that number changes."""

    code: ClassVar[int] = _SOURCE_HASH


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """The healthy server with the highest hash of (client, server): only clients of a lost server move.

    Highest random weight, or rendezvous, hashing (Thaler and Ravishankar 1998). nginx and HAProxy reach the same end
    with a ring of points.
    """

    code: ClassVar[int] = _CONSISTENT_HASH


REGISTRY = MappingProxyType(
    {
        "round_robin": RoundRobin,
        "least_connections": LeastConnections,
        "random": Random,
        "power_of_two": PowerOfTwo,
        "source_hash": SourceHash,
        "consistent_hash": ConsistentHash,
    }
)
"""Balancing policies by the name a scenario uses."""

_REASONS = {
    _ROUND_ROBIN: "next in turn",
    _LEAST_CONNECTIONS: "fewest connections",
    _RANDOM: "drawn by chance",
    _POWER_OF_TWO: "fewer connections of two drawn by chance",
    _SOURCE_HASH: "hash of the source",
    _CONSISTENT_HASH: "highest hash of source and server",
}


@njit(cache=True)
def splitmix64(x):
    """A 64-bit hash of a 64-bit number: one step of SplitMix64 (Steele, Lea and Flood 2014).

    Parameters
    ----------
    x : int
        On [0, 2**64); a Python int of 2**63 or more must come as `numpy.uint64`.

    Returns
    -------
    int
        On [0, 2**64).

    Examples
    --------
    >>> hex(splitmix64(0))
    '0xe220a8397b1dcdaf'
    """
    z = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _nth_healthy(healthy, n):
    """Index of the healthy server with `n` healthy ones before it."""
    for server in range(healthy.size):
        if healthy[server]:
            if n == 0:
                return server
            n -= 1
    return NO_SERVER


@njit(cache=True)
def _round_robin(healthy, counter):
    for step in range(healthy.size):
        server = (counter + step) % healthy.size
        if healthy[server]:
            return server
    return NO_SERVER


@njit(cache=True)
def _least_connections(load, healthy):
    best = NO_SERVER
    for server in range(healthy.size):
        if healthy[server] and (best == NO_SERVER or load[server] < load[best]):
            best = server
    return best


@njit(cache=True)
def _power_of_two(load, healthy, n_healthy, u1, u2):
    if n_healthy == 1:
        return _nth_healthy(healthy, 0)
    first = int(u1 * n_healthy)
    second = int(u2 * (n_healthy - 1))
    if second >= first:
        second += 1
    low = _nth_healthy(healthy, min(first, second))
    high = _nth_healthy(healthy, max(first, second))
    return high if load[high] < load[low] else low


@njit(cache=True)
def _consistent_hash(healthy, source):
    key = splitmix64(source)
    best, best_weight = NO_SERVER, np.uint64(0)
    for server in range(healthy.size):
        weight = splitmix64(key + np.uint64(server))
        if healthy[server] and (best == NO_SERVER or weight > best_weight):
            best, best_weight = server, weight
    return best


@njit(cache=True)
def pick(code, load, healthy, u1, u2, source, counter):
    """The server for one new connection.

    Parameters
    ----------
    code : int
        `code` of the policy's class.
    load : ndarray of int64, shape (n,)
        Connections of each server, queued handshakes included.
    healthy : ndarray of bool, shape (n,)
        Which servers the balancer believes to be up.
    u1, u2 : float
        Two uniform draws on [0, 1), stream `balance`. Only `random` (the first) and `power_of_two` read them.
    source : int
        Number of the client, on [0, 2**63). Only the hashes read it.
    counter : int
        What the last call returned, 0 at first. Only `round_robin` reads and changes it.

    Returns
    -------
    server : int
        Index of a healthy server, or -1 when there is none. Ties go to the lowest index.
    counter : int
        For the next call.

    Raises
    ------
    ValueError
        If no rule has this code.

    Examples
    --------
    >>> load, healthy = np.array([3, 1, 1]), np.array([True, True, True])
    >>> pick(LeastConnections.code, load, healthy, 0.0, 0.0, 0, 0)
    (1, 0)
    """
    n_healthy = 0
    for server in range(healthy.size):
        if healthy[server]:
            n_healthy += 1
    if n_healthy == 0:
        return NO_SERVER, counter
    if code == _ROUND_ROBIN:
        server = _round_robin(healthy, counter)
        return server, (server + 1) % healthy.size
    if code == _LEAST_CONNECTIONS:
        return _least_connections(load, healthy), counter
    if code == _RANDOM:
        return _nth_healthy(healthy, int(u1 * n_healthy)), counter
    if code == _POWER_OF_TWO:
        return _power_of_two(load, healthy, n_healthy, u1, u2), counter
    if code == _SOURCE_HASH:
        return _nth_healthy(healthy, int(splitmix64(source) % np.uint64(n_healthy))), counter
    if code == _CONSISTENT_HASH:
        return _consistent_hash(healthy, source), counter
    raise ValueError("no balancing rule has this code")


@njit(cache=True)
def pick_affine(code, load, healthy, u1, u2, source, counter, previous):
    """The server a cookie names while it is healthy, else what `pick` says.

    Parameters
    ----------
    code, load, healthy, u1, u2, source, counter
        As for `pick`.
    previous : int
        The server the client had, or -1.

    Returns
    -------
    server, counter : int
        As from `pick`. A client that keeps its server leaves the counter as it is.

    Examples
    --------
    >>> load, healthy = np.array([3, 1, 1]), np.array([True, True, True])
    >>> pick_affine(LeastConnections.code, load, healthy, 0.0, 0.0, 0, 0, 2)
    (2, 0)
    """
    if 0 <= previous < healthy.size and healthy[previous]:
        return previous, counter
    return pick(code, load, healthy, u1, u2, source, counter)


def choose(
    policy: Balancing,
    load: ArrayLike,
    healthy: ArrayLike,
    u: Sequence[float] = (0.0, 0.0),
    source: int = 0,
    state: int = 0,
    previous: int = NO_SERVER,
) -> tuple[int, int, str]:
    """The server for one new connection, with the reason.

    Parameters
    ----------
    policy : Balancing
        One of the classes in `REGISTRY`.
    load : array of int, shape (n,)
        Connections of each server.
    healthy : array of bool, shape (n,)
        Which servers the balancer believes to be up.
    u : sequence of 2 float
        Two uniform draws on [0, 1), stream `balance`.
    source : int
        Number of the client, 0 or more.
    state : int
        The state the last call returned, 0 at first.
    previous : int
        The server a cookie names, or -1 for none.

    Returns
    -------
    state : int
        For the next call.
    server : int
        Index of a healthy server, or -1.
    reason : str
        Why this one.

    Raises
    ------
    ValueError
        If the arrays differ in shape, a load or the source is negative, or a draw is not on [0, 1).

    Examples
    --------
    >>> choose(RoundRobin(), load=[0, 0, 0], healthy=[True, False, True], state=1)
    (0, 2, 'next in turn')
    >>> choose(RoundRobin(), load=[0, 0, 0], healthy=[True, False, True], previous=2)
    (0, 2, 'cookie')
    """
    loads, up = _checks.counts("load", load), np.asarray(healthy, dtype=np.bool_)
    if loads.ndim != 1 or loads.shape != up.shape:
        raise ValueError(f"load and healthy must be rows of one length, got shapes {loads.shape} and {up.shape}")
    first, second = _checks.draws("u", u).tolist()
    source, state = _checks.whole("source", source, 0), _checks.whole("state", state, 0)
    server, counter = pick_affine(policy.code, loads, up, first, second, source, state, int(previous))
    if server == NO_SERVER:
        return counter, NO_SERVER, "no healthy server"
    return counter, server, "cookie" if server == previous else _REASONS[policy.code]
