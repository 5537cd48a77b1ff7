"""Objectives: each promise of a scenario's `slo` beside what a run found, and whether it was kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from realtime_sim import stats, timelines
from realtime_sim.diagnosis import n_never_connected
from realtime_sim.latency import QUANTILES
from realtime_sim.recovery import CUTS_NOBODY, ONE_BY_ONE, slowest_s
from realtime_sim.stats import Estimate
from realtime_sim.trace import Trace

if TYPE_CHECKING:
    from realtime_sim.results import Results

__all__ = ["objectives_of"]

COLUMNS = ("objective", "promised", "found", "low", "high", "judged_by", "kept", "unit", "note")

_UNKNOWN = Estimate(math.nan)


def objectives_of(results: Results) -> pd.DataFrame:
    """Each promise of `slo` with its figure; a latency and a utilization are judged by the upper end of their interval.

    Returns
    -------
    DataFrame
        Indexed by objective: `promised`, `found`, `low` and `high` (its 95 % interval, NaN where there is none),
        `judged_by`, `kept` (True, False, or None where this run decides nothing), `unit`, `note`. Latencies are in
        milliseconds, as in the tables of the command line.
    """
    rows: list[tuple] = []
    if results.scenario.slo is not None:
        parts = (_latencies, _losses, _recovery, _utilization, _headroom, _survival)
        rows = [row for part in parts for row in part(results)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).set_index("objective").astype({"kept": object})


def _row(name: str, promised: float, figure: Estimate, judged_by: float, kept: bool | None, unit: str, note: str):
    # None of them can be below 0; Student's interval of few runs may reach there.
    low, high = (math.nan if bound is None else 0.0 if bound < 0 else bound for bound in (figure.low, figure.high))
    return name, promised, figure.value, low, high, judged_by, kept, unit, note


def _upper(figure: Estimate) -> float:
    return figure.value if figure.high is None else figure.high


def _latencies(results: Results) -> list[tuple]:
    rows, figures = [], results.latency_s()
    for name in QUANTILES:
        promised = getattr(results.scenario.slo, name)
        if promised is None:
            continue
        figure = figures[name]
        ms = Estimate(*(None if x is None else x * 1e3 for x in (figure.value, figure.low, figure.high)))
        judged = _upper(figure)
        if math.isnan(judged):
            rows.append(_row(name, promised * 1e3, _UNKNOWN, math.nan, None, "ms", "no deliveries"))
        else:
            rows.append(_row(name, promised * 1e3, ms, judged * 1e3, bool(judged <= promised), "ms", ""))
    return rows


def _losses(results: Results) -> list[tuple]:
    promised = results.scenario.slo.max_lost_ratio
    if promised is None:
        return []
    total = results.deliveries.loc["total"]
    shut_out = n_never_connected(results)
    ratio = float((total["lost"] + total["dropped"]) / total["expected"]) if total["expected"] else math.nan
    kept = None if math.isnan(ratio) else bool(ratio <= promised)
    note = "no deliveries" if math.isnan(ratio) else ""
    name, share = _worst_service(results)
    if share > promised:
        kept, note = False, f"{share:.3g} of the events came to nothing at service {name}"
    if shut_out:
        kept, note = False, f"{shut_out:,.0f} clients were never connected and got nothing"
    spread = _over(_lost_ratios(results.traces)) if results.n_replications > 1 else _UNKNOWN
    return [_row("lost ratio", promised, Estimate(ratio, spread.low, spread.high), ratio, kept, "ratio", note)]


def _lost_ratios(traces: Sequence[Trace]) -> list[float]:
    missing = [trace.deliveries["lost"].sum() + trace.deliveries["dropped"].sum() for trace in traces]
    expected = [trace.deliveries["expected"].sum() for trace in traces]
    return [float(m / e) for m, e in zip(missing, expected, strict=True) if e]


def _over(each: list[float]) -> Estimate:
    """Mean over replications with its interval, for what cannot be below 0; where all are infinite, so is that."""
    if each and all(value == math.inf for value in each):
        return Estimate(math.inf, math.inf, math.inf)
    if not each or not np.isfinite(each).all():
        return _UNKNOWN
    return stats.over_replications(each).from_0


def _worst_service(results: Results) -> tuple[str, float]:
    """The service that the largest share of events came to nothing at: what it should push is expected of nobody."""
    services = results.services
    if services.empty:
        return "", 0.0
    shares = (services["events"] - services["done"]) / services["events"].clip(lower=1)
    return str(shares.idxmax()), float(shares.max())


def _recovery(results: Results) -> list[tuple]:
    """The slowest fault: until all whom it cut off were back, or, where it cuts nobody off, until deliveries were."""
    promised, faults = results.scenario.slo.recover_within, results.recovery
    if promised is None or faults.empty:
        return []
    by_deliveries, found = faults[faults["fault"].isin(CUTS_NOBODY)], []
    if len(by_deliveries) < len(faults):
        each = [slowest_s([trace]) for trace in results.traces]
        note = _who_was_back(faults) + ", the worst replication" * (results.n_replications > 1)
        found.append((_mean_slowest_s(faults), max(each), note, _over(each)))
    known = by_deliveries["deliveries_s"].dropna()
    if len(known):
        never = " (not within this run, or not before the next fault)" if known.max() == math.inf else ""
        found.append((known.max(), known.max(), f"until deliveries were as before{never}", _UNKNOWN))
    value, worst, note, spread = max(found, key=lambda row: row[1], default=(math.nan, math.nan, "", _UNKNOWN))
    kept = bool(worst <= promised)
    if len(known) < len(by_deliveries) and (kept or not found):
        unknown = by_deliveries[by_deliveries["deliveries_s"].isna()].iloc[0]
        kept, note = None, f"{unknown['fault']} at {unknown['at_s']:g} s: no deliveries before it, or before the next"
    return [_row("recovery", promised, Estimate(value, spread.low, spread.high), worst, kept, "s", note)]


def _who_was_back(faults: pd.DataFrame) -> str:
    only_one_by_one = faults["fault"].isin((*CUTS_NOBODY, *ONE_BY_ONE)).all()
    return "the longest that a client was away" if only_one_by_one else "until all clients were back"


def _mean_slowest_s(faults: pd.DataFrame) -> float:
    """Of the slowest fault, mean over replications; inf where clients never came back."""
    cut = faults[faults["affected"] > 0]
    one_by_one = cut["fault"].isin(ONE_BY_ONE) & (cut["recovered"] >= cut["affected"])
    return max(cut["p100_s"].where(~one_by_one, cut["away_max_s"]).fillna(math.inf), default=0.0)


def _utilization(results: Results) -> list[tuple]:
    """The busiest of all loops and threads of the broker, each over the measured time that it was there."""
    promised = results.scenario.slo.max_utilization
    if promised is None:
        return []
    each = [timelines.busiest(trace) for trace in results.traces]
    figure = _over([share for share, _ in each])
    if math.isnan(figure.value):
        note = "fewer than two samples in the measured time: shorten sample_interval"
        return [_row("utilization", promised, _UNKNOWN, math.nan, None, "ratio", note)]
    judged, note = _upper(figure), max(each)[1]
    return [_row("utilization", promised, figure, judged, bool(judged <= promised), "ratio", note)]


def _headroom(results: Results) -> list[tuple]:
    """The fullest server at its peak: the share of its connections or its memory, the lesser, that was still free."""
    promised = results.scenario.slo.headroom
    if promised is None:
        return []
    servers = results.scenario.servers
    if servers.connection_limit is None:
        note = "nothing is limited: set servers.max_connections or servers.memory"
        return [_row("headroom", promised, _UNKNOWN, math.nan, None, "ratio", note)]
    free = [_free(servers, int(trace.servers["peak_connections"].max())) for trace in results.traces]
    each = [share for share, _ in free]
    worst, of_what = min(free)
    return [_row("headroom", promised, _over(each), worst, bool(worst >= promised), "ratio", f"free {of_what}")]


def _free(servers, peak: int) -> tuple[float, str]:
    """What is free at a peak of connections: the share of what is scarcest, and what that is."""
    shares = []
    if servers.max_connections is not None:
        shares.append((1 - peak / servers.max_connections, "connections"))
    if servers.memory is not None:
        shares.append((1 - servers.resolved_costs.memory_bytes(peak) / servers.memory, "memory"))
    return min(shares)


def _survival(results: Results) -> list[tuple]:
    """What only a drill of its own can show."""
    slo, rows, note = results.scenario.slo, [], "`realtime-sim plan` judges it"
    if slo.survive_servers is not None:
        name = f"survive {slo.survive_servers} server" + ("s" if slo.survive_servers != 1 else "")
        rows.append(_row(name, slo.survive_servers, _UNKNOWN, math.nan, None, "servers", note))
    if slo.survive_deploy:
        rows.append(_row("survive a deploy", 1, _UNKNOWN, math.nan, None, "deploys", note))
    return rows
