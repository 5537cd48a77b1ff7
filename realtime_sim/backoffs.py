"""Backoff policies side by side: one storm, run once for each of them with the same draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.answers import figures_html
from realtime_sim.control import Control
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.policies import backoff
from realtime_sim.progress import progress_bar
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import format_parameter, written_name
from realtime_sim.simulation import simulate
from realtime_sim.storms import COUNTED, storm_figures, verdict

__all__ = ["BackoffComparison", "compare_backoff"]

FIGURES = ("p50_s", "p95_s", "p100_s", *COUNTED, "wasted_ratio", "peak_attempts_per_s", "peak_to_capacity")
"""Columns that are figures of a storm, from `realtime_sim.storms.storm_figures`."""


@dataclass(frozen=True)
class BackoffComparison:
    """What `compare_backoff` found. Printed, it is its table; `plots.compare_backoff` draws it.

    Parameters
    ----------
    results : dict of str to Results
        The runs of each policy, by its name with the parameters that were given.
    fault : int
        Number of the disturbance whose storm is compared, as in `Results.storm`.
    """

    results: dict[str, Results]
    fault: int

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row for each policy, in the order given: figures of the storm, and the verdict.

        `recovered_runs` of `runs` had everybody back. Means over replications have `_low` and `_high`, their 95 %
        interval; a time that was never reached in some of them is NaN, of a single run inf. `p99_before_s` and
        `p99_during_s` are of all replications together. Ratios are dimensionless, counts are per run.
        """
        rows = {label: self._row(run) for label, run in self.results.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("policy")

    def _row(self, run: Results) -> dict[str, object]:
        each = [storm_figures(trace, self.fault) for trace in run.traces]
        row: dict[str, object] = {
            "runs": len(each),
            "recovered_runs": sum(found["recovered"] >= found["affected"] for found in each),
            "metastable_runs": sum(verdict(found)[1] for found in each),
        }
        for name in FIGURES:
            values = [float(found[name]) for found in each]
            if len(each) == 1:
                row[name] = values[0]
                continue
            known = np.isfinite(values).all()
            mean = stats.over_replications(values) if known else stats.Estimate(math.nan)
            low, high = mean.bounds_from_0
            row |= {name: mean.value, f"{name}_low": low, f"{name}_high": high}
        whole = run.storm.loc[self.fault]
        return row | {name: whole[name] for name in ("p99_before_s", "p99_during_s", "verdict")}

    def __str__(self) -> str:
        shown = ["p50_s", "p100_s", "attempts", "peak_attempts_per_s", "wasted_ratio", "verdict"]
        return self.frame[shown].to_string(float_format=lambda x: f"{x:,.4g}")

    def _repr_html_(self) -> str:
        return figures_html(self.frame)


def compare_backoff(
    scenario: Scenario,
    policies: Sequence[Any] | Mapping[str, Any],
    *,
    fault: int = 0,
    engine: str = "auto",
    replications: int = 1,
    n_jobs: int | None = None,
    control: Sequence[Control] = (),
    progress: Callable[[float], None] | None = None,
) -> BackoffComparison:
    """Run a scenario once for each backoff policy, everything else and all other draws being the same.

    Parameters
    ----------
    scenario : Scenario
        In which connections are cut off. The policy stands in for `reconnect` of all its cohorts.
    policies : sequence, or mapping of str to policy
        At least one: names, dicts as a scenario spells them, or objects from `realtime_sim.policies.backoff`; of a
        mapping the keys are what they are called.
    fault : int
        What is looked at: the number of one of the scenario's faults, from 0, or behind them of what `control` and the
        autoscaler do, in the order of time.
    engine : str
        As for `simulate`.
    replications : int
        Runs of each policy; with two and more, figures have intervals.
    n_jobs : int, optional
        Processes for the replications of one policy, as for `simulate`.
    control : sequence of callable
        Your own processes, as for `simulate`.
    progress : callable, optional
        Called now and then with the share of all the work that is done, from 0 to 1. Left out, a bar shows as that of
        `simulate` does.

    Returns
    -------
    BackoffComparison
        Its `frame` has a row for each policy.

    Raises
    ------
    ScenarioError
        If there is no policy, or two have one name, or one is none; if nothing of that number cuts connections off in
        the runs of every policy; or if `simulate` refuses.
    UnsupportedFeature
        If the engine cannot run the scenario.

    Examples
    --------
    >>> storm = Scenario(name="storm", duration=20, clients=[{"name": "phones", "count": 100}],
    ...                  servers={"costs": {"handshake": "10ms"}},
    ...                  faults=[{"at": "2s", "kind": "drop_clients", "cohort": "phones"}])
    >>> found = compare_backoff(storm, ["full_jitter", {"policy": "fixed", "delay": "2s"}])
    >>> found.frame["recovered_runs"].to_dict()
    {'full_jitter': 1, 'fixed(delay=2s)': 1}
    """
    _check_fault(scenario, fault, bool(control))
    variants = {name: _with(scenario, name, policy) for name, policy in _named(policies).items()}
    results: dict[str, Results] = {}
    runs = len(variants) * (replications if isinstance(replications, int) else 1)  # `simulate` says if it is none
    bar = progress_bar(f"Comparing backoffs of {scenario.name}", runs * scenario.duration, silent=runs > len(variants))
    with nullcontext(progress) if progress else bar as report:
        for number, (name, variant) in enumerate(variants.items()):

            def part(share: float, number: int = number) -> None:
                report((number + share) / len(variants))

            results[name] = simulate(
                variant, engine=engine, replications=replications, n_jobs=n_jobs, control=control, progress=part
            )
            if fault not in results[name].storm.index:
                known = ", ".join(map(str, results[name].storm.index)) or "there is none"
                rule = f"must be the number of a disturbance that cuts connections off in every run of {name!r}"
                raise ScenarioError(Problem("fault", rule, fault, f"those of Results.storm: {known}"))
    return BackoffComparison(results, fault)


def _check_fault(scenario: Scenario, fault: object, more: bool) -> None:
    """Refuse before any run what cannot be there; what `more` processes than those of the faults do shows later."""
    n, more = len(scenario.faults), more or scenario.autoscaling is not None
    if not n and not more:
        step = "add one to the scenario, such as drop_clients, or pass control"
        raise ScenarioError(Problem("faults", "must have one whose storm is compared", [], step))
    if isinstance(fault, bool) or not isinstance(fault, int) or fault < 0 or (fault >= n and not more):
        step = f"they are numbered 0 to {n - 1}" if n else "use 0 for the first"
        raise ScenarioError(Problem("fault", "must be the number of a fault of the scenario", fault, step))


def _with(scenario: Scenario, name: str, policy: Any) -> Scenario:
    """The scenario with one policy for everybody; what is wrong with a policy is told once, and not of each cohort."""
    first = "clients[0].reconnect"
    try:
        scenario.replace(**{first: policy})
    except ScenarioError as error:
        path = f"policies[{name!r}]"
        found = [dataclasses.replace(problem, path=problem.path.replace(first, path)) for problem in error.problems]
        raise ScenarioError(found) from None
    return scenario.replace(**{f"clients[{i}].reconnect": policy for i in range(len(scenario.clients))})


def _named(policies: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Policies by what to call them."""
    if isinstance(policies, Mapping) and "policy" not in policies:
        given = [(str(name), policy) for name, policy in policies.items()]
    elif isinstance(policies, (str, Mapping)) or not isinstance(policies, Sequence):
        step = "give several, as ['full_jitter', {'policy': 'fixed', 'delay': '1s'}]"
        raise ScenarioError(Problem("policies", "must be a list of policies, or a dict by name", policies, step))
    else:
        given = [(_name(policy), policy) for policy in policies]
    if not given:
        raise ScenarioError(Problem("policies", "must hold at least one policy", policies, "add 'full_jitter'"))
    named = dict(given)
    if len(named) < len(given):
        twice = next(name for i, (name, _) in enumerate(given) if name in dict(given[:i]))
        raise ScenarioError(Problem("policies", "must differ", twice, "leave one out, or give a dict with names"))
    return named


def _name(policy: Any) -> str:
    """A policy's name with the parameters that are not its defaults.

    Examples
    --------
    >>> _name({"policy": "fixed", "delay": "1s"}), _name(backoff.Fixed(delay_s=0.5)), _name("socketio")
    ('fixed(delay=1s)', 'fixed(delay=500ms)', 'socketio')
    """
    parameters = {}
    if isinstance(policy, Mapping):
        name, parameters = str(policy.get("policy")), {key: policy[key] for key in policy if key != "policy"}
    else:
        name = next((name for name, cls in backoff.REGISTRY.items() if type(policy) is cls), str(policy))
    for field in dataclasses.fields(policy) if type(policy) in backoff.REGISTRY.values() else ():
        if getattr(policy, field.name) != field.default:
            parameters[written_name(field.name)] = format_parameter(field.name, getattr(policy, field.name))
    written = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name}({written})" if written else name
