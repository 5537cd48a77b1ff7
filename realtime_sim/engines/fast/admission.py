"""Who gets in where: the balancer's choice, a server's list, and what a client's new connection begins with."""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import uniform
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import has_bit, set_bit
from realtime_sim.engines.fast.broker_links import why_away
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.drawing import (
    AGE,
    AGE_STREAM,
    BALANCE_STREAM,
    SESSION,
    SESSION_STREAM,
    cohort_sampler,
    draw_ns,
)
from realtime_sim.engines.fast.jobs import REPLAY, new_job, submit
from realtime_sim.engines.fast.ledger import (
    FLYING,
    OPEN,
    REPLAYED,
    TOO_LATE,
    TRIMMED,
    cause_at,
    forget,
    lost,
    place_of,
    reconnected,
    set_cause,
)
from realtime_sim.engines.fast.links import give_up_slot, open_slot, slot_at, watch
from realtime_sim.engines.fast.recording import (
    ACCEPTED,
    BACKLOG_FULL,
    NO_SERVER,
    RECONNECTS,
    SERVER_DIED,
    SESSION_UNKNOWN,
    TIMEOUTS,
)
from realtime_sim.engines.fast.subscriptions import enlist, new_list, strike_off
from realtime_sim.engines.order import Phase
from realtime_sim.policies import balancing, lifecycle
from realtime_sim.policies.token_bucket import TURNED_AWAY, arrive
from realtime_sim.trace import SERVER_TOTALS

IS_OPEN = int(lifecycle.State.OPEN)
SESSION_END, AGED = int(Phase.SESSION_END), int(Phase.AGED)

AT_START = 0
"""What a client's stage is before the run has begun; see `clients`."""

CONNECTED, ANSWERED, POLL_FAILED = -1, -2, -3
"""Outcomes of a request; failures of an attempt are the number of their counter."""

PEAK = SERVER_TOTALS.index("peak_connections")

DRAWS = (balancing.Random.code, balancing.PowerOfTwo.code)


@compiled(apart=True)
def pick(s, client):
    """The server for a request of a client, -1 if none is healthy."""
    c = s.clients[client]
    u1, u2 = 0.0, 0.0
    if s.balancer == DRAWS[0] or s.balancer == DRAWS[1]:
        u1 = uniform(s.seed, BALANCE_STREAM, client, c.n_requests, 0)
    if s.balancer == DRAWS[1]:
        u2 = uniform(s.seed, BALANCE_STREAM, client, c.n_requests, 1)
    c.n_requests += 1
    previous = c.last_server if s.sticky else -1
    load, healthy = s.load[: s.n_servers], s.healthy[: s.n_servers]
    chosen, s.counter = balancing.pick_affine(s.balancer, load, healthy, u1, u2, client, s.counter, previous)
    if s.sticky and chosen >= 0:
        c.last_server = chosen
    return chosen


@compiled()
def is_full(s, server):
    """Whether file descriptors or memory are used up."""
    return s.limit >= 0 and s.servers[server].n_connections >= s.limit


@compiled()
def _note_recovery(s, client, fault):
    if s.n_recovered == len(s.recovered):
        recovered = np.empty((2 * s.n_recovered, s.recovered.shape[1]), dtype=np.int64)
        recovered[: s.n_recovered] = s.recovered
        s.recovered = recovered
    s.recovered[s.n_recovered, 0], s.recovered[s.n_recovered, 1] = fault, s.now
    if len(s.cut_ns) > 0:
        s.recovered[s.n_recovered, 2] = s.cut_ns[client]
    s.n_recovered += 1


@compiled()
def _is_too_late(s, client):
    """Whether a client was away for too long to be caught up."""
    within_ns = s.cohorts[s.clients[client].cohort].resume_within_ns
    return within_ns >= 0 and s.now - s.broke_ns[client] > within_ns


@compiled()
def _sort_out(s, client, server):
    """Mark what will be replayed to a client, and count it; what the log has lost is lost.

    Nothing is replayed by a server that cannot ask now, nor to a client that is too late; what reaches the server from
    now on comes all the same.
    """
    too_late, why, handed = _is_too_late(s, client), why_away(s, server), s.servers[server].handed
    n = 0
    for i in range(s.room_offsets[client], s.room_offsets[client + 1]):
        room = s.rooms[i]
        message = s.live[room]
        place = place_of(s, room, client) if message >= 0 else np.int64(0)
        while message >= 0:
            m = s.messages[message]
            following = m.next
            at = m.block + place
            s.states[at] &= ~np.uint8(REPLAYED)
            if s.states[at] & (OPEN | FLYING) == OPEN and m.position >= 0:
                if too_late:
                    if m.position < handed:
                        lost(s, message, place, client, TOO_LATE)
                        forget(s, message)
                elif why > 0:
                    if cause_at(s, at) == 0:
                        set_cause(s, at, why)
                elif s.max_length >= 0 and m.position < s.n_log - s.max_length:
                    lost(s, message, place, client, TRIMMED)
                    forget(s, message)
                else:
                    s.states[at] |= REPLAYED
                    n += 1
            message = following
    return n


