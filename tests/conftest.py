"""Hypothesis draws the same examples in every run, and a slow machine fails nothing; one small scenario for all."""

from __future__ import annotations

from hypothesis import settings

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
