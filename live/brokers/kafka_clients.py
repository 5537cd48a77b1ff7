"""librdkafka's clients, each with a thread of its own that waits for it: what they have goes to the loop's thread.

A thread sleeps in librdkafka without holding Python's lock. `stop` does not wait for it; `join` does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from live.brokers.base import Delivered
from live.brokers.offsets import Offsets
from live.brokers.reconnecting import Refused

__all__ = ["ASK_S", "Reader", "Writer", "network_error", "replay"]

_POLL_S = 0.1
"""Longest time a thread sleeps before it looks whether it should stop."""

ASK_S = 5.0
"""Longest time for an answer to a question about offsets."""

_COMMIT_EVERY_S = 1.0
"""Time between two commits, each of which costs half as much as reading a record. Nobody goes on from there: a link
that lives knows better, and a server that is new begins at the end."""

_REPLAY_S = 10.0
"""Longest time for a replay."""


def network_error(error: KafkaError) -> Exception:
    """An error of librdkafka as one of a link: the broker is away, or it says no."""
    if error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.TOPIC_AUTHORIZATION_FAILED):
        return Refused(error.str(), "see the broker's configuration")
    return ConnectionResetError(error.str())


class Reader(threading.Thread):
    """A consumer of every partition.

    Parameters
    ----------
    settings : dict
        Of librdkafka.
    topic : str
        What is read.
    start : list of int, optional
        Offsets to start at; None is the end of the log.
    n_partitions, most : int
        Partitions of the topic, and records that are handed over at once.
    arrived : callable
        Gets this reader and a list of `Delivered`, in the loop's thread; to be answered by `taken`.
    lost : callable
        Called with this client, in the loop's thread, when no broker can be reached.
    """

    def __init__(
        self,
        settings: dict,
        topic: str,
        start: list[int] | None,
        n_partitions: int,
        most: int,
        arrived: Callable[[Reader, list[Delivered]], None],
        lost: Callable[[Reader], None],
    ) -> None:
        super().__init__(name=f"reads {topic}", daemon=True)
        self._topic, self._start, self._n_partitions, self._most = topic, start, n_partitions, most
        self._arrived, self._lost = arrived, lost
        self._loop = asyncio.get_running_loop()
        self._stopped, self._taken = threading.Event(), threading.Event()
        self._consumer = Consumer(settings | {"error_cb": self._failed})
        self.opened: asyncio.Future[list[int]] = self._loop.create_future()
        """Where it starts; to be answered by `taken` too."""

    def run(self) -> None:
        """Until it is stopped."""
        try:
            offsets = self._where_to_start()
            self._consumer.assign([TopicPartition(self._topic, p, at) for p, at in enumerate(offsets)])
            self._tell(_settle, self.opened, list(offsets))
            self._taken.wait()
            self._read_on(Offsets(offsets))
        except KafkaException as error:
            self._tell(_settle, self.opened, network_error(error.args[0]))
            self._tell(self._lost, self)
        finally:
            self._consumer.close()

    def _where_to_start(self) -> list[int]:
        places = [TopicPartition(self._topic, p) for p in range(self._n_partitions)]
        ends = [self._consumer.get_watermark_offsets(place, timeout=ASK_S)[1] for place in places]
        if self._start is None:
            return ends
        # An end before that is another log than the one that was read: the broker came back without it.
        return [at if at <= end else 0 for at, end in zip(self._start, ends, strict=True)]

    def _read_on(self, offsets: Offsets) -> None:
        """Poll, hand over, commit: the next batch is asked for when this one has been handled."""
        consumer, most = self._consumer, self._most
        handled: dict[int, int] = {}
        commit_s = 0.0
        while not self._stopped.is_set():
            if handled and time.monotonic() >= commit_s:
                consumer.commit(offsets=[TopicPartition(self._topic, *at) for at in handled.items()], asynchronous=True)
                handled, commit_s = {}, time.monotonic() + _COMMIT_EVERY_S
            first = consumer.poll(_POLL_S)
            if first is None:
                continue
            batch = [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]
            self._taken.clear()
            if self._stopped.is_set():
                return
            self._tell(self._arrived, self, [_delivered(message, offsets) for message in batch])
            self._taken.wait()
            handled |= {message.partition(): message.offset() + 1 for message in batch}

    def taken(self) -> None:
        """What it has said last is settled: it may go on."""
        self._taken.set()

    def stop(self) -> None:
        """It is not needed any more."""
        self._stopped.set()
        self._taken.set()

    def _failed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._tell(self._lost, self)

    def _tell(self, what: Callable, *about: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *about)


class Writer(threading.Thread):
    """A producer.

    Parameters
    ----------
    settings : dict
        Of librdkafka.
    topic : str
        Where it appends.
    lost : callable
        Called with this client, in the loop's thread, when no broker can be reached.
    """

    def __init__(self, settings: dict, topic: str, lost: Callable[[Writer], None]) -> None:
        super().__init__(name=f"writes {topic}", daemon=True)
        self._topic, self._lost = topic, lost
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._pending: set[asyncio.Future] = set()
        self._producer = Producer(settings | {"error_cb": self._failed})

    def run(self) -> None:
        """Until it is stopped."""
        while not self._stopped.is_set():
            self._producer.poll(_POLL_S)
        self._producer.purge()
        self._producer.poll(0)

    def n_partitions(self) -> int:
        """Partitions of the topic, 0 if there is none; waits for the broker, so not for the loop's thread."""
        try:
            topics = self._producer.list_topics(timeout=ASK_S).topics
        except KafkaException as error:
            raise network_error(error.args[0]) from None
        return len(topics[self._topic].partitions) if self._topic in topics else 0

    def append(self, room: int, partition: int, body: bytes) -> asyncio.Future:
        """Queue a record; the future is done when the broker has it."""
        acknowledged = self._loop.create_future()
        self._pending.add(acknowledged)
        acknowledged.add_done_callback(self._pending.discard)
        settle = partial(self._settled, acknowledged)
        try:
            self._producer.produce(self._topic, body, b"%d" % room, partition, on_delivery=settle)
        except KafkaException as error:
            _settle(acknowledged, network_error(error.args[0]))
        except BufferError:
            _settle(acknowledged, Refused("the producer's queue is full", "publish less"))
        return acknowledged

    def stop(self) -> None:
        """It is not needed any more; what it has not delivered fails."""
        self._stopped.set()
        for acknowledged in list(self._pending):
            _settle(acknowledged, ConnectionResetError("the connection to the broker was let go"))

    def _settled(self, acknowledged: asyncio.Future, error: KafkaError | None, message: Message) -> None:
        if not self._stopped.is_set():
            self._loop.call_soon_threadsafe(self._take_answer, acknowledged, error)

    def _take_answer(self, acknowledged: asyncio.Future, error: KafkaError | None) -> None:
        answer = None if error is None else network_error(error)
        if isinstance(answer, ConnectionError):
            self._lost(self)
        _settle(acknowledged, answer)

    def _failed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._stopped.is_set():
            self._loop.call_soon_threadsafe(self._lost, self)


