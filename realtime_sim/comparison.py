"""Side by side: variants of one scenario, run with the same draws, and their figures in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.stats import Estimate
from realtime_sim.trace import HOPS

__all__ = ["comparison", "variants"]


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
        Two aligned tables; 95 % intervals stand in brackets. `lost` is the sum over replications, the recovery that of
        the slowest fault in the first. Where there are services, a third one with the p99 from event to finished, and
        how many events came to nothing.
    """
    figures = [[title, "mean, ms [95 % interval]", "p50, ms", "p99, ms", "lost", "recovery, s"]]
    for label, run in runs.items():
        latency = run.latency_s()
        lost = f"{run.deliveries.loc['total', 'lost']:,}"
        figures.append([label, *(_cell(latency[name]) for name in ("mean", "p50", "p99")), lost, _recovery(run)])
    hops = [["mean of each hop, ms", *runs]]
    for hop in (*HOPS, None):
        hops.append([hop or "total", *(_cell(run.latency_s(hop=hop)["mean"]) for run in runs.values())])
    tables = [figures, hops]
    if names := list(dict.fromkeys(name for run in runs.values() for name in run.services.index)):
        header = ["event to finished, p99 in ms (came to nothing)", *runs]
        tables.append([header, *([name, *(_service(run, name) for run in runs.values())] for name in names)])
    return "\n\n".join(map(_table, tables))


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
    """Seconds until every client cut off by a fault was back."""
    times = [row for row in run.recovery.to_dict("records") if row["affected"]]
    if not times:
        return "-"
    if any(row["recovered"] < row["affected"] for row in times):
        return "never"
    return f"{max(row['p100_s'] for row in times):,.2f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        lines.append(f"{name:{first}}" + "".join(f"{c:>{w + 3}}" for c, w in zip(cells, others, strict=True)))
    return "\n".join(lines)
