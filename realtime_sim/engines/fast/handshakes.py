"""Handshakes: a client's request at the balancer, its server's answer, and what the client makes of it."""

from __future__ import annotations

from realtime_sim.engines.fast.admission import (
    ANSWERED,
    CONNECTED,
    is_full,
    pick,
    register,
    turned_away,
)
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.clients import arm, ask, attempt_failed, deadline_ns, is_certain, let_go, stay
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.drawing import (
    HANDSHAKE_COST,
    HANDSHAKE_COST_STREAM,
    draw_ns,
)
from realtime_sim.engines.fast.jobs import HANDSHAKE, new_job, submit
from realtime_sim.engines.fast.jobs import REQUEST as REQUEST_JOB
from realtime_sim.engines.fast.links import CUTS
from realtime_sim.engines.fast.recording import (
    REFUSED,
    SERVER_DIED,
    TIMEOUTS,
    WASTED_HANDSHAKES,
)
from realtime_sim.engines.fast.subscriptions import unsubscribe
from realtime_sim.engines.order import Phase

ANSWER = int(Phase.ANSWER)


@compiled(apart=True)
def request(s, client, attempt):
    """A request of a handshake reaches the balancer, if its client is still there."""
    c = s.clients[client]
    if c.attempt != attempt:
        return
    is_last = c.step == s.cohorts[c.cohort].n_requests - 1
    server = pick(s, client)
    outcome = turned_away(s, server, s.details[client].session_server if c.step > 0 else -1)
    if outcome == TIMEOUTS:
        c.asking = True
        arm(s, client)
    elif outcome != ANSWERED:
        time = s.now + c.half_rtt_ns
        if is_certain(s, client, time):
            attempt_failed(s, client, outcome, time)
        else:
            insert(s, time, key_of(ANSWER, -1, client), c.attempt, -1, outcome)
    else:
        c.asking = True
        job = new_job(s, HANDSHAKE if is_last else REQUEST_JOB)
        j = s.jobs[job]
        j.client, j.number, j.b_ns = client, c.attempt, deadline_ns(s, client)
        if is_last:
            j.a_ns = draw_ns(s, HANDSHAKE_COST, HANDSHAKE_COST_STREAM, client, c.n_requests, 0)
            s.details[client].chosen = server
            s.load[server] += 1
        else:
            j.a_ns = s.http_request_ns
            s.details[client].session_server = server
        submit(s, server, job)
        arm(s, client)


@compiled()
def _in_time(s, job):
    """Whether an answer sent now reaches a client that still waits."""
    j = s.jobs[job]
    c = s.clients[j.client]
    return c.attempt == j.number and c.asking and s.now + c.half_rtt_ns <= j.b_ns


@compiled()
def _will_stay(s, slot):
    """Whether nothing can happen to a new connection before its client hears of it, nor anything wait for that."""
    k = s.connections[slot]
    return not k.polls and s.cohorts[k.cohort].overflow != CUTS and s.now + k.half_rtt_ns < min(s.horizon_ns, k.ends_ns)


@compiled(apart=True)
def reply(s, job, outcome, slot):
    """A server answers a request, unless nobody waits any more: then the work was for nothing."""
    j = s.jobs[job]
    c = s.clients[j.client]
    if not _in_time(s, job):
        if outcome != SERVER_DIED:
            s.counters[WASTED_HANDSHAKES] += 1
        return
    c.asking = False
    if outcome >= 0:
        let_go(s, j.client)
    s.details[j.client].chosen = -1
    if outcome == CONNECTED and _will_stay(s, slot):
        stay(s, j.client, slot)
        return
    insert(s, s.now + c.half_rtt_ns, key_of(ANSWER, -1, j.client), c.attempt, slot, outcome)


@compiled(apart=True)
def admit(s, server, job):
    """The last request of a handshake is done: admit, refuse, or find that the work was for nothing."""
    client = s.jobs[job].client
    if s.servers[server].dead:
        if not s.servers[server].silent:
            reply(s, job, SERVER_DIED, -1)
    elif _in_time(s, job) and not is_full(s, server):
        slot = register(s, server, client)
        reply(s, job, CONNECTED, slot)
    else:
        unsubscribe(s, server, client)
        reply(s, job, REFUSED, -1)


@compiled(apart=True)
def answered(s, client, attempt, slot, outcome):
    """The answer reaches the client, if it is still there."""
    c = s.clients[client]
    if c.attempt != attempt:
        return
    if outcome == CONNECTED:
        stay(s, client, slot)
    elif outcome == ANSWERED:
        c.step += 1
        ask(s, client, s.now + c.half_rtt_ns)
    else:
        attempt_failed(s, client, outcome, s.now)
