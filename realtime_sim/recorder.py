"""The Recorder: turns what an engine reports into a Trace. Engines call it; it knows nothing of them.

Settled deliveries are collected in rows and filed in blocks, so that memory does not grow with their number at the
level `"summary"`. At the level `"full"` every row is kept.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.buckets import N_BUCKETS, bucket_of
from realtime_sim.trace import CAUSES, COUNTERS, HOPS, N_BATCHES, OUTCOMES, STAMPS, Trace
from realtime_sim.units import to_ns
from realtime_sim.workload import Workload

__all__ = ["LEVELS", "MAX_FULL_ROWS", "Recorder"]

LEVELS = ("summary", "full")
"""How much a run keeps: histograms and series, or every delivery as well."""

MAX_FULL_ROWS = 2_000_000
"""Most deliveries kept one by one; 13 columns of 8 bytes each, 208 MB."""

_BLOCK = 65_536
_COLUMNS = ("message", "client", "server", "outcome", *STAMPS)
_SERVER_TOTALS = ("peak_connections", "busy_ns", "jobs", "sends", "handshakes")


class Recorder:
    """Collects one run of `workload` at a level of detail, `"summary"` or `"full"`."""

    def __init__(self, workload: Workload, level: str) -> None:
        scenario = workload.scenario
        n_cohorts, n_servers = len(scenario.clients), scenario.servers.count
        self.workload = workload
        self.level = level
        self.from_ns = to_ns(scenario.warmup_s)
        self.to_ns = to_ns(scenario.duration)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.deliveries = {
            name: np.zeros(n_cohorts, dtype=np.int64)
            for name in ("expected", *OUTCOMES, "cancelled", *(f"lost_{cause}" for cause in CAUSES))
        }
        self.servers = {name: np.zeros(n_servers, dtype=np.int64) for name in _SERVER_TOTALS}
        self.servers["died_ns"] = np.full(n_servers, -1, dtype=np.int64)
        self.affected = [0] * len(scenario.faults)
        self._recovery: list[list[int]] = [[] for _ in scenario.faults]
        self._histogram = np.zeros((n_cohorts, len(HOPS) + 1, N_BUCKETS), dtype=np.int64)
        self._sum_ns = np.zeros((n_cohorts, len(HOPS) + 1), dtype=np.int64)
        self._max_ns = np.zeros((n_cohorts, len(HOPS) + 1), dtype=np.int64)
        self._batch_histogram = np.zeros((N_BATCHES, len(HOPS) + 1, N_BUCKETS), dtype=np.int32)
        self._batch_sum_ns = np.zeros((N_BATCHES, len(HOPS) + 1), dtype=np.int64)
        self._batch_count = np.zeros(N_BATCHES, dtype=np.int64)
        span_ns = self.to_ns - self.from_ns  # a Python integer: 32 times 31 years of nanoseconds exceed an int64
        self._batch_starts_ns = np.array([self.from_ns - (-span_ns * i) // N_BATCHES for i in range(N_BATCHES)])
        self._block: list[tuple[int, ...]] = []
        self._kept: list[np.ndarray] = []
        self._samples: list[dict[str, object]] = []

    def expected(self, client: int, published_ns: int, n: int = 1) -> None:
        """`n` deliveries more (or fewer) are expected by a client."""
        if published_ns >= self.from_ns:
            self.deliveries["expected"][self.workload.cohort[client]] += n

    def cancelled(self, client: int, published_ns: int) -> None:
        """A client left before an expected delivery reached it: nobody waits for it any more."""
        self.expected(client, published_ns, -1)
        if published_ns >= self.from_ns:
            self.deliveries["cancelled"][self.workload.cohort[client]] += 1

    def lost(self, client: int, published_ns: int, cause: str) -> None:
        """An expected delivery will never happen, for one of `CAUSES`."""
        if published_ns >= self.from_ns:
            self.deliveries[f"lost_{cause}"][self.workload.cohort[client]] += 1

    def settled(self, message: int, client: int, server: int, outcome: int, stamps: tuple[int, ...]) -> None:
        """A delivery has its outcome (index in `OUTCOMES`); stamps it never reached are -1."""
        self._block.append((message, client, server, outcome, *stamps))
        if len(self._block) == _BLOCK:
            self._file()

    def recovered(self, fault: int, now_ns: int) -> None:
        """A client that a fault cut off is connected again."""
        self._recovery[fault].append(now_ns)

    def sample(self, **values: object) -> None:
        """The state at one sampling time: scalars, or arrays over servers."""
        self._samples.append(values)

    def _file(self) -> None:
        """Count the block of rows into histograms and sums; every engine's rows go through here."""
        if not self._block:
            return
        block = np.array(self._block, dtype=np.int64)
        self._block = []
        if self.level == "full":
            self._kept.append(block)
        stamps = block[:, 4:]
        measured = stamps[:, 0] >= self.from_ns
        cohorts = self.workload.cohort[block[:, 1]]
        for outcome, name in enumerate(OUTCOMES):
            chosen = measured & (block[:, 3] == outcome)
            self.deliveries[name] += np.bincount(cohorts[chosen], minlength=len(self.deliveries[name]))
        arrived = measured & (block[:, 3] == OUTCOMES.index("delivered"))
        self._file_latency(cohorts[arrived], stamps[arrived])

    def _file_latency(self, cohorts: np.ndarray, stamps: np.ndarray) -> None:
        hops = np.column_stack([np.diff(stamps, axis=1), stamps[:, -1] - stamps[:, 0]])
        buckets = bucket_of(hops.ravel()).reshape(hops.shape)
        batch = np.searchsorted(self._batch_starts_ns, stamps[:, 0], side="right") - 1
        for hop in range(hops.shape[1]):
            np.add.at(self._histogram[:, hop], (cohorts, buckets[:, hop]), 1)
            np.add.at(self._sum_ns[:, hop], cohorts, hops[:, hop])
            np.maximum.at(self._max_ns[:, hop], cohorts, hops[:, hop])
            np.add.at(self._batch_histogram[:, hop], (batch, buckets[:, hop]), 1)
        np.add.at(self._batch_sum_ns, batch, hops)
        np.add.at(self._batch_count, batch, 1)

    def trace(self, engine: str) -> Trace:
        """Everything recorded, as a Trace of `engine`."""
        self._file()
        rows: dict[str, np.ndarray] = {}
        if self.level == "full":
            table = np.concatenate([np.zeros((0, len(_COLUMNS)), dtype=np.int64), *self._kept])
            table = table[np.lexsort((table[:, 3], table[:, 1], table[:, 0]))]
            rows = {name: table[:, i] for i, name in enumerate(_COLUMNS)}
        series = {name: np.array([sample[name] for sample in self._samples]) for name in self._samples[0]}
        return Trace(
            scenario=self.workload.scenario,
            engine=engine,
            level=self.level,
            histogram=self._histogram,
            sum_ns=self._sum_ns,
            max_ns=self._max_ns,
            batch_histogram=self._batch_histogram,
            batch_sum_ns=self._batch_sum_ns,
            batch_count=self._batch_count,
            deliveries=self.deliveries,
            counters=self.counters,
            series=series,
            servers=self.servers,
            recovery=tuple(np.sort(np.array(times, dtype=np.int64)) for times in self._recovery),
            affected=tuple(self.affected),
            rows=rows,
        )
