"""Redis Streams, NATS JetStream and Kafka: logs, which every server reads from its own position, at least once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream
from realtime_sim.engines.constants import STALLED
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.broker_links import BACKEND, LinkedBroker
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.servers import Server
    from realtime_sim.engines.reference.system import System

__all__ = ["AcknowledgedLog", "Log", "PartitionedLog"]


class Log(LinkedBroker):
    """Redis Streams: one thread and one log.

    A reader waits at the broker until there is something new, gets up to `read_count` entries at once, and asks again
    when it has them. `positions` is what it gets next, `handed` what has reached the server, `committed` where it goes
    on after its connection was lost: its own position (XREAD), so nothing that reached it comes again.
    """

    keeps_history = True
    commits_with_next_request = False

    def __init__(self, system: System) -> None:
        self.log: list[Message] = []
        self.append_ns = to_ns(system.scenario.broker.append)
        self.read_ns = to_ns(system.scenario.broker.read)
        self.rebalance_ns = to_ns(getattr(system.scenario.broker, "rebalance_delay", 0.0))
        self.parked: list[simpy.Event | None] = []
        self.positions: list[int] = []
        self.handed: list[int] = []
        self.committed: list[int] = []
        self.read_limit, self.max_length = self.limits(system.scenario.broker)
        super().__init__(system)

    def limits(self, parameters: object) -> tuple[int, int | None]:
        """Entries of one read, and of the log before it is trimmed (None: never)."""
        return parameters.read_count, parameters.max_length

    @property
    def n_subscriptions(self) -> int:
        """Readers of the log."""
        return sum(not server.dead and self.links[server.id].joined for server in self.system.servers)

    def take(self, batch: list[Message], publisher: int) -> Generator:
        """A batch is at the broker: append it when its turn comes, and wake the readers."""
        refused = self.refused
        yield self.stations[self.share(batch[0].room)].work(
            lambda: self.paced(self.append_ns * len(batch)), lambda started: refused(batch, publisher)
        )
        for message in batch:
            message.position, message.appended_ns = len(self.log), self.clock.now
            self.log.append(message)
            message.copies += sum(not server.dead for server in self.system.servers)
            self.system.ledger.copy_done(message)
        for server in range(len(self.parked)):
            self._wake(server)

    def _wake(self, server: int) -> None:
        parked, self.parked[server] = self.parked[server], None
        if parked is not None:
            parked.succeed()

    def reader(self, server: Server) -> Generator:
        """One server's blocking reads over one connection, one after the other."""
        link = self.links[server.id]
        epoch = link.epoch
        while not server.dead:
            if self.positions[server.id] == len(self.log):
                self.parked[server.id] = simpy.Event(self.clock)
                yield self.parked[server.id]
                if server.dead or link.epoch != epoch:
                    return
            self._skip_trimmed(server)
            first = self.positions[server.id]
            batch = self.log[first : first + self.read_limit]
            self.positions[server.id] += len(batch)
            yield from self.read(server, batch)
            if link.epoch == epoch:
                yield from self._until_it_flows(server)
            if link.epoch != epoch:
                return
            left_ns = self.clock.now
            link_ns = self.system.draw_ns(
                self.server_link, Stream.SERVER_LINK, batch[0].number, server.id, batch[0].traffic
            )
            yield self.clock.at(left_ns + link_ns, Phase.AT_SERVER, server.id, -1, batch[0].id)
            if link.epoch != epoch:
                return
            self._hand_over(server, first, batch, left_ns)
            if not (yield from self._asks(server, epoch, self.control_link_ns)):
                return
            if self.commits_with_next_request:
                self.committed[server.id] = self.positions[server.id]

    def _asks(self, server: Server, epoch: int, after_ns: int) -> Generator:
        """A request reaches the broker; whether its connection is still there."""
        link = self.links[server.id]
        yield self.clock.at(self.clock.now + after_ns, Phase.AT_BROKER, server.id)
        if link.epoch == epoch:
            yield from self._until_it_flows(server)
        return link.epoch == epoch and not server.dead

    def _until_it_flows(self, server: Server) -> Generator:
        """Wait while nothing gets through."""
        link = self.links[server.id]
        if link.state == STALLED and not server.dead:
            link.flows = simpy.Event(self.clock)
            yield link.flows

    def _hand_over(self, server: Server, first: int, batch: list[Message], left_ns: int) -> None:
        """A batch has reached its server. What it had before comes again: the server does not know."""
        had = self.handed[server.id]
        self.handed[server.id] = max(had, first + len(batch))
        for position, message in enumerate(batch, first):
            if position >= had:
                server.deliver(message, left_ns)
            elif not server.dead:
                message.copies += 1
                server.deliver(message, left_ns, again=True)
        if not self.commits_with_next_request:
            self.committed[server.id] = first + len(batch)

    def _skip_trimmed(self, server: Server) -> None:
        """A reader that is too far behind goes on with the oldest entry that is still there."""
        while self.trimmed(self.log[self.positions[server.id]]):
            if self.positions[server.id] >= self.handed[server.id]:
                self.system.ledger.copy_done(self.log[self.positions[server.id]], "trimmed")
                self.handed[server.id] += 1
            self.positions[server.id] += 1
            self.committed[server.id] = self.positions[server.id]

    def read(self, server: Server, batch: list[Message]) -> Generator:
        """The broker hands a batch out; its one thread does that too."""
        yield self.stations[0].work(
            lambda: self.paced(self.read_ns * len(batch)), lambda started: self._read_in_vain(server, batch)
        )

    def _read_in_vain(self, server: Server, batch: list[Message]) -> None:
        """The broker stops with a batch: its server reads it again, if it lives."""
        if server.dead:
            for message in batch:
                if message.position >= self.handed[server.id]:
                    self.system.ledger.copy_done(message, "server_died")

    def trimmed(self, message: Message) -> bool:
        """Whether a message has gone from the log."""
        return self.max_length is not None and message.position < len(self.log) - self.max_length

    # Connections.

    def server_started(self, server: Server) -> None:
        """Its reader begins with what comes next."""
        super().server_started(server)
        self.parked.append(None)
        for places in (self.positions, self.handed, self.committed):
            places.append(len(self.log))
        if self.links[server.id].joined:
            self.clock.process(self.reader(server))

    def server_died(self, server: Server) -> None:
        """What its reader had not taken yet will never reach it."""
        super().server_died(server)
        for message in self.log[max(self.positions[server.id], self.handed[server.id]) :]:
            self.system.ledger.copy_done(message, "server_died")
        self.positions[server.id] = len(self.log)
        self._wake(server.id)
        self._flow(server)

    def _flow(self, server: Server) -> None:
        link = self.links[server.id]
        flows, link.flows = link.flows, None
        if flows is not None:
            flows.succeed()

    def connection_lost(self, server: Server) -> None:
        """Its reader ends, and the next one begins where this one had committed."""
        self.positions[server.id] = self.committed[server.id]
        self._wake(server.id)
        self._flow(server)

    def connection_flows(self, server: Server) -> None:
        """The answer, or the request, that was held up goes on."""
        self._flow(server)

    def connected(self, server: Server) -> None:
        """A server reads on, once its group is balanced where it has one."""
        self.links[server.id].ways[0].joined = True
        self.clock.process(self._read_on(server))

    def _read_on(self, server: Server) -> Generator:
        epoch = self.links[server.id].epoch
        if (yield from self._asks(server, epoch, self.rebalance_ns + self.control_link_ns)):
            yield from self.reader(server)


