"""Validation: is the model right? Fit its costs, simulate, run the same for real, and hold one against the other.

The costs come from live runs of the very scenario with other draws (`live.fitting`), or from a profile that was
calibrated before. Messages, their times and recipients, backoffs and faults are those of the scenario's own seed, in
the simulation as in every live run that it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from live.calibration import Calibration, read_calibration
from live.fitting import fit, median_of
from live.options import Options
from live.running import run
from realtime_sim.agreement import Comparison, compare
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.progress import progress_bar
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

__all__ = ["fitted", "validate"]

MOST_RUNS = 100

OTHER_DRAWS = 1_000_003
"""What is added to the seed for the run that costs are fitted to: it has nothing in common with those compared."""

N_FITTED = 3
"""Live runs that costs are fitted to."""

MOST_CORRECTED = 2.0
"""Largest factor by which a simulation of what a fit was made of corrects it."""

SHORTEST_S = 1e-6
"""Least time that a correction takes a part of the way for."""


def validate(
    scenario: Scenario,
    *,
    broker: str = "auto",
    balancer: str = "none",
    runs: int = 3,
    profile: Calibration | str | Path | None = None,
    client_library: str = "picows",
    progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Hold the simulation of a scenario against live runs of it.

    Parameters
    ----------
    scenario : Scenario
        What to run.
    broker, balancer, client_library : str
        As for `live.run`.
    runs : int
        Live runs; figures are compared with their median.
    profile : Calibration, str or Path, optional
        What was calibrated before, or the file it was written to; left out, costs are fitted to three further runs.
    progress : callable, optional
        Called now and then with the share that is done; left out, a bar shows on a terminal or in a notebook.

    Returns
    -------
    Comparison
        With a verdict for each figure.

    Raises
    ------
    ScenarioError
        If an argument is wrong.
    UnsupportedFeature
        If the scenario holds what cannot be done for real here.
    LiveError
        If a live run fails.
    """
    if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MOST_RUNS:
        rule = f"must be a whole number from 1 to {MOST_RUNS}"
        raise ScenarioError(Problem("runs", rule, runs, "use 3, so that one bad run decides nothing"))
    options = {"broker": broker, "balancer": balancer, "client_library": client_library}
    n_processes = Options(**options).n_client_processes(scenario.n_clients)
    calibration = read_calibration(Path(profile)) if isinstance(profile, (str, Path)) else profile
    others = (
        [] if calibration else [scenario.replace(seed=scenario.seed + OTHER_DRAWS * (n + 1)) for n in range(N_FITTED)]
    )
    done: list[Results] = []
    turns = _in_turns(others, [scenario] * runs)
    whole_s = len(turns) * scenario.duration
    with progress_bar(f"Validating {scenario.name}", whole_s, silent=True, wall_clock=True) as bar:
        report = progress or bar
        for number, asked in enumerate(turns):
            report(number / len(turns))
            done.append(run(asked, **options, record="full", progress=lambda _: None))
    shown = [one for one in done if one.scenario in others]
    model = calibration.apply(scenario, n_processes) if calibration else fitted(scenario, shown, n_processes)
    simulated = simulate(model, record="full", progress=lambda _: None)
    return compare(simulated, [one for one in done if one.scenario == scenario])


def _in_turns(others: list[Scenario], own: list[Scenario]) -> list[Scenario]:
    """What is fitted and what is compared in turns, so that a machine that changes is the same for both."""
    turns: list[Scenario] = []
    for number in range(max(len(others), len(own))):
        turns += own[number : number + 1] + others[number : number + 1]
    return turns


def fitted(scenario: Scenario, shown: Sequence[Results], n_processes: int) -> Scenario:
    """The scenario with the costs that live runs of it show, with other draws.

    Simulated with these costs, those runs must be as long on the way to the server, and from there on, as they were on
    average: what a fit cannot see, such as how several processes wait for each other, is corrected for. With faults
    nothing is: means are then those of who was away, and not of what a message costs.

    Parameters
    ----------
    scenario : Scenario
        What is to be simulated.
    shown : sequence of Results
        The runs, with every delivery.
    n_processes : int
        Processes that played its clients.
    """
    found, target = median_of([fit(one) for one in shown]), _parts_s(shown)
    if scenario.faults:
        return found.apply(scenario, n_processes)
    simulated = _parts_s([simulate(found.apply(shown[0].scenario, n_processes), progress=lambda _: None)])
    factors = np.clip(target / np.maximum(simulated, SHORTEST_S), 1 / MOST_CORRECTED, MOST_CORRECTED)
    return found.corrected(*factors).apply(scenario, n_processes)


def _parts_s(runs: Sequence[Results]) -> np.ndarray:
    """Mean seconds to the server, and from there to the client, the median over several runs."""
    hops = np.median([one.hops["mean_s"].to_numpy() for one in runs], axis=0)
    return np.array([hops[:4].sum(), hops[4:8].sum()])
