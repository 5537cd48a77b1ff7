"""The last stage of a steady run: from a server's loop to each client, and into the histograms."""

from __future__ import annotations

import numpy as np

from realtime_sim.buckets import bucket
from realtime_sim.draws import Sampler, Stream, sample_ns, uniform
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.steady_state import (
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

__all__ = ["draw_ns", "fan_out", "sample_after"]

JITTER_STREAM = Stream.JITTER


@compiled(s=STEADY)
def draw_ns(s, which, stream, i, j, k):
    """A time drawn for an address; a constant needs no draw."""
    row = s.samplers[which]
    if row.kind == 0:
        return row.a_ns
    table = slice(row.at, row.at + row.n)
    sampler = Sampler(row.kind, row.a, row.b, s.table_x[table], s.table_y[table])
    return np.int64(sample_ns(sampler, uniform(s.seed, stream, i, j, k)))


@compiled(s=STEADY)
def sample_after(s, time):
    """Number of the first sample that sees what happens at a time; the last column for what none sees."""
    if time >= s.end_ns:
        return len(s.changes) - 1
    i = np.int64(time * s.samples_per_ns)
    if i * s.step_ns > time:
        i -= 1
    elif (i + 1) * s.step_ns <= time:
        i += 1
    return i + 1


@compiled(s=STEADY)
def _file(s, cohort, group, batch, hop, ns):
    if not s.varies[hop]:
        return
    i = bucket(ns)
    s.batch_histogram[batch, hop, i] += 1
    s.batch_sum_ns[batch, hop] += ns
    if s.n_cohorts > 1:
        s.histogram[cohort, hop, i] += 1
        s.sum_ns[cohort, hop] += ns
    if s.has_groups:
        s.group_histogram[group, hop, i] += 1
        s.group_sum_ns[group, hop] += ns
    if ns > s.max_ns[cohort, hop]:
        s.max_ns[cohort, hop] = ns
    if ns < s.min_ns[cohort, hop]:
        s.min_ns[cohort, hop] = ns


@compiled(s=STEADY)
def fan_out(s, server, id, at_broker, left_broker, arrived, started, first, low, high):
    """All sends of one job: members low to high of a room, or places below 0 - 1 of everyone.

    `first` is when the loop begins to send. Returns what the link is handed, nanoseconds.
    """
    published, number, traffic, room = s.publish_ns[id], s.publish_number[id], s.publish_traffic[id], s.publish_room[id]
    batch, send_ns, sent, cohort, booked_ns = s.batch, s.send_ns[traffic], first, 0, 0
    for i in range(low, high):
        place = np.int64(s.members[i]) if room > 0 else i
        client = np.int64(s.client[place])
        while client >= s.cohort_ends[cohort]:
            cohort += 1
        sent += send_ns
        left = sent
        if s.egress > 0.0:
            booked_ns += s.transmission_ns[traffic, cohort]
            s.egress_free_ns[server] = max(s.egress_free_ns[server], sent) + s.transmission_ns[traffic, cohort]
            left = s.egress_free_ns[server]
        arrival = left + s.half_ns[place] + draw_ns(s, JITTER + cohort, JITTER_STREAM, number, client, traffic)
        if s.may_overtake:
            arrival = max(arrival, s.last_arrival_ns[place])
            s.last_arrival_ns[place] = arrival
        s.last_ns = max(s.last_ns, arrival)
        column = sample_after(s, arrival)
        s.changes[column] -= 1
        s.change_sum_ns[column] -= arrival
        if batch >= 0:
            group = client % N_GROUPS
            s.delivered[cohort] += 1
            s.batch_count[batch] += 1
            if s.has_groups:
                s.group_count[group] += 1
            _file(s, cohort, group, batch, PUBLISHER_TO_BROKER, at_broker - published)
            _file(s, cohort, group, batch, BROKER, left_broker - at_broker)
            _file(s, cohort, group, batch, BROKER_TO_SERVER, arrived - left_broker)
            _file(s, cohort, group, batch, SERVER_WAIT, started - arrived)
            _file(s, cohort, group, batch, FANOUT, sent - started)
            _file(s, cohort, group, batch, EGRESS, left - sent)
            _file(s, cohort, group, batch, CLIENT_NETWORK, arrival - left)
            _file(s, cohort, group, batch, TOTAL, arrival - published)
    return booked_ns