@compiled(apart=True)
def _catch_up(s, client, slot):
    """Ask for what was missed and is still in the broker's log, oldest first."""
    n = _sort_out(s, client, s.connections[slot].server)
    if n == 0:
        return
    block = new_list(s, n)
    at = block
    for i in range(s.room_offsets[client], s.room_offsets[client + 1]):
        room = s.rooms[i]
        message = s.live[room]
        place = place_of(s, room, client) if message >= 0 else np.int64(0)
        while message >= 0:
            m = s.messages[message]
            if s.states[m.block + place] & (OPEN | REPLAYED) == OPEN | REPLAYED:
                m.n_held += 1
                j = at
                while j > block and s.messages[s.lists[j - 1]].position > m.position:
                    s.lists[j] = s.lists[j - 1]
                    j -= 1
                s.lists[j] = message
                at += 1
            message = m.next
    job = new_job(s, REPLAY)
    j = s.jobs[job]
    j.client, j.connection, j.number, j.block, j.n = client, slot, s.connections[slot].serial, block, n
    submit(s, s.connections[slot].server, job)


@compiled()
def _grow_old(s, client, slot):
    """See to it that a server closes a connection when it is old enough; at the start some of its age is over."""
    k, number = s.connections[slot], s.details[client].n_connections - 1
    age_ns = draw_ns(s, AGE, AGE_STREAM, client, number, 0)
    if s.clients[client].stage == AT_START:
        age_ns = np.int64(age_ns * uniform(s.seed, AGE_STREAM, client, number, 1))
    k.ends_ns = min(k.ends_ns, s.now + age_ns)
    insert(s, s.now + age_ns, key_of(AGED, k.server, client), -1, slot, k.serial)


@compiled()
def _opened(s, server, client, slot):
    """With the first connection, the session begins."""
    c = s.clients[client]
    c.state = IS_OPEN
    d = s.details[client]
    d.n_connections += 1
    c.connection, c.last_server = slot, server
    s.counters[ACCEPTED] += 1
    if not has_bit(s.online, 0, client):
        set_bit(s.online, 0, client)
        d.n_sessions += 1
        if s.cohorts[c.cohort].has_session:
            which = cohort_sampler(c.cohort, SESSION)
            c.session_ends_ns = s.now + draw_ns(s, which, SESSION_STREAM, client, d.n_sessions, 0)
            s.connections[slot].ends_ns = c.session_ends_ns
            if c.session_ends_ns <= s.over_ns:  # most last longer than most runs
                insert(s, c.session_ends_ns, key_of(SESSION_END, -1, client), -1, client, 0)
    else:
        s.counters[RECONNECTS] += 1
        if s.cohorts[c.cohort].replays:
            _catch_up(s, client, slot)
    if d.fault >= 0:
        _note_recovery(s, client, d.fault)
        d.fault = -1
    if s.ages:
        _grow_old(s, client, slot)


@compiled(apart=True)
def register(s, server, client, opened_ns):
    """Put a new connection, open since `opened_ns`, on the server's list. An old one of the same client gives way."""
    old = slot_at(s, server, client)
    if old >= 0:
        strike_off(s, old)
        give_up_slot(s, old)
    reconnected(s, client)
    slot = open_slot(s, client)
    enlist(s, server, client, slot)
    s.totals[PEAK, server] = max(s.totals[PEAK, server], s.servers[server].n_connections)
    _opened(s, server, client, slot)
    if s.cohorts[s.clients[client].cohort].idle_ns > 0:
        watch(s, slot, opened_ns)
    return slot


@compiled()
def admits(s, server):
    """Whether a server takes one more request of a handshake, or turns it away to protect itself. A request that it
    takes costs a token."""
    v = s.servers[server]
    if s.concurrency >= 0 and v.n_handshaking >= s.concurrency:
        return False
    if s.token_ns == 0:
        return True
    expected_ns = arrive(v.request_expected_ns, s.now, s.token_ns, s.early_ns)
    if expected_ns == TURNED_AWAY:
        return False
    v.request_expected_ns = expected_ns
    return True


@compiled()
def turned_away(s, server, session_server):
    """Why a request does not even reach the queue of a server: a counter, or `ANSWERED` if it does."""
    if server < 0:
        return NO_SERVER
    v = s.servers[server]
    if v.dead:
        return TIMEOUTS if v.silent else SERVER_DIED
    if session_server >= 0 and server != session_server:
        return SESSION_UNKNOWN
    return BACKLOG_FULL if v.n_waiting >= s.backlog else ANSWERED
