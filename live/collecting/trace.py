"""The Trace of a live run: everything that was written down, filed by the Recorder as a simulation's is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from live.collecting.fates import Witness, expected_keys
from live.collecting.happenings import Histories, counters_at, follow
from live.collecting.stamps import arrivals, copies_of, copies_that_came, fanouts_of, stamps_of
from realtime_sim.recorder import Recorder
from realtime_sim.trace import COUNTERS, OUTCOMES, STAMPS, Trace
from realtime_sim.workload import BACKEND, Workload

if TYPE_CHECKING:
    from live.running import LiveRun

__all__ = ["collect"]

DELIVERED, LOST, DUPLICATE = (OUTCOMES.index(name) for name in ("delivered", "lost", "duplicate"))


def collect(run: LiveRun, over_ns: int) -> Trace:
    """The Trace of a run that is over.

    Parameters
    ----------
    run : LiveRun
        With its workload, its recorder, and the books of its processes.
    over_ns : int
        When it was over, nanoseconds from its beginning.
    """
    workload, recorder, begun_ns = run.workload, run.recorder, run.begun_ns
    names = [cohort.name for cohort in run.scenario.clients]
    histories = follow(
        [process.happened.read() for process in run.crowd.processes], begun_ns, workload.cohort, names,
        run.cluster.history.cuts, recorder,
    )  # fmt: skip
    found = arrivals(workload, [process.received.read() for process in run.crowd.processes], begun_ns)
    instances = run.fleet.instances
    fanouts = fanouts_of([one.fanouts.read() for one in instances], len(workload.publishes), begun_ns)
    copies = copies_of([one.sends.read() for one in instances], workload.n_clients, begun_ns)
    if run.scenario.servers.stack == "socketio":
        copies = copies_that_came(found, histories.connections, workload.n_clients)
    handed_ns, refused = _handed(run, histories)
    expected = expected_keys(workload, histories)
    stamps, server = stamps_of(workload, found, handed_ns, fanouts, copies)
    key = found["message"] * workload.n_clients + found["client"]
    wanted = np.isin(key, expected)
    outcome = np.where(found["is_again"], DUPLICATE, DELIVERED)
    rows = np.column_stack([found["message"], found["client"], server, outcome, stamps])[wanted]
    recorder.settled_all(rows.astype(np.int64))
    died_ns = [one.died_ns - begun_ns if one.died_ns >= 0 else -1 for one in instances]
    witness = Witness(workload, histories, run.cluster.history, died_ns, fanouts, copies, refused, over_ns)
    missing = np.setdiff1d(expected, key)
    _expect(recorder, workload, expected)
    _file_losses(recorder, workload, missing, witness)
    _file_servers(run, died_ns, copies)
    _file_counters(recorder, histories)
    _file_samples(run, histories, rows, expected, missing, over_ns)
    return recorder.trace("live")


def _handed(run: LiveRun, histories: Histories) -> tuple[np.ndarray, set[int]]:
    """When each message was handed to the broker, and those that it never took."""
    publishes = run.workload.publishes
    handed_ns = publishes.time_ns.copy()
    book = run.publisher.book.read()
    handed_ns[book["message"]] = book["sent_ns"] - run.begun_ns
    for message, time_ns in histories.sent_ns.items():
        handed_ns[message] = time_ns + int(run.workload.rtt_ns[publishes.sender[message]]) // 2
    acknowledged = set(book["message"][book["acknowledged_ns"] >= 0].tolist())
    backend = np.flatnonzero(publishes.sender == BACKEND).tolist()
    return np.maximum(handed_ns, publishes.intended_ns), set(backend) - acknowledged


def _expect(recorder: Recorder, workload: Workload, expected: np.ndarray) -> None:
    message, client = np.divmod(expected, workload.n_clients)
    measured = workload.publishes.intended_ns[message] >= recorder.from_ns
    for number in np.flatnonzero(measured).tolist():
        recorder.expected(int(client[number]), recorder.from_ns)


def _file_losses(recorder: Recorder, workload: Workload, missing: np.ndarray, witness: Witness) -> None:
    for key in missing.tolist():
        message, client = divmod(key, workload.n_clients)
        published_ns = int(workload.publishes.intended_ns[message])
        cause = witness.loss(message, client).cause
        if cause == "cancelled":
            recorder.cancelled(client, published_ns)
            continue
        recorder.lost(client, published_ns, cause)
        recorder.settled(message, client, -1, LOST, (published_ns, *[-1] * (len(STAMPS) - 1)))


def _file_servers(run: LiveRun, died_ns: list[int], copies) -> None:
    """Totals of each server."""
    totals = run.recorder.servers
    for one, died in zip(run.fleet.instances, died_ns, strict=True):
        totals["busy_ns"][one.number] = one.account().run_ns
        totals["died_ns"][one.number] = died
        for name in ("peak_connections", "jobs", "handshakes"):
            totals[name][one.number] = one.page.get(name)
        totals["sends"][one.number] = int((copies.server == one.number).sum())


def _file_counters(recorder: Recorder, histories: Histories) -> None:
    (final,) = counters_at(histories.counted, [2**62])
    for name in COUNTERS:
        if final[name]:
            recorder.count(name, final[name])
    recorder.count("never_connected", histories.never_connected)


def _file_samples(
    run: LiveRun, histories: Histories, rows: np.ndarray, expected: np.ndarray, missing: np.ndarray, over_ns: int
) -> None:
    """The monitor's samples, with what was counted and under way at their times."""
    workload, recorder, samples = run.workload, run.recorder, run.cluster.history.samples
    times_ns = np.array([sample.time_ns for sample in samples], dtype=np.int64)
    publishes = workload.publishes
    begun_ns = np.sort(publishes.time_ns[expected // workload.n_clients])
    delivered = rows[rows[:, 3] == DELIVERED]
    settled_ns = np.sort(np.concatenate([delivered[:, -1], np.full(len(missing), over_ns)]))
    n_begun, n_settled = np.searchsorted(begun_ns, times_ns, "right"), np.searchsorted(settled_ns, times_ns, "right")
    spent_ns = _area(begun_ns, times_ns) - _area(settled_ns, times_ns)
    measured = np.sort(publishes.intended_ns[expected // workload.n_clients])
    measured = measured[measured >= recorder.from_ns]
    final = recorder.counters.copy()
    for sample, counters, begun, settled, area in zip(
        samples, counters_at(histories.counted, times_ns.tolist()), n_begun.tolist(), n_settled.tolist(),
        spent_ns.tolist(), strict=True,
    ):  # fmt: skip
        recorder.counters[:] = [counters[name] for name in COUNTERS]
        recorder.sample(
            time_ns=sample.time_ns, connections=sample.connections, queue_length=sample.queue_length,
            busy_ns=sample.busy_ns, link_busy_ns=[0] * len(sample.busy_ns), ready=sample.ready,
            under_way=begun - settled, under_way_area_ns=area, broker_busy_ns=[sample.broker_busy_ns],
            broker_queue=0, subscriptions=sample.subscriptions, desired=sample.desired,
            client_busy_ns=sample.client_busy_ns, publisher_busy_ns=sample.publisher_busy_ns,
            expected=int(np.searchsorted(measured, sample.time_ns, "right")),
        )  # fmt: skip
    recorder.counters[:] = final


def _area(times_ns: np.ndarray, until_ns: np.ndarray) -> np.ndarray:
    """Sum over all that began before a time of how long ago that was, for each of several times.

    Examples
    --------
    >>> _area(np.array([1, 3]), np.array([0, 2, 10])).tolist()
    [0, 1, 16]
    """
    n = np.searchsorted(times_ns, until_ns, "right")
    sums = np.concatenate([[0], np.cumsum(times_ns)])
    return n * until_ns - sums[n]
