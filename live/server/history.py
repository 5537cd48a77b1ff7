"""History: the last messages that a server has passed on, by their position in the broker's log."""

from __future__ import annotations

from itertools import islice

from live.brokers.base import Delivered

__all__ = ["History"]


class History:
    """The last messages, so that few who come back make a server read the log again.

    Parameters
    ----------
    n_messages : int
        How many it keeps.

    Examples
    --------
    >>> history = History(2)
    >>> for position in "abc":
    ...     history.append(Delivered(0, b"", position))
    >>> [[one.position for one in found] if (found := history.after(p)) is not None else None for p in "abc"]
    [None, ['c'], []]
    """

    def __init__(self, n_messages: int) -> None:
        self._n_messages = n_messages
        self._kept: dict[str, Delivered] = {}

    def append(self, delivered: Delivered) -> None:
        """One more message; the oldest is forgotten where there are too many."""
        self._kept[delivered.position] = delivered
        if len(self._kept) > self._n_messages:
            del self._kept[next(iter(self._kept))]

    def after(self, position: str) -> list[Delivered] | None:
        """What came behind a position, oldest first; None if that is too long ago to know."""
        if position not in self._kept:
            return None
        positions = list(self._kept)
        first = len(positions) - 1 - positions[::-1].index(position)
        return list(islice(self._kept.values(), first + 1, None))
