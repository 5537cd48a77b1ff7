"""From a Workload to the State that a compiled run starts with."""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import Sampler
from realtime_sim.engines.constants import ATTEMPT_GAP_NS, NORMAL_PACE, POLLING_HANDSHAKE_REQUESTS
from realtime_sim.engines.fast import agenda
from realtime_sim.engines.fast import state as st
from realtime_sim.engines.fast.brokers import FAMILIES
from realtime_sim.engines.fast.kernel import addresses
from realtime_sim.engines.fast.ledger import SERVER_AWAY
from realtime_sim.engines.fast.work import FEW_MEMBERS
from realtime_sim.errors import UnsupportedFeature
from realtime_sim.policies import balancing
from realtime_sim.policies.backoff import REGISTRY as BACKOFFS
from realtime_sim.policies.output_buffer import NOT_SOFT
from realtime_sim.policies.token_bucket import bucket_ns
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Admission, Scenario
from realtime_sim.scenario.clients import Cohort
from realtime_sim.trace import COUNTERS, SERVER_TOTALS
from realtime_sim.transports import TRANSPORTS, handshake_round_trips
from realtime_sim.units import to_ns
from realtime_sim.wire import wire_bytes
from realtime_sim.workload import Workload

__all__ = ["make_state"]

MAX_BITS = 8_000_000_000
"""Most servers times clients: a gigabyte."""

MAX_COHORTS = 65_535

RUNNING = (
    "now", "phase", "loop", "passed", "passed_ns", "n_gathered", "n_turns", "horizon_ns", "until_ns", "next_publish",
    "n_open", "closed_ns", "counter", "incarnation",
)  # fmt: skip
"""What counts from 0 while the run goes on."""

_READ_LIMITS = ("read_count", "pull_batch", "max_poll_records")

SIZES = 48
"""Classes of blocks, by powers of two."""

_NOTHING = Sampler(0, 0.0, 0.0, np.zeros(1), np.zeros(1))


def make_state(workload: Workload, recorder: Recorder, cuts_one_by_one: bool = False) -> st.State:
    """The state before the first event. Arrays of the recorder are filled in place.

    Parameters
    ----------
    workload : Workload
        What to run.
    recorder : Recorder
        Whose arrays are filled.
    cuts_one_by_one : bool
        Whether a disturbance may cut clients off one after the other: then each client's time is kept, else it is that
        of the disturbance.
    """
    scenario = workload.scenario
    _check_tables(workload)
    fields = {
        **addresses(),
        **_settings(scenario, recorder),
        **_inputs(workload),
        **_servers(scenario, workload.n_clients),
        **_clients(workload, cuts_one_by_one),
        **_tables(scenario, workload),
        **_agenda(workload.n_clients),
        **_records(scenario, recorder, cuts_one_by_one),
    }
    return st.State(**fields)


def _check_tables(workload: Workload) -> None:
    """Refuse what would need a table of gigabytes: a bit for each server and client, or server and room."""
    scenario = workload.scenario
    per_room = getattr(scenario.broker, "subscription", "") == "per_room"
    rows = max(workload.n_clients, 2 * workload.rooms.n_rooms if per_room else 0)
    if len(scenario.clients) > MAX_COHORTS:
        step = "put cohorts that differ little together"
        raise UnsupportedFeature(f"clients (more than {MAX_COHORTS:_} cohorts)", "fast", step)
    if rows * scenario.servers.count > MAX_BITS:
        found = f"more than {MAX_BITS // rows:_} of them with {rows:_} clients or rooms: {scenario.servers.count:_}"
        step = "use fewer servers, or scale the scenario down"
        raise UnsupportedFeature(f"servers.count ({found})", "fast", step)


