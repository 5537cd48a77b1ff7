"""A plan in words: promises, figures with their units, checks with their intervals."""

from __future__ import annotations

import math

from realtime_sim.agreement.words import percent, value_text
from realtime_sim.limits.table import plural
from realtime_sim.planning import Check
from realtime_sim.planning.drills import recovery_due_s
from realtime_sim.planning.words import value_text as check_text
from realtime_sim.report.page import Cell, Mark, Noted
from realtime_sim.scenario import Slo

__all__ = ["DRILLS", "drill_cell", "figure_of", "found_cell", "promises_in_words", "verdict_mark"]

DRILLS = {"normal": "usual load", "loss": "servers die", "deploy": "rolling deploy"}
"""What the drills of a plan are called."""

_SIGNS = {"kept": "good", "broken": "bad"}
"""Of verdicts; of all others nothing is decided."""


def promises_in_words(slo: Slo | None) -> str:
    """Every promise, as the end of a sentence.

    Examples
    --------
    >>> promises_in_words(Slo(p99="200ms", survive_servers=1))
    'p99 stays within 200 ms, and all of it is kept from 30 s after the loss of 1 server on'
    """
    if slo is None:
        return "every limit is met"
    said = [f"{name} stays within {value_text(getattr(slo, name), 's')}"
            for name in ("p50", "p90", "p95", "p99", "p999") if getattr(slo, name) is not None]  # fmt: skip
    if slo.max_lost_ratio is not None:
        said.append(f"at most {percent(slo.max_lost_ratio)} of deliveries are lost")
    if slo.max_utilization is not None:
        said.append(f"loops and broker are busy at most {percent(slo.max_utilization)} of the time")
    if slo.headroom is not None:
        said.append(f"{percent(slo.headroom)} of connections and memory stay free")
    if slo.recover_within is not None:
        said.append(f"clients are back within {value_text(slo.recover_within, 's')} of a fault")
    if slo.survive_servers:
        due = f"{recovery_due_s(slo):g} s after the loss of {plural(slo.survive_servers, 'server')}"
        said.append(f"all of it is kept from {due} on")
    if slo.survive_deploy:
        said.append("all of it is kept during a rolling deploy")
    *first, last = said or ["every limit is met"]
    return ", and ".join([", ".join(first), last]) if first else last


def drill_cell(check: Check, slo: Slo | None) -> str:
    """The drill of a check, and from when on it counts: after a loss when recovery is due, recovery itself at once.

    Examples
    --------
    >>> p99, back = (Check(name, "loss", 1, 0, 0, 0, "s", True, True) for name in ("p99", "recovery"))
    >>> drill_cell(p99, Slo(survive_servers=1)), drill_cell(back, Slo(survive_servers=1))
    ('servers die, from 30 s after that on', 'servers die')
    """
    late = check.drill == "loss" and check.decided_by == "simulation" and check.constraint != "recovery"
    name = DRILLS.get(check.drill, check.drill)
    return f"{name}, from {recovery_due_s(slo):g} s after that on" if late else name


def figure_of(check: Check, which: str) -> str:
    """`"promised"`, `"found"`, `"low"` or `"high"` of a check, with its unit."""
    return check_text(getattr(check, which), check.unit)


def found_cell(check: Check | None) -> Cell:
    """What was found, with its interval, or by what it was decided."""
    if check is None:
        return "not looked at"
    text = figure_of(check, "found")
    if check.decided_by == "arithmetic":
        return Noted(text, "arithmetic")
    low, high = figure_of(check, "low"), figure_of(check, "high")
    return text if math.isnan(check.low) or low == high else Noted(text, f"{low} to {high}")


def verdict_mark(check: Check) -> Mark:
    """The verdict of a check with its sign, and what to know about it."""
    doubt = "" if check.sure or check.kept is None else "the interval reaches over what is promised"
    kind = "open" if doubt else _SIGNS.get(check.verdict, "open")
    return Mark(kind, check.verdict, "; ".join(part for part in (doubt, check.note) if part))
