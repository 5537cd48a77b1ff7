"""The agenda: every future event, in the written order, at a cost that does not grow with their number.

A ladder queue of two rungs (Tang, Goh and Thng 2005, "Ladder queue: an O(1) priority queue structure for large-scale
discrete event simulation", ACM TOMACS 15(3)). The coarse rung is a ring of buckets of 17 ms; the bucket that is due is
dealt out into fine ones, as many as it needs for a handful of events each; the fine bucket that is due is sorted, and
what is inserted into the stretch under way goes to a small heap beside it. Buckets are chunks of consecutive events,
so that memory is written and read in streams.

Measured with ``python -m benchmarks.agenda`` (take the earliest of n events out and put it back up to 17 s later), in
millions a second on one of two shared cores, two runs each, beside a binary heap of the same records:

=========  ===========  ===========
n events   this agenda  binary heap
=========  ===========  ===========
1,000      16.6-19.2    16.2-17.1
100,000    18.3-18.4    8.2-8.7
1,000,000  14.5-15.7    3.2-4.1
=========  ===========  ===========
"""

from __future__ import annotations

import numpy as np

from realtime_sim.engines.fast.compiling import EVENTS, INDEX, ONE_EVENT, compiled
from realtime_sim.engines.fast.memory import prefetch
from realtime_sim.engines.fast.state import EVENT

CHUNK = 15
"""Events in one chunk: 480 bytes."""

COARSE_SHIFT = 24
N_COARSE = 4096
FAR = N_COARSE
"""Bucket of what lies beyond the ring, over a minute ahead."""

FINE_BITS = 14
N_FINE = 1 << FINE_BITS
PER_FINE = 4
"""Events aimed at in a fine bucket."""

CLIENT_BITS = 0x1FFFFFFFF

MIN_HEAP = 1024

LARGE_RUN = 64
"""A run with room for so many times what it is to hold gives it back."""

SOON = 6
"""Events between the time that their clients are asked for and the time that they are handled, in a long run."""

FEW = 17
"""So many events are sorted by insertion."""


@compiled()
def key_of(phase, server, client):
    """The order of events at one time: by phase, then server, then client; -1 comes before 0."""
    return (np.int64(phase) << 53) | (np.int64(server + 1) << 33) | np.int64(client + 1)


@compiled(a=ONE_EVENT, b=ONE_EVENT)
def _before(a, b):
    if a.time != b.time:
        return a.time < b.time
    if a.key != b.key:
        return a.key < b.key
    if a.message != b.message:
        return a.message < b.message
    return np.int32(a.number - b.number) < 0


@compiled(a=ONE_EVENT, b=ONE_EVENT)
def _copy(a, b):
    a.time, a.key, a.message, a.ref, a.aux, a.number = b.time, b.key, b.message, b.ref, b.aux, b.number


@compiled()
def _take_chunk(s):
    chunk = s.free_chunk
    if chunk >= 0:
        s.free_chunk = s.chunk_next[chunk]
    else:
        chunk = s.n_chunks
        if chunk == len(s.chunk_next):
            chunks = np.empty(2 * len(s.chunks), dtype=EVENT)
            chunks[: len(s.chunks)] = s.chunks
            following = np.empty(2 * chunk, dtype=np.int32)
            following[:chunk] = s.chunk_next
            s.chunks, s.chunk_next = chunks, following
        s.n_chunks += 1
    s.chunk_next[chunk] = -1
    return chunk


@compiled(first=INDEX, last=INDEX, fill=INDEX)
def _place(s, first, last, fill, bucket):
    """Index in `chunks` for one more event of a bucket."""
    chunk = last[bucket]
    if chunk < 0 or fill[bucket] == CHUNK:
        fresh = _take_chunk(s)
        if chunk < 0:
            first[bucket] = fresh
        else:
            s.chunk_next[chunk] = fresh
        last[bucket], fill[bucket] = fresh, 0
        chunk = fresh
    at = chunk * CHUNK + fill[bucket]
    fill[bucket] += 1
    return at


