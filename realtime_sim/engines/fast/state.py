"""The state of one run as flat arrays of records: everything a compiled function reads or writes.

One record is one cache line or two, so that what happens to a client touches memory once. Tables that grow are doubled
when they are full; a function must therefore read `s.jobs`, `s.parcels` and the like anew after anything that can add
to them. `State` is handed on by reference; an array of arguments in its place costs ten times as long for each call.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numba import types

from realtime_sim.draws import Sampler
from realtime_sim.engines.fast.memory import Block, BlockType, array_of
from realtime_sim.units import to_ns

__all__ = ["State", "sampler_table"]

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
        ("attempted_ns", "i8"),  # the newest attempt, which may lie ahead
        ("delay_s", "f8"),
        ("connection", "i4"),  # the one it believes to have
        ("last_server", "i4"),
        ("n_requests", "i4"),
        ("n_losses", "i4"),
        ("attempt", "i4"),  # tells the answer to this attempt from one to an earlier
        ("retry", "i4"),
        ("cohort", "u2"),
        ("asking", "?"),  # a request waits for its answer
        ("armed", "?"),  # a deadline event is under way
        ("state", "u1"),  # policies.lifecycle.State
        ("stage", "u1"),  # what its own process waits for
        ("step", "u1"),  # request of a handshake
    ],
    align=True,
)
"""What every attempt and every delivery reads of a client: one cache line."""

DETAIL = np.dtype(
    [
        ("chosen", "i4"),  # server of the request under way
        ("session_server", "i4"),
        ("n_sessions", "i4"),
        ("n_connections", "i4"),
        ("wake", "i4"),  # number of the waiting time that counts
        ("newest", "i4"),  # serial of its newest connection
        ("n_parcels", "i4"),  # copies that are under way to it, or wait for its poll
        ("fault", "i4"),
    ],
    align=True,
)
"""The rest of a client, seldom read."""

CONNECTION = np.dtype(
    [
        ("link_free_ns", "i8"),
        ("last_arrival_ns", "i8"),
        ("half_rtt_ns", "i8"),  # this and its cohort are its client's too, so that a delivery reads one line
        ("ends_ns", "i8"),  # by the end of the session, or of old age
        ("waiting_bytes", "i8"),
        ("serial", "i4"),  # tells it from an earlier one in the same place
        ("client", "i4"),
        ("server", "i4"),
        ("elder", "i4"),  # next of the same client's other connections
        ("cohort", "u2"),
        ("alive", "?"),
        ("registered", "?"),
        ("over", "?"),
        ("polls", "?"),
    ],
    align=True,
)
"""What a delivery reads: one cache line."""

POLLER = np.dtype(
    [
        ("parked_ns", "i8"),
        ("first", "i4"),  # parcels that wait for the next poll
        ("last", "i4"),
        ("loop", "i4"),  # of its server, that took the poll
        ("n_coming", "i4"),  # copies that the server is about to have sent
        ("parked", "?"),  # from `parked_ns` on, which may lie ahead
        ("awaited", "?"),  # an event for that time is under way
        ("armed", "?"),  # a hold event is under way
    ],
    align=True,
)
"""The rest of a long-polling client's connection; there is none where nobody polls."""

SERVER = np.dtype(
    [
        ("egress_free_ns", "i8"),
        ("link_busy_ns", "i8"),
        ("busy_ns", "i8"),
        ("died_ns", "i8"),
        ("left_broker_ns", "i8"),  # of the read under way
        ("request_expected_ns", "i8"),  # of its token bucket
        ("first", "i4"),  # queued jobs
        ("last", "i4"),
        ("n_queued", "i4"),
        ("n_waiting", "i4"),  # of these, requests in the accept queue
        ("n_handshaking", "i4"),  # requests of handshakes that wait or are in service
        ("n_connections", "i4"),
        ("position", "i4"),  # in the broker's log
        ("read_from", "i4"),  # of the read under way
        ("read_n", "i4"),
        ("pace", "i4"),  # thousandths of its cost that work takes
        ("committed", "i4"),  # position to go on from after its connection was lost
        ("handed", "i4"),  # up to which it has had the log
        ("held_first", "i4"),  # copies in the output buffers
        ("held_last", "i4"),
        ("epoch", "i4"),  # number of its connection to the broker
        ("link", "u1"),  # UP, STALLED, CUT
        ("why", "u1"),  # cause of loss for what it misses
        ("partitioned", "?"),
        ("holds_answer", "?"),  # a batch, or a request, waits until something gets through
        ("holds_request", "?"),
        ("dead", "?"),
        ("silent", "?"),
        ("parked", "?"),  # its reader waits for the log to grow
        ("touched", "?"),  # a job came in during this event
    ],
    align=True,
)

