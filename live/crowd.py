"""The crowd: the processes that play the clients, and the one that publishes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from live import publisher
from live.accounting import Usage, usage_of
from live.channel import Channel, ChannelClosed, pair
from live.clients.settings import HAPPENED, RECEIVED, ClientSettings, Place
from live.fleet import ORIGIN, TOKEN_LIFE_S, broker_plain, give_back
from live.logbook import Logbook
from live.options import Options
from live.processes import Children
from live.tally import Tally, places_in_rooms
from live.tokens import write_token
from realtime_sim.errors import LiveError
from realtime_sim.workload import BACKEND, Workload

__all__ = ["ClientProcess", "Crowd", "Publisher"]

START_S = 60.0
ROWS_FOR_EACH_CLIENT = 400
"""Happenings that a client's logbook has room for besides its messages: some hundred attempts."""

ROWS_FOR_A_TARGET = 5_000_000
"""Messages of somebody's own cluster that one client process takes."""


@dataclass(slots=True, eq=False)
class ClientProcess:
    """One process that plays clients."""

    child: subprocess.Popen
    channel: Channel
    received: Logbook
    happened: Logbook
    begun: Usage | None = None
    used: Usage | None = None

    def account(self) -> Usage:
        """CPU and memory since the run began."""
        self.begun, self.used = _account(self.child.pid, self.begun, self.used)
        return self.used


def _account(pid: int, begun: Usage | None, used: Usage | None) -> tuple[Usage | None, Usage]:
    now = usage_of(pid)
    if now is None:
        return begun, used or Usage(0, 0, 0)
    begun = begun or now
    return begun, Usage(now.run_ns - begun.run_ns, now.wait_ns - begun.wait_ns, now.memory_bytes)


