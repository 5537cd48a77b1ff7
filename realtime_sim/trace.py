"""The Trace: what happened in one run, in integers, whoever produced it.

Latency has eight hops between nine stamps. They are differences of consecutive integers, so they add up to the whole
exactly, for every single delivery.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from realtime_sim.scenario import Scenario

__all__ = [
    "BROKER",
    "CAUSES",
    "CLOSE_CODES",
    "COUNTERS",
    "DELIVERIES",
    "END_NS",
    "FAILURES",
    "HOPS",
    "NOTHING_NS",
    "N_BATCHES",
    "N_GROUPS",
    "OUTCOMES",
    "OWN_PACE",
    "SERVER_TOTALS",
    "STAMPS",
    "Decision",
    "Difference",
    "Trace",
]

HOPS = (
    "publisher_to_broker",
    "broker",
    "broker_to_server",
    "server_wait",
    "fanout",
    "client_away",
    "egress",
    "client_network",
)
"""From the intended publish time: to the broker (a client's own way and the server's ingest included; for what a
service pushes, everything since its event), waiting and service at the broker, to the server, waiting in the server's
queue, decoding and the sends before and of this copy, waiting for a client that is between two polls or reconnecting,
the server's link, the client's network. With a `host`, what its publisher does is part of the first, and what the
process that plays the client does is part of the last."""

STAMPS = (
    "published_ns",
    "at_broker_ns",
    "left_broker_ns",
    "at_server_ns",
    "started_ns",
    "sent_ns",
    "released_ns",
    "left_server_ns",
    "received_ns",
)
"""Ends of the hops: hop i is from stamp i to stamp i + 1."""

OUTCOMES = ("delivered", "lost", "dropped", "duplicate")
"""What becomes of a copy; a duplicate comes on top of what was expected."""

CAUSES = (
    "offline", "connection_lost", "server_died", "no_route", "trimmed", "server_away", "broker_down", "too_late",
    "unfinished",
)  # fmt: skip
"""Why a delivery was lost: the client was not connected when it passed; its connection broke under way; the server
died with it; no broker led to the client's server; the log was trimmed before the client was back; the client's server,
or the one that published, was cut off from the broker; the broker was down, or stopped with it; the client was away too
long to be caught up; the run ended."""

DELIVERIES = ("expected", *OUTCOMES, "cancelled", *(f"lost_{cause}" for cause in CAUSES))
"""Things counted of deliveries, by cohort."""

COUNTERS = (
    "peak_connections",
    "connected_at_start",
    "attempts",
    "accepted",
    "reconnects",
    "refused",
    "backlog_full",
    "no_server",
    "timeouts",
    "session_unknown",
    "server_died",
    "wasted_handshakes",
    "lost_connections",
    "gave_up",
    "unsent",
    "polls",
    "closed_normal",
    "closed_going_away",
    "closed_abnormal",
    "closed_policy",
    "never_connected",
    "throttled",
    "idle_drops",
    "first_attempts",
    "failed_polls",
    "left_connecting",
    "left_cut_off",
    "left_waiting",
)
"""Things counted over the whole run, by name. `peak_connections` is the most that were open at once. `accepted`
includes `connected_at_start`, and failures include those of clients that no server had room for at the start, which
are no `attempts`. The ends of open connections are counted by how they closed (`CLOSE_CODES`); `idle_drops` are
those that a proxy's idle timeout ended. `never_connected` is counted at the end of the run alone: clients that had
tried, or been refused at the start, and never had a connection. The last five are counted by engines alone: attempts
with which a user comes, polls among the failures, and users who left without a connection, in an attempt, with one that
was gone and that they had not begun to replace, or waiting for their next attempt, if there was one."""

CLOSE_CODES = MappingProxyType(
    {"closed_normal": 1000, "closed_going_away": 1001, "closed_abnormal": 1006, "closed_policy": 1008}
)
"""Close codes of RFC 6455, section 7.4.1, by their counter: the user left; the server sent the client away, to be
replaced or because the connection was old; nobody said goodbye, as the server or the network failed or a poll found no
session; the server cut a client that was too slow. SSE and long polling have no codes, and are counted alike."""

FAILURES = ("refused", "backlog_full", "no_server", "timeouts", "session_unknown", "server_died", "throttled")
"""Counters of connections and polls that came to nothing, by what went wrong; all but `timeouts` were turned away."""

SERVER_TOTALS = ("peak_connections", "busy_ns", "link_busy_ns", "jobs", "sends", "handshakes", "started_ns", "died_ns")
"""Totals of each server. `busy_ns` is the time that its loops were at work, on a core or, on a `host`, waiting for one.
`link_busy_ns` is the time that everything handed to its link takes to transmit, booked when it is handed over; a server
that has stopped in order has died too, and -1 in `died_ns` means never."""

N_BATCHES = 32
"""Slices of the measured time that are kept apart, for intervals."""

N_GROUPS = 32
"""Groups of clients (number modulo 32) that are kept apart where clients differ by chance, for intervals."""

OWN_PACE = 1_000
"""Thousandths of its cost that work takes who is not slow."""

BROKER = -1
"""In the place of a server's number."""

