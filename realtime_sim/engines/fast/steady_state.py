"""The state of a steady run as flat arrays: everything its compiled functions read or write.

A *place* is a client's number in the order of (server, client), so that a server's clients stand side by side.
"""

from __future__ import annotations

import numpy as np
from numba import types

from realtime_sim.draws import Sampler
from realtime_sim.engines.fast.memory import Block, BlockType, array_of
from realtime_sim.engines.fast.state import SAMPLER, State, sampler_table
from realtime_sim.policies import balancing
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.trace import HOPS, N_GROUPS
from realtime_sim.units import to_ns
from realtime_sim.wire import wire_bytes
from realtime_sim.workload import Workload

__all__ = ["STEADY", "SteadyState", "make_steady_state"]

NEVER_NS = 2**62

JOBS = 8192
"""Jobs that go through the stages together: what is known of them fits the second cache, and a call costs little."""

BLOCK = 1024
"""Copies that are worked on together: what is known of them fits the processor's first cache."""

PUBLISHER_TO_BROKER, BROKER, BROKER_TO_SERVER, SERVER_WAIT, FANOUT, CLIENT_AWAY, EGRESS, CLIENT_NETWORK = range(8)
TOTAL = len(HOPS)

EVENT_COST, PUBLISHER_LINK, SERVER_LINK, PUBLISH_COST, JITTER = range(5)
"""Rows of `samplers`; cohort c's jitter is row JITTER + c."""

NUMBERS = [
    "seed", "end_ns", "step_ns", "n_servers", "n_cohorts", "limit", "balancer", "copy_ns", "wakeup_ns", "next",
    "batch", "last_ns", "broker_free_ns", "n_late", "seen_from_ns", "seen_until_ns", "seen_after", "batch_from_ns",
    "batch_until_ns",
    "n_arrived", "n_jobs", "next_job",
]  # fmt: skip
FRACTIONS = ["egress", "ping_s"]
FLAGS = ["has_broker", "per_room", "has_groups", "may_overtake", "out_of_order"]
ARRAYS = {
    ("i8", 1): [
        "batch_starts_ns", "send_ns", "ping_interval_ns", "member_offsets", "room_offsets", "publish_ns",
        "load", "server_first", "cohort_ends",
        "rtt_ns", "half_ns", "last_arrival_ns", "link_free_ns", "last_id", "egress_free_ns", "next_ping_ns", "jobs",
        "sends", "busy_ns", "link_busy_ns", "changes", "change_sum_ns", "expected", "broker_queue",
        "broker_busy_ns", "delivered", "batch_count", "group_count", "near_half_ns", "left_ns", "arrivals_ns",
        "latencies", "buckets", "group_sizes", "group_sums", "n_kept", "arrived_ns", "job_id", "job_server", "job_low",
        "job_high", "job_left_broker_ns", "job_arrived_ns", "job_cost_ns", "job_started_ns", "job_sending_ns",
        "job_number", "job_traffic", "passed_on", "jitter_ns",
    ],
    ("i8", 2): [
        "loops", "transmission_ns", "cohort_sizes", "ping_tick", "queued", "running", "running_sum_ns",
        "link_booked_ns", "late", "sum_ns", "min_ns", "max_ns", "batch_sum_ns", "group_sum_ns",
    ],
    ("i4", 1): [
        "cohort", "client", "members", "rooms", "near_client", "publish_traffic", "publish_number", "publish_room",
    ],
    ("i4", 2): ["kept_client"],
    ("?", 1): ["healthy", "varies"],
    (SAMPLER, 1): ["samplers"],
    ("f8", 1): ["table_x", "table_y", "uniforms", "job_uniforms"],
    ("i8", 3): ["histogram", "kept"],
    ("i4", 3): ["batch_histogram", "group_histogram"],
}  # fmt: skip
"""Element and number of axes, and the arrays that are so."""


class SteadyState(Block):
    """One steady run in arrays; `make_steady_state` builds it. Its type's name changes with the source, as State's."""

    kind = BlockType(
        f"Steady{State.kind.name}",
        {
            **dict.fromkeys(NUMBERS, types.int64),
            **dict.fromkeys(FRACTIONS, types.float64),
            **dict.fromkeys(FLAGS, types.boolean),
            **{name: array_of(dtype, ndim) for (dtype, ndim), names in ARRAYS.items() for name in names},
        },
    )

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        self.values = values


STEADY = SteadyState.kind
"""Numba's type of `s` in every compiled function of a steady run."""


