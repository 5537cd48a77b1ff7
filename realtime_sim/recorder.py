"""The Recorder: turns what an engine reports into a Trace. Engines call it; it knows nothing of them.

Settled deliveries are collected in rows and filed in blocks, so that memory does not grow with their number at the
level `"summary"`. At the level `"full"` every row is kept.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.buckets import N_BUCKETS, bucket_of
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.distributions import Constant
from realtime_sim.trace import (
    COUNTERS,
    DELIVERIES,
    END_NS,
    HOPS,
    N_BATCHES,
    N_GROUPS,
    NOTHING_NS,
    OUTCOMES,
    OWN_PACE,
    SERVER_TOTALS,
    STAMPS,
    Decision,
    Trace,
)
from realtime_sim.units import format_duration, format_size, to_ns
from realtime_sim.workload import Workload

__all__ = ["LEVELS", "MAX_FULL_ROWS", "Recorder", "n_client_groups"]

LEVELS = ("summary", "full")
"""How much a run keeps: histograms and series, or every delivery as well."""

MAX_FULL_ROWS = 2_000_000
"""Most deliveries kept one by one; 13 columns of 8 bytes each, 208 MB."""

_BLOCK = 65_536
_COLUMNS = ("message", "client", "server", "outcome", *STAMPS)
_OF_SERVERS = ("connections", "queue_length", "busy_ns", "link_busy_ns", "ready")
"""Series that have a column for each server."""
_COUNTER = {name: row for row, name in enumerate(COUNTERS)}
_DELIVERY = {name: row for row, name in enumerate(DELIVERIES)}


def n_client_groups(scenario: Scenario) -> int:
    """Groups of clients that a run keeps apart: `N_GROUPS` where each client's round trip is drawn, 0 elsewhere.

    Time tells nothing of what is drawn once for each client, so slices of the run alone would give intervals that are
    too narrow.

    Examples
    --------
    >>> drawn = {"name": "c", "count": 64, "network": {"rtt": {"mean": "40ms"}}}
    >>> [n_client_groups(Scenario(name="x", duration=1, clients=[c])) for c in (drawn, drawn | {"count": 63})]
    [32, 0]
    """
    drawn = any(not isinstance(cohort.network.rtt, Constant) for cohort in scenario.clients)
    return N_GROUPS if drawn and scenario.n_clients >= 2 * N_GROUPS else 0


class Recorder:
    """Collects one run of `workload` at a level of detail, `"summary"` or `"full"`.

    An engine reports through the methods, or fills the public arrays itself: `deliveries` has the rows `DELIVERIES` and
    a column for each cohort, `counters` the entries `COUNTERS`, `servers` one array for each of `SERVER_TOTALS`; the
    others are as in `Trace`. A delivery published before `from_ns` is not counted, and slice `i` begins at
    `batch_starts_ns[i]`. `desired` is how many servers are asked for. Group `client % N_GROUPS` is kept where
    `group_count` is not empty.
    """

    def __init__(self, workload: Workload, level: str) -> None:
        scenario = workload.scenario
        n_cohorts, n_servers = len(scenario.clients), scenario.servers.count
        self.workload = workload
        self.level = level
        self.from_ns = to_ns(scenario.warmup_s)
        self.to_ns = to_ns(scenario.duration)
        self.counters = np.zeros(len(COUNTERS), dtype=np.int64)
        self.deliveries = np.zeros((len(DELIVERIES), n_cohorts), dtype=np.int64)
        self.servers = {name: np.zeros(n_servers, dtype=np.int64) for name in SERVER_TOTALS}
        self.servers["died_ns"][:] = -1
        self.disturbances: list[tuple[str, int]] = []
        self.affected: list[int] = []
        self.recovery: list[list[int]] = []
        self.away: list[list[int]] = []
        self.decisions: list[Decision] = []
        self.hindered: list[tuple[int, int, int, int]] = []
        self._paces: dict[int, tuple[int, int]] = {}
        self._full_buffers: list[Decision] = []
        self.desired = n_servers
        for fault in scenario.faults:
            self.disturbed(fault.kind, to_ns(fault.at))
        n_hops, n_groups = len(HOPS) + 1, n_client_groups(scenario)
        self.histogram = np.zeros((n_cohorts, n_hops, N_BUCKETS), dtype=np.int64)
        self.sum_ns = np.zeros((n_cohorts, n_hops), dtype=np.int64)
        self.min_ns = np.full((n_cohorts, n_hops), NOTHING_NS, dtype=np.int64)
        self.max_ns = np.zeros((n_cohorts, n_hops), dtype=np.int64)
        self.batch_histogram = np.zeros((N_BATCHES, n_hops, N_BUCKETS), dtype=np.int32)
        self.batch_sum_ns = np.zeros((N_BATCHES, n_hops), dtype=np.int64)
        self.batch_count = np.zeros(N_BATCHES, dtype=np.int64)
        self.batch_missing = np.zeros(N_BATCHES, dtype=np.int64)
        self.group_histogram = np.zeros((n_groups, n_hops, N_BUCKETS), dtype=np.int32)
        self.group_sum_ns = np.zeros((n_groups, n_hops), dtype=np.int64)
        self.group_count = np.zeros(n_groups, dtype=np.int64)
        span_ns = self.to_ns - self.from_ns  # a Python integer: 32 times 31 years of nanoseconds exceed an int64
        self.batch_starts_ns = np.array([self.from_ns - (-span_ns * i) // N_BATCHES for i in range(N_BATCHES)])
        self._block: list[tuple[int, ...]] = []
        self._kept: list[np.ndarray] = []
        self._samples: list[dict[str, object]] = []

    def count(self, what: str, n: int = 1) -> None:
        """`n` more of one of `COUNTERS`."""
        self.counters[_COUNTER[what]] += n

    def counted(self, what: str) -> int:
        """How many of one of `COUNTERS` there were so far."""
        return int(self.counters[_COUNTER[what]])

    def expected(self, client: int, published_ns: int, n: int = 1) -> None:
        """`n` deliveries more (or fewer) are expected by a client."""
        if published_ns >= self.from_ns:
            self.deliveries[_DELIVERY["expected"], self.workload.cohort[client]] += n

    def cancelled(self, client: int, published_ns: int) -> None:
        """A client left before an expected delivery reached it: nobody waits for it any more."""
        self.expected(client, published_ns, -1)
        if published_ns >= self.from_ns:
            self.deliveries[_DELIVERY["cancelled"], self.workload.cohort[client]] += 1

    def lost(self, client: int, published_ns: int, cause: str) -> None:
        """An expected delivery will never happen, for one of `CAUSES`."""
        if published_ns >= self.from_ns:
            self.deliveries[_DELIVERY[f"lost_{cause}"], self.workload.cohort[client]] += 1

    def settled(self, message: int, client: int, server: int, outcome: int, stamps: tuple[int, ...]) -> None:
        """A delivery has its outcome (index in `OUTCOMES`); stamps it never reached are -1."""
        self._block.append((message, client, server, outcome, *stamps))
        if len(self._block) == _BLOCK:
            self._file()

    def settled_all(self, rows: np.ndarray) -> None:
        """Many deliveries have their outcomes: rows as `settled` takes them, int64, shape (n, 4 + stamps)."""
        for first in range(0, len(rows), _BLOCK):
            self._file_rows(rows[first : first + _BLOCK])

    def keep(self, rows: np.ndarray) -> None:
        """Rows of settled deliveries that an engine has counted itself, shape (n, columns)."""
        self._kept.append(rows)

    def add_server(self, now_ns: int) -> None:
        """One more server has started."""
        for name, values in self.servers.items():
            first = {"started_ns": now_ns, "died_ns": -1}.get(name, 0)
            self.servers[name] = np.append(values, np.int64(first))

    def disturbed(self, kind: str, now_ns: int) -> int:
        """Something happens that may cut connections off; its number."""
        self.disturbances.append((kind, int(now_ns)))
        self.affected.append(0)
        self.recovery.append([])
        self.away.append([])
        return len(self.disturbances) - 1

    def decided(self, decision: Decision) -> None:
        """The control plane has done something."""
        self.decisions.append(decision)

    def paused(self, server: int, now_ns: int, pause_ns: int) -> None:
        """A server does nothing for a while."""
        self.hindered.append((server, now_ns, now_ns + pause_ns, 0))

    def paced(self, server: int, now_ns: int, permille: int) -> None:
        """From now on work takes a server, or the broker (-1), so many thousandths of its cost."""
        since_ns, before = self._paces.pop(server, (now_ns, OWN_PACE))
        if before != OWN_PACE and since_ns < now_ns:
            self.hindered.append((server, since_ns, now_ns, before))
        self._paces[server] = now_ns, permille

    def buffer_full(self, now_ns: int, server: int, held_bytes: int) -> None:
        """The broker cuts a server off, whose output buffer holds so much."""
        limit = self.workload.scenario.broker.output_buffer
        reason = f"its output buffer has reached {format_size(limit.hard)}"
        if not 0 < limit.hard <= held_bytes:
            reason = (
                f"its output buffer has held {format_size(limit.soft)} or more for {format_duration(limit.soft_for)}"
            )
        self._full_buffers.append(Decision(int(now_ns), "broker", "cut off", f"server {server}", reason))

    def recovered(self, disturbance: int, now_ns: int, cut_ns: int) -> None:
        """A client that a disturbance cut off at `cut_ns` is connected again."""
        self.recovery[disturbance].append(now_ns)
        self.away[disturbance].append(now_ns - cut_ns)

    def sample(self, **values: object) -> None:
        """The state at one sampling time: scalars, or arrays over servers. What is counted is added to it."""
        counted = dict(zip(COUNTERS, self.counters.tolist(), strict=True))
        counted["desired"] = self.desired
        self._samples.append({"expected": int(self.deliveries[_DELIVERY["expected"]].sum()), **counted, **values})

    def _file(self) -> None:
        """Count the block of rows."""
        if self._block:
            block, self._block = np.array(self._block, dtype=np.int64), []
            self._file_rows(block)

    def _file_rows(self, block: np.ndarray) -> None:
        """Count rows into histograms and sums; every engine's rows go through here."""
        if self.level == "full":
            self._kept.append(block)
        clients, stamps = block[:, 1], block[:, 4:]
        measured = stamps[:, 0] >= self.from_ns
        cohorts = self.workload.cohort[clients]
        for outcome, name in enumerate(OUTCOMES):
            chosen = measured & (block[:, 3] == outcome)
            self.deliveries[_DELIVERY[name]] += np.bincount(cohorts[chosen], minlength=self.deliveries.shape[1])
        missing = measured & np.isin(block[:, 3], [OUTCOMES.index(name) for name in ("lost", "dropped")])
        np.add.at(self.batch_missing, self._batch_of(stamps[missing, 0]), 1)
        arrived = measured & (block[:, 3] == OUTCOMES.index("delivered"))
        self._file_latency(clients[arrived], cohorts[arrived], stamps[arrived])

    def _batch_of(self, published_ns: np.ndarray) -> np.ndarray:
        """Slice of the measured time that each message was published in."""
        return np.searchsorted(self.batch_starts_ns, published_ns, side="right") - 1

    def _file_latency(self, clients: np.ndarray, cohorts: np.ndarray, stamps: np.ndarray) -> None:
        hops = np.column_stack([np.diff(stamps, axis=1), stamps[:, -1] - stamps[:, 0]])
        buckets = bucket_of(hops.ravel()).reshape(hops.shape)
        batch = self._batch_of(stamps[:, 0])
        parts = [(batch, self.batch_histogram, self.batch_sum_ns, self.batch_count)]
        if len(self.group_count):
            parts.append((clients % N_GROUPS, self.group_histogram, self.group_sum_ns, self.group_count))
        for hop in range(hops.shape[1]):
            np.add.at(self.histogram[:, hop], (cohorts, buckets[:, hop]), 1)
            np.add.at(self.sum_ns[:, hop], cohorts, hops[:, hop])
            np.minimum.at(self.min_ns[:, hop], cohorts, hops[:, hop])
            np.maximum.at(self.max_ns[:, hop], cohorts, hops[:, hop])
            for part, histogram, _, _ in parts:
                np.add.at(histogram[:, hop], (part, buckets[:, hop]), 1)
        for part, _, sum_ns, count in parts:
            np.add.at(sum_ns, part, hops)
            np.add.at(count, part, 1)

    def _hindered(self) -> tuple[tuple[int, int, int, int], ...]:
        lasting = ((server, since_ns, END_NS, pace) for server, (since_ns, pace) in self._paces.items())
        return (*self.hindered, *(one for one in lasting if one[-1] != OWN_PACE))

    def trace(self, engine: str) -> Trace:
        """Everything recorded, as a Trace of `engine`."""
        self._file()
        rows: dict[str, np.ndarray] = {}
        if self.level == "full":
            table = np.concatenate([np.zeros((0, len(_COLUMNS)), dtype=np.int64), *self._kept])
            table = table[np.lexsort((table[:, -1], table[:, 3], table[:, 1], table[:, 0]))]
            rows = {name: table[:, i] for i, name in enumerate(_COLUMNS)}
        n_servers = len(self.servers["started_ns"])
        widths = dict.fromkeys(_OF_SERVERS, n_servers)
        series = {n: _column([sample[n] for sample in self._samples], widths.get(n, 0)) for n in self._samples[0]}
        arrays = (
            "histogram", "sum_ns", "min_ns", "max_ns", "batch_histogram", "batch_sum_ns", "batch_count",
            "batch_missing", "group_histogram", "group_sum_ns", "group_count", "servers",
        )  # fmt: skip
        return Trace(
            scenario=self.workload.scenario,
            engine=engine,
            level=self.level,
            **{name: getattr(self, name) for name in arrays},
            deliveries=dict(zip(DELIVERIES, self.deliveries, strict=True)),
            counters=dict(zip(COUNTERS, self.counters.tolist(), strict=True)),
            series=series,
            disturbances=tuple(self.disturbances),
            recovery=tuple(np.sort(np.array(times, dtype=np.int64)) for times in self.recovery),
            away=tuple(np.sort(np.array(times, dtype=np.int64)) for times in self.away),
            affected=tuple(self.affected),
            decisions=tuple(sorted(self.decisions + self._full_buffers, key=lambda one: one.time_ns)),
            hindered=self._hindered(),
            rows=rows,
        )


def _column(values: list, width: int) -> np.ndarray:
    """Samples as one array; rows shorter than `width` end in zeros: servers that came later, the last sample or not."""
    if width and len(values[0]) < width:
        values = [row + [0] * (width - len(row)) for row in values]
    return np.array(values)
