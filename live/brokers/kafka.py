"""Kafka: a topic with partitions, each server a consumer group of its own that reads all of them.

A server knows its partitions, being alone in its group, and takes them without asking to be given them; after a loss it
waits as long as the balancing of its group would take (`rebalance_delay`) and goes on behind what it has handled.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from live.brokers.addresses import Address
from live.brokers.base import Delivered
from live.brokers.kafka_clients import ASK_S, Reader, Writer, network_error, replay
from live.brokers.offsets import MOST_PARTITIONS, Offsets, offsets_from
from live.brokers.reconnecting import ReconnectingLink, Refused
from realtime_sim.errors import Problem, ScenarioError

__all__ = ["KafkaLink"]


class KafkaLink(ReconnectingLink):
    """A process's link to the topic `namespace`; a room is always in the same partition."""

    _reader: Reader | None = None
    _writer: Writer | None = None
    _position = ""

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        super().__init__(address, broker, member, namespace)
        if broker.partitions > MOST_PARTITIONS:
            problem = Problem(
                "broker.partitions",
                f"must be at most {MOST_PARTITIONS} in a live run, where clients carry an offset of each",
                broker.partitions,
                "take fewer",
            )
            raise ScenarioError(problem)
        self.return_delay_s += float(broker.rebalance_delay)
        self._polled: list[Delivered] = []
        self._stopping: list[Reader | Writer] = []
        self._replays: ThreadPoolExecutor | None = None
        self._replayer: Consumer | None = None
        wait_ms = address.options.get("fetch_wait_ms", 500)
        self._common = {
            "bootstrap.servers": f"{address.host}:{address.port}",
            "client.id": f"{namespace}-{member}",
            "broker.address.family": "v4",
            "socket.nagle.disable": True,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,  # what goes wrong is told by exceptions
        }
        self._consumer = self._common | {
            "group.id": f"{namespace}-{member}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": wait_ms,
            "fetch.error.backoff.ms": 20,
        }
        self._producer = self._common | {
            "linger.ms": 1000 * broker.linger,
            "batch.size": broker.batch_size,
            "message.timeout.ms": max(1, round(1000 * broker.delivery_timeout)),
            "retries": 0,  # the link tries again itself, in order
            "acks": "all",
        }

    @property
    def position(self) -> str:
        """Up to where every partition has been read."""
        return self._position

    async def open(self, first: bool) -> None:
        """Connect; read from the end of the log the first time, later on from where it was."""
        _, probe = await asyncio.open_connection(self.address.host, self.address.port)
        probe.transport.abort()  # librdkafka would try until its time is over
        writer = self._writer = Writer(self._producer, self.namespace, self._lost)
        writer.start()
        await asyncio.to_thread(self._check_topic, writer)
        if self.receive is not None:
            n, most = self.broker.partitions, self.broker.max_poll_records
            start = None if first else offsets_from(self._position, n)
            reader = self._reader = Reader(self._consumer, self.namespace, start, n, most, self._arrived, self._lost)
            reader.start()
            self._position = Offsets(await reader.opened).text
            reader.taken()

    def _check_topic(self, writer: Writer) -> None:
        """In another thread: the topic is there, with its partitions. It also makes the producer connect, which would
        not notice a broker's end otherwise."""
        n = writer.n_partitions()
        try:
            if not n:
                topic = NewTopic(self.namespace, self.broker.partitions, 1)
                made = AdminClient(self._common).create_topics([topic], operation_timeout=ASK_S)
                made[self.namespace].result(ASK_S)
                n = writer.n_partitions()
        except KafkaException as error:
            raise network_error(error.args[0]) from None
        if not n:
            raise ConnectionRefusedError("the topic that was made is not there yet")
        if n != self.broker.partitions:
            raise Refused(
                f"its topic {self.namespace!r} has {n} partitions, broker.partitions is {self.broker.partitions}",
                "delete the topic, or set broker.partitions to that",
            )

    def _lost(self, client: Reader | Writer) -> None:
        if client in (self._reader, self._writer):
            self.broken()

    def _arrived(self, reader: Reader, messages: list[Delivered]) -> None:
        """What a reader has polled; it polls no more before this was taken."""
        if reader is self._reader:
            self._polled = messages
            if not self._silent:
                self._hand_over(reader)

    def _hand_over(self, reader: Reader) -> None:
        polled, self._polled = self._polled, []
        receive = self.receive
        for message in polled:
            self._position = message.position
            receive(message)
        reader.taken()

    def hold(self, held: bool) -> None:
        """Take nothing from the reader, or go on."""
        if self._polled and not held:
            self._hand_over(self._reader)

    def drop(self) -> None:
        """Let the clients go; their threads end by themselves."""
        for client in (self._reader, self._writer):
            if client is not None:
                client.stop()
                self._stopping.append(client)
        self._reader = self._writer = None
        self._polled = []
        self._stopping = [client for client in self._stopping if client.is_alive()]

    async def send(self, room: int, body: bytes) -> None:
        """Queue it in the producer, and wait for the broker's acknowledgement."""
        if self._writer is None:
            raise ConnectionResetError("there is no connection to the broker")
        await self._writer.append(room, room % self.broker.partitions, body)

    async def replay(self, after: str, until: str) -> list[Delivered]:
        """By a consumer that is there for this alone, one replay after the other."""
        n = self.broker.partitions
        first, last = offsets_from(after, n), offsets_from(until, n) if until else None
        if self._replays is None:
            self._replays = ThreadPoolExecutor(1, "replays")
        return await asyncio.get_running_loop().run_in_executor(self._replays, self._replay, first, last)

    def _replay(self, after: list[int], until: list[int] | None) -> list[Delivered]:
        if self._replayer is None:
            self._replayer = Consumer(self._consumer | {"group.id": f"{self.namespace}-{self.member}-replays"})
        return replay(self._replayer, self.namespace, after, until)

    async def count(self) -> None:
        """Kafka does not know of readers that nobody gave their partitions."""

    async def close(self) -> None:
        """Give the connection back, and wait for the threads."""
        await super().close()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for client in self._stopping:
            client.join()
        if self._replays is not None:
            self._replays.submit(lambda: self._replayer and self._replayer.close())
            self._replays.shutdown()