def make_steady_state(workload: Workload, recorder: Recorder) -> SteadyState:
    """The state before the first event. Arrays of the recorder are filled in place."""
    scenario = workload.scenario
    values = {
        **_settings(scenario, recorder),
        **_inputs(workload),
        **_clients(workload),
        **_servers(scenario),
        **_samplers(scenario),
        **_series(scenario),
        **_records(scenario, recorder),
        **_blocks(len(scenario.clients)),
    }
    return SteadyState(**values)


def _settings(scenario: Scenario, recorder: Recorder) -> dict[str, object]:
    servers, costs, broker = scenario.servers, scenario.servers.resolved_costs, scenario.broker
    step_ns = max(1, to_ns(scenario.sample_interval))
    return {
        "seed": scenario.seed,
        "end_ns": to_ns(scenario.duration),
        "step_ns": step_ns,
        "n_servers": servers.count,
        "n_cohorts": len(scenario.clients),
        "limit": -1 if servers.connection_limit is None else servers.connection_limit,
        "balancer": balancing.REGISTRY[scenario.balancer.policy].code,
        "copy_ns": to_ns(getattr(broker, "copy_cost", 0.0)),
        "wakeup_ns": to_ns(costs.wakeup_s),
        "egress": float(servers.egress or 0.0),
        "ping_s": float(costs.ping_s),
        "has_broker": broker.kind != "none",
        "per_room": getattr(broker, "subscription", "") == "per_room",
        "has_groups": len(recorder.group_count) > 0,
        "may_overtake": _may_overtake(scenario),
        "out_of_order": False,
        "batch_starts_ns": recorder.batch_starts_ns,
        **dict.fromkeys(("next", "last_ns", "broker_free_ns", "n_late", "n_arrived", "n_jobs", "next_job"), 0),
        **dict.fromkeys(("seen_from_ns", "seen_until_ns", "seen_after"), 0),
        "batch": -1,
        **dict.fromkeys(("batch_from_ns", "batch_until_ns"), 0),
    }


def _may_overtake(scenario: Scenario) -> bool:
    """Whether a client's copy could be there before an earlier one, if TCP did not keep them in order."""
    drawn = any(cohort.network.jitter.sampler().kind != 0 for cohort in scenario.clients)
    return drawn or (scenario.servers.workers > 1 and scenario.servers.egress is None)


def _inputs(workload: Workload) -> dict[str, object]:
    scenario, rooms, publishes = workload.scenario, workload.rooms, workload.publishes
    costs = scenario.servers.resolved_costs
    sizes = [[wire_bytes(c.transport, t.payload, c.tls) for c in scenario.clients] for t in scenario.traffic]
    n_bytes = np.array(sizes, dtype=np.int64).reshape(len(sizes), len(scenario.clients))
    egress = scenario.servers.egress
    n_elsewhere = int(rooms.member_offsets[-1]) - workload.n_clients
    return {
        "send_ns": np.array([to_ns(costs.send_to_one_s(t.payload, False)) for t in scenario.traffic], dtype=np.int64),
        "transmission_ns": to_ns(n_bytes / egress) if egress else np.zeros_like(n_bytes),
        "member_offsets": rooms.member_offsets,
        "room_offsets": rooms.room_offsets if n_elsewhere else np.zeros(1, dtype=np.int64),
        "rooms": rooms.rooms if n_elsewhere else np.zeros(0, dtype=np.int32),
        "members": np.zeros(n_elsewhere, dtype=np.int32),
        "publish_ns": publishes.time_ns,
        "publish_traffic": publishes.traffic,
        "publish_number": publishes.number,
        "publish_room": publishes.room,
    }


def _clients(workload: Workload) -> dict[str, object]:
    scenario, n = workload.scenario, workload.n_clients
    return {
        "cohort": workload.cohort.astype(np.int32, copy=False),
        "cohort_ends": np.cumsum([cohort.count for cohort in scenario.clients]),
        "rtt_ns": workload.rtt_ns,
        "client": np.zeros(n, dtype=np.int32),
        "half_ns": np.zeros(n, dtype=np.int64),
        "jitter_ns": np.array([to_ns(c.network.jitter.mean_s) for c in scenario.clients]),
        "last_arrival_ns": np.zeros(n if _may_overtake(scenario) else 0, dtype=np.int64),
    }


