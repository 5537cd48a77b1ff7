"""Hypothesis strategies: small valid scenarios over everything a scenario can say that both engines know; and hosts."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from realtime_sim.policies import backoff, balancing
from realtime_sim.scenario.faults import OF_THE_BROKER

__all__ = ["hosts", "scenarios"]

TIMES = [
    0, "1ms", {"mean": "2ms"}, {"median": "2ms", "p99": "20ms"}, {"mean": "3ms", "cv": 0.5}, {"mean": "3ms", "cv": 2.0},
    {"low": "1ms", "high": "4ms"}, {"quantiles": {0: "1ms", 0.5: "2ms", 1: "9ms"}},
]  # fmt: skip
BROKERS = [
    {"kind": "none"},
    {"kind": "redis_pubsub"},
    {"kind": "redis_pubsub", "subscription": "per_room"},
    {"kind": "redis_streams", "read_count": 1, "max_length": 3},
    {"kind": "redis_streams"},
    {"kind": "kafka", "linger": 0, "partitions": 2},
    {"kind": "kafka", "batch_size": 100, "partitions": 1},
    {"kind": "nats"},
    {"kind": "nats_jetstream", "pull_batch": 2, "max_length": 3},
    {"kind": "nats_jetstream"},
]
RECONNECTS = [*sorted(backoff.REGISTRY), {"policy": "exponential", "base": "100ms", "cap": "1s"}]


@st.composite
def cohorts(draw, name: str) -> dict:
    """One cohort of at most 20 clients."""

    def pick(*options: object) -> object:
        return draw(st.sampled_from(options))

    transport = pick("websocket", "sse", "long_polling")
    cohort = {
        "name": name,
        "count": draw(st.integers(1, 20)),
        "transport": transport,
        "network": {"rtt": pick(0, "40ms", {"median": "40ms", "p99": "200ms"}), "jitter": pick(0, {"mean": "5ms"})},
        "reconnect": pick(*RECONNECTS),
        "connect_timeout": pick("20s", "300ms"),
        "keepalive": pick({"interval": "500ms", "timeout": "300ms"}, "signalr"),
        "tls": pick(True, False),
        "session": pick(None, {"length": {"mean": "1s"}, "absence": "300ms"}, {"mean": "2s"}),
        "ramp_up": pick(None, "0s", "1s"),
        "polling_handshake": transport == "websocket" and pick(True, False),
        "resume": pick(None, True, False),
    }
    if pick(False, True):
        slow = transport == "long_polling"  # a poll is held for 30 s, and a proxy must let it
        cohort["network"]["idle_timeout"] = "31s" if slow else pick("500ms", "500ms", "400ms", "20ms", "600ms")
    if cohort["resume"]:
        cohort["resume_within"] = pick(None, "300ms", "1s")
    if pick(False, False, True):
        cohort["network"]["bandwidth"] = 5_000
        cohort["overflow"] = pick(
            "unbounded", {"policy": "drop_newest", "limit": 1_000}, {"policy": "disconnect", "limit": 1_000}
        )
    return cohort


@st.composite
def scenarios(draw, breaks_the_broker: bool = False) -> dict:
    """A scenario of three seconds, as a mapping that `Scenario(**mapping)` takes.

    With `breaks_the_broker` nothing else goes wrong, and what is on the way to or from the broker takes its time.
    """

    def pick(*options: object) -> object:
        return draw(st.sampled_from(options))

    clients = [draw(cohorts(f"c{i}")) for i in range(pick(1, 1, 2))]
    n_servers = pick(1, 2, 3)
    broker = dict(pick(*BROKERS[breaks_the_broker:]))
    if broker["kind"] != "none":
        broker["server_link"] = pick(*TIMES, "100ms") if not breaks_the_broker else pick("5ms", "300ms")
        broker["reconnect_delay"] = pick(0, "200ms")
        broker["when_down"] = pick("lose", "retry")
        broker["delivery_timeout"] = pick("120s", "400ms")
    if broker["kind"] == "kafka":
        broker["rebalance_delay"] = pick(0, "300ms")
    if broker["kind"] == "redis_pubsub":
        broker["shards"] = pick(1, 1, 2, 3)
        broker["copy"] = pick("1us", "5ms")
        broker["output_buffer"] = pick({}, {"hard": 1_000, "soft": 200, "soft_for": "200ms"})
    traffic = [
        {
            "name": f"t{i}", "to": pick("everyone", "room", "inbox"), "rate": draw(st.integers(1, 30)),
            "arrivals": pick("poisson", "constant"), "payload": pick(0, 100, 3_000), "echo": pick(True, False),
            "from": pick("backend", "clients", "c0"), "pick": pick("uniform", "by_size"),
        }
        for i in range(pick(0, 1, 2))
    ]  # fmt: skip
    faults = [
        {"at": "1s", "kind": "kill_server", "server": n_servers - 1, "notice": pick("rst", "silent"),
         "restart_after": pick(None, "0s", "300ms")},
        {"at": "1.5s", "kind": "drop_clients", "cohort": "c0", "share": pick(0.5, 1), "notice": pick("rst", "silent")},
        {"at": "500ms", "kind": "pause_server", "server": pick(0, None), "lasts": "100ms",
         "every": pick(None, "400ms")},
        {"at": pick("700ms", "1s"), "kind": "slow_server", "server": 0, "factor": pick(2.5, 20), "lasts": "800ms"},
        {"at": "1.2s", "kind": "drain_server", "server": 0, "over": pick("0s", "350ms")},
        {"at": pick("600ms", "1s"), "kind": "rolling_deploy", "surge": pick(1, 2), "max_unavailable": pick(0, 1),
         "budget": pick(None, "30/s")},
        {"at": "1.8s", "kind": "rebalance", "rate": "50/s"},
    ]  # fmt: skip
    if broker["kind"] != "none":
        faults += [
            {"at": pick("800ms", "1s"), "kind": "partition", "server": 0, "notice": pick("rst", "silent"),
             "lasts": pick(None, "300ms", "1s")},
            {"at": pick("900ms", "1.7s"), "kind": "partition", "server": n_servers - 1, "notice": pick("rst", "silent"),
             "lasts": "500ms"},
            {"at": pick("1s", "1.6s"), "kind": "stop_broker", "lasts": pick(None, "200ms", "700ms")},
            {"at": pick("700ms", "1s"), "kind": "slow_broker", "factor": pick(3.5, 1_000), "lasts": "800ms"},
        ]  # fmt: skip
    if breaks_the_broker:
        faults = [fault for fault in faults if fault["kind"] in OF_THE_BROKER]
    costs = {"event": pick(*TIMES), "handshake": pick("1ms", {"mean": "5ms"}), "send": "500us", "http_request": "2ms"}
    admission = pick(
        {}, {"rate": pick(2, 30), "burst": pick(1, 3), "retry_after": pick(0, "200ms")}, {"concurrency": pick(1, 3)},
        {"rate": "10/s", "concurrency": 1, "retry_after": "1s"},
    )  # fmt: skip
    servers = {
        "count": n_servers, "profile": pick("zero", "websockets-asyncio", "centrifugo"), "workers": pick(1, 2),
        "fanout": pick("broadcast", "task_per_client"), "backlog": pick(2, 4096), "costs": pick({}, costs),
        "admission": admission, "max_connections": pick(None, 5), "egress": pick(None, 20_000),
        "startup": pick("0s", "200ms"), "grace": pick("0s", "400ms"),
        "connection_age": pick(None, None, {"low": "300ms", "high": "900ms"}, "500ms"),
    }  # fmt: skip
    members = sum(cohort["count"] for cohort in clients)
    return {
        "name": "drawn",
        "seed": draw(st.integers(0, 2**63 - 1)),
        "duration": 3,
        "drain": pick(0, 5),
        "warmup": pick(0, 1),
        "clients": clients,
        "servers": servers,
        "balancer": {
            "policy": pick(*sorted(balancing.REGISTRY)),
            "affinity": pick("none", "cookie"),
            "detection": pick(0, "500ms"),
        },
        "broker": broker,
        "rooms": [
            {"name": "room", "count": 3, "members": draw(st.integers(1, members)), "zipf": pick(0, 1.0)},
            {"name": "inbox", "per_user": True},
        ],
        "traffic": traffic,
        "autoscaling": pick(None, None, None, {
            "max_replicas": 5, "sync_period": pick("300ms", "500ms"), "tolerance": 0,
            "metrics": [pick({"name": "connections", "target": 3}, {"name": "cpu", "target": 20},
                             {"name": "messages_per_s", "target": 20})],
            "scale_down": pick(None, {"stabilization": "0s",
                                      "policies": [{"kind": "pods", "value": 1, "period": "500ms"}]}),
        }),
        "faults": [fault for fault in faults if pick(True, False, False)],
    }  # fmt: skip


@st.composite
def hosts(draw) -> Callable[[dict], dict]:
    """A machine for a drawn scenario, as a function of it: no engine but the reference engine knows any."""
    drawn = {
        "cores": draw(st.sampled_from([1, 2, 3, 8])),
        "client_processes": draw(st.sampled_from([1, 2, 3])),
        "wakeup": draw(st.sampled_from([0, "1ms", {"mean": "2ms"}])),
        "fanout_wait": draw(st.sampled_from([0, {"mean": "1ms"}])),
        "receive": draw(st.sampled_from([0, "50us", {"mean": "5ms"}])),
        "receive_wakeup": draw(st.sampled_from([0, "200us", {"low": 0, "high": "1ms"}])),
        "connect": draw(st.sampled_from([0, "1ms", "50ms"])),
        "publish": draw(st.sampled_from([0, "100us", "20ms"])),
        "teardown": draw(st.sampled_from([0, "30ms"])),
        "slice": draw(st.sampled_from([1, 2, 7, 25])),
    }

    def fitting(scenario: dict) -> dict:
        n_clients = sum(cohort["count"] for cohort in scenario["clients"])
        return drawn | {"client_processes": min(drawn["client_processes"], n_clients)}

    return fitting
