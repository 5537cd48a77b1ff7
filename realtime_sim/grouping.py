"""Lists of what is in each group, and the other way round, in the time it takes to look at each entry twice."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["transposed"]


@njit(cache=True)
def transposed(offsets, items, n_items):
    """Of each item the groups that it is in, ascending, from the items of each group: by counting.

    Done twice, it puts the items of each group in ascending order.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Where each group begins in `items`, and where the last one ends.
    items : ndarray of int32, shape (n,)
        Items of the groups one after the other, each on [0, n_items).
    n_items : int
        How many items there may be.

    Returns
    -------
    item_offsets : ndarray of int64, shape (n_items + 1,)
        Where each item begins in `groups`, and where the last one ends.
    groups : ndarray of int32, shape (n,)
        Groups of the items one after the other.

    References
    ----------
    Knuth (1998), The Art of Computer Programming 3, section 5.2, distribution counting.

    Examples
    --------
    >>> item_offsets, groups = transposed(np.array([0, 2, 3]), np.array([1, 0, 1], dtype=np.int32), 2)
    >>> item_offsets.tolist(), groups.tolist()
    ([0, 1, 3], [0, 0, 1])
    """
    item_offsets = np.zeros(n_items + 1, dtype=np.int64)
    for item in items:
        item_offsets[item + 1] += 1
    for item in range(n_items):
        item_offsets[item + 1] += item_offsets[item]
    following = item_offsets[:-1].copy()
    groups = np.empty(len(items), dtype=np.int32)
    for group in range(len(offsets) - 1):
        for i in range(offsets[group], offsets[group + 1]):
            groups[following[items[i]]] = group
            following[items[i]] += 1
    return item_offsets, groups
