"""The JSON Schema judges a scenario file as reading it does, but for rules between fields, and describes each field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from realtime_sim import presets
from realtime_sim.errors import ScenarioError
from realtime_sim.policies import backoff, keepalive, overflow
from realtime_sim.profiles import PROFILES
from realtime_sim.scenario import Scenario, clients, quantities, text
from tests.strategies import scenarios
from tests.test_scenario_errors import BROKEN, GOOD, VALUES

SCHEMA = Scenario.json_schema()
SCENARIO = Draft202012Validator(SCHEMA)
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))

EVERYTHING = """
name: everything
description: Each part, and each way to write it.
seed: 7
duration: 1_000 s
warmup: 1e1
clients:
  - name: phones
    count: "1_000"
    network: {rtt: {median: 40ms, p99: 250ms}, jitter: {mean: 2ms, cv: 0.5}, bandwidth: 1 MBit / s}
    reconnect: {policy: websockets_python, initial: 1s, base: 0.5, cap: 1.5min, factor: "2"}
    keepalive: {interval: 25s, timeout: 20s}
    session: {length: {mean: 1h}, absence: {low: 1s, high: 1 min}}
    overflow: {policy: disconnect, limit: 1.5KiB}
  - {name: tabs, count: 2.0, transport: sse, keepalive: null, session: {quantiles: {0: 1s, 0.5: 2s, 1: 9s}}}
  - {name: bots, count: 3, keepalive: engineio, session: 90s, polling_handshake: true, tls: no, overflow: unbounded}
servers: {count: 3, profile: zero, costs: {send: 20us, event: {mean: 1ms}}, memory: 8GiB, egress: 1 Gbit/s}
balancer: {policy: power_of_two, affinity: cookie, detection: 0}
broker: {kind: redis_pubsub, subscription: per_room, copy: -0s}
host: {cores: "2", client_processes: 3, receive: 15us, receive_wakeup: 4e-5, connect: 300us, teardown: 9ms, slice: 5}
rooms: [{name: group, count: 3, members: 4, zipf: "1.1", cohort: phones}, {name: inbox, per_user: true}]
events: [{name: order, rate: 5/s, stop: 1min}]
pipeline: {coupling: direct, append: {mean: 1ms}, workers: 10, backlog: 0, timeout: 2s}
services: [{name: mail, consumes: order, service: {mean: 9ms}, p_failure: "0.1", retries: 0, retry_delay: 1s}]
traffic:
  - {name: news, rate: 30/min, payload: 1.5 KB}
  - {name: chat, to: group, from: phones, rate: .5, stop: 1e2s}
  - {name: board, from: mail, every: 500ms}
faults:
  - {kind: stop_service, at: 5s, service: mail, lasts: 1min}
  - {kind: kill_server, at: 3s, server: 0}
  - {kind: drop_clients, at: 4s, cohort: tabs, share: 0.5}
slo: {p50: 10ms, p99: 1s, max_lost_ratio: 0.01, recover_within: 15s, survive_servers: 1}
"""


def as_json(data: object) -> Any:
    """What an editor sees: keys are text."""
    return json.loads(json.dumps(data))


def parts(node: object, path: str = "$") -> Iterator[tuple[str, dict]]:
    """Every mapping in a schema, with where it stands."""
    if isinstance(node, dict):
        yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        if key not in ("default", "examples", "const", "enum", "if", "then", "else"):
            yield from parts(inner, f"{path}.{key}")


FIELDS = {f"{path}.{name}": field for path, part in parts(SCHEMA) for name, field in part.get("properties", {}).items()}
QUANTITIES = {
    "duration": quantities.Duration,
    "positive duration": quantities.PositiveDuration,
    "size": quantities.Size,
    "rate": quantities.Rate,
    "bandwidth": quantities.Bandwidth,
    "count": quantities.Count,
    "index": quantities.Index,
    "ratio": quantities.Ratio,
}


def problems(data: object) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in SCENARIO.iter_errors(as_json(data))]


# What it accepts.


def test_it_is_a_schema_of_the_draft_it_names():
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA, allow_nan=False)


@pytest.mark.parametrize("content", [GOOD, EVERYTHING], ids=["good", "everything"])
def test_each_way_to_write_a_part_is_accepted(content):
    assert problems(yaml.safe_load(content)) == []
    assert problems(Scenario.from_yaml(content).to_plain()) == []


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_is_accepted(name):
    assert problems(yaml.safe_load(presets.text(name))) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(path):
    assert problems(yaml.safe_load(path.read_text(encoding="utf-8"))) == []
    assert problems(Scenario.from_yaml(path).to_plain()) == []


@given(scenarios())
@settings(max_examples=100, deadline=None)
def test_a_drawn_scenario_is_accepted_as_written_and_as_given_back(data):
    assert problems(data) == []
    assert problems(Scenario(**data).to_plain()) == []


def places(node: object, path: tuple = ()) -> Iterator[tuple]:
    """Path of everything in plain data."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(content: str, path: tuple, value: object) -> dict:
    """Plain data of a text, with another value in one place."""
    data = node = yaml.safe_load(content)
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return data


