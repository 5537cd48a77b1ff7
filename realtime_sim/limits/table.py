"""The table of limits: one row for each, as text, HTML, a frame and plain data."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from realtime_sim.answers import table_html

__all__ = ["Limit", "Limits", "Storm", "aligned", "number", "plural"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what is asked for, what one server has of it, and the servers that follow.

    Parameters
    ----------
    name : str
        `"connections"`, `"memory"`, `"cpu"`, `"egress"` or `"broker"`.
    servers : int or None
        Servers needed by this limit alone, with none lost; None where it asks for none: it is not set, no number is
        enough, or it is about something else than servers.
    per_server_capacity : float or None
        What one server may be given, in `unit`, target utilization included. For the broker, one thread.
    demand : float or None
        What is asked of `servers` servers together, in `unit`.
    unit : str
        Unit of both.
    arithmetic : str
        How the figures come about, one step a line.
    binding : bool
        Whether this limit decides.
    note : str
        What to know about it; may be empty.
    used_ratio, left_used_ratio : float or None
        Share of the whole capacity, target utilization left out, that is used where all limits are met together, and
        of what is left when `slo.survive_servers` of those servers are lost (None where none may be).
    given_used_ratio, given_left_used_ratio : float or None
        The same at the scenario's own `servers.count`; the second is None where none is left, too.
    possible : bool
        False where no number of servers, or of brokers, is enough.
    brokers : int or None
        For the broker: Redis instances (`broker.shards`) or Kafka partitions needed, if rooms spread evenly over them.
    to_survive : int or None
        `servers` and those that may be lost; None where none may be.
    without_wakeups : int or None
        For the CPU, where wake-ups alone keep the loops of any number of servers too busy: servers for the work itself,
        which may well do, as wake-ups fade under load. None elsewhere.
    """

    name: str
    servers: int | None
    per_server_capacity: float | None
    demand: float | None
    unit: str
    arithmetic: str
    binding: bool = False
    note: str = ""
    used_ratio: float | None = None
    left_used_ratio: float | None = None
    given_used_ratio: float | None = None
    given_left_used_ratio: float | None = None
    possible: bool = True
    brokers: int | None = None
    to_survive: int | None = None
    without_wakeups: int | None = None


@dataclass(frozen=True, slots=True)
class Storm:
    """Servers die at once, and the others take their clients in.

    Parameters
    ----------
    servers, lost : int
        Servers before, and how many of them die.
    clients : float
        Clients that are cut off.
    accepted_per_s : float or None
        Clients a second that one survivor accepts; None if none, or any number.
    accept_s : float or None
        Time the survivors need to accept all of them, seconds; None if they never can.
    back_s : float or None
        Until all are back, the longest first backoff and slow round trips included, if no attempt fails, seconds; None
        if never.
    kept : bool or None
        Whether that is within `slo.recover_within`; None where nothing is promised.
    to_survive : int or None
        Least servers before, so that the others can take in the clients of `lost`; None where no number can.
    arithmetic, note : str
        How the figures come about, one step a line; what to know about it.
    """

    servers: int
    lost: int
    clients: float
    accepted_per_s: float | None
    accept_s: float | None
    back_s: float | None
    kept: bool | None
    to_survive: int | None
    arithmetic: str
    note: str


