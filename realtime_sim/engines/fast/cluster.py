"""The compiled engine as a `Cluster` of the control plane: faults and samples between stretches of compiled code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import simpy

from realtime_sim.control import start_control
from realtime_sim.draws import uniform
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.constants import PING_ROUNDS
from realtime_sim.engines.fast.agenda import head, insert, key_of, peek
from realtime_sim.engines.fast.apart import Apart
from realtime_sim.engines.fast.brokers import broker_forgets
from realtime_sim.engines.fast.clients import begin, detection_ns, notice
from realtime_sim.engines.fast.compiling import FLAG, FRACTION, NUMBERS, compiled
from realtime_sim.engines.fast.drawing import FAULT_STREAM
from realtime_sim.engines.fast.kernel import advance, drain
from realtime_sim.engines.fast.ledger import close_books
from realtime_sim.engines.fast.links import broke, give_up_slot
from realtime_sim.engines.fast.memory import release
from realtime_sim.engines.fast.polling import drop_waiting
from realtime_sim.engines.fast.servers import busy_ns, die
from realtime_sim.engines.fast.setup import make_state
from realtime_sim.engines.fast.subscriptions import settle_home
from realtime_sim.engines.order import Phase
from realtime_sim.recorder import Recorder
from realtime_sim.trace import SERVER_TOTALS, Trace
from realtime_sim.transports import TRANSPORTS
from realtime_sim.units import from_ns, to_ns
from realtime_sim.workload import Workload

__all__ = ["CALLED", "CompiledCluster"]

HEALTH, LOST, NOTICES, HEARTBEAT = (
    int(phase) for phase in (Phase.HEALTH, Phase.CONNECTION_LOST, Phase.SERVER_NOTICES, Phase.HEARTBEAT)
)

BUSY, LINK_BUSY, DIED = (SERVER_TOTALS.index(name) for name in ("busy_ns", "link_busy_ns", "died_ns"))


class CompiledCluster:
    """One run: the state, and the control processes that look at it."""

    def __init__(self, workload: Workload, recorder: Recorder) -> None:
        self.workload, self.scenario, self.recorder = workload, workload.scenario, recorder
        self.state = make_state(workload, recorder)
        self.clock = Clock()
        self.end_ns = to_ns(self.scenario.duration)
        self._fault_ns = sorted(to_ns(event.at) for event in self.scenario.faults)
        self._n_samples = 0
        start_control(self.clock, self, self.scenario)

    def run(self, progress: Callable[[float], None]) -> Trace:
        """From the first event to the last."""
        _begin_all(self.state, self.workload.connect_ns)
        self._start_pings()
        while self.clock.peek() <= self.end_ns:
            time_ns = self.clock.peek()
            self._advance(time_ns)
            progress(from_ns(time_ns))
            while self.clock.peek() == time_ns:
                self.clock.step()
        self._advance(self.end_ns + 1)
        while drain(self.state, self.end_ns + to_ns(self.scenario.drain)):
            progress(self.scenario.duration)
        close_books(self.state)
        return self._trace()

    def _advance(self, until_ns: int) -> None:
        """Handle everything before `until_ns`; nothing but a fault can break a connection by surprise."""
        faults = [time_ns for time_ns in self._fault_ns if time_ns >= until_ns]
        _set_horizon(self.state, min([*faults, self.end_ns + 1]), until_ns)
        while advance(self.state, until_ns):
            pass

    def _start_pings(self) -> None:
        if self.scenario.servers.resolved_costs.ping_s == 0:
            return
        for index, cohort in enumerate(self.scenario.clients):
            if cohort.keepalive is not None and not TRANSPORTS[cohort.transport].request_per_message:
                for server in range(self.scenario.servers.count):
                    _first_ping(self.state, server, index)

    def _trace(self) -> Trace:
        recorder = self.recorder
        totals, rows, recovered, affected, never_connected = _final(self.state)
        _free(self.state)  # before the trace is made, which takes room of its own
        for row, name in enumerate(SERVER_TOTALS):
            recorder.servers[name][:] = totals[row]
        recorder.affected = affected[: len(self.scenario.faults)].tolist()
        for fault in range(len(self.scenario.faults)):
            recorder.recovery[fault] = recovered[recovered[:, 0] == fault, 1]
        recorder.count("never_connected", int(never_connected))
        if len(self.scenario.clients) == 1 and recorder.batch_count.any():
            recorder.histogram[0] = recorder.batch_histogram.sum(axis=0)
            recorder.sum_ns[0] = recorder.batch_sum_ns.sum(axis=0)
        if recorder.level == "full":
            recorder.keep(rows)
        return recorder.trace("fast")

    # The Cluster protocol of `realtime_sim.control`.

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, for a control process."""
        return self.clock.at(time_ns, Phase[phase.upper()])

    def kill(self, server: int, silent: bool, fault: int) -> None:
        """A server dies; its clients notice by a reset, or by a ping that is not answered."""
        _kill(self.state, server, silent, fault, self.clock.now, to_ns(self.scenario.balancer.detection))

    def drop_clients(self, cohort: str, share: float, silent: bool, fault: int) -> None:
        """Connections break on the clients' side; servers learn of it half a round trip later, or by their pings."""
        alone = self._fault_ns.count(self.clock.now) == 1
        _drop(self.state, self.workload.clients_of(cohort), share, silent, alone, fault, self.clock.now)

    def observe(self) -> None:
        """Record one sample."""
        per_server, busy_threads_ns, broker_queue, subscriptions = _snapshot(self.state, self.clock.now)
        under_way, area_ns = _see_changes(self.state, self._n_samples)
        self._n_samples += 1
        self.recorder.sample(
            time_ns=self.clock.now,
            connections=per_server[0].tolist(),
            queue_length=per_server[1].tolist(),
            busy_ns=per_server[2].tolist(),
            link_busy_ns=per_server[3].tolist(),
            under_way=int(under_way),
            under_way_area_ns=int(area_ns),
            broker_busy_ns=busy_threads_ns.tolist(),
            broker_queue=int(broker_queue),
            subscriptions=int(subscriptions),
        )


