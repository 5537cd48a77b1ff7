"""What is done at the very end of a run, after the last sample, is in every frame as what is done before it."""

from __future__ import annotations

import json

import pytest

from realtime_sim import Results, Scenario
from realtime_sim.engines import fast, reference
from realtime_sim.tables import report_text
from realtime_sim.workload import draw_workload
from tests.conftest import small

END_S = 10
SERVERS = {"profile": "zero", "count": 2, "startup": "2s", "grace": "1s"}
GROWS = {"max_replicas": 9, "sync_period": 4, "metrics": [{"name": "connections", "target": 1}]}


def dies_in_the_end(env, cluster):
    yield env.timeout(END_S)
    cluster.kill(0)
    cluster.add_server(0)


def traces(case: Scenario, *control):
    workload = draw_workload(case)
    return [engine.run(workload, "full", control=control) for engine in (reference, fast)]


@pytest.mark.parametrize(
    ("changes", "n_servers"),
    [
        ({"faults": [{"at": 2, "kind": "kill_server", "server": 0, "restart_after": "6s"}]}, 3),
        ({"faults": [{"at": 8, "kind": "rolling_deploy"}]}, 3),  # the first new server is ready at 10 s
        ({"faults": [{"at": 9, "kind": "drain_server", "server": 0}]}, 2),
        ({"autoscaling": GROWS | {"sync_period": 8}}, 6),
        ({"faults": [{"at": 9, "kind": "stop_broker", "lasts": 1}], "broker": {"kind": "redis_pubsub"}}, 2),
    ],
    ids=["restart", "deploy", "drain", "autoscaler", "broker"],
)
def test_what_happens_at_the_end_is_in_every_frame(changes, n_servers):
    """Samples come first at their time, so the last one knows nothing of it, and every server has a column all the
    same."""
    first, second = traces(small(duration=END_S, servers=SERVERS, traffic=[{"name": "t", "rate": 5}], **changes))
    assert first.diff(second) is None
    results = Results([first])
    assert all(results.server_series(what).shape[1] == n_servers for what in ("connections", "utilization"))
    assert len(results.servers) == len(results.monitoring["active_connections"]) == n_servers
    assert report_text(results) and json.loads(results.to_json())


def test_an_act_of_ones_own_at_the_end_is_in_every_frame():
    first, second = traces(small(duration=END_S, servers=SERVERS), dies_in_the_end)
    assert first.diff(second) is None
    results = Results([first])
    assert results.servers["started_s"].tolist() == [0, 0, END_S]
    assert results.servers["died_s"].iloc[0] == END_S and results.timeseries["connections"].iloc[-1] == 10
    assert results.server_series("connections").iloc[-1].tolist() == [5, 5, 0]
