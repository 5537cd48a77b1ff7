"""History: what a feed has sent so far, so that who comes late or comes back sees the whole run. It does not grow.

Each event has a number and goes out as one block of an event stream (WHATWG HTML §9.2), with the run's mark and its
number as `id`: a browser that reconnects names the last one it has seen.
"""

from __future__ import annotations

import bisect
import time
from dataclasses import dataclass

__all__ = ["MOST_LINES", "MOST_SNAPSHOTS", "Event", "History"]

MOST_SNAPSHOTS = 4096
"""Snapshots kept; at one a second more than an hour of them."""

MOST_LINES = 512
"""Lines of the event log kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the feed.

    Parameters
    ----------
    number : int
        Its number, from 1 on.
    kind : str
        `"snapshot"`, `"log"` or `"over"`.
    weight : float
        When snapshots have to be thinned, the heaviest stays.
    text : bytes
        Its block of the event stream.
    """

    number: int
    kind: str
    weight: float
    text: bytes


class History:
    """The events of one run, in order.

    Above `most_snapshots` the older half is thinned to the heaviest of each equal stretch of the run: all of it stays
    in sight, what is long past more coarsely, and the peak of a storm is not lost. Of the log, the oldest lines go.

    Parameters
    ----------
    most_snapshots, most_lines : int
        How many of each are kept.

    Examples
    --------
    >>> history = History(most_snapshots=4)
    >>> for rate in (0, 7, 1, 0, 0):
    ...     history.add("snapshot", "{}", weight=rate)
    >>> [event.number for event in history.after(0)], [event.number for event in history.after(3)]
    ([2, 3, 4, 5], [4, 5])
    """

    def __init__(self, most_snapshots: int = MOST_SNAPSHOTS, most_lines: int = MOST_LINES) -> None:
        self.run = f"{time.monotonic_ns():x}"
        self.newest = 0
        self._most = {"snapshot": most_snapshots, "log": most_lines, "over": 1}
        self._count = dict.fromkeys(self._most, 0)
        self._events: list[Event] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, kind: str, data: str, weight: float = 0.0) -> None:
        """One more event; `data` is JSON on one line."""
        self.newest += 1
        text = f"id: {self.run}-{self.newest}\nevent: {kind}\ndata: {data}\n\n".encode()
        self._events.append(Event(self.newest, kind, weight, text))
        self._count[kind] += 1
        if self._count[kind] > self._most[kind]:
            self._thin(kind)

    def after(self, number: int) -> list[Event]:
        """What is kept of the events behind `number`, oldest first."""
        return self._events[bisect.bisect_right(self._events, number, key=lambda event: event.number) :]

    def position(self, last_event_id: str) -> int:
        """The number in the `Last-Event-ID` of a request; 0, which is the beginning, if it is none of this run's."""
        run, _, number = last_event_id.rpartition("-")
        known = run == self.run and number.isascii() and number.isdigit() and len(number) < 19
        return int(number) if known and int(number) <= self.newest else 0

    def _thin(self, kind: str) -> None:
        """Forget the oldest line, or half of the older half of the snapshots."""
        events = [event for event in self._events if event.kind == kind]
        older = events[: len(events) // 2] if kind == "snapshot" else events[:1]
        kept = _coarser(older) if kind == "snapshot" else []
        gone = {event.number for event in older} - {event.number for event in kept}
        self._events = [event for event in self._events if event.number not in gone]
        self._count[kind] -= len(gone)


def _coarser(events: list[Event]) -> list[Event]:
    """Half as many: the heaviest of each equal stretch of the run. What was one stretch before is within one now."""
    stretch, most = 1, max(1, len(events) // 2)
    while -(-events[-1].number // stretch) > most:
        stretch *= 2
    kept: dict[int, Event] = {}
    for event in events:
        place = (event.number - 1) // stretch
        if place not in kept or event.weight > kept[place].weight:
            kept[place] = event
    return list(kept.values())
