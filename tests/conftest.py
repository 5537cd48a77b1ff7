"""Hypothesis draws the same examples in every run, and a slow machine fails nothing; one small scenario for all, and
runs that pass for live ones."""

from __future__ import annotations

import dataclasses

from hypothesis import settings

from realtime_sim.results import Results
from realtime_sim.scenario import Scenario

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def small(**changes: object) -> Scenario:
    """Two cohorts of four and six clients, nothing else; fields are replaced by `changes`."""
    return Scenario(
        **{
            "name": "small",
            "duration": 10,
            "warmup": 0,
            "clients": [{"name": "phones", "count": 4}, {"name": "desks", "count": 6}],
            "servers": {"profile": "zero"},
        }
        | changes
    )


def as_live(results: Results, **conditions: object) -> Results:
    """Simulated runs that pass for live ones: whoever reads them knows the producer by its name alone."""
    return Results([dataclasses.replace(trace, engine="live") for trace in results.traces], conditions=conditions)
