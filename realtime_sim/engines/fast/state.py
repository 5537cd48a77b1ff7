"""The state of one run as flat arrays of records: everything a compiled function reads or writes.

One record is one cache line or two, so that what happens to a client touches memory once. Tables that grow are doubled
when they are full; a function must therefore read `s.jobs`, `s.parcels` and the like anew after anything that can add
to them. `State` is handed on by reference; an array of arguments in its place costs ten times as long for each call.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.experimental import structref

__all__ = ["CLIENT", "CONNECTION", "EVENT", "JOB", "LOOP", "MESSAGE", "NEVER_NS", "OP", "PARCEL", "SERVER", "State"]

NEVER_NS = 2**62
NONE = -1

EVENT = np.dtype(
    [("time", "i8"), ("key", "i8"), ("message", "i4"), ("ref", "i4"), ("aux", "i4"), ("number", "u4")], align=True
)
"""`key` packs phase, server and client; with `message` and the number of the insertion it is the written order."""

CLIENT = np.dtype(
    [
        ("half_rtt_ns", "i8"),
        ("session_ends_ns", "i8"),
        ("next_attempt_ns", "i8"),
        ("deadline_ns", "i8"),
        ("delay_s", "f8"),
        ("cohort", "i4"),
        ("connection", "i4"),  # the one it believes to have
        ("last_server", "i4"),
        ("chosen", "i4"),  # server of the request under way
        ("session_server", "i4"),
        ("n_requests", "i4"),
        ("n_losses", "i4"),
        ("n_sessions", "i4"),
        ("n_connections", "i4"),
        ("attempt", "i4"),  # tells the answer to this attempt from one to an earlier
        ("retry", "i4"),
        ("wake", "i4"),  # number of the waiting time that counts
        ("newest", "i4"),  # serial of its newest connection
        ("n_parcels", "i4"),  # copies that are under way to it, or wait for its poll
        ("fault", "i4"),
        ("state", "u1"),  # policies.lifecycle.State
        ("stage", "u1"),  # what its own process waits for
        ("step", "u1"),  # request of a handshake
        ("online", "?"),
        ("tried", "?"),
        ("asking", "?"),  # a request waits for its answer
        ("armed", "?"),  # a deadline event is under way
    ],
    align=True,
)

CONNECTION = np.dtype(
    [
        ("link_free_ns", "i8"),
        ("last_arrival_ns", "i8"),
        ("parked_ns", "i8"),
        ("waiting_bytes", "i8"),
        ("serial", "i4"),  # tells it from an earlier one in the same place
        ("client", "i4"),
        ("server", "i4"),
        ("elder", "i4"),  # next of the same client's other connections
        ("first", "i4"),  # parcels that wait for the next poll
        ("last", "i4"),
        ("alive", "?"),
        ("registered", "?"),
        ("over", "?"),
        ("parked", "?"),
        ("armed", "?"),  # a hold event is under way
    ],
    align=True,
)

SERVER = np.dtype(
    [
        ("egress_free_ns", "i8"),
        ("link_busy_ns", "i8"),
        ("busy_ns", "i8"),
        ("died_ns", "i8"),
        ("link_free_ns", "i8"),  # of the way from the broker
        ("left_broker_ns", "i8"),  # of the read under way
        ("first", "i4"),  # queued jobs
        ("last", "i4"),
        ("n_queued", "i4"),
        ("n_waiting", "i4"),  # of these, requests in the accept queue
        ("n_connections", "i4"),
        ("n_idle", "i4"),
        ("first_idle", "i4"),
        ("position", "i4"),  # in the broker's log
        ("read_from", "i4"),  # of the read under way
        ("read_n", "i4"),
        ("dead", "?"),
        ("silent", "?"),
        ("parked", "?"),  # its reader waits for the log to grow
        ("touched", "?"),  # a job came in during this event
    ],
    align=True,
)

LOOP = np.dtype(
    [("started_ns", "i8"), ("service_ns", "i8"), ("free_since_ns", "i8"), ("job", "i4"), ("next_idle", "i4")], align=True
)

MESSAGE = np.dtype(
    [
        ("published_ns", "i8"),
        ("at_broker_ns", "i8"),
        ("appended_ns", "i8"),
        ("block", "i8"),  # where the states of its recipients begin
        ("id", "i4"),
        ("number", "i4"),
        ("position", "i4"),
        ("traffic", "i4"),
        ("room", "i4"),
        ("sender", "i4"),
        ("copies", "i4"),
        ("n_open", "i4"),
        ("n_idle", "i4"),  # open, and no copy on the wire
        ("n_held", "i4"),  # parcels and replays that refer to it
        ("next", "i4"),  # live messages of the same room
        ("previous", "i4"),
        ("following", "i4"),  # next message of the producer's batch
        ("server", "i4"),  # where it enters, without a broker
        ("size", "i4"),  # class of its block
        ("batch", "i4"),  # slice of the measured time, -1 before it
        ("live", "?"),
    ],
    align=True,
)

JOB = np.dtype(
    [
        ("arrived_ns", "i8"),
        ("a_ns", "i8"),  # cost or deadline of a request, time a copy left the broker
        ("b_ns", "i8"),
        ("c_ns", "i8"),
        ("kind", "i4"),
        ("next", "i4"),
        ("message", "i4"),
        ("client", "i4"),
        ("connection", "i4"),
        ("number", "i4"),  # of the attempt, the connection or the room member it is for
        ("block", "i8"),
        ("n", "i4"),
    ],
    align=True,
)

PARCEL = np.dtype(
    [
        ("left_broker_ns", "i8"),
        ("at_server_ns", "i8"),
        ("started_ns", "i8"),
        ("sent_ns", "i8"),
        ("released_ns", "i8"),
        ("left_server_ns", "i8"),
        ("message", "i4"),
        ("connection", "i4"),
        ("serial", "i4"),
        ("client", "i4"),
        ("place", "i4"),  # of the client among the room's members
        ("next", "i4"),
        ("paced", "?"),
    ],
    align=True,
)
"""A copy between a server's loop and its client."""

