"""NATS JetStream: one stream, and a pull consumer for each server.

One acknowledgement covers everything that arrived together; a request for more goes out when half of the last one has
come, so that the broker never has nothing to answer to. The link goes on behind what it has acknowledged itself: a
broker that crashed may have forgotten some of it, as it writes that down at leisure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerInfo, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType, StreamInfo
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from live.brokers.addresses import Address
from live.brokers.base import Delivered
from live.brokers.nats_connection import FOREVER_S, NatsConnection
from live.brokers.reconnecting import ReconnectingLink, Refused

__all__ = ["NatsJetStreamLink"]

_IDLE_S = 600
"""Time after which the broker may forget a consumer that asks for nothing: a server that has died."""

_REPLAY_IDLE_S = 5
_SEQUENCE = re.compile("[0-9]{1,18}")

Answer = TypeVar("Answer")


class NatsJetStreamLink(ReconnectingLink):
    """A process's link to the stream `namespace-log`, whose subjects are `namespace.log.room`."""

    _connection: NatsConnection | None = None
    _jetstream: JetStreamContext | None = None
    _feed: Subscription | None = None
    _position = 0

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        super().__init__(address, broker, member, namespace)
        self.stream = f"{self.namespace}-log"
        self._before_room = len(self.namespace) + 5
        self._outstanding = 0
        self._inbox = ""

    @property
    def position(self) -> str:
        """Sequence of the last message that was read."""
        return str(self._position) if self.receive is not None else ""

    @property
    def _there(self) -> NatsConnection:
        """The connection; one that is gone is an error of the network."""
        if self._connection is None:
            raise ConnectionResetError("there is no connection to the broker")
        return self._connection

    @property
    def _asks(self) -> JetStreamContext:
        """What JetStream is asked by; without a connection it is an error of the network."""
        if self._jetstream is None:
            raise ConnectionResetError("there is no connection to the broker")
        return self._jetstream

    async def open(self, first: bool) -> None:
        """Connect; the first time make a consumer at the end of the stream, later behind what was read."""
        self._outstanding = 0
        what = "asks" if self.receive is None else "reads"
        self._connection = NatsConnection(self.broken)
        await self._there.connect(self.address, f"{self.namespace}:{what}:{self.member}")
        self._jetstream = self._there.client.jetstream(timeout=FOREVER_S, publish_async_max_pending=2**30)
        end = (await self._make_stream()).state.last_seq
        if self.receive is None:
            return
        if first:
            self._position = end
        elif end < self._position:
            self._position = 0  # another stream than the one that was read: the broker came back without it
        await self._forget()
        await self._make_consumer(
            self._position,
            name=self.member,
            ack_policy=AckPolicy.ALL,
            max_ack_pending=-1,
            inactive_threshold=_IDLE_S,
        )
        self._inbox = self._there.client.new_inbox()
        self._feed = await self._there.hear(self._inbox, self._hear)
        await self._pull(self.broker.pull_batch)
        await self._there.read()

    async def _make_stream(self) -> StreamInfo:
        return await self._answered(
            self._asks.add_stream(
                name=self.stream,
                subjects=[f"{self.namespace}.log.*"],
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                storage=StorageType.FILE,
                max_msgs=self.broker.max_length,
            )
        )

    async def _make_consumer(self, after: int, **config: Any) -> ConsumerInfo:
        start = {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": after + 1, "mem_storage": True}
        return await self._answered(self._asks.add_consumer(self.stream, **start, **config))

    async def _forget(self, consumer: str = "") -> None:
        """Delete a consumer, by itself the one that reads; it may be gone already."""
        await self._answered(self._delete(self._asks, consumer or self.member))

    async def _delete(self, jetstream: JetStreamContext, consumer: str) -> None:
        with contextlib.suppress(NotFoundError):
            await jetstream.delete_consumer(self.stream, consumer)

    async def _answered(self, asked: Awaitable[Answer]) -> Answer:
        """What JetStream answers, or its no in our words."""
        try:
            return await self._there.unless_lost(asked)
        except APIError as error:
            if isinstance(error, ServiceUnavailableError) and error.code is None:  # nobody has answered
                raise Refused("JetStream is not enabled there", "start nats-server with -js") from None
            raise Refused(f"JetStream says {error.description!r}", "see the broker's configuration") from None

    # Reading.

    async def _pull(self, batch: int) -> None:
        """Ask for so many more messages. `PullSubscription.fetch` of nats-py returns when as many have come as were
        asked for, or when its time is over; a server needs the first one at once."""
        self._outstanding += batch
        await self._there.send(self._next_of(self.member), json.dumps({"batch": batch}).encode(), self._inbox)

    def _next_of(self, consumer: str) -> str:
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{consumer}"

    async def _hear(self, message: Msg) -> None:
        if not message.reply:
            self.broken()  # a status, such as that the consumer is gone: make it anew
            return
        self._outstanding -= 1
        delivered = self._delivered(message)
        self._position = int(delivered.position)
        self.receive(delivered)
        if self._feed is not None and not self._feed.pending_msgs:  # what arrived together is over
            await self._there.send(message.reply, b"+ACK")
            if self._outstanding <= self.broker.pull_batch // 2:
                await self._pull(self.broker.pull_batch)

    def _delivered(self, message: Msg) -> Delivered:
        room = int(message.subject[self._before_room :])
        return Delivered(room, message.data, str(message.metadata.sequence.stream))

    async def replay(self, after: str, until: str) -> list[Delivered]:
        """By a consumer that is there for this alone."""
        for position in (after, until):
            if position and not _SEQUENCE.fullmatch(position):
                raise ValueError(f"a position of a stream is needed, got {position!r}")
        first, last = int(after or 0), int(until or 0)
        if last and last <= first:
            return []
        made = await self._make_consumer(first, ack_policy=AckPolicy.NONE, inactive_threshold=_REPLAY_IDLE_S)
        wanted = min(made.num_pending, last - first) if last else made.num_pending
        found = await self._pull_all(made.name, wanted) if wanted else []
        await self._forget(made.name)
        return [message for message in found if not last or int(message.position) <= last]

    async def _pull_all(self, consumer: str, wanted: int) -> list[Delivered]:
        connection = self._there
        found: list[Delivered] = []
        over = asyncio.get_running_loop().create_future()

        async def collect(message: Msg) -> None:
            if message.reply:
                found.append(self._delivered(message))
            if (not message.reply or len(found) == wanted) and not over.done():
                over.set_result(None)

        inbox = connection.client.new_inbox()
        subscription = await connection.hear(inbox, collect)
        try:
            await connection.send(
                self._next_of(consumer), json.dumps({"batch": wanted, "no_wait": True}).encode(), inbox
            )
            await connection.unless_lost(over)
        finally:
            with contextlib.suppress(ConnectionError):
                await connection.forget(subscription)
        return found

    # The rest.

    def drop(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self.leave(self._connection.drop())
        self._connection = self._jetstream = self._feed = None

    def hold(self, held: bool) -> None:
        """Read nothing, or read on."""
        self._there.hold(held)

    async def send(self, room: int, body: bytes) -> None:
        """The answer is the sequence."""
        connection = self._there
        try:
            await self._answered(await self._asks.publish_async(f"{self.namespace}.log.{room}", body))
        except NoStreamResponseError:
            self.broken()  # the stream is not there (any more, or yet): open again
            raise ConnectionRefusedError("nobody answers at the broker") from None
        except nats.errors.Error as error:
            raise connection.failed(error) from None

    async def count(self) -> int:
        """Consumers with a request that waits for messages."""
        n = seen = 0
        while page := await self._answered(self._asks.consumers_info(self.stream, seen)):
            n += sum(one.config.ack_policy == AckPolicy.ALL and (one.num_waiting or 0) > 0 for one in page)
            seen += len(page)
        return n

    async def say_goodbye(self) -> None:
        """The consumer would be there for a while."""
        if self.receive is not None:
            await self._forget()
