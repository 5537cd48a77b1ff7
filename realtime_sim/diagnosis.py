"""Diagnosis: what a careful reader should know before believing a run's figures, as sentences.

Each check is a function from Results to one sentence, or to nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from realtime_sim import services, stats, timelines
from realtime_sim.latency import QUANTILES
from realtime_sim.trace import CAUSES, FAILURES, HOPS
from realtime_sim.transports import TRANSPORTS
from realtime_sim.units import NS_PER_S, format_duration

if TYPE_CHECKING:
    from realtime_sim.results import Results

__all__ = ["NOT_VALID", "n_never_connected", "warnings_of"]

OVERLOAD_UTILIZATION = 0.95
"""From this utilization on a warning says that queues grow, or would with any more load."""

BUSY_PROCESS = 0.5
"""From this utilization on a process that plays clients, or publishes, is part of what it is to measure."""

IMPLAUSIBLE_RTT_S = 5.0
"""No network has a longer round trip on average; a unit has been forgotten."""

NOT_VALID = "This run is not valid: "
"""How the warning begins that gives the reasons of a live run."""

IMPLAUSIBLE_SLO_S = 60.0
"""No promise about a latency is longer."""


def warnings_of(results: Results, own_times: bool = True) -> tuple[str, ...]:
    """Everything there is to warn of, the most fundamental first.

    Parameters
    ----------
    results : Results
        Of any runs.
    own_times : bool
        Whether duration, warm-up and the times of faults are what a user has written. Those of a plan's drills are not:
        what they leave out of the figures is left out by intent, and nobody is told to change them.
    """
    checks = (
        _not_valid, _never_connected, _faults_before, _pauses, _empty_replications, _no_interval, _overload, _links,
        _players, _backlog, _warmup, _little, _losses, _no_route, _metastable, _idle_drops, _unknown_sessions,
        _services, _implausible_slo, _implausible_rtt, _no_network,
    )  # fmt: skip
    found = {check: text for check in checks if (text := check(results))}
    if not own_times:
        found.pop(_faults_before, None)
    steps = {check: of_times[not own_times] for check, of_times in _STEPS.items()}
    return tuple(" ".join(filter(None, (text, steps.get(check)))) for check, text in found.items())


def _not_valid(results: Results) -> str:
    """A live run that measured something else than the system, by its own account."""
    if results.conditions.get("valid", True):
        return ""
    return f"{NOT_VALID}{'; '.join(map(str, results.conditions.get('reasons', ()))) or 'no reason given'}."


def n_never_connected(results: Results) -> float:
    """Clients that never got in though they tried, mean over replications; 0 where nobody was turned away.

    Without any failure they are those whose first attempt was under way when the run ended.
    """
    if not any(results.connections[name] for name in FAILURES):
        return 0.0
    return results.connections["never_connected"]


_TURNED_AWAY = {
    "refused": ("every server was full", "Add servers, or raise servers.max_connections or servers.memory"),
    "backlog_full": ("accept queues were full", "Add servers, raise servers.backlog, or spread clients by ramp_up"),
    "no_server": ("no server was healthy", "Add servers"),
    "timeouts": ("no answer came within connect_timeout", "Add servers, or spread the clients by ramp_up"),
    "session_unknown": ("requests reached servers that did not know them", "Set balancer.affinity: cookie"),
    "server_died": ("their server was dead", "Set balancer.detection lower"),
    "throttled": ("servers turned them away", "Raise servers.admission, or add servers"),
}
"""What a counter of failures says of those who never got in, and what to do."""


def _never_connected(results: Results) -> str:
    n = n_never_connected(results)
    if not n:
        return ""
    name = max(FAILURES, key=lambda failure: results.connections[failure])
    why, step = _TURNED_AWAY[name]
    return (
        f"{n:,.0f} of {results.scenario.n_clients:,} clients were never connected: {why} "
        f"({results.connections[name]:,.0f} times). They got nothing, and none of it counts as lost. {step}."
    )


def _faults_before(results: Results) -> str:
    """Faults that are over before the warm-up is: what they lost is in no figure."""
    warmup_s = results.scenario.warmup_s
    over = [
        fault for fault in results.scenario.faults
        if getattr(fault, "every", None) is None and fault.at < warmup_s
        and (lasts := getattr(fault, "lasts", 0.0)) is not None and fault.at + lasts <= warmup_s
    ]  # fmt: skip
    if not over:
        return ""
    names = ", ".join(f"{fault.kind} at {format_duration(fault.at)}" for fault in over)
    earliest_s = min(fault.at for fault in over)
    step = f"Set warmup to {format_duration(earliest_s)} or less" if earliest_s else "Set warmup to 0"
    return (
        f"What {names} did to deliveries is in no figure: the warm-up of {format_duration(warmup_s)} is left out. "
        f"{step}, or let the faults come later."
    )


def _pauses(results: Results) -> str:
    """Pauses longer than clients wait for a ping or its answer: here they wait all the same."""
    for fault in results.scenario.faults:
        if fault.kind != "pause_server":
            continue
        for cohort in results.scenario.clients:
            pings = cohort.keepalive
            if pings is not None and fault.lasts > pings.interval + pings.timeout:
                most = format_duration(pings.interval + pings.timeout)
                return (
                    f"pause_server lasts {format_duration(fault.lasts)}, and clients.{cohort.name} gives a silent "
                    f"connection up after at most {most}: real clients would reconnect, those here wait for the "
                    "server. Pause for less, or use kill_server with notice: silent."
                )
    return ""


def _n_empty(results: Results) -> int:
    """Replications that delivered nothing in the measured time."""
    return sum(not trace.deliveries["delivered"].any() for trace in results.traces)


def _empty_replications(results: Results) -> str:
    n, n_empty = results.n_replications, _n_empty(results)
    if n == 1 or n_empty in (0, n):
        return ""
    return f"{n_empty} of {n} replications delivered nothing: latencies are those of the other {n - n_empty}."


def _no_interval(results: Results) -> str:
    mean = results.latency_s()["mean"]
    known = mean.low is not None and math.isfinite(mean.low)
    if not known and results.deliveries.loc["total", "delivered"]:
        if results.n_replications > 1:
            return "No interval: fewer than two replications delivered anything."
        return "No interval: one run with too few slices or groups of clients that hold deliveries."
    return ""


def _overload(results: Results) -> str:
    series = results.server_series("utilization")
    measured = series[series.index > results.scenario.warmup_s]
    if len(measured) and float(measured.mean().max()) >= OVERLOAD_UTILIZATION:
        server, busy = measured.mean().idxmax(), float(measured.mean().max())
        return (
            f"Offered load at or above capacity: server {server} is busy {busy:.0%} of the time; its queue grows and "
            "latencies depend on how long the run is. Add servers, or lower the traffic."
        )
    if timelines.broker_busy(results.trace, results.scenario.warmup_s).max(initial=0.0) >= OVERLOAD_UTILIZATION:
        return (
            "Offered load at or above capacity: a thread of the broker is busy all the time. Spread its rooms over "
            "more of them (broker.shards of redis_pubsub, broker.partitions of kafka), or lower the traffic."
        )
    return ""


def _links(results: Results) -> str:
    series = results.server_series("link_utilization")
    measured = series[series.index > results.scenario.warmup_s]
    if not len(measured) or float(measured.mean().max()) < OVERLOAD_UTILIZATION:
        return ""
    server, busy = measured.mean().idxmax(), float(measured.mean().max())
    return (
        f"Offered load at or above capacity: what server {server} sends takes its link {busy:.0%} of the time; copies "
        "queue for it and latencies depend on how long the run is. Raise servers.egress, add servers, or send less."
    )


def _players(results: Results) -> str:
    """On one machine with the system, who plays clients or publishes can be busier than what is looked at."""
    if results.host is None:
        return ""
    clients, publisher = results.host["client_utilization"], results.host["publisher_utilization"]
    if max(clients, default=0.0) > BUSY_PROCESS:
        return (
            f"The clients were the bottleneck: process {int(np.argmax(clients))} of those that play them was at work "
            f"{max(clients):.0%} of the time, and latencies are its queue's as well. Raise host.client_processes or "
            "host.cores, or lower the traffic."
        )
    if publisher > BUSY_PROCESS:
        return (
            f"The publisher was the bottleneck: it was at work {publisher:.0%} of the time, and latencies are its "
            "queue's as well. Raise host.cores, or lower the traffic."
        )
    return ""


_GROWING = {
    "publisher_to_broker": "on the way to the broker",
    "broker": "at the broker",
    "broker_to_server": "between broker and servers",
    "server_wait": "in the servers' queues",
    "fanout": "in the servers' fan-outs",
    "client_away": "for clients that are away",
    "egress": "for the servers' links (servers.egress)",
    "client_network": "for the clients' network (network.bandwidth)",
}
"""Where deliveries wait, by the hop that grows most."""


def _backlog(results: Results) -> str:
    """Deliveries under way rise from the second quarter of the measured time to the last: more comes than goes."""
    if _overload(results) or _links(results):
        return ""  # said already
    second, last = _under_way(results)
    if not last > second:
        return ""
    trace = results.trace
    n = len(trace.batch_count) // 4
    with np.errstate(invalid="ignore", divide="ignore"):
        early, late = (
            trace.batch_sum_ns[part, :-1].sum(axis=0) / trace.batch_count[part].sum()
            for part in (slice(n, 2 * n), slice(3 * n, 4 * n))
        )
    where = _GROWING[HOPS[int(np.argmax(np.nan_to_num(late - early)))]]
    return (
        f"Backlog grows: {second:,.4g} deliveries were under way in the second quarter of the measured time, "
        f"{last:,.4g} in the last. They wait {where}; latencies depend on how long the run is. Give more there, or "
        "lower the traffic."
    )


def _under_way(results: Results) -> tuple[float, float]:
    """Deliveries under way in the second and the last quarter of the measured time; zeros where they do not rise.

    A rise counts if it is a fifth at least, beyond its 99.9 % interval over samples, and not that of the traffic.
    """
    series, scenario = results.trace.series, results.scenario
    chosen = series["time_ns"] >= scenario.warmup_s * NS_PER_S
    time_ns, area_ns = series["time_ns"][chosen], series["under_way_area_ns"][chosen]
    quarter = (len(time_ns) - 1) // 4
    if quarter < 4 or results.trace.disturbances:
        return 0.0, 0.0
    levels = np.diff(area_ns) / np.diff(time_ns)
    parts = levels[quarter : 2 * quarter], levels[3 * quarter :]
    second, last = (float(part.mean()) for part in parts)
    error = math.sqrt(sum(part.var(ddof=1) / len(part) for part in parts))
    expected = np.diff(series["expected"][chosen])
    traffic = max(1.0, expected[3 * quarter :].mean() / max(expected[quarter : 2 * quarter].mean(), 1e-9))
    t = float(special.stdtrit(2 * quarter - 2, 0.9995))
    rises = last - traffic * second > max(t * error, 0.2 * traffic * second)
    return (second, last) if rises else (0.0, 0.0)


def _warmup(results: Results) -> str:
    """MSER on the slices of the measured time: a cut says the start was still settling."""
    trace = results.trace
    if (trace.batch_count == 0).any() or trace.disturbances:
        return ""
    if _links(results) or _under_way(results)[1]:
        return ""  # no start that is still settling: it never will
    means = trace.batch_sum_ns[:, -1] / trace.batch_count
    cut = stats.mser(means)
    if cut == 0:
        return ""
    settled = means[cut:]
    bias = abs(means.mean() - settled.mean())
    early_off = abs(means[:cut].mean() - settled.mean())
    if early_off <= 5 * settled.std() / math.sqrt(cut) or bias <= 0.02 * settled.mean():
        return ""
    seconds = results.scenario.warmup_s + cut / len(means) * results.measured_s
    return (
        f"Warm-up too short: MSER would leave out the first {format_duration(round(seconds, 3))}, not "
        f"{format_duration(results.scenario.warmup_s)}; the mean moves by {bias / means.mean():.1%}."
    )


_STEPS = {
    _empty_replications: ("Run longer, or raise the traffic.", "Raise the traffic."),
    _no_interval: ("Run longer, or use more replications.", "Use more replications."),
    _warmup: ("Set warmup, or run longer.", ""),
}
"""What to do about what is a matter of how long a run is: where that is the user's choice, and where it is not."""


