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
from realtime_sim.engines.fast.steady_filing import arrivals_seen, file, file_block, file_for_group, keep, seen_later
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

__all__ = ["draw_ns", "fan_out"]

JITTER_STREAM = Stream.JITTER

MANY = 64
"""Copies of one job to one cohort from which on blocks are faster."""


@compiled(s=STEADY)
def draw_ns(s, which, stream, i, j, k):
    """A time drawn for an address; a constant needs no draw."""
    row = s.samplers[which]
    if row.kind == 0:
        return row.a_ns
    u = uniform(s.seed, stream, i, j, k)
    if row.kind <= LAST_CLOSED_FORM:
        return closed_form_ns(row.kind, row.a, row.b, u)
    table = slice(row.at, row.at + row.n)
    return np.int64(sample_ns(Sampler(row.kind, row.a, row.b, s.table_x[table], s.table_y[table]), u))


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
def _send_few(s, server, id, cohort, at_broker, left_broker, arrived, started, sent, low, high):
    published, number, traffic, room = s.publish_ns[id], s.publish_number[id], s.publish_traffic[id], s.publish_room[id]
    send_ns, transmission_ns = s.send_ns[traffic], s.transmission_ns[traffic, cohort]
    for i in range(low, high):
        place = np.int64(s.members[i]) if room > 0 else i
        client = np.int64(s.client[place])
        sent += send_ns
        left = sent
        if s.egress > 0.0:
            left = max(s.egress_free_ns[server], sent) + transmission_ns
            s.egress_free_ns[server] = left
        arrival = left + s.half_ns[place] + draw_ns(s, JITTER + cohort, JITTER_STREAM, number, client, traffic)
        if s.may_overtake:
            arrival = max(arrival, s.last_arrival_ns[place])
            s.last_arrival_ns[place] = arrival
        seen_later(s, arrival)
        if s.batch >= 0:
            keep(s, cohort, client, published, at_broker, left_broker, arrived, started, sent, left, arrival)


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
def _send_many(s, server, id, cohort, at_broker, left_broker, arrived, started, sent, low, high):
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
    if s.batch >= 0:
        _file_job(s, cohort, high - low, published, at_broker, left_broker, arrived, started)
    if s.has_groups and s.batch >= 0:
        for group in range(N_GROUPS):
            n = s.group_sizes[group]
            if n > 0:
                _file_job_for_group(s, group, n, published, at_broker, left_broker, arrived, started)


@compiled(s=STEADY)
def _cohort_end(s, server, room, cohort, low, high):
    """Where the members of a cohort end among those from low to high: clients are numbered cohort by cohort."""
    end = s.cohort_ends[cohort]
    if cohort == s.n_cohorts - 1:
        return high
    while low < high:
        middle = (low + high) >> 1
        if s.client[s.members[middle] if room > 0 else middle] < end:
            low = middle + 1
        else:
            high = middle
    return low


@compiled(s=STEADY)
def fan_out(s, server, id, at_broker, left_broker, arrived, started, sent, low, high):
    """All sends of one job: to the members from low to high of a room, or to these places of everyone.

    The loop begins to send at `sent`. Returns how long the link takes for all copies, nanoseconds.
    """
    room, traffic, booked_ns, cohort = s.publish_room[id], s.publish_traffic[id], 0, 0
    while low < high:
        beyond = _cohort_end(s, server, room, cohort, low, high)
        n = beyond - low
        if n > 0:
            if n < MANY:
                _send_few(s, server, id, cohort, at_broker, left_broker, arrived, started, sent, low, beyond)
            else:
                _send_many(s, server, id, cohort, at_broker, left_broker, arrived, started, sent, low, beyond)
            sent += n * s.send_ns[traffic]
            booked_ns += n * s.transmission_ns[traffic, cohort]
        low, cohort = beyond, cohort + 1
    return booked_ns
