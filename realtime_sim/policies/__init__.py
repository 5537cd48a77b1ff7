"""Policies: the rules of reconnecting, balancing, dropping, replaying and scaling, without anything that runs them.

A policy is a frozen class of parameters and a pure function of plain numbers or arrays and of uniform draws `u`. It
knows no clock, engine, socket or log and draws nothing itself, so the engines, the planner and the live cluster call
the same functions. Where a rule is arithmetic it is one compiled function, and the readable one calls it.

`POLICIES` lists every policy that a scenario names, by family. A new policy touches its module, its registry line and
its test; the common battery of tests finds it there.

Examples
--------
>>> from realtime_sim.policies import POLICIES, backoff
>>> sorted(POLICIES)
['backoff', 'balancing', 'keepalive', 'overflow']
>>> backoff.delay_s(POLICIES["backoff"]["full_jitter"](), attempt=2, u=0.25)
1.0
"""

from __future__ import annotations

from types import MappingProxyType

from realtime_sim.policies import (
    autoscaling,
    backoff,
    balancing,
    delivery,
    keepalive,
    lifecycle,
    overflow,
    replicas,
    token_bucket,
)
from realtime_sim.policies._checks import bounds
from realtime_sim.policies.autoscaling import HorizontalPodAutoscaler, decide
from realtime_sim.policies.backoff import delay_s
from realtime_sim.policies.balancing import choose
from realtime_sim.policies.delivery import guarantee, missed_fate, replayable
from realtime_sim.policies.keepalive import Keepalive, detection_delay_s, survives_idle_timeout
from realtime_sim.policies.lifecycle import Event, State, next_state
from realtime_sim.policies.overflow import admit

__all__ = [
    "POLICIES",
    "Event",
    "HorizontalPodAutoscaler",
    "Keepalive",
    "State",
    "admit",
    "autoscaling",
    "backoff",
    "balancing",
    "bounds",
    "choose",
    "decide",
    "delay_s",
    "delivery",
    "detection_delay_s",
    "guarantee",
    "keepalive",
    "lifecycle",
    "missed_fate",
    "next_state",
    "overflow",
    "replayable",
    "replicas",
    "survives_idle_timeout",
    "token_bucket",
]

POLICIES = MappingProxyType(
    {
        "backoff": backoff.REGISTRY,
        "balancing": balancing.REGISTRY,
        "keepalive": keepalive.REGISTRY,
        "overflow": overflow.REGISTRY,
    }
)
"""Every policy that a scenario names, by family. Entries are classes, but for keepalives: ready-made instances."""
