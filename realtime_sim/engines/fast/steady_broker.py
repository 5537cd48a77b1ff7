"""The first stages of a steady run: from the publishers through the broker to the servers' queues.

Messages are taken in the order in which they reach the broker, which is the order of every queue behind it. What comes
out is a table of jobs, one for each message and server, that the next stage takes up.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import Stream, inlined_uniform
from realtime_sim.engines.fast.compiling import NUMBERS, compiled
from realtime_sim.engines.fast.steady_draws import draw_ns, fill_ns
from realtime_sim.engines.fast.steady_filing import sample_after
from realtime_sim.engines.fast.steady_places import server_at
from realtime_sim.engines.fast.steady_state import EVENT_COST, PUBLISH_COST, PUBLISHER_LINK, SERVER_LINK, STEADY

EVENT_COST_STREAM, BROKER_COST_STREAM = Stream.EVENT_COST, Stream.BROKER_COST
PUBLISHER_LINK_STREAM, SERVER_LINK_STREAM = Stream.PUBLISHER_LINK, Stream.SERVER_LINK


@compiled(s=STEADY)
def draw_arrivals(s):
    """When each message reaches the broker, or the one server where there is none."""
    out = np.empty(len(s.publish_ns), dtype=np.int64)
    for id in range(len(out)):
        number, traffic = s.publish_number[id], s.publish_traffic[id]
        out[id] = s.publish_ns[id] + draw_ns(s, PUBLISHER_LINK, PUBLISHER_LINK_STREAM, number, 0, traffic)
    return out


@compiled(s=STEADY)
def _add_job(s, id, server, left_broker, arrived, low, high):
    job = s.n_jobs
    s.job_id[job], s.job_server[job], s.job_left_broker_ns[job], s.job_arrived_ns[job] = (
        id,
        server,
        left_broker,
        arrived,
    )
    s.job_low[job], s.job_high[job] = low, high
    s.n_jobs += 1


@compiled(s=STEADY)
def _copy(s, id, server, left, low, high):
    """A copy goes to a server; it does not overtake the one before."""
    link_ns = draw_ns(s, SERVER_LINK, SERVER_LINK_STREAM, s.publish_number[id], server, s.publish_traffic[id])
    if left + link_ns <= s.link_free_ns[server] and id < s.last_id[server]:
        s.out_of_order = True  # copies that arrive together are taken up by their number, and this one is too late
    s.link_free_ns[server] = max(left + link_ns, s.link_free_ns[server])
    s.last_id[server] = id
    _add_job(s, id, server, left, s.link_free_ns[server], low, high)


@compiled(s=STEADY)
def _copy_to_room(s, id, left):
    """Copies for the servers with a member of the room, or for all of them; when the broker is done."""
    room = s.publish_room[id]
    low, last = s.member_offsets[room] - len(s.client), s.member_offsets[room + 1] - len(s.client)
    server = np.int64(0)
    while server < s.n_servers:
        if s.per_room:
            if low == last:
                break
            server = server_at(s, s.members[low])
        high = low
        while high < last and s.members[high] < s.server_first[server + 1]:
            high += 1
        left += s.copy_ns
        _copy(s, id, server, left, low, high)
        low = high
        server += 1
    return left


@compiled(s=STEADY)
def _copy_to_everyone(s, id, left):
    for server in range(s.n_servers):
        low, high = s.server_first[server], s.server_first[server + 1]
        if high > low or not s.per_room:
            left += s.copy_ns
            _copy(s, id, server, left, low, high)
    return left


@compiled(s=STEADY)
def _broker(s, id, at_broker):
    """The broker's thread takes the message when it is free, and writes one copy after the other."""
    start = max(at_broker, s.broker_free_ns)
    cost_ns = draw_ns(s, PUBLISH_COST, BROKER_COST_STREAM, s.publish_number[id], 0, s.publish_traffic[id])
    is_room = s.publish_room[id] > 0
    end = _copy_to_room(s, id, start + cost_ns) if is_room else _copy_to_everyone(s, id, start + cost_ns)
    s.broker_free_ns = end
    s.broker_queue[sample_after(s, at_broker)] += 1
    s.broker_queue[sample_after(s, start)] -= 1
    s.broker_busy_ns[sample_after(s, end)] += end - start


@compiled(s=STEADY, at_broker=NUMBERS, ids=NUMBERS)
def _hand_to_the_server(s, at_broker, ids):
    """No broker: a job for each message at the one server."""
    offsets, rooms, n_clients = s.member_offsets, s.publish_room, len(s.client)
    left, arrived, lows, highs = s.job_left_broker_ns, s.job_arrived_ns, s.job_low, s.job_high
    for job in range(len(ids)):
        left[job] = arrived[job] = at_broker[ids[job]]
    for job in range(len(ids)):
        room = rooms[ids[job]]
        elsewhere = n_clients if room > 0 else 0
        lows[job], highs[job] = offsets[room] - elsewhere, offsets[room + 1] - elsewhere
    s.job_server[: len(ids)] = 0
    s.n_jobs = len(ids)


@compiled(s=STEADY, ids=NUMBERS)
def _expect(s, ids):
    """Everybody in the room waits for a message from when it is published."""
    offsets, rooms, published_ns = s.member_offsets, s.publish_room, s.publish_ns
    changes, sums_ns, expected, measured_ns = s.changes, s.change_sum_ns, s.expected, s.batch_starts_ns[0]
    for i in range(len(ids)):
        room, published = rooms[ids[i]], published_ns[ids[i]]
        n, column = offsets[room + 1] - offsets[room], sample_after(s, published)
        changes[column] += n
        sums_ns[column] += n * published
        if published >= measured_ns:
            expected[column] += n


@compiled(s=STEADY, at_broker=NUMBERS, order=NUMBERS)
def pass_on(s, at_broker, order):
    """Fill the table of jobs with the next messages, in `order` where it is not that of their numbers.

    Returns how many have been taken so far, or -1 where copies came out of order.
    """
    n = min(len(at_broker) - s.next, len(s.job_id) // s.n_servers)
    ids = s.passed_on[:n]
    for i in range(n):
        ids[i] = order[s.next + i] if len(order) > 0 else s.next + i
    s.next += n
    s.n_jobs, s.next_job = 0, 0
    _expect(s, ids)
    if s.has_broker:
        for i in range(n):
            _broker(s, ids[i], at_broker[ids[i]])
    else:
        s.job_id[:n] = ids
        _hand_to_the_server(s, at_broker, ids)
    return -1 if s.out_of_order else s.next


@compiled(s=STEADY)
def draw_event_costs(s):
    """What each job costs to decode."""
    row, seed, out = s.samplers[EVENT_COST], s.seed, s.job_cost_ns[: s.n_jobs]
    if row.kind == 0:
        out[:] = row.a_ns
        return
    servers, u, numbers, traffic = s.job_server, s.job_uniforms[: s.n_jobs], s.job_number, s.job_traffic
    for job in range(len(u)):
        id = s.job_id[job]
        numbers[job], traffic[job] = s.publish_number[id], s.publish_traffic[id]
    for job in range(len(u)):
        u[job] = inlined_uniform(seed, EVENT_COST_STREAM, numbers[job], servers[job], traffic[job])
    fill_ns(s, EVENT_COST, u, out)
