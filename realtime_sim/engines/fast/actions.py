"""What the control plane does to a run: the rules of `engines.reference.cluster` on arrays.

These functions are called from Python, between two stretches of compiled code, at a time before which everything has
been handled.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import uniform
from realtime_sim.engines.constants import CUT, NORMAL_PACE, PING_ROUNDS
from realtime_sim.engines.fast.agenda import head, insert, key_of, peek
from realtime_sim.engines.fast.brokers import broker_forgets
from realtime_sim.engines.fast.clients import detection_ns, notice
from realtime_sim.engines.fast.compiling import FLAG, FRACTION, NUMBERS, compiled
from realtime_sim.engines.fast.drawing import FAULT_STREAM
from realtime_sim.engines.fast.jobs import PAUSE, new_job, submit_first
from realtime_sim.engines.fast.ledger import BROKER_DOWN, SERVER_AWAY
from realtime_sim.engines.fast.links import broke, give_up_slot, slot_at
from realtime_sim.engines.fast.polling import drop_waiting
from realtime_sim.engines.fast.recording import CLOSED_ABNORMAL, CLOSED_GOING_AWAY
from realtime_sim.engines.fast.servers import die, dispatch
from realtime_sim.engines.fast.state import LOOP, SERVER, WAY
from realtime_sim.engines.fast.subscriptions import send_away, settle_home
from realtime_sim.engines.order import Phase
from realtime_sim.policies.output_buffer import NOT_SOFT

HEALTH, LOST, NOTICES, HEARTBEAT, FAULT = (
    int(phase) for phase in (Phase.HEALTH, Phase.CONNECTION_LOST, Phase.SERVER_NOTICES, Phase.HEARTBEAT, Phase.FAULT)
)


@compiled()
def _now(s, now):
    s.now, s.phase = now, FAULT


@compiled()
def _cut_off(s, slot, how, disturbance):
    broke(s, slot, how)
    d = s.details[s.connections[slot].client]
    if d.fault < 0:
        d.fault = disturbance
        if len(s.cut_ns) > 0:
            s.cut_ns[s.connections[slot].client] = s.now
        s.affected[disturbance] += 1


@compiled(silent=FLAG)
def kill(s, server, silent, disturbance, now, detection):
    """A server dies; its clients notice by a reset, or by a ping that is not answered."""
    _now(s, now)
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
            _cut_off(s, slot, CLOSED_ABNORMAL, disturbance)
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
def drop(s, clients, share, silent, alone, disturbance, now):
    """Connections break on the clients' side; servers learn of it half a round trip later, or by their pings.

    Clients notice at once, and one knows nothing of the other: without an event where nothing comes between, and
    nothing else is done at that time (`alone`).
    """
    s.now, s.phase = now, LOST
    at_once = alone and not silent and _lost_come_next(s)
    for i in range(len(clients)):
        client = clients[i]
        slot = s.clients[client].connection
        if slot < 0 or not s.connections[slot].alive:
            continue
        if uniform(s.seed, FAULT_STREAM, disturbance, client, 0) >= share:
            continue
        k = s.connections[slot]
        k.alive = False
        _cut_off(s, slot, CLOSED_ABNORMAL, disturbance)
        client_ns = detection_ns(s, client, 0) if silent else 0
        server_ns = detection_ns(s, client, 1) if silent else s.clients[client].half_rtt_ns
        insert(s, now + server_ns, key_of(NOTICES, k.server, client), -1, slot, k.serial)
        if at_once:
            notice(s, slot, np.int64(k.serial))
        else:
            insert(s, now + client_ns, key_of(LOST, k.server, client), -1, slot, k.serial)


@compiled()
def close(s, server, n, disturbance, now):
    """A server sends `n` of its clients away, those of the lowest numbers."""
    _now(s, now)
    word = 0
    while n > 0 and s.servers[server].n_connections > 0 and word < s.local.shape[1]:
        bits = s.local[server, word]
        client = word * 64
        while bits != 0 and n > 0:
            if bits & np.uint64(1):
                slot = slot_at(s, server, client)
                if s.connections[slot].alive:
                    _cut_off(s, slot, CLOSED_GOING_AWAY, disturbance)
                send_away(s, slot, s.connections[slot].serial)
                n -= 1
            bits >>= np.uint64(1)
            client += 1
        word += 1


@compiled()
def pause(s, server, pause_ns, now):
    """Every loop of a server does nothing for so long, as soon as it is done with its job."""
    _now(s, now)
    if s.servers[server].dead:
        return
    for _ in range(s.n_workers):
        job = new_job(s, PAUSE)
        s.jobs[job].a_ns = pause_ns
        submit_first(s, server, job)
    dispatch(s)


@compiled()
def set_pace(s, server, permille, now):
    """From the next job on, work takes a server so many thousandths of its cost."""
    _now(s, now)
    s.servers[server].pace = permille


@compiled(ready=FLAG)
def set_ready(s, server, ready, now):
    """The balancer sends new connections to a server, or no more."""
    _now(s, now)
    if not s.servers[server].dead:
        s.healthy[server] = ready


@compiled()
def first_ping(s, server, cohort):
    """See to a server's next ping of a cohort."""
    interval_ns = s.ping_interval_ns[cohort]
    tick = s.now * PING_ROUNDS // interval_ns + 1
    insert(s, tick * interval_ns // PING_ROUNDS, key_of(HEARTBEAT, server, cohort), -1, server, tick)


@compiled()
def _grow(s):
    """Room for twice as many servers."""
    n = len(s.servers)
    servers = np.zeros(2 * n, dtype=SERVER)
    servers[:n] = s.servers
    s.servers = servers
    loops = np.zeros((2 * n, s.n_workers), dtype=LOOP)
    loops[:n] = s.loops
    s.loops = loops
    touched, load = np.zeros(2 * n, dtype=np.int64), np.zeros(2 * n, dtype=np.int64)
    load[:n] = s.load
    s.touched, s.load = touched, load
    healthy = np.zeros(2 * n, dtype=np.bool_)
    healthy[:n] = s.healthy
    s.healthy = healthy
    local = np.zeros((2 * n, s.local.shape[1]), dtype=np.uint64)
    local[:n] = s.local
    s.local = local
    sizes = np.zeros((2 * n, s.cohort_sizes.shape[1]), dtype=np.int64)
    sizes[:n] = s.cohort_sizes
    s.cohort_sizes = sizes
    totals = np.zeros((s.totals.shape[0], 2 * n), dtype=np.int64)
    totals[:, :n] = s.totals
    s.totals = totals


@compiled()
def _grow_broker(s):
    """Room for what the broker knows of each server."""
    n_words = (len(s.servers) + 63) // 64
    if s.per_room and n_words > s.channels.shape[1]:
        for which in range(2):
            old = s.wanted if which else s.channels
            table = np.zeros((len(old), n_words), dtype=np.uint64)
            table[:, : old.shape[1]] = old
            if which:
                s.wanted = table
            else:
                s.channels = table
    ways = np.zeros((len(s.servers), s.n_ways), dtype=WAY)
    ways[: len(s.ways)] = s.ways
    s.ways = ways
    n, more = len(s.batch_first), (len(s.servers) + 1) * s.n_threads
    if n > 1 and more > n:
        first, last = np.full(more, -1, dtype=np.int64), np.full(more, -1, dtype=np.int64)
        filled, serial = np.zeros(more, dtype=np.int64), np.zeros(more, dtype=np.int64)
        first[:n], last[:n], filled[:n], serial[:n] = s.batch_first, s.batch_last, s.batch_filled, s.batch_serial
        s.batch_first, s.batch_last, s.batch_filled, s.batch_serial = first, last, filled, serial


@compiled()
def start(s, now):
    """One more server process runs, and is ready at once. Returns its number."""
    _now(s, now)
    server = s.n_servers
    if server == len(s.servers):
        _grow(s)
        _grow_broker(s)
    s.n_servers += 1
    v = s.servers[server]
    v.died_ns, v.pace = -1, NORMAL_PACE
    v.position = v.committed = v.handed = s.n_log
    v.parked = s.has_history and not s.down
    v.held_first, v.why = -1, SERVER_AWAY
    for i in range(s.n_ways):
        way = s.ways[server, i]
        way.joined, way.answered, way.soft_since_ns = not s.down, not s.down, NOT_SOFT
    if s.down:
        v.link, v.why = CUT, BROKER_DOWN
    for loop in range(s.n_workers):
        s.loops[server, loop].job, s.loops[server, loop].free_ns = -1, -1
    s.healthy[server] = True
    if s.ping_s > 0.0:
        for cohort in range(len(s.cohorts)):
            if s.ping_interval_ns[cohort] > 0 and not s.cohorts[cohort].polls:
                first_ping(s, server, cohort)
    return server


@compiled()
def note_disturbance(s, disturbance):
    """Room to count whom a disturbance cuts off."""
    if disturbance >= len(s.affected):
        affected = np.zeros(2 * disturbance, dtype=np.int64)
        affected[: len(s.affected)] = s.affected
        s.affected = affected


CALLED = (kill, drop, close, pause, set_pace, set_ready, start, note_disturbance)
"""What is called from Python, where a scenario has anything to do for the control plane."""