def _settings(scenario: Scenario, recorder: Recorder) -> dict[str, object]:
    """What stays as it is during the run: plain numbers."""
    servers, costs, broker = scenario.servers, scenario.servers.resolved_costs, scenario.broker
    kind, is_log = broker.kind, broker.has_log
    buffer = getattr(broker, "output_buffer", None)
    return {
        "seed": scenario.seed,
        "batch_starts_ns": recorder.batch_starts_ns,
        "end_ns": to_ns(scenario.duration),
        "over_ns": to_ns(scenario.duration) + to_ns(scenario.drain),  # at the latest
        "step_ns": max(1, to_ns(scenario.sample_interval)),
        "n_servers": servers.count,
        "n_workers": servers.workers,
        "backlog": servers.backlog,
        "limit": -1 if servers.connection_limit is None else servers.connection_limit,
        **_admission(servers.admission),
        "egress": float(servers.egress or 0.0),
        "ages": servers.connection_age is not None,
        "task_per_client": servers.fanout == "task_per_client",
        "http_request_ns": to_ns(costs.http_request_s),
        "event_ns": to_ns(costs.event_s),
        "wakeup_ns": to_ns(costs.wakeup_s),
        "ingest_ns": to_ns(costs.ingest_s),
        "ping_s": float(costs.ping_s),
        "balancer": balancing.REGISTRY[scenario.balancer.policy].code,
        "sticky": scenario.balancer.affinity == "cookie",
        "broker": FAMILIES[kind],
        "per_room": broker.has_channels and broker.subscription == "per_room",
        "has_history": is_log,
        "copy_ns": to_ns(getattr(broker, "copy_cost", 0.0)),
        "subscribe_ns": to_ns(getattr(broker, "subscribe", 0.0)),
        "control_link_ns": to_ns(broker.server_link.mean_s) if kind != "none" else 0,
        "append_ns": to_ns(broker.append) if is_log else 0,
        "read_ns": to_ns(broker.read) if is_log else 0,
        "read_limit": next((getattr(broker, name) for name in _READ_LIMITS if hasattr(broker, name)), 1),
        "max_length": getattr(broker, "max_length", -1),
        "commits_late": kind in ("kafka", "nats_jetstream"),
        "reconnect_ns": to_ns(getattr(broker, "reconnect_delay", 0.0)),
        "rebalance_ns": to_ns(getattr(broker, "rebalance_delay", 0.0)),
        "delivery_timeout_ns": to_ns(getattr(broker, "delivery_timeout", 0.0)),
        "retries": getattr(broker, "when_down", "lose") == "retry",
        "hard_bytes": buffer.hard if buffer else 0,
        "soft_bytes": buffer.soft if buffer else 0,
        "soft_for_ns": to_ns(buffer.soft_for) if buffer else 0,
        "broker_pace": NORMAL_PACE,
        "down": False,
        "backend_away": False,
        "disturbed": False,
        "waiting_first": -1,
        "waiting_last": -1,
        "n_threads": max(1, broker.n_threads),
        "n_ways": broker.n_threads if broker.has_channels else 1,
        "linger_ns": to_ns(getattr(broker, "linger", 0.0)),
        "batch_bytes": getattr(broker, "batch_size", 0),
        "hold_ns": to_ns(TRANSPORTS["long_polling"].poll_hold_s),
        "full": recorder.level == "full",
        "calm": not any(cohort.idles_out for cohort in scenario.clients),
        **dict.fromkeys(RUNNING, 0),
    }  # fmt: skip


def _admission(admission: Admission) -> dict[str, int]:
    """-1 and 0 where there is no limit."""
    token_ns, early_ns = (0, 0) if admission.rate is None else bucket_ns(admission.rate, admission.burst)
    return {
        "concurrency": -1 if admission.concurrency is None else admission.concurrency,
        "token_ns": token_ns,
        "early_ns": early_ns,
        "retry_after_ns": to_ns(admission.retry_after),
    }


