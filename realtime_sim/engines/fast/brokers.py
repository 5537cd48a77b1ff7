"""From the publisher to every server that should hear of it: the rules of `engines.reference.brokers` on arrays."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import has_bit, set_bit
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.drawing import (
    BROKER_COST_STREAM,
    PUBLISH_COST,
    PUBLISHER_LINK,
    PUBLISHER_LINK_STREAM,
    SERVER_LINK,
    SERVER_LINK_STREAM,
    draw_ns,
)
from realtime_sim.engines.fast.handshakes import admit
from realtime_sim.engines.fast.jobs import FANOUT, deliver, free_job, new_job, submit
from realtime_sim.engines.fast.ledger import NO_ROUTE, OFFLINE, OPEN, SERVER_DIED, TRIMMED, copy_done, set_cause
from realtime_sim.engines.fast.memory import prefetch
from realtime_sim.engines.fast.subscriptions import (
    APPEND,
    PUBLISH,
    READ,
    SUBSCRIBE,
    UNSUBSCRIBE,
    add_channel,
    free_op,
    new_op,
    remove_channel,
)
from realtime_sim.engines.order import Phase

AT_BROKER, AT_SERVER, BROKER_JOB_END = int(Phase.AT_BROKER), int(Phase.AT_SERVER), int(Phase.BROKER_JOB_END)
BATCH = int(Phase.BATCH)

KINDS = ("none", "redis_pubsub", "redis_streams", "kafka")
NO_BROKER, PUBSUB, STREAMS, KAFKA = range(len(KINDS))

AHEAD = 16
"""So many recipients are brought near while their copies are on the way to the servers."""

MESSAGE, CONTROL, READER = range(3)
"""What arrives at the broker."""

COPY, SUBSCRIBED, READ_BATCH = range(3)
"""What arrives at a server."""


@compiled()
def _travel(s, slot):
    """The way from the publisher to the broker."""
    m = s.messages[slot]
    link_ns = draw_ns(s, PUBLISHER_LINK, PUBLISHER_LINK_STREAM, m.number, 0, m.traffic)
    insert(s, s.now + link_ns, key_of(AT_BROKER, -1, -1), m.id, slot, MESSAGE)


@compiled()
def _flush(s, batch):
    slot, s.batch_first[batch] = s.batch_first[batch], -1
    s.batch_serial[batch] += 1
    producer = batch // s.n_partitions - 1
    if producer >= 0 and s.servers[producer].dead:
        while slot >= 0:
            following = s.messages[slot].following
            copy_done(s, slot, SERVER_DIED, s.now)
            slot = following
    else:
        _travel(s, slot)


@compiled()
def _collect(s, slot, origin):
    """Kafka: into the producer's batch for the room's partition; a full or an old batch goes."""
    m = s.messages[slot]
    partition = m.room % s.n_partitions
    batch = (origin + 1) * s.n_partitions + partition
    m.following = -1
    if s.batch_first[batch] < 0:
        s.batch_first[batch], s.batch_filled[batch] = slot, 0
        key = key_of(BATCH, origin, partition)
        insert(s, s.now + s.linger_ns, key, m.id, batch, s.batch_serial[batch])
    else:
        s.messages[s.batch_last[batch]].following = slot
    s.batch_last[batch] = slot
    s.batch_filled[batch] += s.payload[m.traffic]
    if s.batch_filled[batch] >= s.batch_bytes:
        _flush(s, batch)


@compiled()
def _is_elsewhere(s, server, client):
    slot = client
    while slot >= 0:
        k = s.connections[slot]
        if k.registered and k.server != server:
            return True
        slot = k.elder
    return False


@compiled()
def _hand_to(s, slot, server):
    """No broker: one server gets the message, and recipients at other servers have no route to it."""
    m = s.messages[slot]
    m.at_broker_ns = s.now
    if s.n_servers > 1:
        first = s.member_offsets[m.room]
        for place in range(s.member_offsets[m.room + 1] - first):
            if s.states[m.block + place] & OPEN and _is_elsewhere(s, server, s.members[first + place]):
                set_cause(s, m.block + place, NO_ROUTE)
    deliver(s, server, slot, s.now)


@compiled()
def _entry(s, id):
    """The server that takes a message where there is no broker: the living ones in turn."""
    n = 0
    for server in range(s.n_servers):
        n += not s.servers[server].dead
    if n == 0:
        return -1
    rank = id % n
    for server in range(s.n_servers):
        if not s.servers[server].dead:
            if rank == 0:
                return server
            rank -= 1
    return -1


@compiled(apart=True)
def publish(s, slot, origin):
    """A message leaves its publisher: the backend (-1), or the server that took it from a client."""
    m = s.messages[slot]
    if s.broker == KAFKA:
        _collect(s, slot, origin)
    elif s.broker == NO_BROKER and origin >= 0:
        _hand_to(s, slot, origin)
    else:
        if s.broker == NO_BROKER:
            m.server = _entry(s, m.id)
        _travel(s, slot)


# Redis Pub/Sub: a copy for each subscribed server, at most once.


@compiled()
def _copy_out(s, slot):
    """Write one copy after the other; how long it takes."""
    m = s.messages[slot]
    for i in range(s.member_offsets[m.room], min(s.member_offsets[m.room + 1], s.member_offsets[m.room] + AHEAD)):
        prefetch(s.home, s.members[i])
        prefetch(s.connections, s.members[i])
    spent_ns = draw_ns(s, PUBLISH_COST, BROKER_COST_STREAM, m.number, 0, m.traffic)
    for server in range(s.n_servers):
        v = s.servers[server]
        if not has_bit(s.channels, m.room, server) if s.per_room else v.dead:
            continue
        spent_ns += s.copy_ns
        left_ns = s.now + spent_ns
        link_ns = draw_ns(s, SERVER_LINK, SERVER_LINK_STREAM, m.number, server, m.traffic)
        v.link_free_ns = max(left_ns + link_ns, v.link_free_ns)
        m.copies += 1
        job = new_job(s, FANOUT)
        s.jobs[job].message, s.jobs[job].a_ns = slot, left_ns
        insert(s, v.link_free_ns, key_of(AT_SERVER, server, -1), m.id, job, COPY)
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
        b.service_ns = s.append_ns * o.n
    elif o.kind == READ:
        b.service_ns = s.read_ns * o.n
    else:
        b.service_ns = s.subscribe_ns * o.n
    b.free_ns = s.now + b.service_ns
    insert(s, b.free_ns, key_of(BROKER_JOB_END, station, -1), -1, station, 0)


# Threads of the broker.


@compiled()
def _await(s, station):
    """See to it that a thread takes up what waits when it is free."""
    b = s.stations[station]
    if b.op < 0 and b.n > 0 and not b.awaited:
        b.awaited = True
        insert(s, b.free_ns, key_of(BROKER_JOB_END, station, -1), -1, station, 0)


@compiled(apart=True)
def _queue(s, station, op):
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


@compiled(apart=True)
def read_on(s, server):
    """A server's next read: at once if there is something new, or as soon as there is."""
    v = s.servers[server]
    if v.dead:
        return
    if v.position == s.n_log:
        v.parked = True
        return
    while s.max_length >= 0 and v.position < s.n_log - s.max_length:
        copy_done(s, s.log[v.position], TRIMMED, s.now)  # too far behind: on with what is still there
        v.position += 1
    v.read_from, v.read_n = v.position, min(s.read_limit, s.n_log - v.position)
    v.position += v.read_n
    if s.broker == KAFKA:  # fetches cost the brokers' other threads time
        reader = len(s.stations) + server
        insert(s, s.now + s.read_ns * v.read_n, key_of(BROKER_JOB_END, reader, -1), -1, reader, 0)
    else:
        op = new_op(s, READ)
        s.ops[op].server, s.ops[op].n = server, v.read_n
        _queue(s, 0, op)


