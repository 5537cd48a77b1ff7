"""Nothing is dropped in silence: what manifests cannot say is in the notes, by field."""

from __future__ import annotations

import pytest

from realtime_sim import deployment
from realtime_sim.scenario.autoscaling import Autoscaling
from realtime_sim.scenario.system import Balancer, Servers, Slo
from tests.deployed import chat

SCALING = {"max_replicas": 9, "metrics": [{"name": "connections", "target": 250}]}
RULES = {"stabilization": "1min", "policies": [{"kind": "pods", "value": 2, "period": "1min"}]}
CHANGES = {
    "servers.count": 3,
    "servers.profile": "centrifugo",
    "servers.costs": {"send": "1us"},
    "servers.workers": 2,
    "servers.stack": "socketio",
    "servers.fanout": "task_per_client",
    "servers.max_connections": 399,
    "servers.memory": "2GiB",
    "servers.egress": "1 Gbit/s",
    "servers.backlog": 128,
    "servers.startup": "11s",
    "servers.connection_age": "10min",
    "servers.grace": "31s",
    "servers.admission": {"rate": "500/s"},
    "balancer.policy": "round_robin",
    "balancer.affinity": "cookie",
    "balancer.detection": "3s",
    "autoscaling.min_replicas": 2,
    "autoscaling.max_replicas": 8,
    "autoscaling.metrics": [{"name": "connections", "target": 251}],
    "autoscaling.tolerance": 0.2,
    "autoscaling.sync_period": "30s",
    "autoscaling.scale_up": RULES,
    "autoscaling.scale_down": RULES,
    "slo.p50": "50ms",
    "slo.p90": "50ms",
    "slo.p95": "50ms",
    "slo.p99": "50ms",
    "slo.p999": "50ms",
    "slo.max_lost_ratio": 0.01,
    "slo.recover_within": "20s",
    "slo.survive_servers": 2,
    "slo.max_utilization": 0.5,
    "slo.headroom": 0.3,
    "slo.survive_deploy": True,
    "clients.phones.count": 900,
    "clients.phones.keepalive": {"interval": "7s", "timeout": "3s"},
    "clients.phones.network.idle_timeout": "90s",
    "broker": {"kind": "nats"},
    "broker.subscription": "per_room",
    "host": {"cores": 4},
    "faults": [{"at": 1, "kind": "rolling_deploy", "surge": 2}],
}
"""Another value for each."""


@pytest.mark.parametrize("path", CHANGES)
def test_no_knob_is_dropped_in_silence(path):
    base = chat(autoscaling=SCALING) if path.startswith("autoscaling.") else chat()
    changed = base.replace(**{path: CHANGES[path]})
    before, after = deployment.manifests(base), deployment.manifests(changed)
    assert before.yaml() != after.yaml() or before.notes != after.notes


@pytest.mark.parametrize(("part", "model"), [("servers", Servers), ("balancer", Balancer), ("autoscaling", Autoscaling),
                                             ("slo", Slo)])  # fmt: skip
def test_every_field_of_the_machinery_is_asked_after(part, model):
    assert {path.partition(".")[2] for path in CHANGES if path.startswith(f"{part}.")} >= set(model.model_fields)


def test_notes_begin_with_the_field_they_are_about():
    notes = deployment.manifests(chat(balancer={"affinity": "cookie"})).notes
    assert all(note.split(":")[0].split(" ")[0].split(".")[0].rstrip(",") for note in notes)
    places = [note.partition(":")[0].partition(" ")[0] for note in notes]
    assert "balancer.policy" in places and "balancer.affinity" in places and "servers.grace" in places
    assert len(set(places)) == len(places)


def test_pods_that_cannot_hold_all_clients_are_noted():
    [note] = [one for one in deployment.manifests(chat(**{"servers.max_connections": 100})).notes if "admit" in one]
    assert note.startswith("servers.count: 8 pods, the most there may be, admit 800 of 1,000 clients")


def test_a_deploy_that_makes_a_storm_is_noted():
    """Four pods let in 4 clients/s, and a deploy makes 8.3/s; with a budget it does not."""
    calm = {"at": 1, "kind": "rolling_deploy", "budget": "3/s"}
    throttled = chat(**{"servers.admission.rate": "1/s"})
    assert any(note.startswith("faults.rolling_deploy: ") for note in deployment.manifests(throttled).notes)
    paced = deployment.manifests(throttled.replace(faults=[calm])).notes
    assert not any(note.startswith("faults.rolling_deploy: ") for note in paced)


def test_an_autoscaler_that_cannot_hold_all_clients_is_noted():
    scaling = {"max_replicas": 4, "metrics": [{"name": "connections", "target": 200}]}
    [note] = [one for one in deployment.manifests(chat(autoscaling=scaling)).notes if "max_replicas" in one]
    assert "4 pods of 200 connections hold 800 of 1,000 clients" in note


# Servers that are too few.


def short(planned: bool = False, **changes: object) -> str:
    """What is held against the servers, which is a sentence of the notes as well."""
    made = deployment.manifests(chat(**changes), planned=planned)
    [note] = [one for one in made.notes if one.startswith("servers.count: ")] or [""]
    assert note.removeprefix("servers.count: ").endswith(f"{made.short}." if made.short else "")
    return made.short


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Four of 400, and 1,000 clients: three are enough, also if one dies.
        ({"slo.survive_servers": 1}, ""),
        (
            {"slo.survive_servers": 2},
            "4 servers, 2 of them lost, do not meet every limit: connections at 125.0% of 100%; use --servers 5, or "
            "ask `plan`",
        ),
        (
            {"servers.count": 2},
            "2 servers do not meet every limit: connections at 125.0% of 100%; use --servers 3, or ask `plan`",
        ),
        (
            {"servers.count": 1, "slo.survive_servers": 1},
            "1 server: none is left when 1 is lost; use --servers 4, or ask `plan`",
        ),
        (
            {"broker.publish": "2s", "traffic": [{"name": "news", "rate": "1/s"}]},
            "4 servers do not meet every limit: broker at 200.0% of 70%; more of them do not help, so ask `limits` "
            "what does",
        ),
    ],
)
def test_servers_that_do_not_meet_static_limits_are_told(changes, expected):
    assert short(**changes) == expected


def test_an_autoscaler_decides_how_many_servers_are_held_to_the_limits():
    """It begins with one, and has four of 250 when all are there; of two that are lost it knows nothing."""
    scaling = SCALING | {"max_replicas": 4}
    assert short(**{"servers.count": 1, "autoscaling": scaling}) == ""
    found = short(**{"servers.count": 1, "autoscaling": scaling, "slo.survive_servers": 2})
    assert found.startswith("4 servers, 2 of them lost,") and found.endswith(
        "; it takes 5, so change autoscaling, or ask `plan`"
    )


def test_a_plan_knows_better_how_busy_loops_may_be_but_not_how_many_connections_there_are():
    """500 clients a second that cost 7 ms each keep four loops busy for 7/8 of the time and more."""
    busy = {"servers.costs": {"handshake": "7ms"}, "clients.phones.session": {"length": "2s"}}
    assert "cpu at" in short(**busy) and short(planned=True, **busy) == ""
    assert "cpu at" in short(planned=True, **busy, **{"slo.max_utilization": 0.5})
    assert "connections at" in short(planned=True, **{"servers.count": 2})
