"""The second stage of a steady run: the servers' queues, and the pings that wait in them too.

Nobody comes or goes, so nothing flows back: when a job starts follows from when it arrived and when a loop was free
(Lindley 1952, "The theory of queues with a single server", Proc. Camb. Phil. Soc. 48).
"""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.constants import PING_ROUNDS
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.memory import release
from realtime_sim.engines.fast.steady_filing import sample_after
from realtime_sim.engines.fast.steady_state import NEVER_NS, STEADY
from realtime_sim.units import NS_PER_S


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
def _show(s, server, arrived, start, end):
    """File a job under the samples that are the first to see it come, start and end."""
    following, column, came = sample_after(s, end), sample_after(s, start), sample_after(s, arrived)
    s.queued[server, came] += 1
    s.queued[server, column] -= 1
    s.running[server, column] += 1
    s.running[server, following] -= 1
    s.running_sum_ns[server, column] -= start
    s.running_sum_ns[server, following] += end


@compiled(s=STEADY)
def _serve(s, server, arrived, cost_ns, n_sends):
    """The next job of a server: when it is taken up, and when the loop is awake and has spent `cost_ns` on it less
    its time to be woken."""
    free_ns = s.loops[server, 0]
    start = max(arrived, free_ns)
    end = start + cost_ns + (s.wakeup_ns if free_ns < start else 0)
    if s.loops.shape[1] == 1:
        s.loops[server, 0] = end
    else:
        _occupy(s, server, end)
    if n_sends == 0 and end > s.end_ns:
        _keep_late(s, server, start, end)
    else:
        s.jobs[server] += 1
        s.busy_ns[server] += end - start
    if s.seen_from_ns <= arrived and end < s.seen_until_ns:
        s.running_sum_ns[server, s.seen_after] += end - start
    else:
        _show(s, server, arrived, start, end)
    return start, end


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
                    _serve(s, server, now, np.int64(np.rint(s.ping_s * share * NS_PER_S)), 0)
                tick += 1
                s.ping_tick[server, cohort] = tick
            following = min(following, tick * interval_ns // PING_ROUNDS)
        s.next_ping_ns[server] = following


@compiled(s=STEADY)
def take_up(s):
    """Find out of every job in the table when it starts, and when its first copy is begun."""
    servers, arrived_ns, lows, highs, ids = s.job_server, s.job_arrived_ns, s.job_low, s.job_high, s.job_id
    costs_ns, started_ns, sending_ns, sends_ns = s.job_cost_ns, s.job_started_ns, s.job_sending_ns, s.send_ns
    traffic, sends, next_ping_ns, loops, wakeup_ns = s.publish_traffic, s.sends, s.next_ping_ns, s.loops, s.wakeup_ns
    n_done, busy_ns, spent_seen_ns, alone = s.jobs, s.busy_ns, s.running_sum_ns, s.loops.shape[1] == 1
    seen_from_ns, seen_until_ns, column = s.seen_from_ns, s.seen_until_ns, s.seen_after
    for job in range(s.n_jobs):
        server, arrived, n_sends = servers[job], arrived_ns[job], highs[job] - lows[job]
        if next_ping_ns[server] < arrived:
            _ping(s, server, arrived)
        spent_ns = n_sends * sends_ns[traffic[ids[job]]]
        sends[server] += n_sends
        free_ns = loops[server, 0]
        start = max(arrived, free_ns)
        end = start + costs_ns[job] + spent_ns + (wakeup_ns if free_ns < start else 0)
        if alone and n_sends > 0 and seen_from_ns <= arrived and end < seen_until_ns:
            # What `_serve` does, where no sample falls between; this is most of the work of a single queue.
            loops[server, 0] = end
            n_done[server] += 1
            busy_ns[server] += end - start
            spent_seen_ns[server, column] += end - start
        else:
            start, end = _serve(s, server, arrived, costs_ns[job] + spent_ns, n_sends)
            seen_from_ns, seen_until_ns, column = s.seen_from_ns, s.seen_until_ns, s.seen_after
        started_ns[job], sending_ns[job] = start, end - spent_ns


@compiled(s=STEADY)
def finish(s, last_ns):
    """The run ends when the last copy has arrived: pings until then, and what is left of jobs without copies."""
    for server in range(s.n_servers):
        _ping(s, server, last_ns + 1)
    for i in range(s.n_late):
        server, start, end = s.late[i, 0], s.late[i, 1], s.late[i, 2]
        if start <= last_ns:
            s.busy_ns[server] += min(end, last_ns) - start
            s.jobs[server] += end <= last_ns


@compiled(s=STEADY)
def free(s):
    """Give back the memory of tables that have grown."""
    release(s)
