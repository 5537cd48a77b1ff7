"""The reference engine does what its documents say: worked examples to the nanosecond, conservation, repeatability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from realtime_sim.engines.reference import run
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import CAUSES, HOPS, OUTCOMES, STAMPS
from realtime_sim.workload import draw_workload
from tests.strategies import scenarios


def scenario(**changes: object) -> Scenario:
    """One client, one server without costs, no broker, one message a second: nothing takes any time."""
    return Scenario(
        **{
            "name": "case",
            "duration": 20,
            "warmup": 0,
            "clients": [{"name": "c", "count": 1, "keepalive": None}],
            "servers": {"profile": "zero"},
            "broker": {"kind": "none", "publisher_link": 0},
            "traffic": [{"name": "t", "rate": 1, "arrivals": "constant"}],
        }
        | changes
    )


def clients(count: int, **fields: object) -> list[dict]:
    return [{"name": "c", "count": count, "keepalive": None, **fields}]


def lost_by(results: Results) -> dict[str, int]:
    """Causes of loss that occurred, with their counts."""
    total = results.deliveries.loc["total"]
    return {cause: int(total[f"lost_{cause}"]) for cause in CAUSES if total[f"lost_{cause}"]}


# Known values, worked by hand.


def test_a_message_takes_half_a_round_trip_where_nothing_else_takes_time():
    results = simulate(scenario(clients=clients(1, network={"rtt": "40ms"})))
    assert results.latency_s()["max"].value == results.latency_s()["mean"].value == 0.02
    assert results.latency_s(hop="client_network")["mean"].value == 0.02


def test_hops_of_redis_pubsub_are_its_costs():
    """Two servers: 100 us to the broker, 10 us for the PUBLISH, 3 us for each copy, 200 us to the server, 50 us to
    decode, 7 us to send: the second server's copy leaves the broker 3 us later."""
    broker = {
        "kind": "redis_pubsub",
        "publish": "10us",
        "copy": "3us",
        "publisher_link": "100us",
        "server_link": "200us",
    }
    servers = {"count": 2, "profile": "zero", "costs": {"event": "50us", "send": "7us"}}
    trace = simulate(scenario(clients=clients(2), broker=broker, servers=servers), record="full").trace
    stamps = np.column_stack([trace.rows[name] for name in STAMPS])[:2]
    hops_us = np.diff(stamps, axis=1) / 1000
    assert dict(zip(HOPS, hops_us[0], strict=True)) == {
        "publisher_to_broker": 100, "broker": 13, "broker_to_server": 200, "server_wait": 0, "fanout": 57,
        "client_away": 0, "egress": 0, "client_network": 0,
    }  # fmt: skip
    assert hops_us[1].tolist() == [100, 16, 200, 0, 57, 0, 0, 0]


def test_kafka_linger_holds_a_record_back_and_a_full_batch_goes_at_once():
    kafka = {"kind": "kafka", "linger": "5ms", "publisher_link": "1ms", "server_link": 0, "append": 0, "read": 0}
    assert simulate(scenario(broker=kafka)).latency_s(hop="publisher_to_broker")["mean"].value == 0.006
    full = simulate(scenario(broker=kafka | {"batch_size": 100}))
    assert full.latency_s(hop="publisher_to_broker")["mean"].value == 0.001


def test_a_reader_of_a_log_takes_what_came_while_it_was_on_its_way():
    """Entries at 0, 1, 2, 3 ms; the link takes 2.5 ms each way. The first read leaves at 0, is back for more at 5 ms,
    and takes the other three together."""
    streams = {"kind": "redis_streams", "publisher_link": 0, "server_link": "2.5ms", "append": 0, "read": 0}
    traffic = [{"name": "t", "rate": "1000/s", "arrivals": "constant", "stop": "4ms"}]
    trace = simulate(scenario(broker=streams, traffic=traffic), record="full").trace
    received_ms = trace.rows["received_ns"] / 1e6
    assert received_ms.tolist() == [2.5, 7.5, 7.5, 7.5]


