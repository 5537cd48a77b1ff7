"""The fleet: server processes of a run, those that wait to be needed included."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from live.accounting import Usage, usage_of
from live.balancers.slots import Slot
from live.channel import Channel, ChannelClosed, pair
from live.clients.settings import Place
from live.logbook import Logbook
from live.options import Options
from live.page import Page
from live.processes import Children
from live.server.settings import FANOUTS, SENDS, CohortRules, ServerSettings
from realtime_sim.errors import LiveError
from realtime_sim.policies import overflow
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.clients import Cohort
from realtime_sim.scenario.quantities import Part
from realtime_sim.transports import TRANSPORTS
from realtime_sim.workload import BACKEND, Workload

__all__ = ["ORIGIN", "Fleet", "Instance"]

ORIGIN = "http://realtime-sim.test"
"""What clients say they come from, and the only origin that servers let in."""

TOKEN_LIFE_S = 3_600
START_S = 30.0
"""Time a process has to be ready; a start takes less than two seconds on a quiet machine."""

LOOK_EVERY_S = 0.01
"""Between two looks whether a server that ends has given its ports back."""

LEAST_CLIENT_RATE_PER_S = 50.0

PROGRAMS = MappingProxyType({"native": "live.server", "socketio": "live.socketio_server"})
"""What is started as a server, by `servers.stack`."""


@dataclass(slots=True, eq=False)
class Instance:
    """One server process.

    Parameters
    ----------
    child : Popen
        The process.
    name : str
        What messages and its log call the process.
    channel : Channel
        To it.
    page, sends, fanouts : Page and Logbook
        What it shares with the run.
    number : int
        Its number, -1 as long as it waits to be needed.
    slot : int
        Its place at the balancer.
    """

    child: subprocess.Popen
    name: str
    channel: Channel
    page: Page
    sends: Logbook
    fanouts: Logbook
    number: int = -1
    slot: int = -1
    websocket_port: int = 0
    http_port: int = 0
    is_alive: bool = True
    is_open: bool = False
    is_wanted: bool = True
    plays_dead: bool = False
    is_partitioned: bool = False
    started_ns: int = 0
    died_ns: int = -1
    begun: Usage | None = None
    used: Usage | None = field(default=None)

    def account(self) -> Usage:
        """CPU and memory it has used since the run began; of a dead one the last that was seen."""
        now = usage_of(self.child.pid) if self.is_alive else None
        if now is not None:
            self.begun = self.begun or now
            self.used = Usage(now.run_ns - self.begun.run_ns, now.wait_ns - self.begun.wait_ns, now.memory_bytes)
        return self.used or Usage(0, 0, 0)


class Fleet:
    """Server processes.

    Parameters
    ----------
    workload : Workload
        What they will have to do.
    children : Children
        Who starts processes.
    slots : sequence of Slot
        A place for each server that can be there at the same time.
    options : Options
        How the run is done.
    """

    def __init__(self, workload: Workload, children: Children, slots: Sequence[Slot], options: Options) -> None:
        self.workload, self.scenario, self.children = workload, workload.scenario, children
        self.slots, self._options = slots, options
        self.secret = secrets.token_bytes(32)
        self.instances: list[Instance] = []
        self.broker_url, self.namespace = "", f"run-{secrets.token_hex(4)}"
        self._spare: list[Instance] = []
        self._n_processes = 0
        publishes = workload.publishes
        self._n_sends = 2 * int(np.diff(workload.rooms.member_offsets)[publishes.room].sum()) + 100_000
        self._arrays = {
            "room_offsets": workload.rooms.room_offsets,
            "rooms": workload.rooms.rooms,
            "cohort_of": workload.cohort,
            "skipped": _skipped(workload),
        }

    # Starting.

    async def prepare(self, n: int) -> None:
        """Start so many processes, which wait to be told what to do."""
        for _ in range(n):
            here, there = pair()
            page = Page()
            sends = Logbook(SENDS, self._n_sends, None)
            fanouts = Logbook(FANOUTS, 2 * len(self.workload.publishes) + 1_000, None)
            fds = [there.fileno(), *(shared.fd for shared in (page, sends, fanouts))]
            name = f"server {self._n_processes}"
            self._n_processes += 1
            child = self.children.spawn(
                [sys.executable, "-m", PROGRAMS[self.scenario.servers.stack], *map(str, fds)],
                name=name,
                pass_fds=[fd for fd in fds if fd is not None],
            )
            there.close()
            self._spare.append(Instance(child, name, await Channel.open(here), page, sends, fanouts))

    async def replace_spare(self) -> None:
        """Have one more process wait, if one more may be wanted and none does: to start one takes a core for a second,
        which is not what a run is to measure."""
        more_may_come = self.scenario.autoscaling is not None or len(self.instances) < len(self.slots)
        if more_may_come and not self._spare:
            await self.prepare(1)

    async def start(self) -> Instance:
        """One more server: a process that waited is told what to do, and opens its ports, unless it is ended first."""
        if not self._spare:
            await self.prepare(1)
        instance = self._spare.pop(0)
        instance.number = len(self.instances)
        self.instances.append(instance)
        instance.slot = await self._free_slot()
        slot = self.slots[instance.slot]
        instance.websocket_port, instance.http_port = slot.websocket_port, slot.http_port
        instance.started_ns = time.monotonic_ns()
        instance.channel.send({"settings": self._settings(instance).to_plain()}, **self._arrays)
        try:
            async with asyncio.timeout(START_S):
                await instance.channel.receive()
        except (TimeoutError, ChannelClosed):
            if not instance.is_alive:
                return instance
            raise LiveError(
                f"server {instance.number}", f"is not ready ({self.children.log_of(instance.name)})",
                "look whether its broker can be reached",
            ) from None  # fmt: skip
        instance.is_open = instance.is_alive
        return instance

    async def _free_slot(self) -> int:
        """The first slot whose ports no process holds: one that is ending does so until its end, and one that was
        stopped to play dead until the end of the run."""
        deadline = time.monotonic() + START_S
        while True:
            taken = {one.slot for one in self.instances if one.child.poll() is None}
            free = [slot for slot in range(len(self.slots)) if slot not in taken]
            if free:
                return free[0]
            is_ending = any(not one.is_alive and not one.plays_dead for one in self.instances)
            if not is_ending or time.monotonic() > deadline:
                raise LiveError("servers", f"there are places for {len(self.slots)} at a time", "start fewer at a time")
            await asyncio.sleep(LOOK_EVERY_S)

    def _settings(self, instance: Instance) -> ServerSettings:
        scenario, servers = self.scenario, self.scenario.servers
        return ServerSettings(
            number=instance.number,
            websocket_port=instance.websocket_port,
            http_port=instance.http_port,
            secret=self.secret.hex(),
            origins=(ORIGIN,),
            broker_url=self.broker_url,
            broker=broker_plain(scenario),
            namespace=self.namespace,
            is_late=instance.number >= servers.count,
            cohorts=tuple(_rules(self.workload, cohort) for cohort in scenario.clients),
            max_connections=servers.connection_limit,
            admission=_plain(servers.admission),
            task_per_client=servers.fanout == "task_per_client",
            backlog=servers.backlog,
            poll_hold_s=TRANSPORTS["long_polling"].poll_hold_s,
            slice=self._options.slice,
            shuts_when_draining=self._options.balancer != "none",
            max_message_bytes=_largest_message(scenario),
            client_rate_per_s=_client_rate(self.workload),
            client_burst=int(2 * _client_rate(self.workload)),
            header_timeout_s=10.0,
            n_sends=self._n_sends,
            n_fanouts=2 * len(self.workload.publishes) + 1_000,
        )

    async def close(self) -> None:
        """Give back what was shared with the processes."""
        for one in (*self.instances, *self._spare):
            await give_back(one.channel, one.page, one.sends, one.fanouts)

    # What clients are told.

    def places(self) -> list[Place]:
        """Every server by number, as clients find it."""
        return [
            Place(
                f"ws://127.0.0.1:{one.websocket_port}/ws",
                f"http://127.0.0.1:{one.http_port}",
                one.is_open and one.is_wanted,
            )
            for one in self.instances
        ]

    # Ending.

    def kill(self, instance: Instance, silent: bool) -> None:
        """A server dies: by SIGKILL, which resets its connections; or by SIGSTOP, and nobody is told."""
        os.kill(instance.child.pid, signal.SIGSTOP if silent else signal.SIGKILL)
        instance.plays_dead = silent
        instance.account()
        instance.is_alive, instance.died_ns = False, time.monotonic_ns()

    def pause(self, instance: Instance) -> None:
        """A server stands still."""
        os.kill(instance.child.pid, signal.SIGSTOP)

    def go_on(self, instance: Instance) -> None:
        """And goes on, be it only to end as it was told meanwhile."""
        if not instance.plays_dead:
            instance.child.send_signal(signal.SIGCONT)  # which is nothing if it has ended

    def stop(self, instance: Instance) -> None:
        """A server ends in order."""
        instance.account()
        instance.is_alive, instance.is_open, instance.died_ns = False, False, time.monotonic_ns()
        os.kill(instance.child.pid, signal.SIGTERM)


async def give_back(channel: Channel | None, *shared: Page | Logbook) -> None:
    """Close the channel to a process, and the descriptors of what was shared with it."""
    if channel is not None:
        await channel.close()
    for one in shared:
        one.close()


def broker_plain(scenario: Scenario) -> dict[str, object]:
    """The broker's part with every field, by the names that its attributes have."""
    return _plain(scenario.broker)


