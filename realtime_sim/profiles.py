"""Cost defaults, each with its source: no number stands here without one.

A profile describes one server process. Measured rows come from one server process and one light client on two virtual
CPUs (AMD EPYC, Linux 6.18, Python 3.11), 1,024-byte messages, compression off, no TLS; such figures move by a factor of
1.3 to 2 from machine to machine, so calibrate before a launch depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from realtime_sim.costs import CostProfile
from realtime_sim.errors import Problem, ScenarioError, nearest

__all__ = ["BROKER_COSTS", "PIPELINE_DEFAULTS", "PROFILES", "Profile", "Sourced", "profile"]

_MEASURED = "measured, 1,024 B messages on 2 vCPU, compression off: "
_WAKE = (
    "measured, redis-py subscriber: 288 us a message at 200/s against 17 us at saturation, so 17 us of work and "
    "271 us to wake up [derived]"
)
_KERNEL = "about 4 KB of kernel slab per idle socket (Centrifugo, 'Tuning idle connections', 17 Aug 2026)"
_PING = "4.7 us of CPU a second per idle connection at a ping every 25 s is 118 us a ping [derived] (Centrifugo, 2026)"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A number and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A named cost profile.

    Parameters
    ----------
    name : str
        As written in `servers.profile`.
    about : str
        What it describes, in one line.
    figures : mapping of str to Sourced
        One entry for every field of `CostProfile`.
    """

    name: str
    about: str
    figures: MappingProxyType[str, Sourced]

    @property
    def costs(self) -> CostProfile:
        """The figures without their sources."""
        return CostProfile(**{name: figure.value for name, figure in self.figures.items()})


_NATS_BENCH = " (NATS docs, nats bench, server 2.6.1 on a MacBook, all its threads, 2021)"
_ZERO = "zero by definition: this profile isolates the queueing model from costs"
_SPLIT = "no split into fixed and per-byte cost was measured; the send cost holds near 1 kB"

