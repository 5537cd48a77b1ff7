"""Asking for each kind of server and level of growth how many it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits import Limits, Load, server_limits, used_by
from realtime_sim.limits.table import plural
from realtime_sim.planning import plan
from realtime_sim.prices import Cost, Prices
from realtime_sim.scenario import Scenario, Slo
from realtime_sim.sizing.growth import grown_to
from realtime_sim.sizing.table import COLUMNS, Sizing

__all__ = ["brokers_of", "size"]

BUSY = 0.7
"""Share of time that loops, links and the broker may be busy where nothing is promised, as the static calculator."""

SPREADS_BY = {"redis_pubsub": "shards", "kafka": "partitions"}
"""The field of a broker that gives it more threads, by its kind; others have one."""

MOST_THREADS = 100_000
"""Of a broker, where the search for enough of them ends."""

MOST_ROWS = 1_000
"""Of one table: nobody reads more, and each may be a plan."""


class _Case(NamedTuple):
    """One row: what its servers are called, how far it has grown, and the scenario that follows."""

    profile: str
    size: str
    growth: float
    scenario: Scenario


def size(
    scenario: Scenario,
    slo: Slo | Mapping[str, object] | None = None,
    *,
    profiles: Sequence[str] = (),
    sizes: Mapping[str, Mapping[str, object]] | None = None,
    growth: Sequence[float] = (1, 2, 5, 10),
    prices: Prices | Mapping[str, object] | str | Path | None = None,
    queueing: bool = True,
    replications: int = 3,
    at_most: int = 10_000,
    n_jobs: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Sizing:
    """Servers for every kind of server and level of growth, and what they cost.

    Parameters
    ----------
    scenario : Scenario
        At growth 1.
    slo : Slo or dict, optional
        What is promised; the scenario's own unless given.
    profiles : sequence of str
        Profiles of servers to try; that of the scenario unless given.
    sizes : mapping of str to mapping, optional
        Sizes of servers to try: by what to call each, the fields it changes, such as
        ``{"large": {"servers.workers": 4, "servers.memory": "8GiB"}}``. With profiles, each is tried in each size.
    growth : sequence of float
        Levels of growth (dimensionless), each above 0; what grows is in `realtime_sim.sizing.growth`.
    prices : Prices, dict, str or Path, optional
        A price table, or the file it is in; `server_per_hour` may be by size or by profile.
    queueing : bool
        Plan each row by simulation; without it arithmetic alone tells, in no time.
    replications, at_most, n_jobs : int
        As for `plan`.
    progress : callable, optional
        Called with the share of all the work that is done, from 0 to 1.

    Returns
    -------
    Sizing
        One row for each.

    Raises
    ------
    ScenarioError
        If an argument is wrong, a price is missing, or a row cannot be planned.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration=60, clients=[{"name": "phones", "count": 100_000}],
    ...                 servers={"max_connections": 10_000}, traffic=[{"name": "news", "rate": "0.1/s"}])
    >>> table = size(chat, growth=(1, 2), prices={"currency": "EUR", "server_per_hour": 0.1}, queueing=False)
    >>> print(table)
    chat: servers by arithmetic, without queueing; EUR a month at this load around the clock
    <BLANKLINE>
    growth  clients  servers    each  binding      next  a month  per 1,000
        x1  100,000       10  10,000  connections  cpu       730       7.30
        x2  200,000       20  10,000  connections  cpu     1,460       7.30
    """
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    asked = scenario if slo is None else scenario.replace(slo=slo)
    table = None if prices is None else Prices.read(prices)
    kinds = [(profile, name, changes) for profile in profiles or [asked.servers.profile]
             for name, changes in (sizes or {"": {}}).items()]  # fmt: skip
    _check(growth, len(kinds))
    machines = {(profile, name): asked.replace(**{"servers.profile": profile, **changes})
                for profile, name, changes in kinds}  # fmt: skip
    cases = [_Case(*names, float(level), grown_to(case, level)) for level in growth for names, case in machines.items()]
    if table is not None:
        for case in cases:  # a price that is missing is told before anything is planned
            _cost(case, 1, brokers_of(case.scenario), 0.0, table)
    rows = []
    for i, case in enumerate(cases):
        part = _part(progress, i, len(cases))
        found = _planned(case.scenario, replications, at_most, n_jobs, part) if queueing else _reckoned(case.scenario)
        rows.append(_row(case, found, table))
        if progress is not None:
            progress((i + 1) / len(cases))
    return Sizing(asked, pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).astype(COLUMNS), queueing, table)


def _check(growth: Sequence[float], n_kinds: int) -> None:
    if not len(growth):
        raise ScenarioError(Problem("growth", "must have a level", growth, "give (1,) for the scenario as it is"))
    if (n := len(growth) * n_kinds) > MOST_ROWS:
        rule = f"must give at most {MOST_ROWS:_} rows with profiles and sizes"
        raise ScenarioError(Problem("growth", rule, n, "ask for fewer of them"))


def _part(progress: Callable[[float], None] | None, i: int, n: int) -> Callable[[float], None] | None:
    """Progress of one row as a share of all."""
    return None if progress is None else lambda share: progress((i + share) / n)


def _planned(
    case: Scenario, replications: int, at_most: int, n_jobs: int | None, progress: Callable[[float], None] | None
) -> dict[str, Any]:
    found = plan(case, replications=replications, at_most=at_most, n_jobs=n_jobs, progress=progress)
    return {
        "limits": found.limits, "servers": found.servers, "by_arithmetic": found.limits.needed,
        "brokers": brokers_of(case), "confident": found.confident, "binding": found.binding,
        "next_binding": found.next_binding, "note": "" if found.blocked is None else found.blocked.text,
    }  # fmt: skip


def _reckoned(case: Scenario) -> dict[str, Any]:
    """What arithmetic alone says; the limit that binds next is the one that needs most servers of the others."""
    busy = (case.slo.max_utilization if case.slo else None) or BUSY
    limits = server_limits(case, target_utilization=busy)
    others = [row for row in limits.rows if row.servers is not None and row.name != limits.binding]
    following = max(others, key=lambda row: row.servers, default=None)
    brokers, note = _enough_brokers(case, limits)
    servers = None if brokers is None else limits.needed
    return {
        "limits": limits, "servers": servers, "by_arithmetic": servers,
        "brokers": brokers_of(case) if brokers is None else brokers, "confident": None, "binding": limits.binding,
        "next_binding": None if following is None else following.name, "note": note,
    }  # fmt: skip


def _enough_brokers(case: Scenario, limits: Limits) -> tuple[int | None, str]:
    """Broker instances with which the servers needed do, None if no number is enough, and what to say of them."""
    if limits.needed is None:
        return brokers_of(case), limits.headline.partition(": ")[2].partition(f", {limits.given:,} given")[0]
    row, busy, kind = limits.row("broker"), limits.target_utilization, case.broker.kind
    if (row.used_ratio or 0.0) <= busy:
        return brokers_of(case), ""
    field = SPREADS_BY.get(kind)
    if field is None:
        return None, f"none: broker, {plural(row.brokers, 'thread')} of {kind} needed, and it has one"
    if not row.possible:
        return None, f"none: broker, one room alone keeps a thread of {kind} busier than {busy:.0%}"
    given = case.broker.n_threads
    step = 0  # rooms that are not alike need more threads than their work alone, up to one for each room
    while (n := row.brokers + step) <= MOST_THREADS:
        if n > given and used_by(Load(case.replace(**{f"broker.{field}": n})), limits.needed)["broker"] <= busy:
            return (n if field == "shards" else 1), f"{n:,} {field} needed, not {given:,}"
        step = 2 * step or 1
    return None, f"none: broker, rooms of such sizes do not spread over {MOST_THREADS:,} {field} well enough"


def _row(case: _Case, found: dict[str, Any], prices: Prices | None) -> dict[str, Any]:
    limits, servers, clients = found.pop("limits"), found["servers"], case.scenario.n_clients
    egress = limits.row("egress").demand or 0.0
    row = {
        **found,
        "profile": case.profile, "size": case.size, "growth": case.growth, "clients": clients,
        "connections_per_server": math.nan if servers is None else clients / servers, "egress_bytes_per_s": egress,
    }  # fmt: skip
    if prices is None or servers is None:
        return row
    cost = _cost(case, servers, found["brokers"], egress, prices)
    return row | {
        "cost_servers": cost.servers, "cost_broker": cost.broker, "cost_egress": cost.egress, "cost": cost.total,
        "cost_per_1000_clients": cost.total / clients * 1000,
    }  # fmt: skip


def _cost(case: _Case, servers: int, brokers: int, egress: float, prices: Prices) -> Cost:
    names = [name for name in (case.size, case.scenario.servers.profile) if name]
    kind = case.scenario.broker.kind
    return prices.monthly(servers, names, brokers=brokers, kind=kind, egress_bytes_per_s=egress)


def brokers_of(scenario: Scenario) -> int:
    """Broker instances of a scenario: its shards; of Kafka, Streams and JetStream one, however many machines it has."""
    return 0 if scenario.broker.kind == "none" else getattr(scenario.broker, "shards", 1)