def test_a_task_for_each_client_lets_other_work_in_between():
    """Two messages at 0 for two clients, 1 ms to decode, 1 ms a send. In one job each: 2, 3 then 5, 6 ms. As tasks:
    decode, decode, then the four sends: 3, 4, 5, 6 ms."""
    servers = {"profile": "zero", "costs": {"event": "1ms", "send": "1ms"}}
    traffic = [{"name": n, "rate": 1, "arrivals": "constant", "stop": "1ms"} for n in ("a", "b")]
    received = {}
    for fanout in ("broadcast", "task_per_client"):
        case = scenario(clients=clients(2), servers=servers | {"fanout": fanout}, traffic=traffic)
        received[fanout] = (simulate(case, record="full").trace.rows["received_ns"] / 1e6).tolist()
    assert received == {"broadcast": [2, 3, 5, 6], "task_per_client": [3, 4, 5, 6]}


def test_the_egress_link_sends_one_copy_after_the_other():
    """Without TLS a frame of 200 B is 256 B on the wire; at 256 kB/s each takes 1 ms."""
    case = scenario(clients=clients(3, tls=False), servers={"profile": "zero", "egress": 256_000})
    trace = simulate(case, record="full").trace
    assert (trace.rows["received_ns"][:3] / 1e6).tolist() == [1, 2, 3]
    assert trace.servers["link_busy_ns"].tolist() == [20 * 3_000_000]
    assert trace.series["link_busy_ns"][:3].tolist() == [[0], [3_000_000], [6_000_000]]


def test_reconnecting_takes_the_backoff_two_and_a_half_round_trips_and_the_handshake():
    """Dropped at 5 s, half of 2 s back to the server; wait 1 s; TCP and TLS 0.2 s, the request 0.05 s, 2 ms of work."""
    case = scenario(
        clients=clients(1, network={"rtt": "100ms"}, reconnect={"policy": "fixed", "delay": "1s"}),
        servers={"profile": "zero", "costs": {"handshake": "2ms"}},
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "c"}],
    )
    assert simulate(case).trace.recovery[0].tolist() == [6_252_000_000]


def test_a_polling_handshake_takes_four_requests():
    """Each of the three further requests takes a round trip and 1 ms; the upgrade takes 2 ms."""
    case = scenario(
        clients=clients(1, network={"rtt": "100ms"}, reconnect="none", polling_handshake=True),
        servers={"profile": "zero", "costs": {"handshake": "2ms", "http_request": "1ms"}},
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "c"}],
    )
    assert simulate(case).trace.recovery[0].tolist() == [5_250_000_000 + 3 * 101_000_000 + 2_000_000]


def storm(count: int, **servers: object) -> Scenario:
    """All clients drop at 1 s, and try again every 10 s; no network, one server."""
    return scenario(
        duration=60,
        clients=clients(count, reconnect={"policy": "fixed", "delay": "10s"}, connect_timeout="1s"),
        servers={"profile": "zero", **servers},
        traffic=[],
        faults=[{"at": "1s", "kind": "drop_clients", "cohort": "c"}],
    )


def test_a_full_backlog_turns_requests_away():
    """Ten at once, one in work and three waiting: six turned away, then two, then none."""
    results = simulate(storm(10, backlog=3, costs={"handshake": "100ms"}))
    assert results.connections["backlog_full"] == 8
    assert results.connections["attempts"] == 18
    assert results.connections["reconnects"] == 10


def test_work_for_clients_who_gave_up_is_wasted():
    """Handshakes of 0.4 s and patience of 1 s: of five the first two are in time, then two of three, then the last."""
    results = simulate(storm(5, costs={"handshake": "400ms"}))
    assert results.connections["timeouts"] == results.connections["wasted_handshakes"] == 4
    assert results.trace.servers["handshakes"][0] == 9
    assert (results.trace.recovery[0] / 1e9).tolist() == [11.4, 11.8, 22.4, 22.8, 33.4]


@pytest.mark.parametrize(
    "limit", [{"max_connections": 5}, {"memory": 6_000, "costs": {"connection_memory": 1_000, "base_memory": 500}}]
)
def test_file_descriptors_and_memory_refuse_connections(limit):
    case = scenario(
        clients=clients(8, reconnect={"policy": "fixed", "delay": "5s"}), servers={"profile": "zero", **limit}
    )
    results = simulate(case)
    assert results.connections["peak"] == 5
    assert results.connections["refused"] == 3 + 3 * 4  # at the start, then at 5, 10, 15 and 20 s
    assert results.connections["connected_at_start"] == results.connections["accepted"] == 5
    assert (results.connections["attempts"], results.connections["never_connected"]) == (12, 3)


