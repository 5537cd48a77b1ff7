"""Fitting: the costs that a live run shows at its own load, so that a simulation of it is that of this machine.

A message costs several times more when it finds its process asleep than when it finds it busy, and processes wait for
each other's cores, so that costs measured at one load are wrong by as much at another. These are therefore read from a
run of the very scenario with other draws, in wall-clock time: what a process waits for a core is in them, and the
simulated host has a core for everybody.

- A fan-out takes `event + k * send`: `send` is the median distance of two sends, `event` what is left of each fan-out,
  as a distribution. A message that finds its server idle starts after the `way`, also a distribution.
- A client process is a queue of its own: `receive` for each message, and `receive_wakeup` more for one that finds it
  asleep, such that it is as far behind the sends as it was (M/G/1 with exceptional first service, Welch 1964).

What is not fitted is what a simulation is for: waiting, in the queues of servers and clients, and after a fault.
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

__all__ = ["Fit", "fit", "mean_of"]

PROBABILITIES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Quantiles that distributions are kept as."""

LAGS = (0.5, 0.9, 0.95, 0.99)
"""Quantiles of how far clients are behind the sends, which a fit must meet."""

_RECEIVE_US = tuple(range(4, 42, 2))
_WAKEUP_US = (0, 20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000, 1300, 1600, 2000, 2500, 3000, 4000, 5000)


@dataclass(frozen=True, slots=True)
class Fit:
    """Costs at the load of one run.

    Parameters
    ----------
    send_s : float
        One send, seconds.
    event_s, way_s, lateness_s : tuple of float
        Quantiles at `PROBABILITIES`, seconds: what is left of a fan-out, the way of a message from publisher to the
        start of its fan-out at an idle server, and how late the publisher was.
    receive_s, receive_wakeup_s : float
        Of a client process, seconds.
    """

    send_s: float
    event_s: tuple[float, ...]
    way_s: tuple[float, ...]
    lateness_s: tuple[float, ...]
    receive_s: float
    receive_wakeup_s: float

    def corrected(self, way_s: float, event_s: float, clients: float) -> Fit:
        """The same with so much added to every way and every event, and clients that take so many times as long."""
        return dataclasses.replace(
            self,
            way_s=tuple(max(0.0, value + way_s) for value in self.way_s),
            event_s=tuple(max(0.0, value + event_s) for value in self.event_s),
            receive_s=self.receive_s * clients,
            receive_wakeup_s=self.receive_wakeup_s * clients,
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
            "servers.costs.send_per_byte": 0.0,
            "host": {
                "cores": 1024,
                "client_processes": client_processes,
                "receive": self.receive_s,
                "receive_wakeup": self.receive_wakeup_s,
                "slice": 10**6,
            },
        }
        changes |= {f"servers.costs.{name}": value for name, value in costs.items()}
        if scenario.broker.kind == "none":
            changes["broker.publisher_link"] = _distribution(_sum(self.lateness_s, self.way_s))
        else:
            changes["broker.publisher_link"] = _distribution(self.lateness_s)
            changes["broker.server_link"] = _distribution(self.way_s)
        return scenario.replace(**changes)


def mean_of(fits: Sequence[Fit]) -> Fit:
    """The mean of several, field by field."""
    rows = zip(*(dataclasses.astuple(one) for one in fits), strict=True)
    return Fit(
        *(tuple(np.mean(row, axis=0).tolist()) if isinstance(row[0], tuple) else float(np.mean(row)) for row in rows)
    )


def _sum(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


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
    send_s, event_s = _service(fanouts)
    receive_s, wakeup_s = _reception(results, rows)
    _, first = np.unique(rows["message"], return_index=True)
    late_ns = (rows["at_broker_ns"] - rows["published_ns"])[first]
    return Fit(send_s, _quantiles(event_s * NS_PER_S), _quantiles(_ways_ns(fanouts)), _quantiles(late_ns),
               receive_s, wakeup_s)  # fmt: skip


def _quantiles(values_ns: np.ndarray) -> tuple[float, ...]:
    """Quantiles in seconds, whole microseconds, never falling."""
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


def _service(fanouts: Mapping[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds of one send, and for each fan-out what is left of it, so that its copies leave as late on average."""
    n = fanouts["n"]
    begin_s = (fanouts["first_ns"] - fanouts["started_ns"]) / NS_PER_S
    spread_s = (fanouts["last_ns"] - fanouts["first_ns"]) / NS_PER_S
    several = n > 1
    send_s = float(np.median(spread_s[several] / (n[several] - 1))) if several.any() else float(np.median(begin_s)) / 2
    return send_s, np.maximum(begin_s + spread_s / 2 - send_s * (n + 1) / 2, 0.0)


def _ways_ns(fanouts: Mapping[str, np.ndarray]) -> np.ndarray:
    """From the broker to the start, of messages that found their server idle."""
    found = []
    for server in np.unique(fanouts["server"]):
        mine = fanouts["server"] == server
        handed, started, ended = (fanouts[name][mine] for name in ("handed_ns", "started_ns", "last_ns"))
        idle = np.append(True, ended[:-1] <= handed[1:])
        found.append((started - handed)[idle if idle.sum() > 20 else slice(None)])
    return np.concatenate(found)


def _reception(results: Results, rows: dict[str, np.ndarray]) -> tuple[float, float]:
    """`receive` and `receive_wakeup` with which a queue is behind the sends as the client processes were."""
    workload = draw_workload(results.scenario.replace(traffic=[], services=[], events=[]))
    n_processes = sum(one["name"].startswith("clients") for one in results.conditions["processes"])
    left, process = rows["left_server_ns"], rows["client"] % n_processes
    lag = np.maximum(rows["received_ns"] - workload.rtt_ns[rows["client"]] // 2 - left, 0)
    chosen = process == 0
    order = np.argsort(left[chosen], kind="stable")[:60_000]
    sent, target = left[chosen][order].tolist(), np.quantile(lag[chosen][order], LAGS)
    best, found = np.inf, (0.0, 0.0)
    for receive_us in _RECEIVE_US:
        for wakeup_us in _WAKEUP_US:
            behind = np.quantile(_lags(sent, receive_us * 1_000, wakeup_us * 1_000), LAGS)
            miss = float((((behind - target) / (target + 50_000)) ** 2 * (4, 1, 2, 1)).sum())
            if miss < best:
                best, found = miss, (receive_us / 1e6, wakeup_us / 1e6)
    return found


def _lags(sent_ns: list[int], receive_ns: int, wakeup_ns: int) -> np.ndarray:
    """How far behind each send a queue is that takes so long, and longer when it is empty (Lindley's recursion)."""
    free, behind = -1, []
    for at in sent_ns:
        free = free + receive_ns if free >= at else at + wakeup_ns + receive_ns
        behind.append(free - at)
    return np.array(behind)
