"""Latency figures of traces: means, quantiles, their intervals, and how they went over time.

Quantiles are read from histograms, so they are within 0.4 % of the exact ones, and never outside the least and the
greatest latency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.stats import Estimate
from realtime_sim.trace import N_BATCHES, Trace
from realtime_sim.units import NS_PER_S, from_ns

__all__ = ["QUANTILES", "hop_means_s", "latency_of", "latency_over_time", "quantile_of_slices", "slice_histogram"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""Quantiles that every run gives, by name."""


def latency_of(traces: Sequence[Trace], cohorts: list[int], column: int) -> dict[str, Estimate]:
    """Mean, quantiles and maximum of one hop, or of the whole, in seconds.

    Parameters
    ----------
    traces : sequence of Trace
        Replications. With two and more that delivered something, every figure has an interval over them; those that
        delivered nothing have no latency, and are left out.
    cohorts : list of int
        Whose deliveries; figures of one run have intervals, but for p999 and maximum, where it is those of all
        cohorts and the run has kept its parts.
    column : int
        Number of the hop; the last is the whole.

    Returns
    -------
    dict of str to Estimate
        `mean`, the names of `QUANTILES`, `max`. NaN where nothing was delivered.
    """
    each = [_figures(trace, cohorts, column) for trace in traces]
    if len(each) > 1:
        held = [figures for figures in each if not math.isnan(figures["mean"])] or each[:1]
        return {name: stats.over_replications([figures[name] for figures in held]).from_0 for name in each[0]}
    (trace,), (figures,) = traces, each
    estimates = {name: Estimate(value) for name, value in figures.items()}
    if len(cohorts) == len(trace.sum_ns) and trace.has_parts:
        estimates["mean"] = _mean_with_interval(trace, figures["mean"], column)
        for name in ("p50", "p90", "p95", "p99"):  # of one run there is too little beyond p999 for an interval
            p = QUANTILES[name]
            estimates[name] = _quantile_with_interval(trace, figures[name], p, column)
    return estimates


def hop_means_s(traces: Sequence[Trace]) -> np.ndarray:
    """Mean of each hop, and last of the whole, over all replications and cohorts, seconds; NaN without deliveries.

    Intervals, of which `latency_of` has those of every hop, take ten times as long.
    """
    count = sum(int(trace.histogram[:, -1].sum()) for trace in traces)
    total_ns = sum(trace.sum_ns.sum(axis=0).astype(float) for trace in traces)
    return from_ns(total_ns) / count if count else np.full(len(total_ns), math.nan)


def _figures(trace: Trace, cohorts: list[int], column: int) -> dict[str, float]:
    """Mean, quantiles and maximum in seconds of some cohorts in one run."""
    histogram = trace.histogram[cohorts, column].sum(axis=0)
    count = int(histogram.sum())
    if not count:
        return dict.fromkeys(("mean", *QUANTILES, "max"), math.nan)
    bounds_ns = int(trace.min_ns[cohorts, column].min()), int(trace.max_ns[cohorts, column].max())
    figures = {"mean": from_ns(int(trace.sum_ns[cohorts, column].sum())) / count}
    figures |= {name: _quantile_s(histogram, p, bounds_ns) for name, p in QUANTILES.items()}
    return figures | {"max": from_ns(bounds_ns[1])}


def _quantile_s(histogram: np.ndarray, p: float, bounds_ns: tuple[int, int]) -> float:
    """A quantile within the least and the greatest latency, which the middle of a bucket may be beyond."""
    return from_ns(float(np.clip(stats.histogram_quantile_ns(histogram, p), *bounds_ns)))


def _mean_with_interval(trace: Trace, value: float, column: int) -> Estimate:
    divisions = [(trace.batch_sum_ns, trace.batch_count)]
    if len(trace.group_count):
        divisions.append((trace.group_sum_ns, trace.group_count))
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [(sums[:, column] / counts / NS_PER_S, counts) for sums, counts in divisions]
    estimate = stats.over_divisions(value, *parts)
    if estimate.low is None:
        return estimate
    return Estimate(value, max(0.0, estimate.low), estimate.high)


