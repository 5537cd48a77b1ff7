"""Recovery: for each disturbance, how long until the clients that it cut off were connected again, and deliveries back.

Deliveries are looked at in the 32 slices of the measured time, by publish time. They are *back* from the end of the
last slice, up to the next disturbance, that was worse than every slice before the first disturbance of the run: that
lost a larger share, or had more than twice the p99. So a time is to the slice, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from realtime_sim import latency, stats
from realtime_sim.scenario import Scenario
from realtime_sim.trace import N_BATCHES, Trace
from realtime_sim.units import from_ns

__all__ = [
    "CUTS_NOBODY", "ONE_BY_ONE", "PERCENTS", "common", "deliveries_back_s", "recovered_at_s", "recovery_of",
    "slice_edges_s", "slowest_s", "summary_of", "until_s",
]  # fmt: skip

PERCENTS = (50, 95, 100)
"""Shares of the clients that were cut off whose return is timed."""

CUTS_NOBODY = ("pause_server", "slow_server", "stop_service", "partition", "stop_broker", "slow_broker")
"""Kinds of faults that no connection is lost by."""

ONE_BY_ONE = ("rolling_deploy", "drain_server", "rebalance")
"""Kinds that send clients away one after the other, on purpose: how long they take in all is no outage of anybody."""


def until_s(trace: Trace, number: int, percent: int) -> float:
    """Seconds from a fault until so many of its clients were back; inf if they never were, NaN if there were none.

    Parameters
    ----------
    trace : Trace
        The run.
    number : int
        Which of the scenario's faults, from 0.
    percent : int
        How many of the clients that it cut off, 1 to 100.
    """
    times, affected = trace.recovery[number], trace.affected[number]
    if not affected:
        return math.nan
    rank = math.ceil(affected * percent / 100)
    since_ns = trace.disturbances[number][1]
    return from_ns(int(times[rank - 1]) - since_ns) if rank <= len(times) else math.inf


AWAY = ("away_p50_s", "away_p95_s", "away_max_s")
"""How long each client was away."""

TIMES_P99 = 2.0
"""A slice whose p99 is beyond so many times the highest one before is worse than before."""


def slice_edges_s(scenario: Scenario) -> np.ndarray:
    """Where the slices of the measured time begin and end, seconds, shape (N_BATCHES + 1,)."""
    return np.linspace(scenario.warmup_s, scenario.duration, N_BATCHES + 1)


def deliveries_back_s(traces: Sequence[Trace], slices: np.ndarray, number: int) -> float:
    """Seconds from a disturbance until deliveries were as before, by the rule at the head of the module.

    Parameters
    ----------
    traces : sequence of Trace
        Replications; they are looked at together.
    slices : ndarray of int64, shape (N_BATCHES, N_BUCKETS)
        Their `latency.slice_histogram`.
    number : int
        Which disturbance, from 0.

    Returns
    -------
    float
        0 if no slice was worse than before; inf if the last one was; NaN if nothing was expected before the first
        disturbance, there is no whole slice before the next, or the traces have been kept without their slices.
    """
    if not len(slices):
        return math.nan
    edges_s, times_s = slice_edges_s(traces[0].scenario), [float(from_ns(at)) for _, at in common(traces)]
    at_s = times_s[number]
    until_s = min([other for other in times_s if other > at_s], default=math.inf)
    before = edges_s[1:] <= min(times_s)
    touched = np.flatnonzero((edges_s[1:] > at_s) & (edges_s[1:] <= until_s))
    missing = sum(trace.batch_missing for trace in traces)
    expected = missing + sum(trace.batch_count for trace in traces)
    if not expected[before].any() or not len(touched):
        return math.nan
    lost = np.divide(missing, expected, out=np.zeros(N_BATCHES), where=expected > 0)
    p99_s = np.nan_to_num([latency.quantile_of_slices(traces, part[None], 0.99) for part in slices])
    worse = (lost > lost[before].max()) | (p99_s > TIMES_P99 * p99_s[before].max())
    last = np.flatnonzero(worse[touched])
    if not len(last):
        return 0.0
    return math.inf if last[-1] == len(touched) - 1 else float(edges_s[touched[last[-1]] + 1] - at_s)


def common(traces: Sequence[Trace]) -> tuple[tuple[str, int], ...]:
    """Disturbances that all replications share, kind and time: the faults of the scenario, and what others did as long
    as they did the same."""
    shared = traces[0].disturbances
    for trace in traces:
        same = [a == b for a, b in zip(shared, trace.disturbances, strict=False)]
        shared = shared[: same.index(False) if False in same else len(same)]
    return shared


def recovery_of(traces: Sequence[Trace], slices: np.ndarray) -> pd.DataFrame:
    """For each disturbance: clients cut off, how many came back, and seconds until 50, 95 and 100 % of them were;
    seconds until deliveries were back.

    Parameters
    ----------
    traces : sequence of Trace
        Replications. What a control process did in some of them only is left out.
    slices : ndarray of int64, shape (N_BATCHES, N_BUCKETS)
        Their `latency.slice_histogram`.

    Returns
    -------
    DataFrame
        `fault`, `at_s`, `affected`, `recovered`, `p50_s`, `p95_s`, `p100_s`; NaN where so many never came back. Of
        several replications these are means (NaN if any run never got there), with `p50_low_s`, `p50_high_s` (95 %
        interval) and `p50_worst_s` (inf: never), and so on. `deliveries_s` is `deliveries_back_s`, of all replications
        together (inf: not within the run, or not before the next disturbance; NaN: nothing to compare with).
        `away_p50_s`, `away_p95_s` and `away_max_s` are how long each of those who are back had been away, from its own
        cut: a deploy lasts for minutes, and every client is away for a second. Of replications they are means.
    """
    rows = []
    several = len(traces) > 1
    for number, (kind, at_ns) in enumerate(common(traces)):
        affected = np.mean([trace.affected[number] for trace in traces])
        recovered = np.mean([len(trace.recovery[number]) for trace in traces])
        row: dict[str, object] = {"fault": kind, "at_s": float(from_ns(at_ns))}
        row |= {"affected": affected if several else int(affected)}
        row |= {"recovered": recovered if several else int(recovered)}
        for percent in PERCENTS:
            each = np.array([until_s(trace, number, percent) for trace in traces])
            row |= _over_replications(f"p{percent}", each[~np.isnan(each)], several)
        row["deliveries_s"] = deliveries_back_s(traces, slices, number)
        row |= _away(traces, number)
        rows.append(row)
    columns = ["fault", "at_s", "affected", "recovered"]
    for percent in PERCENTS:
        ends = ("_s", "_low_s", "_high_s", "_worst_s") if several else ("_s",)
        columns += [f"p{percent}{end}" for end in ends]
    return pd.DataFrame(rows, columns=[*columns, "deliveries_s", *AWAY])


def summary_of(found: pd.DataFrame) -> list[tuple[str, stats.Estimate, str]]:
    """The figures one quotes of each disturbance: until all clients were back, or, where it cut nobody off, deliveries.

    Parameters
    ----------
    found : DataFrame
        From `recovery_of`.

    Returns
    -------
    list of (str, Estimate, str)
        Name, figure and unit. How long a stopped service is felt is told with the services.
    """
    rows = []
    for number, row in found.iterrows():
        if row["fault"] == "stop_service":
            continue
        if row["fault"] in CUTS_NOBODY:
            name, figure = f"deliveries back after fault {number} ({row['fault']})", stats.Estimate(row["deliveries_s"])
        else:
            name = f"recovery from fault {number} ({row['fault']})"
            figure = stats.Estimate(row["p100_s"], row.get("p100_low_s"), row.get("p100_high_s"))
        rows.append((name, figure, "s"))
    return rows


def _away(traces: Sequence[Trace], number: int) -> dict[str, float]:
    """How long each client was away: median, 95 % and the longest, means over the replications in which any was."""
    each = [trace.away[number] for trace in traces if len(trace.away[number])]
    ranks = zip(AWAY, (50, 95, 100), strict=True)
    return {
        name: float(np.mean([from_ns(int(times[math.ceil(len(times) * p / 100) - 1])) for times in each]))
        if each
        else math.nan
        for name, p in ranks
    }


def _over_replications(name: str, each: np.ndarray, several: bool) -> dict[str, float]:
    known = len(each) > 0 and bool(np.isfinite(each).all())
    mean = stats.over_replications(each) if known else stats.Estimate(math.nan)
    if not several:
        return {f"{name}_s": mean.value}
    low, high = mean.bounds_from_0
    worst = float(each.max()) if len(each) else math.nan
    return {f"{name}_s": mean.value, f"{name}_low_s": low, f"{name}_high_s": high, f"{name}_worst_s": worst}


def slowest_s(traces: Sequence[Trace]) -> float:
    """Seconds until everybody was back after a disturbance, the worst of all and all replications; inf: never.

    Of a disturbance that sends clients away one after the other, the longest that any of them was away.
    """
    each = [_slowest_s(trace, number) for trace in traces for number in range(len(trace.disturbances))]
    return max((seconds for seconds in each if not math.isnan(seconds)), default=0.0)


def _slowest_s(trace: Trace, number: int) -> float:
    all_s = until_s(trace, number, 100)
    if trace.disturbances[number][0] in ONE_BY_ONE and math.isfinite(all_s):
        return float(from_ns(int(trace.away[number][-1])))
    return all_s


def recovered_at_s(traces: Sequence[Trace]) -> float | None:
    """When the last client that was cut off was connected again; None where none was, or if some never were."""
    latest = []
    for trace in traces:
        for affected, times in zip(trace.affected, trace.recovery, strict=True):
            if len(times) < affected:
                return None
            latest.extend(from_ns(times[-1:]).tolist())
    return max(latest) if latest else None
