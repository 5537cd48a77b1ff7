"""Tables: a run as aligned text with units, as the command line prints it."""

from __future__ import annotations

import math

from realtime_sim.results import Results
from realtime_sim.stats import little_told
from realtime_sim.trace import FAILURES

__all__ = [
    "connections_line", "decisions_table", "hop_table", "latency_table", "objectives_table", "recovery_table",
    "report_text", "servers_table", "services_table", "storm_lines",
]  # fmt: skip

MOST_ROWS = 16
"""Most rows of what may come by the hundred; of more, the first and the last are shown."""

VERDICTS = {True: "kept", False: "missed", None: "not decided"}

FAILURE_WORDS = {
    "refused": "refused",
    "backlog_full": "turned away by a full backlog",
    "no_server": "without a healthy server",
    "timeouts": "timed out",
    "session_unknown": "with an unknown session",
    "server_died": "at a dead server",
    "throttled": "throttled",
}


def report_text(results: Results) -> str:
    """Everything `simulate` prints about a run."""
    scenario = results.scenario
    runs = "1 run" if results.n_replications == 1 else f"{results.n_replications} replications"
    parts = [f"{scenario.name}: {runs} of {scenario.duration:g} s, engine {results.engine} ({results.reason})"]
    parts += [f"Warning: {text}" for text in results.warnings]
    total = results.deliveries.loc["total"]
    if total["delivered"]:
        parts += [latency_table(results), hop_table(results)]
    else:
        parts.append("No deliveries after the warm-up, so there is no latency.")
    if total["expected"]:
        names = ("expected", "delivered", "lost", "dropped", "duplicate")
        counts = ", ".join(f"{total[name]:,} {name}" for name in names)
        in_all = "" if results.n_replications == 1 else ", all replications together"
        parts.append(f"Deliveries after the warm-up of {scenario.warmup_s:g} s{in_all}: {counts}")
    parts.append(f"{connections_line(results)}\n{busiest_line(results)}")
    if scenario.services:
        parts.append(services_table(results))
    if scenario.autoscaling is not None or len(_changes(results)) > 2:
        parts.append(servers_table(results))
    if len(results.decisions):
        parts.append(decisions_table(results))
    if len(results.recovery):
        parts.append(recovery_table(results))
    if len(results.storm):
        parts.append(storm_lines(results))
    if len(results.objectives()):
        parts.append(objectives_table(results))
    return "\n\n".join(parts)


def latency_table(results: Results) -> str:
    """Delivery latency in milliseconds with its intervals, in all and by cohort."""
    lines = [f"{'Delivery latency, ms':24}{'value':>10}   95 % interval"]
    overall = results.latency_s()
    for name, figure in overall.items():
        interval = "" if figure.low is None else f"{figure.low * 1e3:,.3f} to {figure.high * 1e3:,.3f}"
        lines.append(f"  {name:22}{figure.value * 1e3:>10,.3f}   {interval}".rstrip())
    cohorts = results.scenario.clients
    for cohort in cohorts if len(cohorts) > 1 else ():
        figures = results.latency_s(cohort.name)
        label = f"  {cohort.name[:14]} ({cohort.transport}): "
        if math.isnan(figures["mean"].value):
            lines.append(f"{label}no deliveries")
        else:
            lines.append(f"{label}mean {figures['mean'].value * 1e3:,.3f}, p99 {figures['p99'].value * 1e3:,.3f}")
    told = little_told(overall.values(), results.n_replications)
    return "\n".join([*lines, *([f"  {told}"] if told else [])])


def hop_table(results: Results) -> str:
    """Mean of each hop in milliseconds; they add up to the last row."""
    lines = [f"{'Mean of each hop, ms':24}{'mean':>10}{'share':>8}{'p99':>12}   95 % interval of the mean"]
    for hop, row in results.hops.iterrows():
        interval = "" if math.isnan(row["low_s"]) else f"{row['low_s'] * 1e3:,.3f} to {row['high_s'] * 1e3:,.3f}"
        text = f"  {hop:22}{row['mean_s'] * 1e3:>10,.3f}{row['share']:>8.1%}{row['p99_s'] * 1e3:>12,.3f}   {interval}"
        lines.append(text.rstrip())
    return "\n".join(lines)


def connections_line(results: Results) -> str:
    """Connections at the start, and what became of the attempts later; means over replications."""
    found = results.connections
    at_start = found["connected_at_start"]
    counts = [
        (found["peak"], "at the peak"),
        (at_start, "connected at the start"),
        (found["attempts"], "attempts later"),
        (found["accepted"] - at_start, "accepted"),
        *((found[name], FAILURE_WORDS[name]) for name in FAILURES),
        (found["idle_drops"], "dropped by an idle proxy"),
        (found["reconnects"], "reconnected"),
        (found["never_connected"], "never connected"),
    ]
    known = [f"{value:,.0f} {words}" for value, words in counts if value]
    return "Connections: " + (", ".join(known) or "none")


def busiest_line(results: Results) -> str:
    """The busiest server's loops, and the busiest link where links are limited; means over replications."""
    servers = results.servers
    n = len(servers)
    line = f"Busiest of {n} server{'s' if n > 1 else ''}: {servers['utilization'].max():.1%} of its loops"
    if results.scenario.servers.egress is not None:
        line += f"; busiest link: {servers['link_utilization'].max():.1%}"
    return line


