"""Run a scenario: draw its workload, hand it to an engine, and read the trace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from realtime_sim.engines import find_engine
from realtime_sim.errors import Problem, ScenarioError, UnsupportedFeature, nearest
from realtime_sim.progress import progress_bar
from realtime_sim.recorder import LEVELS, MAX_FULL_ROWS
from realtime_sim.results import Results
from realtime_sim.scenario import EVERYONE, Scenario
from realtime_sim.workload import draw_workload

__all__ = ["expected_deliveries", "simulate"]

MAX_REPLICATIONS = 10_000

LARGEST = {"reference": (200_000, 50_000_000)}
"""Clients and deliveries of one run that an engine is made for: the reference engine takes half an hour for as many."""


def simulate(
    scenario: Scenario,
    *,
    engine: str = "auto",
    replications: int = 1,
    record: str = "summary",
    progress: Callable[[float], None] | None = None,
) -> Results:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : Scenario
        What to run.
    engine : str
        `"auto"`, or the name of an engine.
    replications : int
        Independent runs, with the seeds `seed`, `seed + 1` and so on; with two and more, intervals are over them.
    record : str
        `"summary"` keeps histograms and time series, `"full"` also every delivery.
    progress : callable, optional
        Called now and then with the share of all the work that is done, from 0 to 1. Left out, a bar shows on a
        terminal or in a notebook from two seconds on.

    Returns
    -------
    Results
        Figures with intervals, frames and warnings.

    Raises
    ------
    ScenarioError
        If an argument is wrong, or the run is too large for `record="full"`.
    UnsupportedFeature
        If the engine cannot run the scenario; it names the field.

    Examples
    --------
    >>> scenario = Scenario(name="x", duration=10, clients=[{"name": "c", "count": 10}],
    ...                     servers={"profile": "zero"}, traffic=[{"name": "t", "rate": 5}])
    >>> results = simulate(scenario)
    >>> bool(results.deliveries.loc["total", "lost"] == 0)
    True
    """
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    if isinstance(replications, bool) or not isinstance(replications, int) or not 1 <= replications <= MAX_REPLICATIONS:
        rule = f"must be a whole number from 1 to {MAX_REPLICATIONS:_}"
        raise ScenarioError(Problem("replications", rule, replications, "use 1, or 5 and more for intervals"))
    if record not in LEVELS:
        raise ScenarioError(Problem("record", "must be a level of recording", record, nearest(str(record), LEVELS)))
    if record == "full" and (n := expected_deliveries(scenario)) > MAX_FULL_ROWS:
        rule = f"must be 'summary' above {MAX_FULL_ROWS:_} deliveries (this run: about {n:_.0f})"
        raise ScenarioError(Problem("record", rule, record, "use record='summary', or a shorter run"))
    chosen, reason, run = find_engine(engine)
    _check_size(scenario, chosen)
    traces = []
    bar = progress_bar(f"Simulating {scenario.name}", replications * scenario.duration)
    with nullcontext(progress) if progress else bar as report:
        for number in range(replications):
            workload = draw_workload(scenario.replace(seed=scenario.seed + number))
            traces.append(run(workload, record, _part(report, number, replications, scenario.duration)))
    return Results(traces, reason)


def _check_size(scenario: Scenario, engine: str) -> None:
    """Refuse at once what would take hours, or more memory than there is."""
    clients, deliveries = LARGEST[engine]
    step = "scale the scenario down as examples/million_scaled.yaml does, or ask `limits`"
    if scenario.n_clients > clients:
        raise UnsupportedFeature(f"clients (more than {clients:_} of them: {scenario.n_clients:_})", engine, step)
    expected = expected_deliveries(scenario)
    if expected > deliveries:
        raise UnsupportedFeature(f"traffic (more than {deliveries:_} deliveries: {expected:_.0f})", engine, step)


def expected_deliveries(scenario: Scenario) -> float:
    """Deliveries a run of the scenario is about to make: publishes times mean members, everyone connected.

    Examples
    --------
    >>> expected_deliveries(Scenario(name="x", duration=10, clients=[{"name": "c", "count": 100}],
    ...                              traffic=[{"name": "t", "rate": 5}]))
    5000.0
    """
    sizes = {EVERYONE: float(scenario.n_clients)}
    for group in scenario.rooms:
        sizes[group.name] = 1.0 if group.per_user else float(group.members)
    total = 0.0
    for stream in scenario.traffic:
        stop = min(stream.stop or scenario.duration, scenario.duration)
        total += stream.rate * (stop - stream.start) * sizes[stream.to]
    return total


def _part(progress: Callable[[float], None], number: int, of: int, duration_s: float) -> Callable[[float], None]:
    """Progress of one replication as a share of all."""
    return lambda time_s: progress((number + min(time_s / duration_s, 1.0)) / of)
