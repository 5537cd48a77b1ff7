"""The loop of the compiled engine: take the earliest event, do what it brings, until a time is reached."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.fast.admission import POLL_FAILED
from realtime_sim.engines.fast.agenda import CLIENT_BITS, head, insert, key_of, peek, pop
from realtime_sim.engines.fast.apart import Apart
from realtime_sim.engines.fast.broker_faults import reached
from realtime_sim.engines.fast.brokers import at_broker, at_server, linger_over, publish, thread_free
from realtime_sim.engines.fast.clients import ASKS, deadline, leave, notice, poll, poll_failed
from realtime_sim.engines.fast.clients import retry as retry_
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.handshakes import answered, request
from realtime_sim.engines.fast.jobs import INGEST, new_job, submit
from realtime_sim.engines.fast.ledger import CONNECTION_LOST, copy_done, expect_all, finish, new_message
from realtime_sim.engines.fast.links import arrived, idle_over
from realtime_sim.engines.fast.memory import prefetch
from realtime_sim.engines.fast.polling import POLL_AGAIN, hold_over, offer
from realtime_sim.engines.fast.recording import UNSENT
from realtime_sim.engines.fast.servers import dispatch, loop_free, note_turn, ping
from realtime_sim.engines.fast.subscriptions import send_away, unregister
from realtime_sim.engines.order import Phase

HEALTH, REACHED, SESSION_END, LOST = (
    int(phase) for phase in (Phase.HEALTH, Phase.REACHED, Phase.SESSION_END, Phase.CONNECTION_LOST)
)
NOTICES, AGED = int(Phase.SERVER_NOTICES), int(Phase.AGED)
JOB_END, BROKER_JOB_END, PUBLISH, BATCH = (
    int(phase) for phase in (Phase.JOB_END, Phase.BROKER_JOB_END, Phase.PUBLISH, Phase.BATCH)
)
AT_BROKER, AT_SERVER, REQUEST, ANSWER = (
    int(phase) for phase in (Phase.AT_BROKER, Phase.AT_SERVER, Phase.REQUEST, Phase.ANSWER)
)
SENT, RECEIVED, HOLD_OVER, HEARTBEAT = (
    int(phase) for phase in (Phase.SENT, Phase.RECEIVED, Phase.HOLD_OVER, Phase.HEARTBEAT)
)
DEADLINE, RETRY, IDLE_OVER = int(Phase.DEADLINE), int(Phase.RETRY), int(Phase.IDLE_OVER)

AT_ONCE = 2_000_000
"""Events handled before control goes back to Python, so that progress shows and Ctrl-C is heard."""


FAR_AHEAD, NEAR_AHEAD = 8, 4
"""Publishes between the time that memory is asked for and the time that it is read."""


@compiled()
def _request(s, server, client, ref, aux):
    if server >= 0:
        job = new_job(s, INGEST)
        s.jobs[job].message = ref
        submit(s, server, job)
    elif ref >= 0:
        poll(s, client, ref, aux)
    else:
        request(s, client, aux)


@compiled()
def _handle_rare(s, phase, server, client, ref, aux):
    if phase == DEADLINE:
        deadline(s, client)
    elif phase == HOLD_OVER:
        hold_over(s, ref, aux)
    elif phase == IDLE_OVER:
        idle_over(s, ref, aux)
    elif phase == SESSION_END:
        leave(s, client)
    elif phase == LOST:
        notice(s, ref, aux)
    elif phase == NOTICES:
        unregister(s, ref, aux)
    elif phase == AGED:
        send_away(s, ref, aux)
    elif phase == HEARTBEAT:
        ping(s, server, client, aux, s.ping_interval_ns[client])
    elif phase == BATCH:
        linger_over(s, ref, aux)
    elif phase == HEALTH:
        s.healthy[server] = False
    elif phase == REACHED:
        reached(s, ref, aux)


@compiled()
def _handle(s, key, message, ref, aux):
    phase = key >> 53
    server = ((key >> 33) & 0xFFFFF) - 1
    client = (key & CLIENT_BITS) - 1
    s.phase, s.loop = phase, client
    note_turn(s, phase, server, client)
    if phase == JOB_END:
        if message >= 0:
            finish(s, ref, message)
        else:
            loop_free(s, server, ref, aux)
    elif phase == AT_SERVER:
        at_server(s, server, ref, aux)
    elif phase == AT_BROKER:
        at_broker(s, ref, aux)
    elif phase == BROKER_JOB_END:
        thread_free(s, ref, aux)
    elif phase == RETRY:
        if ref == ASKS:
            request(s, client, aux)
        else:
            retry_(s, client, aux)
    elif phase == REQUEST:
        _request(s, server, client, ref, aux)
    elif phase == ANSWER:
        if aux == POLL_FAILED:
            poll_failed(s, ref, message)
        elif aux == POLL_AGAIN:
            insert(s, s.now, key_of(REQUEST, -1, client), -1, ref, message)
        else:
            answered(s, client, message, ref, aux)
    elif phase == SENT:
        offer(s, ref, server, client)
    elif phase == RECEIVED:
        arrived(s, ref, server, client)
    else:
        _handle_rare(s, phase, server, client, ref, aux)


@compiled()
def _publish(s, i):
    """A message sets out from the backend, or from a client through its server."""
    sender = s.publish_sender[i]
    if sender >= 0 and s.clients[sender].connection < 0:
        s.counters[UNSENT] += 1
        return
    slot = new_message(s, i)
    expect_all(s, slot)
    if sender < 0:
        publish(s, slot, -1)
        return
    k = s.connections[s.clients[sender].connection]
    if not k.alive:
        copy_done(s, slot, CONNECTION_LOST, s.now)
        return
    time = s.now + s.clients[sender].half_rtt_ns
    insert(s, time, key_of(REQUEST, k.server, sender), s.messages[slot].id, slot, 0)


@compiled()
def _bring_near(s, i):
    """Start to fetch what the publishes after the `i`-th will read: first where their rooms are listed, then who is in
    them."""
    if i + FAR_AHEAD < len(s.publish_ns):
        room = s.publish_room[i + FAR_AHEAD]
        prefetch(s.member_offsets, room)
        prefetch(s.live, room)
        if s.per_room:
            prefetch(s.channels, room)
    if i + NEAR_AHEAD < len(s.publish_ns):
        prefetch(s.members, s.member_offsets[s.publish_room[i + NEAR_AHEAD]])


@compiled()
def _step(s, until_ns):
    """Handle the earliest event, if it is before `until_ns`; whether there was one."""
    time = peek(s)
    i = s.next_publish
    if i < len(s.publish_ns) and (time < 0 or s.publish_ns[i] <= time):
        is_first = time < 0 or s.publish_ns[i] < time
        if not is_first:
            key, message = head(s)
            mine = key_of(PUBLISH, -1, -1)
            is_first = mine < key or (mine == key and i < message)
        if is_first:
            if s.publish_ns[i] >= until_ns:
                return False
            s.now = s.publish_ns[i]
            s.next_publish += 1
            _bring_near(s, i)
            s.phase = PUBLISH
            note_turn(s, PUBLISH, np.int64(-1), np.int64(-1))
            _publish(s, i)
            if s.n_touched > 0:
                dispatch(s)
            return True
    if time < 0 or time >= until_ns:
        return False
    s.now = time
    key, message, ref, aux = pop(s)
    _handle(s, key, message, ref, aux)
    if s.n_touched > 0:
        dispatch(s)
    return True


@compiled(long=True)
def advance(s, until_ns):
    """Handle every event before `until_ns`. Returns whether there may be more."""
    n = 0
    while n < AT_ONCE and _step(s, until_ns):
        n += 1
    return n == AT_ONCE


@compiled(long=True)
def drain(s, limit_ns):
    """After the end: on until nothing is under way nor to be published, at most to `limit_ns`.

    Returns whether there may be more.
    """
    for _ in range(AT_ONCE):
        if s.n_open > 0 or s.next_publish < len(s.publish_ns):
            if not _step(s, limit_ns + 1):
                return False
        elif not _step(s, s.now + 1):  # what happens at one time belongs together
            return False
    return True


def addresses() -> dict[str, int]:
    """Addresses of all functions compiled apart, which this module needs every one of, by their fields in the state."""
    return {f"{name}_at": function.address for name, function in Apart.all.items()}
