"""All clients of one process: their lives, what they publish, and what they write down."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from live.balancers.settings import source_address
from live.clients.choice import Choice
from live.clients.life import Life
from live.clients.settings import ClientSettings, Happening
from live.foreign.target import Target
from live.logbook import Logbook
from realtime_sim.draws import Stream, uniform
from realtime_sim.errors import LiveError
from realtime_sim.scenario import Scenario
from realtime_sim.units import NS_PER_S
from realtime_sim.wire import Failure, Publish, encode
from realtime_sim.workload import CONNECTED

__all__ = ["Population"]

AT_ONCE = 64
"""Connections that are opened at the same time before the run: more would only queue at the servers."""

WATCH_EVERY_S = 0.1
"""How often clients look whether their server is still alive."""


class Population:
    """The clients of one process.

    Parameters
    ----------
    settings : ClientSettings
        What it was told.
    scenario : Scenario
        The statement.
    tokens : dict of int to str
        The token of each of its clients.
    arrays : dict of str to ndarray
        `cohort`, `rtt_ns`, `connect_ns` of all clients; `sent_by`, `sent_message`,
        `sent_room`, `sent_seq`, `sent_bytes`, `sent_at_ns` of those that its clients publish, in the order of time.
    received, happened : Logbook
        Where it writes.
    """

    def __init__(
        self,
        settings: ClientSettings,
        scenario: Scenario,
        tokens: dict[int, str],
        arrays: dict[str, np.ndarray],
        received: Logbook,
        happened: Logbook,
    ) -> None:
        self.settings, self.scenario, self.tokens, self.arrays = settings, scenario, tokens, arrays
        self.cohort, self.rtt_ns = arrays["cohort"], arrays["rtt_ns"]
        self.sessions = [c.session.length.sampler() if c.session else None for c in scenario.clients]
        self.absences = [c.session.absence.sampler() if c.session else None for c in scenario.clients]
        self.choice = Choice(scenario, settings.assigns)
        self.received = received.append
        self.target = None if settings.target is None else Target(**settings.target)
        self.begun_ns = 0
        self._failure: LiveError | None = None
        self.lives = {client: Life(self, client) for client in tokens}
        self._happened = happened.append
        self._tasks: list[asyncio.Task] = []

    def source_of(self, client: int) -> str:
        """Loopback address of a client's sockets: one of its own where a balancer may go by it."""
        is_behind = not self.settings.assigns and self.target is None
        return source_address(client) if is_behind else self.settings.source

    def note(self, client: int, what: Happening, value: int = 0) -> None:
        """Write down what happens to a client."""
        self._happened(time.monotonic_ns(), client, what, value)

    def answered(self, client: int, frame: object) -> None:
        """A server has answered something that is no message; only failures matter here."""
        if isinstance(frame, Failure):
            self.note(client, Happening.REJECTED)

    async def connect_at_start(self) -> None:
        """Connect those who are connected when the run begins, so many at a time."""
        waiting = iter([life for life in self.lives.values() if self._connects_at_start(life)])

        async def connect() -> None:
            for life in waiting:
                try:
                    async with asyncio.timeout(life.cohort.connect_timeout):
                        await life.connect_at_start()
                except TimeoutError:
                    raise LiveError(
                        "clients", f"client {life.client} got no answer within {life.cohort.connect_timeout:g} s",
                        "raise clients.connect_timeout, or connect fewer",
                    ) from None  # fmt: skip

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(connect())

    def _connects_at_start(self, life: Life) -> bool:
        return int(self.arrays["connect_ns"][life.client]) == CONNECTED

    def begin(self, begun_ns: int) -> None:
        """The run begins at this time of the clock."""
        self.begun_ns = begun_ns
        loop = asyncio.get_running_loop()
        for life in self.lives.values():
            self._tasks.append(loop.create_task(self._live(life)))
        self._tasks.append(loop.create_task(self._publish_all()))
        self._tasks.append(loop.create_task(self._watch()))

    async def _live(self, life: Life) -> None:
        if self._connects_at_start(life):
            await life.live(is_connected=life.connection is not None, starts_at_once=True)
        else:
            await self._until(int(self.arrays["connect_ns"][life.client]))
            await life.live(is_connected=False, starts_at_once=False)

    async def _until(self, time_ns: int) -> None:
        """Until so long after the beginning of the run."""
        await asyncio.sleep((self.begun_ns + time_ns - time.monotonic_ns()) / NS_PER_S)

    async def _publish_all(self) -> None:
        """Publish what these clients publish, each at its time, over its own connection."""
        arrays = self.arrays
        names = ("sent_by", "sent_message", "sent_room", "sent_seq", "sent_bytes", "sent_at_ns")
        for client, number, room, seq, size, time_ns in zip(*(arrays[n].tolist() for n in names), strict=True):
            await self._until(time_ns)
            connection = self.lives[client].connection
            if connection is None:
                self.note(client, Happening.UNSENT, number)
                continue
            self.note(client, Happening.SENT, number)
            # The frame to the server is longer than the message by the word `publish` and shorter by the position.
            frame = encode(Publish(number, room, seq, ""), size)
            delay_s = self.lives[client].half_rtt_s
            if delay_s > 0:
                asyncio.get_running_loop().call_later(delay_s, connection.send, frame)
            else:
                connection.send(frame)

    async def _watch(self) -> None:
        """Clients hear nothing from a dead host: a connection that is silent for interval and timeout is given up.

        The server pings once in an interval, so this is noticed `timeout` to `interval + timeout` after the death.
        """
        limits = [
            None if c.keepalive is None else c.keepalive.interval + c.keepalive.timeout for c in self.scenario.clients
        ]
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            now_ns = time.monotonic_ns()
            for life in self.lives.values():
                limit_s, connection = limits[life.cohort_index], life.connection
                if limit_s is None or connection is None or life.cohort.transport == "long_polling":
                    continue
                if now_ns - connection.reception.heard_ns > limit_s * NS_PER_S:
                    connection.abort()

    def drop(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        """A share of a cohort loses its connections; who it is, is the workload's draw."""
        index = [part.name for part in self.scenario.clients].index(cohort)
        for client, life in self.lives.items():
            chosen = life.cohort_index == index and life.connection is not None
            if chosen and uniform(self.scenario.seed, Stream.FAULT, disturbance, client, 0) < share:
                (life.connection.freeze if silent else life.connection.abort)()

    async def end(self) -> None:
        """The run is over: everybody hangs up, and nothing of it is written down."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for life in self.lives.values():
            if life.connection is not None:
                life.connection.abort()

    def failed(self, error: LiveError) -> None:
        """Something has gone wrong where nobody waits for it."""
        self._failure = error

    def failure(self) -> BaseException | None:
        """What has gone wrong, if anything."""
        if self._failure is not None:
            return self._failure
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
        return None
