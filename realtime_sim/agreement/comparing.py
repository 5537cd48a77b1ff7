"""Comparing: two sides in, a Comparison out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from realtime_sim.agreement import hops
from realtime_sim.agreement.comparison import Comparison, changes_between
from realtime_sim.agreement.judging import (
    AGREES,
    ALLOWED,
    NO_DIFFERENCE,
    allowances,
    differences,
    key_of,
    share_draws,
    undecided,
    validation,
)
from realtime_sim.agreement.sheets import LIVE, Sheet, as_one_live_run, of_live_runs, of_results, read_sheet
from realtime_sim.agreement.words import LATENCY
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario

__all__ = ["compare", "compare_json"]

_FIRST = ("p99", "p50", "mean", "deliveries lost", "recovery")
"""What a verdict names first."""

_MOST_NAMED = 3


def compare(
    a: Results,
    b: Results | Sequence[Results],
    *,
    allowed: Mapping[str, float] | None = None,
    labels: tuple[str, str] | None = None,
) -> Comparison:
    """Hold two runs against each other, figure by figure.

    Two simulations with the same seeds share their draws, and are compared replication by replication; others by their
    intervals, taken as independent. A simulation beside live runs of the same scenario is held to what is allowed:
    see `realtime_sim.agreement`.

    Parameters
    ----------
    a : Results
        Simulated, unless `b` was measured in the same way.
    b : Results or sequence of Results
        One simulation; or live runs, one or several.
    allowed : mapping of str to float, optional
        How far a figure may be off, as a share: `p50`, `p95`, `p99`, `recovery` and others. Of a validation it
        stands in for single entries of `ALLOWED`; of two simulations, what is named here is held to it instead of to
        chance.
    labels : tuple of str, optional
        What to call the sides; `a` and `b`, or `simulated` and `live`.

    Returns
    -------
    Comparison
        With `figures`, `hops`, `agrees` and `verdict`.

    Raises
    ------
    ScenarioError
        If a side is none, live runs are of another scenario or stand on the wrong side, or an allowance is wrong.

    Examples
    --------
    >>> from realtime_sim.simulation import simulate
    >>> case = Scenario(name="x", duration=10, clients=[{"name": "c", "count": 10}], broker={"kind": "redis_pubsub"},
    ...                 traffic=[{"name": "t", "rate": 5}], servers={"profile": "zero"})
    >>> slower = case.replace(**{"servers.costs.event": "10ms"})
    >>> found = compare(simulate(case, replications=3), simulate(slower, replications=3))
    >>> found.agrees, found.changes[0].path
    (False, 'servers.costs.event')
    """
    for_b = [b] if isinstance(b, Results) else list(b) if isinstance(b, Sequence) else [b]
    for name, side in (("a", a), *(("b", one) for one in for_b)):
        if not isinstance(side, Results):
            step = "make one with simulate(...), or a live run"
            raise ScenarioError(Problem(name, "must be Results", type(side).__name__, step))
    _check_runs(for_b)
    if for_b[0].engine == LIVE and a.engine != LIVE:
        return _compared(of_results(a), of_live_runs(for_b), allowed, labels)
    side_b = of_results(b if isinstance(b, Results) else Results([trace for run in for_b for trace in run.traces]))
    conditions = tuple(run.conditions for run in for_b if run.conditions)
    side_b = dataclasses.replace(side_b, runs=tuple(for_b), conditions=conditions)
    return _compared(of_results(a), side_b, allowed, labels)


def compare_json(
    a: Path, b: Path, *, allowed: Mapping[str, float] | None = None, labels: tuple[str, str] | None = None
) -> Comparison:
    """Hold two runs against each other that were saved as JSON. Their single replications are not in it, so that
    nothing is paired, and no curves can be drawn.

    Parameters
    ----------
    a, b : Path
        Files that `realtime-sim simulate --json` or `Results.to_json` has written.
    allowed : mapping of str to float, optional
        As for `compare`.
    labels : tuple of str, optional
        What to call the sides.

    Raises
    ------
    ScenarioError
        If a file is none of a run; and what `compare` refuses, by the name of the file.
    """
    sides = read_sheet(Path(a)), read_sheet(Path(b))
    if sides[1].is_live and not sides[0].is_live:
        sides = sides[0], as_one_live_run(sides[1])
    try:
        return _compared(*sides, allowed, labels)
    except ScenarioError as error:
        files = {"a": str(a), "b": str(b)}
        told = [dataclasses.replace(one, path=files.get(one.path, one.path)) for one in error.problems]
        raise ScenarioError(told) from None


def _check_runs(runs: Sequence[Results]) -> None:
    """Several are live runs of one scenario."""
    if not runs:
        raise ScenarioError(Problem("b", "must hold at least one run", [], "give Results"))
    if len(runs) > 1 and not all(run.engine == LIVE for run in runs):
        step = "use simulate(..., replications=n) for several"
        raise ScenarioError(Problem("b", "must be one Results, or live runs", f"{len(runs)} Results", step))
    for run in runs[1:]:
        _same_question(runs[0].scenario, run.scenario)


def _compared(a: Sheet, b: Sheet, allowed: Mapping[str, float] | None, labels: tuple[str, str] | None) -> Comparison:
    if a.is_live and not b.is_live:
        raise ScenarioError(Problem("a", "must be the simulated side", "a live run", "swap the two"))
    validates = b.is_live and not a.is_live
    names = labels or (("simulated", "live") if validates else ("a", "b"))
    if not isinstance(names, Sequence) or len(names) != 2 or not all(isinstance(n, str) and n for n in names):
        raise ScenarioError(Problem("labels", "must be two names", names, "write it like ('before', 'after')"))
    names = (names[0], names[1])
    if validates:
        _same_question(a.scenario, b.scenario)
    limits = allowances(allowed, ALLOWED if validates else {}, [*a.figures, *b.figures])
    merged = a.is_live or b.is_live
    table = hops.hop_table(a.hops[merged], b.hops[merged])
    figures = (validation if validates else differences)(a, b, table, limits, names)
    if validates and _none_is_valid(b):
        figures = undecided(figures)
    if validates:
        agrees, verdict = _of_validation(figures, b, names)
    else:
        agrees, verdict = _of_differences(figures, names)
    paired = share_draws(a, b)
    kind = "validation" if validates else "paired" if paired else "unpaired"
    return Comparison(kind, names, a, b, figures, table, agrees, verdict, tuple(_notes(a, b, validates, paired)))


def _same_question(a: Scenario, b: Scenario) -> None:
    """Live runs answer the question that was simulated: what is asked is the same; costs and networks may be those
    that were measured."""
    change = next(changes_between(_asked(a), _asked(b)), None)
    if change is not None:
        rule, step = f"must be of the same scenario ({change.path} differs)", f"run the one with {change.a}"
        raise ScenarioError(Problem("b", rule, change.b, step))


def _asked(scenario: Scenario) -> dict[str, object]:
    plain = scenario.to_plain()
    fields = ("rooms", "events", "pipeline", "services", "traffic", "faults", "autoscaling")
    clients = [{key: value for key, value in cohort.items() if key != "network"} for cohort in plain["clients"]]
    return {
        "duration": scenario.duration, "warmup": scenario.warmup_s, "clients": clients,
        "servers": {"count": scenario.servers.count}, "broker": {"kind": scenario.broker.kind},
    } | {field: plain.get(field) for field in fields}  # fmt: skip


def _none_is_valid(b: Sheet) -> bool:
    """Whether all live runs say of themselves that they measured something else; of JSON there is one."""
    return len(b.left_out) >= max(len(b.runs), 1)


def _of_validation(figures: pd.DataFrame, b: Sheet, labels: tuple[str, str]) -> tuple[bool, str]:
    off = figures[figures["verdict"].str.startswith("off")]
    agreeing = figures.index[figures["verdict"] == AGREES]
    n = len(b.seeds)
    runs = f"{n} live runs" if n > 1 else "one live run"
    if _none_is_valid(b):
        return False, f"Not decided: no live run is valid. {_capital(b.left_out[0])}."
    if not len(off) and not len(agreeing):
        return False, f"Not decided: nothing of {labels[0]} and {runs} could be judged."
    if not len(off):
        within = [_short(name, figures) for name in agreeing if not name.startswith("deliveries ")]
        equal = [name.removeprefix("deliveries ") for name in agreeing if name.startswith("deliveries ")]
        parts = [f"{_listed(within)} within what is allowed"] if within else []
        parts += [f"deliveries {_listed(equal)} equal"] if equal else []
        return True, f"The simulation agrees with {runs}: {', and '.join(parts)}."
    named = [f"{_short(name, figures)} {verdict}" for name, verdict in off["verdict"].items()]
    first = f"The simulation and {runs} do not agree: {'; '.join(named[:_MOST_NAMED])}"
    first += f"; and {len(named) - _MOST_NAMED} more figures." if len(named) > _MOST_NAMED else "."
    why = next((f" At {key_of(name)}: {why}." for name, why in off["why"].items() if "most at" in why), "")
    return False, first + why


def _short(name: str, figures: pd.DataFrame) -> str:
    """What a figure is called where it alone can be meant."""
    key = key_of(name)
    return key if sum(key_of(other) == key for other in figures.index) == 1 else name


def _of_differences(figures: pd.DataFrame, labels: tuple[str, str]) -> tuple[bool, str]:
    quiet = {NO_DIFFERENCE, AGREES, "not determined"}
    loud = figures[~figures["verdict"].isin(quiet) & ~figures["verdict"].str.endswith("no interval")]
    if not len(loud):
        return True, f"No difference shown between {labels[0]} and {labels[1]}."
    order = sorted(loud.index, key=lambda name: _FIRST.index(key_of(name)) if key_of(name) in _FIRST else len(_FIRST))
    named = [_as_sentence(name, str(loud.loc[name, "verdict"])) for name in order[:_MOST_NAMED]]
    more = len(order) - len(named)
    text = "; ".join(named) + (f"; {more} more figure{'s differ' if more > 1 else ' differs'}." if more else ".")
    return False, text


def _as_sentence(name: str, verdict: str) -> str:
    """A verdict that can stand without its row."""
    if verdict.startswith("off"):
        return f"{key_of(name)} {verdict}"
    return verdict if name.startswith(LATENCY) and not verdict.startswith("never") else f"{name}: {verdict}"


def _listed(words: Sequence[str]) -> str:
    """Names, and what they have in common.

    Examples
    --------
    >>> _listed(["p50"]), _listed(["p50", "p99"]), _listed(["a", "b", "c"])
    ('p50 is', 'p50 and p99 are', 'a, b and c are')
    """
    if len(words) == 1:
        return f"{words[0]} is"
    return f"{', '.join(words[:-1])} and {words[-1]} are"


def _notes(a: Sheet, b: Sheet, validates: bool, paired: bool) -> list[str]:
    notes = [f"{_capital(text)}. It is left out." for text in b.left_out if len(b.left_out) < len(b.runs)]
    for side in () if validates else (a, b):
        notes += [f"{_capital(text)}." for text in side.left_out]
    if not validates and not paired and max(len(a.seeds), len(b.seeds)) == 1:
        notes.append("One run of each side: counts have no interval. Use replications with the same seeds.")
    elif not validates and not paired:
        notes.append("The runs are not paired: their intervals are taken as independent.")
    if validates and not a.figures["deliveries delivered"].estimate.value:
        notes.append("The simulation delivered nothing.")
    return notes


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
