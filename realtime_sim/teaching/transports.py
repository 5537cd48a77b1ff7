"""Find how far away clients may be, so that even the slowest message of long polling is there in time."""

from __future__ import annotations

from realtime_sim import theory
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.teaching.checking import Verdict, scenario
from realtime_sim.units import parse_duration

__all__ = ["judge"]

WANTED_S = 0.150
NEAR = 1.04
"""A round trip is the longest if one 4 % above it is too long."""

LONGEST_S = 5.0
"""Whoever answers with more has left out the unit."""

TRANSITS = {
    1: "That would be so if an answer were always on its way at once, as with WebSocket. What if one has just left?",
    2: "You have counted two transits. A message that comes just after an answer has left waits for all of it: to the "
    "client, back with the next request, and once more to the client.",
    6: "A transit is one way, half a round trip.",
}
"""What is to be said to who took the promise for so many transits."""


def judge(answer: object) -> Verdict:
    """Whether the slowest message is in time over this round trip, and too late over a longer one."""
    try:
        rtt_s = parse_duration(answer)
    except ValueError as error:
        raise ScenarioError(Problem("answer", "must be a round trip", answer, 'write it like "50ms"')) from error
    if rtt_s <= 0:
        raise ScenarioError(Problem("answer", "must be a round trip above 0", answer, 'write it like "50ms"'))
    if rtt_s > LONGEST_S:
        rule = f"must be at most {LONGEST_S:g} s, and a number alone is seconds"
        raise ScenarioError(Problem("answer", rule, answer, 'write it like "50ms"'))
    asked = scenario("transports")
    rate = asked.traffic[0].rate / asked.n_clients
    slowest_s, further_s = (theory.long_poll_delay_s(rtt_s * far / 2, rate).max_s for far in (1, NEAR))
    found = f"Over {rtt_s * 1e3:.4g} ms there and back, the slowest message takes up to {slowest_s * 1e3:.4g} ms"
    if slowest_s <= WANTED_S * (1 + 1e-9) and further_s > WANTED_S:
        return Verdict(True, f"{found}: three transits, of which two are those of an answer and a request before it.")
    for transits, hint in TRANSITS.items():
        if abs(rtt_s * transits / 2 / WANTED_S - 1) < NEAR - 1:
            return Verdict(False, f"{found}. {hint}")
    if slowest_s > WANTED_S:
        return Verdict(False, f"{found}. That is too long: how many times does something cross the network at worst?")
    return Verdict(False, f"{found}. They may be further away.")
