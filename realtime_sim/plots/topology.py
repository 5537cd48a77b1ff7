"""The system as a picture: the way of a message from its publisher to a client, with the time of each hop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from realtime_sim.plots._style import COLOURS, as_written, even_ticks, new_figure, time_text, time_ticks
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.trace import HOPS

__all__ = [
    "BOTTOM", "BROKERS", "DIAGRAM", "HEIGHT", "MIDDLE", "SPOTS", "TOP", "WIDTH", "Drawn", "Spot", "draw_way",
    "first_name", "topology",
]  # fmt: skip

WIDTH, HEIGHT = 9.4, 4.4
"""Of the figure, inches."""

DIAGRAM = 3.2
"""Height of its upper part, inches: the system, whose coordinates are inches as well."""

BOTTOM, TOP, MIDDLE = 0.95, 2.65, 1.7
"""Lower and upper edge of what a message passes, and the height it passes at, inches."""

MOST_LINES = 4
"""Lines below a part of the system; what is more is counted."""

WAY, BROKER, SERVER, CLIENT = COLOURS[0], COLOURS[3], COLOURS[2], COLOURS[4]
INK, MUTED, PAPER, RULE = "#000000", "#555555", "#FFFFFF", "#777777"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a hop is in the picture: from `left` to `right`, inches; what it is called there, and its colour.

    An arrow is a way between two parts of the system, anything else stands inside one.
    """

    left: float
    right: float
    name: str
    colour: str
    arrow: bool = False


SPOTS = dict(
    zip(
        HOPS,
        (
            Spot(1.2, 2.0, "to broker", WAY, arrow=True),
            Spot(2.1, 3.2, "wait, work", BROKER),
            Spot(3.38, 4.08, "to server", WAY, arrow=True),
            Spot(4.22, 4.96, "queue", SERVER),
            Spot(4.96, 5.7, "sends", SERVER),
            Spot(5.7, 6.44, "client\naway", CLIENT),
            Spot(6.44, 7.18, "link", SERVER),
            Spot(7.4, 8.12, "network", WAY, arrow=True),
        ),
        strict=True,
    )
)
"""Every hop, from left to right."""

BROKERS = {
    "none": "no broker", "redis_pubsub": "Redis Pub/Sub", "redis_streams": "Redis Streams", "kafka": "Kafka",
    "nats": "NATS", "nats_jetstream": "JetStream",
}  # fmt: skip
"""What kinds of brokers are called."""

