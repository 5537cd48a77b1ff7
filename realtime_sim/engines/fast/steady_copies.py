"""The last stage of a steady run: from a server's loop over its link to each client, copy by copy or in blocks."""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import (
    LAST_CLOSED_FORM,
    Sampler,
    Stream,
    closed_form_ns,
    fill_samples_ns,
    inlined_uniform,
    sample_ns,
    uniform,
)
from realtime_sim.engines.fast.compiling import INDEX, NUMBERS, compiled
from realtime_sim.engines.fast.steady_filing import (
    arrivals_seen,
    file,
    file_block,
    file_for_group,
    file_rest,
    keep,
    sample_after,
    seen_later,
)
from realtime_sim.engines.fast.steady_state import (
    BLOCK,
    BROKER,
    BROKER_TO_SERVER,
    CLIENT_NETWORK,
    EGRESS,
    FANOUT,
    JITTER,
    PUBLISHER_TO_BROKER,
    SERVER_WAIT,
    STEADY,
    TOTAL,
)
from realtime_sim.trace import N_GROUPS

__all__ = ["last_arrival", "send"]

JITTER_STREAM = Stream.JITTER

AT_ONCE = 2_000_000
"""Copies sent before control goes back to Python, so that progress shows and Ctrl-C is heard."""

MANY = 64
"""Copies of one job to one cohort from which on blocks are faster."""


@compiled(s=STEADY)
def _file_job(s, cohort, n, published, at_broker, left_broker, arrived, started):
    """The hops that are the same for all copies of a job."""
    if s.varies[PUBLISHER_TO_BROKER]:
        file(s, cohort, s.batch, PUBLISHER_TO_BROKER, at_broker - published, n)
    if s.has_broker:
        file(s, cohort, s.batch, BROKER, left_broker - at_broker, n)
        file(s, cohort, s.batch, BROKER_TO_SERVER, arrived - left_broker, n)
    file(s, cohort, s.batch, SERVER_WAIT, started - arrived, n)
    s.delivered[cohort] += n
    s.batch_count[s.batch] += n


@compiled(s=STEADY)
def _file_job_for_group(s, group, n, published, at_broker, left_broker, arrived, started):
    if s.varies[PUBLISHER_TO_BROKER]:
        file_for_group(s, group, PUBLISHER_TO_BROKER, at_broker - published, n)
    if s.has_broker:
        file_for_group(s, group, BROKER, left_broker - at_broker, n)
        file_for_group(s, group, BROKER_TO_SERVER, arrived - left_broker, n)
    file_for_group(s, group, SERVER_WAIT, started - arrived, n)
    s.group_count[group] += n


# Few copies: one after the other.


@compiled(s=STEADY)
def _jitter_ns(s, cohort, number, client, traffic):
    row = s.samplers[JITTER + cohort]
    if row.kind == 0:
        return row.a_ns
    u = uniform(s.seed, JITTER_STREAM, number, client, traffic)
    if row.kind <= LAST_CLOSED_FORM:
        return closed_form_ns(row.kind, row.a, row.b, u)
    table = slice(row.at, row.at + row.n)
    return np.int64(sample_ns(Sampler(row.kind, row.a, row.b, s.table_x[table], s.table_y[table]), u))


@compiled(s=STEADY)
def _send_few(s, job, cohort, at_broker, sent, low, high):
    id, server = s.job_id[job], s.job_server[job]
    traffic, is_room = s.publish_traffic[id], s.publish_room[id] > 0
    for i in range(low, high):
        place = np.int64(s.members[i]) if is_room else i
        sent += s.send_ns[traffic]
        left = sent
        if s.egress > 0.0:
            left = max(s.egress_free_ns[server], sent) + s.transmission_ns[traffic, cohort]
            s.egress_free_ns[server] = left
        client = s.client[place]
        arrival = left + s.half_ns[place] + _jitter_ns(s, cohort, s.publish_number[id], client, traffic)
        if s.may_overtake:
            arrival = max(arrival, s.last_arrival_ns[place])
            s.last_arrival_ns[place] = arrival
        seen_later(s, arrival)
        if s.batch >= 0:
            keep(s, cohort, client, job, at_broker, sent, left, arrival)


