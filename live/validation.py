"""Validation: is the model right? Calibrate, simulate, run the same for real, and hold one against the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from live.calibration import Calibration, measure, read_calibration
from live.options import Options
from live.running import run
from realtime_sim.agreement import Comparison, compare
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.progress import progress_bar
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

__all__ = ["validate"]

MOST_RUNS = 100


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
        What to run; costs and network between publisher, broker and servers are those measured here.
    broker, balancer, client_library : str
        As for `live.run`.
    runs : int
        Live runs; figures are compared with their median.
    profile : Calibration, str or Path, optional
        What was measured before, or the file it was written to; measured anew if left out.
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
    calibration = _calibration(scenario, profile, broker, client_library)
    options = Options(broker, balancer, client_library)
    model = calibration.apply(scenario, options.n_client_processes(scenario.n_clients))
    simulated = simulate(model)
    found: list[Results] = []
    whole_s = runs * (scenario.duration + scenario.drain)
    with progress_bar(f"Running {scenario.name} for real", whole_s, silent=True) as bar:
        report = progress or bar
        for number in range(runs):
            report(number / runs)
            found.append(
                run(scenario, broker, balancer=balancer, client_library=client_library, progress=lambda _: None)
            )
    return compare(simulated, found)


def _calibration(
    scenario: Scenario, profile: Calibration | str | Path | None, broker: str, client_library: str
) -> Calibration:
    if isinstance(profile, Calibration):
        return profile
    if profile is not None:
        return read_calibration(Path(profile))
    return measure(scenario, repeats=1, broker=broker, client_library=client_library)
