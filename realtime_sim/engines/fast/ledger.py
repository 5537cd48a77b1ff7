"""What became of every expected delivery, exactly once each: the rules of `engines.reference.ledger` on arrays.

A message has one byte for each member of its room, in the order of their numbers: whether the member still waits for
it, whether a copy is on the wire, and why a copy failed. What needs no look at single members, such as a message that
everybody got, costs nothing but counting.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import has_bit
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.recording import CANCELLED_ROW, CAUSE_ROW, EXPECTED_ROW, change_open, record_lost
from realtime_sim.engines.fast.state import MESSAGE
from realtime_sim.engines.order import Phase
from realtime_sim.trace import CAUSES, OUTCOMES

OPEN, FLYING, REPLAYED, GOT = 1, 2, 64, 128
CAUSE_SHIFT, CAUSE_BITS = 2, 60

OFFLINE, CONNECTION_LOST, SERVER_DIED, NO_ROUTE, TRIMMED, SERVER_AWAY, BROKER_DOWN, TOO_LATE, UNFINISHED = range(
    1, len(CAUSES) + 1
)
DELIVERED, LOST, DROPPED, DUPLICATE = range(len(OUTCOMES))

LEAST_BLOCK = 3
"""Smallest block of recipients: 8."""

EVERYONE_ROOM = 0

JOB_END = int(Phase.JOB_END)

NO_SERVER = 2**20 - 2
"""In the place of a server, behind all there may be."""


@compiled(apart=True)
def new_message(s, id):
    """A message is published; nobody expects it yet, and its publisher holds the one copy."""
    room = s.publish_room[id]
    n = s.member_offsets[room + 1] - s.member_offsets[room]
    size = LEAST_BLOCK
    while (1 << size) < n:
        size += 1
    slot = s.free_message[size]
    if slot >= 0:
        s.free_message[size] = s.messages[slot].next
    else:
        slot = s.n_messages
        s.n_messages += 1
        if slot == len(s.messages):
            messages = np.zeros(2 * slot, dtype=MESSAGE)
            messages[:slot] = s.messages
            s.messages = messages
        s.messages[slot].block = s.n_states
        s.n_states += 1 << size
        if s.n_states > len(s.states):
            states = np.empty(2 * s.n_states, dtype=np.uint8)
            states[: len(s.states)] = s.states
            s.states = states
    m = s.messages[slot]
    m.id, m.number, m.traffic, m.room = id, s.publish_number[id], s.publish_traffic[id], room
    m.sender, m.published_ns = s.publish_sender[id], s.intended_ns[id]
    m.at_broker_ns, m.appended_ns, m.done_ns, m.position, m.copies = -1, -1, -1, -1, 1
    m.n_open, m.n_idle, m.n_held, m.size, m.live, m.following = 0, 0, 0, size, True, -1
    m.batch = np.searchsorted(s.batch_starts_ns, m.published_ns, side="right") - 1
    m.previous, m.next = -1, s.live[room]
    if m.next >= 0:
        s.messages[m.next].previous = slot
    s.live[room] = slot
    return slot


@compiled(apart=True)
def expect_all(s, slot):
    """Every member of the room who is online becomes a recipient; the sender only where it is echoed."""
    m = s.messages[slot]
    first, last = s.member_offsets[m.room], s.member_offsets[m.room + 1]
    spared = -1 if s.echo[m.traffic] else m.sender
    several = len(s.cohorts) > 1
    n = 0
    for place in range(last - first):
        client = s.members[first + place]
        if has_bit(s.online, 0, client) and client != spared:
            s.states[m.block + place] = OPEN
            n += 1
            if m.batch >= 0:
                s.deliveries[EXPECTED_ROW, s.clients[client].cohort if several else 0] += 1
        else:
            s.states[m.block + place] = 0
    m.n_open = m.n_idle = n
    change_open(s, n, s.now)


@compiled()
def place_of(s, room, client):
    """Position of a client among the members of a room, or -1."""
    if room == EVERYONE_ROOM:
        return np.int64(client)
    first, last = s.member_offsets[room], s.member_offsets[room + 1]
    low, high = first, last
    while low < high:
        middle = (low + high) >> 1
        if s.members[middle] < client:
            low = middle + 1
        else:
            high = middle
    return low - first if low < last and s.members[low] == client else np.int64(-1)


@compiled()
def set_cause(s, at, cause):
    """Why a copy failed; the last reason stands."""
    s.states[at] = (s.states[at] & ~np.uint8(CAUSE_BITS)) | np.uint8(cause << CAUSE_SHIFT)


@compiled()
def cause_at(s, at):
    """The cause noted for a recipient, 0 if none."""
    return (s.states[at] & CAUSE_BITS) >> CAUSE_SHIFT


@compiled()
def take_off(s, slot, place):
    """A copy goes on the wire."""
    m = s.messages[slot]
    at = m.block + place
    if s.states[at] & (OPEN | FLYING) == OPEN:
        m.n_idle -= 1
    s.states[at] |= FLYING


@compiled()
def land(s, slot, place):
    """A copy is no longer on the wire; whether the client still waits for the message."""
    m = s.messages[slot]
    at = m.block + place
    state = s.states[at]
    if state & (OPEN | FLYING) == OPEN | FLYING:
        m.n_idle += 1
    s.states[at] = state & ~np.uint8(FLYING)
    return state & OPEN != 0


@compiled()
def close(s, slot, place, time):
    """The delivery is settled at `time`."""
    m = s.messages[slot]
    at = m.block + place
    if s.states[at] & FLYING == 0:
        m.n_idle -= 1
    s.states[at] &= ~np.uint8(OPEN)
    m.n_open -= 1
    change_open(s, -1, time)
    if s.n_open == 0:
        s.closed_ns = max(s.closed_ns, time)


@compiled(apart=True)
def lost(s, slot, place, client, cause):
    """The delivery will never happen."""
    m = s.messages[slot]
    close(s, slot, place, s.now)
    cohort = s.clients[client].cohort
    if m.batch >= 0:
        s.deliveries[CAUSE_ROW + cause - 1, cohort] += 1
    record_lost(s, m.id, client, cohort, m.batch, m.published_ns)


@compiled()
def _missed(s, slot, place, client):
    if not s.cohorts[s.clients[client].cohort].replays or s.messages[slot].position < 0:
        cause = cause_at(s, s.messages[slot].block + place)
        lost(s, slot, place, client, cause if cause > 0 else OFFLINE)


@compiled()
def _finish_later(s, slot):
    """Look at those who are left out when the last server is done."""
    m = s.messages[slot]
    insert(s, m.done_ns, key_of(JOB_END, NO_SERVER, -1), m.id, slot, 0)


@compiled(apart=True)
def failed(s, slot, place, client, serial, cause):
    """The copy on a connection will not arrive. Another server may still have one, or the client may come back.

    A client that has a newer connection does not wait for it any more.
    """
    if s.details[client].newest != serial or s.states[s.messages[slot].block + place] & FLYING == 0:
        return
    if land(s, slot, place):
        m = s.messages[slot]
        set_cause(s, m.block + place, cause)
        if m.copies == 0:
            if m.done_ns <= s.now:
                _missed(s, slot, place, client)
            else:
                _finish_later(s, slot)


@compiled(apart=True)
def forget(s, slot):
    """Free the message if nobody can refer to it any more."""
    m = s.messages[slot]
    if m.copies > 0 or m.n_open > 0 or m.n_held > 0 or not m.live:
        return
    m.live = False
    if m.previous >= 0:
        s.messages[m.previous].next = m.next
    else:
        s.live[m.room] = m.next
    if m.next >= 0:
        s.messages[m.next].previous = m.previous
    m.next = s.free_message[m.size]
    s.free_message[m.size] = slot


@compiled(is_over=FLAG)
def _leave_out(s, slot, cause, is_over):
    """Note why the members who still wait got nothing from a server; they have missed it when all `is_over`."""
    m = s.messages[slot]
    first = s.member_offsets[m.room]
    for place in range(s.member_offsets[m.room + 1] - first):
        at = m.block + place
        if s.states[at] & (OPEN | FLYING) == OPEN:
            if cause != OFFLINE and cause_at(s, at) == 0:
                set_cause(s, at, cause)
            if is_over:
                _missed(s, slot, place, s.members[first + place])


@compiled(apart=True)
def copy_done(s, slot, cause, time):
    """A server is done with its copy (`OFFLINE`) at `time`, now or ahead, or the copy came to nothing for `cause`.

    After the last one, who was left out has missed the message."""
    m = s.messages[slot]
    m.copies -= 1
    m.done_ns = max(m.done_ns, time)
    if m.n_idle > 0:
        is_over = m.copies == 0 and m.done_ns <= s.now
        if cause != OFFLINE or is_over:
            _leave_out(s, slot, cause, is_over)
        if m.copies == 0 and not is_over:
            _finish_later(s, slot)
    forget(s, slot)


@compiled(apart=True)
def finish(s, slot, id):
    """The last server is done with a message, if it is still there, and no later copy has come since."""
    m = s.messages[slot]
    if m.id == id and m.live and m.n_idle > 0 and m.copies == 0 and m.done_ns <= s.now:
        _leave_out(s, slot, OFFLINE, True)
        forget(s, slot)


@compiled()
def _cancel(s, slot, place, client):
    m = s.messages[slot]
    close(s, slot, place, s.now)
    if m.batch >= 0:
        cohort = s.clients[client].cohort
        s.deliveries[EXPECTED_ROW, cohort] -= 1
        s.deliveries[CANCELLED_ROW, cohort] += 1


@compiled(apart=True)
def left(s, client):
    """A user has gone: what was under way is cancelled, what had been missed is lost."""
    for i in range(s.room_offsets[client], s.room_offsets[client + 1]):
        room = s.rooms[i]
        slot = s.live[room]
        if slot < 0:
            continue
        place = place_of(s, room, client)
        while slot >= 0:
            m = s.messages[slot]
            following = m.next
            state = s.states[m.block + place]
            if state & OPEN:
                if m.copies == 0 and m.done_ns < s.now and state & FLYING == 0:
                    cause = cause_at(s, m.block + place)
                    lost(s, slot, place, client, cause if cause > 0 else OFFLINE)
                else:
                    _cancel(s, slot, place, client)
                forget(s, slot)
            slot = following


@compiled(apart=True)
def reconnected(s, client):
    """A client gets a new connection: what is under way on the one before will not arrive."""
    if s.details[client].n_parcels == 0:
        return
    for i in range(s.room_offsets[client], s.room_offsets[client + 1]):
        room = s.rooms[i]
        slot = s.live[room]
        place = place_of(s, room, client) if slot >= 0 else np.int64(0)
        while slot >= 0:
            m = s.messages[slot]
            following = m.next
            if s.states[m.block + place] & FLYING:
                failed(s, slot, place, client, s.details[client].newest, CONNECTION_LOST)
                forget(s, slot)
            slot = following


@compiled()
def close_books(s):
    """The run is over: what is still open is lost."""
    for slot in range(s.n_messages):
        m = s.messages[slot]
        if not m.live or m.n_open == 0:
            continue
        first = s.member_offsets[m.room]
        for place in range(s.member_offsets[m.room + 1] - first):
            if s.states[m.block + place] & OPEN:
                cause = cause_at(s, m.block + place)
                lost(s, slot, place, s.members[first + place], cause if cause > 0 else UNFINISHED)
