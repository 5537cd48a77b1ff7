"""Hops of two runs beside each other, as far as both know them, and the hop that makes them differ.

A live run knows four groups of hops: what a server has not read yet waits unseen in the kernel, so that the way to the
server, the broker included, and the wait for its loop are one; a client stamps what it reads, so that the server's link
and the client's network are one as well. The groups are ends of the same stamps, so their means add up to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.latency import QUANTILES
from realtime_sim.results import Results
from realtime_sim.trace import HOPS, OUTCOMES, STAMPS, Trace
from realtime_sim.units import from_ns, to_ns

__all__ = ["MERGED_HOPS", "blame", "hop_table", "mean_only", "middle_runs", "of_replications", "of_runs"]

MERGED_HOPS = MappingProxyType(
    {
        "to_server": ("publisher_to_broker", "broker", "broker_to_server", "server_wait"),
        "fanout": ("fanout",),
        "client_away": ("client_away",),
        "to_client": ("egress", "client_network"),
    }
)
"""Groups of hops that a live run knows apart, and the hops of a simulation that belong to each."""

SINGLE_HOPS = MappingProxyType({hop: (hop,) for hop in HOPS})
"""Every hop for itself, as a simulation knows them."""

TOTAL = "total"

_FIGURES = ("mean_s", "p50_s", "p99_s")


def _of_trace(trace: Trace, groups: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Mean, p50 and p99 of each group of hops and of the whole, seconds; a quantile that is not known is NaN."""
    rows = {name: _group(trace, [HOPS.index(hop) for hop in hops]) for name, hops in groups.items()}
    rows[TOTAL] = _group(trace, [len(HOPS)])
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(_FIGURES)).rename_axis("hop")


def _group(trace: Trace, columns: list[int]) -> tuple[float, float, float]:
    count = int(trace.histogram[:, -1].sum())
    if not count:
        return math.nan, math.nan, math.nan
    mean_s = from_ns(int(trace.sum_ns[:, columns].sum())) / count
    return mean_s, *(_quantile_s(trace, columns, QUANTILES[name]) for name in ("p50", "p99"))


def _quantile_s(trace: Trace, columns: list[int], p: float) -> float:
    """A quantile of the sum of neighbouring hops: from single deliveries where they were kept, or from the histogram of
    the only one of the hops that takes any time. Quantiles of several hops do not add up."""
    if len(columns) > 1 and trace.rows:
        return _quantile_of_rows_s(trace, columns, p)
    taking = [column for column in columns if trace.max_ns[:, column].any()]
    if len(taking) > 1:
        return math.nan
    column = taking[0] if taking else columns[0]
    bounds_ns = int(trace.min_ns[:, column].min()), int(trace.max_ns[:, column].max())
    return from_ns(float(np.clip(stats.histogram_quantile_ns(trace.histogram[:, column].sum(axis=0), p), *bounds_ns)))


def _quantile_of_rows_s(trace: Trace, columns: list[int], p: float) -> float:
    rows, first, last = trace.rows, STAMPS[columns[0]], STAMPS[columns[-1] + 1]
    measured = rows["published_ns"] >= to_ns(trace.scenario.warmup_s)
    chosen = measured & (rows["outcome"] == OUTCOMES.index("delivered"))
    taken_ns = (rows[last] - rows[first])[chosen]
    return from_ns(float(np.quantile(taken_ns, p, method="inverted_cdf"))) if len(taken_ns) else math.nan


