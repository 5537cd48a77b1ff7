"""The hub of a server: who is connected, who hears which room, and the one queue of messages to fan out.

A message is sent to its local subscribers one after the other. After `slice` sends the loop turns to what else waits,
such as requests and pings, and then goes on; messages never overtake each other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
from websockets.frames import CloseCode

from live.brokers.base import Delivered
from live.logbook import Logbook
from live.page import Page
from live.server.history import History
from realtime_sim.errors import LiveError
from realtime_sim.wire import Failure, Joined, Left, encode, number_of, with_position

if TYPE_CHECKING:
    from live.server.gate import Allowance

__all__ = ["Hub", "Membership", "Subscriber"]

_logger = logging.getLogger(__name__)

HISTORY, HISTORY_BYTES = 10_000, 2**24
"""Messages that a server with a log remembers, and how much of them at most."""


class Subscriber(Protocol):
    """A client's connection as the fan-out sees it, whatever its transport."""

    client: int
    cohort: int
    allowance: Allowance | None
    """How much the client may still send; what it needs comes with its connection."""
    held: list[tuple[bytes, str]] | None
    """Messages, with their positions, that wait until it was welcomed and has caught up; None when nothing is in their
    way."""

    @property
    def is_open(self) -> bool:
        """Whether something can be sent to it."""

    @property
    def buffered_bytes(self) -> int:
        """What waits in its send buffer."""

    def send(self, body: bytes, position: str, number: int = -1) -> bool:
        """Send one encoded frame, without waiting: the message of this number, or something else. `position` is where
        it stands in the log. Returns whether it has left; what waits for a poll is written down when it does."""

    def close(self, code: int, reason: str) -> None:
        """End the connection in order, with a close code of RFC 6455 where the transport has one."""


class Membership:
    """Who may hear what: the rooms of each client, as offsets into one array.

    Parameters
    ----------
    offsets : ndarray of int64, shape (clients + 1,)
        Where the rooms of each client begin.
    rooms : ndarray of int32
        Rooms of the first client, then of the next.
    """

    def __init__(self, offsets: np.ndarray, rooms: np.ndarray) -> None:
        self._offsets, self._rooms = offsets, rooms

    def rooms_of(self, client: int) -> list[int]:
        """Every room a client is a member of."""
        return self._rooms[self._offsets[client] : self._offsets[client + 1]].tolist()

    def allows(self, client: int, room: int) -> bool:
        """Whether a client is a member of a room."""
        mine = self._rooms[self._offsets[client] : self._offsets[client + 1]]
        at = int(np.searchsorted(mine, room))
        return at < len(mine) and int(mine[at]) == room


