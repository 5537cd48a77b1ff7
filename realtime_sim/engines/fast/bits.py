"""Rows of bits in 64-bit words: sets of servers and of clients."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.fast.compiling import BITS, compiled


@compiled(table=BITS)
def has_bit(table, row, i):
    """Whether bit `i` of a row is set."""
    return (table[row, i >> 6] >> np.uint64(i & 63)) & np.uint64(1) != 0


@compiled(table=BITS)
def set_bit(table, row, i):
    """Set bit `i` of a row."""
    table[row, i >> 6] |= np.uint64(1) << np.uint64(i & 63)


@compiled(table=BITS)
def clear_bit(table, row, i):
    """Clear bit `i` of a row."""
    table[row, i >> 6] &= ~(np.uint64(1) << np.uint64(i & 63))
