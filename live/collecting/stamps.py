"""Stamps: what is known of each message and each copy of it, from the books of publisher, servers and clients.

The kernel keeps what a busy server has not read yet, so the way to a server and the wait there cannot be told apart:
both are in the hop `broker`. What a client process reads late is in the hop `client_network`, with the scenario's
network, which loopback does not have and which is added here: half a round trip and the workload's own jitter. Where
servers cannot write down when they send a copy, everything from its fan-out on is in the hop `fanout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_sim.draws import Stream, sample_ns, uniform
from realtime_sim.trace import STAMPS
from realtime_sim.units import to_ns
from realtime_sim.workload import Workload

__all__ = ["Copies", "Fanouts", "arrivals", "copies_of", "copies_that_came", "fanouts_of", "stamps_of"]

SPAN_NS = 2**44
"""Longer than any run, by a factor of four: what makes one number of a client and a time."""


@dataclass(frozen=True, slots=True)
class Fanouts:
    """Every message at every server that read it: arrays of one length, ascending by `key` = server * messages +
    message."""

    key: np.ndarray
    read_ns: np.ndarray
    started_ns: np.ndarray
    ended_ns: np.ndarray


@dataclass(frozen=True, slots=True)
class Copies:
    """Every copy that a server sent: arrays of one length, ascending by `key` = message * clients + client, then by
    time."""

    key: np.ndarray
    server: np.ndarray
    sent_ns: np.ndarray


def fanouts_of(books: list[dict[str, np.ndarray]], n_messages: int, begun_ns: int) -> Fanouts:
    """The books of all servers, by number."""
    server = np.concatenate([np.full(len(book["message"]), n) for n, book in enumerate(books)])
    joined = {name: np.concatenate([book[name] for book in books]) for name in books[0]}
    key = server * n_messages + joined["message"]
    key, first = np.unique(key, return_index=True)
    return Fanouts(key, *(joined[name][first] - begun_ns for name in ("read_ns", "started_ns", "ended_ns")))


def copies_of(books: list[dict[str, np.ndarray]], n_clients: int, begun_ns: int) -> Copies:
    """The books of all servers, by number."""
    server = np.concatenate([np.full(len(book["message"]), n) for n, book in enumerate(books)])
    joined = {name: np.concatenate([book[name] for book in books]) for name in books[0]}
    key = joined["message"] * n_clients + joined["client"]
    order = np.lexsort((joined["sent_ns"], key))
    return Copies(key[order], server[order], joined["sent_ns"][order] - begun_ns)


def copies_that_came(
    found: dict[str, np.ndarray], connections: Sequence[tuple[int, int, int, int]], n_clients: int
) -> Copies:
    """The copies that clients got, of servers that write down none: each came from the server of its connection then.

    When it was sent is not known; the latest that it can have been is when it came, and that stands there.

    Parameters
    ----------
    found : dict of str to ndarray
        From `arrivals`.
    connections : sequence of (int, int, int, int)
        (client, server, from, until) of every connection.
    n_clients : int
        Clients of the run.
    """
    held = np.array(sorted((client, since, server) for client, server, since, _ in connections), dtype=np.int64)
    held = held.reshape(-1, 3)
    row = np.searchsorted(held[:, 0] * SPAN_NS + held[:, 1], found["client"] * SPAN_NS + found["time_ns"], "right") - 1
    known = row >= 0
    known[known] = held[row[known], 0] == found["client"][known]
    key = found["message"] * n_clients + found["client"]
    order = np.lexsort((found["time_ns"], key))
    order = order[known[order]]
    return Copies(key[order], held[row[order], 2], found["time_ns"][order])


def arrivals(workload: Workload, books: list[dict[str, np.ndarray]], begun_ns: int) -> dict[str, np.ndarray]:
    """Every message that reached a client, in the order of time, with the scenario's network behind the real one.

    Returns
    -------
    dict of str to ndarray of int64
        `message`, `client`, `time_ns` (from the beginning of the run), `is_again`: whether the client had it already.
    """
    joined = {name: np.concatenate([book[name] for book in books]) for name in books[0]}
    time_ns = joined["time_ns"] - begun_ns + workload.rtt_ns[joined["client"]] // 2 + _jitter_ns(workload, joined)
    time_ns = _in_order(time_ns, joined["client"] * 2**20 + joined["connection"])
    order = np.argsort(time_ns, kind="stable")
    found = {"message": joined["message"][order], "client": joined["client"][order], "time_ns": time_ns[order]}
    key = found["message"] * workload.n_clients + found["client"]
    _, first = np.unique(key, return_index=True)
    found["is_again"] = np.ones(len(key), dtype=bool)
    found["is_again"][first] = False
    return found


def _jitter_ns(workload: Workload, joined: dict[str, np.ndarray]) -> np.ndarray:
    """The workload's draw for every message and client; nothing where the scenario has no jitter."""
    jitter_ns = np.zeros(len(joined["message"]), dtype=np.int64)
    publishes, cohorts = workload.publishes, workload.cohort[joined["client"]]
    for index, cohort in enumerate(workload.scenario.clients):
        sampler = cohort.network.jitter.sampler()
        rows = np.flatnonzero(cohorts == index)
        if sampler.kind == 0:
            jitter_ns[rows] = to_ns(sampler.a)
            continue
        for row in rows.tolist():
            message, client = joined["message"][row], int(joined["client"][row])
            address = int(publishes.number[message]), client, int(publishes.traffic[message])
            jitter_ns[row] = sample_ns(sampler, uniform(workload.scenario.seed, Stream.JITTER, *address))
    return jitter_ns


