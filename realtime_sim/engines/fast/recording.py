"""The summary of a run, filled in by compiled code: the same histograms and counts as `realtime_sim.recorder` keeps."""

from __future__ import annotations

import numpy as np

from realtime_sim.buckets import bucket
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.trace import CLOSE_CODES, COUNTERS, DELIVERIES, N_GROUPS, OUTCOMES

DELIVERED, LOST, DROPPED = (OUTCOMES.index(name) for name in ("delivered", "lost", "dropped"))
EXPECTED_ROW, CANCELLED_ROW = DELIVERIES.index("expected"), DELIVERIES.index("cancelled")
OUTCOME_ROW, CAUSE_ROW = DELIVERIES.index(OUTCOMES[0]), DELIVERIES.index("lost_offline")

ATTEMPTS, ACCEPTED, RECONNECTS, REFUSED, BACKLOG_FULL, NO_SERVER, TIMEOUTS, SESSION_UNKNOWN, SERVER_DIED, THROTTLED = (
    COUNTERS.index(name)
    for name in (
        "attempts", "accepted", "reconnects", "refused", "backlog_full", "no_server", "timeouts", "session_unknown",
        "server_died", "throttled",
    )
)  # fmt: skip
CLOSED_NORMAL, CLOSED_GOING_AWAY, CLOSED_ABNORMAL, CLOSED_POLICY = (COUNTERS.index(name) for name in CLOSE_CODES)
WASTED_HANDSHAKES, LOST_CONNECTIONS, GAVE_UP, UNSENT, POLLS, CONNECTED_AT_START, IDLE_DROPS = (
    COUNTERS.index(name)
    for name in (
        "wasted_handshakes",
        "lost_connections",
        "gave_up",
        "unsent",
        "polls",
        "connected_at_start",
        "idle_drops",
    )
)
FIRST_ATTEMPTS, FAILED_POLLS, LEFT_CONNECTING, LEFT_CUT_OFF, LEFT_WAITING = (
    COUNTERS.index(name)
    for name in ("first_attempts", "failed_polls", "left_connecting", "left_cut_off", "left_waiting")
)


@compiled()
def change_open(s, n, time):
    """`n` more deliveries are under way from `time` on, which may lie ahead; fewer, if it is negative.

    Changes are filed under the first sample that sees them, so that their time integral is known there.
    """
    i = time // s.step_ns + 1 if time < s.end_ns else np.int64(len(s.changes) - 1)
    s.changes[i] += n
    s.change_sum_ns[i] += n * time
    s.n_open += n


@compiled()
def count_at(s, what, time):
    """One more of a counter at `time`: now, or ahead but before the end of the run. The next sample will see it."""
    if time < s.end_ns:
        s.ahead[what, time // s.step_ns + 1] += 1
    else:
        s.counters[what] += 1


@compiled()
def note_full(s, server, held_bytes):
    """A server's output buffer at the broker has reached its limit."""
    if s.n_full_buffers == len(s.full_buffers):
        rows = np.empty((2 * s.n_full_buffers, 3), dtype=np.int64)
        rows[: s.n_full_buffers] = s.full_buffers
        s.full_buffers = rows
    row = s.full_buffers[s.n_full_buffers]
    row[0], row[1], row[2] = s.now, server, held_bytes
    s.n_full_buffers += 1


@compiled()
def _file(s, client, cohort, batch, hop, ns):
    i = bucket(ns)
    s.batch_histogram[batch, hop, i] += 1
    s.batch_sum_ns[batch, hop] += ns
    if len(s.cohorts) > 1:  # of one cohort, the slices together are the whole
        s.histogram[cohort, hop, i] += 1
        s.sum_ns[cohort, hop] += ns
    if ns > s.max_ns[cohort, hop]:
        s.max_ns[cohort, hop] = ns
    if ns < s.min_ns[cohort, hop]:
        s.min_ns[cohort, hop] = ns
    if len(s.group_count) > 0:
        group = client % N_GROUPS
        s.group_histogram[group, hop, i] += 1
        s.group_sum_ns[group, hop] += ns


@compiled()
def _row(s):
    if s.n_rows == len(s.rows):
        rows = np.empty((2 * s.n_rows, s.rows.shape[1]), dtype=np.int64)
        rows[: s.n_rows] = s.rows
        s.rows = rows
    s.n_rows += 1
    return s.rows[s.n_rows - 1]


@compiled(apart=True)
def record_lost(s, message, client, cohort, batch, published_ns):
    """A delivery that will never happen: its further stamps are -1, and so is its server."""
    if batch >= 0:
        s.deliveries[OUTCOME_ROW + LOST, cohort] += 1
        s.batch_missing[batch] += 1
    if s.full:
        row = _row(s)
        row[:] = -1
        row[0], row[1], row[3], row[4] = message, client, LOST, published_ns


@compiled(apart=True)
def record_copy(
    s, message, client, server, outcome, cohort, batch, published_ns, at_broker_ns, left_broker_ns, at_server_ns,
    started_ns, sent_ns, released_ns, left_server_ns, received_ns,
):  # fmt: skip
    """A copy with all its stamps; one that was dropped has -1 for the last."""
    if batch >= 0:
        s.deliveries[OUTCOME_ROW + outcome, cohort] += 1
        if outcome == DELIVERED:
            s.batch_count[batch] += 1
            if len(s.group_count) > 0:
                s.group_count[client % N_GROUPS] += 1
            _file(s, client, cohort, batch, 0, at_broker_ns - published_ns)
            _file(s, client, cohort, batch, 1, left_broker_ns - at_broker_ns)
            _file(s, client, cohort, batch, 2, at_server_ns - left_broker_ns)
            _file(s, client, cohort, batch, 3, started_ns - at_server_ns)
            _file(s, client, cohort, batch, 4, sent_ns - started_ns)
            _file(s, client, cohort, batch, 5, released_ns - sent_ns)
            _file(s, client, cohort, batch, 6, left_server_ns - released_ns)
            _file(s, client, cohort, batch, 7, received_ns - left_server_ns)
            _file(s, client, cohort, batch, 8, received_ns - published_ns)
        elif outcome == DROPPED:
            s.batch_missing[batch] += 1
    if s.full:
        row = _row(s)
        row[0], row[1], row[2], row[3] = message, client, server, outcome
        row[4], row[5], row[6], row[7], row[8] = published_ns, at_broker_ns, left_broker_ns, at_server_ns, started_ns
        row[9], row[10], row[11], row[12] = sent_ns, released_ns, left_server_ns, received_ns