WAY = np.dtype(
    [
        ("free_ns", "i8"),
        ("held_bytes", "i8"),  # in the output buffer
        ("soft_since_ns", "i8"),
        ("joined", "?"),  # the server is subscribed, or reads, over this connection
        ("answered", "?"),  # and knows it
    ],
    align=True,
)
"""The way of a server's connection to one instance of the broker; without shards there is one."""

LOOP = np.dtype(
    [
        ("started_ns", "i8"),
        ("service_ns", "i8"),
        ("free_ns", "i8"),
        ("job", "i4"),
        ("turn", "i4"),
        ("passed", "i4"),
        ("awaited", "?"),
    ],
    align=True,
)
"""`free_ns`: when it has been free since, or will be. `job` is one whose end is an event, -1 if the end needs none;
`awaited` says that there is an event all the same, to take up what waits. Loops that become free at one time do so in
the written order: of ends that were events `turn` is the number; they came after the ends of loops up to `passed`."""

MESSAGE = np.dtype(
    [
        ("published_ns", "i8"),
        ("at_broker_ns", "i8"),
        ("appended_ns", "i8"),
        ("done_ns", "i8"),  # when the servers are done with it, as far as is known
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
        ("server", "i4"),  # that published it; without a broker, where it enters
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
        ("epoch", "i4"),  # of the connection it came by
        ("shard", "i4"),  # that a command goes to
    ],
    align=True,
)
"""Work for a thread of the broker."""

STATION = np.dtype(
    [
        ("busy_ns", "i8"),
        ("service_ns", "i8"),
        ("free_ns", "i8"),
        ("first", "i4"),
        ("last", "i4"),
        ("n", "i4"),
        ("op", "i4"),
        ("awaited", "?"),
    ],
    align=True,
)
"""A thread of the broker. `op` is work whose end is an event; publishing at Redis Pub/Sub needs none."""