def _servers(scenario: Scenario) -> dict[str, object]:
    n, n_cohorts = scenario.servers.count, len(scenario.clients)
    pinged = [c.keepalive is not None and scenario.servers.resolved_costs.ping_s > 0 for c in scenario.clients]
    interval_ns = [to_ns(c.keepalive.interval) if p else 0 for c, p in zip(scenario.clients, pinged, strict=True)]
    ones = ("link_free_ns", "egress_free_ns", "jobs", "sends", "busy_ns", "link_busy_ns", "load")
    return {
        **{name: np.zeros(n, dtype=np.int64) for name in ones},
        "server_first": np.zeros(n + 1, dtype=np.int64),
        "healthy": np.ones(n, dtype=np.bool_),
        "last_id": np.full(n, -1, dtype=np.int64),
        "loops": np.full((n, scenario.servers.workers), -1, dtype=np.int64),
        "cohort_sizes": np.zeros((n, n_cohorts), dtype=np.int64),
        "ping_interval_ns": np.array(interval_ns, dtype=np.int64),
        "ping_tick": np.ones((n, n_cohorts), dtype=np.int64),
        "next_ping_ns": np.full(n, NEVER_NS, dtype=np.int64),
        "late": np.zeros((64, 3), dtype=np.int64),
        **{name: np.zeros(max(n, JOBS), dtype=np.int64) for name in ARRAYS["i8", 1] if name.startswith("job_")},
        "job_uniforms": np.zeros(max(n, JOBS)),
        "passed_on": np.zeros(max(n, JOBS), dtype=np.int64),
    }


def _samplers(scenario: Scenario) -> dict[str, np.ndarray]:
    """All distributions in one table."""
    broker = scenario.broker
    nothing = Sampler(0, 0.0, 0.0, np.zeros(1), np.zeros(1))
    samplers = [
        scenario.servers.event_cost.sampler(),
        broker.publisher_link.sampler(),
        broker.server_link.sampler() if broker.kind != "none" else nothing,
        broker.publish.sampler() if broker.kind != "none" else nothing,
        *(cohort.network.jitter.sampler() for cohort in scenario.clients),
    ]
    return sampler_table(samplers)


def _series(scenario: Scenario) -> dict[str, np.ndarray]:
    """What changed between two samples: column i is what sample i is the first to see, the last one never seen."""
    n = to_ns(scenario.duration) // max(1, to_ns(scenario.sample_interval)) + 3
    wholes = ("changes", "change_sum_ns", "expected", "broker_queue", "broker_busy_ns")
    parts = ("queued", "running", "running_sum_ns", "link_booked_ns")
    return {
        **{name: np.zeros(n, dtype=np.int64) for name in wholes},
        **{name: np.zeros((scenario.servers.count, n), dtype=np.int64) for name in parts},
    }


def _records(scenario: Scenario, recorder: Recorder) -> dict[str, np.ndarray]:
    arrays = (
        "histogram", "sum_ns", "min_ns", "max_ns", "batch_histogram", "batch_sum_ns", "batch_count",
        "group_histogram", "group_sum_ns", "group_count",
    )  # fmt: skip
    return {
        **{name: getattr(recorder, name) for name in arrays},
        "delivered": np.zeros(len(scenario.clients), dtype=np.int64),
        "varies": _varying_hops(scenario),
    }


def _blocks(n_cohorts: int) -> dict[str, np.ndarray]:
    """Where a block of copies is worked on, and where single copies wait until they make a block."""
    names = ("near_half_ns", "left_ns", "arrivals_ns", "latencies", "buckets", "arrived_ns")
    return {
        **{name: np.zeros(BLOCK, dtype=np.int64) for name in names},
        "near_client": np.zeros(BLOCK, dtype=np.int32),
        "uniforms": np.zeros(BLOCK),
        "group_sizes": np.zeros(N_GROUPS, dtype=np.int64),
        "group_sums": np.zeros(N_GROUPS, dtype=np.int64),
        "kept": np.zeros((n_cohorts, TOTAL + 1, BLOCK), dtype=np.int64),
        "kept_client": np.zeros((n_cohorts, BLOCK), dtype=np.int32),
        "n_kept": np.zeros(n_cohorts, dtype=np.int64),
    }


def _varying_hops(scenario: Scenario) -> np.ndarray:
    """Which hops are not the same for every delivery; the others are filed once, at the end."""
    varies = np.ones(TOTAL + 1, dtype=np.bool_)
    varies[PUBLISHER_TO_BROKER] = scenario.broker.publisher_link.sampler().kind != 0
    varies[BROKER] = varies[BROKER_TO_SERVER] = scenario.broker.kind != "none"
    varies[CLIENT_AWAY] = False
    varies[EGRESS] = scenario.servers.egress is not None
    network = scenario.clients[0].network
    alike = len(scenario.clients) == 1 and network.rtt.sampler().kind == 0
    varies[CLIENT_NETWORK] = not alike or _may_overtake(scenario)
    return varies
