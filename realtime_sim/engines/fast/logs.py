"""Logs that every server reads from its own position: the rules of `engines.reference.logs` on arrays."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import STALLED
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.broker_links import (
    AT_BROKER,
    AT_SERVER,
    READ_BATCH,
    READER,
    broker_paced,
    with_epoch,
)
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.drawing import SERVER_LINK, SERVER_LINK_STREAM, draw_ns
from realtime_sim.engines.fast.jobs import deliver
from realtime_sim.engines.fast.ledger import OFFLINE, SERVER_DIED, TRIMMED, copy_done, forget
from realtime_sim.engines.fast.stations import BROKER_JOB_END, queue
from realtime_sim.engines.fast.subscriptions import READ, new_op

KAFKA = 3
"""The one whose readers cost no thread of a partition its time."""


@compiled()
def _let_go(s, server, until):
    """A server may not be handed again what it has committed: messages up to `until` are held for it no more."""
    v = s.servers[server]
    if s.commits_late:
        for position in range(v.committed, until):
            s.messages[s.log[position]].n_held -= 1
            forget(s, s.log[position])
    v.committed = until


@compiled()
def _skip_trimmed(s, server):
    """A reader that is too far behind goes on with the oldest entry that is still there."""
    v = s.servers[server]
    while s.max_length >= 0 and v.position < s.n_log - s.max_length:
        if v.position >= v.handed:
            copy_done(s, s.log[v.position], TRIMMED, s.now)
            v.handed += 1
            v.committed = v.handed
        else:
            _let_go(s, server, v.position + 1)
        v.position += 1


@compiled(apart=True)
def read_on(s, server):
    """A server's next read: at once if there is something new, or as soon as there is."""
    v = s.servers[server]
    if v.dead:
        return
    if v.position == s.n_log:
        v.parked = True
        return
    _skip_trimmed(s, server)
    v.read_from, v.read_n = v.position, min(s.read_limit, s.n_log - v.position)
    v.position += v.read_n
    if s.broker == KAFKA:  # fetches cost the brokers' other threads time
        reader = len(s.stations) + server
        left_ns = s.now + broker_paced(s, s.read_ns * v.read_n)
        insert(s, left_ns, key_of(BROKER_JOB_END, reader, -1), -1, reader, v.epoch)
    else:
        op = new_op(s, READ)
        s.ops[op].server, s.ops[op].n, s.ops[op].epoch = server, v.read_n, v.epoch
        queue(s, 0, op)


@compiled(apart=True)
def asks(s, server):
    """A server's request is at the broker, which learns by it what the server has handled."""
    v = s.servers[server]
    if v.dead:
        return
    if v.link == STALLED:
        v.holds_request = True
        return
    if s.commits_late:
        _let_go(s, server, v.position)
    read_on(s, server)


@compiled(apart=True)
def hand_out(s, server):
    """A batch leaves for its server, if anything gets through."""
    v = s.servers[server]
    if v.link == STALLED and not v.dead:
        v.holds_answer = True
        return
    v.left_broker_ns = s.now
    m = s.messages[s.log[v.read_from]]
    link_ns = draw_ns(s, SERVER_LINK, SERVER_LINK_STREAM, m.number, server, m.traffic)
    what = with_epoch(READ_BATCH, v.epoch)
    insert(s, s.now + link_ns, key_of(AT_SERVER, server, -1), m.id, server, what)


@compiled()
def hand_over(s, server):
    """A batch has reached its server. What it had before comes again: the server does not know."""
    v = s.servers[server]
    had = v.handed
    v.handed = max(had, v.read_from + v.read_n)
    for position in range(v.read_from, v.read_from + v.read_n):
        slot = s.log[position]
        if position >= had:
            if s.commits_late and not v.dead:
                s.messages[slot].n_held += 1
            deliver(s, server, slot, v.left_broker_ns, 0)
        elif not v.dead:
            s.messages[slot].copies += 1
            deliver(s, server, slot, v.left_broker_ns, 1)
    if not s.commits_late:
        v.committed = v.handed
    what = with_epoch(READER, v.epoch)
    insert(s, s.now + s.control_link_ns, key_of(AT_BROKER, server, -1), -1, server, what)


@compiled(apart=True)
def append(s, slot):
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
def reader_died(s, server):
    """What a dead server's reader had not taken yet will never reach it."""
    v = s.servers[server]
    for position in range(max(v.position, v.handed), s.n_log):
        copy_done(s, s.log[position], SERVER_DIED, s.now)
    _let_go(s, server, v.handed)
    v.position, v.parked, v.holds_request = s.n_log, False, False
    if v.holds_answer:
        v.holds_answer = False
        hand_out(s, server)
