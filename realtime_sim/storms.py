"""Reconnect storms: for each disturbance, what its clients' attempts did to the servers, and whether these came out.

A disturbance is a fault of the scenario, or what another control process does to connections: a drain of the
autoscaler, an act of your own. Its storm lasts until the last of the clients that it cut off is back; where that never
happens, until the next disturbance that cuts clients off, or until the run ends. Counts are those of all clients in
that time, to the sample, so storms that overlap share them.

A system is *metastable* if it stays down though what brought it down is gone, because the load of the retries is what
keeps it down. `verdict` says so of a storm where all of this holds:

- not everybody who was cut off is back;
- attempts do not fall: in the last quarter of the storm they are at least nine tenths of those in the quarter before;
- most handshakes of the last quarter are wasted on clients that have given up waiting;
- nothing else keeps it down: in the last quarter neither slowness nor pauses have taken more than a tenth of what the
  servers that are left, or the broker where handshakes wait for it, can do;
- without retries these servers would do: they have room for everybody, CPU for one handshake of each client that was
  cut off in the time that the storm lasted, and alone an attempt takes less than `connect_timeout`.

Servers that are left are alive at the end of the storm, and those that can accept clients are ready as well; what they
can accept is reckoned at the pace that they have in its last quarter.

References
----------
Bronson, Aghayev, Charapko, Zhu (2021), "Metastable Failures in Distributed Systems", HotOS '21: a trigger, a state that
feeds itself, and no way back without shedding load. The thresholds of nine tenths and one half are choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from realtime_sim import latency, recovery, stats
from realtime_sim.engines.constants import POLLING_HANDSHAKE_REQUESTS
from realtime_sim.scenario import Scenario
from realtime_sim.trace import BROKER, OWN_PACE, Trace
from realtime_sim.transports import handshake_round_trips
from realtime_sim.units import NS_PER_S, from_ns, to_ns

__all__ = ["COUNTED", "handshake_cost_s", "handshake_requests", "storm_figures", "storms_of", "verdict"]

COUNTED = (
    "attempts", "refused", "backlog_full", "throttled", "no_server", "timeouts", "wasted_handshakes", "gave_up",
)  # fmt: skip
"""What is counted of a storm."""

STEADY = 0.9
"""Attempts of a last quarter that are at least this share of those before are not falling; and servers that can do at
least this share of what they could at their own pace are not held up."""

MOST = 0.5
"""Handshakes that are wasted by more than this share are most of them."""

SHOWN = (
    "affected", "recovered", "p50_s", "p95_s", "p100_s", "lasted_s", *COUNTED, "wasted_ratio", "peak_attempts_per_s",
    "capacity_per_s", "peak_to_capacity",
)  # fmt: skip
"""Figures of a storm that are columns of its frame."""


def handshake_requests(scenario: Scenario) -> float:
    """Requests of a handshake, mean over the clients: 1, but 4 for cohorts with `polling_handshake`.

    Examples
    --------
    >>> handshake_requests(Scenario(name="x", duration=1, clients=[{"name": "c", "count": 4}]))
    1.0
    """
    polling = sum(cohort.count for cohort in scenario.clients if cohort.polling_handshake)
    return 1.0 + (POLLING_HANDSHAKE_REQUESTS - 1) * polling / scenario.n_clients


def handshake_cost_s(scenario: Scenario) -> float:
    """CPU of all requests of a handshake, mean over the clients, seconds.

    Examples
    --------
    >>> handshake_cost_s(Scenario(name="x", duration=1, clients=[{"name": "c", "count": 4}],
    ...                           servers={"costs": {"handshake": "2ms"}}))
    0.002
    """
    costs = scenario.servers.resolved_costs
    return costs.handshake_s + (handshake_requests(scenario) - 1) * costs.http_request_s


def storm_figures(trace: Trace, number: int) -> dict[str, float]:
    """Figures of one storm in one run.

    Parameters
    ----------
    trace : Trace
        The run.
    number : int
        Which disturbance, from 0: the faults of the scenario, then what others did, in the order of time.

    Returns
    -------
    dict of str to float
        `affected`, `recovered`, `p50_s`, `p95_s`, `p100_s` (inf: never; NaN: nobody was cut off); the counts of
        `COUNTED`; `wasted_ratio` of the handshakes that were done; `peak_attempts_per_s` over one sample;
        `capacity_per_s`, what the servers left could accept if they did nothing else, no more than their
        `admission.rate` lets in, at the pace of the last quarter; `peak_to_capacity`; `end_s` and `lasted_s`; what
        `verdict` reads besides: `late_attempts_per_s` and `late_wasted_ratio` of the last quarter,
        `earlier_attempts_per_s` of the one before (NaN with fewer than four samples), `room` for connections on the
        servers left, `clients` of all cohorts, `spare_s`, the least that an attempt alone leaves of a cohort's
        `connect_timeout`, `pace`, what slowness and pauses have left of what servers and broker can do in the last
        quarter, 0 to 1, and `next_s`, when the next disturbance that cut clients off came (inf: none).
    """
    at_s = _at_s(trace, number)
    found: dict[str, float] = {"affected": trace.affected[number], "recovered": len(trace.recovery[number])}
    found |= {f"p{percent}_s": recovery.until_s(trace, number, percent) for percent in recovery.PERCENTS}
    others_s = [_at_s(trace, other) for other, n in enumerate(trace.affected) if n]
    found["next_s"] = min([other_s for other_s in others_s if other_s > at_s], default=math.inf)
    end_s = at_s + found["p100_s"] if math.isfinite(found["p100_s"]) else found["next_s"]
    found["end_s"] = min(end_s, trace.scenario.duration)
    time_ns = trace.series["time_ns"]
    first = max(int(np.searchsorted(time_ns, to_ns(at_s), side="right")) - 1, 0)
    last = min(max(int(np.searchsorted(time_ns, to_ns(found["end_s"]))), first + 1), len(time_ns) - 1)
    counted = {name: trace.series[name][first : last + 1] for name in (*COUNTED, "accepted")}
    found |= {name: int(counted[name][-1] - counted[name][0]) for name in COUNTED}
    found["wasted_ratio"] = _wasted_ratio(counted)
    step_s = np.diff(time_ns[first : last + 1]) / NS_PER_S
    rates = np.diff(counted["attempts"]) / step_s
    found["peak_attempts_per_s"] = float(rates.max(initial=0.0))
    found["lasted_s"] = found["end_s"] - at_s
    found |= _left(trace, found["end_s"] - found["lasted_s"] / 4, found["end_s"])
    able = found["capacity_per_s"] > 0
    found["peak_to_capacity"] = found["peak_attempts_per_s"] / found["capacity_per_s"] if able else math.inf
    return found | _late(counted, rates)


def _at_s(trace: Trace, number: int) -> float:
    return float(from_ns(trace.disturbances[number][1]))


def _late(counted: dict[str, np.ndarray], rates: np.ndarray) -> dict[str, float]:
    """How a storm ends: its last quarter, and the one before."""
    quarter = len(rates) // 4
    names = ("late_attempts_per_s", "earlier_attempts_per_s", "late_wasted_ratio")
    if not quarter:
        return dict.fromkeys(names, math.nan)
    wasted = _wasted_ratio({name: values[-quarter - 1 :] for name, values in counted.items()})
    values = float(rates[-quarter:].mean()), float(rates[-2 * quarter : -quarter].mean()), wasted
    return dict(zip(names, values, strict=True))


def _wasted_ratio(counted: dict[str, np.ndarray]) -> float:
    """Handshakes wasted of those that were done: accepted, refused for want of room, or wasted. NaN if none was."""
    wasted, others = (
        sum(int(counted[name][-1] - counted[name][0]) for name in names)
        for names in (("wasted_handshakes",), ("accepted", "refused"))
    )
    return wasted / (wasted + others) if wasted + others else math.nan


def _left(trace: Trace, from_s: float, end_s: float) -> dict[str, float]:
    """What the servers that are alive when a storm ends, replacements included, could do in its last quarter."""
    scenario, end_ns = trace.scenario, to_ns(end_s)
    started_ns, died_ns = trace.servers["started_ns"], trace.servers["died_ns"]
    alive = (started_ns <= end_ns) & ((died_ns < 0) | (died_ns >= end_ns))
    seen = max(int(np.searchsorted(trace.series["time_ns"], end_ns, side="right")) - 1, 0)
    unready = (trace.series["ready"][seen] == 0) & (started_ns < trace.series["time_ns"][seen])
    paces, working = _paces(trace, to_ns(from_s), end_ns)
    accept = np.flatnonzero(alive & ~unready)
    able, limit = (paces * working)[accept], scenario.servers.connection_limit
    broker = paces[BROKER] if getattr(scenario.broker, "subscription", "") == "per_room" else 1.0
    return {
        "room": math.inf if limit is None else int(alive.sum()) * limit,
        "clients": scenario.n_clients,
        "pace": float(min(able.mean() if len(able) else 1.0, broker)),
        "capacity_per_s": float(sum(_accepts_per_s(scenario, share) for share in able.tolist())),
        "spare_s": _spare_s(scenario, max(paces[accept].tolist(), default=1.0)),
    }


def _paces(trace: Trace, from_ns: int, end_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """For each server, and last the broker: its mean pace between two times, and the share of it without pauses."""
    n = len(trace.servers["started_ns"])
    paces, working = np.ones(n + 1), np.ones(n + 1)
    rows = np.array(trace.hindered, dtype=np.int64).reshape(-1, 4)
    shares = (np.minimum(rows[:, 2], end_ns) - np.maximum(rows[:, 1], from_ns)).clip(0) / max(end_ns - from_ns, 1)
    for (server, _, _, permille), share in zip(rows[shares > 0].tolist(), shares[shares > 0].tolist(), strict=True):
        if permille:
            paces[server] -= share * (1 - OWN_PACE / permille)
        else:
            working[server] = max(working[server] - share, 0.0)
    return paces, working


def _accepts_per_s(scenario: Scenario, share: float) -> float:
    """Handshakes that one server can do with this share of its own pace."""
    cost_s, rate = handshake_cost_s(scenario), scenario.servers.admission.rate
    by_cpu = scenario.servers.workers * share / cost_s if cost_s else math.inf if share else 0.0
    return by_cpu if rate is None else min(by_cpu, rate / handshake_requests(scenario))


def _spare_s(scenario: Scenario, pace: float) -> float:
    """What an attempt leaves of its connect timeout where nobody is in its way, at mean costs; the least of all."""
    costs, spare_s = scenario.servers.resolved_costs, math.inf
    for cohort in scenario.clients:
        requests = POLLING_HANDSHAKE_REQUESTS if cohort.polling_handshake else 1
        trips_s = cohort.network.rtt.mean_s * handshake_round_trips(cohort.tls, requests)
        alone_s = trips_s + (costs.handshake_s + (requests - 1) * costs.http_request_s) / pace
        spare_s = min(spare_s, cohort.connect_timeout - alone_s)
    return spare_s


def verdict(found: dict[str, float]) -> tuple[str, bool]:
    """Whether a system came out of a storm, by the rule at the head of the module.

    Parameters
    ----------
    found : dict of str to float
        From `storm_figures`.

    Returns
    -------
    tuple of str and bool
        A sentence without its full stop, and whether it is metastable.

    Examples
    --------
    >>> verdict({"affected": 10, "recovered": 10, "p100_s": 12.34})
    ('recovered after 12.3 s', False)
    """
    missing = found["affected"] - found["recovered"]
    if not found["affected"]:
        return "nobody was cut off", False
    if missing <= 0:
        return f"recovered after {found['p100_s']:,.3g} s", False
    late, wasted = found["late_attempts_per_s"], found["late_wasted_ratio"]
    text = f"not recovered: {missing:,.0f} of {found['affected']:,.0f} are not back"
    if math.isnan(late):
        return f"{text} (fewer than four samples: too short to say more)", False
    text += f", still {late:,.0f} attempts/s"
    if not math.isnan(wasted):
        text += f", {wasted:.0%} of handshakes wasted"
    if found["spare_s"] <= 0:
        return f"{text} (even alone an attempt takes longer than its connect_timeout)", False
    suffices = found["capacity_per_s"] * found["lasted_s"] >= found["affected"]
    if found["room"] < found["clients"]:
        return f"{text} (the servers left have room for {found['room']:,.0f} of {found['clients']:,} clients)", False
    if not suffices:
        accepted = found["capacity_per_s"]
        rate = f"{accepted:,.0f}" if accepted >= 1_000 else f"{accepted:.4g}"
        return f"{text} (the servers left can accept {rate}/s: too few in that time)", False
    if found["pace"] < STEADY:
        return f"{text} (the cause is there still: servers or broker work at {found['pace']:.0%} of their pace)", False
    if late >= STEADY * found["earlier_attempts_per_s"] > 0 and wasted > MOST:
        return f"{text} (metastable: the cause is gone, the load of retries keeps it down)", True
    if found["gave_up"]:
        return f"{text} ({found['gave_up']:,.0f} gave up)", False
    if math.isfinite(found["next_s"]):
        return f"{text} (cut short by the next disturbance, at {found['next_s']:g} s: set them further apart)", False
    return f"{text} (it may come back: run longer)", False


def storms_of(traces: Sequence[Trace], slices: np.ndarray) -> pd.DataFrame:
    """One row for each disturbance: `storm_figures`, latency before and during the storm, and the verdict.

    Parameters
    ----------
    traces : sequence of Trace
        Replications; figures are means over them (NaN where any is infinite), the verdict is that of the worst. What a
        control process did in some of them only is left out.
    slices : ndarray of int64, shape (N_BATCHES, N_BUCKETS)
        Their `latency.slice_histogram`.

    Returns
    -------
    DataFrame
        By the number of the disturbance, kinds left out that cut nobody off: `fault` (its kind), `at_s`, then figures,
        `p99_before_s` and `p99_during_s`, `metastable` (in how many runs) and `verdict`. Both p99 are of slices of the
        measured time by publish time, all replications together: those that end before it, and those that the storm
        touches. What reaches a client by then was sent to one that had stayed connected or was back; where a broker's
        log replays, catch-ups count as well.
    """
    rows, numbers = [], []
    for number, (kind, at_ns) in enumerate(recovery.common(traces)):
        if kind in recovery.CUTS_NOBODY:
            continue
        at_s = float(from_ns(at_ns))
        numbers.append(number)
        each = [storm_figures(trace, number) for trace in traces]
        row: dict[str, object] = {"fault": kind, "at_s": at_s}
        row |= {name: _mean([found[name] for found in each]) for name in SHOWN}
        row |= _latency(traces, slices, at_s, max(found["end_s"] for found in each))
        texts = [verdict(found) for found in each]
        worst = max(range(len(each)), key=lambda i: (texts[i][1], each[i]["affected"] - each[i]["recovered"],
                                                     np.nan_to_num(each[i]["p100_s"])))  # fmt: skip
        n_lost = sum(found["recovered"] < found["affected"] for found in each)
        row["metastable"] = sum(metastable for _, metastable in texts)
        row["verdict"] = texts[worst][0]
        if len(each) > 1 and n_lost:
            row["verdict"] = f"{n_lost} of {len(each)} runs {texts[worst][0]}"
        elif len(each) > 1:
            row["verdict"] = f"all runs recovered, the slowest {texts[worst][0].removeprefix('recovered ')}"
        rows.append(row)
    columns = ["fault", "at_s", *SHOWN, "p99_before_s", "p99_during_s", "metastable", "verdict"]
    return pd.DataFrame(rows, columns=columns, index=numbers)


def _mean(values: list[float]) -> float:
    """Mean over replications; NaN where any is not known, or is infinite in some of several."""
    if len(values) == 1:
        return values[0]
    return stats.over_replications(values).value if np.isfinite(values).all() else math.nan


def _latency(traces: Sequence[Trace], slices: np.ndarray, at_s: float, end_s: float) -> dict[str, float]:
    edges = recovery.slice_edges_s(traces[0].scenario)
    before = slices[edges[1:] <= at_s]
    during = slices[(edges[1:] > at_s) & (edges[:-1] < end_s)]
    parts = (("p99_before_s", before), ("p99_during_s", during))
    return {name: latency.quantile_of_slices(traces, part, 0.99) for name, part in parts}
