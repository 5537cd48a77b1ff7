"""Sensitivity: which input moves a figure most. All points share their draws, so that only the inputs move it.

`realtime_sim.sweeps.methods` has the three ways to ask. The figure is one of a run, its mean over replications, or
`servers`: how many servers the static limits need, which is arithmetic alone. Between two whole numbers that one is
read from what the limit that decides would need if servers could be had in parts.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realtime_sim import __version__
from realtime_sim.answers import Answer, table_html, without_nan
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.limits import server_limits
from realtime_sim.limits.table import aligned
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import check_counts
from realtime_sim.sweeps.answer import Sweep
from realtime_sim.sweeps.combinations import MOST_RUNS, scenarios_of, written
from realtime_sim.sweeps.figures import figures_of
from realtime_sim.sweeps.inputs import inputs_of
from realtime_sim.sweeps.methods import METHODS, Method
from realtime_sim.sweeps.sweeping import sweep
from realtime_sim.units import format_duration

__all__ = ["SERVERS", "Sensitivity", "sensitivity"]

SERVERS = "servers"
"""The figure that needs no run: servers that the static limits need."""


@dataclass(frozen=True, eq=False)
class Sensitivity(Answer):
    """What `sensitivity` found. Printed, it is its headline and its table.

    Parameters
    ----------
    scenario : Scenario
        As it is.
    of : str
        The figure that is moved.
    method : str
        `"tornado"`, `"morris"` or `"sobol"`.
    frame : DataFrame
        One row for each input, the one that moves the figure most first. Of a tornado: the ends `low` and `high` (of a
        list the values at which the figure is least and greatest), the value `base` that the scenario has, the figure
        `at_low`, `at_base` and `at_high`, and `swing`, how far apart the figures of all these are, with `swing_low` and
        `swing_high` where there are replications. Of Morris `mu_star` and `sigma`, in the unit of the figure, with
        intervals, and `mu`. Of Sobol `S1` and `ST`, shares of its variance, with intervals. Intervals are at 95 %.
    runs : Sweep, optional
        The runs it was read from, each point once; None for `servers`.
    points : int
        Points that were looked at.
    """

    scenario: Scenario
    of: str
    method: str
    frame: pd.DataFrame
    runs: Sweep | None
    points: int

    @property
    def headline(self) -> str:
        """The answer in one line."""
        row, path = self.frame.to_dict("records")[0], self.frame.index[0]  # a Series would make floats of counts
        if not row[METHODS[self.method].by] > 0:
            return f"{self.scenario.name}: {self.of} does not move with any of {', '.join(self.frame.index)}"
        if self.method == "tornado":
            ends = (f"{self.shown(row[f'at_{end}'])} at {self.value(path, row[end])}" for end in ("low", "high"))
            how = f"{', '.join(ends)}, and {self.shown(row['at_base'])} as it is"
        elif self.method == "morris":
            how = f"by {self.shown(row['mu_star'])} on average over its range"
        else:
            alone, together = (f"{row[name] * 100:.0f} %" for name in ("S1", "ST"))
            how = f"{alone} of its variance alone, {together} with what it makes together with others"
        return f"{self.scenario.name}: {self.of} moves most with {path}: {how}"

    def value(self, path: str, value: Any) -> str:
        """A value of an input as a file has it, with its unit.

        Parameters
        ----------
        path : str
            Which input.
        value : object
            As in the frame.
        """
        return written(self.scenario, path, value)

    def shown(self, figure: float) -> str:
        """A value of the figure to four digits, with its unit where it is a time.

        Parameters
        ----------
        figure : float
            As in the frame.
        """
        is_time = self.of.endswith("_s") and not self.of.endswith("_per_s")
        if not is_time or not math.isfinite(figure):
            return f"{figure:,.4g}"
        size_s = round(float(f"{abs(figure):.4g}"), 9)  # clocks count nanoseconds
        return f"{'-' if figure < 0 < size_s else ''}{format_duration(size_s)}"

    def _cells(self) -> list[list[str]]:
        frame = self.frame.dropna(axis=1, how="all")
        rows = [[path, *(self._cell(path, *cell) for cell in row.items())] for path, row in self._rows(frame)]
        return [[frame.index.name, *frame], *rows]

    @staticmethod
    def _rows(frame: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows whose counts are whole numbers still, which those of a frame are not."""
        return zip(frame.index, frame.astype(object).to_dict("records"), strict=True)

    def _cell(self, path: str, column: str, value: Any) -> str:
        if column in ("low", "base", "high"):
            return self.value(path, value)
        return f"{value:.4g}" if self.method == "sobol" else self.shown(value)

    def __str__(self) -> str:
        return "\n".join([self.headline, "", *aligned(self._cells(), left={0})])

    def _repr_html_(self) -> str:
        return f"<h4>{html.escape(self.headline)}</h4>\n{table_html(self._cells())}"

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them; NaN is null."""
        plain = {
            "version": __version__,
            "scenario": self.scenario.to_plain(),
            "of": self.of,
            "method": self.method,
            "points": self.points,
            "headline": self.headline,
            "inputs": self.frame.reset_index().to_dict("records"),
        }
        return without_nan(plain)


def sensitivity(
    scenario: Scenario,
    inputs: Mapping[str, Sequence[Any]],
    *,
    of: str = "p99_s",
    method: str = "tornado",
    samples: int | None = None,
    replications: int = 1,
    n_jobs: int | None = None,
    engine: str = "auto",
    file: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Sensitivity:
    """Which of several inputs moves a figure most.

    Parameters
    ----------
    scenario : Scenario
        Where they are moved from.
    inputs : mapping of str to sequence
        By dotted path two numbers, the ends of a range, or a list of values.
    of : str
        The figure: one that `sweep` keeps, or `"servers"`.
    method : str
        `"tornado"` moves one input at a time to its ends, `"morris"` screens many, `"sobol"` splits the variance.
    samples : int, optional
        Of Morris the trajectories, 10 if left out, each with a point more than there are inputs. Of Sobol the draws, a
        power of two, 64 if left out, each with two points more than there are inputs.
    replications : int
        Runs at each point, with the same draws at all of them.
    n_jobs, engine, file, progress
        As for `sweep`.

    Returns
    -------
    Sensitivity
        Its `frame` has a row for each input.

    Raises
    ------
    ScenarioError
        If an argument is wrong, a point breaks a rule of the scenario, or the figure has no value at one of them.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="5s", clients=[{"name": "phones", "count": 10_000}],
    ...                 servers={"max_connections": 2_000, "memory": "1GiB"}, traffic=[{"name": "news", "rate": "1/s"}])
    >>> found = sensitivity(chat, {"clients.phones.count": (5_000, 20_000), "servers.memory": ("512MiB", "2GiB"),
    ...                            "servers.max_connections": (1_000, 4_000)}, of="servers")
    >>> print(found.headline)
    chat: servers moves most with clients.phones.count: 2.5 at 5,000, 10 at 20,000, and 5 as it is
    """
    asked = _method(method, samples)
    check_counts(replications, n_jobs)
    chosen = inputs_of(scenario, inputs)
    n_draws = asked.samples if samples is None else samples
    seed = scenario.seed % (2**32 - 1) + 1  # SALib takes 0 for none
    points = asked.points(chosen, n_draws, seed)
    made = scenarios_of(scenario, points)
    first, place = _distinct(made)
    if of == SERVERS:
        _refuse_runs(replications, file)
        runs, values = None, np.array([[_servers(made[i])] for i in first])
    else:
        figures_of([of], [scenario], "of")
        options = {"replications": replications, "n_jobs": n_jobs, "engine": engine}
        unique = [points[i] for i in first]
        runs = sweep(scenario, unique, figures=[of], file=file, progress=progress, **options)
        values = runs.frame[of].to_numpy(float).reshape(len(first), -1)
    for i, each in zip(first, values, strict=True):
        if not np.isfinite(each).all():
            rule = f"must have a value at every point, and has none at {points[i] or 'the scenario as it is'}"
            raise ScenarioError(Problem("of", rule, of, "ask for another figure, or narrow the inputs"))
    frame = asked.read(chosen, values[place], seed)
    return Sensitivity(scenario, of, method, frame, runs, len(points))


def _method(name: object, samples: object) -> Method:
    """The method, or what is wrong with what was asked."""
    if name not in METHODS:
        raise ScenarioError(Problem("method", "must be a known method", name, nearest(str(name), METHODS)))
    found = METHODS[name]
    if found.samples is not None and find_spec("SALib") is None:
        step = "pip install 'realtime-sim[sensitivity]', or use 'tornado'"
        raise ScenarioError(Problem("method", "must be 'tornado' where SALib is not installed", name, step))
    if samples is None:
        return found
    if found.samples is None:
        raise ScenarioError(Problem("samples", "must be left out for a tornado", samples, "it has two points an input"))
    whole = isinstance(samples, int) and not isinstance(samples, bool) and 2 <= samples <= MOST_RUNS
    if not whole or (name == "sobol" and samples & (samples - 1)):
        rule = "must be a power of two" if name == "sobol" else "must be a whole number from 2"
        raise ScenarioError(Problem("samples", rule, samples, f"use {found.samples}"))
    return found


def _refuse_runs(replications: int, file: object) -> None:
    for name, value, nothing in (("replications", replications, 1), ("file", file, None)):
        if value != nothing:
            raise ScenarioError(Problem(name, "must be left out for servers, which need no run", value, "leave it out"))


def _distinct(made: Sequence[Scenario]) -> tuple[list[int], list[int]]:
    """Numbers of the scenarios that differ, and for every one which of these it is."""
    places: dict[str, int] = {}
    first, place = [], []
    for number, each in enumerate(made):
        key = each.model_dump_json(by_alias=True)
        if key not in places:
            places[key] = len(first)
            first.append(number)
        place.append(places[key])
    return first, place


def _servers(scenario: Scenario) -> float:
    """Servers that the static limits need, in parts of one; inf where no number is enough."""
    limits = server_limits(scenario)
    if limits.needed is None:
        return math.inf
    most = max((row.servers for row in limits.rows if row.servers is not None), default=1)
    parts = [
        row.demand / row.per_server_capacity
        for row in limits.rows
        if row.servers == most and row.name != "broker" and row.per_server_capacity
    ]
    # Work that every server does, and wake-ups, are not shared out: then the whole number is the better one.
    return min(most, max([most - 1, *parts])) + limits.lost
