"""A metric asks for the replicas that the controller of Kubernetes asks for, case by case as published."""

from __future__ import annotations

import dataclasses

import pytest

from realtime_sim.policies.replicas import Metric, Pod, propose

NOW_S = 10_000.0
CONNECTIONS = Metric("connections", 100)
CPU = Metric("cpu", 50, "utilization")


def loaded(n_pods, connections):
    """That many pods with that many connections each."""
    return [Pod(usage={"connections": connections})] * n_pods


# Known values: pkg/controller/podautoscaler/replica_calculator_test.go of Kubernetes at 0006726 (1.22), with its
# settings: CPU initializes for 2 min, readiness for 10 s, windows are of 1 min, and all times are zero but the start of
# a hot pod, which is now. Usages and targets are thousandths there. Figures of pods that do not exist cannot be said
# here: its case of nothing else is left out, and its case with two more beside four pods is the four.


def published(usages, ready="", hot="", phases="", deleting="", requests=None, n_pods=None):
    """Pods as that file describes them: one letter a pod, `y` or `n`; phases `r`, `p` and `f`; None is no sample."""
    n_pods = n_pods or max(len(usages), len(ready), len(phases))
    named = {"r": "running", "p": "pending", "f": "failed"}

    def is_set(flags, i, otherwise=False):
        return flags[i] == "y" if i < len(flags) else otherwise

    return [
        Pod(
            usage={} if i >= len(usages) else {"cpu": usages[i] / 1000, "qps": usages[i] / 1000},
            requests={"cpu": requests[i] / 1000 if requests else 1.0},
            phase=named[phases[i]] if phases else "running",
            ready=is_set(ready, i, otherwise=True),
            deleting=is_set(deleting, i),
            started_s=NOW_S if is_set(hot, i) else 0.0,
            ready_changed_s=0.0,
            sampled_s=0.0,
            sample_window_s=60.0,
        )
        for i in range(n_pods)
    ]


def calculated(metric, pods, current, value=None, now_s=NOW_S):
    return propose(
        metric,
        pods,
        current,
        now_s,
        value,
        tolerance=0.1,
        initial_readiness_delay_s=10,
        cpu_initialization_period_s=120,
    )


def cpu(percent):
    return Metric("cpu", percent, "utilization")


TEN = [400, 200, 310, 290, 302, 298, 301, 299, 300, 300]


@pytest.mark.parametrize(
    ("percent", "current", "pods", "expected", "utilization"),
    [
        (30, 3, published([300, 500, 700]), 5, 50),
        (30, 3, published([300, 500, 700], ready="nyy"), 4, 60),
        (30, 3, published([300, 500, 700], hot="ynn"), 4, 60),
        (30, 3, published([400, 500, 700], ready="ynn"), 3, 40),
        (30, 3, published([400, 500, 700], ready="ynn", hot="nyy"), 3, 40),
        (30, 2, published([500, 700], ready="yynn", phases="rrff"), 4, 60),
        (30, 2, published([500, 700], ready="yynn", deleting="nnyy"), 4, 60),
        (50, 5, published([100, 300, 500, 250, 250]), 3, 28),
        (50, 5, published([100, 300, 500, 250, 250], ready="yyynn"), 2, 30),
        (50, 5, published([100, 300, 500, 250, 250], hot="nnnyy"), 2, 30),
        (50, 5, published([100], ready="ynnnn", phases="rpppp"), 1, 10),
        (50, 5, published([100, 300, 500, 250, 250], ready="yyyyynn", phases="rrrrrff"), 3, 28),
        (50, 5, published([100, 300, 500, 250, 250], ready="yyyyynn", deleting="nnnnnyy"), 3, 28),
        (100, 3, published([1010, 1030, 1020], requests=[900, 1000, 1100]), 3, 102),
        (100, 4, published([4000, 9500, 3000, 7000]), 24, 587),
        (100, 4, published([400, 95], n_pods=4), 3, 24),
        (100, 2, published([1000], n_pods=2), 2, 100),
        (100, 2, published([1900], n_pods=2), 2, 190),
        (100, 2, published([600], n_pods=2), 2, 60),
        (50, 3, published([100, 450], ready="nyy"), 3, 45),
        (50, 3, published([100, 450], hot="ynn", n_pods=3), 3, 45),
        (50, 3, published([100, 2000], ready="nyy"), 4, 200),
        (50, 3, published([100, 2000], ready="nyy", hot="ynn"), 4, 200),
        (50, 4, published([100, 100, 100], ready="nyyy"), 3, 10),
        (50, 2, published([100, 100], phases="rrr"), 2, 10),
        (56, 10, published([150] * 10, requests=TEN), 9, 50),
        (55, 10, published([150] * 10, requests=TEN), 10, 50),
    ],
)
def test_cpu_asks_for_the_published_count(percent, current, pods, expected, utilization):
    assert calculated(cpu(percent), pods, current)[:2] == (expected, utilization)


