"""The guide names every field, policy and profile there is, with units and defaults, in aligned columns."""

from __future__ import annotations

import re

import pytest

from realtime_sim import guide
from realtime_sim.errors import ScenarioError
from realtime_sim.policies import POLICIES
from realtime_sim.profiles import BROKER_COSTS, PIPELINE_DEFAULTS, PROFILES
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import docstring

SCHEMA = Scenario.json_schema()


def rows(text: str) -> dict[str, list[str]]:
    """First words of the rows below each heading."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith(" "):
            heading = re.split(r": |, ", line.partition("}")[0] if "{" in line else line)
            found[line.partition("}")[0] + "}" if "{" in line else heading[0]] = names = []
        elif line:
            names.append(line.split()[0])
    return found


def test_every_field_of_the_schema_is_there_under_the_name_a_file_has():
    named = rows(guide.fields_text())
    assert named["scenario"][1:] == list(SCHEMA["properties"])
    for heading, part in [
        ("clients[]", "Cohort"), ("clients[].network", "Network"), ("clients[].keepalive", "Keepalive"),
        ("clients[].session", "Session"), ("servers", "Servers"), ("servers.costs", "Costs"), ("balancer", "Balancer"),
        ("broker {kind: none}", "NoBroker"), ("broker {kind: redis_pubsub}", "RedisPubSub"),
        ("broker {kind: redis_streams}", "RedisStreams"), ("broker {kind: kafka}", "Kafka"), ("rooms[]", "RoomGroup"),
        ("host", "Host"), ("traffic[]", "Traffic"), ("faults[] {kind: kill_server}", "KillServer"),
        ("faults[] {kind: drop_clients}", "DropClients"), ("slo", "Slo"), ("distribution {uniform}", "Uniform"),
        ("distribution {exponential}", "Exponential"), ("distribution {lognormal}", "Lognormal"),
        ("distribution {gamma}", "Gamma"), ("distribution {empirical}", "Empirical"),
    ]:  # fmt: skip
        python = {"source", "copy_cost"}  # what Python calls `from` and `copy`
        assert named[heading][1:] == [name for name in SCHEMA["$defs"][part]["properties"] if name not in python]
    assert len(named) == 1 + len(SCHEMA["$defs"]) + 2  # the rules of scaling up and down, and their policies, are alike


@pytest.mark.parametrize(
    ("path", "heading", "names"),
    [
        ("faults.kill_server", "faults[] {kind: kill_server}: Servers die at once.", 6),
        ("broker.kafka", "broker {kind: kafka}: ", None),
        ("faults.kill_server.notice", "faults[] {kind: kill_server}: Servers die at once.", 1),
    ],
)
def test_a_kind_is_asked_for_by_its_name(path, heading, names):
    first, _, *found = guide.fields_text(path).splitlines()
    assert first.startswith(heading) and names in (None, len(found))


def test_a_kind_that_is_spelt_wrongly_is_offered():
    with pytest.raises(ScenarioError, match=r"did you mean 'faults.kill_server'"):
        guide.fields_text("faults.kil_server")


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("duration", "duration time, s required Simulated seconds with traffic, above 0."),
        ("seed", "seed whole number 0 From 0 to 2**63 - 1."),
        ("servers.memory", "memory size, B - Memory of one server, bytes; it refuses connections that it cannot hold."),
        ("servers.egress", "egress bandwidth, B/s - Link of one server to its clients, bytes per second."),
        ("events.rate", "rate rate, 1/s required Events per second, above 0."),
        ("traffic.rate", "rate rate, 1/s - Publishes of the whole stream per second, above 0; must be given unless"),
        ("pipeline.timeout", "timeout time, s 15s With `direct`, the longest time a worker waits for an answer"),
        ("traffic[0].payload", "payload size, B 200B Size of a message without its framing, bytes."),
        ("clients[0].network.rtt", "rtt distribution, s 0s Round trip, seconds; drawn once for each client, and it"),
        ("clients.keepalive.interval", "interval time, s required Time between two pings, seconds, at least 10 ms."),
        ("clients.tls", "tls true or false true Whether a handshake includes that of TLS 1.3."),
        ("broker.partitions", "partitions whole number 12 Logs the messages are spread over"),
        ("faults.share", "share number 1.0 How many of them, 0 to 1."),
        ("slo.p99", "p99 time, s - Latency that 99 in 100 deliveries stay below, seconds."),
        ("balancer.affinity", "affinity name none `cookie` sends a client back to the server it had"),
        ("servers.backlog", "backlog whole number 4_096 Length of the accept queue"),
        ("host.cores", "cores whole number required Cores of the machine, 1 to 1,024."),
    ],
)
def test_one_field_has_its_unit_its_default_and_its_meaning(path, row):
    heading, header, line = guide.fields_text(path).splitlines()
    assert " ".join(line.split()).startswith(row)
    assert header.split() == ["field", "value", "default", "what", "it", "is"]


def test_choices_are_named_once():
    assert "[none, cookie]" in guide.fields_text("balancer.affinity")
    assert "[" not in guide.fields_text("clients.transport").splitlines()[-1]


def test_columns_are_aligned():
    for section in guide.fields_text().split("\n\n"):
        header, *lines = section.splitlines()[1:]
        starts = [header.index(word) for word in ("value", "default", "what it is")]
        assert all(line[start - 1] == " " != line[start] or start == starts[1] for line in lines for start in starts)


def test_a_part_is_shown_with_the_parts_below_it():
    assert list(rows(guide.fields_text("servers"))) == ["servers", "servers.costs", "servers.admission"]


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("servers.cout", "did you mean 'servers.count'?"),
        ("x", "known parts: autoscaling, balancer, broker, clients, distribution"),
    ],
)
def test_what_is_not_there_is_refused(path, step):
    with pytest.raises(ScenarioError, match="path must be a part or a field of a scenario") as caught:
        guide.fields_text(path)
    assert step in str(caught.value)


def test_every_policy_is_there_with_what_it_does_and_its_defaults():
    text = guide.policies_text()
    assert rows(text) == {family: list(registry) for family, registry in POLICIES.items()}
    for registry in POLICIES.values():
        for name, entry in registry.items():
            if isinstance(entry, type):
                assert docstring(entry)[0].split(".")[0].split("\n")[0][:40] in text, name
    assert "[base 1s, cap 30s]" in text and "interval 25s, timeout 20s" in text


def test_every_profile_is_there_with_each_figure_and_its_source():
    text = guide.profiles_text()
    figures = {name: profile.figures for name, profile in PROFILES.items()} | {"broker": BROKER_COSTS}
    figures |= {"pipeline": PIPELINE_DEFAULTS}
    assert {name: len(found) for name, found in rows(text).items()} == {name: len(of) for name, of in figures.items()}
    assert all(figure.source in text for of in figures.values() for figure in of.values())
    assert guide.profiles_text("centrifugo") in text
