"""Threads of the broker, and the copies that one writes to the servers subscribed there."""

from __future__ import annotations

from realtime_sim.engines.constants import STALLED
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import has_bit
from realtime_sim.engines.fast.broker_links import broker_paced, hold, misses, refused, why_away, write
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.drawing import BROKER_COST_STREAM, PUBLISH_COST, draw_ns
from realtime_sim.engines.fast.handshakes import admit
from realtime_sim.engines.fast.jobs import FANOUT, free_job, new_job
from realtime_sim.engines.fast.ledger import OFFLINE, SERVER_DIED, copy_done
from realtime_sim.engines.fast.memory import prefetch
from realtime_sim.engines.fast.subscriptions import APPEND, PUBLISH, READ, SUBSCRIBE, free_op, share
from realtime_sim.engines.order import Phase

BROKER_JOB_END = int(Phase.BROKER_JOB_END)

AHEAD = 16
"""So many recipients are brought near while their copies are on the way to the servers."""


@compiled()
def _tell_those_away(s, slot):
    for server in range(s.n_servers):
        v = s.servers[server]
        room = s.messages[slot].room
        hears = has_bit(s.channels, room, server) if s.per_room else s.ways[server, share(s, room)].joined
        if not v.dead and not hears and why_away(s, server) > 0:
            misses(s, slot, server)


@compiled()
def _copy_out(s, slot):
    """Write one copy after the other; how long it takes."""
    m = s.messages[slot]
    for i in range(s.member_offsets[m.room], min(s.member_offsets[m.room + 1], s.member_offsets[m.room] + AHEAD)):
        prefetch(s.home, s.members[i])
        prefetch(s.connections, s.members[i])
    spent_ns = broker_paced(s, draw_ns(s, PUBLISH_COST, BROKER_COST_STREAM, m.number, 0, m.traffic))
    copy_ns = broker_paced(s, s.copy_ns)
    for server in range(s.n_servers):
        v = s.servers[server]
        joined = s.ways[server, share(s, m.room)].joined
        if not has_bit(s.channels, m.room, server) if s.per_room else v.dead or not joined:
            continue
        spent_ns += copy_ns
        m.copies += 1
        job = new_job(s, FANOUT)
        s.jobs[job].message, s.jobs[job].a_ns = slot, s.now + spent_ns
        if v.link == STALLED:
            hold(s, server, job)
        else:
            write(s, server, job)
    if s.disturbed:
        _tell_those_away(s, slot)
    copy_done(s, slot, OFFLINE, s.now)
    return spent_ns


@compiled()
def _start(s, station, op):
    b, o = s.stations[station], s.ops[op]
    if o.kind == PUBLISH:  # nothing comes of its end but that the thread is free
        b.service_ns = _copy_out(s, o.message)
        b.free_ns = s.now + b.service_ns
        b.busy_ns += b.service_ns
        free_op(s, op)
        return
    b.op = op
    if o.kind == APPEND:
        b.service_ns = broker_paced(s, s.append_ns * o.n)
    elif o.kind == READ:
        b.service_ns = broker_paced(s, s.read_ns * o.n)
    else:
        b.service_ns = broker_paced(s, s.subscribe_ns * o.n)
    b.free_ns = s.now + b.service_ns
    insert(s, b.free_ns, key_of(BROKER_JOB_END, station, -1), -1, station, s.incarnation)


@compiled()
def _await(s, station):
    """See to it that a thread takes up what waits when it is free."""
    b = s.stations[station]
    if b.op < 0 and b.n > 0 and not b.awaited:
        b.awaited = True
        insert(s, b.free_ns, key_of(BROKER_JOB_END, station, -1), -1, station, s.incarnation)


@compiled(apart=True)
def queue(s, station, op):
    """Work for a thread: at once if it is free, else behind what waits."""
    b = s.stations[station]
    if b.op < 0 and b.n == 0 and b.free_ns <= s.now:
        _start(s, station, op)
        return
    if b.n == 0:
        b.first = op
    else:
        s.ops[b.last].next = op
    b.last, s.ops[op].next = op, -1
    b.n += 1
    _await(s, station)


@compiled()
def take_up_next(s, station):
    """A thread is free: on with what waits."""
    b = s.stations[station]
    if b.n > 0:
        op = b.first
        b.first = s.ops[op].next
        b.n -= 1
        _start(s, station, op)
        _await(s, station)


@compiled()
def subscribed(s, server, job):
    """One SUBSCRIBE of a handshake has come to its end; after that at the last shard its client is admitted."""
    s.jobs[job].n -= 1
    if s.jobs[job].n == 0:
        admit(s, server, job)
        free_job(s, job)


@compiled()
def _lose(s, op):
    """The broker stops before it has done its work."""
    o = s.ops[op]
    server, job, kind = o.server, o.job, o.kind
    if kind in (PUBLISH, APPEND):
        refused(s, o.message)
    elif kind == READ and s.servers[server].dead:
        v = s.servers[server]
        for position in range(max(v.read_from, v.handed), v.read_from + v.read_n):
            copy_done(s, s.log[position], SERVER_DIED, s.now)
    free_op(s, op)
    if kind == SUBSCRIBE and job >= 0:
        subscribed(s, server, job)


@compiled()
def stop_station(s, station):
    """What is at work and what waits is lost. Ends of work that were awaited are of an earlier incarnation."""
    b = s.stations[station]
    op, queued, n = b.op, b.first, b.n
    if op >= 0:
        b.busy_ns += s.now - (b.free_ns - b.service_ns)
    elif b.free_ns > s.now:
        b.busy_ns -= b.free_ns - s.now
    b.op, b.n, b.awaited, b.free_ns, b.service_ns = -1, 0, False, min(b.free_ns, s.now), 0
    if op >= 0:
        _lose(s, op)
    for _ in range(n):
        following = s.ops[queued].next
        _lose(s, queued)
        queued = following
