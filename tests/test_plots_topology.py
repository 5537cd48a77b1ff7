"""The way of a message is drawn as the scenario has it, with the times that results have, and can be read."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from realtime_sim import plots, presets
from realtime_sim.plots._style import time_text
from realtime_sim.plots.topology import BROKERS, SPOTS
from realtime_sim.results import Results
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS
from tests.conftest import as_live, small

SHORT = {"duration": "3s", "warmup": "1s"}
CASES = {name: presets.load(name).replace(**SHORT) for name in presets.NAMES}
CASES["million"] = CASES["million"].replace(
    **{"clients.connections.count": 2_000, "rooms.group.count": 200, "traffic.group-messages.rate": 90}
)
CASES["ticker"] = CASES["ticker"].replace(**{"clients[0].count": 300})
CASES |= {
    "one server and no broker": small(**SHORT, traffic=[{"name": "t", "rate": 20}]),
    "shards": small(**SHORT, broker={"kind": "redis_pubsub", "shards": 3}, traffic=[{"name": "t", "rate": 20}]),
    "long names": small(
        **SHORT, clients=[{"name": "c" * 60, "count": 4}, *({"name": f"x{i}", "count": 9_999} for i in range(6))],
        servers={"count": 3, "workers": 8}, broker={"kind": "kafka"}, autoscaling={
            "max_replicas": 900, "metrics": [{"name": "connections", "target": 10_000}]},
        traffic=[{"name": f"${i}" + "t" * 60, "rate": 5, "to": "r" * 60, "from": source}
                 for i, source in enumerate(["backend", *["clients"] * 6])],
        rooms=[{"name": "r" * 60, "count": 3, "members": 2}],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> dict[str, Results]:
    return {name: simulate(case, engine="reference") for name, case in CASES.items()}


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("name", CASES)
def test_times_in_the_picture_are_those_of_the_results(runs, name):
    """Each stands below the number of its hop, and the bars at one scale are as long as they say."""
    run, figure = runs[name], plots.topology(runs[name])
    means_ms = run.hops.loc[list(HOPS), "mean_s"].to_numpy() * 1e3
    at = {text.get_text(): text.get_position() for text in figure.axes[0].texts if text.get_text() in "12345678"}
    texts = [text for text in figure.axes[0].texts if text.get_fontweight() == "bold" and text.get_position()[1] < 1.5]
    below = {text.get_position()[0]: text.get_text() for text in texts}
    assert [below[at[f"{number}"][0]] for number in range(1, 9)] == [time_text(ms) for ms in means_ms]
    scale = figure.axes[1]
    assert [bar.get_width() for bar in scale.patches] == pytest.approx(means_ms)
    assert scale.get_xlim()[1] == pytest.approx(run.hops.loc["total", "mean_s"] * 1e3)
    assert scale.get_title(loc="left") == f"All hops at one scale: {time_text(scale.get_xlim()[1])} in all"


@pytest.mark.parametrize("name", CASES)
def test_no_two_texts_overlap_and_none_leaves_the_picture(runs, name):
    figure = plots.topology(runs[name])
    figure.draw_without_rendering()
    system, scale = figure.axes
    texts = [*system.texts, *scale.texts, scale.xaxis.label, scale.title, scale._left_title]
    texts += [tick.label1 for tick in scale.xaxis.get_major_ticks() if tick.get_loc() <= scale.get_xlim()[1]]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    assert [(a, b) for i, (a, one) in enumerate(boxes) for b, two in boxes[:i] if one.overlaps(two)] == []
    edge = figure.bbox
    assert [text for text, box in boxes if box.x0 < 0 or box.x1 > edge.x1 or box.y0 < 0 or box.y1 > edge.y1] == []


def test_the_picture_is_of_this_scenario(runs):
    names = ("fallback", "orders", "one server and no broker")
    fallback, orders, none = (words(plots.topology(runs[name])) for name in names)
    assert {"Redis Pub/Sub", "3 servers", "500 browsers, long polling", "inbox: one each", "to broker"} <= {*fallback}
    assert {"order → bus → notifications", "since\nthe event", "20 admins, SSE", "dashboard: 1 of 20"} <= {*orders}
    assert {"no broker", "1 server", "backend: t", "4 phones, WebSocket"} <= {*none}
    assert {"upload,\ningest", "clients, by their server", "4 servers"} <= {*words(plots.topology(runs["chat"]))}
    assert "3 shards" in words(plots.topology(runs["shards"]))
    long = words(plots.topology(runs["long names"]))
    assert "and 4 more" in long and "12 partitions" in long and all(len(word) < 60 for word in long)


@pytest.mark.parametrize("kind", BROKERS)
def test_what_a_box_is_called_fits_into_it(kind):
    figure = plots.topology(simulate(small(broker={"kind": kind}, servers={"count": 9_999, "profile": "zero"})))
    figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    names = {"publisher", "9,999 servers", "clients", BROKERS[kind]}
    texts = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in names]
    assert len(texts) == 4
    assert all(any(box.x0 < text.x0 and text.x1 < box.x1 for box in boxes) for text in texts)


def test_arrows_are_the_thicker_the_longer_they_take(runs):
    arrows = [patch for patch in plots.topology(runs["fallback"]).axes[0].patches if hasattr(patch, "get_arrowstyle")]
    means = runs["fallback"].hops["mean_s"]
    assert np.argsort([arrow.get_linewidth() for arrow in arrows])[-1] == 2
    assert means["client_network"] > 100 * means["broker_to_server"]
    assert arrows[0].get_linewidth() == pytest.approx(1.2 + 8 * means["publisher_to_broker"] / means["total"])


def test_a_run_that_delivered_nothing_says_so():
    figure = plots.topology(simulate(small()))
    assert "nothing was delivered" in [text.get_text() for text in figure.axes[1].texts]
    assert words(figure).count("-") == len(HOPS) == len(SPOTS)


def test_a_live_run_is_drawn_as_well(runs):
    assert words(plots.topology(as_live(runs["chat"]))) == words(plots.topology(runs["chat"]))


def test_figures_of_a_page_say_how_wide_they_are(runs):
    svg = plots.inline_svg(plots.topology(runs["chat"]), "way", "the way of a message")
    assert 'style="--points: 677" viewBox="0 0 676.8 ' in svg
