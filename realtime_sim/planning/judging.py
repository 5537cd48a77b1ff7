"""One number of servers, judged: each promise beside what was found, from arithmetic and from the drills.

A check says whether a promise is kept, as `Results.objectives` of that drill does, and whether that is *sure*: whether
the whole 95 % interval lies on one side of what is promised. A figure that keeps its promise with an interval that does
not is *not shown* to keep it, which is not the same as broken. What arithmetic rules out is not simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from realtime_sim.diagnosis import n_never_connected
from realtime_sim.latency import QUANTILES
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.units import from_ns

__all__ = ["Check", "Evaluation", "judge"]

AT_LEAST = ("headroom",)
"""Promises that are kept by more than what is promised; of all others it is less."""

BY_INTERVAL = (*QUANTILES, "utilization")
"""Promises that are kept where the upper end of the interval keeps them."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise at one number of servers, in one drill.

    Parameters
    ----------
    constraint : str
        What is promised: `"p99"` and the like, `"lost ratio"`, `"recovery"`, `"utilization"`, `"headroom"`; and what
        goes without saying: `"admission"`, that nobody is shut out, `"connections"`, `"memory"`, `"cpu"`, `"egress"`,
        `"broker"`.
    drill : str
        `"normal"`, `"loss"` or `"deploy"`.
    promised, found : float
        In `unit`; what was found is a mean over replications. NaN where it is not known.
    low, high : float
        The 95 % interval of `found`; NaN where there is none, `found` itself where it is arithmetic.
    unit : str
        Of all of them.
    kept : bool or None
        Whether the promise is kept; None where nothing is decided.
    sure : bool
        Whether the whole interval says so.
    decided_by : str
        `"arithmetic"` or `"simulation"`.
    note : str
        What to know about it; may be empty.
    """

    constraint: str
    drill: str
    promised: float
    found: float
    low: float
    high: float
    unit: str
    kept: bool | None
    sure: bool
    decided_by: str = "simulation"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the figure keeps the promise, whatever its interval; None where nothing is decided."""
        if self.kept is False and self.constraint in BY_INTERVAL:
            return self.found <= self.promised
        return self.kept

    @property
    def verdict(self) -> str:
        """`"kept"`, `"broken"`, `"not shown to keep it"` where the interval alone breaks it, `"not decided"`.

        Examples
        --------
        >>> Check("p99", "normal", 150, 145, 138, 152, "ms", False, False).verdict
        'not shown to keep it'
        """
        if self.kept is None:
            return "not decided"
        return "kept" if self.kept else "not shown to keep it" if self.met else "broken"

    @property
    def margin(self) -> float:
        """What is left of the promise, as a share of it: negative where it is broken; NaN where that is not known."""
        if math.isnan(self.found) or math.isnan(self.promised):
            return math.nan
        spare = self.promised - self.found if self.constraint not in AT_LEAST else self.found - self.promised
        return spare / self.promised if self.promised else (0.0 if not spare else -math.inf)


