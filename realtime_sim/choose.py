"""Which transport: needs in, transports ranked with reasons and the numbers behind them out.

The rule, in this order: fewer broken requirements; where both sides send, one connection for both; a mean latency in a
lower step of 10 ms; less server CPU for each client; the simpler one, SSE before WebSocket before long polling. Every
ranking says which of these decided.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, fields
from itertools import pairwise

import pandas as pd

from realtime_sim import theory, units
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.profiles import PROFILES
from realtime_sim.profiles import profile as find_profile
from realtime_sim.transports import TRANSPORTS, handshake_round_trips
from realtime_sim.wire import wire_bytes

__all__ = ["RankedTransport", "TransportChoice", "choose_transport"]

LATENCY_STEP_S = 0.010
IMPLAUSIBLE_RTT_S = 5.0
"""A round trip above it is a missing unit: even by satellite it takes less than a second."""

POLL_REQUEST_BYTES = len("GET /poll HTTP/1.1\r\nHost: a.example\r\nCookie: id=0123456789abcdef\r\n\r\n")
"""The least a poll sends; browsers add several hundred bytes of headers."""

SIMPLICITY = ("sse", "websocket", "long_polling")


@dataclass(frozen=True, slots=True)
class RankedTransport:
    """One transport, judged.

    Parameters
    ----------
    name : str
        `"websocket"`, `"sse"` or `"long_polling"`.
    suitable : bool
        Whether it breaks no requirement.
    broken, drawbacks, advantages : tuple of str
        Requirements it breaks; what speaks against it and for it.
    mean_latency_s, max_latency_s : float
        From the server to the client, network only, seconds.
    bytes_per_s, requests_per_s : float
        On the wire for one client, polls included; HTTP requests of one client.
    server_cpu_ratio : float
        Share of one loop that one client's messages take, dimensionless.
    connect_s : float
        Until the connection is up, seconds.
    """

    name: str
    suitable: bool
    broken: tuple[str, ...]
    drawbacks: tuple[str, ...]
    advantages: tuple[str, ...]
    mean_latency_s: float
    max_latency_s: float
    bytes_per_s: float
    requests_per_s: float
    server_cpu_ratio: float
    connect_s: float


@dataclass(frozen=True)
class TransportChoice:
    """All three transports, the best first.

    Parameters
    ----------
    ranked : tuple of RankedTransport
        The transports in their order.
    decided_by : tuple of str
        For each place but the last: what put it before the next.
    notes : tuple of str
        What to know about the needs as they were given.
    """

    ranked: tuple[RankedTransport, ...]
    decided_by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> RankedTransport:
        """The first of the ranking."""
        return self.ranked[0]

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers behind the ranking, one row for each transport."""
        names = [field.name for field in fields(RankedTransport)]
        rows = [{name: getattr(one, name) for name in names} for one in self.ranked]
        return pd.DataFrame(rows).drop(columns=["broken", "drawbacks", "advantages"]).set_index("name")

    def to_plain(self) -> dict[str, object]:
        """Plain dicts and lists, as JSON holds them."""
        names = [field.name for field in fields(RankedTransport)]
        rows = [{name: getattr(one, name) for name in names} for one in self.ranked]
        plain = [{key: list(v) if isinstance(v, tuple) else v for key, v in row.items()} for row in rows]
        reasons = {"decided_by": list(self.decided_by), "notes": list(self.notes)}
        return {"best": self.best.name, **reasons, "ranked": plain}

    def __str__(self) -> str:
        rows = [["", "transport", "suitable", "mean, ms", "max, ms", "B/s", "requests/s", "CPU/client"]]
        for place, one in enumerate(self.ranked, start=1):
            delays = [f"{one.mean_latency_s * 1e3:,.1f}", f"{one.max_latency_s * 1e3:,.1f}"]
            loads = [f"{one.bytes_per_s:,.0f}", f"{one.requests_per_s:,.2f}", f"{one.server_cpu_ratio:,.4%}"]
            rows.append([f"{place}.", one.name, "yes" if one.suitable else "no", *delays, *loads])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [_line(row, widths) for row in rows]
        lines += ["", "decided by", *(f"  {text}" for text in self.decided_by)]
        lines += [f"Note: {text}" for text in self.notes]
        for one in self.ranked:
            lines += ["", one.name]
            lines += [f"  breaks   {text}" for text in one.broken]
            lines += [f"  for      {text}" for text in one.advantages]
            lines += [f"  against  {text}" for text in one.drawbacks]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _line(cells: list[str], widths: list[int]) -> str:
    """One line of the table: place and name start at the left, the others end at the right."""
    place, name, *others = (
        text.ljust(width) if i < 2 else text.rjust(width)
        for i, (text, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"{place} " + "  ".join([name, *others])


@dataclass(frozen=True, slots=True)
class _Needs:
    """The arguments of `choose_transport`, read and checked."""

    direction: str
    messages_per_s: float
    client_messages_per_s: float
    payload_bytes: int
    rtt_s: float
    http_version: str
    tabs_per_browser: int
    buffering_proxies: bool
    proxies_block_upgrade: bool
    mobile: bool
    needs_resume: bool


def choose_transport(
    *,
    direction: str = "server_to_client",
    messages_per_s: float = 1.0,
    client_messages_per_s: float = 0.0,
    payload: str | int = "200B",
    rtt: str | float = "50ms",
    http_version: str = "1.1",
    tabs_per_browser: int = 1,
    buffering_proxies: bool = False,
    proxies_block_upgrade: bool = False,
    mobile: bool = False,
    needs_resume: bool = False,
    profile: str = "websockets-asyncio",
) -> TransportChoice:
    """Rank WebSocket, SSE and long polling for what is needed.

    Parameters
    ----------
    direction : str
        `"server_to_client"`, or `"both"` where clients send often as well. Where `client_messages_per_s` is above 0 it
        is both, and a note says so.
    messages_per_s, client_messages_per_s : float
        To one client, and from one client, per second.
    payload : str or int
        Size of a message, bytes.
    rtt : str or float
        Round trip between client and server, seconds.
    http_version : str
        `"1.1"` or `"2"`: what proxies and servers speak for SSE and polls.
    tabs_per_browser : int
        Tabs of the application that one browser may have open.
    buffering_proxies, proxies_block_upgrade : bool
        Proxies on the way hold streamed responses back; do not let WebSocket upgrades through.
    mobile : bool
        Clients run on batteries.
    needs_resume : bool
        Clients must get what they missed without a protocol of your own.
    profile : str
        Cost profile of the servers.

    Returns
    -------
    TransportChoice
        All three, the best first, with what decided.

    Raises
    ------
    ScenarioError
        With one line for every argument that is wrong.

    Notes
    -----
    CPU is that of a loop that is awake; `limits` adds wake-ups, which depend on all clients together. Polls are those
    of `theory.long_poll_answers_per_s` for Poisson messages.

    References
    ----------
    RFC 6202 (long polling), RFC 6455 (WebSocket), WHATWG HTML §9.2 (server-sent events).

    Examples
    --------
    >>> choose_transport(direction="both", messages_per_s=2, client_messages_per_s=1).best.name
    'websocket'
    >>> choice = choose_transport(needs_resume=True, http_version="2")
    >>> choice.best.name, choice.decided_by[0]
    ('sse', 'sse before websocket: the simpler one, for all else is as good')
    """
    needs = _read(
        direction, messages_per_s, client_messages_per_s, payload, rtt, str(http_version), tabs_per_browser,
        buffering_proxies, proxies_block_upgrade, mobile, needs_resume, profile=profile,
    )  # fmt: skip
    costs = find_profile(profile).costs
    judged = [_judge(name, needs, costs) for name in SIMPLICITY]
    ranked = sorted(judged, key=lambda one: _rank(one, needs))
    decided_by = tuple(_decision(*pair, needs) for pair in pairwise(ranked))
    return TransportChoice(tuple(ranked), decided_by, tuple(_notes(direction, needs)))


def _rank(one: RankedTransport, needs: _Needs) -> tuple:
    second_channel = needs.direction == "both" and not TRANSPORTS[one.name].bidirectional
    return (
        len(one.broken), second_channel, math.floor(one.mean_latency_s / LATENCY_STEP_S),
        round(one.server_cpu_ratio, 6), SIMPLICITY.index(one.name),
    )  # fmt: skip


def _decision(first: RankedTransport, second: RankedTransport, needs: _Needs) -> str:
    """The first part of the rule in which two neighbours of the ranking differ."""
    pairs = zip(_rank(first, needs), _rank(second, needs), strict=True)
    part = next(i for i, (ours, theirs) in enumerate(pairs) if ours != theirs)
    why = (
        f"fewer broken requirements, {len(first.broken)} against {len(second.broken)}",
        "one connection for both directions",
        f"mean latency, {first.mean_latency_s * 1e3:,.1f} ms against {second.mean_latency_s * 1e3:,.1f} ms, "
        f"in steps of {LATENCY_STEP_S * 1e3:g} ms",
        f"server CPU for each client, {first.server_cpu_ratio:,.4%} against {second.server_cpu_ratio:,.4%}",
        "the simpler one, for all else is as good",
    )
    return f"{first.name} before {second.name}: {why[part]}"


def _notes(direction: str, needs: _Needs) -> list[str]:
    """What to know about the needs as they were given."""
    notes = []
    if direction != needs.direction:
        notes.append(f"clients send {needs.client_messages_per_s:g}/s each, so the direction is taken as both")
    if needs.direction == "both" and not needs.client_messages_per_s:
        notes.append("clients send, but nobody said how often: give client_messages_per_s to count it")
    if needs.rtt_s > IMPLAUSIBLE_RTT_S:
        notes.append(f"a round trip of {needs.rtt_s:g} s is hardly possible: did you mean {needs.rtt_s:g}ms?")
    return notes


def _read(
    direction, messages_per_s, client_messages_per_s, payload, rtt, http_version, tabs, *flags, profile
) -> _Needs:
    """Check every argument, and report all that are wrong at once."""
    problems: list[Problem] = []

    def parse(path, value, parser, low, example):
        try:
            number = parser(value)
            if number < low:
                raise ValueError(f"must be at least {low}")
        except ValueError as error:
            problems.append(Problem(path, str(error), value, f"write it like {example}"))
            return low
        return number

    def one_of(path, value, known):
        if value not in known:
            problems.append(Problem(path, "must be one of " + ", ".join(known), value, nearest(str(value), known)))
        return value

    one_of("direction", direction, ("server_to_client", "both"))
    one_of("http_version", http_version, ("1.1", "2"))
    one_of("profile", profile, tuple(PROFILES))
    rates = [
        parse("messages_per_s", messages_per_s, units.parse_rate, 0, "2"),
        parse("client_messages_per_s", client_messages_per_s, units.parse_rate, 0, "0.5"),
    ]
    sizes = [parse("payload", payload, units.parse_size, 0, "200B"), parse("rtt", rtt, units.parse_duration, 0, "50ms")]
    n_tabs = parse("tabs_per_browser", tabs, units.parse_count, 1, "3")
    for path, flag in zip(("buffering_proxies", "proxies_block_upgrade", "mobile", "needs_resume"), flags, strict=True):
        if not isinstance(flag, bool):
            problems.append(Problem(path, "must be true or false", flag, "write True or False"))
    if problems:
        raise ScenarioError(problems)
    direction = "both" if rates[1] else direction
    return _Needs(direction, *rates, *sizes, http_version, n_tabs, *flags)


def _judge(name: str, needs: _Needs, costs) -> RankedTransport:
    transport = TRANSPORTS[name]
    one_way_s = needs.rtt_s / 2
    mean_s, max_s, polls_per_s, answers = one_way_s, one_way_s, 0.0, None
    if transport.request_per_message:
        delay = theory.long_poll_delay_s(one_way_s, needs.messages_per_s)
        mean_s, max_s = delay.mean_s, delay.max_s
        gap_s = needs.rtt_s + costs.http_request_s
        answers = theory.long_poll_answers_per_s(needs.messages_per_s, gap_s, transport.poll_hold_s)
        polls_per_s = answers.per_s
    posts_per_s = 0.0 if transport.bidirectional else needs.client_messages_per_s
    cpu = needs.messages_per_s * costs.send_to_one_s(needs.payload_bytes) + needs.client_messages_per_s * costs.ingest_s
    cpu += (polls_per_s + posts_per_s) * costs.http_request_s
    n_bytes = needs.messages_per_s * wire_bytes(name, needs.payload_bytes)
    if answers is not None:
        n_bytes = _polling_bytes_per_s(needs, answers)
    broken, against, advantages = _reasons(name, needs, polls_per_s)
    return RankedTransport(
        name, not broken, tuple(broken), tuple(against), tuple(advantages), mean_s, max_s, n_bytes,
        polls_per_s + posts_per_s, cpu, needs.rtt_s * handshake_round_trips(True),
    )  # fmt: skip


def _polling_bytes_per_s(needs: _Needs, answers: theory.LongPollAnswers) -> float:
    """Bytes on the wire for one long-polling client: what came since the last answer goes out together."""
    full = answers.per_s - answers.empty_per_s
    together = wire_bytes("long_polling", round(needs.messages_per_s * needs.payload_bytes / full)) if full else 0
    empty = answers.empty_per_s * wire_bytes("long_polling", 0)
    return full * together + empty + answers.per_s * POLL_REQUEST_BYTES


def _reasons(name: str, needs: _Needs, polls_per_s: float) -> tuple[list[str], list[str], list[str]]:
    """Requirements broken, drawbacks and advantages, each with its source or its number."""
    transport = TRANSPORTS[name]
    broken, against, advantages = [], [], []
    limit = transport.max_per_browser_http1
    if needs.http_version == "1.1" and limit is not None and needs.tabs_per_browser > limit - 1:
        tabs = needs.tabs_per_browser
        broken.append(f"{tabs} tabs: a browser opens {limit} connections to one origin on HTTP/1.1 (MDN)")
    if needs.direction == "both" and not transport.bidirectional:
        rate = f", {needs.client_messages_per_s:g}/s each" if needs.client_messages_per_s else ""
        against.append(f"clients send by separate POST requests{rate}")
    if name == "websocket":
        if needs.proxies_block_upgrade:
            broken.append("proxies do not let the upgrade through (RFC 6455 §4 needs it)")
        if needs.direction == "both":
            advantages.append("clients send on the same connection")
        if needs.needs_resume:
            against.append("resuming after a loss needs a protocol of your own")
        advantages.append("2 to 10 bytes of framing for a message (RFC 6455 §5.2)")
    if name == "sse":
        if needs.buffering_proxies:
            broken.append("proxies hold events back (nginx proxy_buffering; HAProxy 200 ms without http-no-delay)")
        advantages.append("plain HTTP, and the browser reconnects by itself (WHATWG HTML §9.2)")
        if needs.needs_resume:
            advantages.append("resumes by Last-Event-ID (WHATWG HTML §9.2)")
    if name == "long_polling":
        advantages.append("passes every proxy that passes HTTP")
        against.append(f"{polls_per_s:.2f} polls a second and client, and up to three transits (RFC 6202 §2.2)")
        against.append("several requests make a session, so the balancer must be sticky")
        if needs.needs_resume:
            against.append("resuming after a loss needs a protocol of your own")
        if needs.mobile:
            against.append(f"each poll wakes the radio: {polls_per_s * 3600:,.0f} an hour")
    elif needs.mobile:
        against.append("pings wake the radio: choose their interval with care")
    return broken, against, advantages
