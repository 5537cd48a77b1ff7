"""What brokers lose, keep and repeat when they stop, are slow, or cannot reach a server; every delivery is counted."""

from __future__ import annotations

import pandas as pd
import pytest

from realtime_sim import Results, Scenario, simulate

MIB = 2**20
ENGINES = ["reference", "fast"]


def broken(kind: str, *faults: dict, engine: str = "reference", **changes: object) -> Results:
    """Two servers with a client each; a message to both every 50 ms, for 30 s; nobody is lost otherwise."""
    case = Scenario(
        **{
            "name": "broken", "duration": 30, "warmup": 0, "drain": 60,
            "clients": [{"name": "c", "count": 2, "keepalive": None}],
            "servers": {"count": 2, "profile": "zero"}, "broker": {"kind": kind} | changes.pop("broker", {}),
            "traffic": [{"name": "t", "rate": 20, "arrivals": "constant"}], "faults": faults,
        } | changes
    )  # fmt: skip
    return simulate(case, engine=engine)


def counted(results: Results) -> pd.Series:
    total = results.deliveries.loc["total"]
    assert total["expected"] == total["delivered"] + total["lost"] + total["dropped"]
    return total


# Known values.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("mib_per_s", "cut_s"), [(10, 3.2), (0.5, 64), (0.2, 100)])
def test_a_stalled_subscriber_is_cut_off_when_its_buffer_is_full(mib_per_s, cut_s, engine):
    """Redis, client-output-buffer-limit pubsub 32mb 8mb 60: min(32/r, 8/r + 60) s. Healed before, nothing is lost;
    healed after, everything since the stall is."""

    def fed(stall_s: float) -> pd.Series:
        stall = {"kind": "partition", "at": 5, "server": 0, "notice": "silent", "lasts": stall_s}
        traffic = [{"name": "t", "rate": 20 * mib_per_s, "arrivals": "constant", "payload": MIB // 20}]
        changes = {"duration": stall_s + 10, "broker": {"reconnect_delay": 0}, "traffic": traffic}
        return counted(broken("redis_pubsub", stall, engine=engine, **changes))

    step_s = 1 / (20 * mib_per_s)  # between two copies
    assert fed(cut_s - 2 * step_s)["lost"] == 0
    lost = fed(cut_s + 3 * step_s)
    assert lost["lost"] == lost["lost_server_away"] > (cut_s - 2 * step_s) / step_s


@pytest.mark.parametrize(
    ("mib_per_s", "cut_s", "reason"),
    [(10, 3.2, "its output buffer has reached 32MiB"), (0.5, 64, "its output buffer has reached 32MiB"),
     (0.2, 100, "its output buffer has held 8MiB or more for 1min")],
)  # fmt: skip
def test_that_a_server_was_cut_off_is_a_decision_of_the_broker(mib_per_s, cut_s, reason):
    stall = {"kind": "partition", "at": 5, "server": 0, "notice": "silent", "lasts": cut_s + 2}
    traffic = [{"name": "t", "rate": 20 * mib_per_s, "arrivals": "constant", "payload": MIB // 20}]
    runs = [broken("redis_pubsub", stall, engine=engine, duration=cut_s + 20, traffic=traffic) for engine in ENGINES]
    assert runs[0].trace.diff(runs[1].trace) is None
    decisions = runs[0].decisions
    assert decisions["action"].tolist() == ["partition", "cut off", "heal"]
    row = decisions.iloc[1]
    assert (row["actor"], row["target"], row["reason"]) == ("broker", "server 0", reason)
    assert row["time_s"] == pytest.approx(5 + cut_s, abs=2 / (20 * mib_per_s))


def test_a_buffer_of_nats_has_one_limit():
    stall = {"kind": "partition", "at": 5, "server": 0, "notice": "silent"}
    traffic = [{"name": "t", "rate": 200, "arrivals": "constant", "payload": MIB // 20}]
    decisions = broken("nats", stall, duration=15, traffic=traffic).decisions
    assert decisions["reason"].iloc[1] == "its output buffer has reached 64MiB"


@pytest.mark.parametrize("kind", ["redis_pubsub", "nats"])
def test_at_most_once_loses_what_is_published_while_a_server_is_away(kind):
    """Away from 10 to 15 s, and back after 1 s more: six seconds of 20 messages, for the one client there."""
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    total = counted(broken(kind, away, broker={"reconnect_delay": "1s"}))
    assert total["lost"] == total["lost_server_away"]
    assert abs(total["lost"] - 120) <= 1
    assert total["duplicate"] == 0


@pytest.mark.parametrize("kind", ["redis_streams", "kafka", "nats_jetstream"])
def test_a_log_is_read_on_from_the_last_offset(kind):
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    results = broken(kind, away)
    assert counted(results)["lost"] == 0
    assert results.latency_s()["max"].value > 5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["kafka", "nats_jetstream", "redis_streams"])
@pytest.mark.parametrize(("link", "n"), [("0.1ms", 0), ("100ms", 4), ("300ms", 12)])
def test_what_a_server_had_and_had_not_committed_comes_twice(kind, link, n, engine):
    """The commit comes with the next poll: a batch and its commit are under way for two links, with 20 messages a
    second. A reader of Redis Streams says itself where it goes on, and reads nothing twice."""
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    total = counted(broken(kind, away, broker={"server_link": link}, engine=engine))
    assert total["lost"] == 0
    assert total["duplicate"] == (0 if kind == "redis_streams" else n)


def test_a_log_that_was_trimmed_meanwhile_loses_what_was_trimmed():
    """Of 100 messages that came in 5 s only the newest 40 are left, and what comes until the server is back."""
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    total = counted(broken("redis_streams", away, broker={"max_length": 40, "reconnect_delay": 0}))
    assert total["lost"] == total["lost_trimmed"]
    assert abs(total["lost"] - 60) <= 2


def test_a_consumer_group_pauses_until_it_has_settled():
    """Kafka, group.initial.rebalance.delay.ms = 3000: a server that comes back reads three seconds later."""
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    slow, quick = (broken("kafka", away, broker={"rebalance_delay": delay}) for delay in ("3s", "0s"))
    gap = slow.latency_s()["max"].value - quick.latency_s()["max"].value
    assert gap == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("kind", ["redis_pubsub", "nats", "redis_streams"])
def test_a_stopped_broker_loses_what_is_published_meanwhile(kind):
    """Stopped from 10 to 15 s: a hundred messages to two clients, and what was on its way; a log keeps what it had."""
    stop = {"kind": "stop_broker", "at": 10, "lasts": 5}
    total = counted(broken(kind, stop, broker={"reconnect_delay": 0}))
    assert 198 <= total["lost_broker_down"] <= 202
    assert total["lost"] - total["lost_broker_down"] <= 4


@pytest.mark.parametrize("kind", ["redis_streams", "kafka", "nats_jetstream"])
def test_producers_that_retry_lose_nothing_where_a_log_comes_back_in_time(kind):
    stop = {"kind": "stop_broker", "at": 10, "lasts": 5}
    assert counted(broken(kind, stop, broker={"when_down": "retry"}))["lost"] == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["redis_pubsub", "nats", "redis_streams"])
@pytest.mark.parametrize("delay_s", [0, 1])
def test_a_backend_that_keeps_what_it_publishes_sends_it_when_servers_have_subscribed_again(kind, delay_s, engine):
    """It comes back at the pace of the servers, after 5 s and `reconnect_delay`; only what was on its way is lost."""
    stop = {"kind": "stop_broker", "at": 10, "lasts": 5}
    settings = {"when_down": "retry", "reconnect_delay": delay_s}
    results = broken(kind, stop, broker=settings, engine=engine)
    assert counted(results)["lost"] <= 4
    assert results.latency_s()["max"].value == pytest.approx(5 + delay_s, abs=0.06)


@pytest.mark.parametrize("kind", ["redis_pubsub", "nats", "redis_streams"])
def test_a_backend_that_keeps_nothing_loses_what_it_publishes_until_it_is_back(kind):
    """Five seconds of the broker and the one of `reconnect_delay`."""
    stop = {"kind": "stop_broker", "at": 10, "lasts": 5}
    total = counted(broken(kind, stop, broker={"when_down": "lose", "reconnect_delay": "1s"}))
    assert total["lost_broker_down"] == pytest.approx(240, abs=4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["redis_pubsub", "nats"])
def test_a_server_that_was_away_sends_what_it_kept_when_it_has_subscribed_again(kind, engine):
    """What its own client published meanwhile reaches both; of the other's six seconds its client hears nothing.

    120 messages of either client, each with probability one half: 60 are lost, and fewer than 90 but once in 10^7."""
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    traffic = [{"name": "t", "from": "c", "rate": 20, "arrivals": "constant"}]
    settings = {"when_down": "retry", "reconnect_delay": "1s"}
    total = counted(broken(kind, away, broker=settings, traffic=traffic, engine=engine))
    assert 30 < total["lost"] == total["lost_server_away"] < 90


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slow_broker_takes_its_time_and_then_catches_up(engine):
    """Copies of 10 ms at 20 messages a second to two servers keep one thread busy 40 %; three times as long is more
    than it can do, so a queue grows for five seconds."""
    slow = {"kind": "slow_broker", "at": 10, "factor": 3, "lasts": 5}
    results = broken("redis_pubsub", slow, broker={"copy": "10ms"}, engine=engine)
    assert counted(results)["lost"] == 0
    n_slow = 5 / 0.06  # messages that it does in that time, each 10 ms later than the one before
    assert results.latency_s()["max"].value == pytest.approx(n_slow * 0.01 + 0.06, abs=0.02)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_lost_for_servers_that_were_not_away(engine):
    away = {"kind": "partition", "at": 10, "server": 0, "lasts": 5}
    results = broken("redis_pubsub", away, engine=engine, servers={"count": 4, "profile": "zero"})
    total = counted(results)
    assert total["lost"] == total["lost_server_away"] < total["expected"] / 4


# Clients catch up.


@pytest.mark.parametrize("engine", ENGINES)
def test_who_was_away_too_long_is_not_caught_up(engine):
    """Away for 2 s by a fixed backoff: within 3 s all is replayed, within 1 s the two seconds are lost (Socket.IO,
    maxDisconnectionDuration)."""

    def away(within: str) -> pd.Series:
        clients = [{"name": "c", "count": 2, "keepalive": None, "resume": True, "resume_within": within,
                    "reconnect": {"policy": "fixed", "delay": "2s"}}]  # fmt: skip
        drop = {"kind": "drop_clients", "at": 10, "cohort": "c"}
        return counted(broken("redis_streams", drop, engine=engine, clients=clients))

    assert away("3s")["lost"] == 0
    lost = away("1s")
    assert lost["lost"] == lost["lost_too_late"] == pytest.approx(80, abs=4)  # 20 a second for two clients
