"""Steps: from the answer of a static calculator to that of a plan, and what each thing that it leaves out adds.

A static calculator takes the tightest of descriptors, memory, CPU and bandwidth, and a reserve for servers that may be
lost. A plan also asks what waits (queueing), what happens when servers die at once and their clients come back (storms)
and what a deploy does. Each step is the least number of servers looked at that keeps everything up to it. A target
utilization that nobody has promised is a rule of thumb: where promises hold beyond it, simulation takes servers back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from realtime_sim.planning import Check, Evaluation, Plan
from realtime_sim.sizing.lag import Lag, autoscaling_lag

__all__ = ["Step", "lag_of", "steps_of"]

_WORDS = {
    "normal": ("queueing", "what waits behind other messages, at the load of the scenario"),
    "loss": ("storms", "servers die at once, and their clients come back to the others"),
    "deploy": ("deploy", "a rolling deploy, while clients are connected"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way from the static answer to the plan's.

    Parameters
    ----------
    name : str
        `"arithmetic"`, `"reserve"`, `"queueing"`, `"storms"` or `"deploy"`.
    servers : int
        Servers that keep everything up to this step.
    added : int
        How many more than before; below 0 where simulation takes some back.
    exact : bool
        Whether one server less is known not to do; else `servers` is the least that was looked at.
    why : str
        What the step is about.
    """

    name: str
    servers: int
    added: int
    exact: bool
    why: str

    def to_plain(self) -> dict[str, object]:
        """Plain dicts and numbers, as JSON holds them."""
        return asdict(self)


def steps_of(plan: Plan) -> tuple[Step, ...]:
    """The steps to the answer of a plan; none where there is no answer, or arithmetic has none.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    limits = plan.limits
    if plan.servers is None or limits.needed is None:
        return ()
    why = "nothing binds" if limits.binding is None else f"the tightest limit, {limits.binding}"
    steps = [Step("arithmetic", limits.needed - limits.lost, limits.needed - limits.lost, True, why)]
    if limits.lost:
        told = (
            f"{limits.lost:,} server{'s' if limits.lost > 1 else ''} may be lost, and the others must meet all limits"
        )
        steps.append(Step("reserve", limits.needed, limits.lost, True, told))
    simulated = [drill for drill in _WORDS if drill in plan.answer.results]
    counted: list[str] = []
    for drill in simulated:
        counted.append(drill)
        servers, exact = _least(plan, lambda check, drills=tuple(counted): _counts(check, drills))
        name, why = _WORDS[drill]
        steps.append(Step(name, servers, servers - steps[-1].servers, exact, why))
    return tuple(steps)


def lag_of(plan: Plan) -> Lag | None:
    """What it would take to leave the answer of a plan to an autoscaler; None where there is no answer.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    return None if plan.servers is None else autoscaling_lag(plan.scenario, plan.servers)


def _counts(check: Check, drills: tuple[str, ...]) -> bool:
    return check.decided_by == "arithmetic" or check.drill in drills


def _least(plan: Plan, counts: Callable[[Check], bool]) -> tuple[int, bool]:
    """The least number looked at, down from the answer, that keeps all checks that count, and whether it is the least.

    Numbers that were given up before all such checks were made say nothing.
    """
    needed = {_name(check) for check in plan.answer.checks if counts(check)}
    least = plan.servers
    for one in sorted(plan.evaluations, key=lambda one: -one.servers):
        if one.servers >= plan.servers:
            continue
        if _breaks(one, counts):
            return least, one.servers == least - 1
        if needed <= {_name(check) for check in one.checks}:
            least = one.servers
    return least, least == 1


def _name(check: Check) -> tuple[str, str, str]:
    return check.constraint, check.drill, check.decided_by


def _breaks(one: Evaluation, counts: Callable[[Check], bool]) -> bool:
    return any(check.kept is False for check in one.checks if counts(check))