class Crowd:
    """All client processes of a run.

    Parameters
    ----------
    workload : Workload
        What they do.
    options : Options
        How.
    children : Children
        Who starts processes.
    """

    def __init__(self, workload: Workload, options: Options, children: Children) -> None:
        self.workload, self.options, self._children = workload, options, children
        self.processes: list[ClientProcess] = []
        self._listening: list[asyncio.Task] = []
        self._answers: list[asyncio.Queue] = []

    async def start(self, secret: bytes, assigns: bool) -> None:
        """Start the processes and tell them everything; returns when they are ready to connect."""
        n = self.options.n_client_processes(self.workload.n_clients)
        spawned = [self._spawn(index) for index in range(n)]
        for index, (child, here, received, happened) in enumerate(spawned):
            channel = await Channel.open(here)
            self.processes.append(ClientProcess(child, channel, received, happened))
            self._tell(index, n, channel, secret, assigns)
        for index, process in enumerate(self.processes):
            self._answers.append(asyncio.Queue())
            self._listening.append(asyncio.create_task(self._listen(index, process)))
        await self._all("ready")

    def _spawn(self, index: int):
        here, there = pair()
        members = np.diff(self.workload.rooms.member_offsets)[self.workload.publishes.room]
        n_received = ROWS_FOR_A_TARGET if self.options.target is not None else 2 * int(members.sum()) + 100_000
        received = Logbook(RECEIVED, n_received)
        happened = Logbook(
            HAPPENED, ROWS_FOR_EACH_CLIENT * self.workload.n_clients + len(self.workload.publishes) + 500_000
        )
        fds = [there.fileno(), received.fd, happened.fd]
        child = self._children.spawn(
            [sys.executable, "-m", "live.clients", *map(str, fds)], name=f"clients {index}", pass_fds=fds
        )
        there.close()
        return child, here, received, happened

    def _tell(self, index: int, n: int, channel: Channel, secret: bytes, assigns: bool) -> None:
        workload, options = self.workload, self.options
        expires_s = int(time.time() + workload.scenario.duration) + TOKEN_LIFE_S
        clients = range(index, workload.n_clients, n)
        received, happened = self.processes[index].received, self.processes[index].happened
        target = options.target
        settings = ClientSettings(
            index=index, n_processes=n, scenario=workload.scenario.to_plain(), library=options.client_library,
            origin=ORIGIN, assigns=assigns, n_received=received.n_rows, n_happened=happened.n_rows,
            resumes=workload.scenario.broker.has_log, source=f"127.0.1.{1 + index % 250}",
        )  # fmt: skip
        tokens = {str(client): write_token(secret, client, expires_s) for client in clients}
        publishes = workload.publishes
        mine = np.flatnonzero((publishes.sender != BACKEND) & (publishes.sender % n == index))
        if target is not None:  # which is told nothing of ours, and needs nothing but its own token
            settings = replace(settings, origin="", resumes=True, source=target.source, target=asdict(target))
            tokens, mine = dict.fromkeys(tokens, target.token), mine[:0]
        channel.send(
            {"settings": settings.to_plain(), "tokens": tokens},
            cohort=workload.cohort, rtt_ns=workload.rtt_ns, connect_ns=workload.connect_ns,
            sent_by=publishes.sender[mine], sent_message=mine,
            sent_room=publishes.room[mine], sent_seq=places_in_rooms(workload)[mine],
            sent_bytes=sizes_of(workload)[mine], sent_at_ns=publishes.time_ns[mine],
        )  # fmt: skip

    async def _listen(self, index: int, process: ClientProcess) -> None:
        """Take what a process says, until it is gone."""
        try:
            while True:
                self._answers[index].put_nowait(await process.channel.receive())
        except ChannelClosed:
            self._answers[index].put_nowait({"is": "gone"})

    async def _all(self, word: str) -> None:
        """Wait until every process has said it."""
        for index in range(len(self.processes)):
            try:
                async with asyncio.timeout(START_S):
                    message = await self._answers[index].get()
            except TimeoutError:
                raise LiveError(
                    f"clients {index}", f"are not {word} after {START_S:g} s", "use fewer clients"
                ) from None
            if message["is"] != word:
                self._fail(index, message)

    def _fail(self, index: int, message: dict) -> None:
        why = message.get("why") or self._children.log_of(f"clients {index}", 3) or "their process is gone"
        raise LiveError(f"clients {index}", why, "see what it says; fewer clients may help")

    def check(self) -> None:
        """Raise `LiveError` if a process has failed or gone."""
        for index, answers in enumerate(self._answers):
            while not answers.empty():
                self._fail(index, answers.get_nowait())

    def tally(self, begun_ns: int) -> Tally:
        """What they have done since the run began, to be read as it goes on."""
        received, happened = [p.received for p in self.processes], [p.happened for p in self.processes]
        return Tally(self.workload, begun_ns, received, happened)

    def update(self, places: list[Place]) -> None:
        """Which servers there are now."""
        plain = [{"websocket_url": p.websocket_url, "http_url": p.http_url, "is_healthy": p.is_healthy} for p in places]
        self._order({"do": "servers", "places": plain})

    async def connect(self) -> None:
        """Connect those who are connected when the run begins."""
        self._order({"do": "connect"})
        await self._all("connected")

    def begin(self, begun_ns: int) -> None:
        """The run begins at this time."""
        self._order({"do": "begin", "begun_ns": begun_ns})

    def drop(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        """A share of a cohort loses its connections."""
        self._order({"do": "drop", "cohort": cohort, "share": share, "silent": silent, "disturbance": disturbance})

    async def end(self) -> None:
        """The run is over."""
        self._order({"do": "end"})
        await self._all("over")

    async def close(self) -> None:
        """Give back what was shared with the processes."""
        for task in self._listening:
            task.cancel()
        for process in self.processes:
            await give_back(process.channel, process.received, process.happened)

    def _order(self, order: dict) -> None:
        for process in self.processes:
            process.channel.send(order)


class Publisher:
    """The process that publishes for the backend.

    Parameters
    ----------
    workload : Workload
        What it publishes.
    children : Children
        Who starts processes.
    """

    def __init__(self, workload: Workload, children: Children) -> None:
        self.workload, self._children = workload, children
        self.mine = np.flatnonzero(workload.publishes.sender == BACKEND)
        self.book = Logbook(publisher.COLUMNS, len(self.mine) + 1)
        self.child: subprocess.Popen | None = None
        self.channel: Channel | None = None
        self._begun: Usage | None = None
        self._used: Usage | None = None

    async def start(self, url: str, namespace: str) -> None:
        """Start it, and tell it everything."""
        here, there = pair()
        fds = [there.fileno(), self.book.fd]
        self.child = self._children.spawn(
            [sys.executable, "-m", "live.publisher", *map(str, fds)], name="publisher", pass_fds=fds
        )
        there.close()
        self.channel = await Channel.open(here)
        publishes, mine = self.workload.publishes, self.mine
        self.channel.send(
            {
                "url": url, "namespace": namespace, "broker": broker_plain(self.workload.scenario),
                "stack": self.workload.scenario.servers.stack,
            },
            message=mine, time_ns=publishes.time_ns[mine], room=publishes.room[mine],
            seq=places_in_rooms(self.workload)[mine], bytes=sizes_of(self.workload)[mine],
        )  # fmt: skip
        await self._wait("ready")

    async def _wait(self, word: str) -> None:
        assert self.channel is not None
        try:
            async with asyncio.timeout(START_S):
                message = await self.channel.receive()
        except (TimeoutError, ChannelClosed):
            message = {"is": "gone"}
        if message["is"] != word:
            raise LiveError("publisher", self._children.log_of("publisher") or "is gone", "see what it says")

    def begin(self, begun_ns: int) -> None:
        """The run begins at this time."""
        assert self.channel is not None
        self.channel.send({"begun_ns": begun_ns})

    def account(self) -> Usage:
        """CPU and memory since the run began."""
        assert self.child is not None
        self._begun, self._used = _account(self.child.pid, self._begun, self._used)
        return self._used

    def end(self) -> None:
        """The run is over."""
        assert self.channel is not None
        self.channel.send({"do": "end"})

    async def close(self) -> None:
        """Give back what was shared with the process."""
        await give_back(self.channel, self.book)


def sizes_of(workload: Workload) -> np.ndarray:
    """Payload of each message, bytes."""
    sizes = np.array([stream.payload for stream in workload.scenario.traffic] or [0], dtype=np.int64)
    return sizes[workload.publishes.traffic]
