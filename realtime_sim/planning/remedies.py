"""Remedies: what would help where more servers do not, tried by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime_sim.scenario import Scenario

__all__ = ["Remedy"]


@dataclass(frozen=True)
class Remedy:
    """One change to a scenario that helps.

    Parameters
    ----------
    changes : mapping of str to object
        As `Scenario.replace` takes them.
    scenario : Scenario
        The changed scenario; `plan` it to know.
    servers : int
        Servers that it needs by arithmetic, queueing left out.
    text : str
        In words, with figures.
    """

    changes: Mapping[str, object]
    scenario: Scenario
    servers: int
    text: str