@compiled(events=EVENTS)
def _swap(events, i, j):
    a, b = events[i], events[j]
    time, key, message, ref, aux, number = a.time, a.key, a.message, a.ref, a.aux, a.number
    _copy(a, b)
    b.time, b.key, b.message, b.ref, b.aux, b.number = time, key, message, ref, aux, number


@compiled(heap=EVENTS)
def _sift_up(heap, at):
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(heap[at], heap[parent]):
            return
        _swap(heap, at, parent)
        at = parent


@compiled(events=EVENTS)
def _insertion(events, low, high):
    for i in range(low + 1, high + 1):
        j = i
        while j > low and _before(events[j], events[j - 1]):
            _swap(events, j, j - 1)
            j -= 1


@compiled(events=EVENTS, pivot=EVENTS)
def _partition(events, low, high, pivot):
    middle = (low + high) >> 1
    if _before(events[middle], events[low]):
        _swap(events, middle, low)
    if _before(events[high], events[low]):
        _swap(events, high, low)
    if _before(events[high], events[middle]):
        _swap(events, high, middle)
    _copy(pivot[0], events[middle])
    i, j = low, high
    while i <= j:
        while _before(events[i], pivot[0]):
            i += 1
        while _before(pivot[0], events[j]):
            j -= 1
        if i <= j:
            _swap(events, i, j)
            i += 1
            j -= 1
    return i, j


@compiled(events=EVENTS)
def _sort(events, n):
    """Sort the first `n` events: quicksort, and insertion where few are left or all stand right already."""
    for i in range(1, n):
        if _before(events[i], events[i - 1]):
            break
    else:
        return
    if n <= FEW:
        _insertion(events, 0, n - 1)
        return
    pivot = np.empty(1, dtype=EVENT)
    lows, highs = np.empty(64, dtype=np.int64), np.empty(64, dtype=np.int64)
    lows[0], highs[0], depth = 0, n - 1, 1
    while depth > 0:
        depth -= 1
        low, high = lows[depth], highs[depth]
        while high - low >= FEW:
            i, j = _partition(events, low, high, pivot)
            if j - low < high - i:
                lows[depth], highs[depth] = i, high
                high = j
            else:
                lows[depth], highs[depth] = low, j
                low = i
            depth += 1
        _insertion(events, low, high)


@compiled()
def _spill(s):
    """The heap has outgrown the sorted run: make one run of both."""
    rest = s.run_n - s.run_at
    run = np.empty(max(len(s.run), rest + s.heap_n), dtype=EVENT)
    run[:rest] = s.run[s.run_at : s.run_n]
    run[rest : rest + s.heap_n] = s.heap[: s.heap_n]
    s.run, s.run_at, s.run_n, s.heap_n = run, 0, rest + s.heap_n, 0
    _sort(s.run, s.run_n)


@compiled(apart=True)
def insert(s, time, key, message, ref, aux):
    """An event at `time`; `ref` and `aux` are for whoever handles it."""
    s.n_inserted += 1
    s.n_pending += 1
    if time < s.fine_until_ns:
        if s.heap_n >= MIN_HEAP and s.heap_n >= s.run_n - s.run_at:
            _spill(s)
        at = s.heap_n
        if at == len(s.heap):
            heap = np.empty(2 * at, dtype=EVENT)
            heap[:at] = s.heap
            s.heap = heap
        event = s.heap[at]
        s.heap_n += 1
    elif time < s.coarse_until_ns:
        s.n_in_window += 1
        bucket = (time - s.coarse_from_ns) >> s.fine_shift
        at = _place(s, s.fine_first, s.fine_last, s.fine_fill, bucket)  # may move the chunks
        event = s.chunks[at]
    else:
        index = time >> COARSE_SHIFT
        bucket = index & (N_COARSE - 1) if index - s.coarse_index < N_COARSE else FAR
        at = _place(s, s.coarse_first, s.coarse_last, s.coarse_fill, bucket)
        event = s.chunks[at]
    event.time, event.key, event.message, event.ref, event.aux = time, key, message, ref, aux
    event.number = np.uint32(s.n_inserted & 0xFFFFFFFF)
    if time < s.fine_until_ns:
        _sift_up(s.heap, s.heap_n - 1)


