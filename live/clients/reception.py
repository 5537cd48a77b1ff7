"""Reception: what a connection makes of the frames that reach it, whatever transport brings them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from realtime_sim.wire import Batch, Failure, Message, Welcome, number_of, read_from_server

__all__ = ["ABNORMAL", "OUTCOMES", "Caller", "Connection", "Reception", "TurnedAway", "local_address", "turned_away"]

ABNORMAL = 1006
"""Close code of a connection over which nobody said goodbye (RFC 6455, section 7.4.1)."""

_MESSAGE = b'{"type":"message"'
_POSITION = b'"pos":"'


class TurnedAway(Exception):
    """An attempt to connect came to nothing.

    Parameters
    ----------
    outcome : str
        One of `realtime_sim.trace.FAILURES`, in the singular of the lifecycle's events: `refused`, `throttled`,
        `server_died`, `no_server`, `timed_out`, `session_unknown` or `backlog_full`.
    retry_after_s : float
        What the answer asked the client to wait, seconds.
    """

    def __init__(self, outcome: str, retry_after_s: float = 0.0) -> None:
        self.outcome, self.retry_after_s = outcome, retry_after_s
        super().__init__(outcome)


OUTCOMES = {404: "session_unknown", 429: "throttled", 502: "server_died", 503: "refused", 504: "timed_out"}
"""What an HTTP status of a server, or of a balancer before it, means to a client. 503 is both a full server and a
balancer that knows no living one: either way there was no room."""


def turned_away(status: int, retry_after: str | None) -> TurnedAway:
    """What an HTTP answer that lets nobody in means.

    Parameters
    ----------
    status : int
        Of the answer.
    retry_after : str or None
        The header of that name; a date in it, which no server of ours sends, is as good as none.

    Examples
    --------
    >>> turned_away(429, "2.5").outcome, turned_away(429, "2.5").retry_after_s
    ('throttled', 2.5)
    """
    text = retry_after or ""
    return TurnedAway(OUTCOMES.get(status, "refused"), float(text) if text.replace(".", "", 1).isdecimal() else 0.0)


class Caller:
    """Who connects: what a browser would keep of a site, and the address that its sockets have.

    Parameters
    ----------
    origin : str
        Of the page that the client stands for.
    source : str
        Loopback address of its sockets; empty where the system is to choose.

    Examples
    --------
    >>> caller = Caller("http://realtime-sim.test", "127.0.1.1")
    >>> caller.remember("SRV=s2; path=/")
    >>> caller.headers()
    {'Origin': 'http://realtime-sim.test', 'Cookie': 'SRV=s2'}
    """

    __slots__ = ("_cookie", "origin", "source")

    def __init__(self, origin: str, source: str) -> None:
        self.origin, self.source, self._cookie = origin, source, ""

    @property
    def address(self) -> tuple[str, int] | None:
        """The source as `create_connection` takes it."""
        return local_address(self.source)

    def headers(self) -> dict[str, str]:
        """What every request of it says."""
        said = {"Origin": self.origin, "Cookie": self._cookie}
        return {name: value for name, value in said.items() if value}

    def remember(self, set_cookie: str | None) -> None:
        """Keep the cookie of an answer, if it has one: a balancer knows the client's server by it."""
        if set_cookie:
            self._cookie = set_cookie.partition(";")[0].strip()


def local_address(source: str) -> tuple[str, int] | None:
    """A source address as `create_connection` takes it; None for one that the system is to choose."""
    return (source, 0) if source else None


class Connection(Protocol):
    """A client's connection, as its life sees it."""

    reception: Reception

    def send(self, frame: bytes) -> None:
        """Send one frame."""

    def close(self) -> None:
        """The user leaves: say goodbye."""

    def abort(self) -> None:
        """The network fails: a reset, at once."""

    def freeze(self) -> None:
        """The network fails in silence: nothing is read any more, and nobody is told."""


class Reception:
    """What has come over one connection.

    Parameters
    ----------
    client : int
        Whose it is.
    number : int
        The client's how manyth connection.
    log : callable
        Takes (message, client, connection, time in ns) for every message.
    keeps_position : bool
        Whether to remember where in the log the last message stood.
    answered : callable
        Takes frames that are neither message nor welcome.
    """

    __slots__ = (
        "_answered", "_keeps_position", "_log", "client", "closed", "heard_ns", "number", "position", "server",
        "session", "turned_away", "welcomed",
    )  # fmt: skip

    def __init__(
        self,
        client: int,
        number: int,
        log: Callable[[int, int, int, int], None],
        keeps_position: bool,
        answered: Callable[[int, object], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.client, self.number = client, number
        self._log, self._keeps_position, self._answered = log, keeps_position, answered
        self.server, self.session, self.position, self.turned_away = -1, "", "", ""
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self.heard_ns = time.monotonic_ns()

    def frame(self, body: bytes) -> None:
        """One frame of the server."""
        now_ns = self.heard_ns = time.monotonic_ns()
        if body.startswith(_MESSAGE):
            self._log(number_of(body), self.client, self.number, now_ns)
            if self._keeps_position:
                first = body.index(_POSITION) + len(_POSITION)
                self.position = body[first : body.index(b'"', first)].decode() or self.position
            return
        self._take(read_from_server(body), now_ns)

    def batch(self, body: bytes) -> None:
        """The answer to a poll."""
        now_ns = self.heard_ns = time.monotonic_ns()
        batch = read_from_server(body)
        for frame in batch.frames if isinstance(batch, Batch) else (batch,):
            self._take(frame, now_ns)

    def rejected(self, reason: str) -> None:
        """Something that the client published on the side has come to nothing."""
        self._answered(self.client, Failure("not_published", reason))

    def _take(self, frame: object, now_ns: int) -> None:
        if isinstance(frame, Message):
            self._log(frame.id, self.client, self.number, now_ns)
            self.position = frame.pos or self.position
        elif isinstance(frame, Welcome):
            self.server, self.session = frame.server, frame.session
            self.position = self.position or frame.pos
            if not self.welcomed.done():
                self.welcomed.set_result(None)
        else:
            self._answered(self.client, frame)

    def stands(self) -> None:
        """The transport is there; a server of ours says so itself, in its welcome."""

    def deny(self, outcome: str) -> None:
        """The server does not want the client, for one of the outcomes of `TurnedAway`."""
        if not self.welcomed.done():
            self.welcomed.set_exception(TurnedAway(outcome))
            self.welcomed.exception()  # whoever waits hears of it; nobody may

    def heard(self) -> None:
        """Something has come that is no frame: the server lives."""
        self.heard_ns = time.monotonic_ns()

    def over(self, code: int) -> None:
        """The connection has ended, with a close code."""
        if not self.closed.done():
            self.closed.set_result(code)
        self.deny("server_died")