@pytest.mark.parametrize(
    ("target", "current", "pods", "expected", "average"),
    [
        (15, 3, published([20_000, 10_000, 30_000]), 4, 20),
        (15, 3, published([50_000, 10_000, 30_000], ready="yyn", hot="nny"), 6, 30),
        (15, 3, published([50_000, 15_000, 30_000], ready="nyn", hot="yny"), 7, 31.666),
        (4.4, 1, published([8_600]), 2, 8.6),
        (20, 5, published([12_000] * 5), 3, 12),
        (20, 3, published([20_000, 21_000, 21_000]), 3, 20.666),
    ],
)
def test_a_metric_of_pods_asks_for_the_published_count(target, current, pods, expected, average):
    """Its readiness does not matter, as CPU's does."""
    assert calculated(Metric("qps", target), pods, current)[:2] == (expected, average)


@pytest.mark.parametrize(
    ("kind", "target", "value", "current", "ready", "expected", "usage"),
    [
        ("value", 15, 20, 3, "yyy", 4, 20),
        ("value", 10, 50, 3, "nyn", 5, 50),
        ("value", 4.4, 8.6, 3, "nyn", 2, 8.6),
        ("value", 20, 12, 5, "yyyyy", 3, 12),
        ("value", 14.334, 8.6, 5, "yyyyy", 3, 8.6),
        ("value", 20, 20.666, 3, "yyy", 3, 20.666),
        ("value", 8.888, 8.6, 3, "yyy", 3, 8.6),
        ("average_value", 5, 20, 3, "yyy", 4, 6.667),
        ("average_value", 2.15, 8.6, 3, "yyy", 4, 2.867),
        ("average_value", 2, 6, 5, "yyyyy", 3, 1.2),
        ("average_value", 2.867, 8.6, 5, "yyyyy", 3, 1.72),
        ("average_value", 5, 20.166, 4, "yyyy", 4, 5.042),
        ("average_value", 2.9, 8.6, 3, "yyy", 3, 2.867),
    ],
)
def test_one_figure_for_all_asks_for_the_published_count(kind, target, value, current, ready, expected, usage):
    """Object and external metrics, which reckon alike."""
    metric = Metric("qps", target, kind, external=True)
    assert calculated(metric, published([], ready=ready), current, value)[:2] == (expected, usage)


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        ([], "there is no pod to measure cpu of"),
        (published([], n_pods=4), "no pod that counts has a figure of cpu"),
        (published([200], ready="n"), "no pod that counts has a figure of cpu"),
        ([Pod(usage={"cpu": 0.2})], "a pod requests no cpu, so there is no utilization of it"),
    ],
)
def test_what_cannot_be_measured_asks_for_nothing_and_says_why(pods, reason):
    """The published cases without metrics and without a request, and a pod that does not count."""
    assert calculated(cpu(100), pods, 4) == (None, None, reason)


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        (Pod(started_s=NOW_S), False),
        (Pod(started_s=NOW_S - 60, ready_changed_s=NOW_S - 30, sampled_s=NOW_S, sample_window_s=30), True),
        (Pod(started_s=NOW_S - 60, ready_changed_s=NOW_S - 30, sampled_s=NOW_S, sample_window_s=60), False),
        (Pod(ready=False, started_s=NOW_S - 600, ready_changed_s=NOW_S - 594), False),
        (Pod(started_s=NOW_S - 180, ready_changed_s=NOW_S - 180, sampled_s=NOW_S - 120, sample_window_s=60), True),
        (Pod(ready=False, started_s=NOW_S - 600, ready_changed_s=NOW_S - 540), True),
        (Pod(ready=False, started_s=NOW_S - 600, ready_changed_s=NOW_S - 590), True),
        (Pod(ready=False, started_s=NOW_S - 119, ready_changed_s=NOW_S - 9, sampled_s=NOW_S), False),
        (Pod(ready=False, started_s=NOW_S - 120, ready_changed_s=NOW_S - 9, sampled_s=NOW_S), True),
        (Pod(phase="pending"), False),
    ],
)
def test_cpu_of_a_pod_counts_as_published(pod, counts):
    """The table of TestGroupPods in the same file, and both sides of the end of the initialization."""
    pod = dataclasses.replace(pod, usage={"cpu": 0.5}, requests={"cpu": 1.0})
    proposal = calculated(cpu(50), [pod], 1)
    assert proposal.replicas == (1 if counts else None)


