"""Replicas: how many pods a metric asks for, as the replica calculator of Kubernetes counts them.

The rule: `ceil(ratio * pods)`, where the ratio is what was measured over the target, and no change where the ratio is
within the tolerance. Pods without a figure are counted against the direction of the change, so that ignorance never
moves anything: in full where the ratio is below 1, as idle where it is above. `policies.autoscaling` decides with it.

A simulated and a live control process fill in the same records, `Metric` and `Pod`; nothing here knows a clock.

References
----------
Kubernetes, "Horizontal Pod Autoscaling", section "Algorithm details", and pkg/controller/podautoscaler, files
replica_calculator.go and metrics/utilization.go. The rules are those from release 1.33 on. They differ from 1.22 at the
edge of the tolerance, for deleted pods that still have a figure, and for targets above 100 % of request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from realtime_sim.policies import _checks
from realtime_sim.units import to_ns

__all__ = ["PHASES", "TARGET_KINDS", "Metric", "Pod", "Proposal", "propose"]

TARGET_KINDS = ("average_value", "utilization", "value")
"""What a target is held against: the average of the pods, per cent of what they request, or one figure as it is."""

PHASES = ("pending", "running", "failed")
"""Phases of a pod that the rules tell apart."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What to scale on, and the target for it.

    Parameters
    ----------
    name : str
        Such as `"connections"` or `"messages_per_s"`. `"cpu"` is the resource metric of Kubernetes, with its rules of
        readiness; other metrics count a pod as soon as it has a figure.
    target : float
        Of one pod for `"average_value"`, of the whole for `"value"`, in the unit of the figures, above 0; for
        `"utilization"` whole per cent of the pods' requests.
    target_kind : str
        One of `TARGET_KINDS`.
    external : bool
        Whether it is one figure for the whole service, such as the length of a queue, and not one of each pod. It is
        for `"value"`, cannot be for `"utilization"`, and may be for `"average_value"`: the figure over the pods.

    Examples
    --------
    >>> Metric("connections", target=5_000).target_kind
    'average_value'
    """

    name: str
    target: float
    target_kind: str = "average_value"
    external: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be the name of a metric, got {self.name!r}")
        _checks.one_of("target_kind", self.target_kind, TARGET_KINDS)
        if self.target_kind == "utilization":
            _checks.whole("target", self.target, 1)
        elif _checks.number("target", self.target) <= 0:
            raise ValueError(f"target must be positive, got {self.target!r}")
        needed = {"utilization": False, "value": True}.get(self.target_kind)
        if not isinstance(self.external, bool) or (needed is not None and self.external != needed):
            raise ValueError(
                f"external must be {needed} where target_kind is {self.target_kind!r}, got {self.external!r}"
            )


@dataclass(frozen=True, slots=True)
class Pod:
    """What is known of one pod at the moment of a decision.

    Parameters
    ----------
    usage : mapping of str to float
        Figure of each metric by name, 0 or more, CPU in cores; a name that is absent or None has no sample.
    requests : mapping of str to float
        What the pod requests of each resource, above 0, CPU in cores. Read for targets of kind `"utilization"`.
    phase : str
        One of `PHASES`.
    ready : bool
        Whether the pod takes traffic.
    deleting : bool
        Whether it is on its way out, as a draining server is.
    started_s : float, optional
        When it started, seconds. For CPU a pod without it is not ready.
    ready_changed_s : float, optional
        When `ready` last changed, seconds. For CPU a pod without it is not ready.
    sampled_s : float, optional
        When its CPU was measured, seconds, the end of the window; needed while a pod initializes.
    sample_window_s : float
        Over how long its CPU was averaged, seconds; by default the resolution in the manifests of metrics-server.
    """

    usage: Mapping[str, float | None] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    phase: str = "running"
    ready: bool = True
    deleting: bool = False
    started_s: float | None = None
    ready_changed_s: float | None = None
    sampled_s: float | None = None
    sample_window_s: float = 15.0

    def __post_init__(self) -> None:
        _checks.one_of("phase", self.phase, PHASES)
        for name, value in self.usage.items():
            if value is not None and _checks.number(f"usage.{name}", value) < 0:
                raise ValueError(f"usage.{name} must be at least 0, got {value!r}")
        for name, value in self.requests.items():
            if _checks.number(f"requests.{name}", value) <= 0:
                raise ValueError(f"requests.{name} must be positive, got {value!r}")
        for name in ("started_s", "ready_changed_s", "sampled_s", "sample_window_s"):
            value = getattr(self, name)
            if value is not None:
                _checks.number(name, value)


class Proposal(NamedTuple):
    """What one metric asks for: a count of pods, or None where it has no figure; what was measured; why, in words.

    `usage` is per cent of request or the metric's own unit, rounded as the controller rounds.
    """

    replicas: int | None
    usage: float | None
    reason: str


def propose(
    metric: Metric,
    pods: Sequence[Pod],
    current: int,
    now_s: float,
    value: float | None = None,
    *,
    tolerance: float,
    initial_readiness_delay_s: float,
    cpu_initialization_period_s: float,
) -> Proposal:
    """How many pods one metric asks for.

    Parameters
    ----------
    metric : Metric
        What to scale on.
    pods : sequence of Pod
        Every pod there is, those that start, failed or go included.
    current : int
        Pods that were last asked for, 0 or more.
    now_s : float
        The moment of the decision, seconds, on the clock of the pods' times.
    value : float, optional
        The figure of an external metric; None where there is none.
    tolerance : float
        Distance of the ratio from 1 up to which nothing changes, dimensionless, the edge included.
    initial_readiness_delay_s : float
        A pod that is not ready, since a moment within this time of its start, seconds, counts as never ready.
    cpu_initialization_period_s : float
        Time from its start, seconds, in which a pod's CPU counts only if all of it was measured while it was ready.

    Returns
    -------
    Proposal
        The count, before any bound, window or policy.

    Raises
    ------
    ValueError
        If a pod that initializes has a figure of its CPU and no `sampled_s`.

    Notes
    -----
    Figures are whole thousandths, rounded up, averages and per cent are rounded down, as in the controller: 33.9 %
    of request is 33 %. An external `"average_value"` within tolerance asks for the pods there are, not for `current`.

    Examples
    --------
    >>> pods = [Pod(usage={"connections": 5_600})] * 4
    >>> rules = {"tolerance": 0.1, "initial_readiness_delay_s": 30, "cpu_initialization_period_s": 300}
    >>> propose(Metric("connections", 5_000), pods, 4, now_s=0, **rules)
    Proposal(replicas=5, usage=5600.0, reason='connections 5,600 a pod against 5,000: 4 to 5 pods')
    """
    if metric.external:
        return _of_one_figure(metric, pods, current, value, tolerance)
    if not pods:
        return Proposal(None, None, f"there is no pod to measure {metric.name} of")
    if metric.target_kind == "utilization" and any(metric.name not in pod.requests for pod in pods):
        return Proposal(None, None, f"a pod requests no {metric.name}, so there is no utilization of it")
    periods = to_ns(now_s), to_ns(initial_readiness_delay_s), to_ns(cpu_initialization_period_s)
    return _of_pods(metric, pods, current, tolerance, periods)


def _of_one_figure(
    metric: Metric, pods: Sequence[Pod], current: int, value: float | None, tolerance: float
) -> Proposal:
    if value is None:
        return Proposal(None, None, f"there is no figure of {metric.name}")
    total, target = _milli(value), _milli(metric.target)
    if metric.target_kind == "value":
        ratio, usage = total / target, total / 1000
        reading = f"{metric.name} {_text(total)} against {_text(target)}"
        # From no pods at all there is nothing to multiply: the ratio itself is the count.
        n_ready = sum(pod.ready and pod.phase == "running" for pod in pods) if current else 1
        unchanged, changed, can_stay = current, math.ceil(ratio * n_ready), current > 0
        if not pods and current and not _is_within(ratio, tolerance):
            return Proposal(None, usage, "there is no pod to count")
    else:
        n_pods = sum(_is_live(pod) for pod in pods)
        ratio = total / (target * n_pods) if n_pods else math.inf
        each = math.ceil(total / n_pods) if n_pods else total
        usage, reading = each / 1000, f"{metric.name} {_text(each)} a pod against {_text(target)}"
        unchanged, changed, can_stay = n_pods, math.ceil(total / target), n_pods > 0
    if can_stay and _is_within(ratio, tolerance):
        return Proposal(unchanged, usage, f"{reading}: within tolerance ({ratio:.2f})")
    return Proposal(changed, usage, f"{reading}: {current} to {changed} pods")


def _of_pods(
    metric: Metric, pods: Sequence[Pod], current: int, tolerance: float, periods: tuple[int, int, int]
) -> Proposal:
    measured, unready, missing = _grouped(metric.name, pods, periods)
    if not measured:
        return Proposal(None, None, f"no pod that counts has a figure of {metric.name}")
    samples = [(_milli(pod.usage[metric.name]), _request(metric, pod)) for pod in measured]
    ratio, usage, reading = _reading(metric, samples)
    idle = unready if ratio > 1 else []
    if not idle and not missing:
        if _is_within(ratio, tolerance):
            return Proposal(current, usage, f"{reading}: within tolerance ({ratio:.2f})")
        wanted = math.ceil(ratio * len(samples))
        return Proposal(wanted, usage, f"{reading}: {current} to {wanted} pods")

    # At exactly 1 the controller counts the missing of a utilization not at all, and those of other targets as idle.
    if ratio > 1 or (ratio == 1 and metric.target_kind != "utilization"):
        idle = [*idle, *missing]
    elif ratio < 1:
        samples += [(_full(metric, pod), _request(metric, pod)) for pod in missing]
    samples += [(0, _request(metric, pod)) for pod in idle]
    counted, _, _ = _reading(metric, samples)
    if len(samples) > len(measured):
        reading += f", {len(samples) - len(measured)} unknown counted {'as idle' if idle else 'in full'}"
    if _is_within(counted, tolerance):
        return Proposal(current, usage, f"{reading}: within tolerance ({counted:.2f})")
    wanted = math.ceil(counted * len(samples))
    if (ratio - 1) * (counted - 1) < 0 or (wanted - current) * (counted - 1) < 0:
        return Proposal(current, usage, f"{reading}: held at {current}, as the unknown would turn it")
    return Proposal(wanted, usage, f"{reading}: {current} to {wanted} pods")


def _grouped(name: str, pods: Sequence[Pod], periods: tuple[int, int, int]) -> tuple[list[Pod], list[Pod], list[Pod]]:
    """Pods whose figure counts, pods set aside as not ready, and pods without a figure; the rest is no more."""
    measured: list[Pod] = []
    unready: list[Pod] = []
    missing: list[Pod] = []
    for pod in filter(_is_live, pods):
        if pod.phase == "pending":
            unready.append(pod)
        elif pod.usage.get(name) is None:
            missing.append(pod)
        elif name == "cpu" and _is_set_aside(pod, *periods):
            unready.append(pod)
        else:
            measured.append(pod)
    return measured, unready, missing


def _is_set_aside(pod: Pod, now_ns: int, initial_delay_ns: int, initialization_ns: int) -> bool:
    """Whether the CPU of a pod says nothing of its load: it starts, or was never ready."""
    if pod.started_s is None or pod.ready_changed_s is None:
        return True
    started, changed = to_ns(pod.started_s), to_ns(pod.ready_changed_s)
    if started + initialization_ns <= now_ns:
        return not pod.ready and started + initial_delay_ns > changed
    if pod.sampled_s is None:
        raise ValueError("sampled_s must be known while a pod initializes, got None; give the time of its CPU figure")
    return not pod.ready or to_ns(pod.sampled_s) < changed + to_ns(pod.sample_window_s)


def _is_live(pod: Pod) -> bool:
    return not pod.deleting and pod.phase != "failed"


def _is_within(ratio: float, tolerance: float) -> bool:
    # Not abs(1 - ratio): in floats that is above 0.1 for a ratio of 1.1, and below for 0.9.
    return 1 - tolerance <= ratio <= 1 + tolerance


def _reading(metric: Metric, samples: list[tuple[int, int]]) -> tuple[float, float, str]:
    """The ratio of samples (usage and request, thousandths) to the target, what was measured, and both in words."""
    total = sum(usage for usage, _ in samples)
    if metric.target_kind == "utilization":
        percent = total * 100 // sum(request for _, request in samples)
        return percent / metric.target, percent, f"{metric.name} {percent} % of request against {metric.target} %"
    mean, target = total // len(samples), _milli(metric.target)
    return mean / target, mean / 1000, f"{metric.name} {_text(mean)} a pod against {_text(target)}"


def _request(metric: Metric, pod: Pod) -> int:
    return _milli(pod.requests[metric.name]) if metric.target_kind == "utilization" else 0


def _full(metric: Metric, pod: Pod) -> int:
    """What a pod without a figure counts for when the others could do with fewer pods, in thousandths."""
    if metric.target_kind == "utilization":
        return _request(metric, pod) * max(100, int(metric.target)) // 100
    return _milli(metric.target)


def _milli(value: float) -> int:
    """Thousandths, rounded up, as the controller reads a quantity; by way of decimals, so that 2.007 is 2007."""
    return math.ceil(Decimal(str(float(value))) * 1000)


def _text(milli: int) -> str:
    return f"{milli / 1000:,.3f}".rstrip("0").rstrip(".")
