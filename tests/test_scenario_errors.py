"""A wrong scenario gets one clear message for each fault: path, rule, value, next step; and nothing but ScenarioError."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim import presets
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario

GOOD = """
name: chat
duration: 60s
clients:
  - {name: phones, count: 100, network: {rtt: {median: 40ms, p99: 250ms}}, reconnect: {policy: full_jitter, base: 1s, cap: 30s}}
servers: {count: 4}
broker: {kind: redis_pubsub}
rooms: [{name: room, count: 10, members: 10}]
traffic: [{name: chat, to: room, rate: 500/s}]
faults: [{at: 30s, kind: kill_server, server: 0}]
"""

BROKEN = [
    ("servers.cout", 3, "servers.cout is not a known field, got 3; did you mean 'count'?"),
    ("sed", 3, "sed is not a known field, got 3; did you mean 'seed'?"),
    ("clients.phones.conut", 3, "clients[0].conut is not a known field, got 3; did you mean 'count'?"),
    ("clients.phones.network.rttt", 3, "clients[0].network.rttt is not a known field, got 3; did you mean 'rtt'?"),
    ("broker.subscripton", "x", "broker.subscripton is not a known field, got 'x'; did you mean 'subscription'?"),
    ("traffic.chat.rat", 3, "traffic[0].rat is not a known field, got 3; did you mean 'rate'?"),
    ("faults[0].sever", 3, "faults[0].sever is not a known field, got 3; did you mean 'server'?"),
    ("servers.costs.sned", 3, "servers.costs.sned is not a known field, got 3; did you mean 'send'?"),
    ("servers.count", 0, "servers.count must be at least 1, got 0; write it like 4"),
    ("servers.count", -4, "servers.count must be at least 1, got -4"),
    ("servers.count", 2.5, "servers.count must be a whole number, got 2.5"),
    ("servers.count", "many", "servers.count must be a whole number, got 'many'"),
    ("servers.count", True, "servers.count must be a whole number, got True"),
    ("servers.count", 20_000, "servers.count must be at most 10_000, got 20000; model one region at a time"),
    ("servers.count", float("nan"), "servers.count must be a finite whole number"),
    ("servers.memory", "2 parsec", "servers.memory must be a size with unit B, kB, MB, GB, KiB, MiB or GiB, got '2 parsec'"),
    ("servers.memory", "1MB", "servers.memory must hold the process and one connection"),
    ("servers.profile", "websocket-asyncio", "did you mean 'websockets-asyncio'?"),
    ("servers.egress", "1 Gbit", "servers.egress must be a bandwidth such as '1 Gbit/s'"),
    ("servers.workers", 5000, "servers.workers must be at most 1_024, got 5000"),
    ("servers.fanout", "task", "servers.fanout must be one of broadcast, task_per_client, got 'task'"),
    ("servers.costs.send", -1, "servers.costs.send must be at least 0s, got -1"),
    ("duration", "60 parsec", "duration must be a duration with unit ns, us, ms, s, min, h or d, got '60 parsec'"),
    ("duration", 0, "duration must be above 0, got 0; write it like '250ms'"),
    ("duration", "-3s", "duration must be above 0, got '-3s'"),
    ("duration", 1e12, "duration must be at most"),
    ("duration", float("inf"), "duration must be a finite duration"),
    ("duration", None, "duration must be a duration such as '250ms' or 0.25, got None"),
    ("duration", [1], "duration must be a duration such as '250ms' or 0.25, got [1]"),
    ("warmup", "60s", "warmup must be shorter than duration, got '60s'; shorten it"),
    ("sample_interval", "1ns", "duration must be at most 1_000_000 times sample_interval"),
    ("seed", -1, "seed must be a whole number from 0 to 2**63 - 1, got -1; use 0 or a positive integer"),
    ("seed", "abc", "seed must be a whole number"),
    ("name", "", "name must"),
    ("name", 7, "name must"),
    ("clients", [], "clients must have at least 1 entry, got []; add one"),
    ("clients", 3, "clients must be a list, got 3; start each entry with '- '"),
    ("clients", [3], "clients[0] must be a mapping of fields, got 3; write it like {name: value}"),
    ("clients", [{"name": "x"}], "clients[0].count must be given"),
    ("clients[0].transport", "websockets", "did you mean 'websocket'?"),
    ("clients[0].network.rtt", "fast", "clients[0].network.rtt must be a duration such as '250ms' or 0.25, got 'fast'"),
    ("clients[0].network.rtt", {"median": "9ms", "p99": "1ms"}, "clients[0].network.rtt must have p99 >= median"),
    ("clients[0].network.rtt", {"median": "9ms", "p98": "1s"}, "clients[0].network.rtt.p98 is not a field of a distribution"),
    ("clients[0].network.rtt", {"mean": 1, "cv": 99}, "clients[0].network.rtt.cv must be at most 10, got 99; write it like 0.5"),
    ("clients[0].network.rtt", {"low": 3, "high": 1}, "clients[0].network.rtt must have low <= high"),
    ("clients[0].network.rtt", {"quantiles": {0: 1, 1: 0.5}}, "must have values that do not fall"),
    ("clients[0].network.rtt", {"quantiles": {0.1: 1, 1: 2}}, "must have rising probabilities from 0 to 1"),
    ("clients[0].network.rtt", {}, "clients[0].network.rtt must be a distribution, got {}; write a value"),
    ("clients[0].reconnect", "full-jitter", "clients[0].reconnect.policy must be a known policy, got 'full-jitter'"),
    ("clients[0].reconnect.capp", "1s", "clients[0].reconnect.capp is not a parameter of 'full_jitter', got '1s'; did you mean 'cap'?"),
    ("clients[0].reconnect.cap", "1ms", "clients[0].reconnect is not a valid 'full_jitter'"),
    ("clients[0].reconnect", 3, "clients[0].reconnect must be the name of a policy, or a mapping with 'policy', got 3"),
    ("clients[0].keepalive", "engine", "did you mean 'engineio'?"),
    ("clients[0].reconnect", {"policy": "exponential", "factor": "2/s"}, "clients[0].reconnect.factor must be a number such as 0.25"),
    ("clients[0].keepalive", {"interval": "1ms", "timeout": 1}, "clients[0].keepalive.interval must be at least 10ms, got '1ms'"),
    ("clients[0].keepalive", {"interval": 1}, "clients[0].keepalive.timeout must be given"),
    ("clients[0].polling_handshake", "maybe", "clients[0].polling_handshake must be true or false, got 'maybe'"),
    ("clients[0].tls", 1, "clients[0].tls must be true or false, got 1; write true or false without quotes"),
    ("clients[0].overflow", {"policy": "drop_newest", "limit": "1MB"}, "clients[0].overflow has a limit but the client's network"),
    ("balancer.policy", "leastconn", "balancer.policy must be one of round_robin, least_connections"),
    ("balancer.affinity", "ip", "balancer.affinity must be one of none, cookie, got 'ip'"),
    ("broker", {"kind": "kafak"}, "broker must have a known kind, got {'kind': 'kafak'}; did you mean 'kafka'?"),
    ("broker", "kafka", "broker must have a known kind, got 'kafka'; write broker: {kind: kafka}"),
    ("broker", "redis", "write broker: {kind: …} with one of redis_pubsub, redis_streams"),
    ("broker", 3, "write broker: {kind: …} with one of kafka, nats, nats_jetstream, none, redis_pubsub, redis_streams"),
    ("broker", {}, "broker must have a known kind, got {}; add 'kind:', one of kafka, nats, nats_jetstream, none, redis_pubsub, redis_streams"),
    ("broker.kind", "redis", "did you mean 'redis_pubsub' or 'redis_streams'?"),
    ("host", {}, "host.cores must be given, got {}; add 'cores:'"),
    ("host", {"cores": 0}, "host.cores must be at least 1, got 0; write it like 2"),
    ("host", {"cores": 1.5}, "host.cores must be a whole number, got 1.5"),
    ("host", {"cores": 5000}, "host.cores must be at most 1_024, got 5000; model one machine"),
    ("host", {"cores": 2, "client_processes": 101}, "host.client_processes must not exceed the clients, got 101; use at most 100"),
    ("host", {"cores": 2, "slice": 0}, "host.slice must be at least 1, got 0"),
    ("host", {"cores": 2, "recieve": "15us"}, "host.recieve is not a known field, got '15us'; did you mean 'receive'?"),
    ("servers.admission", {"brust": 3}, "servers.admission.brust is not a known field, got 3; did you mean 'burst'?"),
    ("faults[0]", "kill_server", "faults[0] must have a known kind, got 'kill_server'; write it like {kind: kill_server}"),
    ("servers.count", "eight", "servers.count must be a whole number, got 'eight'; write it like 4"),
    ("servers.workers", 0, "servers.workers must be at least 1, got 0; write it like 2"),
    ("servers.cpu", 2, "known names: admission, backlog, connection_age, costs, count, egress, fanout, grace, max_connections, memory, profile, stack, startup, workers; `realtime-sim fields servers` describes them"),
    ("traffic.chat.size", "1kB", "traffic[0].size is not a known field, got '1kB'; did you mean 'payload' (Size of a message"),
    ("odd", 1, "; `realtime-sim fields` describes them"),
    ("slo.p97", 1, "slo.p97 is not a known field, got 1; did you mean"),
    ("balancer.policy", "least", "got 'least'; did you mean 'least_connections'?"),
    ("clients[0].transport", "ws", "must be one of websocket, sse, long_polling, got 'ws'; choose one of them"),
    ("rooms.room.members", 200, "rooms[0].members must not exceed the clients that can join, got 200; use at most 100"),
    ("rooms.room.count", 20_000_000, "rooms must be at most 10_000_000 rooms in all, got ["),
    ("rooms.room.per_user", True, "must be left out of a group with per_user: true"),
    ("rooms.room.cohort", "fones", "rooms[0].cohort must be a cohort, got 'fones'; did you mean 'phones'?"),
    ("rooms.room.zipf", 9, "rooms[0].zipf must"),
    ("traffic.chat.to", "rom", "traffic[0].to must be a room group or 'everyone', got 'rom'; did you mean 'room'?"),
    ("traffic.chat.rate", "5 per second", "traffic[0].rate must be"),
    ("traffic.chat.rate", 0, "traffic[0].rate must be above 0, got 0"),
    ("traffic.chat.from", "phone", "traffic[0].from must be 'backend', 'clients', a cohort or a service, got 'phone'; did you mean 'phones'?"),
    ("traffic.chat.start", "2min", "traffic[0].start must be before the end of the run"),
    ("traffic.chat.payload", "1.5B", "traffic[0].payload must be a whole number of bytes, got '1.5B'"),
    ("faults[0].at", "2h", "faults[0].at must be before the end of the run, got '2h'"),
    ("faults[0].server", 4, "faults[0].server must be the number of a server, got 4; servers are numbered 0 to 3"),
    ("faults[0].kind", "kil_server", "faults[0] must have a known kind"),
    ("slo", {"p98": 1}, "slo.p98 is not a known field, got 1; did you mean"),
    ("nowhere[3]", 1, "nowhere[3] has no part 3"),
    ("clients.tablets.count", 1, "clients.tablets.count must name a part that exists, got 'tablets'; known names: phones"),
]  # fmt: skip


@pytest.mark.parametrize("path, value, message", BROKEN, ids=[f"{i}-{row[0]}" for i, row in enumerate(BROKEN)])
def test_a_wrong_value_is_named_with_its_rule_and_the_next_step(path, value, message):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(GOOD).replace(**{path: value})
    text = str(caught.value)
    assert message in text
    for line in text.splitlines():
        assert re.match(r"[\w.\[\]]+ (must|is|has) .*, got .*; .+", line), line


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "scenario must be a mapping of fields, got None; start with 'name:'"),
        ("- a\n- b", "scenario must be a mapping of fields"),
        ("a: [", "must be YAML"),
        ("\ta: 1\n", "must be YAML"),
        ("name: x\nname: y\n", "must be YAML (duplicate key 'name')"),
        ("a: &a [*a]\n", "must be YAML (found unconstructable recursive node)"),
        ("1: 2\n", "scenario must be a mapping of fields"),
        ("? [a]\n: 1\n", "must be YAML (a key must be a word)"),
        ("a: !!float ''\n", "must be plain YAML (IndexError)"),
        ("a: !!bool abc\n", "must be plain YAML (KeyError)"),
        ("a: !!timestamp abc\n", "must be plain YAML (AttributeError)"),
    ],
)
def test_text_that_is_no_scenario_is_refused(text, message):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("source", [b"name: x\n", None, {}, 3])
def test_what_is_neither_path_nor_text_is_refused(source):
    with pytest.raises(ScenarioError, match=r"^scenario must be a path or text, got .*; give a path or YAML text"):
        Scenario.from_yaml(source)


def test_files_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ScenarioError, match="scenario must be a readable YAML file"):
            Scenario.from_yaml(path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ScenarioError, match="scenario must be a readable YAML file .not UTF-8 text."):
        Scenario.from_yaml(binary)


def test_a_message_opens_with_its_file_and_all_faults_show_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nduration: 0\nclients: [{name: c, count: 0}]\n")
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(path)
    assert len(caught.value.problems) == 2
    assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"faults[0].mode": 1, "traffic.chat.to": "rom"}, ["faults[0].mode", "traffic[0].to"]),
        ({"traffic.chat.rate": 0, "traffic.chat.to": "rom"}, ["traffic[0].rate", "traffic[0].to"]),
        ({"servers.cpu": 1, "faults[0].server": 9}, ["servers.cpu", "faults[0].server"]),
        ({"traffic.chat.to": "rom", "traffic.chat.from": "me"}, ["traffic[0].to", "traffic[0].from"]),
        ({"seed": -1, "warmup": "2h", "faults[0].at": "2h"}, ["seed", "warmup", "faults[0].at"]),
        ({"clients.phones.tls": 1, "rooms.room.members": 200}, ["clients[0].tls", "rooms[0].members"]),
        ({"rooms": [{"name": "room"}]}, ["rooms[0].count", "rooms[0].members"]),
        (
            {"clients.phones.reconnect": {"policy": "full_jitter", "capp": 1, "base": "x"}},
            ["clients[0].reconnect.capp", "clients[0].reconnect.base"],
        ),
        (
            {"clients.phones.network.rtt": {"meen": 1, "cw": 2}},
            ["clients[0].network.rtt.cw", "clients[0].network.rtt.meen"],
        ),
    ],
)
def test_what_can_be_known_is_told_in_one_round(changes, paths):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(GOOD).replace(**changes)
    assert [problem.path for problem in caught.value.problems] == paths


@pytest.mark.parametrize(
    "changes",
    [
        {"clients": 3, "traffic.chat.from": "phones"},  # the cohort may be there
        {"clients": [{"name": 3, "count": 5}], "traffic.chat.from": "phones", "rooms.room.members": 2},
        {"rooms": 3},
        {"rooms": [{"name": "", "count": 1, "members": 1}]},
        {"duration": "x", "warmup": "2h"},
        {"servers": 3, "faults[0].server": 9},
        {"clients[0].count": "x", "rooms.room.members": 200},
        {"faults": ["x"], "sample_interval": 1},
    ],
)
def test_what_cannot_be_known_is_not_called_wrong(changes):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(GOOD).replace(**changes)
    assert len(caught.value.problems) == 1


def test_a_part_given_as_an_object_is_known_too():
    good = Scenario.from_yaml(GOOD).replace(**{"faults[0].server": 3})
    with pytest.raises(ScenarioError) as caught:
        Scenario(name="x", duration=0, clients=good.clients, rooms=good.rooms, traffic=good.traffic, faults=good.faults)
    assert [problem.path for problem in caught.value.problems] == ["duration", "faults[0].server"]


WRONG = """name: x  # the first line
duration: 10s
clients:
  - {name: c, count: 10}
  - name: d
    count: many
