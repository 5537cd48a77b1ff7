"""The stages of a steady run before the last: publisher, broker and the servers' queues.

Nobody comes or goes, so nothing flows back: a message's times at one stage follow from those at the stage before, and
from when the stage was free (Lindley 1952, "The theory of queues with a single server", Proc. Camb. Phil. Soc. 48).
Messages are taken in the order in which they reach the broker, which is the order of every queue behind it.
"""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import Stream
from realtime_sim.engines.constants import PING_ROUNDS
from realtime_sim.engines.fast.compiling import NUMBERS, compiled
from realtime_sim.engines.fast.memory import release
from realtime_sim.engines.fast.steady_filing import draw_ns, fan_out, sample_after
from realtime_sim.engines.fast.steady_places import server_at
from realtime_sim.engines.fast.steady_state import (
    EVENT_COST,
    NEVER_NS,
    PUBLISH_COST,
    PUBLISHER_LINK,
    SERVER_LINK,
    STEADY,
)
from realtime_sim.units import NS_PER_S

__all__ = ["advance", "arrivals_at_broker", "finish", "free"]

EVENT_COST_STREAM, BROKER_COST_STREAM = Stream.EVENT_COST, Stream.BROKER_COST
PUBLISHER_LINK_STREAM, SERVER_LINK_STREAM = Stream.PUBLISHER_LINK, Stream.SERVER_LINK

AT_ONCE = 2_000_000
"""Copies and sends before control goes back to Python, so that progress shows and Ctrl-C is heard."""


@compiled(s=STEADY)
def arrivals_at_broker(s):
    """When each message reaches the broker, or the one server where there is none."""
    out = np.empty(len(s.publish_ns), dtype=np.int64)
    for id in range(len(out)):
        link_ns = draw_ns(s, PUBLISHER_LINK, PUBLISHER_LINK_STREAM, s.publish_number[id], 0, s.publish_traffic[id])
        out[id] = s.publish_ns[id] + link_ns
    return out


# The queue of a server.


@compiled(s=STEADY)
def _take_up(s, server, arrived):
    """When the next job starts that arrives then, and how long waking a loop takes first."""
    free = s.loops[server, 0]
    start = max(arrived, free)
    return start, s.wakeup_ns if free < start else 0


@compiled(s=STEADY)
def _occupy(s, server, end):
    """The loop that was free first is busy until `end`: the free times are a heap."""
    n, at = s.loops.shape[1], 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and s.loops[server, child + 1] < s.loops[server, child]:
            child += 1
        if s.loops[server, child] >= end:
            break
        s.loops[server, at] = s.loops[server, child]
        at = child
    s.loops[server, at] = end


@compiled(s=STEADY)
def _keep_late(s, server, start, end):
    """A job that may not be done, or not even taken up, when the run ends."""
    if s.n_late == len(s.late):
        late = np.empty((2 * s.n_late, 3), dtype=np.int64)
        late[: s.n_late] = s.late
        s.late = late
    s.late[s.n_late, 0], s.late[s.n_late, 1], s.late[s.n_late, 2] = server, start, end
    s.n_late += 1


@compiled(s=STEADY)
def _book(s, server, arrived, start, end, n_sends):
    """Count a job, and file it under the samples that are the first to see it come, start and end."""
    _occupy(s, server, end)
    if n_sends == 0 and end > s.end_ns:
        _keep_late(s, server, start, end)
    else:
        s.jobs[server] += 1
        s.busy_ns[server] += end - start
    s.sends[server] += n_sends
    column, following = sample_after(s, start), sample_after(s, end)
    if arrived < start:
        s.queued[server, sample_after(s, arrived)] += 1
        s.queued[server, column] -= 1
    s.running[server, column] += 1
    s.running[server, following] -= 1
    s.running_sum_ns[server, column] -= start
    s.running_sum_ns[server, following] += end