@compiled(apart=True)
def at_broker(s, ref, what):
    """A message, a command or a reader's next request has reached the broker."""
    if what == READER:
        read_on(s, ref)
    elif what == CONTROL:
        _queue(s, 0, ref)
    elif s.broker == NO_BROKER:
        server = s.messages[ref].server
        if server < 0:
            s.messages[ref].at_broker_ns = s.now
            copy_done(s, ref, SERVER_DIED, s.now)
        else:
            _hand_to(s, ref, server)
    else:
        op = new_op(s, PUBLISH if s.broker == PUBSUB else APPEND)
        s.ops[op].message = ref
        n, slot = 0, ref
        while slot >= 0:
            s.messages[slot].at_broker_ns = s.now
            n += 1
            slot = s.messages[slot].following
        s.ops[op].n = n
        station = s.messages[ref].room % s.n_partitions if s.broker == KAFKA else 0
        _queue(s, station, op)


@compiled()
def _send_batch(s, server):
    v = s.servers[server]
    v.left_broker_ns = s.now
    m = s.messages[s.log[v.read_from]]
    link_ns = draw_ns(s, SERVER_LINK, SERVER_LINK_STREAM, m.number, server, m.traffic)
    insert(s, s.now + link_ns, key_of(AT_SERVER, server, -1), m.id, server, READ_BATCH)


