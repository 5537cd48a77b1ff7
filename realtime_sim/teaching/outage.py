"""Compute how many deliveries two accidents cost, where a log that is too short saves some of them."""

from __future__ import annotations

from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.teaching.checking import Verdict, quantity, scenario
from realtime_sim.units import parse_count

__all__ = ["exam", "judge"]

MISTAKES = (
    ({"broker.reconnect_delay": 0}, "the broker runs again after its stop, but nobody is connected to it yet"),
    ({"broker.max_length": 10_000}, "the log is too short for what readers miss while they are away: who comes back "
     "gets what is left of it"),
    ({"clients.readers.resume": False}, "readers that name the last message they saw get what the log still holds"),
    ({"broker.when_down": "retry"}, "what never reached the broker is in no log"),
    ({"servers.count": 1, "faults[1].restart_after": 0, "servers.startup": 0}, "only the readers of the server that "
     "died were away; the others missed nothing"),
)  # fmt: skip
"""What somebody believes who gives a wrong number, as a scenario in which it is true, and what to say to that."""


def exam() -> Scenario:
    """The scenario whose losses are asked for.

    Examples
    --------
    >>> exam().broker.max_length
    30
    """
    return scenario("outage").replace(
        broker={"kind": "redis_streams", "max_length": 30},
        duration="60s",
        **{
            "clients.readers.resume": True,
            "clients.readers.reconnect": {"policy": "fixed", "delay": "20s"},
            "traffic.news.rate": "4/s",
            "faults[0].lasts": "5s",
        },
    )


def judge(answer: object) -> Verdict:
    """Whether exactly so many deliveries are lost."""
    n = quantity(answer, parse_count)
    lost = _lost(exam())
    if n == lost["lost"]:
        causes = f"{lost['lost_broker_down']:,} never reached the broker, {lost['lost_trimmed']:,} were trimmed"
        return Verdict(True, f"{n:,} deliveries are lost: {causes} before their readers were back.")
    why = (hint for changes, hint in MISTAKES if n == _lost(exam().replace(**changes))["lost"])
    hint = next(why, "reckon each accident for itself: messages a second, times seconds, times readers who miss them")
    return Verdict(False, f"It is not {n:,}: {hint}.")


def _lost(asked: Scenario) -> dict[str, int]:
    """Deliveries that are lost, in all and by cause."""
    total = simulate(asked).deliveries.loc["total"]
    return {name: int(total[name]) for name in total.index if name.startswith("lost")}