def _little(results: Results) -> str:
    """L = lambda W, with L integrated over time and lambda W from the deliveries: two ways to one figure."""
    trace = results.trace
    chosen = trace.series["time_ns"] >= results.scenario.warmup_s * NS_PER_S
    n = len(trace.batch_count)
    time_ns, area_ns = trace.series["time_ns"][chosen], trace.series["under_way_area_ns"][chosen]
    if len(time_ns) <= n or trace.disturbances or trace.services or not trace.batch_count.all():
        return ""
    cuts = np.linspace(0, len(time_ns) - 1, n + 1).astype(int)
    counted = np.diff(area_ns[cuts]) / np.diff(time_ns[cuts])
    by_law = trace.batch_sum_ns[:, -1] / NS_PER_S / (results.measured_s / n)
    gap = stats.over_batches(float(np.mean(counted - by_law)), counted - by_law)
    if gap.low <= 0 <= gap.high or abs(gap.value) <= 0.01 * counted.mean():
        return ""
    return (
        f"Little's law is off by more than its interval: {counted.mean():.4g} deliveries were under way on average, "
        f"{by_law.mean():.4g} by arrival rate times latency. The system is not in a steady state."
    )


def _losses(results: Results) -> str:
    total = results.deliveries.loc["total"]
    if not total["expected"] or not (total["lost"] or total["dropped"]):
        return ""
    causes = ", ".join(f"{cause} {total[f'lost_{cause}']:,}" for cause in CAUSES if total[f"lost_{cause}"])
    share = (total["lost"] + total["dropped"]) / total["expected"]
    dropped = f"; dropped {total['dropped']:,}" if total["dropped"] else ""
    return f"{share:.3%} of expected deliveries did not arrive (lost: {causes or 'none'}{dropped})."