def test_who_has_not_tried_yet_is_not_counted_as_never_connected():
    """Handshakes of 2 s, from 0 s to 40 s on, of which the run sees 20: who tries in the last 2 s gets no answer."""
    case = scenario(
        clients=clients(200, ramp_up="40s", connect_timeout="1min"),
        servers={"profile": "zero", "workers": 200, "costs": {"handshake": "2s"}},
        traffic=[],
    )
    starts_ns = draw_workload(case).connect_ns
    counted = simulate(case).connections
    assert counted["attempts"] == (starts_ns <= 20e9).sum()
    assert counted["accepted"] == (starts_ns <= 18e9).sum()
    assert counted["never_connected"] == counted["attempts"] - counted["accepted"] > 0


# Sticky sessions.


@pytest.mark.parametrize("transport", [{"transport": "long_polling"}, {"polling_handshake": True}])
def test_sessions_of_several_requests_fail_without_stickiness(transport):
    case = scenario(
        clients=clients(40, network={"rtt": "50ms"}, **transport),
        servers={"count": 2, "profile": "zero"},
        balancer={"policy": "random"},
        broker={"kind": "redis_pubsub"},
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "c"}],
    )
    assert simulate(case).connections["session_unknown"] > 20
    for sticky in ({"affinity": "cookie"}, {"policy": "source_hash"}, {"policy": "consistent_hash"}):
        balancer = {"policy": "random"} | sticky
        assert simulate(case.replace(balancer=balancer)).connections["session_unknown"] == 0, sticky


def test_websockets_need_no_stickiness():
    case = scenario(
        clients=clients(40, network={"rtt": "50ms"}),
        servers={"count": 2, "profile": "zero"},
        balancer={"policy": "random"},
        broker={"kind": "redis_pubsub"},
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "c"}],
    )
    results = simulate(case)
    assert results.connections["session_unknown"] == 0
    assert results.connections["reconnects"] == 40


# Faults, and what brokers lose.


def killed(broker: dict, **cohort: object) -> Scenario:
    """One of two servers dies at 5 s, with twenty clients and ten messages a second to everyone."""
    return scenario(
        clients=[{"name": "c", "count": 20, "reconnect": {"policy": "fixed", "delay": "1s"}, **cohort}],
        servers={"count": 2, "profile": "zero"},
        broker=broker,
        traffic=[{"name": "t", "rate": "10/s", "arrivals": "constant"}],
        faults=[{"at": "5s", "kind": "kill_server", "server": 0}],
    )


def test_pubsub_loses_what_is_published_while_a_client_is_away():
    """Ten of twenty clients are away for 1 s and a little: ten messages each, the one at 5 s among them."""
    results = simulate(killed({"kind": "redis_pubsub", "publisher_link": 0}, network={"rtt": 0}))
    assert lost_by(results) == {"offline": 100}


@pytest.mark.parametrize("kind", ["redis_streams", "kafka"])
def test_a_log_and_a_client_that_resumes_lose_nothing(kind):
    results = simulate(killed({"kind": kind}, resume=True, network={"rtt": "30ms"}))
    assert lost_by(results) == {}
    assert results.latency_s(hop="client_away")["max"].value == pytest.approx(1.06, abs=0.11)
    without = simulate(killed({"kind": kind}, resume=False, network={"rtt": "30ms"}))
    assert lost_by(without).keys() <= {"offline", "server_died"}
    assert sum(lost_by(without).values()) >= 90


def test_what_was_trimmed_from_the_log_is_lost():
    """Away for 1 s at 10 messages/s with a log of four: ten clients miss about six each."""
    results = simulate(killed({"kind": "redis_streams", "max_length": 4}, resume=True))
    assert lost_by(results) == {"trimmed": 60}


