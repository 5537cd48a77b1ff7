"""Overflow: what a server does with a message for a client whose send buffer is full.

The rule: a message is accepted while buffered bytes and its own stay within the limit. Beyond it the newest message is
dropped, or the connection is cut so that the client comes back and catches up. Without a limit one slow client costs
memory until the server dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from realtime_sim.policies import _checks

__all__ = ["DECISIONS", "REGISTRY", "Disconnect", "DropNewest", "Overflow", "Unbounded", "admit", "admit_kernel"]

DECISIONS = ("accept", "drop", "disconnect")
"""Names of what `admit_kernel` returns."""

_UNBOUNDED, _DROP_NEWEST, _DISCONNECT = range(3)
_ACCEPT, _DROP, _CUT = range(3)


class Overflow(Protocol):
    """What every overflow policy has: the code of its rule; all but `Unbounded` have `limit_bytes` too."""

    code: ClassVar[int]


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Every message is buffered, however slow the client."""

    code: ClassVar[int] = _UNBOUNDED


@dataclass(frozen=True, slots=True)
class DropNewest:
    """A message that does not fit is dropped for this client; what is buffered stays.

    Parameters
    ----------
    limit_bytes : int
        Most bytes in the buffer of one connection, at least 1.

    References
    ----------
    uWebSockets, `maxBackpressure`, 64 KiB: `send` reports a message beyond it as dropped.
    """

    limit_bytes: int = 64 * 1024
    code: ClassVar[int] = _DROP_NEWEST

    def __post_init__(self) -> None:
        _checks.parameters(self)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A message that does not fit costs the client its connection.

    Parameters
    ----------
    limit_bytes : int
        Most bytes in the buffer of one connection, at least 1.

    References
    ----------
    Centrifugo, client queue of 1 MiB; Redis, `client-output-buffer-limit pubsub 32mb`, does the same to a slow
    subscriber.
    """

    limit_bytes: int = 1024 * 1024
    code: ClassVar[int] = _DISCONNECT

    def __post_init__(self) -> None:
        _checks.parameters(self)


REGISTRY = MappingProxyType({"unbounded": Unbounded, "drop_newest": DropNewest, "disconnect": Disconnect})
"""Overflow policies by the name a scenario uses."""


@njit(cache=True)
def admit_kernel(code, limit_bytes, queued_bytes, message_bytes):
    """What happens to one message, as a number: 0 accepted, 1 dropped, 2 the connection is cut.

    Parameters
    ----------
    code : int
        `code` of the policy's class.
    limit_bytes : int
        Limit of the policy, bytes; not read for `Unbounded`.
    queued_bytes : int
        Bytes in the connection's buffer now, 0 or more.
    message_bytes : int
        Bytes of the message on the wire, 0 or more.

    Returns
    -------
    int
        Index in `DECISIONS`.

    Raises
    ------
    ValueError
        If no rule has this code.

    Examples
    --------
    >>> admit_kernel(DropNewest.code, 100, 60, 40), admit_kernel(DropNewest.code, 100, 60, 41)
    (0, 1)
    """
    if code == _UNBOUNDED or queued_bytes + message_bytes <= limit_bytes:
        return _ACCEPT
    if code == _DROP_NEWEST:
        return _DROP
    if code == _DISCONNECT:
        return _CUT
    raise ValueError("no overflow rule has this code")


def admit(policy: Overflow, queued_bytes: ArrayLike, message_bytes: ArrayLike) -> str | np.ndarray:
    """What happens to a message for one connection, or for many.

    Parameters
    ----------
    policy : Overflow
        One of the classes in `REGISTRY`.
    queued_bytes : int or ndarray of int
        Bytes in the connection's buffer now, 0 or more.
    message_bytes : int or ndarray of int
        Bytes of the message on the wire, 0 or more.

    Returns
    -------
    str or ndarray of str
        `"accept"`, `"drop"` or `"disconnect"`. Arguments broadcast.

    Raises
    ------
    ValueError
        If a size is negative or no whole number.

    Notes
    -----
    A message larger than the limit never fits, even into an empty buffer.

    Examples
    --------
    >>> admit(Disconnect(limit_bytes=1_000), queued_bytes=900, message_bytes=200)
    'disconnect'
    >>> admit(DropNewest(limit_bytes=1_000), [0, 900], 200).tolist()
    ['accept', 'drop']
    """
    queued, size = np.broadcast_arrays(
        _checks.counts("queued_bytes", queued_bytes), _checks.counts("message_bytes", message_bytes)
    )
    limit = int(getattr(policy, "limit_bytes", 0))
    decided = [
        DECISIONS[admit_kernel(policy.code, limit, int(a), int(b))] for a, b in zip(queued.flat, size.flat, strict=True)
    ]
    return decided[0] if queued.ndim == 0 else np.array(decided, dtype="U10").reshape(queued.shape)
