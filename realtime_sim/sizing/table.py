"""The sizing table: one row for each kind of server and level of growth, as text, HTML, a frame and plain data."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from realtime_sim.answers import Answer, table_html, without_nan
from realtime_sim.limits.table import aligned
from realtime_sim.prices import Prices
from realtime_sim.scenario import Scenario

__all__ = ["COLUMNS", "Sizing"]

COLUMNS = {
    "profile": str, "size": str, "growth": float, "clients": int, "servers": "Int64", "by_arithmetic": "Int64",
    "confident": object, "binding": object, "next_binding": object, "connections_per_server": float, "brokers": int,
    "egress_bytes_per_s": float, "cost_servers": float, "cost_broker": float, "cost_egress": float, "cost": float,
    "cost_per_1000_clients": float, "note": str,
}  # fmt: skip
"""Columns of the frame with their types; costs are a month, in the currency of the prices."""


@dataclass(frozen=True)
class Sizing(Answer):
    """How many servers each kind needs at each level of growth, and what they cost.

    Parameters
    ----------
    scenario : Scenario
        At growth 1.
    frame : DataFrame
        One row for each kind and level, with the columns `COLUMNS`: `servers` is missing where no number is enough, and
        `note` then says why; `by_arithmetic` are the servers without queueing, `brokers` the broker instances that the
        cost counts. By arithmetic a broker that spreads rooms over shards has as many as it needs, and `note` tells how
        many more than the scenario gives it; one that cannot be spread and has too much to do leaves no answer.
    queueing : bool
        Whether each row was planned by simulation; without it `servers` is the arithmetic.
    prices : Prices, optional
        By which costs were reckoned.
    """

    scenario: Scenario
    frame: pd.DataFrame
    queueing: bool
    prices: Prices | None = None

    @property
    def best(self) -> pd.DataFrame:
        """The rows of each level of growth that cost least, or without prices need the fewest servers; all that tie."""
        known = self.frame.dropna(subset=["servers"])
        by = "servers" if self.prices is None else "cost"
        least = known.groupby("growth")[by].transform("min").astype(float)
        return known[np.isclose(known[by].astype(float), least, rtol=1e-9, atol=0)]

    @property
    def headline(self) -> str:
        """What the table is about, in one line."""
        how = "by simulation" if self.queueing else "by arithmetic, without queueing"
        cost = "" if self.prices is None else f"; {self.prices.currency} a month at this load around the clock"
        return f"{self.scenario.name}: servers {how}{cost}"

    def cells(self) -> list[list[str]]:
        """The header and the rows of the table, as text."""
        frame, best = self.frame, set(self.best.index)
        several = {name for name in ("profile", "size") if frame[name].nunique() > 1}
        shown = [name for name in ("profile", "size") if name in several]
        header = [*shown, "growth", "clients", "servers"]
        header += ["by arithmetic"] if self.queueing else []
        header += ["each", "binding", "next"] + (["a month", "per 1,000"] if self.prices else []) + [""]
        rows = []
        for index, row in frame.iterrows():
            cells = [str(row[name]) for name in shown]
            cells += [f"x{row['growth']:g}", f"{row['clients']:,}", _count(row["servers"])]
            cells += [_count(row["by_arithmetic"])] if self.queueing else []
            each = row["connections_per_server"]
            cells += ["" if math.isnan(each) else f"{each:,.0f}", row["binding"] or "-", row["next_binding"] or "-"]
            if self.prices:
                cells += [_money(row["cost"]), _money(row["cost_per_1000_clients"])]
            mark = "best" if index in best and several else ""
            doubt = "not confident" if self.queueing and row["confident"] is False and not row["note"] else ""
            rows.append([*cells, "; ".join(part for part in (mark, doubt, row["note"]) if part)])
        return [header, *rows]

    def __str__(self) -> str:
        cells = self.cells()
        words = {i for i, name in enumerate(cells[0]) if name in ("profile", "size", "binding", "next", "")}
        return "\n".join([self.headline, "", *aligned(cells, left=words)])

    def _repr_html_(self) -> str:
        return f"<h4>{html.escape(self.headline)}</h4>\n{table_html(self.cells())}"

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them; what is missing is null."""
        rows = self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")
        prices = None if self.prices is None else self.prices.model_dump(mode="json")
        plain = {"scenario": self.scenario.to_plain(), "queueing": self.queueing, "prices": prices, "rows": rows}
        return without_nan(plain)


def _count(n: object) -> str:
    return "none" if n is pd.NA or n is None else f"{n:,}"


def _money(amount: float) -> str:
    return "" if math.isnan(amount) else f"{amount:,.0f}" if amount >= 100 else f"{amount:,.2f}"
