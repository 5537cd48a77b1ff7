"""A client: sessions of a user, connection attempts, backoff, long polls. Its life follows `policies.lifecycle`."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream, uniform
from realtime_sim.engines.constants import ATTEMPT_GAP_NS, POLLING_HANDSHAKE_REQUESTS
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.connections import Connection, LongPollingConnection
from realtime_sim.engines.reference.jobs import Handshake, Poll, Replay, Request
from realtime_sim.policies.backoff import delay_kernel
from realtime_sim.policies.lifecycle import Event, State, next_state
from realtime_sim.transports import handshake_round_trips
from realtime_sim.units import to_ns
from realtime_sim.workload import CONNECTED

if TYPE_CHECKING:
    from realtime_sim.engines.reference.servers import Server
    from realtime_sim.engines.reference.system import System

__all__ = ["Client"]

_COUNTERS = {"timed_out": "timeouts"}
"""Counters of failures that go by another name than the event."""

_CLOSED = {Event.DRAINED: "closed_going_away", Event.OVERFLOWED: "closed_policy"}
"""Counters of broken connections that did not just fail."""


class Client:
    """One client. `connection` is what it believes to be its connection, or None; `state` is the truth."""

    def __init__(self, system: System, id: int) -> None:
        self.system = system
        self.clock = system.clock
        self.id = id
        self.cohort_index = int(system.workload.cohort[id])
        self.cohort = system.scenario.clients[self.cohort_index]
        self.backoff = system.backoffs[self.cohort_index]
        self.half_rtt_ns = int(system.workload.rtt_ns[id]) // 2
        self.rooms = [int(room) for room in system.workload.rooms.rooms_of(id)]
        processes = system.client_processes
        self.process = processes[id % len(processes)] if processes else None
        self.state = State.IDLE
        self.connection: Connection | None = None
        self.online = self.tried = False
        self.fault: int | None = None
        self.last_server = -1
        self.n_sessions = self.n_connections = self.n_requests = self.n_losses = 0
        self.replayed: set[int] = set()
        self.next_attempt_ns = self.broke_ns = self.cut_ns = 0
        self.life = self.clock.process(self.live())

    def turn(self, event: Event) -> None:
        """Something happens to the client: the table of `policies.lifecycle` says what it is now."""
        self.state = next_state(self.state, event)

    def live(self) -> Generator:
        """One user after the other. A session ends by an interrupt, whatever the client is doing then."""
        connect_ns = int(self.system.workload.connect_ns[self.id])
        connection = None
        if connect_ns == CONNECTED:
            self.turn(Event.ATTEMPT)
            connection = self.system.connect_at_start(self)
        else:
            yield self.clock.at(connect_ns, Phase.RETRY, -1, self.id)
        must_wait = connect_ns == CONNECTED
        while True:
            try:
                yield from self.visit(connection, must_wait)
            except simpy.Interrupt:
                self.leave()
            yield from self.stay_away()
            connection, must_wait = None, False

    def visit(self, connection: Connection | None, must_wait: bool) -> Generator:
        """Connect, stay and come back; returns if a user gives up who never was let in."""
        while True:
            if connection is None:
                connection = yield from self.connect(must_wait)
            if connection is None:
                if self.online or self.cohort.session is None:
                    yield simpy.Event(self.clock)  # nothing more, until the session ends
                self.turn(Event.SESSION_ENDED)
                self.system.count("left_waiting")
                return
            if isinstance(connection, LongPollingConnection):
                self.clock.process(self.poll(connection))
            yield connection.over
            self.connection = connection = None
            self.n_losses += 1
            self.system.count("lost_connections")
            must_wait = True

    def user(self, ends_ns: int) -> Generator:
        """The session ends at its time."""
        yield self.clock.at(ends_ns, Phase.SESSION_END, -1, self.id)
        self.life.interrupt()

    def leave(self) -> None:
        """The user's session is over."""
        self.system.count(self._left_as())
        self.turn(Event.SESSION_ENDED)
        if self.connection is not None:
            self.connection.alive = False
            self.system.server_notices_at(self.clock.now + self.half_rtt_ns, self.connection)
        self.connection = None
        self.online = False
        self.system.ledger.left(self.id)
        if self.fault is not None:
            self.system.recorder.affected[self.fault] -= 1  # nobody is left to recover
            self.fault = None

    def _left_as(self) -> str:
        """The counter of a user who leaves now."""
        if self.state is State.OPEN:
            return "closed_normal"
        if self.connection is not None:
            return "left_cut_off"
        return "left_connecting" if self.state is State.CONNECTING else "left_waiting"

    def stay_away(self) -> Generator:
        """Until the next user takes the place."""
        absence_ns = self.system.draw_ns(
            self.system.absences[self.cohort_index], Stream.ABSENCE, self.id, self.n_sessions
        )
        yield self.clock.at(self.clock.now + absence_ns, Phase.RETRY, -1, self.id)
        self.turn(Event.SESSION_STARTED)

    def broke(self, connection: Connection, event: Event) -> None:
        """The connection breaks; whether the client knows is another matter."""
        if connection is self.connection and self.state is State.OPEN:
            self.broke_ns = self.clock.now
            self.turn(event)
            self.system.count(_CLOSED.get(event, "closed_abnormal"))

    def learnt(self, connection: Connection) -> None:
        """The client learns that its connection is gone."""
        if connection is self.connection and self.state is State.LOST:
            self.turn(Event.NOTICED)

    def opened(self, connection: Connection) -> None:
        """A server has put this client on its list; with the first connection, the session begins."""
        self.turn(Event.ACCEPTED)
        self.n_connections += 1
        self.connection = connection
        self.last_server = connection.server.id
        system = self.system
        system.count("accepted")
        if not self.online:
            self.online = True
            self.n_sessions += 1
            length = system.sessions[self.cohort_index]
            if length is not None:
                length_ns = system.draw_ns(length, Stream.SESSION, self.id, self.n_sessions)
                self.clock.process(self.user(self.clock.now + length_ns))
        else:
            system.count("reconnects")
            system.ledger.reconnected(self.id)
            self._catch_up(connection)
        if self.fault is not None:
            system.recorder.recovered(self.fault, self.clock.now, self.cut_ns)
            self.fault = None

    def _catch_up(self, connection: Connection) -> None:
        """Ask for what was missed, where transport and broker allow it."""
        if not self.system.can_replay(self.id):
            return
        missed, broker, within = [], self.system.broker, self.cohort.resume_within
        why_away = broker.why_away(connection.server)
        too_late = within is not None and self.clock.now - self.broke_ns > to_ns(within)
        for message in self.system.ledger.missed_by(self.id):
            if too_late:  # what reaches its server from now on comes all the same
                if message.position < broker.handed[connection.server.id]:
                    self.system.ledger.lost(message, self.id, "too_late")
            elif why_away is not None:  # the server cannot ask now; what its own reader has not had yet will come
                message.causes.setdefault(self.id, why_away)
            elif broker.trimmed(message):
                self.system.ledger.lost(message, self.id, "trimmed")
            else:
                missed.append(message)
        self.replayed = {message.id for message in missed}
        if missed:
            connection.server.submit(Replay(connection, missed))

    def connect(self, must_wait: bool) -> Generator:
        """Attempts with backoff between them: a connection, or None if the client gives up."""
        retry, delay_s, asked_ns = 0, 0.0, 0
        while True:
            if must_wait:
                delay_s = self._backoff_s(retry, delay_s)
                retry += 1
                if math.isinf(delay_s):
                    self.turn(Event.GAVE_UP)
                    self.system.count("gave_up")
                    return None
                yield self.clock.at(self.clock.now + asked_ns + to_ns(delay_s), Phase.RETRY, -1, self.id)
            if self.clock.now < self.next_attempt_ns:
                yield self.clock.at(self.next_attempt_ns, Phase.RETRY, -1, self.id)
            self.next_attempt_ns = self.clock.now + ATTEMPT_GAP_NS
            self.turn(Event.RETRY if must_wait else Event.ATTEMPT)
            if not must_wait:
                self.system.count("first_attempts")
            self.tried = True
            self.system.count("attempts")
            if self.process is not None:
                yield self.process.connect()
            outcome = yield from self.attempt()
            if isinstance(outcome, Connection):
                return outcome
            self.turn(Event(outcome))
            self.system.count(_COUNTERS.get(outcome, outcome))
            must_wait = True
            asked_ns = to_ns(self.system.scenario.servers.admission.retry_after) if outcome == "throttled" else 0

    def _backoff_s(self, retry: int, previous_s: float) -> float:
        seed, policy = self.system.scenario.seed, self.backoff
        u = uniform(seed, Stream.BACKOFF, self.id, self.n_losses, retry)
        u_client = uniform(seed, Stream.CLIENT, self.id, 0, 0)
        return delay_kernel(policy.code, policy.params(), retry, u, previous_s, u_client)

    def attempt(self) -> Generator:
        """One connection attempt: a Connection, or the name of what went wrong."""
        deadline_ns = self.clock.now + to_ns(self.cohort.connect_timeout)
        n_requests = POLLING_HANDSHAKE_REQUESTS if self.cohort.polling_handshake else 1
        arrival_ns = self.clock.now + self.half_rtt_ns * (2 * handshake_round_trips(self.cohort.tls, 0) + 1)
        session_server = -1
        for step in range(n_requests):
            if arrival_ns >= deadline_ns:
                yield self.clock.at(deadline_ns, Phase.DEADLINE, -1, self.id)
                return "timed_out"
            yield self.clock.at(arrival_ns, Phase.REQUEST, -1, self.id)
            outcome = yield from self._request(step == n_requests - 1, session_server, deadline_ns)
            if isinstance(outcome, int):
                session_server = outcome
                arrival_ns = self.clock.now + self.half_rtt_ns
            else:
                return outcome
        return outcome

    def _request(self, is_last: bool, session_server: int, deadline_ns: int) -> Generator:
        """One request of a handshake: the server's number (ask on), a Connection, or what went wrong."""
        system = self.system
        chosen = system.balancer.pick(self)
        outcome = self._turned_away(chosen, session_server)
        if outcome is None and not system.servers[chosen].admits():
            outcome = "throttled"
        if outcome == "timed_out":
            yield self.clock.at(deadline_ns, Phase.DEADLINE, -1, self.id)
        elif outcome is None:
            outcome = yield from self._wait(system.servers[chosen], is_last, deadline_ns)
        if outcome != "timed_out":
            yield self.clock.at(self.clock.now + self.half_rtt_ns, Phase.ANSWER, -1, self.id)
        return chosen if outcome == "answered" else outcome

    def _turned_away(self, chosen: int, session_server: int) -> str | None:
        """Why a request does not even reach the queue of the chosen server; None if it does.

        A dead process answers with a reset; a silent one not at all.
        """
        if chosen < 0:
            return "no_server"
        if self.system.servers[chosen].dead:
            return "timed_out" if self.system.servers[chosen].died_silently else "server_died"
        if session_server >= 0 and chosen != session_server:
            return "session_unknown"
        return "backlog_full" if self.system.servers[chosen].backlog_full else None

    def _wait(self, server: Server, is_last: bool, deadline_ns: int) -> Generator:
        """Queue a request at a server, and wait for its answer, the deadline, or the end of the session."""
        system, number, answer = self.system, self.n_requests, simpy.Event(self.clock)
        if is_last:
            cost_ns = system.draw_ns(system.handshake_cost, Stream.HANDSHAKE_COST, self.id, number)
            request: Request = Handshake(self, answer, deadline_ns, cost_ns)
            system.balancer.hold(server.id)
        else:
            request = Request(self, answer, deadline_ns, to_ns(server.costs.http_request_s))
        server.submit(request)
        outcome = "timed_out"
        try:
            yield answer | self.clock.at(deadline_ns, Phase.DEADLINE, -1, self.id)
            if answer.triggered:
                outcome = answer.value
        finally:
            request.given_up = not answer.triggered
            if is_last and not isinstance(outcome, Connection):
                system.balancer.release(server.id)
        return outcome

    def poll(self, connection: LongPollingConnection) -> Generator:
        """Long polls, one after the other. A poll that reaches another server ends the session: it is unknown there."""
        system = self.system
        never_ns = 2**62
        while connection.alive:
            yield self.clock.at(self.clock.now + self.half_rtt_ns, Phase.REQUEST, -1, self.id)
            if not connection.alive:
                return
            system.count("polls")
            chosen = system.balancer.pick(self)
            problem = self._turned_away(chosen, connection.server.id)
            if problem == "timed_out":
                system.poll_unanswered(connection)
                return
            if problem is not None:
                system.count(_COUNTERS.get(problem, problem))
                system.count("failed_polls")
                yield self.clock.at(self.clock.now + self.half_rtt_ns, Phase.ANSWER, -1, self.id)
                system.server_notices_at(self.clock.now + self.half_rtt_ns, connection)
                self.broke(connection, Event(problem))
                connection.noticed()
                return
            answered = simpy.Event(self.clock)
            cost_ns = to_ns(connection.server.costs.http_request_s)
            connection.server.submit(Poll(connection, answered, never_ns, cost_ns))
            arrival_ns = yield answered
            yield self.clock.at(arrival_ns, Phase.ANSWER, -1, self.id)
            if self.process is not None:
                yield from connection.receive()

    def dropped_by_proxy(self, connection: Connection) -> None:
        """A proxy half way resets the connection on both sides, because nothing came over it for too long."""
        connection.alive = False
        self.system.count("idle_drops")
        self.broke(connection, Event.DROPPED)
        noticed_ns = self.clock.now + self.half_rtt_ns
        self.system.server_notices_at(noticed_ns, connection)
        moment = self.clock.at(noticed_ns, Phase.CONNECTION_LOST, connection.server.id, self.id)
        self.clock.call_at(moment, connection.noticed)

    def disconnected_by_server(self, connection: Connection) -> None:
        """The server closes the connection because its send buffer is full."""
        connection.alive = False
        self.broke(connection, Event.OVERFLOWED)
        self.system.server_notices_at(self.clock.now, connection)
        self.system.client_notices_at(self.clock.now + self.half_rtt_ns, connection)
