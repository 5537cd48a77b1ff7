"""A profile in a file is read whole or refused with what is wrong with it, and a scenario can name it."""

from __future__ import annotations

import pytest
import yaml

from realtime_sim.errors import ScenarioError
from realtime_sim.profile_files import find_profile, profile_from
from realtime_sim.profiles import PROFILES
from realtime_sim.scenario import Scenario

HERE = {
    "name": "here",
    "about": "one machine",
    "base": "aiohttp-asyncio",
    "figures": {"send_s": {"value": 2e-5, "low": 1e-5, "high": 3e-5, "source": "measured"}},
}


def test_figures_of_a_file_stand_in_the_place_of_those_of_its_base():
    found = profile_from(HERE, "here.yaml")
    assert (found.name, found.about) == ("here", "one machine")
    assert (found.figures["send_s"].value, found.figures["send_s"].source) == (2e-5, "measured")
    assert found.costs.handshake_s == PROFILES["aiohttp-asyncio"].costs.handshake_s


def test_a_scenario_names_a_file(tmp_path):
    path = tmp_path / "here.yaml"
    path.write_text(yaml.safe_dump(HERE))
    scenario = Scenario(
        name="x", duration=1, clients=[{"name": "c", "count": 1}], servers={"profile": str(path), "costs": {"ping": 0}}
    )
    assert scenario.servers.resolved_costs.send_s == 2e-5
    assert scenario.servers.resolved_costs.ping_s == 0
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario
    assert find_profile(str(path)) is find_profile(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"figures": None}, "here.yaml must hold a profile with figures"),
        ({"base": "nginx"}, "here.yaml: base must be a known profile, got 'nginx'"),
        ({"figures": {"sent_s": {"value": 1, "source": "x"}}}, "figures must be known, got 'sent_s'; did you mean"),
        ({"figures": {"send_s": 2e-5}}, "figures.send_s must have a value and a source"),
        ({"figures": {"send_s": {"value": -1, "source": "x"}}}, "figures.send_s.value must be a number from 0 on"),
        ({"figures": {"send_s": {"value": True, "source": "x"}}}, "must be a number from 0 on"),
        ({"figures": {"send_s": {"value": float("nan"), "source": "x"}}}, "must be a number from 0 on"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_message(change, message):
    with pytest.raises(ScenarioError, match=message):
        profile_from(HERE | change, "here.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff\xfe\xff", "UnicodeDecodeError"),
        (b"{", "ParserError"),
        (b"7", "with figures, got 'int'"),
    ],
)
def test_a_file_that_is_none_is_one_message_of_the_scenario(tmp_path, content, message):
    path = tmp_path / "here.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScenarioError, match="servers.profile") as caught:
        Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}], servers={"profile": str(path)})
    assert message in str(caught.value)


def test_a_name_that_is_neither_offers_the_nearest():
    with pytest.raises(ScenarioError, match=r"servers.profile must be a known profile.*did you mean 'aiohttp-asyncio'"):
        Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}], servers={"profile": "aiohttp-asynci"})