def _inputs(workload: Workload) -> dict[str, object]:
    scenario, rooms, publishes = workload.scenario, workload.rooms, workload.publishes
    costs, own_task = scenario.servers.resolved_costs, scenario.servers.fanout == "task_per_client"
    traffic = scenario.traffic
    most = int(np.diff(rooms.member_offsets[1:]).max(initial=FEW_MEMBERS))
    wire = [[wire_bytes(c.transport, t.payload, c.tls) for c in scenario.clients] for t in traffic]
    return {
        "payload": np.array([t.payload for t in traffic], dtype=np.int64),
        "echo": np.array([t.echo for t in traffic], dtype=np.bool_),
        "gathered": np.zeros((most, 2), dtype=np.int64),
        "wire": np.array(wire, dtype=np.int64).reshape(len(traffic), len(scenario.clients)),
        "send_ns": np.array([to_ns(costs.send_to_one_s(t.payload, own_task)) for t in traffic], dtype=np.int64),
        "member_offsets": rooms.member_offsets,
        "members": rooms.members,
        "room_offsets": rooms.room_offsets,
        "rooms": rooms.rooms,
        "publish_ns": publishes.time_ns,
        "intended_ns": publishes.intended_ns,
        "publish_traffic": publishes.traffic,
        "publish_number": publishes.number,
        "publish_room": publishes.room,
        "publish_sender": publishes.sender,
    }