def accepts(data: dict) -> bool:
    try:
        text.build(Scenario, data)
    except ScenarioError:
        return False
    return True


PLACES = [path for path in places(yaml.safe_load(EVERYTHING)) if path]
WORDS = st.sampled_from(
    ["", "0", "1", "-1", "0.5", "5ms", "-1s", "0s", "3 parsec", "5/s", "1KiB", "1.5B", "1 Gbit/s", "zero", "everyone"]
) | st.sampled_from([*backoff.REGISTRY, *overflow.REGISTRY, *keepalive.REGISTRY, *PROFILES])  # fmt: skip


@given(st.sampled_from(PLACES), WORDS | VALUES)
@settings(max_examples=500, deadline=None)
def test_whatever_reading_accepts_the_schema_accepts(path, value):
    data = put(EVERYTHING, path, value)
    assert not accepts(data) or problems(data) == []


# What it refuses.

ONLY_READING = {
    ("servers.memory", "1MB"): "cross-field rule: the costs of the profile",
    ("host", "{'cores': 2, 'client_processes': 101}"): "cross-field rule: the clients there are",
    ("warmup", "60s"): "cross-field rule: the duration",
    ("sample_interval", "1ns"): "cross-field rule: the duration",
    ("clients[0].network.rtt", "{'median': '9ms', 'p99': '1ms'}"): "cross-field rule: in order",
    ("clients[0].network.rtt", "{'low': 3, 'high': 1}"): "cross-field rule: in order",
    ("clients[0].network.rtt", "{'quantiles': {0: 1, 1: 0.5}}"): "cross-field rule: in order",
    ("clients[0].network.rtt", "{'quantiles': {0.1: 1, 1: 2}}"): "cross-field rule: probabilities from 0 to 1",
    ("clients[0].reconnect.cap", "1ms"): "cross-field rule: not below base",
    ("clients[0].overflow", "{'policy': 'drop_newest', 'limit': '1MB'}"): "cross-field rule: a bandwidth",
    ("rooms.room.count", "20000000"): "cross-field rule: the rooms of all groups",
    ("rooms.room.members", "200"): "cross-field rule: the clients there are",
    ("rooms.room.cohort", "fones"): "cross-field rule: a name that exists",
    ("traffic.chat.to", "rom"): "cross-field rule: a name that exists",
    ("traffic.chat.from", "phone"): "cross-field rule: a name that exists",
    ("traffic.chat.start", "2min"): "cross-field rule: the duration",
    ("faults[0].at", "2h"): "cross-field rule: the duration",
    ("faults[0].server", "4"): "cross-field rule: the servers there are",
    ("clients[0].keepalive", "{'interval': '1ms', 'timeout': 1}"): "arithmetic on text: a bound other than 0",
}
"""Broken scenarios of tests/test_scenario_errors.py that no schema can refuse, and why. The others it does."""

NO_PLACE = ("nowhere[3]", "clients.tablets.count")
"""Paths of `replace` that lead nowhere: no scenario comes of them."""


