"""Autoscaling: the Horizontal Pod Autoscaler of a scenario, in the words of Kubernetes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from realtime_sim.policies import autoscaling as policies
from realtime_sim.scenario.quantities import Duration, Part, PositiveDuration, Ratio, fault, plain_number, whole_number

__all__ = ["Autoscaling", "ScaleMetric", "ScalingPolicy", "ScalingRules"]

_Pods = whole_number(high=10_000, example=4)
_Target = plain_number(1e-3, 1e9, 5_000)


class ScaleMetric(Part):
    """What to scale on.

    Parameters
    ----------
    name : str
        `connections`, open connections of a server; `cpu`, its loop time in per cent of its loops (a server requests
        one core for each); `messages_per_s`, messages it sends a second.
    target : float
        What the mean of the servers is held to, above 0; for `cpu` whole per cent.
    """

    name: Literal["connections", "cpu", "messages_per_s"]
    target: _Target  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _whole_percent(self) -> ScaleMetric:
        if self.name == "cpu" and self.target != int(self.target):
            raise fault("must be whole per cent for cpu", "write it like 70", at="target")
        return self


class ScalingPolicy(Part):
    """How many servers may come, or go, within a period.

    Parameters
    ----------
    kind : str
        `pods`, or `percent` of the servers at the start of the period.
    value : int
        Servers or per cent.
    period : float or str
        Length of the period, seconds, above 0 and at most 30 min.
    """

    kind: Literal["pods", "percent"]
    value: _Pods  # type: ignore[valid-type]
    period: PositiveDuration

    @model_validator(mode="after")
    def _short(self) -> ScalingPolicy:
        if self.period > 1800:
            raise fault("must be at most 30min", "shorten it", at="period")
        return self


class ScalingRules(Part):
    """How readily one direction is taken.

    Parameters
    ----------
    stabilization : float or str
        How far back recommendations count, seconds, at most 1 h: the highest on the way down, the lowest on the way up.
    policies : list of ScalingPolicy or dict
        At least one.
    select : str
        `max`, the policy that lets most servers come or go; `min`, the one that lets fewest; or `disabled`.
    """

    stabilization: Duration
    policies: Annotated[tuple[ScalingPolicy, ...], Field(min_length=1)]
    select: Literal["max", "min", "disabled"] = "max"

    @model_validator(mode="after")
    def _short(self) -> ScalingRules:
        if self.stabilization > 3600:
            raise fault("must be at most 1h", "shorten it", at="stabilization")
        return self

    @property
    def rules(self) -> policies.ScalingRules:
        """The same as the policy takes it."""
        steps = tuple(policies.ScalingPolicy(step.kind, step.value, step.period) for step in self.policies)
        return policies.ScalingRules(self.stabilization, steps, self.select)


class Autoscaling(Part):
    """A Horizontal Pod Autoscaler (autoscaling/v2) for the servers, with the defaults of Kubernetes.

    A server that it orders takes `servers.startup`; one that goes sends its clients away over `servers.grace`. The
    youngest goes first, as a ReplicaSet prefers. `servers.count` is where it starts. A server that dies is replaced at
    once, as a ReplicaSet does, unless the fault that kills it has `restart_after`; so is one that is drained. One that
    somebody else has added goes at the next decision. A rolling deploy sees to their number itself while it lasts.

    Parameters
    ----------
    min_replicas, max_replicas : int
        Fewest and most servers.
    metrics : list of ScaleMetric or dict
        What it scales on; of several the largest count is taken.
    tolerance : float
        Distance of a metric's ratio to its target from 1 up to which nothing changes, 0 to 1.
    sync_period : float or str
        Time between two decisions, seconds.
    scale_up, scale_down : ScalingRules or dict, optional
        How readily servers are added and removed. Left out: up at once, by 4 or to twice as many every 15 s; down to
        the highest count of the last 5 min, in one step.
    """

    min_replicas: _Pods = 1  # type: ignore[valid-type]
    max_replicas: _Pods  # type: ignore[valid-type]
    metrics: Annotated[tuple[ScaleMetric, ...], Field(min_length=1)]
    tolerance: Ratio = 0.1
    sync_period: PositiveDuration = 15.0
    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.max_replicas < self.min_replicas:
            raise fault(f"must be at least min_replicas ({self.min_replicas})", "raise it", at="max_replicas")
        return self

    @property
    def policy(self) -> policies.HorizontalPodAutoscaler:
        """The same as the policy takes it."""
        kinds = {"cpu": "utilization"}
        metrics = [
            policies.Metric(
                one.name, int(one.target) if one.name == "cpu" else one.target, kinds.get(one.name, "average_value")
            )
            for one in self.metrics
        ]
        return policies.HorizontalPodAutoscaler(
            max_replicas=self.max_replicas,
            min_replicas=self.min_replicas,
            metrics=tuple(metrics),
            tolerance=self.tolerance,
            sync_period_s=self.sync_period,
            scale_up=self.scale_up.rules if self.scale_up else policies.SCALE_UP,
            scale_down=self.scale_down.rules if self.scale_down else policies.SCALE_DOWN,
        )
