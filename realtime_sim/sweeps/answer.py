"""What a sweep found: every run as a row, and any figure as a table with intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from realtime_sim import __version__, stats
from realtime_sim.answers import Answer, figures_html, without_nan
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.limits.table import aligned, plural
from realtime_sim.scenario import Scenario

__all__ = ["Sweep", "mean_of"]

SHOWN = ("p50_s", "p99_s", "lost_ratio", "server_utilization_highest")
"""Figures that are printed, where there are any of them; else the first four."""


def mean_of(values: np.ndarray) -> stats.Estimate:
    """Mean over replications of what cannot be below 0, with its interval; NaN where it is not known in all of them.

    Examples
    --------
    >>> print(mean_of(np.array([1.0, 2.0, 3.0])), mean_of(np.array([1.0, math.nan])), mean_of(np.array([math.inf])))
    2 [0, 4.484] nan inf
    """
    if len(values) == 1:
        return stats.Estimate(float(values[0]))
    if not np.isfinite(values).all():
        return stats.Estimate(math.nan)
    return stats.over_replications(values).from_0


@dataclass(frozen=True, eq=False)
class Sweep(Answer):
    """What `sweep` found. Printed, it is a table of the combinations.

    Parameters
    ----------
    scenario : Scenario
        What the runs have in common.
    scenarios : tuple of Scenario
        That of each combination, to be simulated again or planned with.
    figures : tuple of str
        What was kept of each run.
    frame : DataFrame
        One row for each run, combination by combination: the swept fields by their paths, in SI units (text where they
        are no numbers), `replication`, and the figures.
    """

    scenario: Scenario
    scenarios: tuple[Scenario, ...]
    figures: tuple[str, ...]
    frame: pd.DataFrame

    @property
    def paths(self) -> tuple[str, ...]:
        """The fields that were swept."""
        return tuple(self.frame.columns[: self.frame.columns.get_loc("replication")])

    @property
    def replications(self) -> int:
        """Runs of each combination."""
        return len(self.frame) // len(self.scenarios)

    def estimates(self, figure: str) -> list[stats.Estimate]:
        """One figure of each combination: its mean over replications, with a 95 % interval where there are several.

        Raises
        ------
        ScenarioError
            If it was not kept.
        """
        if figure not in self.figures:
            step = nearest(str(figure), self.figures)
            raise ScenarioError(Problem("figure", "must be one that the sweep has kept", figure, step))
        values = self.frame[figure].to_numpy(float).reshape(len(self.scenarios), -1)
        return [mean_of(each) for each in values]

    def table(self, figure: str) -> pd.DataFrame:
        """One figure of each combination: `mean` over replications, `low` and `high`, its 95 % interval.

        Parameters
        ----------
        figure : str
            One of `figures`.

        Returns
        -------
        DataFrame
            Indexed by the swept fields; the columns are called like the figure. NaN where a figure is not known in
            every replication, and for intervals of a single one.

        Raises
        ------
        ScenarioError
            If it was not kept.
        """
        rows = [(one.value, one.low, one.high) for one in self.estimates(figure)]
        table = pd.DataFrame(rows, columns=["mean", "low", "high"], dtype=float).rename_axis(figure, axis=1)
        combinations = self.frame.loc[:: self.replications, list(self.paths)]
        index = pd.MultiIndex.from_frame(combinations) if len(self.paths) > 1 else pd.Index(combinations[self.paths[0]])
        return table.set_index(index)

    def _shown(self) -> Sequence[str]:
        return [name for name in SHOWN if name in self.figures] or self.figures[:4]

    def __str__(self) -> str:
        shown = self._shown()
        found = [self.estimates(name) for name in shown]
        columns = [[str(one) for one in column] for column in found]
        swept = self.frame.loc[:: self.replications, list(self.paths)].astype(object).to_numpy().tolist()
        cells = [["" if value is None else f"{value}" for value in row] for row in swept]
        rows = [[*row, *figures] for row, *figures in zip(cells, *columns, strict=True)]
        runs = f"{plural(len(self.scenarios), 'combination')}, {plural(self.replications, 'run')} of each"
        how = "; means with 95 % intervals" if self.replications > 1 else ""
        lines = aligned([[*self.paths, *shown], *rows], left=set())
        told = stats.little_told(itertools.chain(*found), self.replications)
        below = ["", told] if told else []
        return "\n".join([f"{self.scenario.name}: {runs}, the same draws for all{how}", "", *lines, *below])

    def _repr_html_(self) -> str:
        return figures_html(self.frame, index=False)

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them; NaN and infinity are null."""
        plain = {
            "version": __version__,
            "scenario": self.scenario.to_plain(),
            "over": list(self.paths),
            "replications": self.replications,
            "figures": list(self.figures),
            "runs": self.frame.astype(object).where(self.frame.notna(), None).to_dict("records"),
        }
        return without_nan(plain)
