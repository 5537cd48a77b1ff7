"""What a loop does with a job, and how long that takes it: the rules of `engines.reference.jobs` on arrays."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import NORMAL_PACE
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.drawing import EVENT_COST, EVENT_COST_STREAM, draw_ns
from realtime_sim.engines.fast.jobs import (
    FANOUT,
    INGEST,
    PAUSE,
    PINGS,
    POLL,
    REPLAY,
    SEND,
    free_job,
    new_job,
)
from realtime_sim.engines.fast.ledger import (
    EVERYONE_ROOM,
    FLYING,
    GOT,
    OFFLINE,
    OPEN,
    REPLAYED,
    copy_done,
    forget,
    place_of,
)
from realtime_sim.engines.fast.links import hand_over, send_in_vain, slot_at
from realtime_sim.engines.fast.polling import park
from realtime_sim.engines.fast.subscriptions import free_list, is_at
from realtime_sim.trace import SERVER_TOTALS
from realtime_sim.units import NS_PER_S

SENDS = SERVER_TOTALS.index("sends")

WANTED = OPEN | FLYING | REPLAYED

AGAIN = 1
"""In a job's `number`, or a task's `block`: the broker has handed the message out before."""

FEW_MEMBERS = 64
"""Recipients of a larger room are not looked at twice."""


@compiled()
def paced(s, server, cost_ns):
    """What work of this cost takes a server, slow as it is now."""
    return cost_ns * s.servers[server].pace // NORMAL_PACE


@compiled()
def _copy_to(s, server, job, slot, place, connection, started_ns, done_ns):
    """Send one copy, or make a task of it; when the loop is done with that."""
    m = s.messages[slot]
    if s.task_per_client:
        task = new_job(s, SEND)
        m.copies += 1
        j, t = s.jobs[job], s.jobs[task]
        k = s.connections[connection]
        t.message, t.connection, t.number, t.client = slot, connection, k.serial, k.client
        t.n, t.a_ns, t.b_ns, t.c_ns = place, j.a_ns, j.arrived_ns, started_ns
        t.block = AGAIN if j.number == AGAIN else -1
        # The tasks of a fan-out are a chain from `block` to `n`, in the order of the clients.
        if j.block < 0:
            j.block = task
        else:
            s.jobs[j.n].next = task
        j.n = task
        return done_ns
    done_ns += paced(s, server, s.send_ns[m.traffic])
    j = s.jobs[job]
    hand_over(s, slot, place, connection, False, done_ns, j.a_ns, j.arrived_ns, started_ns, done_ns)
    s.totals[SENDS, server] += 1
    return done_ns


@compiled(again=FLAG)
def _gets(state, again):
    """Whether a member waits for a message, or has it and gets it once more from a server that does not know."""
    return state & WANTED == OPEN or (again and state & (GOT | FLYING) == GOT)


@compiled(again=FLAG)
def gather(s, server, slot, again):
    """The members of a room who get a message from a server: their places and their connections."""
    m = s.messages[slot]
    first = s.member_offsets[m.room]
    n = 0
    for place in range(s.member_offsets[m.room + 1] - first):
        if _gets(s.states[m.block + place], again):
            client = s.members[first + place]
            if is_at(s, server, client):
                s.gathered[n, 0], s.gathered[n, 1] = place, slot_at(s, server, client)
                n += 1
    s.n_gathered = n


@compiled(apart=True)
def _fan_out(s, server, job, started_ns, wakeup_ns):
    """One message to all local members of its room: the k-th copy leaves after the first k sends."""
    slot = s.jobs[job].message
    m = s.messages[slot]
    decode_ns = draw_ns(s, EVENT_COST, EVENT_COST_STREAM, m.number, server, m.traffic)
    done_ns = started_ns + wakeup_ns + paced(s, server, decode_ns)
    again = s.jobs[job].number == AGAIN
    if m.n_idle == 0 and not again:
        return done_ns - started_ns
    if m.room == EVERYONE_ROOM:
        for word in range(s.local.shape[1]):
            bits = s.local[server, word]
            client = word * 64
            while bits != 0:
                if bits & np.uint64(1) and _gets(s.states[m.block + client], again):
                    connection = slot_at(s, server, client)
                    done_ns = _copy_to(s, server, job, slot, client, connection, started_ns, done_ns)
                bits >>= np.uint64(1)
                client += 1
    else:
        gather(s, server, slot, again)
        for i in range(s.n_gathered):
            done_ns = _copy_to(s, server, job, slot, s.gathered[i, 0], s.gathered[i, 1], started_ns, done_ns)
    return done_ns - started_ns


@compiled()
def _send(s, server, job, wakeup_ns):
    """One copy to one client, in a task of its own."""
    j = s.jobs[job]
    m = s.messages[j.message]
    cost_ns = wakeup_ns + paced(s, server, s.send_ns[m.traffic])
    state = s.states[m.block + j.n]
    if state & (OPEN | FLYING) == OPEN or (j.block == AGAIN and state & (GOT | FLYING) == GOT):
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
    done_ns = s.now + wakeup_ns + paced(s, server, s.event_ns)
    k = s.connections[j.connection]
    if k.serial == j.number and k.registered:
        for i in range(j.block, j.block + j.n):
            slot = s.lists[i]
            m = s.messages[slot]
            place = place_of(s, m.room, j.client)
            if s.states[m.block + place] & (OPEN | FLYING) == OPEN:
                done_ns += paced(s, server, s.send_ns[m.traffic])
                at = m.appended_ns
                hand_over(s, slot, place, j.connection, True, done_ns, at, at, at, at)
                s.totals[SENDS, server] += 1
    for i in range(j.block, j.block + j.n):
        s.messages[s.lists[i]].n_held -= 1
        forget(s, s.lists[i])
    return done_ns - s.now


@compiled()
def start(s, server, job, started_ns, wakeup_ns):
    """Nanoseconds of the loop that a job takes; copies set out at their times within it."""
    kind = s.jobs[job].kind
    if kind == FANOUT:
        return _fan_out(s, server, job, started_ns, wakeup_ns)
    if kind == SEND:
        return _send(s, server, job, wakeup_ns)
    if kind == REPLAY:
        return _replay(s, server, job, wakeup_ns)
    if kind == PAUSE:
        return s.jobs[job].a_ns
    if kind == INGEST:
        cost_ns = s.ingest_ns
    elif kind == PINGS:
        cost_ns = np.int64(np.rint(s.ping_s * s.jobs[job].n * NS_PER_S))
    else:
        cost_ns = s.jobs[job].a_ns
    return wakeup_ns + paced(s, server, cost_ns)


@compiled()
def park_poll(s, job, time, loop):
    j = s.jobs[job]
    k = s.connections[j.connection]
    if k.serial == j.number and k.registered:
        park(s, j.connection, time, loop)


@compiled()
def ends_quietly(s, job):
    """Whether nothing comes of a job's end that could not be settled when it starts."""
    j = s.jobs[job]
    if j.kind == POLL:
        return s.pollers[j.connection].first < 0
    return j.kind in (SEND, PINGS, REPLAY, PAUSE) or (j.kind == FANOUT and j.block < 0)


@compiled()
def end_quietly(s, job, time, loop):
    """Do now what is due at the job's end."""
    j = s.jobs[job]
    if j.kind == REPLAY:
        free_list(s, j.block, j.n)
    elif j.kind == POLL:
        park_poll(s, job, time, loop)
    elif j.kind != PINGS and j.kind != PAUSE:
        copy_done(s, j.message, OFFLINE, time)
    free_job(s, job)
