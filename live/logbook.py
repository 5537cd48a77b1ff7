"""A logbook: rows of integers that one process writes and the run reads, also when the writer was killed meanwhile.

It lies in anonymous memory shared by descriptor (`memfd_create`, Linux), of which only what is written takes room. A
row costs its writer a tenth of a microsecond, so that what is measured is not the measuring.
"""

from __future__ import annotations

import mmap
import os
import struct

import numpy as np

from realtime_sim.errors import LiveError

__all__ = ["Logbook"]


class Logbook:
    """Rows of int64, one after the other.

    Parameters
    ----------
    columns : tuple of str
        Their names.
    n_rows : int
        Most rows it can hold.
    fd : int, optional
        Descriptor of a logbook that there is; without it a new one is made.

    Examples
    --------
    >>> book = Logbook(("message", "client"), n_rows=10)
    >>> written = Logbook(("message", "client"), 10, book.fd)
    >>> written.append(5, 0), written.append(-1, 3)
    (None, None)
    >>> {name: column.tolist() for name, column in book.read().items()}
    {'message': [5, -1], 'client': [0, 3]}
    >>> book.close()
    """

    def __init__(self, columns: tuple[str, ...], n_rows: int, fd: int | None = None) -> None:
        self.columns, self.n_rows = columns, n_rows
        self._row = struct.Struct(f"={len(columns) + 1}q")  # the first integer says that the row is there
        size = max(self._row.size * n_rows, mmap.PAGESIZE)
        self.fd = fd
        if self.fd is None:
            self.fd = os.memfd_create("realtime-sim-logbook")
            os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size)
        self._at, self._end = 0, self._row.size * n_rows
        self._pack = self._row.pack_into

    def append(self, *values: int) -> None:
        """Write one row. Raises `LiveError` when the book is full."""
        if self._at >= self._end:
            raise LiveError("logbook", f"more than {self.n_rows:_} rows of {self.columns[0]}", "run for a shorter time")
        self._pack(self._memory, self._at, 1, *values)
        self._at += self._row.size

    def read(self, first: int = 0) -> dict[str, np.ndarray]:
        """What has been written so far, from row `first` on, as columns of int64."""
        width = self._row.size // 8
        table = np.frombuffer(self._memory, dtype=np.int64, count=width * self.n_rows).reshape(self.n_rows, width)
        low, high = first, self.n_rows  # rows are written in order: the first that is missing ends them
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if table[middle, 0] else (low, middle)
        return {name: table[first:low, i + 1].copy() for i, name in enumerate(self.columns)}

    def close(self) -> None:
        """Close the descriptor; what is mapped stays readable."""
        os.close(self.fd)
