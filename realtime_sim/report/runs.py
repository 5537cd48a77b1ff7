"""The page of a run: what its clients saw, where the time went, and what was promised."""

from __future__ import annotations

import math
from collections.abc import Iterator

from realtime_sim.agreement.words import percent, value_text
from realtime_sim.report import parts
from realtime_sim.report.page import Mark, Page, Picture, Section, Table, Text
from realtime_sim.results import Results
from realtime_sim.trace import HOPS

__all__ = ["hop_blocks", "page_of_run"]


def page_of_run(run: Results) -> Page:
    """Everything a reviewer asks about a run, the promises first.

    Parameters
    ----------
    run : Results
        Simulated or live.
    """
    scenario, n = run.scenario, run.n_replications
    runs = "one run" if n == 1 else f"{n} replications"
    about = (
        f"{runs} of {scenario.duration:g} s, engine {run.engine}; {scenario.n_clients:,} clients, seed {scenario.seed}."
    )
    question = scenario.description or f"What do the clients of “{scenario.name}” see?"
    return Page(scenario.name, question, _answer(run), about[0].upper() + about[1:], [*_sections(run)])


def _answer(run: Results) -> Mark:
    latency, total = run.latency_s(), run.deliveries.loc["total"]
    figures = f"p50 {value_text(latency['p50'].value, 's')}, p99 {value_text(latency['p99'].value, 's')}; "
    figures += f"{total['delivered']:,} of {total['expected']:,} deliveries arrived."
    if not run.conditions.get("valid", True):
        return Mark("open", f"Not decided: the run is not valid. {figures}")
    promises = run.objectives()
    missed = list(promises.index[promises["kept"].eq(False)])  # noqa: E712 - None is neither
    kept = list(promises.index[promises["kept"].eq(True)])
    if missed:
        return Mark("bad", f"Missed: {', '.join(missed)}. {figures}")
    if kept:
        return Mark("good", f"Every promise that a run can judge is kept: {', '.join(kept)}. {figures}")
    return Mark("open", f"Nothing was promised (slo): {figures}")


def _sections(run: Results) -> Iterator[Section]:
    label = {run.scenario.name: run}
    yield from parts.notes(label)
    yield from _promises(run)
    yield _figures(run)
    yield _latency(run)
    yield _connections(run)
    yield from parts.storms(label, lambda fault: parts.drawing().storm(run, fault, zoom=True))
    yield from _services(run)
    yield from parts.decisions(label)
    yield from parts.conditions({run.scenario.name: run.conditions})
    yield parts.scenario_section(run.scenario)
    yield parts.origin([_command(run)], run.scenario)


def _promises(run: Results) -> Iterator[Section]:
    frame = run.objectives()
    if frame.empty:
        return
    kinds = {True: ("good", "kept"), False: ("bad", "missed"), None: ("open", "not decided")}
    is_valid, rows = run.conditions.get("valid", True), []
    for row in frame.itertuples():
        kind, text = kinds[row.kept if is_valid else None]
        numbers = [f"{x:,.4g}" if math.isfinite(x) else "-" if math.isnan(x) else "never"
                   for x in (row.promised, row.found, row.judged_by)]  # fmt: skip
        rows.append([f"{row.Index}, {row.unit}", *numbers, Mark(kind, text, row.note)])
    header = ("promise", "promised", "found", "judged by", "verdict")
    how = "Latencies are judged by the upper end of their interval, times of recovery by the worst replication."
    yield Section("Promises", [Table("Promises and what was found", header, rows, frozenset({1, 2, 3})), Text(how)])


def _figures(run: Results) -> Section:
    rows = []
    for name, row in run.summary.iterrows():
        if row["value"] == 0 and not str(name).startswith("deliveries"):
            continue
        rows.append([str(name), value_text(row["value"], row["unit"]), _interval(row["low"], row["high"], row["unit"])])
    how = "Figures are of messages published after the warm-up. What is 0 is left out, but for deliveries."
    return Section(
        "Figures",
        [Table("Figures of the run", ("figure", "value", "95 % interval"), rows, frozenset({1, 2})), Text(how)],
    )


