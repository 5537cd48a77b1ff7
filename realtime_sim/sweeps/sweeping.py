"""A sweep: one scenario with many combinations of values, each run several times with the same draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from realtime_sim import __version__
from realtime_sim.engines import compile_engine
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.processes import Runs, run_all
from realtime_sim.progress import progress_bar
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import check_counts, engine_for, most_processes, simulate
from realtime_sim.sweeps.answer import Sweep
from realtime_sim.sweeps.combinations import Combination, combinations
from realtime_sim.sweeps.figures import figures_of, values_of
from realtime_sim.sweeps.journal import Journal, fingerprint

__all__ = ["sweep"]


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a sweep, as it goes to another process; `key` is what a journal calls it, `version` who asks."""

    combination: int
    replication: int
    case: Combination
    engine: str
    figures: tuple[str, ...]
    key: str
    version: str = __version__

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the frame."""
        return self.combination, self.replication


def sweep(
    scenario: Scenario,
    over: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | pd.DataFrame,
    *,
    replications: int = 1,
    n_jobs: int | None = None,
    engine: str = "auto",
    file: str | Path | None = None,
    figures: Sequence[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Sweep:
    """Run a scenario with every combination of values, all with the same draws.

    Parameters
    ----------
    scenario : Scenario
        What the runs have in common.
    over : mapping, sequence of mapping or DataFrame
        Values by dotted path, as in `Scenario.replace`, of which every combination is run; or the combinations: a list
        of dicts of a value by path, or a frame whose columns are paths.
    replications : int
        Runs of each combination, with the seeds `seed`, `seed + 1` and so on, the same for all of them.
    n_jobs : int, optional
        Processes at a time, -1 for all cores, or for all that joblib's backend offers: within
        ``joblib.parallel_config(backend="dask")`` they are workers of a Dask cluster. The figures are the same for any
        number. Left out, it is chosen as for `simulate`.
    engine : str
        As for `simulate`; `"auto"` chooses for each combination.
    file : str or Path, optional
        Where every finished run is written down at once, .csv or .parquet. Called again after an interruption with the
        same arguments, or with more values or replications, the sweep goes on from there
        (`realtime_sim.sweeps.journal`).
    figures : sequence of str, optional
        What to keep of a run: names of `realtime_sim.sweeps.FIGURES`, or latencies of one cohort as `phones.p99_s`. All
        of the former if left out.
    progress : callable, optional
        Called now and then with the share done of the runs that were left, from 0 to 1. Left out, a bar with the time
        left shows on a terminal or in a notebook from two seconds on.

    Returns
    -------
    Sweep
        Its `frame` has a row for every run.

    Raises
    ------
    ScenarioError
        Before anything runs, if an argument is wrong, a combination breaks a rule of the scenario, or the file belongs
        to another sweep; everything wrong with values at once. Later, if a process was killed.
    UnsupportedFeature
        If an engine cannot run one of the combinations.
    KeyboardInterrupt
        On Ctrl-C, saying how many runs are in the file.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="5s", clients=[{"name": "phones", "count": 20}],
    ...                 traffic=[{"name": "news", "rate": "20/s"}])
    >>> found = sweep(chat, {"servers.costs.send": ["1ms", "2ms"], "servers.workers": [1, 2]}, figures=["p50_s"])
    >>> print(found.frame.round(4).to_string(index=False))
     servers.costs.send  servers.workers  replication  p50_s
                  0.001                1            0 0.0111
                  0.001                2            0 0.0111
                  0.002                1            0 0.0212
                  0.002                2            0 0.0212
    """
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    check_counts(replications, n_jobs)
    cases = combinations(scenario, over, replications)
    scenarios = tuple(case.scenario for case in cases)
    names = figures_of(figures, scenarios)
    engines = _engines(scenarios, engine, replications)
    keys = [fingerprint(each) if file is not None else "" for each in scenarios]
    # A whole round of combinations first: what is there after an interruption can be compared.
    runs = [
        _Run(number, replication, case, engines[number], names, f"{keys[number]}-{replication}")
        for replication in range(replications)
        for number, case in enumerate(cases)
    ]
    columns = [*cases[0].values, "replication", *names]
    if file is None:
        frame = _frame(cases, columns, _found(scenario, runs, None, n_jobs, progress))
        return Sweep(scenario, scenarios, names, frame)
    with closing(Journal(Path(file), columns, [run.key for run in runs])) as journal:
        frame = _frame(cases, columns, _found(scenario, runs, journal, n_jobs, progress))
        journal.finish(frame, [run.key for run in sorted(runs, key=lambda run: run.place)])
    return Sweep(scenario, scenarios, names, frame)


def _engines(scenarios: Sequence[Scenario], engine: str, replications: int) -> list[str]:
    """The engine for each combination, or everything that is too much at once."""
    found, problems = [], {}
    for scenario in scenarios:
        try:
            if replications > 1:
                scenario.replace(seed=scenario.seed + replications - 1)  # there may be no such seed
            found.append(engine_for(scenario, engine, beside=len(scenarios) * replications)[0])
        except ScenarioError as error:
            problems |= {str(problem): problem for problem in error.problems}
    if problems:
        raise ScenarioError(problems.values())
    return found


def _found(
    scenario: Scenario,
    runs: Sequence[_Run],
    journal: Journal | None,
    n_jobs: int | None,
    progress: Callable[[float], None] | None,
) -> dict[tuple[int, int], Mapping[str, Any]]:
    """Figures of every run by its place, from the journal where it has them."""
    held = {} if journal is None else journal.finished
    found = {run.place: {name: held[run.key][name] for name in run.figures} for run in runs if run.key in held}
    left = [run for run in runs if run.key not in held]
    simulated_s = [run.case.scenario.duration for run in left]
    most = min((most_processes(run.case.scenario, run.engine) for run in left), default=1)
    work = Runs(_figures, left, simulated_s, partial(_compile, left), ordered=False)
    bar = progress_bar(f"Sweeping {scenario.name}", sum(simulated_s), silent=len(left) > 1)
    try:
        with nullcontext(progress) if progress else bar as report, closing(run_all(work, n_jobs, most, report)) as done:
            for number, figures in done:
                run = left[number]
                if journal is not None:
                    journal.append({**run.case.values, "replication": run.replication, **figures}, run.key)
                found[run.place] = figures
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_go_on(len(found), len(runs), journal)) from None
    return found


def _figures(run: _Run, progress: Callable[[float], None]) -> dict[str, float]:
    """The figures of one run, here or in another process, which may be on another machine."""
    if run.version != __version__:
        step = f"install {run.version} there as well"
        raise ScenarioError(Problem("realtime_sim", f"must be of version {run.version} everywhere", __version__, step))
    scenario = run.case.scenario
    if run.replication:
        scenario = scenario.replace(seed=scenario.seed + run.replication)
    results = simulate(
        scenario, engine=run.engine, n_jobs=1, progress=lambda share: progress(share * scenario.duration)
    )
    return values_of(results, run.figures)


def _compile(runs: Sequence[_Run]) -> None:
    for run in runs:
        compile_engine(run.engine, run.case.scenario, "summary")


def _frame(
    cases: Sequence[Combination], columns: Sequence[str], found: Mapping[tuple[int, int], Mapping[str, Any]]
) -> pd.DataFrame:
    """One row for each run, combination by combination."""
    rows = [
        {**cases[number].values, "replication": replication, **figures}
        for (number, replication), figures in sorted(found.items())
    ]
    return pd.DataFrame(rows, columns=columns)


def _how_to_go_on(n_done: int, n: int, journal: Journal | None) -> str:
    if journal is None:
        return f"interrupted; {n_done} of {n} runs were done, and are gone; name a file to keep them"
    return f"interrupted; {n_done} of {n} runs are in {journal.path}; asked again, the sweep goes on from there"
