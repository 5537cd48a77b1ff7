"""The live cluster in the hands of the control plane: the `Machinery` of `realtime_sim.control` on real processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import simpy

from live.crowd import Crowd
from live.fleet import Fleet, Instance
from realtime_sim.control import Instance as Seen
from realtime_sim.control import Observation
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.order import Phase
from realtime_sim.errors import UnsupportedFeature
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.units import NS_PER_S, from_ns

__all__ = ["Cut", "LiveCluster", "Sample"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Something that was done to connections: when, to which server (-1) or cohort (""), and who is to blame."""

    time_ns: int
    server: int
    cohort: str
    disturbance: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What the monitor saw at one time; totals since the run began, nanoseconds."""

    time_ns: int
    connections: list[int]
    queue_length: list[int]
    busy_ns: list[int]
    ready: list[int]
    subscriptions: int
    broker_busy_ns: int
    desired: int
    client_busy_ns: list[int]
    publisher_busy_ns: int


@dataclass(slots=True)
class History:
    """What only the run itself knows when it is over."""

    cuts: list[Cut] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    away: list[tuple[int, int, int]] = field(default_factory=list)
    """(server, from, until) of partitions, nanoseconds; -1 for one that lasts."""
    broker_down: list[tuple[int, int]] = field(default_factory=list)


class LiveCluster:
    """Everything that can be done to a running cluster from outside.

    Parameters
    ----------
    scenario : Scenario
        What is running.
    fleet : Fleet
        Its servers.
    crowd : Crowd
        Its clients.
    broker : RunningBroker
        Its broker.
    recorder : Recorder
        What is told of servers that start.
    clock : Clock
        Of the control processes.
    assigns : bool
        Whether clients choose their servers, and so must be told of them.
    """

    def __init__(
        self, scenario: Scenario, fleet: Fleet, crowd: Crowd, broker: Any, recorder: Recorder, clock: Clock,
        assigns: bool,
    ) -> None:  # fmt: skip
        self.scenario, self.fleet, self.crowd, self.broker = scenario, fleet, crowd, broker
        self.recorder, self.clock, self.assigns = recorder, clock, assigns
        self.history = History()
        self.begun_ns = 0
        self.subscriptions = 0
        self.broker_busy_ns: Callable[[], int] = lambda: 0
        self.publisher_busy_ns: Callable[[], int] = lambda: 0
        self.is_broker_up = True
        self._tasks: set[asyncio.Task] = set()

    def now_ns(self) -> int:
        """Nanoseconds since the run began."""
        return time.monotonic_ns() - self.begun_ns

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, for a control process."""
        return self.clock.at(time_ns, Phase[phase.upper()])

    def _start(self, work: Coroutine) -> None:
        """Do something that takes a while, beside all else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

    def check(self) -> None:
        """Raise what has gone wrong in something that was begun."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()

    async def settle(self) -> None:
        """Wait until all that was begun is done, but not for long, and raise what has gone wrong in it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
        self.check()
        for task in self._tasks:
            task.cancel()

    def _after(self, delay_s: float, act: Callable, *arguments: object) -> None:
        asyncio.get_running_loop().call_later(delay_s, act, *arguments)

    def _tell_clients(self) -> None:
        if self.assigns:
            self.crowd.update(self.fleet.places())

    # Servers.

    def start_server(self) -> int:
        """One more server: a process that waits for it opens its ports."""
        self.recorder.add_server(self.now_ns())
        number = len(self.recorder.servers["started_ns"]) - 1
        self._start(self._open_server())
        return number

    async def _open_server(self) -> None:
        await self.fleet.start()
        self._tell_clients()
        await self.fleet.replace_spare()

    def set_ready(self, server: int, ready: bool) -> None:
        """New connections go to a server, or no more."""
        instance = self._instance(server)
        if instance is not None and instance.is_alive:
            instance.is_wanted = ready
            instance.channel.send({"do": "drain", "draining": not ready})
            self._tell_clients()

    def kill(self, server: int, silent: bool, disturbance: int) -> None:
        """A server dies."""
        instance = self._instance(server)
        if instance is None or not instance.is_alive:
            return
        self.history.cuts.append(Cut(self.now_ns(), server, "", disturbance))
        self.fleet.kill(instance, silent)
        self._after(self.scenario.balancer.detection, self._mark_down, instance)

    def _mark_down(self, instance: Instance) -> None:
        instance.is_open = False
        self._tell_clients()

    def stop(self, server: int, disturbance: int) -> None:
        """A server ends in order; whoever is left is told that it restarts."""
        instance = self._instance(server)
        if instance is not None and instance.is_alive:
            self.history.cuts.append(Cut(self.now_ns(), server, "", disturbance))
            self.fleet.stop(instance)
            self._tell_clients()

    def close_connections(self, server: int, n: int, disturbance: int) -> int:
        """A server sends clients away. Returns how many connections it had."""
        instance = self._instance(server)
        if instance is None or not instance.is_alive:
            return 0
        if n > 0:
            self.history.cuts.append(Cut(self.now_ns(), server, "", disturbance))
            instance.channel.send({"do": "close", "n": n})
        return instance.page.get("connections")

    def pause(self, server: int, pause_ns: int) -> None:
        """A server does nothing for so long."""
        instance = self._instance(server)
        if instance is not None and instance.is_alive:
            self.fleet.pause(instance)
            self._after(pause_ns / NS_PER_S, self.fleet.go_on, instance)

    def set_pace(self, server: int, permille: int) -> None:
        """Work takes a server so many thousandths of its time."""
        self._need_native("slow_server")
        instance = self._instance(server)
        if instance is not None and instance.is_alive:
            instance.channel.send({"do": "pace", "factor": permille / 1_000})

    def _need_native(self, what: str) -> None:
        """Nothing can be put between python-socketio and its work, nor between it and its broker."""
        if self.scenario.servers.stack != "native":
            raise UnsupportedFeature(what, "live", "use servers.stack: native, or simulate it")

    def _instance(self, server: int) -> Instance | None:
        """The process of a server; None while it is being started."""
        return self.fleet.instances[server] if server < len(self.fleet.instances) else None

    # Clients.

    def drop_clients(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        """A share of a cohort's clients lose their connections."""
        self.history.cuts.append(Cut(self.now_ns(), -1, cohort, disturbance))
        self.crowd.drop(cohort, share, silent, disturbance)

    # The broker.

    def partition(self, server: int, silent: bool) -> bool:
        """A server and the broker cannot reach each other."""
        self._need_native("partition")
        instance = self._instance(server)
        if instance is None or not instance.is_alive or instance.is_partitioned:
            return False
        instance.is_partitioned = True
        instance.channel.send({"do": "cut", "silent": silent})
        self.history.away.append((server, self.now_ns(), -1))
        return True

    def heal(self, server: int) -> bool:
        """They can again."""
        instance = self._instance(server)
        if instance is None or not instance.is_alive or not instance.is_partitioned:
            return False
        instance.is_partitioned = False
        instance.channel.send({"do": "heal"})
        at = max(n for n, (number, _, _) in enumerate(self.history.away) if number == server)
        self.history.away[at] = (*self.history.away[at][:2], self.now_ns())
        return True

    def stop_broker(self) -> bool:
        """The broker is killed."""
        if not self.is_broker_up:
            return False
        self.is_broker_up = False
        self.history.broker_down.append((self.now_ns(), -1))
        self._start(self.broker.stop())
        return True

    def start_broker(self) -> bool:
        """The broker runs again, at the same port."""
        if self.is_broker_up:
            return False
        self.is_broker_up = True
        self.history.broker_down[-1] = (self.history.broker_down[-1][0], self.now_ns())
        self._start(self.broker.start())
        return True

    def set_broker_pace(self, permille: int) -> None:
        """A real broker cannot be told to be slow."""
        if permille != 1_000:
            raise UnsupportedFeature("slow_broker", "live", "use stop_broker or partition, or simulate it")

    # What there is to see.

    def observe(self) -> Observation:
        """What there is to see now."""
        started_ns, seen = self.recorder.servers["started_ns"], []
        for number in range(len(started_ns)):
            one = self._instance(number)
            get = (lambda _: 0) if one is None else one.page.get
            seen.append(
                Seen(
                    number=number,
                    alive=one is None or one.is_alive,
                    ready=one is not None and one.is_alive and one.is_open and one.is_wanted,
                    started_s=float(from_ns(int(started_ns[number]))),
                    connections=get("connections") if one is not None and one.is_alive else 0,
                    queue_length=get("queue_length"),
                    busy_s=0.0 if one is None else one.account().run_ns / NS_PER_S,
                    sends=get("sends"),
                )
            )
        return Observation(self.clock.now / NS_PER_S, tuple(seen))

    def sample(self) -> None:
        """Record one sample."""
        instances = self.observe().instances
        self.history.samples.append(
            Sample(
                time_ns=int(self.clock.now),
                connections=[one.connections for one in instances],
                queue_length=[one.queue_length if one.alive else 0 for one in instances],
                busy_ns=[round(one.busy_s * NS_PER_S) for one in instances],
                ready=[int(one.ready) for one in instances],
                subscriptions=self.subscriptions,
                broker_busy_ns=self.broker_busy_ns(),
                desired=self.recorder.desired,
                client_busy_ns=[process.account().run_ns for process in self.crowd.processes],
                publisher_busy_ns=self.publisher_busy_ns(),
            )
        )
