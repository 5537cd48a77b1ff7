"""Manifests are what Kubernetes takes, their numbers follow from the scenario, and notes have what they leave out."""

from __future__ import annotations

import math
from itertools import pairwise

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings

from realtime_sim import deployment, presets
from realtime_sim.deployment.figures import GOODBYE_S, figures_of
from realtime_sim.deployment.target import IMAGE, label_of
from realtime_sim.errors import ScenarioError
from realtime_sim.metrics import METRICS
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.autoscaling import Autoscaling
from realtime_sim.scenario.system import Balancer, Servers, Slo
from tests.conftest import small
from tests.strategies import scenarios

VERSIONS = ("1.31", "1.34")
"""Of Kubernetes, whose published schemas come with `kubernetes-validate`: `sleep` in preStop is on from 1.30 on."""

OF_KUBERNETES = ("deployment.yaml", "service.yaml", "service-pods.yaml", "autoscaler.yaml", "disruption-budget.yaml")
"""What has a published schema; the rules are a kind of the Prometheus Operator."""

EXAMPLES = ["autoscaling", "rolling_deploy", "server_dies", "slow_analytics", "sticky_sessions", "idle_proxy"]


def example(name: str) -> Scenario:
    return Scenario.from_yaml(f"examples/{name}.yaml")


def chat(**changes: object) -> Scenario:
    """1,000 clients on four servers."""
    base = Scenario(
        name="chat",
        duration="1min",
        clients=[{"name": "phones", "count": 1_000}],
        servers={"count": 4, "memory": "1GiB", "max_connections": 400},
        broker={"kind": "redis_pubsub"},
        slo={"p99": "250ms"},
    )
    return base.replace(**changes) if changes else base


def spec(scenario: Scenario, file: str = "deployment.yaml") -> dict:
    return deployment.manifests(scenario)[file]["spec"]


def pod(scenario: Scenario) -> dict:
    return spec(scenario)["template"]["spec"]


def container(scenario: Scenario) -> dict:
    [one] = pod(scenario)["containers"]
    return one


def seconds_to_drain(scenario: Scenario) -> int:
    return pod(scenario)["terminationGracePeriodSeconds"]


# The published schemas.


def assert_taken(scenario: Scenario, versions: tuple[str, ...] = VERSIONS[-1:]) -> None:
    made = deployment.manifests(scenario)
    for file in OF_KUBERNETES:
        for version in versions:
            assert kubernetes_validate.validate(made[file], version, strict=True) == version


def test_older_and_newer_kubernetes_take_it():
    assert_taken(chat(), VERSIONS)


@pytest.mark.parametrize("name", presets.NAMES)
def test_kubernetes_takes_what_comes_of_a_preset(name):
    assert_taken(presets.load(name))


@pytest.mark.parametrize("name", EXAMPLES)
def test_kubernetes_takes_what_comes_of_an_example(name):
    assert_taken(example(name))


@settings(max_examples=8)
@given(scenarios())
def test_kubernetes_takes_what_comes_of_any_scenario(drawn):
    assert_taken(Scenario(**drawn))


def test_the_schemas_find_what_is_wrong():
    """Strict schemas: a field that does not exist, and a number where there must be text."""
    made = deployment.manifests(chat())
    for file, path, value in (
        ("deployment.yaml", ("spec", "replica"), 4),
        ("service.yaml", ("spec", "sessionAffinity"), 3),
        ("autoscaler.yaml", ("spec", "minReplicas"), "few"),
    ):
        broken = made[file]
        inner = broken
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


# Known values, worked by hand.


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


def test_the_autoscaler_of_an_answer_never_goes_below_it():
    found = spec(chat(), "autoscaler.yaml")
    assert (found["minReplicas"], found["maxReplicas"]) == (4, 8)
    [metric] = found["metrics"]
    assert metric["pods"]["metric"]["name"] == METRICS["active_connections"].name == "realtime_active_connections"
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "250"}
    [step] = found["behavior"]["scaleDown"]["policies"]
    assert step["value"] == 1 and step["periodSeconds"] >= seconds_to_drain(chat())