def _in_order(time_ns: np.ndarray, connection: np.ndarray) -> np.ndarray:
    """TCP keeps the order of one connection: nothing arrives before what was there earlier. Rows of a connection are
    in the order of their real arrival."""
    order = np.argsort(connection, kind="stable")
    sorted_ns, groups = time_ns[order], connection[order]
    # A running maximum within groups: each group is lifted above all before it.
    _, group = np.unique(groups, return_inverse=True)
    lift = group * (int(time_ns.max(initial=0)) - int(time_ns.min(initial=0)) + 1)
    sorted_ns = np.maximum.accumulate(sorted_ns + lift) - lift
    in_order = np.empty_like(time_ns)
    in_order[order] = sorted_ns
    return in_order


def stamps_of(
    workload: Workload, found: dict[str, np.ndarray], handed_ns: np.ndarray, fanouts: Fanouts, copies: Copies
) -> tuple[np.ndarray, np.ndarray]:
    """The stamps of every arrival, and the server that it came from.

    Parameters
    ----------
    workload : Workload
        What was run.
    found : dict of str to ndarray
        From `arrivals`.
    handed_ns : ndarray of int64, shape (messages,)
        When each message was handed to the broker, by the publisher or by a client's server.
    fanouts, copies : Fanouts and Copies
        What servers wrote down.

    Returns
    -------
    stamps : ndarray of int64, shape (n, stamps)
        Each row ascending.
    server : ndarray of int64, shape (n,)
        -1 where no server wrote a copy down, for it was killed just then.
    """
    message, received_ns = found["message"], found["time_ns"]
    published_ns = workload.publishes.intended_ns[message]
    row, known = _rows_of(copies.key, message * workload.n_clients + found["client"])
    sent_ns = _values(copies.sent_ns, row, known, received_ns)
    server = _values(copies.server, row, known, np.int64(-1))
    row, has = _rows_of(fanouts.key, server * len(workload.publishes) + message)
    has &= known
    read_ns, started_ns, ended_ns = (
        _values(values, row, has, received_ns) for values in (fanouts.read_ns, fanouts.started_ns, fanouts.ended_ns)
    )
    at_broker_ns = handed_ns[message]
    replayed = has & (sent_ns > ended_ns)  # sent again after the fan-out: until then it waited for its client
    released_ns = sent_ns
    sent_ns = np.where(replayed, started_ns, sent_ns)
    columns = (
        published_ns, at_broker_ns, read_ns, read_ns, started_ns, sent_ns, released_ns, released_ns, received_ns
    )  # fmt: skip
    stamps = np.column_stack(columns)
    assert stamps.shape[1] == len(STAMPS)
    stamps = np.minimum(stamps, received_ns[:, None])  # a stamp that was not written in time is as late as it can be
    return np.maximum.accumulate(stamps, axis=1), server


def _rows_of(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last row of each wanted key among ascending keys, and whether there is one."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    row = np.maximum(np.searchsorted(keys, wanted, side="right") - 1, 0)
    return row, keys[row] == wanted


def _values(values: np.ndarray, row: np.ndarray, known: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Values of rows where they are known, others elsewhere."""
    return np.where(known, values[row] if len(values) else 0, otherwise)
