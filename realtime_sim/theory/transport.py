"""Arithmetic of connections: long polling, compression memory, a stalled subscriber, levelling after a scale-out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from realtime_sim.theory._inputs import at_least_zero, positive, whole

__all__ = [
    "LongPollAnswers",
    "LongPollDelay",
    "level_time_s",
    "long_poll_answers_per_s",
    "long_poll_delay_s",
    "pubsub_cut_after_s",
    "websockets_memory_bytes",
]

_KIB = 1024


@dataclass(frozen=True, slots=True)
class LongPollDelay:
    """Delay of messages over long polling, from the server having one to the client having it.

    Parameters
    ----------
    mean_s : float
        Mean over messages, seconds.
    max_s : float
        Largest possible, seconds: three transits.

    Examples
    --------
    >>> long_poll_delay_s(one_way_s=0.05, message_rate_per_s=0.0).mean_s
    0.05
    """

    mean_s: float
    max_s: float


def long_poll_delay_s(one_way_s: float, message_rate_per_s: float) -> LongPollDelay:
    """Mean and largest delay of long polling for one client.

    After an answer the server has no open request for one round trip `R = 2 d`. What comes in that gap goes out
    together with the next request: `mean = d + (R/2) lam R / (lam R + exp(-lam R))`, `max = d + R`.

    Parameters
    ----------
    one_way_s : float
        Network transit in one direction `d`, seconds, 0 or more.
    message_rate_per_s : float
        Poisson messages per second to this client, 0 or more.

    Returns
    -------
    LongPollDelay
        Mean from 1 to 2 transits and maximum of 3, seconds.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails where servers are busy, connections are opened anew (add handshakes), or the poll times out often
    compared with messages.

    References
    ----------
    RFC 6202, section 2.2 (one transit on average, more than three at most); the mean is derived from its description.

    Examples
    --------
    >>> delay = long_poll_delay_s(one_way_s=0.05, message_rate_per_s=5)
    >>> round(delay.mean_s, 4), round(delay.max_s, 4)
    (0.0726, 0.15)
    """
    one_way_s = at_least_zero("one_way_s", one_way_s)
    in_gap = at_least_zero("message_rate_per_s", message_rate_per_s) * 2 * one_way_s
    return LongPollDelay(one_way_s * (1 + in_gap / (in_gap + math.exp(-in_gap))), 3 * one_way_s)


@dataclass(frozen=True, slots=True)
class LongPollAnswers:
    """How often the polls of one client are answered, which is also how often it polls.

    Parameters
    ----------
    per_s : float
        Answers per second, with or without messages.
    empty_per_s : float
        Those of them that end the hold time and bring nothing, per second.

    Examples
    --------
    >>> round(long_poll_answers_per_s(message_rate_per_s=0.0, gap_s=0.1, hold_s=29.9).empty_per_s * 30, 9)
    1.0
    """

    per_s: float
    empty_per_s: float


def long_poll_answers_per_s(message_rate_per_s: float, gap_s: float, hold_s: float) -> LongPollAnswers:
    """Answers per second to one long-polling client, and how many of them are empty.

    Between an answer and the next poll there is a gap. A poll that finds messages from the gap is answered at once,
    any other at the next message or after the hold time: `1 / (gap + exp(-lam gap) (1 - exp(-lam hold)) / lam)`.

    Parameters
    ----------
    message_rate_per_s : float
        Poisson messages per second to this client, 0 or more.
    gap_s : float
        From an answer to the next poll at the server, seconds, 0 or more: a round trip, and the work of a request.
    hold_s : float
        Time an empty poll is held, seconds, positive.

    Returns
    -------
    LongPollAnswers
        All answers and the empty ones, per second.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Assumes a constant gap. Messages that come in bursts share answers, and there are fewer of them. Fails where the
    server is busy, for requests then wait, and the gap grows.

    References
    ----------
    RFC 6202, section 2.1 (a poll is answered at once if something waits); the rate is derived from it by the mean time
    between two answers, a renewal of the process.

    Examples
    --------
    Ten messages a second over 50 ms: 39 in 100 polls find something and are answered at once.

    >>> round(long_poll_answers_per_s(message_rate_per_s=10.0, gap_s=0.05, hold_s=30.0).per_s, 2)
    9.04
    """
    rate = at_least_zero("message_rate_per_s", message_rate_per_s)
    gap_s, hold_s = at_least_zero("gap_s", gap_s), positive("hold_s", hold_s)
    quiet = math.exp(-rate * gap_s)
    waits_s = -math.expm1(-rate * hold_s) / rate if rate else hold_s
    answers = 1 / (gap_s + quiet * waits_s)
    return LongPollAnswers(answers, answers * quiet * math.exp(-rate * hold_s))


def websockets_memory_bytes(window_bits: int | None, mem_level: int | None = None) -> int:
    """Memory of one idle connection in the `websockets` library, with or without permessage-deflate.

    `28 KiB + 2^(window_bits + 2) + 2^(mem_level + 9) + 2^window_bits`: base, compressor and decompressor.

    Parameters
    ----------
    window_bits : int or None
        Base-2 logarithm of the compression window, bytes, 9 to 15, for both directions; None without compression.
    mem_level : int or None
        zlib's memory level (dimensionless), 1 to 9; None without compression.

    Returns
    -------
    int
        Bytes; 14 KiB without compression.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain, or only one of both is None.

    Notes
    -----
    Reproduces the library's table, which rounds (9, 2) up to 33 KiB. Leaves out the kernel's sockets and the
    application.

    References
    ----------
    websockets documentation, topic Compression; zlib, `zconf.h` for the two powers of the compressor.

    Examples
    --------
    >>> websockets_memory_bytes(window_bits=12, mem_level=5) // 1024, websockets_memory_bytes(None) // 1024
    (64, 14)
    """
    if window_bits is None and mem_level is None:
        return 14 * _KIB
    window_bits = whole("window_bits", window_bits, low=9, high=15)
    mem_level = whole("mem_level", mem_level, low=1, high=9)
    return 28 * _KIB + 2 ** (window_bits + 2) + 2 ** (mem_level + 9) + 2**window_bits


def pubsub_cut_after_s(
    feed_bytes_per_s: float, hard_bytes: float = 32 * 2**20, soft_bytes: float = 8 * 2**20, soft_s: float = 60.0
) -> float:
    """Time until Redis disconnects a subscriber that has stopped reading.

    The earlier of reaching the hard limit and of having been above the soft one for `soft_s`.

    Parameters
    ----------
    feed_bytes_per_s : float
        Bytes per second that Redis queues for the subscriber, 0 or more.
    hard_bytes : float
        Hard limit, bytes, 0 or more; 0 means no limit, as in Redis, whose `mb` is 2^20 bytes.
    soft_bytes : float
        Soft limit, bytes, 0 or more; 0 means no limit.
    soft_s : float
        Time above the soft limit that is tolerated, seconds, 0 or more.

    Returns
    -------
    float
        Seconds; `inf` if no limit is ever reached.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Leaves out the kernel's socket buffers, which fill first, Redis' overhead for each reply, and its clock of whole
    seconds for the soft limit: real cuts come a little later or, by the overhead, sooner. Fails for a subscriber that
    still reads.

    References
    ----------
    Redis, `redis.conf`, `client-output-buffer-limit pubsub 32mb 8mb 60`.

    Examples
    --------
    >>> pubsub_cut_after_s(feed_bytes_per_s=10 * 2**20), round(pubsub_cut_after_s(feed_bytes_per_s=0.2 * 2**20), 6)
    (3.2, 100.0)
    """
    feed = at_least_zero("feed_bytes_per_s", feed_bytes_per_s)
    hard = at_least_zero("hard_bytes", hard_bytes)
    soft = at_least_zero("soft_bytes", soft_bytes)
    soft_s = at_least_zero("soft_s", soft_s)
    if feed == 0:
        return math.inf
    return min(hard / feed if hard else math.inf, soft / feed + soft_s if soft else math.inf)


def level_time_s(session_s: float, servers: int, added: int) -> float:
    """Time after a scale-out until least-connections has made old and new servers equally full.

    Connections stay where they are until they end; all new ones go to the added servers. `T log(1 + added / servers)`.

    Parameters
    ----------
    session_s : float
        Mean life of a connection, seconds, positive.
    servers : int
        Servers before, at least 1.
    added : int
        Servers added at once, 0 or more.

    Returns
    -------
    float
        Seconds, 0 or more.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Assumes exponential lives and a constant number of connections in all. With round robin or random choice the servers
    are never exactly level: the gap shrinks as `exp(-t / session_s)`. Fails where clients are pinned by a cookie.

    References
    ----------
    Derived: the old servers keep `C exp(-t/T)` of `C` connections, and are level at `C servers / (servers + added)`.

    Examples
    --------
    >>> round(level_time_s(session_s=600, servers=4, added=2))
    243
    """
    servers = whole("servers", servers, low=1)
    return positive("session_s", session_s) * math.log1p(whole("added", added, low=0) / servers)
