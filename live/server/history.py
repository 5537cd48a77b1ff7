"""History: the last messages that a server has passed on, by their position in the broker's log."""

from __future__ import annotations

from itertools import takewhile

from live.brokers.base import Delivered

__all__ = ["History"]


class History:
    """The last messages, so that few who come back make a server read the log again.

    Parameters
    ----------
    n_messages, n_bytes : int
        How many it keeps, and how much at most.

    Examples
    --------
    >>> history = History(2, 1_000)
    >>> for position in "abc":
    ...     history.append(Delivered(0, b"", position))
    >>> [[one.position for one in found] if (found := history.after(p)) is not None else None for p in "abc"]
    [None, ['c'], []]
    """

    def __init__(self, n_messages: int, n_bytes: int) -> None:
        self._n_messages, self._n_bytes = n_messages, n_bytes
        self._size_bytes = 0
        self._kept: dict[str, Delivered] = {}

    def append(self, delivered: Delivered) -> None:
        """One more message; the oldest are forgotten where it is too much."""
        if delivered.position in self._kept:  # the broker has sent it again
            return
        self._kept[delivered.position] = delivered
        self._size_bytes += len(delivered.body)
        while len(self._kept) > self._n_messages or self._size_bytes > self._n_bytes:
            self._size_bytes -= len(self._kept.pop(next(iter(self._kept))).body)

    def after(self, position: str) -> list[Delivered] | None:
        """What came behind a position, oldest first; None if that is too long ago to know."""
        if position not in self._kept:
            return None
        behind = takewhile(lambda known: known != position, reversed(self._kept))  # who comes back was there just now
        return [self._kept[known] for known in behind][::-1]
