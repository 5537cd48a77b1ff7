"""Backoff: how long a client waits before it tries to connect again.

The rule: a parameter class says what, `delay_kernel` says how long. Both engines call that compiled function with the
draws of the stream `backoff`; `delay_s` is the same for people, with scalars or arrays. Attempt 0 is the first wait
after a connection is lost, or after the first attempt failed.

References
----------
Brooker (2015), "Exponential Backoff and Jitter", AWS Architecture Blog, for the general rules. RFC 6455, section 7.2.3,
asks clients for a random first wait and truncated binary exponential backoff after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from realtime_sim.policies import _backoff_kernel, _checks
from realtime_sim.policies._backoff_kernel import delay_kernel
from realtime_sim.policies.client_backoff import (
    EventSource,
    Phoenix,
    ReconnectingWebSocket,
    SignalR,
    SocketIO,
    WebsocketsPython,
)

__all__ = [
    "REGISTRY",
    "Backoff",
    "DecorrelatedJitter",
    "EqualJitter",
    "EventSource",
    "Exponential",
    "Fixed",
    "FullJitter",
    "NoBackoff",
    "Phoenix",
    "ReconnectingWebSocket",
    "SignalR",
    "SocketIO",
    "WebsocketsPython",
    "delay_kernel",
    "delay_s",
    "longest_delay_s",
]


class Backoff(Protocol):
    """What every backoff policy has: the code of its rule, and its parameters as an array."""

    code: ClassVar[int]

    def params(self) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class NoBackoff:
    """Try again at once: what a naive loop does, and the worst case of a reconnect storm."""

    code: ClassVar[int] = _backoff_kernel.NONE

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack()


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same wait every time, without jitter: clients that fell together return together.

    Parameters
    ----------
    delay_s : float
        Wait, seconds, above 0.
    """

    delay_s: float = 1.0
    code: ClassVar[int] = _backoff_kernel.FIXED

    def __post_init__(self) -> None:
        _checks.parameters(self)

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.delay_s)


@dataclass(frozen=True, slots=True)
class _Capped:
    """A first wait and the longest one; what the general rules share."""

    base_s: float = 1.0
    cap_s: float = 30.0

    def __post_init__(self) -> None:
        _checks.parameters(self)
        _checks.not_below("cap_s", self.cap_s, "base_s", self.base_s)

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.cap_s, self.base_s, 2.0)


@dataclass(frozen=True, slots=True)
class Exponential(_Capped):
    """`min(cap, base * factor**attempt)`, without jitter (Brooker 2015, "expo").

    Parameters
    ----------
    base_s : float
        First wait, seconds, above 0.
    cap_s : float
        Longest wait, seconds, at least `base_s`.
    factor : float
        Growth from one attempt to the next, dimensionless, at least 1.
    """

    factor: float = 2.0
    code: ClassVar[int] = _backoff_kernel.EXPONENTIAL

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.cap_s, self.base_s, self.factor)


@dataclass(frozen=True, slots=True)
class FullJitter(_Capped):
    """`u * min(cap, base * 2**attempt)` (Brooker 2015, "full jitter").

    Parameters
    ----------
    base_s : float
        Upper end of the first wait, seconds, above 0.
    cap_s : float
        Upper end of the longest wait, seconds, at least `base_s`.
    """

    code: ClassVar[int] = _backoff_kernel.FULL


@dataclass(frozen=True, slots=True)
class EqualJitter(_Capped):
    """Half of `min(cap, base * 2**attempt)`, and up to the other half by chance (Brooker 2015, "equal jitter").

    Parameters
    ----------
    base_s : float
        Upper end of the first wait, seconds, above 0.
    cap_s : float
        Upper end of the longest wait, seconds, at least `base_s`.
    """

    code: ClassVar[int] = _backoff_kernel.EQUAL


@dataclass(frozen=True, slots=True)
class DecorrelatedJitter(_Capped):
    """`min(cap, uniform(base, 3 * previous))` (Brooker 2015, "decorrelated jitter"); the first previous wait is `base`.

    Parameters
    ----------
    base_s : float
        Shortest wait, seconds, above 0.
    cap_s : float
        Longest wait, seconds, at least `base_s`.
    """

    code: ClassVar[int] = _backoff_kernel.DECORRELATED


REGISTRY = MappingProxyType(
    {
        "none": NoBackoff,
        "fixed": Fixed,
        "exponential": Exponential,
        "full_jitter": FullJitter,
        "equal_jitter": EqualJitter,
        "decorrelated_jitter": DecorrelatedJitter,
        "socketio": SocketIO,
        "phoenix": Phoenix,
        "signalr": SignalR,
        "eventsource": EventSource,
        "websockets_python": WebsocketsPython,
        "reconnecting_websocket": ReconnectingWebSocket,
    }
)
"""Backoff policies by the name a scenario uses."""


def delay_s(
    policy: Backoff,
    attempt: ArrayLike,
    u: ArrayLike,
    previous_s: ArrayLike = 0.0,
    u_client: ArrayLike = 0.0,
) -> float | np.ndarray:
    """The wait before the next connection attempt, for one client or for many.

    Parameters
    ----------
    policy : Backoff
        One of the classes in `REGISTRY`.
    attempt : int or ndarray of int
        Waits since the connection was last open, from 0; 0 is the first.
    u : float or ndarray of float
        One uniform draw on [0, 1) for each attempt, stream `backoff`.
    previous_s : float or ndarray of float
        The wait before this one, seconds, 0 if there was none. Only decorrelated jitter reads it.
    u_client : float or ndarray of float
        One uniform draw on [0, 1) for each client. Only reconnecting-websocket reads it.

    Returns
    -------
    float or ndarray of float
        Seconds, from 0 to `longest_delay_s(policy)`; infinity where the client gives up. Arguments broadcast.

    Raises
    ------
    ValueError
        If an attempt is negative or no whole number, a draw is not on [0, 1), or a previous wait is negative.

    Examples
    --------
    >>> delay_s(FullJitter(base_s=1.0, cap_s=30.0), attempt=3, u=0.5)
    4.0
    >>> delay_s(SignalR(), attempt=np.arange(5), u=0.0).tolist()
    [0.0, 2.0, 10.0, 30.0, inf]
    """
    before = np.asarray(previous_s, dtype=np.float64)
    if not (before >= 0).all():
        raise ValueError(f"previous_s must be at least 0, got {float(before.min())!r}")
    columns = np.broadcast_arrays(
        _checks.counts("attempt", attempt), _checks.draws("u", u), before, _checks.draws("u_client", u_client)
    )
    waits = _backoff_kernel.delays(policy.code, policy.params(), *(np.array(column).ravel() for column in columns))
    return float(waits[0]) if columns[0].ndim == 0 else waits.reshape(columns[0].shape)


def longest_delay_s(policy: Backoff) -> float:
    """Upper bound of every wait of a policy, seconds; giving up does not count as a wait.

    Examples
    --------
    >>> longest_delay_s(SocketIO()), longest_delay_s(Phoenix()), longest_delay_s(NoBackoff())
    (5.0, 5.0, 0.0)
    """
    return float(policy.params()[0])
