"""Scaling: the HorizontalPodAutoscaler, from the scenario's own `autoscaling` or from what the answer says.

References
----------
Kubernetes documentation, "Horizontal Pod Autoscaling", and HorizontalPodAutoscaler v2 autoscaling.
"""

from __future__ import annotations

import math

from realtime_sim.deployment.figures import GROWTH, Deployed, Figures
from realtime_sim.deployment.reasons import Because
from realtime_sim.metrics import METRICS
from realtime_sim.policies.autoscaling import SCALE_DOWN, SCALE_UP, ScalingRules
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.autoscaling import ScaleMetric

__all__ = ["autoscaler", "sends_per_s"]

_LONGEST_PERIOD_S = 1_800
"""Longest period of a policy that Kubernetes takes."""


def sends_per_s() -> str:
    """What the rate of sent copies is called among the metrics of pods: `_per_second` in the place of `_total`, as the
    walkthrough of prometheus-adapter names rates."""
    return METRICS["sends"].name.removesuffix("_total") + "_per_second"


def autoscaler(deployed: Deployed) -> dict[str, object]:
    """The HorizontalPodAutoscaler, values with reasons."""
    spec = _own(deployed.scenario) if deployed.scenario.autoscaling else _planned(deployed.figures)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployed.target.name}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": deployed.target.metadata(),
        "spec": {"scaleTargetRef": reference, **spec},
    }


def _own(scenario: Scenario) -> dict[str, object]:
    """As the scenario says."""
    scaling = scenario.autoscaling
    behavior = {}
    for key, field in (("scaleUp", "scale_up"), ("scaleDown", "scale_down")):
        given = getattr(scaling, field)
        default = SCALE_UP if field == "scale_up" else SCALE_DOWN
        why = f"autoscaling.{field}" if given else f"the default of Kubernetes, as autoscaling.{field} is not set"
        behavior[key] = Because(_rules(given.rules if given else default), why)
    return {
        "minReplicas": Because(scaling.min_replicas, "autoscaling.min_replicas"),
        "maxReplicas": Because(scaling.max_replicas, "autoscaling.max_replicas"),
        "metrics": [Because(_metric(one), f"autoscaling.metrics[{i}]") for i, one in enumerate(scaling.metrics)],
        "behavior": behavior,
    }


def _planned(figures: Figures) -> dict[str, object]:
    """As the answer says: never fewer than it found to be enough, and each as full as it was found to be enough."""
    period_s = min(_LONGEST_PERIOD_S, max(60, figures.termination.value))
    down = {
        "stabilizationWindowSeconds": int(SCALE_DOWN.stabilization_window_s),
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": period_s}],
    }
    why = (
        f"pod by pod: one has {figures.termination.value} s to send its clients away, and the next goes when it is "
        "done; the window is the default of Kubernetes"
    )
    room = f"{GROWTH} times servers.count, a choice: room for {GROWTH} times the clients"
    return {
        "minReplicas": Because(figures.pods, "servers.count, the answer: with fewer a promise is broken"),
        "maxReplicas": Because(figures.most_pods, room),
        "metrics": [Because(_connections(figures.each.value), f"connections a pod at the answer: {figures.each.why}")],
        "behavior": {"scaleDown": Because(down, why)},
    }


def _metric(metric: ScaleMetric) -> dict[str, object]:
    if metric.name == "connections":
        return _connections(metric.target)
    if metric.name == "messages_per_s":
        return _pods(sends_per_s(), metric.target)
    target = {"type": "Utilization", "averageUtilization": int(metric.target)}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _connections(target: float) -> dict[str, object]:
    return _pods(METRICS["active_connections"].name, target)


def _pods(name: str, target: float) -> dict[str, object]:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": _quantity(target)}},
    }


def _quantity(value: float) -> str:
    """A number as Kubernetes writes it: whole, or in thousandths, which is as fine as it goes.

    Examples
    --------
    >>> _quantity(5_000.0), _quantity(2.5), _quantity(0.0015)
    ('5000', '2500m', '2m')
    """
    return str(int(value)) if value == int(value) else f"{math.ceil(value * 1_000)}m"


def _rules(rules: ScalingRules) -> dict[str, object]:
    policies = [
        {"type": policy.kind.capitalize(), "value": policy.value, "periodSeconds": max(1, math.ceil(policy.period_s))}
        for policy in rules.policies
    ]
    return {
        "stabilizationWindowSeconds": math.ceil(rules.stabilization_window_s),
        "selectPolicy": rules.select_policy.capitalize(),
        "policies": policies,
    }
