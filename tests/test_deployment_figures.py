"""Figures of a deployment follow from the scenario, by arithmetic that is worked by hand here, and fit each other."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings

from realtime_sim import deployment, presets
from realtime_sim.deployment.figures import GOODBYE_S, figures_of
from realtime_sim.scenario import Scenario
from tests.deployed import chat, example, seconds_to_drain
from tests.strategies import scenarios


@pytest.mark.parametrize(
    ("changes", "expected_s"),
    [
        ({}, 5 + 30 + 10),  # servers.grace is 30 s unless given
        ({"servers.grace": "2min"}, 5 + 120 + 10),
        ({"servers.grace": "0s", "servers.costs.handshake": "1ms"}, 5 + 1 + 10),  # 250 clients over three pods
        ({"balancer.detection": "12.5s"}, 13 + 30 + 10),
        ({"faults": [{"at": 1, "kind": "drain_server", "server": 0, "over": "45s"}]}, 5 + 45 + 10),
        # 250 connections a pod, two pods at a time at 5/s together: 100 s.
        (
            {"faults": [{"at": 1, "kind": "rolling_deploy", "surge": 1, "max_unavailable": 1, "budget": "5/s"}]},
            5 + 100 + 10,
        ),
        # Others let in 1/s each, and there are three: 83.3 s for 250 clients.
        ({"servers.admission.rate": "1/s"}, 5 + 84 + 10),
    ],
)
def test_known_times_to_terminate(changes, expected_s):
    assert seconds_to_drain(chat(**changes)) == expected_s


def test_an_autoscaler_on_connections_decides_how_many_pods_there_are_when_all_are_there():
    """8,000 clients at 2,000 a pod are four, though it begins with two; the budget for disruptions knows of two."""
    found = figures_of(example("autoscaling"))
    assert (found.pods, found.full_pods, found.most_pods, found.each.value) == (2, 4, 10, 2_000)
    cpu = {"max_replicas": 9, "metrics": [{"name": "cpu", "target": 70}]}
    assert figures_of(chat(autoscaling=cpu)).full_pods == 4


def test_a_million_connections_have_round_figures():
    """20 pods of 50,000; the drain is longer than servers.grace where the others cannot accept so fast."""
    million = presets.load("million")
    found = figures_of(million)
    assert found.each.value == 50_000
    assert found.drain.value >= 30
    assert found.termination.value == 5 + found.drain.value + 10
    counts = [figures_of(million.replace(**{"servers.count": n})).each.value for n in (20, 21, 40)]
    assert all(a > b for a, b in pairwise(counts)) and counts[1] == math.ceil(1e6 / 21)


@given(scenarios())
@settings(max_examples=40)
def test_figures_fit_each_other(drawn):
    case = Scenario(**drawn)
    made, figures = deployment.manifests(case), figures_of(case)
    deployed = made["deployment.yaml"]["spec"]
    rolling, last = deployed["strategy"]["rollingUpdate"], deployed["template"]["spec"]
    assert last["terminationGracePeriodSeconds"] >= figures.drain.value + figures.pre_stop.value + GOODBYE_S
    assert figures.drain.value >= case.servers.grace
    assert rolling["maxSurge"] + rolling["maxUnavailable"] >= 1, "a deploy could never begin"
    scaler = made["autoscaler.yaml"]["spec"]
    if case.autoscaling is None:
        [metric] = scaler["metrics"]
        target = int(metric["pods"]["target"]["averageValue"])
        assert target * scaler["minReplicas"] >= case.n_clients
        assert scaler["minReplicas"] == deployed["replicas"] == case.servers.count
    gone = made["disruption-budget.yaml"]["spec"]["maxUnavailable"]
    assert 1 <= gone <= max(1, deployed["replicas"] - 1), "no node could be drained, or all pods at once"
    assert deployed["replicas"] - gone < deployed["replicas"]