# Many copies: block by block.


@compiled(s=STEADY, left=NUMBERS)
def _leave(s, server, sent, send_ns, transmission_ns, left):
    """When each copy of a block has left the server's link."""
    if s.egress == 0.0:
        for i in range(len(left)):
            left[i] = sent + (i + 1) * send_ns
        return
    free = s.egress_free_ns[server]
    for i in range(len(left)):
        sent += send_ns
        free = max(free, sent) + transmission_ns
        left[i] = free
    s.egress_free_ns[server] = free


@compiled(s=STEADY, clients=INDEX, arrivals=NUMBERS)
def _draw_jitter(s, cohort, number, traffic, clients, arrivals):
    row = s.samplers[JITTER + cohort]
    if row.kind == 0:
        for i in range(len(clients)):
            arrivals[i] = row.a_ns
        return
    u, seed = s.uniforms[: len(clients)], s.seed
    for i in range(len(clients)):
        u[i] = inlined_uniform(seed, JITTER_STREAM, number, clients[i], traffic)
    table = slice(row.at, row.at + row.n)
    fill_samples_ns(row.kind, row.a, row.b, s.table_x[table], s.table_y[table], u, arrivals)


@compiled(s=STEADY)
def _gather(s, at, n):
    """Put what is known of `n` members of a room side by side."""
    for i in range(n):
        place = s.members[at + i]
        s.near_client[i], s.near_half_ns[i] = s.client[place], s.half_ns[place]


@compiled(s=STEADY, left=NUMBERS, half=NUMBERS, arrivals=NUMBERS)
def _arrive(s, room, at, left, half, arrivals):
    """When each client has its copy; `arrivals` holds the jitter before."""
    for i in range(len(arrivals)):
        arrivals[i] += left[i] + half[i]
    if not s.may_overtake:
        return
    if room == 0:
        last = s.last_arrival_ns[at : at + len(arrivals)]
        for i in range(len(arrivals)):
            arrivals[i] = max(arrivals[i], last[i])
            last[i] = arrivals[i]
        return
    for i in range(len(arrivals)):
        place = s.members[at + i]
        arrivals[i] = max(arrivals[i], s.last_arrival_ns[place])
        s.last_arrival_ns[place] = arrivals[i]


@compiled(s=STEADY, left=NUMBERS, arrivals=NUMBERS, clients=INDEX)
def _file_copies(s, cohort, published, started, sent, send_ns, left, arrivals, clients):
    n = len(arrivals)
    values = s.latencies[:n]
    for i in range(n):
        values[i] = sent + (i + 1) * send_ns - started
    file_block(s, cohort, s.batch, FANOUT, values, clients)
    if s.egress > 0.0:
        for i in range(n):
            values[i] = left[i] - (sent + (i + 1) * send_ns)
        file_block(s, cohort, s.batch, EGRESS, values, clients)
    if s.varies[CLIENT_NETWORK]:
        for i in range(n):
            values[i] = arrivals[i] - left[i]
        file_block(s, cohort, s.batch, CLIENT_NETWORK, values, clients)
    for i in range(n):
        values[i] = arrivals[i] - published
    file_block(s, cohort, s.batch, TOTAL, values, clients)
    if s.has_groups:
        for i in range(n):
            s.group_sizes[clients[i] & (N_GROUPS - 1)] += 1


