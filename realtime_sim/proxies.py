"""Proxies: what nginx and HAProxy must be told so that connections live as long as a scenario says.

The rule: a proxy waits half as long again as a connection that is well can be silent, and no less than proxies usually
do. Silent it can be for `interval + timeout` of its pings, and while a poll is held. The configurations of live runs
and those for a deployment are written from this rule and these words.

| policy            | nginx                         | HAProxy                              |
|-------------------|-------------------------------|--------------------------------------|
| round_robin       | (default)                     | roundrobin                           |
| least_connections | least_conn                    | leastconn                            |
| random            | random                        | random(1)                            |
| power_of_two      | random two least_conn         | random(2)                            |
| source_hash       | hash $remote_addr             | source, hash-type map-based          |
| consistent_hash   | hash $remote_addr consistent  | source, hash-type consistent         |
| affinity cookie   | sticky cookie                 | cookie insert                        |
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from realtime_sim.scenario import Scenario
from realtime_sim.scenario.clients import Cohort
from realtime_sim.transports import TRANSPORTS

__all__ = [
    "CHECK_ANSWER_S",
    "COOKIE",
    "HAPROXY_POLICIES",
    "LONGEST_S",
    "NGINX_POLICIES",
    "Timeouts",
    "haproxy_defaults",
    "milliseconds",
    "nginx_block",
    "nginx_idle",
    "nginx_proxying",
    "nginx_upgrade",
    "patience_s",
    "silence_s",
]

USUAL_IDLE_S = 60.0
"""nginx's `proxy_read_timeout` and AWS ALB's idle timeout unless set: the least where nothing asks for another."""

LONGEST_S = 24 * 86_400.0
"""HAProxy's timers end at 2**31 ms, 24.8 days."""

CHECK_ANSWER_S = 2.0
"""Time a server has to answer a health check: a loop in the middle of a broadcast is busy, not dead."""

CONNECT_S = 2.0
"""Time a connection to a server may take: room for one SYN that is sent again (1 s) when an accept queue is full."""

REQUEST_S = 10
"""Time a client has to send the head of a request: one that sends a byte now and then holds no connection for long."""

HALF_CLOSED_S = 5
"""Time a connection lives on of which one side is closed; a stopped server never closes its own."""

COOKIE = "SRV"
"""Cookie that names a client's server."""

NGINX_POLICIES = MappingProxyType(
    {
        "round_robin": "",
        "least_connections": "least_conn;",
        "random": "random;",
        "power_of_two": "random two least_conn;",
        # Not ip_hash: it looks at three of the four octets, and clients of one network share these.
        "source_hash": "hash $remote_addr;",
        "consistent_hash": "hash $remote_addr consistent;",
    }
)
"""What a policy is called by nginx."""

HAPROXY_POLICIES = MappingProxyType(
    {
        "round_robin": "balance roundrobin",
        "least_connections": "balance leastconn",
        # `random` alone is random(2), the better of two.
        "random": "balance random(1)",
        "power_of_two": "balance random(2)",
        "source_hash": "balance source\n    hash-type map-based",
        "consistent_hash": "balance source\n    hash-type consistent",
    }
)
"""What a policy is called by HAProxy."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a proxy waits, seconds.

    Parameters
    ----------
    websocket_s, events_s, requests_s : float
        Longest silence on a WebSocket, on a stream of events, and until a poll or another request is answered.
    check_interval_s : float
        Time between two health checks of a server.
    """

    websocket_s: float
    events_s: float
    requests_s: float
    check_interval_s: float


def silence_s(cohort: Cohort, unpinged_s: float) -> float:
    """Longest time without a byte on a connection that is well, polls that are held left out.

    Parameters
    ----------
    cohort : Cohort
        Whose connection.
    unpinged_s : float
        What counts for a cohort without pings, seconds.

    Returns
    -------
    float
        Seconds.
    """
    return unpinged_s if cohort.keepalive is None else cohort.keepalive.interval + cohort.keepalive.timeout


def patience_s(scenario: Scenario, transport: str, unpinged_s: float) -> float:
    """How long a proxy must wait in silence so that it drops no connection of a transport that is well.

    Parameters
    ----------
    scenario : Scenario
        Its cohorts.
    transport : str
        `websocket`, `sse` or `long_polling`.
    unpinged_s : float
        Longest silence of a cohort without pings, seconds.

    Returns
    -------
    float
        Seconds, from 60 to 24 days.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1min", clients=[{"name": "phones", "count": 100}])
    >>> patience_s(chat, "websocket", 90.0)
    60.0
    >>> patience_s(chat.replace(**{"clients.phones.keepalive.interval": "60s"}), "websocket", 90.0)
    120.0
    """
    silences_s = [silence_s(cohort, unpinged_s) for cohort in scenario.clients if cohort.transport == transport]
    return min(LONGEST_S, max(USUAL_IDLE_S, 1.5 * max([TRANSPORTS[transport].poll_hold_s, *silences_s])))


