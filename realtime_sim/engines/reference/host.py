"""The host: one machine whose cores all processes share, where the scenario has one; and what runs on it besides.

The rule: a piece of work that begins while b processes of the host are at work, itself included, takes
max(1, b / cores) times its cost. That is processor sharing, looked at when a piece begins; what begins or ends
meanwhile does not change it.

- Processes are every loop of every server, the threads of the broker, the processes that play the clients, and the
  backend's publisher. One is at work from the beginning of a piece to its end, and on without a gap if more waits for
  it then. A loop that is paused is not: no core is busy with it.
- A piece is a job of a loop, a request at the broker, a message received, a connection attempt, a publish. A job that
  sends to many, a fan-out or a replay, is done in pieces of `slice` sends that follow one another: before each of them
  the loop sees who is at work then, and which of its recipients still wait.
- A loop that is asleep takes a message from the broker up after `wakeup`, a client's process its own after
  `receive_wakeup`: a first customer that is an exception (Welch 1964). It waits for the loop, and is served by the
  process. Meanwhile the loop is at work, for it wants a core.
- At one time, what ends later in the written order is still at work.
- A client has a message when its process is done with it, if its connection still stands; of a long poll it has the
  whole answer at once. That its server closes the connection it reads in its turn, behind what was sent before. A
  reset it learns at once.

How near that is to processor sharing itself (tests/test_engine_host_theory.py): on one core the mean time of Poisson
jobs of one piece each is the same, s / (1 - rho), whatever their service; on two and four cores it is 5 % and 7 % below
at a utilization of 0.8. The time that a server and its clients together are at work on one core is up to 7 % too long
where they work at independent times; it is up to 20 % too short where a fan-out is one piece, for its clients begin
after it has, and 2 % in ten slices.

Without a host everybody has a core of its own, fan-outs are one piece, clients take no time, and there is no publisher.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable
from typing import TYPE_CHECKING

import simpy

from realtime_sim.draws import Stream
from realtime_sim.engines.order import Phase
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.ledger import Message
    from realtime_sim.engines.reference.system import System

__all__ = ["ClientProcess", "Host", "Process", "Publisher"]


class Host:
    """The machine: who is at work on it now. With `cores` of None everybody has one."""

    def __init__(self, cores: int | None) -> None:
        self.cores = cores
        self.at_work: set[Hashable] = set()

    def works(self, process: Hashable) -> None:
        """A process begins a piece, or is at work already."""
        self.at_work.add(process)

    def rests(self, process: Hashable) -> None:
        """A process has nothing to do."""
        self.at_work.discard(process)

    def takes_ns(self, cost_ns: int) -> int:
        """What work of this cost takes in a piece that begins now, its own process being at work."""
        if self.cores is None:
            return cost_ns
        return cost_ns * max(len(self.at_work), self.cores) // self.cores


class Process:
    """A process of the host that is neither server nor broker: one piece after the other, first come, first served."""

    def __init__(self, system: System, number: int) -> None:
        self.clock, self.host, self.number = system.clock, system.host, number
        self.pieces = simpy.Store(self.clock)
        self.n_open = 0
        self._busy_ns = 0
        self._started_ns: int | None = None
        self.clock.process(self.serve())

    @property
    def busy_ns(self) -> int:
        """Nanoseconds at work so far, on a core or waiting for one."""
        return self._busy_ns + (0 if self._started_ns is None else self.clock.now - self._started_ns)

    def work(self, cost_ns: int, wakeup_ns: int = 0) -> simpy.Event:
        """Queue a piece of work, which costs `wakeup_ns` more if it finds the process asleep; the event is its end."""
        done = simpy.Event(self.clock)
        self.n_open += 1
        self.pieces.put((cost_ns, wakeup_ns, done))
        return done

    def serve(self) -> Generator:
        """The life of the process."""
        free_since_ns = -1
        while True:
            cost_ns, wakeup_ns, done = yield self.pieces.get()
            self._started_ns = self.clock.now
            self.host.works(self)
            took_ns = self.host.takes_ns(cost_ns + (wakeup_ns if free_since_ns < self.clock.now else 0))
            yield self.clock.at(self.clock.now + took_ns, Phase.PROCESS_JOB_END, self.number)
            free_since_ns = self.clock.now
            self._started_ns = None
            self._busy_ns += took_ns
            self.n_open -= 1
            if not self.n_open:
                self.host.rests(self)
            done.succeed()


class ClientProcess(Process):
    """A process that plays clients: what they receive, and their attempts to connect."""

    def __init__(self, system: System, number: int) -> None:
        super().__init__(system, number)
        self.system, parameters = system, system.scenario.host
        costs = parameters.receive, parameters.receive_wakeup
        self.receive_costs = [cost.sampler() for cost in costs]
        self.mean_costs_ns = [to_ns(cost.mean_s) for cost in costs]
        self.connect_ns = to_ns(parameters.connect)

    def receive(self, message: Message | None, client: int) -> simpy.Event:
        """A message has arrived, or an answer to a long poll that ends with it, or has none: the event is when its
        client has it."""
        if message is None:
            return self.work(*self.mean_costs_ns)
        address = message.number, client, message.traffic
        streams = zip(self.receive_costs, (Stream.RECEIVE, Stream.RECEIVE_WAKEUP), strict=True)
        return self.work(*(self.system.draw_ns(cost, stream, *address) for cost, stream in streams))

    def connect(self) -> simpy.Event:
        """A client wants to connect: the event is when its request leaves."""
        return self.work(self.connect_ns)

    def comes_to(self) -> simpy.Event | None:
        """When it has read what has arrived so far; None if it has."""
        return self.work(0) if self.n_open else None


class Publisher(Process):
    """The process from which the backend publishes."""

    def __init__(self, system: System) -> None:
        super().__init__(system, -1)
        self.publish_ns = to_ns(system.scenario.host.publish)

    def publish(self) -> simpy.Event:
        """A message is to be published: the event is when it leaves for the broker."""
        return self.work(self.publish_ns)