END_NS = 2**62
"""Later than any run ends."""

NOTHING_NS = 2**62
"""`min_ns` where nothing was delivered."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the control plane did, or decided not to do.

    Parameters
    ----------
    time_ns : int
        When, nanoseconds.
    actor : str
        Whose process it was: a fault with its number, the autoscaler or its replica set, the name of a user's function,
        or the broker, which cuts servers off by itself.
    action, target, reason : str
        What was done, to what, and why.
    """

    time_ns: int
    actor: str
    action: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two traces differ, with both values."""

    field: str
    row: int | None
    first: object
    second: object

    def __str__(self) -> str:
        where = self.field if self.row is None else f"{self.field}, row {self.row}"
        return f"{where}: {self.first!r} != {self.second!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One run.

    Parameters
    ----------
    scenario : Scenario
        What was asked.
    engine, level : str
        Who answered, and how much was kept: `"summary"` or `"full"`.
    histogram : ndarray of int64, shape (cohorts, hops + 1, N_BUCKETS)
        Latencies of messages published after the warm-up; the last hop row is the whole.
    sum_ns, min_ns, max_ns : ndarray of int64, shape (cohorts, hops + 1)
        Sum, minimum and maximum of the same latencies; `NOTHING_NS` is the minimum of none, 0 the maximum.
    batch_histogram : ndarray of int32, shape (N_BATCHES, hops + 1, N_BUCKETS)
        Latencies of all cohorts by publish time, in equal slices of the measured time. Of one of several
        replications only the last row of hops is kept, the whole.
    batch_sum_ns : ndarray of int64, shape (N_BATCHES, hops + 1)
        Sums of the same slices.
    batch_count : ndarray of int64, shape (N_BATCHES,)
        Deliveries of the same slices.
    batch_missing : ndarray of int64, shape (N_BATCHES,)
        Deliveries of messages published in the same slices that were lost or dropped.
    group_histogram, group_sum_ns, group_count : ndarray
        The same by group of clients instead of slice, where clients differ by chance and there are two for each
        group; length 0 elsewhere.
    deliveries : dict of str to ndarray of int64, shape (cohorts,)
        `DELIVERIES`.
    counters : dict of str to int
        `COUNTERS`, over the whole run.
    series : dict of str to ndarray
        Samples at `time_ns`, shape (samples,) or (samples, servers). Totals so far, `COUNTERS` and `expected` among
        them, but for `connections`, `queue_length`, `ready`, `desired`, `subscriptions`, `broker_queue` and
        `under_way`, which are states. A server that was not there yet has 0. `under_way_area_ns` is the number of
        deliveries under way integrated over time. `client_busy_ns`, shape (samples, processes), is the time that each
        process that plays clients was at work, on a core or waiting for one, and `publisher_busy_ns` that of the
        publisher; without a `host` there is none of the former, and 0.
    servers : dict of str to ndarray of int64, shape (servers,)
        `SERVER_TOTALS`.
    disturbances : tuple of (str, int)
        What cut connections off: kind, and time in nanoseconds. The faults of the scenario come first, in their order;
        then what others did, in the order of time.
    recovery : tuple of ndarray of int64
        For each disturbance, when each client it cut off was connected again, ascending, nanoseconds.
    away : tuple of ndarray of int64
        For each disturbance, how long each of these clients had been cut off, ascending, nanoseconds.
    affected : tuple of int
        For each disturbance, how many clients it cut off.
    decisions : tuple of Decision
        What the control plane did, in the order of time.
    hindered : tuple of (int, int, int, int)
        When a server (-1: the broker) worked slowly or paused: its number, from and until when, nanoseconds, and how
        many thousandths of its cost work took, 0 for a pause. Where it never ended, until `END_NS`.
    services : dict of str to dict
        Of each service ahead of the push tier: `fates` (events by `realtime_sim.pipeline.FATES`), their `attempts`,
        `histogram` and `sum_ns` of the times from event to finished, all of events after the warm-up; over the whole
        run `redelivered`, `busy_ns`, `highest_lag`, `lag` at the samples, and `caught_up_ns` for each of its stops.
    rows : dict of str to ndarray
        With level `"full"`, one row for each settled delivery: `message`, `client`, `server`, `outcome`, `STAMPS`.
    """

    scenario: Scenario
    engine: str
    level: str
    histogram: np.ndarray
    sum_ns: np.ndarray
    min_ns: np.ndarray
    max_ns: np.ndarray
    batch_histogram: np.ndarray
    batch_sum_ns: np.ndarray
    batch_count: np.ndarray
    batch_missing: np.ndarray
    group_histogram: np.ndarray
    group_sum_ns: np.ndarray
    group_count: np.ndarray
    deliveries: dict[str, np.ndarray]
    counters: dict[str, int]
    series: dict[str, np.ndarray]
    servers: dict[str, np.ndarray]
    disturbances: tuple[tuple[str, int], ...]
    recovery: tuple[np.ndarray, ...]
    away: tuple[np.ndarray, ...]
    affected: tuple[int, ...]
    decisions: tuple[Decision, ...]
    hindered: tuple[tuple[int, int, int, int], ...] = ()
    services: dict[str, dict[str, np.ndarray | int]] = field(default_factory=dict)
    rows: dict[str, np.ndarray] = field(default_factory=dict)

    def without_parts(self) -> Trace:
        """The same run without what only intervals of a single run need, which is most of its memory.

        Of the slices of time the whole latency is left, of the groups of clients nothing.
        """
        return dataclasses.replace(
            self, batch_histogram=self.batch_histogram[:, -1:].copy(), group_histogram=self.group_histogram[:0].copy()
        )

    @property
    def has_parts(self) -> bool:
        """Whether it has kept what intervals of a single run need (see `without_parts`)."""
        return self.batch_histogram.shape[:2] == (N_BATCHES, len(HOPS) + 1)

    def diff(self, other: Trace) -> Difference | None:
        """The first difference to another trace, or None where they tell the same story.

        The name of the engine is no difference; the level of recording is, and so is the scenario.
        """
        for item in dataclasses.fields(self):
            if item.name == "engine":
                continue
            found = _first_difference(item.name, getattr(self, item.name), getattr(other, item.name))
            if found is not None:
                return found
        return None


def _first_difference(name: str, a: object, b: object) -> Difference | None:
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return Difference(name, None, sorted(a), sorted(b))
        pairs = [(f"{name}[{key!r}]", a[key], b[key]) for key in a]
    elif isinstance(a, tuple) and isinstance(b, tuple):
        if len(a) != len(b):
            return Difference(name, None, a, b)
        pairs = [(f"{name}[{i}]", a[i], b[i]) for i in range(len(a))]
    elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            return Difference(f"{name}.shape", None, a.shape, b.shape)
        wrong = np.argwhere(a != b)
        if len(wrong) == 0:
            return None
        at = tuple(int(i) for i in wrong[0])
        return Difference(f"{name}{list(at[1:]) or ''}", at[0], a[at].item(), b[at].item())
    else:
        return None if a == b else Difference(name, None, a, b)
    return next((found for pair in pairs if (found := _first_difference(*pair)) is not None), None)
