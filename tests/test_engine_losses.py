"""The reference engine when things break: who is counted as lost, and when; each case worked by hand."""

import numpy as np
import pytest

from realtime_sim import Scenario, simulate
from realtime_sim.results import Results

LOG = {"kind": "redis_streams", "publisher_link": 0, "server_link": 0, "append": 0, "read": 0}
AT_ONCE = {"kind": "none", "publisher_link": 0}


def run(record: str = "full", **changes: object) -> Results:
    """A run of one client on one server that costs nothing, a message a second, with changes."""
    case = {
        "name": "case", "duration": 20, "warmup": 0, "clients": clients(1), "servers": {"profile": "zero"},
        "broker": AT_ONCE, "traffic": [{"name": "t", "rate": 1, "arrivals": "constant"}],
    }  # fmt: skip
    return simulate(Scenario(**(case | changes)), engine="reference", record=record)


def clients(n: int, **fields: object) -> list[dict]:
    return [{"name": "c", "count": n, "keepalive": None, **fields}]


def total(results: Results) -> dict[str, int]:
    """Totals that are not zero."""
    return {name: int(n) for name, n in results.deliveries.loc["total"].items() if name != "transport" and n}


def test_who_gives_up_in_a_later_session_leaves_when_it_ends():
    """SignalR gives up 42 s after the server died; the next user comes, and gives up as well."""
    results = run(
        duration=120,
        clients=clients(
            1, reconnect="signalr", session={"length": "1s", "absence": "1s"}, network={"rtt": "10ms"}
        ),
        faults=[{"at": "1.5s", "kind": "kill_server", "server": 0}],
    )  # fmt: skip
    assert results.connections["gave_up"] >= 2
    assert total(results).get("expected", 0) <= 2


def test_who_gives_up_expects_nothing_after_the_session():
    results = run(
        duration=200,
        clients=clients(1, reconnect="signalr", session={"length": "60s", "absence": "1000s"}),
        faults=[{"at": "1.5s", "kind": "kill_server", "server": 0}],
    )
    assert total(results)["expected"] == 60


@pytest.mark.parametrize("seed", range(6))
def test_a_client_that_is_back_before_the_server_noticed_stays_subscribed(seed):
    """The old connection gives way to the new one, whose rooms are the same."""
    results = run(
        seed=seed,
        duration=60,
        clients=[{"name": "c", "count": 1, "keepalive": {"interval": "10s", "timeout": "1s"}, "reconnect": "none",
                  "network": {"rtt": "10ms"}}],
        broker={"kind": "redis_pubsub", "subscription": "per_room"},
        faults=[{"at": "5.5s", "kind": "drop_clients", "cohort": "c", "notice": "silent"}],
    )  # fmt: skip
    assert results.trace.series["subscriptions"][-1] == results.trace.series["connections"][-1].sum() == 1
    assert total(results)["delivered"] >= 60 - 12


def test_what_was_on_the_wire_of_a_lost_connection_is_caught_up():
    """100 B/s: the six messages take 10 s; the connection breaks after 4 s, and the log has them all."""
    results = run(
        clients=clients(1, resume=True, reconnect="none", network={"rtt": "10ms", "bandwidth": "100B/s"}),
        broker=LOG,
        traffic=[{"name": "t", "rate": 2, "arrivals": "constant", "stop": "3s"}],
        faults=[{"at": "4s", "kind": "drop_clients", "cohort": "c"}],
    )
    assert total(results) == {"expected": 6, "delivered": 6}


@pytest.mark.parametrize("seed", [4, 6, 8, 10, 11, 12, 14, 15])
def test_a_copy_on_the_old_connection_does_not_hide_the_one_on_the_new(seed):
    """The copy for the first server is on its way to a client that is on the second when its copy comes."""
    results = run(
        seed=seed,
        duration=5,
        clients=clients(1, network={"rtt": "2ms", "jitter": "1s"}, reconnect="none"),
        servers={"profile": "zero", "count": 2},
        balancer={"policy": "round_robin"},
        broker={"kind": "redis_pubsub", "publisher_link": 0, "publish": 0, "copy": 0,
                "server_link": {"low": 0, "high": "400ms"}},
        traffic=[{"name": "t", "rate": 1, "arrivals": "constant", "start": "1s", "stop": "1.5s"}],
        faults=[{"at": "1.1s", "kind": "drop_clients", "cohort": "c"}],
    )  # fmt: skip
    assert total(results) == {"expected": 1, "delivered": 1}