def _no_route(results: Results) -> str:
    if results.scenario.broker.kind == "none" and results.scenario.servers.count > 1 and results.scenario.traffic:
        return (
            "No broker between several servers: a message reaches only the clients of the server that publishes it. "
            "Set broker.kind."
        )
    return ""


def _metastable(results: Results) -> str:
    for row in results.storm.to_dict("records"):
        if row["metastable"]:
            return (
                f"After {row['fault']} at {row['at_s']:g} s: {row['verdict']}. Spread the retries (reconnect: "
                "full_jitter with a longer cap), let servers turn handshakes away (servers.admission), or raise "
                "connect_timeout."
            )
    return ""


def _idle_drops(results: Results) -> str:
    n = results.connections["idle_drops"]
    named = [cohort for cohort in results.scenario.clients if cohort.idles_out]
    if not n or not named:
        return ""
    pings = named[0].keepalive
    interval = "no pings" if pings is None else f"a ping every {format_duration(pings.interval)}"
    return (
        f"{n:,.0f} idle connections were dropped by a proxy: clients.{named[0].name} has {interval} and a "
        f"network.idle_timeout of {format_duration(named[0].network.idle_timeout)}. Ping more often than that, or "
        "raise the timeout."
    )


def _unknown_sessions(results: Results) -> str:
    scenario, n = results.scenario, results.connections["session_unknown"]
    several = [
        cohort.name
        for cohort in scenario.clients
        if cohort.polling_handshake or TRANSPORTS[cohort.transport].request_per_message
    ]
    if not n or not several or scenario.servers.count == 1 or scenario.balancer.affinity != "none":
        return ""
    return (
        f"{n:,.0f} requests of sessions over several requests ({', '.join(several)}) reached a server that did not "
        f"know the session. Set balancer.affinity: cookie."
    )


