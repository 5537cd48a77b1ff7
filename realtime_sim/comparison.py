"""Side by side: variants of one scenario, run with the same draws, and their figures in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.recovery import CUTS_NOBODY
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.stats import Estimate, little_told
from realtime_sim.trace import HOPS

__all__ = ["comparison", "variants"]

SHOWN = ("mean", "p50", "p99")
"""Latencies of each run that stand in a row."""


def variants(scenario: Scenario, path: str, values: Mapping[str, object]) -> dict[str, Scenario]:
    """A scenario with one field at each of several values. They keep the seed, so all draws they share are the same.

    Parameters
    ----------
    scenario : Scenario
        What they have in common.
    path : str
        Dotted path of the field, as in `Scenario.replace`.
    values : mapping of str to object
        At least two, by what to call them.

    Raises
    ------
    ScenarioError
        If there are fewer, or the field refuses one.

    Examples
    --------
    >>> from realtime_sim import presets
    >>> found = variants(presets.load("chat"), "servers.count", {"2": 2, "4": 4})
    >>> {label: variant.servers.count for label, variant in found.items()}
    {'2': 2, '4': 4}
    """
    if len(values) < 2:
        raise ScenarioError(Problem(path, "must have two values or more to compare", list(values), "add another"))
    return {label: scenario.replace(**{path: value}) for label, value in values.items()}


def comparison(runs: Mapping[str, Results], title: str = "") -> str:
    """Figures of each run in a row, then the mean of every hop with the runs side by side; milliseconds.

    Parameters
    ----------
    runs : mapping of str to Results
        At least one, by what to call it.
    title : str
        What the names are values of.

    Returns
    -------
    str
        Aligned tables; 95 % intervals stand in brackets. `lost` is the sum over replications, the recovery that of the
        slowest fault in the first. Where there are several cohorts, one with the p99 of each, which may differ more
        than those of all together; where there are services, one with the p99 from event to finished, and how many
        events came to nothing, which are nobody's lost deliveries. Their sum stands beside what is lost.
    """
    services = list(dict.fromkeys(name for run in runs.values() for name in run.services.index))
    cohorts = list(dict.fromkeys(cohort.name for run in runs.values() for cohort in run.scenario.clients))
    header = [title, "mean, ms [95 % interval]", "p50, ms", "p99, ms", "lost", "recovery, s"]
    figures = [header[:5] + ["events to nothing"] * bool(services) + header[5:]]
    for label, run in runs.items():
        latency = run.latency_s()
        row = [label, *(_cell(latency[name]) for name in SHOWN)]
        row.append(f"{run.deliveries.loc['total', 'lost']:,}")
        row += [_to_nothing(run)] * bool(services)
        figures.append([*row, _recovery(run)])
    hops = [["mean of each hop, ms", *runs]]
    for hop in (*HOPS, None):
        hops.append([hop or "total", *(_cell(run.latency_s(hop=hop)["mean"]) for run in runs.values())])
    tables = [figures, hops]
    if len(cohorts) > 1:
        rows = [[name, *(_of_cohort(run, name) for run in runs.values())] for name in cohorts]
        tables.insert(1, [["p99 of each cohort, ms", *runs], *rows])
    if services:
        header = ["event to finished, p99 in ms (came to nothing)", *runs]
        tables.append([header, *([name, *(_service(run, name) for run in runs.values())] for name in services)])
    return "\n\n".join([*map(_table, tables), *_told(runs)])


def _told(runs: Mapping[str, Results]) -> list[str]:
    """How little a run tells of the figures that are shown of it, the first that does."""
    each = ((run, run.latency_s()) for run in runs.values())
    told = (little_told([found[name] for name in SHOWN], run.n_replications) for run, found in each)
    return list(filter(None, told))[:1]


def _of_cohort(run: Results, name: str) -> str:
    """The p99 of a cohort's deliveries, where the run has it and it got any."""
    known = any(cohort.name == name for cohort in run.scenario.clients)
    figure = run.latency_s(name)["p99"] if known else Estimate(math.nan)
    return "-" if math.isnan(figure.value) else _cell(figure)


def _to_nothing(run: Results) -> str:
    """Events that came to nothing at any service."""
    if run.services.empty:
        return "-"
    return f"{(run.services['events'] - run.services['done']).sum():,.0f}"


def _service(run: Results, name: str) -> str:
    if name not in run.services.index:
        return "-"
    row = run.services.loc[name]
    p99 = f"{row['p99_s'] * 1e3:,.1f}" if row["done"] else "-"
    return f"{p99} ({row['events'] - row['done']:,.0f})"


def _cell(figure: Estimate) -> str:
    text = f"{figure.value * 1e3:,.3f}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} [{figure.low * 1e3:,.3f}, {figure.high * 1e3:,.3f}]"


def _recovery(run: Results) -> str:
    """Seconds until all whom a fault cut off were back, or, where it cuts nobody off, until deliveries were."""
    times = []
    for row in run.recovery.to_dict("records"):
        if row["affected"]:
            times.append(row["p100_s"] if row["recovered"] >= row["affected"] else math.inf)
        elif row["fault"] in CUTS_NOBODY and not math.isnan(row["deliveries_s"]):
            times.append(row["deliveries_s"])
    if not times:
        return "-"
    return "never" if max(times) == math.inf else f"{max(times):,.2f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        lines.append(f"{name:{first}}" + "".join(f"{c:>{w + 3}}" for c, w in zip(cells, others, strict=True)))
    return "\n".join(lines)
