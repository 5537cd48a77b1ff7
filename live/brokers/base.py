"""What a broker must be able to do for the servers and publishers of a live run, whatever its protocol.

A link is one process's connection to the broker. It reconnects by itself and goes on as its kind promises: channels
subscribe anew and have lost what was published meanwhile, logs read on from where they were. A control process can cut
it. `reconnecting` holds what all links have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from realtime_sim.errors import RealtimeSimError

__all__ = ["BrokerDown", "Delivered", "Link", "Receive"]


class BrokerDown(RealtimeSimError):
    """The broker cannot be reached now: what was to be published was not, or nobody knows whether it was."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message as a server gets it.

    Parameters
    ----------
    room : int
        The room it was published to.
    body : bytes
        The encoded `realtime_sim.wire.Message`, as it was published.
    position : str
        Where it stands in the broker's log, empty for brokers that have none. Of a log with partitions, up to where
        each of them has been read with this message.
    """

    room: int
    body: bytes
    position: str


Receive = Callable[[Delivered], None]
"""What a link calls for each message, in the event loop that started it, in order, and as soon as it is read. Messages
that have come together are handed over in one turn of the loop. It must not raise."""


class Link(Protocol):
    """One process's connection to the broker; all methods belong to one asyncio loop."""

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached now, as far as this side has noticed."""

    @property
    def position(self) -> str:
        """Of a log: up to where this link has read; empty elsewhere."""

    async def start(self, receive: Receive | None, *, patient: bool = False) -> None:
        """Connect; with `receive` also read on from the end of the log, or hear every room unless rooms are subscribed
        one by one. Returns when a message published from now on will be heard. Raises `LiveError` if the broker does
        not answer; a patient link goes on trying instead, as one that was connected before."""

    async def subscribe(self, rooms: Iterable[int]) -> None:
        """Hear these rooms; nothing where every server hears all. Returns when the broker has answered, or at once
        while it cannot be reached: then they are subscribed when it can."""

    async def unsubscribe(self, rooms: Iterable[int]) -> None:
        """Hear these rooms no more."""

    async def publish(self, room: int, body: bytes) -> None:
        """Publish one message; returns when the broker has acknowledged it. While the broker cannot be reached it
        raises `BrokerDown` at once, or waits until it can but no longer than `delivery_timeout`, as the scenario's
        `when_down` says. Messages of one link keep the order of the calls."""

    async def read_between(self, after: str, until: str) -> list[Delivered]:
        """What stands in the log behind `after`, up to and with `until`, oldest first; an empty `until` is the end.
        What has been trimmed is not there. Raises `BrokerDown`, and `ValueError` for what is no position of this log:
        positions come from clients."""

    async def n_subscribers(self) -> int | None:
        """Subscriptions of all servers to channels, or readers of the log, as the broker itself counts them; None where
        it does not count them. Raises `BrokerDown`."""

    def cut(self, silent: bool) -> None:
        """The network to the broker fails: the connection is gone, or stays and nothing gets through."""

    def heal(self) -> None:
        """The network works again."""

    async def close(self) -> None:
        """Give the connection back."""
