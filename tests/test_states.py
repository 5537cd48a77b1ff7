"""States of clients over time are those that clients have, to the last one, and add up to all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from realtime_sim.engines.reference.cluster import ReferenceCluster
from realtime_sim.policies.lifecycle import State
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.states import STATES, client_states
from tests.conftest import as_live, small

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, **changes: object) -> Scenario:
    return Scenario.from_yaml(EXAMPLES / f"{name}.yaml").replace(**changes)


CHURN = example("million_scaled", **{
    "clients.connections.count": 400, "duration": 20, "traffic": [],
    "clients.connections.session": {"length": {"mean": "6s"}, "absence": "2s"},
    "clients.connections.network": {"rtt": "300ms"}, "clients.connections.keepalive": "engineio",
    "faults": [{"at": 5, "kind": "kill_server", "server": 0, "notice": "silent"}],
})  # fmt: skip
CASES = {
    "a storm": example(
        "reconnect_storm", **{"clients.phones.count": 300, "duration": 20, "servers.backlog": 50, "traffic": []}
    ),
    "polls that find no session": example("sticky_sessions", duration="6s"),
    "users that come and go while a server dies silently": CHURN,
    "users that no server has room for": CHURN.replace(**{"servers.max_connections": 60}),
    "attempts that are given up, by users who do so": CHURN.replace(**{
        "clients.connections.connect_timeout": "800ms", "clients.connections.reconnect": "signalr", "duration": 70,
        "clients.connections.session": {"length": {"mean": "60s"}}, "servers.max_connections": 30,
    }),
    "clients that give up for good": example("reconnect_storm", **{
        "clients.phones.count": 300, "clients.phones.reconnect": "signalr", "duration": 70,
        "servers.max_connections": 50, "traffic": [],
    }),
    "clients that come one by one": small(clients=[{"name": "c", "count": 50, "ramp_up": "5s"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_count_is_that_of_the_clients_themselves(monkeypatch, name):
    """The clients of the reference engine are looked at whenever it takes a sample; who has given up waits in vain."""
    found, original = [], ReferenceCluster.sample

    def sample(cluster):
        found.append(np.bincount([client.state for client in cluster.system.clients], minlength=len(State)))
        original(cluster)

    monkeypatch.setattr(ReferenceCluster, "sample", sample)
    states = client_states(simulate(CASES[name], engine="reference").trace)
    clients = {state: counts for state, counts in zip(State, np.array(found).T, strict=True)}
    assert states["connected"].tolist() == clients[State.OPEN].tolist()
    assert states["cut_off"].tolist() == clients[State.LOST].tolist()
    assert states["connecting"].tolist() == clients[State.CONNECTING].tolist()
    waiting = clients[State.BACKING_OFF] + clients[State.GAVE_UP]
    assert (states["waiting"] + states["gave_up"]).tolist() == waiting.tolist()
    assert states["away"].tolist() == (clients[State.IDLE] + clients[State.CLOSED]).tolist()
    assert states.to_numpy().min() >= 0 and set(states.sum(axis=1)) == {CASES[name].n_clients}
    assert (states["connected"] < CASES[name].n_clients).any()


def test_who_gives_up_for_good_is_told_from_who_waits():
    states = client_states(simulate(CASES["clients that give up for good"]).trace)
    assert states["gave_up"].iloc[-1] > 100 > states["waiting"].iloc[-1]


def test_a_live_run_knows_connected_and_not_connected():
    run = as_live(simulate(CASES["a storm"]))
    assert [*run.client_states] == ["connected", "not_connected"] and {*run.client_states} <= {*STATES}
    assert set(run.client_states.sum(axis=1)) == {300} and run.client_states["not_connected"].any()
