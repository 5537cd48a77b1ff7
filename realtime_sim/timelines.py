"""Timelines: the sampled series of a run as frames, in all and by server, and the totals of each server."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.trace import FAILURES, Trace
from realtime_sim.units import NS_PER_S, from_ns, to_ns

__all__ = [
    "SERVER_SERIES", "broker_busy", "busiest", "by_server", "host_busy", "server_series", "server_totals", "timeseries",
]  # fmt: skip

SERVER_SERIES = ("connections", "queue_length", "utilization", "link_utilization")
"""What is known of each server over time."""

RATES = ("attempts", "accepted", "reconnects", "idle_drops", *FAILURES)


def by_server(trace: Trace, name: str) -> np.ndarray:
    """One sampled series, shape (samples, servers); a series of the whole system has one column."""
    return trace.series[name].reshape(len(trace.series["time_ns"]), -1)


def _imbalance(trace: Trace) -> np.ndarray:
    """Connections of the fullest ready server over the mean of the ready ones, at each sample; 1: level."""
    connections, ready = by_server(trace, "connections"), by_server(trace, "ready")
    mean = _ratio((connections * ready).sum(axis=1).astype(float), ready.sum(axis=1).astype(float))
    highest = (connections * ready).max(axis=1).astype(float)
    return np.divide(highest, mean, out=np.ones_like(mean), where=mean > 0)


def _alive_s(trace: Trace) -> np.ndarray:
    """Seconds that each server was alive in each interval between two samples, shape (samples - 1, servers)."""
    time_ns, started_ns, died_ns = trace.series["time_ns"], trace.servers["started_ns"], trace.servers["died_ns"]
    until_ns = np.where(died_ns < 0, time_ns[-1], died_ns)
    from_ns_, to_ns_ = np.maximum(time_ns[:-1, None], started_ns), np.minimum(time_ns[1:, None], until_ns)
    return from_ns(np.maximum(to_ns_ - from_ns_, 0).astype(float))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part of the whole, 0 where there is none."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def timeseries(trace: Trace) -> pd.DataFrame:
    """One row for each sampling interval: rates over the interval that ends at `time_s`, states at that time."""
    time_s = from_ns(trace.series["time_ns"].astype(float))
    step_s = np.diff(time_s)
    alive_s = _alive_s(trace).sum(axis=1)
    columns = {
        "time_s": time_s[1:],
        "servers_ready": by_server(trace, "ready").sum(axis=1)[1:],
        "servers_desired": trace.series["desired"][1:],
        "imbalance": _imbalance(trace)[1:],
        "connections": by_server(trace, "connections").sum(axis=1)[1:],
        "queue_length": by_server(trace, "queue_length").sum(axis=1)[1:],
    }
    busy_s = from_ns(np.diff(by_server(trace, "busy_ns").sum(axis=1)).astype(float))
    link_s = from_ns(np.diff(by_server(trace, "link_busy_ns").sum(axis=1)).astype(float))
    columns["utilization"] = _ratio(busy_s, alive_s * trace.scenario.servers.workers)
    columns["link_utilization"] = _ratio(link_s, alive_s)
    threads = from_ns(np.diff(by_server(trace, "broker_busy_ns"), axis=0).astype(float)) / step_s[:, None]
    columns["broker_utilization"] = threads.mean(axis=1) if threads.size else np.zeros(len(step_s))
    columns["broker_utilization_highest"] = threads.max(axis=1, initial=0.0)
    columns["subscriptions"] = trace.series["subscriptions"][1:]
    columns["under_way"] = trace.series["under_way"][1:]
    for name in RATES:
        columns[f"{name}_per_s"] = np.diff(trace.series[name]) / step_s
    columns["turned_away_per_s"] = sum(columns[f"{name}_per_s"] for name in FAILURES if name != "timeouts")
    return pd.DataFrame(columns).set_index("time_s")


def busiest(trace: Trace) -> tuple[float, str]:
    """Busy share of the busiest server's loops, or of the busiest thread of the broker, and which it is.

    Over the samples of the measured time, each server over the part of it that it was alive; NaN with fewer than two.
    """
    scenario, time_ns = trace.scenario, trace.series["time_ns"]
    chosen = (time_ns >= to_ns(scenario.warmup_s)) & (time_ns <= to_ns(scenario.duration))
    if chosen.sum() < 2:
        return math.nan, ""
    alive_s = _alive_s(trace)[chosen[1:] & chosen[:-1]].sum(axis=0)
    busy_s, threads_s = (
        from_ns(np.ptp(by_server(trace, name)[chosen], axis=0).astype(float)) for name in ("busy_ns", "broker_busy_ns")
    )
    servers = _ratio(busy_s, alive_s * scenario.servers.workers)
    threads = threads_s / from_ns(float(np.ptp(time_ns[chosen])))
    shares = [(float(share), f"server {number}") for number, share in enumerate(servers)]
    shares += [(float(share), "broker") for share in threads if scenario.broker.kind != "none"]
    return max(shares)


def host_busy(trace: Trace, from_s: float = 0.0) -> tuple[np.ndarray, float]:
    """Shares of the time at work, on a core or waiting for one: of each process of clients, and of the publisher.

    Parameters
    ----------
    trace : Trace
        Of any run; without a `host` there is no such process, and the publisher takes no time.
    from_s : float
        From when on, seconds.
    """
    return _busy(trace, "client_busy_ns", from_s), float(_busy(trace, "publisher_busy_ns", from_s).sum())


def broker_busy(trace: Trace, from_s: float = 0.0) -> np.ndarray:
    """Share of the time that each thread of the broker was at work, its shards or partitions; none without a broker.

    Parameters
    ----------
    trace : Trace
        Of any run.
    from_s : float
        From when on, seconds.
    """
    return _busy(trace, "broker_busy_ns", from_s)


def _busy(trace: Trace, name: str, from_s: float) -> np.ndarray:
    chosen = trace.series["time_ns"] >= from_s * NS_PER_S
    span_ns = np.ptp(trace.series["time_ns"][chosen]) if chosen.any() else 0
    return np.ptp(by_server(trace, name)[chosen], axis=0) / span_ns if span_ns else np.zeros(0)


def server_series(trace: Trace, what: str) -> pd.DataFrame:
    """One of `SERVER_SERIES` over time, a column for each server.

    Raises
    ------
    ScenarioError
        If there is no such series.
    """
    if what not in SERVER_SERIES:
        raise ScenarioError(Problem("what", "must be a series of servers", what, f"known: {', '.join(SERVER_SERIES)}"))
    time_s = from_ns(trace.series["time_ns"].astype(float))
    total = {"utilization": "busy_ns", "link_utilization": "link_busy_ns"}.get(what)
    if total is None:
        values = by_server(trace, what)
    else:
        loops = trace.scenario.servers.workers if what == "utilization" else 1
        busy_s = from_ns(np.diff(by_server(trace, total), axis=0).astype(float))
        values, time_s = _ratio(busy_s, _alive_s(trace) * loops), time_s[1:]
    return pd.DataFrame(values, index=pd.Index(time_s, name="time_s")).rename_axis("server", axis=1)


def server_totals(traces: Sequence[Trace]) -> pd.DataFrame:
    """Totals of each server, means over replications; utilizations are those of the time it was alive."""
    if len(traces) == 1:
        return _server_totals(traces[0])
    frames = pd.concat([_server_totals(trace) for trace in traces])
    return frames.groupby(level=0).mean()


def _server_totals(trace: Trace) -> pd.DataFrame:
    totals = trace.servers
    started_s = totals["started_ns"] / NS_PER_S
    died_s = np.where(totals["died_ns"] >= 0, totals["died_ns"] / NS_PER_S, np.nan)
    alive_s = _alive_s(trace).sum(axis=0)
    busy_s = from_ns(by_server(trace, "busy_ns")[-1].astype(float))
    link_s = from_ns(by_server(trace, "link_busy_ns")[-1].astype(float))
    utilization = _ratio(busy_s, alive_s * trace.scenario.servers.workers)
    link_utilization = _ratio(link_s, alive_s)
    columns = {
        "peak_connections": totals["peak_connections"],
        "utilization": utilization,
        "link_utilization": link_utilization,
        "jobs": totals["jobs"],
        "sends": totals["sends"],
        "handshakes": totals["handshakes"],
        "started_s": started_s,
        "died_s": died_s,
    }
    return pd.DataFrame(columns).rename_axis("server")