@dataclass(frozen=True)
class Limits:
    """All limits of a scenario. Printed, it is a table with the arithmetic below it.

    Parameters
    ----------
    name : str
        Of the scenario.
    given : int
        Its `servers.count`.
    target_utilization : float
        Share of time that event loops, links and the broker may be busy (dimensionless).
    needed : int or None
        Servers that meet every limit, even when `lost` of them are; None where no number does.
    rows : tuple of Limit
        One for each limit.
    lost : int
        Servers that may be lost, `slo.survive_servers`.
    storms : tuple of Storm
        What follows when `lost` servers, or one, die: of those needed, and of those given if that is another number.
    """

    name: str
    given: int
    target_utilization: float
    needed: int | None
    rows: tuple[Limit, ...]
    lost: int = 0
    storms: tuple[Storm, ...] = ()

    @property
    def binding(self) -> str | None:
        """Name of the limit that decides: one that more servers do not meet, else the one that needs most of them.

        None where every limit is next to unused.
        """
        return next((row.name for row in self.rows if row.binding), None)

    @property
    def exceeded(self) -> tuple[str, ...]:
        """Names of the limits that the given servers do not meet, with those lost that may be."""
        return tuple(row.name for row in self.rows if self._given_ratio(row) > self.allowed(row) * (1 + 1e-9))

    def _given_ratio(self, row: Limit) -> float:
        if self.lost >= self.given:
            return math.inf
        return (row.given_left_used_ratio if self.lost else row.given_used_ratio) or 0.0

    def allowed(self, row: Limit) -> float:
        """Share of the limit's whole capacity that may be used: all of it, or the target utilization."""
        return 1.0 if row.name in ("connections", "memory") else self.target_utilization

    def row(self, name: str) -> Limit:
        """The limit called `name`.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {row.name: row for row in self.rows}[name]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row for each limit, indexed by its name; the arithmetic is left out."""
        frame = pd.DataFrame([asdict(row) for row in self.rows]).set_index("name").rename_axis("limit")
        figures = ["per_server_capacity", "demand", *(name for name in frame.columns if name.endswith("_ratio"))]
        whole = ("servers", "brokers", "to_survive", "without_wakeups")
        types = {**dict.fromkeys(whole, "Int64"), **dict.fromkeys(figures, float)}
        return frame.drop(columns="arithmetic").astype(types)

    @property
    def headline(self) -> str:
        """The answer in one line."""
        needed = self._unmet if self.needed is None else f"{plural(self.needed, 'server')} needed"
        if self.lost and self.needed is not None:
            needed += f" ({self.needed - self.lost:,} and {self.lost:,} that may be lost)"
        limit = "broker, which more servers do not help" if self.binding == "broker" else self.binding
        binds = "Nothing binds." if limit is None else f"Binding limit: {limit}."
        return f"{self.name}: {needed}, {self.given:,} given. {binds}"

    @property
    def _unmet(self) -> str:
        """What no number of servers does."""
        unmet = [row for row in self.rows if not row.possible and row.name != "broker"]
        awake = max((row.without_wakeups or 0 for row in unmet), default=0)
        if len(unmet) != 1 or not awake:
            return "no number of servers is enough"
        most = f"{self.target_utilization * 100:.3g} %"
        return f"none by arithmetic at {most}: wake-ups, {awake:,} for the work alone; simulate it with plan"

    @property
    def verdict(self) -> str:
        """Whether the given servers are enough, and where not, in one line."""
        yours = f"Your {plural(self.given, 'server')}"
        one = "s" if self.given == 1 else ""
        with_lost = f", {self.lost:,} of them lost," if self.lost else ""
        if self.lost >= self.given:
            return f"{yours}: none is left when {self.lost:,} {'is' if self.lost == 1 else 'are'} lost."
        if not self.exceeded:
            return f"{yours}{with_lost} meet{one} every limit."
        rows = [row for row in self.rows if row.name in self.exceeded]
        over = ", ".join(f"{row.name} at {self._given_ratio(row):,.1%} of {self.allowed(row):.0%}" for row in rows)
        return f"{yours}{with_lost} {'does' if one else 'do'} not meet every limit: {over}."

    def _columns(self) -> dict[str, Callable[[Limit], str]]:
        """Head of each column, and what stands in it."""
        columns: dict[str, Callable[[Limit], str]] = {"limit": lambda row: row.name, "needed": _needed}
        if self.lost:
            columns[f"to lose {self.lost:,}"] = lambda row: "" if row.to_survive is None else f"{row.to_survive:,}"
        columns |= {
            "capacity each": lambda row: number(row.per_server_capacity),
            "demand": lambda row: number(row.demand),
            "unit": lambda row: row.unit,
        }
        if self.needed is not None:
            columns[f"used at {self.needed:,}"] = lambda row: _share(row.used_ratio)
            if self.lost:
                columns[f"{self.needed - self.lost:,} left"] = lambda row: _share(row.left_used_ratio)
        columns[f"at your {self.given:,}"] = lambda row: _share(row.given_used_ratio)
        if self.lost:
            left = max(self.given - self.lost, 0)
            columns["none left" if not left else f"your {left:,} left"] = lambda row: _share(row.given_left_used_ratio)
        return columns | {"": lambda row: "binding" if row.binding else ""}

    def _cells(self) -> list[list[str]]:
        columns = self._columns()
        return [list(columns), *([show(row) for show in columns.values()] for row in self.rows)]

    def _storm_title(self, storm: Storm) -> str:
        whose = "your servers" if storm.servers == self.given else "servers needed"
        return f"reconnect storm, {whose}: {storm.lost:,} of {storm.servers:,} {'dies' if storm.lost == 1 else 'die'}"

    def __str__(self) -> str:
        busy = f"Loops, links and the broker may be busy {self.target_utilization:.0%} of the time."
        cells = self._cells()
        table = aligned(cells, left={0, cells[0].index("unit"), len(cells[0]) - 1})
        lines = [self.headline, self.verdict, busy, "", *table]
        if any("!" in cell for row in cells for cell in row):
            lines.append("! more than there is")
        blocks = [(row.name, row.arithmetic, row.note) for row in self.rows]
        blocks += [(self._storm_title(storm), storm.arithmetic, storm.note) for storm in self.storms]
        for title, arithmetic, note in blocks:
            lines += ["", title, *(f"  {line}" for line in arithmetic.splitlines())]
            lines += [f"  Note: {note}"] if note else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [(row.name, row.note) for row in self.rows] + [
            (self._storm_title(one), one.note) for one in self.storms
        ]
        shown = [f"<p><b>Note on {title}:</b> {html.escape(note)}</p>" for title, note in notes if note]
        sums = [(row.name, row.arithmetic) for row in self.rows]
        sums += [(self._storm_title(storm), storm.arithmetic) for storm in self.storms]
        arithmetic = "\n\n".join(f"<b>{title}</b>\n{html.escape(text)}" for title, text in sums)
        title = f"<h4>{html.escape(self.headline)}</h4>\n<p>{html.escape(self.verdict)}</p>"
        return "\n".join([title, table_html(self._cells()), *shown, f"<pre>{arithmetic}</pre>"])

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        head = {"scenario": self.name, "given": self.given, "target_utilization": self.target_utilization}
        answer = {"needed": self.needed, "lost": self.lost, "binding": self.binding, "exceeded": list(self.exceeded)}
        parts = {"rows": [asdict(row) for row in self.rows], "storms": [asdict(storm) for storm in self.storms]}
        return {**head, **answer, **parts}


