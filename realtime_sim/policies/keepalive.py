"""Keepalive: how a peer that died in silence is found, and whether an idle connection outlives the proxies on its way.

The rule: every `interval_s` there is a sign of life, and `timeout_s` after one is missed the connection is given up. A
peer that dies at a random moment has been silent for none to all of an interval before its next sign was due, so its
death is noticed uniformly between `timeout_s` and `interval_s + timeout_s` later.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from numba import njit
from numpy import ndarray
from numpy.typing import ArrayLike

from realtime_sim.policies import _checks

__all__ = [
    "IDLE", "REGISTRY", "Keepalive", "detection_delay_kernel", "detection_delay_s", "idle_check",
    "survives_idle_timeout",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How often there is a sign of life, and how long one may be overdue.

    Parameters
    ----------
    interval_s : float
        Time between two pings, heartbeats or keepalive messages, seconds, above 0.
    timeout_s : float
        Longest time from the moment one was due until the peer counts as dead, seconds, above 0.

    Notes
    -----
    Some products state the longest silence instead, which is `interval_s + timeout_s` here.
    """

    interval_s: float
    timeout_s: float

    def __post_init__(self) -> None:
        _checks.parameters(self)


REGISTRY = MappingProxyType(
    {
        # The server pings every 25 s and waits 20 s; the client allows 45 s without a ping.
        # Engine.IO protocol 4; socket.io server options, pingInterval and pingTimeout.
        "engineio": Keepalive(interval_s=25.0, timeout_s=20.0),
        # The client sends a heartbeat every 30 s and closes if none was answered by the next; the server allows 60 s
        # without one. Both come to 30 to 60 s. phoenixframework/phoenix, assets/js/phoenix/socket.js;
        # Phoenix.Endpoint.socket/3, websocket `:timeout`.
        "phoenix": Keepalive(interval_s=30.0, timeout_s=30.0),
        # Keepalive messages every 15 s, and the client allows 30 s without one: 15 to 30 s.
        # ASP.NET Core SignalR configuration, KeepAliveInterval and serverTimeoutInMilliseconds.
        "signalr": Keepalive(interval_s=15.0, timeout_s=15.0),
        # websockets, ping_interval and ping_timeout.
        "websockets": Keepalive(interval_s=20.0, timeout_s=20.0),
        # Centrifugo, client.ping_interval and client.pong_timeout: the server's side.
        "centrifugo": Keepalive(interval_s=25.0, timeout_s=8.0),
    }
)
"""Keepalives of named products. Server-sent events have none: comments keep proxies from closing an idle stream (WHATWG
HTML, section 9.2, suggests one "every 15 seconds or so"), but nothing answers them and EventSource has no timeout."""


IDLE = -1
"""What `idle_check` answers instead of a time."""

PING_FIRST = 0.5
"""Share of races between a ping and a timeout that the ping wins, a choice: either is as likely to be late."""


@njit(cache=True)
def idle_check(now_ns, opened_ns, last_ns, interval_ns, timeout_ns, u):
    """A proxy's idle timer has run out: when it does so next, or `IDLE` if the connection has been idle for too long.

    Pings come every `interval_ns` from the opening on. One that is due now races the timeout: jitter decides.

    Parameters
    ----------
    now_ns : int
        Now, nanoseconds.
    opened_ns : int
        When the connection was opened, at most `now_ns`; before 0 if that was before the run.
    last_ns : int
        When the last message arrived or will arrive, 0 if none has.
    interval_ns : int
        Time between two pings, 0 if there are none.
    timeout_ns : int
        The proxy's idle timeout.
    u : float
        One uniform draw on [0, 1) for each connection and ping, stream `idle`.

    Returns
    -------
    int
        Nanoseconds, after `now_ns`.

    Examples
    --------
    Pings every 60 and a timeout of 60: at 60 the draw decides. A message at 10 keeps the connection until the ping.

    >>> idle_check(60, 0, 0, 60, 60, 0.4), idle_check(60, 0, 0, 60, 60, 0.6), idle_check(60, 0, 10, 60, 60, 0.6)
    (120, -1, 70)
    """
    seen_ns = opened_ns
    if interval_ns > 0:
        seen_ns += (now_ns - opened_ns) // interval_ns * interval_ns
        if seen_ns == now_ns and u >= PING_FIRST:
            seen_ns -= interval_ns  # this one comes too late
    if last_ns > 0:
        seen_ns = max(seen_ns, last_ns)
    over_ns = seen_ns + timeout_ns
    return over_ns if over_ns > now_ns else -1


@njit(cache=True)
def detection_delay_kernel(interval_s, timeout_s, u):
    """Time from a silent death to the moment it is noticed, seconds, on [timeout_s, interval_s + timeout_s).

    Parameters
    ----------
    interval_s, timeout_s : float
        Of the keepalive, seconds.
    u : float
        One uniform draw on [0, 1) for each connection, stream `detection`.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> detection_delay_kernel(25.0, 20.0, 0.5)
    32.5
    """
    return timeout_s + interval_s * u


def detection_delay_s(policy: Keepalive, u: ArrayLike) -> float | ndarray:
    """Time from a silent death to the moment it is noticed, for one connection or for many.

    Parameters
    ----------
    policy : Keepalive
        Interval and timeout.
    u : float or ndarray of float
        One uniform draw on [0, 1) for each connection, stream `detection`.

    Returns
    -------
    float or ndarray of float
        Seconds, on [timeout_s, interval_s + timeout_s).

    Raises
    ------
    ValueError
        If a draw is not on [0, 1).

    Notes
    -----
    Assumes that deaths are independent of the pings. Many connections opened at one moment ping in step, and a silent
    failure of all of them is then noticed in step too.

    References
    ----------
    Derived from the rule at the head of the module.

    Examples
    --------
    >>> detection_delay_s(REGISTRY["engineio"], 0.0)
    20.0
    >>> detection_delay_s(REGISTRY["websockets"], [0.0, 0.5]).tolist()
    [20.0, 30.0]
    """
    draws = _checks.draws("u", u)
    delay = detection_delay_kernel(float(policy.interval_s), float(policy.timeout_s), draws)
    return float(delay) if draws.ndim == 0 else delay


def survives_idle_timeout(policy: Keepalive, idle_timeout_s: float) -> bool:
    """Whether an idle connection outlives a proxy that closes it after `idle_timeout_s` without traffic.

    Parameters
    ----------
    policy : Keepalive
        Interval and timeout.
    idle_timeout_s : float
        Idle timeout of the proxy or balancer, seconds, above 0.

    Returns
    -------
    bool
        True only if the interval is strictly shorter: at equal times ping and timeout race, and some pings lose.

    Raises
    ------
    ValueError
        If the idle timeout is not positive.

    References
    ----------
    Mattermost documentation, issue 8929: a ping interval and a balancer's idle timeout of 60 s each, 61 % timeouts.
    nginx `proxy_read_timeout` and AWS ALB both default to 60 s.

    Examples
    --------
    >>> survives_idle_timeout(REGISTRY["engineio"], 60.0), survives_idle_timeout(Keepalive(60.0, 60.0), 60.0)
    (True, False)
    """
    return policy.interval_s < _checks.seconds("idle_timeout_s", idle_timeout_s)