def test_a_silent_death_is_noticed_after_the_timeout_and_at_most_an_interval_more():
    case = killed({"kind": "redis_pubsub"}, keepalive={"interval": "2s", "timeout": "3s"}, reconnect="none")
    results = simulate(case.replace(faults=[{"at": "5s", "kind": "kill_server", "server": 0, "notice": "silent"}]))
    back_s = results.trace.recovery[0] / 1e9 - 5
    assert len(back_s) == 10
    assert back_s.min() >= 3 and back_s.max() <= 5


def test_a_dead_server_gets_no_more_clients_once_the_balancer_knows():
    """Until then it is the black hole of least connections: it has the fewest, so everyone is sent there."""
    for detection, failures in ((0, 0), (3, 30)):
        case = killed({"kind": "redis_pubsub"}, network={"rtt": 0})
        results = simulate(case.replace(**{"balancer.detection": detection, "balancer.policy": "least_connections"}))
        assert results.connections["server_died"] == pytest.approx(failures, abs=10 if failures else 0)
        assert results.connections["reconnects"] == 10


def test_a_share_of_a_cohort_drops():
    case = scenario(
        clients=clients(1000),
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "c", "share": 0.3}],
    )
    affected = simulate(case).recovery["affected"][0]
    assert 300 - 5 * 14.5 <= affected <= 300 + 5 * 14.5  # binomial: error probability 6e-7


def test_without_a_broker_only_the_publishers_server_delivers():
    results = simulate(scenario(clients=clients(4), servers={"count": 2, "profile": "zero"}))
    total = results.deliveries.loc["total"]
    assert total["delivered"] == total["lost_no_route"] == 40
    assert "No broker between several servers" in " ".join(results.warnings)


def test_subscribing_per_room_copies_to_servers_with_members_only():
    """One client of two is in the room: one copy, not two."""
    broker = {"kind": "redis_pubsub", "publish": 0, "copy": "1ms", "server_link": 0, "publisher_link": 0}
    rooms = [{"name": "r", "count": 1, "members": 1}]
    case = scenario(
        clients=clients(2),
        servers={"count": 2, "profile": "zero"},
        rooms=rooms,
        traffic=[{"name": "t", "to": "r", "rate": 1, "arrivals": "constant"}],
    )
    busy = {}
    for mode in ("all_servers", "per_room"):
        trace = simulate(case.replace(broker=broker | {"subscription": mode})).trace
        busy[mode] = int(trace.series["broker_busy_ns"][-1].sum()) / 1e6
    assert busy == {"all_servers": 40, "per_room": 20}


def test_a_room_is_subscribed_before_its_first_member_is_let_in():
    """The SUBSCRIBE for two rooms goes there and back before the handshake is over, 2 x 10 ms and 2 x 1 ms; at the
    broker it finds the UNSUBSCRIBE of the lost connection before it, 2 x 1 ms."""
    broker = {"kind": "redis_pubsub", "subscription": "per_room", "subscribe": "1ms", "server_link": "10ms"}
    case = scenario(
        clients=clients(1, reconnect="none"),
        rooms=[{"name": "r", "per_user": True}],
        broker=broker,
        faults=[{"at": "5s", "kind": "drop_clients", "cohort": "c"}],
    )
    assert simulate(case).trace.recovery[0].tolist() == [5_024_000_000]


def test_a_full_send_buffer_drops_or_disconnects():
    """2,000 B/s to a client on 1,000 B/s: half of it does not fit."""
    network = {"bandwidth": 1_000}
    traffic = [{"name": "t", "rate": "10/s", "payload": 122, "arrivals": "constant"}]  # 200 B with TLS
    dropping = clients(1, network=network, overflow={"policy": "drop_newest", "limit": 1_000})
    total = simulate(scenario(clients=dropping, traffic=traffic)).deliveries.loc["total"]
    assert total["dropped"] == pytest.approx(100, abs=6)
    cutting = clients(1, network=network, overflow={"policy": "disconnect", "limit": 1_000}, reconnect="none")
    results = simulate(scenario(clients=cutting, traffic=traffic))
    assert results.connections["lost_connections"] >= 10


