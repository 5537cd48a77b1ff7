"""Manifests are what Kubernetes takes, every number in them has its reason, and they are written whole."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings

from realtime_sim import deployment, presets
from realtime_sim.scenario import Scenario
from tests.deployed import chat, example
from tests.strategies import scenarios

VERSIONS = ("1.31", "1.34")
"""Of Kubernetes, whose published schemas come with `kubernetes-validate`: `sleep` in preStop is on from 1.30 on."""

OF_KUBERNETES = ("deployment.yaml", "service.yaml", "service-pods.yaml", "autoscaler.yaml", "disruption-budget.yaml")
"""What has a published schema; the rules are a kind of the Prometheus Operator."""

EXAMPLES = ["autoscaling", "rolling_deploy", "server_dies", "slow_analytics", "sticky_sessions", "idle_proxy"]


# The published schemas.


def assert_taken(scenario: Scenario, versions: tuple[str, ...] = VERSIONS[-1:]) -> None:
    made = deployment.manifests(scenario)
    for file in OF_KUBERNETES:
        for version in versions:
            assert kubernetes_validate.validate(made[file], version, strict=True) == version


def test_older_and_newer_kubernetes_take_it():
    assert_taken(chat(), VERSIONS)
    assert_taken(chat(**{"slo.survive_servers": 1}), VERSIONS)


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


# What they say, and why.


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


def test_all_objects_name_one_another():
    made = deployment.manifests(chat(), name="rooms")
    labels = made["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    for file in ("service.yaml", "service-pods.yaml"):
        assert made[file]["spec"]["selector"] == labels
    assert made["disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert made["autoscaler.yaml"]["spec"]["scaleTargetRef"]["name"] == made["deployment.yaml"]["metadata"]["name"]
    ports = made["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert made["service.yaml"]["spec"]["ports"][0]["targetPort"] == ports[0]["name"]


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
