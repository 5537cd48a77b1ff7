"""Connections of servers to the broker, and publishers without one: `engines.reference.broker_links` on arrays.

The reference engine's cut, its output buffers and what waits at publishers are here; what is done to them from outside
is in `broker_faults`.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import CUT, NORMAL_PACE, UP
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.drawing import (
    PUBLISHER_LINK,
    PUBLISHER_LINK_STREAM,
    SERVER_LINK,
    SERVER_LINK_STREAM,
    draw_ns,
)
from realtime_sim.engines.fast.jobs import free_job
from realtime_sim.engines.fast.ledger import (
    BROKER_DOWN,
    FLYING,
    OFFLINE,
    OPEN,
    SERVER_AWAY,
    SERVER_DIED,
    cause_at,
    copy_done,
    set_cause,
)
from realtime_sim.engines.fast.recording import note_full
from realtime_sim.engines.fast.subscriptions import WAIT, free_op, is_at, new_op, remove_channel, share
from realtime_sim.engines.order import Phase
from realtime_sim.policies.output_buffer import NOT_SOFT, check_kernel

AT_BROKER, AT_SERVER = int(Phase.AT_BROKER), int(Phase.AT_SERVER)

BACKEND = -1
"""In the place of a server's number: the publisher that is none."""

MESSAGE, CONTROL, READER = range(3)
"""What arrives at the broker; `with_epoch` adds to which connection it belongs."""

COPY, SUBSCRIBED, READ_BATCH = range(3)
"""What arrives at a server."""

WHAT_BITS = 2


@compiled()
def with_epoch(what, epoch):
    """What arrives, and over which of a server's connections."""
    return what | (epoch << WHAT_BITS)


@compiled()
def broker_paced(s, cost_ns):
    """What work of this cost takes the broker, slow as it is now."""
    return cost_ns * s.broker_pace // NORMAL_PACE


@compiled()
def _has_joined(s, server):
    """Whether a server is subscribed, or reads, at all instances."""
    joined = True
    for i in range(s.n_ways):
        joined &= s.ways[server, i].joined
    return joined


@compiled()
def why_away(s, server):
    """Why a server does not hear of everything now; 0 if it does."""
    v = s.servers[server]
    return 0 if v.link == UP and _has_joined(s, server) else np.int64(v.why)


@compiled()
def is_gone(s, op):
    """Whether the connection over which a command was sent is gone."""
    o = s.ops[op]
    return s.down or s.servers[o.server].epoch != o.epoch


@compiled(apart=True)
def misses(s, slot, server):
    """Why the members at a server get nothing."""
    m = s.messages[slot]
    if m.n_idle == 0:
        return
    first = s.member_offsets[m.room]
    for place in range(s.member_offsets[m.room + 1] - first):
        at = m.block + place
        if (
            s.states[at] & (OPEN | FLYING) == OPEN
            and cause_at(s, at) == 0
            and is_at(s, server, s.members[first + place])
        ):
            set_cause(s, at, s.servers[server].why)


@compiled()
def copy_lost(s, server, job):
    """A copy for a server has come to nothing."""
    slot = s.jobs[job].message
    free_job(s, job)
    misses(s, slot, server)
    copy_done(s, slot, OFFLINE, s.now)


# The output buffer.


@compiled()
def write(s, server, job):
    """A copy goes out; it does not overtake the one before."""
    v, j = s.servers[server], s.jobs[job]
    m = s.messages[j.message]
    way = s.ways[server, share(s, m.room)]
    link_ns = draw_ns(s, SERVER_LINK, SERVER_LINK_STREAM, m.number, server, m.traffic)
    way.free_ns = max(j.a_ns + link_ns, way.free_ns)
    insert(s, way.free_ns, key_of(AT_SERVER, server, -1), m.id, job, with_epoch(COPY, v.epoch))


@compiled()
def take_held(s, server):
    """The first of what was in a server's output buffers, a chain; the buffers are empty."""
    v = s.servers[server]
    job, v.held_first = v.held_first, -1
    for i in range(s.n_ways):
        s.ways[server, i].held_bytes, s.ways[server, i].soft_since_ns = 0, NOT_SOFT
    return job


