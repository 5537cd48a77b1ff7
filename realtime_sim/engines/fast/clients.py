"""The life of a client: the rules of `engines.reference.clients` on arrays.

What a generator remembers by the line it waits at is a number here, the stage. Nobody else knows of a client that is
turned away: answer, waiting time and next attempt are settled at once, and the next event is the next request.
"""

from __future__ import annotations

import math

import numpy as np

from realtime_sim.draws import uniform
from realtime_sim.engines.constants import ATTEMPT_GAP_NS
from realtime_sim.engines.fast.admission import (
    ANSWERED,
    AT_START,
    POLL_FAILED,
    is_full,
    pick,
    register,
    turned_away,
)
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.bits import clear_bit, has_bit
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.drawing import (
    ABSENCE,
    ABSENCE_STREAM,
    BACKOFF_STREAM,
    CLIENT_STREAM,
    DETECTION_STREAM,
    IDLE_STREAM,
    cohort_sampler,
    draw_ns,
)
from realtime_sim.engines.fast.jobs import POLL, new_job, submit
from realtime_sim.engines.fast.ledger import left
from realtime_sim.engines.fast.links import broke, give_up_slot
from realtime_sim.engines.fast.recording import (
    ATTEMPTS,
    CLOSED_ABNORMAL,
    CLOSED_NORMAL,
    CONNECTED_AT_START,
    FAILED_POLLS,
    FIRST_ATTEMPTS,
    GAVE_UP,
    LEFT_CONNECTING,
    LEFT_CUT_OFF,
    LEFT_WAITING,
    LOST_CONNECTIONS,
    POLLS,
    REFUSED,
    THROTTLED,
    TIMEOUTS,
    count_at,
)
from realtime_sim.engines.fast.state import NEVER_NS
from realtime_sim.engines.fast.subscriptions import subscribe_at_start
from realtime_sim.engines.order import Phase
from realtime_sim.policies import lifecycle
from realtime_sim.policies.backoff import delay_kernel
from realtime_sim.policies.keepalive import detection_delay_kernel
from realtime_sim.units import NS_PER_S

REQUEST, ANSWER, DEADLINE, RETRY = int(Phase.REQUEST), int(Phase.ANSWER), int(Phase.DEADLINE), int(Phase.RETRY)
SESSION_END, NOTICES, LOST = int(Phase.SESSION_END), int(Phase.SERVER_NOTICES), int(Phase.CONNECTION_LOST)

IDLE, CONNECTING, IS_OPEN, IS_LOST, BACKING_OFF, CLOSED, HAS_GIVEN_UP = (int(state) for state in lifecycle.State)

WAITING, READY, ASKING, STAYING, AWAY, DONE = range(AT_START + 1, 7)
"""Stages: before the first attempt; backing off; between two attempts; in an attempt; connected; away; given up."""

ASKS = -1
"""At the end of a waiting time, in the place of the client's number: its request comes at that very time."""


@compiled()
def _wake_at(s, client, time, stage):
    """The client waits until then; whatever it was waiting for before counts no more."""
    s.clients[client].stage = stage
    s.details[client].wake += 1
    insert(s, time, key_of(RETRY, -1, client), -1, client, s.details[client].wake)


@compiled()
def _stay_away(s, client, time):
    """From `time` until the next user takes the place."""
    c = s.clients[client]
    n_sessions = s.details[client].n_sessions
    absence_ns = draw_ns(s, cohort_sampler(c.cohort, ABSENCE), ABSENCE_STREAM, client, n_sessions, 0)
    _wake_at(s, client, time + absence_ns, AWAY)


@compiled()
def is_certain(s, client, time):
    """Whether a client without a connection will do then what it is about to do: only the end of its session, or of the
    run, prevents it."""
    return time < s.end_ns and time < s.clients[client].session_ends_ns


@compiled()
def deadline_ns(s, client):
    """When the client gives up the newest attempt."""
    c = s.clients[client]
    return c.attempted_ns + s.cohorts[c.cohort].connect_timeout_ns


@compiled()
def arm(s, client):
    """See to it that the client gives up when its time is over: one event serves for all its attempts."""
    c = s.clients[client]
    if not c.armed:
        c.armed = True
        insert(s, deadline_ns(s, client), key_of(DEADLINE, -1, client), -1, client, 0)


@compiled()
def ask(s, client, arrival_ns):
    """A request is on its way to the balancer, if it can get there in time."""
    c = s.clients[client]
    if arrival_ns >= deadline_ns(s, client):
        c.asking = True
        arm(s, client)
    elif arrival_ns == c.attempted_ns and (
        arrival_ns > s.now or s.phase != RETRY
    ):  # without a round trip it asks when its turn to try comes
        insert(s, arrival_ns, key_of(RETRY, -1, client), -1, ASKS, c.attempt)
    else:
        insert(s, arrival_ns, key_of(REQUEST, -1, client), -1, -1, c.attempt)