COHORT = np.dtype(
    [
        ("connect_timeout_ns", "i8"),
        ("idle_ns", "i8"),  # of a proxy that drops idle connections; 0 where there is none, or pings come often enough
        ("ping_ns", "i8"),  # 0: none
        ("detect_interval_s", "f8"),
        ("detect_timeout_s", "f8"),
        ("bandwidth", "f8"),  # 0: not limited
        ("overflow_limit_bytes", "i8"),
        ("resume_within_ns", "i8"),  # -1: not limited
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


def sampler_table(samplers: Sequence[Sampler]) -> dict[str, np.ndarray]:
    """Distributions as one table of records, with the points of their own tables one after the other.

    Parameters
    ----------
    samplers : sequence of Sampler
        In the order in which compiled code numbers them.

    Returns
    -------
    dict of str to ndarray
        `samplers`, `table_x`, `table_y`.
    """
    table = np.zeros(len(samplers), dtype=SAMPLER)
    x, y = [], []
    for row, sampler in zip(table, samplers, strict=True):
        row["kind"], row["a"], row["b"] = sampler.kind, sampler.a, sampler.b
        row["a_ns"] = to_ns(sampler.a) if sampler.kind == 0 else 0
        row["at"], row["n"] = sum(map(len, y)), len(sampler.y)
        # Only one of the two families of tables has abscissas; the places are the same in both arrays.
        x.append(sampler.x if len(sampler.x) == len(sampler.y) else np.zeros(len(sampler.y)))
        y.append(sampler.y)
    return {"samplers": table, "table_x": np.concatenate(x), "table_y": np.concatenate(y)}


NUMBERS = [
    "seed", "end_ns", "over_ns", "step_ns", "n_servers", "n_workers", "backlog", "limit", "http_request_ns",
    "concurrency", "token_ns", "early_ns", "retry_after_ns", "event_ns", "wakeup_ns", "ingest_ns", "balancer",
    "broker", "copy_ns", "subscribe_ns", "control_link_ns", "append_ns", "read_ns", "read_limit", "max_length",
    "n_threads", "linger_ns", "batch_bytes", "hold_ns", "now", "passed", "passed_ns", "n_gathered", "horizon_ns",
    "until_ns", "next_publish", "n_open", "closed_ns", "free_connection", "n_connections", "n_opened", "n_registered",
    "n_touched", "phase", "loop", "n_turns", "counter", "n_messages", "n_states", "free_job", "n_jobs", "free_parcel",
    "n_parcels", "free_op", "n_ops", "n_lists", "n_subscriptions", "n_log", "free_chunk", "n_chunks", "fine_shift",
    "fine_index", "fine_count", "coarse_index", "fine_until_ns", "coarse_from_ns", "coarse_until_ns", "n_pending",
    "n_in_window", "n_inserted", "run_at", "run_n", "heap_n", "n_recovered", "n_rows", "reconnect_ns", "rebalance_ns",
    "delivery_timeout_ns", "hard_bytes", "soft_bytes", "soft_for_ns", "broker_pace", "incarnation", "waiting_first",
    "waiting_last", "n_full_buffers", "n_ways",
]  # fmt: skip
APART = [
    "insert", "peek", "copy_done", "lost", "failed", "forget", "new_message", "expect_all", "reconnected", "left",
    "finish", "hand_over", "answer", "park", "parks", "offer", "arrived", "hold_over", "drop_waiting", "open_slot",
    "record_copy", "record_lost", "draw_ns", "strike_off", "unregister", "send_away", "subscribe", "unsubscribe",
    "has_member", "submit", "new_job", "pick", "register", "_catch_up", "_back_off", "connect", "stay", "retry",
    "deadline", "request", "reply", "admit", "answered", "idle_over", "notice", "leave", "poll", "poll_failed",
    "publish", "read_on", "at_broker", "thread_free", "at_server", "linger_over", "queue", "append", "asks", "hand_out",
    "give_back_all", "join", "misses", "hold", "cut", "refused", "settle_waiting", "reached", "_take_up", "dispatch",
    "loop_free", "ping", "_fan_out", "_finish",
]  # fmt: skip
"""Functions whose addresses are here; see `compiling`."""
FRACTIONS = ["egress", "ping_s"]
FLAGS = [
    "ages", "task_per_client", "sticky", "per_room", "has_history", "full", "calm", "down", "backend_away", "disturbed",
    "retries", "commits_late",
]  # fmt: skip
ARRAYS = {
    ("i8", 1): [
        "batch_starts_ns", "ping_interval_ns", "opened_ns", "broke_ns", "cut_ns", "payload", "send_ns",
        "member_offsets", "room_offsets", "publish_ns", "intended_ns", "touched", "load", "free_message", "lists",
        "free_lists", "batch_first", "batch_last", "batch_filled", "batch_serial", "counters", "affected",
        "batch_count", "batch_missing", "group_count", "changes", "change_sum_ns",
    ],
    (COHORT, 1): ["cohorts"],
    ("f8", 2): ["backoffs"],
    (SAMPLER, 1): ["samplers"],
    ("f8", 1): ["table_x", "table_y"],
    ("?", 1): ["echo", "healthy"],
    ("i8", 2): [
        "wire", "cohort_sizes", "deliveries", "totals", "recovered", "sum_ns", "min_ns", "max_ns",
        "batch_sum_ns", "group_sum_ns", "rows", "ahead", "gathered", "full_buffers",
    ],
    (CLIENT, 1): ["clients"],
    (DETAIL, 1): ["details"],
    (CONNECTION, 1): ["connections"],
    (POLLER, 1): ["pollers"],
    ("i2", 1): ["home"],
    (SERVER, 1): ["servers"],
    (WAY, 2): ["ways"],
    (LOOP, 2): ["loops"],
    ("u8", 2): ["local", "online", "channels", "wanted"],
    (MESSAGE, 1): ["messages"],
    ("u1", 1): ["states"],
    ("i4", 1): [
        "members", "rooms", "publish_traffic", "publish_number", "publish_room", "publish_sender", "live", "log",
        "chunk_next", "fine_first", "fine_last", "fine_fill", "coarse_first", "coarse_last", "coarse_fill",
    ],
    (JOB, 1): ["jobs"],
    (PARCEL, 1): ["parcels"],
    (OP, 1): ["ops"],
    (STATION, 1): ["stations"],
    (EVENT, 1): ["chunks", "run", "heap"],
    ("i8", 3): ["histogram"],
    ("i4", 3): ["batch_histogram", "group_histogram"],
}  # fmt: skip
"""Element and number of axes, and the arrays that are so."""


def _fingerprint() -> str:
    """Number of all the source that is compiled into this engine.

    Numba's cache on disk looks at the file of a function alone, not at those of the functions it calls. As part of the
    name of the state's type, this makes it compile anew whatever any of them has changed.
    """
    package = Path(__file__).parents[2]
    places = (".", "policies", "engines", "engines/fast")
    files = sorted(file for place in places for file in (package / place).glob("*.py"))
    return f"{zlib.crc32(b''.join(file.read_bytes() for file in files)):08x}"


class State(Block):
    """One run in arrays; `setup.make_state` builds it."""

    kind = BlockType(
        f"State{_fingerprint()}",
        {
            **dict.fromkeys(NUMBERS, types.int64),
            **dict.fromkeys([f"{name}_at" for name in APART], types.int64),
            **dict.fromkeys(FRACTIONS, types.float64),
            **dict.fromkeys(FLAGS, types.boolean),
            **{name: array_of(dtype, ndim) for (dtype, ndim), names in ARRAYS.items() for name in names},
        },
    )