@compiled(heap=EVENTS)
def _sift_down(heap, n):
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n:
            return
        if child + 1 < n and _before(heap[child + 1], heap[child]):
            child += 1
        if not _before(heap[child], heap[at]):
            return
        _swap(heap, at, child)
        at = child


@compiled(first=INDEX, last=INDEX, fill=INDEX)
def _count(s, first, last, fill, bucket):
    """Events in a bucket."""
    n, chunk = np.int64(fill[bucket]), first[bucket]
    while chunk != last[bucket]:
        n += CHUNK
        chunk = s.chunk_next[chunk]
    return n


@compiled()
def _give_back(s, chunk):
    """Free a chunk; the next one of its bucket."""
    following = s.chunk_next[chunk]
    s.chunk_next[chunk], s.free_chunk = s.free_chunk, chunk
    return following


@compiled()
def _make_run(s, bucket):
    """The events of a fine bucket become the run, in the order they were inserted.

    The room for it is kept, unless it was made for many more: then it may be as large as all else."""
    n, most = _count(s, s.fine_first, s.fine_last, s.fine_fill, bucket), len(s.run)
    if n > most or most > LARGE_RUN * max(n, MIN_HEAP):
        s.run = np.empty(max(n, MIN_HEAP), dtype=EVENT)
    s.run_at, s.run_n = 0, 0
    chunk = s.fine_first[bucket]
    while chunk >= 0:
        n = s.fine_fill[bucket] if chunk == s.fine_last[bucket] else CHUNK
        s.run[s.run_n : s.run_n + n] = s.chunks[chunk * CHUNK : chunk * CHUNK + n]
        s.run_n += n
        chunk = _give_back(s, chunk)
    s.fine_first[bucket], s.fine_last[bucket], s.fine_fill[bucket] = -1, -1, 0


@compiled()
def _deal_out(s):
    """The coarse bucket that is due goes into fine ones."""
    due = s.coarse_index & (N_COARSE - 1)
    n = _count(s, s.coarse_first, s.coarse_last, s.coarse_fill, due)
    bits, wanted = 0, max(n, s.n_in_window) // PER_FINE
    while bits < FINE_BITS and (1 << bits) < wanted:
        bits += 1
    s.fine_shift, s.fine_count, s.n_in_window = COARSE_SHIFT - bits, 1 << bits, n
    s.coarse_from_ns = s.coarse_index << COARSE_SHIFT
    s.coarse_until_ns = s.coarse_from_ns + (np.int64(1) << COARSE_SHIFT)
    chunk = s.coarse_first[due]
    while chunk >= 0:
        n = s.coarse_fill[due] if chunk == s.coarse_last[due] else CHUNK
        for i in range(chunk * CHUNK, chunk * CHUNK + n):
            bucket = (s.chunks[i].time - s.coarse_from_ns) >> s.fine_shift
            at = _place(s, s.fine_first, s.fine_last, s.fine_fill, bucket)  # may move the chunks
            _copy(s.chunks[at], s.chunks[i])
        chunk = _give_back(s, chunk)
    s.coarse_first[due], s.coarse_last[due], s.coarse_fill[due] = -1, -1, 0
    s.fine_index = -1
    s.fine_until_ns = s.coarse_from_ns


@compiled()
def _earliest(s, chunk, last, fill):
    """The earliest time in a list of chunks, the last of which holds `fill` events."""
    earliest = s.chunks[chunk * CHUNK].time
    while chunk >= 0:
        for i in range(chunk * CHUNK, chunk * CHUNK + (fill if chunk == last else CHUNK)):
            earliest = min(earliest, s.chunks[i].time)
        chunk = s.chunk_next[chunk]
    return earliest


