"""Engines: producers of a Trace from a Workload, by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.scenario import Scenario

__all__ = ["ENGINES", "compile_engine", "find_engine"]

ENGINES = MappingProxyType({"reference": "realtime_sim.engines.reference", "fast": "realtime_sim.engines.fast"})
"""Module of each engine; it has a function `run(workload, record, progress, control) -> Trace`."""

MANY_DELIVERIES, MANY_CLIENTS = 2_000_000, 30_000
"""From here on a run takes the reference engine a minute or more."""


MANY_STEADY_DELIVERIES, MANY_STEADY_CLIENTS = 100_000, 3_000
"""The same where the compiled engine needs only its steady kernel, which is compiled in twenty seconds."""


def find_engine(
    name: str, n_deliveries: float = 0.0, n_clients: int = 0, steady: bool = False, shared: bool = False
) -> tuple[str, str, Callable]:
    """Name, reason and `run` function of the engine called `name`.

    Both engines give the same trace. `"auto"` takes the compiled one where that saves more time than compiling costs
    on a new machine, once; processes that share a host the reference engine alone has.

    Parameters
    ----------
    name : str
        `"auto"`, or one of `ENGINES`.
    n_deliveries : float
        Deliveries that all runs together are expected to make.
    n_clients : int
        Clients of one run.
    steady : bool
        Whether nobody comes or goes, as `realtime_sim.engines.fast.is_steady` says.
    shared : bool
        Whether all processes share one machine, the scenario's `host`.

    Raises
    ------
    ScenarioError
        If there is no such engine.

    Examples
    --------
    >>> find_engine("auto", n_deliveries=1e4, n_clients=100)[:2]
    ('reference', 'fast enough for a small run')
    >>> find_engine("auto", n_deliveries=1e8, n_clients=100)[0]
    'fast'
    >>> [find_engine("auto", n_deliveries=1e6, n_clients=100, steady=steady)[0] for steady in (False, True)]
    ['reference', 'fast']
    >>> find_engine("auto", n_deliveries=1e8, n_clients=100, shared=True)[:2]
    ('reference', 'the one that knows a host')
    """
    known = ["auto", *ENGINES]
    if name not in known:
        raise ScenarioError(Problem("engine", "must be a known engine", name, nearest(name, known)))
    if name != "auto":
        return name, "asked for", import_module(ENGINES[name]).run
    if shared:
        return "reference", "the one that knows a host", import_module(ENGINES["reference"]).run
    most, most_clients = (MANY_STEADY_DELIVERIES, MANY_STEADY_CLIENTS) if steady else (MANY_DELIVERIES, MANY_CLIENTS)
    if n_deliveries > most or n_clients > most_clients:
        return "fast", "compiled, for a large run", import_module(ENGINES["fast"]).run
    return "reference", "fast enough for a small run", import_module(ENGINES["reference"]).run


def compile_engine(name: str, scenario: Scenario, record: str) -> None:
    """Compile what an engine needs for a scenario, before several processes would each do it with their first run.

    Parameters
    ----------
    name : str
        One of `ENGINES`; those that compile have a function `prepare(scenario, record)`.
    scenario : Scenario
        What is to be run.
    record : str
        How much a trace is to keep.

    Examples
    --------
    >>> compile_engine("reference", Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}]), "summary")
    """
    prepare = getattr(import_module(ENGINES[name]), "prepare", None)
    if prepare is not None:
        prepare(scenario, record)
