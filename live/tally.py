"""The tally of a run that goes on: what clients have received, missed and reconnected so far, read from their books.

Whoever asks does the work; the clients write the same whether somebody asks or not.
"""

from __future__ import annotations

import numpy as np

from live.clients.settings import Happening
from live.logbook import Logbook
from realtime_sim.buckets import N_BUCKETS, bucket_of
from realtime_sim.workload import Workload

__all__ = ["Tally", "places_in_rooms"]


class Tally:
    """Counts so far.

    Parameters
    ----------
    workload : Workload
        What is running.
    begun_ns : int
        When the run began, nanoseconds of the monotonic clock.
    received, happened : list of Logbook
        The books of the client processes.
    """

    def __init__(self, workload: Workload, begun_ns: int, received: list[Logbook], happened: list[Logbook]) -> None:
        self.latency = np.zeros(N_BUCKETS, dtype=np.int64)
        """Deliveries by bucket of their latency."""
        self.reconnects = 0
        """Connections re-established after a loss."""
        self.missed = 0
        """Messages that the numbering within a room says are missing between two that a client got."""
        self._workload, self._begun_ns = workload, begun_ns
        self._received, self._happened = received, happened
        self._n_received, self._n_happened = [0] * len(received), [0] * len(happened)
        self._places = places_in_rooms(workload)
        self._last: dict[int, int] = {}

    def update(self) -> None:
        """Read what has been written since the last time."""
        for number, book in enumerate(self._received):
            rows = book.read(self._n_received[number])
            self._n_received[number] += len(rows["message"])
            self._take(rows)
        for number, book in enumerate(self._happened):
            rows = book.read(self._n_happened[number])
            self._n_happened[number] += len(rows["what"])
            clients = rows["client"][rows["what"] == Happening.ACCEPTED].tolist()
            begun = rows["client"][rows["what"] == Happening.SESSION_BEGUN].tolist()
            self.reconnects += len(clients) - len(begun) + int((rows["what"] == Happening.CONNECTED_AT_START).sum())

    def _take(self, rows: dict[str, np.ndarray]) -> None:
        message, client, publishes = rows["message"], rows["client"], self._workload.publishes
        latency_ns = rows["time_ns"] - self._begun_ns - publishes.intended_ns[message]
        latency_ns += self._workload.rtt_ns[client] // 2
        self.latency += np.bincount(bucket_of(np.maximum(latency_ns, 0)), minlength=N_BUCKETS)
        key = client * self._workload.rooms.n_rooms + publishes.room[message]
        for pair, place in zip(key.tolist(), self._places[message].tolist(), strict=True):
            last = self._last.get(pair)
            if last is None or place > last:
                self.missed += 0 if last is None else place - last - 1
                self._last[pair] = place


def places_in_rooms(workload: Workload) -> np.ndarray:
    """For each message its place among those of its room, from 1 on, so that a client sees what it misses."""
    room = workload.publishes.room
    order = np.argsort(room, kind="stable")
    first = np.searchsorted(room[order], np.arange(workload.rooms.n_rooms))
    places = np.empty(len(room), dtype=np.int64)
    places[order] = np.arange(len(room)) - first[room[order]] + 1
    return places