@compiled()
def _bring_closer(s, jump):
    """Put far events that the ring reaches by now into it; with `jump`, move on to the earliest of them first."""
    chunk, last, fill = s.coarse_first[FAR], s.coarse_last[FAR], s.coarse_fill[FAR]
    if jump > 0:
        s.coarse_index = _earliest(s, chunk, last, fill) >> COARSE_SHIFT
    s.coarse_first[FAR], s.coarse_last[FAR], s.coarse_fill[FAR] = -1, -1, 0
    while chunk >= 0:
        for i in range(chunk * CHUNK, chunk * CHUNK + (fill if chunk == last else CHUNK)):
            index = s.chunks[i].time >> COARSE_SHIFT
            bucket = index & (N_COARSE - 1) if index - s.coarse_index < N_COARSE else FAR
            at = _place(s, s.coarse_first, s.coarse_last, s.coarse_fill, bucket)  # may move the chunks
            _copy(s.chunks[at], s.chunks[i])
        chunk = _give_back(s, chunk)


@compiled()
def _next_coarse(s):
    """Move on to the next coarse bucket that holds something; the far ones come closer on the way."""
    n_empty = 0
    while True:
        s.coarse_index += 1
        if s.coarse_first[FAR] >= 0:
            if n_empty > N_COARSE:  # nothing in the whole ring: years may lie before the next event
                _bring_closer(s, 1)
            elif s.coarse_index & (N_COARSE // 2 - 1) == 0:
                _bring_closer(s, 0)
        if s.coarse_first[s.coarse_index & (N_COARSE - 1)] >= 0:
            return
        n_empty += 1


@compiled()
def _ask_for_client(s, key):
    client = (key & CLIENT_BITS) - 1
    if client >= 0:
        prefetch(s.clients, client)


@compiled()
def _look_ahead(s):
    """Start to fetch what buckets to come will need: the events of one, and a little later their clients."""
    for ahead in range(2, 5, 2):
        bucket = s.fine_index + ahead
        if bucket >= s.fine_count or s.fine_first[bucket] < 0:
            continue
        chunk = s.fine_first[bucket]
        n = s.fine_fill[bucket] if chunk == s.fine_last[bucket] else CHUNK
        for i in range(chunk * CHUNK, chunk * CHUNK + n):
            if ahead == 4:
                prefetch(s.chunks, i)
            else:
                _ask_for_client(s, s.chunks[i].key)


@compiled(apart=True)
def peek(s):
    """Make the earliest event ready for `pop`. Returns its time, or -1 if there is none."""
    if s.heap_n >= MIN_HEAP and s.heap_n >= (s.run_n - s.run_at) // 4:
        _spill(s)
    while s.run_at == s.run_n and s.heap_n == 0:
        if s.n_pending == 0:
            return -1
        s.fine_index += 1
        while s.fine_index < s.fine_count and s.fine_first[s.fine_index] < 0:
            s.fine_index += 1
        if s.fine_index >= s.fine_count:
            _next_coarse(s)
            _deal_out(s)
            continue
        s.fine_until_ns = s.coarse_from_ns + ((s.fine_index + 1) << s.fine_shift)
        _make_run(s, s.fine_index)
        _sort(s.run, s.run_n)
        _look_ahead(s)
    if s.run_at < s.run_n and (s.heap_n == 0 or _before(s.run[s.run_at], s.heap[0])):
        return s.run[s.run_at].time
    return s.heap[0].time


@compiled()
def head(s):
    """Key and message of the earliest event, after `peek`."""
    if s.run_at < s.run_n and (s.heap_n == 0 or _before(s.run[s.run_at], s.heap[0])):
        return s.run[s.run_at].key, s.run[s.run_at].message
    return s.heap[0].key, s.heap[0].message


@compiled()
def pop(s):
    """Take the earliest event out, after `peek`: (key, message, ref, aux)."""
    s.n_pending -= 1
    if s.run_at < s.run_n and (s.heap_n == 0 or _before(s.run[s.run_at], s.heap[0])):
        event = s.run[s.run_at]
        s.run_at += 1
        if s.run_at + SOON < s.run_n:
            _ask_for_client(s, s.run[s.run_at + SOON].key)
        return event.key, event.message, event.ref, event.aux
    event = s.heap[0]
    found = event.key, event.message, event.ref, event.aux
    s.heap_n -= 1
    if s.heap_n > 0:
        _copy(s.heap[0], s.heap[s.heap_n])
        _sift_down(s.heap, s.heap_n)
    return found
