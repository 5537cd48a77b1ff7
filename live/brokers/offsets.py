"""Positions in a log with partitions: up to where each of them has been read, as one short text.

A client that comes back names the position it was at, and any server can tell from it what the client has missed in
every partition. `0.A.2-` says that three partitions were read, up to offsets in base 64.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from realtime_sim.errors import LiveError
from realtime_sim.wire.frames import MAX_POSITION

__all__ = ["MOST_PARTITIONS", "Offsets", "offsets_from"]

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase + "-_"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_OFFSET = re.compile("[0-9A-Za-z_-]{1,10}")

_FEWEST_DIGITS = 4

MOST_PARTITIONS = (MAX_POSITION + 1) // (_FEWEST_DIGITS + 1)
"""So many offsets below 64**4, some 16 million, have room in a position."""


class Offsets:
    """Where the next record of each partition stands; its text is kept up to date, a record at a time.

    Parameters
    ----------
    next_offsets : sequence of int
        By partition.

    Examples
    --------
    >>> offsets = Offsets([0, 63, 7])
    >>> offsets.read(1, 63)
    >>> offsets.text
    '0.10.7'
    """

    def __init__(self, next_offsets: Sequence[int]) -> None:
        self.next = list(next_offsets)
        self._texts = [_text(offset) for offset in self.next]

    def read(self, partition: int, offset: int) -> None:
        """A record was read."""
        self.next[partition] = offset + 1
        self._texts[partition] = _text(offset + 1)

    @property
    def text(self) -> str:
        """The position. Raises `LiveError` when it is too long for a frame."""
        text = ".".join(self._texts)
        if len(text) > MAX_POSITION:
            raise LiveError(
                "broker kafka",
                f"offsets of {len(self.next)} partitions do not fit into a position of {MAX_POSITION} characters",
                "take fewer partitions (broker.partitions), or a topic without so many records",
            )
        return text


def offsets_from(position: str, n_partitions: int) -> list[int]:
    """The offsets in a position; an empty one is the beginning.

    Parameters
    ----------
    position : str
        Text of `Offsets`.
    n_partitions : int
        How many there must be.

    Raises
    ------
    ValueError
        If it is no such position.

    Examples
    --------
    >>> offsets_from("0.10.7", 3)
    [0, 64, 7]
    >>> offsets_from("", 2)
    [0, 0]
    """
    if not position:
        return [0] * n_partitions
    parts = position.split(".")
    if len(parts) != n_partitions or not all(_OFFSET.fullmatch(part) for part in parts):
        raise ValueError(f"a position of {n_partitions} offsets is needed, got {position!r}")
    return [_number(part) for part in parts]


def _text(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 64)
        text = _DIGITS[digit] + text
        if not number:
            return text


def _number(text: str) -> int:
    number = 0
    for digit in text:
        number = 64 * number + _VALUES[digit]
    return number
