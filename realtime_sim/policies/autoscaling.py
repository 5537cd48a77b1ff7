"""Autoscaling: how many pods there should be, as the Horizontal Pod Autoscaler of Kubernetes (autoscaling/v2) decides.

The rule, every `sync_period_s`: take the largest count that a metric asks for (`policies.replicas`), hold it back by
what was asked for lately (the stabilization windows), then by how fast pods may come and go (the rate policies), and
keep it within `min_replicas` and `max_replicas`. A control process, simulated or of a live cluster, calls `decide` with
the pods as it sees them, carries out what it says, and hands the state on to the next call.

It is not in the registry `POLICIES`: that lists what a scenario names and can do without parameters, and an autoscaler
always needs its metrics and its bound.

References
----------
Kubernetes, "Horizontal Pod Autoscaling", and from release 1.33 on the code: pkg/controller/podautoscaler/horizontal.go,
and of the defaults pkg/apis/autoscaling/v2/defaults.go and pkg/controller/podautoscaler/config/v1alpha1/defaults.go.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from realtime_sim.policies import _checks
from realtime_sim.policies.replicas import Metric, Pod, propose
from realtime_sim.units import from_ns, to_ns

__all__ = [
    "SCALE_DOWN",
    "SCALE_UP",
    "AutoscalerState",
    "Decision",
    "HorizontalPodAutoscaler",
    "Metric",
    "Pod",
    "Recommendation",
    "ScaleEvent",
    "ScalingPolicy",
    "ScalingRules",
    "decide",
]

# Bounds of Kubernetes: pkg/apis/autoscaling/validation/validation.go.
_LONGEST_WINDOW_S, _LONGEST_PERIOD_S = 3600, 1800


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """How many pods may come, or go, within a period.

    Parameters
    ----------
    kind : str
        `"pods"`, or `"percent"` of the pods at the start of the period.
    value : int
        Pods or per cent, at least 1.
    period_s : float
        Length of the period, which ends with the decision, seconds, above 0 and at most 1800.
    """

    kind: str
    value: int
    period_s: float

    def __post_init__(self) -> None:
        _checks.one_of("kind", self.kind, ("pods", "percent"))
        _checks.whole("value", self.value, 1)
        _checks.between("period_s", _checks.seconds("period_s", self.period_s), 0, _LONGEST_PERIOD_S)

    def __str__(self) -> str:
        return f"{self.value} {'pods' if self.kind == 'pods' else '%'}/{self.period_s:g} s"


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """How readily one direction is taken: up or down.

    Parameters
    ----------
    stabilization_window_s : float
        How far back recommendations count, seconds, 0 to 3600: the highest on the way down, the lowest on the way up.
    policies : tuple of ScalingPolicy
        At least one.
    select_policy : str
        `"max"`, the policy that lets most pods come or go; `"min"`, the one that lets fewest; or `"disabled"`.

    Examples
    --------
    >>> import dataclasses
    >>> dataclasses.replace(SCALE_DOWN, policies=[ScalingPolicy("percent", 10, 60)]).stabilization_window_s
    300
    """

    stabilization_window_s: float
    policies: tuple[ScalingPolicy, ...]
    select_policy: str = "max"

    def __post_init__(self) -> None:
        _checks.between("stabilization_window_s", self.stabilization_window_s, 0, _LONGEST_WINDOW_S)
        object.__setattr__(self, "policies", _some("policies", self.policies, ScalingPolicy))
        _checks.one_of("select_policy", self.select_policy, ("max", "min", "disabled"))


def _some(name: str, values: object, kind: type) -> tuple:
    given = tuple(values) if isinstance(values, list | tuple) else ()
    if not given or not all(isinstance(value, kind) for value in given):
        raise ValueError(f"{name} must be one {kind.__name__} or more in a tuple, got {values!r}")
    return given


SCALE_UP = ScalingRules(0, (ScalingPolicy("pods", 4, 15), ScalingPolicy("percent", 100, 15)))
"""What Kubernetes does where nothing is said of scaling up: at once, 4 pods or twice as many every 15 s."""

SCALE_DOWN = ScalingRules(300, (ScalingPolicy("percent", 100, 15),))
"""What Kubernetes does where nothing is said of scaling down: to the highest count of the last 5 min, in one step."""


@dataclass(frozen=True, slots=True)
class HorizontalPodAutoscaler:
    """An autoscaler on one metric or several, with the defaults of Kubernetes.

    Parameters
    ----------
    max_replicas : int
        Most pods, at least 1 and at least `min_replicas`.
    metrics : tuple of Metric
        At least one. Kubernetes takes 80 % of CPU where none is given; that is left out on purpose, as the CPU of idle
        connections says nothing of how many there are.
    min_replicas : int
        Fewest pods; 0 only with an external metric, as without pods there are no others.
    tolerance : float
        Distance of a metric's ratio to its target from 1 up to which nothing changes, 0 to 1.
    sync_period_s : float
        Time between two decisions, seconds, above 0: for the process that calls `decide`.
    scale_up, scale_down : ScalingRules
        How readily pods are added and removed.
    initial_readiness_delay_s : float
        A pod that is not ready, since a moment within this time of its start, seconds, counts as never ready.
    cpu_initialization_period_s : float
        Time from its start, seconds, in which a pod's CPU counts only if all of it was measured while it was ready.

    Examples
    --------
    >>> HorizontalPodAutoscaler(max_replicas=20, metrics=[Metric("connections", 5_000)]).min_replicas
    1
    """

    max_replicas: int
    metrics: tuple[Metric, ...]
    min_replicas: int = 1
    tolerance: float = 0.1
    sync_period_s: float = 15.0
    scale_up: ScalingRules = SCALE_UP
    scale_down: ScalingRules = SCALE_DOWN
    initial_readiness_delay_s: float = 30.0
    cpu_initialization_period_s: float = 300.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", _some("metrics", self.metrics, Metric))
        fewest = 0 if any(metric.external for metric in self.metrics) else 1
        _checks.whole("min_replicas", self.min_replicas, fewest)
        _checks.whole("max_replicas", self.max_replicas, 1)
        _checks.not_below("max_replicas", self.max_replicas, "min_replicas", self.min_replicas)
        _checks.share("tolerance", self.tolerance)
        _checks.seconds("sync_period_s", self.sync_period_s)
        for name in ("scale_up", "scale_down"):
            if not isinstance(getattr(self, name), ScalingRules):
                raise ValueError(f"{name} must be a ScalingRules, got {getattr(self, name)!r}")
        for name in ("initial_readiness_delay_s", "cpu_initialization_period_s"):
            _checks.between(name, getattr(self, name), 0, _checks.LONGEST_S)


class Recommendation(NamedTuple):
    """A count that the metrics asked for, before any window, policy or bound; and when, integer nanoseconds."""

    at_ns: int
    replicas: int


class ScaleEvent(NamedTuple):
    """A change that was decided, in pods, below 0 on the way down; and when, integer nanoseconds."""

    at_ns: int
    change: int


_Entry = TypeVar("_Entry", Recommendation, ScaleEvent)


@dataclass(frozen=True, slots=True)
class AutoscalerState:
    """What an autoscaler remembers: what windows and periods can still reach, oldest first. It starts empty.

    Parameters
    ----------
    recommendations : tuple of Recommendation
        One of each decision that had a figure, and the pods at the first; but only those that no later one is as high
        as, or none as low as, as any window takes the highest or the lowest up to now.
    events : tuple of ScaleEvent
        One of each decision that changed the count.
    """

    recommendations: tuple[Recommendation, ...] = ()
    events: tuple[ScaleEvent, ...] = ()


class Decision(NamedTuple):
    """The state for the next decision, how many pods there should be, and why, in one sentence."""

    state: AutoscalerState
    desired: int
    reason: str


def decide(
    autoscaler: HorizontalPodAutoscaler,
    state: AutoscalerState,
    pods: Sequence[Pod],
    current: int,
    now_s: float,
    external: Mapping[str, float | None] = MappingProxyType({}),
) -> Decision:
    """How many pods there should be, one turn of the control loop.

    Parameters
    ----------
    autoscaler : HorizontalPodAutoscaler
        The parameters.
    state : AutoscalerState
        What the decision before gave back; an empty one at the start.
    pods : sequence of Pod
        Every pod there is, those that start, failed or go included.
    current : int
        Pods that were last asked for, 0 or more: `desired` of the decision before, unless somebody else changed it.
    now_s : float
        The moment of the decision, seconds, on the clock of the pods' times.
    external : mapping of str to float
        Figures of external metrics by name; one that is absent or None is not known.

    Returns
    -------
    Decision
        It counts as carried out: the next one reckons with the change, as Kubernetes does once it is accepted.

    Raises
    ------
    ValueError
        If `current` is no whole number, time goes back, or a figure is of no external metric or no number from 0 on.

    Notes
    -----
    The first decision remembers the pods it finds as a recommendation, so nothing shrinks within one window of a start.
    A metric without a figure allows no scaling down. Windows and periods leave out what is exactly as old as they are.
    Events are kept for the longest period of both directions; the controller may forget a change in one direction
    sooner if only policies of the other look back that far.

    Examples
    --------
    >>> autoscaler = HorizontalPodAutoscaler(max_replicas=20, metrics=[Metric("connections", 5_000)])
    >>> pods = [Pod(usage={"connections": 15_000})] * 4
    >>> state, desired, reason = decide(autoscaler, AutoscalerState(), pods, current=4, now_s=0)
    >>> print(desired, reason, sep=": ")
    8: connections 15,000 a pod against 5,000: 4 to 12 pods, held at 8 by scale-up policy 4 pods/15 s
    """
    _checks.whole("current", current, 0)
    now_ns = to_ns(_checks.number("now_s", now_s))
    _check_order(state, now_ns, now_s)
    _check_external(autoscaler, external)
    if not state.recommendations:
        state = dataclasses.replace(state, recommendations=(Recommendation(now_ns, current),))
    desired, reason = _outside_bounds(autoscaler, current)
    if not reason:
        asked, reason = _asked(autoscaler, pods, current, now_s, external)
        desired = current
        if asked is not None:
            stable, held = _stabilized(autoscaler, state, current, asked, now_ns)
            desired, limited = _limited(autoscaler, state, current, stable, now_ns)
            reason += limited or held
            window_s = max(autoscaler.scale_up.stabilization_window_s, autoscaler.scale_down.stabilization_window_s)
            kept = _since(state.recommendations, now_ns, window_s)
            state = dataclasses.replace(state, recommendations=_outstanding((*kept, Recommendation(now_ns, asked))))
    if desired != current:
        period_s = max(policy.period_s for policy in autoscaler.scale_up.policies + autoscaler.scale_down.policies)
        kept = _since(state.events, now_ns, period_s)
        state = dataclasses.replace(state, events=(*kept, ScaleEvent(now_ns, desired - current)))
    return Decision(state, desired, reason)


def _outstanding(entries: tuple[Recommendation, ...]) -> tuple[Recommendation, ...]:
    """Those that are higher than all later ones, or lower: no more than two for each count that was asked for."""
    kept: list[Recommendation] = []
    highest, lowest = -math.inf, math.inf
    for entry in reversed(entries):
        if entry.replicas > highest or entry.replicas < lowest:
            kept.append(entry)
            highest, lowest = max(highest, entry.replicas), min(lowest, entry.replicas)
    return tuple(reversed(kept))


def _check_order(state: AutoscalerState, now_ns: int, now_s: float) -> None:
    latest_ns = max((at_ns for at_ns, _ in state.recommendations[-1:] + state.events[-1:]), default=now_ns)
    if now_ns < latest_ns:
        raise ValueError(f"now_s must not lie before the last decision ({from_ns(latest_ns)!r} s), got {now_s!r}")


def _check_external(autoscaler: HorizontalPodAutoscaler, external: Mapping[str, float | None]) -> None:
    known = [metric.name for metric in autoscaler.metrics if metric.external]
    for name, value in external.items():
        if name not in known:
            raise ValueError(f"external must name external metrics ({', '.join(known) or 'none'}), got {name!r}")
        if value is not None and _checks.number(f"external.{name}", value) < 0:
            raise ValueError(f"external.{name} must be at least 0, got {value!r}")


def _outside_bounds(autoscaler: HorizontalPodAutoscaler, current: int) -> tuple[int, str]:
    """Where somebody else set the count out of bounds, it is put back at once; no reason where it is within."""
    low, high = autoscaler.min_replicas, autoscaler.max_replicas
    if current == 0 and low > 0:
        return 0, "0 pods were asked for, which switches autoscaling off"
    if current > high:
        return high, f"{current} to {high} pods, the most that max_replicas allows"
    if current < low:
        return low, f"{current} to {low} pods, the fewest that min_replicas allows"
    return current, ""


def _asked(
    autoscaler: HorizontalPodAutoscaler,
    pods: Sequence[Pod],
    current: int,
    now_s: float,
    external: Mapping[str, float | None],
) -> tuple[int | None, str]:
    """The largest count that a metric asks for, None where what is not known may not be scaled on; and why."""
    proposals = [
        propose(
            metric,
            pods,
            current,
            now_s,
            external.get(metric.name),
            tolerance=autoscaler.tolerance,
            initial_readiness_delay_s=autoscaler.initial_readiness_delay_s,
            cpu_initialization_period_s=autoscaler.cpu_initialization_period_s,
        )
        for metric in autoscaler.metrics
    ]
    unknown = [proposal for proposal in proposals if proposal.replicas is None]
    known = [proposal for proposal in proposals if proposal.replicas is not None]
    largest = max(known, key=lambda proposal: proposal.replicas, default=None)
    if largest is None or (unknown and largest.replicas < current):
        return None, f"{unknown[0].reason}: held at {current}"
    return largest.replicas, largest.reason


def _stabilized(
    autoscaler: HorizontalPodAutoscaler, state: AutoscalerState, current: int, asked: int, now_ns: int
) -> tuple[int, str]:
    """What was asked for, but no more than at any time in the upward window, no less than in the downward one."""
    up_s, down_s = autoscaler.scale_up.stabilization_window_s, autoscaler.scale_down.stabilization_window_s
    lowest = min([asked, *(entry.replicas for entry in _since(state.recommendations, now_ns, up_s))])
    highest = max([asked, *(entry.replicas for entry in _since(state.recommendations, now_ns, down_s))])
    stable = min(max(current, lowest), highest)
    if stable == asked:
        return stable, ""
    which, window_s = ("lowest", up_s) if asked > current else ("highest", down_s)
    return stable, f", held at {stable} by the {which} recommendation of {window_s:g} s"


def _limited(
    autoscaler: HorizontalPodAutoscaler, state: AutoscalerState, current: int, stable: int, now_ns: int
) -> tuple[int, str]:
    """The count nearest to `stable` that rate policies and bounds allow."""
    if stable == current:
        return current, ""
    up = stable > current
    limit, by = _furthest(autoscaler, state, current, now_ns, up)
    bound = autoscaler.max_replicas if up else autoscaler.min_replicas
    if (bound <= limit) if up else (bound >= limit):
        limit, by = bound, "max_replicas" if up else "min_replicas"
    desired = min(stable, limit) if up else max(stable, limit)
    return desired, "" if desired == stable else f", held at {desired} by {by}"


def _furthest(
    autoscaler: HorizontalPodAutoscaler, state: AutoscalerState, current: int, now_ns: int, up: bool
) -> tuple[int, str]:
    """How far the rate policies let the count go in one direction, never behind `current`, and which one says so."""
    rules, way = (autoscaler.scale_up, "scale-up") if up else (autoscaler.scale_down, "scale-down")
    if rules.select_policy == "disabled":
        return current, f"{way}, which is disabled"
    limits = []
    for policy in rules.policies:
        start = current - sum(event.change for event in _since(state.events, now_ns, policy.period_s))
        limits.append((_limit(policy, start, up), policy))
    widest = max if (rules.select_policy == "max") == up else min
    limit, policy = widest(limits, key=lambda pair: pair[0])
    return (max(limit, current) if up else min(limit, current)), f"{way} policy {policy}"


def _limit(policy: ScalingPolicy, start: int, up: bool) -> int:
    if policy.kind == "pods":
        return start + policy.value if up else start - policy.value
    # A small percentage always moves something. The controller's own floats: 10 % on 100 pods lets 11 in, not 10.
    return math.ceil(start * (1 + policy.value / 100)) if up else int(start * (1 - policy.value / 100))


def _since(entries: tuple[_Entry, ...], now_ns: int, span_s: float) -> tuple[_Entry, ...]:
    """What is younger than a span; what is exactly as old is over."""
    return tuple(entry for entry in entries if now_ns - entry.at_ns < to_ns(span_s))
