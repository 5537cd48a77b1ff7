"""Diagnosis: what a careful reader should know before believing a run's figures, as sentences.

Each check is a function from Results to one sentence, or to nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.trace import CAUSES
from realtime_sim.units import NS_PER_S, format_duration

if TYPE_CHECKING:
    from realtime_sim.results import Results

__all__ = ["objectives_of", "warnings_of"]

OVERLOAD_UTILIZATION = 0.95
"""From this utilization on a warning says that queues grow, or would with any more load."""


def warnings_of(results: Results) -> tuple[str, ...]:
    """Everything there is to warn of, the most fundamental first."""
    checks = (_no_interval, _overload, _warmup, _little, _losses, _no_route)
    return tuple(text for text in (check(results) for check in checks) if text)


def objectives_of(results: Results) -> pd.DataFrame:
    """Each promise of `slo` beside its figure; a latency is judged by the upper end of its interval."""
    slo = results.scenario.slo
    rows: list[tuple[str, float, float | None, bool | None]] = []
    latency = results.latency_s()
    for name in ("p50", "p99"):
        promised = getattr(slo, name, None)
        if promised is not None:
            figure = latency[name]
            worst = figure.value if figure.high is None else figure.high
            rows.append((f"{name}, seconds", promised, worst, None if math.isnan(worst) else bool(worst <= promised)))
    if slo is not None and slo.max_lost_ratio is not None:
        total = results.deliveries.loc["total"]
        ratio = float((total["lost"] + total["dropped"]) / total["expected"]) if total["expected"] else 0.0
        rows.append(("lost ratio", slo.max_lost_ratio, ratio, ratio <= slo.max_lost_ratio))
    if slo is not None and slo.recover_within is not None and results.scenario.faults:
        until_all_s = results.recovery.loc[results.recovery["affected"] > 0, "p100_s"]
        slowest = max(until_all_s.fillna(math.inf), default=0.0)
        rows.append(("recovery, seconds", slo.recover_within, slowest, bool(slowest <= slo.recover_within)))
    return pd.DataFrame(rows, columns=["objective", "promised", "found", "kept"]).set_index("objective")


def _no_interval(results: Results) -> str:
    if results.latency_s()["mean"].low is None and results.deliveries.loc["total", "delivered"]:
        return "No interval: one run with too few slices that hold deliveries. Run longer, or use replications."
    return ""


def _overload(results: Results) -> str:
    series = results.server_series("utilization")
    measured = series[series.index > results.scenario.warmup_s]
    if len(measured) and float(measured.mean().max()) >= OVERLOAD_UTILIZATION:
        server, busy = measured.mean().idxmax(), float(measured.mean().max())
        return (
            f"Offered load at or above capacity: server {server} is busy {busy:.0%} of the time; its queue grows and "
            "latencies depend on how long the run is. Add servers, or lower the traffic."
        )
    broker = results.timeseries["broker_utilization"]
    n_threads = getattr(results.scenario.broker, "partitions", 1)
    if len(broker) and float(broker.mean()) / n_threads >= OVERLOAD_UTILIZATION:
        return "Offered load at or above capacity: the broker is busy all the time. Shard it, or lower the traffic."
    return ""


def _warmup(results: Results) -> str:
    """MSER on the slices of the measured time: a cut says the start was still settling."""
    trace = results.trace
    if (trace.batch_count == 0).any() or results.scenario.faults:
        return ""
    means = trace.batch_sum_ns[:, -1] / trace.batch_count
    cut = stats.mser(means)
    if cut == 0:
        return ""
    settled = means[cut:]
    bias = abs(means.mean() - settled.mean())
    early_off = abs(means[:cut].mean() - settled.mean())
    if early_off <= 5 * settled.std() / math.sqrt(cut) or bias <= 0.02 * settled.mean():
        return ""
    seconds = results.scenario.warmup_s + cut / len(means) * results.measured_s
    return (
        f"Warm-up too short: MSER would leave out the first {format_duration(round(seconds, 3))}, not "
        f"{format_duration(results.scenario.warmup_s)}; the mean moves by {bias / means.mean():.1%}. "
        "Set warmup, or run longer."
    )


def _little(results: Results) -> str:
    """L = lambda W, with L integrated over time and lambda W from the deliveries: two ways to one figure."""
    trace = results.trace
    chosen = trace.series["time_ns"] >= results.scenario.warmup_s * NS_PER_S
    n = len(trace.batch_count)
    time_ns, area_ns = trace.series["time_ns"][chosen], trace.series["under_way_area_ns"][chosen]
    if len(time_ns) <= n or results.scenario.faults or not trace.batch_count.all():
        return ""
    cuts = np.linspace(0, len(time_ns) - 1, n + 1).astype(int)
    counted = np.diff(area_ns[cuts]) / np.diff(time_ns[cuts])
    by_law = trace.batch_sum_ns[:, -1] / NS_PER_S / (results.measured_s / n)
    gap = stats.over_batches(float(np.mean(counted - by_law)), counted - by_law)
    if gap.low <= 0 <= gap.high or abs(gap.value) <= 0.01 * counted.mean():
        return ""
    return (
        f"Little's law is off by more than its interval: {counted.mean():.4g} deliveries were under way on average, "
        f"{by_law.mean():.4g} by arrival rate times latency. The system is not in a steady state."
    )


def _losses(results: Results) -> str:
    total = results.deliveries.loc["total"]
    if not total["expected"] or not (total["lost"] or total["dropped"]):
        return ""
    causes = ", ".join(f"{cause} {total[f'lost_{cause}']:,}" for cause in CAUSES if total[f"lost_{cause}"])
    share = (total["lost"] + total["dropped"]) / total["expected"]
    dropped = f"; dropped {total['dropped']:,}" if total["dropped"] else ""
    return f"{share:.3%} of expected deliveries did not arrive (lost: {causes or 'none'}{dropped})."


def _no_route(results: Results) -> str:
    if results.scenario.broker.kind == "none" and results.scenario.servers.count > 1 and results.scenario.traffic:
        return (
            "No broker between several servers: a message reaches only the clients of the server that publishes it. "
            "Set broker.kind."
        )
    return ""
