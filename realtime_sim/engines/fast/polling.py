"""Long polling: a client is parked at its server, or away between two polls; what waits goes out in one answer."""

from __future__ import annotations

from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.ledger import (
    CONNECTION_LOST,
    SERVER_DIED,
    failed,
)
from realtime_sim.engines.fast.links import arrival_of, egress, free_parcel, is_sure, received, takes
from realtime_sim.engines.order import Phase
from realtime_sim.wire import POLL_HEADER_BYTES, link_bytes

RECEIVED, HOLD_OVER, REQUEST = int(Phase.RECEIVED), int(Phase.HOLD_OVER), int(Phase.REQUEST)
JOB_END, ANSWER = int(Phase.JOB_END), int(Phase.ANSWER)

POLL_AGAIN = -4
"""An answer to a poll, beside the outcomes of `admission`."""

BEFORE = -2
"""In the place of a message: before the loop takes up its next job."""

PARKS = -3
"""The end of a poll's job, where copies wait for it."""


@compiled(apart=True)
def answer(s, connection):
    """One HTTP response with everything that waits; the client asks again when it has it."""
    k, q = s.connections[connection], s.pollers[connection]
    n_bytes = link_bytes(k.waiting_bytes + POLL_HEADER_BYTES, s.cohorts[k.cohort].tls)
    k.waiting_bytes = 0
    left_ns = egress(s, k.server, s.now, n_bytes)
    if q.last >= 0:
        arrival_ns = arrival_of(s, s.parcels[q.last].message, connection, left_ns, n_bytes)
    else:
        arrival_ns = max(k.last_arrival_ns, left_ns + k.half_rtt_ns)
    p = q.first
    q.first, q.last, q.parked = -1, -1, False
    while p >= 0:
        parcel = s.parcels[p]
        following = parcel.next
        parcel.released_ns, parcel.left_server_ns = s.now, left_ns
        if is_sure(s, connection, arrival_ns):
            received(
                s, parcel.message, parcel.place, connection, parcel.left_broker_ns, parcel.at_server_ns,
                parcel.started_ns, parcel.sent_ns, s.now, left_ns, arrival_ns,
            )  # fmt: skip
            free_parcel(s, p)
        else:
            insert(s, arrival_ns, key_of(RECEIVED, k.server, k.client), s.messages[parcel.message].id, p, 0)
        p = following
    if k.half_rtt_ns > 0:
        insert(s, arrival_ns + k.half_rtt_ns, key_of(REQUEST, -1, k.client), -1, connection, k.serial)
    else:  # the next poll is at the same time, but after what else happens before answers arrive
        insert(s, arrival_ns, key_of(ANSWER, -1, k.client), k.serial, connection, POLL_AGAIN)


@compiled(apart=True)
def offer(s, p, server, client):
    """A copy goes to a parked client, or waits for its next poll."""
    parcel = s.parcels[p]
    k = s.connections[parcel.connection]
    if k.serial == parcel.serial:
        s.pollers[parcel.connection].n_coming -= 1
    if k.serial != parcel.serial or not k.registered:
        cause = SERVER_DIED if s.servers[server].dead else CONNECTION_LOST
        failed(s, parcel.message, parcel.place, client, parcel.serial, cause)
        free_parcel(s, p)
        return
    n_bytes = s.payload[s.messages[parcel.message].traffic]
    if not parcel.paced and not takes(
        s, parcel.message, parcel.place, parcel.connection, k.waiting_bytes, n_bytes, parcel.left_broker_ns,
        parcel.at_server_ns, parcel.started_ns, parcel.sent_ns,
    ):  # fmt: skip
        free_parcel(s, p)
        return
    k.waiting_bytes += n_bytes
    q = s.pollers[parcel.connection]
    if q.first < 0:
        q.first = p
    else:
        s.parcels[q.last].next = p
    q.last = p
    if q.parked and q.parked_ns <= s.now:
        answer(s, parcel.connection)
    elif q.parked and not q.awaited:
        q.awaited = True
        insert(s, q.parked_ns, key_of(JOB_END, k.server, q.loop), BEFORE, parcel.connection, PARKS)


@compiled(apart=True)
def parks(s, connection):
    """The time has come at which a poll is parked, and copies wait for it."""
    k, q = s.connections[connection], s.pollers[connection]
    q.awaited = False
    if k.registered and q.parked and q.parked_ns == s.now and q.first >= 0:
        answer(s, connection)


@compiled(apart=True)
def park(s, connection, time, loop):
    """A poll is parked at `time`, now or ahead: answer with what is there, or hold it."""
    k, q = s.connections[connection], s.pollers[connection]
    q.parked, q.parked_ns, q.loop = True, time, loop
    if q.first >= 0:
        answer(s, connection)
    elif not q.armed:
        q.armed = True
        insert(s, time + s.hold_ns, key_of(HOLD_OVER, k.server, k.client), -1, connection, k.serial)


@compiled(apart=True)
def hold_over(s, connection, serial):
    """A poll may have been held long enough; one that came later is held on."""
    k, q = s.connections[connection], s.pollers[connection]
    if k.serial != serial:
        return
    q.armed = False
    if not k.registered:
        return
    if q.parked and q.parked_ns + s.hold_ns == s.now:
        answer(s, connection)
    elif q.parked:
        q.armed = True
        insert(s, q.parked_ns + s.hold_ns, key_of(HOLD_OVER, k.server, k.client), -1, connection, serial)


@compiled(apart=True)
def drop_waiting(s, connection):
    """The server gives the session up, and with it what was waiting there."""
    k, q = s.connections[connection], s.pollers[connection]
    cause = SERVER_DIED if s.servers[k.server].dead else CONNECTION_LOST
    p = q.first
    q.first, q.last, q.parked, k.waiting_bytes = -1, -1, False, 0
    while p >= 0:
        following = s.parcels[p].next
        failed(s, s.parcels[p].message, s.parcels[p].place, k.client, s.parcels[p].serial, cause)
        free_parcel(s, p)
        p = following