def test_an_autoscaler_of_the_scenario_is_written_as_it_is():
    scaling = {
        "min_replicas": 3,
        "max_replicas": 9,
        "metrics": [
            {"name": "connections", "target": 333.5},
            {"name": "cpu", "target": 70},
            {"name": "messages_per_s", "target": 1_000},
        ],
        "scale_up": {"stabilization": "30s", "policies": [{"kind": "percent", "value": 50, "period": "1min"}]},
    }
    found = spec(chat(autoscaling=scaling), "autoscaler.yaml")
    assert (found["minReplicas"], found["maxReplicas"]) == (3, 9)
    connections, cpu, messages = found["metrics"]
    assert connections["pods"]["target"]["averageValue"] == "333500m"
    assert cpu["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    assert messages["pods"]["metric"]["name"] == "realtime_sends_per_second"
    assert found["behavior"]["scaleUp"] == {
        "stabilizationWindowSeconds": 30,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    }
    # The defaults of Kubernetes: 100 % every 15 s, after 5 min.
    assert found["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert found["behavior"]["scaleDown"]["policies"] == [{"type": "Percent", "value": 100, "periodSeconds": 15}]


@pytest.mark.parametrize(("promised", "n", "most"), [(None, 4, 1), (0, 4, 1), (2, 4, 2), (9, 4, 3), (1, 1, 1)])
def test_a_budget_lets_as_many_go_as_may_be_lost(promised, n, most):
    changes = {"servers.count": n, "servers.max_connections": 2_000, "slo.survive_servers": promised}
    assert spec(chat(**changes), "disruption-budget.yaml")["maxUnavailable"] == most


def test_an_autoscaler_on_connections_decides_how_many_pods_there_are_when_all_are_there():
    """8,000 clients at 2,000 a pod are four, though it begins with two; the budget for disruptions knows of two."""
    found = figures_of(example("autoscaling"))
    assert (found.pods, found.full_pods, found.most_pods, found.each.value) == (2, 4, 10, 2_000)
    cpu = {"max_replicas": 9, "metrics": [{"name": "cpu", "target": 70}]}
    assert figures_of(chat(autoscaling=cpu)).full_pods == 4


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


@pytest.mark.parametrize(
    ("name", "label"),
    [("chat", "chat"), ("My Chat: 2", "my-chat-2"), ("9 rooms", "rt-9-rooms"), ("…", "realtime"), ("x" * 90, "x" * 50)],
)
def test_a_name_becomes_a_label(name, label):
    assert label_of(name) == label
    assert deployment.manifests(small(name=name))["deployment.yaml"]["metadata"]["name"] == label


# What must hold for any scenario.


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


@given(scenarios())
@settings(max_examples=8)
def test_yaml_says_what_the_objects_say_and_why(drawn):
    made = deployment.manifests(Scenario(**drawn))
    for file in made:
        text = made.yaml(file)
        assert yaml.safe_load(text) == made[file]
        assert not [line for line in text.splitlines() if line.lstrip().startswith("#") and len(line) > 120]
        for path in made.reasons(file):
            inner = made[file]
            for step in path:
                inner = inner[step]
    assert list(yaml.safe_load_all(made.yaml())) == [made[file] for file in made]


def test_every_number_has_a_reason_on_its_way():
    """A port is a matter of course; everything else that is a number says where it comes from."""
    made = deployment.manifests(example("rolling_deploy").replace(**{"servers.memory": "1GiB"}))
    bare = []
    for file in OF_KUBERNETES:
        told = made.reasons(file)
        for path, value in leaves(made[file]):
            is_number = isinstance(value, int) and path[-1] not in ("port", "containerPort", "maxSkew")
            if is_number and not any(path[:n] in told for n in range(1, len(path) + 1)):
                bare.append((file, path))
    # A start is looked at every second.
    assert {path[-2:] for _, path in bare} <= {("startupProbe", "periodSeconds")}


def leaves(value: object, path: tuple = ()):
    if isinstance(value, (dict, list)):
        for step, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, (*path, step))
    else:
        yield path, value


# Nothing is dropped in silence.

SCALING = {"max_replicas": 9, "metrics": [{"name": "connections", "target": 250}]}
RULES = {"stabilization": "1min", "policies": [{"kind": "pods", "value": 2, "period": "1min"}]}
CHANGES = {
    "servers.count": 3,
    "servers.profile": "centrifugo",
    "servers.costs": {"send": "1us"},
    "servers.workers": 2,
    "servers.stack": "socketio",
    "servers.fanout": "task_per_client",
    "servers.max_connections": 399,
    "servers.memory": "2GiB",
    "servers.egress": "1 Gbit/s",
    "servers.backlog": 128,
    "servers.startup": "11s",
    "servers.connection_age": "10min",
    "servers.grace": "31s",
    "servers.admission": {"rate": "500/s"},
    "balancer.policy": "round_robin",
    "balancer.affinity": "cookie",
    "balancer.detection": "3s",
    "autoscaling.min_replicas": 2,
    "autoscaling.max_replicas": 8,
    "autoscaling.metrics": [{"name": "connections", "target": 251}],
    "autoscaling.tolerance": 0.2,
    "autoscaling.sync_period": "30s",
    "autoscaling.scale_up": RULES,
    "autoscaling.scale_down": RULES,
    "slo.p50": "50ms",
    "slo.p90": "50ms",
    "slo.p95": "50ms",
    "slo.p99": "50ms",
    "slo.p999": "50ms",
    "slo.max_lost_ratio": 0.01,
    "slo.recover_within": "20s",
    "slo.survive_servers": 2,
    "slo.max_utilization": 0.5,
    "slo.headroom": 0.3,
    "slo.survive_deploy": True,
    "clients.phones.count": 900,
    "clients.phones.keepalive": {"interval": "7s", "timeout": "3s"},
    "clients.phones.network.idle_timeout": "90s",
    "broker": {"kind": "nats"},
    "broker.subscription": "per_room",
    "host": {"cores": 4},
    "faults": [{"at": 1, "kind": "rolling_deploy", "surge": 2}],
}
"""Another value for each."""


def known(path: str) -> bool:
    return not path.startswith("slo.") or path.removeprefix("slo.") in Slo.model_fields


@pytest.mark.parametrize("path", [path for path in CHANGES if known(path)])
def test_no_knob_is_dropped_in_silence(path):
    base = chat(autoscaling=SCALING) if path.startswith("autoscaling.") else chat()
    changed = base.replace(**{path: CHANGES[path]})
    before, after = deployment.manifests(base), deployment.manifests(changed)
    assert before.yaml() != after.yaml() or before.notes != after.notes


@pytest.mark.parametrize(("part", "model"), [("servers", Servers), ("balancer", Balancer), ("autoscaling", Autoscaling),
                                             ("slo", Slo)])  # fmt: skip
def test_every_field_of_the_machinery_is_asked_after(part, model):
    assert {path.partition(".")[2] for path in CHANGES if path.startswith(f"{part}.")} >= set(model.model_fields)


def test_notes_begin_with_the_field_they_are_about():
    notes = deployment.manifests(chat(balancer={"affinity": "cookie"})).notes
    assert all(note.split(":")[0].split(" ")[0].split(".")[0].rstrip(",") for note in notes)
    places = [note.partition(":")[0].partition(" ")[0] for note in notes]
    assert "balancer.policy" in places and "balancer.affinity" in places and "servers.grace" in places
    assert len(set(places)) == len(places)


def test_pods_that_cannot_hold_all_clients_are_noted():
    [note] = [one for one in deployment.manifests(chat(**{"servers.max_connections": 100})).notes if "admit" in one]
    assert note.startswith("servers.count: 8 pods, the most there may be, admit 800 of 1,000 clients")


def test_a_deploy_that_makes_a_storm_is_noted():
    """Four pods let in 4 clients/s, and a deploy makes 8.3/s; with a budget it does not."""
    calm = {"at": 1, "kind": "rolling_deploy", "budget": "3/s"}
    throttled = chat(**{"servers.admission.rate": "1/s"})
    assert any(note.startswith("faults.rolling_deploy: ") for note in deployment.manifests(throttled).notes)
    paced = deployment.manifests(throttled.replace(faults=[calm])).notes
    assert not any(note.startswith("faults.rolling_deploy: ") for note in paced)


def test_an_autoscaler_that_cannot_hold_all_clients_is_noted():
    scaling = {"max_replicas": 4, "metrics": [{"name": "connections", "target": 200}]}
    [note] = [one for one in deployment.manifests(chat(autoscaling=scaling)).notes if "max_replicas" in one]
    assert "4 pods of 200 connections hold 800 of 1,000 clients" in note


# Files.


def test_files_are_written_with_reasons_and_notes(tmp_path):
    made = deployment.manifests(chat(), image="chat-server:1.4", namespace="push", name="rooms", port=9000)
    written = made.write(tmp_path / "deep" / "folder")
    assert [path.name for path in written] == [*made, "notes.md"]
    for path in written[:-1]:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# chat: 1,000 clients on 4 pods\n")
        assert yaml.safe_load(text) == made[path.name]
        assert yaml.safe_load(text)["metadata"]["namespace"] == "push"
    assert written[-1].read_text(encoding="utf-8").count("\n- ") == len(made.notes)
    assert "# servers.count. Once the autoscaler" in made.yaml("deployment.yaml")
    assert str(made).startswith("chat: 1,000 clients on 4 pods\n\ndeployment.yaml\n")


def test_a_mapping_is_what_it_looks_like_and_gives_copies():
    made = deployment.manifests(chat())
    assert len(made) == len(list(made)) == 6
    made["deployment.yaml"]["spec"]["replicas"] = 99
    assert made["deployment.yaml"]["spec"]["replicas"] == 4
    with pytest.raises(KeyError):
        made["ingress.yaml"]


def test_all_objects_name_one_another():
    made = deployment.manifests(chat(), name="rooms")
    labels = made["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    for file in ("service.yaml", "service-pods.yaml"):
        assert made[file]["spec"]["selector"] == labels
    assert made["disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert made["autoscaler.yaml"]["spec"]["scaleTargetRef"]["name"] == made["deployment.yaml"]["metadata"]["name"]
    ports = made["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert made["service.yaml"]["spec"]["ports"][0]["targetPort"] == ports[0]["name"]


# Errors.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": ""}, "image must be the name of an image, got ''; write it like chat-server:1.4"),
        ({"image": "a b"}, "image must be the name of an image, got 'a b'"),
        (
            {"namespace": "Push"},
            "namespace must be a DNS label of at most 63 signs that begins with a letter, got 'Push'",
        ),
        ({"name": "x" * 51}, "name must be a DNS label of at most 50 signs"),
        ({"port": 0}, "port must be from 1 to 65_535, got 0; use the port that the server listens on"),
        ({"port": True}, "port must be from 1 to 65_535, got True"),
    ],
)
def test_what_kubernetes_would_not_take_is_refused(arguments, message):
    with pytest.raises(ScenarioError) as caught:
        deployment.manifests(chat(), **arguments)
    assert message in str(caught.value)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ScenarioError) as caught:
        deployment.manifests(chat(), image=" ", namespace="-", port=70_000)
    assert [problem.path for problem in caught.value.problems] == ["namespace", "image", "port"]


def test_something_else_than_a_scenario_is_refused():
    with pytest.raises(ScenarioError, match="scenario must be a Scenario, got 'dict'; make one with"):
        deployment.manifests({"name": "chat"})


def test_a_placeholder_stands_for_the_image():
    assert container(chat())["image"] == IMAGE


def test_a_million_connections_have_round_figures():
    """20 pods of 50,000; the drain is longer than servers.grace where the others cannot accept so fast."""
    million = presets.load("million")
    found = figures_of(million)
    assert found.each.value == 50_000
    assert found.drain.value >= 30
    assert found.termination.value == 5 + found.drain.value + 10
    counts = [figures_of(million.replace(**{"servers.count": n})).each.value for n in (20, 21, 40)]
    assert all(a > b for a, b in pairwise(counts)) and counts[1] == math.ceil(1e6 / 21)
