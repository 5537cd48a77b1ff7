"""Fields of a scenario to choose from: labels, units, bounds and help are those of the JSON Schema."""

from __future__ import annotations

import pytest

from realtime_sim import presets, units
from realtime_sim.errors import ScenarioError
from realtime_sim.guide import fields_text
from realtime_sim.scenario import Scenario
from realtime_sim.widgets.controls import chosen_fields, control_of
from realtime_sim.widgets.explorer import LIVE_UPDATES
from realtime_sim.widgets.fields import field_of, shown, usual_fields

CHAT = presets.load("chat")
DEFS = Scenario.json_schema()["$defs"]


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_usual_field_of_a_preset_is_one_and_stands_at_the_value_of_the_scenario(name):
    scenario = presets.load(name)
    for path in usual_fields(scenario):
        field = field_of(scenario, path)
        assert scenario.replace(**{field.at: field.choices[field.chosen][1]}) == scenario, path
        assert len(field.choices) > 1 and field.help and field.label


@pytest.mark.parametrize(
    ("path", "part", "name"),
    [
        ("servers.count", "Servers", "count"),
        ("clients.phones.count", "Cohort", "count"),
        ("clients[0].network.rtt", "Network", "rtt"),
        ("traffic.messages.rate", "Traffic", "rate"),
        ("clients.phones.reconnect", "Cohort", "reconnect"),
        ("broker.subscription", "RedisPubSub", "subscription"),
    ],
)
def test_help_is_the_description_of_the_schema_and_is_what_hovers_over_the_control(path, part, name):
    field = field_of(CHAT, path)
    assert field.help == DEFS[part]["properties"][name]["description"]
    assert field.help in control_of(field).tooltip and control_of(field).description == field.label


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("servers.count", "whole number"),
        ("clients.phones.network.rtt", "time, s"),
        ("traffic.messages.rate", "rate, 1/s"),
        ("traffic.messages.payload", "size, B"),
        ("servers.egress", "bandwidth, B/s"),
        ("servers.profile", ""),
    ],
)
def test_units_are_those_of_the_guide(path, unit):
    assert field_of(CHAT, path).unit == unit
    guided = path.replace("clients.phones.network", "clients.network").replace("traffic.messages", "traffic")
    assert unit.removeprefix("time") in fields_text(guided)  # of a distribution the guide says that it is one


def test_choices_of_a_quantity_are_in_order_round_and_within_the_bounds_of_the_schema():
    count = field_of(CHAT.replace(**{"servers.count": 3_000}), "servers.count")
    values = [value for _, value in count.choices]
    bound = next(way for way in DEFS["Servers"]["properties"]["count"]["anyOf"] if way.get("type") == "integer")
    assert values == sorted(set(values)) and bound["minimum"] <= values[0] and values[-1] <= bound["maximum"]
    assert 10_000 in [*values, bound["maximum"]] and 2_500 in values
    rate = field_of(CHAT, "traffic.messages.rate")
    per_s = [units.parse_rate(value) for _, value in rate.choices]
    assert per_s == sorted(per_s) and per_s[0] > 0 and per_s[-1] / per_s[0] > 100


def test_every_choice_of_a_quantity_is_accepted():
    for path in ("servers.count", "clients.phones.network.rtt", "traffic.messages.payload", "servers.egress"):
        field = field_of(CHAT, path)
        for _, value in field.choices:
            CHAT.replace(**{field.at: value})


def test_a_distribution_gets_longer_as_a_whole():
    field = field_of(CHAT, "clients.phones.network.rtt")
    twice = next(value for text, value in field.choices if text == "median 80 ms")
    assert twice == {"median": "80ms", "p99": "500ms"}


def test_choices_between_names_are_those_of_the_schema():
    assert [value for _, value in field_of(CHAT, "clients.phones.transport").choices] == [
        "websocket", "sse", "long_polling",
    ]  # fmt: skip
    kinds = field_of(CHAT, "broker.kind")
    assert [text for text, _ in kinds.choices] == [
        "none", "redis_pubsub", "redis_streams", "kafka", "nats", "nats_jetstream",
    ]  # fmt: skip
    assert kinds.at == "broker" and kinds.help == Scenario.json_schema()["properties"]["broker"]["description"]


def test_a_parameter_of_a_policy_is_a_field_like_any_other():
    jitter = CHAT.replace(**{"clients.phones.reconnect": {"policy": "full_jitter", "cap": "10s"}})
    cap, base = (field_of(jitter, f"clients.phones.reconnect.{name}") for name in ("cap", "base"))
    assert cap.choices[cap.chosen] == ("10 s", "10s") and base.choices[base.chosen] == ("1 s", "1s")
    assert "wait" in cap.help


def test_values_may_be_given_and_that_of_the_scenario_is_one_of_them():
    field = field_of(CHAT, "servers.count", [1, 2])
    assert field.choices == (("1", 1), ("2", 2), ("4", 4)) and field.chosen == 2


def test_yes_or_no_is_a_box_to_tick_names_are_a_list_and_quantities_a_slider():
    kinds = {"clients.phones.tls": "Checkbox", "balancer.policy": "Dropdown", "servers.count": "SelectionSlider"}
    assert {path: type(control_of(field_of(CHAT, path))).__name__ for path in kinds} == kinds


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("servers.cuont", "servers.cuont must be a field of the scenario, got 'cuont'; did you mean 'count'?"),
        (
            "clients.phnes.count",
            "clients.phnes.count must name a part that exists, got 'phnes'; did you mean 'phones'?",
        ),
        ("broker.partitions", "must be a field of the scenario"),
        ("clients", "must be a field that can be chosen from a row of values"),
        ("name", "must be a field that can be chosen from a row of values"),
    ],
)
def test_what_cannot_be_chosen_is_refused(path, message):
    with pytest.raises(ScenarioError, match="must") as caught:
        field_of(CHAT, path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (1_000_000, "1,000,000"), ("1_000", "1_000"), ("2.5GiB", "2.5 GiB"), ("socketio", "socketio")],
)
def test_values_are_shown_as_people_read_them(value, text):
    assert shown(value) == text


def test_the_default_explorer_has_sliders_for_what_is_asked_first():
    assert usual_fields(LIVE_UPDATES) == [
        "clients.phones.count", "clients.phones.network.rtt", "servers.count", "servers.profile", "broker.kind",
        "traffic.messages.rate", "traffic.messages.payload", "rooms.group.members",
    ]  # fmt: skip


@pytest.mark.parametrize("over", ["servers.count", 5, [5], [None], {"servers.count": 5}, {"servers.count": "4, 8"}])
def test_what_names_no_fields_is_refused(over):
    with pytest.raises(ScenarioError, match="over must be paths of fields, or rows of values by path"):
        chosen_fields(CHAT, over)
