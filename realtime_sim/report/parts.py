"""Parts that all pages share: warnings, storms, decisions, conditions, the scenario, versions."""

from __future__ import annotations

import math
import platform
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from realtime_sim import __version__
from realtime_sim.agreement.words import percent, value_text
from realtime_sim.diagnosis import NOT_VALID
from realtime_sim.files import file_name
from realtime_sim.recovery import CUTS_NOBODY
from realtime_sim.report.page import Code, Items, Mark, Picture, Section, Table, Text
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.states import STATES

__all__ = ["conditions", "decisions", "drawing", "file_of", "notes", "origin", "scenario_section", "storms"]

LIBRARIES = ("numpy", "numba", "scipy", "pandas", "simpy", "matplotlib")
"""Whose versions may show in a figure."""

MOST_DECISIONS = 40
"""Rows of one table of decisions."""

_NAMES = {
    "valid": "valid", "reasons": "why not", "broker": "broker", "balancer": "balancer", "client_library": "clients",
    "host_cores": "cores of the machine", "foreign_cores": "cores that other programs took",
}  # fmt: skip


def drawing() -> ModuleType:
    """The module that draws, loaded where it is needed: Markdown and JSON need none of it."""
    from realtime_sim import plots

    return plots


def notes(runs: Mapping[str, Results], more: Sequence[str] = ()) -> Iterator[Section]:
    """What to know before believing the figures; each warning once, with the runs it is of.

    Parameters
    ----------
    runs : mapping of str to Results
        By what to call them.
    more : sequence of str
        Notes that are about all of them. What they say of a run that is not valid is not said again.
    """
    said: dict[str, list[str]] = {}
    for label, run in runs.items():
        for text in run.warnings:
            if not (text.startswith(NOT_VALID) and text.removeprefix(NOT_VALID) in " ".join(more)):
                said.setdefault(text, []).append(label)
    whose = {text: "" if len(labels) == len(runs) else f"{', '.join(labels)}: " for text, labels in said.items()}
    items = [*more, *(who + text for text, who in whose.items())]
    if items:
        yield Section("Before you believe it", [Items(items)])


def storms(runs: Mapping[str, Results], draw: Callable[[int], object], name: str = "storm") -> Iterator[Section]:
    """Each fault that cut clients off: how they came back, in numbers and as a curve.

    Parameters
    ----------
    runs : mapping of str to Results
        By what to call them, of one scenario.
    draw : callable
        Draws the storm of a fault by its number.
    name : str
        What names of the pictures begin with; another one for each drill of a page.
    """
    first = next(iter(runs.values()))
    for number, fault in enumerate(first.scenario.faults):
        if fault.kind in CUTS_NOBODY:
            continue
        rows = {label: run.recovery.loc[number] for label, run in runs.items()}
        if not any(row["affected"] for row in rows.values()):
            continue
        cells = [[label, *_back(row)] for label, row in rows.items()]
        header = ("run", "cut off", "back", "half back after", "95 % after", "all after")
        told = "; ".join(f"{label}: all back after {row[-1]}" for label, *row in cells)
        what = f"{fault.kind.replace('_', ' ')} at {round(fault.at, 2):g} s"
        verdicts = {label: str(run.storm.loc[number, "verdict"]) for label, run in runs.items()}
        down = [f"{label}: {verdict}." for label, verdict in verdicts.items() if "not recovered" in verdict]
        yield Section(
            f"Recovery from {what}",
            [
                Table(f"Clients that {what} cut off", header, cells, frozenset(range(1, 6))),
                Picture(
                    f"{name}-{number}",
                    f"Connection attempts per second, and the share of clients that are back, after {what}. {told}.",
                    lambda number=number: draw(number),
                ),
                *(_states(run, number, what, name) for run in runs.values() if len(runs) == 1),
                Text(_storm_sources(first.n_replications)),
                *([Items(down)] if down else []),
            ],
        )


def _states(run: Results, number: int, what: str, name: str) -> Picture:
    """Clients by state during the storm of a fault."""
    states = run.client_states.loc[run.scenario.faults[number].at :]
    most = {STATES[state]: counts.max() for state, counts in states.items() if state not in ("connected", "away")}
    told = ", ".join(f"{count:,} {state}" for state, count in most.items() if count)
    alt = (
        f"Clients by state over time, {run.scenario.n_clients:,} in all; after {what} at most {told or 'none cut off'}."
    )
    return Picture(f"{name}-states-{number}", alt, lambda: drawing().storm_states(run, number))


def _storm_sources(runs: int) -> str:
    """Where the figures of a storm are from: a table of all runs and a picture of one do not show the same times."""
    table = f"Times in the table are means over {runs:,} runs, and figures show the first of them. "
    capacity = "The capacity is what the servers left could accept if they did nothing else."
    return (table if runs > 1 else "") + capacity


