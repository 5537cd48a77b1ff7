"""The servers' event loops: the rules of `engines.reference.servers` and `jobs` on arrays."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import PING_ROUNDS
from realtime_sim.engines.fast.admission import ANSWERED
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.brokers import publish
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.handshakes import admit, reply
from realtime_sim.engines.fast.jobs import (
    FANOUT,
    HANDSHAKE,
    INGEST,
    PINGS,
    POLL,
    REPLAY,
    REQUEST,
    SEND,
    free_job,
    new_job,
    submit,
    waits_in_backlog,
)
from realtime_sim.engines.fast.ledger import (
    OFFLINE,
    SERVER_DIED,
    copy_done,
    forget,
)
from realtime_sim.engines.fast.memory import prefetch
from realtime_sim.engines.fast.polling import PARKS, parks
from realtime_sim.engines.fast.recording import SERVER_DIED as DIED
from realtime_sim.engines.fast.subscriptions import free_list, subscribe
from realtime_sim.engines.fast.work import (
    AGAIN,
    FEW_MEMBERS,
    end_quietly,
    ends_quietly,
    gather,
    paced,
    park_poll,
    start,
)
from realtime_sim.engines.order import Phase
from realtime_sim.trace import SERVER_TOTALS

JOB_END, HEARTBEAT = int(Phase.JOB_END), int(Phase.HEARTBEAT)
JOBS, HANDSHAKES = (SERVER_TOTALS.index(name) for name in ("jobs", "handshakes"))

NO_JOB, STARTED, ENDED = -1, -1, -2
"""What the end of a job's event says beside the number of a loop that is free: that a request has been taken up, or
that a job that was settled ahead is done."""

ALL = 2**31 - 1
"""`passed` of a job that begins when all ends of jobs at that time are over."""

ALL_PASSED = 2**62
"""The same of the state, where it counts servers as well."""


@compiled()
def note_turn(s, phase, server, loop):
    """An event is about to be handled: ends of jobs before it in the written order are over, events or not."""
    if s.passed_ns != s.now:
        s.passed_ns, s.passed = s.now, -1
    if phase > JOB_END:
        s.passed = ALL_PASSED
    elif phase == JOB_END:
        s.passed = max(s.passed, (server << 32) + loop)


@compiled()
def _passed(s, server):
    """The highest loop of a server whose turn to end a job at this time is over; -1 for none."""
    if s.passed_ns != s.now or s.passed < server << 32:
        return np.int64(-1)
    return s.passed - (server << 32) if s.passed < (server + 1) << 32 else np.int64(ALL)


@compiled(apart=True)
def _take_up(s, server, loop, started_ns):
    """A loop takes the oldest job, now or when it will be free. One that finds it asleep wakes it."""
    v = s.servers[server]
    job = v.first
    j = s.jobs[job]
    v.first = j.next
    v.n_queued -= 1
    if j.kind == HANDSHAKE:  # what will be read when the job is done
        prefetch(s.clients, j.client)
        prefetch(s.details, j.client)
        prefetch(s.connections, j.client)
    if waits_in_backlog(j.kind):
        if started_ns > s.now:
            insert(s, started_ns, key_of(JOB_END, server, loop), -1, NO_JOB, STARTED)
        else:
            v.n_waiting -= 1
    p = s.loops[server, loop]
    wakeup_ns = paced(s, server, s.wakeup_ns) if p.free_ns < started_ns else 0
    p.started_ns = started_ns
    p.service_ns = start(s, server, job, started_ns, wakeup_ns)
    p.free_ns = started_ns + p.service_ns
    p.turn, p.awaited = 0, False
    if started_ns > s.now:
        p.passed = loop
    else:
        p.passed = max(loop, _passed(s, server))
    if p.free_ns >= s.horizon_ns or p.service_ns == 0:  # what takes no time ends in the written order
        p.job = job
        insert(s, p.free_ns, key_of(JOB_END, server, loop), -1, job, loop)
        return
    v.busy_ns += p.service_ns
    s.totals[JOBS, server] += 1
    if ends_quietly(s, job):
        end_quietly(s, job, p.free_ns, loop)
    else:
        p.awaited = True
        insert(s, p.free_ns, key_of(JOB_END, server, loop), -1, job, ENDED)


@compiled()
def _will_get(s, server, job, started_ns):
    """Whether a message's recipients at a server are sure to be the same when a job starts."""
    m = s.messages[s.jobs[job].message]
    is_large = s.member_offsets[m.room + 1] - s.member_offsets[m.room] > FEW_MEMBERS
    if is_large or s.task_per_client or s.jobs[job].number == AGAIN:
        return False
    gather(s, server, s.jobs[job].message, False)
    for i in range(s.n_gathered):
        k = s.connections[s.gathered[i, 1]]
        if not k.alive or k.ends_ns <= started_ns or s.cohorts[k.cohort].bandwidth > 0.0:
            return False
    return True