@compiled()
def _attempt(s, client, time):
    """An attempt at `time`, now or ahead."""
    c = s.clients[client]
    c.attempted_ns = time
    if c.state == IDLE:
        count_at(s, FIRST_ATTEMPTS, time)
    c.state, c.stage, c.step, c.asking = CONNECTING, ASKING, 0, False
    c.attempt += 1
    count_at(s, ATTEMPTS, time)
    ask(s, client, time + c.half_rtt_ns * (2 * s.cohorts[c.cohort].round_trips + 1))


@compiled()
def _attempt_when_ready(s, client):
    time = s.clients[client].attempted_ns + ATTEMPT_GAP_NS
    if s.now < time:
        _wake_at(s, client, time, READY)
    else:
        _attempt(s, client, s.now)


@compiled(apart=True)
def _back_off(s, client, time, asked_ns):
    """From `time` on the client waits, as long as it was asked to and its own time besides, and then tries again."""
    c = s.clients[client]
    h = s.cohorts[c.cohort]
    u = uniform(s.seed, BACKOFF_STREAM, client, c.n_losses, c.retry)
    u_client = uniform(s.seed, CLIENT_STREAM, client, 0, 0) if h.draws_client else 0.0
    c.delay_s = delay_kernel(h.backoff, s.backoffs[c.cohort], c.retry, u, c.delay_s, u_client)
    c.retry += 1
    if math.isinf(c.delay_s):
        c.state, c.stage = HAS_GIVEN_UP, DONE
        count_at(s, GAVE_UP, time)
        if h.has_session and not has_bit(s.online, 0, client):
            c.state = CLOSED  # a user who never was let in; the next one will try
            count_at(s, LEFT_WAITING, time)
            _stay_away(s, client, time)
        return
    over_ns = time + asked_ns + np.int64(np.rint(c.delay_s * NS_PER_S))
    ready_ns = max(over_ns, c.attempted_ns + ATTEMPT_GAP_NS)
    if is_certain(s, client, ready_ns):
        _attempt(s, client, ready_ns)
    else:
        _wake_at(s, client, over_ns, WAITING)


@compiled(apart=True, must_wait=FLAG)
def connect(s, client, must_wait):
    """Attempts with backoff between them begin."""
    c = s.clients[client]
    c.retry, c.delay_s = 0, 0.0
    if must_wait:
        _back_off(s, client, s.now, 0)
    else:
        _attempt_when_ready(s, client)


@compiled()
def _connection_lost(s, client, slot):
    c = s.clients[client]
    c.connection = -1
    give_up_slot(s, slot)
    c.n_losses += 1
    s.counters[LOST_CONNECTIONS] += 1
    connect(s, client, True)


@compiled(apart=True)
def stay(s, client, slot):
    """Connected, until the connection is lost or the session ends."""
    c, k = s.clients[client], s.connections[slot]
    c.stage = STAYING
    if k.polls and k.alive:
        insert(s, s.now + c.half_rtt_ns, key_of(REQUEST, -1, client), -1, slot, k.serial)
    if k.over:
        _connection_lost(s, client, slot)


@compiled()
def _open_since(s, client):
    """When something last came over a connection that is open at the start: any time within its idle timeout."""
    idle_ns = s.cohorts[s.clients[client].cohort].idle_ns
    return -np.int64(uniform(s.seed, IDLE_STREAM, client, 0, 0) * idle_ns) if idle_ns > 0 else np.int64(0)


@compiled()
def begin(s, client, connect_ns):
    """A client comes into being: connected for a while already (-1), or about to connect."""
    c = s.clients[client]
    if connect_ns >= 0:
        _wake_at(s, client, connect_ns, AT_START)
        return
    c.state = CONNECTING
    c.attempt += 1
    server = pick(s, client)
    if is_full(s, server):
        c.state = BACKING_OFF
        s.counters[REFUSED] += 1
        connect(s, client, True)
        return
    s.counters[CONNECTED_AT_START] += 1
    s.load[server] += 1
    subscribe_at_start(s, server, client)
    slot = register(s, server, client, _open_since(s, client))
    stay(s, client, slot)


@compiled(apart=True)
def retry(s, client, wake):
    """A waiting time is over, if it is the one that counts."""
    c = s.clients[client]
    if s.details[client].wake != wake:
        return
    if c.stage == AWAY:
        c.state = IDLE  # the next user
        connect(s, client, False)
    elif c.stage == AT_START:
        connect(s, client, False)
    elif c.stage == WAITING:
        _attempt_when_ready(s, client)
    else:
        _attempt(s, client, s.now)


