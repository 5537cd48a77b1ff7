"""The tables of a plan as text: every constraint, every number that was looked at, and what stands in lists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from realtime_sim.limits.table import plural
from realtime_sim.planning.drills import recovery_due_s
from realtime_sim.planning.judging import Evaluation
from realtime_sim.planning.words import value_text

if TYPE_CHECKING:
    from realtime_sim.planning.plans import Plan

__all__ = ["chosen_text", "constraint_cells", "lists_of", "looked_at_cells"]


def constraint_cells(plan: Plan) -> list[list[str]]:
    """The table of constraints, its head first.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    n = plan.servers or plan.evaluations[-1].servers
    under = [] if plan.below is None else [f"with {n - 1:,}"]
    head = ["constraint", "drill", "promised", f"with {n:,}", *under, "alone needs", "to spare", "by"]
    rows = []
    for name, row in plan.constraints.iterrows():
        unit, needs = row["unit"], "" if pd.isna(row["servers"]) else f"{row['bound']} {row['servers']:,}"
        found, below = (value_text(row[column], unit) for column in ("found", "found_below"))
        spare = "" if not math.isfinite(row["margin_ratio"]) else f"{row['margin_ratio']:.0%}"
        mark = "binding" if name == plan.binding else ""
        promised = value_text(row["promised"], unit)
        figures = [promised, found, *([below] if under else [])]
        rows.append([name, _when(plan, name, row), *figures, needs, spare, row["decided_by"], mark])
    return [[*head, ""], *rows]


def _when(plan: Plan, name: str, row: pd.Series) -> str:
    """The drill of a row, and from when on it counts."""
    counts_late = row["drill"] == "loss" and row["decided_by"] == "simulation" and name != "recovery"
    return f"loss, from {recovery_due_s(plan.scenario.slo):g} s on" if counts_late else row["drill"]


def looked_at_cells(plan: Plan) -> list[tuple[str, list[list[str]]]]:
    """Tables of numbers that were looked at, each with its title: what is decided, and apart from it first looks.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    decided = [one for one in plan.evaluations if not one.first_look]
    looks = [one for one in plan.evaluations if one.first_look]
    tables = [("numbers that were judged", [["servers", "verdict", "which", "by"], *map(_judged, decided)])]
    head = ["servers", "figures", "which", "by"]
    tables.append(("first looks of one run, which steer the search and decide nothing", [head, *map(_look, looks)]))
    return [(title, rows) for title, rows in tables if len(rows) > 1]


def _judged(one: Evaluation) -> list[str]:
    runs = plural(one.replications, "replication") + " of " + ", ".join(one.results)
    doubt = ", not for sure" if not one.sure and one.verdict in ("kept", "broken") else ""
    which = ", ".join(one.broken or one.not_shown)
    return [f"{one.servers:,}", one.verdict + doubt, which, runs if one.results else "arithmetic"]


def _look(one: Evaluation) -> list[str]:
    figures = "miss the promise" if one.broken else "meet all"
    return [f"{one.servers:,}", figures, ", ".join(one.broken), ", ".join(one.results)]


def lists_of(plan: Plan) -> list[tuple[str, list[str]]]:
    """What stands below the tables: titles with their lines.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    lists = [("alternatives", [_alternative(one) for one in plan.alternatives])]
    lists.append(("what would help", [remedy.text for remedy in plan.remedies]))
    lists.append(("taken for granted", list(plan.assumptions)))
    return [(title, texts) for title, texts in lists if texts]


def _alternative(plan: Plan) -> str:
    return f"{chosen_text(plan)}: " + ("no number suffices" if plan.servers is None else plural(plan.servers, "server"))


def chosen_text(plan: Plan) -> str:
    """The fields that were chosen with their values, parts of a scenario in words.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`, of several choices.
    """
    return ", ".join(f"{path}={_in_words(value)}" for path, value in plan.chosen.items())


def _in_words(value: object) -> str:
    """
    >>> _in_words({"kind": "kafka", "partitions": 12}), _in_words([1, 2]), _in_words("websocket")
    ('kafka with partitions 12', '1 and 2', 'websocket')
    """
    if hasattr(value, "model_dump"):  # a part of a scenario
        value = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        kind = [str(value["kind"])] if "kind" in value else []
        fields = ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items() if name != "kind")
        return " with ".join([*kind, *([fields] if fields else [])])
    return " and ".join(map(_in_words, value)) if isinstance(value, list | tuple) else str(value)
