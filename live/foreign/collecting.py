"""What clients of a target have seen, as a Trace: every message that came was expected, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from live.clients.settings import Happening
from live.cluster import Cut
from live.collecting.happenings import NOTICE_NS, Histories, counters_at, follow
from live.crowd import Crowd
from realtime_sim.recorder import Recorder
from realtime_sim.trace import COUNTERS, DELIVERIES, OUTCOMES, STAMPS, Trace
from realtime_sim.units import NS_PER_S

if TYPE_CHECKING:
    from live.foreign.running import TargetRun

__all__ = ["collect", "received_by"]

DELIVERED, EXPECTED = DELIVERIES.index("delivered"), DELIVERIES.index("expected")

BURST_NS = NS_PER_S
"""Connections that break without so long a pause between them broke by one cause."""


def received_by(crowd: Crowd) -> dict[str, np.ndarray]:
    """Every message, in the order of the clock: `message` is its latency, or what stands in its place."""
    books = [process.received.read() for process in crowd.processes]
    joined = {name: np.concatenate([book[name] for book in books]) for name in books[0]}
    order = np.argsort(joined["time_ns"], kind="stable")
    return {name: values[order] for name, values in joined.items()}


def collect(run: TargetRun) -> Trace:
    """The Trace of a run that is over.

    Parameters
    ----------
    run : TargetRun
        With its workload, its recorder, and the books of its clients.
    """
    recorder, workload = run.recorder, run.workload
    books = [process.happened.read() for process in run.crowd.processes]
    names = [cohort.name for cohort in run.scenario.clients]
    cuts = [*run.cluster.history.cuts, *_bursts(run, books)]
    cuts.sort(key=lambda cut: cut.time_ns)
    histories = follow(books, run.begun_ns, workload.cohort, names, cuts, recorder)
    came_ns = _file_messages(run)
    (final,) = counters_at(histories.counted, [2**62])
    for name in COUNTERS:
        if final[name]:
            recorder.count(name, final[name])
    recorder.count("never_connected", histories.never_connected)
    recorder.servers["peak_connections"][0] = final["peak_connections"]
    recorder.servers["handshakes"][0] = final["accepted"]
    recorder.servers["sends"][0] = len(came_ns)
    _file_samples(run, recorder, histories, came_ns)
    return recorder.trace("live")


def _bursts(run: TargetRun, books: list[dict[str, np.ndarray]]) -> list[Cut]:
    """Losses that nobody here has caused: a disturbance for each burst of them, from its first loss on."""
    lost = [book["what"] == Happening.BROKE for book in books]
    times_ns = np.concatenate([book["time_ns"][chosen] for book, chosen in zip(books, lost, strict=True)])
    clients = np.concatenate([book["client"][chosen] for book, chosen in zip(books, lost, strict=True)])
    cohorts = [run.scenario.clients[index].name for index in run.workload.cohort[clients]]
    ours = [
        any(cut.cohort == cohort and 0 <= time_ns - cut.time_ns <= NOTICE_NS for cut in run.cluster.history.cuts)
        for time_ns, cohort in zip((times_ns - run.begun_ns).tolist(), cohorts, strict=True)
    ]
    times_ns = np.sort(times_ns[~np.array(ours, dtype=bool)]) - run.begun_ns
    first = np.flatnonzero(np.diff(times_ns, prepend=-BURST_NS) >= BURST_NS)
    return [
        Cut(time_ns, 0, "", run.recorder.disturbed("lost_by_target", time_ns)) for time_ns in times_ns[first].tolist()
    ]


def _file_messages(run: TargetRun) -> np.ndarray:
    """Count every message that came during the run, with its latency where that is known. Returns when they came."""
    recorder, found = run.recorder, received_by(run.crowd)
    time_ns = found["time_ns"] - run.begun_ns
    during = (time_ns >= 0) & (time_ns < recorder.to_ns)
    time_ns, client, latency_ns = time_ns[during], found["client"][during], found["message"][during]
    stamps = np.repeat(time_ns[:, None], len(STAMPS), axis=1)
    known = latency_ns >= 0
    stamps[:, :2] = np.where(known, time_ns - latency_ns, -1)[:, None]
    rows = np.column_stack([np.arange(len(client)), client, np.zeros_like(client), np.zeros_like(client), stamps])
    rows[:, 3] = OUTCOMES.index("delivered")
    recorder.settled_all(rows[known])
    if recorder.level == "full":
        recorder.keep(rows[~known])
    counted = ~known & (time_ns >= recorder.from_ns)
    n_cohorts = len(run.scenario.clients)
    recorder.deliveries[DELIVERED] += np.bincount(run.workload.cohort[client[counted]], minlength=n_cohorts)
    recorder.deliveries[EXPECTED] = recorder.deliveries[DELIVERED]
    return time_ns


def _file_samples(run: TargetRun, recorder: Recorder, histories: Histories, came_ns: np.ndarray) -> None:
    """The monitor's samples, with what was counted at their times."""
    samples = run.cluster.history.samples
    times_ns = [sample.time_ns for sample in samples]
    since_ns = np.sort([since for _, _, since, _ in histories.connections])
    until_ns = np.sort([until for _, _, _, until in histories.connections])
    measured_ns = came_ns[came_ns >= recorder.from_ns]
    final = recorder.counters.copy()
    for sample, counters in zip(samples, counters_at(histories.counted, times_ns), strict=True):
        recorder.counters[:] = [counters[name] for name in COUNTERS]
        n_open = np.searchsorted(since_ns, sample.time_ns, "right") - np.searchsorted(until_ns, sample.time_ns, "right")
        recorder.sample(
            time_ns=sample.time_ns, connections=[int(n_open)], queue_length=[0], busy_ns=[0], link_busy_ns=[0],
            ready=[1], under_way=0, under_way_area_ns=0, broker_busy_ns=[0], broker_queue=0, subscriptions=0, desired=1,
            client_busy_ns=sample.client_busy_ns, publisher_busy_ns=0,
            expected=int(np.searchsorted(measured_ns, sample.time_ns, "right")),
        )  # fmt: skip
    recorder.counters[:] = final
