"""The Ledger: what became of every expected delivery, exactly once each.

A delivery is expected of every client whose session is open and who is in the room when the message is published
(a client that joins later is not among its recipients). It stays open until it is delivered, lost, dropped or
cancelled; so `expected = delivered + lost + dropped`, and duplicates come on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from realtime_sim.recorder import Recorder
from realtime_sim.trace import OUTCOMES, STAMPS

if TYPE_CHECKING:
    from realtime_sim.engines.reference.connections import Connection

__all__ = ["Ledger", "Message"]

DELIVERED, LOST, DROPPED, DUPLICATE = range(len(OUTCOMES))


@dataclass(slots=True, eq=False)
class Message:
    """One published message on its way.

    `copies` counts the copies that are between the publisher and the end of a server's work on them. `open` holds
    the clients that still wait for it, `flying` the connections on which a copy is under way to them, `causes` why a
    copy failed; `got` the clients that have it, where a broker may hand it out twice. `position` and `appended_ns` are
    its place in the broker's log, where the broker has one.
    """

    id: int
    traffic: int
    number: int
    room: int
    sender: int
    payload_bytes: int
    published_ns: int
    at_broker_ns: int = -1
    appended_ns: int = -1
    position: int = -1
    copies: int = 1
    open: set[int] = field(default_factory=set)
    flying: dict[int, Connection] = field(default_factory=dict)
    causes: dict[int, str] = field(default_factory=dict)
    got: set[int] = field(default_factory=set)

    def waits(self, client: int) -> bool:
        """Whether a client waits for it, and no copy is on its way to it yet."""
        return client in self.open and client not in self.flying

    def repeats(self, client: int) -> bool:
        """Whether a server that sends it again sends it to a client that has it."""
        return client in self.got and client not in self.flying

    @property
    def passed(self) -> bool:
        """Whether every server is done with it."""
        return self.copies == 0


class Ledger:
    """Books every delivery. `keeps` says of a client whether a message that it missed, and that is in the broker's log,
    can be replayed to it. `reads_again` says that the broker may hand a message out twice.

    `n_open` deliveries are under way; `area_ns` is their number integrated over time, so that Little's law can be
    checked without sampling.
    """

    def __init__(
        self,
        clock: simpy.Environment,
        recorder: Recorder,
        n_clients: int,
        keeps: Callable[[int], bool],
        reads_again: bool = False,
    ) -> None:
        self.clock = clock
        self.recorder = recorder
        self.keeps, self.reads_again = keeps, reads_again
        self.waiting: list[dict[int, Message]] = [{} for _ in range(n_clients)]
        self.n_open = 0
        self._area_ns = self._counted_to_ns = 0

    @property
    def area_ns(self) -> int:
        """Deliveries under way, times nanoseconds, up to now."""
        self._change(0)
        return self._area_ns

    def _change(self, by: int) -> None:
        """`by` more deliveries are under way from now on."""
        now = self.clock.now
        self._area_ns += self.n_open * (now - self._counted_to_ns)
        self._counted_to_ns = now
        self.n_open += by

    def expect(self, message: Message, client: int) -> None:
        """`client` is a recipient of `message`."""
        message.open.add(client)
        self.waiting[client][message.id] = message
        self._change(+1)
        self.recorder.expected(client, message.published_ns)

    def received(self, message: Message, client: int, server: int, stamps: tuple[int, ...]) -> None:
        """A copy has reached its client."""
        message.flying.pop(client, None)
        if client in message.open:
            self._close(message, client)
            if self.reads_again:
                message.got.add(client)
            self.recorder.settled(message.id, client, server, DELIVERED, stamps)
        else:
            self.recorder.settled(message.id, client, server, DUPLICATE, stamps)

    def dropped(self, message: Message, client: int, server: int, stamps: tuple[int, ...]) -> None:
        """A full send buffer gave the copy up."""
        message.flying.pop(client, None)
        if client in message.open:
            self._close(message, client)
            self.recorder.settled(message.id, client, server, DROPPED, stamps)

    def failed(self, message: Message, connection: Connection, cause: str) -> None:
        """The copy on a connection will not arrive. Another server may still have one, or the client may come back."""
        client = connection.client.id
        if message.flying.get(client) is not connection:
            return  # the client has a newer connection, and does not wait for this one
        del message.flying[client]
        if client in message.open:
            message.causes[client] = cause
            if message.passed:
                self._missed(message, client)

    def reconnected(self, client: int) -> None:
        """A client has a new connection: what is under way on the one before will not arrive."""
        for message in list(self.waiting[client].values()):
            if client in message.flying:
                self.failed(message, message.flying[client], "connection_lost")

    def copy_done(self, message: Message, cause: str = "offline") -> None:
        """A server is done with its copy, or the copy came to nothing for `cause`. After the last one, who was left
        out has missed the message."""
        message.copies -= 1
        if cause != "offline":
            for client in message.open - message.flying.keys():
                message.causes.setdefault(client, cause)
        if message.passed:
            for client in sorted(message.open - message.flying.keys()):
                self._missed(message, client)

    def left(self, client: int) -> None:
        """A user has gone: what was under way is cancelled, what had been missed is lost."""
        for message in list(self.waiting[client].values()):
            if message.passed and client not in message.flying:
                self.lost(message, client, message.causes.get(client, "offline"))
            else:
                self._close(message, client)
                self.recorder.cancelled(client, message.published_ns)

    def missed_by(self, client: int) -> list[Message]:
        """Messages in the broker's log that a returning client has not got, oldest first."""
        missed = [m for m in self.waiting[client].values() if m.position >= 0 and client not in m.flying]
        return sorted(missed, key=lambda message: message.position)

    def lost(self, message: Message, client: int, cause: str) -> None:
        """The delivery will never happen."""
        self._close(message, client)
        self.recorder.lost(client, message.published_ns, cause)
        stamps = (message.published_ns, *[-1] * (len(STAMPS) - 1))
        self.recorder.settled(message.id, client, -1, LOST, stamps)

    def close_books(self) -> None:
        """The run is over: what is still open is lost."""
        for client, messages in enumerate(self.waiting):
            for message in list(messages.values()):
                self.lost(message, client, message.causes.get(client, "unfinished"))

    def _missed(self, message: Message, client: int) -> None:
        if not self.keeps(client) or message.position < 0:
            self.lost(message, client, message.causes.get(client, "offline"))

    def _close(self, message: Message, client: int) -> None:
        message.open.discard(client)
        del self.waiting[client][message.id]
        self._change(-1)