def services_table(results: Results) -> str:
    """Each service: what became of its events, how busy it was, how long it took; and how it caught up after stops."""
    header = f"{'Services':24}{'events':>10}{'done':>10}{'failed':>10}{'busy':>8}{'mean, ms':>12}{'p99, ms':>12}"
    lines = [header + f"{'most open':>12}"]
    for name, row in results.services.iterrows():
        failed = row["events"] - row["done"]
        line = f"  {name[:22]:22}{row['events']:>10,.0f}{row['done']:>10,.0f}{failed:>10,.0f}{row['utilization']:>8.1%}"
        lines.append(
            f"{line}{_number(row['mean_s'] * 1e3):>12}{_number(row['p99_s'] * 1e3):>12}{row['highest_lag']:>12,.0f}"
        )
    for row in results.catch_up.itertuples():
        caught_up = f"{row.catch_up_s:,.2f} s after the restart" if math.isfinite(row.catch_up_s) else "never"
        lines.append(f"  {row.service} stopped at {row.at_s:g} s for {row.for_s:g} s; caught up: {caught_up}")
    return "\n".join(lines)


def _first_and_last(lines: list[str]) -> list[str]:
    """All lines, or of many the first and the last, with how many there are between them."""
    n_between = len(lines) - MOST_ROWS
    if n_between <= 1:
        return lines
    half = MOST_ROWS // 2
    return [*lines[:half], f"  … {n_between:,} more …", *lines[-half:]]


def _changes(results: Results) -> list[int]:
    """Samples at which another number of servers is wanted or ready than before, the first and the last one too."""
    counts = results.timeseries[["servers_desired", "servers_ready"]].to_numpy()
    changed = [i for i in range(1, len(counts)) if (counts[i] != counts[i - 1]).any()]
    return sorted({0, *changed, len(counts) - 1}) if len(counts) else []


def servers_table(results: Results) -> str:
    """Servers wanted and ready whenever that has changed, with connections and how unevenly they are spread."""
    lines = [f"{'Servers over time':24}{'wanted':>10}{'ready':>10}{'connections':>14}   fullest over the mean"]
    rows = results.timeseries.iloc[_changes(results)]
    texts = [
        f"  {f'at {row.Index:g} s':22}{row.servers_desired:>10}{row.servers_ready:>10}{row.connections:>14,.0f}"
        f"{row.imbalance:>24.2f}"
        for row in rows.itertuples()
    ]
    return "\n".join(lines + _first_and_last(texts))


def decisions_table(results: Results) -> str:
    """What the control plane did, when, and why; of replications in the first."""
    found, n = results.decisions, results.n_replications
    header = "Decisions" + ("" if n == 1 else f" of the first of {n} replications")
    widths = [max(map(len, found[name]), default=0) + 2 for name in ("actor", "action", "target")]
    texts = []
    for row in found.itertuples():
        columns = zip((row.actor, row.action, row.target), widths, strict=True)
        texts.append(f"  {row.time_s:>10,.2f} s  {''.join(f'{text:{w}}' for text, w in columns)}{row.reason}".rstrip())
    return "\n".join([header, *_first_and_last(texts)])


def recovery_table(results: Results) -> str:
    """Seconds after each fault until its clients and deliveries were back, and how long each client was away, the
    median; of replications the mean and the worst."""
    several = results.n_replications > 1
    rows, texts = results.recovery.to_dict("records"), []
    names = [f"{row['fault']} at {row['at_s']:g} s" for row in rows]
    width = max([22, *map(len, names)])
    header = f"{'Recovery, s':{width + 2}}{'cut off':>10}{'back':>10}{'50 %':>10}{'95 %':>10}{'all':>10}"
    header += "   all, worst" * several + "   deliveries   away, 50 %"
    for name, row in zip(names, rows, strict=True):
        line = f"  {name:{width}}{row['affected']:>10,.0f}{row['recovered']:>10,.0f}"
        for percent in (50, 95, 100):
            line += f"{_seconds(row[f'p{percent}_s'], row['affected']):>10}"
        line += f"{_seconds(row['p100_worst_s'], row['affected']):>13}" if several else ""
        away = "-" if math.isnan(row["away_p50_s"]) else f"{row['away_p50_s']:,.2f}"
        texts.append(f"{line}{_number(row['deliveries_s']):>13}{away:>13}")
    return "\n".join([header, *_first_and_last(texts)])


def storm_lines(results: Results) -> str:
    """What each fault's storm did, and whether the system came out of it; means over replications."""
    rows, texts = results.storm.to_dict("records"), []
    names = [f"{row['fault']} at {row['at_s']:g} s" for row in rows]
    width = max(map(len, names), default=0) + 2
    for name, row in zip(names, rows, strict=True):
        load = f"at most {row['peak_attempts_per_s']:,.0f} attempts/s against {row['capacity_per_s']:,.4g}/s"
        wasted = "" if math.isnan(row["wasted_ratio"]) else f", {row['wasted_ratio']:.0%} of handshakes wasted"
        texts.append(f"  {name:{width}}{row['verdict']}; {load}{wasted}")
    return "\n".join(["Storms", *_first_and_last(texts)])


def _seconds(value: float, affected: float) -> str:
    if not affected:
        return "-"
    return f"{value:,.2f}" if math.isfinite(value) else "never"


def objectives_table(results: Results) -> str:
    """Each promise with what was found and the verdict."""
    lines = [f"{'Objectives':24}{'promised':>10}{'found':>10}{'judged by':>12}   unit     verdict"]
    for row in results.objectives().itertuples():
        found, judged_by = (_number(value) for value in (row.found, row.judged_by))
        verdict = VERDICTS[row.kept] + (f" ({row.note})" if row.note else "")
        lines.append(f"  {row.Index:22}{row.promised:>10,.4g}{found:>10}{judged_by:>12}   {row.unit:8} {verdict}")
    return "\n".join(lines)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.4g}" if math.isfinite(value) else "never"