def test_sessions_come_and_go():
    """400 clients for 10 s on average, 5 s away: 400 / 15 sessions a second begin."""
    session = {"length": {"mean": "10s"}, "absence": {"mean": "5s"}}
    case = scenario(duration=200, clients=clients(400, session=session), traffic=[])
    results = simulate(case)
    begun = results.connections["accepted"] - 400
    assert begun == pytest.approx(400 / 15 * 200, rel=0.09)  # 5,333, standard error at most 80: six of them
    settled = results.timeseries["connections"].iloc[50:].mean()
    assert settled == pytest.approx(400 * 10 / 15, rel=0.05)


def test_pings_cost_what_the_profile_says():
    """100 connections, a ping each every 2 s, 1 ms: 5 % of the loop, less the last one, which has just begun."""
    cohort = [{"name": "c", "count": 100, "keepalive": {"interval": "2s", "timeout": "2s"}}]
    case = scenario(clients=cohort, servers={"profile": "zero", "costs": {"ping": "1ms"}}, traffic=[])
    assert simulate(case).servers["utilization"][0] == pytest.approx(0.05 - 1e-3 / 20, abs=1e-9)


def test_a_message_from_a_client_goes_through_its_server():
    """Half a round trip, 3 ms of ingest, the broker; without echo the sender hears nothing."""
    case = scenario(
        clients=clients(2, network={"rtt": "20ms"}),
        servers={"profile": "zero", "costs": {"ingest": "3ms"}},
        broker={"kind": "redis_pubsub", "publisher_link": 0, "server_link": 0, "publish": 0, "copy": 0},
        traffic=[{"name": "t", "rate": 1, "from": "clients", "arrivals": "constant", "echo": False}],
    )
    results = simulate(case)
    assert results.latency_s()["max"].value == 0.023
    assert results.deliveries.loc["total", "expected"] == 20


# Properties.


@given(scenarios())
@settings(max_examples=60)
def test_every_expected_delivery_has_one_outcome_and_hops_add_up(drawn):
    case = Scenario(**drawn) if isinstance(drawn, dict) else drawn
    trace = run(draw_workload(case), "full")
    total = {name: int(values.sum()) for name, values in trace.deliveries.items()}
    assert total["expected"] == total["delivered"] + total["lost"] + total["dropped"]
    assert total["lost"] == sum(total[f"lost_{cause}"] for cause in CAUSES)
    assert (trace.sum_ns[:, :-1].sum(axis=1) == trace.sum_ns[:, -1]).all()
    assert trace.histogram[:, -1].sum() == total["delivered"]
    delivered = trace.rows["outcome"] == OUTCOMES.index("delivered")
    stamps = np.column_stack([trace.rows[name] for name in STAMPS])[delivered]
    assert (np.diff(stamps, axis=1) >= 0).all()
    pairs = np.column_stack([trace.rows["message"], trace.rows["client"]])[trace.rows["outcome"] != 3]
    assert len(np.unique(pairs, axis=0)) == len(pairs)


@given(scenarios())
@settings(max_examples=15)
def test_one_seed_repeats_to_the_nanosecond(drawn):
    case = Scenario(**drawn) if isinstance(drawn, dict) else drawn
    assert run(draw_workload(case), "full").diff(run(draw_workload(case), "full")) is None


def test_two_seeds_differ():
    case = scenario(clients=clients(5, network={"rtt": {"median": "30ms", "p99": "90ms"}}))
    first, second = (run(draw_workload(case.replace(seed=seed)), "full") for seed in (0, 1))
    assert first.diff(second) is not None
    assert (first.rows["received_ns"] != second.rows["received_ns"]).mean() > 0.9


def test_summary_and_full_recording_count_alike():
    case = killed({"kind": "kafka"}, resume=True, network={"rtt": {"median": "30ms", "p99": "90ms"}})
    summary, full = (run(draw_workload(case), level) for level in ("summary", "full"))
    assert (summary.histogram == full.histogram).all()
    assert summary.diff(full).field == "level"


def test_messages_of_one_connection_stay_in_order():
    """Jitter far above the gap between messages: TCP hands them over in the order they were sent."""
    case = scenario(clients=clients(1, network={"jitter": {"mean": "300ms"}}), traffic=[{"name": "t", "rate": "50/s"}])
    received = simulate(case, record="full").trace.rows["received_ns"]
    assert (np.diff(received) >= 0).all()