_ROWS: dict[str, tuple[str, dict[str, tuple[float, str]]]] = {
    "websockets-asyncio": (
        "Python websockets 17.4 on asyncio, broadcast()",
        {
            "handshake_s": (624e-6, _MEASURED + "CPU a handshake, 5,000 connections"),
            "http_request_s": (415e-6, _MEASURED + "aiohttp 3.14 handshake, as a plain request on a new connection"),
            "event_s": (17e-6, _WAKE),
            "send_s": (21.8e-6, _MEASURED + "CPU a recipient of a broadcast to 5,000"),
            "send_per_byte_s": (0.0, _SPLIT),
            "task_s": (
                19.4e-6,
                _MEASURED + "41.2 us with 'await send()' a client less 21.8 us with broadcast() [derived]",
            ),
            "ingest_s": (30e-6, "measured, redis-py publisher: 30 us of CPU a message at saturation"),
            "ping_s": (118e-6, _PING),
            "wakeup_s": (271e-6, _WAKE),
            "base_memory_bytes": (
                41_000_000,
                _MEASURED + "22 to 41 MB of a process without connections, the upper end",
            ),
            "connection_memory_bytes": (14_100, _MEASURED + "RSS a connection at 10,000"),
            "kernel_memory_bytes": (4_000, _KERNEL),
        },
    ),
    "aiohttp-asyncio": (
        "aiohttp 3.14 on asyncio: WebSocket, SSE and polls in one process",
        {
            "handshake_s": (415e-6, _MEASURED + "CPU a handshake, 5,000 connections"),
            "http_request_s": (415e-6, _MEASURED + "the handshake is one request on a new connection"),
            "event_s": (17e-6, _WAKE),
            "send_s": (23.7e-6, _MEASURED + "CPU a recipient, 'await send_bytes' in a loop"),
            "send_per_byte_s": (0.0, _SPLIT),
            "task_s": (
                17.5e-6,
                _MEASURED + "SSE with a queue and a task a client 37.5 us less 20 us in a loop [derived]",
            ),
            "ingest_s": (30e-6, "measured, redis-py publisher: 30 us of CPU a message at saturation"),
            "ping_s": (118e-6, _PING),
            "wakeup_s": (271e-6, _WAKE),
            "base_memory_bytes": (
                41_000_000,
                _MEASURED + "22 to 41 MB of a process without connections, the upper end",
            ),
            "connection_memory_bytes": (13_600, _MEASURED + "RSS a connection at 10,000"),
            "kernel_memory_bytes": (4_000, _KERNEL),
        },
    ),
    "uvicorn-starlette": (
        "uvicorn 0.54 (websockets-sansio) with starlette 1.10 on asyncio",
        {
            "handshake_s": (861e-6, _MEASURED + "CPU a handshake, 5,000 connections"),
            "http_request_s": (861e-6, _MEASURED + "the handshake is one request on a new connection"),
            "event_s": (17e-6, _WAKE),
            "send_s": (32.2e-6, _MEASURED + "CPU a recipient of a broadcast to 5,000"),
            "send_per_byte_s": (0.0, _SPLIT),
            "task_s": (9.8e-6, _MEASURED + "SSE with a queue a client 42 us less 32.2 us [derived]"),
            "ingest_s": (30e-6, "measured, redis-py publisher: 30 us of CPU a message at saturation"),
            "ping_s": (118e-6, _PING),
            "wakeup_s": (271e-6, _WAKE),
            "base_memory_bytes": (
                41_000_000,
                _MEASURED + "22 to 41 MB of a process without connections, the upper end",
            ),
            "connection_memory_bytes": (24_400, _MEASURED + "RSS a connection at 5,000"),
            "kernel_memory_bytes": (4_000, _KERNEL),
        },
    ),
    "picows-asyncio": (
        "picows 2.3 on asyncio: a C extension, close to the cost of the system call",
        {
            "handshake_s": (202e-6, _MEASURED + "CPU a handshake, 5,000 connections"),
            "http_request_s": (202e-6, _MEASURED + "the handshake is one request on a new connection"),
            "event_s": (17e-6, _WAKE),
            "send_s": (15.4e-6, _MEASURED + "CPU a recipient, transport.send"),
            "send_per_byte_s": (0.0, _SPLIT),
            "task_s": (19.4e-6, _MEASURED + "taken from websockets 17.4: 41.2 us less 21.8 us [derived]"),
            "ingest_s": (30e-6, "measured, redis-py publisher: 30 us of CPU a message at saturation"),
            "ping_s": (118e-6, _PING),
            "wakeup_s": (271e-6, _WAKE),
            "base_memory_bytes": (
                41_000_000,
                _MEASURED + "22 to 41 MB of a process without connections, the upper end",
            ),
            "connection_memory_bytes": (27_900, _MEASURED + "RSS a connection at 5,000, default read buffer"),
            "kernel_memory_bytes": (4_000, _KERNEL),
        },
    ),
    "centrifugo": (
        "Centrifugo (Go), figures of its one-million-connection test and its 2026 tuning post, default settings",
        {
            "handshake_s": (486e-6, _MEASURED + "websockets with pre-framed writes; none is published for Centrifugo"),
            "http_request_s": (415e-6, _MEASURED + "aiohttp 3.14 handshake; none is published for Centrifugo"),
            "event_s": (0.0, "contained in the 64 us a delivered message of the one-million-connection test (2020)"),
            "send_s": (64e-6, "(40 - 10) cores / 467 k messages/s = 64 us a delivered message [derived] (2020)"),
            "send_per_byte_s": (0.0, _SPLIT),
            "task_s": (0.0, "a goroutine a client is part of the published figure"),
            "ingest_s": (30e-6, "measured, redis-py publisher: 30 us of CPU a message at saturation"),
            "ping_s": (118e-6, _PING),
            "wakeup_s": (0.0, "the published figures are averages at full load and contain it"),
            "base_memory_bytes": (0, "27 GB of RAM for 1 M connections is given in total; the base is part of it"),
            "connection_memory_bytes": (27_000, "27.0 KB RSS a connection by default (Centrifugo, 17 Aug 2026)"),
            "kernel_memory_bytes": (4_000, _KERNEL),
        },
    ),
    "zero": (
        "Nothing costs anything: set the costs you want to study",
        {name: (0.0, _ZERO) for name in CostProfile.__dataclass_fields__},
    ),
}

PROFILES = MappingProxyType(
    {
        name: Profile(name, about, MappingProxyType({key: Sourced(*pair) for key, pair in figures.items()}))
        for name, (about, figures) in _ROWS.items()
    }
)
"""Every named profile."""