@dataclass(frozen=True)
class Evaluation:
    """One number of servers, with everything that was found out about it.

    Parameters
    ----------
    servers : int
        How many.
    checks : tuple of Check
        Arithmetic first, then drill by drill; those after the first broken one may be missing.
    results : dict of str to Results
        Of the drills that were simulated.
    replications : int
        Runs of each of them; 0 where arithmetic alone has judged.
    first_look : bool
        Whether it only steers the search: one run, and not of every drill.
    """

    servers: int
    checks: tuple[Check, ...]
    results: dict[str, Results] = field(default_factory=dict, repr=False)
    replications: int = 0
    first_look: bool = False

    @property
    def kept(self) -> bool:
        """Whether every promise is kept."""
        return all(check.kept is not False for check in self.checks)

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the constraints whose figures break their promise, each once."""
        return tuple(dict.fromkeys(check.constraint for check in self.checks if check.met is False))

    @property
    def not_shown(self) -> tuple[str, ...]:
        """Names of the constraints whose figures keep their promise and whose intervals do not, each once."""
        return tuple(dict.fromkeys(check.constraint for check in self.checks if check.kept is False and check.met))

    @property
    def verdict(self) -> str:
        """`"kept"`, `"broken"`, `"not shown to keep all"`, or `"not decided"` where a drill could not judge one."""
        if self.broken:
            return "broken"
        if self.not_shown:
            return "not shown to keep all"
        unknown = any(check.kept is None and check.decided_by == "simulation" for check in self.checks)
        return "not decided" if unknown else "kept"

    @property
    def met(self) -> bool:
        """Whether every figure keeps its promise, whatever the intervals."""
        return all(check.met is not False for check in self.checks)

    @property
    def sure(self) -> bool:
        """Whether the verdict stands with whole intervals: one is broken so, or all are kept so."""
        if self.kept:
            judged = (check for check in self.checks if check.decided_by == "simulation" or check.kept is not None)
            return all(check.sure for check in judged)
        return any(check.sure for check in self.checks if check.kept is False)

    def check(self, constraint: str) -> Check | None:
        """The worst check of a constraint: a broken one, else the one with the least to spare; None if it has none."""
        found = [check for check in self.checks if check.constraint == constraint]
        return min(found, key=lambda one: (one.kept is not False, math.isnan(one.margin), one.margin), default=None)


def judge(
    servers: int,
    arithmetic: tuple[Check, ...],
    drills: Mapping[str, Scenario],
    run: Callable[[Scenario], Results],
    enough: Callable[[Check], bool],
    first: str = "normal",
) -> Evaluation:
    """Judge one number of servers that arithmetic does not rule out, drill by drill.

    Parameters
    ----------
    servers : int
        How many.
    arithmetic : tuple of Check
        What is known without a run.
    drills : mapping of str to Scenario
        From `drills_of`.
    run : callable
        What makes Results of a drill.
    enough : callable
        Whether a check has decided all: the drills that are left are not run.
    first : str
        The drill to begin with, the one that is likeliest to break a promise.
    """
    checks, results = list(arithmetic), {}
    for name in sorted(drills, key=lambda name: name != first):
        results[name] = run(drills[name])
        found = checks_of(name, results[name])
        checks += found
        if any(enough(check) for check in found):
            break
    n_replications = next(iter(results.values())).n_replications
    return Evaluation(servers, tuple(checks), results, n_replications)


def checks_of(drill: str, results: Results) -> list[Check]:
    """What one drill says of each promise.

    Parameters
    ----------
    drill : str
        Its name.
    results : Results
        Of all its replications.
    """
    checks = []
    for row in results.objectives().itertuples():
        at_least = row.Index in AT_LEAST
        kept_for_sure = row.low >= row.promised if at_least else row.high <= row.promised
        broken_for_sure = row.high < row.promised if at_least else row.low > row.promised
        if row.Index == "lost ratio" and not row.promised and row.found > 0:
            broken_for_sure = True  # where nothing may be lost, one loss is enough
        sure = row.kept is not None and bool(kept_for_sure if row.kept else broken_for_sure)
        checks.append(
            Check(row.Index, drill, row.promised, row.found, row.low, row.high, row.unit, row.kept, sure, note=row.note)
        )
    shut_out = n_never_connected(results)
    if shut_out and results.scenario.slo.max_lost_ratio is None:  # which counts them too
        note = "clients that tried, and were never connected"
        checks.append(Check("admission", drill, 0.0, *[shut_out] * 3, "clients", False, True, note=note))
    return [*checks, _deployed(results)] if drill == "deploy" else checks


def _deployed(results: Results) -> Check:
    """Whether the deploy was done when the drill ended, in every replication, and how long it took."""
    until_s, at_s = results.scenario.duration, results.scenario.faults[0].at
    done_s = [
        next((float(from_ns(one.time_ns)) - at_s for one in trace.decisions if one.action == "deployed"), math.inf)
        for trace in results.traces
    ]
    note = f"the drill gave it {until_s - at_s:g} s"
    found_s, kept = max(done_s), math.isfinite(max(done_s))
    return Check("deploy", "deploy", math.nan, found_s, found_s, found_s, "s", kept, True, note=note)
