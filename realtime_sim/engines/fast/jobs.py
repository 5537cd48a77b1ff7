"""Jobs of the servers' loops: their records, and the queue they wait in."""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.ledger import SERVER_DIED, copy_done
from realtime_sim.engines.fast.state import JOB

FANOUT, SEND, REQUEST, HANDSHAKE, POLL, INGEST, REPLAY, PINGS, PAUSE = range(9)


@compiled(apart=True)
def new_job(s, kind):
    """A record for one job."""
    job = s.free_job
    if job >= 0:
        s.free_job = s.jobs[job].next
    else:
        job = s.n_jobs
        if job == len(s.jobs):
            jobs = np.empty(2 * job, dtype=JOB)
            jobs[:job] = s.jobs
            s.jobs = jobs
        s.n_jobs += 1
    j = s.jobs[job]
    j.kind, j.next, j.block, j.n, j.number = kind, -1, -1, 0, 0
    return job


@compiled()
def free_job(s, job):
    """The job is done."""
    s.jobs[job].next = s.free_job
    s.free_job = job


@compiled()
def waits_in_backlog(kind):
    """Whether the accept queue holds a job until a loop takes it up: new requests."""
    return kind in (REQUEST, HANDSHAKE, POLL)


@compiled()
def _touch(s, server):
    """Idle loops of a server will look at what waits when this event is over."""
    v = s.servers[server]
    if not v.touched:
        v.touched = True
        s.touched[s.n_touched] = server
        s.n_touched += 1


@compiled(apart=True)
def submit(s, server, job):
    """Queue a job; a dead server takes none. Requests never get here when the server is dead."""
    v, j = s.servers[server], s.jobs[job]
    if v.dead:
        if j.kind == FANOUT or j.kind == SEND or j.kind == INGEST:
            copy_done(s, j.message, SERVER_DIED, s.now)
        free_job(s, job)
        return
    j.arrived_ns = s.now
    if waits_in_backlog(j.kind):
        v.n_waiting += 1
    if v.n_queued == 0:
        v.first = job
    else:
        s.jobs[v.last].next = job
    v.last, j.next = job, -1
    v.n_queued += 1
    _touch(s, server)


@compiled()
def submit_first(s, server, job):
    """Queue a job of a living server before all that wait."""
    v, j = s.servers[server], s.jobs[job]
    j.arrived_ns, j.next = s.now, v.first
    if v.n_queued == 0:
        v.last, j.next = job, -1
    v.first = job
    v.n_queued += 1
    _touch(s, server)


@compiled()
def deliver(s, server, slot, left_broker_ns, again):
    """A copy of a message arrives from the broker; `again` is 1 if the server had it before, and does not know."""
    job = new_job(s, FANOUT)
    s.jobs[job].message, s.jobs[job].a_ns, s.jobs[job].number = slot, left_broker_ns, again
    submit(s, server, job)
