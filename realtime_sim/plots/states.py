"""Clients by state over time: a storm as one picture, and step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from realtime_sim.plots._style import COLOURS, draw_legend, new_figure, over_time, time_text
from realtime_sim.plots.inline import inline_svg, page_colour
from realtime_sim.plots.steps import Step, Steps, drawing_name
from realtime_sim.plots.storms import window
from realtime_sim.results import Results
from realtime_sim.states import STATES
from realtime_sim.storms import storm_figures
from realtime_sim.units import from_ns

__all__ = ["storm_states", "storm_steps"]

LOOKS = {
    "connected": (COLOURS[2], ""), "connecting": (COLOURS[0], ""), "waiting": (COLOURS[4], "//"),
    "cut_off": (COLOURS[3], ""), "gave_up": (COLOURS[1], "xx"), "away": ("#DDDDDD", ""),
    "not_connected": (COLOURS[4], "//"),
}  # fmt: skip
"""Colour and hatching of each state, from the bottom to the top."""

CALM = ("connected", "away")
"""States that are no trouble: their share is left out where the others would be too small to be seen."""

FEW = 0.25
"""Share of all clients up to which those in trouble get axes of their own."""

MOST_STEPS = 40


def storm_states(results: Results, fault: int | None = None) -> Figure:
    """How many clients are connected, cut off, waiting or connecting over time: areas that add up to all clients.

    Where no more than a quarter of the clients is in trouble at once, these are drawn once more below, at a scale of
    their own. Counts are those of `Results.client_states`, drawn from the sample before to their own.

    Parameters
    ----------
    results : Results
        Of several replications the first is drawn. Of a live run two states are known, connected and not.
    fault : int, optional
        A disturbance by its number in `Results.storm`: only its storm, and half as much time after it. The whole run if
        left out.

    Returns
    -------
    Figure
        One axes or two: clients against time.

    Raises
    ------
    ScenarioError
        If there is no such disturbance.

    Examples
    --------
    >>> from realtime_sim import Scenario, simulate
    >>> drop = {"at": 2, "kind": "drop_clients", "cohort": "c"}
    >>> run = simulate(Scenario(name="x", duration=5, clients=[{"name": "c", "count": 9}], faults=[drop]))
    >>> [ax.get_ylabel() for ax in storm_states(run, 0).axes]
    ['clients']
    """
    return _draw(results, fault)[0]


def _draw(results: Results, fault: int | None) -> tuple[Figure, list[Axes]]:
    span = None if fault is None else window(results, fault)
    states = results.client_states
    seen = states if span is None else states[(states.index >= span[0]) & (states.index <= span[1])]
    troubled = [name for name in LOOKS if name in states and name not in CALM]
    is_few = 0 < seen[troubled].sum(axis=1).max() <= FEW * results.scenario.n_clients
    figure = new_figure(8, 6.4 if is_few else 3.8)
    axes = [*figure.subplots(1 + is_few, 1, sharex=True, squeeze=False)[:, 0]]
    _areas(axes[0], states, [name for name in LOOKS if name in states and seen[name].any()])
    draw_legend(axes[0])
    every = time_text(results.scenario.sample_interval * 1e3)
    over_time(results, axes[0], f"Clients by state, every {every}", "clients", marks=not is_few)
    axes[0].set_ylim(0, results.scenario.n_clients)
    if is_few:
        _areas(axes[1], states, [name for name in troubled if seen[name].any()])
        over_time(results, axes[1], "Of these, who is neither connected nor away", "clients")
        axes[0].set_xlabel("")
    if span is not None:
        axes[-1].set_xlim(*span)
    return figure, axes


def _areas(ax: Axes, states: pd.DataFrame, names: list[str]) -> None:
    low = np.zeros(len(states))
    for name in names:
        colour, hatch = LOOKS[name]
        high = low + states[name].to_numpy()
        ax.fill_between(
            states.index, low, high, step="pre", facecolor=colour, hatch=hatch, edgecolor="#FFFFFF", linewidth=0.3,
            label=STATES[name],
        )  # fmt: skip
        low = high


def storm_steps(results: Results, fault: int = 0) -> Steps:
    """A storm step by step: `storm_states` with a line that moves through time, and the counts at each sample.

    Parameters
    ----------
    results : Results
        Of several replications the first is shown.
    fault : int
        The disturbance by its number in `Results.storm`.

    Returns
    -------
    Steps
        Shows itself in a notebook; `write` makes a page of it. Of more than 40 samples some are left out.

    Raises
    ------
    ScenarioError
        If there is no such disturbance.

    Examples
    --------
    >>> from realtime_sim import Scenario, simulate
    >>> drop = {"at": 2, "kind": "drop_clients", "cohort": "c"}
    >>> run = simulate(Scenario(name="x", duration=5, clients=[{"name": "c", "count": 9}], faults=[drop]))
    >>> [step.figures[0][:2] for step in storm_steps(run).frames][1:3]
    [('connected', '9'), ('connected', '9')]
    """
    figure, axes = _draw(results, fault)
    kind, at_ns = results.trace.disturbances[fault]
    what = f"{kind.replace('_', ' ')} at {float(from_ns(at_ns)):g} s"
    found = storm_figures(results.trace, fault)
    told = f"{found['affected']:,} cut off, {found['recovered']:,} of them back at the end"
    title = f"{results.scenario.name}: {what}, step by step"
    alt = f"Clients by state over time, after {what}: {told}."
    drawing = inline_svg(figure, drawing_name(title, results.client_states.to_csv()), alt)
    return Steps(title, drawing, tuple(_frames(results, fault, axes)), pace_s=0.5)


def _frames(results: Results, fault: int, axes: list[Axes]) -> Iterator[Step]:
    first_s, last_s = axes[-1].get_xlim()
    states, attempts = results.client_states, results.timeseries["attempts_per_s"]
    states = states[(states.index >= first_s) & (states.index <= last_s)]
    chosen = np.unique(np.linspace(0, len(states) - 1, min(len(states), MOST_STEPS)).round().astype(int))
    names = [name for name in LOOKS if name in states and states[name].any()]
    kind, at_ns = results.trace.disturbances[fault]
    at_s, kind = float(from_ns(at_ns)), kind.replace("_", " ")
    capacity = storm_figures(results.trace, fault)["capacity_per_s"]
    able = f"; the servers left can accept {capacity:,.4g}/s" if 0 < capacity < np.inf else ""
    for time_s, row in states.iloc[chosen].iterrows():
        when = f"At {time_s:g} s, {abs(time_s - at_s):.3g} s {'before' if time_s <= at_s else 'after'} {kind}"
        asked = f"{attempts.get(time_s, 0.0):,.4g} connection attempts/s{able}"
        counts = tuple((STATES[name], f"{row[name]:,}", page_colour(LOOKS[name][0])) for name in names)
        told = ", ".join(f"{count} {name}" for name, count, _ in counts)
        yield Step(f"{when}: {asked}.", f"{when}: {told}.", _line(axes, time_s), counts)


def _line(axes: list[Axes], time_s: float) -> str:
    """A vertical line through all axes, in the points of the picture."""
    height, dpi = axes[0].figure.get_size_inches()[1] * 72, axes[0].figure.dpi
    parts = []
    for ax in axes:
        x = ax.transData.transform((time_s, 0))[0] * 72 / dpi
        box = ax.get_position()
        parts.append(
            f'<path d="M{x:.1f} {height * (1 - box.y1):.1f}V{height * (1 - box.y0):.1f}" '
            f'stroke="{page_colour("#000000")}" stroke-width="2"/>'
        )
    return "".join(parts)
