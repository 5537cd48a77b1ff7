"""YAML that is meant to hurt: it ends at once, in one message, whatever it would grow to."""

from __future__ import annotations

import re

import pytest

from realtime_sim import Scenario
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario.brokers import NoBroker
from realtime_sim.scenario.clients import Keepalive
from realtime_sim.scenario.distributions import Constant, Uniform

START = "name: x\nduration: 10s\nclients: [{name: c, count: 10}]\n"


def bomb(levels: int) -> str:
    """Aliases of lists of aliases: 9**levels entries from a few lines."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghijklmnop"
    for outer, inner in zip(names[1 : levels + 1], names, strict=False):
        lines.append(f"{outer}: &{outer} [{', '.join(['*' + inner] * 9)}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("start", ["", START])
def test_an_alias_bomb_is_named_in_a_short_message(start):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(start + bomb(12))
    assert len(str(caught.value)) < 5_000


def test_an_alias_bomb_in_a_known_field_is_refused():
    with pytest.raises(ScenarioError, match=r"rooms\[0\] must be a mapping of fields"):
        Scenario.from_yaml(START + bomb(12).replace("m: &m", "rooms: &m"))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_deep_nesting_is_refused(opening, closing):
    text = START + "rooms: " + opening * 4_000 + "1" + closing * 4_000
    with pytest.raises(ScenarioError, match="must be nested less deeply"):
        Scenario.from_yaml(text)


def test_merge_keys_give_way_to_the_mapping_s_own():
    text = START + "rooms:\n  - &first {name: a, count: 2, members: 3}\n  - {<<: *first, name: b}\n"
    rooms = Scenario.from_yaml(text).rooms
    assert [(room.name, room.count, room.members) for room in rooms] == [("a", 2, 3), ("b", 2, 3)]


@pytest.mark.parametrize(("written", "count"), [("010", 10), ("1_000", 1_000), ("0x10", 16), ("1e3", 1_000)])
def test_a_leading_zero_makes_no_octal(written, count):
    assert Scenario.from_yaml(START.replace("10}", written + "}")).n_clients == count


@pytest.mark.parametrize("written", ["1:30", "1:30.5", "-1:30"])
def test_a_colon_makes_no_number_to_the_base_of_60(written):
    with pytest.raises(ScenarioError, match=rf"duration must be a duration such as '250ms' or 0.25, got '{written}'"):
        Scenario.from_yaml(START.replace("10s", written))


def test_a_name_like_a_number_comes_back_as_it_was():
    for name in ("010", "08", "1:30", "1e3", "0x1", "1_0", "1.5"):
        scenario = Scenario(name=name, duration=1, clients=[{"name": name, "count": 1}])
        assert Scenario.from_yaml(scenario.to_yaml()) == scenario


@pytest.mark.parametrize("sign", ["\x00", "\t", "\x7f", "\x85", "\u2028", "\ud800"])
@pytest.mark.parametrize("path", ["name", "clients[0].name", "description"])
def test_a_control_character_is_refused_where_a_file_would_not_give_it_back(sign, path):
    scenario = Scenario.from_yaml(START)
    if (sign, path) == ("\t", "description"):
        scenario = scenario.replace(description="a\tb\nc\n")
        assert Scenario.from_yaml(scenario.to_yaml()) == scenario
        return
    rule = (
        "must be text"
        if sign == "\ud800" and path != "description"
        else f"must not hold the control character {sign!a}"
    )
    with pytest.raises(ScenarioError, match=re.escape(f"{path} {rule}, got")):
        scenario.replace(**{path: f"a{sign}b"})


def test_a_change_starts_from_the_default():
    changed = Scenario.from_yaml(START).replace(
        **{"clients.c.keepalive.interval": "5s", "broker.publisher_link": "1ms", "servers.costs.send": "1us"}
    )
    assert changed.clients[0].keepalive == Keepalive(interval=5, timeout=20)
    assert changed.broker == NoBroker(kind="none", publisher_link=0.001)
    assert (changed.servers.costs.send, changed.servers.count) == (1e-6, 1)


def test_a_change_takes_a_distribution_as_an_object():
    for rtt in (Constant(value=0.04), Uniform(low=0, high=1)):
        changed = Scenario.from_yaml(START).replace(**{"clients.c.network.rtt": rtt})
        assert changed.clients[0].network.rtt == rtt


def test_a_part_goes_by_its_name_before_its_number():
    scenario = Scenario(name="x", duration=1, clients=[{"name": "1", "count": 5}, {"name": "0", "count": 6}])
    assert [c.count for c in scenario.replace(**{"clients.1.count": 7}).clients] == [7, 6]
    assert [c.count for c in scenario.replace(**{"clients[1].count": 7}).clients] == [5, 7]


def test_a_date_as_a_name_asks_for_quotes():
    with pytest.raises(ScenarioError, match="name must be text.*put it in quotes"):
        Scenario.from_yaml(START.replace("x", "2020-01-01", 1))