@compiled(apart=True)
def hold(s, server, job):
    """A copy goes into the output buffer of a server that takes nothing."""
    v = s.servers[server]
    if v.held_first < 0:
        v.held_first = job
    else:
        s.jobs[v.held_last].next = job
    v.held_last, s.jobs[job].next = job, -1
    m = s.messages[s.jobs[job].message]
    way = s.ways[server, share(s, m.room)]
    way.held_bytes += s.payload[m.traffic]
    way.soft_since_ns, is_cut = check_kernel(
        s.hard_bytes, s.soft_bytes, s.soft_for_ns, way.held_bytes, way.soft_since_ns, s.now
    )
    if is_cut:
        note_full(s, server, way.held_bytes)
        cut(s, server, SERVER_AWAY)


@compiled()
def forget_channels(s, server):
    """A server hears of nothing any more."""
    if s.per_room:
        for room in range(len(s.channels)):
            remove_channel(s, room, server)
            s.wanted[room, server >> 6] &= ~(np.uint64(1) << np.uint64(server & 63))


@compiled(apart=True)
def cut(s, server, why):
    """The connection is gone at once on both sides, and what was under way on it with it."""
    v = s.servers[server]
    was_there = v.link != CUT
    v.epoch += 1
    v.link, v.why = CUT, why
    for i in range(s.n_ways):
        way = s.ways[server, i]
        way.joined, way.answered, way.free_ns = False, False, 0
    if not was_there:
        return
    if s.has_history:
        v.position, v.parked, v.holds_answer, v.holds_request = v.committed, False, False, False
        return
    forget_channels(s, server)
    job = take_held(s, server)
    while job >= 0:
        following = s.jobs[job].next
        copy_lost(s, server, job)
        job = following


# Publishers.


@compiled()
def travel(s, slot):
    """The way from the publisher to the broker."""
    m = s.messages[slot]
    link_ns = draw_ns(s, PUBLISHER_LINK, PUBLISHER_LINK_STREAM, m.number, 0, m.traffic)
    insert(s, s.now + link_ns, key_of(AT_BROKER, -1, -1), m.id, slot, MESSAGE)


@compiled()
def _why_not(s, publisher):
    return BROKER_DOWN if s.down or publisher == BACKEND else np.int64(s.servers[publisher].why)


@compiled()
def give_up(s, slot, cause):
    """A batch has come to nothing."""
    while slot >= 0:
        following = s.messages[slot].following
        copy_done(s, slot, cause, s.now)
        slot = following


@compiled(apart=True)
def refused(s, slot):
    """A publisher learns that the broker has not taken a batch: it keeps it for later, or gives it up."""
    publisher = s.messages[slot].server
    if not s.retries:
        give_up(s, slot, _why_not(s, publisher))
        return
    op = new_op(s, WAIT)
    s.ops[op].message, s.ops[op].server = slot, publisher
    _keep(s, op)


@compiled()
def _keep(s, op):
    if s.waiting_first < 0:
        s.waiting_first = op
    else:
        s.ops[s.waiting_last].next = op
    s.waiting_last, s.ops[op].next = op, -1


@compiled()
def send(s, slot):
    """A batch sets out, if its publisher can reach the broker."""
    publisher = s.messages[slot].server
    if s.disturbed and (s.backend_away if publisher == BACKEND else s.servers[publisher].link != UP):
        refused(s, slot)
    else:
        travel(s, slot)


@compiled()
def _send_fresh(s, slot, publisher):
    """What of a batch is not too old goes out."""
    first, last = np.int64(-1), np.int64(-1)
    while slot >= 0:
        following = s.messages[slot].following
        if s.now - s.messages[slot].published_ns > s.delivery_timeout_ns:
            copy_done(s, slot, _why_not(s, publisher), s.now)
        else:
            if first < 0:
                first = slot
            else:
                s.messages[last].following = slot
            last = slot
            s.messages[slot].following = -1
        slot = following
    if first >= 0:
        send(s, first)


DIES, SENDS, ENDS = range(3)
"""What becomes of what waits at a publisher."""


@compiled(apart=True)
def settle_waiting(s, publisher, what):
    """A publisher has died, or can reach the broker again, or the run is over (then it stands for all)."""
    op = s.waiting_first
    s.waiting_first = s.waiting_last = -1
    while op >= 0:
        following, slot, who = s.ops[op].next, s.ops[op].message, s.ops[op].server
        if what == ENDS:
            give_up(s, slot, _why_not(s, who))
        elif who != publisher:
            _keep(s, op)
        else:
            free_op(s, op)
            if what == DIES:
                give_up(s, slot, SERVER_DIED)
            else:
                _send_fresh(s, slot, publisher)
        op = following
