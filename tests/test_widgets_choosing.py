"""Choosing takes a preset or YAML; what is wrong is told as everywhere, and nothing that somebody has typed is lost."""

from __future__ import annotations

import pytest

from realtime_sim import Scenario, presets
from realtime_sim.widgets.choosing import OWN, Choosing
from realtime_sim.widgets.explorer import LIVE_UPDATES

MINE = "name: mine\nduration: 5s\nclients: [{name: phones, count: 7}]\n"


def uploaded(choosing: Choosing, content: bytes) -> None:
    """What a browser sends when a file was chosen."""
    file = {"name": "mine.yaml", "type": "", "size": len(content), "last_modified": 0, "content": memoryview(content)}
    choosing.upload.set_state({"value": [file]})


@pytest.fixture
def chosen() -> list:
    return []


@pytest.fixture
def choosing(chosen) -> Choosing:
    return Choosing(None, chosen.append)


def test_it_begins_with_one_that_is_answered_at_once_and_tells_nobody(choosing, chosen):
    assert choosing.scenario == LIVE_UPDATES and Scenario.from_yaml(choosing.yaml.value) == LIVE_UPDATES and not chosen


def test_it_begins_with_a_given_scenario_as_ones_own():
    given = presets.load("ticker").replace(**{"servers.count": 9})
    choosing = Choosing(given, lambda _: None)
    assert choosing.scenario == given and choosing.preset.value == OWN and "count: 9" in choosing.yaml.value


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_can_be_chosen(name, chosen):
    choosing = Choosing(presets.load("ticker").replace(seed=7), chosen.append)
    choosing.preset.value = name
    assert chosen == [presets.load(name)] == [choosing.scenario]


def test_yaml_that_is_right_is_used(choosing, chosen):
    choosing.yaml.value = MINE
    choosing.use.click()
    assert [one.name for one in chosen] == ["mine"] and choosing.preset.value == OWN and choosing.said.value == ""


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: x\nduration: 5s\nclients: [{name: a, count: 1}]\nserver: {}", "line 4: server "),
        (MINE.replace("7", "-7"), "clients[0].count must be at least 1, got -7"),
        ("name: [", "YAML"),
        ("/etc/passwd", "must be "),
        ("name: <img src=x>\nduration: 5s\nclients: [{name: a, count: <b>}]", "&lt;b&gt;"),
    ],
)
def test_what_is_wrong_is_said_and_the_system_and_the_text_stay(text, part, choosing, chosen):
    choosing.yaml.value = text
    choosing.use.click()
    assert part in choosing.said.value and "<b>" not in choosing.said.value and 'role="alert"' in choosing.said.value
    assert choosing.yaml.value == text and choosing.scenario == LIVE_UPDATES and not chosen
    choosing.yaml.value = MINE
    choosing.use.click()
    assert choosing.said.value == "" and choosing.scenario.name == "mine"


def test_text_that_was_typed_survives_the_choice_of_a_preset(choosing):
    choosing.preset.value = "ticker"
    assert choosing.yaml.value == presets.text("ticker")
    choosing.yaml.value = "name: half of"
    choosing.preset.value = "orders"
    assert choosing.yaml.value == "name: half of" and choosing.scenario == presets.load("orders")


def test_a_file_is_used_and_the_same_file_again(choosing, chosen):
    for count in (7, 8):
        uploaded(choosing, MINE.replace("7", str(count)).encode())
    assert [one.n_clients for one in chosen] == [7, 8]
    assert choosing.upload.value == () and "count: 8" in choosing.yaml.value


def test_a_file_that_is_no_text_is_refused(choosing, chosen):
    uploaded(choosing, b"\xff\xfe\x00")
    assert "mine.yaml" in choosing.said.value and not chosen and choosing.yaml.value == LIVE_UPDATES.to_yaml()
