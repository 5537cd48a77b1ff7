"""Output buffer: how long a broker keeps what a stalled subscriber does not take.

The rule: a subscriber is cut off as soon as its buffer reaches the hard limit, or when it has stayed at the soft limit
or above for longer than the grace without a break. Looked at whenever something is written to the buffer.

References
----------
Redis, `redis.conf`: `client-output-buffer-limit pubsub 32mb 8mb 60`, where mb is 2**20 bytes and 0 stands for no
limit; `networking.c`, `checkClientOutputBufferLimits`, for the rule. nats-server, `server/const.go`: MAX_PENDING_SIZE
of 64 MiB (`max_pending`), a hard limit alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from numba import njit

from realtime_sim.policies import _checks

__all__ = ["NOT_SOFT", "OutputBufferLimit", "check", "check_kernel"]

NOT_SOFT = -1
"""In the place of a time: the buffer is below its soft limit."""


@dataclass(frozen=True, slots=True)
class OutputBufferLimit:
    """Limits of one subscriber's buffer at the broker.

    Parameters
    ----------
    hard_bytes : int
        Bytes at which it is cut off at once; 0 for no limit.
    soft_bytes : int
        Bytes at which it is cut off when it stays there; 0 for no limit.
    soft_for_s : float
        Time it may stay there, seconds.
    """

    hard_bytes: int = 32 * 2**20
    soft_bytes: int = 8 * 2**20
    soft_for_s: float = 60.0

    def __post_init__(self) -> None:
        _checks.whole("hard_bytes", self.hard_bytes, 0)
        _checks.whole("soft_bytes", self.soft_bytes, 0)
        if _checks.number("soft_for_s", self.soft_for_s) < 0:
            raise ValueError(f"soft_for_s must be 0 or more, got {self.soft_for_s!r}")


@njit(cache=True)
def check_kernel(hard_bytes, soft_bytes, soft_for_ns, buffered_bytes, soft_since_ns, now_ns):
    """`check` on plain numbers, times in nanoseconds.

    Parameters
    ----------
    hard_bytes, soft_bytes : int
        The limits, bytes; 0 for none.
    soft_for_ns : int
        Time the buffer may stay at the soft limit, nanoseconds.
    buffered_bytes : int
        Bytes in the buffer, those just written included.
    soft_since_ns : int
        Since when it has been at the soft limit, `NOT_SOFT` if it was below.
    now_ns : int
        The time, nanoseconds.

    Returns
    -------
    tuple of (int, bool)
        Since when it has been at the soft limit now, and whether the subscriber is cut off.

    Examples
    --------
    >>> check_kernel(32, 8, 60, 8, NOT_SOFT, 5)
    (5, False)
    >>> check_kernel(32, 8, 60, 9, 5, 66), check_kernel(32, 8, 60, 32, NOT_SOFT, 5)
    ((5, True), (5, True))
    """
    if soft_bytes == 0 or buffered_bytes < soft_bytes:
        soft_since_ns = NOT_SOFT
    elif soft_since_ns == NOT_SOFT:
        soft_since_ns = now_ns
    hard = hard_bytes > 0 and buffered_bytes >= hard_bytes
    soft = soft_since_ns != NOT_SOFT and now_ns - soft_since_ns > soft_for_ns
    return soft_since_ns, hard or soft


def check(
    limit: OutputBufferLimit, buffered_bytes: int, soft_since_s: float | None, now_s: float
) -> tuple[float | None, str, str]:
    """What becomes of a stalled subscriber when something has been written to its buffer.

    Parameters
    ----------
    limit : OutputBufferLimit
        Its limits.
    buffered_bytes : int
        Bytes in its buffer, those just written included.
    soft_since_s : float or None
        Since when it has been at the soft limit without a break, seconds; None if it was below.
    now_s : float
        The time, seconds.

    Returns
    -------
    tuple of (float or None, str, str)
        Since when it has been at the soft limit now; `"keep"` or `"cut"`; why.

    Raises
    ------
    ValueError
        If `buffered_bytes` is negative or no whole number.

    Examples
    --------
    >>> check(OutputBufferLimit(), 8 * 2**20, None, 16.0)
    (16.0, 'keep', '8,388,608 B buffered, at the soft limit for 0 s')
    >>> check(OutputBufferLimit(), 12 * 2**20, 16.0, 76.5)[1:]
    ('cut', '12,582,912 B buffered, at the soft limit for 60.5 s')
    """
    n_bytes = _checks.whole("buffered_bytes", buffered_bytes, 0)
    # Times only meet times here, so seconds do as well as nanoseconds.
    since = float(NOT_SOFT) if soft_since_s is None else float(soft_since_s)
    since, cut = check_kernel(limit.hard_bytes, limit.soft_bytes, limit.soft_for_s, n_bytes, since, float(now_s))
    known = None if since == NOT_SOFT else since
    reason = f"{n_bytes:,} B buffered, " + (
        "below the soft limit" if known is None else f"at the soft limit for {now_s - known:g} s"
    )
    return known, "cut" if cut else "keep", reason
