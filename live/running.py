"""A live run: a scenario in, `Results` out, as from a simulation; everything it starts is gone afterwards.

Processes are started and clients connected before time 0; then the publisher keeps the workload's schedule, the control
plane acts on the wall clock, and after the drain what everybody wrote down becomes a Trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import resource
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

from live.accounting import machine_now, usage_of
from live.balancers.embedded import start_balancer
from live.balancers.slots import reserved_slots
from live.brokers.base import BrokerDown
from live.brokers.embedded import start_broker
from live.brokers.links import open_link
from live.clients.settings import Place
from live.clock import step_on_the_wall_clock
from live.cluster import LiveCluster
from live.collecting import collect
from live.conditions import UNKNOWN, conditions_of
from live.crowd import Crowd, Publisher
from live.fleet import Fleet
from live.foreign.target import Target
from live.options import Options
from live.processes import Children
from live.supported import check_supported
from realtime_sim.control import Control, start_control
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.services import draw
from realtime_sim.errors import LiveError, Problem, ScenarioError, nearest
from realtime_sim.progress import progress_bar
from realtime_sim.recorder import LEVELS, Recorder
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.units import NS_PER_S, to_ns

__all__ = ["LiveRun", "Running", "run"]

LEAD_S = 0.3
"""From the order to begin until time 0: every process has heard of it by then."""

MOST_SPARES = 4
"""Servers that wait from the start for what may come: each takes a second of a core to start, and some memory."""

SPARE_DESCRIPTORS = 200

WATCH_EVERY_S = 0.2

QUIET_NS = 1_000_000_000
"""After the traffic, a run is over when nothing has come for so long."""


@dataclass(slots=True)
class Running:
    """A run that goes on, for those who watch it.

    Parameters
    ----------
    scenario : Scenario
        What is running.
    cluster : LiveCluster
        Servers, clients and broker.
    recorder : Recorder
        With the decisions of the control plane.
    about : dict of str to str
        Broker and balancer, as they name themselves.
    """

    scenario: Scenario
    cluster: LiveCluster
    recorder: Recorder
    about: dict[str, str]


def run(
    scenario: Scenario,
    broker: str = "auto",
    *,
    balancer: str = "none",
    client_library: str = "picows",
    client_processes: int | None = None,
    slice: int = 25,
    target: str = "",
    target_token: str = "",
    target_time_field: str = "",
    record: str = "summary",
    control: Sequence[Control] = (),
    watchers: Sequence[Any] = (),
    progress: Callable[[float], None] | None = None,
) -> Results:
    """Run a scenario for real, on this machine: servers, broker and clients are processes, connections are sockets.

    Parameters
    ----------
    scenario : Scenario
        What to run; it takes as long as it says, and some seconds to start.
    broker : str
        `"auto"` starts one of the scenario's kind; `"redis-server"` takes the program of that name, `"fakeredis"` is
        the last resort; a URL is one that runs already.
    balancer : str
        `"none"`, `"nginx"` or `"haproxy"`; without one clients find their servers by the scenario's policy.
    client_library : str
        `"picows"` or `"websockets"`.
    client_processes : int, optional
        Processes that play the clients; one for each ten thousand unless given.
    slice : int
        Sends after which a server's fan-out lets its loop do something else.
    target : str
        URL of somebody's own cluster: clients connect to it, and nothing else is started. `ws://` or `wss://` for
        WebSocket, `http://` or `https://` for Server-Sent Events, `socketio://` for Socket.IO.
    target_token : str
        What clients show there: `token` in the query, for Socket.IO in `auth`.
    target_time_field : str
        Where its messages, JSON objects, say when they were sent, in seconds or milliseconds since 1970; without it
        no latency is known.
    record : str
        `"summary"` or `"full"`, as in a simulation.
    control : sequence of callable
        Your own processes beside the faults of the scenario, as in a simulation.
    watchers : sequence
        Asynchronous context managers with a coroutine method `begin(running)`, such as a dashboard: entered before
        anything is started, begun when all are connected, and left when the run is over or has failed.
    progress : callable, optional
        Called now and then with the share that is done; left out, a bar shows on a terminal or in a notebook.

    Returns
    -------
    Results
        Figures as from a simulation; `conditions` says under what conditions they were measured, and whether clients or
        publisher were what was measured.

    Raises
    ------
    ScenarioError
        If an argument is wrong.
    UnsupportedFeature
        If the scenario holds what cannot be done for real here.
    LiveError
        If a process, port or program fails.
    """
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    if record not in LEVELS:
        raise ScenarioError(Problem("record", "must be a level of recording", record, nearest(str(record), LEVELS)))
    asked = Target(target, target_token, target_time_field) if target else None
    options = Options(broker, balancer, client_library, client_processes, slice, asked)
    check_supported(scenario, options, others=bool(control or watchers))
    _check_descriptors(scenario, options)
    bar = progress_bar(f"Running {scenario.name}", scenario.duration + scenario.drain, silent=True, wall_clock=True)
    with nullcontext(progress) if progress else bar as report:
        if asked is not None:
            from live.foreign.running import TargetRun  # which is a LiveRun

            return _in_a_loop(TargetRun(scenario, options, record, report).run)
        return _in_a_loop(LiveRun(scenario, options, record, tuple(control), tuple(watchers), report).run)


def _in_a_loop(work: Callable[[], Any]) -> Results:
    """Run a coroutine function to its end; in a thread of its own where this one has a loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    found: Future[Results] = Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = []

    async def watched() -> Results:
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work()

    def there() -> None:
        try:
            found.set_result(asyncio.run(watched()))
        except BaseException as error:
            found.set_exception(error)

    thread = threading.Thread(target=there, name="live run")
    thread.start()
    try:
        return found.result()
    except KeyboardInterrupt:  # which reaches this thread alone, as when a cell of a notebook is interrupted
        for loop, task in running:
            with contextlib.suppress(RuntimeError):  # it is over already
                loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()