@compiled(s=STEADY)
def _ping(s, server, until):
    """The pings of a server before `until`: of one time, in the order of the cohorts."""
    while s.next_ping_ns[server] < until:
        now, following = s.next_ping_ns[server], NEVER_NS
        for cohort in range(s.n_cohorts):
            tick = s.ping_tick[server, cohort]
            if tick == NEVER_NS:
                continue
            interval_ns = s.ping_interval_ns[cohort]
            if tick * interval_ns // PING_ROUNDS == now:
                n, turn = s.cohort_sizes[server, cohort], tick % PING_ROUNDS
                share = n * (turn + 1) // PING_ROUNDS - n * turn // PING_ROUNDS
                if share > 0:
                    start, wakeup_ns = _take_up(s, server, now)
                    end = start + wakeup_ns + np.int64(np.rint(s.ping_s * share * NS_PER_S))
                    _book(s, server, now, start, end, 0)
                tick += 1
                s.ping_tick[server, cohort] = tick
            following = min(following, tick * interval_ns // PING_ROUNDS)
        s.next_ping_ns[server] = following


@compiled(s=STEADY)
def _deliver(s, server, id, at_broker, left_broker, arrived, low, high):
    """One message at one server: it waits for a loop, is decoded, and goes to the members low to high."""
    _ping(s, server, arrived)
    start, wakeup_ns = _take_up(s, server, arrived)
    traffic = s.publish_traffic[id]
    decode_ns = draw_ns(s, EVENT_COST, EVENT_COST_STREAM, s.publish_number[id], server, traffic)
    first = start + wakeup_ns + decode_ns
    end = first + (high - low) * s.send_ns[traffic]
    booked_ns = fan_out(s, server, id, at_broker, left_broker, arrived, start, first, low, high)
    if booked_ns > 0:
        s.link_booked_ns[server, sample_after(s, start)] += booked_ns
        s.link_busy_ns[server] += booked_ns
    _book(s, server, arrived, start, end, high - low)


# The broker.


@compiled(s=STEADY)
def _copy(s, server, id, at_broker, left, low, high):
    """A copy goes to a server; it does not overtake the one before."""
    link_ns = draw_ns(s, SERVER_LINK, SERVER_LINK_STREAM, s.publish_number[id], server, s.publish_traffic[id])
    if left + link_ns <= s.link_free_ns[server] and id < s.last_id[server]:
        s.out_of_order = True  # copies that arrive together are taken up by their number, and this one is too late
    s.link_free_ns[server] = max(left + link_ns, s.link_free_ns[server])
    s.last_id[server] = id
    _deliver(s, server, id, at_broker, left, s.link_free_ns[server], low, high)


@compiled(s=STEADY)
def _copy_to_all(s, id, at_broker, left):
    """Copies for the servers with somebody in the room, or for all of them; when the broker is done."""
    room = s.publish_room[id]
    i, last = np.int64(0), np.int64(0)
    if room > 0:
        i, last = s.member_offsets[room] - len(s.client), s.member_offsets[room + 1] - len(s.client)
    server = np.int64(0)
    while server < s.n_servers:
        if room == 0:
            low, high = s.server_first[server], s.server_first[server + 1]
        else:
            if s.per_room:
                if i == last:
                    break
                server = server_at(s, s.members[i])
            low = i
            while i < last and s.members[i] < s.server_first[server + 1]:
                i += 1
            high = i
        if high > low or not s.per_room:
            left += s.copy_ns
            _copy(s, server, id, at_broker, left, low, high)
        server += 1
    return left


@compiled(s=STEADY)
def _broker(s, id, at_broker):
    """The broker's thread takes the message when it is free, and writes one copy after the other."""
    start = max(at_broker, s.broker_free_ns)
    cost_ns = draw_ns(s, PUBLISH_COST, BROKER_COST_STREAM, s.publish_number[id], 0, s.publish_traffic[id])
    end = _copy_to_all(s, id, at_broker, start + cost_ns)
    s.broker_free_ns = end
    s.broker_queue[sample_after(s, at_broker)] += 1
    s.broker_queue[sample_after(s, start)] -= 1
    s.broker_busy_ns[sample_after(s, end)] += end - start


@compiled(s=STEADY)
def _publish(s, id, at_broker):
    """One message on all of its way; how much work that was."""
    published, room = s.publish_ns[id], s.publish_room[id]
    while s.batch + 1 < len(s.batch_starts_ns) and s.batch_starts_ns[s.batch + 1] <= published:
        s.batch += 1
    while s.batch >= 0 and s.batch_starts_ns[s.batch] > published:
        s.batch -= 1
    n = s.member_offsets[room + 1] - s.member_offsets[room]
    column = sample_after(s, published)
    s.changes[column] += n
    s.change_sum_ns[column] += n * published
    if s.batch >= 0:
        s.expected[column] += n
    if s.has_broker:
        _broker(s, id, at_broker)
    else:
        low = s.member_offsets[room] - (len(s.client) if room > 0 else 0)
        _deliver(s, 0, id, at_broker, at_broker, at_broker, low, low + n)
    return n + s.n_servers


@compiled(s=STEADY, at_broker=NUMBERS, order=NUMBERS)
def advance(s, at_broker, order):
    """Take up messages, in `order` where it is not that of their numbers. Returns the next one, or -1."""
    work = 0
    while s.next < len(at_broker) and work < AT_ONCE and not s.out_of_order:
        id = order[s.next] if len(order) > 0 else s.next
        work += _publish(s, id, at_broker[id])
        s.next += 1
    if s.next == len(at_broker) or s.out_of_order:
        return -1
    return order[s.next] if len(order) > 0 else s.next


@compiled(s=STEADY)
def finish(s, limit_ns):
    """The run ends when the last copy has arrived: pings until then, and what is left of jobs without copies.

    Returns whether it was a steady one, done by `limit_ns`.
    """
    last_ns = max(s.last_ns, s.end_ns)
    if s.out_of_order or last_ns > limit_ns:
        return False
    for server in range(s.n_servers):
        _ping(s, server, last_ns + 1)
    for i in range(s.n_late):
        server, start, end = s.late[i, 0], s.late[i, 1], s.late[i, 2]
        if start <= last_ns:
            s.busy_ns[server] += min(end, last_ns) - start
            s.jobs[server] += end <= last_ns
    return True


@compiled(s=STEADY)
def free(s):
    """Give back the memory of tables that have grown."""
    release(s)
