"""The Plan: how many servers, what decides, how sure that is; as text, HTML, a frame and plain data."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from realtime_sim import __version__
from realtime_sim.answers import Answer, table_html, without_nan
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits import Limits
from realtime_sim.limits.table import aligned, plural
from realtime_sim.planning.drills import Lengths, drills_of, recovery_due_s
from realtime_sim.planning.judging import Check, Evaluation
from realtime_sim.planning.outages import Outage
from realtime_sim.planning.remedies import Remedy
from realtime_sim.planning.tables import constraint_cells, lists_of, looked_at_cells
from realtime_sim.planning.words import Blocked, interval_text, value_text
from realtime_sim.scenario import Scenario

if TYPE_CHECKING:
    from realtime_sim.deployment import Manifests

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan(Answer):
    """How many servers keep every promise, and how that is known. Printed, it is a table.

    Parameters
    ----------
    scenario : Scenario
        What was asked, with the promises it was planned for.
    servers : int or None
        The answer; None where no number suffices.
    confident : bool
        Whether at the answer every promise holds with its whole 95 % interval, and with one server less one is broken
        with its whole interval, or by arithmetic.
    evaluations : tuple of Evaluation
        Every number that was looked at, ascending.
    limits : Limits
        The static arithmetic, at the answer; where there is none, at the most servers that were looked at.
    remedies : tuple of Remedy
        What would help where no number suffices, or where the broker is nearly full.
    assumptions : tuple of str
        What the answer takes for granted.
    blocked : Blocked or None
        Where no number suffices: what cannot be met, and why in words.
    own : mapping of str to int or None
        Servers that each limit asks for on its own by arithmetic, and each promised latency by theory, those to spare
        included; None: no number is enough.
    replications : int
        Runs that were asked for; 0 where nothing was simulated. Where they did not decide, there were more.
    lengths : Lengths or None
        How long drills take.
    outage : Outage or None
        What clients see at the answer from the loss of servers until recovery is due, which no promise is held to; None
        where no server dies in a drill.
    chosen : mapping of str to object
        Of `over`: the fields that were chosen, by their paths.
    alternatives : tuple of Plan
        Of `over`: the plans of all combinations, in their order; this one is among them.
    """

    scenario: Scenario
    servers: int | None
    confident: bool
    evaluations: tuple[Evaluation, ...]
    limits: Limits
    remedies: tuple[Remedy, ...] = ()
    assumptions: tuple[str, ...] = ()
    blocked: Blocked | None = None
    own: Mapping[str, int | None] = field(default_factory=dict)
    replications: int = 0
    lengths: Lengths | None = None
    outage: Outage | None = None
    chosen: Mapping[str, object] = field(default_factory=dict)
    alternatives: tuple[Plan, ...] = ()

    def at(self, servers: int) -> Evaluation:
        """What was found with so many servers.

        Raises
        ------
        KeyError
            If that number was not looked at.
        """
        return {one.servers: one for one in self.evaluations}[servers]

    @property
    def answer(self) -> Evaluation | None:
        """What was found with the answer; None where there is none."""
        return None if self.servers is None else self.at(self.servers)

    @property
    def below(self) -> Evaluation | None:
        """What was found with one server less; None where that is none, or where there is no answer."""
        return None if self.servers is None or self.servers == 1 else self.at(self.servers - 1)

    @property
    def answer_scenario(self) -> Scenario:
        """The scenario with the answer for `servers.count`.

        Raises
        ------
        ScenarioError
            If there is no answer.
        """
        if self.servers is None:
            raise ScenarioError(Problem("plan", "must have an answer", self.headline, "try one of its remedies"))
        return self.scenario.replace(**{"servers.count": self.servers})

    def to_kubernetes(self, **options: Any) -> Manifests:
        """Kubernetes manifests and alerts for the answer.

        Parameters
        ----------
        options
            As for `realtime_sim.deployment.manifests`: image, namespace, name, port.

        Raises
        ------
        ScenarioError
            If there is no answer, or Kubernetes would not take one of the options.
        """
        from realtime_sim.deployment import manifests  # here and not above: most plans need none of it

        return manifests(self.answer_scenario, planned=True, **options)

    def drills(self, servers: int) -> dict[str, Scenario]:
        """The scenarios that judge so many servers, by name, each one to `simulate`; as they were run, where they were.

        Parameters
        ----------
        servers : int
            How many.
        """
        run = {one.servers: one.results for one in self.evaluations}.get(servers, {})
        drills = drills_of(self.scenario, servers, self.lengths)
        return {name: run[name].scenario if name in run else drill for name, drill in drills.items()}

    @property
    def binding(self) -> str | None:
        """Name of the constraint that decides: what breaks with one server less, or what no number meets.

        None where one server is enough.
        """
        if self.blocked is not None:
            return self.blocked.constraint
        if self.below is None or self.below.kept:
            return None
        broken = [check for check in self.below.checks if check.kept is False]
        sure = [check for check in broken if check.sure] or broken  # what is not sure decides nothing
        most = max(sure, key=lambda one: self.own.get(one.constraint) or 0)
        return most.constraint

    @property
    def next_binding(self) -> str | None:
        """Which constraint would decide without that one, with the servers it needs on its own; None if none is known.

        A latency of which simulation knows an upper bound alone needs about what theory says; other promises of which
        no more is known are left out.
        """
        if self.servers in (None, 1):
            return None
        known: dict[str, tuple[int, str]] = {}
        for name, row in self.constraints.iterrows():
            if name == self.binding or pd.isna(row["servers"]):
                continue
            if row["bound"] == "=":
                known[name] = (int(row["servers"]), "")
            elif self.own.get(name):
                known[name] = (min(self.own[name], int(row["servers"])), "about ")
        if not known:
            return None
        name = max(known, key=lambda name: known[name][0])
        return f"{name}: {known[name][1]}{plural(known[name][0], 'server')}"

    @cached_property
    def constraints(self) -> pd.DataFrame:
        """One row for each constraint, indexed by its name.

        `promised` and `unit`; `found`, `low` and `high` at the answer, and `found_below`, `low_below`, `high_below`
        with one server less (NaN where that was not judged); `servers`, the least number for this constraint alone,
        and `bound`, `=` or `<=`; `margin_ratio`, what is left of the promise at the answer as a share of it;
        `decided_by` and `drill`. Without an answer, of the largest number that was looked at.
        """
        top = self.answer or self.evaluations[-1]
        below = self.below
        names = dict.fromkeys(check.constraint for one in (top, below) if one for check in one.checks)
        rows = []
        for name in names:
            here, under = top.check(name), below.check(name) if below else None
            check = here or under
            servers, bound = self._alone(check)
            rows.append(
                {
                    "constraint": name, "promised": check.promised, "unit": check.unit,
                    **_figures(here, ""), **_figures(under, "_below"), "servers": servers, "bound": bound,
                    "margin_ratio": here.margin if here else math.nan,
                    "decided_by": check.decided_by, "drill": check.drill,
                }
            )  # fmt: skip
        return pd.DataFrame(rows).set_index("constraint").astype({"servers": "Int64"})

    def _alone(self, check: Check) -> tuple[int | None, str]:
        """The least number for one constraint, as far as it is known."""
        if check.decided_by == "arithmetic":
            own = self.own.get(check.constraint)
            return own, "" if own is None else "="
        judged = [(one.servers, one.check(check.constraint)) for one in self.evaluations]
        if self.servers is not None:  # it keeps all: first looks beyond it say nothing against that
            judged = [(n, found) for n, found in judged if n <= self.servers]
        judged = [(n, found.kept is not False) for n, found in judged if found is not None]
        broken = max((n for n, kept in judged if not kept), default=self.scenario.slo.survive_servers or 0)
        kept = min((n for n, kept in judged if kept and n > broken), default=None)
        return kept, "" if kept is None else "=" if kept == broken + 1 else "<="

    @property
    def headline(self) -> str:
        """The answer in one line."""
        name = self.scenario.name
        if self.servers is None:
            return f"{name}: no number of servers keeps every promise. {self.blocked.text}"
        decides = f" What decides is {self.binding}." if self.binding else ""
        if self.replications and not self.confident:
            return f"{name}: {plural(self.servers, 'server')}, not decided: {self._hanging()}.{decides}"
        keep = "keeps" if self.servers == 1 else "keep"
        held = f", also from {self._due} of {plural(lost, 'server')} on" if (lost := self._lost) else ""
        return f"{name}: {plural(self.servers, 'server')} {keep} every promise{held}.{decides}"

    @property
    def _lost(self) -> int:
        """Servers that die in a drill; 0 where none does, or nothing was simulated."""
        return (self.scenario.slo.survive_servers or 0) if self.replications else 0

    @property
    def _due(self) -> str:
        return f"{recovery_due_s(self.scenario.slo):g} s after the loss"

    @property
    def verdict(self) -> str:
        """How sure the answer is, in one line."""
        if self.servers is None:
            looked = "simulation" if any(one.replications for one in self.evaluations) else "arithmetic"
            helps = f" These would help: {'; '.join(remedy.what for remedy in self.remedies)}." if self.remedies else ""
            return f"That is what {looked} says.{helps}"
        if not self.replications:
            return "By arithmetic alone: queueing, storms and what they do to latency are left out."
        if self.confident:
            runs = f"over {plural(self.answer.replications, 'replication')}"
            runs += f"; after the loss from {recovery_due_s(self.scenario.slo):g} s on" if self._lost else ""
            return (
                f"With {self.servers:,} every promise holds with its whole 95 % interval, {runs}. {self._below_text()}"
            )
        hanging = "; ".join(f"{check.constraint} with {n:,} is {interval_text(check)}" for n, check in self._open())
        return f"Not decided at 95 %: {hanging}. {self._what_decides()}"

    def _below_text(self) -> str:
        if self.below is None:
            return "There is no smaller number."
        broken = (check for check in self.below.checks if check.kept is False and check.sure)
        check = next(check for check in broken if check.constraint == self.binding)
        promised = value_text(check.promised, check.unit)
        if math.isnan(check.found) or check.constraint == "survivors":
            return f"With {self.below.servers:,} it cannot be: {check.note}."
        how = "by arithmetic" if check.decided_by == "arithmetic" else "with its whole interval"
        found = f"{value_text(check.found, check.unit)}, {promised} allowed"
        return f"With {self.below.servers:,} {check.constraint} is broken {how}: {found}."

    def _what_decides(self) -> str:
        unknown = [check for check in self.answer.checks if check.kept is None and check.decided_by == "simulation"]
        if unknown:
            return "As it stands the scenario cannot tell."
        return (
            "More replications decide it." if self.replications > 1 else "Replications give intervals: take 3, or more."
        )

    def _hanging(self) -> str:
        """What is not sure, as the end of a sentence."""
        *first, last = dict.fromkeys(f"{check.constraint} with {n:,}" for n, check in self._open())
        return " and ".join([", ".join(first), last] if first else [last]) + f" {'are' if first else 'is'} not sure"

    def _open(self) -> list[tuple[int, Check]]:
        """What is not sure, each with its number of servers."""
        checks = [
            (self.servers, check)
            for check in self.answer.checks
            if not check.sure and (check.kept or check.decided_by == "simulation")
        ]
        if self.below is not None and not self.below.sure:
            checks += [(self.below.servers, check) for check in self.below.checks if check.kept is False]
        return checks

    def __str__(self) -> str:
        cells = constraint_cells(self)
        lines = [self.headline, self.verdict, "", *aligned(cells, left={0, 1, len(cells[0]) - 2, len(cells[0]) - 1})]
        if self.next_binding:
            lines.append(f"next: {self.next_binding}")
        if self.outage:
            lines.append(self.outage.text)
        for title, rows in looked_at_cells(self):
            lines += ["", title, *(f"  {line}" for line in aligned(rows, left={1, 2, 3}))]
        for title, texts in lists_of(self):
            lines += ["", title, *(f"  {text}" for text in texts)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<h4>{html.escape(self.headline)}</h4>", f"<p>{html.escape(self.verdict)}</p>"]
        parts += [f"<p>{html.escape(self.outage.text)}</p>"] if self.outage else []
        parts.append(table_html(constraint_cells(self)))
        for title, rows in looked_at_cells(self):
            parts += [f"<p>{title}</p>", table_html(rows)]
        for title, texts in lists_of(self):
            items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
            parts.append(f"<p>{title}</p><ul>{items}</ul>")
        return "\n".join(parts)

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them; NaN is null."""
        plain = {
            "version": __version__,
            "scenario": self.scenario.to_plain(),
            "servers": self.servers,
            "confident": self.confident,
            "headline": self.headline,
            "verdict": self.verdict,
            "binding": self.binding,
            "next_binding": self.next_binding,
            "blocked": None if self.blocked is None else self.blocked._asdict(),
            "replications": self.replications,
            "constraints": self.constraints.reset_index().astype({"servers": object}).to_dict("records"),
            "evaluations": [
                {
                    "servers": one.servers, "verdict": one.verdict, "kept": one.kept, "sure": one.sure,
                    "broken": list(one.broken), "not_shown": list(one.not_shown), "first_look": one.first_look,
                    "replications": one.replications, "checks": [asdict(check) for check in one.checks],
                    "drills": {name: results.scenario.to_plain() for name, results in one.results.items()},
                }
                for one in self.evaluations
            ],
            "outage": None if self.outage is None else self.outage.to_plain(),
            "limits": self.limits.to_plain(),
            "remedies": [
                {"changes": dict(one.changes), "servers": one.servers, "what": one.what, "text": one.text}
                for one in self.remedies
            ],
            "assumptions": list(self.assumptions),
            "chosen": {path: _plain(value) for path, value in self.chosen.items()},
            "alternatives": [
                {"chosen": {path: _plain(value) for path, value in one.chosen.items()}, "servers": one.servers}
                for one in self.alternatives
            ],
        }  # fmt: skip
        return without_nan(plain)


def _figures(check: Check | None, end: str) -> dict[str, float]:
    values = (math.nan,) * 3 if check is None else (check.found, check.low, check.high)
    return {f"{name}{end}": value for name, value in zip(("found", "low", "high"), values, strict=True)}


def _plain(value: object) -> object:
    """A chosen value as JSON holds it: parts of a scenario as their fields."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
