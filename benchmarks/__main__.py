"""`make bench`: every producer in one table, each measured in a fresh process, in rounds one after the other.

Rounds are interleaved, so that what else the machine does hits all alike. A ratio is that of rates in one round, to
plain SimPy at the same size or the largest that it was given; medians over rounds are shown, and what they range over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import startup
from benchmarks.measuring import Measurement, measure
from benchmarks.works import BAR_LARGE, WORKS

Item = tuple[str, str, int]
"""Work, producer, size."""

Rounds = dict[Item, list[Measurement]]

EXACT = 1e-9
"""The reference engine finds what the compiled one finds, but for the last digits of sums of floats."""


def main() -> None:
    """Measure, and print the tables."""
    asked, begun = _arguments(), time.monotonic()
    items = [
        (name, producer, size)
        for name, work in WORKS.items()
        if not asked.only or name in asked.only
        for producer, sizes in work.sizes.items()
        for size in sizes
        if size != BAR_LARGE or asked.large
    ]
    rounds: Rounds = {item: [] for item in items}
    ours: dict[Item, dict[str, float]] = {}
    notes = Console(stderr=True)
    with notes.status("") as status:
        for number in range(asked.rounds):
            for item in items:
                if number and item[2] == BAR_LARGE:
                    continue  # once is enough
                status.update(f"round {number + 1} of {asked.rounds}: {item[0]}, {item[1]}, {item[2]:,}")
                rounds[item].append(measure(*item, seed=number + 1))
        for name, producer, size in items:
            if producer != "fast" and (name, "fast", size) not in ours:
                status.update(f"what we find of {name}, {size:,}")
                ours[name, "fast", size] = measure(name, "fast", size, seed=1).figures
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows = _rows(rounds, ours)
    console.print(_table(rows))
    if not asked.only:
        console.print(_startup_table(asked.rounds, asked.first, notes))
    console.print(
        f"{asked.rounds} rounds, {time.monotonic() - begun:.0f} s. Memory: peak of the process (before work)."
    )
    if asked.markdown:
        asked.markdown.write_text(_markdown(rows))
    if asked.json:
        plain = [dict(zip(("work", "producer", "size"), item, strict=True)) | {"rounds": [asdict(m) for m in found]}
                 for item, found in rounds.items()]  # fmt: skip
        asked.json.write_text(json.dumps(plain, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each row")
    parser.add_argument("--only", nargs="*", metavar="WORK", choices=list(WORKS), help=", ".join(WORKS))
    parser.add_argument("--large", action="store_true", help="also the storm of 10,000,000 clients")
    parser.add_argument("--first", action="store_true", help="also first runs, with compiling: some minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    return parser.parse_args()


COLUMNS = ("work", "producer", "size", "time, s", "a second [range]", "x SimPy", "peak MB", "agrees", "bar")


def _rows(rounds: Rounds, ours: dict[Item, dict[str, float]]) -> list[list[str]]:
    """A row of cells for each work, producer and size."""
    rows = []
    for item, found in rounds.items():
        name, producer, size = item
        rates = [WORKS[name].units(size) / m.seconds for m in found]
        ratio = _ratio(rounds, item)
        peak, base = (statistics.median(getattr(m, key) for m in found) for key in ("peak_mb", "base_mb"))
        seconds = statistics.median(m.seconds for m in found)
        values = {"per_s": statistics.median(rates), "ratio": ratio, "peak_mb": peak, "seconds": seconds}
        bars = WORKS[name].bars.get(size, ()) if producer == "fast" else ()
        rows.append(
            [
                f"{name}, {WORKS[name].unit}",
                producer,
                f"{size:,}",
                f"{seconds:,.3g}",
                f"{_short(values['per_s'])} [{_short(min(rates))}, {_short(max(rates))}]",
                "" if ratio is None else f"{ratio:,.3g}",
                f"{peak:,.0f} ({base:,.0f})",
                _agreement(item, found[0].figures, ours),
                ", ".join(f"{bar}: {'met' if bar.met(values[bar.figure]) else 'MISSED'}" for bar in bars),
            ]
        )
    return rows


def _table(rows: list[list[str]]) -> Table:
    table = Table(*COLUMNS)
    for column in table.columns[2:7]:
        column.justify = "right"
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(*row, end_section=after is not None and after[0] != row[0])
    return table


def _markdown(rows: list[list[str]]) -> str:
    """The same as a table of Markdown, without the columns that guard the measurement."""
    shown = [0, 1, 2, 4, 5, 6, 8]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line[i] for i in shown)} |" for line in lines) + "\n"


def _ratio(rounds: Rounds, item: Item) -> float | None:
    """Rate over that of plain SimPy in the same round; None where SimPy has no model of the work."""
    name, _, size = item
    sizes = [other[2] for other in rounds if other[:2] == (name, "simpy")]
    if not sizes:
        return None
    peers_size, units = size if size in sizes else max(sizes), WORKS[name].units
    pairs = zip(rounds[item], rounds[name, "simpy", peers_size], strict=False)
    return statistics.median(units(size) / ours.seconds / (units(peers_size) / peers.seconds) for ours, peers in pairs)


def _agreement(item: Item, figures: dict[str, float], ours: dict[Item, dict[str, float]]) -> str:
    """Whether a peer found what we find at its size; how far it is off where it did not."""
    name, producer, size = item
    if producer == "fast":
        return ""
    ours_here, off = ours[name, "fast", size], []
    for figure, allowed in WORKS[name].same.items():
        apart = abs(figures[figure] / ours_here[figure] - 1)
        if apart > (EXACT if producer == "reference" else allowed):
            off.append(f"{figure} {apart:.1%} off")
    return ", ".join(off) or "yes"


def _startup_table(n: int, first: bool, notes: Console) -> Table:
    table = Table("start", "time, s [range]", "bar")
    with notes.status("start"):
        for what, (command, bar) in startup.LATER.items():
            startup.seconds(command)  # compiles, where nothing has run yet
            times = [startup.seconds(command) for _ in range(n)]
            value = statistics.median(times)
            words = f"{bar}: {'met' if bar.met(value) else 'MISSED'}"
            table.add_row(what, f"{value:.3g} [{min(times):.3g}, {max(times):.3g}]", words)
        for what, command in startup.FIRST.items() if first else ():
            table.add_row(what, f"{startup.seconds(command, new=True):.3g}", "")
    return table


def _short(number: float) -> str:
    """Three digits, with k or M."""
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"


if __name__ == "__main__":
    main()
