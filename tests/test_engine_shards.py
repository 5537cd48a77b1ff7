"""Sharded Pub/Sub: a room's messages and subscriptions are at the instance it was dealt to, and wait for no other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from realtime_sim import theory
from realtime_sim.engines import fast, reference
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import Trace
from realtime_sim.workload import draw_workload

ENGINES = {"reference": reference, "fast": fast}
MS = 1_000_000
MIB = 2**20
WIDER = stats.t.ppf(1 - 0.5e-6, 31) / stats.t.ppf(0.975, 31)
"""From a 95 % interval over 32 slices to one at 1 - 10**-6."""


def two_rooms(shards: int, **changes: object) -> Scenario:
    """Rooms 1 and 2 (0 is everyone) with a member each, on two servers, and a message to each once a second, at the
    same time: 10 ms for a PUBLISH, and 5 ms for a copy to each server."""
    broker = {
        "kind": "redis_pubsub", "shards": shards, "publish": "10ms", "copy": "5ms", "publisher_link": "1ms",
        "server_link": "2ms",
    }  # fmt: skip
    return Scenario(
        **{
            "name": "two rooms", "duration": 20, "warmup": 0,
            "clients": [{"name": name, "count": 1, "keepalive": None} for name in ("a", "b")],
            "servers": {"count": 2, "profile": "zero"}, "broker": broker | changes.pop("broker", {}),
            "rooms": [{"name": name, "count": 1, "members": 1, "cohort": name} for name in ("a", "b")],
            "traffic": [{"name": name, "to": name, "rate": 1, "arrivals": "constant"} for name in ("a", "b")],
        } | changes
    )  # fmt: skip


def traced(scenario: Scenario, engine: str = "reference") -> Trace:
    return ENGINES[engine].run(draw_workload(scenario), "full")


# Known values, worked by hand.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("shards", "waits_ms"), [(1, 20), (2, 0), (3, 0)])
def test_messages_published_at_once_wait_for_each_other_only_at_one_instance(shards, waits_ms, engine):
    """Client a is at server 0, and has its copy after 10 + 5 ms; b is at server 1, and has it after 10 + 2 x 5 ms; on
    one instance it waits for the 20 ms of the first message before."""
    rows = traced(two_rooms(shards), engine).rows
    at_broker_ns = rows["left_broker_ns"] - rows["at_broker_ns"]
    assert set(at_broker_ns[rows["client"] == 0].tolist()) == {15 * MS}
    assert set(at_broker_ns[rows["client"] == 1].tolist()) == {(20 + waits_ms) * MS}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("shards", "busy_ms"), [(1, [800]), (2, [400, 400]), (3, [0, 400, 400]), (4, [0, 400, 400, 0])]
)
def test_work_is_done_where_the_room_was_dealt_to(shards, busy_ms, engine):
    """Room i at instance i modulo the shards, 20 messages of 20 ms each; the sum is that of one instance."""
    trace = traced(two_rooms(shards), engine)
    assert (trace.series["broker_busy_ns"][-1] // MS).tolist() == busy_ms
    plain = Results([trace]).to_plain()["broker"]
    assert plain["utilization_highest"] == pytest.approx(max(busy_ms) / 20_000)
    assert plain["utilization"] == pytest.approx(sum(busy_ms) / 20_000 / shards)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("subscription", "shards", "n"),
    [("all_servers", 1, 2), ("all_servers", 4, 8), ("per_room", 1, 4), ("per_room", 4, 4)],
)
def test_every_server_subscribes_at_every_shard_or_to_its_rooms(subscription, shards, n, engine):
    """Two servers at each of four; per room each server hears of everyone's and of its client's."""
    trace = traced(two_rooms(shards, broker={"subscription": subscription}), engine)
    assert set(trace.series["subscriptions"].tolist()) == {n}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("shards", "back_ms"), [(1, 24), (2, 22)])
def test_a_handshake_subscribes_at_all_shards_at_once(shards, back_ms, engine):
    """There and back, 2 x 10 ms; everyone's room and one more are two commands of 1 ms at one instance, behind the two
    of the UNSUBSCRIBE, and half of that at each of two."""
    broker = {"subscription": "per_room", "subscribe": "1ms", "server_link": "10ms"}
    case = two_rooms(
        shards, broker=broker, clients=[{"name": "a", "count": 1, "keepalive": None, "reconnect": "none"}],
        rooms=[{"name": "a", "per_user": True}], traffic=[], servers={"profile": "zero"},
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "a"}],
    )  # fmt: skip
    assert traced(case, engine).recovery[0].tolist() == [5_000 * MS + back_ms * MS]


# All shards together.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("subscription", ["all_servers", "per_room"])
@pytest.mark.parametrize(
    ("fault", "lost"),
    [({"kind": "partition", "server": 0}, {"a": 6, "b": 0}), ({"kind": "stop_broker"}, {"a": 6, "b": 6})],
    ids=["partition", "stop"],
)
def test_a_partition_or_a_stop_concerns_every_shard(subscription, fault, lost, engine):
    """From 9.5 s for 5 s and one more until it is connected: six messages of each room that lost its server."""
    case = two_rooms(
        3, broker={"subscription": subscription, "reconnect_delay": "1s"},
        faults=[fault | {"at": "9.5s", "lasts": "5s"}],
    )  # fmt: skip
    deliveries = simulate(case, engine=engine).deliveries["lost"]
    assert deliveries[["a", "b"]].to_dict() == lost


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("shards", "cut_s"), [(1, 1.6), (2, 3.2)])
def test_each_instance_has_a_buffer_and_the_first_that_is_full_cuts_the_server_off(shards, cut_s, engine):
    """Two rooms of 10 MiB/s each against 32 MiB: 3.2 s where each has an instance of its own, half of it otherwise."""
    traffic = [
        {"name": name, "to": name, "rate": 200, "arrivals": "constant", "payload": MIB // 20} for name in ("a", "b")
    ]
    stall = {"kind": "partition", "at": 5, "server": 0, "notice": "silent", "lasts": 4}
    costs = {"publish": 0, "copy": 0, "reconnect_delay": 0}
    results = simulate(two_rooms(shards, broker=costs, traffic=traffic, faults=[stall]), engine=engine)
    cuts = results.decisions[results.decisions["action"] == "cut off"]
    assert cuts["target"].tolist() == ["server 0"]
    assert cuts["time_s"].tolist() == pytest.approx([5 + cut_s], abs=2 / 200)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_server_kept_goes_out_when_it_has_subscribed_at_the_last_shard(engine):
    """Away for 5 s, and connected after one more, at 16 s: one shard answers at once; the other is busy with a copy for
    1.5 s from 15.501 s on, then takes 1 ms for the SUBSCRIBE. Its answer takes 2 ms, and the client's message 1 ms."""
    broker = {"reconnect_delay": "1s", "when_down": "retry", "subscribe": "1ms", "publish": 0, "copy": "1500ms"}
    case = two_rooms(
        2, broker=broker, duration=30, drain=60, servers={"count": 2, "profile": "zero"},
        clients=[{"name": "a", "count": 1, "keepalive": None}, {"name": "b", "count": 1, "keepalive": None}],
        traffic=[
            {"name": "slow", "to": "b", "rate": 1, "arrivals": "constant", "start": 15.5, "stop": 16},
            {"name": "up", "to": "a", "from": "a", "rate": 1, "arrivals": "constant", "start": 12, "stop": 12.5},
        ],
        faults=[{"kind": "partition", "at": 10, "server": 0, "lasts": 5}],
    )  # fmt: skip
    rows = traced(case, engine).rows
    up = rows["client"] == 0
    assert (rows["published_ns"][up] // MS).tolist() == [12_000]
    assert (rows["at_broker_ns"][up] // MS).tolist() == [15_501 + 1_500 + 1 + 2 + 1]


# Properties.


@pytest.mark.parametrize("engine", ENGINES)
def test_copies_keep_their_order_on_the_way_from_one_shard_and_not_across_shards(engine):
    """Ways of 50 ms on average, 200 messages a second to six rooms."""
    case = two_rooms(
        3, duration=5, broker={"publish": 0, "copy": 0, "server_link": {"mean": "50ms"}},
        clients=[{"name": "c", "count": 6, "keepalive": None}],
        rooms=[{"name": "r", "count": 6, "members": 1}], traffic=[{"name": "t", "to": "r", "rate": 200}],
    )  # fmt: skip
    rows = traced(case, engine).rows
    shard = draw_workload(case).publishes.room[rows["message"]] % 3
    overtaken = 0
    for server in range(2):
        here = rows["server"] == server
        order = np.argsort(rows["left_broker_ns"][here], kind="stable")
        arrived, shards = rows["at_server_ns"][here][order], shard[here][order]
        assert all((np.diff(arrived[shards == one]) >= 0).all() for one in range(3))
        overtaken += (np.diff(arrived) < 0).sum()
    assert overtaken > 100


# Agreement with theory.


def loaded(shards: int, utilization: float, seed: int, n: int) -> Scenario:
    """`n` messages of 1 ms to as many rooms as there are shards, each as likely: one server, and no way takes time."""
    rate = utilization * shards / 1e-3
    duration = n / rate
    return Scenario(
        name="loaded", seed=seed, duration=duration, warmup=duration / 20, sample_interval=duration / 200,
        clients=[{"name": "c", "count": shards, "keepalive": None}], servers={"profile": "zero"},
        broker={"kind": "redis_pubsub", "shards": shards, "publish": "1ms", "copy": 0, "publisher_link": 0,
                "server_link": 0},
        rooms=[{"name": "r", "count": shards, "members": 1}], traffic=[{"name": "t", "to": "r", "rate": rate}],
    )  # fmt: skip


@pytest.mark.parametrize(("shards", "utilization", "seed"), [(2, 0.5, 0), (4, 0.8, 1), (8, 0.8, 2)])
def test_the_wait_at_the_broker_is_that_of_as_many_queues_as_shards(shards, utilization, seed):
    """Poisson messages dealt out at random are Poisson at each: M/D/1 with a rate of lambda / k."""
    expected_s = theory.md1(utilization / 1e-3, 1e-3).mean_wait_s + 1e-3
    case = loaded(shards, utilization, seed, 40_000 * shards)
    found = simulate(case, engine="fast").latency_s(hop="broker")["mean"]
    half = (found.high - found.low) / 2 * WIDER
    assert abs(found.value - expected_s) < half < expected_s / 4


def test_the_wait_at_each_shard_is_that_of_its_own_queue():
    """From single messages, 32 slices of those at each of four shards: Student's t at 1 - 10**-6, for each shard."""
    case = loaded(4, 0.7, 3, 160_000)
    trace = traced(case, "fast")
    expected_ns = theory.md1(700, 1e-3).mean_wait_s * 1e9
    shard = draw_workload(case).publishes.room[trace.rows["message"]] % 4
    wait_ns = trace.rows["left_broker_ns"] - trace.rows["at_broker_ns"] - MS
    order = np.argsort(trace.rows["published_ns"], kind="stable")
    for one in range(4):
        waits = wait_ns[order][shard[order] == one]
        means = np.array([part.mean() for part in np.array_split(waits[len(waits) // 20 :], 32)])
        half = stats.t.ppf(1 - 0.5e-6, 31) * means.std(ddof=1) / np.sqrt(32)
        assert abs(means.mean() - expected_ns) < half < expected_ns / 2