BROKER_COSTS = MappingProxyType(
    {
        "redis_publish_s": Sourced(
            0.6e-6, "PUBLISH 0.56-0.59 us an operation without subscribers (Centrifugo, 20 Dec 2022), rounded up"
        ),
        "redis_copy_s": Sourced(
            1.54e-6, "one instance saturates at 650,000 delivered 256 B messages/s [derived] (Centrifugo, 29 Jun 2026)"
        ),
        "redis_subscribe_s": Sourced(1.45e-6, "SUBSCRIBE 1.45 us an operation (Centrifugo, 20 Dec 2022)"),
        "streams_append_s": Sourced(1.5e-6, "XADD 0.5 to 1 M/s with pipelining, the middle [derived] (redis-doc)"),
        "streams_read_s": Sourced(
            1.54e-6, "an entry handed to a blocked reader, taken as costly as a Pub/Sub copy (Centrifugo, 2026)"
        ),
        "kafka_append_s": Sourced(
            1.22e-6, "single producer without replication 821,557 records/s [derived] (Kreps, LinkedIn, 2014)"
        ),
        "kafka_read_s": Sourced(
            1.22e-6, "a record handed to a consumer, taken as costly as an append (Kreps, LinkedIn, 2014)"
        ),
        "nats_publish_s": Sourced(
            0.203e-6, "one publisher, no subscriber, 16 B: 4,919,947 messages/s [derived]" + _NATS_BENCH
        ),
        "nats_copy_s": Sourced(
            0.128e-6,
            "one publisher, five subscribers, 16 B: 1,188,419 publishes/s, less the publish [derived]" + _NATS_BENCH,
        ),
        "nats_subscribe_s": Sourced(
            1.45e-6, "assumption: as costly as SUBSCRIBE of Redis; no figure of NATS was found"
        ),
        "jetstream_append_s": Sourced(
            3.67e-6, "async publish in batches of 100 to a memory stream: 272,497 messages/s [derived]" + _NATS_BENCH
        ),
        "jetstream_read_s": Sourced(
            1.29e-6, "one consumer reading a memory stream: 777,480 messages/s [derived]" + _NATS_BENCH
        ),
        "link_s": Sourced(
            100e-6, "1 Gbit/s network about 200 us both ways, half of it one way [derived] (redis docs, latency)"
        ),
        "redis_reconnect_s": Sourced(
            2.0,
            "longest wait between attempts of ioredis (min(50 ms x n, 2 s)) and node-redis (exponential, at most 2 s)",
        ),
        "nats_reconnect_s": Sourced(2.0, "ReconnectWait of nats.go and nats.net, 2 s before its jitter"),
        "kafka_reconnect_s": Sourced(1.0, "reconnect.backoff.max.ms 1,000 (apache/kafka, client configuration)"),
        "kafka_rebalance_s": Sourced(
            3.0, "group.initial.rebalance.delay.ms 3,000, of a new or empty group (apache/kafka; KIP-134)"
        ),
        "kafka_delivery_timeout_s": Sourced(
            120.0, "delivery.timeout.ms 120,000 (apache/kafka, producer configuration)"
        ),
    }
)
"""CPU of the broker for each kind of work, the one-way time between two machines of one data centre, and the times that
clients of a broker take for granted when they lose it."""

PIPELINE_DEFAULTS = MappingProxyType(
    {
        "append_s": Sourced(
            0.001, "Kafka end to end, median 2 ms: half of it to append (Kreps, LinkedIn, 2014) [derived]"
        ),
        "fetch_s": Sourced(
            0.001, "Kafka end to end, median 2 ms: half of it to fetch (Kreps, LinkedIn, 2014) [derived]"
        ),
        "workers": Sourced(200, "Tomcat's maxThreads (server.tomcat.threads.max of Spring Boot)"),
        "backlog": Sourced(100, "Tomcat's acceptCount, connections that wait once all of its workers are taken"),
        "timeout_s": Sourced(15.0, "Envoy's timeout of a route (config.route.v3.RouteAction)"),
        "retries": Sourced(9, "DefaultErrorHandler of Spring for Apache Kafka: FixedBackOff(0, 9)"),
        "retry_delay_s": Sourced(0.0, "DefaultErrorHandler of Spring for Apache Kafka: FixedBackOff(0, 9)"),
    }
)
"""Of the services ahead of the push tier: how a bus delays events, how direct calls wait, how failures are retried."""


def profile(name: str) -> Profile:
    """The profile called `name`.

    Raises
    ------
    ScenarioError
        If there is none; the message offers the nearest name.

    Examples
    --------
    >>> profile("websockets-asyncio").costs.send_s
    2.18e-05
    """
    if name not in PROFILES:
        raise ScenarioError(Problem("servers.profile", "must be a known profile", name, nearest(name, PROFILES)))
    return PROFILES[name]