class AcknowledgedLog(Log):
    """NATS JetStream: a pull consumer acknowledges what it has handled with its next request."""

    commits_with_next_request = True

    def limits(self, parameters: object) -> tuple[int, int | None]:
        """Messages of one pull request, and of the stream."""
        return parameters.pull_batch, parameters.max_length


class PartitionedLog(AcknowledgedLog):
    """Kafka: partitions that append side by side, and producers that collect a batch before they send it.

    The consumers' fetches cost the brokers' other threads time, not the partitions.
    """

    def __init__(self, system: System) -> None:
        self.batches: dict[tuple[int, int], list[Message]] = {}
        self.linger_ns = to_ns(system.scenario.broker.linger)
        super().__init__(system)

    def limits(self, parameters: object) -> tuple[int, int | None]:
        """Records of one fetch; retention is longer than any run."""
        return parameters.max_poll_records, None

    def publish(self, message: Message, origin: Server | None) -> None:
        """Into the producer's batch for the room's partition; a full or an old batch goes."""
        producer = BACKEND if origin is None else origin.id
        partition = self.share(message.room)
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
        if producer != BACKEND and self.system.servers[producer].dead:
            for message in batch:
                self.system.ledger.copy_done(message, "server_died")
            return
        self.send(batch, producer)

    def read(self, server: Server, batch: list[Message]) -> Generator:
        """The broker hands a batch out, in a thread of its own."""
        thread, host = object(), self.system.host
        host.works(thread)
        left_ns = self.clock.now + host.takes_ns(self.paced(self.read_ns * len(batch)))
        yield self.clock.at(left_ns, Phase.BROKER_JOB_END, len(self.stations) + server.id)
        host.rests(thread)