class Hub:
    """Connections, rooms, and the queue.

    Parameters
    ----------
    membership : Membership
        Who may hear what.
    skipped : ndarray of int32
        For each message the client that does not get it back, -1 for none.
    overflow : callable
        `(subscriber, n_bytes) -> bool`: whether a send buffer takes so many bytes more; it may close the connection.
    page : Page
        Where it counts.
    sends, fanouts : Logbook
        Where every copy is written down, and every message.
    slice : int
        Sends after which the loop may do something else.
    """

    def __init__(
        self,
        membership: Membership,
        skipped: np.ndarray,
        overflow: Callable[[Subscriber, int], bool],
        page: Page,
        sends: Logbook,
        fanouts: Logbook,
        slice: int,
    ) -> None:
        self.membership, self.page, self.slice = membership, page, slice
        self.connections: dict[int, Subscriber] = {}
        self.rooms: dict[int, dict[int, Subscriber]] = {}
        self.position = ""
        self.history = History(HISTORY, HISTORY_BYTES)
        self.pace = 1.0
        self._skipped, self._takes = skipped, overflow
        self._log, self._log_fanout = sends.append, fanouts.append
        self._queue: deque[tuple[Delivered, int, int]] = deque()
        self._fanout: Iterator[int] | None = None
        self._loop = asyncio.get_running_loop()
        self._awake = False
        self._n_sends = 0

    # Who is here.

    def register(self, subscriber: Subscriber) -> None:
        """A connection is open, and its client in its rooms; an older one of the same client gives way."""
        old = self.connections.get(subscriber.client)
        if old is not None:
            self.unregister(old)
            old.close(CloseCode.POLICY_VIOLATION, "the client has connected anew")
        self.connections[subscriber.client] = subscriber
        for room in self.membership.rooms_of(subscriber.client):
            self.join(subscriber, room)
        self.page.set("connections", len(self.connections))
        self.page.set("peak_connections", max(len(self.connections), self.page.get("peak_connections")))

    def unregister(self, subscriber: Subscriber) -> list[int]:
        """A connection is over. Returns the rooms that nobody here hears any more."""
        if self.connections.get(subscriber.client) is not subscriber:
            return []
        del self.connections[subscriber.client]
        self.page.set("connections", len(self.connections))
        left = [room for room in self.membership.rooms_of(subscriber.client) if self.leave(subscriber, room)]
        return [room for room in left if room not in self.rooms]

    def join(self, subscriber: Subscriber, room: int) -> None:
        """A client hears a room from now on, unless its connection is over. Whether it may is asked before."""
        if self.connections.get(subscriber.client) is subscriber:
            self.rooms.setdefault(room, {})[subscriber.client] = subscriber

    def leave(self, subscriber: Subscriber, room: int) -> bool:
        """A client hears a room no more. Returns whether it did."""
        members = self.rooms.get(room, {})
        if members.get(subscriber.client) is not subscriber:
            return False
        del members[subscriber.client]
        if not members:
            del self.rooms[room]
        return True

    # What is sent.

    def receive(self, delivered: Delivered) -> None:
        """A message has come from the broker: it waits for its turn."""
        try:
            number = number_of(delivered.body)
        except ValueError:
            _logger.warning("what the broker has for room %d is no message", delivered.room)
            return
        self._queue.append((delivered, number, time.monotonic_ns()))
        self.page.set("queue_length", len(self._queue))
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """A piece of work: so many sends of the oldest message. What goes wrong costs that message alone."""
        begun_ns = time.monotonic_ns()
        if self._fanout is None:
            delivered, number, at_ns = self._queue.popleft()
            self.page.set("queue_length", len(self._queue))
            self._fanout = self._fan_out(delivered, number, at_ns, begun_ns)
        is_over = True
        try:
            is_over = next(self._fanout, None) is None
        finally:
            if is_over:
                self._fanout = None
            self._awake = self._fanout is not None or bool(self._queue)
            if self._awake:
                self._loop.call_soon(self._work)
        self._slow_down(begun_ns)

    def _fan_out(self, delivered: Delivered, number: int, at_ns: int, started_ns: int) -> Iterator[int]:
        """Send to every subscriber of the room, and stop after each slice; then write down when it was done."""
        body, position = delivered.body, delivered.position
        if position:
            body = with_position(body, position)
            self.position = position
            self.history.append(delivered)
        skipped = self.skipped(number)
        for n, subscriber in enumerate(list(self.rooms.get(delivered.room, {}).values()), 1):
            if subscriber.client == skipped:
                pass
            elif subscriber.held is not None:
                subscriber.held.append((body, position))
            else:
                self.send(subscriber, number, body, position)
            if n % self.slice == 0:
                yield n
        self.page.set("sends", self._n_sends)
        self.page.add("jobs")
        try:
            self._log_fanout(number, at_ns, started_ns, time.monotonic_ns())
        except LiveError:
            self.page.add("unwritten")

    def skipped(self, number: int) -> int:
        """The client that does not get this message, because it is its own; -1 for none."""
        return int(self._skipped[number]) if 0 <= number < len(self._skipped) else -1

    def send(self, subscriber: Subscriber, number: int, body: bytes, position: str) -> None:
        """Send one copy of a message to one client, if its connection takes it."""
        takes = subscriber.is_open and self._takes(subscriber, len(body))
        if takes and subscriber.send(body, position, number):
            self.has_left(number, subscriber.client)

    def has_left(self, number: int, client: int) -> None:
        """A copy is on its way to its client.

        A logbook that is full keeps nobody from it: the page says how many rows are missing, and the run is not valid.
        """
        self._n_sends += 1
        try:
            self._log(number, client, time.monotonic_ns())
        except LiveError:
            self.page.add("unwritten")

    def answer(self, subscriber: Subscriber, frame: Joined | Left | Failure) -> None:
        """Send a frame that is no message, if its connection takes it."""
        body = encode(frame)
        if subscriber.is_open and self._takes(subscriber, len(body)):
            subscriber.send(body, "")

    def _slow_down(self, begun_ns: int) -> None:
        """A slow server takes `pace` times as long: the loop spins for the rest."""
        if self.pace > 1.0:
            until_ns = begun_ns + int((time.monotonic_ns() - begun_ns) * self.pace)
            while time.monotonic_ns() < until_ns:
                pass
