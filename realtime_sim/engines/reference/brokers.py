"""Brokers: from the publisher to every server that should hear of a message.

Each has the same four words: `publish` (a message sets out), `subscribe` and `unsubscribe` (a server's interest in
rooms), `keeps_history` (whether missed messages can be replayed).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.servers import Server
    from realtime_sim.engines.reference.system import System

__all__ = ["NoBroker", "PubSub", "StreamLog", "make_broker"]


def make_broker(system: System) -> NoBroker:
    """The broker of the scenario."""
    kinds = {"none": NoBroker, "redis_pubsub": PubSub, "redis_streams": StreamLog, "kafka": PartitionedLog}
    return kinds[system.scenario.broker.kind](system)


class Station:
    """One thread that serves requests in the order they come: `yield station.work(...)` waits for its turn and end."""

    def __init__(self, system: System, number: int) -> None:
        self.clock = system.clock
        self.number = number
        self.busy_ns = 0
        self._queue = simpy.Store(self.clock)
        self.clock.process(self._serve())

    @property
    def queue_length(self) -> int:
        """Requests that wait for their turn."""
        return len(self._queue.items)

    def work(self, start: Callable[[], int]) -> simpy.Event:
        """Queue a request; `start` is called when its turn comes and says how long it takes, in nanoseconds."""
        done = simpy.Event(self.clock)
        self._queue.put((start, done))
        return done

    def _serve(self) -> Generator:
        while True:
            start, done = yield self._queue.get()
            service_ns = start()
            yield self.clock.at(self.clock.now + service_ns, Phase.BROKER_JOB_END, self.number)
            self.busy_ns += service_ns
            done.succeed()


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


class PubSub(NoBroker):
    """Redis Pub/Sub: one thread, a copy for each subscribed server, at most once.

    The k-th copy leaves after the first k were written.
    """

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.station = Station(system, 0)
        self.stations = [self.station]
        self.publish_cost = self.parameters.publish.sampler()
        self.copy_ns = to_ns(self.parameters.copy_cost)
        self.subscribe_ns = to_ns(self.parameters.subscribe)
        self.per_room = self.parameters.subscription == "per_room"
        self.server_link = self.parameters.server_link.sampler()
        self.control_link_ns = to_ns(self.parameters.server_link.mean_s)
        self.channels: dict[int, set[int]] = {}
        self.wanted: list[set[int]] = []
        self._link_free_ns: list[int] = []
        for server in system.servers:
            self.server_started(server)

    @property
    def n_subscriptions(self) -> int:
        """Subscriptions of servers to channels; with `all_servers`, one pattern for each living server."""
        if self.per_room:
            return sum(len(servers) for servers in self.channels.values())
        return sum(not server.dead for server in self.system.servers)

    def _travel(self, message: Message, origin: Server | None) -> Generator:
        yield from self._to_broker(message)
        message.at_broker_ns = self.clock.now
        yield self.station.work(lambda: self._copy_out(message))

    def _copy_out(self, message: Message) -> int:
        """Write one copy after the other; how long it takes."""
        spent_ns = self.system.draw_ns(self.publish_cost, Stream.BROKER_COST, message.number, 0, message.traffic)
        for server in self._subscribers(message.room):
            spent_ns += self.copy_ns
            left_ns = self.clock.now + spent_ns
            link_ns = self.system.draw_ns(
                self.server_link, Stream.SERVER_LINK, message.number, server.id, message.traffic
            )
            arrival_ns = max(left_ns + link_ns, self._link_free_ns[server.id])
            self._link_free_ns[server.id] = arrival_ns
            message.copies += 1
            moment = self.clock.at(arrival_ns, Phase.AT_SERVER, server.id, -1, message.id)
            self.clock.call_at(moment, server.deliver, message, left_ns)
        self.system.ledger.copy_done(message)
        return spent_ns

    def _subscribers(self, room: int) -> list[Server]:
        if self.per_room:
            return [self.system.servers[i] for i in sorted(self.channels.get(room, ()))]
        return [server for server in self.system.servers if not server.dead]

    def subscribe(self, server: Server, client: Client, done: Callable[[], None]) -> None:
        """One SUBSCRIBE for the rooms that are new to the server; `done()` when its answer is back."""
        rooms = [room for room in client.rooms if room not in self.wanted[server.id]] if self.per_room else []
        if rooms:
            self.clock.process(self._subscribe(server, rooms, done))
        else:
            done()

    def _subscribe(self, server: Server, rooms: list[int], done: Callable[[], None]) -> Generator:
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_BROKER, server.id, rooms[0])
        yield self.station.work(lambda: self.subscribe_ns * len(rooms))
        if not server.dead:
            self._add(server, rooms)
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_SERVER, server.id, rooms[0])
        if not server.dead:
            self.wanted[server.id].update(rooms)
        done()

    def _add(self, server: Server, rooms: list[int]) -> None:
        for room in rooms:
            self.channels.setdefault(room, set()).add(server.id)

    def unsubscribe(self, server: Server, client: Client) -> None:
        """One UNSUBSCRIBE for the rooms in which the server has nobody; it takes its turn like everything else."""
        wanted = self.wanted[server.id]
        rooms = [room for room in client.rooms if room in wanted and not server.rooms.get(room)]
        if rooms:
            wanted.difference_update(rooms)
            self.clock.process(self._unsubscribe(server, rooms))

    def _unsubscribe(self, server: Server, rooms: list[int]) -> Generator:
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_BROKER, server.id, rooms[0])
        yield self.station.work(lambda: self.subscribe_ns * len(rooms))
        for room in rooms:
            if room not in self.wanted[server.id]:
                self.channels.get(room, set()).discard(server.id)

    def subscribe_at_start(self, server: Server, client: Client) -> None:
        """Everyone who is connected at the start has been for a while: subscriptions stand."""
        if self.per_room:
            self._add(server, client.rooms)
            self.wanted[server.id].update(client.rooms)

    def server_started(self, server: Server) -> None:
        """With `all_servers` it is subscribed already."""
        self.wanted.append(set())
        self._link_free_ns.append(0)

    def server_died(self, server: Server) -> None:
        """Its connection is gone, and its subscriptions with it."""
        for servers in self.channels.values():
            servers.discard(server.id)
        self.wanted[server.id].clear()


class StreamLog(NoBroker):
    """Redis Streams: one thread and one log, which every server reads from its own position.

    A reader waits at the broker until there is something new, gets up to `read_count` entries at once, and asks again
    when it has them.
    """

    keeps_history = True

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.log: list[Message] = []
        self.append_ns = to_ns(self.parameters.append)
        self.read_ns = to_ns(self.parameters.read)
        self.server_link = self.parameters.server_link.sampler()
        self.control_link_ns = to_ns(self.parameters.server_link.mean_s)
        self.parked: list[simpy.Event | None] = []
        self.positions: list[int] = []
        self.stations = self.make_stations()
        self.read_limit, self.max_length = self.limits()
        for server in system.servers:
            self.server_started(server)

    def make_stations(self) -> list[Station]:
        """The threads that append."""
        return [Station(self.system, 0)]

    def limits(self) -> tuple[int, int | None]:
        """Entries of one read, and of the log before it is trimmed (None: never)."""
        return self.parameters.read_count, self.parameters.max_length

    @property
    def n_subscriptions(self) -> int:
        """Readers of the log."""
        return sum(not server.dead for server in self.system.servers)

    def _travel(self, message: Message, origin: Server | None) -> Generator:
        yield from self._to_broker(message)
        yield from self._append(self.stations[0], [message])

    def _append(self, station: Station, batch: list[Message]) -> Generator:
        """The batch is at the broker: append it when its turn comes, and wake the readers."""
        for message in batch:
            message.at_broker_ns = self.clock.now
        yield station.work(lambda: self.append_ns * len(batch))
        for message in batch:
            message.position, message.appended_ns = len(self.log), self.clock.now
            self.log.append(message)
            message.copies += sum(not server.dead for server in self.system.servers)
            self.system.ledger.copy_done(message)
        for server, parked in enumerate(self.parked):
            if parked is not None:
                self.parked[server] = None
                parked.succeed()

    def reader(self, server: Server) -> Generator:
        """One server's blocking reads, one after the other, for as long as it lives."""
        while not server.dead:
            if self.positions[server.id] == len(self.log):
                self.parked[server.id] = simpy.Event(self.clock)
                yield self.parked[server.id]
                if server.dead:
                    return
            self._skip_trimmed(server)
            position = self.positions[server.id]
            batch = self.log[position : position + self.read_limit]
            self.positions[server.id] += len(batch)
            yield from self.read(server, batch)
            left_ns = self.clock.now
            link_ns = self.system.draw_ns(
                self.server_link, Stream.SERVER_LINK, batch[0].number, server.id, batch[0].traffic
            )
            yield self.clock.at(left_ns + link_ns, Phase.AT_SERVER, server.id, -1, batch[0].id)
            for message in batch:
                server.deliver(message, left_ns)
            yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_BROKER, server.id)

    def _skip_trimmed(self, server: Server) -> None:
        """A reader that is too far behind goes on with the oldest entry that is still there."""
        while self.trimmed(self.log[self.positions[server.id]]):
            self.system.ledger.copy_done(self.log[self.positions[server.id]], "trimmed")
            self.positions[server.id] += 1

    def read(self, server: Server, batch: list[Message]) -> Generator:
        """The broker hands a batch out; its one thread does that too."""
        yield self.stations[0].work(lambda: self.read_ns * len(batch))

    def trimmed(self, message: Message) -> bool:
        """Whether a message has gone from the log."""
        return self.max_length is not None and message.position < len(self.log) - self.max_length

    def server_started(self, server: Server) -> None:
        """Its reader begins with what comes next."""
        self.parked.append(None)
        self.positions.append(len(self.log))
        self.clock.process(self.reader(server))

    def server_died(self, server: Server) -> None:
        """What its reader had not taken yet will never reach it."""
        for message in self.log[self.positions[server.id] :]:
            self.system.ledger.copy_done(message, "server_died")
        self.positions[server.id] = len(self.log)
        if self.parked[server.id] is not None:
            parked, self.parked[server.id] = self.parked[server.id], None
            parked.succeed()