def _interval(low: float, high: float, unit: str) -> str:
    """Nothing where it is not known, or has no width."""
    return "" if math.isnan(low) or low == high else f"{value_text(low, unit)} to {value_text(high, unit)}"


def _latency(run: Results) -> Section:
    latency = run.latency_s()
    alt = ", ".join(f"{name} {value_text(latency[name].value, 's')}" for name in ("p50", "p95", "p99", "max"))
    cdf = Picture("cdf", f"Share of deliveries within a latency: {alt}.", lambda: parts.drawing().latency_cdf(run))
    return Section("Delivery latency", [cdf, *hop_blocks(run)])


def hop_blocks(run: Results) -> list[Picture | Table | Text]:
    """Where the time of a delivery goes: its way through the system, the waterfall of its hops, and their figures.

    Parameters
    ----------
    run : Results
        Simulated or live.
    """
    hops = run.hops
    told = "; ".join(f"{hop} {value_text(hops.loc[hop, 'mean_s'], 's')}" for hop in (*HOPS, "total"))
    rows = []
    for hop, row in hops.iterrows():
        cells = [value_text(row[name], "s") for name in ("mean_s", "p50_s", "p99_s")]
        rows.append(
            [str(hop), cells[0], _interval(row["low_s"], row["high_s"], "s"), percent(row["share"]), *cells[1:]]
        )
    header = ("hop", "mean", "95 % interval", "share", "p50", "p99")
    alt = f"Mean of each hop, one after the other: {told}."
    way = f"The way of a message from publisher to broker, servers and clients, with the mean time of each hop: {told}."
    return [
        Picture("way", way, lambda: parts.drawing().topology(run)),
        Picture("hops", alt, lambda: parts.drawing().hop_waterfall(run)),
        Table("Latency of each hop", header, rows, frozenset(range(1, 6))),
        Text("Means of hops add up to the whole; quantiles do not."),
    ]


def _connections(run: Results) -> Section:
    found = run.connections
    alt = f"Open connections of each server over time; {found['peak']:,.0f} in all at the peak."
    blocks = [Picture("connections", alt, lambda: parts.drawing().connections_per_server(run))]
    if found["attempts"]:
        counts = f"{found['attempts']:,.0f} in all, {found['reconnects']:,.0f} reconnects"
        alt = f"Connection attempts per second over time; {counts}."
        blocks.append(Picture("attempts", alt, lambda: parts.drawing().reconnect_rate(run)))
    return Section("Connections", blocks)


def _services(run: Results) -> Iterator[Section]:
    if not run.scenario.services:
        return
    rows = []
    for name, row in run.services.iterrows():
        times = [value_text(row[column], "s") for column in ("mean_s", "p99_s")]
        failed = row["events"] - row["done"]
        rows.append([str(name), f"{row['events']:,.0f}", f"{row['done']:,.0f}", f"{failed:,.0f}",
                     percent(row["utilization"]), *times, f"{row['highest_lag']:,.0f}"])  # fmt: skip
    header = ("service", "events", "done", "came to nothing", "busy", "mean", "p99", "most open")
    alt = "Events that wait for each service or are in work, over time; most at once: "
    alt += ", ".join(f"{row[0]} {row[-1]}" for row in rows)
    table = Table("Services ahead of the push tier", header, rows, frozenset(range(1, 8)))
    yield Section("Services", [table, Picture("lag", f"{alt}.", lambda: parts.drawing().lag(run))])


def _command(run: Results) -> list[str]:
    file = parts.file_of(run.scenario)
    if run.engine == "live":
        return ["realtime-sim", "live", file]
    again = [] if run.n_replications == 1 else ["--replications", str(run.n_replications)]
    return ["realtime-sim", "simulate", file, "--engine", run.engine, *again]
