"""The services ahead of the push tier, to be read: one generator for each actor, integer nanoseconds, Philox draws.

The pipeline runs first, for nothing flows back to it; what the services push is part of the Workload of the engines.
With a bus, every service reads the log at its own pace, so one that stands still delays nobody else. With direct calls
a worker of the producer waits for each service in turn, and a slow one holds it.
Not modelled: the network between producer and services, partitions of the log, and rebalancing.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Generator, Mapping
from heapq import heappop, heappush

import numpy as np
import simpy

from realtime_sim.draws import Stream, sample_ns, samples_ns, uniform, uniforms
from realtime_sim.engines.clock import Clock
from realtime_sim.pipeline import (
    DEAD_LETTER,
    DONE,
    NEVER_NS,
    NOT_CALLED,
    REJECTED,
    TIMED_OUT,
    UNFINISHED,
    PipelineRun,
    Served,
)
from realtime_sim.scenario import Scenario, Service
from realtime_sim.units import to_ns
from realtime_sim.workload import Workload, arrivals_ns, draw_workload

__all__ = ["draw", "run_services"]

N_BLOCKS = 200
"""Times that progress is reported during one run."""


class Step(enum.IntEnum):
    """What happens first among events of the pipeline at one time; then by service, worker and event."""

    RESTART = 0
    STOP = 1
    WORK_END = 2
    RETRY = 3
    EVENT = 4
    FETCHED = 5
    TIMEOUT = 6  # an answer at the same time still counts
    END = 7


def draw(
    scenario: Scenario, progress: Callable[[float], None] | None = None
) -> tuple[Workload, Mapping[str, Mapping[str, np.ndarray | int]]]:
    """The workload of a scenario, after its services have run, and what a Trace keeps of them.

    Parameters
    ----------
    scenario : Scenario
        With or without services.
    progress : callable, optional
        Called now and then while services run.

    Examples
    --------
    >>> workload, services = draw(Scenario(
    ...     name="x", duration=10, clients=[{"name": "c", "count": 1}], events=[{"name": "order", "rate": 1}],
    ...     services=[{"name": "mail", "consumes": "order", "service": "5ms"}],
    ...     traffic=[{"name": "push", "from": "mail"}]))
    >>> publishes = workload.publishes
    >>> bool((publishes.time_ns - publishes.intended_ns >= 5_000_000).all())
    True
    """
    if not scenario.services:
        return draw_workload(scenario), {}
    run = run_services(scenario, progress)
    return draw_workload(scenario, run.pushes()), run.books()


def run_services(scenario: Scenario, progress: Callable[[float], None] | None = None) -> PipelineRun:
    """Run the services of a scenario to the end of its drain.

    Parameters
    ----------
    scenario : Scenario
        With services.
    progress : callable, optional
        Called now and then, with 0: the run of the push tier is yet to begin.

    Examples
    --------
    >>> run = run_services(Scenario(
    ...     name="x", duration=10, clients=[{"name": "c", "count": 1}],
    ...     events=[{"name": "order", "rate": 1, "arrivals": "constant"}], pipeline={"append": "2ms", "fetch": "3ms"},
    ...     services=[{"name": "mail", "consumes": "order", "service": "5ms"}]))
    >>> (run.services[0].ended_ns - run.services[0].event_ns).tolist() == [10_000_000] * 10
    True
    """
    return _Pipeline(scenario).run(progress or (lambda _: None))


class _Line:
    """A queue before workers: the first in its order goes to the worker that has been idle for longest."""

    def __init__(self, clock: Clock, n_stops: int = 0) -> None:
        self.clock = clock
        self.waiting: list[tuple[int, int]] = []
        self.idle: deque[simpy.Event] = deque()
        self.n_stops = 0
        self.behind: list[int] = []
        self.caught_up_ns = np.full(n_stops, NEVER_NS, dtype=np.int64)

    def put(self, place: int, event: int) -> None:
        """An event waits at its place in the order."""
        heappush(self.waiting, (place, event))
        self.match()

    def get(self) -> simpy.Event:
        """What an idle worker waits for: the next (place, event)."""
        ready = self.clock.event()
        self.idle.append(ready)
        self.match()
        return ready

    def match(self) -> None:
        """Hand out what waits, as long as workers are idle and the service is not stopped."""
        if self.n_stops:
            return
        while self.waiting and self.idle:
            self.idle.popleft().succeed(heappop(self.waiting))
        if not self.waiting and self.behind:
            self.caught_up_ns[self.behind] = self.clock.now
            self.behind.clear()


class _Group:
    """One service: the workers of all its replicas, and the queue before them.

    `answers` holds who waits for the answer to a direct call; with a bus it is None, for nobody does.
    """

    def __init__(self, pipeline: _Pipeline, index: int, service: Service, event_ns: np.ndarray) -> None:
        scenario = pipeline.scenario
        self.clock, self.seed, self.index, self.service = pipeline.clock, scenario.seed, index, service
        self.end_ns, self.timeout_ns = to_ns(scenario.duration), to_ns(scenario.pipeline.timeout)
        self.time, self.retry_delay_ns = service.service.sampler(), to_ns(service.retry_delay)
        stops = [fault for fault in scenario.faults if fault.kind == "stop_service" and fault.service == service.name]
        self.line = _Line(self.clock, len(stops))
        self.answers: dict[int, simpy.Event] | None = {} if scenario.pipeline.coupling == "direct" else None
        self.in_work: dict[simpy.Process, int] = {}
        self.n_calls = self.n_redelivered = self.busy_ns = 0
        n = len(event_ns)
        self.event_ns = self.entered_ns = event_ns
        self.started_ns, self.ended_ns = (np.full(n, NEVER_NS, dtype=np.int64) for _ in range(2))
        self.attempts, self.fate = np.zeros(n, dtype=np.int32), np.full(n, UNFINISHED, dtype=np.int8)
        for worker in range(service.n_workers):
            self.clock.process(self.work(worker))
        for number, fault in enumerate(stops):
            self.clock.process(self.stand_still(number, to_ns(fault.at), to_ns(fault.at + fault.lasts)))

    def read(self, order: np.ndarray, appended_ns: np.ndarray, fetch_ns: np.ndarray) -> Generator:
        """The reader of the log: it keeps the order of the log, and its own offset in it."""
        fetched_ns = np.maximum.accumulate((appended_ns + fetch_ns)[order])
        for place, (event, time_ns) in enumerate(zip(order.tolist(), fetched_ns.tolist(), strict=True)):
            yield self.clock.at(time_ns, Step.FETCHED, self.index, -1, event)
            self.line.put(place, event)

    def call(self, event: int) -> simpy.Event:
        """A direct call: what its caller waits for, an answer or the end of its patience."""
        answer = self.answers[event] = self.clock.event()
        moment = self.clock.at(self.clock.now + self.timeout_ns, Step.TIMEOUT, self.index, -1, event)
        self.clock.call_at(moment, self.settle, event, TIMED_OUT)
        self.n_calls += 1
        self.line.put(self.n_calls, event)
        return answer

    def work(self, worker: int) -> Generator:
        """One worker: an event after the other, each until it is done or given up."""
        me = self.clock.active_process
        while True:
            place, event = yield self.line.get()
            if self.answers is not None and event not in self.answers:
                continue  # its caller waits no longer
            begun_ns = self.in_work[me] = self.started_ns[event] = self.clock.now
            try:
                succeeded = yield from self.attempt(worker, event)
                self.settle(event, DONE if succeeded else DEAD_LETTER)
            except simpy.Interrupt:
                if self.answers is None:  # of a call nobody knows any more; the log still has the event
                    self.n_redelivered += 1
                    self.line.put(place, event)
            del self.in_work[me]
            self.hold(begun_ns, self.clock.now)

    def attempt(self, worker: int, event: int) -> Generator:
        """Attempts at one event until one succeeds or no retry is left; whether one did."""
        for failures in range(self.service.retries + 1):
            if failures and self.retry_delay_ns:
                yield self.clock.at(self.clock.now + self.retry_delay_ns, Step.RETRY, self.index, worker, event)
            number = int(self.attempts[event])
            self.attempts[event] += 1
            time_ns = int(sample_ns(self.time, uniform(self.seed, Stream.SERVICE, self.index, event, number)))
            yield self.clock.at(self.clock.now + time_ns, Step.WORK_END, self.index, worker, event)
            p = self.service.p_failure
            if not p or uniform(self.seed, Stream.FAILURE, self.index, event, number) >= p:
                return True
        return False

    def settle(self, event: int, fate: int) -> None:
        """The fate of an event is known; that of a call only if its caller still waits."""
        if self.answers is not None:
            answer = self.answers.pop(event, None)
            if answer is None:
                return
            answer.succeed()
        self.fate[event], self.ended_ns[event] = fate, self.clock.now

    def pass_over(self, event: int, fate: int) -> None:
        """An event never gets here."""
        self.fate[event], self.ended_ns[event] = fate, self.clock.now

    def stand_still(self, number: int, from_ns: int, to_ns: int) -> Generator:
        """One `stop_service`: workers drop what they hold, and take nothing up until the restart."""
        yield self.clock.at(from_ns, Step.STOP, self.index)
        self.line.n_stops += 1
        for process in list(self.in_work):
            process.interrupt()
        yield self.clock.at(to_ns, Step.RESTART, self.index)
        self.line.n_stops -= 1
        self.line.behind.append(number)
        self.line.match()

    def hold(self, from_ns: int, to_ns: int) -> None:
        """A worker held an event for a time, of which counts what is before the end of the run."""
        self.busy_ns += max(0, min(int(to_ns), self.end_ns) - int(from_ns))

    def served(self) -> Served:
        """What became of the events; what is still in work has held its worker to the end."""
        for begun_ns in self.in_work.values():
            self.hold(begun_ns, self.end_ns)
        return Served(
            self.event_ns, self.entered_ns, self.started_ns, self.ended_ns, self.attempts, self.fate,
            self.n_redelivered, self.busy_ns, self.line.caught_up_ns,
        )  # fmt: skip


class _Pipeline:
    """One run: events, producers and services."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.clock = scenario, Clock()
        self.groups: list[_Group] = []
        times_ns = {
            event.name: arrivals_ns(scenario, index, event, Stream.EVENT) for index, event in enumerate(scenario.events)
        }
        for index, service in enumerate(scenario.services):
            self.groups.append(_Group(self, index, service, times_ns[service.consumes]))
        for index, event in enumerate(scenario.events):
            chain = [group for group in self.groups if group.service.consumes == event.name]
            if scenario.pipeline.coupling == "bus":
                self.append(index, times_ns[event.name], chain)
            else:
                self.produce(index, times_ns[event.name], chain)

    def run(self, progress: Callable[[float], None]) -> PipelineRun:
        """To the end of the drain."""
        limit_ns = to_ns(self.scenario.duration + self.scenario.drain)
        block_ns = max(limit_ns // N_BLOCKS, 1)
        for time_ns in [*range(block_ns, limit_ns, block_ns), limit_ns]:
            self.clock.run(until=self.clock.at(time_ns, Step.END))
            progress(0.0)
        return PipelineRun(self.scenario, tuple(group.served() for group in self.groups))

    def append(self, kind: int, times_ns: np.ndarray, chain: list[_Group]) -> None:
        """Events of one kind are appended to the log, which every service reads on its own."""
        seed, n = self.scenario.seed, len(times_ns)
        append = samples_ns(self.scenario.pipeline.append.sampler(), uniforms(seed, Stream.APPEND, kind, 0, n))
        appended_ns = times_ns + append
        order = np.argsort(appended_ns, kind="stable")
        fetch = self.scenario.pipeline.fetch.sampler()
        for group in chain:
            group.entered_ns = appended_ns
            fetch_ns = samples_ns(fetch, uniforms(seed, Stream.FETCH, group.index, 0, n))
            self.clock.process(group.read(order, appended_ns, fetch_ns))

    def produce(self, kind: int, times_ns: np.ndarray, chain: list[_Group]) -> None:
        """A pool of workers calls the services of the chain for each event of one kind."""
        line = _Line(self.clock)
        self.clock.process(self.place(kind, times_ns, line, chain))
        for _ in range(self.scenario.pipeline.workers):
            self.clock.process(self.call_all(line, chain))

    def place(self, kind: int, times_ns: np.ndarray, line: _Line, chain: list[_Group]) -> Generator:
        """Events occur; one that finds no worker and no room to wait is rejected."""
        for event, time_ns in enumerate(times_ns.tolist()):
            yield self.clock.at(time_ns, Step.EVENT, kind, -1, event)
            if not line.idle and len(line.waiting) >= self.scenario.pipeline.backlog:
                for group in chain:
                    group.pass_over(event, REJECTED)
            else:
                line.put(event, event)

    def call_all(self, line: _Line, chain: list[_Group]) -> Generator:
        """One worker of a producer: it calls a service after the other, until one fails."""
        while True:
            _, event = yield line.get()
            failed = False
            for group in chain:
                if failed:
                    group.pass_over(event, NOT_CALLED)
                    continue
                yield group.call(event)
                failed = group.fate[event] != DONE
