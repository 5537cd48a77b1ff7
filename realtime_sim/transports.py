"""The three transports as data: round trips, direction, resume, and the limits browsers put on them.

References
----------
RFC 6455 (WebSocket), WHATWG HTML §9.2 (server-sent events), RFC 6202 (long polling), RFC 9293 (TCP), RFC 8446
(TLS 1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["TRANSPORTS", "Transport", "handshake_round_trips"]


@dataclass(frozen=True, slots=True)
class Transport:
    """What a transport can do, whatever server speaks it.

    Parameters
    ----------
    name : str
        `"websocket"`, `"sse"` or `"long_polling"`.
    bidirectional : bool
        Whether clients send on the same connection.
    resumes : bool
        Whether the client names the last message it saw when it returns.
    reconnect_policy : str
        Backoff of the usual client where the scenario names none.
    request_per_message : bool
        Whether every delivery ends a request, so that the client must ask again.
    max_per_browser_http1 : int or None
        Connections a browser opens to one origin on HTTP/1.1; None where that limit does not apply.
    poll_hold_s : float
        Time a server holds an unanswered poll, seconds; 0 where there are no polls.
    """

    name: str
    bidirectional: bool
    resumes: bool
    reconnect_policy: str
    request_per_message: bool
    max_per_browser_http1: int | None
    poll_hold_s: float


TRANSPORTS = MappingProxyType(
    {
        transport.name: transport
        for transport in (
            Transport("websocket", True, False, "full_jitter", False, None, 0.0),
            # Last-Event-ID and the 3 s of Chrome: WHATWG HTML §9.2; six connections: MDN, EventSource.
            Transport("sse", False, True, "eventsource", False, 6, 0.0),
            # RFC 6202 §5.5: 30 seconds is a safe value for the hold time of a long poll.
            Transport("long_polling", False, False, "full_jitter", True, 6, 30.0),
        )
    }
)
"""The three, by name."""


def handshake_round_trips(tls: bool, n_requests: int = 1) -> int:
    """Round trips until the last of `n_requests` requests has its answer: TCP 1, TLS 1.3 1, and 1 a request.

    Examples
    --------
    >>> handshake_round_trips(tls=False), handshake_round_trips(tls=True)
    (2, 3)
    """
    return 1 + (1 if tls else 0) + n_requests