OP = np.dtype(
    [
        ("block", "i8"),
        ("kind", "i4"),
        ("next", "i4"),
        ("message", "i4"),
        ("server", "i4"),
        ("job", "i4"),
        ("n", "i4"),
        ("position", "i4"),
    ],
    align=True,
)
"""Work for a thread of the broker."""

STATION = np.dtype(
    [("busy_ns", "i8"), ("service_ns", "i8"), ("first", "i4"), ("last", "i4"), ("n", "i4"), ("op", "i4")], align=True
)

COHORT = np.dtype(
    [
        ("connect_timeout_ns", "i8"),
        ("detect_interval_s", "f8"),
        ("detect_timeout_s", "f8"),
        ("bandwidth", "f8"),  # 0: not limited
        ("overflow_limit_bytes", "i8"),
        ("round_trips", "i4"),  # before the first request
        ("n_requests", "i4"),
        ("backoff", "i4"),
        ("overflow", "i4"),
        ("polls", "?"),
        ("tls", "?"),
        ("replays", "?"),
        ("has_session", "?"),
        ("draws_client", "?"),
    ],
    align=True,
)

SAMPLER = np.dtype([("kind", "i4"), ("n", "i4"), ("at", "i8"), ("a", "f8"), ("b", "f8"), ("a_ns", "i8")], align=True)


@structref.register
class StateType(types.StructRef):
    """Numba's type of a `State`."""

    def preprocess_fields(self, fields):
        """Keep the types of the fields, not their first values."""
        return tuple((name, types.unliteral(field)) for name, field in fields)


class State(structref.StructRefProxy):
    """One run in arrays; `setup.make_state` builds it."""


FIELDS = [
    # what stays as it is
    "seed", "record_from_ns", "batch_starts_ns", "end_ns", "step_ns", "n_servers", "n_workers", "backlog", "limit",
    "egress", "task_per_client", "http_request_ns", "event_ns", "wakeup_ns", "ingest_ns", "ping_s", "balancer", "sticky",
    "broker", "per_room", "has_history", "copy_ns", "subscribe_ns", "control_link_ns", "append_ns",
    "read_ns", "read_limit", "max_length", "n_partitions", "linger_ns", "batch_bytes", "hold_ns", "full",
    "cohorts", "backoffs", "samplers", "table_x", "table_y", "payload", "echo", "wire", "send_ns",
    "member_offsets", "members", "room_offsets", "rooms",
    "publish_ns", "publish_traffic", "publish_number", "publish_room", "publish_sender",
    # what happens
    "now", "horizon_ns", "next_publish", "n_open", "closed_ns",
    "clients", "connections", "free_connection", "n_connections", "n_opened",
    "servers", "loops", "touched", "n_touched", "local", "load", "healthy", "counter", "cohort_sizes",
    "messages", "free_message", "n_messages", "states", "free_states", "n_states", "live",
    "jobs", "free_job", "n_jobs", "parcels", "free_parcel", "n_parcels", "ops", "free_op", "n_ops",
    "lists", "free_lists", "n_lists",
    "stations", "channels", "wanted", "n_subscriptions", "log", "n_log", "batch_first", "batch_last", "batch_filled",
    "batch_serial",
    # the agenda
    "chunks", "chunk_next", "free_chunk", "n_chunks",
    "fine_first", "fine_last", "fine_fill", "coarse_first", "coarse_last", "coarse_fill",
    "fine_shift", "fine_index", "fine_count", "coarse_index", "fine_until_ns", "coarse_from_ns", "coarse_until_ns",
    "n_pending", "n_in_window", "n_inserted", "run", "run_at", "run_n", "heap", "heap_n",
    # what is recorded
    "counters", "deliveries", "totals", "affected", "recovered", "n_recovered",
    "histogram", "sum_ns", "min_ns", "max_ns", "batch_histogram", "batch_sum_ns", "batch_count",
    "group_histogram", "group_sum_ns", "group_count",
    "changes", "change_sum_ns", "rows", "n_rows",
]  # fmt: skip

structref.define_proxy(State, StateType, FIELDS)
