"""What is wrong with an autoscaler, or with what it is asked, is named with its value."""

from __future__ import annotations

import dataclasses

import pytest

from realtime_sim.policies.autoscaling import (
    SCALE_DOWN,
    AutoscalerState,
    Recommendation,
    ScalingPolicy,
    ScalingRules,
    decide,
)
from tests.test_policies_autoscaling import FREE, QUEUE, autoscaler


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: autoscaler(max_replicas=0), "max_replicas must be a whole number of at least 1, got 0"),
        (
            lambda: autoscaler(min_replicas=7, max_replicas=3),
            r"max_replicas must be at least min_replicas \(7\), got 3",
        ),
        (lambda: autoscaler(min_replicas=0), "min_replicas must be a whole number of at least 1, got 0"),
        (lambda: autoscaler(metrics=()), r"metrics must be one Metric or more in a tuple, got \(\)"),
        (lambda: autoscaler(tolerance=-0.1), "tolerance must lie between 0 and 1, got -0.1"),
        (lambda: autoscaler(sync_period_s=0), "sync_period_s must be positive, got 0"),
        (lambda: autoscaler(scale_up=None), "scale_up must be a ScalingRules, got None"),
        (
            lambda: autoscaler(initial_readiness_delay_s=-1),
            "initial_readiness_delay_s must lie between 0 and 1000000.0, got -1",
        ),
        (lambda: ScalingRules(3_601, FREE.policies), "stabilization_window_s must lie between 0 and 3600, got 3601"),
        (lambda: ScalingRules(0, ()), r"policies must be one ScalingPolicy or more in a tuple, got \(\)"),
        (
            lambda: dataclasses.replace(SCALE_DOWN, select_policy="Max"),
            "select_policy must be 'max' or 'min' or 'disabled', got 'Max'",
        ),
        (lambda: ScalingPolicy("pod", 1, 15), "kind must be 'pods' or 'percent', got 'pod'"),
        (lambda: ScalingPolicy("pods", 0, 15), "value must be a whole number of at least 1, got 0"),
        (lambda: ScalingPolicy("pods", 1, 0), "period_s must be positive, got 0"),
        (lambda: ScalingPolicy("pods", 1, 1_801), "period_s must lie between 0 and 1800, got 1801"),
        (
            lambda: decide(autoscaler(), AutoscalerState(), [], -1, 0),
            "current must be a whole number of at least 0, got -1",
        ),
        (
            lambda: decide(autoscaler(), AutoscalerState((Recommendation(5_000_000_000, 3),)), [], 3, 4.0),
            r"now_s must not lie before the last decision \(5.0 s\), got 4.0",
        ),
        (
            lambda: decide(autoscaler([QUEUE]), AutoscalerState(), [], 3, 0, {"que": 1}),
            r"external must name external metrics \(queue\), got 'que'",
        ),
        (
            lambda: decide(autoscaler([QUEUE]), AutoscalerState(), [], 3, 0, {"queue": -1}),
            "external.queue must be at least 0, got -1",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_value(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
