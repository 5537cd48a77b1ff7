"""Members of a group stand together, in the order they had."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.grouping import grouped


@given(st.lists(st.integers(0, 7)), st.sampled_from([np.int32, np.int64]))
def test_the_order_is_that_of_a_stable_sort(groups, dtype):
    order, offsets = grouped(np.array(groups, dtype=dtype), 8)
    assert order.tolist() == np.argsort(np.array(groups, dtype=int), kind="stable").tolist()
    assert offsets.tolist() == [sum(group < g for group in groups) for g in range(9)]