def _plain(part: Part) -> dict[str, object]:
    """Fields as numbers, where `model_dump` would write them as a file has them: 2.0 and not "2s"."""
    return {name: getattr(part, name) for name in type(part).model_fields if _is_plain(getattr(part, name))}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _rules(workload: Workload, cohort: Cohort) -> CohortRules:
    pings, policy, rooms = cohort.keepalive, cohort.overflow, workload.rooms
    groups = [rooms.names.index(stream.to) for stream in workload.scenario.traffic if stream.source == cohort.name]
    return CohortRules(
        transport=cohort.transport,
        ping_interval_s=None if pings is None else pings.interval,
        ping_timeout_s=None if pings is None else pings.timeout,
        overflow=next(name for name, kind in overflow.REGISTRY.items() if type(policy) is kind),
        limit_bytes=int(getattr(policy, "limit_bytes", 0)),
        resumes=cohort.resumes,
        publishes=tuple((int(rooms.first[group]), int(rooms.first[group + 1])) for group in groups),
    )


def _largest_message(scenario: Scenario) -> int:
    """Largest frame of a client: twice what the scenario sends, and at least 64 KiB."""
    return max([2**16, *(2 * stream.payload for stream in scenario.traffic)])


def _client_rate(workload: Workload) -> float:
    """Frames a second one client may send: four times what the busiest one has to, and at least fifty."""
    senders = workload.publishes.sender[workload.publishes.sender != BACKEND]
    most = int(np.bincount(senders).max()) if len(senders) else 0
    return max(LEAST_CLIENT_RATE_PER_S, 4.0 * most / workload.scenario.duration)


def _skipped(workload: Workload) -> np.ndarray:
    """For each message the client that does not get its own back, -1 for none."""
    publishes = workload.publishes
    echo = np.array([stream.echo for stream in workload.scenario.traffic] or [True])
    return np.where(echo[publishes.traffic], -1, publishes.sender).astype(np.int32)
