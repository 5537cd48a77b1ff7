"""NATS JetStream: one stream, and a pull consumer for each server.

One acknowledgement covers everything that arrived together; a request for more goes out when half of the last one has
come, so that the broker never has nothing to answer to. The link goes on behind what it has acknowledged itself: a
broker that crashed may have forgotten some of it, as it writes that down at leisure.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from functools import partial
from typing import Any

from live.brokers.addresses import Address
from live.brokers.base import Delivered
from live.brokers.nats_wire import NatsConnection, connect
from live.brokers.reconnecting import ReconnectingLink, Refused

__all__ = ["NatsJetStreamLink"]

_FEED = b"1"
"""Number of the subscription that gets what the consumer pulls; those of replays come after it."""

_IDLE_NS = 600 * 10**9
"""Time after which the broker may forget a consumer that asks for nothing: a server that has died."""

_SEQUENCE = re.compile("[0-9]{1,18}")
_NOT_FOUND = frozenset({404, 10014, 10059})


class NatsJetStreamLink(ReconnectingLink):
    """A process's link to the stream `namespace-log`, whose subjects are `namespace.log.room`."""

    _connection: NatsConnection | None = None
    _position = 0

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        super().__init__(address, broker, member, namespace)
        self.stream = f"{self.namespace}-log"
        self._before_room = len(self.namespace) + 5
        self._outstanding = 0
        self._acknowledge = b""
        self._numbers = itertools.count(2)

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

    async def open(self, first: bool) -> None:
        """Connect; the first time make a consumer at the end of the stream, later behind what was read."""
        self._acknowledge, self._outstanding = b"", 0
        what = "asks" if self.receive is None else "reads"
        name = f"{self.namespace}:{what}:{self.member}"
        self._connection = await connect(self.address, name, self.broken, self._worked_off)
        end = (await self._make_stream())["state"]["last_seq"]
        if self.receive is None:
            return
        if first:
            self._position = end
        elif end < self._position:
            self._position = 0  # another stream than the one that was read: the broker came back without it
        await self._call(f"CONSUMER.DELETE.{self.stream}.{self.member}", None)
        config = {"name": self.member, "ack_policy": "all", "max_ack_pending": -1, "inactive_threshold": _IDLE_NS}
        await self._make_consumer(config, self._position)
        self._there.hear(_FEED, self._hear)
        self._there.write(b"SUB %s %s\r\n" % (self._feed, _FEED))
        await self._there.ping(self._pull(self.broker.pull_batch))

    async def _make_stream(self) -> dict:
        config = {
            "name": self.stream,
            "subjects": [f"{self.namespace}.log.*"],
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "max_msgs": self.broker.max_length,
        }
        try:
            return await self._call(f"STREAM.CREATE.{self.stream}", config)
        except ConnectionRefusedError:
            raise Refused("JetStream is not enabled there", "start nats-server with -js") from None

    async def _make_consumer(self, config: dict, after: int) -> dict:
        name = config.get("name", "")
        config = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1, "mem_storage": True} | config
        subject = f"CONSUMER.CREATE.{self.stream}" + (f".{name}" if name else "")
        return await self._call(subject, {"stream_name": self.stream, "config": config})

    async def _call(self, subject: str, body: dict | None) -> dict:
        """Ask JetStream; what is to be deleted may be gone already."""
        payload = b"" if body is None else json.dumps(body).encode()
        answer = await self._there.request(f"$JS.API.{subject}".encode(), payload)
        error = answer.get("error")
        if error and not (".DELETE." in subject and error.get("err_code", error["code"]) in _NOT_FOUND):
            raise Refused(f"JetStream says {error.get('description', error)!r}", "see the broker's configuration")
        return answer

    # Reading.

    @property
    def _feed(self) -> bytes:
        """Where the consumer's messages go: no answer to a request has such a subject."""
        return self._there.inbox + b".feed.x"

    def _pull(self, batch: int) -> bytes:
        self._outstanding += batch
        request = b'{"batch":%d}' % batch
        next_ = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.member}".encode()
        return b"PUB %s %s %d\r\n%s\r\n" % (next_, self._feed, len(request), request)

    def _hear(self, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        if header.startswith(b"NATS/1.0 ") and not reply:
            self.broken()  # the consumer is gone: make it anew
            return
        self._acknowledge = reply
        self._outstanding -= 1
        self._position = _sequence(reply)
        self.receive(Delivered(int(subject[self._before_room :]), body, str(self._position)))

    def _worked_off(self) -> None:
        """What arrived together has been handed over: acknowledge it, and ask for more in time."""
        if self._acknowledge and self._connection is not None:
            said = b"PUB %s 4\r\n+ACK\r\n" % self._acknowledge
            self._acknowledge = b""
            batch = self.broker.pull_batch
            if self._outstanding <= batch // 2:
                said += self._pull(batch)
            self._connection.write(said)

    async def replay(self, after: str, until: str) -> list[Delivered]:
        """By a consumer that is there for this alone."""
        for position in (after, until):
            if position and not _SEQUENCE.fullmatch(position):
                raise ValueError(f"a position of a stream is needed, got {position!r}")
        first, last = int(after or 0), int(until or 0)
        if last and last <= first:
            return []
        made = await self._make_consumer({"ack_policy": "none", "inactive_threshold": 5 * 10**9}, first)
        wanted = min(made["num_pending"], last - first) if last else made["num_pending"]
        found = await self._pull_all(made["name"], wanted) if wanted else []
        self._there.write(b"PUB $JS.API.CONSUMER.DELETE.%s 0\r\n\r\n" % f"{self.stream}.{made['name']}".encode())
        return [message for message in found if not last or int(message.position) <= last]

    async def _pull_all(self, consumer: str, wanted: int) -> list[Delivered]:
        connection, number = self._there, b"%d" % next(self._numbers)
        found: list[Delivered] = []
        over = connection.promise()
        connection.hear(number, partial(self._collect, found, wanted, over))
        inbox = connection.inbox + b".replay." + number
        request = b'{"batch":%d,"no_wait":true}' % wanted
        next_ = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{consumer}".encode()
        connection.write(b"SUB %s %s\r\nPUB %s %s %d\r\n%s\r\n" % (inbox, number, next_, inbox, len(request), request))
        try:
            await over
        finally:
            connection.forget(number)
            connection.write(b"UNSUB %s\r\n" % number)
        return found

    def _collect(
        self, found: list, wanted: int, over: asyncio.Future, subject: bytes, reply: bytes, header: bytes, body: bytes
    ) -> None:
        if not (header.startswith(b"NATS/1.0 ") and not reply):
            found.append(Delivered(int(subject[self._before_room :]), body, str(_sequence(reply))))
            if len(found) < wanted:
                return
        if not over.done():
            over.set_result(None)

    # The rest.

    def drop(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.drop()
        self._connection = None

    def hold(self, held: bool) -> None:
        """Read nothing, or read on."""
        self._there.hold(held)

    async def send(self, room: int, body: bytes) -> None:
        """The answer is the sequence."""
        try:
            answer = await self._there.request(b"%s.log.%d" % (self.namespace.encode(), room), body)
        except ConnectionRefusedError:
            self.broken()  # the stream is not there (any more, or yet): open again
            raise
        if "error" in answer:
            raise Refused(f"JetStream says {answer['error'].get('description')!r}", "see the broker's configuration")

    async def count(self) -> int:
        """Consumers with a request that waits for messages."""
        n, seen, total = 0, 0, 1
        while seen < total:
            page = await self._call(f"CONSUMER.LIST.{self.stream}", {"offset": seen})
            total, consumers = page["total"], page["consumers"] or ()
            n += sum(one["config"]["ack_policy"] == "all" and one["num_waiting"] > 0 for one in consumers)
            seen += max(1, len(consumers))
        return n

    async def say_goodbye(self) -> None:
        """The consumer would be there for a while."""
        if self.receive is not None:
            await self._call(f"CONSUMER.DELETE.{self.stream}.{self.member}", None)


def _sequence(reply: bytes) -> int:
    """Place in the stream, from the subject that an acknowledgement goes to.

    Examples
    --------
    >>> _sequence(b"$JS.ACK.feed-log.3.1.170.168.1795672666576000000.0")
    170
    """
    words = reply.split(b".")
    return int(words[5] if len(words) == 9 else words[7])
