"""The Plan: how many servers, what decides, how sure that is; as text, HTML, a frame and plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from realtime_sim.limits import Limits
from realtime_sim.planning.judging import Evaluation
from realtime_sim.planning.remedies import Remedy
from realtime_sim.scenario import Scenario

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """How many servers keep every promise, and how that is known. Printed, it is a table.

    Parameters
    ----------
    scenario : Scenario
        What was asked, with the promises it was planned for.
    servers : int or None
        The answer; None where no number suffices.
    confident : bool
        Whether at the answer every promise holds with its whole 95 % interval, and with one server less one is broken
        with its whole interval, or by arithmetic.
    evaluations : tuple of Evaluation
        Every number that was looked at, ascending.
    limits : Limits
        The static arithmetic, at the answer.
    remedies : tuple of Remedy
        What would help where no number suffices, or where the broker binds.
    assumptions : tuple of str
        What the answer takes for granted.
    alternatives : tuple of Plan
        Of `over`: the plans of all combinations, in their order; this one is among them.
    """

    scenario: Scenario
    servers: int | None
    confident: bool
    evaluations: tuple[Evaluation, ...]
    limits: Limits
    remedies: tuple[Remedy, ...] = ()
    assumptions: tuple[str, ...] = ()
    alternatives: tuple[Plan, ...] = ()

    def at(self, servers: int) -> Evaluation:
        """What was found with so many servers.

        Raises
        ------
        KeyError
            If that number was not looked at.
        """
        return {one.servers: one for one in self.evaluations}[servers]

    @property
    def answer(self) -> Evaluation | None:
        """What was found with the answer; None where there is none."""
        raise NotImplementedError

    @property
    def below(self) -> Evaluation | None:
        """What was found with one server less; None where that is none."""
        raise NotImplementedError

    @property
    def answer_scenario(self) -> Scenario:
        """The scenario with the answer for `servers.count`."""
        raise NotImplementedError

    def drills(self, servers: int) -> dict[str, Scenario]:
        """The scenarios that judge so many servers, by name, each one to `simulate`."""
        raise NotImplementedError

    @property
    def binding(self) -> str | None:
        """Name of the constraint that decides the answer."""
        raise NotImplementedError

    @property
    def next_binding(self) -> str | None:
        """Which constraint would decide without that one, with its own least number of servers."""
        raise NotImplementedError

    @cached_property
    def constraints(self) -> pd.DataFrame:
        """One row for each constraint, indexed by its name."""
        raise NotImplementedError

    @property
    def headline(self) -> str:
        """The answer in one line."""
        raise NotImplementedError

    @property
    def verdict(self) -> str:
        """How sure the answer is, in one line."""
        raise NotImplementedError

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        raise NotImplementedError

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text of the plan; with `path` also written there, whole or not at all."""
        raise NotImplementedError