def _servers(scenario: Scenario, n_clients: int) -> dict[str, object]:
    n, workers = scenario.servers.count, scenario.servers.workers
    servers = np.zeros(n, dtype=st.SERVER)
    servers["died_ns"], servers["pace"] = -1, NORMAL_PACE
    servers["why"], servers["held_first"] = SERVER_AWAY, -1
    ways = np.zeros((n, scenario.broker.n_threads if scenario.broker.has_channels else 1), dtype=st.WAY)
    ways["joined"], ways["answered"], ways["soft_since_ns"] = True, True, NOT_SOFT
    loops = np.zeros((n, workers), dtype=st.LOOP)
    loops["job"], loops["free_ns"] = -1, -1
    if scenario.broker.has_log:
        servers["parked"] = True  # every reader waits for the first entry
    return {
        "servers": servers,
        "ways": ways,
        "loops": loops,
        "touched": np.zeros(n, dtype=np.int64),
        "n_touched": 0,
        "local": np.zeros((n, (n_clients + 63) // 64), dtype=np.uint64),
        "load": np.zeros(n, dtype=np.int64),
        "healthy": np.ones(n, dtype=np.bool_),
        "cohort_sizes": np.zeros((n, len(scenario.clients)), dtype=np.int64),
    }


def _lines(n: int, dtype: np.dtype, values: dict[str, int]) -> np.ndarray:
    """`n` records with some values other than 0; none crosses a cache line that it could be in."""
    record = np.zeros(1, dtype=dtype)
    for name, value in values.items():
        record[name] = value
    n_words = dtype.itemsize // 8
    room = np.empty((n + 1) * n_words, dtype=np.int64)
    start = -room.ctypes.data % dtype.itemsize // 8
    lines = room[start : start + n * n_words]
    lines.reshape(n, n_words)[:] = record.view(np.int64)  # as words: NumPy is slow at whole records
    return lines.view(dtype)


def _clients(workload: Workload, cuts_one_by_one: bool) -> dict[str, object]:
    scenario, n = workload.scenario, workload.n_clients
    before = {"session_ends_ns": st.NEVER_NS, "connection": -1, "last_server": -1, "attempted_ns": -ATTEMPT_GAP_NS}
    clients = _lines(n, st.CLIENT, before)
    clients["cohort"], clients["half_rtt_ns"] = workload.cohort, workload.rtt_ns // 2
    details = _lines(n, st.DETAIL, dict.fromkeys(("chosen", "session_server", "newest", "fault"), -1))
    connections = _lines(n + 64, st.CONNECTION, dict.fromkeys(("elder", "serial", "server"), -1))
    connections["client"][:n] = np.arange(n, dtype=np.int32)
    interval_ns = [0 if c.keepalive is None else to_ns(c.keepalive.interval) for c in scenario.clients]
    return {
        "clients": clients,
        "details": details,
        "connections": connections,
        "pollers": np.zeros(len(connections) if any(_polls(c) for c in scenario.clients) else 0, dtype=st.POLLER),
        "home": np.full(n, -1, dtype=np.int16),
        "online": np.zeros((1, (n + 63) // 64), dtype=np.uint64),
        "free_connection": -1, "n_connections": n, "n_opened": 0, "n_registered": 0,
        "broke_ns": np.zeros(n if any(c.resume_within for c in scenario.clients) else 0, dtype=np.int64),
        "cut_ns": np.zeros(n if cuts_one_by_one else 0, dtype=np.int64),
        "cohorts": _cohorts(scenario),
        "backoffs": np.array([cohort.backoff.params() for cohort in scenario.clients]),
        "ping_interval_ns": np.array(interval_ns, dtype=np.int64),
        "opened_ns": np.zeros(n if any(c.idles_out for c in scenario.clients) else 0, dtype=np.int64),
        **_samplers(scenario),
    }  # fmt: skip


def _polls(cohort: Cohort) -> bool:
    return TRANSPORTS[cohort.transport].request_per_message


def _cohorts(scenario: Scenario) -> np.ndarray:
    log = scenario.broker.has_log
    table = np.zeros(len(scenario.clients), dtype=st.COHORT)
    for row, cohort in zip(table, scenario.clients, strict=True):
        row["connect_timeout_ns"] = to_ns(cohort.connect_timeout)
        row["resume_within_ns"] = -1 if cohort.resume_within is None else to_ns(cohort.resume_within)
        if cohort.keepalive is not None:
            row["detect_interval_s"], row["detect_timeout_s"] = cohort.keepalive.interval, cohort.keepalive.timeout
        if cohort.idles_out:
            row["idle_ns"] = to_ns(cohort.network.idle_timeout)
            row["ping_ns"] = 0 if cohort.keepalive is None else to_ns(cohort.keepalive.interval)
        row["bandwidth"] = cohort.network.bandwidth or 0.0
        row["overflow"], row["overflow_limit_bytes"] = cohort.overflow.code, getattr(cohort.overflow, "limit_bytes", 0)
        row["round_trips"] = handshake_round_trips(cohort.tls, 0)
        row["n_requests"] = POLLING_HANDSHAKE_REQUESTS if cohort.polling_handshake else 1
        row["backoff"] = cohort.backoff.code
        row["polls"] = _polls(cohort)
        row["tls"], row["replays"] = cohort.tls, log and cohort.resumes
        row["has_session"] = cohort.session is not None
        row["draws_client"] = cohort.backoff.code == BACKOFFS["reconnecting_websocket"].code
    return table


def _samplers(scenario: Scenario) -> dict[str, np.ndarray]:
    """All distributions in one table, in the order of `drawing`."""
    broker, servers = scenario.broker, scenario.servers
    samplers = [
        servers.event_cost.sampler(),
        servers.handshake_cost.sampler(),
        broker.publisher_link.sampler(),
        broker.server_link.sampler() if broker.kind != "none" else _NOTHING,
        broker.publish.sampler() if broker.has_channels else _NOTHING,
        servers.connection_age.sampler() if servers.connection_age else _NOTHING,
    ]
    for cohort in scenario.clients:
        session = cohort.session
        samplers.append(cohort.network.jitter.sampler())
        samplers += [session.length.sampler(), session.absence.sampler()] if session else [_NOTHING, _NOTHING]
    return st.sampler_table(samplers)


def _tables(scenario: Scenario, workload: Workload) -> dict[str, object]:
    """Records that come and go, and what the broker knows."""
    n_servers, kind = scenario.servers.count, scenario.broker.kind
    per_room = scenario.broker.has_channels and scenario.broker.subscription == "per_room"
    words = ((workload.rooms.n_rooms if per_room else 1), ((n_servers + 63) // 64 if per_room else 1))
    n_stations = scenario.broker.n_threads
    n_batches = (n_servers + 1) * n_stations if kind == "kafka" else 1
    stations = np.zeros(n_stations, dtype=st.STATION)
    stations["op"] = -1
    return {
        "messages": np.zeros(1024, dtype=st.MESSAGE),
        "free_message": np.full(SIZES, -1, dtype=np.int64),
        "states": np.zeros(1 << 16, dtype=np.uint8),
        "live": np.full(workload.rooms.n_rooms, -1, dtype=np.int32),
        "jobs": np.zeros(1024, dtype=st.JOB),
        "parcels": np.zeros(1024, dtype=st.PARCEL),
        "ops": np.zeros(1024, dtype=st.OP),
        "lists": np.zeros(1024, dtype=np.int64),
        "free_lists": np.full(SIZES, -1, dtype=np.int64),
        **dict.fromkeys(("free_job", "free_parcel", "free_op"), -1),
        **dict.fromkeys(("n_messages", "n_states", "n_jobs", "n_parcels", "n_ops", "n_lists", "n_log"), 0),
        "stations": stations,
        "channels": np.zeros(words, dtype=np.uint64),
        "wanted": np.zeros(words, dtype=np.uint64),
        "n_subscriptions": 0,
        "log": np.zeros(1024, dtype=np.int32),
        "batch_first": np.full(n_batches, -1, dtype=np.int64),
        "batch_last": np.full(n_batches, -1, dtype=np.int64),
        "batch_filled": np.zeros(n_batches, dtype=np.int64),
        "batch_serial": np.zeros(n_batches, dtype=np.int64),
    }


def _agenda(n_clients: int) -> dict[str, object]:
    n_chunks = max(1024, n_clients // 6)  # for two events of every client; more are made when needed
    fields: dict[str, object] = {
        "chunks": np.zeros(n_chunks * agenda.CHUNK, dtype=st.EVENT),
        "chunk_next": np.zeros(n_chunks, dtype=np.int32),
        "run": np.zeros(1024, dtype=st.EVENT),
        "heap": np.zeros(1024, dtype=st.EVENT),
        "free_chunk": -1,
        "fine_shift": 0,
        "fine_index": -1,
        "coarse_index": -1,
    }
    for rung, n in (("fine", agenda.N_FINE), ("coarse", agenda.N_COARSE + 1)):
        for name, value in (("first", -1), ("last", -1), ("fill", 0)):
            fields[f"{rung}_{name}"] = np.full(n, value, dtype=np.int32)
    zeros = (
        "n_chunks", "fine_count", "fine_until_ns", "coarse_from_ns", "coarse_until_ns", "n_pending", "n_in_window",
        "n_inserted", "run_at", "run_n", "heap_n",
    )  # fmt: skip
    return fields | dict.fromkeys(zeros, 0)


def _records(scenario: Scenario, recorder: Recorder, cuts_one_by_one: bool) -> dict[str, object]:
    n_samples = to_ns(scenario.duration) // max(1, to_ns(scenario.sample_interval)) + 2
    arrays = (
        "counters", "deliveries", "histogram", "sum_ns", "min_ns", "max_ns", "batch_histogram", "batch_sum_ns",
        "batch_count", "batch_missing", "group_histogram", "group_sum_ns", "group_count",
    )  # fmt: skip
    return {
        **{name: getattr(recorder, name) for name in arrays},
        "totals": np.zeros((len(SERVER_TOTALS), scenario.servers.count), dtype=np.int64),
        "affected": np.zeros(max(16, len(scenario.faults)), dtype=np.int64),
        "recovered": np.zeros((16, 3 if cuts_one_by_one else 2), dtype=np.int64),
        "n_recovered": 0,
        "changes": np.zeros(n_samples + 1, dtype=np.int64),
        "change_sum_ns": np.zeros(n_samples + 1, dtype=np.int64),
        "ahead": np.zeros((len(COUNTERS), n_samples + 1), dtype=np.int64),
        "rows": np.zeros((1024 if recorder.level == "full" else 1, 13), dtype=np.int64),
        "n_rows": 0,
        "full_buffers": np.zeros((4, 3), dtype=np.int64),
        "n_full_buffers": 0,
    }
