"""A moving figure shows what a new one would, and draws axes anew only where they have to change."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from realtime_sim import plots
from realtime_sim.limits import server_limits
from realtime_sim.plots.growth import servers_by_clients
from realtime_sim.plots.moving import MovingFigure, png
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.sizing.growth import grown
from realtime_sim.trace import HOPS

SMALL = Scenario(
    name="small",
    duration="4s",
    clients=[{"name": "phones", "count": 40, "network": {"rtt": "40ms"}}],
    servers={"count": 2, "max_connections": 25},
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "news", "rate": "5/s"}],
    slo={"p99": "100ms"},
)


@pytest.fixture(scope="module")
def run() -> Results:
    return simulate(SMALL)


def drawn(figure: MovingFigure, results: Results) -> np.ndarray:
    picture = figure.draw(results, server_limits(results.scenario))
    return np.asarray(Image.open(io.BytesIO(picture)).convert("L")).astype(int)


def panels(figure: MovingFigure) -> list:
    return [panel.ax for panel in figure._panels]


def test_the_same_run_gives_the_same_picture_whatever_was_drawn_between(run):
    figure = MovingFigure()
    first = drawn(figure, run)
    other = drawn(figure, simulate(SMALL.replace(**{"clients.phones.network.rtt": "60ms"})))
    assert (first != other).any() and (drawn(figure, run) == first).all()


def test_axes_stay_while_figures_fit_in_and_change_when_they_do_not(run):
    figure = MovingFigure()
    drawn(figure, run)
    before = panels(figure)
    drawn(figure, simulate(SMALL.replace(**{"clients.phones.network.rtt": "41ms"})))
    assert panels(figure) == before
    drawn(figure, simulate(SMALL.replace(**{"clients.phones.network.rtt": "4s"})))
    assert panels(figure) != before and figure._panels[0].ax.get_xlim()[1] > 2_000


def test_curve_marks_bars_and_words_are_those_of_the_run(run):
    figure = MovingFigure(before=run)
    drawn(figure, run)
    latency, hops, limits, course = figure._panels
    figures = run.latency_s()
    assert latency._points.get_xdata() == pytest.approx([figures[name].value * 1e3 for name in ("p50", "p99")])
    assert latency._curve.get_ydata()[-1] == pytest.approx(100)
    widths_s = np.array([bar.get_width() for bar in hops._rows]) / 1e3
    assert widths_s == pytest.approx(run.hops.loc[[*HOPS, "total"], "mean_s"].to_numpy(), abs=1e-12)
    assert limits._words[0].get_text().strip() == "80%, binds"
    assert len(course._courses["p99"].get_xdata()) == 32
    legend = [text.get_text() for text in panels(figure)[0].get_legend().get_texts()]
    assert legend == ["before", "now", "promised: p99 100 ms"]


@pytest.mark.parametrize("rtt", ["21ms", "40ms", "90ms", "150ms", "190ms"])
def test_the_names_of_points_stay_in_their_panel(rtt):
    """Latencies from the left of a decade to its right."""
    figure = MovingFigure()
    drawn(figure, simulate(SMALL.replace(**{"clients.phones.network.rtt": rtt, "duration": "2s", "slo": None})))
    latency = figure._panels[0]
    for text in latency._names:
        box = text.get_window_extent(figure.figure.canvas.get_renderer())
        assert latency.ax.bbox.x0 <= box.x0 and box.x1 <= latency.ax.bbox.x1, text.get_text()


def test_what_is_too_much_is_told_by_words_and_hatching_not_by_colour_alone():
    crowded = SMALL.replace(**{"servers.count": 1, "duration": "2s", "slo": None})
    figure = MovingFigure()
    drawn(figure, simulate(crowded))
    limits = figure._panels[2]
    assert limits._words[0].get_text().strip() == "160%, too much, binds" and limits._rows[0].get_hatch()
    assert limits._rows[3].get_hatch() is None and limits._words[3].get_text().strip() == "not limited"


def test_a_run_without_deliveries_says_so():
    figure = MovingFigure()
    drawn(figure, simulate(SMALL.replace(**{"servers.max_connections": 1, "traffic": [], "duration": "2s"})))
    assert figure._panels[0]._names[0].get_text() == "nothing was delivered"


def test_png_is_a_picture_of_the_size_asked_for(run):
    picture = Image.open(io.BytesIO(png(plots.latency_cdf(run).figure, dpi=50)))
    assert picture.size == (350, 210)


def test_servers_by_clients_has_a_line_for_each_limit_and_marks_what_is_asked():
    limits = {larger.n_clients: server_limits(larger) for larger in (grown(SMALL, level) for level in (0.5, 1, 2))}
    ax = servers_by_clients(limits, 40)
    needed = next(line for line in ax.get_lines() if line.get_label() == "all together")
    assert needed.get_xdata().tolist() == [20, 40, 80] and needed.get_ydata().tolist() == [1, 2, 4]
    assert [text.get_text() for text in ax.texts] == ["40 clients: 2, connections binds"]


def test_servers_by_clients_says_where_no_number_is_enough():
    heavy = SMALL.replace(**{"broker.kind": "redis_pubsub", "traffic.news.rate": "100_000/s"})
    ax = servers_by_clients({40: server_limits(heavy)}, 40)
    assert [text.get_text() for text in ax.texts] == ["no number of servers is enough"]
