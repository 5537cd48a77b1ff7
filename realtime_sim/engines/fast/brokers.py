"""From the publisher to every server that should hear of it: the rules of `engines.reference.brokers` on arrays."""

from __future__ import annotations

from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import has_bit, set_bit
from realtime_sim.engines.fast.broker_links import (
    AT_SERVER,
    CONTROL,
    DIES,
    READ_BATCH,
    READER,
    SENDS,
    SUBSCRIBED,
    WHAT_BITS,
    copy_lost,
    forget_channels,
    is_gone,
    refused,
    send,
    settle_waiting,
    take_held,
    travel,
)
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.jobs import deliver, free_job, submit
from realtime_sim.engines.fast.ledger import NO_ROUTE, OPEN, SERVER_DIED, copy_done, set_cause
from realtime_sim.engines.fast.logs import KAFKA, append, asks, hand_out, hand_over, reader_died
from realtime_sim.engines.fast.stations import queue, subscribed, take_up_next
from realtime_sim.engines.fast.subscriptions import (
    APPEND,
    PUBLISH,
    READ,
    SUBSCRIBE,
    UNSUBSCRIBE,
    add_channel,
    first_of,
    free_op,
    give_back_all,
    new_op,
    remove_channel,
    share,
)
from realtime_sim.engines.order import Phase

BATCH = int(Phase.BATCH)

NO_BROKER, PUBSUB, STREAMS = range(3)
FAMILIES = {
    "none": NO_BROKER, "redis_pubsub": PUBSUB, "nats": PUBSUB, "redis_streams": STREAMS, "nats_jetstream": STREAMS,
    "kafka": KAFKA,
}  # fmt: skip
"""Which code is run for each kind of broker; how brokers of one family differ is in numbers of the state."""

WHAT = (1 << WHAT_BITS) - 1


@compiled()
def _flush(s, batch):
    slot, s.batch_first[batch] = s.batch_first[batch], -1
    s.batch_serial[batch] += 1
    producer = batch // s.n_threads - 1
    if producer >= 0 and s.servers[producer].dead:
        while slot >= 0:
            following = s.messages[slot].following
            copy_done(s, slot, SERVER_DIED, s.now)
            slot = following
    else:
        send(s, slot)


@compiled()
def _collect(s, slot, origin):
    """Kafka: into the producer's batch for the room's partition; a full or an old batch goes."""
    m = s.messages[slot]
    partition = share(s, m.room)
    batch = (origin + 1) * s.n_threads + partition
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
    deliver(s, server, slot, s.now, 0)


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
    if s.broker == NO_BROKER:
        if origin >= 0:
            _hand_to(s, slot, origin)
        else:
            m.server = _entry(s, m.id)
            travel(s, slot)
        return
    m.server = origin
    if s.broker == KAFKA:
        _collect(s, slot, origin)
    else:
        send(s, slot)


@compiled()
def _command(s, op):
    """A SUBSCRIBE or UNSUBSCRIBE is at the broker, unless its connection is gone."""
    if not is_gone(s, op):
        queue(s, s.ops[op].shard, op)
        return
    server, job, kind = s.ops[op].server, s.ops[op].job, s.ops[op].kind
    free_op(s, op)
    if kind == SUBSCRIBE and job >= 0:
        subscribed(s, server, job)


@compiled(apart=True)
def at_broker(s, ref, what):
    """A message, a command or a reader's next request has reached the broker."""
    epoch, what = what >> WHAT_BITS, what & WHAT
    if what == READER:
        if s.servers[ref].epoch == epoch:
            asks(s, ref)
    elif what == CONTROL:
        _command(s, ref)
    elif s.broker == NO_BROKER:
        server = s.messages[ref].server
        if server < 0:
            s.messages[ref].at_broker_ns = s.now
            copy_done(s, ref, SERVER_DIED, s.now)
        else:
            _hand_to(s, ref, server)
    elif s.down:
        refused(s, ref)
    else:
        op = new_op(s, PUBLISH if s.broker == PUBSUB else APPEND)
        s.ops[op].message = ref
        n, slot = 0, ref
        while slot >= 0:
            s.messages[slot].at_broker_ns = s.now
            n += 1
            slot = s.messages[slot].following
        s.ops[op].n = n
        queue(s, share(s, s.messages[ref].room), op)


