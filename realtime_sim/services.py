"""Services: what the traces say of the services ahead of the push tier, as frames, and what to warn of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.pipeline import FATES, NEVER_NS
from realtime_sim.scenario import Service, StopService
from realtime_sim.stats import Estimate
from realtime_sim.trace import Trace
from realtime_sim.units import NS_PER_S, from_ns, to_ns

__all__ = ["catch_up_of", "lag_of", "services_of", "summary_of", "warnings_of"]

BUSY = 0.95
"""From this utilization on a warning says that events pile up, or would with any more of them."""

COLUMNS = ("events", *FATES[1:], FATES[0], "attempts", "redelivered", "utilization", "mean_s", "p99_s", "highest_lag")


def services_of(traces: Sequence[Trace]) -> pd.DataFrame:
    """One row for each service; of several replications means, each with its 95 % interval (`_low`, `_high`).

    Parameters
    ----------
    traces : sequence of Trace
        Replications.

    Returns
    -------
    DataFrame
        `events` that occurred after the warm-up, by what became of them (`FATES`), and their `attempts`; `redelivered`
        after a stop; `utilization`, the share of the workers' time in which they held an event; `mean_s` and `p99_s`
        from event to finished, of those that were; `highest_lag`, the most events that were open at one time.
        Utilization, redelivered and lag are those of the whole run. NaN where nothing was finished.
    """
    rows = {}
    for service in _known(traces[0]):
        row: dict[str, float] = {}
        for column in COLUMNS:
            each = np.array([_figure(trace, service, column) for trace in traces], dtype=float)
            found = stats.over_replications(each[~np.isnan(each)]) if not np.isnan(each).all() else Estimate(math.nan)
            row[column] = found.value
            if len(traces) > 1:
                low, high = found.bounds_from_0
                row |= {f"{column}_low": low, f"{column}_high": high}
        rows[service.name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("service")


def _known(trace: Trace) -> list[Service]:
    """Services of a scenario that the producer of the trace has run."""
    return [service for service in trace.scenario.services if service.name in trace.services]


def _figure(trace: Trace, service: Service, column: str) -> float:
    """One figure of one service in one run."""
    books = trace.services[service.name]
    if column in FATES:
        return float(books["fates"][FATES.index(column)])
    n_done = int(books["histogram"].sum())
    figures: dict[str, Callable[[], float]] = {
        "events": lambda: float(books["fates"].sum()),
        "utilization": lambda: from_ns(books["busy_ns"]) / trace.scenario.duration / service.n_workers,
        "mean_s": lambda: books["sum_ns"] / n_done / NS_PER_S if n_done else math.nan,
        "p99_s": lambda: stats.histogram_quantile_ns(books["histogram"], 0.99) / NS_PER_S,
    }
    return figures[column]() if column in figures else float(books[column])


def catch_up_of(traces: Sequence[Trace]) -> pd.DataFrame:
    """For each `stop_service`: seconds from the restart until no event waited for a worker any more.

    Parameters
    ----------
    traces : sequence of Trace
        Replications.

    Returns
    -------
    DataFrame
        Indexed by the number of the fault: `service`, `at_s`, `for_s`, `catch_up_s` (inf: never, in one run at least);
        of several replications the mean, with `catch_up_low_s` and `catch_up_high_s`.
    """
    columns = ["fault", "service", "at_s", "for_s", "catch_up_s"]
    rows = []
    for number, (place, fault) in _stops(traces[0]):
        restart_ns = to_ns(fault.at + fault.lasts)
        ended_ns = [int(trace.services[fault.service]["caught_up_ns"][place]) for trace in traces]
        each = [math.inf if ns == NEVER_NS else from_ns(ns - restart_ns) for ns in ended_ns]
        row = {"fault": number, "service": fault.service, "at_s": fault.at, "for_s": fault.lasts}
        found = stats.over_replications(each) if np.isfinite(each).all() else Estimate(math.inf)
        row["catch_up_s"] = found.value
        if len(traces) > 1:
            low, high = found.bounds_from_0
            row |= {"catch_up_low_s": low, "catch_up_high_s": high}
        rows.append(row)
    columns += ["catch_up_low_s", "catch_up_high_s"] if len(traces) > 1 else []
    return pd.DataFrame(rows, columns=columns).set_index("fault")


def _stops(trace: Trace) -> Iterator[tuple[int, tuple[int, StopService]]]:
    """Number of each `stop_service` among all faults, its place among those of its service, and itself."""
    seen: dict[str, int] = {}
    for number, fault in enumerate(trace.scenario.faults):
        if fault.kind == "stop_service" and fault.service in trace.services:
            place = seen.get(fault.service, 0)
            seen[fault.service] = place + 1
            yield number, (place, fault)


def lag_of(trace: Trace) -> pd.DataFrame:
    """Events of each service that are there and not finished, over time: waiting, or in work."""
    time_s = from_ns(trace.series["time_ns"].astype(float))
    lags = {service.name: trace.services[service.name]["lag"] for service in _known(trace)}
    return pd.DataFrame(lags, index=pd.Index(time_s, name="time_s")).rename_axis("service", axis=1)


def summary_of(services: pd.DataFrame, catch_up: pd.DataFrame) -> list[tuple[str, Estimate, str]]:
    """Name, figure and unit of what one quotes of each service and of each stop, from their frames."""
    rows = []
    for name, row in services.iterrows():
        for column, unit in (("mean_s", "s"), ("p99_s", "s"), ("utilization", "ratio"), ("highest_lag", "per run")):
            found = Estimate(row[column], row.get(f"{column}_low"), row.get(f"{column}_high"))
            rows.append((f"service {name} {column.removesuffix('_s').replace('_', ' ')}", found, unit))
    for number, row in catch_up.iterrows():
        found = Estimate(row["catch_up_s"], row.get("catch_up_low_s"), row.get("catch_up_high_s"))
        rows.append((f"catch-up of {row['service']} after fault {number}", found, "s"))
    return rows


def warnings_of(traces: Sequence[Trace]) -> str:
    """Services that cannot keep up, and events that came to nothing, as one text; empty where there are none."""
    texts = []
    for name, row in services_of(traces).iterrows():
        if row["utilization"] >= BUSY:
            texts.append(
                f"Workers of service {name} are busy {row['utilization']:.0%} of the time: events pile up and "
                "latencies depend on how long the run is. Give it more replicas or workers, or fewer events."
            )
        lost = {fate.replace("_", " "): row[fate] for fate in FATES if fate != "done" and row[fate]}
        if lost:
            fates = ", ".join(f"{n:,.4g} {fate}" for fate, n in lost.items())
            texts.append(
                f"Of {row['events']:,.4g} events {sum(lost.values()):,.4g} came to nothing at service {name}: {fates}. "
                "Nothing was published of them, and none of it counts as a lost delivery."
            )
    return " ".join(texts)