def _quantile_with_interval(trace: Trace, value: float, p: float, column: int) -> Estimate:
    """Interval of a quantile by sectioning on the share of each part of the run above it.

    The share of values above the quantile varies from part to part; the interval of that share is read back as
    latencies. Unlike an average of the parts' own quantiles it is not biased by parts with few values.
    """
    divisions = [trace.batch_histogram[:, column]]
    if len(trace.group_histogram):
        divisions.append(trace.group_histogram[:, column])
    total = divisions[0].sum(axis=0, dtype=np.int64)
    n = int(total.sum())
    if n == 0:
        return Estimate(value)
    bucket = int(np.searchsorted(np.cumsum(total), max(1, math.ceil(p * n - 1e-9))))
    parts = []
    for histograms in divisions:
        counts = histograms.sum(axis=1, dtype=np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append((histograms[:, : bucket + 1].sum(axis=1, dtype=np.int64) / counts, counts))
    share = float(total[: bucket + 1].sum() / n)
    spread = stats.over_divisions(share, *parts)
    if spread.low is None or spread.high is None or share == 1.0:
        return Estimate(value)
    fewest, most = stats.bounds_of_rare(1 - share, (spread.high - spread.low) / 2)
    if n * fewest < 1 or most >= 1:
        return Estimate(value)  # too few values beyond the quantile for an interval
    bounds_ns = int(trace.min_ns[:, column].min()), int(trace.max_ns[:, column].max())
    low = _quantile_s(total, 1 - most, bounds_ns)
    high = _quantile_s(total, 1 - fewest, bounds_ns)
    return Estimate(value, min(low, value), max(high, value))


def slice_histogram(traces: Sequence[Trace]) -> np.ndarray:
    """Latencies from publish to receipt in each slice of the measured time, all replications together.

    Returns
    -------
    ndarray of int64, shape (N_BATCHES, N_BUCKETS)
        Counts.
    """
    return sum(trace.batch_histogram[:, -1].astype(np.int64) for trace in traces)


def quantile_of_slices(traces: Sequence[Trace], slices: np.ndarray, p: float) -> float:
    """A quantile of the latency over some slices of the measured time together, seconds; NaN if they hold nothing.

    Parameters
    ----------
    traces : sequence of Trace
        Replications.
    slices : ndarray of int64, shape (n, N_BUCKETS)
        Rows of their `slice_histogram`.
    p : float
        Which quantile, 0 to 1.
    """
    bounds_ns = min(int(t.min_ns[:, -1].min()) for t in traces), max(int(t.max_ns[:, -1].max()) for t in traces)
    return _quantile_s(slices.sum(axis=0), p, bounds_ns) if slices.any() else math.nan


def latency_over_time(traces: Sequence[Trace], histogram: np.ndarray) -> pd.DataFrame:
    """Latency in each slice of the measured time, by publish time, over all replications.

    Parameters
    ----------
    traces : sequence of Trace
        Replications.
    histogram : ndarray of int64, shape (N_BATCHES, N_BUCKETS)
        Their `slice_histogram`.

    Returns
    -------
    DataFrame
        `time_s` (middle of the slice), `delivered` (in all runs), `mean_s`, `p50_s`, `p99_s`.
    """
    scenario = traces[0].scenario
    width_s = (scenario.duration - scenario.warmup_s) / N_BATCHES
    delivered = sum(trace.batch_count for trace in traces)
    sum_ns = sum(trace.batch_sum_ns[:, -1].astype(float) for trace in traces)
    columns = {"time_s": scenario.warmup_s + (np.arange(N_BATCHES) + 0.5) * width_s, "delivered": delivered}
    with np.errstate(invalid="ignore"):
        columns["mean_s"] = from_ns(sum_ns / delivered)
    for name in ("p50", "p99"):
        columns[f"{name}_s"] = [quantile_of_slices(traces, part[None], QUANTILES[name]) for part in histogram]
    return pd.DataFrame(columns)