def milliseconds(seconds: float) -> int:
    """For a configuration: whole and at least 1, because 0 means "never" or is refused."""
    return max(1, math.ceil(seconds * 1_000))


def nginx_block(name: str, lines: Iterable[str]) -> list[str]:
    """Lines of a place, a server or a group of them, in braces.

    Examples
    --------
    >>> print("\\n".join(nginx_block("location /", ["proxy_pass http://servers;"])))
    location / {
        proxy_pass http://servers;
    }
    """
    return [f"{name} {{", *(f"    {line}" for line in lines), "}"]


def nginx_idle(seconds: float) -> str:
    """Longest silence between two reads from a server, two writes to it, and two writes to a client."""
    time = f"{milliseconds(seconds)}ms"
    return f"proxy_read_timeout {time}; proxy_send_timeout {time}; send_timeout {time};"


def nginx_upgrade(connection: str = "$upgrade") -> list[str]:
    """Headers of a place where a request may become a WebSocket: `Connection` as given, or only if it asks to."""
    return [
        "# A place with headers of its own inherits none.",
        f"proxy_set_header Connection {connection};",
        "proxy_set_header Upgrade $http_upgrade;",
        *_NGINX_HEADERS,
    ]


_NGINX_HEADERS = ("proxy_set_header X-Forwarded-For $remote_addr;", "proxy_set_header Host $http_host;")


def nginx_proxying(requests_s: float) -> list[str]:
    """Lines of the section `http` that hold for every place: how requests go on to servers, and events to clients.

    Parameters
    ----------
    requests_s : float
        Longest time until a request is answered, seconds.
    """
    return [
        f"client_header_timeout {REQUEST_S}s;",
        f"client_body_timeout {REQUEST_S}s;",
        "# Pollers ask for hours on one connection; nginx would close it after 1,000 requests.",
        "keepalive_requests 1000000000;",
        f"keepalive_timeout {milliseconds(requests_s)}ms;",
        "# Without these two nginx speaks HTTP/1.0 to servers, or closes after each answer.",
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "# What a request that may be either says instead.",
        *nginx_block("map $http_upgrade $upgrade", ["default upgrade;", '"" "";']),
        "# Servers see the proxy; the client stands here. What a client writes itself is not believed.",
        _NGINX_HEADERS[0],
        "# The name that the client asked for: servers hold an Origin against it.",
        _NGINX_HEADERS[1],
        "# An event must go on when it comes, not when a buffer is full.",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        "# A server that refuses a connection is passed over, in the same request.",
        "proxy_next_upstream error timeout;",
        f"proxy_connect_timeout {milliseconds(CONNECT_S)}ms;",
        nginx_idle(requests_s),
    ]


def haproxy_defaults(times: Timeouts) -> list[str]:
    """Lines of a section `defaults`: what is known to go wrong otherwise, and how long to wait.

    Parameters
    ----------
    times : Timeouts
        How long.
    """
    requests, events = milliseconds(times.requests_s), milliseconds(times.events_s)
    return [
        "mode http",
        "# Without it the kernel collects parts of an answer, and a stream of events is up to 200 ms late.",
        "option http-no-delay",
        "# A server that refuses a connection is given up at once, cookie or not; unless told so HAProxy asks a dead",
        "# server again and again, with a second in between.",
        "option redispatch 1",
        "retries 2",
        "# A client that goes while it waits, for a poll or for the next event, is gone for the server too. Without it",
        "# the server learns of it when it next has something to send, and counts and serves nobody until then.",
        "option abortonclose",
        "option httpchk",
        "http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost",
        f"timeout check {milliseconds(CHECK_ANSWER_S)}ms",
        f"timeout connect {milliseconds(CONNECT_S)}ms",
        f"timeout http-request {REQUEST_S}s",
        f"timeout http-keep-alive {requests}ms",
        f"timeout client {max(requests, events)}ms",
        f"timeout server {requests}ms",
        "# Silence on a WebSocket, in both directions together.",
        f"timeout tunnel {milliseconds(times.websocket_s)}ms",
        f"timeout client-fin {HALF_CLOSED_S}s",
        f"timeout server-fin {HALF_CLOSED_S}s",
    ]
