"""What is between publishers and servers: every kind of broker, and what it does when it cannot be reached."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from realtime_sim.profiles import BROKER_COSTS
from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import Count, Duration, Part, Size

__all__ = [
    "BROKERS",
    "Broker",
    "Kafka",
    "Nats",
    "NatsJetStream",
    "NoBroker",
    "OutputBuffer",
    "RedisPubSub",
    "RedisStreams",
    "by_kind",
    "kind_of",
]

_LINK = Constant(value=BROKER_COSTS["link_s"].value)
_WhenDown = Literal["lose", "retry"]


class NoBroker(Part):
    """Servers know nothing of each other: a message reaches the clients of the server it was given to.

    Parameters
    ----------
    kind : str
        `none`.
    publisher_link : Distribution
        One-way time from the publisher to the server, seconds.
    """

    has_channels: ClassVar[bool] = False
    has_log: ClassVar[bool] = False
    n_threads: ClassVar[int] = 0
    kind: Literal["none"]
    publisher_link: Distribution = _LINK


class OutputBuffer(Part):
    """How much a broker keeps for a server that takes nothing, before it cuts it off.

    Payload bytes count; what the protocol adds to each message, some 50 bytes for Redis, is left out.

    Parameters
    ----------
    hard : int or str
        Bytes at which the server is cut off at once; 0 for no limit. The default is that of Redis for Pub/Sub
        (client-output-buffer-limit pubsub 32mb 8mb 60).
    soft : int or str
        Bytes at which it is cut off when it stays there; 0 for no limit.
    soft_for : float or str
        Time it may stay there without a break, seconds.
    """

    hard: Size = 32 * 2**20
    soft: Size = 8 * 2**20
    soft_for: Duration = 60.0


class RedisPubSub(Part):
    """Redis Pub/Sub: one thread, at most once; with `shards` the sharded Pub/Sub of Redis Cluster (Redis 7).

    Parameters
    ----------
    kind : str
        `redis_pubsub`.
    shards : int
        Instances that the rooms are spread over, each with a thread of its own (SPUBLISH, SSUBSCRIBE). Rooms are dealt
        out in turn, everyone's first, as Kafka's are to partitions: room i is at instance i modulo `shards`. Costs are
        those of one instance. Every server is connected to all of them, and a partition, a stop or a slow broker
        concerns all of them together.
    subscription : str
        `all_servers` copies every message to every server, as Socket.IO's adapter does by its pattern subscription;
        `per_room` only to servers with a member of the room, which must subscribe first. With `shards` every server
        subscribes at each of them, to one channel or to its rooms there, and hears each message from one.
    publisher_link : Distribution
        One-way time from the publisher to the broker, seconds.
    server_link : Distribution
        One-way time from the broker to a server, seconds.
    publish : Distribution
        CPU of the broker to take one message, seconds.
    copy : float or str
        CPU of the broker for one copy to one server, seconds.
    subscribe : float or str
        CPU of the broker for one subscription, seconds.
    output_buffer : OutputBuffer or dict
        What each instance keeps for a server behind a silent partition. A server that one cuts off is cut off from all.
    reconnect_delay : float or str
        Time from when a server, or after a stop the backend, can reach the broker again until it is connected and
        subscribes anew, seconds; the default is the longest wait between two attempts of ioredis and node-redis.
    when_down : str
        What a publisher that cannot reach the broker does with a message: `lose` it, or `retry` until it can. After a
        stop the backend is back when servers have subscribed anew, as all take `reconnect_delay`, and what it kept
        reaches them. In practice some come back before others, and this broker keeps nothing for those that are late.
    delivery_timeout : float or str
        Time after its publication from which a message is not retried any more, seconds; the default is a choice, that
        of Kafka.
    """

    has_channels: ClassVar[bool] = True
    has_log: ClassVar[bool] = False
    kind: Literal["redis_pubsub"]
    shards: Count = 1
    subscription: Literal["all_servers", "per_room"] = "all_servers"
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    publish: Distribution = Constant(value=BROKER_COSTS["redis_publish_s"].value)
    copy_cost: Annotated[Duration, Field(alias="copy")] = BROKER_COSTS["redis_copy_s"].value
    subscribe: Duration = BROKER_COSTS["redis_subscribe_s"].value
    output_buffer: OutputBuffer = OutputBuffer()
    reconnect_delay: Duration = BROKER_COSTS["redis_reconnect_s"].value
    when_down: _WhenDown = "lose"
    delivery_timeout: Duration = BROKER_COSTS["kafka_delivery_timeout_s"].value

    @property
    def n_threads(self) -> int:
        """Threads that rooms are dealt out to."""
        return self.shards


class Nats(Part):
    """Core NATS: at most once, like Redis Pub/Sub; a room is a subject.

    One thread does all the work here, as for Redis. nats-server has more of them, and the published figures that the
    costs are derived from were reached with all of them.

    Parameters
    ----------
    kind : str
        `nats`.
    subscription : str
        `all_servers` copies every message to every server (a wildcard subject); `per_room` only to servers with a
        member of the room, which must subscribe first.
    publisher_link : Distribution
        One-way time from the publisher to the broker, seconds.
    server_link : Distribution
        One-way time from the broker to a server, seconds.
    publish : Distribution
        CPU of the broker to take one message, seconds.
    copy : float or str
        CPU of the broker for one copy to one server, seconds.
    subscribe : float or str
        CPU of the broker for one subscription, seconds.
    max_pending : int or str
        Bytes it keeps for a server behind a silent partition; one that reaches them is a slow consumer and is cut off.
        The default is that of nats-server (server/const.go, MAX_PENDING_SIZE).
    reconnect_delay : float or str
        Time from when a server, or after a stop the backend, can reach the broker again until it is connected and
        subscribes anew, seconds; the default is ReconnectWait of the NATS clients.
    when_down : str
        What a publisher that cannot reach the broker does with a message: `lose` it, or `retry` until it can. After a
        stop the backend is back when servers have subscribed anew, as all take `reconnect_delay`, and what it kept
        reaches them. In practice some come back before others, and this broker keeps nothing for those that are late.
    delivery_timeout : float or str
        Time after its publication from which a message is not retried any more, seconds; the default is a choice, that
        of Kafka.
    """

    has_channels: ClassVar[bool] = True
    has_log: ClassVar[bool] = False
    n_threads: ClassVar[int] = 1
    kind: Literal["nats"]
    subscription: Literal["all_servers", "per_room"] = "per_room"
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    publish: Distribution = Constant(value=BROKER_COSTS["nats_publish_s"].value)
    copy_cost: Annotated[Duration, Field(alias="copy")] = BROKER_COSTS["nats_copy_s"].value
    subscribe: Duration = BROKER_COSTS["nats_subscribe_s"].value
    max_pending: Size = 64 * 2**20
    reconnect_delay: Duration = BROKER_COSTS["nats_reconnect_s"].value
    when_down: _WhenDown = "lose"
    delivery_timeout: Duration = BROKER_COSTS["kafka_delivery_timeout_s"].value

    @property
    def output_buffer(self) -> OutputBuffer:
        """The same limit as Redis writes it."""
        return OutputBuffer(hard=self.max_pending, soft=0, soft_for=0.0)


class RedisStreams(Part):
    """Redis Streams: one log; every server reads all of it with a blocking XREAD.

    The position is the server's own (XREAD without a consumer group): it goes on behind the last batch that reached it.

    Parameters
    ----------
    kind : str
        `redis_streams`.
    read_count : int
        Most entries of one XREAD; the default is that of @socket.io/redis-streams-adapter.
    max_length : int
        Entries beyond the newest so many are trimmed (MAXLEN) and cannot be replayed; default of the same adapter.
    publisher_link : Distribution
        One-way time from the publisher to the broker, seconds.
    server_link : Distribution
        One-way time from the broker to a server, seconds.
    append : float or str
        CPU of the broker to append one entry, seconds.
    read : float or str
        CPU of the broker to hand one entry to one server, seconds.
    reconnect_delay : float or str
        Time from when a server, or after a stop the backend, can reach the broker again until it is connected and reads
        on, seconds; the default is the longest wait between two attempts of ioredis and node-redis.
    when_down : str
        What a publisher that cannot reach the broker does with a message: `lose` it, or `retry` until it can.
    delivery_timeout : float or str
        Time after its publication from which a message is not retried any more, seconds; the default is a choice, that
        of Kafka.
    """

    has_channels: ClassVar[bool] = False
    has_log: ClassVar[bool] = True
    n_threads: ClassVar[int] = 1
    kind: Literal["redis_streams"]
    read_count: Count = 100
    max_length: Count = 10_000
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    append: Duration = BROKER_COSTS["streams_append_s"].value
    read: Duration = BROKER_COSTS["streams_read_s"].value
    reconnect_delay: Duration = BROKER_COSTS["redis_reconnect_s"].value
    when_down: _WhenDown = "lose"
    delivery_timeout: Duration = BROKER_COSTS["kafka_delivery_timeout_s"].value


class NatsJetStream(Part):
    """NATS JetStream: one stream; every server has a pull consumer of its own and acknowledges what it has handled.

    The acknowledgements of a batch go out with the request for the next one. What was not acknowledged is read again
    when a server is back, and comes twice.

    Parameters
    ----------
    kind : str
        `nats_jetstream`.
    pull_batch : int
        Most messages of one pull request; default of `nats bench` (pullbatch).
    max_length : int
        Messages beyond the newest so many are discarded (retention by limits, MaxMsgs). JetStream itself has no limit;
        the default is a choice, that of Redis Streams here.
    publisher_link : Distribution
        One-way time from the publisher to the broker, seconds.
    server_link : Distribution
        One-way time from the broker to a server, seconds.
    append : float or str
        CPU of the broker to store one message, seconds.
    read : float or str
        CPU of the broker to hand one message to one server, seconds.
    reconnect_delay : float or str
        Time from when a server, or after a stop the backend, can reach the broker again until it is connected and reads
        on, seconds; the default is ReconnectWait of the NATS clients.
    when_down : str
        What a publisher that cannot reach the broker does with a message: `lose` it, or `retry` until it can. A
        publisher waits for an acknowledgement, and tries again without one.
    delivery_timeout : float or str
        Time after its publication from which a message is not retried any more, seconds; the default is a choice, that
        of Kafka.
    """

    has_channels: ClassVar[bool] = False
    has_log: ClassVar[bool] = True
    n_threads: ClassVar[int] = 1
    kind: Literal["nats_jetstream"]
    pull_batch: Count = 100
    max_length: Count = 10_000
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    append: Duration = BROKER_COSTS["jetstream_append_s"].value
    read: Duration = BROKER_COSTS["jetstream_read_s"].value
    reconnect_delay: Duration = BROKER_COSTS["nats_reconnect_s"].value
    when_down: _WhenDown = "retry"
    delivery_timeout: Duration = BROKER_COSTS["kafka_delivery_timeout_s"].value


class Kafka(Part):
    """Kafka: a log of `partitions`; every server is a consumer group of its own and reads all of them.

    Offsets are committed when a batch has been handled, with the request for the next one. What was not committed is
    read again when a server is back, and comes twice.

    Parameters
    ----------
    kind : str
        `kafka`.
    partitions : int
        Logs the messages are spread over; a room's messages share one. Rooms are dealt out in turn, everyone's first.
    linger : float or str
        Longest time the producer holds a batch, seconds; default of Kafka 4.0.
    batch_size : int or str
        Size at which a batch is sent at once, bytes; default of Kafka 4.0.
    max_poll_records : int
        Most records one fetch returns.
    publisher_link : Distribution
        One-way time from the publisher to the broker, seconds.
    server_link : Distribution
        One-way time from the broker to a server, seconds.
    append : float or str
        CPU of the broker to append one record, seconds.
    read : float or str
        CPU of the broker to hand one record to one server, seconds.
    reconnect_delay : float or str
        Time from when a server, or after a stop the backend, can reach the broker again until it is connected, seconds;
        default of Kafka clients (reconnect.backoff.max.ms).
    rebalance_delay : float or str
        Time a server that comes back waits until its group is balanced, before it reads on, seconds; default of Kafka
        for a group that was empty (group.initial.rebalance.delay.ms, KIP-134). A new server has joined when it is
        ready.
    when_down : str
        What a publisher that cannot reach the broker does with a message: `lose` it, or `retry` until it can.
    delivery_timeout : float or str
        Time after its publication from which a message is not retried any more, seconds; default of Kafka
        (delivery.timeout.ms).
    """

    has_channels: ClassVar[bool] = False
    has_log: ClassVar[bool] = True
    kind: Literal["kafka"]
    partitions: Count = 12
    linger: Duration = 0.005
    batch_size: Size = 16_384
    max_poll_records: Count = 500
    publisher_link: Distribution = _LINK
    server_link: Distribution = _LINK
    append: Duration = BROKER_COSTS["kafka_append_s"].value
    read: Duration = BROKER_COSTS["kafka_read_s"].value
    reconnect_delay: Duration = BROKER_COSTS["kafka_reconnect_s"].value
    rebalance_delay: Duration = BROKER_COSTS["kafka_rebalance_s"].value
    when_down: _WhenDown = "retry"
    delivery_timeout: Duration = BROKER_COSTS["kafka_delivery_timeout_s"].value

    @property
    def n_threads(self) -> int:
        """Threads that rooms are dealt out to."""
        return self.partitions


def kind_of(part: type[Part]) -> str:
    """What a part's `kind` is in a file."""
    return part.model_fields["kind"].annotation.__args__[0]


def _tag(value: object) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"<{kind}>"


def by_kind(*parts: type[Part]) -> Any:
    """Union of parts told apart by `kind`; the tags in brackets never show in a path."""
    members = [Annotated[part, Tag(f"<{kind_of(part)}>")] for part in parts]
    union: Any = members[0]
    for member in members[1:]:
        union = union | member
    return Annotated[union, Discriminator(_tag)]


BROKERS = (NoBroker, RedisPubSub, RedisStreams, Kafka, Nats, NatsJetStream)
"""Every kind of broker."""

Broker = by_kind(*BROKERS)
"""Field type: one of the brokers, told apart by `kind`."""
