"""What a client process is told before it connects anybody, and the columns of what it writes down."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["HAPPENED", "RECEIVED", "ClientSettings", "Happening", "Place"]

RECEIVED = ("message", "client", "connection", "time_ns")
"""Columns of the logbook of messages: which one reached which client over its how manyth connection, and when."""

HAPPENED = ("time_ns", "client", "what", "value")
"""Columns of the logbook of everything else: when, to whom, a `Happening`, and what stands beside it there."""


class Happening(enum.IntEnum):
    """What can happen to a client. In brackets: the value beside it."""

    CONNECTED_AT_START = 0  # server
    ATTEMPT = 1
    ACCEPTED = 2  # server
    FAILED = 3  # index in realtime_sim.trace.FAILURES
    BROKE = 4  # close code; the truth, or what the client knows of it
    NOTICED = 5
    SESSION_BEGUN = 6
    SESSION_ENDED = 7
    GAVE_UP = 8
    POLLED = 9
    UNSENT = 10  # message
    SENT = 11  # message
    MISSED = 12  # messages of one room that the numbering leaves out
    REJECTED = 13  # message: its server could not publish it


@dataclass(frozen=True, slots=True)
class Place:
    """A server as clients find it.

    Parameters
    ----------
    websocket_url, http_url : str
        Where it is, or the balancer before it, such as `ws://127.0.0.1:80/ws` and `http://127.0.0.1:80`.
    is_healthy : bool
        Whether new connections go there.
    """

    websocket_url: str
    http_url: str
    is_healthy: bool


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Everything a client process is told besides the arrays.

    Parameters
    ----------
    index, n_processes : int
        Which of how many it is: it plays the clients whose number modulo `n_processes` is `index`.
    scenario : dict
        The statement, plain.
    library : str
        `picows`, or `websockets`.
    origin : str
        What its clients say they come from.
    assigns : bool
        Whether clients choose their server themselves; otherwise a balancer does, and there is one place.
    n_received, n_happened : int
        Most rows of its logbooks.
    resumes : bool
        Whether the broker has a log that returning clients are caught up from.
    source : str
        Loopback address that its sockets have; empty where the system is to choose.
    target : dict or None
        Somebody's own cluster that they connect to, plain (`live.foreign.target.Target`).
    """

    index: int
    n_processes: int
    scenario: dict[str, Any]
    library: str
    origin: str
    assigns: bool
    n_received: int
    n_happened: int
    resumes: bool
    source: str
    target: dict[str, str] | None = None

    def to_plain(self) -> dict[str, Any]:
        """As it goes over the channel."""
        return asdict(self)