@compiled()
def _is_foreseeable(s, server, job, started_ns):
    """Whether a job can be settled before it starts, and so without an event of its own.

    While nobody has lost a connection, a message's recipients change by the ends of sessions alone, and these are
    known; nobody polls, so that only jobs use the link; and the control plane looks at nothing before.
    """
    if not s.calm or len(s.pollers) > 0 or started_ns >= s.until_ns:
        return False
    kind = s.jobs[job].kind
    if kind == FANOUT:
        return _will_get(s, server, job, started_ns)
    return kind in (HANDSHAKE, REQUEST, PINGS, INGEST)


@compiled()
def _is_first(s, server, loop, other):
    """Which of two loops was free first, at the same time. Where neither end was an event it is the lower number."""
    a, b = s.loops[server, loop], s.loops[server, other]
    if a.job >= 0 or b.job >= 0:
        return a.job < 0
    if a.free_ns == s.now and a.awaited != b.awaited:
        return b.awaited  # its end is still to come
    if a.turn > 0 and b.turn > 0:
        return a.turn < b.turn
    if a.turn > 0:
        return other > a.passed
    return loop < other if b.turn == 0 else loop <= b.passed


@compiled()
def _first_free(s, server):
    """The loop that has been idle longest, or that will be free first."""
    found = 0
    for loop in range(1, s.n_workers):
        a, b = s.loops[server, found], s.loops[server, loop]
        if b.free_ns < a.free_ns or (b.free_ns == a.free_ns and _is_first(s, server, loop, found)):
            found = loop
    return found


@compiled()
def _is_yet_to_end(s, server, loop):
    """Whether a loop is free from now on, but by an end that the written order puts after what happens now: jobs that
    take no time may come between."""
    p = s.loops[server, loop]
    return p.free_ns == s.now and p.turn == 0 and loop > _passed(s, server)


@compiled()
def _take_up_all(s, server):
    """Idle loops take up what waits. If something still waits then, the first loop to be free will see to it."""
    v = s.servers[server]
    while v.n_queued > 0:
        loop = _first_free(s, server)
        p = s.loops[server, loop]
        started_ns = max(s.now, p.free_ns)
        if p.job >= 0 or (p.awaited and p.free_ns == s.now):
            return  # when its end comes it will see to what waits
        if _is_yet_to_end(s, server, loop):
            p.awaited = True
            insert(s, s.now, key_of(JOB_END, server, loop), -1, NO_JOB, loop)
            return
        if started_ns > s.now and not _is_foreseeable(s, server, v.first, started_ns):
            if not p.awaited:
                p.awaited = True
                insert(s, p.free_ns, key_of(JOB_END, server, loop), -1, NO_JOB, loop)
            return
        _take_up(s, server, loop, started_ns)


@compiled(apart=True)
def dispatch(s):
    """Idle loops take up what this event has brought."""
    for i in range(s.n_touched):
        server = s.touched[i]
        s.servers[server].touched = False
        if not s.servers[server].dead:
            _take_up_all(s, server)
    s.n_touched = 0


@compiled()
def _queue_tasks(s, server, task):
    while task >= 0:
        following = s.jobs[task].next
        submit(s, server, task)
        task = following


@compiled(apart=True)
def _finish(s, server, job):
    """What a job has brought about when it is done."""
    j = s.jobs[job]
    s.servers[server].n_handshaking -= j.kind == HANDSHAKE or j.kind == REQUEST
    if j.kind == HANDSHAKE:
        s.totals[HANDSHAKES, server] += 1
        if subscribe(s, server, j.client, job):
            return  # the broker's answer goes on from here
        admit(s, server, job)
    elif j.kind == FANOUT:
        _queue_tasks(s, server, j.block)
        copy_done(s, s.jobs[job].message, OFFLINE, s.now)
    elif j.kind == SEND:
        copy_done(s, j.message, OFFLINE, s.now)
    elif j.kind == REQUEST:
        reply(s, job, ANSWERED, -1)
    elif j.kind == POLL:
        park_poll(s, job, s.now, s.loop)
    elif j.kind == INGEST:
        publish(s, j.message, server)
    elif j.kind == REPLAY:
        free_list(s, j.block, j.n)
    free_job(s, job)