def _check_descriptors(scenario: Scenario, options: Options) -> None:
    """Raise the soft limit of open files to the hard one, and say what to do where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers = max(1, scenario.servers.count)
    at_clients = -(-scenario.n_clients // options.n_client_processes(scenario.n_clients))
    at_servers = 0 if options.target else -(-scenario.n_clients // servers)
    for who, n, step in (
        ("a client process", at_clients, "use more client_processes"),
        ("a server", at_servers, "use more servers"),
    ):
        if n + SPARE_DESCRIPTORS > hard:
            raise LiveError(
                who, f"needs {n + SPARE_DESCRIPTORS:_} open files, and the limit is {hard:_}", f"{step}, or `ulimit -n`"
            )


class LiveRun:
    """One run, from the first process to the Results."""

    def __init__(
        self, scenario: Scenario, options: Options, record: str, control: tuple[Control, ...],
        watchers: tuple[Any, ...], report: Callable[[float], None],
    ) -> None:  # fmt: skip
        self.scenario, self.options, self.control = scenario, options, control
        self.watchers, self.report = watchers, report
        self.workload, self.services = draw(scenario)
        self.recorder = Recorder(self.workload, record)
        self.about: dict[str, str] = {}
        self.unknown: tuple[str, ...] = UNKNOWN[scenario.servers.stack]
        """What cannot be measured in this run."""
        self.connecting_ns: dict[str, int] = {}
        """CPU time that servers and clients took to connect everybody before the run."""
        self.has_all = True
        """Whether all that works for it on this machine is its own."""
        self.publisher: Publisher | None = None

    async def run(self) -> Results:
        """Everything, and afterwards nothing is left of it."""
        n_slots = self.scenario.servers.count + _more_servers(self.scenario, self.control)
        async with AsyncExitStack() as self._closing:
            async with AsyncExitStack() as watched:  # which is left before clients hang up: nobody sees them go
                for watcher in self.watchers:
                    await watched.enter_async_context(watcher)
                self.children = self._closing.enter_context(Children())
                self.slots = self._closing.enter_context(reserved_slots(n_slots))
                await self._start()
                self._begin()
                for watcher in self.watchers:
                    await watcher.begin(Running(self.scenario, self.cluster, self.recorder, self.about))
                await self._go()
                self.over_ns = self.cluster.now_ns()
            return await self._finish()

    async def _start(self) -> None:
        """Start everything, and connect those who are connected at time 0."""
        scenario, options = self.scenario, self.options
        self.clock = Clock()
        self.fleet = Fleet(self.workload, self.children, self.slots, options)
        self.crowd = Crowd(self.workload, options, self.children)
        self.publisher = Publisher(self.workload, self.children)
        for part in (self.fleet, self.crowd, self.publisher):
            self._closing.push_async_callback(part.close)
        n_spare = min(len(self.slots) - scenario.servers.count, MOST_SPARES)
        await self.fleet.prepare(scenario.servers.count + n_spare)
        self.broker = await start_broker(options.broker, scenario.broker, self.children, self.fleet.namespace)
        self.fleet.broker_url = self.broker.url
        for _ in range(scenario.servers.count):
            await self.fleet.start()
        self._closing.push_async_callback(self.broker.close)
        self.monitor = open_link(self.broker.url, scenario.broker, "monitor", self.fleet.namespace)
        self._closing.push_async_callback(self.monitor.close)
        await self.monitor.start(None)
        self.balancer = await start_balancer(options.balancer, scenario, self.slots, self.children)
        self.about = {"broker": self.broker.about, "balancer": self.balancer.about}
        assigns = options.balancer == "none"
        starting = [
            self.crowd.start(self.fleet.secret, assigns),
            self.publisher.start(self.broker.url, self.fleet.namespace),
        ]
        await asyncio.gather(*starting)
        self.cluster = LiveCluster(scenario, self.fleet, self.crowd, self.broker, self.recorder, self.clock, assigns)
        self.cluster.broker_busy_ns = self._broker_busy_ns
        self.cluster.publisher_busy_ns = lambda: self.publisher.account().run_ns
        self.crowd.update(self.fleet.places() if assigns else [_behind(self.balancer.url)])
        before_ns = self._run_ns()
        await self.crowd.connect()
        self.connecting_ns = {who: ns - before_ns[who] for who, ns in self._run_ns().items()}

    def _run_ns(self) -> dict[str, int]:
        """CPU time that all servers, and all processes of clients, have used."""
        children = {
            "servers": [one.child for one in self.fleet.instances],
            "clients": [one.child for one in self.crowd.processes],
        }
        return {who: _cpu_ns([child.pid for child in those]) for who, those in children.items()}

    def _broker_busy_ns(self) -> int:
        return _cpu_ns(self.broker.pids)

    def _begin(self) -> None:
        """Say to everybody when time 0 is."""
        self.begun_ns = self.cluster.begun_ns = time.monotonic_ns() + to_ns(LEAD_S)
        self.recorder.servers["started_ns"][:] = 0
        self.crowd.begin(self.begun_ns)
        if self.publisher is not None:
            self.publisher.begin(self.begun_ns)
        start_control(self.clock, self.cluster, self.scenario, self.recorder, self.control)

    async def _go(self) -> None:
        """From time 0 to the end of the drain."""
        await asyncio.sleep((self.begun_ns - time.monotonic_ns()) / NS_PER_S)
        self.machine = machine_now()
        self._own_ns, self._broker_ns = time.process_time_ns(), self._broker_busy_ns()
        for account in self._accounts():
            account()
        await _until_first(self._play(), self._keep_watch())
        await self.cluster.settle()

    async def _play(self) -> None:
        """From time 0 on: what the control plane does, and what is left to come."""
        await step_on_the_wall_clock(self.clock, self.begun_ns, to_ns(self.scenario.duration))
        self.used = machine_now()
        self.own_ns = time.process_time_ns() - self._own_ns
        self.broker_ns = self._broker_busy_ns() - self._broker_ns
        for account in self._accounts():
            account()
        await self._drain()

    def _accounts(self):
        yield from (one.account for one in self.fleet.instances)
        yield from (one.account for one in self.crowd.processes)
        if self.publisher is not None:
            yield self.publisher.account

    async def _keep_watch(self) -> None:
        """Show progress, count subscriptions, and stop the run as soon as something has failed."""
        whole_s = self.scenario.duration + self.scenario.drain
        while True:
            self.report(min(1.0, max(0.0, self.cluster.now_ns() / NS_PER_S / whole_s)))
            self.crowd.check()
            self.cluster.check()
            self._check_processes()
            self.cluster.subscriptions = await self._n_subscribers()
            await asyncio.sleep(WATCH_EVERY_S)

    async def _n_subscribers(self) -> int:
        """Subscriptions as the broker counts them; 0 while it cannot be asked, and where it does not count them."""
        try:
            return await self.monitor.n_subscribers() or 0
        except BrokerDown:
            return 0

    def _check_processes(self) -> None:
        """A process that nobody has ended must not be gone."""
        gone = self.children.ended()
        expected = {one.name for one in self.fleet.instances if not one.is_alive}
        for name, code in gone.items():
            if name not in expected and not (name.startswith("broker") and not self.cluster.is_broker_up):
                raise LiveError(name, f"ended with code {code} ({self.children.log_of(name)})", "see what it says")

    async def _drain(self) -> None:
        """Go on until nothing comes any more, or the drain is over."""
        limit_ns = to_ns(self.scenario.duration + self.scenario.drain)
        n_before, quiet_since_ns = -1, 0
        while self.cluster.now_ns() < limit_ns:
            n = sum(len(process.received.read()["message"]) for process in self.crowd.processes)
            if n != n_before or not self._is_quiet():
                n_before, quiet_since_ns = n, self.cluster.now_ns()
            elif self.cluster.now_ns() - quiet_since_ns > QUIET_NS:
                return
            await asyncio.sleep(WATCH_EVERY_S)

    def _is_quiet(self) -> bool:
        """Whether no server has anything to send, and nobody is still to come back to a log."""
        alive = [one for one in self.fleet.instances if one.is_alive]
        if any(one.page.get("queue_length") for one in alive):
            return False
        everyone = all(cohort.session is None for cohort in self.scenario.clients)
        connected = sum(one.page.get("connections") for one in alive)
        return not (self.scenario.broker.has_log and everyone and connected < self.workload.n_clients)

    async def _finish(self) -> Results:
        """Hang up, and make a Trace of what everybody has written down."""
        memory = {one.number: one.account().memory_bytes for one in self.fleet.instances}
        conditions = conditions_of(self, memory)
        self.publisher.end()
        await self.crowd.end()
        trace = collect(self, self.over_ns)
        if self.services:
            trace = dataclasses.replace(trace, services=dict(self.services))
        return Results([trace], "real processes and sockets", conditions=conditions)


def _cpu_ns(pids: Iterable[int]) -> int:
    return sum(usage.run_ns for pid in pids if (usage := usage_of(pid)) is not None)


async def _until_first(*works: Coroutine) -> None:
    """Do several things at the same time until the first of them is done or has failed; the others end with it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _more_servers(scenario: Scenario, control: Sequence[Control]) -> int:
    """Places for servers besides those there are at the start: as many as may come while those before still stand."""
    more = 0
    for fault in scenario.faults:
        more += getattr(fault, "count", 0) if getattr(fault, "restart_after", None) is not None else 0
        more += scenario.servers.count if fault.kind == "rolling_deploy" else 0
    if scenario.autoscaling is not None:
        more += max(0, scenario.autoscaling.max_replicas - scenario.servers.count)
    return more + (scenario.servers.count if control else 0)


def _behind(url: str) -> Place:
    """The balancer as the one place that clients know."""
    return Place(url.replace("http://", "ws://", 1) + "/ws", url, True)
