"""Judging: of every figure of two sides how far they are apart, and what that means.

A simulation beside live runs is held to what is allowed: shares of the live figure, and counts to the last delivery
where the scenario decides them. Two simulations, or two live runs, are held to chance: a difference is shown where its
95 % interval leaves 0 out. Each interval stands for itself: of twenty figures that do not differ, one shows a
difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.agreement import hops
from realtime_sim.agreement.determined import COUNTS, determined, undetermined
from realtime_sim.agreement.sheets import Figure, Sheet
from realtime_sim.agreement.words import LATENCY, difference_text, more_or_less, percent, shown, value_text
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.stats import Estimate

__all__ = [
    "AGREES", "ALLOWED", "NOT_DECIDED", "NOT_DETERMINED", "NOT_JUDGED", "NO_DIFFERENCE", "allowances", "differences",
    "key_of", "share_draws", "undecided", "validation",
]  # fmt: skip

ALLOWED = MappingProxyType({"p50": 0.15, "p95": 0.20, "p99": 0.35, "recovery": 0.20})
"""How far a simulated figure may be off, as a share of the live one."""

AGREES, NOT_DETERMINED, NOT_JUDGED, NO_DIFFERENCE = "agrees", "not determined", "not judged", "no difference shown"

NOT_DECIDED = "not decided"
"""Of a figure that is held to live runs of which none is valid."""

_DELIVERIES = "deliveries "
_RECOVERY = "recovery from fault "

COLUMNS = (
    "unit", "a", "a_low", "a_high", "b", "b_low", "b_high", "difference", "difference_low", "difference_high",
    "deviation_ratio", "allowed_ratio", "verdict", "why",
)  # fmt: skip


def key_of(figure: str) -> str:
    """What an allowance calls a figure: the latency figure alone, `recovery` until all are back, or its whole name.

    Examples
    --------
    >>> key_of("delivery latency p99"), key_of("recovery from fault 0 (kill_server)"), key_of("delivered rate")
    ('p99', 'recovery', 'delivered rate')
    """
    if figure.startswith(LATENCY):
        return figure.removeprefix(LATENCY)
    return "recovery" if figure.startswith(_RECOVERY) else figure


def allowances(allowed: Mapping[str, float] | None, default: Mapping[str, float], known: Sequence[str]) -> dict:
    """What is allowed of each figure: the default, with a user's own in its place.

    Parameters
    ----------
    allowed : mapping of str to float, optional
        Shares by the names of `key_of`.
    default : mapping of str to float
        Likewise.
    known : sequence of str
        Names of the figures that there are.

    Raises
    ------
    ScenarioError
        If there is no such figure, or a share is below 0 or no number.
    """
    keys = {*map(key_of, known), *ALLOWED}
    for name, share in (allowed or {}).items():
        if name not in keys:
            raise ScenarioError(Problem("allowed", "must name a figure", name, nearest(str(name), keys)))
        is_number = isinstance(share, (int, float, np.number)) and not isinstance(share, bool)
        if not is_number or not 0 <= share < math.inf:
            step = "write 0.35 for 35 per cent"
            raise ScenarioError(Problem(f"allowed[{name!r}]", "must be a share of 0 or more", share, step))
    return {**default, **(allowed or {})}


def _frame(rows: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict(dict(rows), orient="index", columns=list(COLUMNS)).rename_axis("figure")
    numbers = [name for name in COLUMNS if name not in ("unit", "verdict", "why")]
    return frame.astype(dict.fromkeys(numbers, float))


def _row(a: Figure, b: Figure, difference: Estimate, of: float) -> dict[str, object]:
    """Both figures beside each other; the deviation is a share of `of`, which need not be finite."""
    row: dict[str, object] = {"unit": a.unit}
    for name, found in (("a", a.estimate), ("b", b.estimate), ("difference", difference)):
        row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return row | {"deviation_ratio": _ratio(difference.value, of), "allowed_ratio": math.nan, "why": ""}


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return math.copysign(math.inf, part) if whole == 0 else part / whole


# --- two simulations ------------------------------------------------------------------------------------------------


def share_draws(a: Sheet, b: Sheet) -> bool:
    """Whether two sides are replications with the same seeds, whose draws are the same run by run, and are at hand."""
    simulated = a.runs and b.runs and not a.is_live and not b.is_live
    return bool(simulated) and len(a.seeds) > 1 and a.seeds == b.seeds


def differences(
    a: Sheet, b: Sheet, table: pd.DataFrame, allowed: Mapping[str, float], labels: tuple[str, str]
) -> pd.DataFrame:
    """Each figure of two sides of one kind, what they differ by, and whether more than by chance.

    Parameters
    ----------
    a, b : Sheet
        Where they share their draws, they are paired run by run.
    table : DataFrame
        Their hops, from `realtime_sim.agreement.hops.hop_table`.
    allowed : mapping of str to float
        Shares of `a` that a figure may deviate by, instead, where it has one.
    labels : tuple of str
        What to call the sides.
    """
    rows, paired = {}, share_draws(a, b)
    for name in (name for name in a.figures if name in b.figures):
        one, two = a.figures[name], b.figures[name]
        difference, note = _difference(one, two, paired)
        row = _row(one, two, difference, one.estimate.value)
        key = key_of(name)
        if key in allowed:
            row |= _held(name, row, allowed[key], table, labels)
        else:
            row |= {"why": note} | _by_chance(name, one, two, difference, labels)
        rows[name] = row
    return _frame(rows)


def _difference(a: Figure, b: Figure, paired: bool) -> tuple[Estimate, str]:
    """How much more b is, run by run where they are paired and known; and what to know about it."""
    if paired and len(a.each) == len(b.each) > 0:
        pairs = np.array([(one, two) for (_, one), (_, two) in zip(a.each, b.each, strict=True)])
        known = np.isfinite(pairs).all(axis=1)
        if known.any():
            note = "" if known.all() else f"of {int(known.sum())} of {len(pairs)} pairs of runs"
            return stats.over_replications(pairs[known, 1] - pairs[known, 0]), note
    if math.isinf(a.estimate.value) and a.estimate.value == b.estimate.value:
        return Estimate(0.0), ""
    return stats.difference_of(a.estimate, b.estimate), ""


def _by_chance(name: str, a: Figure, b: Figure, difference: Estimate, labels: tuple[str, str]) -> dict[str, str]:
    """Verdict, and what to know about it."""
    nevers = [sum(math.isinf(value) for _, value in figure.each) for figure in (a, b)]
    if any(nevers) or math.isinf(a.estimate.value) or math.isinf(b.estimate.value):
        return _never(a, b, nevers, labels)
    if math.isnan(difference.value):
        return {"verdict": NOT_DETERMINED, "why": "one side has no such figure"}
    is_shown = shown(difference)
    words = more_or_less(name, a.unit, difference, labels[1])
    return {"verdict": f"{words}, no interval" if is_shown is None else (words if is_shown else NO_DIFFERENCE)}


def _never(a: Figure, b: Figure, nevers: Sequence[int], labels: tuple[str, str]) -> dict[str, str]:
    """Verdict where not everybody came back: only all against none is a difference."""
    always = [math.isinf(f.estimate.value) and n == len(f.each) for f, n in zip((a, b), nevers, strict=True)]
    why = ", ".join(
        f"not everybody back in {n} of {len(figure.each)} runs of {label}"
        for n, figure, label in zip(nevers, (a, b), labels, strict=True)
        if n
    )
    if all(always):
        return {"verdict": NO_DIFFERENCE, "why": why}
    if any(always) and not all(nevers):
        return {"verdict": f"never in {labels[always.index(True)]}", "why": why}
    return {"verdict": NOT_DETERMINED, "why": why}


# --- a simulation and live runs -------------------------------------------------------------------------------------


def validation(
    a: Sheet, b: Sheet, table: pd.DataFrame, allowed: Mapping[str, float], labels: tuple[str, str]
) -> pd.DataFrame:
    """Each figure of a simulation beside live runs, and whether it is within what is allowed.

    Parameters
    ----------
    a, b : Sheet
        The simulation, and the live runs.
    table : DataFrame
        Their merged hops, from `realtime_sim.agreement.hops.hop_table`.
    allowed : mapping of str to float
        Shares of the live figure, by `key_of`.
    labels : tuple of str
        What to call the sides.
    """
    why_so, why_not = _counts(a, b)
    rows = {}
    for name in (name for name in a.figures if name in b.figures):
        one, two = a.figures[name], b.figures[name]
        count = name.removeprefix(_DELIVERIES)
        if name.startswith(_DELIVERIES) and count in COUNTS:
            rows[name] = _counted(one, two, b.seeds, why_so.get(count), why_not.get(count, ""))
            continue
        value = two.estimate.value - one.estimate.value
        difference = Estimate(0.0 if one.estimate.value == two.estimate.value else value)
        row = _row(one, two, difference, two.estimate.value)
        key = key_of(name)
        judged = key in allowed
        rows[name] = row | (_held(name, row, allowed[key], table, labels) if judged else {"verdict": NOT_JUDGED})
    return _frame(rows)


def undecided(figures: pd.DataFrame) -> pd.DataFrame:
    """The same figures without a verdict on any of them: no live run that they are held to is valid.

    Parameters
    ----------
    figures : DataFrame
        From `validation`; what a verdict would have been is in `why`.
    """
    held = figures["verdict"].eq(AGREES) | figures["verdict"].str.startswith("off")
    would_be = "by runs that are not valid: " + figures["verdict"]
    why = would_be.where(figures["why"].eq(""), would_be + "; " + figures["why"])
    return figures.assign(why=figures["why"].mask(held, why), verdict=figures["verdict"].mask(held, NOT_DECIDED))


def _counts(a: Sheet, b: Sheet) -> tuple[dict[str, str], dict[str, str]]:
    """Which counts are determined and why, and which are not and why not."""
    if a.meddled or b.meddled:
        return {}, dict.fromkeys(COUNTS, "somebody cut clients off beside the faults of the scenario")
    why_so, why_not = determined(a.scenario), undetermined(a.scenario)
    none = [name for name in ("lost", "dropped", "duplicate") if name in why_so]
    for name in none:
        simulated, live = (side.figures[_DELIVERIES + name].estimate.value for side in (a, b))
        if simulated and live:  # the rule takes a system for granted that keeps up
            n = value_text(simulated, "per run")
            why = f"the simulation has {n} {name} as well: it does not keep up, or ends early"
            why_so = {key: text for key, text in why_so.items() if key not in (name, "delivered")}
            why_not |= {name: why, "delivered": why}
    return why_so, why_not


def _counted(a: Figure, b: Figure, seeds: Sequence[int], why_so: str | None, why_not: str) -> dict[str, object]:
    """A count of live runs beside that of the simulation with the same seed; both must be equal where determined."""
    matched = [a.of_seed(seed) for seed in seeds]
    known = None not in matched and len(b.each) == len(seeds)
    if known:
        a = Figure(Estimate(float(np.median(matched))), a.unit)
    value = b.estimate.value - a.estimate.value
    row = _row(a, b, Estimate(value), b.estimate.value)
    if why_so is None:
        return row | {"verdict": NOT_DETERMINED, "why": why_not}
    if not known:
        text = ", ".join(map(str, dict.fromkeys(seeds)))
        return row | {"verdict": NOT_DETERMINED, "why": f"no simulated run has the seed of the live run ({text})"}
    off = [found - wanted for (_, found), wanted in zip(b.each, matched, strict=True)]
    worst = max(off, key=abs)
    row["allowed_ratio"] = 0.0
    if worst == 0:
        return row | {"verdict": AGREES, "why": why_so}
    n_off = sum(one != 0 for one in off)
    where = f" in {n_off} of {len(off)} runs" if len(off) > 1 else ""
    return row | {"verdict": f"off by {abs(worst):,.0f} (must be equal)", "why": f"live has {worst:+,.0f}{where}"}


def _held(
    name: str, row: Mapping[str, object], allowed: float, table: pd.DataFrame, labels: tuple[str, str]
) -> dict[str, object]:
    """Whether a figure is within what is allowed; of a latency that is not, where it comes from."""
    deviation, a, b = float(row["deviation_ratio"]), float(row["a"]), float(row["b"])
    found: dict[str, object] = {"allowed_ratio": allowed}
    if a == b or abs(deviation) <= allowed:
        return found | {"verdict": AGREES}
    if math.isinf(a) or math.isinf(b):
        only = labels[0] if math.isinf(a) else labels[1]
        return found | {"verdict": f"off: never in {only}", "why": "not everybody was back when the run ended"}
    if math.isnan(deviation):
        return found | {"verdict": NOT_DETERMINED, "why": "one side has no such figure: nothing was delivered"}
    if math.isinf(deviation):
        return found | {"verdict": f"off: nothing in {labels[0] if a == 0 else labels[1]}"}
    found["verdict"] = f"off by {percent(abs(deviation))} (allowed {percent(allowed)})"
    where = _where(table, key_of(name), b - a, labels) if name.startswith(LATENCY) else ""
    return found | {"why": "; ".join(filter(None, (where, _spread(row, labels))))}


def _spread(row: Mapping[str, object], labels: tuple[str, str]) -> str:
    """That the runs are further apart from each other than the figure is from them, where they are."""
    a, low, high, unit = float(row["a"]), float(row["b_low"]), float(row["b_high"]), str(row["unit"])
    if not low <= a <= high:
        return ""
    return f"{labels[1]} runs themselves are from {value_text(low, unit)} to {value_text(high, unit)}"


def _where(table: pd.DataFrame, figure: str, difference_s: float, labels: tuple[str, str]) -> str:
    """The hop that a latency figure is off by."""
    whole = f"{labels[1]} {_signed(difference_s)}"
    found = hops.blame(table, figure, difference_s)
    if found is None:
        return f"{whole}; no hop is off that way by its mean"
    hop, of_what, off_s = found
    at = (value_text(float(table.loc[hop, f"{side}_{of_what}_s"]), "s") for side in "ab")
    sides = ", ".join(f"{value} {label}" for value, label in zip(at, labels, strict=True))
    return f"{whole}, most at {hop}: {_signed(off_s)} ({of_what} {sides})"


def _signed(seconds: float) -> str:
    return ("+" if seconds > 0 else "-") + difference_text(Estimate(seconds), "s")
