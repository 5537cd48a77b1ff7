"""Jobs: what a server's event loop can be asked to do.

`start` says what a job costs, in nanoseconds, when the loop takes it up; a job that sends to many is done in `pieces`
where processes share a host. `finish` is what happens when it is done; `abandon` when the server dies with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.connections import Connection, LongPollingConnection
    from realtime_sim.engines.reference.servers import Server

__all__ = ["Fanout", "Handshake", "Ingest", "Job", "Pause", "Pings", "Poll", "Replay", "Send"]


class Job:
    """A piece of work for one loop. `waits_in_backlog` jobs are new requests, which the accept queue holds;
    those `of_handshake` are what a server can turn away to protect itself; one that is `idle` needs no core."""

    waits_in_backlog = False
    of_handshake = False
    idle = False
    arrived_ns = 0

    def scheduled_ns(self, server: Server) -> int:
        """Until a loop that is asleep is on a core of the host and takes it up."""
        return 0

    def start(self, server: Server, wakeup_ns: int) -> int:
        """Nanoseconds of the loop it costs, `wakeup_ns` included."""
        raise NotImplementedError

    def pieces(self, server: Server, wakeup_ns: int) -> Iterator[int]:
        """What each piece of it costs, one after the other, asked for when the piece begins."""
        yield self.start(server, wakeup_ns)

    def finish(self, server: Server) -> None:
        """It is done."""

    def abandon(self, server: Server, silent: bool) -> None:
        """The server died before it was done."""


class Fanout(Job):
    """One message to all local members of its room: decode, then one send after the other.

    `again` says that the broker has handed it out before: who has it gets it twice.
    """

    def __init__(self, message: Message, left_broker_ns: int, again: bool = False) -> None:
        self.message = message
        self.left_broker_ns = left_broker_ns
        self.again = again
        self.tasks: list[Send] = []

    def scheduled_ns(self, server: Server) -> int:
        """Drawn for the message."""
        address = self.message.number, server.id, self.message.traffic
        return server.system.draw_ns(server.system.host_wakeup, Stream.WAKEUP, *address)

    def pieces(self, server: Server, wakeup_ns: int) -> Iterator[int]:
        """The k-th recipient's copy leaves after the first k sends."""
        message, now, system = self.message, server.clock.now, server.system
        address = message.number, server.id, message.traffic
        decode_ns = system.draw_ns(system.event_cost, Stream.EVENT_COST, *address)
        stamps = (message.published_ns, message.at_broker_ns, self.left_broker_ns, self.arrived_ns, now)
        send_ns = server.send_ns(message.payload_bytes)
        cost_ns = wakeup_ns + server.paced(decode_ns)
        recipients = server.recipients(message, self.again)
        if server.task_per_client:
            self.tasks = [Send(message, connection, stamps, self.again) for connection in recipients]
            message.copies += len(self.tasks)
            yield cost_ns
            return
        if recipients:
            send_ns += system.draw_ns(system.fanout_wait, Stream.FANOUT_WAIT, *address) // len(recipients)
        for part in server.slices(recipients):
            for connection in part:
                if server.gets(connection, message, self.again):
                    cost_ns += send_ns
                    connection.send(message, server.after_ns(cost_ns), stamps)
                    server.count("sends")
            yield cost_ns
            cost_ns = 0

    def finish(self, server: Server) -> None:
        """Queue the tasks, if each client has one; the server is done with its copy."""
        for task in self.tasks:
            server.submit(task)
        server.system.ledger.copy_done(self.message)

    def abandon(self, server: Server, silent: bool) -> None:
        """The copy dies with the server, and so do tasks that were not queued yet."""
        for task in self.tasks:
            task.abandon(server, silent)
        server.system.ledger.copy_done(self.message, "server_died")


class Send(Job):
    """One copy to one client, in a task of its own."""

    def __init__(self, message: Message, connection: Connection, stamps: tuple[int, ...], again: bool) -> None:
        self.message, self.connection, self.stamps, self.again = message, connection, stamps, again

    def start(self, server: Server, wakeup_ns: int) -> int:
        """The send itself; the loop may serve others between two tasks."""
        cost_ns = wakeup_ns + server.send_ns(self.message.payload_bytes)
        client = self.connection.client.id
        if self.message.waits(client) or (self.again and self.message.repeats(client)):
            self.connection.send(self.message, server.after_ns(cost_ns), self.stamps)
            server.count("sends")
        return cost_ns

    def finish(self, server: Server) -> None:
        """One copy less to wait for."""
        server.system.ledger.copy_done(self.message)

    def abandon(self, server: Server, silent: bool) -> None:
        """The copy dies with the server."""
        server.system.ledger.copy_done(self.message, "server_died")


