"""What all brokers share: threads, a connection to each server that can stall or break, and publishers that notice.

A connection that is cut takes with it what is under way on it. Its `epoch` tells what belongs to it from what belongs
to the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from realtime_sim.engines.constants import CUT, NORMAL_PACE, STALLED, UP
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.brokers import NoBroker
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.policies.output_buffer import NOT_SOFT
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.servers import Server
    from realtime_sim.engines.reference.system import System

__all__ = ["BACKEND", "Link", "LinkedBroker", "Station", "Way"]

BACKEND = -1
"""In the place of a server's number: the publisher that is none."""


class Station:
    """One thread that serves requests in the order they come: `yield station.work(...)` waits for its turn and end."""

    def __init__(self, system: System, number: int) -> None:
        self.clock, self.host = system.clock, system.host
        self.number = number
        self.busy_ns = 0
        self._waiting: deque[tuple] = deque()
        self._at_work: tuple | None = None
        self._started_ns = 0
        self._wake: simpy.Event | None = None
        self.clock.process(self._serve())

    @property
    def queue_length(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    def work(self, start: Callable[[], int], lost: Callable[[bool], None] = lambda started: None) -> simpy.Event:
        """Queue a request.

        `start` is called when its turn comes and says what it costs, in nanoseconds; `lost` if the broker stops
        before it is done, with whether it had been started: then the event never comes.
        """
        done = simpy.Event(self.clock)
        self._waiting.append((start, lost, done))
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.succeed()
        return done

    def stop(self) -> None:
        """What is at work and what waits is lost."""
        lost = list(self._waiting)
        self._waiting.clear()
        at_work, self._at_work = self._at_work, None
        if at_work is not None:
            self.busy_ns += self.clock.now - self._started_ns
            self.host.rests(self)
            at_work[1](True)
            self.clock.process(self._serve())  # the one that waits for the end of the work finds it gone
        for _, give_up, _ in lost:
            give_up(False)

    def _serve(self) -> Generator:
        while True:
            while not self._waiting:
                self._wake = simpy.Event(self.clock)
                yield self._wake
            work = self._at_work = self._waiting.popleft()
            self._started_ns = self.clock.now
            self.host.works(self)
            service_ns = self.host.takes_ns(work[0]())
            yield self.clock.at(self.clock.now + service_ns, Phase.BROKER_JOB_END, self.number)
            if self._at_work is not work:
                return
            self._at_work = None
            self.busy_ns += service_ns
            if not self._waiting:
                self.host.rests(self)
            done = work[2]
            done.succeed()
            yield done  # what comes of it is queued behind what came before


@dataclass(slots=True)
class Way:
    """The way of one server's link to one instance of the broker; without shards there is one.

    `joined` says whether the server is subscribed, or reads, since it was connected, `answered` whether it knows. What
    is written leaves from `free_ns` on; `held_bytes` are in the output buffer, `soft_since_ns` above its soft limit.
    """

    joined: bool = True
    answered: bool = True
    free_ns: int = 0
    held_bytes: int = 0
    soft_since_ns: int = NOT_SOFT


@dataclass(slots=True)
class Link:
    """The connection between the broker, with all its instances, and one server.

    `partitioned` says whether they can reach each other; `cause` is why messages miss the server. `held` waits in the
    output buffers while nothing gets through, as (message, when it was written); `flows` happens when something does
    again.
    """

    ways: list[Way]
    state: int = UP
    epoch: int = 0
    partitioned: bool = False
    cause: str = "server_away"
    held: list[tuple[Message, int]] = field(default_factory=list)
    flows: simpy.Event | None = None

    @property
    def joined(self) -> bool:
        """Whether the server is subscribed, or reads, at all instances."""
        return all(way.joined for way in self.ways)


class LinkedBroker(NoBroker):
    """A broker with connections to its servers; what is sent over them is for the two families to say.

    The backend is a client of the broker as the servers are: after a stop it is back `reconnect_delay` after the broker
    runs, and sends what it kept when the broker has answered it, a round trip later. `stops` counts the broker's stops.
    A link has `n_ways`.
    """

    n_ways = 1

    def __init__(self, system: System) -> None:
        super().__init__(system)
        parameters = self.parameters
        self.server_link = parameters.server_link.sampler()
        self.control_link_ns = to_ns(parameters.server_link.mean_s)
        self.reconnect_ns = to_ns(parameters.reconnect_delay)
        self.delivery_timeout_ns = to_ns(parameters.delivery_timeout)
        self.retries = parameters.when_down == "retry"
        self.pace = NORMAL_PACE
        self.down, self.backend_away, self.stops = False, False, 0
        self.links: list[Link] = []
        self.waiting: list[tuple[int, list[Message]]] = []
        self.stations = [Station(system, number) for number in range(parameters.n_threads)]
        for server in system.servers:
            self.server_started(server)

    def share(self, room: int) -> int:
        """Number of the thread that a room belongs to: rooms are dealt out to them in turn."""
        return room % len(self.stations)

    def paced(self, cost_ns: int) -> int:
        """What work of this cost takes the broker, slow as it is now."""
        return cost_ns * self.pace // NORMAL_PACE

    def why_away(self, server: Server) -> str | None:
        """Why a server does not hear of everything now; None if it does."""
        link = self.links[server.id]
        return None if link.state == UP and link.joined else link.cause

    # Publishers.

    def publish(self, message: Message, origin: Server | None) -> None:
        """`message` leaves its publisher: the backend, or the server that took it from a client."""
        self.send([message], BACKEND if origin is None else origin.id)

    def send(self, batch: list[Message], publisher: int) -> None:
        """A batch sets out, if its publisher can reach the broker."""
        if self.links[publisher].state == UP if publisher != BACKEND else not self.backend_away:
            self.clock.process(self._arrive(batch, publisher))
        else:
            self.refused(batch, publisher)

    def _arrive(self, batch: list[Message], publisher: int) -> Generator:
        yield from self._to_broker(batch[0])
        if self.down:
            self.refused(batch, publisher)
            return
        for message in batch:
            message.at_broker_ns = self.clock.now
        yield from self.take(batch, publisher)

    def take(self, batch: list[Message], publisher: int) -> Generator:
        """A batch is at the broker."""
        raise NotImplementedError

    def refused(self, batch: list[Message], publisher: int) -> None:
        """A publisher learns that the broker has not taken a batch: it keeps it for later, or gives it up."""
        if self.retries:
            self.waiting.append((publisher, batch))
        else:
            self._give_up(batch, publisher)

    def _give_up(self, batch: list[Message], publisher: int) -> None:
        is_down = self.down or publisher == BACKEND
        for message in batch:
            self.system.ledger.copy_done(message, "broker_down" if is_down else self.links[publisher].cause)

    def _send_waiting(self, publisher: int) -> None:
        """A publisher can reach the broker again: what it kept goes out, but for what is too old."""
        batches = [batch for who, batch in self.waiting if who == publisher]
        self.waiting = [entry for entry in self.waiting if entry[0] != publisher]
        for batch in batches:
            fresh = [m for m in batch if self.clock.now - m.published_ns <= self.delivery_timeout_ns]
            self._give_up([message for message in batch if message not in fresh], publisher)
            if fresh:
                self.send(fresh, publisher)

    def run_over(self) -> None:
        """The run is over: what waits at its publisher never reached the broker."""
        for publisher, batch in self.waiting:
            self._give_up(batch, publisher)

    # Connections.

    def server_started(self, server: Server) -> None:
        """There is one more server, which hears of everything that comes from now on, if the broker is up."""
        self.links.append(Link(self._ways(joined=not self.down)))
        if self.down:
            self.links[-1].state, self.links[-1].cause = CUT, "broker_down"

    def _ways(self, joined: bool) -> list[Way]:
        return [Way(joined, answered=joined) for _ in range(self.n_ways)]

    def server_died(self, server: Server) -> None:
        """Its connection is gone, and what it wanted to publish with it."""
        for publisher, batch in self.waiting:
            if publisher == server.id:
                for message in batch:
                    self.system.ledger.copy_done(message, "server_died")
        self.waiting = [entry for entry in self.waiting if entry[0] != server.id]

    def partition(self, server: Server, silent: bool) -> None:
        """A server and the broker cannot reach each other."""
        link = self.links[server.id]
        link.partitioned = True
        if silent and link.state == UP:
            link.state, link.cause = STALLED, "server_away"
        else:
            self.cut(server, "server_away")

    def cut(self, server: Server, cause: str) -> None:
        """The connection is gone at once on both sides."""
        link = self.links[server.id]
        was_there = link.state != CUT
        link.epoch, link.state, link.cause, link.ways = link.epoch + 1, CUT, cause, self._ways(joined=False)
        if was_there:
            self.connection_lost(server)

    def heal(self, server: Server) -> None:
        """A server and the broker can reach each other again."""
        link = self.links[server.id]
        link.partitioned = False
        if link.state == STALLED:
            link.state = UP
            self.connection_flows(server)
            self._send_waiting(server.id)
        elif not self.down:
            self._connect_later(server)

    def stop(self) -> None:
        """The broker stops: connections, queued work and what is on its threads go."""
        self.down, self.backend_away, self.stops = True, True, self.stops + 1
        for server in self.system.servers:
            if not server.dead:
                self.cut(server, "broker_down")
        for station in self.stations:
            station.stop()

    def start(self) -> None:
        """The broker runs again."""
        self.down = False
        for server in self.system.servers:
            if not server.dead and not self.links[server.id].partitioned:
                self._connect_later(server)
        moment = self.clock.at(self.clock.now + self.reconnect_ns + 2 * self.control_link_ns, Phase.REACHED, BACKEND)
        self.clock.call_at(moment, self._backend_is_back, self.stops)

    def _backend_is_back(self, stops: int) -> None:
        """The backend's connection stands, unless the broker has stopped again."""
        if self.stops == stops:
            self.backend_away = False
            self._send_waiting(BACKEND)

    def _connect_later(self, server: Server) -> None:
        moment = self.clock.at(self.clock.now + self.reconnect_ns, Phase.REACHED, server.id)
        self.clock.call_at(moment, self._connect, server, self.links[server.id].epoch)

    def _connect(self, server: Server, epoch: int) -> None:
        link = self.links[server.id]
        if server.dead or link.epoch != epoch or link.state != CUT:
            return
        link.state = UP
        if not self.connected(server):
            self._send_waiting(server.id)

    def connection_lost(self, server: Server) -> None:
        """What is lost with a connection."""
        raise NotImplementedError

    def connection_flows(self, server: Server) -> None:
        """A connection that had stalled works again."""
        raise NotImplementedError

    def connected(self, server: Server) -> bool:
        """A server has a new connection. Returns whether it waits for an answer before it sends what it kept."""
        raise NotImplementedError
