"""What a steady run keeps of its deliveries: histograms, sums, and how many are under way.

What is the same for several copies is filed once, with their number. Where there are many, every step is a plain loop
over a block of them, so that the processor can take several at once.
"""

from __future__ import annotations

from realtime_sim.buckets import bucket, inlined_bucket
from realtime_sim.engines.fast.compiling import INDEX, NUMBERS, compiled
from realtime_sim.engines.fast.steady_state import NEVER_NS, STEADY, TOTAL
from realtime_sim.trace import N_GROUPS


@compiled(s=STEADY)
def sample_after(s, time):
    """Number of the first sample that sees what happens at a time; the last column for what none sees.

    The interval found last is remembered: most times are in the one that the time before was in.
    """
    if s.seen_from_ns <= time < s.seen_until_ns:
        return s.seen_after
    if time >= s.end_ns:
        s.seen_from_ns, s.seen_until_ns, s.seen_after = s.end_ns, NEVER_NS, len(s.changes) - 1
    else:
        i = time // s.step_ns
        s.seen_from_ns, s.seen_until_ns, s.seen_after = i * s.step_ns, min((i + 1) * s.step_ns, s.end_ns), i + 1
    return s.seen_after


@compiled(s=STEADY)
def file(s, cohort, batch, hop, ns, n):
    """A hop of `n` copies to one cohort, the same for all of them."""
    i = bucket(ns)
    s.batch_histogram[batch, hop, i] += n
    s.batch_sum_ns[batch, hop] += n * ns
    if s.n_cohorts > 1:
        s.histogram[cohort, hop, i] += n
        s.sum_ns[cohort, hop] += n * ns
    if ns > s.max_ns[cohort, hop]:
        s.max_ns[cohort, hop] = ns
    if ns < s.min_ns[cohort, hop]:
        s.min_ns[cohort, hop] = ns


@compiled(s=STEADY)
def file_for_group(s, group, hop, ns, n):
    """The same for the group of clients it belongs to."""
    s.group_histogram[group, hop, bucket(ns)] += n
    s.group_sum_ns[group, hop] += n * ns


@compiled(s=STEADY, values=NUMBERS, clients=INDEX)
def file_block(s, cohort, batch, hop, values, clients):
    """One hop of a block of copies to clients of a cohort, each with its own value."""
    n, low, high, total = len(values), values[0], values[0], 0
    buckets = s.buckets[:n]
    for i in range(n):
        buckets[i] = inlined_bucket(values[i])
    for i in range(n):
        low, high = min(low, values[i]), max(high, values[i])
        total += values[i]
    slice_row = s.batch_histogram[batch, hop]
    for i in range(n):
        slice_row[buckets[i]] += 1
    s.batch_sum_ns[batch, hop] += total
    s.min_ns[cohort, hop], s.max_ns[cohort, hop] = min(low, s.min_ns[cohort, hop]), max(high, s.max_ns[cohort, hop])
    if s.n_cohorts > 1:
        row = s.histogram[cohort, hop]
        for i in range(n):
            row[buckets[i]] += 1
        s.sum_ns[cohort, hop] += total
    if s.has_groups:
        sums = s.group_sums[:N_GROUPS]
        sums[:] = 0
        for i in range(n):
            group = clients[i] & (N_GROUPS - 1)
            s.group_histogram[group, hop, buckets[i]] += 1
            sums[group] += values[i]
        for group in range(N_GROUPS):
            s.group_sum_ns[group, hop] += sums[group]


@compiled(s=STEADY, arrivals=NUMBERS)
def arrivals_seen(s, arrivals):
    """Take a block of copies off those under way, each when it arrives."""
    first, last, total = arrivals[0], arrivals[0], 0
    for i in range(len(arrivals)):
        first, last = min(first, arrivals[i]), max(last, arrivals[i])
        total += arrivals[i]
    s.last_ns = max(s.last_ns, last)
    column = sample_after(s, first)
    if column == sample_after(s, last):
        s.changes[column] -= len(arrivals)
        s.change_sum_ns[column] -= total
        return
    for i in range(len(arrivals)):
        column = sample_after(s, arrivals[i])
        s.changes[column] -= 1
        s.change_sum_ns[column] -= arrivals[i]


@compiled(s=STEADY)
def find_batch(s, published):
    """The slice of the measured time that a message belongs to, -1 before it; what was kept must be filed before."""
    batch, n = s.batch, len(s.batch_starts_ns)
    while batch + 1 < n and s.batch_starts_ns[batch + 1] <= published:
        batch += 1
    while batch >= 0 and s.batch_starts_ns[batch] > published:
        batch -= 1
    s.batch = batch
    s.batch_from_ns = s.batch_starts_ns[batch] if batch >= 0 else -1
    s.batch_until_ns = s.batch_starts_ns[batch + 1] if batch + 1 < n else NEVER_NS
    return batch


# Single copies wait until they make a block.


@compiled(s=STEADY)
def file_kept(s):
    """File the copies that were kept, which are of one slice of the run."""
    for cohort in range(s.n_cohorts):
        n = s.n_kept[cohort]
        if n == 0:
            continue
        clients = s.kept_client[cohort][:n]
        for hop in range(TOTAL + 1):
            if s.varies[hop]:
                file_block(s, cohort, s.batch, hop, s.kept[cohort, hop][:n], clients)
        s.delivered[cohort] += n
        s.batch_count[s.batch] += n
        if s.has_groups:
            for i in range(n):
                s.group_count[clients[i] & (N_GROUPS - 1)] += 1
        s.n_kept[cohort] = 0


@compiled(s=STEADY)
def file_rest(s):
    """At the end of the run: what waits for more."""
    file_kept(s)
    if s.n_arrived > 0:
        arrivals_seen(s, s.arrived_ns[: s.n_arrived])
