"""What happened to each client, in the order of time: counters, connections, sessions, and who came back from what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from live.clients.settings import Happening
from live.cluster import Cut
from realtime_sim.recorder import Recorder
from realtime_sim.trace import COUNTERS, FAILURES

__all__ = ["NOTICE_NS", "Histories", "counters_at", "follow"]

NEVER_NS = 2**62

_CLOSED = {1000: "closed_normal", 1001: "closed_going_away", 1012: "closed_going_away", 1008: "closed_policy"}

NOTICE_NS = 90 * 10**9
"""A connection that breaks so long after something was done to its server is not its fault."""


@dataclass(slots=True)
class Histories:
    """What is known of clients when a run is over. Times are nanoseconds from its beginning.

    Parameters
    ----------
    connections : list of (int, int, int, int)
        (client, server, from, until) of every connection.
    sessions : list of (int, int, int)
        (client, from, until) of every session.
    counted : list of (int, str, int)
        (time, counter, how many more).
    sent_ns : dict of int to int
        When each message of a client set out.
    unsent : set of int
        Messages that a client could not send.
    rejected : int
        Messages of clients that a server could not publish.
    never_connected : int
        Clients that tried, and never had a connection.
    """

    connections: list[tuple[int, int, int, int]] = field(default_factory=list)
    sessions: list[tuple[int, int, int]] = field(default_factory=list)
    counted: list[tuple[int, str, int]] = field(default_factory=list)
    sent_ns: dict[int, int] = field(default_factory=dict)
    unsent: set[int] = field(default_factory=set)
    rejected: int = 0
    never_connected: int = 0


class _Client:
    """What is known of one client so far."""

    __slots__ = ("blame", "cut_ns", "is_online", "n_connections", "server", "session_ns", "since_ns", "tried")

    def __init__(self) -> None:
        self.server, self.since_ns, self.session_ns = -1, 0, 0
        self.is_online = self.tried = False
        self.n_connections = 0
        self.blame, self.cut_ns = -1, 0


def follow(
    books: Sequence[dict[str, np.ndarray]], begun_ns: int, cohort: np.ndarray, names: Sequence[str],
    cuts: Sequence[Cut], recorder: Recorder,
) -> Histories:  # fmt: skip
    """Follow every client through the run.

    Parameters
    ----------
    books : sequence of dict of str to ndarray
        Logbooks of the client processes.
    begun_ns : int
        When the run began, nanoseconds of the clock.
    cohort : ndarray of int32
        Cohort of each client.
    names : sequence of str
        Names of the cohorts.
    cuts : sequence of Cut
        What was done to connections.
    recorder : Recorder
        Which is told whom each disturbance cut off, and when they were back.
    """
    table = np.concatenate(
        [np.column_stack([book[c] for c in ("time_ns", "client", "what", "value")]) for book in books]
    )
    table = table[np.argsort(table[:, 0], kind="stable")]
    found, clients, n_open = Histories(), [_Client() for _ in cohort], 0
    for time_ns, number, what, value in table.tolist():
        time_ns -= begun_ns
        client, count = clients[number], found.counted.append
        match what:
            case Happening.CONNECTED_AT_START | Happening.ACCEPTED:
                at_start = what == Happening.CONNECTED_AT_START
                time_ns = max(time_ns, 0)
                count((time_ns, "accepted", 1))
                if at_start:
                    count((time_ns, "connected_at_start", 1))
                elif client.is_online:
                    count((time_ns, "reconnects", 1))
                client.server, client.since_ns, client.tried = value, time_ns, True
                client.n_connections += 1
                n_open += 1
                count((time_ns, "peak_connections", n_open))
                if client.blame >= 0:
                    recorder.recovered(client.blame, time_ns, client.cut_ns)
                    client.blame = -1
            case Happening.ATTEMPT:
                client.tried = True
                count((time_ns, "attempts", 1))
            case Happening.FAILED:
                client.tried = True
                count((max(time_ns, 0), FAILURES[value], 1))
            case Happening.BROKE:
                count((time_ns, "lost_connections", 1))
                count((time_ns, _CLOSED.get(value, "closed_abnormal"), 1))
                blame = _blamed(cuts, client.server, names[cohort[number]], time_ns)
                if blame >= 0 and client.blame < 0:
                    recorder.affected[blame] += 1
                    client.blame, client.cut_ns = blame, time_ns
                found.connections.append((number, client.server, client.since_ns, time_ns))
                client.server = -1
                n_open -= 1
            case Happening.SESSION_BEGUN:
                client.is_online, client.session_ns = True, max(time_ns, 0)
            case Happening.SESSION_ENDED:
                found.sessions.append((number, client.session_ns, time_ns))
                client.is_online = False
                if client.server >= 0:
                    count((time_ns, "closed_normal", 1))
                    found.connections.append((number, client.server, client.since_ns, time_ns))
                    client.server = -1
                    n_open -= 1
                if client.blame >= 0:
                    recorder.affected[client.blame] -= 1  # nobody is left to recover
                    client.blame = -1
            case Happening.GAVE_UP:
                count((time_ns, "gave_up", 1))
            case Happening.POLLED:
                count((time_ns, "polls", 1))
            case Happening.UNSENT:
                count((time_ns, "unsent", 1))
                found.unsent.add(value)
            case Happening.SENT:
                found.sent_ns[value] = time_ns
            case Happening.REJECTED:
                found.rejected += 1
    for number, client in enumerate(clients):
        if client.server >= 0:
            found.connections.append((number, client.server, client.since_ns, NEVER_NS))
        if client.is_online:
            found.sessions.append((number, client.session_ns, NEVER_NS))
        found.never_connected += client.tried and not client.n_connections
    return found


def _blamed(cuts: Sequence[Cut], server: int, cohort: str, time_ns: int) -> int:
    """What is to blame for a connection that broke: the last thing done to its server or its cohort, -1 for nothing."""
    for cut in reversed(cuts):
        if cut.time_ns <= time_ns <= cut.time_ns + NOTICE_NS and (cut.server == server or cut.cohort == cohort):
            return cut.disturbance
    return -1


def counters_at(counted: Sequence[tuple[int, str, int]], times_ns: Sequence[int]) -> list[dict[str, int]]:
    """Every counter at each of several times; `peak_connections` is the most so far, all others are sums.

    Parameters
    ----------
    counted : sequence of (int, str, int)
        From `Histories`, in the order of time.
    times_ns : sequence of int
        Ascending.

    Examples
    --------
    >>> [found["attempts"] for found in counters_at([(5, "attempts", 1), (9, "attempts", 1)], [0, 5, 20])]
    [0, 1, 2]
    """
    now, found, at = dict.fromkeys(COUNTERS, 0), [], 0
    for time_ns in times_ns:
        while at < len(counted) and counted[at][0] <= time_ns:
            _, name, n = counted[at]
            now[name] = max(now[name], n) if name == "peak_connections" else now[name] + n
            at += 1
        found.append(dict(now))
    return found
