"""The Comparison: what two sides have in common, as frames, as a table, as HTML and as JSON."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from realtime_sim import __version__
from realtime_sim.agreement.judging import NOT_DETERMINED, NOT_JUDGED
from realtime_sim.agreement.sheets import Sheet
from realtime_sim.agreement.words import percent, value_text
from realtime_sim.answers import Answer, figures_html, without_nan
from realtime_sim.limits.table import aligned
from realtime_sim.results import Results

__all__ = ["KINDS", "Change", "Comparison", "changes_between", "range_text", "worth_showing"]

KINDS = ("validation", "paired", "unpaired")
"""Of comparisons: a simulation beside live runs; two sides of one kind with the same seeds; two of other ones."""

NOT_WRITTEN = "(default)"
"""A field that a scenario leaves out."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field in which the scenarios of two sides differ: its path, and what stands there, as text."""

    path: str
    a: str
    b: str


MOST_CHANGES = 12
"""Fields that differ and are told one by one where a comparison is printed."""


@dataclass(frozen=True, eq=False)
class Comparison(Answer):
    """What `realtime_sim.compare` found. Printed, it is its tables.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    labels : tuple of str
        What the sides are called.
    a, b : Sheet
        The sides.
    figures : DataFrame
        One row for each figure that both have, by its name in `Results.summary`: `unit`, `a`, `a_low`, `a_high`, `b`,
        `b_low`, `b_high`, `difference` (b less a), `difference_low`, `difference_high`, `deviation_ratio` (the
        difference as a share of the live figure, or of that of a where none is live), `allowed_ratio`, `verdict` and
        `why`. Bounds are those of 95 % intervals, but of live runs, whose value is the median, those of their range.
    hops : DataFrame
        Seconds, by hop: `mean_s`, `low_s`, `high_s`, `p50_s`, `p99_s` with `a_` and `b_` before them, `difference_s` of
        the mean and its `share` of the whole, which is the last row. Beside live runs hops are merged
        (`MERGED_HOPS`); quantiles are NaN where several hops take time and single deliveries were not kept.
    agrees : bool
        Whether every figure that is held to something agrees, or no difference is shown.
    verdict : str
        One or two sentences.
    notes : tuple of str
        What a careful reader should know before believing it.
    """

    kind: str
    labels: tuple[str, str]
    a: Sheet
    b: Sheet
    figures: pd.DataFrame
    hops: pd.DataFrame
    agrees: bool
    verdict: str
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> dict[str, Results]:
        """The Results behind it by what to call them, for plots; of several live runs each. Empty for those of JSON."""
        found = {}
        for label, side in zip(self.labels, (self.a, self.b), strict=True):
            names = [label] if len(side.runs) == 1 else [f"{label} {i}" for i in range(1, len(side.runs) + 1)]
            found |= dict(zip(names, side.runs, strict=True))
        return found

    @property
    def changes(self) -> tuple[Change, ...]:
        """Fields in which the two scenarios differ, but for what they are called."""
        return tuple(changes_between(self.a.scenario.to_plain(), self.b.scenario.to_plain()))

    def side_text(self, which: str) -> str:
        """What one side is: its engine, how many runs, and their seeds; `which` is `a` or `b`."""
        side: Sheet = getattr(self, which)
        n, seeds = len(side.seeds), ", ".join(map(str, dict.fromkeys(side.seeds[:5])))
        what = "live run" if side.is_live else f"run of engine {side.engine}"
        runs = f"1 {what}" if n == 1 else f"{n} {what.replace('run', 'runs', 1)}"
        many = len(set(side.seeds)) > 1
        return f"{runs}, seed{'s' if many else ''} {seeds}{', …' if len(side.seeds) > 5 and many else ''}"

    def to_plain(self) -> dict[str, object]:
        """As JSON holds it; NaN, and the time of what never came, are null."""
        sides = {
            name: {
                "label": label, "engine": side.engine, "seeds": list(side.seeds), "scenario": side.scenario.to_plain(),
                "conditions": [dict(one) for one in side.conditions],
            }
            for name, label, side in zip("ab", self.labels, (self.a, self.b), strict=True)
        }  # fmt: skip
        plain = {
            "version": __version__, "kind": self.kind, "agrees": self.agrees, "verdict": self.verdict,
            "notes": list(self.notes), "figures": self.figures.to_dict("index"), "hops": self.hops.to_dict("index"),
            "changes": [{"path": one.path, "a": one.a, "b": one.b} for one in self.changes], **sides,
        }  # fmt: skip
        return without_nan(plain)

    def __str__(self) -> str:
        label_a, label_b = self.labels
        head = [f"{label_a}: {self.side_text('a')}; {label_b}: {self.side_text('b')}", self.verdict]
        changed = [f"{one.path}: {one.a} -> {one.b}" for one in self.changes]
        if len(changed) > MOST_CHANGES:  # costs that were fitted, quantile by quantile: the report has them all
            parts = dict.fromkeys(".".join(one.path.split(".")[:2]) for one in self.changes)
            changed = [f"{len(changed)} fields, in {', '.join(parts)}"]
        head += [f"Differs: {'; '.join(changed)}"] if changed else []
        head += [f"Note: {note}" for note in self.notes]
        return "\n\n".join(["\n".join(head), self._figure_table(), self._hop_table()])

    def _figure_table(self) -> str:
        live = self.b.is_live and self.kind == "validation"
        header = ["Figure", self.labels[0], "95 % interval", self.labels[1] + (", median" if live else "")]
        header += ["range" if live else "95 % interval", "deviation", "allowed", "verdict"]
        rows = [header]
        for name, row in self.figures[worth_showing(self.figures)].iterrows():
            cells = ["  " + str(name)]
            for side in ("a", "b"):
                cells += [value_text(row[side], row["unit"]), range_text(row, side)]
            allowed = "" if math.isnan(row["allowed_ratio"]) else percent(row["allowed_ratio"])
            cells += [_signed(row["deviation_ratio"]), allowed, row["verdict"]]
            rows.append(cells)
        whys = [f"  {name}: {row['why']}" for name, row in self.figures.iterrows() if str(row["verdict"])[:3] == "off"]
        return "\n".join([*aligned(rows, left={0, 7}), *[why for why in whys if not why.endswith(": ")]])

    def _hop_table(self) -> str:
        rows = [["Mean of each hop", *self.labels, "difference", "p99 " + self.labels[0], "p99 " + self.labels[1]]]
        for hop, row in self.hops.iterrows():
            cells = [value_text(row[column], "s") for column in ("a_mean_s", "b_mean_s", "difference_s")]
            rows.append(["  " + str(hop), *cells, *(value_text(row[f"{side}_p99_s"], "s") for side in "ab")])
        return "\n".join(aligned(rows, left={0}))

    def __repr__(self) -> str:
        return f"<Comparison {self.kind}: {self.verdict}>"

    def _repr_html_(self) -> str:
        shown = self.figures[worth_showing(self.figures)].drop(columns=["difference_low", "difference_high"])
        parts = [f"<h4>{html.escape(' against '.join(self.labels))}</h4>", f"<p><b>{html.escape(self.verdict)}</b></p>"]
        parts += [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return "\n".join([*parts, figures_html(shown), figures_html(self.hops)])


def _signed(ratio: float) -> str:
    if math.isnan(ratio):
        return "-"
    return ("+" if ratio > 0 else "-" if ratio < 0 else "") + percent(abs(ratio))


def range_text(row: Mapping[str, object], side: str) -> str:
    """The bounds of a figure, or nothing where they are not known or all the same.

    Examples
    --------
    >>> range_text({"unit": "s", "a": 0.02, "a_low": 0.01, "a_high": 0.03}, "a")
    '10 ms to 30 ms'
    """
    low, high = float(row[f"{side}_low"]), float(row[f"{side}_high"])
    if math.isnan(low) or math.isnan(high) or low == high == row[side]:
        return ""
    return f"{value_text(low, str(row['unit']))} to {value_text(high, str(row['unit']))}"


def worth_showing(figures: pd.DataFrame) -> pd.Series:
    """Which figures a table for people has: those that are held to something, and those that are not 0 on both sides.

    Parameters
    ----------
    figures : DataFrame
        Of a Comparison.
    """
    judged = ~figures["verdict"].isin([NOT_JUDGED, NOT_DETERMINED, "no difference shown"])
    return judged | ((figures[["a", "b"]] != 0) & figures[["a", "b"]].notna()).any(axis=1)


def changes_between(a: Mapping[str, object], b: Mapping[str, object]) -> Iterator[Change]:
    """Fields in which plain data of two scenarios differ, but for name and description.

    Examples
    --------
    >>> one = {"name": "x", "clients": [{"name": "c", "count": 4}]}
    >>> list(changes_between(one, {"name": "y", "clients": [{"name": "c", "count": 5}]}))
    [Change(path='clients.c.count', a='4', b='5')]
    """
    fields_a, fields_b = (dict(_leaves(side, "")) for side in (a, b))
    for path in dict.fromkeys([*fields_a, *fields_b]):
        one, two = fields_a.get(path, NOT_WRITTEN), fields_b.get(path, NOT_WRITTEN)
        if one != two and path not in ("name", "description"):
            yield Change(path, one, two)


def _in_short(quantiles: Mapping[object, object]) -> str:
    """The ends and the middle of a distribution that is given by quantiles.

    Examples
    --------
    >>> _in_short({"0": 0.001, "0.4": 0.002, "0.5": 0.003, "1": "8ms"})
    '0.001 to 8ms, p50 0.003'
    """
    known = sorted((float(p), value) for p, value in quantiles.items())
    p, middle = min(known, key=lambda one: abs(one[0] - 0.5))
    return f"{known[0][1]} to {known[-1][1]}, p{100 * p:g} {middle}"


def _leaves(node: object, path: str) -> Iterator[tuple[str, str]]:
    """Path and text of everything in plain data; parts of lists go by name where they have one, and a distribution of
    many quantiles is told by three of them."""
    if isinstance(node, Mapping) and set(node) == {"quantiles"}:
        yield path, _in_short(node["quantiles"])
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            name = value.get("name") if isinstance(value, Mapping) else None
            yield from _leaves(value, f"{path}[{i}]" if name is None else f"{path}.{name}")
    else:
        yield path, str(node)
