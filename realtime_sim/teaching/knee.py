"""Find the highest rate at which messages whose costs vary wait no longer than two milliseconds on average."""

from __future__ import annotations

import math

from realtime_sim import theory
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.teaching.checking import Verdict, scenario
from realtime_sim.units import parse_rate

__all__ = ["VARIED", "judge"]

WANTED_S = 0.002
NEAR = 1.04
"""A rate is the highest if one 4 % above it is too high."""

VARIED = {"servers.costs.event": {"mean": "1ms", "cv": 2}}
"""What the exercise changes in the scenario of its notebook: decoding a message costs something, now more, now less."""


def judge(answer: object) -> Verdict:
    """Whether the mean wait is short enough at a rate, and too long at a higher one."""
    try:
        rate = parse_rate(answer)
    except ValueError as error:
        step = 'write it like 250 or "250/s"'
        raise ScenarioError(Problem("answer", "must be messages a second", answer, step)) from error
    if rate <= 0:
        raise ScenarioError(Problem("answer", "must be above 0 messages a second", answer, 'write it like "250/s"'))
    work_s, cv, event_cv = _work(scenario("knee").replace(**VARIED))

    def wait_s(times: float, varies: float) -> float:
        return theory.mg1(rate * times, work_s, varies).mean_wait_s

    def is_highest(varies: float) -> bool:
        return wait_s(1, varies) <= WANTED_S < wait_s(NEAR, varies)

    load = rate * work_s
    busy = f"At {rate:g}/s the loop " + (
        f"is {load * 100:.0f} % busy" if load <= 10 else f"gets {load:.3g} times what it can do"
    )
    found = f"{busy}, and a message waits {_time(wait_s(1, cv))} on average"
    if is_highest(cv):
        return Verdict(True, f"{found}: how full a server may be depends on how much its work varies.")
    if is_highest(0):
        return Verdict(
            False, f"{found}. It would be short enough if all cost the same: these vary, and 1 + cv² counts."
        )
    if is_highest(event_cv):
        return Verdict(
            False, f"{found}. A cv of 2 is that of decoding alone; the sends, half of the work, do not vary."
        )
    if wait_s(1, cv) > WANTED_S:
        return Verdict(False, f"{found}. That is too long: work out utilization and cv of a whole message first.")
    return Verdict(False, f"{found}. There is room for more.")


def _work(asked: Scenario) -> tuple[float, float, float]:
    """Mean seconds of the loop for a message, their coefficient of variation, and that of decoding alone."""
    event, costs = asked.servers.event_cost, asked.servers.resolved_costs
    work_s = event.mean_s + asked.n_clients * costs.send_s
    return work_s, math.sqrt(event.cv2) * event.mean_s / work_s, math.sqrt(event.cv2)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms" if math.isfinite(seconds) else "longer and longer"
