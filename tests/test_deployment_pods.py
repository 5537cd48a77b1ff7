"""Pods, the Services before them and the budget for disruptions say what the scenario says, in Kubernetes' words."""

from __future__ import annotations

import pytest

from realtime_sim import deployment
from tests.deployed import chat, container, pod, spec


def test_known_figures_of_a_deployment():
    found = spec(chat())
    assert found["replicas"] == 4
    assert found["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    one = container(chat())
    assert one["resources"] == {
        "requests": {"cpu": "1", "memory": "1073741824"},
        "limits": {"memory": "1073741824"},
    }
    assert one["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert [one[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")] == [
        "/healthz"
    ] * 3
    assert {one["whenUnsatisfiable"] for one in pod(chat())["topologySpreadConstraints"]} == {"ScheduleAnyway"}


@pytest.mark.parametrize(
    ("changes", "skew", "domains", "nodes"),
    [
        ({"slo.survive_servers": 1}, 1, 9, "5 nodes with room, 9 for the most pods"),  # twice four, and one of a deploy
        ({"slo.survive_servers": 2}, 2, 9, "3 nodes with room, 5 for the most pods"),
        ({"slo.survive_servers": 9}, 3, 9, "2 nodes with room, 3 for the most pods"),
        ({"slo.survive_servers": 1, "servers.count": 1}, 1, 3, "2 nodes with room, 3 for the most pods"),
    ],
)
def test_no_node_holds_more_pods_than_may_die(changes, skew, domains, nodes):
    made = deployment.manifests(chat(**changes))
    hosts, zones = made["deployment.yaml"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert hosts["whenUnsatisfiable"] == "DoNotSchedule" and hosts["topologyKey"] == "kubernetes.io/hostname"
    assert (hosts["maxSkew"], hosts["minDomains"]) == (skew, domains)
    assert (zones["whenUnsatisfiable"], zones["maxSkew"]) == ("ScheduleAnyway", 1)
    [note] = [one for one in made.notes if one.startswith("slo.survive_servers: it counts pods, neither nodes nor")]
    assert nodes in note and f"maxSkew {skew}." in note
    assert "slo.survive_servers counts pods" in made.yaml("deployment.yaml")


def placed(n_pods: int, n_nodes: int, skew: int, domains: int) -> list[int]:
    """Pods of each node, where every one goes to the fullest node that the rule allows (Kubernetes documentation, "Pod
    Topology Spread Constraints": the skew is that of the node to the emptiest, or to 0 below `minDomains` nodes)."""
    nodes = [0] * n_nodes
    for _ in range(n_pods):
        least = min(nodes) if n_nodes >= domains else 0
        allowed = [i for i, held in enumerate(nodes) if held + 1 - least <= skew]
        if allowed:
            nodes[max(allowed, key=lambda i: nodes[i])] += 1
    return nodes


@pytest.mark.parametrize("survive", [1, 2, 3])
@pytest.mark.parametrize("n_nodes", range(1, 13))
def test_the_worst_scheduler_that_keeps_to_the_rule_keeps_the_promise(survive, n_nodes):
    """Up to nine pods; without `minDomains` four pods on three nodes would share one."""
    made = deployment.manifests(chat(**{"slo.survive_servers": survive}))
    hosts, _ = made["deployment.yaml"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    for n_pods in range(1, 10):
        nodes = placed(n_pods, n_nodes, hosts["maxSkew"], hosts["minDomains"])
        assert max(nodes) <= survive and sum(nodes) == min(n_pods, n_nodes * survive)
    assert placed(4, 3, 1, 1) == [2, 1, 1]


@pytest.mark.parametrize(
    ("balancer", "affinity", "reason"),
    [
        ({"affinity": "cookie"}, "ClientIP", "a Service reads no cookies"),
        ({"policy": "source_hash"}, "ClientIP", "goes where its address says"),
        ({"policy": "least_connections"}, "None", "each connection goes to any pod"),
    ],
)
def test_a_service_keeps_clients_where_the_scenario_does(balancer, affinity, reason):
    made = deployment.manifests(chat(balancer=balancer))
    found = made["service.yaml"]["spec"]
    assert found["sessionAffinity"] == affinity
    assert ("sessionAffinityConfig" in found) == (affinity == "ClientIP")
    assert reason in made.reasons("service.yaml")[("spec", "sessionAffinity")]
    assert made["service-pods.yaml"]["spec"]["clusterIP"] == "None"


def test_without_memory_the_request_is_what_the_profile_says_of_a_full_pod():
    open_ended = chat(**{"servers.memory": None, "slo.survive_servers": 1})
    found = container(open_ended)["resources"]
    assert found["requests"]["memory"] == str(open_ended.servers.resolved_costs.memory_bytes(334))  # 1,000 on three
    assert "limits" not in found
    assert any(note.startswith("servers.memory") for note in deployment.manifests(open_ended).notes)


@pytest.mark.parametrize(("promised", "n", "most"), [(None, 4, 1), (0, 4, 1), (2, 4, 2), (9, 4, 3), (1, 1, 1)])
def test_a_budget_lets_as_many_go_as_may_be_lost(promised, n, most):
    changes = {"servers.count": n, "servers.max_connections": 2_000, "slo.survive_servers": promised}
    assert spec(chat(**changes), "disruption-budget.yaml")["maxUnavailable"] == most


def test_a_budget_for_connections_paces_a_deploy():
    """250 connections a pod at 10/s take 25 s; the drain is 30 s, as servers.grace says."""
    fault = {"at": 1, "kind": "rolling_deploy", "budget": "10/s"}
    assert spec(chat(faults=[fault]))["minReadySeconds"] == 30
    slow = spec(chat(faults=[fault | {"budget": "0.1/s"}]))  # 2,500 s; Kubernetes wants the deadline to be longer
    assert slow["progressDeadlineSeconds"] > slow["minReadySeconds"] == 2_500
    assert "minReadySeconds" not in spec(chat())


def test_a_pause_is_no_death():
    fault = {"at": 1, "kind": "pause_server", "lasts": "45s"}
    probe = container(chat(faults=[fault]))["livenessProbe"]
    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) >= 45
