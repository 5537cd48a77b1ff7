"""Lists the other way round: every entry once, ascending."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.grouping import transposed


@given(st.lists(st.lists(st.integers(0, 7))))
def test_each_item_lists_its_groups_as_often_as_they_list_it(lists):
    offsets = np.cumsum([0, *map(len, lists)])
    item_offsets, groups = transposed(offsets, np.array(sum(lists, []), dtype=np.int32), 8)
    found = [groups[item_offsets[i] : item_offsets[i + 1]].tolist() for i in range(8)]
    assert found == [[g for g, items in enumerate(lists) for _ in range(items.count(i))] for i in range(8)]
    assert item_offsets[-1] == len(groups)


@given(st.lists(st.lists(st.integers(0, 7)), min_size=1))
def test_twice_puts_the_items_of_each_group_in_order(lists):
    offsets = np.cumsum([0, *map(len, lists)])
    found, items = transposed(*transposed(offsets, np.array(sum(lists, []), dtype=np.int32), 8), len(lists))
    assert found.tolist() == offsets.tolist()
    assert items.tolist() == sum(map(sorted, lists), [])
