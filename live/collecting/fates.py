"""Fates: who was to get each message, who got it, and why those did not who did not."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from live.cluster import History
from live.collecting.happenings import NEVER_NS, Histories
from live.collecting.stamps import Copies, Fanouts
from realtime_sim.workload import BACKEND, Workload

__all__ = ["Loss", "Witness", "expected_keys"]


def expected_keys(workload: Workload, histories: Histories) -> np.ndarray:
    """message * clients + client for everybody who was there when a message was published to a room of theirs.

    Parameters
    ----------
    workload : Workload
        What was run.
    histories : Histories
        Who was there, and what could not be sent.
    """
    publishes, scenario, n_clients = workload.publishes, workload.scenario, workload.n_clients
    turns = [(begin, client, True) for client, begin, _ in histories.sessions]
    turns += [(end, client, False) for client, _, end in histories.sessions if end != NEVER_NS]
    turns.sort()
    online, at, keys = np.zeros(n_clients, dtype=bool), 0, []
    for message, (time_ns, room, sender, traffic) in enumerate(
        zip(publishes.time_ns.tolist(), publishes.room.tolist(), publishes.sender.tolist(),
            publishes.traffic.tolist(), strict=True)
    ):  # fmt: skip
        while at < len(turns) and turns[at][0] <= time_ns:
            online[turns[at][1]] = turns[at][2]
            at += 1
        if message in histories.unsent or (sender != BACKEND and message not in histories.sent_ns):
            continue
        members = workload.rooms.members_of(room)
        members = members[online[members]]
        if not scenario.traffic[traffic].echo:
            members = members[members != sender]
        keys.append(members.astype(np.int64) + message * n_clients)
    return np.concatenate(keys) if keys else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Loss:
    """A delivery that never happened: the cause, one of `realtime_sim.trace.CAUSES`, or `cancelled`."""

    message: int
    client: int
    cause: str


class Witness:
    """Knows why a delivery never happened.

    Parameters
    ----------
    workload : Workload
        What was run.
    histories : Histories
        Who was connected to which server, and when.
    history : History
        What was done to servers and broker.
    died_ns : list of int
        When each server died, -1 for never.
    fanouts, copies : Fanouts and Copies
        What servers wrote down.
    refused : set of int
        Messages that the broker never took.
    over_ns : int
        When the run was over.
    """

    def __init__(
        self, workload: Workload, histories: Histories, history: History, died_ns: list[int], fanouts: Fanouts,
        copies: Copies, refused: set[int], over_ns: int,
    ) -> None:  # fmt: skip
        self._workload, self._history, self._died_ns = workload, history, died_ns
        self._fanouts, self._copies, self._refused, self._over_ns = fanouts, copies, refused, over_ns
        self._connections: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for client, server, since_ns, until_ns in histories.connections:
            self._connections[client].append((since_ns, until_ns, server))
        for held in self._connections.values():
            held.sort()
        self._left_ns: dict[int, list[int]] = defaultdict(list)
        for client, _, until_ns in histories.sessions:
            self._left_ns[client].append(until_ns)

    def loss(self, message: int, client: int) -> Loss:
        """Why a client never got a message that it was to get."""
        return Loss(message, client, self._cause(message, client))

    def _cause(self, message: int, client: int) -> str:
        published_ns = int(self._workload.publishes.time_ns[message])
        if message in self._refused or any(since <= published_ns < until or (until < 0 and since <= published_ns)
                                           for since, until in self._history.broker_down):  # fmt: skip
            return "broker_down"
        held = self._connections[client]
        at = bisect_right(held, (published_ns, NEVER_NS, 0)) - 1
        if at < 0 or held[at][1] <= published_ns:
            return "offline"
        since_ns, until_ns, server = held[at]
        if until_ns != NEVER_NS and until_ns in self._left_ns[client]:
            return "cancelled"
        if self._was_sent(message, client):
            return "server_died" if 0 <= self._died_ns[server] <= until_ns != NEVER_NS else "connection_lost"
        if any(number == server and since <= published_ns and (until < 0 or published_ns < until)
               for number, since, until in self._history.away):  # fmt: skip
            return "server_away"
        if 0 <= self._died_ns[server]:
            return "server_died"
        if self._workload.scenario.broker.kind == "none" and not self._was_read(message, server):
            return "no_route"
        return "unfinished" if until_ns == NEVER_NS else "connection_lost"

    def _was_read(self, message: int, server: int) -> bool:
        key = server * len(self._workload.publishes) + message
        at = int(np.searchsorted(self._fanouts.key, key))
        return at < len(self._fanouts.key) and int(self._fanouts.key[at]) == key

    def _was_sent(self, message: int, client: int) -> bool:
        key = message * self._workload.n_clients + client
        at = int(np.searchsorted(self._copies.key, key))
        return at < len(self._copies.key) and int(self._copies.key[at]) == key
