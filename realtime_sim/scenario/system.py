"""The machinery: servers, balancer, broker, faults, and the objectives it is held to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from realtime_sim.costs import CostProfile
from realtime_sim.errors import nearest
from realtime_sim.policies import balancing
from realtime_sim.profiles import BROKER_COSTS, PROFILES
from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import (
    Bandwidth,
    Count,
    Duration,
    Index,
    Name,
    Part,
    Ratio,
    Size,
    fault,
)

__all__ = ["Balancer", "Broker", "Costs", "Fault", "Servers", "Slo"]

_LINK = Constant(value=BROKER_COSTS["link_s"].value)


class Costs(Part):
    """Changes to the figures of the profile; what is left out keeps the profile's value.

    `event` and `handshake` may be distributions: they are the service times of the queueing model.
    """

    handshake: Distribution | None = None
    http_request: Duration | None = None
    event: Distribution | None = None
    send: Duration | None = None
    send_per_byte: Duration | None = None
    task: Duration | None = None
    ingest: Duration | None = None
    ping: Duration | None = None
    wakeup: Duration | None = None
    base_memory: Size | None = None
    connection_memory: Size | None = None
    kernel_memory: Size | None = None


class Servers(Part):
    """Server processes, all alike: one FIFO queue each, served by `workers` event loops.

    `fanout: broadcast` sends to all local members in one job; `task_per_client` queues one task for each, so that the
    loop interleaves them with other work. Connections are refused above `max_connections` (file descriptors) and
    above what `memory` holds. `backlog` is the accept queue (Linux: somaxconn, 4,096).
    """

    count: Count = 1
    profile: Name = "websockets-asyncio"
    costs: Costs = Costs()
    workers: Count = 1
    fanout: Literal["broadcast", "task_per_client"] = "broadcast"
    max_connections: Count | None = None
    memory: Size | None = None
    egress: Bandwidth | None = None
    backlog: Count = 4096

    @model_validator(mode="after")
    def _known(self) -> Servers:
        if self.profile not in PROFILES:
            raise fault("must be a known profile", nearest(self.profile, PROFILES), at="profile")
        if self.count > 10_000:
            raise fault("must be at most 10_000", "model one region at a time", at="count")
        if self.workers > 1024:
            raise fault("must be at most 1_024", "a server has one loop for each core", at="workers")
        if self.memory is not None and self.memory < self.resolved_costs.memory_bytes(1):
            raise fault(
                f"must hold the process and one connection ({self.resolved_costs.memory_bytes(1):_} B)",
                "give more memory",
                at="memory",
            )
        return self

    @property
    def resolved_costs(self) -> CostProfile:
        """The profile with the changes applied; a distribution stands as its mean."""
        plain = {}
        for field in CostProfile.__dataclass_fields__:
            changed = getattr(self.costs, field.removesuffix("_s").removesuffix("_bytes"))
            if changed is not None:
                plain[field] = changed if isinstance(changed, (int, float)) else changed.mean_s
        base = {field: getattr(PROFILES[self.profile].costs, field) for field in CostProfile.__dataclass_fields__}
        return CostProfile(**(base | plain))

    @property
    def event_cost(self) -> Any:
        """Distribution of the CPU to decode one message."""
        return self.costs.event or Constant(value=self.resolved_costs.event_s)

    @property
    def handshake_cost(self) -> Any:
        """Distribution of the CPU of one handshake."""
        return self.costs.handshake or Constant(value=self.resolved_costs.handshake_s)

    @property
    def connection_limit(self) -> int | None:
        """Connections one server admits: the least of `max_connections` and what its memory holds."""
        limits = [self.max_connections]
        if self.memory is not None:
            limits.append(self.resolved_costs.connections_in(self.memory))
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None


class Balancer(Part):
    """How a new request finds a server.

    `affinity: cookie` sends a client back to the server it had, whatever the policy. `detection` is how long the
    balancer goes on sending requests to a server that has died.
    """

    policy: Literal[tuple(balancing.REGISTRY)] = "least_connections"  # type: ignore[valid-type]
    affinity: Literal["none", "cookie"] = "none"
    detection: Duration = 0.0


class NoBroker(Part):
    """Servers know nothing of each other: a message reaches the clients of the server it was given to."""

    kind: Literal["none"]
    publisher_link: Distribution = _LINK


class RedisPubSub(Part):
    """Redis Pub/Sub: one thread, at most once.

    `all_servers` copies every message to every server, as Socket.IO's adapter does by its pattern subscription;
    `per_room` only to servers with a member of the room, which must subscribe first.
    """

    kind: Literal["redis_pubsub"]
    subscription: Literal["all_servers", "per_room"] = "all_servers"
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    publish: Distribution = Constant(value=BROKER_COSTS["redis_publish_s"].value)
    copy_cost: Annotated[Duration, Field(alias="copy")] = BROKER_COSTS["redis_copy_s"].value
    subscribe: Duration = BROKER_COSTS["redis_subscribe_s"].value


class RedisStreams(Part):
    """Redis Streams: one log; every server reads all of it with a blocking XREAD of `read_count` entries.

    Entries beyond the newest `max_length` are trimmed (MAXLEN) and cannot be replayed. The defaults of both are those
    of @socket.io/redis-streams-adapter.
    """

    kind: Literal["redis_streams"]
    read_count: Count = 100
    max_length: Count = 10_000
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    append: Duration = BROKER_COSTS["streams_append_s"].value
    read: Duration = BROKER_COSTS["streams_read_s"].value


class Kafka(Part):
    """Kafka: a log of `partitions`; every server is a consumer group of its own and reads all of them.

    A room's messages share a partition. The producer holds a batch for `linger` or until `batch_size` (defaults of
    Kafka 4.0); a fetch returns at most `max_poll_records`.
    """

    kind: Literal["kafka"]
    partitions: Count = 12
    linger: Duration = 0.005
    batch_size: Size = 16_384
    max_poll_records: Count = 500
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    append: Duration = BROKER_COSTS["kafka_append_s"].value
    read: Duration = BROKER_COSTS["kafka_read_s"].value


def _kind(value: object) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"<{kind}>"


def _by_kind(*parts: type[Part]) -> Any:
    """Union of parts told apart by `kind`; the tags in brackets never show in a path."""
    members = [Annotated[part, Tag(f"<{part.model_fields['kind'].annotation.__args__[0]}>")] for part in parts]
    union: Any = members[0]
    for member in members[1:]:
        union = union | member
    return Annotated[union, Discriminator(_kind)]


Broker = _by_kind(NoBroker, RedisPubSub, RedisStreams, Kafka)
"""Field type: one of the brokers, told apart by `kind`."""


class KillServer(Part):
    """A server dies at once. Clients see a reset (`rst`), or nothing until their keepalive fails (`silent`)."""

    kind: Literal["kill_server"]
    at: Duration
    server: Index
    notice: Literal["rst", "silent"] = "rst"


class DropClients(Part):
    """A share of a cohort loses its connections at the same moment; the servers stay up."""

    kind: Literal["drop_clients"]
    at: Duration
    cohort: Name
    share: Ratio = 1.0
    notice: Literal["rst", "silent"] = "rst"


Fault = _by_kind(KillServer, DropClients)
"""Field type: one of the faults, told apart by `kind`."""


class Slo(Part):
    """What the service promises."""

    p50: Duration | None = None
    p99: Duration | None = None
    max_lost_ratio: Ratio | None = None
    recover_within: Duration | None = None
    survive_servers: Index | None = None
