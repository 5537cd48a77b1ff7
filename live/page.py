"""A page of counters that a server writes and the run reads at any moment, also when the server is stopped or dead.

It is anonymous memory shared by descriptor (`memfd_create`, Linux): no system call to read it, no file to leave behind.
"""

from __future__ import annotations

import mmap
import os

import numpy as np

__all__ = ["FIELDS", "Page"]

FIELDS = (
    "connections", "queue_length", "sends", "jobs", "handshakes", "peak_connections", "subscriptions", "unwritten",
    "refused", "failed",
)  # fmt: skip
"""Open connections; messages that wait for their fan-out; copies sent, messages fanned out and handshakes done so far;
the most connections at once; subscriptions at the broker; rows that found no room in a logbook; handshakes
turned away so far, and let in but come to nothing."""


class Page:
    """Counters by name, shared by a run and one server.

    Parameters
    ----------
    fd : int, optional
        Descriptor of a page that there is; without it a new one is made.

    Examples
    --------
    >>> mine = Page()
    >>> theirs = Page(mine.fd)
    >>> theirs.set("connections", 7)
    >>> mine.get("connections")
    7
    >>> mine.close()
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = fd
        if self.fd is None:
            self.fd = os.memfd_create("realtime-sim-page")
            os.ftruncate(self.fd, mmap.PAGESIZE)
        self._values = np.frombuffer(mmap.mmap(self.fd, mmap.PAGESIZE), dtype=np.int64)
        self._rows = {name: row for row, name in enumerate(FIELDS)}

    def get(self, name: str) -> int:
        """The value of one counter."""
        return int(self._values[self._rows[name]])

    def set(self, name: str, value: int) -> None:
        """Write one counter."""
        self._values[self._rows[name]] = value

    def add(self, name: str, n: int = 1) -> None:
        """`n` more."""
        self._values[self._rows[name]] += n

    def close(self) -> None:
        """Close the descriptor; what is mapped stays readable."""
        os.close(self.fd)