def test_a_poll_to_a_dead_server_is_noticed_by_the_keepalive():
    """No client hangs: after 5 to 10 s without an answer it drops the session and makes a new one."""
    results = run(
        record="summary",
        duration=120,
        clients=[{"name": "c", "count": 50, "transport": "long_polling", "network": {"rtt": "10ms"},
                  "keepalive": {"interval": "5s", "timeout": "5s"}, "reconnect": {"policy": "fixed", "delay": "1s"}}],
        servers={"profile": "zero", "count": 2},
        balancer={"policy": "random", "detection": "20s"},
        broker={"kind": "redis_pubsub"},
        faults=[{"at": "5s", "kind": "kill_server", "server": 1, "notice": "silent"}],
    )  # fmt: skip
    assert results.connections["session_unknown"] > 0
    assert "lost_unfinished" not in total(results)
    assert results.trace.deliveries["delivered"][0] > 0.9 * 50 * 90  # from 30 s on all are on the one server


def test_a_session_ends_during_a_connection_attempt():
    """The user stays for 6 s, and six messages are for him; the attempt that hangs does not keep him."""
    results = run(
        duration=60,
        clients=[{"name": "c", "count": 1, "keepalive": {"interval": "1s", "timeout": "1s"}, "reconnect": "none",
                  "session": {"length": "6s", "absence": "1000s"}}],
        balancer={"detection": "1000s"},
        faults=[{"at": "1.5s", "kind": "kill_server", "server": 0, "notice": "silent"}],
    )  # fmt: skip
    assert total(results)["expected"] == 6


@pytest.mark.parametrize("fanout", ["broadcast", "task_per_client"])
def test_a_loop_that_is_awake_is_not_woken_again(fanout):
    """10 ms to wake, 1 ms to decode, 1 ms a send: 12 and 13 ms, whoever queues the sends."""
    costs = {"wakeup": "10ms", "event": "1ms", "send": "1ms"}
    results = run(duration=5, clients=clients(2), servers={"profile": "zero", "fanout": fanout, "costs": costs})
    assert results.trace.rows["received_ns"][:2].tolist() == [12_000_000, 13_000_000]


def test_dropped_copies_leave_the_link_to_others():
    """256 B at 256 kB/s: 1 ms each. The slow client's buffer takes its first message only."""
    results = run(
        duration=2,
        clients=[
            {"name": "slow", "count": 1, "keepalive": None, "tls": False, "network": {"bandwidth": "1B/s"},
             "overflow": {"policy": "drop_newest", "limit": 300}},
            {"name": "fast", "count": 1, "keepalive": None, "tls": False},
        ],
        servers={"profile": "zero", "egress": 256_000},
        traffic=[{"name": "t", "rate": 1000, "arrivals": "constant", "stop": "5ms"}],
    )  # fmt: skip
    rows = results.trace.rows
    assert rows["received_ns"][rows["client"] == 1].tolist() == [2_000_000, 3_000_000, 4_000_000, 5_000_000, 6_000_000]


def test_the_limit_holds_for_what_waits_for_a_poll():
    """The client is away for 1 s at a time; 300 B hold one message of 200 B, and the rest is dropped."""
    results = run(
        clients=clients(1, transport="long_polling", tls=False, network={"rtt": "1s"},
                        overflow={"policy": "drop_newest", "limit": 300}),
        traffic=[{"name": "t", "rate": 10, "arrivals": "constant", "stop": "5s"}],
    )  # fmt: skip
    counts = total(results)
    assert counts["dropped"] >= 40
    assert counts["delivered"] + counts["dropped"] == counts["expected"] == 50