@compiled(s=STEADY)
def _send_many(s, job, cohort, at_broker, sent, low, high):
    id, server = s.job_id[job], s.job_server[job]
    left_broker, arrived, started = s.job_left_broker_ns[job], s.job_arrived_ns[job], s.job_started_ns[job]
    published, number, traffic, room = s.publish_ns[id], s.publish_number[id], s.publish_traffic[id], s.publish_room[id]
    send_ns, transmission_ns = s.send_ns[traffic], s.transmission_ns[traffic, cohort]
    if s.has_groups:
        s.group_sizes[:] = 0
    for at in range(low, high, BLOCK):
        n = min(BLOCK, high - at)
        half, clients = s.near_half_ns[:n], s.near_client[:n]
        if room > 0:
            _gather(s, at, n)
        else:
            half, clients = s.half_ns[at : at + n], s.client[at : at + n]
        left, arrivals = s.left_ns[:n], s.arrivals_ns[:n]
        _leave(s, server, sent, send_ns, transmission_ns, left)
        _draw_jitter(s, cohort, number, traffic, clients, arrivals)
        _arrive(s, room, at, left, half, arrivals)
        arrivals_seen(s, arrivals)
        if s.batch >= 0:
            _file_copies(s, cohort, published, started, sent, send_ns, left, arrivals, clients)
        sent += n * send_ns
    if s.batch < 0:
        return
    _file_job(s, cohort, high - low, published, at_broker, left_broker, arrived, started)
    if s.has_groups:
        for group in range(N_GROUPS):
            n = s.group_sizes[group]
            if n > 0:
                _file_job_for_group(s, group, n, published, at_broker, left_broker, arrived, started)


@compiled(s=STEADY)
def _cohort_end(s, is_room, cohort, low, high):
    """Where the members of a cohort end among those from low to high: clients are numbered cohort by cohort."""
    if cohort == s.n_cohorts - 1:
        return high
    end = s.cohort_ends[cohort]
    while low < high:
        middle = (low + high) >> 1
        if s.client[s.members[middle] if is_room else middle] < end:
            low = middle + 1
        else:
            high = middle
    return low


@compiled(s=STEADY)
def _find_batch(s, published):
    """The slice of the measured time that a message belongs to, mostly that of the one before; -1 before it."""
    while s.batch + 1 < len(s.batch_starts_ns) and s.batch_starts_ns[s.batch + 1] <= published:
        s.batch += 1
    while s.batch >= 0 and s.batch_starts_ns[s.batch] > published:
        s.batch -= 1


@compiled(s=STEADY)
def _fan_out(s, job, at_broker):
    """All sends of one job, cohort by cohort."""
    id, server, low, sent = s.job_id[job], s.job_server[job], s.job_low[job], s.job_sending_ns[job]
    traffic, is_room, cohort, booked_ns = s.publish_traffic[id], s.publish_room[id] > 0, 0, 0
    _find_batch(s, s.publish_ns[id])
    while low < s.job_high[job]:
        beyond = _cohort_end(s, is_room, cohort, low, s.job_high[job])
        if beyond - low >= MANY:
            _send_many(s, job, cohort, at_broker, sent, low, beyond)
        else:
            _send_few(s, job, cohort, at_broker, sent, low, beyond)
        sent += (beyond - low) * s.send_ns[traffic]
        booked_ns += (beyond - low) * s.transmission_ns[traffic, cohort]
        low, cohort = beyond, cohort + 1
    if booked_ns > 0:
        s.link_booked_ns[server, sample_after(s, s.job_started_ns[job])] += booked_ns
        s.link_busy_ns[server] += booked_ns


@compiled(s=STEADY, at_broker=NUMBERS)
def send(s, at_broker):
    """All sends of the jobs in the table, or of some of them. Returns whether there are more."""
    n_sends = 0
    while s.next_job < s.n_jobs and n_sends < AT_ONCE:
        job = s.next_job
        _fan_out(s, job, at_broker[s.job_id[job]])
        n_sends += s.job_high[job] - s.job_low[job]
        s.next_job += 1
    return s.next_job < s.n_jobs


@compiled(s=STEADY)
def last_arrival(s):
    """File what waits for more, at the end. Returns when the last copy arrives."""
    file_rest(s)
    return s.last_ns
