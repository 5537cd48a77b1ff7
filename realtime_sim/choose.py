"""Which transport fits: WebSocket, server-sent events or long polling, for one kind of client.

The ranking has no score. Transports that something rules out come last. Of the others the one with fewer requirements
that the application must meet itself comes first; then the lower mean latency, in steps of 10 ms; on mobile, fewer
radio wake-ups; then less server CPU a client; where figures are within a factor of two they count as equal. What is
still equal stands in the order sse, websocket, long_polling: the least code of one's own first.
"""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass, fields

import pandas as pd

from realtime_sim import units
from realtime_sim.costs import CostProfile
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.policies import keepalive
from realtime_sim.profiles import PROFILES
from realtime_sim.theory import long_poll_delay_s
from realtime_sim.transports import TRANSPORTS
from realtime_sim.wire import (
    IP_TCP_HEADER_BYTES,
    SEGMENT_BYTES,
    TLS_RECORD_BYTES,
    TLS_RECORD_PAYLOAD_BYTES,
    websocket_header_bytes,
    wire_bytes,
)

__all__ = ["TransportChoice", "TransportOption", "choose_transport"]

POLL_REQUEST = "GET /poll HTTP/1.1\r\nHost: example.com\r\n\r\n"
POST_REQUEST = "POST /send HTTP/1.1\r\nHost: example.com\r\nContent-Length: 00000\r\n\r\n"
POST_ANSWER = "HTTP/1.1 204 No Content\r\n\r\n"
"""The least HTTP/1.1 allows (RFC 9112); browsers add some hundred bytes, and cookies."""

SSE_COMMENT_S = 15.0
"""A comment "every 15 seconds or so" keeps proxies from closing an idle stream (WHATWG HTML, section 9.2)."""

HTTP2_STREAMS = 100
"""Streams of one HTTP/2 connection by default (MDN, EventSource)."""

RADIO_TAIL_S = 10.0
"""Silence after which an LTE radio sleeps: a typical RRC inactivity timer; the operator sets it."""

LATENCY_STEP_S = 0.010
"""Mean latencies in the same step count as equal."""

SIMPLEST = ("sse", "websocket", "long_polling")


@dataclass(frozen=True, slots=True)
class TransportOption:
    """One transport and what speaks for and against it. Figures are for one client, of all its traffic.

    Parameters
    ----------
    transport : str
        `"websocket"`, `"sse"` or `"long_polling"`.
    suitable : bool
        Whether nothing rules it out.
    exclusions : tuple of str
        What rules it out.
    unmet : tuple of str
        Requirements that the application has to meet itself.
    reasons_for, reasons_against : tuple of str
        What else to weigh.
    mean_latency_s, extra_latency_s, max_latency_s : float
        Server to client, network only: mean, what the mean has above one transit, and the longest, seconds.
    bytes_per_message : float
        On the wire for one message to the client, its poll included, bytes.
    bytes_per_hour, heartbeat_bytes_per_hour : float
        On the wire in both directions, and the part of pings, comments or empty polls, bytes.
    cpu_per_message_s, cpu_s_per_s : float
        Server CPU for one message to the client, and for everything the client causes, without decoding, seconds.
    requests_per_s : float
        HTTP requests a second once connected.
    connections_per_browser : int
        TCP connections of one browser to the server, all tabs together.
    radio_wakeups_per_hour : float
        Times an hour that the traffic wakes a sleeping mobile radio.
    """

    transport: str
    suitable: bool
    exclusions: tuple[str, ...]
    unmet: tuple[str, ...]
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    mean_latency_s: float
    extra_latency_s: float
    max_latency_s: float
    bytes_per_message: float
    bytes_per_hour: float
    heartbeat_bytes_per_hour: float
    cpu_per_message_s: float
    cpu_s_per_s: float
    requests_per_s: float
    connections_per_browser: int
    radio_wakeups_per_hour: float


_TEXT = {
    "mean latency": lambda o: f"{o.mean_latency_s * 1e3:,.1f} ms",
    "  above one transit": lambda o: f"{o.extra_latency_s * 1e3:,.1f} ms",
    "  longest": lambda o: f"{o.max_latency_s * 1e3:,.1f} ms",
    "bytes a message": lambda o: f"{o.bytes_per_message:,.0f} B",
    "bytes an hour": lambda o: f"{o.bytes_per_hour / 1e3:,.1f} kB",
    "  heartbeats": lambda o: f"{o.heartbeat_bytes_per_hour / 1e3:,.1f} kB",
    "server CPU a message": lambda o: f"{o.cpu_per_message_s * 1e6:,.1f} us",
    "server CPU a client": lambda o: f"{o.cpu_s_per_s * 1e6:,.1f} us/s",
    "HTTP requests": lambda o: f"{o.requests_per_s:,.3f} /s",
    "connections a browser": lambda o: f"{o.connections_per_browser:,}",
    "radio wake-ups": lambda o: f"{o.radio_wakeups_per_hour:,.0f} /hour",
}


@dataclass(frozen=True, slots=True)
class TransportChoice:
    """The transports in order, the best first.

    Parameters
    ----------
    options : tuple of TransportOption
        All three; those that are ruled out at the end.
    """

    options: tuple[TransportOption, ...]

    @property
    def best(self) -> TransportOption | None:
        """The first; None where everything is ruled out."""
        return self.options[0] if self.options[0].suitable else None

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each transport, best first, without the reasons."""
        rows = [{key: value for key, value in asdict(o).items() if not isinstance(value, tuple)} for o in self.options]
        return pd.DataFrame(rows).set_index("transport")

    @property
    def headline(self) -> str:
        """The answer in one line."""
        if self.best is None:
            return "No transport fits: each is ruled out below."
        return f"{self.best.transport} fits best; then " + ", ".join(
            option.transport if option.suitable else f"{option.transport} (ruled out)" for option in self.options[1:]
        )

    def _cells(self) -> pd.DataFrame:
        cells = {o.transport: [text(o) for text in _TEXT.values()] for o in self.options}
        return pd.DataFrame(cells, index=list(_TEXT))

    def _reasons(self) -> list[tuple[str, list[str]]]:
        """Each transport with its reasons, marked by what they are."""
        marks = {"exclusions": "ruled out", "unmet": "yours to do", "reasons_for": "for", "reasons_against": "against"}
        return [
            (o.transport, [f"{mark}: {text}" for name, mark in marks.items() for text in getattr(o, name)])
            for o in self.options
        ]

    def __str__(self) -> str:
        lines = [self.headline, "", *(line.rstrip() for line in self._cells().to_string().splitlines())]
        for name, reasons in self._reasons():
            lines += ["", name, *(f"  {reason}" for reason in reasons)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<h4>{html.escape(self.headline)}</h4>", self._cells().to_html(border=0)]
        for name, reasons in self._reasons():
            items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
            parts.append(f"<p><b>{name}</b></p><ul>{items}</ul>")
        return "\n".join(parts)

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        options = [
            {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(o).items()}
            for o in self.options
        ]
        return {"best": self.best.transport if self.best else None, "options": options}


@dataclass(frozen=True, slots=True)
class _Question:
    """The arguments of `choose_transport`, checked, as plain numbers."""

    both: bool
    per_s: float
    up_per_s: float
    payload_bytes: int
    rtt_s: float
    http2: bool
    tabs: int
    buffering: bool
    blocked: bool
    mobile: bool
    resume: bool
    idle_s: float | None
    costs: CostProfile
