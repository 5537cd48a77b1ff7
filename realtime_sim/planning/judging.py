"""One number of servers, judged: each promise beside what was found, from arithmetic and from the drills.

A check says whether a promise is kept, as `Results.objectives` of that drill does, and whether that is *sure*: whether
the whole 95 % interval lies on one side of what is promised. What arithmetic rules out is not simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime_sim.results import Results

__all__ = ["Check", "Evaluation"]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise at one number of servers, in one drill.

    Parameters
    ----------
    constraint : str
        What is promised: `"p99"` and the like, `"lost ratio"`, `"recovery"`, `"utilization"`, `"headroom"`; and what
        goes without saying: `"connections"`, `"memory"`, `"cpu"`, `"egress"`, `"broker"`.
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
    """

    servers: int
    checks: tuple[Check, ...]
    results: dict[str, Results] = field(default_factory=dict, repr=False)
    replications: int = 0

    @property
    def kept(self) -> bool:
        """Whether every promise is kept."""
        return all(check.kept is not False for check in self.checks)

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the constraints that are not kept, each once."""
        return tuple(dict.fromkeys(check.constraint for check in self.checks if check.kept is False))

    @property
    def sure(self) -> bool:
        """Whether the verdict stands with whole intervals: one is broken so, or all are kept so."""
        if self.kept:
            return all(check.sure for check in self.checks if check.kept is not None)
        return any(check.sure for check in self.checks if check.kept is False)

    def check(self, constraint: str) -> Check | None:
        """The check of a constraint that is the worst for it: a broken one, else the one with the least to spare."""
        found = [check for check in self.checks if check.constraint == constraint]
        return min(found, key=lambda one: (one.kept is not False, one.decided_by == "arithmetic"), default=None)
