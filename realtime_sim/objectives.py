"""Objectives: each promise of a scenario's `slo` beside what a run found, and whether it was kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from realtime_sim.diagnosis import n_never_connected
from realtime_sim.latency import QUANTILES
from realtime_sim.recovery import CUTS_NOBODY, slowest_s

if TYPE_CHECKING:
    from realtime_sim.results import Results

__all__ = ["objectives_of"]

COLUMNS = ("objective", "promised", "found", "judged_by", "kept", "unit", "note")


def objectives_of(results: Results) -> pd.DataFrame:
    """Each promise of `slo` with its figure; a latency is judged by the upper end of its interval.

    Returns
    -------
    DataFrame
        Indexed by objective: `promised`, `found`, `judged_by`, `kept` (True, False, or None where this run decides
        nothing), `unit`, `note`. Latencies are in milliseconds, as in the tables of the command line.
    """
    rows: list[tuple] = []
    if results.scenario.slo is not None:
        rows = [*_latencies(results), *_losses(results), *_recovery(results), *_survival(results)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).set_index("objective").astype({"kept": object})


def _latencies(results: Results) -> list[tuple]:
    rows, figures = [], results.latency_s()
    for name in QUANTILES:
        promised = getattr(results.scenario.slo, name)
        if promised is None:
            continue
        figure = figures[name]
        judged = figure.value if figure.high is None else figure.high
        if math.isnan(judged):
            rows.append((name, promised * 1e3, math.nan, math.nan, None, "ms", "no deliveries"))
        else:
            rows.append((name, promised * 1e3, figure.value * 1e3, judged * 1e3, bool(judged <= promised), "ms", ""))
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
    return [("lost ratio", promised, ratio, ratio, kept, "ratio", note)]


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
        until_s = faults.loc[faults["affected"] > 0, "p100_s"].fillna(math.inf)
        note = "until all clients were back" + ", the worst replication" * (results.n_replications > 1)
        found.append((max(until_s, default=0.0), slowest_s(results.traces), note))
    known = by_deliveries["deliveries_s"].dropna()
    if len(known):
        never = " (not within this run, or not before the next fault)" if known.max() == math.inf else ""
        found.append((known.max(), known.max(), f"until deliveries were as before{never}"))
    value, worst, note = max(found, key=lambda row: row[1], default=(math.nan, math.nan, ""))
    kept = bool(worst <= promised)
    if len(known) < len(by_deliveries) and (kept or not found):
        unknown = by_deliveries[by_deliveries["deliveries_s"].isna()].iloc[0]
        kept, note = None, f"{unknown['fault']} at {unknown['at_s']:g} s: no deliveries before it, or before the next"
    return [("recovery", promised, value, worst, kept, "s", note)]


def _survival(results: Results) -> list[tuple]:
    promised = results.scenario.slo.survive_servers
    if promised is None:
        return []
    name = f"survive {promised} server" + ("s" if promised != 1 else "")
    return [(name, promised, math.nan, math.nan, None, "servers", "`realtime-sim limits` judges it")]