def _back(row: Mapping[str, float]) -> list[str]:
    """How many were cut off and are back, and the times of 50, 95 and 100 %."""
    never = row["recovered"] < row["affected"]
    times = [row[f"p{percent_}_s"] for percent_ in (50, 95, 100)]
    return [
        f"{row['affected']:,.0f}", f"{row['recovered']:,.0f}",
        *(value_text(math.inf if math.isnan(t) and never else t, "s") for t in times),
    ]  # fmt: skip


def decisions(
    runs: Mapping[str, Results], title: str = "What the control plane did", most: int = MOST_DECISIONS
) -> Iterator[Section]:
    """What the control plane did in each run.

    Parameters
    ----------
    runs : mapping of str to Results
        By what to call them.
    title : str
        Of the section.
    most : int
        Rows of one table.
    """
    blocks: list[Table | Text] = []
    for label, run in runs.items():
        frame = run.decisions
        if frame.empty:
            continue
        rows = [
            [f"{row.time_s:,.3f}", row.actor, row.action, str(row.target), row.reason] for row in frame.itertuples()
        ]
        header = ("time, s", "who", "did what", "to what", "why")
        blocks.append(Table(f"Decisions, {label}", header, rows[:most]))
        if len(rows) > most:
            blocks.append(Text(f"And {len(rows) - most:,} more, which the JSON of the run has."))
    if blocks:
        yield Section(title, blocks)


def conditions(found: Mapping[str, Mapping[str, object]]) -> Iterator[Section]:
    """What live runs say about themselves and their machine, and about each of their processes.

    Parameters
    ----------
    found : mapping of str to mapping
        Conditions by what to call the run.
    """
    found = {label: one for label, one in found.items() if one}
    if not found:
        return
    keys = [key for key in dict.fromkeys(key for one in found.values() for key in one) if key != "processes"]
    rows = [
        [_NAMES.get(key, key.replace("_", " ")), *(_told(key, one.get(key)) for one in found.values())] for key in keys
    ]
    blocks: list[Table | Text] = [
        Text("A run is valid if its clients and its publisher kept up, and nothing else took the machine."),
        Table("Conditions of the live runs", ("", *found), rows),
    ]
    processes = [one["processes"] for one in found.values() if one.get("processes")]
    if processes:
        blocks.append(_processes(processes))
    yield Section("Were the live runs valid?", blocks)


def _told(key: str, value: object) -> str | Mark:
    if key == "valid":
        return Mark("good", "valid") if value else Mark("bad", "not valid")
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value)) or "-"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return "-" if value is None else str(value)


def _processes(runs: Sequence[Sequence[Mapping[str, object]]]) -> Table:
    """Shares of one core, and memory, of each process, run by run; further columns as they come."""
    known = {"cpu_ratio": "on a core", "wait_ratio": "waiting for one", "memory_bytes": "memory"}
    every = [one for processes in runs for one in processes]
    keys = [key for key in dict.fromkeys(key for one in every for key in one) if key != "name"]
    rows = []
    for name in dict.fromkeys(str(one.get("name", "")) for one in every):
        same = [one for one in every if str(one.get("name", "")) == name]
        rows.append([name, *(" · ".join(_measure(key, one.get(key)) for one in same) for key in keys)])
    header = ("process", *(known.get(key, key.replace("_", " ")) for key in keys))
    caption = "Processes: shares of the time of the run" + (", run by run" if len(runs) > 1 else "")
    return Table(caption, header, rows, frozenset(range(1, len(header))))


def _measure(key: str, value: object) -> str:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return "-" if value is None else str(value)
    if key.endswith("_ratio"):
        return percent(float(value))
    return f"{value / 2**20:,.1f} MiB" if key.endswith("_bytes") else f"{value:,.4g}"


def scenario_section(scenario: Scenario, title: str = "The scenario") -> Section:
    """The scenario as a file."""
    about = [Text(scenario.description)] if scenario.description else []
    return Section(title, [*about, Code(scenario.to_yaml(), "yaml", file_of(scenario))])


def file_of(scenario: Scenario) -> str:
    """What to call a scenario's file."""
    return f"{file_name(scenario.name)}.yaml"


def origin(commands: Sequence[Sequence[str]], scenario: Scenario) -> Section:
    """How to get the same figures again, and from which versions they are.

    Parameters
    ----------
    commands : sequence of sequence of str
        Command lines, word by word.
    scenario : Scenario
        Which must be saved first.
    """
    lines = "\n".join(shlex.join(words) for words in commands)
    rows = [["realtime-sim", __version__], ["Python", platform.python_version()]]
    rows += [[name, _version(name)] for name in LIBRARIES]
    return Section(
        "How to reproduce it",
        [
            Text(f"Save the scenario as {file_of(scenario)}. Every draw follows from its seed, {scenario.seed}."),
            Code(lines, "sh", "Commands"),
            Table("Versions", ("package", "version"), rows),
        ],
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not known"
