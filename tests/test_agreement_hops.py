"""Hops add up, and the one that is off is named for each figure that is."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import compare
from realtime_sim.agreement import MERGED_HOPS
from realtime_sim.agreement.hops import SINGLE_HOPS, blame
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS
from tests.compared import base, noisy, ticking
from tests.conftest import as_live


def test_the_hop_that_is_off_is_named_for_each_latency_figure_that_is():
    """Sends of 180 instead of 100 us to a hundred clients show in the fan-out, a slow link on the way to the server."""
    sending = ticking(clients=[{"name": "c", "count": 100}], servers={"profile": "zero", "costs": {"send": "100us"}})
    slow = sending.replace(**{"servers.costs.send": "180us"})
    why = compare(simulate(sending), as_live(simulate(slow))).figures["why"]
    assert re.fullmatch(
        r"live \+7.\d+ ms, most at fanout: \+7.\d+ ms \(p99 9.\d+ ms simulated, 17.\d ms live\)",
        why["delivery latency p99"],
    )
    far = sending.replace(**{"broker.publisher_link": "9ms"})
    why = compare(simulate(sending), as_live(simulate(far))).figures["why"]
    assert re.match(
        r"live \+9.01 ms, most at to_server: \+9 ms \(p99 0 simulated, 9 ms live\)", why["delivery latency p99"]
    )


def test_quantiles_of_several_hops_need_single_deliveries_and_are_exact_with_them():
    full = simulate(noisy(), record="full")
    merged = compare(full, as_live(full)).hops
    rows = full.trace.rows
    taken = (rows["started_ns"] - rows["published_ns"])[(rows["published_ns"] >= 1e9) & (rows["outcome"] == 0)] / 1e9
    assert merged.loc["to_server", "a_p99_s"] == pytest.approx(np.quantile(taken, 0.99, method="inverted_cdf"))
    lean = simulate(noisy())
    unknown = compare(lean, as_live(lean)).hops
    assert math.isnan(unknown.loc["to_server", "a_p99_s"]) and unknown.loc["fanout", "a_p99_s"] > 0


def test_merged_hops_are_all_hops_once_and_add_up():
    assert [hop for hops in MERGED_HOPS.values() for hop in hops] == list(HOPS) == list(SINGLE_HOPS)
    live = compare(base(), as_live(simulate(noisy()))).hops
    assert list(live.index) == [*MERGED_HOPS, "total"]
    for column in ("a_mean_s", "b_mean_s", "difference_s"):
        assert live[column].iloc[:-1].sum() == pytest.approx(live.loc["total", column], abs=1e-15)
    assert list(compare(base(), base()).hops.index) == [*HOPS, "total"]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=4), st.floats(-1, 1).filter(bool))
def test_the_hop_that_is_blamed_is_off_most_in_the_direction_of_the_figure(offs, difference_s):
    frame = pd.DataFrame({f"{side}_{name}_s": 0.0 for side in "ab" for name in ("mean", "p50", "p99")},
                         index=[*map(str, range(len(offs))), "total"])  # fmt: skip
    frame.loc[frame.index[:-1], "b_mean_s"] = offs
    frame["a_p99_s"] = math.nan
    found = blame(frame, "p99", difference_s)
    toward = [off * math.copysign(1, difference_s) for off in offs]
    if max(toward) <= 0:
        assert found is None
    else:
        hop, of_what, off_s = found
        assert of_what == "mean" and off_s == offs[int(hop)] and toward[int(hop)] == max(toward)