# Rounding, missing figures, reasons.


@pytest.mark.parametrize(("usage", "read"), [(2.007, 2.007), (0.0001, 0.001), (1.2001, 1.201), (1e9, 1e9), (0, 0)])
def test_figures_are_whole_thousandths_rounded_up(usage, read):
    """2.007 * 1000 is a little above 2007 in floats, and is 2007 all the same."""
    assert calculated(CONNECTIONS, loaded(2, usage), 2).usage == read


def test_missing_cpu_counts_in_full_up_to_a_target_above_100_per_cent():
    """Target 150 %: 30 % and a missing pod at 150 % are 90 %, so 0.6 of two pods; at 100 % they would be 0.43, one."""
    known = Pod({"cpu": 0.3}, {"cpu": 1.0}, started_s=0, ready_changed_s=0)
    missing = dataclasses.replace(known, usage={})
    assert calculated(cpu(150), [known, missing], 2).replicas == 2


def test_where_the_others_are_exactly_at_the_target_a_missing_pod_is_idle_or_does_not_count():
    """calcPlainMetricReplicas takes 0 for whatever is not below 1; GetResourceReplicas only for what is above."""
    pods = [*loaded(3, 100), Pod()]
    asked = calculated(CONNECTIONS, pods, 4)
    assert asked.replicas == 3
    assert asked.reason == "connections 100 a pod against 100, 1 unknown counted as idle: 4 to 3 pods"
    ready = Pod({"cpu": 0.5}, {"cpu": 1.0}, started_s=0, ready_changed_s=0)
    assert calculated(cpu(50), [ready] * 3 + [dataclasses.replace(ready, usage={})], 4).replicas == 4


def test_an_external_average_within_tolerance_asks_for_the_pods_there_are():
    """A third pod that a rolling update adds is kept: the controller answers with the pods, not with the count set."""
    metric = Metric("queue", 100, "average_value", external=True)
    assert calculated(metric, [Pod()] * 3 + [Pod(deleting=True), Pod(phase="failed")], 2, 300).replicas == 3


@pytest.mark.parametrize(
    ("usages", "current", "reason"),
    [
        ([100, 2000], 3, "cpu 200 % of request against 50 %, 2 unknown counted as idle: 3 to 4 pods"),
        ([100, 450], 3, "cpu 45 % of request against 50 %, 1 unknown counted in full: held at 3"),
    ],
)
def test_the_reason_tells_of_pods_without_a_figure(usages, current, reason):
    assert calculated(cpu(50), published(usages, ready="nyy"), current).reason.startswith(reason)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Metric("", 1), "name must be the name of a metric, got ''"),
        (lambda: Metric("cpu", 0.5, "utilization"), "target must be a whole number of at least 1, got 0.5"),
        (lambda: Metric("connections", 0), "target must be positive, got 0"),
        (
            lambda: Metric("connections", 1, "average"),
            "target_kind must be 'average_value' or 'utilization' or 'value'",
        ),
        (lambda: Metric("queue", 1, "value"), "external must be True where target_kind is 'value', got False"),
        (
            lambda: Metric("cpu", 50, "utilization", external=True),
            "external must be False where target_kind is 'utilization', got True",
        ),
        (lambda: Pod(usage={"cpu": -1}), "usage.cpu must be at least 0, got -1"),
        (lambda: Pod(requests={"cpu": 0}), "requests.cpu must be positive, got 0"),
        (lambda: Pod(phase="Running"), "phase must be 'pending' or 'running' or 'failed', got 'Running'"),
        (lambda: Pod(started_s="now"), "started_s must be a finite number, got 'now'"),
        (
            lambda: calculated(cpu(50), [Pod({"cpu": 1}, {"cpu": 1}, started_s=NOW_S, ready_changed_s=NOW_S)], 1),
            "sampled_s must be known while a pod initializes, got None; give the time of its CPU figure",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_value(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