def _needed(row: Limit) -> str:
    """What a limit asks for, in words."""
    if not row.possible:
        return "none is enough" if row.without_wakeups is None else "none: wake-ups"
    if row.servers is not None:
        return plural(row.servers, "server")
    return "not limited" if row.brokers is None else plural(row.brokers, "broker")


def _share(ratio: float | None) -> str:
    """A share in per cent, marked where it is more than there is."""
    return "" if ratio is None else f"{ratio:,.1%}" + ("!" if ratio > 1 + 1e-9 else "")


def number(value: float | None) -> str:
    """A figure with thousands separators, to four digits where it has a fraction; nothing for None.

    Examples
    --------
    >>> number(1_000_000.0), number(0.0000123456), number(None)
    ('1,000,000', '0.00001235', '')
    """
    if value is None:
        return ""
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    return np.format_float_positional(value, precision=4, fractional=False, trim="-")


def plural(n: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> plural(1, "server"), plural(1_200, "server")
    ('1 server', '1,200 servers')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def aligned(rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    """Lines with columns of equal width: those numbered in `left` start at the left, the others end at the right.

    Examples
    --------
    >>> aligned([["a", "10"], ["long", "5"]], left={0})
    ['a     10', 'long   5']
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [text.ljust(widths[i]) if i in left else text.rjust(widths[i]) for i, text in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return lines
