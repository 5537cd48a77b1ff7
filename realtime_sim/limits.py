"""Limits: how many servers each limit asks for on its own, with the arithmetic written out.

The costs are those the engines charge, as mean work a second while everyone is connected and all traffic runs.
Queueing is not in it: a loop that is busy 70 % of the time still makes messages wait, and how long is for `simulate`
to say. Neither are wake-ups of an idle loop, which are rare at high load, nor faults, but for the row on reconnects.
"""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import pandas as pd

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario

__all__ = ["Claim", "Limit", "Limits", "connections_claim", "server_limits"]

MOST_SERVERS = 1_000_000
"""Where the search for enough servers ends."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what is asked for, what one server has of it, and the servers that follow.

    Parameters
    ----------
    name : str
        `"connections"`, `"memory"`, `"cpu"`, `"egress"`, `"broker"` or `"reconnect storm"`.
    servers : int or None
        Servers needed by this limit alone; None where it asks for none (not set, not met by any number, or about
        something else than servers).
    per_server_capacity : float or None
        What one server (for the broker: one thread) may be given, in `unit`; the target utilization is in it.
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
        Share of the whole capacity, without target, that is used at the servers needed by all limits together.
    possible : bool
        False where no number of servers, or of brokers, is enough.
    brokers : int or None
        For the broker: Redis instances (shards by room) or Kafka partitions needed.
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
        Servers that satisfy every limit, without spares; None where no number does.
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
        """Name of the limit that decides: one that more servers cannot meet, else the one that needs most of them."""
        return next(row.name for row in self.rows if row.binding)

    def __getitem__(self, name: str) -> Limit:
        """The row called `name`."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row for each limit, indexed by its name."""
        columns = ["servers", "per_server_capacity", "demand", "unit", "used_ratio", "binding", "possible", "brokers"]
        frame = pd.DataFrame([asdict(row) for row in self.rows]).set_index("limit" if False else "name")
        frame = frame.astype({"servers": "Int64", "brokers": "Int64", "per_server_capacity": float, "demand": float})
        return frame[[*columns, "note"]].astype({"used_ratio": float}).rename_axis("limit")

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        needed = "no number of servers is enough" if self.needed is None else _plural(self.needed, "server") + " needed"
        return (
            f"{self.name}: {needed}, {self.given:,} given; {self.binding} decides. "
            f"Loops, links and broker may be busy {self.target_utilization:.0%} of the time."
        )

    def _cells(self) -> pd.DataFrame:
        """The table as text."""
        cells = []
        for row in self.rows:
            servers = "-" if row.servers is None else f"{row.servers:,}"
            servers = servers if row.possible else "none"
            used = "" if row.used_ratio is None else f"{row.used_ratio:.1%}"
            figures = [_number(row.per_server_capacity), _number(row.demand), row.unit]
            cells.append([row.name, servers, *figures, used, "decides" if row.binding else ""])
        columns = ["limit", "servers", "capacity each", "demand", "unit", "used", ""]
        return pd.DataFrame(cells, columns=columns).set_index("limit")

    def __str__(self) -> str:
        cells = self._cells()
        width = max(map(len, cells["unit"]))
        cells["unit"] = [text.ljust(width) for text in cells["unit"]]
        table = cells.rename_axis(None).to_string(justify="right").splitlines()
        lines = [self.headline, "", *(line.rstrip() for line in table)]
        for row in self.rows:
            lines += ["", row.name, *("  " + line for line in row.arithmetic.splitlines())]
            lines += [f"  Note: {row.note}"] if row.note else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [f"<p><b>{row.name}:</b> {html.escape(row.note)}</p>" for row in self.rows if row.note]
        sums = [f"<b>{row.name}</b>\n{html.escape(row.arithmetic)}" for row in self.rows]
        table = self._cells().to_html(border=0)
        return "\n".join(
            [f"<h4>{html.escape(self.headline)}</h4>", table, *notes, "<pre>", "\n\n".join(sums), "</pre>"]
        )

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        head = {"scenario": self.name, "given": self.given, "target_utilization": self.target_utilization}
        return {**head, "needed": self.needed, "binding": self.binding, "rows": [asdict(row) for row in self.rows]}


def server_limits(scenario: Scenario, target_utilization: float = 0.7) -> Limits:
    """Servers that each limit asks for on its own, and the one that decides.

    Connections and memory are filled to the limit; loops, links and the broker only to `target_utilization`. Clients
    are spread evenly, and all of them are connected.

    Parameters
    ----------
    scenario : Scenario
        What to serve. `servers.count` is not used, but to be compared with.
    target_utilization : float
        Share of time that an event loop, a server's link and a broker thread may be busy (dimensionless), above 0 and
        at most 1.

    Returns
    -------
    Limits
        One row for each limit.

    Raises
    ------
    ScenarioError
        If an argument is wrong, or a session of a client takes no time at all.

    Notes
    -----
    Leaves out queueing (see `simulate`), wake-ups, first connections, and spare servers for failures. Streams of
    traffic that never run together are added up all the same. Long polls are counted as for Poisson messages.

    Examples
    --------
    >>> scenario = Scenario(name="news", duration=60, clients=[{"name": "phones", "count": 100_000}],
    ...                     servers={"max_connections": 10_000}, traffic=[{"name": "headlines", "rate": "2/s"}])
    >>> limits = server_limits(scenario)
    >>> limits.needed, limits.binding, [(row.name, row.servers) for row in limits.rows[:3]]
    (10, 'connections', [('connections', 10), ('memory', None), ('cpu', 8)])
    """
    problems = []
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        problems.append(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    is_number = isinstance(target_utilization, (int, float)) and not isinstance(target_utilization, bool)
    if not is_number or not 0 < target_utilization <= 1:
        rule, step = "must be above 0 and at most 1", "use 0.7 for loops that are busy 70 % of the time"
        problems.append(Problem("target_utilization", rule, target_utilization, step))
    if problems:
        raise ScenarioError(problems)
    load = _Load(scenario)
    servers, target = scenario.servers, float(target_utilization)
    fits = servers.resolved_costs.connections_in(servers.memory) if servers.memory is not None else None
    base = servers.resolved_costs.memory_bytes(0)
    each = servers.resolved_costs.memory_bytes(1) - base
    held = f"({servers.memory or 0:,} B - {base:,} B of the process) / {each:,} B a connection = {fits or 0:,}"
    free = "a connection takes no memory in this profile" if servers.memory else "set servers.memory, such as 2GiB"
    rows = [
        _counted("connections", load, servers.max_connections, "", "set servers.max_connections, such as 10_000"),
        _counted("memory", load, fits, held, free),
        _cpu(load, target),
        _egress(load, target),
    ]
    needed = max(row.servers or 1 for row in rows) if all(row.possible for row in rows) else None
    n = needed or servers.count
    rows = [replace(row, used_ratio=_used(row, load, n)) for row in rows]
    rows.append(_broker(load, n, target))
    decides = next((row for row in rows if not row.possible), None)
    if decides is None:
        overloaded = rows[-1].used_ratio is not None and rows[-1].used_ratio > target
        decides = rows[-1] if overloaded else max(rows[:-1], key=lambda row: row.servers or 0)
    rows = [replace(row, binding=row is decides) for row in rows]
    return Limits(scenario.name, servers.count, target, needed, (*rows, _storm(load, max(n, 2))))
