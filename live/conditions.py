"""Under what conditions a live run was measured, and whether it measured what it should.

A run says nothing about servers and broker if the clients or the publisher were busy all the time, or if others used
the machine meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from live.accounting import Usage
from realtime_sim.units import NS_PER_S

if TYPE_CHECKING:
    from live.running import LiveRun

__all__ = ["CLIENT_LIMIT", "FOREIGN_LIMIT_CORES", "LATE_LIMIT_S", "UNKNOWN", "conditions_of", "reasons_of"]

CLIENT_LIMIT = 0.5
"""Share of a core from which on clients add their own queueing to what is measured."""

FOREIGN_LIMIT_CORES = 0.2
"""Cores that others may use: a busy core beside doubles the 99th percentile."""

LATE_LIMIT_S = 0.05
"""How late the publisher may be with one message in a hundred."""


UNKNOWN = MappingProxyType(
    {
        "native": (),
        "socketio": (
            "hops: python-socketio does not show when it sends a copy, so that everything from a server's fan-out to "
            "the client is in the hop fanout",
            "queue_length: messages wait in the library, out of sight",
        ),
    }
)
"""What cannot be measured, by the stack of the servers."""


def conditions_of(run: LiveRun, memory: dict[int, int]) -> dict[str, Any]:
    """The conditions of a run that is over, and the reasons why it is not valid.

    Parameters
    ----------
    run : LiveRun
        With its processes.
    memory : dict of int to int
        Memory of each server at the end, bytes.

    Returns
    -------
    dict
        `valid`, `reasons`, what is `unknown` of such a run, names of broker and balancer, cores of the machine and
        those that others used, lateness of the publisher, CPU of servers and of clients for one connection at the
        start, and for each process the share of a core it used and of the time it waited for one.
    """
    span_ns = max(run.used.total_ns - run.machine.total_ns, 1) / (os.cpu_count() or 1)
    processes = [(f"server {one.number}", one.account(), memory[one.number]) for one in run.fleet.instances]
    processes += [
        (f"clients {index}", one.account(), one.account().memory_bytes) for index, one in enumerate(run.crowd.processes)
    ]
    if run.publisher is not None:
        publisher = run.publisher.account()
        processes.append(("publisher", publisher, publisher.memory_bytes))
    busy_ns = run.used.busy_ns - run.machine.busy_ns
    own_ns = sum(usage.run_ns for _, usage, _ in processes) + run.broker_ns + run.own_ns
    foreign = max(0.0, (busy_ns - own_ns) / span_ns)
    late_s = lateness_s(run)
    reasons = list(reasons_of(processes, foreign if run.has_all else 0.0, late_s, span_ns))
    if unwritten := sum(one.page.get("unwritten") for one in run.fleet.instances):
        reasons.append(
            f"servers sent {unwritten:_} copies or messages more than their logbooks hold (none: run for shorter)"
        )
    return {
        "valid": not reasons,
        "reasons": reasons,
        "unknown": list(run.unknown),
        **run.about,
        "client_library": run.options.client_library,
        "host_cores": os.cpu_count(),
        "foreign_cores": round(foreign, 3),
        "publisher_late_p50_s": float(np.quantile(late_s, 0.5)) if len(late_s) else 0.0,
        "publisher_late_p99_s": float(np.quantile(late_s, 0.99)) if len(late_s) else 0.0,
        "connecting_s": {who: ns / NS_PER_S / run.workload.n_clients for who, ns in run.connecting_ns.items()},
        "processes": [_plain(name, usage, memory_bytes, span_ns) for name, usage, memory_bytes in processes],
    }


def _plain(name: str, usage: Usage, memory_bytes: int, span_ns: float) -> dict[str, Any]:
    return {
        "name": name,
        "cpu_ratio": round(usage.run_ns / span_ns, 4),
        "wait_ratio": round(usage.wait_ns / span_ns, 4),
        "memory_bytes": memory_bytes,
    }


def reasons_of(
    processes: Sequence[tuple[str, Usage, int]], foreign_cores: float, late_s: np.ndarray, span_ns: float
) -> Iterator[str]:
    """Why a run is not valid: what was found, what it may be at most, and what to do.

    Parameters
    ----------
    processes : sequence of (str, Usage, int)
        Name, CPU and memory of each process.
    foreign_cores : float
        Cores that others used.
    late_s : ndarray of float
        How late the publisher was with each message, seconds.
    span_ns : float
        How long the run was, nanoseconds.

    Examples
    --------
    >>> print(*reasons_of([], 0.53, np.zeros(1), 1e9))
    others used 0.53 cores of this machine meanwhile (at most 0.2: end what else runs here, and repeat the run)
    """
    for name, usage, _ in processes:
        busy = usage.run_ns / span_ns
        if name.startswith("clients") and busy > CLIENT_LIMIT:
            yield (
                f"{name} used {busy:.0%} of a core and are part of what was measured (at most {CLIENT_LIMIT:.0%}: use "
                "more client processes, or less traffic)"
            )
    if foreign_cores > FOREIGN_LIMIT_CORES:
        yield (
            f"others used {foreign_cores:.2f} cores of this machine meanwhile (at most {FOREIGN_LIMIT_CORES:g}: end "
            "what else runs here, and repeat the run)"
        )
    if len(late_s) and (p99_s := float(np.quantile(late_s, 0.99))) > LATE_LIMIT_S:
        yield (
            f"the publisher was {p99_s * 1e3:.0f} ms late with 1 in 100 messages (at most {LATE_LIMIT_S * 1e3:.0f}: "
            "lower the traffic, or use a machine with more cores)"
        )


def lateness_s(run: LiveRun) -> np.ndarray:
    """How late each message was handed to the broker, seconds."""
    if run.publisher is None:
        return np.zeros(0)
    book = run.publisher.book.read()
    due_ns = run.workload.publishes.time_ns[book["message"]] + run.begun_ns
    return (book["sent_ns"] - due_ns) / NS_PER_S
