"""Reconnect storms: who asks, what the servers can accept, and who is back."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator

from realtime_sim.agreement.sheets import LIVE
from realtime_sim.backoffs import BackoffComparison
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.plots._style import as_written, draw_legend, in_steps, line_style, new_figure, over_time, plain_ticks
from realtime_sim.results import Results
from realtime_sim.storms import storm_figures, verdict
from realtime_sim.units import from_ns

__all__ = ["compare_backoff", "storm", "window"]

SHORTEST_SAMPLES = 4
"""Samples that a picture of a storm spans at least."""


def storm(results: Results | Mapping[str, Results], fault: int = 0, *, zoom: bool = False) -> Figure:
    """One reconnect storm: attempts over time against what the servers can accept, and who is back.

    Rates are those of each sampling interval. Where one policy makes more than ten times as many attempts as the
    servers could accept, the upper axis is logarithmic above ten a second.

    Parameters
    ----------
    results : Results or mapping of str to Results
        One run, or several by label, of which the same disturbance is looked at; of replications the first.
    fault : int
        Its number in `Results.storm`: the faults of the scenario from 0, then what other control processes did.
    zoom : bool
        Only the time of the storm, and half as much after it, instead of the whole run.

    Returns
    -------
    Figure
        Two axes, one above the other: attempts per second, and per cent of those who were cut off, against time.

    Raises
    ------
    ScenarioError
        If there is no run to draw, or no such disturbance in one of them.
    """
    runs = results if isinstance(results, Mapping) else {results.scenario.name: results}
    _check(runs.values(), fault)
    figure = new_figure(8, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    found = {label: storm_figures(run.trace, fault) for label, run in runs.items()}
    first = next(iter(runs.values()))
    for i, (label, run) in enumerate(runs.items()):
        style = line_style(i)
        upper.plot(*in_steps(run.timeseries["attempts_per_s"]), drawstyle="steps-pre", label=as_written(label), **style)
        lower.step(*_back(run, fault), where="post", label=f"{as_written(label)}: {_outcome(found[label])}", **style)
    capacities = sorted({f["capacity_per_s"] for f in found.values() if 0 < f["capacity_per_s"] < math.inf})
    for capacity in capacities:
        text = f"capacity: {capacity:{',.0f' if capacity >= 1_000 else '.4g'}} handshakes/s"
        upper.axhline(capacity, color="#000000", linewidth=1, label=text)
        upper.update_datalim([(0, capacity)])
    for ax in (upper, lower):
        draw_legend(ax)
    over_time(first, upper, "Connection attempts", "attempts per second")
    if capacities and max(f["peak_attempts_per_s"] for f in found.values()) > 10 * capacities[-1]:
        upper.set_yscale("symlog", linthresh=10)
        upper.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=10))
        plain_ticks(upper.yaxis)
        upper.set_ylabel("attempts per second,\nlogarithmic above 10")
    over_time(first, lower, "Clients that are back", "of those who were cut off, %")
    lower.set_ylim(0, 104)
    upper.set_xlabel("")
    if any(run.engine == LIVE for run in runs.values()):
        lower.set_xlabel("time, s")
    if zoom:
        lower.set_xlim(*_around(first, fault, max(f["lasted_s"] for f in found.values())))
    return figure


def window(results: Results, fault: int) -> tuple[float, float]:
    """From when until when a picture of one storm reaches: what was before it, and half as much time after it, seconds.

    Parameters
    ----------
    results : Results
        The run.
    fault : int
        The number of a disturbance.

    Raises
    ------
    ScenarioError
        If there is no such disturbance.

    Examples
    --------
    >>> from realtime_sim import Scenario, simulate
    >>> drop = {"at": 2, "kind": "drop_clients", "cohort": "c"}
    >>> run = simulate(Scenario(name="x", duration=9, clients=[{"name": "c", "count": 9}], faults=[drop]))
    >>> [round(edge_s, 3) for edge_s in window(run, 0)]
    [1.2, 8.0]
    """
    _check([results], fault)
    return _around(results, fault, storm_figures(results.trace, fault)["lasted_s"])


def _check(runs: Collection[Results], fault: int) -> None:
    n_faults = min((len(run.trace.disturbances) for run in runs), default=0)
    if not 0 <= fault < n_faults:
        step = f"they are numbered 0 to {n_faults - 1}" if n_faults else "draw runs in which something is cut off"
        raise ScenarioError(Problem("fault", "must be the number of a disturbance of every run", fault, step))


def _around(run: Results, fault: int, lasted_s: float) -> tuple[float, float]:
    at_s, last_s = float(from_ns(run.trace.disturbances[fault][1])), run.scenario.duration
    span_s = max(SHORTEST_SAMPLES * run.scenario.sample_interval, lasted_s)
    return max(0.0, at_s - 0.2 * span_s), min(last_s, at_s + 1.5 * span_s)


def _back(run: Results, fault: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and per cent of the clients that a fault cut off, from the fault to the end of the run."""
    trace, at_s = run.trace, float(from_ns(run.trace.disturbances[fault][1]))
    times_s = from_ns(trace.recovery[fault].astype(float))
    share = np.arange(len(times_s) + 1) / max(trace.affected[fault], 1) * 100
    return np.concatenate([[at_s], times_s, [run.scenario.duration]]), np.append(share, share[-1])


def _outcome(found: Mapping[str, float]) -> str:
    if not found["affected"]:
        return "nobody was cut off"
    if found["recovered"] >= found["affected"]:
        return f"all back after {found['p100_s']:,.3g} s"
    back = f"{found['recovered']:,} of {found['affected']:,} back at the end"
    return f"{back}, metastable" if verdict(found)[1] else back


def compare_backoff(comparison: BackoffComparison) -> Figure:
    """What `realtime_sim.compare_backoff` found, as one figure: `storm` with a line for each policy.

    Parameters
    ----------
    comparison : BackoffComparison
        Of one policy or more.
    """
    return storm(comparison.results, comparison.fault)
