"""Profiles in files: what `realtime-sim calibrate` has measured, for a scenario to name beside those it knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.profiles import PROFILES, Profile, Sourced, profile

__all__ = ["FILE_ENDINGS", "find_profile", "profile_from"]

FILE_ENDINGS = (".yaml", ".yml")
"""A profile whose name ends like this is a file."""


def find_profile(name: str) -> Profile:
    """The profile called `name`, or the one in the file of that name.

    Raises
    ------
    ScenarioError
        If there is none, and the message offers the nearest name; or if the file holds something else.

    Examples
    --------
    >>> find_profile("websockets-asyncio").costs.send_s
    2.18e-05
    """
    return _in_file(name) if name.endswith(FILE_ENDINGS) else profile(name)


@cache
def _in_file(name: str) -> Profile:
    """Read once: a run asks for the costs of its servers again and again."""
    try:
        plain = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        rule = f"must be a file that can be read ({why})"
        raise ScenarioError(Problem("servers.profile", rule, name, "write one with `realtime-sim calibrate`")) from None
    return profile_from(plain, name)


def profile_from(plain: object, path: str) -> Profile:
    """A profile from what stands in its file: `name`, `about`, `base` and `figures`.

    Figures that are not given are those of `base`, another profile by name.

    Parameters
    ----------
    plain : object
        The file, parsed.
    path : str
        What messages call it.

    Raises
    ------
    ScenarioError
        If something is missing, unknown or no figure.

    Examples
    --------
    >>> here = {"name": "here", "about": "this machine", "base": "zero",
    ...         "figures": {"send_s": {"value": 2e-5, "low": 1.9e-5, "high": 2.1e-5, "source": "measured"}}}
    >>> profile_from(here, "here.yaml").costs.send_s
    2e-05
    """
    step = "write one with `realtime-sim calibrate --out`"
    if not isinstance(plain, Mapping) or not isinstance(plain.get("figures"), Mapping):
        raise ScenarioError(Problem(path, "must hold a profile with figures", type(plain).__name__, step))
    base = plain.get("base", "zero")
    if base not in PROFILES:
        raise ScenarioError(Problem(f"{path}: base", "must be a known profile", base, nearest(str(base), PROFILES)))
    figures = dict(PROFILES[base].figures)
    for name, figure in plain["figures"].items():
        if name not in figures:
            raise ScenarioError(Problem(f"{path}: figures", "must be known", name, nearest(str(name), figures)))
        figures[name] = _sourced(f"{path}: figures.{name}", figure)
    return Profile(str(plain.get("name", path)), str(plain.get("about", "")), MappingProxyType(figures))


def _sourced(path: str, figure: object) -> Sourced:
    """A figure of a file: `value` and `source`; `low` and `high` stand there for the reader."""
    if not isinstance(figure, Mapping) or "value" not in figure or "source" not in figure:
        raise ScenarioError(Problem(path, "must have a value and a source", figure, "write {value: , source: }"))
    value = figure["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ScenarioError(Problem(f"{path}.value", "must be a number from 0 on", value, "use SI units"))
    return Sourced(value, str(figure["source"]))