def _services(results: Results) -> str:
    return services.warnings_of(results.traces)


def _implausible_slo(results: Results) -> str:
    slo = results.scenario.slo
    for name in QUANTILES if slo is not None else ():
        promised = getattr(slo, name)
        if promised is not None and promised > IMPLAUSIBLE_SLO_S:
            return f"slo.{name} is {format_duration(promised)}, which is no promise: did you mean {promised:g}ms?"
    return ""


def _implausible_rtt(results: Results) -> str:
    for cohort in results.scenario.clients:
        mean_s = cohort.network.rtt.mean_s
        if mean_s > IMPLAUSIBLE_RTT_S:
            return (
                f"clients.{cohort.name}.network.rtt is {mean_s:g} s on average: did you mean {mean_s:g}ms? Plain "
                "numbers are seconds."
            )
    return ""


def _no_network(results: Results) -> str:
    named = []
    for cohort in results.scenario.clients:
        network, delivered = cohort.network, results.deliveries.loc[cohort.name, "delivered"]
        if delivered and network.bandwidth is None and not network.rtt.mean_s and not network.jitter.mean_s:
            named.append(cohort.name)
    if not named:
        return ""
    return (
        f"No network: latencies of {', '.join(named)} end at the server's door, and clients are farther away. Set "
        f"clients.{named[0]}.network.rtt, as 40ms."
    )
