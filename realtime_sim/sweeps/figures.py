"""Figures: what a sweep keeps of every run, by name, each with its unit in the name or without any, a count or a share.

`FIGURES` has them all. Of one cohort there are its latencies too: `phones.p99_s`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.latency import QUANTILES
from realtime_sim.recovery import slowest_s
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.trace import FAILURES, HOPS, OUTCOMES

__all__ = ["FIGURES", "figures_of", "known_figures", "values_of"]

LATENCIES = ("mean", *QUANTILES, "max")
CONNECTIONS = (
    "attempts", "accepted", "reconnects", *FAILURES, "wasted_handshakes", "idle_drops", "gave_up", "never_connected",
)  # fmt: skip


def _latency(name: str, hop: str | None = None) -> Callable[[Results], float]:
    return lambda results: results.latency_s(hop=hop)[name].value


def _delivered(name: str) -> Callable[[Results], int]:
    return lambda results: int(results.trace.deliveries[name].sum())


def _counted(name: str) -> Callable[[Results], int]:
    return lambda results: int(results.trace.counters[name])


def _lost_ratio(results: Results) -> float:
    total = results.deliveries.loc["total"]
    return float((total["lost"] + total["dropped"]) / total["expected"]) if total["expected"] else math.nan


def _deliveries_back_s(results: Results) -> float:
    times = results.recovery["deliveries_s"].dropna()
    return float(times.max()) if len(times) else math.nan


def _of_servers(name: str, how: str) -> Callable[[Results], float]:
    return lambda results: float(results.servers[name].agg(how))


def _over_time(name: str, how: str) -> Callable[[Results], float]:
    return lambda results: float(results.timeseries[name].agg(how)) if len(results.timeseries) else math.nan


FIGURES: dict[str, Callable[[Results], float]] = {
    **{f"{name}_s": _latency(name) for name in LATENCIES},
    **{f"{hop}_mean_s": _latency("mean", hop) for hop in HOPS},
    **{f"deliveries_{name}": _delivered(name) for name in ("expected", *OUTCOMES, "cancelled")},
    "lost_ratio": _lost_ratio,
    "delivered_per_s": lambda results: int(results.deliveries.loc["total", "delivered"]) / results.measured_s,
    "connections_peak": _counted("peak_connections"),
    **{f"connections_{name}": _counted(name) for name in CONNECTIONS},
    "recovery_s": lambda results: slowest_s(results.traces) if any(results.trace.affected) else math.nan,
    "deliveries_back_s": _deliveries_back_s,
    "server_utilization": _of_servers("utilization", "mean"),
    "server_utilization_highest": _of_servers("utilization", "max"),
    "link_utilization_highest": _of_servers("link_utilization", "max"),
    "server_connections_highest": _of_servers("peak_connections", "max"),
    "servers_started": lambda results: len(results.servers),
    "imbalance_mean": _over_time("imbalance", "mean"),
    "queue_length_highest": _over_time("queue_length", "max"),
    "broker_utilization": _over_time("broker_utilization", "mean"),
    "broker_utilization_highest": _over_time("broker_utilization_highest", "max"),
}
"""A function of the Results of one run for every figure, in the order of a sweep's columns.

Latencies from publish to receipt and the mean of every hop, seconds, after the warm-up; deliveries, after the warm-up,
and connections, over the whole run; `recovery_s`, until all whom a disturbance cut off were back, the slowest (inf:
never; NaN: nobody was cut off), and `deliveries_back_s`, until deliveries were as before; shares of the time that
servers, links and the broker were busy; connections of the fullest server over the mean of all. NaN where a run has no
such figure."""


def known_figures(scenarios: Iterable[Scenario]) -> list[str]:
    """Every name that a figure may have in all of these scenarios, those of single cohorts included."""
    shared = [{cohort.name for cohort in scenario.clients} for scenario in scenarios]
    cohorts = sorted(set.intersection(*shared)) if shared else []
    return [*FIGURES, *(f"{cohort}.{name}_s" for cohort in cohorts for name in LATENCIES)]


def figures_of(names: object, scenarios: Sequence[Scenario], argument: str = "figures") -> tuple[str, ...]:
    """The figures that are asked for, all of `FIGURES` if None.

    Parameters
    ----------
    names : sequence of str, optional
        As a user gave them.
    scenarios : sequence of Scenario
        All of which must have them.
    argument : str
        What messages call it.

    Raises
    ------
    ScenarioError
        If there are none, one is not known, or one stands there twice.
    """
    if names is None:
        return tuple(FIGURES)
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ScenarioError(Problem(argument, "must be a list of one figure or more", names, "use ['p99_s']"))
    known = known_figures(scenarios)
    problems = [
        Problem(argument, "must be a figure of a run", name, nearest(str(name), known))
        for name in names
        if name not in known
    ]
    if len(set(names)) < len(names):
        problems.append(Problem(argument, "must differ", list(names), "name each of them once"))
    if problems:
        raise ScenarioError(problems)
    return tuple(names)


def values_of(results: Results, names: Iterable[str]) -> dict[str, float]:
    """Figures of one run, by name.

    Parameters
    ----------
    results : Results
        Of a single replication.
    names : iterable of str
        Names of `FIGURES`, or latencies of a cohort.

    Returns
    -------
    dict of str to float
        Whole numbers of what is counted.
    """
    lean = Results([results.trace.without_parts()])  # intervals of a single run take longer than many a run
    found = {}
    for name in names:
        cohort, _, figure = name.rpartition(".")
        value = FIGURES[name](lean) if name in FIGURES else lean.latency_s(cohort)[figure.removesuffix("_s")].value
        found[name] = value if isinstance(value, int) else float(value)
    return found
