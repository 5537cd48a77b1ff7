"""Processes that share a machine slow each other by the written rule, and clients and publisher take their time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sim import Scenario, UnsupportedFeature, simulate
from realtime_sim.engines.fast import is_steady, prepare
from realtime_sim.engines.reference import run
from realtime_sim.engines.reference.system import System
from realtime_sim.recorder import Recorder
from realtime_sim.trace import CAUSES, OUTCOMES, STAMPS, Trace
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.strategies import hosts, scenarios

MS = 1_000_000


def scenario(count: int = 1, host: dict | None = None, cohort: dict | None = None, **changes: object) -> Scenario:
    """Some clients on one server without costs, no broker, no network, one message a second to everyone."""
    return Scenario(
        **{
            "name": "host",
            "duration": 4,
            "warmup": 0,
            "clients": [{"name": "c", "count": count, "keepalive": None, **(cohort or {})}],
            "servers": {"profile": "zero"},
            "broker": {"kind": "none", "publisher_link": 0},
            "traffic": [{"name": "t", "rate": 1, "arrivals": "constant"}],
            "host": None if host is None else {"cores": 1, **host},
        }
        | changes
    )


def stamps_ms(case: Scenario, stamp: str = "received_ns", n: int = 4) -> list[float]:
    """One of the stamps of the first deliveries, by message and client."""
    return (simulate(case, record="full").trace.rows[stamp][:n] / MS).tolist()


# Known values, worked by hand.


def test_two_servers_and_a_client_process_on_two_cores():
    """Decoding and one send, 2 ms, at both servers: two on two cores. At 2 ms both go on, 1 ms, and the client process
    is the third when it begins: 1 ms takes it 1.5. From 3 ms on it is alone, and takes 1 ms for each of the others."""
    case = scenario(
        4,
        {"cores": 2, "receive": "1ms", "slice": 1},
        servers={"count": 2, "profile": "zero", "costs": {"event": "1ms", "send": "1ms"}},
        broker={"kind": "redis_pubsub", "publisher_link": 0, "server_link": 0, "publish": 0, "copy": 0},
    )
    assert stamps_ms(case, "sent_ns") == [2, 2, 3, 3]
    assert stamps_ms(case) == [3.5, 4.5, 5.5, 6.5]


@pytest.mark.parametrize(
    ("slice", "sent", "received"),
    [(4, [1, 2, 3, 4], [3, 5, 6, 7]), (2, [1, 2, 4, 6], [3, 5, 7, 8]), (1, [1, 2, 4, 6], [3, 5, 7, 8])],
)
def test_a_fan_out_looks_who_else_is_busy_after_each_slice(slice, sent, received):
    """One core, 1 ms for each send and each receive. The first slice finds the loop alone; the client process begins at
    1 ms, as the second, and takes 2 ms. Slices that begin while it is at work take twice as long. With slices of one
    the second begins at 1 ms too, before the copy has reached the client: what comes later in the written order is not
    at work yet."""
    case = scenario(4, {"receive": "1ms", "slice": slice}, servers={"profile": "zero", "costs": {"send": "1ms"}})
    assert stamps_ms(case, "sent_ns") == sent
    assert stamps_ms(case) == received


def test_the_broker_is_a_process_too():
    """Three servers, 1 ms for the PUBLISH and 1 ms for each copy: at 2 ms the first server is the second at work, and
    its 4 ms take 8. At 3 ms the second server is the third, and its 4 ms take 12; at 4 ms the broker is done, and the
    third server is the third at work: 12 ms again."""
    case = scenario(
        3,
        {},
        servers={"count": 3, "profile": "zero", "costs": {"event": "4ms"}},
        broker={"kind": "redis_pubsub", "publisher_link": 0, "server_link": 0, "publish": "1ms", "copy": "1ms"},
    )
    assert stamps_ms(case, "left_broker_ns", 3) == [2, 3, 4]
    assert stamps_ms(case, "sent_ns", 3) == [10, 15, 16]


def test_the_loops_of_a_server_are_processes_and_one_that_is_paused_is_none():
    """Two loops on one core, 10 ms of work for each of two messages: the first finds itself alone, the second is the
    second. From 1 s on one loop is paused for 3 s, and does not slow the other."""
    traffic = [{"name": n, "rate": 1, "arrivals": "constant"} for n in ("a", "b")]
    servers = {"profile": "zero", "workers": 2, "costs": {"event": "10ms"}}
    case = scenario(1, {}, servers=servers, traffic=traffic, duration=1)
    assert stamps_ms(case, n=2) == [10, 20]
    paused = scenario(
        1, {}, servers=servers | {"workers": 1, "count": 2}, duration=3,
        broker={"kind": "redis_pubsub", "publisher_link": 0, "server_link": 0, "publish": 0, "copy": 0},
        faults=[{"at": "0.5s", "kind": "pause_server", "server": 1, "lasts": "3s"}],
    )  # fmt: skip
    assert stamps_ms(paused, n=3) == [10, 1010, 2010]


def test_clients_are_dealt_out_to_processes_that_each_serve_first_come_first_served():
    """Client i is in process i modulo 2."""
    case = scenario(5, {"cores": 9, "client_processes": 2, "receive": "1ms"})
    assert stamps_ms(case, n=5) == [1, 1, 2, 2, 3]
    trace = simulate(case).trace
    assert trace.series["client_busy_ns"].tolist() == [[i * 3 * MS, i * 2 * MS] for i in range(5)]
    assert trace.series["publisher_busy_ns"].tolist() == [0] * 5


def test_a_message_that_finds_its_process_asleep_wakes_it():
    """3 ms for the first of a second, 1 ms for the next two; the fourth comes at the moment the process is free."""
    traffic = [
        {"name": "a", "rate": 1, "arrivals": "constant"},
        {"name": "b", "rate": 1, "arrivals": "constant", "start": "5ms"},
    ]
    case = scenario(3, {"receive": "1ms", "receive_wakeup": "2ms"}, traffic=traffic, duration=1)
    assert stamps_ms(case, n=6) == [3, 4, 5, 6, 7, 8]


def test_a_server_that_sleeps_takes_a_message_up_later_and_is_waited_for():
    """Two sends of 1 ms each. The first message of a second wakes the server, 5 ms; the second comes 2 ms later, and
    its copies leave behind the first ones. Until the server is awake the message waits for it."""
    traffic = [
        {"name": "a", "rate": 1, "arrivals": "constant"},
        {"name": "b", "rate": 1, "arrivals": "constant", "start": "2ms"},
    ]
    case = scenario(
        2, {"cores": 9, "wakeup": "5ms"}, traffic=traffic, duration=1,
        servers={"profile": "zero", "costs": {"send": "1ms"}},
    )  # fmt: skip
    assert stamps_ms(case, "started_ns") == [5, 5, 7, 7]
    assert stamps_ms(case, "sent_ns") == [6, 7, 8, 9]


def test_what_a_fan_out_waits_is_spread_over_its_sends():
    """Four sends of 1 ms, and 2 ms of waiting: every 1.5 ms one leaves."""
    case = scenario(4, {"cores": 9, "fanout_wait": "2ms"}, servers={"profile": "zero", "costs": {"send": "1ms"}})
    assert stamps_ms(case, "sent_ns") == [1.5, 3, 4.5, 6]


def test_a_message_dies_with_the_server_that_it_was_about_to_wake():
    case = scenario(
        2, {"cores": 9, "wakeup": "5ms"}, duration=2,
        faults=[{"at": "1002ms", "kind": "kill_server", "server": 0}],
    )  # fmt: skip
    assert simulate(case).deliveries.loc["total", ["expected", "delivered", "lost"]].tolist() == [4, 2, 2]


def test_a_connection_attempt_costs_its_process_time_before_the_request_leaves():
    """All drop at 1 s and try again at 2 s: 10 ms each, one after the other, then three ways of 50 ms, for TCP, TLS 1.3
    and the request, and the answer."""
    cohort = {"network": {"rtt": "100ms"}, "reconnect": {"policy": "fixed", "delay": "1s"}}
    faults = [{"at": "1s", "kind": "drop_clients", "cohort": "c"}]
    host = {"cores": 9, "connect": "10ms", "receive": "1ms"}
    trace = simulate(scenario(3, host, cohort, faults=faults, traffic=[])).trace
    free = simulate(scenario(3, None, cohort, faults=faults, traffic=[])).trace
    assert (trace.recovery[0] - free.recovery[0]).tolist() == [10 * MS, 20 * MS, 30 * MS]
    assert trace.series["client_busy_ns"][-1].tolist() == [30 * MS]


def test_clients_hear_of_a_death_when_the_kernel_has_closed_their_connections():
    """Killed at 1 s, closed 30 ms later, heard half a round trip later, and 1 s to wait: whoever asks which client was
    away, and for how long, counts from the close."""
    cohort = {"network": {"rtt": "100ms"}, "reconnect": {"policy": "fixed", "delay": "1s"}}
    kill = [{"at": "1s", "kind": "kill_server", "server": 0}]
    changes = {"servers": {"count": 2, "profile": "zero"}, "broker": {"kind": "redis_pubsub"}, "traffic": []}
    slow, free = (
        simulate(scenario(4, {"cores": 9, "teardown": teardown}, cohort, faults=kill, **changes)).trace
        for teardown in ("30ms", 0)
    )
    assert len(slow.recovery[0]) == 2
    assert (slow.recovery[0] - free.recovery[0]).tolist() == [30 * MS] * 2
    assert slow.away[0].tolist() == free.away[0].tolist()


def test_patience_counts_from_when_the_request_leaves():
    """Twenty attempts of 100 ms and a patience of 1 s: the last one leaves after 2 s, and is answered at once."""
    cohort = {"reconnect": {"policy": "fixed", "delay": "1s"}, "connect_timeout": "1s"}
    faults = [{"at": 0, "kind": "drop_clients", "cohort": "c"}]
    connections = simulate(scenario(20, {"connect": "100ms"}, cohort, faults=faults, traffic=[])).connections
    assert (connections["timeouts"], connections["reconnects"]) == (0, 20)


def test_a_publish_takes_the_publisher_time():
    """Three at once, 2 ms each; what clients publish does not go through it."""
    streams = [{"name": n, "rate": 1, "arrivals": "constant"} for n in ("a", "b", "c")]
    own = {"name": "d", "rate": 1, "arrivals": "constant", "from": "clients"}
    case = scenario(1, {"cores": 9, "publish": "2ms"}, traffic=[*streams, own], duration=1)
    trace = simulate(case, record="full").trace
    assert (trace.rows["at_broker_ns"] / MS).tolist() == [2, 4, 6, 0]
    assert trace.series["publisher_busy_ns"].tolist() == [0, 6 * MS]


def test_an_answer_to_a_long_poll_is_received_once_whatever_is_in_it():
    """Messages at 0, 10 and 20 ms, half a round trip of 50 ms, the first poll at the server at 50 ms: three in one
    answer, at the client at 100 ms, and received at 105 ms. The next poll leaves then, and the answer to it too."""
    polls = {"transport": "long_polling", "network": {"rtt": "100ms"}}
    traffic = [{"name": "t", "rate": "100/s", "arrivals": "constant", "stop": "30ms"},
               {"name": "u", "rate": 1, "arrivals": "constant", "start": "50.5ms"}]  # fmt: skip
    case = scenario(1, {"receive": "5ms"}, polls, traffic=traffic, duration=1)
    trace = simulate(case, record="full").trace
    assert (trace.rows["received_ns"] / MS).tolist() == [105, 105, 105, 210]
    assert trace.series["client_busy_ns"][-1].tolist() == [10 * MS]


def test_a_copy_whose_connection_breaks_before_its_process_is_done_is_lost():
    """Four clients drop at 2.5 ms: two have what was published at 0, two have not."""
    faults = [{"at": "2.5ms", "kind": "drop_clients", "cohort": "c"}]
    case = scenario(4, {"receive": "1ms"}, {"reconnect": "none"}, faults=faults, duration=1)
    total = simulate(case).deliveries.loc["total"]
    assert (total["delivered"], total["lost_connection_lost"]) == (2, 2)


def test_what_was_sent_before_a_server_closes_in_order_is_read_before_the_close():
    """The process needs 4 ms for four copies, and reads of the close at 1 ms behind them. A second later they are back,
    and the first of them needs 4 ms more than it would without a process."""

    def close(env, cluster):
        yield env.timeout("1ms")
        cluster.close_connections(0, 4)

    case = scenario(4, {"cores": 9, "receive": "1ms"}, {"reconnect": {"policy": "fixed", "delay": "1s"}}, duration=1.5)
    results = simulate(case, control=[close])
    assert results.connections["closed_going_away"] == results.connections["reconnects"] == 4
    assert results.deliveries.loc["total", "delivered"] == 4
    assert results.trace.recovery[0].tolist() == [1004 * MS] * 4


def test_a_server_that_dies_in_the_middle_of_a_fan_out_sends_no_further_slice():
    """Ten sends of 1 ms in slices of two; the server dies at 5 ms, in the third slice."""
    case = scenario(
        10, {"slice": 2}, {"reconnect": "none"}, duration=1,
        servers={"count": 1, "profile": "zero", "costs": {"send": "1ms"}},
        faults=[{"at": "5.5ms", "kind": "kill_server", "server": 0}],
    )  # fmt: skip
    results = simulate(case)
    total = results.deliveries.loc["total"]
    assert (total["delivered"], total["lost_server_died"]) == (5, 5)
    assert results.servers["sends"][0] == 6


def test_who_leaves_during_a_fan_out_is_passed_over_by_later_slices():
    """Sessions of 3 ms: three of ten sends are done, and the others need none."""
    cohort = {"session": {"length": "3.5ms", "absence": "10s"}}
    case = scenario(10, {"slice": 1}, cohort, duration=1, servers={"profile": "zero", "costs": {"send": "1ms"}})
    results = simulate(case)
    assert (results.servers["sends"][0], results.deliveries.loc["total", "cancelled"]) == (4, 7)


# What there is to see.


def test_results_say_how_busy_clients_and_publisher_were():
    case = scenario(2, {"cores": 4, "receive": "100ms", "publish": "300ms", "client_processes": 2}, duration=10)
    results = simulate(case)
    assert results.to_plain()["host"] == {
        "cores": 4, "client_utilization": pytest.approx([0.1, 0.1]), "publisher_utilization": pytest.approx(0.3),
    }  # fmt: skip
    assert results.summary.loc["publisher utilization", "value"] == pytest.approx(0.3)
    without = simulate(case.replace(host=None))
    assert without.to_plain()["host"] is None and "publisher utilization" not in without.summary.index


@pytest.mark.parametrize("replications", [1, 3])
@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("receive", "The clients were the bottleneck: process 0 of those that play them was at work 60% of the time"),
        ("publish", "The publisher was the bottleneck: it was at work 60% of the time"),
    ],
)
def test_clients_and_publishers_that_are_the_bottleneck_are_pointed_out(field, text, replications):
    """0.6 s of work a second; 0.4 s are no matter."""
    warned = simulate(scenario(1, {"cores": 9, field: "600ms"}, duration=40), replications=replications).warnings
    assert [text in one for one in warned].count(True) == 1
    calm = simulate(scenario(1, {"cores": 9, field: "400ms"}, duration=40), replications=replications).warnings
    assert not any("bottleneck" in one for one in calm)


# Engines.


def test_the_compiled_engine_says_that_it_knows_no_host_and_auto_takes_the_other():
    case = scenario(1, {})
    text = "host is not supported by engine 'fast'; use engine 'reference', or leave host out"
    with pytest.raises(UnsupportedFeature, match=text):
        simulate(case, engine="fast")
    with pytest.raises(UnsupportedFeature, match=text):
        prepare(case, "summary")
    results = simulate(case.replace(**{"clients.c.count": 3_001}))
    assert (results.engine, results.reason) == ("reference", "the one that knows a host")
    assert not is_steady(case, "summary") and is_steady(case.replace(host=None), "summary")


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_without_a_host_nobody_plays_clients_and_the_publisher_is_never_busy(engine):
    series = simulate(scenario(3), engine=engine).trace.series
    assert series["client_busy_ns"].shape == (5, 0)
    assert series["publisher_busy_ns"].tolist() == [0] * 5


# Properties.


def without_host(trace: Trace) -> Trace:
    """A trace as one of the same scenario without its host, if that made no difference."""
    shape = len(trace.series["time_ns"])
    series = trace.series | {"client_busy_ns": np.zeros((shape, 0)), "publisher_busy_ns": np.zeros(shape, dtype=int)}
    return dataclasses.replace(trace, scenario=trace.scenario.replace(host=None), series=series)


@given(scenarios())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_cores_for_everybody_and_clients_that_take_no_time_are_no_host_at_all(drawn):
    """To the nanosecond, with fan-outs in one slice. Half a round trip of 0 is left out where clients poll: with a
    process a poll leaves when the answer before it has been received, and without one at the moment it arrives."""
    for cohort in drawn["clients"]:
        if cohort["transport"] == "long_polling" and cohort["network"]["rtt"] == 0:
            cohort["network"]["rtt"] = "1ms"
    case = Scenario(**drawn, host={"cores": 1024, "slice": 1_000})
    shared, alone = (run(draw_workload(each), "full") for each in (case, case.replace(host=None)))
    assert without_host(shared).diff(alone) is None, str(without_host(shared).diff(alone))


@given(scenarios(), hosts())
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
def test_every_expected_delivery_has_one_outcome_and_hops_add_up_on_a_host_too(drawn, host):
    case = Scenario(**drawn, host=host(drawn))
    trace = run(draw_workload(case), "full")
    total = {name: int(values.sum()) for name, values in trace.deliveries.items()}
    assert total["expected"] == total["delivered"] + total["lost"] + total["dropped"]
    assert total["lost"] == sum(total[f"lost_{cause}"] for cause in CAUSES)
    assert (trace.sum_ns[:, :-1].sum(axis=1) == trace.sum_ns[:, -1]).all()
    delivered = trace.rows["outcome"] == OUTCOMES.index("delivered")
    stamps = np.column_stack([trace.rows[name] for name in STAMPS])[delivered]
    assert (np.diff(stamps, axis=1) >= 0).all()
    pairs = np.column_stack([trace.rows["message"], trace.rows["client"]])[trace.rows["outcome"] != 3]
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert (np.diff(trace.series["client_busy_ns"], axis=0) <= np.diff(trace.series["time_ns"])[:, None]).all()


@given(scenarios(), hosts())
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_who_is_at_work_is_who_has_a_piece_under_way(drawn, host):
    """At every moment, whatever dies or breaks; fetches of Kafka have threads of their own."""
    case = Scenario(**drawn, host=host(drawn))
    workload = draw_workload(case)
    system = System(workload, Recorder(workload, "summary"))
    while system.clock.peek() <= to_ns(case.duration):
        moment = system.clock.peek()
        while system.clock.peek() == moment:
            system.clock.step()
        loops = {
            (server, loop) for server in system.servers for loop, (job, _) in server.running.items() if not job.idle
        }
        threads = {station for station in system.broker.stations if station._at_work is not None}
        played = {process for process in (*system.client_processes, system.publisher) if process.n_open}
        at_work = {process for process in system.host.at_work if type(process) is not object}
        assert at_work == loops | threads | played


@given(
    st.integers(1, 12), st.integers(1, 3), st.sampled_from([1, 5, 25]), st.sampled_from([0, 200e-6, 2e-3]),
    st.sampled_from([0, 100e-6, 1e-3]), st.integers(0, 2**32),
)  # fmt: skip
@settings(max_examples=40)
def test_sharing_never_shortens_the_mean(count, cores, slice, receive, send, seed):
    """Of one server and clients that are all alike: every station serves in order, and what it takes up later or does
    more slowly ends later. It need not hold where work wakes a process: slower work wakes it less often. Between two
    numbers of cores nothing is promised either: a delivery can find more company where others were faster."""
    case = scenario(
        count, {"cores": 99, "receive": receive, "publish": 50e-6}, seed=seed,
        servers={"profile": "zero", "costs": {"send": send}}, traffic=[{"name": "t", "rate": 100}], duration=2,
    )  # fmt: skip
    alone = simulate(case).latency_s()["mean"].value
    shared = simulate(case.replace(**{"host.cores": cores, "host.slice": slice})).latency_s()["mean"].value
    assert shared >= alone * (1 - 1e-12)