def of_replications(results: Results, groups: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Hops of a simulation: `mean_s`, `p50_s`, `p99_s`, means over replications; where it has several, also `low_s` and
    `high_s`, the interval of the mean.

    Parameters
    ----------
    results : Results
        Of one replication or more; those that delivered nothing are left out.
    groups : mapping of str to tuple of str
        `MERGED_HOPS` or `SINGLE_HOPS`.
    """
    frames = [_of_trace(trace, groups) for trace in results.traces]
    held = [frame for frame in frames if np.isfinite(frame.loc[TOTAL, "mean_s"])] or frames[:1]
    frame = sum(held) / len(held)
    each = np.array([one["mean_s"] for one in held])
    means = [stats.over_replications(column) for column in each.T]
    frame["low_s"] = [max(0.0, m.low) if m.low is not None else math.nan for m in means]
    frame["high_s"] = [m.high if m.high is not None else math.nan for m in means]
    return frame


def of_runs(runs: Sequence[Trace], groups: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Hops of live runs: those of the run with the median mean, or of the two in the middle, so that they add up; and
    `low_s`, `high_s`, the range of the mean over all runs.

    Parameters
    ----------
    runs : sequence of Trace
        At least one.
    groups : mapping of str to tuple of str
        `MERGED_HOPS` or `SINGLE_HOPS`.
    """
    frames = [_of_trace(trace, groups) for trace in runs]
    middle = [frames[i] for i in middle_runs([frame.loc[TOTAL, "mean_s"] for frame in frames])]
    frame = sum(middle) / len(middle)
    each = pd.concat([one["mean_s"] for one in frames], axis=1)
    frame["low_s"], frame["high_s"] = each.min(axis=1), each.max(axis=1)
    return frame


def middle_runs(figures: Sequence[float]) -> list[int]:
    """Places of the median of some figures: one, or two of an even number of them; what is NaN comes last.

    Examples
    --------
    >>> middle_runs([30.0, 10.0, 20.0]), middle_runs([30.0, 10.0, 20.0, 40.0])
    ([2], [2, 0])
    """
    order = np.argsort(np.asarray(figures, dtype=float), kind="stable").tolist()
    n = int(np.isfinite(figures).sum()) or len(order)
    return sorted({order[(n - 1) // 2], order[n // 2]}, key=order.index)


def mean_only(hops_s: Mapping[str, Mapping[str, float | None]], groups: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Hops from the JSON of a run, which has their means alone.

    Parameters
    ----------
    hops_s : mapping of str to mapping
        `value` of each of `HOPS`, seconds; None where nothing was delivered.
    groups : mapping of str to tuple of str
        `MERGED_HOPS` or `SINGLE_HOPS`.
    """
    known = {hop: math.nan if hops_s[hop]["value"] is None else hops_s[hop]["value"] for hop in HOPS}
    means = {name: sum(known[hop] for hop in hops) for name, hops in groups.items()}
    frame = pd.DataFrame({"mean_s": means | {TOTAL: sum(known.values())}}).rename_axis("hop")
    return frame.reindex(columns=[*_FIGURES, "low_s", "high_s"])


def hop_table(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Both sides in one frame: `a_mean_s`, `a_low_s`, `a_high_s`, `a_p50_s`, `a_p99_s`, the same of b, `difference_s`
    of the mean (b less a) and `share`, what the hop has of the difference of the whole.

    Parameters
    ----------
    a, b : DataFrame
        From `of_replications`, `of_runs` or `mean_only`, with the same hops.
    """
    columns = ["mean_s", "low_s", "high_s", "p50_s", "p99_s"]
    frame = pd.concat([side[columns].add_prefix(f"{name}_") for name, side in (("a", a), ("b", b))], axis=1)
    frame["difference_s"] = frame["b_mean_s"] - frame["a_mean_s"]
    whole = frame.loc[TOTAL, "difference_s"]
    frame["share"] = frame["difference_s"] / whole if whole else 0.0
    return frame.astype(float)


def blame(hops: pd.DataFrame, figure: str, difference_s: float) -> tuple[str, str, float] | None:
    """The hop that is off most in the direction in which a latency figure is.

    A p99 is looked for in the hops' p99, a p50 in their p50, where all hops of both sides have one; else in the means.

    Parameters
    ----------
    hops : DataFrame
        From `hop_table`.
    figure : str
        Of the latency: `mean`, `p50`, `p99` and so on.
    difference_s : float
        How much it is off, b less a.

    Returns
    -------
    tuple of str, str and float, or None
        The hop, of which figure of the hops, and how much that is off, seconds; None if every hop is off the other way.
    """
    parts = hops.drop(index=TOTAL)
    wanted = {"mean": "mean", "p50": "p50"}.get(figure, "p99")
    if parts[[f"a_{wanted}_s", f"b_{wanted}_s"]].isna().any(axis=None):
        wanted = "mean"
    off = parts[f"b_{wanted}_s"] - parts[f"a_{wanted}_s"]
    toward = off * math.copysign(1.0, difference_s)
    if off.isna().any() or not toward.max() > 0:
        return None
    hop = str(toward.idxmax())
    return hop, wanted, float(off[hop])