_TRANSPORTS = {"websocket": "WebSocket", "sse": "SSE", "long_polling": "long polling"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What `draw_way` has drawn: the figure, the axes of the system, in inches, and those of the time, in ms."""

    figure: Figure
    system: Axes
    scale: Axes


def topology(results: Results) -> Figure:
    """The way of a message through the system, with the mean time of each hop, and all of them at one scale.

    Publishers, broker, servers and clients are those of the scenario. Arrows are the thicker, and boxes filled the
    higher, the greater the share of their hop in the whole. Times are means over all deliveries of messages that were
    published after the warm-up, over all replications: they are those of `Results.hops`, and add up.

    Parameters
    ----------
    results : Results
        Simulated or live.

    Returns
    -------
    Figure
        The system above, and the hops one after the other below, against milliseconds since the intended publish.

    Examples
    --------
    >>> from realtime_sim import presets, simulate
    >>> figure = topology(simulate(presets.load("ticker").replace(duration="3s", warmup=0)))
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['The way of a message, and the mean time of each hop', 'publisher']
    """
    means_ms = results.hops.loc[list(HOPS), "mean_s"].to_numpy() * 1e3
    drawn = draw_way(results.scenario, means_ms, "The way of a message, and the mean time of each hop")
    whole = results.hops.loc["total", "mean_s"] * 1e3
    if np.isfinite(whole):
        drawn.scale.set_title(f"All hops at one scale: {time_text(whole)} in all", loc="left", fontsize=10)
    return drawn.figure


def draw_way(scenario: Scenario, times_ms: Sequence[float], title: str) -> Drawn:
    """The system with times of hops in it: means of a run, or those of one delivery.

    Parameters
    ----------
    scenario : Scenario
        Which system.
    times_ms : sequence of float, length 8
        Time of each of `HOPS`, milliseconds; NaN where there are none.
    title : str
        Of the picture.
    """
    times = np.asarray(times_ms, dtype=float)
    shares = times / times.sum() if times.sum() > 0 else np.zeros_like(times)
    figure = new_figure(WIDTH, HEIGHT)
    figure.set_layout_engine("none")
    system = figure.add_axes((0, 1 - DIAGRAM / HEIGHT, 1, DIAGRAM / HEIGHT))
    system.set_xlim(0, WIDTH)
    system.set_ylim(0, DIAGRAM)
    system.set_axis_off()
    system.text(0.1, DIAGRAM - 0.18, title, fontsize=11, va="center")
    _draw_parts(system, scenario)
    names = [first_name(scenario), *(spot.name for spot in [*SPOTS.values()][1:])]
    for number, (spot, name, ms, share) in enumerate(zip(SPOTS.values(), names, times, shares, strict=True), 1):
        _draw_hop(system, spot, f"{number}", name, ms, 0.0 if np.isnan(share) else share)
    scale = figure.add_axes((0.1 / WIDTH, 0.5 / HEIGHT, 1 - 0.5 / WIDTH, 0.34 / HEIGHT))
    _draw_scale(scale, times)
    return Drawn(figure, system, scale)


def _draw_parts(ax: Axes, scenario: Scenario) -> None:
    """Boxes of publisher, broker, servers and clients, with what is in them below."""
    broker, servers = scenario.broker, scenario.servers
    _box(ax, 0.1, 1.15, 1, "publisher", "-")
    _box(ax, 2.05, 3.25, broker.n_threads, BROKERS[broker.kind], "--" if broker.kind == "none" else "-")
    _box(ax, 4.14, 7.26, servers.count, _counted(servers.count, "server"), "-")
    _box(ax, 8.17, 9.15, scenario.n_clients, "clients", "-")
    _draw_letter(ax, 0.625)
    for x in (8.45, 8.66, 8.87):
        for y in (MIDDLE - 0.3, MIDDLE, MIDDLE + 0.3):
            ax.add_patch(Rectangle((x - 0.06, y - 0.1), 0.12, 0.2, facecolor=MUTED, edgecolor=PAPER))
    columns = (
        (0.1, 27, _publishers(scenario)), (2.05, 27, _of_broker(scenario)), (4.14, 43, _of_servers(scenario)),
        (7.3, 26, _clients(scenario)),
    )  # fmt: skip
    for left, width, found in columns:
        lines = [_clipped(line, width) for line in found]
        if len(lines) > MOST_LINES:
            lines[MOST_LINES - 1 :] = [f"and {len(lines) - MOST_LINES + 1} more"]
        right = left > 7
        for i, line in enumerate(lines):
            ax.text(
                9.25 if right else left, BOTTOM - 0.18 - 0.18 * i, as_written(line), fontsize=9, color=MUTED,
                va="center", ha="right" if right else "left",
            )  # fmt: skip


def _box(ax: Axes, left: float, right: float, n: int, title: str, style: str) -> None:
    """One part of the system; others like it stand behind it."""
    for behind in reversed(range(max(1, min(n, 3)))):
        shift = 0.05 * behind
        ax.add_patch(FancyBboxPatch(
            (left + 0.05 + shift, BOTTOM + 0.05 + shift), right - left - 0.1, TOP - BOTTOM - 0.1, linestyle=style,
            boxstyle="round,pad=0.05", facecolor=PAPER, edgecolor=RULE, linewidth=1,
        ))  # fmt: skip
    ax.text((left + right) / 2, TOP - 0.16, title, ha="center", va="center", fontsize=9, fontweight="bold")


def _draw_letter(ax: Axes, x: float) -> None:
    """The message, where it sets out."""
    ax.add_patch(Rectangle((x - 0.2, MIDDLE - 0.13), 0.4, 0.26, facecolor=PAPER, edgecolor=MUTED))
    ax.plot((x - 0.2, x, x + 0.2), (MIDDLE + 0.13, MIDDLE - 0.03, MIDDLE + 0.13), color=MUTED, linewidth=1)


def _draw_hop(ax: Axes, spot: Spot, number: str, name: str, ms: float, share: float) -> None:
    """Number, name and time of a hop, and its share of the whole as the thickness of its arrow or the filling."""
    middle = (spot.left + spot.right) / 2
    if spot.arrow:
        ax.add_patch(FancyArrowPatch(
            (spot.left, MIDDLE), (spot.right, MIDDLE), arrowstyle="-|>", mutation_scale=11 + 7 * share,
            linewidth=1.2 + 8 * share, color=spot.colour, shrinkA=0, shrinkB=0,
        ))  # fmt: skip
    else:
        low, high, left, width = BOTTOM + 0.1, TOP - 0.36, spot.left + 0.04, spot.right - spot.left - 0.08
        ax.add_patch(Rectangle((left, low), width, (high - low) * share, facecolor=spot.colour, alpha=0.35))
        ax.add_patch(Rectangle((left, low), width, high - low, fill=False, edgecolor=spot.colour, linewidth=1))
    ax.text(middle, MIDDLE + 0.24, name, ha="center", va="bottom", fontsize=9, color=MUTED, linespacing=1.0)
    ax.text(
        middle, MIDDLE, number, ha="center", va="center", fontsize=8, color=PAPER, fontweight="bold",
        bbox={"boxstyle": "circle,pad=0.22", "facecolor": spot.colour, "edgecolor": PAPER},
    )  # fmt: skip
    text = "-" if np.isnan(ms) else time_text(ms)
    ax.text(middle, MIDDLE - 0.34, text, ha="center", va="center", fontsize=9, fontweight="bold")


def _draw_scale(ax: Axes, times_ms: np.ndarray) -> None:
    """The hops one after the other, as long as they take; those that are long enough have their number."""
    whole = times_ms.sum()
    if not whole > 0:
        ax.set_axis_off()
        ax.text(0.01, 0.5, "nothing was delivered" if np.isnan(whole) else "no hop takes time", color=MUTED)
        return
    ends = np.cumsum(times_ms)
    for number, (spot, ms, end) in enumerate(zip(SPOTS.values(), times_ms, ends, strict=True), 1):
        ax.barh(0, ms, left=end - ms, height=1, color=spot.colour, edgecolor=PAPER, linewidth=0.8)
        if ms > 0.025 * whole:
            ax.text(
                end - ms / 2, 0, str(number), ha="center", va="center_baseline", fontsize=8, color=PAPER,
                fontweight="bold",
            )  # fmt: skip
    ax.set_xlim(0, whole)
    ax.set_ylim(-0.5, 0.5)
    ax.set_yticks([])
    ax.spines[["top", "left", "right"]].set_visible(False)
    even_ticks(ax.xaxis)
    time_ticks(ax.xaxis)
    ax.tick_params(labelsize=9)
    ax.set_xlabel("time since the intended publish", fontsize=9)


# --- what is in each part, in words ---------------------------------------------------------------------------------


def _publishers(scenario: Scenario) -> Iterator[str]:
    consumes = {service.name: service.consumes for service in scenario.services}
    cohorts = {cohort.name for cohort in scenario.clients} | {"clients"}
    coupling = "bus" if scenario.pipeline.coupling == "bus" else "calls"
    for stream in scenario.traffic:
        if stream.source in consumes:
            yield f"{consumes[stream.source]} → {coupling} → {stream.source}"
        elif stream.source in cohorts:
            yield f"{stream.source}, by their server"
        else:
            yield f"{stream.source}: {stream.name}"


def first_name(scenario: Scenario) -> str:
    """What the first hop is, where all streams have the same kind of source."""
    services, cohorts = ({part.name for part in parts} for parts in (scenario.services, scenario.clients))
    sources = {stream.source for stream in scenario.traffic}
    if sources and sources <= services:
        return "since\nthe event"
    return "upload,\ningest" if sources and sources <= cohorts | {"clients"} else "to broker"


def _of_broker(scenario: Scenario) -> Iterator[str]:
    broker = scenario.broker
    if broker.kind == "none":
        return
    if broker.n_threads > 1:
        yield _counted(broker.n_threads, "partition" if broker.kind == "kafka" else "shard")
    if broker.has_channels:
        yield "copies per room" if broker.subscription == "per_room" else "copies to all servers"
    else:
        yield "a log, read by all servers"


def _of_servers(scenario: Scenario) -> Iterator[str]:
    servers = scenario.servers
    loops = f", {_counted(servers.workers, 'worker')} each" if servers.workers > 1 else ""
    yield f"{Path(servers.profile).name}{loops}"
    affinity = "" if scenario.balancer.affinity == "none" else ", sticky"
    yield f"balancer: {scenario.balancer.policy.replace('_', ' ')}{affinity}"
    if scenario.autoscaling is not None:
        yield f"autoscaled, {scenario.autoscaling.min_replicas:,} to {scenario.autoscaling.max_replicas:,}"


def _clients(scenario: Scenario) -> Iterator[str]:
    for cohort in scenario.clients:
        yield f"{cohort.count:,} {cohort.name}, {_TRANSPORTS[cohort.transport]}"
    for group in scenario.rooms:
        yield f"{group.name}: one each" if group.per_user else f"{group.name}: {group.count:,} of {group.members:,}"


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}" + "s" * (n != 1)


def _clipped(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