@compiled(connect_ns=NUMBERS)
def _begin_all(s, connect_ns):
    for client in range(len(connect_ns)):
        begin(s, client, connect_ns[client])


@compiled()
def _set_horizon(s, horizon, until):
    s.horizon_ns, s.until_ns = horizon, until


@compiled()
def _first_ping(s, server, cohort):
    insert(s, s.ping_interval_ns[cohort] // PING_ROUNDS, key_of(HEARTBEAT, server, cohort), -1, server, 1)


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
    return s.totals.copy(), s.rows[: s.n_rows].copy(), s.recovered[: s.n_recovered].copy(), s.affected.copy(), never


@compiled()
def _snapshot(s, now):
    s.now = now
    per_server = np.zeros((4, s.n_servers), dtype=np.int64)
    alive = 0
    for server in range(s.n_servers):
        v = s.servers[server]
        alive += not v.dead
        per_server[0, server], per_server[1, server] = v.n_connections, v.n_queued
        per_server[2, server], per_server[3, server] = busy_ns(s, server), v.link_busy_ns
    busy_threads_ns, broker_queue = np.zeros(len(s.stations), dtype=np.int64), 0
    for station in range(len(s.stations)):
        b = s.stations[station]
        busy_threads_ns[station] = b.busy_ns - (b.service_ns if b.op < 0 and b.free_ns >= now else 0)
        broker_queue += s.stations[station].n
    subscriptions = s.n_subscriptions if s.per_room else 0 if len(s.stations) == 0 else alive
    return per_server, busy_threads_ns, broker_queue, subscriptions


@compiled()
def _cut_off(s, slot, fault):
    broke(s, slot)
    d = s.details[s.connections[slot].client]
    if d.fault < 0:
        d.fault = fault
        s.affected[fault] += 1


@compiled(silent=FLAG)
def _kill(s, server, silent, fault, now, detection):
    s.now = now
    v = s.servers[server]
    if v.dead:
        return
    die(s, server, silent)
    broker_forgets(s, server)
    insert(s, now + detection, key_of(HEALTH, server, -1), -1, server, 0)
    for slot in range(s.n_connections):
        k = s.connections[slot]
        if not k.registered or k.server != server:
            continue
        k.registered = False
        settle_home(s, k.client)
        if k.polls:
            drop_waiting(s, slot)
        s.load[server] -= 1
        if k.alive:
            _cut_off(s, slot, fault)
            delay_ns = detection_ns(s, k.client, 0) if silent else s.clients[k.client].half_rtt_ns
            insert(s, now + delay_ns, key_of(LOST, server, k.client), -1, slot, k.serial)
        give_up_slot(s, slot)
    s.local[server, :] = 0
    s.cohort_sizes[server, :] = 0
    s.n_registered -= v.n_connections
    v.n_connections = 0


@compiled()
def _lost_come_next(s):
    """Whether nothing that is due now comes before clients notice what they have lost, or with them."""
    return peek(s) != s.now or head(s)[0] >= key_of(NOTICES, -1, -1)


@compiled(clients=NUMBERS, share=FRACTION, silent=FLAG, alone=FLAG)
def _drop(s, clients, share, silent, alone, fault, now):
    """Clients notice at once, and one knows nothing of the other: without an event where nothing comes between."""
    s.now, s.phase = now, LOST
    at_once = alone and not silent and _lost_come_next(s)
    for i in range(len(clients)):
        client = clients[i]
        slot = s.clients[client].connection
        if uniform(s.seed, FAULT_STREAM, fault, client, 0) >= share or slot < 0 or not s.connections[slot].alive:
            continue
        k = s.connections[slot]
        k.alive = False
        _cut_off(s, slot, fault)
        client_ns = detection_ns(s, client, 0) if silent else 0
        server_ns = detection_ns(s, client, 1) if silent else s.clients[client].half_rtt_ns
        insert(s, now + server_ns, key_of(NOTICES, k.server, client), -1, slot, k.serial)
        if at_once:
            notice(s, slot, np.int64(k.serial))
        else:
            insert(s, now + client_ns, key_of(LOST, k.server, client), -1, slot, k.serial)


CALLED = (
    _begin_all, _first_ping, _set_horizon, advance, drain, close_books, _kill, _drop, _see_changes, _snapshot, _final,
    _free, *Apart.all.values(),
)  # fmt: skip
"""Compiled functions that are called from here, or by their address."""
