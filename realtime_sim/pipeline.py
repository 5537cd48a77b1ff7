"""The run of a pipeline: what became of every event at every service, and what the services push."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realtime_sim.buckets import N_BUCKETS, bucket_of
from realtime_sim.scenario import Scenario, Traffic
from realtime_sim.units import to_ns
from realtime_sim.workload import Pushes

__all__ = ["FATES", "NEVER_NS", "PipelineRun", "Served"]

FATES = ("unfinished", "done", "dead_letter", "timed_out", "rejected", "not_called")
"""What becomes of an event at a service. Still waiting or in work when the drain was over; finished; given up after
the last retry. With direct calls also: the caller got no answer in time; the producer had no room for the event; an
earlier call of the chain failed, so that this service was not called."""

UNFINISHED, DONE, DEAD_LETTER, TIMED_OUT, REJECTED, NOT_CALLED = range(len(FATES))

NEVER_NS = 2**62
"""When what did not happen happened."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """All events of one service. Arrays have one entry for each event, in the order in which they occurred.

    Parameters
    ----------
    event_ns : ndarray of int64, shape (events,)
        When they occurred.
    entered_ns : ndarray of int64, shape (events,)
        From when on they were there to be worked on: in the log, or, with direct calls, from the start.
    started_ns, ended_ns : ndarray of int64, shape (events,)
        When a worker took the event up for the last time, and when its fate was known; `NEVER_NS` if not at all.
    attempts : ndarray of int32, shape (events,)
        Attempts that were begun.
    fate : ndarray of int8, shape (events,)
        Index in `FATES`.
    n_redelivered : int
        Times that an event in work was interrupted by a stop and had to be taken up again.
    busy_ns : int
        Time that workers held events, until the end of the run, added up.
    caught_up_ns : ndarray of int64, shape (stops,)
        For each `stop_service` of this service, when after the restart no event waited for a worker any more.
    """

    event_ns: np.ndarray
    entered_ns: np.ndarray
    started_ns: np.ndarray
    ended_ns: np.ndarray
    attempts: np.ndarray
    fate: np.ndarray
    n_redelivered: int
    busy_ns: int
    caught_up_ns: np.ndarray

    def lag(self, times_ns: np.ndarray) -> np.ndarray:
        """Events that had entered and whose fate was open, just before each of some times."""
        entered, ended = np.sort(self.entered_ns), np.sort(self.ended_ns)
        return np.searchsorted(entered, times_ns) - np.searchsorted(ended, times_ns)

    def highest_lag(self) -> int:
        """Most events that had entered and whose fate was open at one time."""
        entered, ended = np.sort(self.entered_ns[self.entered_ns < NEVER_NS]), np.sort(self.ended_ns)
        open_ = np.arange(1, len(entered) + 1) - np.searchsorted(ended, entered, side="right")
        return int(open_.max(initial=0))


@dataclass(frozen=True, slots=True, eq=False)
class PipelineRun:
    """One run of the services of a scenario; `services` has an entry for each, in their order."""

    scenario: Scenario
    services: tuple[Served, ...]

    def pushes(self) -> dict[int, Pushes]:
        """What each stream of traffic that names a service publishes, by the number of the stream."""
        names = [service.name for service in self.scenario.services]
        return {
            i: self._pushes(self.services[names.index(stream.source)], stream)
            for i, stream in enumerate(self.scenario.traffic)
            if stream.source in names
        }

    def _pushes(self, served: Served, stream: Traffic) -> Pushes:
        """Each event when it is done; with `every`, the news of each interval at its end, as old as the oldest."""
        number = np.flatnonzero(served.fate == DONE)
        number = number[np.argsort(served.ended_ns[number], kind="stable")]
        time_ns, intended_ns = served.ended_ns[number], served.event_ns[number]
        if stream.every is not None:
            every_ns = max(1, to_ns(stream.every))
            ends, first = np.unique(-(-time_ns // every_ns), return_index=True)
            intended_ns = np.minimum.reduceat(intended_ns, first) if len(first) else intended_ns
            time_ns, number = ends * every_ns, np.arange(len(ends))
        kept = time_ns <= to_ns(self.scenario.duration + self.scenario.drain)
        return Pushes(time_ns[kept], intended_ns[kept], number[kept].astype(np.int32))

    def books(self) -> dict[str, dict[str, np.ndarray | int]]:
        """What a Trace keeps of each service, by name: `Trace.services` has the meaning of each entry."""
        scenario = self.scenario
        from_ns, end_ns = to_ns(scenario.warmup_s), to_ns(scenario.duration)
        times_ns = np.arange(0, end_ns + 1, max(1, to_ns(scenario.sample_interval)))
        times_ns = np.append(times_ns, end_ns) if times_ns[-1] < end_ns else times_ns
        books = {}
        for service, served in zip(scenario.services, self.services, strict=True):
            measured = served.event_ns >= from_ns
            done = measured & (served.fate == DONE)
            spent_ns = served.ended_ns[done] - served.event_ns[done]
            books[service.name] = {
                "fates": np.bincount(served.fate[measured], minlength=len(FATES)),
                "attempts": int(served.attempts[measured].sum()),
                "redelivered": served.n_redelivered,
                "histogram": np.bincount(bucket_of(spent_ns), minlength=N_BUCKETS),
                "sum_ns": int(spent_ns.sum()),
                "busy_ns": served.busy_ns,
                "highest_lag": served.highest_lag(),
                "lag": served.lag(times_ns),
                "caught_up_ns": served.caught_up_ns,
            }
        return books
