"""Brokers: from the publisher to every server that should hear of a message.

Each has the same words: `publish` (a message sets out), `subscribe` and `unsubscribe` (a server's interest in rooms),
`keeps_history` (whether missed messages can be replayed). This one is none at all; `broker_links` has what all real
ones share, `channels` and `logs` the two families.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.ledger import Message

if TYPE_CHECKING:
    from realtime_sim.engines.reference.broker_links import Station
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.servers import Server
    from realtime_sim.engines.reference.system import System

__all__ = ["NoBroker"]


class NoBroker:
    """No broker: a message is handed to one server, which serves its own clients and nobody else."""

    keeps_history = False

    def __init__(self, system: System) -> None:
        self.system = system
        self.clock = system.clock
        self.parameters = system.scenario.broker
        self.link = self.parameters.publisher_link.sampler()
        self.stations: list[Station] = []

    @property
    def queue_length(self) -> int:
        """Requests that wait, at all threads."""
        return sum(station.queue_length for station in self.stations)

    @property
    def n_subscriptions(self) -> int:
        """Subscriptions of servers to channels."""
        return 0

    def publish(self, message: Message, origin: Server | None) -> None:
        """`message` leaves its publisher: the backend, or the server that took it from a client."""
        self.clock.process(self._travel(message, origin))

    def _travel(self, message: Message, origin: Server | None) -> Generator:
        server = origin
        if server is None:
            alive = [server for server in self.system.servers if not server.dead]
            yield from self._to_broker(message)
            server = alive[message.id % len(alive)] if alive else None
        message.at_broker_ns = self.clock.now
        if server is None:
            self.system.ledger.copy_done(message, "server_died")
            return
        self._mark_unreachable(message, server)
        server.deliver(message, self.clock.now)

    def _mark_unreachable(self, message: Message, server: Server) -> None:
        """Recipients at other servers have no route; who is offline is just offline."""
        for other in self.system.servers:
            if other is not server:
                for client in other.rooms.get(message.room, ()):
                    message.causes[client] = "no_route"

    def _to_broker(self, message: Message) -> simpy.Event:
        """The way from the publisher to the broker."""
        link_ns = self.system.draw_ns(self.link, Stream.PUBLISHER_LINK, message.number, 0, message.traffic)
        yield self.clock.at(self.clock.now + link_ns, Phase.AT_BROKER, -1, -1, message.id)

    def subscribe(self, server: Server, client: Client, done: Callable[[], None]) -> None:
        """Make sure `server` hears of the client's rooms, then `done()`."""
        done()

    def unsubscribe(self, server: Server, client: Client) -> None:
        """A client is not at `server` any more, or never was let in."""

    def subscribe_at_start(self, server: Server, client: Client) -> None:
        """As `subscribe`, before the run starts and at no cost."""

    def server_started(self, server: Server) -> None:
        """There is one more server, which hears of everything that comes from now on."""

    def server_died(self, server: Server) -> None:
        """Forget a server."""

    def why_away(self, server: Server) -> str | None:
        """Why a server does not hear of everything now; None if it does."""

    def trimmed(self, message: Message) -> bool:
        """Whether a message has gone from the log."""
        return False

    def run_over(self) -> None:
        """The run is over: what waits at its publisher never reached the broker."""
