"""Scenarios that come with the package, as YAML files beside this one: a start for one's own.

`realtime-sim presets chat > mine.yaml` copies one.
"""

from __future__ import annotations

from importlib import resources

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.scenario import Scenario

__all__ = ["NAMES", "about", "load", "text"]

NAMES = ("chat", "dashboard", "orders", "fallback", "ticker", "million")
"""Every preset, the plain ones first."""


def text(name: str) -> str:
    """YAML of a preset, comments included.

    Raises
    ------
    ScenarioError
        If there is no preset of that name.

    Examples
    --------
    >>> text("chat").splitlines()[0]
    'name: chat'
    """
    if name not in NAMES:
        raise ScenarioError(Problem("preset", "must be a preset", name, nearest(name, NAMES)))
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def load(name: str) -> Scenario:
    """A preset as a Scenario.

    Raises
    ------
    ScenarioError
        If there is no preset of that name.

    Examples
    --------
    >>> load("million").n_clients
    1000000
    """
    return Scenario.from_yaml(text(name))


def about(name: str) -> str:
    """What a preset is, in one line.

    Examples
    --------
    >>> about("ticker")
    'A price ticker: every update goes to all clients, over WebSocket'
    """
    return load(name).description.splitlines()[0]
