"""A connection: the way of a copy from a server's loop to its client, by stream or by long polling."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream, uniform
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.policies.keepalive import IDLE, idle_check
from realtime_sim.policies.overflow import admit_kernel
from realtime_sim.transports import TRANSPORTS
from realtime_sim.units import NS_PER_S, to_ns
from realtime_sim.wire import wire_bytes

if TYPE_CHECKING:
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.servers import Server

__all__ = ["Connection", "LongPollingConnection", "open_connection"]

ACCEPT, DROP, DISCONNECT = range(3)


def open_connection(client: Client, server: Server) -> Connection:
    """A connection of the client's transport."""
    if TRANSPORTS[client.cohort.transport].request_per_message:
        return LongPollingConnection(client, server)
    return Connection(client, server)


class Connection:
    """A stream (WebSocket or SSE) from `server` to `client`; TCP keeps its messages in order.

    `alive` is the client's side: it is false from the moment the connection breaks, noticed or not. The server's
    side ends when the server takes it off its list.
    """

    def __init__(self, client: Client, server: Server) -> None:
        self.client = client
        self.server = server
        self.clock = server.clock
        self.number = client.n_connections
        self.alive = True
        self.over = simpy.Event(self.clock)
        self._link_free_ns = 0
        self._last_arrival_ns = 0

    def watch(self, opened_ns: int) -> None:
        """A proxy on the way has seen the connection open at `opened_ns`, and drops it when it is idle."""
        cohort = self.client.cohort
        self._opened_ns = opened_ns
        self._idle_ns = to_ns(cohort.network.idle_timeout)
        self._ping_ns = 0 if cohort.keepalive is None else to_ns(cohort.keepalive.interval)
        self._look_again(opened_ns + self._idle_ns)

    def _look_again(self, time_ns: int) -> None:
        moment = self.clock.at(time_ns, Phase.IDLE_OVER, self.server.id, self.client.id)
        self.clock.call_at(moment, self._idle_over)

    def _idle_over(self) -> None:
        """The timer of the proxy has run out; what came meanwhile has put it on."""
        if not self.alive or not self.server.holds(self):
            return
        now, pings = self.clock.now, max(self._ping_ns, 1)
        u = uniform(
            self.server.system.scenario.seed, Stream.IDLE, self.client.id, self.number, (now - self._opened_ns) // pings
        )
        time_ns = idle_check(now, self._opened_ns, self._last_arrival_ns, self._ping_ns, self._idle_ns, u)
        if time_ns == IDLE:
            self.client.dropped_by_proxy(self)
        else:
            self._look_again(time_ns)

    def send(self, message: Message, sent_ns: int, stamps: tuple[int, ...]) -> None:
        """A copy leaves the loop at `sent_ns`; `stamps` are its first five."""
        self.hand_over(message, sent_ns, (*stamps, sent_ns))

    def hand_over(self, message: Message, at_ns: int, stamps: tuple[int, ...], paced: bool = False) -> None:
        """The copy is on its way from `at_ns` on; `stamps` are its first six. What is read from a log at the client's
        pace (`paced`) fills no buffer."""
        cohort, network = self.client.cohort, self.client.cohort.network
        n_bytes = wire_bytes(cohort.transport, message.payload_bytes, cohort.tls)
        if not self.alive or not self.server.holds(self):
            if not self.alive:
                self.server.egress(at_ns, n_bytes)  # the server does not know better
            message.causes.setdefault(self.client.id, "connection_lost")
            return
        message.flying[self.client.id] = self
        if network.bandwidth is not None and not paced:
            queued_bytes = max(0, self._link_free_ns - at_ns) * network.bandwidth / NS_PER_S
            if not self._takes(message, int(queued_bytes), n_bytes, stamps):
                return
        left_ns = self.server.egress(at_ns, n_bytes)
        arrival_ns = self._arrival(message, left_ns, n_bytes)
        moment = self.clock.at(arrival_ns, Phase.RECEIVED, self.server.id, self.client.id, message.id)
        self.clock.call_at(moment, self._arrived, message, (*stamps, at_ns, left_ns))

    def _takes(self, message: Message, queued_bytes: int, n_bytes: int, stamps: tuple[int, ...]) -> bool:
        """Whether the send buffer takes a copy; a full one gives up the copy, or costs the client its connection."""
        policy, ledger = self.client.cohort.overflow, self.server.system.ledger
        decision = admit_kernel(policy.code, getattr(policy, "limit_bytes", 0), queued_bytes, n_bytes)
        if decision == DROP:
            ledger.dropped(message, self.client.id, self.server.id, (*stamps, -1, -1, -1))
        elif decision == DISCONNECT:
            ledger.failed(message, self, "connection_lost")
            if self.alive:
                self.client.disconnected_by_server(self)
        return decision == ACCEPT

    def _arrival(self, message: Message, left_ns: int, n_bytes: int) -> int:
        """When the client has the copy: downlink, half a round trip and jitter, never before an earlier copy."""
        cohort, system = self.client.cohort, self.server.system
        done_ns = left_ns
        if cohort.network.bandwidth is not None:
            done_ns = max(left_ns, self._link_free_ns) + to_ns(n_bytes / cohort.network.bandwidth)
            self._link_free_ns = done_ns
        jitter_ns = system.draw_ns(
            system.jitter[self.client.cohort_index], Stream.JITTER, message.number, self.client.id, message.traffic
        )
        self._last_arrival_ns = max(self._last_arrival_ns, done_ns + self.client.half_rtt_ns + jitter_ns)
        return self._last_arrival_ns

    def _arrived(self, message: Message, stamps: tuple[int, ...]) -> None:
        """A copy is at the client's door; it has the copy when its process is done with it, where it has a process."""
        process = self.client.process
        if process is not None and self._brings(stamps):
            self.clock.call_at(process.receive(message, self.client.id), self._received, message, stamps)
        else:
            self._received(message, stamps)

    def _received(self, message: Message, stamps: tuple[int, ...]) -> None:
        ledger = self.server.system.ledger
        if self._brings(stamps):
            ledger.received(message, self.client.id, self.server.id, (*stamps, self.clock.now))
        else:
            cause = "server_died" if self._died_before(stamps) else "connection_lost"
            ledger.failed(message, self, cause)

    def _brings(self, stamps: tuple[int, ...]) -> bool:
        """Whether a copy with these stamps, all but the last, gets through."""
        return self.alive and not self._died_before(stamps)

    def _died_before(self, stamps: tuple[int, ...]) -> bool:
        """Whether the server died before the copy had left it."""
        return self.server.dead and stamps[-1] > self.server.died_ns

    def last_word_ns(self) -> int:
        """When a client hears of it that its server closes the connection now: not before what was sent already."""
        return max(self.clock.now + self.client.half_rtt_ns, self._last_arrival_ns + 1)

    def closed(self) -> None:
        """The client's end of a close in order: it reads that in its turn, behind what has arrived before."""
        process = self.client.process
        read = None if process is None else process.comes_to()
        if read is None:
            self.noticed()
        else:
            self.clock.call_at(read, self.noticed)

    def noticed(self) -> None:
        """The client learns that the connection is gone."""
        self.alive = False
        self.client.learnt(self)
        if not self.over.triggered:
            self.over.succeed()

    def server_side_closed(self) -> None:
        """The server has taken the connection off its list; nothing waits here."""


