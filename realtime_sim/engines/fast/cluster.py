"""The compiled engine as a `Cluster` of the control plane: faults and samples between stretches of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import simpy

from realtime_sim.control import Control, Instance, Observation, start_control
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.fast import actions, broker_faults
from realtime_sim.engines.fast.apart import Apart
from realtime_sim.engines.fast.clients import begin
from realtime_sim.engines.fast.compiling import NUMBERS, compiled
from realtime_sim.engines.fast.kernel import advance, drain
from realtime_sim.engines.fast.ledger import close_books
from realtime_sim.engines.fast.memory import release
from realtime_sim.engines.fast.servers import busy_ns
from realtime_sim.engines.fast.setup import make_state
from realtime_sim.engines.order import Phase
from realtime_sim.recorder import Recorder
from realtime_sim.trace import SERVER_TOTALS, Trace
from realtime_sim.transports import TRANSPORTS
from realtime_sim.units import from_ns, to_ns
from realtime_sim.workload import Workload

__all__ = ["CALLED", "CompiledCluster"]

BUSY, LINK_BUSY, DIED, SENDS = (SERVER_TOTALS.index(name) for name in ("busy_ns", "link_busy_ns", "died_ns", "sends"))

ONE_BY_ONE = ("drain_server", "rolling_deploy", "rebalance")
"""Faults that cut clients off one after the other."""

CONNECTIONS = 0
"""Row of `_snapshot`."""


class CompiledCluster:
    """One run: the state, and the control processes that look at it."""

    def __init__(self, workload: Workload, recorder: Recorder, control: Sequence[Control] = ()) -> None:
        self.workload, self.scenario, self.recorder = workload, workload.scenario, recorder
        at_once = all(fault.kind not in ONE_BY_ONE for fault in self.scenario.faults)
        self._cuts_one_by_one = bool(control) or self.scenario.autoscaling is not None or not at_once
        self.state = make_state(workload, recorder, self._cuts_one_by_one)
        self.clock = Clock()
        self.end_ns = to_ns(self.scenario.duration)
        self._n_samples, self._was_disturbed = 0, False
        start_control(self.clock, self, self.scenario, recorder, control)

    def run(self, progress: Callable[[float], None]) -> Trace:
        """From the first event to the last."""
        try:
            return self._run(progress)
        except BaseException:  # `progress` has given the run up
            _free(self.state)
            raise

    def _run(self, progress: Callable[[float], None]) -> Trace:
        _begin_all(self.state, self.workload.connect_ns)
        self._start_pings()
        time_ns = 0
        while self.clock.peek() <= self.end_ns:
            before_ns, time_ns = time_ns, self.clock.peek()
            self._advance(time_ns, before_ns, progress)
            progress(from_ns(time_ns))
            while self.clock.peek() == time_ns:
                self.clock.step()
        self._advance(self.end_ns + 1, time_ns, progress)
        while drain(self.state, self.end_ns + to_ns(self.scenario.drain)):
            progress(self.scenario.duration)
        if self._was_disturbed:
            broker_faults.run_over(self.state)
        close_books(self.state)
        return self._trace()

    def _advance(self, until_ns: int, since_ns: int, progress: Callable[[float], None]) -> None:
        """Handle everything before `until_ns`; only the control plane can break a connection by surprise, and it does
        nothing before its next moment that is no sample. What takes long is reported, and may be given up."""
        _set_horizon(self.state, min(self.clock.next_besides(Phase.SAMPLE), self.end_ns + 1), until_ns)
        while advance(self.state, until_ns):
            progress(from_ns(since_ns))

    def _start_pings(self) -> None:
        if self.scenario.servers.resolved_costs.ping_s == 0:
            return
        for index, cohort in enumerate(self.scenario.clients):
            if cohort.keepalive is not None and not TRANSPORTS[cohort.transport].request_per_message:
                for server in range(self.scenario.servers.count):
                    actions.first_ping(self.state, server, index)

    def _trace(self) -> Trace:
        recorder = self.recorder
        if len(recorder.disturbances) > len(self.scenario.faults):  # also those that never cut anybody off
            actions.note_disturbance(self.state, len(recorder.disturbances) - 1)
        totals, rows, recovered, affected, full_buffers, never_connected = _final(self.state)
        _free(self.state)  # before the trace is made, which takes room of its own
        for name, row in zip(SERVER_TOTALS, totals, strict=True):
            if name != "started_ns":  # known already
                recorder.servers[name][:] = row
        for number in range(len(recorder.disturbances)):
            recorder.affected[number] = int(affected[number]) if number < len(affected) else 0
            back = recovered[recovered[:, 0] == number]
            recorder.recovery[number] = back[:, 1]
            recorder.away[number] = back[:, 1] - (
                back[:, 2] if self._cuts_one_by_one else recorder.disturbances[number][1]
            )
        for time_ns, server, held_bytes in full_buffers.tolist():
            recorder.buffer_full(time_ns, server, held_bytes)
        recorder.count("never_connected", int(never_connected))
        if len(self.scenario.clients) == 1 and recorder.batch_count.any():
            recorder.histogram[0] = recorder.batch_histogram.sum(axis=0)
            recorder.sum_ns[0] = recorder.batch_sum_ns.sum(axis=0)
        if recorder.level == "full":
            recorder.keep(rows)
        return recorder.trace("fast")

    # The `Machinery` of `realtime_sim.control`.

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, for a control process."""
        return self.clock.at(time_ns, Phase[phase.upper()])

    def start_server(self) -> int:
        """One more server process runs, and is ready at once."""
        self.recorder.add_server(self.clock.now)
        return int(actions.start(self.state, self.clock.now))

    def set_ready(self, server: int, ready: bool) -> None:
        """The balancer sends new connections to a server, or no more."""
        actions.set_ready(self.state, server, ready, self.clock.now)

    def kill(self, server: int, silent: bool, disturbance: int) -> None:
        """A server dies; its clients notice by a reset, or by a ping that is not answered."""
        actions.note_disturbance(self.state, disturbance)
        detection_ns = to_ns(self.scenario.balancer.detection)
        actions.kill(self.state, server, silent, disturbance, self.clock.now, detection_ns)

    def stop(self, server: int, disturbance: int) -> None:
        """A server ends in order: no request finds it, and whoever is left is cut off by a reset."""
        self.set_ready(server, False)
        self.kill(server, False, disturbance)

    def close_connections(self, server: int, n: int, disturbance: int) -> int:
        """A server sends clients away."""
        before = int(_snapshot(self.state, self.clock.now)[0][CONNECTIONS, server])
        if n > 0:
            actions.note_disturbance(self.state, disturbance)
            actions.close(self.state, server, n, disturbance, self.clock.now)
        return before

    def pause(self, server: int, pause_ns: int) -> None:
        """Every loop of a server does nothing for so long, as soon as it is done with its job."""
        actions.pause(self.state, server, pause_ns, self.clock.now)

    def set_pace(self, server: int, permille: int) -> None:
        """From the next job on, work takes a server so many thousandths of its cost."""
        actions.set_pace(self.state, server, permille, self.clock.now)

    def drop_clients(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        """Connections break on the clients' side; servers learn of it half a round trip later, or by their pings."""
        actions.note_disturbance(self.state, disturbance)
        clients = self.workload.clients_of(cohort)
        # A fault of the scenario is all its process does then; what a user's does next is not known.
        alone = disturbance < len(self.scenario.faults) and self.clock.next_besides(Phase.SAMPLE) > self.clock.now
        actions.drop(self.state, clients, share, silent, alone, disturbance, self.clock.now)

    def partition(self, server: int, silent: bool) -> bool:
        """A server and the broker cannot reach each other."""
        self._was_disturbed = True
        return bool(broker_faults.partition(self.state, server, silent, self.clock.now))

    def heal(self, server: int) -> bool:
        """A server and the broker can reach each other again."""
        return bool(broker_faults.heal(self.state, server, self.clock.now))

    def stop_broker(self) -> bool:
        """The broker stops."""
        self._was_disturbed = True
        return bool(broker_faults.stop_broker(self.state, self.clock.now))

    def start_broker(self) -> bool:
        """The broker runs again."""
        return bool(broker_faults.start_broker(self.state, self.clock.now))

    def set_broker_pace(self, permille: int) -> None:
        """From the next request on, work takes the broker so many thousandths of its cost."""
        broker_faults.set_broker_pace(self.state, permille, self.clock.now)

    def observe(self) -> Observation:
        """What there is to see now."""
        per_server, *_ = _snapshot(self.state, self.clock.now)
        connections, queued, busy, _, ready, alive, sends = per_server.tolist()
        started_ns = self.recorder.servers["started_ns"].tolist()
        return Observation(
            time_s=float(from_ns(self.clock.now)),
            instances=tuple(
                Instance(
                    number=number,
                    alive=bool(alive[number]),
                    ready=bool(ready[number]),
                    started_s=float(from_ns(started_ns[number])),
                    connections=connections[number],
                    queue_length=queued[number],
                    busy_s=float(from_ns(busy[number])),
                    sends=sends[number],
                )
                for number in range(len(connections))
            ),
        )

    def sample(self) -> None:
        """Record one sample."""
        per_server, busy_threads_ns, broker_queue, subscriptions = _snapshot(self.state, self.clock.now)
        under_way, area_ns = _see_changes(self.state, self._n_samples)
        self._n_samples += 1
        connections, queued, busy, link_busy, ready, alive, _ = per_server
        self.recorder.sample(
            time_ns=self.clock.now,
            connections=connections.tolist(),
            queue_length=queued.tolist(),
            busy_ns=busy.tolist(),
            link_busy_ns=link_busy.tolist(),
            ready=(ready & alive).tolist(),
            under_way=int(under_way),
            under_way_area_ns=int(area_ns),
            broker_busy_ns=busy_threads_ns.tolist(),
            broker_queue=int(broker_queue),
            subscriptions=int(subscriptions),
            client_busy_ns=[],
            publisher_busy_ns=0,
        )


@compiled(connect_ns=NUMBERS)
def _begin_all(s, connect_ns):
    for client in range(len(connect_ns)):
        begin(s, client, connect_ns[client])


@compiled()
def _set_horizon(s, horizon, until):
    s.horizon_ns, s.until_ns = horizon, until


@compiled()
def _free(s):
    """Give back the memory of tables that have grown."""
    release(s)


@compiled()
def _see_changes(s, sample):
    """What lay ahead until this sample: counters, and deliveries that were booked when they were sent.

    Returns how many are under way, and the integral of that over time, nanoseconds.
    """
    for what in range(len(s.counters)):
        s.counters[what] += s.ahead[what, sample]
    if sample > 0:
        s.changes[sample] += s.changes[sample - 1]
        s.change_sum_ns[sample] += s.change_sum_ns[sample - 1]
    return s.changes[sample], s.changes[sample] * s.now - s.change_sum_ns[sample]


@compiled()
def _final(s):
    never = 0
    for client in range(len(s.clients)):
        never += s.clients[client].attempt > 0 and s.details[client].n_connections == 0
    for server in range(s.n_servers):
        v = s.servers[server]
        s.totals[BUSY, server], s.totals[LINK_BUSY, server] = busy_ns(s, server), v.link_busy_ns
        s.totals[DIED, server] = v.died_ns
    return (
        s.totals[:, : s.n_servers].copy(),
        s.rows[: s.n_rows].copy(),
        s.recovered[: s.n_recovered].copy(),
        s.affected.copy(),
        s.full_buffers[: s.n_full_buffers].copy(),
        never,
    )


@compiled()
def _snapshot(s, now):
    s.now = now
    per_server = np.zeros((7, s.n_servers), dtype=np.int64)
    joined = 0
    for server in range(s.n_servers):
        v = s.servers[server]
        for i in range(s.n_ways):
            joined += not v.dead and s.ways[server, i].joined
        per_server[CONNECTIONS, server], per_server[1, server] = v.n_connections, v.n_queued
        per_server[2, server], per_server[3, server] = busy_ns(s, server), v.link_busy_ns
        per_server[4, server], per_server[5, server] = s.healthy[server], not v.dead
        per_server[6, server] = s.totals[SENDS, server]
    busy_threads_ns, broker_queue = np.zeros(len(s.stations), dtype=np.int64), 0
    for station in range(len(s.stations)):
        b = s.stations[station]
        busy_threads_ns[station] = b.busy_ns - (b.service_ns if b.op < 0 and b.free_ns >= now else 0)
        broker_queue += s.stations[station].n
    subscriptions = s.n_subscriptions if s.per_room else 0 if len(s.stations) == 0 else joined
    return per_server, busy_threads_ns, broker_queue, subscriptions


CALLED = (
    _begin_all, actions.first_ping, _set_horizon, advance, drain, close_books, _see_changes, _snapshot, _final, _free,
    *Apart.all.values(),
)  # fmt: skip
"""Compiled functions that are called from here, or by their address."""