traffic:
  - name: news
    rate: 1/s
    to: nowhere
servers:
  costs:
    sned: 1
"""


def test_a_fault_in_yaml_is_told_with_its_line_and_one_in_python_without(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG)
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(path)
    lines = {problem.path: problem.line for problem in caught.value.problems}
    assert lines == {"clients[1].count": 6, "servers.costs.sned": 13, "traffic[0].to": 10}
    assert f"{path}, line 6: clients[1].count must be a whole number" in str(caught.value)
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(WRONG)
    assert str(caught.value).startswith("line 6: clients[1].count must be a whole number")
    with pytest.raises(ScenarioError) as caught:
        Scenario(**yaml.safe_load(WRONG))
    assert str(caught.value).startswith("clients[1].count must be a whole number")


def test_a_field_that_is_missing_has_the_line_of_the_part_around_it():
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml("name: x\nduration: 1s\nclients:\n  - name: c\n")
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [("clients[0].count", 4)]


# Fuzzing: whatever the text, a Scenario or a ScenarioError.


def loads_or_complains(text: str) -> None:
    try:
        Scenario.from_yaml(text + "\n")
    except ScenarioError as error:
        assert error.problems and all(", got " in line for line in str(error).splitlines() if line.strip())


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_any_text_is_a_scenario_or_a_scenario_error(text):
    loads_or_complains(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["1s", "5/s", "1KiB", "websocket", "kafka", "full_jitter", "room", "phones"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "count", "policy", "kind", "rate", "to", "at", "mean", "cv", "x"]), inner),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(presets.NAMES), st.integers(0, 30), VALUES)
@settings(max_examples=300)
def test_any_value_anywhere_is_a_scenario_or_a_scenario_error(name, place, value):
    data = yaml.safe_load(presets.text(name))
    nodes: list[tuple] = []

    def walk(node):
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, inner in items:
            nodes.append((node, key))
            walk(inner)

    walk(data)
    node, key = nodes[place % len(nodes)]
    node[key] = value
    loads_or_complains(yaml.safe_dump(data))


@given(st.data())
@settings(max_examples=200)
def test_any_damage_to_a_preset_is_a_scenario_or_a_scenario_error(data):
    text = presets.text(data.draw(st.sampled_from(presets.NAMES)))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    loads_or_complains(text[:start] + data.draw(st.text(max_size=5)) + text[end:])


# Round trips.


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent.parent / "examples").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_round_trip_is_the_identity(path):
    scenario = Scenario.from_yaml(path)
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario


def test_a_change_leaves_the_original_as_it_was():
    scenario = Scenario.from_yaml(GOOD)
    changed = scenario.replace(**{"clients.phones.count": 7, "rooms[0].members": 5, "servers": {"count": 2}})
    assert (scenario.n_clients, changed.n_clients, changed.servers.count) == (100, 7, 2)


def test_the_json_schema_describes_every_part():
    schema = Scenario.json_schema()
    for field, part in (("clients", "Cohort"), ("rooms", "RoomGroup"), ("traffic", "Traffic")):
        assert schema["properties"][field]["items"] == {"$ref": f"#/$defs/{part}"}
    assert {"from", "rate", "payload"} <= set(schema["$defs"]["Traffic"]["properties"])
