"""Sheets: what one side of a comparison brings to it, figure by figure, from Results or from the JSON of a run."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realtime_sim.agreement import hops
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.recovery import CUTS_NOBODY, PERCENTS
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.stats import Estimate
from realtime_sim.trace import HOPS

__all__ = ["LIVE", "Figure", "Sheet", "as_one_live_run", "of_live_runs", "of_results", "read_sheet"]

LIVE = "live"
"""Engine of what was measured on real sockets."""

MOST_SEEDS = 1_000_000
"""Far more than any run has; a file may say anything."""

_RECOVERY = {50: "recovery of 50 % from fault", 95: "recovery of 95 % from fault", 100: "recovery from fault"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a side.

    Parameters
    ----------
    estimate : Estimate
        Its value, with a 95 % interval, or of live runs their median and range.
    unit : str
        Of the value.
    each : tuple of (int, float)
        Seed and value of each run; empty where only their mean is known.
    """

    estimate: Estimate
    unit: str
    each: tuple[tuple[int, float], ...] = ()

    def of_seed(self, seed: int) -> float | None:
        """The value of the run with this seed, or the one that all runs have; None where neither is known."""
        found = [value for its_seed, value in self.each if its_seed == seed]
        same = {value for _, value in self.each}
        return found[0] if found else (same.pop() if len(same) == 1 else None)