@compiled(apart=True)
def loop_free(s, server, job, what):
    """A loop has finished its job, or starts one that was settled before."""
    v = s.servers[server]
    if v.dead:
        return
    if what == STARTED:
        v.n_waiting -= 1
        return
    if what == ENDED:
        _finish(s, server, job)
        if s.loops[server, s.loop].free_ns == s.now:
            s.loops[server, s.loop].awaited = False
            _take_up_all(s, server)
        return
    if what == PARKS:
        parks(s, job)
        return
    p = s.loops[server, what]
    if job < 0:
        p.awaited = False
    else:
        s.n_turns += 1
        p.job, p.turn = -1, s.n_turns
        v.busy_ns += p.service_ns
        s.totals[JOBS, server] += 1
        _finish(s, server, job)
    _take_up_all(s, server)


@compiled()
def _abandon_copy(s, job):
    copy_done(s, s.jobs[job].message, SERVER_DIED, s.now)
    free_job(s, job)


@compiled()
def _release_replay(s, job):
    j = s.jobs[job]
    for i in range(j.block, j.block + j.n):
        s.messages[s.lists[i]].n_held -= 1
        forget(s, s.lists[i])
    free_list(s, j.block, j.n)


@compiled()
def _abandon(s, server, job):
    """A server dies with a job."""
    j = s.jobs[job]
    if j.kind == FANOUT:
        task = j.block
        while task >= 0:  # tasks that were not queued yet
            following = s.jobs[task].next
            _abandon_copy(s, task)
            task = following
        _abandon_copy(s, job)
        return
    if j.kind == SEND or j.kind == INGEST:
        _abandon_copy(s, job)
        return
    if (j.kind == HANDSHAKE or j.kind == REQUEST) and not s.servers[server].silent:
        reply(s, job, DIED, -1)
    elif j.kind == REPLAY:
        _release_replay(s, job)
    free_job(s, job)


@compiled(apart=True)
def ping(s, server, cohort, tick, interval_ns):
    """Ping a share of a cohort's connections, and see to the next share."""
    if s.servers[server].dead:
        return
    n, turn = s.cohort_sizes[server, cohort], tick % PING_ROUNDS
    share = n * (turn + 1) // PING_ROUNDS - n * turn // PING_ROUNDS
    if share > 0:
        job = new_job(s, PINGS)
        s.jobs[job].n = share
        submit(s, server, job)
    key = key_of(HEARTBEAT, server, cohort)
    insert(s, (tick + 1) * interval_ns // PING_ROUNDS, key, -1, server, tick + 1)


@compiled()
def busy_ns(s, server):
    """Nanoseconds of loop time spent so far, work in progress included."""
    spent_ns = s.servers[server].busy_ns
    if not s.servers[server].dead:
        for loop in range(s.n_workers):
            p = s.loops[server, loop]
            if p.job >= 0:
                spent_ns += s.now - p.started_ns
            else:
                spent_ns -= max(0, p.free_ns - s.now)
    return spent_ns


@compiled(silent=FLAG)
def die(s, server, silent):
    """The process ends: jobs, queue and connections with it."""
    v = s.servers[server]
    v.busy_ns = busy_ns(s, server)
    v.dead, v.silent, v.died_ns = True, silent, s.now
    for loop in range(s.n_workers):
        job = s.loops[server, loop].job
        s.loops[server, loop].job = -1
        if job >= 0:
            if s.jobs[job].kind == REPLAY:
                free_list(s, s.jobs[job].block, s.jobs[job].n)  # its copies have set out already
                free_job(s, job)
            else:
                _abandon(s, server, job)
    job = v.first if v.n_queued > 0 else -1
    v.n_queued, v.n_waiting = 0, 0
    while job >= 0:
        following = s.jobs[job].next
        _abandon(s, server, job)
        job = following