@compiled()
def _subscribed(s, op):
    """The broker has taken a SUBSCRIBE; its answer goes back."""
    o = s.ops[op]
    if not s.servers[o.server].dead and not is_gone(s, op):
        if o.block >= 0:
            for i in range(o.block, o.block + o.n):
                add_channel(s, s.lists[i], o.server)
        if o.job < 0:
            s.ways[o.server, o.shard].joined = True
    key = key_of(AT_SERVER, o.server, first_of(s, op))
    insert(s, s.now + s.control_link_ns, key, -1, op, SUBSCRIBED)


@compiled()
def _work_done(s, op):
    """What a thread's work has brought about."""
    o = s.ops[op]
    if o.kind == SUBSCRIBE:
        _subscribed(s, op)
    else:
        if o.kind == APPEND:
            append(s, o.message)
        elif o.kind == READ:
            if s.servers[o.server].epoch == o.epoch:
                hand_out(s, o.server)
        elif o.kind == UNSUBSCRIBE and not is_gone(s, op):
            for i in range(o.block, o.block + o.n):
                if not has_bit(s.wanted, s.lists[i], o.server):
                    remove_channel(s, s.lists[i], o.server)
        free_op(s, op)


@compiled(apart=True)
def thread_free(s, station, when):
    """A thread has finished its work, or one of Kafka's readers has its batch, if that still counts."""
    if station >= len(s.stations):
        if s.servers[station - len(s.stations)].epoch == when:
            hand_out(s, station - len(s.stations))
        return
    if when != s.incarnation:
        return
    b = s.stations[station]
    b.awaited = False
    if b.op >= 0:
        _work_done(s, b.op)  # what it causes waits behind what came before
        b.busy_ns += b.service_ns
        b.op = -1
    take_up_next(s, station)


@compiled()
def _is_answered(s, server):
    """Whether a server awaits no answer of a shard to its subscribing anew."""
    answered = True
    for i in range(s.n_ways):
        answered &= s.ways[server, i].answered
    return answered


@compiled()
def _subscribed_there(s, server, op):
    """The answer to a SUBSCRIBE is back."""
    o = s.ops[op]
    job, shard, counts, has_rooms = o.job, o.shard, not s.servers[server].dead and not is_gone(s, op), o.block >= 0
    if counts and has_rooms:
        for i in range(o.block, o.block + o.n):
            set_bit(s.wanted, s.lists[i], server)
    free_op(s, op)
    if job >= 0:
        subscribed(s, server, job)
    elif counts:
        if has_rooms:
            give_back_all(s, server)
        s.ways[server, shard].answered = True
        if _is_answered(s, server):
            settle_waiting(s, server, SENDS)


@compiled(apart=True)
def at_server(s, server, ref, what):
    """A copy, the answer to a SUBSCRIBE or a batch of the log has reached a server."""
    epoch, what = what >> WHAT_BITS, what & WHAT
    v = s.servers[server]
    if what == SUBSCRIBED:
        _subscribed_there(s, server, ref)
    elif what == READ_BATCH:
        if v.epoch == epoch:
            hand_over(s, server)
    elif v.dead or v.epoch == epoch:
        submit(s, server, ref)
    else:
        copy_lost(s, server, ref)


@compiled(apart=True)
def linger_over(s, batch, serial):
    """A batch has waited long enough, if it was not full before."""
    if s.batch_serial[batch] == serial and s.batch_first[batch] >= 0:
        _flush(s, batch)


@compiled()
def broker_forgets(s, server):
    """A server has died: its subscriptions go, and what it was to get or to publish with it."""
    if s.broker == NO_BROKER:
        return
    settle_waiting(s, server, DIES)
    if s.has_history:
        reader_died(s, server)
        return
    forget_channels(s, server)
    job = take_held(s, server)
    while job >= 0:
        following = s.jobs[job].next
        copy_done(s, s.jobs[job].message, SERVER_DIED, s.now)
        free_job(s, job)
        job = following
