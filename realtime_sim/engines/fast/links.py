"""From a server to a client: the rules of `engines.reference.connections` on arrays.

A copy that is sure to arrive, because nothing can break its connection before, is booked when it is sent; only the
others become events. Nothing breaks a connection but a fault, the end of the session, a full send buffer and a proxy
that drops what is idle. Of the first two the times are known, and the last sees the copies that are on their way.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import uniform
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.drawing import IDLE_STREAM, JITTER, JITTER_STREAM, cohort_sampler, draw_ns
from realtime_sim.engines.fast.ledger import (
    CONNECTION_LOST,
    DELIVERED,
    DROPPED,
    DUPLICATE,
    GOT,
    SERVER_DIED,
    cause_at,
    close,
    failed,
    forget,
    land,
    set_cause,
    take_off,
)
from realtime_sim.engines.fast.recording import CLOSED_ABNORMAL, CLOSED_POLICY, IDLE_DROPS, record_copy
from realtime_sim.engines.fast.state import CONNECTION, PARCEL, POLLER
from realtime_sim.engines.order import Phase
from realtime_sim.policies import lifecycle, overflow
from realtime_sim.policies.keepalive import IDLE, idle_check
from realtime_sim.units import NS_PER_S
from realtime_sim.wire import POLL_HEADER_BYTES, link_bytes

SENT, RECEIVED = int(Phase.SENT), int(Phase.RECEIVED)
IDLE_OVER = int(Phase.IDLE_OVER)
REQUEST, LOST, NOTICES = int(Phase.REQUEST), int(Phase.CONNECTION_LOST), int(Phase.SERVER_NOTICES)
STATE_OPEN, STATE_LOST = int(lifecycle.State.OPEN), int(lifecycle.State.LOST)
ACCEPT, DISCONNECT = overflow.DECISIONS.index("accept"), overflow.DECISIONS.index("disconnect")
CUTS = overflow.Disconnect.code


@compiled(apart=True)
def open_slot(s, client):
    """A place for a new connection: the client's own, or another while an old one stands there."""
    slot = client
    if s.connections[client].registered:
        slot = s.free_connection
        if slot >= 0:
            s.free_connection = s.connections[slot].elder
        else:
            slot = s.n_connections
            if slot == len(s.connections):
                connections = np.zeros(slot + slot // 2 + 64, dtype=CONNECTION)
                connections[:slot] = s.connections
                s.connections = connections
                if len(s.pollers) > 0:
                    pollers = np.zeros(len(connections), dtype=POLLER)
                    pollers[:slot] = s.pollers
                    s.pollers = pollers
            s.n_connections += 1
        s.connections[slot].elder = s.connections[client].elder
        s.connections[client].elder = slot
    k = s.connections[slot]
    k.serial, k.client, k.server = s.n_opened, client, -1
    k.link_free_ns, k.last_arrival_ns, k.waiting_bytes = 0, 0, 0
    k.alive, k.registered, k.over = True, False, False
    c = s.clients[client]
    k.half_rtt_ns, k.ends_ns, k.cohort = c.half_rtt_ns, c.session_ends_ns, c.cohort
    k.polls = s.cohorts[c.cohort].polls
    if k.polls:
        q = s.pollers[slot]
        q.parked_ns, q.first, q.last, q.n_coming = 0, -1, -1, 0
        q.parked, q.awaited, q.armed = False, False, False
    s.details[client].newest = s.n_opened
    s.n_opened += 1
    return slot


@compiled()
def give_up_slot(s, slot):
    """Neither side holds the connection any more: its place is free, if it is not the client's own."""
    k = s.connections[slot]
    if slot == k.client or k.registered or s.clients[k.client].connection == slot:
        return
    before = k.client
    while s.connections[before].elder != slot:
        before = s.connections[before].elder
    s.connections[before].elder = k.elder
    k.serial, k.elder = -1, s.free_connection
    s.free_connection = slot


@compiled()
def slot_at(s, server, client):
    """The connection of a client that a server has on its list, or -1."""
    slot = client
    while slot >= 0:
        k = s.connections[slot]
        if k.registered and k.server == server:
            return slot
        slot = k.elder
    return -1


@compiled(paced=FLAG)
def new_parcel(s, slot, place, connection, paced, left_broker_ns, at_server_ns, started_ns, sent_ns):
    """A copy that will be looked at again."""
    p = s.free_parcel
    if p >= 0:
        s.free_parcel = s.parcels[p].next
    else:
        p = s.n_parcels
        if p == len(s.parcels):
            parcels = np.empty(2 * p, dtype=PARCEL)
            parcels[:p] = s.parcels
            s.parcels = parcels
        s.n_parcels += 1
    parcel = s.parcels[p]
    parcel.message, parcel.place, parcel.connection = slot, place, connection
    parcel.serial, parcel.next = s.connections[connection].serial, -1
    parcel.left_broker_ns, parcel.at_server_ns, parcel.started_ns = left_broker_ns, at_server_ns, started_ns
    parcel.sent_ns, parcel.paced, parcel.client = sent_ns, paced, s.connections[connection].client
    s.messages[slot].n_held += 1
    s.details[parcel.client].n_parcels += 1
    return p


@compiled()
def free_parcel(s, p):
    """Nobody looks at the copy any more."""
    slot = s.parcels[p].message
    s.messages[slot].n_held -= 1
    forget(s, slot)
    s.details[s.parcels[p].client].n_parcels -= 1
    s.parcels[p].next = s.free_parcel
    s.free_parcel = p


@compiled()
def egress(s, server, released_ns, n_bytes):
    """When the last byte has left the server's link."""
    if s.egress == 0.0:
        return released_ns
    v = s.servers[server]
    transmission_ns = np.int64(np.rint(n_bytes / s.egress * NS_PER_S))
    v.link_busy_ns += transmission_ns
    v.egress_free_ns = max(v.egress_free_ns, released_ns) + transmission_ns
    return v.egress_free_ns


@compiled()
def send_in_vain(s, slot, place, server, client, at_ns):
    """The connection is broken and the server does not know: its link carries the copy all the same."""
    m, cohort = s.messages[slot], s.clients[client].cohort
    if not s.cohorts[cohort].polls:
        egress(s, server, at_ns, s.wire[m.traffic, cohort])
    if cause_at(s, m.block + place) == 0:
        set_cause(s, m.block + place, CONNECTION_LOST)


@compiled()
def arrival_of(s, slot, connection, left_ns, n_bytes):
    """When the client has the copy: downlink, half a round trip and jitter, never before an earlier copy."""
    k, m = s.connections[connection], s.messages[slot]
    h = s.cohorts[k.cohort]
    done_ns = left_ns
    if h.bandwidth > 0.0:
        done_ns = max(left_ns, k.link_free_ns) + np.int64(np.rint(n_bytes / h.bandwidth * NS_PER_S))
        k.link_free_ns = done_ns
    jitter_ns = draw_ns(s, cohort_sampler(k.cohort, JITTER), JITTER_STREAM, m.number, k.client, m.traffic)
    k.last_arrival_ns = max(k.last_arrival_ns, done_ns + k.half_rtt_ns + jitter_ns)
    return k.last_arrival_ns


@compiled()
def is_sure(s, connection, arrival_ns):
    """Whether nothing can happen to the connection until then."""
    k = s.connections[connection]
    return (
        k.alive
        and arrival_ns < s.horizon_ns
        and arrival_ns < k.ends_ns
        and s.cohorts[k.cohort].overflow != CUTS
        and (k.half_rtt_ns > 0 or not k.polls)  # a poll may fail at the very time the last answer arrives
    )


@compiled()
def received(
    s, slot, place, connection, left_broker_ns, at_server_ns, started_ns, sent_ns, released_ns, left_ns, arrival_ns
):
    k, m = s.connections[connection], s.messages[slot]
    outcome = DUPLICATE
    if land(s, slot, place):
        close(s, slot, place, arrival_ns)
        outcome = DELIVERED
        if s.commits_late:
            s.states[m.block + place] |= GOT
    record_copy(
        s, m.id, k.client, k.server, outcome, k.cohort, m.batch, m.published_ns, m.at_broker_ns,
        left_broker_ns, at_server_ns, started_ns, sent_ns, released_ns, left_ns, arrival_ns,
    )  # fmt: skip


@compiled()
def broke(s, connection, how):
    """The connection breaks, to be counted as `how`; whether the client knows is another matter."""
    c = s.clients[s.connections[connection].client]
    s.calm = False
    if c.connection == connection and c.state == STATE_OPEN:
        c.state = STATE_LOST
        if len(s.broke_ns) > 0:
            s.broke_ns[s.connections[connection].client] = s.now
        s.counters[how] += 1


@compiled()
def watch(s, connection, opened_ns):
    """A proxy on the way has seen the connection open, and drops it when it is idle."""
    k = s.connections[connection]
    s.opened_ns[k.client] = opened_ns
    time = opened_ns + s.cohorts[k.cohort].idle_ns
    insert(s, time, key_of(IDLE_OVER, k.server, k.client), -1, connection, k.serial)


@compiled(apart=True)
def idle_over(s, connection, serial):
    """The timer of the proxy has run out; what came meanwhile has put it on."""
    k = s.connections[connection]
    if k.serial != serial or not k.alive or not k.registered:
        return
    h, opened_ns = s.cohorts[k.cohort], s.opened_ns[k.client]
    number, ping = s.details[k.client].n_connections - 1, (s.now - opened_ns) // max(h.ping_ns, 1)
    u = uniform(s.seed, IDLE_STREAM, k.client, number, ping)
    time = idle_check(s.now, opened_ns, k.last_arrival_ns, h.ping_ns, h.idle_ns, u)
    if time != IDLE:
        insert(s, time, key_of(IDLE_OVER, k.server, k.client), -1, connection, k.serial)
        return
    k.alive = False
    s.counters[IDLE_DROPS] += 1
    broke(s, connection, CLOSED_ABNORMAL)
    for phase in (NOTICES, LOST):
        insert(s, s.now + k.half_rtt_ns, key_of(phase, k.server, k.client), -1, connection, k.serial)


@compiled()
def _cut(s, connection):
    """The server closes the connection because its send buffer is full."""
    k = s.connections[connection]
    k.alive = False
    broke(s, connection, CLOSED_POLICY)
    insert(s, s.now, key_of(NOTICES, k.server, k.client), -1, connection, k.serial)
    insert(s, s.now + k.half_rtt_ns, key_of(LOST, k.server, k.client), -1, connection, k.serial)


@compiled()
def takes(s, slot, place, connection, queued_bytes, n_bytes, left_broker_ns, at_server_ns, started_ns, sent_ns):
    """Whether the send buffer takes a copy; a full one gives up the copy, or costs the client its connection."""
    k, m = s.connections[connection], s.messages[slot]
    cohort = k.cohort
    h = s.cohorts[cohort]
    decision = overflow.admit_kernel(h.overflow, h.overflow_limit_bytes, queued_bytes, n_bytes)
    if decision == ACCEPT:
        return True
    if decision == DISCONNECT:
        failed(s, slot, place, k.client, k.serial, CONNECTION_LOST)
        if k.alive:
            _cut(s, connection)
    elif land(s, slot, place):
        close(s, slot, place, s.now)
        record_copy(
            s, m.id, k.client, k.server, DROPPED, cohort, m.batch, m.published_ns, m.at_broker_ns, left_broker_ns,
            at_server_ns, started_ns, sent_ns, -1, -1, -1,
        )  # fmt: skip
    return False


@compiled(paced=FLAG)
def _release(s, slot, place, connection, paced, at_ns, left_broker_ns, at_server_ns, started_ns, sent_ns):
    k, m = s.connections[connection], s.messages[slot]
    cohort = k.cohort
    h = s.cohorts[cohort]
    n_bytes = s.wire[m.traffic, cohort]
    if h.bandwidth > 0.0 and not paced:
        queued_bytes = np.int64(max(0, k.link_free_ns - at_ns) * h.bandwidth / NS_PER_S)
        if not takes(
            s, slot, place, connection, queued_bytes, n_bytes, left_broker_ns, at_server_ns, started_ns, sent_ns
        ):
            return
    left_ns = egress(s, k.server, at_ns, n_bytes)
    arrival_ns = arrival_of(s, slot, connection, left_ns, n_bytes)
    if is_sure(s, connection, arrival_ns):
        received(
            s, slot, place, connection, left_broker_ns, at_server_ns, started_ns, sent_ns, at_ns, left_ns, arrival_ns
        )
        return
    p = new_parcel(s, slot, place, connection, paced, left_broker_ns, at_server_ns, started_ns, sent_ns)
    s.parcels[p].released_ns, s.parcels[p].left_server_ns = at_ns, left_ns
    insert(s, arrival_ns, key_of(RECEIVED, k.server, k.client), m.id, p, 0)


@compiled()
def _answers_at_once(s, connection, n_bytes, at_ns):
    """Whether a copy that is sent at `at_ns` is sure to find a poll parked, and nothing to share its answer with.

    With several loops a later job could send an earlier copy; with a link, other answers could come before.
    """
    k, q = s.connections[connection], s.pollers[connection]
    if s.n_workers > 1 or s.egress > 0.0 or not q.parked or q.first >= 0 or q.n_coming > 0:
        return False
    if at_ns == s.now or k.half_rtt_ns == 0:
        return False
    if not q.parked_ns <= at_ns <= q.parked_ns + s.hold_ns or at_ns >= s.horizon_ns or at_ns >= k.ends_ns:
        return False
    h = s.cohorts[k.cohort]
    return overflow.admit_kernel(h.overflow, h.overflow_limit_bytes, k.waiting_bytes, n_bytes) == ACCEPT


@compiled()
def _answer_at_once(s, slot, place, connection, at_ns, left_broker_ns, at_server_ns, started_ns):
    k, m = s.connections[connection], s.messages[slot]
    s.pollers[connection].parked = False
    n_bytes = link_bytes(s.payload[m.traffic] + POLL_HEADER_BYTES, s.cohorts[k.cohort].tls)
    arrival_ns = arrival_of(s, slot, connection, at_ns, n_bytes)
    if is_sure(s, connection, arrival_ns):
        received(s, slot, place, connection, left_broker_ns, at_server_ns, started_ns, at_ns, at_ns, at_ns, arrival_ns)
    else:
        p = new_parcel(s, slot, place, connection, False, left_broker_ns, at_server_ns, started_ns, at_ns)
        s.parcels[p].released_ns, s.parcels[p].left_server_ns = at_ns, at_ns
        insert(s, arrival_ns, key_of(RECEIVED, k.server, k.client), m.id, p, 0)
    insert(s, arrival_ns + k.half_rtt_ns, key_of(REQUEST, -1, k.client), -1, connection, k.serial)


@compiled(apart=True, paced=FLAG)
def hand_over(s, slot, place, connection, paced, at_ns, left_broker_ns, at_server_ns, started_ns, sent_ns):
    """The copy is on its way from `at_ns` on: to the link, or to a long-polling client's next answer. What is read
    from a log at the client's pace (`paced`) fills no buffer."""
    k = s.connections[connection]
    if not k.alive:
        send_in_vain(s, slot, place, k.server, k.client, at_ns)
        return
    if not k.registered and not k.polls:  # the server has closed it
        if cause_at(s, s.messages[slot].block + place) == 0:
            set_cause(s, s.messages[slot].block + place, CONNECTION_LOST)
        return
    take_off(s, slot, place)
    if k.polls:
        if not paced and _answers_at_once(s, connection, s.payload[s.messages[slot].traffic], at_ns):
            _answer_at_once(s, slot, place, connection, at_ns, left_broker_ns, at_server_ns, started_ns)
            return
        s.pollers[connection].n_coming += 1
        p = new_parcel(s, slot, place, connection, paced, left_broker_ns, at_server_ns, started_ns, sent_ns)
        insert(s, at_ns, key_of(SENT, k.server, k.client), s.messages[slot].id, p, 0)
    else:
        _release(s, slot, place, connection, paced, at_ns, left_broker_ns, at_server_ns, started_ns, sent_ns)


@compiled(apart=True)
def arrived(s, p, server, client):
    """The time of a copy's arrival has come."""
    parcel = s.parcels[p]
    k, v = s.connections[parcel.connection], s.servers[server]
    if v.dead and parcel.left_server_ns > v.died_ns:
        failed(s, parcel.message, parcel.place, client, parcel.serial, SERVER_DIED)
    elif k.serial != parcel.serial or not k.alive:
        failed(s, parcel.message, parcel.place, client, parcel.serial, CONNECTION_LOST)
    else:
        received(
            s, parcel.message, parcel.place, parcel.connection, parcel.left_broker_ns, parcel.at_server_ns,
            parcel.started_ns, parcel.sent_ns, parcel.released_ns, parcel.left_server_ns, s.now,
        )  # fmt: skip
    free_parcel(s, p)
