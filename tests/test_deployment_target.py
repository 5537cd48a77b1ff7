"""A target has names that Kubernetes takes: one is made where none is given, and a wrong one is refused."""

from __future__ import annotations

import pytest

from realtime_sim import deployment
from realtime_sim.deployment.target import IMAGE, label_of
from realtime_sim.errors import ScenarioError
from tests.conftest import small
from tests.deployed import chat, container


@pytest.mark.parametrize(
    ("name", "label"),
    [("chat", "chat"), ("My Chat: 2", "my-chat-2"), ("9 rooms", "rt-9-rooms"), ("…", "realtime"), ("x" * 90, "x" * 50)],
)
def test_a_name_becomes_a_label(name, label):
    assert label_of(name) == label
    assert deployment.manifests(small(name=name))["deployment.yaml"]["metadata"]["name"] == label


def test_a_placeholder_stands_for_the_image():
    assert container(chat())["image"] == IMAGE


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