class LongPollingConnection(Connection):
    """A session over long polls: parked at the server, or away between two polls.

    What is sent while the client is away waits in `buffer`, and goes out together with the answer to the next poll;
    `coming` is what is in an answer that a process of the host is to receive.
    """

    def __init__(self, client: Client, server: Server) -> None:
        super().__init__(client, server)
        self.buffer: list[tuple[Message, tuple[int, ...]]] = []
        self.coming: list[tuple[Message, tuple[int, ...]]] = []
        self.buffered_bytes = 0
        self.answered: simpy.Event | None = None

    def hand_over(self, message: Message, at_ns: int, stamps: tuple[int, ...], paced: bool = False) -> None:
        """At `at_ns` the copy goes to a parked client, or into the buffer."""
        if not self.alive:
            message.causes.setdefault(self.client.id, "connection_lost")
            return
        message.flying[self.client.id] = self
        moment = self.clock.at(at_ns, Phase.SENT, self.server.id, self.client.id, message.id)
        self.clock.call_at(moment, self._offer, message, stamps, paced)

    def _offer(self, message: Message, stamps: tuple[int, ...], paced: bool) -> None:
        if not self.server.holds(self):
            cause = "server_died" if self.server.dead else "connection_lost"
            self.server.system.ledger.failed(message, self, cause)
            return
        if not paced and not self._takes(message, self.buffered_bytes, message.payload_bytes, stamps):
            return
        self.buffer.append((message, stamps))
        self.buffered_bytes += message.payload_bytes
        if self.answered is not None:
            self.answer()

    def park(self, answered: simpy.Event) -> None:
        """A poll has arrived: answer with what is there, or hold it."""
        self.answered = answered
        if self.buffer:
            self.answer()
            return
        hold_ns = to_ns(TRANSPORTS["long_polling"].poll_hold_s)
        moment = self.clock.at(self.clock.now + hold_ns, Phase.HOLD_OVER, self.server.id, self.client.id)
        self.clock.call_at(moment, self._hold_over, answered)

    def _hold_over(self, answered: simpy.Event) -> None:
        """A poll has been held for as long as it may be, if it still is."""
        if self.answered is answered and self.server.holds(self):
            self.answer()

    def answer(self) -> None:
        """One HTTP response with everything in the buffer; the client asks again when it has it."""
        now = self.clock.now
        batch, self.buffer = self.buffer, []
        n_bytes = wire_bytes("long_polling", self.buffered_bytes, self.client.cohort.tls)
        self.buffered_bytes = 0
        left_ns = self.server.egress(now, n_bytes)
        arrival_ns = max(self._last_arrival_ns, left_ns + self.client.half_rtt_ns)
        if batch:
            arrival_ns = self._arrival(batch[-1][0], left_ns, n_bytes)
        copies = [(message, (*stamps, now, left_ns)) for message, stamps in batch]
        if self.client.process is not None:
            self.coming = copies  # the client takes them together
        else:
            for message, stamps in copies:
                moment = self.clock.at(arrival_ns, Phase.RECEIVED, self.server.id, self.client.id, message.id)
                self.clock.call_at(moment, self._received, message, stamps)
        answered, self.answered = self.answered, None
        answered.succeed(arrival_ns)

    def receive(self) -> Generator:
        """The whole answer is received at once, by the client's process; a broken connection brings nothing."""
        if self.alive:
            last = self.coming[-1][0] if self.coming else None
            yield self.client.process.receive(last, self.client.id)
        coming, self.coming = self.coming, []
        for message, stamps in coming:
            self._received(message, stamps)

    def server_side_closed(self) -> None:
        """The server gives the session up, and with it what was waiting there."""
        cause = "server_died" if self.server.dead else "connection_lost"
        for message, _ in self.buffer:
            self.server.system.ledger.failed(message, self, cause)
        self.buffer, self.buffered_bytes = [], 0
