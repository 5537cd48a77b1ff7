"""What servers hear of: their lists of connections, and their subscriptions at a Redis Pub/Sub broker."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import UP
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import clear_bit, has_bit, set_bit
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.links import broke, give_up_slot
from realtime_sim.engines.fast.polling import drop_waiting
from realtime_sim.engines.fast.recording import CLOSED_GOING_AWAY
from realtime_sim.engines.fast.state import OP
from realtime_sim.engines.order import Phase
from realtime_sim.trace import COUNTERS

AT_BROKER, LOST = int(Phase.AT_BROKER), int(Phase.CONNECTION_LOST)
PEAK = COUNTERS.index("peak_connections")
EVERYONE_ROOM = 0
NOWHERE, SEVERAL = -1, -2
PUBLISH, APPEND, READ, SUBSCRIBE, UNSUBSCRIBE, WAIT = range(6)


@compiled()
def new_op(s, kind):
    """Work for a thread of the broker."""
    op = s.free_op
    if op >= 0:
        s.free_op = s.ops[op].next
    else:
        op = s.n_ops
        if op == len(s.ops):
            ops = np.empty(2 * op, dtype=OP)
            ops[:op] = s.ops
            s.ops = ops
        s.n_ops += 1
    o = s.ops[op]
    o.kind, o.next, o.message, o.server, o.job, o.n, o.block, o.epoch, o.shard = kind, -1, -1, -1, -1, 0, -1, 0, 0
    return op


@compiled()
def _list_class(n):
    size = 0
    while (1 << size) < n:
        size += 1
    return size


@compiled()
def free_list(s, at, n):
    """The numbers are not needed any more."""
    size = _list_class(n)
    s.lists[at] = s.free_lists[size]
    s.free_lists[size] = at


@compiled()
def free_op(s, op):
    """The work is done."""
    if s.ops[op].block >= 0:
        free_list(s, s.ops[op].block, s.ops[op].n)
    s.ops[op].next = s.free_op
    s.free_op = op


@compiled()
def new_list(s, n):
    """A place for `n` numbers in `s.lists`."""
    size = _list_class(n)
    at = s.free_lists[size]
    if at >= 0:
        s.free_lists[size] = s.lists[at]
        return at
    at = s.n_lists
    s.n_lists += 1 << size
    if s.n_lists > len(s.lists):
        lists = np.empty(2 * s.n_lists, dtype=np.int64)
        lists[: len(s.lists)] = s.lists
        s.lists = lists
    return at


@compiled()
def is_at(s, server, client):
    """Whether a server has a connection of a client on its list."""
    home = s.home[client]
    return home == server or (home == SEVERAL and has_bit(s.local, server, client))


@compiled()
def settle_home(s, client):
    """Note anew which server has a connection of a client on its list: one, none or several."""
    home, slot = NOWHERE, client
    while slot >= 0:
        k = s.connections[slot]
        if k.registered and k.server != home:
            home = k.server if home == NOWHERE else SEVERAL
        slot = k.elder
    s.home[client] = home


@compiled(apart=True)
def has_member(s, server, room):
    """Whether a server has a connection of any member of a room."""
    if room == EVERYONE_ROOM:
        return s.servers[server].n_connections > 0
    first, last = s.member_offsets[room], s.member_offsets[room + 1]
    while first < last and not is_at(s, server, s.members[first]):
        first += 1
    return first < last


@compiled()
def enlist(s, server, client, slot):
    """Put a connection on the server's list; an old one of the same client gives way.

    Returns
    -------
    int
        The slot of the old one, or -1.
    """
    k, v = s.connections[slot], s.servers[server]
    k.server, k.registered = server, True
    v.n_connections += 1
    s.n_registered += 1
    s.counters[PEAK] = max(s.counters[PEAK], s.n_registered)
    s.cohort_sizes[server, s.connections[slot].cohort] += 1
    set_bit(s.local, server, client)
    settle_home(s, client)


@compiled(apart=True)
def strike_off(s, slot):
    """Take a connection off its server's list; the rooms stay subscribed."""
    k = s.connections[slot]
    v = s.servers[k.server]
    k.registered = False
    v.n_connections -= 1
    s.n_registered -= 1
    s.cohort_sizes[k.server, k.cohort] -= 1
    clear_bit(s.local, k.server, k.client)
    settle_home(s, k.client)
    s.load[k.server] -= 1
    if k.polls:
        drop_waiting(s, slot)


@compiled()
def share(s, room):
    """Number of the thread that a room belongs to: rooms are dealt out to them in turn."""
    return room % s.n_threads


@compiled()
def first_of(s, op):
    """By which of its rooms a command comes in the written order; one without rooms has its shard's place before."""
    o = s.ops[op]
    return s.lists[o.block] if o.block >= 0 else np.int64(o.shard) - 1


@compiled()
def _send(s, op, server, shard, block, n):
    o = s.ops[op]
    o.server, o.shard, o.block, o.n, o.epoch = server, shard, block, n, s.servers[server].epoch
    insert(s, s.now + s.control_link_ns, key_of(AT_BROKER, server, first_of(s, op)), -1, op, 1)


@compiled()
def _is_left(s, server, room, shard):
    """Whether a server hears of a room of a shard, and has nobody in it."""
    return share(s, room) == shard and has_bit(s.wanted, room, server) and not has_member(s, server, room)


