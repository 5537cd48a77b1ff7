"""Growth: the same service with more clients.

With a factor g there are g times as many clients and rooms, and as much more is published to the rooms; how many
members a room has, how often a client hears something in one, how long users stay, and what goes to everyone is as it
was. What happens in the business comes from clients: events are g times as many, and so are the replicas of the
services that work on them. Faults, servers, the broker and all costs stay what they are.
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Any

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import EVERYONE, Scenario

__all__ = ["grown", "grown_to"]


def grown(scenario: Scenario, factor: float) -> Scenario:
    """A scenario with `factor` times as many clients.

    Parameters
    ----------
    scenario : Scenario
        What grows.
    factor : float
        By how much (dimensionless), above 0; below 1 it shrinks. Counts are rounded up.

    Returns
    -------
    Scenario
        A new one, of the same name.

    Raises
    ------
    ScenarioError
        If the factor is no number above 0, or what has grown breaks a rule of the scenario.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration=60, clients=[{"name": "phones", "count": 1_000}],
    ...                 rooms=[{"name": "group", "count": 100, "members": 10}],
    ...                 traffic=[{"name": "words", "to": "group", "rate": "50/s"}, {"name": "news", "rate": "1/s"}])
    >>> tenfold = grown(chat, 10)
    >>> tenfold.n_clients, tenfold.rooms[0].count, [stream.rate for stream in tenfold.traffic]
    (10000, 1000, [500.0, 1.0])
    """
    is_number = isinstance(factor, Real) and not isinstance(factor, bool) and math.isfinite(factor)
    if not is_number or factor <= 0:
        raise ScenarioError(Problem("factor", "must be a number above 0", factor, "use 2 for twice as many clients"))
    if factor == 1:
        return scenario
    changes: dict[str, Any] = {f"clients[{i}].count": _more(c.count, factor) for i, c in enumerate(scenario.clients)}
    for i, group in enumerate(scenario.rooms):
        if not group.per_user:
            changes[f"rooms[{i}].count"] = _more(group.count, factor)
    for i, stream in enumerate(scenario.traffic):
        if stream.to != EVERYONE and stream.rate is not None:
            changes[f"traffic[{i}].rate"] = stream.rate * factor
    for i, event in enumerate(scenario.events):
        changes[f"events[{i}].rate"] = event.rate * factor
    for i, service in enumerate(scenario.services):
        changes[f"services[{i}].replicas"] = _more(service.replicas, factor)
    if scenario.events and scenario.pipeline.coupling == "direct":
        changes["pipeline.workers"] = _more(scenario.pipeline.workers, factor)
    return scenario.replace(**changes)


def grown_to(scenario: Scenario, level: float) -> Scenario:
    """A scenario at one level of `growth`, as `size` takes several: what is wrong is told of that argument.

    Parameters
    ----------
    scenario : Scenario
        At level 1.
    level : float
        As the factor of `grown`.

    Raises
    ------
    ScenarioError
        If `grown` refuses it.

    Examples
    --------
    >>> grown_to(Scenario(name="chat", duration=60, clients=[{"name": "phones", "count": 1_000}]), 0)
    Traceback (most recent call last):
    realtime_sim.errors.ScenarioError: growth must be a number above 0, got 0; use 2 for twice as many clients
    """
    try:
        return grown(scenario, level)
    except ScenarioError as error:
        first = error.problems[0]
        if first.path == "factor":
            raise ScenarioError(dataclasses.replace(first, path="growth")) from None
        rule = f"must leave every field within its rules ({first.path} {first.rule})"
        raise ScenarioError(Problem("growth", rule, level, "ask for a level nearer to 1")) from None


def _more(count: int, factor: float) -> int:
    """So many times a count, rounded up; a rounding error of the product is no further one."""
    return max(1, math.ceil(round(count * factor, 6)))
