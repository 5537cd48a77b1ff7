"""The servers' event loops: the rules of `engines.reference.servers` and `jobs` on arrays."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import PING_ROUNDS
from realtime_sim.engines.fast.admission import ANSWERED
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.brokers import publish
from realtime_sim.engines.fast.clients import admit, reply
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.drawing import EVENT_COST, EVENT_COST_STREAM, draw_ns
from realtime_sim.engines.fast.jobs import (
    FANOUT,
    HANDSHAKE,
    INGEST,
    PINGS,
    POLL,
    REPLAY,
    REQUEST,
    SEND,
    free_job,
    new_job,
    submit,
    waits_in_backlog,
)
from realtime_sim.engines.fast.ledger import (
    EVERYONE_ROOM,
    FLYING,
    OFFLINE,
    OPEN,
    REPLAYED,
    SERVER_DIED,
    copy_done,
    forget,
    place_of,
)
from realtime_sim.engines.fast.links import hand_over, park, send_in_vain, slot_at
from realtime_sim.engines.fast.recording import SERVER_DIED as DIED
from realtime_sim.engines.fast.subscriptions import free_list, has_bit, subscribe
from realtime_sim.engines.order import Phase
from realtime_sim.trace import SERVER_TOTALS
from realtime_sim.units import NS_PER_S

JOB_END, HEARTBEAT = int(Phase.JOB_END), int(Phase.HEARTBEAT)
JOBS, SENDS, HANDSHAKES = (SERVER_TOTALS.index(name) for name in ("jobs", "sends", "handshakes"))

WANTED = OPEN | FLYING | REPLAYED


@compiled()
def _copy_to(s, server, job, slot, place, client, done_ns):
    """Send one copy, or make a task of it; when the loop is done with that."""
    m = s.messages[slot]
    connection = slot_at(s, server, client)
    if s.task_per_client:
        task = new_job(s, SEND)
        m.copies += 1
        j, t = s.jobs[job], s.jobs[task]
        t.message, t.connection, t.number, t.client = slot, connection, s.connections[connection].serial, client
        t.n, t.a_ns, t.b_ns, t.c_ns = place, j.a_ns, j.arrived_ns, s.now
        # The tasks of a fan-out are a chain from `block` to `n`, in the order of the clients.
        if j.block < 0:
            j.block = task
        else:
            s.jobs[j.n].next = task
        j.n = task
        return done_ns
    done_ns += s.send_ns[m.traffic]
    j = s.jobs[job]
    hand_over(s, slot, place, connection, False, done_ns, j.a_ns, j.arrived_ns, s.now, done_ns)
    s.totals[SENDS, server] += 1
    return done_ns


@compiled()
def _fan_out(s, server, job, wakeup_ns):
    """One message to all local members of its room: the k-th copy leaves after the first k sends."""
    slot = s.jobs[job].message
    m = s.messages[slot]
    decode_ns = draw_ns(s, EVENT_COST, EVENT_COST_STREAM, m.number, server, m.traffic)
    done_ns = s.now + wakeup_ns + decode_ns
    if m.n_idle == 0:
        return done_ns - s.now
    first = s.member_offsets[m.room]
    if m.room == EVERYONE_ROOM:
        for word in range(s.local.shape[1]):
            bits = s.local[server, word]
            client = word * 64
            while bits != 0:
                if bits & np.uint64(1) and s.states[m.block + client] & WANTED == OPEN:
                    done_ns = _copy_to(s, server, job, slot, client, client, done_ns)
                bits >>= np.uint64(1)
                client += 1
    else:
        for place in range(s.member_offsets[m.room + 1] - first):
            client = s.members[first + place]
            if s.states[m.block + place] & WANTED == OPEN and has_bit(s.local, server, client):
                done_ns = _copy_to(s, server, job, slot, place, client, done_ns)
    return done_ns - s.now


@compiled()
def _send(s, server, job, wakeup_ns):
    """One copy to one client, in a task of its own."""
    j = s.jobs[job]
    m = s.messages[j.message]
    cost_ns = wakeup_ns + s.send_ns[m.traffic]
    if s.states[m.block + j.n] & (OPEN | FLYING) == OPEN:
        sent_ns = s.now + cost_ns
        if s.connections[j.connection].serial != j.number:
            send_in_vain(s, j.message, j.n, server, j.client, sent_ns)
        else:
            hand_over(s, j.message, np.int64(j.n), j.connection, False, sent_ns, j.a_ns, j.b_ns, j.c_ns, sent_ns)
        s.totals[SENDS, server] += 1
    return cost_ns


@compiled()
def _replay(s, server, job, wakeup_ns):
    """Catch-up of a client that has come back: one read of the log, then one send for each message."""
    j = s.jobs[job]
    done_ns = s.now + wakeup_ns + s.event_ns
    k = s.connections[j.connection]
    if k.serial == j.number and k.registered:
        for i in range(j.block, j.block + j.n):
            slot = s.lists[i]
            m = s.messages[slot]
            place = place_of(s, m.room, j.client)
            if s.states[m.block + place] & (OPEN | FLYING) == OPEN:
                done_ns += s.send_ns[m.traffic]
                at = m.appended_ns
                hand_over(s, slot, place, j.connection, True, done_ns, at, at, at, at)
                s.totals[SENDS, server] += 1
    for i in range(j.block, j.block + j.n):
        s.messages[s.lists[i]].n_held -= 1
        forget(s, s.lists[i])
    return done_ns - s.now


@compiled()
def _start(s, server, job, wakeup_ns):
    """Nanoseconds of the loop that a job takes; copies set out at their times within it."""
    kind = s.jobs[job].kind
    if kind == FANOUT:
        return _fan_out(s, server, job, wakeup_ns)
    if kind == SEND:
        return _send(s, server, job, wakeup_ns)
    if kind == REPLAY:
        return _replay(s, server, job, wakeup_ns)
    if kind == INGEST:
        return wakeup_ns + s.ingest_ns
    if kind == PINGS:
        return wakeup_ns + np.int64(np.rint(s.ping_s * s.jobs[job].n * NS_PER_S))
    return wakeup_ns + s.jobs[job].a_ns


@compiled()
def _take_up(s, server, loop):
    """A loop takes the oldest job. One that finds it asleep wakes it."""
    v = s.servers[server]
    job = v.first
    j = s.jobs[job]
    v.first = j.next
    v.n_queued -= 1
    if waits_in_backlog(j.kind):
        v.n_waiting -= 1
    p = s.loops[server, loop]
    wakeup_ns = s.wakeup_ns if p.free_since_ns < s.now else 0
    p.job, p.started_ns = job, s.now
    p.service_ns = _start(s, server, job, wakeup_ns)
    insert(s, s.now + p.service_ns, key_of(JOB_END, server, loop), -1, server, loop)


@compiled()
def dispatch(s):
    """Idle loops take up what this event has brought."""
    for i in range(s.n_touched):
        server = s.touched[i]
        v = s.servers[server]
        v.touched = False
        while v.n_queued > 0 and v.n_idle > 0 and not v.dead:
            loop = v.first_idle
            v.first_idle = s.loops[server, loop].next_idle
            v.n_idle -= 1
            _take_up(s, server, loop)
    s.n_touched = 0


@compiled()
def _queue_tasks(s, server, task, last):
    while task >= 0:
        following = s.jobs[task].next
        submit(s, server, task)
        task = following


@compiled()
def _finish(s, server, job):
    """What a job has brought about when it is done."""
    j = s.jobs[job]
    if j.kind == HANDSHAKE:
        s.totals[HANDSHAKES, server] += 1
        if subscribe(s, server, j.client, job):
            return  # the broker's answer goes on from here
        admit(s, server, job)
    elif j.kind == FANOUT:
        _queue_tasks(s, server, j.block, j.n)
        copy_done(s, s.jobs[job].message, OFFLINE)
    elif j.kind == SEND:
        copy_done(s, j.message, OFFLINE)
    elif j.kind == REQUEST:
        reply(s, job, ANSWERED, -1)
    elif j.kind == POLL:
        k = s.connections[j.connection]
        if k.serial == j.number and k.registered:
            park(s, j.connection)
    elif j.kind == INGEST:
        publish(s, j.message, server)
    elif j.kind == REPLAY:
        free_list(s, j.block, j.n)
    free_job(s, job)


@compiled()
def loop_free(s, server, loop):
    """A loop has finished its job."""
    v = s.servers[server]
    if v.dead:
        return
    p = s.loops[server, loop]
    job, p.job = p.job, -1
    p.free_since_ns = s.now
    v.busy_ns += p.service_ns
    s.totals[JOBS, server] += 1
    _finish(s, server, job)
    if v.n_queued > 0 and v.n_idle == 0:
        _take_up(s, server, loop)
        return
    # The loop that has been idle longest is the next to be woken.
    p.next_idle = -1
    if v.n_idle == 0:
        v.first_idle = loop
    else:
        last = v.first_idle
        while s.loops[server, last].next_idle >= 0:
            last = s.loops[server, last].next_idle
        s.loops[server, last].next_idle = loop
    v.n_idle += 1


@compiled()
def _abandon_copy(s, job):
    copy_done(s, s.jobs[job].message, SERVER_DIED)
    free_job(s, job)


@compiled()
def _release_replay(s, job):
    j = s.jobs[job]
    for i in range(j.block, j.block + j.n):
        s.messages[s.lists[i]].n_held -= 1
        forget(s, s.lists[i])
    free_list(s, j.block, j.n)


@compiled()
def _abandon(s, server, job):
    """A server dies with a job."""
    j = s.jobs[job]
    if j.kind == FANOUT:
        task = j.block
        while task >= 0:  # tasks that were not queued yet
            following = s.jobs[task].next
            _abandon_copy(s, task)
            task = following
        _abandon_copy(s, job)
        return
    if j.kind == SEND or j.kind == INGEST:
        _abandon_copy(s, job)
        return
    if (j.kind == HANDSHAKE or j.kind == REQUEST) and not s.servers[server].silent:
        reply(s, job, DIED, -1)
    elif j.kind == REPLAY:
        _release_replay(s, job)
    free_job(s, job)


@compiled()
def ping(s, server, cohort, tick, interval_ns):
    """Ping a share of a cohort's connections, and see to the next share."""
    if s.servers[server].dead:
        return
    n, turn = s.cohort_sizes[server, cohort], tick % PING_ROUNDS
    share = n * (turn + 1) // PING_ROUNDS - n * turn // PING_ROUNDS
    if share > 0:
        job = new_job(s, PINGS)
        s.jobs[job].n = share
        submit(s, server, job)
    key = key_of(HEARTBEAT, server, cohort)
    insert(s, (tick + 1) * interval_ns // PING_ROUNDS, key, -1, server, tick + 1)


@compiled()
def busy_ns(s, server):
    """Nanoseconds of loop time spent so far, work in progress included."""
    spent_ns = s.servers[server].busy_ns
    if not s.servers[server].dead:
        for loop in range(s.n_workers):
            if s.loops[server, loop].job >= 0:
                spent_ns += s.now - s.loops[server, loop].started_ns
    return spent_ns


@compiled(silent=FLAG)
def die(s, server, silent):
    """The process ends: jobs, queue and connections with it."""
    v = s.servers[server]
    v.busy_ns = busy_ns(s, server)
    v.dead, v.silent, v.died_ns = True, silent, s.now
    for loop in range(s.n_workers):
        job = s.loops[server, loop].job
        s.loops[server, loop].job = -1
        if job >= 0:
            if s.jobs[job].kind == REPLAY:
                free_list(s, s.jobs[job].block, s.jobs[job].n)  # its copies have set out already
                free_job(s, job)
            else:
                _abandon(s, server, job)
    job = v.first if v.n_queued > 0 else -1
    v.n_queued, v.n_waiting = 0, 0
    while job >= 0:
        following = s.jobs[job].next
        _abandon(s, server, job)
        job = following
