"""What a server process is told before it opens its ports: plain values, as they come over the channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

__all__ = ["FANOUTS", "SENDS", "CohortRules", "ServerSettings"]

SENDS = ("message", "client", "sent_ns")
"""Columns of the logbook of copies: which message went to which client, and when its send had been done."""

FANOUTS = ("message", "read_ns", "started_ns", "ended_ns")
"""Columns of the logbook of fan-outs: when a server had read a message, began to send it, and was done."""


@dataclass(frozen=True, slots=True)
class CohortRules:
    """How a server treats the clients of one cohort.

    Parameters
    ----------
    transport : str
        `websocket`, `sse` or `long_polling`.
    ping_interval_s, ping_timeout_s : float or None
        Pings of its connections, seconds; None without.
    overflow : str
        What is done with a message for a client whose send buffer is full.
    limit_bytes : int
        Size of the send buffer; 0 where it has no limit.
    resumes : bool
        Whether a returning client is sent what it missed, where the broker has a log.
    publishes : tuple of (int, int)
        Rooms, from the first up to before the second of each pair, that its clients may publish to without being
        members.
    """

    transport: str
    ping_interval_s: float | None
    ping_timeout_s: float | None
    overflow: str
    limit_bytes: int
    resumes: bool
    publishes: tuple[tuple[int, int], ...]

    def may_publish(self, room: int) -> bool:
        """Whether a client that is no member of a room may publish to it."""
        return any(first <= room < end for first, end in self.publishes)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Everything a server process is told.

    Parameters
    ----------
    number : int
        Its number in the run.
    websocket_port, http_port : int
        Where it listens on loopback.
    secret : str
        Shared by all servers, hexadecimal; tokens are signed with it.
    origins : tuple of str
        Values of the `Origin` header that are let in; requests without one come from no browser and are let in too.
    broker_url : str
        Where the broker is.
    broker : dict
        The broker's part of the scenario, plain.
    namespace : str
        Name of the run at the broker, so that runs that share one do not hear each other.
    is_late : bool
        Whether it starts while the run goes on, when the broker may be down.
    cohorts : tuple of CohortRules
        By the number of the cohort.
    max_connections : int or None
        Connections it admits; beyond them it answers 503.
    admission : dict
        `rate` (1/s or None), `burst`, `concurrency` (or None) and `retry_after` (s): beyond them it answers 429.
    task_per_client : bool
        Whether each client has a queue and a task of its own.
    backlog : int
        Length of the accept queue.
    poll_hold_s : float
        How long a poll is held without an answer, seconds.
    slice : int
        Sends after which a fan-out lets the loop do something else.
    shuts_when_draining : bool
        Whether it refuses connections while it is not wanted: a balancer then finds another server, where an answer
        of 503 would go to the client.
    max_message_bytes : int
        Largest frame a client may send; beyond it the connection is closed (1009), a request refused (413).
    client_rate_per_s : float
    client_burst : int
        Frames a second that a client may send, and how many at once; pings count apart. Beyond them its connection is
        closed (1008), a request refused (429).
    header_timeout_s : float
        Time a client has to say what it wants, seconds: until its request is whole, also the next one over the same
        connection, and again until the body is.
    n_sends, n_fanouts : int
        Most rows of its logbooks.
    """

    number: int
    websocket_port: int
    http_port: int
    secret: str
    origins: tuple[str, ...]
    broker_url: str
    broker: dict[str, Any]
    namespace: str
    is_late: bool
    cohorts: tuple[CohortRules, ...]
    max_connections: int | None
    admission: dict[str, Any]
    task_per_client: bool
    backlog: int
    poll_hold_s: float
    slice: int
    shuts_when_draining: bool
    max_message_bytes: int
    client_rate_per_s: float
    client_burst: int
    header_timeout_s: float
    n_sends: int
    n_fanouts: int

    def to_plain(self) -> dict[str, Any]:
        """As it goes over the channel."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ServerSettings:
        """As it comes from there."""
        cohorts = tuple(CohortRules(**cohort) for cohort in plain["cohorts"])
        return cls(**plain | {"cohorts": cohorts, "origins": tuple(plain["origins"])})

    @property
    def broker_part(self) -> SimpleNamespace:
        """The broker's part of the scenario, with attributes; a server need not know the whole statement."""
        return SimpleNamespace(**self.broker)
