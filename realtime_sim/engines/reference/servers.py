"""A server: one FIFO queue of jobs, one or more event loops that serve it, and a link to the clients."""

from __future__ import annotations

from bisect import insort
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import simpy

from realtime_sim.engines.constants import NORMAL_PACE, PING_ROUNDS
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.connections import Connection, open_connection
from realtime_sim.engines.reference.jobs import Fanout, Job, Pings
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.policies import token_bucket
from realtime_sim.policies.lifecycle import Event
from realtime_sim.transports import TRANSPORTS
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.system import System

__all__ = ["Server"]


class Server:
    """One server process. `rooms` lists the local members of each room by client id, the order of every fan-out."""

    def __init__(self, system: System, id: int) -> None:
        self.system = system
        self.clock, self.host = system.clock, system.host
        self.id = id
        parameters = system.scenario.servers
        self.slice = None if system.scenario.host is None else system.scenario.host.slice
        self.costs = parameters.resolved_costs
        self.limit = parameters.connection_limit
        self.backlog = parameters.backlog
        self.bandwidth = parameters.egress
        self.concurrency = parameters.admission.concurrency
        rate = parameters.admission.rate
        self.bucket_ns = None if rate is None else token_bucket.bucket_ns(rate, parameters.admission.burst)
        self._request_expected_ns = 0
        self.task_per_client = parameters.fanout == "task_per_client"
        self.jobs = simpy.Store(self.clock)
        self.running: dict[int, tuple[Job, int]] = {}
        self.connections: dict[int, Connection] = {}
        self.rooms: dict[int, list[int]] = {}
        self.cohort_sizes = [0] * len(system.scenario.clients)
        self.dead = self.died_silently = False
        self.pace = NORMAL_PACE
        self.died_ns = -1
        self.n_waiting = self.n_handshaking = 0
        self.link_busy_ns = 0
        self._egress_free_ns = 0
        self._busy_ns = 0
        for loop in range(parameters.workers):
            self.clock.process(self.serve(loop))
        for index, cohort in enumerate(system.scenario.clients):
            streams = not TRANSPORTS[cohort.transport].request_per_message
            if cohort.keepalive is not None and streams and self.costs.ping_s > 0:
                self.clock.process(self.ping(index, to_ns(cohort.keepalive.interval)))

    def serve(self, loop: int) -> Generator:
        """The life of an event loop: take the oldest job, work, finish it. A job that finds it asleep wakes it."""
        free_since_ns = -1
        while True:
            job = yield self.jobs.get()
            if job.waits_in_backlog:
                self.n_waiting -= 1
            wakeup_ns = self.paced(to_ns(self.costs.wakeup_s)) if free_since_ns < self.clock.now else 0
            started_ns = self.clock.now
            self.running[loop] = (job, started_ns)
            if job.idle:
                self.host.rests((self, loop))
            else:
                self.host.works((self, loop))
            if free_since_ns < started_ns and (scheduled_ns := job.scheduled_ns(self)):
                yield self.clock.at(started_ns + scheduled_ns, Phase.JOB_END, self.id, loop)
                if self.dead:
                    return
            for cost_ns in job.pieces(self, wakeup_ns):
                end_ns = started_ns + cost_ns if job.idle else self.after_ns(cost_ns)
                yield self.clock.at(end_ns, Phase.JOB_END, self.id, loop)
                if self.dead:
                    return
            del self.running[loop]
            free_since_ns = self.clock.now
            self._busy_ns += free_since_ns - started_ns
            if not self.jobs.items:
                self.host.rests((self, loop))
            self.count("jobs")
            self.n_handshaking -= job.of_handshake
            job.finish(self)

    def ping(self, cohort: int, interval_ns: int) -> Generator:
        """Ping every connection of a cohort once in an interval, in `PING_ROUNDS` rounds."""
        for tick in range(self.clock.now * PING_ROUNDS // interval_ns + 1, 2**62):
            yield self.clock.at(tick * interval_ns // PING_ROUNDS, Phase.HEARTBEAT, self.id, cohort)
            if self.dead:
                return
            n, turn = self.cohort_sizes[cohort], tick % PING_ROUNDS
            share = n * (turn + 1) // PING_ROUNDS - n * turn // PING_ROUNDS
            if share:
                self.submit(Pings(share))

    def submit(self, job: Job) -> None:
        """Queue a job; a dead server takes none."""
        if self.dead:
            job.abandon(self, self.died_silently)
            return
        job.arrived_ns = self.clock.now
        if job.waits_in_backlog:
            self.n_waiting += 1
        self.n_handshaking += job.of_handshake
        self.jobs.put(job)

    def submit_first(self, job: Job) -> None:
        """Queue a job before all that wait."""
        job.arrived_ns = self.clock.now
        self.jobs.put(job)
        self.jobs.items.insert(0, self.jobs.items.pop())

    def paced(self, cost_ns: int) -> int:
        """What work of this cost takes the server, slow as it is now."""
        return cost_ns * self.pace // NORMAL_PACE

    def after_ns(self, cost_ns: int) -> int:
        """When work of this cost is done in the piece that begins now, as busy as the host is."""
        return self.clock.now + self.host.takes_ns(cost_ns)

    def slices(self, things: Sequence) -> Iterator[Sequence]:
        """What is to be sent, in the pieces that the loop does without a look at the host: at least one."""
        n = self.slice or max(1, len(things))
        for first in range(0, max(1, len(things)), n):
            yield things[first : first + n]

    def deliver(self, message: Message, left_broker_ns: int, again: bool = False) -> None:
        """A copy of a message arrives from the broker; `again` if the server had it before, and does not know."""
        self.submit(Fanout(message, left_broker_ns, again))

    def recipients(self, message: Message, again: bool) -> list[Connection]:
        """Connections of local members who wait for the message, or get it once more, by client id."""
        members = [self.connections[client] for client in self.rooms.get(message.room, ())]
        return [connection for connection in members if self.gets(connection, message, again)]

    def gets(self, connection: Connection, message: Message, again: bool) -> bool:
        """Whether a client waits for the message, and no replay has it, or gets it once more."""
        client = connection.client
        waits = message.waits(client.id) and message.id not in client.replayed
        return waits or (again and message.repeats(client.id))

    def egress(self, released_ns: int, n_bytes: int) -> int:
        """When the last byte has left the server's link: first come, first served, in the order jobs were started."""
        if self.bandwidth is None:
            return released_ns
        transmission_ns = to_ns(n_bytes / self.bandwidth)
        self.link_busy_ns += transmission_ns
        self._egress_free_ns = max(self._egress_free_ns, released_ns) + transmission_ns
        return self._egress_free_ns

    def send_ns(self, payload_bytes: int) -> int:
        """Nanoseconds of the loop for one copy to one client."""
        return self.paced(to_ns(self.costs.send_to_one_s(payload_bytes, self.task_per_client)))

    @property
    def full(self) -> bool:
        """Whether file descriptors or memory are used up."""
        return self.limit is not None and len(self.connections) >= self.limit

    @property
    def backlog_full(self) -> bool:
        """Whether the accept queue takes no more."""
        return self.n_waiting >= self.backlog

    def admits(self) -> bool:
        """Whether it takes one more request of a handshake, or turns it away to protect itself. A request that it takes
        costs a token."""
        if self.concurrency is not None and self.n_handshaking >= self.concurrency:
            return False
        if self.bucket_ns is None:
            return True
        expected_ns = token_bucket.arrive(self._request_expected_ns, self.clock.now, *self.bucket_ns)
        if expected_ns == token_bucket.TURNED_AWAY:
            return False
        self._request_expected_ns = expected_ns
        return True

    def holds(self, connection: Connection) -> bool:
        """Whether this connection is on the server's list."""
        return self.connections.get(connection.client.id) is connection

    def register(self, client: Client, opened_ns: int, at_start: bool = False) -> Connection:
        """Put a new connection, open since `opened_ns`, on the list and into its rooms. An old one of the same client
        gives way; its rooms stay subscribed, as they are the new one's too."""
        old = self.connections.get(client.id)
        if old is not None:
            self._strike_off(old)
        connection = open_connection(client, self)
        self.connections[client.id] = connection
        self.cohort_sizes[client.cohort_index] += 1
        for room in client.rooms:
            insort(self.rooms.setdefault(room, []), client.id)
        self.system.connections_changed(+1)
        peaks = self.system.recorder.servers["peak_connections"]
        peaks[self.id] = max(peaks[self.id], len(self.connections))
        client.opened(connection)
        if self.system.ages is not None:
            aged_ns = self.clock.now + self.system.age_ns(connection, at_start)
            moment = self.clock.at(aged_ns, Phase.AGED, self.id, client.id)
            self.clock.call_at(moment, self.send_away, connection)
        if client.cohort.idles_out:
            connection.watch(opened_ns)
        return connection

    def send_away(self, connection: Connection) -> None:
        """Close a connection in order, if it still is on the list: its client hears of it behind what was sent."""
        if self.holds(connection):
            self.unregister(connection)
            if connection.alive:
                connection.client.broke(connection, Event.DRAINED)
                moment = self.clock.at(connection.last_word_ns(), Phase.CONNECTION_LOST, self.id, connection.client.id)
                self.clock.call_at(moment, connection.closed)

    def unregister(self, connection: Connection) -> None:
        """Take a connection off the list, if it still is on it."""
        if self.holds(connection):
            self._strike_off(connection)
            self.system.broker.unsubscribe(self, connection.client)

    def _strike_off(self, connection: Connection) -> None:
        client = connection.client
        del self.connections[client.id]
        self.system.connections_changed(-1)
        self.cohort_sizes[client.cohort_index] -= 1
        for room in client.rooms:
            self.rooms[room].remove(client.id)
        self.system.balancer.release(self.id)
        connection.server_side_closed()

    def die(self, silent: bool) -> list[Connection]:
        """The process ends: jobs, queue and connections with it. Returns the connections that were open."""
        self.dead, self.died_silently, self.died_ns = True, silent, self.clock.now
        self._busy_ns = self.busy_ns
        for job in [job for job, _ in self.running.values()] + list(self.jobs.items):
            job.abandon(self, silent)
        for loop in self.running:
            self.host.rests((self, loop))
        self.running, self.jobs.items[:] = {}, []
        self.n_waiting = 0
        connections, self.connections, self.rooms = list(self.connections.values()), {}, {}
        self.system.connections_changed(-len(connections))
        self.cohort_sizes = [0] * len(self.cohort_sizes)
        for connection in connections:
            connection.server_side_closed()
        return connections

    def count(self, what: str) -> None:
        """Add one to a total of this server."""
        self.system.recorder.servers[what][self.id] += 1

    @property
    def busy_ns(self) -> int:
        """Nanoseconds of loop time spent so far, work in progress included."""
        now = self.clock.now
        return self._busy_ns + sum(now - started for _, started in self.running.values())