class Request(Job):
    """A request of a client who waits for `answer`: an event with the outcome, or None if nobody waits any more."""

    waits_in_backlog = True
    of_handshake = True

    def __init__(self, client: Client, answer: simpy.Event, deadline_ns: int, cost_ns: int) -> None:
        self.client, self.answer, self.deadline_ns, self.cost_ns = client, answer, deadline_ns, cost_ns
        self.given_up = False

    def start(self, server: Server, wakeup_ns: int) -> int:
        """A request costs the same whether its client still waits or not."""
        return wakeup_ns + server.paced(self.cost_ns)

    def finish(self, server: Server) -> None:
        """Answer, unless the answer would come too late: then the work was for nothing."""
        if self.in_time(server):
            self.answer.succeed("answered")
        else:
            server.system.count("wasted_handshakes")

    def in_time(self, server: Server) -> bool:
        """Whether an answer sent now reaches a client that still waits."""
        return not self.given_up and server.clock.now + self.client.half_rtt_ns <= self.deadline_ns

    def abandon(self, server: Server, silent: bool) -> None:
        """A reset reaches the client; silence does not."""
        if not silent and self.in_time(server):
            self.answer.succeed("server_died")


class Handshake(Request):
    """The request after which the connection is open."""

    def finish(self, server: Server) -> None:
        """Subscribe at the broker where needed, then admit or refuse."""
        server.count("handshakes")
        server.system.broker.subscribe(server, self.client, lambda: self._admit(server))

    def _admit(self, server: Server) -> None:
        if server.dead:
            self.abandon(server, server.died_silently)
        elif self.in_time(server) and not server.full:
            self.answer.succeed(server.register(self.client, server.clock.now))
        else:
            server.system.broker.unsubscribe(server, self.client)
            if self.in_time(server):
                self.answer.succeed("refused")
            else:
                server.system.count("wasted_handshakes")


class Poll(Request):
    """One poll of a long-polling session: answered at once, or parked."""

    of_handshake = False

    def __init__(self, connection: LongPollingConnection, answer: simpy.Event, deadline_ns: int, cost_ns: int) -> None:
        super().__init__(connection.client, answer, deadline_ns, cost_ns)
        self.connection = connection

    def finish(self, server: Server) -> None:
        """Park it; the connection answers as soon as there is something to say."""
        if server.holds(self.connection):
            self.connection.park(self.answer)

    def abandon(self, server: Server, silent: bool) -> None:
        """The connection's own end tells the client."""


class Ingest(Job):
    """A client's message arrives, to be published."""

    def __init__(self, message: Message, publish: Callable[[], None]) -> None:
        self.message, self.publish = message, publish

    def start(self, server: Server, wakeup_ns: int) -> int:
        """Read, check, hand on."""
        return wakeup_ns + server.paced(to_ns(server.costs.ingest_s))

    def finish(self, server: Server) -> None:
        """To the broker."""
        self.publish()

    def abandon(self, server: Server, silent: bool) -> None:
        """The message dies with the server."""
        server.system.ledger.copy_done(self.message, "server_died")


class Replay(Job):
    """Catch-up of a client that has come back: the messages it missed, oldest first."""

    def __init__(self, connection: Connection, messages: list[Message]) -> None:
        self.connection, self.messages = connection, messages

    def pieces(self, server: Server, wakeup_ns: int) -> Iterator[int]:
        """One read of the log, then one send for each message."""
        cost_ns = wakeup_ns + server.paced(to_ns(server.costs.event_s))
        for part in server.slices(self.messages):
            for message in part if server.holds(self.connection) else ():
                if message.waits(self.connection.client.id):
                    cost_ns += server.send_ns(message.payload_bytes)
                    at = message.appended_ns
                    stamps = (message.published_ns, message.at_broker_ns, at, at, at, at)
                    self.connection.hand_over(message, server.after_ns(cost_ns), stamps, paced=True)
                    server.count("sends")
            yield cost_ns
            cost_ns = 0


class Pings(Job):
    """Pings and pongs of some connections."""

    def __init__(self, n_connections: int) -> None:
        self.n_connections = n_connections

    def start(self, server: Server, wakeup_ns: int) -> int:
        """One ping after the other."""
        return wakeup_ns + server.paced(to_ns(server.costs.ping_s * self.n_connections))


class Pause(Job):
    """The loop does nothing, as while garbage is collected; it is not asleep either, and pays no wake-up."""

    idle = True

    def __init__(self, pause_ns: int) -> None:
        self.pause_ns = pause_ns

    def start(self, server: Server, wakeup_ns: int) -> int:
        """As long as it takes."""
        return self.pause_ns
