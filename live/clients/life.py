"""The life of one client: sessions, attempts, backoff; the rules and draws are those of the simulation."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from live.clients import event_stream, long_polling, picows_client, socketio_client, websockets_client
from live.clients.reception import Caller, Connection, Reception, TurnedAway
from live.clients.settings import Happening
from live.foreign.connecting import connect as connect_target
from live.foreign.reception import ForeignReception
from live.foreign.target import Target
from realtime_sim.draws import Stream, sample_ns, uniform
from realtime_sim.policies.backoff import delay_kernel
from realtime_sim.trace import FAILURES
from realtime_sim.transports import handshake_round_trips
from realtime_sim.units import NS_PER_S

if TYPE_CHECKING:
    from live.clients.population import Population

__all__ = ["Life"]

LIBRARIES = {"picows": picows_client.connect, "websockets": websockets_client.connect}
"""How a WebSocket is opened, by the name of the library."""

_FAILURE = {name: number for number, name in enumerate(FAILURES)} | {"timed_out": FAILURES.index("timeouts")}

LEAST_WAIT_S = 0.001
"""Between two attempts of one client, as in the simulation."""


class Life:
    """One client. `connection` is what it believes to be its connection, or None."""

    def __init__(self, population: Population, client: int) -> None:
        self.population, self.client = population, client
        self.cohort_index = int(population.cohort[client])
        self.cohort = population.scenario.clients[self.cohort_index]
        self.half_rtt_s = float(population.rtt_ns[client]) / 2 / NS_PER_S
        self.caller = Caller(population.settings.origin, population.source_of(client))
        self.connection: Connection | None = None
        self.place = -1
        self.position = ""
        self.lost_s = 0.0
        self.is_online = False
        self._visiting: asyncio.Future | None = None
        self.n_sessions = self.n_connections = self.n_requests = self.n_losses = 0

    def note(self, what: Happening, value: int = 0) -> None:
        """Write down what happens to the client."""
        self.population.note(self.client, what, value)

    def uniform(self, stream: int, *address: int) -> float:
        """A draw of the workload with this client's address."""
        return uniform(self.population.scenario.seed, stream, self.client, *address)

    async def connect_at_start(self) -> bool:
        """Be connected before the run begins, as somebody who has been there for a while. False if nobody had room."""
        try:
            await self._attempt()
        except TurnedAway as away:
            self.note(Happening.FAILED, _FAILURE[away.outcome])
            return False
        self._opened(Happening.CONNECTED_AT_START)
        return True

    async def live(self, is_connected: bool, starts_at_once: bool) -> None:
        """One user after the other, until the run is over."""
        must_wait = starts_at_once
        while True:
            await self._visit(is_connected, must_wait)
            is_connected, must_wait = False, False
            absence_s = self._drawn_s(self.population.absences[self.cohort_index], Stream.ABSENCE, self.n_sessions)
            await asyncio.sleep(absence_s)

    async def _visit(self, is_connected: bool, must_wait: bool) -> None:
        """A session, from the first attempt to its end; the end comes at its time, whatever the client is doing."""
        if self.cohort.session is None:
            await self._stay(is_connected, must_wait)
            return
        self._visiting = asyncio.ensure_future(self._stay(is_connected, must_wait))
        if self.is_online:
            self._sit_down()
        try:
            await asyncio.wait({self._visiting})
        finally:
            self._visiting.cancel()
            self._leave()
        if not self._visiting.cancelled():
            self._visiting.result()

    def _sit_down(self) -> None:
        """The session has begun: it ends after its length."""
        length_s = self._drawn_s(self.population.sessions[self.cohort_index], Stream.SESSION, self.n_sessions)
        asyncio.get_running_loop().call_later(length_s, self._visiting.cancel)

    def _leave(self) -> None:
        """The user's session is over."""
        if self.is_online:
            self.note(Happening.SESSION_ENDED)
        self.is_online = False
        self.position = ""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self.population.choice.release(self.place)
            connection.close()

    async def _stay(self, is_connected: bool, must_wait: bool) -> None:
        """Connect, stay and come back; returns if the client gives up."""
        while True:
            if not is_connected and not await self._connect(must_wait):
                self.note(Happening.GAVE_UP)
                if self.is_online or self.cohort.session is None:
                    await asyncio.Event().wait()  # nothing more, until the session or the run ends
                return
            is_connected, must_wait = False, True
            connection = self.connection
            assert connection is not None
            code = await connection.reception.closed
            self._lost(connection, code)

    def _lost(self, connection: Connection, code: int) -> None:
        """The client knows that its connection is gone."""
        self.position = connection.reception.position
        self.lost_s = time.monotonic()
        self.connection = None
        self.population.choice.release(self.place)
        self.note(Happening.BROKE, code)
        self.note(Happening.NOTICED)
        if connection.reception.turned_away:
            self.note(Happening.FAILED, _FAILURE[connection.reception.turned_away])
        self.n_losses += 1

    async def _connect(self, must_wait: bool) -> bool:
        """Attempts with backoff between them. False if the client gives up."""
        retry, delay_s, asked_s = 0, 0.0, 0.0
        while True:
            if must_wait:
                delay_s = self._backoff_s(retry, delay_s)
                retry += 1
                if math.isinf(delay_s):
                    return False
                await asyncio.sleep(max(asked_s + delay_s, LEAST_WAIT_S))
            self.note(Happening.ATTEMPT)
            try:
                async with asyncio.timeout(self.cohort.connect_timeout):
                    await self._attempt()
            except TimeoutError:
                self.note(Happening.FAILED, _FAILURE["timed_out"])
                asked_s = 0.0
            except TurnedAway as away:
                self.note(Happening.FAILED, _FAILURE[away.outcome])
                asked_s = away.retry_after_s
            else:
                self._opened(Happening.ACCEPTED)
                return True
            must_wait = True

    def _backoff_s(self, retry: int, previous_s: float) -> float:
        policy = self.cohort.backoff
        u, u_client = self.uniform(Stream.BACKOFF, self.n_losses, retry), self.uniform(Stream.CLIENT, 0, 0)
        return float(delay_kernel(policy.code, policy.params(), retry, u, previous_s, u_client))

    async def _attempt(self) -> None:
        """One attempt: the round trips that loopback does not have are waited for."""
        population = self.population
        if self.half_rtt_s > 0:
            await asyncio.sleep(self.half_rtt_s * (2 * handshake_round_trips(self.cohort.tls, 0) + 1))
        place = population.choice.pick(self.client, self.n_requests)
        self.n_requests += 1
        if place < 0:
            await asyncio.sleep(self.half_rtt_s)
            raise TurnedAway("no_server")
        population.choice.hold(place)
        try:
            self.connection = await self._open(place)
            self.place = place
        except BaseException:
            population.choice.release(place)
            raise
        finally:
            await asyncio.sleep(self.half_rtt_s)

    async def _open(self, place: int) -> Connection:
        population = self.population
        if population.target is not None:
            return await self._open_target(population.target)
        reception = Reception(self.client, self.n_connections, population.received, self._resumes, population.answered)
        reception.position = self._after()
        where = population.choice.places[place]
        query = f"token={population.tokens[self.client]}"
        if reception.position:
            query += f"&after={quote(reception.position)}"
        if population.scenario.servers.stack == "socketio":
            return await socketio_client.connect(
                f"{where.http_url}/socket.io/", {"token": population.tokens[self.client]}, self.caller, reception,
                polls=self.cohort.polling_handshake, pause_s=2 * self.half_rtt_s,
            )  # fmt: skip
        if self.cohort.transport == "websocket":
            return await LIBRARIES[population.settings.library](
                f"{where.websocket_url}?{query}", self.caller, reception
            )
        if self.cohort.transport == "sse":
            return await event_stream.connect(f"{where.http_url}/events?{query}", self.caller, reception)
        return await long_polling.connect(
            f"{where.http_url}/poll?{query}", self.caller, reception, self.half_rtt_s,
            lambda: self.note(Happening.POLLED),
        )  # fmt: skip

    async def _open_target(self, target: Target) -> Connection:
        population = self.population
        reception = ForeignReception(
            self.client, self.n_connections, population.received, target.time_field, population.failed
        )
        reception.position = self._after()
        return await connect_target(target, self.caller, reception, self.cohort.polling_handshake)

    @property
    def _resumes(self) -> bool:
        return self.population.settings.resumes and self.cohort.resumes

    def _after(self) -> str:
        """The position of the last message it has had, unless it was away for too long."""
        within = self.cohort.resume_within
        too_late = within is not None and time.monotonic() - self.lost_s > within
        return self.position if self._resumes and not too_late else ""

    def _opened(self, how: Happening) -> None:
        """A server has let the client in; with the first connection the session begins."""
        assert self.connection is not None
        reception = self.connection.reception
        self.note(how, max(reception.server, 0))
        self.n_connections += 1
        if not self.is_online:
            self.is_online = True
            self.n_sessions += 1
            self.note(Happening.SESSION_BEGUN)
            if self._visiting is not None:
                self._sit_down()

    def _drawn_s(self, sampler, stream: int, number: int) -> float:
        """A time drawn for this client."""
        if sampler.kind == 0:
            return float(sampler.a)
        return float(sample_ns(sampler, self.uniform(stream, number))) / NS_PER_S