@dataclass(frozen=True, eq=False)
class Sheet:
    """One side of a comparison.

    Parameters
    ----------
    scenario : Scenario
        What was asked.
    engine : str
        Who answered.
    seeds : tuple of int
        Of the runs that the figures are of.
    figures : dict of str to Figure
        By the names of `Results.summary`; times of recovery for 50, 95 and 100 % of the clients (inf: never).
    hops : dict of bool to DataFrame
        From `realtime_sim.agreement.hops`: merged as a live run knows them (True), and each for itself.
    runs : tuple of Results
        What the figures were read from, runs that were left out included; empty where that was JSON.
    left_out : tuple of str
        Which live runs are not valid, and why.
    conditions : tuple of mapping
        What live runs say about themselves.
    meddled : bool
        Whether somebody beside the faults of the scenario cut clients off.
    """

    scenario: Scenario
    engine: str
    seeds: tuple[int, ...]
    figures: dict[str, Figure]
    hops: dict[bool, pd.DataFrame]
    runs: tuple[Results, ...] = ()
    left_out: tuple[str, ...] = ()
    conditions: tuple[Mapping[str, object], ...] = ()
    meddled: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it was measured on real sockets."""
        return self.engine == LIVE


def of_results(results: Results) -> Sheet:
    """One side from simulated runs: means over replications with their intervals, and each replication.

    Parameters
    ----------
    results : Results
        Of one replication or more.
    """
    seeds = tuple(trace.scenario.seed for trace in results.traces)
    single = [_values(Results([trace])) for trace in results.traces] if len(seeds) > 1 else [_values(results)]
    figures = {}
    for name, (estimate, unit) in _values(results).items():
        values = [one[name][0].value if name in one else math.nan for one in single]  # a fault may cut off nobody
        figures[name] = Figure(estimate, unit, tuple(zip(seeds, values, strict=True)))
    return Sheet(
        results.scenario,
        results.engine,
        seeds,
        figures,
        {merged: hops.of_replications(results, groups) for merged, groups in _GROUPS.items()},
        (results,),
        left_out=(_why_not(1, results),) if not results.conditions.get("valid", True) else (),
        conditions=(results.conditions,) if results.conditions else (),
        meddled=_meddled(results),
    )


_GROUPS = {True: hops.MERGED_HOPS, False: hops.SINGLE_HOPS}


def of_live_runs(runs: Sequence[Results]) -> Sheet:
    """One side from live runs: of every figure the median, and the range.

    Runs that say of themselves that they are not valid are left out, unless none is.

    Parameters
    ----------
    runs : sequence of Results
        At least one; every replication in them is a run.
    """
    valid = [run for run in runs if run.conditions.get("valid", True)]
    traces = [trace for run in valid or runs for trace in run.traces]
    values = [_values(Results([trace])) for trace in traces]
    seeds = tuple(trace.scenario.seed for trace in traces)
    figures = {}
    for name in dict.fromkeys(name for one in values for name in one):
        each = [one[name][0].value if name in one else math.nan for one in values]
        unit = next(one[name][1] for one in values if name in one)
        figures[name] = Figure(_median(each), unit, tuple(zip(seeds, each, strict=True)))
    return Sheet(
        traces[0].scenario,
        traces[0].engine,
        seeds,
        figures,
        {merged: hops.of_runs(traces, groups) for merged, groups in _GROUPS.items()},
        tuple(runs),
        tuple(_why_not(number, run) for number, run in enumerate(runs, 1) if not run.conditions.get("valid", True)),
        tuple(run.conditions for run in runs if run.conditions),
        any(_meddled(run) for run in runs),
    )


def as_one_live_run(sheet: Sheet) -> Sheet:
    """A live run from JSON for a validation: its range is itself, whatever interval it has."""
    return dataclasses.replace(
        sheet, figures={name: Figure(_median([f.estimate.value]), f.unit, f.each) for name, f in sheet.figures.items()}
    )


def _why_not(number: int, run: Results) -> str:
    reasons = "; ".join(map(str, run.conditions.get("reasons", ()))) or "no reason given"
    return f"live run {number} is not valid: {reasons}"


def _median(each: Sequence[float]) -> Estimate:
    """Median and range; NaN, where a run has no such figure, makes the whole unknown."""
    values = np.asarray(each, dtype=float)
    if np.isnan(values).any():
        return Estimate(math.nan)
    middle = [values[i] for i in sorted(range(len(values)), key=values.__getitem__)]
    low, high = middle[(len(middle) - 1) // 2], middle[len(middle) // 2]
    return Estimate(float(low if low == high else (low + high) / 2), float(middle[0]), float(middle[-1]))


def _meddled(results: Results) -> bool:
    return any(len(trace.disturbances) > len(trace.scenario.faults) for trace in results.traces)


def _values(results: Results) -> dict[str, tuple[Estimate, str]]:
    """Every figure of some runs together, with its unit."""
    rows = results.summary.to_dict("index")
    return _with_recovery(rows, results.recovery.to_dict("records"), results.scenario)


def _with_recovery(
    summary: Mapping[str, Mapping[str, Any]], recovery: Sequence[Mapping[str, Any]], scenario: Scenario
) -> dict[str, tuple[Estimate, str]]:
    """Figures of a summary, with all times of recovery in place of the slowest alone; inf where they never came."""
    figures = {
        name: (_estimate(row["value"], row["low"], row["high"]), str(row["unit"]))
        for name, row in summary.items()
        if not name.startswith("recovery ")
    }
    for number, row in enumerate(recovery[: len(scenario.faults)]):
        if row["fault"] in CUTS_NOBODY or not row["affected"]:
            continue
        for percent in PERCENTS:
            found = _estimate(row[f"p{percent}_s"], row.get(f"p{percent}_low_s"), row.get(f"p{percent}_high_s"))
            never = math.isnan(found.value) and row["recovered"] < row["affected"]
            name = f"{_RECOVERY[percent]} {number} ({row['fault']})"
            figures[name] = (Estimate(math.inf) if never else found, "s")
    return figures


def _estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    """With None for bounds, and NaN for a value, that are not known."""
    bounds = [None if bound is None or math.isnan(bound) else float(bound) for bound in (low, high)]
    return Estimate(math.nan if value is None else float(value), *bounds)


def read_sheet(path: Path) -> Sheet:
    """One side from the JSON of a run, as `simulate --json` and `Results.to_json` write it.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ScenarioError
        If it cannot be read, is no JSON, or not that of a run.
    """
    step = "give a file that `realtime-sim simulate --json FILE` or `Results.to_json` has written"
    try:
        text = path.read_bytes()
        plain = json.loads(text)
    except OSError as error:
        raise ScenarioError(Problem(str(path), "must be a file that can be read", error.strerror, step)) from None
    except (ValueError, RecursionError) as error:
        rule = "must be JSON" if text.rstrip().endswith((b"}", b"]")) else "must be JSON to its end, and is cut short"
        raise ScenarioError(Problem(str(path), rule, str(error), step)) from None
    if isinstance(plain, list):
        step = "give the runs as two files; `simulate --compare` writes a list of several into one"
        raise ScenarioError(Problem(str(path), "must hold one run", f"a list of {len(plain)}", step))
    if not isinstance(plain, dict):
        raise ScenarioError(Problem(str(path), "must be the JSON of a run", plain, step))
    try:
        return _from_plain(plain)
    except ScenarioError as error:
        raise ScenarioError(error.problems, f"{path}, scenario") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ScenarioError(Problem(str(path), "must be the JSON of a run", what, step)) from None


def _from_plain(plain: Any) -> Sheet:
    scenario, n = Scenario(**plain["scenario"]), int(plain["replications"])
    if not 1 <= n <= MOST_SEEDS:
        raise ValueError(f"replications: {n}")
    seeds = tuple(scenario.seed + i for i in range(n))
    figures = {}
    for name, (estimate, unit) in _with_recovery(plain["summary"], plain["recovery"], scenario).items():
        known = n == 1 or (unit == "per run" and estimate.low == estimate.value == estimate.high)
        figures[name] = Figure(estimate, unit, tuple((seed, estimate.value) for seed in seeds) if known else ())
    if not all(hop in plain["hops_s"] for hop in HOPS):
        raise KeyError("hops_s with every hop")
    conditions = plain.get("conditions") or {}
    valid = conditions.get("valid", True)
    return Sheet(
        scenario,
        str(plain["engine"]),
        seeds,
        figures,
        {merged: hops.mean_only(plain["hops_s"], groups) for merged, groups in _GROUPS.items()},
        left_out=() if valid else ("the live run is not valid: " + "; ".join(map(str, conditions.get("reasons", ()))),),
        conditions=(conditions,) if conditions else (),
        meddled=len(plain["recovery"]) > len(scenario.faults),
    )