def replay(consumer: Consumer, topic: str, after: list[int], until: list[int] | None) -> list[Delivered]:
    """What stands in a topic between two positions, oldest first; partitions are merged by the records' times.

    Parameters
    ----------
    consumer : Consumer
        Used for nothing else.
    topic : str
        What is read.
    after, until : list of int
        Offsets by partition: from the first on, without the second; None is the end.

    Raises
    ------
    ConnectionError
        If the broker is away.
    """
    try:
        ends = [
            0 if until is not None and until[p] <= at else _end(consumer, topic, p, until) for p, at in enumerate(after)
        ]
        missing = {partition: end for partition, end in enumerate(ends) if end > after[partition]}
        consumer.assign([TopicPartition(topic, partition, after[partition]) for partition in missing])
        try:
            found = _read_until(consumer, missing)
        finally:
            consumer.unassign()
    except KafkaException as error:
        raise network_error(error.args[0]) from None
    offsets = Offsets(after)
    return [_delivered(message, offsets) for message in sorted(found, key=_age(found))]


def _end(consumer: Consumer, topic: str, partition: int, until: list[int] | None) -> int:
    end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_S)[1]
    return end if until is None else min(until[partition], end)


def _read_until(consumer: Consumer, missing: dict[int, int]) -> list[Message]:
    found: list[Message] = []
    missing = dict(missing)
    waits = int(_REPLAY_S / _POLL_S)
    while missing:
        message = consumer.poll(_POLL_S)
        if message is None:
            waits -= 1
            if not waits:
                raise ConnectionResetError("a replay got nothing for too long")
            continue
        if message.error():
            raise KafkaException(message.error())
        end = missing.get(message.partition())
        if end is not None and message.offset() < end:
            found.append(message)
        if end is not None and message.offset() + 1 >= end:
            del missing[message.partition()]
    return found


def _age(messages: list[Message]) -> Callable[[Message], tuple[int, int, int]]:
    """Key that keeps the order of each partition, whatever its clocks say."""
    latest: dict[int, int] = {}
    times: dict[tuple[int, int], int] = {}
    for message in messages:
        partition = message.partition()
        latest[partition] = max(latest.get(partition, 0), message.timestamp()[1])
        times[partition, message.offset()] = latest[partition]
    return lambda m: (times[m.partition(), m.offset()], m.partition(), m.offset())


def _delivered(message: Message, offsets: Offsets) -> Delivered:
    if message.error():
        raise KafkaException(message.error())
    offsets.read(message.partition(), message.offset())
    return Delivered(int(message.key()), message.value(), offsets.text)


def _settle(future: asyncio.Future, value: Any) -> None:
    if not future.done():
        (future.set_exception if isinstance(value, Exception) else future.set_result)(value)
