"""YAML that is meant to hurt: it ends at once, in one message, whatever it would grow to."""

from __future__ import annotations

import pytest

from realtime_sim import Scenario
from realtime_sim.errors import ScenarioError

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


def test_a_date_as_a_name_asks_for_quotes():
    with pytest.raises(ScenarioError, match="name must be text.*put it in quotes"):
        Scenario.from_yaml(START.replace("x", "2020-01-01", 1))