def test_a_cut_client_catches_up_with_what_cut_it():
    results = run(
        duration=60,
        clients=clients(1, tls=False, resume=True, reconnect={"policy": "fixed", "delay": "1s"},
                        network={"bandwidth": "1kB/s"}, overflow={"policy": "disconnect", "limit": 1000}),
        broker=LOG,
        traffic=[{"name": "t", "rate": 1000, "arrivals": "constant", "stop": "5ms"}],
    )  # fmt: skip
    assert total(results) == {"expected": 5, "delivered": 5}


def test_who_is_not_let_in_leaves_no_subscription():
    """One client in, one refused: the room of everyone and one personal room."""
    results = run(
        duration=10,
        clients=clients(2, reconnect={"policy": "fixed", "delay": "100s"}, ramp_up="1s", network={"rtt": "10ms"}),
        servers={"profile": "zero", "max_connections": 1},
        broker={"kind": "redis_pubsub", "subscription": "per_room", "publisher_link": 0, "server_link": 0},
        rooms=[{"name": "p", "per_user": True}],
        traffic=[],
    )
    assert results.trace.series["subscriptions"][-1] == 2


def test_what_never_reached_the_log_is_lost_at_once():
    """Client a publishes until it notices its loss; nothing of that can be replayed, and nothing stays under way."""
    results = run(
        clients=[
            {"name": "a", "count": 1, "keepalive": {"interval": "2s", "timeout": "2s"}, "resume": True,
             "reconnect": "none"},
            {"name": "b", "count": 1, "resume": True},
        ],
        broker={"kind": "redis_streams"},
        traffic=[{"name": "t", "rate": 1, "arrivals": "constant", "from": "a"}],
        faults=[{"at": "5.5s", "kind": "drop_clients", "cohort": "a", "notice": "silent"}],
    )  # fmt: skip
    assert results.trace.series["under_way"][-1] == 0


def test_a_reader_behind_the_trimmed_log_goes_on_with_what_is_there():
    """One entry is kept, one is read at a time, and a round takes two seconds: of ten messages most are gone."""
    broker = {**LOG, "max_length": 1, "read_count": 1, "server_link": "1s"}
    results = run(broker=broker, traffic=[{"name": "t", "rate": 1, "arrivals": "constant", "stop": "10s"}])
    counts = total(results)
    assert counts["lost_trimmed"] == counts["lost"] > 0
    times = np.diff(np.sort(results.trace.rows["received_ns"][results.trace.rows["outcome"] == 0]))
    assert times.min() >= 2_000_000_000


def test_the_end_of_the_run_is_sampled_whatever_the_interval():
    """Nine jobs of 100 ms within 900 ms: the one server is busy all the time."""
    servers = {"profile": "zero", "costs": {"event": "100ms"}}
    results = run(duration="900ms", servers=servers, traffic=[{"name": "t", "rate": 9, "arrivals": "constant"}])
    assert results.servers["utilization"].tolist() == pytest.approx([0.9 / 0.9], abs=0.12)
    assert results.trace.series["time_ns"].tolist() == [0, 900_000_000]


def test_the_peak_of_connections_is_that_between_two_samples_too():
    results = run(duration="1.9s", sample_interval="10s", clients=clients(10, ramp_up="100ms"), traffic=[])
    assert results.connections["peak"] == 10
    assert results.monitoring["active_connections"] == [10]


def test_a_busy_partition_shows_and_is_warned_of():
    """1,500 records/s of 1 ms in the one partition of the one room: 150 % of what it can do, of twelve that idle."""
    broker = {"kind": "kafka", "linger": 0, "append": "1ms", "read": 0, "partitions": 12}
    results = run("summary", duration=10, broker=broker, traffic=[{"name": "t", "rate": 1500}])
    assert results.timeseries["broker_utilization_highest"].iloc[1:].min() > 0.99
    assert results.timeseries["broker_utilization"].max() < 0.1
    assert any("thread of the broker" in warning for warning in results.warnings)
