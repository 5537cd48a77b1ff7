"""One message on its way, hop by hop, with the clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from realtime_sim.agreement.words import percent
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.plots._style import COLOURS, time_text
from realtime_sim.plots.inline import inline_svg, page_colour
from realtime_sim.plots.steps import Step, Steps, drawing_name
from realtime_sim.plots.topology import (
    BOTTOM,
    DIAGRAM,
    HEIGHT,
    MIDDLE,
    SPOTS,
    TOP,
    WIDTH,
    Drawn,
    Spot,
    draw_way,
    first_name,
)  # fmt: skip
from realtime_sim.results import Results
from realtime_sim.trace import HOPS, OUTCOMES, STAMPS
from realtime_sim.units import to_ns

__all__ = ["message_steps"]

POINTS = 72
"""Of an inch: the coordinates of an SVG that Matplotlib has drawn."""

_TOLD = {
    "publisher_to_broker": "It is under way to the broker",
    "broker": "The broker: it waits for its turn there, and is worked on",
    "broker_to_server": "It is under way to the client's server",
    "server_wait": "It waits in the queue of the server, behind whatever came before",
    "fanout": "The server decodes it, and sends it to those who come before this client, and to this client",
    "client_away": "It waits at the server for the client, who is between two polls or comes back",
    "egress": "It waits for the server's link, and leaves by it",
    "client_network": "It is under way to the client",
}
_FIRST = {
    "since\nthe event": "Since the event: services work on it, and what they push goes to the broker",
    "upload,\ningest": "It goes up to the sender's server, which takes it in and hands it to the broker",
}


def message_steps(results: Results) -> Steps:
    """The way of one message to one client, hop by hop, with the clock.

    Of a run with `record="full"` it is a real delivery, the one whose latency is nearest to the median of those that
    were published after the warm-up; of any other run every hop takes its mean time. The picture says which. Hops
    that take no time are passed over.

    Parameters
    ----------
    results : Results
        Simulated or live; of several replications the first has the delivery, and means are over all of them.

    Returns
    -------
    Steps
        Shows itself in a notebook; `write` makes a page of it.

    Raises
    ------
    ScenarioError
        If nothing was delivered.

    Examples
    --------
    >>> from realtime_sim import presets, simulate
    >>> steps = message_steps(simulate(presets.load("ticker").replace(duration="3s", warmup=0)))
    >>> steps.title, steps.frames[1].caption
    ('ticker: a message on its way', 'It is under way to the broker: 0.1 ms, 0.41 % of the whole.')
    """
    times_ns = _delivery(results)
    which = "the delivery at the median"
    if times_ns is None:
        times_ns, which = _means(results), "the mean time of each hop"
    whole = time_text(times_ns.sum() / 1e6)
    title = f"The way of a message: {which}, {whole} in all"
    drawn = draw_way(results.scenario, times_ns / 1e6, title)
    drawn.scale.set_title("All hops at one scale", loc="left", fontsize=10)
    times = ", ".join(f"{hop} {time_text(ns / 1e6)}" for hop, ns in zip(HOPS, times_ns, strict=True))
    drawing = inline_svg(drawn.figure, drawing_name(results.scenario.name, title, times), f"{title}: {times}.")
    frames = _frames(drawn, times_ns, first_name(results.scenario), which)
    return Steps(f"{results.scenario.name}: a message on its way", drawing, tuple(frames))


def _delivery(results: Results) -> np.ndarray | None:
    """Times of the hops of a real delivery, nanoseconds; None where none was kept."""
    rows = results.trace.rows
    if not rows:
        return None
    chosen = (rows["outcome"] == OUTCOMES.index("delivered")) & (
        rows["published_ns"] >= to_ns(results.scenario.warmup_s)
    )
    stamps = np.column_stack([rows[name][chosen] for name in STAMPS])
    stamps = stamps[(stamps >= 0).all(axis=1)]
    if not len(stamps):
        return None
    whole_ns = stamps[:, -1] - stamps[:, 0]
    median_ns = int(np.sort(whole_ns)[(len(whole_ns) - 1) // 2])
    return np.diff(stamps[np.flatnonzero(whole_ns == median_ns)[0]])


def _means(results: Results) -> np.ndarray:
    means_ns = results.hops.loc[list(HOPS), "mean_s"].to_numpy() * 1e9
    if not np.isfinite(means_ns.sum()):
        step = "take a run with traffic, that is long enough"
        raise ScenarioError(Problem("results", "must have delivered something", "0 deliveries", step))
    return means_ns


def _frames(drawn: Drawn, times_ns: np.ndarray, first: str, which: str) -> Iterator[Step]:
    """The publish, and each hop that takes time, at its end."""
    start = Spot(0.0, 1.18, "publish", "")
    yield Step(
        f"The message is published, and the clock starts. Times: {which}.", "The message is at its publisher, at 0 ms.",
        _layer(drawn, start, 0.0), (("since the publish", "0 ms", ""), ("this hop", "-", "")),
    )  # fmt: skip
    told = _TOLD | ({"publisher_to_broker": _FIRST[first]} if first in _FIRST else {})
    ends_ns, last = np.cumsum(times_ns), max(np.flatnonzero(times_ns), default=-1)
    for number, (hop, ns, end_ns) in enumerate(zip(HOPS, times_ns, ends_ns, strict=True), 1):
        if not ns:
            continue
        takes, now = time_text(ns / 1e6), time_text(end_ns / 1e6)
        over = " The client has it." if number == last + 1 else ""
        caption = f"{told[hop]}: {takes}, {percent(ns / ends_ns[-1])} of the whole.{over}"
        spot = SPOTS[hop]
        name = f"hop {number}, {hop.replace('_', ' ')}"
        yield Step(
            caption, f"The message at the end of {name}, which took {takes}, {now} after the publish.",
            _layer(drawn, spot, end_ns / ends_ns[-1]),
            (("since the publish", now, ""), (name, takes, page_colour(spot.colour))),
        )  # fmt: skip


def _layer(drawn: Drawn, spot: Spot, share: float) -> str:
    """Where the message is, and a veil over whatever lies before it, in the system and in time."""
    paper, mark, box = page_colour("#FFFFFF"), page_colour(COLOURS[1]), drawn.scale.get_position()
    left, right = (WIDTH * x for x in (box.x0 + box.width * share, box.x1))
    veil, low, high = f'fill="{paper}" opacity="0.75"', *(HEIGHT * (y - 1) + DIAGRAM for y in (box.y0, box.y1))
    parts = []
    if share < 1:
        parts.append(_rectangle(spot.right + 0.02, WIDTH, BOTTOM - 0.06, TOP + 0.16, veil))
        parts.append(_rectangle(left, right, low, high, veil))
    x, y = 0.625, MIDDLE
    if spot.colour:
        edge = f'fill="none" stroke="{mark}" stroke-width="2.5" rx="4"'
        parts.append(_rectangle(spot.left - 0.01, spot.right + 0.01, BOTTOM + 0.06, TOP - 0.32, edge))
        x, y = (spot.left + spot.right) / 2, BOTTOM + 0.21
    x, y = POINTS * x, POINTS * (DIAGRAM - y)
    parts.append(f'<rect x="{x - 10:.1f}" y="{y - 6.5:.1f}" width="20" height="13" fill="{mark}"/>')
    fold = f"M{x - 10:.1f} {y - 6:.1f}l10 7l10 -7"
    parts.append(f'<path d="{fold}" fill="none" stroke="{paper}" stroke-width="1.5"/>')
    return "".join(parts)


def _rectangle(left: float, right: float, low: float, high: float, look: str) -> str:
    """From inches of the system to the points of the picture, which count from the top."""
    if right <= left:
        return ""
    x, y, width, height = (POINTS * n for n in (left, DIAGRAM - high, right - left, high - low))
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}/>'
