"""Capacity: how many servers a scenario needs as it grows, which limit decides, and what that costs."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from realtime_sim.errors import ScenarioError
from realtime_sim.limits import Limits, server_limits
from realtime_sim.plots.growth import servers_by_clients
from realtime_sim.plots.moving import png
from realtime_sim.prices import Prices
from realtime_sim.scenario import Scenario
from realtime_sim.sizing import size
from realtime_sim.sizing.growth import grown
from realtime_sim.widgets.controls import chosen_fields, control_of, replaced
from realtime_sim.widgets.explorer import LIVE_UPDATES
from realtime_sim.widgets.page import table
from realtime_sim.widgets.study import Answer, Study

__all__ = ["capacity"]

FIELDS = ("servers.max_connections", "servers.memory", "servers.egress", "servers.workers", "servers.profile")
"""What capacity asks about besides what `explore` does."""

LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Of growth, in the table."""

BETWEEN = (0.14, 0.3, 0.7, 1.4, 3, 7)
"""Of growth, in the figure besides those of the table."""


def capacity(
    scenario: Scenario | None = None,
    prices: Prices | Mapping[str, object] | str | Path | None = None,
    over: Sequence[str] | Mapping[str, Sequence[Any] | None] | None = None,
) -> Study:
    """Servers against clients: what each limit asks for, which decides, and what it costs. Nothing is simulated.

    Parameters
    ----------
    scenario : Scenario, optional
        Where the sliders begin; `LIVE_UPDATES` if left out. How it grows is told in `realtime_sim.sizing.growth`.
    prices : Prices, dict, str or Path, optional
        A price table, or the file it is in; without one no costs are shown.
    over : sequence of str, or mapping of str to sequence, optional
        As for `explore`.

    Returns
    -------
    Study
        Its `results` are None: arithmetic has none.

    Raises
    ------
    ScenarioError
        If a path leads to no field that can be chosen, or the price table is wrong.

    Examples
    --------
    >>> study = capacity(over=["clients.phones.count"])
    >>> study.scenario.n_clients, study.results
    (100000, None)
    """
    base = LIVE_UPDATES if scenario is None else scenario
    priced = None if prices is None else Prices.read(prices)
    fields = chosen_fields(base, over, FIELDS)
    controls = {field.path: control_of(field) for field in fields}

    def answer(asked: Scenario, more: None, progress: Callable[[float], None]) -> Answer:
        limits = dict(_grown(asked))
        figure = servers_by_clients(limits, asked.n_clients).figure
        found = limits[asked.n_clients]
        return Answer(None, png(figure), f"{found.headline} {found.verdict}", _table(asked, priced) + _notes(found))

    return Study(f"Capacity of {base.name}", controls, lambda: (replaced(base, fields, controls), None), answer)


def _grown(scenario: Scenario) -> Sequence[tuple[int, Limits]]:
    """Limits by the number of clients, of every level that does not break a rule of the scenario."""
    found = []
    for level in sorted({*LEVELS, *BETWEEN}):
        try:
            larger = grown(scenario, level)
        except ScenarioError:  # too few clients for a room, say, or more of something than there may be
            continue
        found.append((larger.n_clients, server_limits(larger)))
    return found


def _levels(scenario: Scenario) -> list[float]:
    """Levels of the table that do not break a rule of the scenario."""
    found = []
    for level in LEVELS:
        try:
            grown(scenario, level)
        except ScenarioError:
            continue
        found.append(level)
    return found


def _table(scenario: Scenario, prices: Prices | None) -> str:
    sizing = size(scenario, growth=_levels(scenario), prices=prices, queueing=False)
    costs = [] if prices is None else [f"{prices.currency} a month"]
    head = ["growth", "clients", "servers", "binds", *costs]
    rows = []
    for row in sizing.frame.itertuples():
        needed = "no number is enough" if pd.isna(row.servers) else f"{row.servers:,}"
        cells = [f"x{row.growth:g}", f"{row.clients:,}", needed, row.binding or ""]
        cost = "" if pd.isna(row.cost) else f"{row.cost:,.0f}"
        rows.append(cells + [cost] * len(costs))
    return table("Servers needed, without queueing", head, rows)


def _notes(limits: Limits) -> str:
    """What decides, and what to know about it."""
    texts = [limits.headline, limits.verdict, *(f"{row.name}: {row.note}" for row in limits.rows if row.note)]
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)