@compiled(apart=True)
def unsubscribe(s, server, client):
    """One UNSUBSCRIBE, at each shard, for the rooms of a client in which the server has nobody any more."""
    if not s.per_room or s.servers[server].link != UP:
        return
    first, last = s.room_offsets[client], s.room_offsets[client + 1]
    for shard in range(s.n_ways):
        n = 0
        for i in range(first, last):
            n += _is_left(s, server, s.rooms[i], shard)
        if n == 0:
            continue
        op, block = new_op(s, UNSUBSCRIBE), new_list(s, n)
        at = block
        for i in range(first, last):
            room = s.rooms[i]
            if _is_left(s, server, room, shard):
                clear_bit(s.wanted, room, server)
                s.lists[at] = room
                at += 1
        _send(s, op, server, shard, block, n)


@compiled(apart=True)
def unregister(s, slot, serial):
    """A server learns that a connection is gone, if that one is still on its list."""
    k = s.connections[slot]
    if k.serial != serial or not k.registered:
        return
    server, client = k.server, k.client
    strike_off(s, slot)
    unsubscribe(s, server, client)
    give_up_slot(s, slot)


@compiled(apart=True)
def send_away(s, slot, serial):
    """A server closes a connection in order, if it is still open: the client hears of it behind what was sent."""
    k = s.connections[slot]
    if k.serial != serial or not k.registered:
        return
    if k.alive:
        broke(s, slot, CLOSED_GOING_AWAY)
        last_word_ns = max(s.now + k.half_rtt_ns, k.last_arrival_ns + 1)
        insert(s, last_word_ns, key_of(LOST, k.server, k.client), -1, slot, serial)
    unregister(s, slot, serial)


@compiled()
def _is_new(s, server, room, shard):
    """Whether a server does not hear of a room of a shard yet."""
    return share(s, room) == shard and not has_bit(s.wanted, room, server)


@compiled(apart=True)
def subscribe(s, server, client, job):
    """One SUBSCRIBE, at each shard, for the rooms that are new to the server; False if there are none."""
    if not s.per_room or s.servers[server].link != UP:
        return False
    first, last = s.room_offsets[client], s.room_offsets[client + 1]
    for shard in range(s.n_ways):
        n = 0
        for i in range(first, last):
            n += _is_new(s, server, s.rooms[i], shard)
        if n == 0:
            continue
        op, block = new_op(s, SUBSCRIBE), new_list(s, n)
        at = block
        for i in range(first, last):
            if _is_new(s, server, s.rooms[i], shard):
                s.lists[at] = s.rooms[i]
                at += 1
        s.ops[op].job = job
        s.jobs[job].n += 1
        _send(s, op, server, shard, block, n)
    return s.jobs[job].n > 0


@compiled()
def add_channel(s, room, server):
    """A server hears of a room from now on."""
    if not has_bit(s.channels, room, server):
        set_bit(s.channels, room, server)
        s.n_subscriptions += 1


@compiled()
def remove_channel(s, room, server):
    """A server hears of a room no more."""
    if has_bit(s.channels, room, server):
        clear_bit(s.channels, room, server)
        s.n_subscriptions -= 1


@compiled()
def subscribe_at_start(s, server, client):
    """Everyone who is connected at the start has been for a while: subscriptions stand."""
    if s.per_room:
        for i in range(s.room_offsets[client], s.room_offsets[client + 1]):
            add_channel(s, s.rooms[i], server)
            set_bit(s.wanted, s.rooms[i], server)


@compiled(apart=True)
def give_back_all(s, server):
    """One UNSUBSCRIBE, at each shard, for every room in which the server has nobody."""
    if s.servers[server].link != UP:
        return
    for shard in range(s.n_ways):
        n = 0
        for room in range(shard, len(s.wanted), s.n_ways):
            n += _is_left(s, server, room, shard)
        if n == 0:
            continue
        op, block = new_op(s, UNSUBSCRIBE), new_list(s, n)
        at = block
        for room in range(shard, len(s.wanted), s.n_ways):
            if _is_left(s, server, room, shard):
                clear_bit(s.wanted, room, server)
                s.lists[at] = room
                at += 1
        _send(s, op, server, shard, block, n)


@compiled()
def _join(s, server, shard):
    """One command for all rooms of a shard that a server has members of and does not hear of; whether there is one."""
    block, n = np.int64(-1), 1
    if s.per_room:
        n = 0
        for room in range(shard, len(s.wanted), s.n_ways):
            n += _is_new(s, server, room, shard) and has_member(s, server, room)
        if n == 0:
            return False
        block = new_list(s, n)
        at = block
        for room in range(shard, len(s.wanted), s.n_ways):
            if _is_new(s, server, room, shard) and has_member(s, server, room):
                s.lists[at] = room
                at += 1
    way = s.ways[server, shard]
    way.joined, way.answered = False, False
    _send(s, new_op(s, SUBSCRIBE), server, shard, block, n)
    return True


@compiled(apart=True)
def join(s, server):
    """A server subscribes at all shards where it hears less than it should; False if there are none."""
    n = 0
    for shard in range(s.n_ways):
        n += _join(s, server, shard)
    return n > 0