@compiled()
def attempt_failed(s, client, outcome, time):
    count_at(s, outcome, time)
    s.clients[client].state = BACKING_OFF
    _back_off(s, client, time, s.retry_after_ns if outcome == THROTTLED else 0)


@compiled()
def let_go(s, client):
    """The request under way no longer counts as load of its server."""
    d = s.details[client]
    if d.chosen >= 0:
        s.load[d.chosen] -= 1
        d.chosen = -1


@compiled(apart=True)
def deadline(s, client):
    """The client may have waited long enough; an attempt that came later goes on."""
    c = s.clients[client]
    c.armed = False
    if not c.asking:
        return
    if deadline_ns(s, client) > s.now:
        arm(s, client)
        return
    c.asking = False
    let_go(s, client)
    attempt_failed(s, client, TIMEOUTS, s.now)


@compiled(apart=True)
def notice(s, slot, serial):
    """The client learns that the connection is gone."""
    k = s.connections[slot]
    if k.serial != serial:
        return
    k.alive = False
    c = s.clients[k.client]
    if c.connection != slot:
        return
    if c.state == IS_LOST:
        c.state = BACKING_OFF
    if not k.over:
        k.over = True
        if c.stage == STAYING:
            _connection_lost(s, k.client, slot)


@compiled(apart=True)
def leave(s, client):
    """The session is over, whatever the client is doing."""
    c = s.clients[client]
    if c.state == IS_OPEN:
        s.counters[CLOSED_NORMAL] += 1
    elif c.connection >= 0:
        s.counters[LEFT_CUT_OFF] += 1
    else:
        s.counters[LEFT_CONNECTING if c.state == CONNECTING else LEFT_WAITING] += 1
    if c.connection >= 0:
        slot = c.connection
        k = s.connections[slot]
        k.alive = False
        insert(s, s.now + c.half_rtt_ns, key_of(NOTICES, k.server, client), -1, slot, k.serial)
        c.connection = -1
        give_up_slot(s, slot)
    if c.asking:
        let_go(s, client)
    c.attempt += 1  # no answer counts any more
    c.asking = False
    c.state, c.session_ends_ns = CLOSED, NEVER_NS
    clear_bit(s.online, 0, client)
    left(s, client)
    d = s.details[client]
    if d.fault >= 0:
        s.affected[d.fault] -= 1  # nobody is left to recover
        d.fault = -1
    _stay_away(s, client, s.now)


@compiled()
def detection_ns(s, client, side):
    """How long a dead peer of a client's newest connection goes unnoticed on one side (0 client, 1 server)."""
    c = s.clients[client]
    h = s.cohorts[c.cohort]
    u = uniform(s.seed, DETECTION_STREAM, client, s.details[client].n_connections - 1, side)
    return np.int64(np.rint(detection_delay_kernel(h.detect_interval_s, h.detect_timeout_s, u) * NS_PER_S))


@compiled()
def _miss_answer(s, slot):
    """A poll went to a server that died silently: the keepalive tells the client, and its own server as well."""
    k = s.connections[slot]
    broke(s, slot, CLOSED_ABNORMAL)
    for side, phase in ((0, LOST), (1, NOTICES)):
        time = s.now + detection_ns(s, k.client, side)
        insert(s, time, key_of(phase, k.server, k.client), -1, slot, k.serial)


@compiled(apart=True)
def poll(s, client, slot, serial):
    """A long poll reaches the balancer. At another server the session is unknown, and that ends it."""
    k = s.connections[slot]
    if k.serial != serial or not k.alive:
        return
    c = s.clients[client]
    s.counters[POLLS] += 1
    server = pick(s, client)
    problem = turned_away(s, server, k.server)
    if problem == TIMEOUTS:
        if not s.servers[k.server].dead:  # else they have been told when it died
            _miss_answer(s, slot)
        return
    if problem != ANSWERED:
        s.counters[problem] += 1
        s.counters[FAILED_POLLS] += 1
        insert(s, s.now + c.half_rtt_ns, key_of(ANSWER, -1, client), serial, slot, POLL_FAILED)
        return
    job = new_job(s, POLL)
    j = s.jobs[job]
    j.client, j.connection, j.number, j.a_ns = client, slot, serial, s.http_request_ns
    submit(s, server, job)


@compiled(apart=True)
def poll_failed(s, slot, serial):
    """The client learns that its session is unknown, and drops it."""
    k = s.connections[slot]
    if k.serial != serial:
        return
    insert(s, s.now + s.clients[k.client].half_rtt_ns, key_of(NOTICES, k.server, k.client), -1, slot, serial)
    broke(s, slot, CLOSED_ABNORMAL)
    notice(s, slot, serial)