class PartitionedLog(StreamLog):
    """Kafka: partitions that append side by side, and producers that collect a batch before they send it.

    The consumers' fetches cost the brokers' other threads time, not the partitions.
    """

    def __init__(self, system: System) -> None:
        self.batches: dict[tuple[int, int], list[Message]] = {}
        self.linger_ns = to_ns(system.scenario.broker.linger)
        super().__init__(system)

    def make_stations(self) -> list[Station]:
        """One for each partition."""
        return [Station(self.system, partition) for partition in range(self.parameters.partitions)]

    def limits(self) -> tuple[int, int | None]:
        """Records of one fetch; retention is longer than any run."""
        return self.parameters.max_poll_records, None

    def publish(self, message: Message, origin: Server | None) -> None:
        """Into the producer's batch for the room's partition; a full or an old batch goes."""
        producer = -1 if origin is None else origin.id
        partition = message.room % self.parameters.partitions
        batch = self.batches.get((producer, partition))
        if batch is None:
            batch = self.batches[producer, partition] = []
            moment = self.clock.at(self.clock.now + self.linger_ns, Phase.BATCH, producer, partition, message.id)
            self.clock.call_at(moment, self._flush, producer, partition, batch)
        batch.append(message)
        if sum(held.payload_bytes for held in batch) >= self.parameters.batch_size:
            self._flush(producer, partition, batch)

    def _flush(self, producer: int, partition: int, batch: list[Message]) -> None:
        if self.batches.get((producer, partition)) is not batch:
            return  # it was full before its linger was over
        del self.batches[producer, partition]
        if producer >= 0 and self.system.servers[producer].dead:
            for message in batch:
                self.system.ledger.copy_done(message, "server_died")
            return
        self.clock.process(self._send(self.stations[partition], batch))

    def _send(self, station: Station, batch: list[Message]) -> Generator:
        yield from self._to_broker(batch[0])
        yield from self._append(station, batch)

    def read(self, server: Server, batch: list[Message]) -> Generator:
        """The broker hands a batch out."""
        left_ns = self.clock.now + self.read_ns * len(batch)
        yield self.clock.at(left_ns, Phase.BROKER_JOB_END, len(self.stations) + server.id)
