"""`plan`: how many servers, asked of arithmetic, theory and simulation, in this order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral
from typing import Any

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.planning import words
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.planning.judging import Evaluation
from realtime_sim.planning.outages import Outage
from realtime_sim.planning.plans import Plan
from realtime_sim.planning.remedies import remedies_of
from realtime_sim.planning.search import least_decided, least_met
from realtime_sim.planning.trials import Trials
from realtime_sim.progress import progress_bar
from realtime_sim.scenario import Scenario, Slo

__all__ = ["plan"]

MOST = 1_000
"""Servers up to which is looked, unless told otherwise."""

BUSY = 0.7
"""Share of time that the static calculator lets loops, links and the broker be busy where nothing is promised."""


def plan(
    scenario: Scenario,
    slo: Slo | Mapping[str, Any] | None = None,
    *,
    replications: int = 3,
    queueing: bool = True,
    over: Mapping[str, Sequence[Any]] | None = None,
    at_most: int = MOST,
    engine: str = "auto",
    n_jobs: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Plan:
    """The smallest number of servers with which every promise is kept.

    Arithmetic rules numbers out, theory guesses, and simulation decides, with the same draws for every number; see
    `realtime_sim.planning.search` for the search and `realtime_sim.planning.drills` for what is simulated.

    Parameters
    ----------
    scenario : Scenario
        What to serve; its `servers.count` does not matter.
    slo : Slo or dict, optional
        The promises; those of the scenario if left out.
    replications : int
        Independent runs that decide, 1 to 1,000, and up to four times as many where their intervals do not; with one,
        most figures have no interval, and little is sure.
    queueing : bool
        False is the static calculator: the tightest of connections, memory, CPU and bandwidth, and those to spare that
        may be lost. Loops, links and the broker are then filled to `slo.max_utilization`, or 70 %.
    over : mapping of str to sequence, optional
        Other fields to choose, as `Scenario.replace` takes them: every combination is planned, and the one with the
        fewest servers is the answer, of equals the first.
    at_most : int
        The most servers that may be taken, 1 to 10,000.
    engine, n_jobs
        As for `simulate`.
    progress : callable, optional
        Called now and then with the share of all the work that is done, from 0 to 1, as far as it can be told. Left
        out, a bar shows as that of `simulate` does.

    Returns
    -------
    Plan
        The number, what decides it, and how sure it is.

    Raises
    ------
    ScenarioError
        If an argument is wrong, nothing is promised, or an autoscaler sets the number of servers.
    UnsupportedFeature
        If the engine cannot run the scenario.

    Examples
    --------
    >>> news = Scenario(name="news", duration="20s", clients=[{"name": "phones", "count": 90}],
    ...                 servers={"max_connections": 40}, broker={"kind": "redis_pubsub"},
    ...                 traffic=[{"name": "headlines", "rate": "2/s"}], slo={"p99": "100ms", "survive_servers": 1})
    >>> found = plan(news)
    >>> found.servers, found.confident, found.binding
    (4, True, 'connections')
    """
    scenario = _with_promises(scenario, slo)
    _check_numbers(replications, at_most)
    choices = _combinations(over)
    cases = [scenario.replace(**changes) for changes in choices]
    plans = []
    bar = progress_bar(f"Planning {scenario.name}", 0.0, silent=True)
    with nullcontext(progress) if progress else bar as report:
        for number, (case, chosen) in enumerate(zip(cases, choices, strict=True)):

            def part(share: float, number: int = number) -> None:
                report((number + share) / len(cases))

            if queueing:
                found = _planned(Trials(case, replications, at_most, engine, n_jobs, part))
            else:
                found = _calculated(case, at_most)
            plans.append(replace(found, chosen=chosen))
            part(1.0)
    best = min(plans, key=lambda found: (found.servers is None, found.servers))
    return best if over is None else replace(best, alternatives=tuple(plans))


def _planned(trials: Trials) -> Plan:
    """The three steps of the search, unless there is nothing to search for."""
    arithmetic, at_most = trials.arithmetic, trials.at_most
    lowest = arithmetic.lowest(at_most)
    blocked = words.ruled_out(arithmetic, lowest, at_most)
    if blocked:
        return _made(arithmetic, None, _by_arithmetic(arithmetic, lowest or at_most), blocked, at_most)
    guess = arithmetic.guess(lowest, at_most) or lowest
    trials.set_out(guess)
    answer = least_met(trials.look, lowest, guess, at_most)
    if answer is not None:
        answer = least_decided(trials.decide, answer, lowest, at_most)
    if answer is None:
        return _made(arithmetic, None, trials.evaluations, words.given_up(trials.evaluations, at_most), at_most, trials)
    if answer > 1:
        trials.decide(answer - 1)
    outage = trials.outage(answer)
    return _made(arithmetic, answer, trials.evaluations, None, at_most, trials, outage)


def _calculated(scenario: Scenario, at_most: int) -> Plan:
    """The static calculator: arithmetic alone, filled exactly as far as is allowed."""
    arithmetic = Arithmetic(scenario, scenario.slo.max_utilization or BUSY)
    lowest = arithmetic.lowest(at_most)
    blocked = words.ruled_out(arithmetic, lowest, at_most)
    evaluations = _by_arithmetic(arithmetic, lowest or at_most)
    if not blocked and lowest > 1:
        evaluations |= _by_arithmetic(arithmetic, lowest - 1)
    return _made(arithmetic, None if blocked else lowest, evaluations, blocked, at_most)


def _by_arithmetic(arithmetic: Arithmetic, n: int) -> dict[int, Evaluation]:
    return {n: Evaluation(n, arithmetic.checks(n))}


def _made(
    arithmetic: Arithmetic,
    answer: int | None,
    evaluations: Mapping[int, Evaluation],
    blocked: words.Blocked | None,
    at_most: int,
    trials: Trials | None = None,
    outage: Outage | None = None,
) -> Plan:
    """Everything that was found, as a Plan."""
    scenario, busy = arithmetic.scenario, arithmetic.scenario.slo.max_utilization or BUSY
    counted = scenario.replace(**{"servers.count": answer or max(evaluations), "faults": []})
    confident = answer is not None and evaluations[answer].sure
    if confident and answer - 1 in evaluations:
        confident = not evaluations[answer - 1].kept and evaluations[answer - 1].sure
    tight = blocked.constraint if blocked else "broker" if _broker_is_tight(arithmetic, answer) else None
    return Plan(
        scenario=scenario,
        servers=answer,
        confident=confident,
        evaluations=tuple(evaluations[n] for n in sorted(evaluations)),
        limits=server_limits(counted, busy),
        remedies=remedies_of(scenario, tight, at_most, answer, arithmetic.target) if tight else (),
        assumptions=words.assumptions(arithmetic, trials.lengths if trials else None),
        blocked=blocked,
        own=arithmetic.own(at_most),
        replications=trials.replications if trials else 0,
        lengths=trials.lengths if trials else None,
        outage=outage,
    )


def _broker_is_tight(arithmetic: Arithmetic, answer: int) -> bool:
    return any(check.constraint == "broker" and check.found > BUSY for check in arithmetic.checks(answer))


def _with_promises(scenario: object, slo: Slo | Mapping[str, Any] | None) -> Scenario:
    """The scenario with the promises, if it can be planned."""
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    scenario = scenario if slo is None else scenario.replace(slo=slo)
    if scenario.autoscaling is not None:
        step = "leave autoscaling out: a plan finds the fixed number that it would have to reach"
        raise ScenarioError(Problem("autoscaling", "must be left out of a plan", "an autoscaler", step))
    if scenario.slo is None or scenario.slo == Slo():
        step = "promise something, such as slo: {p99: 250ms, survive_servers: 1}"
        raise ScenarioError(Problem("slo", "must promise at least one thing", scenario.slo, step))
    tries_recovery = scenario.slo.survive_servers or scenario.slo.survive_deploy or scenario.faults
    if scenario.slo == Slo(recover_within=scenario.slo.recover_within) and not tries_recovery:
        step = "promise survive_servers too, or add a fault"
        rule = "must have something to recover from, where it is all that is promised"
        raise ScenarioError(Problem("slo.recover_within", rule, scenario.slo.recover_within, step))
    return scenario


def _check_numbers(replications: object, at_most: object) -> None:
    for path, value, most, step in (
        ("replications", replications, 1_000, "use 3, or more where a plan is not decided"),
        ("at_most", at_most, 10_000, f"use {MOST:_}"),
    ):
        if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= most:
            raise ScenarioError(Problem(path, f"must be a whole number from 1 to {most:_}", value, step))


def _combinations(over: Mapping[str, Sequence[Any]] | None) -> list[dict[str, Any]]:
    """Every combination of the choices, the last field changing fastest."""
    if over is None:
        return [{}]
    step = 'write it like {"servers.workers": [1, 2]}'
    if not isinstance(over, Mapping) or not over:
        raise ScenarioError(Problem("over", "must be a dict of fields with their values", over, step))
    for path, values in over.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ScenarioError(Problem(f"over[{path!r}]", "must be a list of values", values, step))
    return [dict(zip(over, chosen, strict=True)) for chosen in itertools.product(*over.values())]