@pytest.mark.parametrize(
    ("path", "value"),
    [row[:2] for row in BROKEN if row[0] not in NO_PLACE],
    ids=[f"{i}-{row[0]}" for i, row in enumerate(BROKEN) if row[0] not in NO_PLACE],
)
def test_a_broken_scenario_is_refused_unless_only_reading_can_tell(path, value):
    data = text.changed(Scenario.from_yaml(GOOD), {path: value})
    assert bool(problems(data)) != ((path, str(value)) in ONLY_READING)


def test_every_exception_is_a_broken_scenario_with_a_known_class_of_reason():
    assert set(ONLY_READING) <= {(path, str(value)) for path, value, _ in BROKEN}
    assert {reason.partition(":")[0] for reason in ONLY_READING.values()} == {"cross-field rule", "arithmetic on text"}


def nodes() -> Iterator[tuple[tuple, object]]:
    for path in [(), *PLACES]:
        node: Any = yaml.safe_load(EVERYTHING)
        for step in path:
            node = node[step]
        yield path, node


@pytest.mark.parametrize("path", [path for path, node in nodes() if isinstance(node, dict)], ids=str)
def test_an_unknown_field_is_refused_at_every_level(path):
    assert problems(put(EVERYTHING, (*path, "odd"), 1)) != []


STOPPED = ("faults", 0, "service")
"""A name; elsewhere `service` is a time."""


@pytest.mark.parametrize("path", PLACES, ids=str)
def test_a_value_of_a_wrong_type_is_refused_everywhere(path):
    for value in ([3], {"odd": 1}, [[]], {"policy": 3}, {"kind": "odd"}):
        assert problems(put(EVERYTHING, path, value)) != []
    if path[-1] not in ("description", "name", "to", "from", "cohort", "consumes") and path != STOPPED:
        assert problems(put(EVERYTHING, path, "no such word")) != []


@pytest.mark.parametrize(
    "content",
    [
        "duration: 1s\nclients: [{name: a, count: 1}]",
        "name: x\nclients: [{name: a, count: 1}]",
        "name: x\nduration: 1s",
        "name: x\nduration: 1s\nclients: []",
        "name: x\nduration: 1s\nclients: [{name: a}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1, session: {absence: 1s}}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1, keepalive: {timeout: 1s}}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1, reconnect: {base: 1s}}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1, network: {rtt: {median: 1s}}}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1}]\nbroker: {linger: 1s}",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1}]\nrooms: [{name: r, count: 1}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1}]\nrooms: [{name: r, count: 1, members: null}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1}]\nrooms: [{name: r, per_user: true, count: 1}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1}]\nrooms: [{name: everyone, per_user: true}]",
        "name: x\nduration: 1s\nclients: [{name: a, count: 1}]\nfaults: [{kind: kill_server, at: 1s}]",
        "name: '  '\nduration: 1s\nclients: [{name: a, count: 1}]",
        f"name: {'x' * 101}\nduration: 1s\nclients: [{{name: a, count: 1}}]",
    ],
)
def test_what_must_be_given_and_is_not_is_refused_by_both(content):
    assert problems(yaml.safe_load(content)) != []
    assert not accepts(yaml.safe_load(content))


# Agreement with the field types.


def agrees(kind: Any, value: object) -> bool:
    """Whether schema and validation have one verdict; only arithmetic can tell how large text with a unit is."""
    adapter = TypeAdapter(kind)
    in_schema = Draft202012Validator(adapter.json_schema()).is_valid(value)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        needs_arithmetic = "must be at most" in str(error) or re.search(r"[0-9._][eE]", str(value))
        return not in_schema or bool(isinstance(value, str) and needs_arithmetic)
    return in_schema


