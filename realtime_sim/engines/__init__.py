"""Engines: producers of a Trace from a Workload, by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType

from realtime_sim.errors import Problem, ScenarioError, nearest

__all__ = ["ENGINES", "find_engine"]

ENGINES = MappingProxyType({"reference": "realtime_sim.engines.reference"})
"""Module of each engine; it has a function `run(workload, record, progress) -> Trace`."""


def find_engine(name: str) -> tuple[str, str, Callable]:
    """Name, reason and `run` function of the engine called `name`; `"auto"` takes the fastest that can do it.

    Raises
    ------
    ScenarioError
        If there is no such engine.

    Examples
    --------
    >>> find_engine("auto")[:2]
    ('reference', 'the only engine')
    """
    known = ["auto", *ENGINES]
    if name not in known:
        raise ScenarioError(Problem("engine", "must be a known engine", name, nearest(name, known)))
    chosen = "reference" if name == "auto" else name
    reason = "the only engine" if name == "auto" else "asked for"
    return chosen, reason, import_module(ENGINES[chosen]).run
