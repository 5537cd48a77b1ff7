"""Fitting: the costs that a live run shows at its own load, so that a simulation of it is that of this machine.

A message costs several times more when it finds its process asleep than when it finds it busy, and processes wait for
each other's cores, so that costs measured at one load are wrong by as much at another. These are therefore read from
runs of the very scenario with other draws, in wall-clock time: what a process waits for a core is in them, and the
simulated host has a core for everybody.

Servers and the processes of clients are queues whose first customer is an exception (M/G/1 with exceptional first
service, Welch 1964). Each message of a run is sorted by whether its process was idle when it came:

- If so, the time until the process took it up is one draw of `wakeup`, or of a client's `receive_wakeup`.
- If not, the time from the end of the one before is a part of what it costs: of a fan-out's `event`, or of `receive`.
  A process that had to give its core away costs its one message so much, and those behind it wait.

A fan-out takes `event + k * send`, with `send` the distance of two sends of those that went on quickly; what others
took longer is their `fanout_wait`. All of them but `send` are kept as distributions with long tails. What is not
fitted is what a simulation is for: waiting, in the queues of servers and clients, and after a fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.units import NS_PER_S
from realtime_sim.workload import draw_workload

__all__ = ["Fit", "fit", "median_of"]

PROBABILITIES = (
    0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998,
    0.9999, 1.0,
)  # fmt: skip
"""Quantiles that distributions are kept as. Tails are long, and between two of them a straight line is drawn."""

SHORTEST = 0.01
"""Quantile of the ways to a server that is taken for the way alone."""

QUICK = 0.05
"""Quantile of how quickly fan-outs send that is taken for what a send costs alone."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Costs at the load of one run; distributions are quantiles at `PROBABILITIES`.

    Parameters
    ----------
    send_s, way_s : float
        One send, and the shortest way of a message from the publisher to a server that is awake, seconds.
    event_s, fanout_wait_s, wakeup_s : tuple of float
        What a fan-out takes before it sends, what it waits while it sends, and until a server that was asleep begins
        one, seconds.
    receive_s, receive_wakeup_s : tuple of float
        Of a client process, one message, and what it takes longer where it finds the process asleep, seconds.
    lateness_s : tuple of float
        How late the publisher was, seconds.
    handshake_s, connect_s : float
        CPU of a server, and of a client process, for one connection, seconds.
    teardown_s : float
        From the death of a server until its clients heard of it, seconds; 0 where none was killed.
    http_request_s : float or None
        One poll, seconds; None where nobody polls.
    """

    send_s: float
    way_s: float
    event_s: tuple[float, ...]
    fanout_wait_s: tuple[float, ...]
    wakeup_s: tuple[float, ...]
    receive_s: tuple[float, ...]
    receive_wakeup_s: tuple[float, ...]
    lateness_s: tuple[float, ...]
    handshake_s: float = 0.0
    connect_s: float = 0.0
    teardown_s: float = 0.0
    http_request_s: float | None = None

    def corrected(self, to_server: float, to_client: float) -> Fit:
        """The same with what servers, and what clients, take longer to begin multiplied by so much."""

        def times(factor: float, values_s: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(factor * value_s for value_s in values_s)

        return dataclasses.replace(
            self,
            wakeup_s=times(to_server, self.wakeup_s),
            receive_s=times(to_client, self.receive_s),
            receive_wakeup_s=times(to_client, self.receive_wakeup_s),
        )

    def apply(self, scenario: Scenario, client_processes: int = 1, **costs: float) -> Scenario:
        """The scenario as this machine runs it at that load.

        Parameters
        ----------
        scenario : Scenario
            What was run.
        client_processes : int
            Processes that play its clients.
        **costs : float
            Further costs of servers, by their names in a scenario.
        """
        changes: dict[str, Any] = {
            "servers.costs.send": self.send_s,
            "servers.costs.event": _distribution(self.event_s),
            "servers.costs.wakeup": 0.0,
            "servers.costs.handshake": self.handshake_s,
            "servers.costs.send_per_byte": 0.0,
            "host": {
                "cores": 1024,
                "client_processes": client_processes,
                "wakeup": _distribution(self.wakeup_s),
                "fanout_wait": _distribution(self.fanout_wait_s),
                "receive": _distribution(self.receive_s),
                "receive_wakeup": _distribution(self.receive_wakeup_s),
                "connect": self.connect_s,
                "teardown": self.teardown_s,
                "slice": 10**6,
            },
        }
        if self.http_request_s is not None:
            changes["servers.costs.http_request"] = self.http_request_s
        changes |= {f"servers.costs.{name}": value for name, value in costs.items()}
        if scenario.broker.kind == "none":
            changes["broker.publisher_link"] = _distribution(tuple(late_s + self.way_s for late_s in self.lateness_s))
        else:
            changes["broker.publisher_link"] = _distribution(self.lateness_s)
            changes["broker.server_link"] = self.way_s
        return scenario.replace(**changes)


def median_of(fits: Sequence[Fit]) -> Fit:
    """The median of several, field by field and quantile by quantile: of three, one may have been disturbed."""
    found = {}
    for field in dataclasses.fields(Fit):
        values = [getattr(one, field.name) for one in fits]
        found[field.name] = None if None in values else np.median(values, axis=0).tolist()
    return Fit(**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()})


def _distribution(values_s: tuple[float, ...]) -> Any:
    """Quantiles as a scenario writes them."""
    if values_s[0] == values_s[-1]:
        return values_s[0]
    return {"quantiles": {str(p): value for p, value in zip(PROBABILITIES, values_s, strict=True)}}


def fit(results: Results) -> Fit:
    """Costs from a live run that kept every delivery.

    Parameters
    ----------
    results : Results
        Of `live.run(..., record="full")`.

    Raises
    ------
    ScenarioError
        If it is something else, or nothing was delivered.
    """
    if results.engine != "live" or not results.trace.rows:
        rule = "must be a live run that kept every delivery"
        raise ScenarioError(Problem("results", rule, results.engine, "use live.run(..., record='full')"))
    rows = _deliveries(results)
    if not len(rows["message"]):
        raise ScenarioError(Problem("results", "must have deliveries", 0, "run for longer, or with more traffic"))
    fanouts = _fanouts(rows)
    send_s, event_ns, wait_ns = _service(fanouts)
    way_ns, waking_ns, starting_ns = _starts(fanouts)
    receive_ns, receive_wakeup_ns = _reception(results, rows)
    connecting_s = results.conditions["connecting_s"]
    _, first = np.unique(rows["message"], return_index=True)
    late_ns = (rows["at_broker_ns"] - rows["published_ns"])[first]
    return Fit(
        send_s, way_ns / NS_PER_S, _quantiles(event_ns + starting_ns), _quantiles(wait_ns), _quantiles(waking_ns),
        _quantiles(receive_ns), _quantiles(receive_wakeup_ns), _quantiles(late_ns),
        connecting_s["servers"], connecting_s["clients"], _teardown_s(results),
        _poll_s(results, fanouts, send_s, event_ns + starting_ns + wait_ns),
    )  # fmt: skip


def _quantiles(values_ns: np.ndarray) -> tuple[float, ...]:
    """Quantiles in seconds, whole microseconds, never falling; 0 where there are no values."""
    if not len(values_ns):
        return (0.0,) * len(PROBABILITIES)
    found = np.maximum(np.quantile(values_ns, PROBABILITIES), 0.0) / NS_PER_S
    return tuple(np.maximum.accumulate(np.round(found, 6)).tolist())


def _deliveries(results: Results) -> dict[str, np.ndarray]:
    """What was delivered, and sent by a fan-out: a catch-up has another way."""
    rows = results.trace.rows
    warm_ns = results.trace.scenario.warmup_s * NS_PER_S
    streams = np.array([cohort.transport != "long_polling" for cohort in results.scenario.clients])
    cohort = np.repeat(np.arange(len(streams)), [c.count for c in results.scenario.clients])[rows["client"]]
    caught_up = streams[cohort] & (rows["released_ns"] > rows["sent_ns"])
    good = (rows["outcome"] == 0) & (rows["server"] >= 0) & (rows["published_ns"] >= warm_ns) & ~caught_up
    return {name: column[good] for name, column in rows.items()}


def _fanouts(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each message at each server: server, how many copies, when it was handed to the broker, started, and when the
    first and the last copy left; in the order of their starts."""
    key = rows["message"] * (int(rows["server"].max()) + 1) + rows["server"]
    order = np.lexsort((rows["left_server_ns"], key))
    key, left = key[order], rows["left_server_ns"][order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    last = np.append(first[1:], len(key)) - 1
    found = {
        "server": rows["server"][order][first], "n": last - first + 1, "handed_ns": rows["at_broker_ns"][order][first],
        "started_ns": rows["started_ns"][order][first], "first_ns": left[first], "last_ns": left[last],
    }  # fmt: skip
    by_time = np.argsort(found["started_ns"], kind="stable")
    return {name: column[by_time] for name, column in found.items()}


def _service(fanouts: Mapping[str, np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
    """Seconds of one send, and for each fan-out nanoseconds before its sends, and those it waited while it sent."""
    n, begin_ns = fanouts["n"], fanouts["first_ns"] - fanouts["started_ns"]
    spread_ns, several = fanouts["last_ns"] - fanouts["first_ns"], n > 1
    each_ns = spread_ns[several] / (n[several] - 1)
    send_ns = float(np.quantile(each_ns, QUICK) if several.any() else np.median(begin_ns) / 2)
    wait_ns = np.maximum(spread_ns - send_ns * (n - 1), 0.0)
    return send_ns / NS_PER_S, np.maximum(begin_ns - send_ns - wait_ns / n, 0.0), wait_ns


def _starts(fanouts: Mapping[str, np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
    """The shortest way from the broker, how long servers that were asleep took to begin, and for each fan-out how long
    its server took to begin although it was awake; nanoseconds."""
    handed, started, ended, server = (fanouts[name] for name in ("handed_ns", "started_ns", "last_ns", "server"))
    way_ns = float(np.quantile(started - handed, SHORTEST))
    waking, starting = [], np.zeros(len(started))
    for number in np.unique(server):
        mine = np.flatnonzero(server == number)
        there = handed[mine] + way_ns
        free = np.append(-np.inf, np.maximum.accumulate(ended[mine])[:-1])
        took = np.maximum(started[mine] - np.maximum(there, free), 0.0)
        asleep = free < there
        waking.append(took[asleep])
        starting[mine] = np.where(asleep, 0.0, took)
    return way_ns, np.concatenate(waking), starting


def _reception(results: Results, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Nanoseconds that client processes took for a message behind another, and longer for one that woke them."""
    workload = draw_workload(results.scenario.replace(traffic=[], services=[], events=[]))
    n_processes = sum(one["name"].startswith("clients") for one in results.conditions["processes"])
    client, left = rows["client"], rows["left_server_ns"]
    received = rows["received_ns"] - workload.rtt_ns[client] // 2
    behind, woken = [np.zeros(0)], [np.zeros(0)]
    for process in range(n_processes):
        mine = np.flatnonzero(client % n_processes == process)
        mine = mine[np.lexsort((client[mine], received[mine]))]
        came = np.flatnonzero(np.diff(received[mine], prepend=-1) > 0)  # answers to polls have several messages
        mine = mine[came]
        free = np.append(-np.inf, received[mine][:-1])
        took = np.maximum(received[mine] - np.maximum(left[mine], free), 0.0)
        asleep = free < left[mine]
        behind.append(took[~asleep])
        woken.append(took[asleep])
    receive_ns, wakeup_ns = np.concatenate(behind), np.concatenate(woken)
    if not len(receive_ns):
        return wakeup_ns[:0], wakeup_ns
    return receive_ns, np.maximum(wakeup_ns - np.median(receive_ns), 0.0)


def _teardown_s(results: Results) -> float:
    """Mean time from the death of a server to the loss of a client's connection, seconds."""
    trace, found_ns = results.trace, []
    if any(getattr(fault, "notice", "rst") == "silent" for fault in results.scenario.faults):
        return 0.0  # clients hear of those deaths by their pings
    for number, (kind, at_ns) in enumerate(trace.disturbances):
        if kind == "kill_server" and len(trace.recovery[number]):
            found_ns.append(trace.recovery[number].mean() - trace.away[number].mean() - at_ns)
    return float(np.mean(found_ns)) / NS_PER_S if found_ns else 0.0


def _poll_s(results: Results, fanouts: Mapping[str, np.ndarray], send_s: float, events_ns: np.ndarray) -> float | None:
    """Seconds of a server for one poll: what is left of its time, waits for a core included, when its fan-outs are
    done."""
    if any(cohort.transport != "long_polling" for cohort in results.scenario.clients):
        return None
    shares = [
        one["cpu_ratio"] + one["wait_ratio"] for one in results.conditions["processes"] if "server" in one["name"]
    ]
    measured_s = results.scenario.duration - results.scenario.warmup_s
    fanouts_s = (send_s * fanouts["n"].sum() + events_ns.sum() / NS_PER_S) / measured_s
    polls_per_s = fanouts["n"].sum() / measured_s  # nearly each message has an answer of its own
    return max(0.0, float((sum(shares) - fanouts_s) / polls_per_s))