NUMBERS = st.sampled_from(
    ["0", "1", "-1", "+2", "-0", "-0.0", "0.5", ".5", "5.", "1_000", "_1", "1e3", "1E-3", "-.0", "", "-", "1 2"]
)
UNITS = st.sampled_from(["ns", "us", "µs", "ms", "s", "min", "m", "h", "d", "B", "kb", "KiB", "gBIT", "Bit", "S", "x"])
TEXTS = st.builds(
    "{}{}{}{}{}".format, st.sampled_from(["", " "]), NUMBERS, st.sampled_from(["", " "]), st.just("") | UNITS,
    st.sampled_from(["", "/s", "/ min", " / s", "/B", " ", "/"]),
)  # fmt: skip


@pytest.mark.parametrize("kind", QUANTITIES)
@given(TEXTS | st.floats(-1e10, 1e10) | st.integers(-3, 3) | st.none() | st.booleans() | st.text("0.e-_s/", max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_quantity_has_one_verdict(kind, value):
    assert agrees(QUANTITIES[kind], value)


FAMILIES = {"reconnect": (clients.Backoff, backoff.REGISTRY), "overflow": (clients.Overflow, overflow.REGISTRY)}
PARAMETERS = [
    (family, name, field.removesuffix("_s").removesuffix("_bytes"))
    for family, (_, registry) in FAMILIES.items()
    for name, cls in registry.items()
    for field in cls.__dataclass_fields__
    if field != "code"
]


@pytest.mark.parametrize(("family", "policy", "parameter"), PARAMETERS)
def test_a_parameter_of_a_policy_has_one_verdict(family, policy, parameter):
    """Two parameters in the wrong order are a rule between fields."""
    kind, _ = FAMILIES[family]
    schema = Draft202012Validator(TypeAdapter(kind).json_schema())
    for value in (-1, 0, 0.5, 1, 2, 1e5, 2e6, "-1s", "0", "0s", "1", "1s", "1KiB", "1.5B", "2/s", "x", True, None, []):
        written = {"policy": policy, parameter: value}
        try:
            TypeAdapter(kind).validate_python(written)
        except ValidationError as error:
            in_order = not re.search(r"must be at least \w+_s \(", str(error))
            assert schema.is_valid(written) != in_order, written
        else:
            assert schema.is_valid(written), written


@pytest.mark.parametrize("registry", [backoff.REGISTRY, overflow.REGISTRY], ids=["backoff", "overflow"])
def test_each_policy_has_its_name_and_its_long_form(registry):
    (schema,) = (TypeAdapter(kind).json_schema() for kind, known in FAMILIES.values() if known is registry)
    names, *forms = schema["anyOf"]
    assert names["enum"] == sorted(registry) == [form["properties"]["policy"]["const"] for form in forms]


# What it tells.


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_described(path):
    assert re.match(r".{5,}", FIELDS[path].get("description", "")), path
    assert FIELDS[path]["description"].endswith("."), path


@pytest.mark.parametrize("path", FIELDS)
def test_a_default_and_examples_are_what_the_field_accepts(path):
    field = Draft202012Validator(FIELDS[path] | {"$defs": SCHEMA["$defs"]})
    shown = FIELDS[path].get("examples", []) + ([FIELDS[path]["default"]] if "default" in FIELDS[path] else [])
    assert [value for value in shown if not field.is_valid(value)] == []


def test_every_quantity_has_examples():
    """All text that has a form, but for the keys of quantiles."""
    for path, part in parts(SCHEMA):
        options = part.get("anyOf", [])
        assert not any("pattern" in option and "examples" not in {**option, **part} for option in options), path


def test_defaults_are_in_the_units_of_the_file():
    defaults = {path.rpartition("$defs.")[2]: field["default"] for path, field in FIELDS.items() if "default" in field}
    assert defaults["Cohort.connect_timeout"] == "20s"
    assert defaults["Cohort.keepalive"] == {"interval": "20s", "timeout": "20s"}
    assert defaults["Cohort.overflow"] == "unbounded"
    assert defaults["Traffic.payload"] == "200B"
    assert defaults["Kafka.linger"] == "5ms"
    assert defaults["RedisPubSub.copy"] == "1.54us"
    assert defaults["RedisPubSub.publisher_link"] == "100us"
    assert defaults["Servers.count"] == 1
