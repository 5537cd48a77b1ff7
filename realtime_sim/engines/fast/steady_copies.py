"""The last stage of a steady run: from a server's loop over its link to each client, copy by copy or in blocks."""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import Stream, inlined_uniform
from realtime_sim.engines.fast.compiling import INDEX, NUMBERS, compiled
from realtime_sim.engines.fast.steady_draws import draw_ns, fill_ns
from realtime_sim.engines.fast.steady_filing import (
    arrivals_seen,
    file,
    file_block,
    file_for_group,
    file_kept,
    file_rest,
    find_batch,
    sample_after,
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
def _book_link(s, server, started, left_ns):
    s.link_booked_ns[server, sample_after(s, started)] += left_ns
    s.link_busy_ns[server] += left_ns


@compiled(s=STEADY)
def _link(s, job, cohort, sent):
    """When a copy has left the server's link."""
    server = s.job_server[job]
    transmission_ns = s.transmission_ns[s.publish_traffic[s.job_id[job]], cohort]
    s.egress_free_ns[server] = max(s.egress_free_ns[server], sent) + transmission_ns
    _book_link(s, server, s.job_started_ns[job], transmission_ns)
    return s.egress_free_ns[server]


@compiled(s=STEADY)
def _delay(s, job, cohort, place, left):
    """When a client has its copy, if its jitter is drawn or it must wait for an earlier copy."""
    number, traffic = s.publish_number[s.job_id[job]], s.publish_traffic[s.job_id[job]]
    jitter_ns = draw_ns(s, JITTER + cohort, JITTER_STREAM, number, s.client[place], traffic)
    s.last_arrival_ns[place] = max(s.last_arrival_ns[place], left + s.half_ns[place] + jitter_ns)
    return s.last_arrival_ns[place]


@compiled(s=STEADY, at_broker=NUMBERS)
def _send_few(s, at_broker):
    """The next jobs of the table, up to one with many copies.

    Everything that is read for each copy is named before the loop: this is most of the work where rooms are small.
    """
    clients, half, members, ends, hops, n_kept = s.client, s.half_ns, s.members, s.cohort_ends, s.kept, s.n_kept
    ids, lows, highs, started_ns = s.job_id, s.job_low, s.job_high, s.job_started_ns
    arrived_ns, left_broker_ns, sending_ns = s.job_arrived_ns, s.job_left_broker_ns, s.job_sending_ns
    rooms, traffics, published_ns, sends_ns = s.publish_room, s.publish_traffic, s.publish_ns, s.send_ns
    has_link, delays, arrivals, kept_client = s.egress > 0.0, s.may_overtake, s.arrived_ns, s.kept_client
    has_broker, has_way = s.has_broker, s.varies[PUBLISHER_TO_BROKER] or s.varies[EGRESS] or s.varies[CLIENT_NETWORK]
    jitter_ns, job, n_jobs, batch, n_arrived = s.jitter_ns, s.next_job, s.n_jobs, s.batch, s.n_arrived
    while job < n_jobs and highs[job] - lows[job] < MANY:
        id, started, sent, cohort = ids[job], started_ns[job], sending_ns[job], 0
        is_room, send_ns, published, reached = rooms[id] > 0, sends_ns[traffics[id]], published_ns[id], at_broker[id]
        if published < s.batch_from_ns or published >= s.batch_until_ns:
            file_kept(s)
            batch = find_batch(s, published)
        for i in range(lows[job], highs[job]):
            place = np.int64(members[i]) if is_room else i
            client = clients[place]
            while client >= ends[cohort]:
                cohort += 1
            sent += send_ns
            left = _link(s, job, cohort, sent) if has_link else sent
            arrival = _delay(s, job, cohort, place, left) if delays else left + half[place] + jitter_ns[cohort]
            if n_arrived == BLOCK:
                arrivals_seen(s, arrivals)
                n_arrived = 0
            arrivals[n_arrived] = arrival
            n_arrived += 1
            if batch < 0:
                continue
            if n_kept[cohort] == BLOCK:
                file_kept(s)
            k = n_kept[cohort]
            if has_broker:
                hops[cohort, 1, k] = left_broker_ns[job] - reached
                hops[cohort, 2, k] = arrived_ns[job] - left_broker_ns[job]
            if has_way:
                hops[cohort, 0, k], hops[cohort, 6, k] = reached - published, left - sent
                hops[cohort, 7, k] = arrival - left
            hops[cohort, 3, k], hops[cohort, 4, k] = started - arrived_ns[job], sent - started
            hops[cohort, 8, k] = arrival - published
            kept_client[cohort, k] = client
            n_kept[cohort] = k + 1
        job += 1
    s.next_job, s.n_arrived = job, n_arrived


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
    fill_ns(s, JITTER + cohort, u, arrivals)


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
def _send_to_cohort(s, job, cohort, at_broker, sent, low, high):
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
def _send_many(s, job, at_broker):
    """All copies of one job, cohort by cohort."""
    id, low, sent = s.job_id[job], s.job_low[job], s.job_sending_ns[job]
    traffic, is_room, cohort = s.publish_traffic[id], s.publish_room[id] > 0, 0
    if s.publish_ns[id] < s.batch_from_ns or s.publish_ns[id] >= s.batch_until_ns:
        file_kept(s)
        find_batch(s, s.publish_ns[id])
    while low < s.job_high[job]:
        beyond = _cohort_end(s, is_room, cohort, low, s.job_high[job])
        n = beyond - low
        if n > 0:
            _send_to_cohort(s, job, cohort, at_broker, sent, low, beyond)
        if s.egress > 0.0:
            _book_link(s, s.job_server[job], s.job_started_ns[job], n * s.transmission_ns[traffic, cohort])
        sent += n * s.send_ns[traffic]
        low, cohort = beyond, cohort + 1


@compiled(s=STEADY, long=True, at_broker=NUMBERS)
def send(s, at_broker):
    """All sends of the jobs in the table, or of some of them. Returns whether there are more."""
    n_sends = 0
    while s.next_job < s.n_jobs and n_sends < AT_ONCE:
        _send_few(s, at_broker)
        if s.next_job < s.n_jobs:
            job = s.next_job
            _send_many(s, job, at_broker[s.job_id[job]])
            n_sends += s.job_high[job] - s.job_low[job]
            s.next_job += 1
    return s.next_job < s.n_jobs


@compiled(s=STEADY)
def last_arrival(s):
    """File what waits for more, at the end. Returns when the last copy arrives."""
    file_rest(s)
    return s.last_ns