@compiled()
def _subscribed(s, op):
    """The broker has taken a SUBSCRIBE; its answer goes back."""
    o = s.ops[op]
    if not s.servers[o.server].dead:
        for i in range(o.block, o.block + o.n):
            add_channel(s, s.lists[i], o.server)
    key = key_of(AT_SERVER, o.server, s.lists[o.block])
    insert(s, s.now + s.control_link_ns, key, -1, op, SUBSCRIBED)


# Redis Streams and Kafka: a log that every server reads from its own position.


@compiled(apart=True)
def _append(s, slot):
    """A batch is in the log: wake the readers that wait."""
    alive = 0
    for server in range(s.n_servers):
        alive += not s.servers[server].dead
    while slot >= 0:
        m = s.messages[slot]
        following = m.following
        m.position, m.appended_ns = s.n_log, s.now
        if s.n_log == len(s.log):
            log = np.empty(2 * s.n_log, dtype=np.int32)
            log[: s.n_log] = s.log
            s.log = log
        s.log[s.n_log] = slot
        s.n_log += 1
        m.copies += alive
        copy_done(s, slot, OFFLINE, s.now)
        slot = following
    for server in range(s.n_servers):
        if s.servers[server].parked:
            s.servers[server].parked = False
            read_on(s, server)


@compiled()
def _work_done(s, op):
    """What a thread's work has brought about."""
    o = s.ops[op]
    if o.kind == SUBSCRIBE:
        _subscribed(s, op)
    else:
        if o.kind == APPEND:
            _append(s, o.message)
        elif o.kind == READ:
            _send_batch(s, o.server)
        elif o.kind == UNSUBSCRIBE:
            for i in range(o.block, o.block + o.n):
                if not has_bit(s.wanted, s.lists[i], o.server):
                    remove_channel(s, s.lists[i], o.server)
        free_op(s, op)


@compiled(apart=True)
def thread_free(s, station):
    """A thread has finished its work, or one of Kafka's readers has its batch."""
    if station >= len(s.stations):
        _send_batch(s, station - len(s.stations))
        return
    b = s.stations[station]
    b.awaited = False
    if b.op >= 0:
        _work_done(s, b.op)  # what it causes waits behind what came before
        b.busy_ns += b.service_ns
        b.op = -1
    if b.n > 0:
        op = b.first
        b.first = s.ops[op].next
        b.n -= 1
        _start(s, station, op)
        _await(s, station)


@compiled(apart=True)
def at_server(s, server, ref, what):
    """A copy, the answer to a SUBSCRIBE or a batch of the log has reached a server."""
    if what == COPY:
        submit(s, server, ref)
    elif what == READ_BATCH:
        v = s.servers[server]
        for position in range(v.read_from, v.read_from + v.read_n):
            deliver(s, server, s.log[position], v.left_broker_ns)
        insert(s, s.now + s.control_link_ns, key_of(AT_BROKER, server, -1), -1, server, READER)
    else:
        o = s.ops[ref]
        if not s.servers[server].dead:
            for i in range(o.block, o.block + o.n):
                set_bit(s.wanted, s.lists[i], server)
        job = o.job
        free_op(s, ref)
        admit(s, server, job)
        free_job(s, job)


@compiled(apart=True)
def linger_over(s, batch, serial):
    """A batch has waited long enough, if it was not full before."""
    if s.batch_serial[batch] == serial and s.batch_first[batch] >= 0:
        _flush(s, batch)


@compiled()
def broker_forgets(s, server):
    """A server has died: its subscriptions go, and what its reader had not taken yet will never reach it."""
    if s.per_room:
        for room in range(len(s.channels)):
            remove_channel(s, room, server)
            s.wanted[room, server >> 6] &= ~(np.uint64(1) << np.uint64(server & 63))
    if s.has_history:
        v = s.servers[server]
        for position in range(v.position, s.n_log):
            copy_done(s, s.log[position], SERVER_DIED, s.now)
        v.position, v.parked = s.n_log, False
