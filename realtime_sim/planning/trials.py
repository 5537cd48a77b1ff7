"""Trials: what is asked of the simulation about one scenario, and what it has answered so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from realtime_sim.engines import find_engine
from realtime_sim.engines.fast import is_steady
from realtime_sim.errors import ScenarioError
from realtime_sim.planning.arithmetic import BY, Arithmetic
from realtime_sim.planning.drills import Lengths, drills_of, lengths_of
from realtime_sim.planning.judging import BY_INTERVAL, Check, Evaluation, judge
from realtime_sim.planning.outages import Outage, outage_drill, outage_of
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import expected_deliveries, simulate

__all__ = ["Trials"]

BY_LENGTH = (*BY_INTERVAL, "lost ratio")
"""Promises about shares of time or of deliveries, of which a longer run tells more."""

MOST_TIMES = 4
"""How many times the replications asked for are run where fewer do not decide."""


class Trials:
    """The runs of one plan; no number of servers is decided twice.

    Parameters
    ----------
    scenario : Scenario
        With its promises.
    replications : int
        Runs that decide; up to `MOST_TIMES` as many where they do not.
    at_most : int
        The most servers that may be taken.
    engine, n_jobs
        As for `simulate`; `"auto"` reckons with all runs of a search together.
    report : callable
        Told the share of the work that is done, as far as it can be told: a search may take longer than most do.
    """

    def __init__(
        self,
        scenario: Scenario,
        replications: int,
        at_most: int,
        engine: str,
        n_jobs: int | None,
        report: Callable[[float], None],
    ) -> None:
        self.scenario, self.arithmetic = scenario, Arithmetic(scenario)
        self.replications, self.at_most = replications, at_most
        self.lengths: Lengths | None = None
        self._engine, self._n_jobs = engine, n_jobs
        self._seen: dict[int, Evaluation] = {}
        self._decided: dict[int, Evaluation] = {}
        self._first = "loss" if scenario.slo.survive_servers else "normal"  # fewer servers break more promises
        self._report, self._done_s, self._total_s, self._runs = report, 0.0, 0.0, 1

    @property
    def evaluations(self) -> dict[int, Evaluation]:
        """The last word on every number that was looked at."""
        return self._seen | self._decided

    def set_out(self, guess: int) -> None:
        """Choose how long drills take, for loops as busy as with `guess` servers; most searches run each so often."""
        self.lengths = lengths_of(self.arithmetic, guess)
        try:
            drills = drills_of(self.scenario, guess, self.lengths)
        except ScenarioError:  # of a number that cannot be: the trial itself says why
            return
        self._runs = 2 * (1 + self.replications)
        self._total_s = self._runs * sum(drill.duration for drill in drills.values())
        self._total_s += drills["loss"].warmup_s if "loss" in drills else 0.0  # the outage

    def look(self, n: int) -> Evaluation:
        """A short look at a number: one replication, until a promise is broken.

        Where servers die in a drill, the normal one is left out: with fewer servers the same promises are harder.
        """
        found = self._judged(n, 1, lambda check: check.met is False, short=True)
        self._first = next((check.drill for check in found.checks if check.met is False), self._first)
        self._seen[n] = replace(found, first_look=bool(found.results))  # what arithmetic rules out is decided
        return found

    def decide(self, n: int) -> Evaluation:
        """A number with all replications, until a promise is broken for sure.

        While a longer run may tell what hangs in the balance, it is four times as long; then it is run more often.
        """
        replications = self.replications
        while n not in self._decided:
            found = self._judged(n, replications, lambda check: check.kept is False and check.sure)
            hanging = [] if found.sure else [check for check in found.checks if _hangs(check)]
            longer = self.lengths.longer
            if longer is not None and any(check.constraint in BY_LENGTH for check in hanging):
                self.lengths = longer
            elif hanging and 1 < replications < MOST_TIMES * self.replications:
                replications *= 2
            else:
                self._decided[n] = found
        return self._decided[n]

    def outage(self, n: int) -> Outage | None:
        """What clients see from the loss until recovery is due, in one run; None where no server dies in a drill."""
        loss = drills_of(self.scenario, n, self.lengths).get("loss")
        drill = None if loss is None else outage_drill(loss)
        return None if drill is None else outage_of(self._run(drill, 1))

    def _judged(self, n: int, replications: int, enough: Callable[[Check], bool], short: bool = False) -> Evaluation:
        known = self.arithmetic.checks(n)
        if any(check.kept is False for check in known):
            return Evaluation(n, known)
        try:
            drills = drills_of(self.scenario, n, self.lengths)
        except ScenarioError as error:
            return _impossible(n, error)
        if short and "loss" in drills:
            del drills["normal"]
        return judge(n, known, drills, lambda drill: self._run(drill, replications), enough, self._first)

    def _run(self, drill: Scenario, replications: int) -> Results:
        before_s, work_s = self._done_s, drill.duration * replications
        polls = self.arithmetic.load.requests * drill.duration
        n, shared = self._runs * (expected_deliveries(drill) + polls), drill.host is not None
        engine, _, _ = find_engine(self._engine, n, drill.n_clients, is_steady(drill, "summary"), shared)

        def part(share: float) -> None:
            self._done_s = before_s + share * work_s
            self._report(min(0.99, self._done_s / max(self._total_s, self._done_s)))

        results = simulate(drill, engine=engine, replications=replications, n_jobs=self._n_jobs, progress=part)
        part(1.0)
        return results


def _hangs(check: Check) -> bool:
    """Whether more runs may tell whether a promise is kept: there is an interval, and it holds the promise."""
    return check.kept is not None and not check.sure and not math.isnan(check.low)


def _impossible(n: int, error: ScenarioError) -> Evaluation:
    """A number with which the scenario cannot be: its faults name servers that are not there."""
    text = "; ".join(map(str, error.problems))
    return Evaluation(n, (Check("faults", "normal", *[math.nan] * 4, "", False, True, BY, text),))
