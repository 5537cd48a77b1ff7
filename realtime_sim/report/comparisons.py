"""The page of a comparison: a validation of the simulation against live runs, or two runs beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from realtime_sim.agreement import Comparison, determined, undetermined
from realtime_sim.agreement.comparison import range_text, worth_showing
from realtime_sim.agreement.determined import COUNTS
from realtime_sim.agreement.judging import AGREES, NO_DIFFERENCE, NOT_DECIDED, NOT_DETERMINED, NOT_JUDGED
from realtime_sim.agreement.words import percent, value_text
from realtime_sim.report import parts
from realtime_sim.report.page import Cell, Mark, Noted, Page, Picture, Section, Table, Text

__all__ = ["page_of_comparison"]

_HOPS = {
    "to_server": "from the publisher until a server's loop takes it up: the ways, the broker, the queue",
    "fanout": "decoding, and the sends before and of this copy",
    "client_away": "waiting for a client that is between two polls, or reconnecting",
    "to_client": "the server's link, and the client's network",
    "publisher_to_broker": "from the intended publish until the broker has it",
    "broker": "waiting and work at the broker",
    "broker_to_server": "from the broker to the server",
    "server_wait": "the queue of the server's loop",
    "egress": "the server's link to its clients",
    "client_network": "the network of the client",
}


def page_of_comparison(found: Comparison) -> Page:
    """Everything a reviewer asks about a comparison, the verdict first.

    Parameters
    ----------
    found : Comparison
        From `realtime_sim.compare`; one of JSON has no curves.
    """
    name_a, name_b = found.labels
    scenario = found.a.scenario
    validates = found.kind == "validation"
    undecided = found.verdict.startswith("Not decided")
    question = (
        f"Does the simulation say what a real cluster does with “{scenario.name}”?"
        if validates
        else f"Do {name_a} and {name_b} differ?"
    )
    kind = "bad" if validates else "other"
    if undecided or found.agrees:
        kind = "good" if validates and not undecided else "open"
    answer = Mark(kind, found.verdict)
    return Page(
        f"{scenario.name}: {name_a} against {name_b}",
        question,
        answer,
        f"{name_a}: {found.side_text('a')}. {name_b}: {found.side_text('b')}.",
        [*_sections(found)],
    )


def _sections(found: Comparison) -> Iterator[Section]:
    runs = found.runs
    yield from parts.notes(runs, found.notes)
    yield _figures(found)
    if runs:
        yield Section(
            "Delivery latency", [Picture("cdf", _cdf_alt(found), lambda: parts.drawing().agreement_cdf(found))]
        )
    yield _hops(found)
    if runs:
        yield Section("Connections", [_connections(found)])
        if found.a.scenario.faults == found.b.scenario.faults:
            yield from parts.storms(runs, lambda fault: parts.drawing().storm(runs, fault, zoom=True))
        yield from parts.decisions(_first_of_each(found))
    else:
        yield Section("Curves", [Text("The runs were read from JSON, which has no curves and no single replications.")])
    yield from parts.conditions(_conditions(found))
    yield from _counts(found)
    yield from _changes(found)
    yield parts.scenario_section(found.a.scenario)
    yield parts.origin(_commands(found), found.a.scenario)


def _first_of_each(found: Comparison) -> dict:
    sides = zip(found.labels, (found.a, found.b), strict=True)
    return {label: side.runs[0] for label, side in sides if side.runs}


def _conditions(found: Comparison) -> dict[str, Mapping[str, object]]:
    given = {label: run.conditions for label, run in found.runs.items()}
    return given or {f"{found.labels[1]} {i}": one for i, one in enumerate(found.b.conditions, 1)}


# --- figures --------------------------------------------------------------------------------------------------------


def _figures(found: Comparison) -> Section:
    """What is held to something first, then the rest."""
    live = found.kind == "validation"
    name_a, name_b = found.labels
    frame = found.figures[worth_showing(found.figures)]
    quiet = frame["verdict"].isin([NOT_JUDGED, NO_DIFFERENCE])
    header = [
        "figure",
        f"{name_a} (95 % interval)",
        f"{name_b}, median (range)" if live else f"{name_b} (95 % interval)",
    ]
    header += ["deviation", "allowed", "verdict"] if live else ["deviation", "verdict"]
    captions = ("Figures that are held to something", "Other figures") if live else ("What differs", "What does not")
    blocks: list[Table | Text] = []
    for caption, rows, n in zip(captions, (frame[~quiet], frame[quiet]), (len(header), 4), strict=True):
        cells = [_row(str(name), row, live)[:n] for name, row in rows.iterrows()]
        if cells:
            blocks.append(Table(caption, header[:n], cells, frozenset(range(1, 5 if live else 4))))
    how = (
        "A deviation is a share of the live figure: above 0, live runs have more. Counts that the scenario decides "
        "must be equal to the last delivery."
        if live
        else f"A deviation is a share of {name_a}. A difference is shown where its 95 % interval leaves 0 out; each "
        "interval stands for itself."
    )
    return Section("Figures", [*blocks, Text(how)])


def _row(name: str, row: Mapping[str, object], live: bool) -> list[Cell]:
    unit, deviation, allowed = str(row["unit"]), float(row["deviation_ratio"]), float(row["allowed_ratio"])
    cells: list[Cell] = [name, *(Noted(value_text(float(row[s]), unit), range_text(row, s)) for s in ("a", "b"))]
    sign = "" if math.isnan(deviation) or deviation == 0 else "+" if deviation > 0 else "−"
    cells.append("-" if math.isnan(deviation) else sign + percent(abs(deviation)))
    if live:
        cells.append("" if math.isnan(allowed) else "equal" if unit == "per run" else percent(allowed))
    return [*cells, mark_of(str(row["verdict"]), str(row["why"]))]


def mark_of(verdict: str, why: str) -> Mark:
    """The verdict on a figure with its sign: what is off is bad, what differs is just other, and the rest is open."""
    if verdict == AGREES:
        return Mark("good", verdict)
    if verdict in (NOT_DECIDED, NOT_DETERMINED, NOT_JUDGED, NO_DIFFERENCE) or verdict.endswith("no interval"):
        return Mark("open", verdict, why)
    return Mark("bad" if verdict.startswith("off") else "other", verdict, why)


def _cdf_alt(found: Comparison) -> str:
    told = []
    for side, label in zip("ab", found.labels, strict=True):
        values = [f"{name} {_latency(found, name, side)}" for name in ("p50", "p95", "p99")]
        told.append(f"{label}: {', '.join(values)}")
    return f"Share of deliveries within a latency, both sides over each other. {'; '.join(told)}."


def _latency(found: Comparison, name: str, side: str) -> str:
    return value_text(float(found.figures.loc[f"delivery latency {name}", side]), "s")


# --- hops and connections -------------------------------------------------------------------------------------------


def _hops(found: Comparison) -> Section:
    name_a, name_b = found.labels
    header = ("hop", name_a, name_b, "difference", f"p99 {name_a}", f"p99 {name_b}", "what it is")
    rows, told = [], []
    for hop, row in found.hops.iterrows():
        a, b = (value_text(row[f"{side}_mean_s"], "s") for side in "ab")
        difference = row["difference_s"]
        sign = "−" if difference < 0 else "+" if difference > 0 else ""
        p99 = [value_text(row[f"{side}_p99_s"], "s") for side in "ab"]
        rows.append([str(hop), a, b, sign + value_text(abs(difference), "s"), *p99, _HOPS.get(str(hop), "")])
        told.append(f"{hop} {a} and {b}")
    alt = f"Bars of the mean of each hop, {name_a} and {name_b}: {'; '.join(told)}."
    live = found.a.is_live or found.b.is_live
    how = "Means of hops add up to the whole. " + (
        "A live run knows four groups of hops; of several runs they are those with the median mean. A p99 is left out "
        "where several hops take time and single deliveries were not kept."
        if live
        else "Quantiles do not."
    )
    table = Table("Mean of each hop", header, rows, frozenset(range(1, 6)))
    return Section(
        "Where the time goes", [Picture("hops", alt, lambda: parts.drawing().agreement_hops(found)), table, Text(how)]
    )


def _connections(found: Comparison) -> Picture:
    peaks = "; ".join(f"{label}: {run.connections['peak']:,.0f} at the peak" for label, run in found.runs.items())
    return Picture(
        "connections",
        f"Open connections over time, of all servers and of each. {peaks}.",
        lambda: parts.drawing().connections_of(found.runs),
    )


# --- what it rests on -----------------------------------------------------------------------------------------------


def _counts(found: Comparison) -> Iterator[Section]:
    if found.kind != "validation":
        return
    so, not_so = determined(found.a.scenario), undetermined(found.a.scenario)
    rows = [[name, Mark("good" if name in so else "open", "decided" if name in so else "hangs on timing"),
             so.get(name) or not_so[name]] for name in COUNTS]  # fmt: skip
    table = Table("Counts of deliveries", ("count", "the scenario alone", "because"), rows)
    yield Section("Which counts must be equal", [table])


def _changes(found: Comparison) -> Iterator[Section]:
    if found.changes:
        rows = [[one.path, one.a, one.b] for one in found.changes]
        table = Table("Fields of the scenario that differ", ("field", *found.labels), rows)
        yield Section("What differs in the scenarios", [table])


def _commands(found: Comparison) -> list[list[str]]:
    file = parts.file_of(found.a.scenario)
    if found.kind == "validation":
        return [["realtime-sim", "validate", file, "--report", "report.html"]]
    change = [f"--set={one.path}={one.b}" for one in found.changes if one.b != "(default)"]
    lines = []
    for side, out, more in ((found.a, "a.json", []), (found.b, "b.json", change)):
        again = [] if len(side.seeds) == 1 else ["--replications", str(len(side.seeds))]
        lines.append(["realtime-sim", "simulate", file, "--engine", side.engine, *again, *more, "--json", out])
    return [*lines, ["realtime-sim", "compare", "a.json", "b.json"]]
