"""The autoscaler decides what Kubernetes decides: its windows, its policies, its defaults."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies import autoscaling
from realtime_sim.policies.autoscaling import (
    SCALE_UP,
    AutoscalerState,
    HorizontalPodAutoscaler,
    Recommendation,
    ScaleEvent,
    ScalingPolicy,
    ScalingRules,
    decide,
)
from realtime_sim.policies.replicas import Metric, Pod
from realtime_sim.units import to_ns
from tests.test_policies_replicas import CONNECTIONS, CPU, NOW_S, calculated, loaded

QUEUE = Metric("queue", 100, "value", external=True)
FREE = ScalingRules(0, (ScalingPolicy("pods", 100_000, 15),))
"""Rules that hold nothing back."""


def autoscaler(metrics=(CONNECTIONS,), **changes):
    return HorizontalPodAutoscaler(**{"max_replicas": 1_000, "metrics": metrics, **changes})


def wanting(replicas, current):
    """Pods whose connections ask for that many replicas, with the target of `CONNECTIONS`, unless within tolerance."""
    return loaded(current, 100_000 * replicas // current / 1000)


def desires(policy, steps, current):
    """What is decided at each (time, wanted count), where every decision is carried out at once."""
    state, found = AutoscalerState(), []
    for now_s, wanted in steps:
        state, current, _ = decide(policy, state, wanting(wanted, current), current, now_s)
        found.append(current)
    return found


# Known values: the documentation's own examples.


def test_80_pods_shrink_to_10_as_the_documentation_says():
    """{4 pods, 10 %} a minute, the larger: 8 first, "7.2, rounded up to 8" next, and 4 from 40 pods on."""
    rules = ScalingRules(0, (ScalingPolicy("pods", 4, 60), ScalingPolicy("percent", 10, 60)))
    policy = autoscaler(min_replicas=10, scale_down=rules)
    found = desires(policy, [(60 * k, 1) for k in range(15)], current=80)
    assert found == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10]


def test_within_a_period_a_policy_lets_nothing_more_through():
    """Every 15 s is asked, and every 60 s, not sooner, the next step is allowed."""
    policy = autoscaler(scale_down=ScalingRules(0, (ScalingPolicy("pods", 4, 60),)))
    assert desires(policy, [(15 * k, 1) for k in range(9)], current=20) == [16, 16, 16, 16, 12, 12, 12, 12, 8]


def test_growth_by_default_doubles_from_4_pods_on():
    found = desires(autoscaler(max_replicas=150), [(15 * k, 5_000) for k in range(8)], current=1)
    assert found == [5, 10, 20, 40, 80, 150, 150, 150]


def test_defaults_are_those_of_kubernetes():
    policy = autoscaler()
    assert (policy.min_replicas, policy.tolerance, policy.sync_period_s) == (1, 0.1, 15)
    assert (policy.initial_readiness_delay_s, policy.cpu_initialization_period_s) == (30, 300)
    assert policy.scale_up == ScalingRules(0, (ScalingPolicy("pods", 4, 15), ScalingPolicy("percent", 100, 15)), "max")
    assert policy.scale_down == ScalingRules(300, (ScalingPolicy("percent", 100, 15),), "max")


# Known values: TestCalculateScaleUpLimitWithScalingRules and TestCalculateScaleDownLimitWithBehaviors of Karmada, which
# has the controller's functions (pkg/controllers/federatedhpa). More is asked for, so that the limit shows.


@pytest.mark.parametrize(
    ("way", "current", "change", "policies", "select", "limit"),
    [
        ("scale_up", 5, 0, [("pods", 4)], "max", 9),
        ("scale_up", 5, 2, [("pods", 4)], "max", 7),
        ("scale_up", 5, 0, [("pods", 4)], "disabled", 5),
        ("scale_up", 5, 0, [("pods", 4), ("pods", 2)], "min", 7),
        ("scale_up", 10, 0, [("percent", 50)], "max", 15),
        ("scale_down", 10, 0, [("percent", 20)], "max", 8),
        ("scale_down", 10, -1, [("percent", 20)], "max", 8),
        ("scale_down", 100, 0, [("percent", 10), ("pods", 5)], "max", 90),
        ("scale_down", 10, 0, [("percent", 20)], "disabled", 10),
        ("scale_down", 100, 0, [("percent", 10), ("pods", 15)], "min", 90),
    ],
)
def test_rate_policies_limit_as_published(way, current, change, policies, select, limit):
    rules = ScalingRules(0, tuple(ScalingPolicy(kind, value, 60) for kind, value in policies), select)
    events = (ScaleEvent(970_000_000_000, change),) if change else ()
    state = AutoscalerState((Recommendation(0, current),), events)
    wanted = 1_000 if way == "scale_up" else 1
    assert decide(autoscaler(**{way: rules}), state, wanting(wanted, current), current, 1_000).desired == limit


def test_a_change_of_the_other_direction_counts_too():
    """Five pods went 30 s ago, so the period began with 10, and 4 more than those may come."""
    policy = autoscaler(scale_up=ScalingRules(0, (ScalingPolicy("pods", 4, 60),)))
    state = AutoscalerState((Recommendation(0, 5),), (ScaleEvent(970_000_000_000, -5),))
    assert decide(policy, state, wanting(100, 5), 5, 1_000).desired == 14
    assert decide(policy, state, wanting(100, 5), 5, 1_030).desired == 9


def test_a_policy_that_is_used_up_moves_nothing_back():
    """Ten pods came 30 s ago where four may: there are 15, and 15 they stay until the minute is over."""
    rules = ScalingRules(0, (ScalingPolicy("pods", 4, 60),))
    policy = autoscaler(scale_up=rules, scale_down=rules)
    for current, change, wanted, later in ((15, 10, 100, 19), (15, -10, 1, 11)):
        state = AutoscalerState((Recommendation(0, current),), (ScaleEvent(970_000_000_000, change),))
        assert decide(policy, state, wanting(wanted, current), current, 1_029).desired == current
        assert decide(policy, state, wanting(wanted, current), current, 1_030).desired == later


def test_changes_are_kept_for_the_longest_period_of_both_directions():
    """Down by 4, up by 4 half a minute later, and the minute began with 20: down to 16 again, not to 12."""
    policy = autoscaler(scale_up=FREE, scale_down=ScalingRules(0, (ScalingPolicy("pods", 4, 60),)))
    assert desires(policy, [(0, 1), (30, 20), (45, 1)], current=20) == [16, 20, 16]


def test_percent_of_pods_is_rounded_to_more_change_in_the_controllers_floats():
    """1.1 is no binary fraction: of 100 pods 10 % more are 111 in the controller, and so here."""
    ten = ScalingRules(0, (ScalingPolicy("percent", 10, 60),))
    policy = autoscaler(scale_up=ten, scale_down=ten)
    assert [desires(policy, [(0, 900)], current=n) for n in (1, 5, 10, 100)] == [[2], [6], [11], [111]]
    assert [desires(policy, [(0, 1)], current=n) for n in (72, 11, 9)] == [[64], [9], [8]]


# Windows.


def test_scaling_down_waits_for_the_highest_recommendation_of_300_s_to_age():
    """High at 15 s; what is exactly 300 s old no longer counts."""
    steps = [(0, 10), (15, 10), (30, 2), (285, 3), (314.999, 2), (315, 2), (584, 2), (585, 2)]
    assert desires(autoscaler(), steps, current=10) == [10, 10, 10, 10, 10, 3, 3, 2]


def test_a_start_counts_as_a_recommendation():
    assert desires(autoscaler(), [(7, 2), (306.9, 2), (307, 2)], current=10) == [10, 10, 2]


def test_scaling_up_takes_the_lowest_recommendation_of_its_window():
    policy = autoscaler(scale_up=dataclasses.replace(FREE, stabilization_window_s=60))
    steps = [(0, 4), (30, 9), (60, 8), (89.9, 12), (90, 12), (120, 12), (149.9, 20), (150, 20)]
    assert desires(policy, steps, current=4) == [4, 4, 8, 8, 8, 12, 12, 12]


def test_windows_are_exact_where_floats_are_not():
    """0.1 + 0.2 s is not 0.3 s; both are 300,000,000 ns after the start."""
    policy = autoscaler(scale_down=dataclasses.replace(FREE, stabilization_window_s=0.2))
    assert 0.1 + 0.2 != 0.3
    assert desires(policy, [(0.1, 2), (0.1 + 0.2 - 2e-9, 2)], current=10) == [10, 10]
    for end_s in (0.1 + 0.2, 0.3):
        assert desires(policy, [(0.1, 10), (end_s, 2)], current=10) == [10, 2]


def test_the_state_holds_no_more_than_windows_and_periods_reach():
    """Asked for one pod less every 15 s, each of the last 300 s may still be the highest; up and down only two may."""
    policy, state, current = autoscaler(max_replicas=500, tolerance=0), AutoscalerState(), 450
    for k in range(400):
        state, current, _ = decide(policy, state, wanting(450 - k, current), current, 15.0 * k)
    assert len(state.recommendations) == 300 / 15 and len(state.events) <= 1
    assert state.recommendations[0].at_ns == (399 * 15 - 285) * 1_000_000_000
    for k in range(400, 800):
        state, current, _ = decide(policy, state, wanting(40 if k % 2 else 5, current), current, 15.0 * k)
    assert len(state.recommendations) == 2


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 20)), max_size=30), st.integers(0, 400))
def test_what_the_state_leaves_out_changes_no_decision(steps, window_s):
    """Against a state that remembers every recommendation."""
    rules = dataclasses.replace(FREE, stabilization_window_s=window_s)
    policy = autoscaler(max_replicas=30, scale_up=rules, scale_down=rules)
    state, everything, current, now_s = AutoscalerState(), (), 5, 0.0
    for gap_s, wanted in steps:
        now_s += gap_s
        pods, whole = wanting(wanted, current), dataclasses.replace(state, recommendations=everything)
        expected = decide(policy, whole, pods, current, now_s)
        state, desired, reason = decide(policy, state, pods, current, now_s)
        assert (desired, reason) == (expected.desired, expected.reason)
        everything = (*(everything or (Recommendation(to_ns(now_s), current),)), state.recommendations[-1])
        current = desired


# Tolerance, missing figures, several metrics, bounds.


@pytest.mark.parametrize(
    ("connections", "desired"), [(89.999, 9), (90, 10), (100, 10), (109.999, 10), (110, 10), (110.001, 12)]
)
def test_tolerance_ends_at_its_edge_and_includes_it(connections, desired):
    assert decide(autoscaler(scale_down=FREE), AutoscalerState(), loaded(10, connections), 10, 0).desired == desired


def test_utilization_is_whole_per_cent_as_in_the_controller():
    """55.9 % is 55 % and within tolerance of 50 %; 56 % is not, and 559.9 thousandths of a core are 560."""
    for usage, desired in ((0.559, 10), (0.5599, 12)):
        pod = Pod({"cpu": usage}, {"cpu": 1.0}, started_s=0, ready_changed_s=0)
        assert decide(autoscaler([CPU]), AutoscalerState(), [pod] * 10, 10, NOW_S).desired == desired


@pytest.mark.parametrize(
    ("connections", "n_known", "n_missing", "desired"),
    [
        (300, 6, 4, 18),  # 1,800 over ten pods: those without a figure count as idle
        (150, 8, 2, 12),  # 1,200 over ten
        (120, 9, 1, 10),  # 1,080 over ten is within tolerance
        (120, 6, 4, 10),  # 720 over ten would turn the direction
        (20, 6, 4, 6),  # 120 and four at the target: 520 over ten
        (85, 5, 5, 10),  # 425 and five at the target: 925 over ten is within tolerance
    ],
)
def test_missing_figures_count_against_the_direction(connections, n_known, n_missing, desired):
    pods = loaded(n_known, connections) + [Pod()] * n_missing
    assert decide(autoscaler(scale_up=FREE, scale_down=FREE), AutoscalerState(), pods, 10, 0).desired == desired


def test_the_largest_count_of_several_metrics_wins():
    pods = [Pod({"connections": 150, "cpu": 0.6}, {"cpu": 1.0}, started_s=0, ready_changed_s=0)] * 10
    policy = autoscaler([CONNECTIONS, CPU, QUEUE], scale_up=FREE)
    assert decide(policy, AutoscalerState(), pods, 10, NOW_S, {"queue": 130}).desired == 15
    assert decide(policy, AutoscalerState(), pods, 10, NOW_S, {"queue": 170}).desired == 17


@pytest.mark.parametrize(("connections", "desired"), [(200, 20), (104, 10), (50, 10)])
def test_a_metric_without_a_figure_allows_scaling_up_only(connections, desired):
    policy = autoscaler([QUEUE, CONNECTIONS], scale_up=FREE, scale_down=FREE)
    _, found, reason = decide(policy, AutoscalerState(), loaded(10, connections), 10, 0)
    assert found == desired
    assert (reason == "there is no figure of queue: held at 10") == (connections == 50)


def test_without_any_figure_nothing_moves_and_nothing_is_recommended():
    state, desired, reason = decide(autoscaler(), AutoscalerState(), [Pod()] * 4, 4, 0)
    assert (state.recommendations, desired) == ((Recommendation(0, 4),), 4)
    assert reason == "no pod that counts has a figure of connections: held at 4"


def test_bounds_come_before_metrics():
    policy = autoscaler(min_replicas=3, max_replicas=9)
    assert decide(policy, AutoscalerState(), wanting(5, 12), 12, 0)[1:] == (
        9,
        "12 to 9 pods, the most that max_replicas allows",
    )
    assert decide(policy, AutoscalerState(), wanting(5, 2), 2, 0)[1:] == (
        3,
        "2 to 3 pods, the fewest that min_replicas allows",
    )
    assert decide(policy, AutoscalerState(), [], 0, 0)[1:] == (
        0,
        "0 pods were asked for, which switches autoscaling off",
    )


def test_from_no_pods_an_external_metric_starts_some():
    policy = autoscaler([QUEUE], min_replicas=0, scale_down=FREE)
    assert decide(policy, AutoscalerState(), [], 0, 0, {"queue": 201}).desired == 3
    assert decide(policy, AutoscalerState(), [], 0, 0, {"queue": 0}).desired == 0
    assert decide(policy, AutoscalerState(), [Pod()] * 2, 2, 0, {"queue": 0}).desired == 0
    average = dataclasses.replace(policy, metrics=[dataclasses.replace(QUEUE, target_kind="average_value")])
    assert decide(average, AutoscalerState(), [], 0, 0, {"queue": 201}).desired == 3


@pytest.mark.parametrize(
    ("wanted", "changes", "reason"),
    [
        (41, {}, "connections 102.5 a pod against 100: within tolerance (1.02)"),
        (48, {}, "connections 120 a pod against 100: 40 to 48 pods"),
        (
            20,
            {"scale_down": ScalingRules(0, (ScalingPolicy("percent", 10, 60),))},
            "connections 50 a pod against 100: 40 to 20 pods, held at 36 by scale-down policy 10 %/60 s",
        ),
        (
            20,
            {},
            "connections 50 a pod against 100: 40 to 20 pods, held at 40 by the highest recommendation of 300 s",
        ),
        (
            60,
            {"scale_up": dataclasses.replace(SCALE_UP, stabilization_window_s=90)},
            "connections 150 a pod against 100: 40 to 60 pods, held at 40 by the lowest recommendation of 90 s",
        ),
        (
            60,
            {"scale_up": dataclasses.replace(SCALE_UP, select_policy="disabled")},
            "connections 150 a pod against 100: 40 to 60 pods, held at 40 by scale-up, which is disabled",
        ),
        (60, {"max_replicas": 50}, "connections 150 a pod against 100: 40 to 60 pods, held at 50 by max_replicas"),
        (
            4,
            {"min_replicas": 30, "scale_down": FREE},
            "connections 10 a pod against 100: 40 to 4 pods, held at 30 by min_replicas",
        ),
    ],
)
def test_the_reason_is_one_sentence(wanted, changes, reason):
    assert decide(autoscaler(**changes), AutoscalerState(), wanting(wanted, 40), 40, 0).reason == reason


# Properties.

COUNTS = st.integers(1, 200)
USAGES = st.lists(st.one_of(st.none(), st.integers(0, 1_000)), min_size=1, max_size=20)
POLICIES = st.builds(ScalingPolicy, st.sampled_from(["pods", "percent"]), st.integers(1, 200), st.integers(1, 120))
RULES = st.builds(
    ScalingRules,
    st.integers(0, 120),
    st.lists(POLICIES, min_size=1, max_size=3).map(tuple),
    st.sampled_from(["max", "min", "disabled"]),
)


@st.composite
def autoscalers(draw):
    low, high = sorted((draw(COUNTS), draw(COUNTS)))
    return autoscaler(min_replicas=low, max_replicas=high, scale_up=draw(RULES), scale_down=draw(RULES))


def pods_of(usages):
    return [Pod(usage={"connections": usage}) for usage in usages]


@settings(deadline=None)
@given(autoscalers(), st.lists(st.tuples(st.integers(0, 60), USAGES), min_size=1, max_size=12), COUNTS)
def test_what_is_desired_stays_within_bounds(policy, steps, current):
    """Whatever the metrics say; a change is remembered, and only out of bounds a disabled direction is taken."""
    state, now_s = AutoscalerState(), 0
    for wait_s, usages in steps:
        now_s, before = now_s + wait_s, current
        state, current, reason = decide(policy, state, pods_of(usages), before, now_s)
        assert policy.min_replicas <= current <= policy.max_replicas and reason
        if current != before:
            assert state.events[-1] == (now_s * 1_000_000_000, current - before)
            rules = policy.scale_up if current > before else policy.scale_down
            assert rules.select_policy != "disabled" or not policy.min_replicas <= before <= policy.max_replicas


@settings(deadline=None)
@given(USAGES, st.booleans())
def test_a_metric_never_asks_against_its_own_direction(usages, cpu_too):
    """With figures or without: above the target never for fewer pods, below it never for more."""
    pods, metric = pods_of(usages), CONNECTIONS
    if cpu_too:
        times = [(NOW_S - 10 * i, NOW_S - 10 * i) for i in range(len(usages))]
        pods = [
            Pod(
                {"cpu": None if usage is None else usage / 1000}, {"cpu": 0.5}, "running", i % 3 > 0, False, a, b, NOW_S
            )
            for i, (usage, (a, b)) in enumerate(zip(usages, times, strict=True))
        ]
        metric = CPU
    replicas, usage, _ = calculated(metric, pods, len(pods))
    if replicas is not None:
        assert (replicas - len(pods)) * (usage - metric.target) >= 0


@settings(deadline=None)
@given(USAGES, st.data())
def test_more_usage_never_asks_for_fewer_pods(usages, data):
    more = [usage if usage is None else usage + data.draw(st.integers(0, 200)) for usage in usages]
    less_asked, more_asked = (calculated(CONNECTIONS, pods_of(row), len(row)).replicas for row in (usages, more))
    assert less_asked is None or less_asked <= more_asked


@settings(deadline=None)
@given(COUNTS, st.integers(90, 110), st.integers(1, 10))
def test_within_tolerance_nothing_changes_however_often_it_is_asked(current, connections, times):
    state = AutoscalerState()
    for k in range(times):
        state, desired, _ = decide(autoscaler(), state, loaded(current, connections), current, 15.0 * k)
        assert desired == current and state.events == ()


@settings(deadline=None)
@given(COUNTS, st.integers(0, 1_000).filter(lambda usage: not 90 <= usage <= 110))
def test_without_limits_the_count_is_usage_over_target_rounded_up(current, connections):
    policy = autoscaler(max_replicas=10_000, scale_up=FREE, scale_down=FREE)
    desired = decide(policy, AutoscalerState(), loaded(current, connections), current, 0).desired
    exact = -(-connections * current // 100)
    # The controller multiplies floats, which may lie a little above a whole number.
    assert desired in (max(1, exact), exact + 1 if connections * current % 100 == 0 else max(1, exact))


# A policy like the others.


def test_an_autoscaler_is_a_frozen_hashable_value():
    policy = autoscaler([CONNECTIONS, CPU])
    twin = dataclasses.replace(policy)
    assert policy == twin and hash(policy) == hash(twin) and pickle.loads(pickle.dumps(policy)) == policy
    for value in (policy, policy.scale_up, policy.scale_up.policies[0], CPU, AutoscalerState(), Pod()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, 1)


def test_what_a_caller_needs_comes_from_one_module():
    assert {"Metric", "Pod", "HorizontalPodAutoscaler", "AutoscalerState", "decide"} <= set(autoscaling.__all__)
