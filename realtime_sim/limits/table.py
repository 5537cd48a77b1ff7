"""The table of limits: one row for each, as text, HTML, a frame and plain data."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd

__all__ = ["Limit", "Limits", "aligned", "number", "plural"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what is asked for, what one server has of it, and the servers that follow.

    Parameters
    ----------
    name : str
        `"connections"`, `"memory"`, `"cpu"`, `"egress"`, `"broker"` or `"reconnect storm"`.
    servers : int or None
        Servers needed by this limit alone; None where it asks for none: it is not set, no number is enough, or it is
        about something else than servers.
    per_server_capacity : float or None
        What one server may be given, in `unit`, target utilization included. For the broker, one thread. For the
        reconnect storm, clients a second that a survivor accepts.
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
    used_ratio : float or None
        Share of the whole capacity, target utilization left out, that is used where all limits are met together.
    possible : bool
        False where no number of servers, or of brokers, is enough.
    brokers : int or None
        For the broker: Redis instances or Kafka partitions needed, if rooms spread evenly over them.
    time_s : float or None
        For the reconnect storm: until all clients are accepted again, seconds; None if never.
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
    possible: bool = True
    brokers: int | None = None
    time_s: float | None = None


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
        Servers that meet every limit, without spares; None where no number does.
    rows : tuple of Limit
        One for each limit.
    """

    name: str
    given: int
    target_utilization: float
    needed: int | None
    rows: tuple[Limit, ...]

    @property
    def binding(self) -> str:
        """Name of the limit that decides: one that more servers do not meet, else the one that needs most of them."""
        return next(row.name for row in self.rows if row.binding)

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
        numbers = dict.fromkeys(["per_server_capacity", "demand", "used_ratio", "time_s"], float)
        return frame.drop(columns="arithmetic").astype({"servers": "Int64", "brokers": "Int64", **numbers})

    @property
    def headline(self) -> str:
        """The answer in one line."""
        needed = "no number of servers is enough" if self.needed is None else f"{plural(self.needed, 'server')} needed"
        limit = "broker, which more servers do not help" if self.binding == "broker" else self.binding
        return f"{self.name}: {needed}, {self.given:,} given. Binding limit: {limit}."

    def _cells(self) -> pd.DataFrame:
        cells = []
        for row in self.rows:
            used = "" if row.used_ratio is None else f"{row.used_ratio:.1%}"
            figures = [number(row.per_server_capacity), number(row.demand), row.unit]
            cells.append([row.name, _needed(row), *figures, used, "binding" if row.binding else ""])
        columns = ["limit", "needed", "capacity each", "demand", "unit", "used", ""]
        return pd.DataFrame(cells, columns=columns)

    def __str__(self) -> str:
        cells = self._cells()
        lines = [
            self.headline,
            f"Loops, links and the broker may be busy {self.target_utilization:.0%} of the time.",
            "",
        ]
        lines += aligned([list(cells.columns), *cells.to_numpy().tolist()], left={0, 4})
        for row in self.rows:
            lines += ["", row.name, *(f"  {line}" for line in row.arithmetic.splitlines())]
            lines += [f"  Note: {row.note}"] if row.note else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [f"<p><b>Note on {row.name}:</b> {html.escape(row.note)}</p>" for row in self.rows if row.note]
        sums = "\n\n".join(f"<b>{row.name}</b>\n{html.escape(row.arithmetic)}" for row in self.rows)
        table = self._cells().to_html(index=False, border=0)
        return "\n".join([f"<h4>{html.escape(self.headline)}</h4>", table, *notes, f"<pre>{sums}</pre>"])

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        head = {"scenario": self.name, "given": self.given, "target_utilization": self.target_utilization}
        return {**head, "needed": self.needed, "binding": self.binding, "rows": [asdict(row) for row in self.rows]}


def _needed(row: Limit) -> str:
    """What a limit asks for, in words."""
    if not row.possible:
        return "none is enough"
    if row.servers is not None:
        return plural(row.servers, "server")
    if row.brokers is not None:
        return plural(row.brokers, "broker")
    return "not limited" if row.time_s is None else f"{row.time_s:,.3g} s"


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
