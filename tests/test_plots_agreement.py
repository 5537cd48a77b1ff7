"""Plots of two sides show the figures of their comparison, and a figure becomes the same part of a page every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from realtime_sim import Comparison, compare, plots
from realtime_sim.agreement import MERGED_HOPS, compare_json
from realtime_sim.errors import ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from tests.conftest import as_live
from tests.test_plots import texts_of

CASE = Scenario(
    name="two",
    duration=10,
    warmup=1,
    clients=[{"name": "c", "count": 40, "network": {"rtt": {"median": "8ms", "p99": "40ms"}}}],
    servers={"count": 2, "costs": {"event": "2ms", "handshake": "5ms"}},
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "t", "rate": 20}],
    faults=[{"at": "4s", "kind": "kill_server", "server": 0}],
)


@pytest.fixture(scope="module")
def runs() -> list[Results]:
    return [as_live(simulate(CASE.replace(**{"servers.costs.event": cost}))) for cost in ("4ms", "3ms", "5ms")]


@pytest.fixture(scope="module")
def found(runs) -> Comparison:
    return compare(simulate(CASE), runs)


def test_the_cdf_has_a_curve_for_each_run_and_marks_what_the_table_says(found):
    ax = plots.agreement_cdf(found)
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    assert len(curves) == 4 and len({line.get_color() for line in curves}) == 2
    points = {(line.get_marker(), line.get_ydata()[0]): line.get_xdata()[0]
              for line in ax.get_lines() if len(line.get_xdata()) == 1}  # fmt: skip
    for name, level in (("p50", 50), ("p95", 95), ("p99", 99)):
        row = found.figures.loc[f"delivery latency {name}"]
        assert points["o", level] == pytest.approx(row["a"] * 1e3)
        assert points["s", level] == pytest.approx(row["b"] * 1e3)
    assert [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()] == ["simulated", "live (3 runs)"]


def test_bars_say_how_far_the_simulated_figure_may_be_from_the_live_one(found):
    ax = plots.agreement_cdf(found)
    spans = {line.get_ydata()[0]: line.get_xdata() for line in ax.get_lines() if len(line.get_xdata()) == 2}
    live_ms = found.figures.loc["delivery latency p99", "b"] * 1e3
    assert spans[99] == pytest.approx([0.65 * live_ms, 1.35 * live_ms])
    assert [text.get_text() for text in ax.texts] == ["p50: live ± 15 %", "p95: live ± 20 %", "p99: live ± 35 %"]
    two = plots.agreement_cdf(compare(simulate(CASE), simulate(CASE)))
    assert not two.texts


def test_bars_of_hops_are_those_of_the_frame_and_whiskers_the_range_of_runs(found):
    ax = plots.agreement_hops(found)
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(2, -1)
    assert widths == pytest.approx(found.hops[["a_mean_s", "b_mean_s"]].to_numpy().T * 1e3)
    ax.figure.draw_without_rendering()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [*(hop.replace("_", " ") for hop in MERGED_HOPS), "total"]
    ends = [segment[:, 0] for segment in ax.collections[-1].get_segments()]
    assert ends[-1] == pytest.approx(found.hops.loc["total", ["b_low_s", "b_high_s"]].to_numpy(float) * 1e3)


def test_connections_are_drawn_in_all_and_by_server(found, runs):
    figure = plots.connections_of(found.runs)
    whole, *panels = figure.axes
    assert len(panels) == len(whole.get_lines()) - 1 == 4  # and the mark of the fault
    assert np.array_equal(whole.get_lines()[1].get_ydata(), runs[0].server_series().sum(axis=1))
    assert np.array_equal(panels[1].get_lines()[0].get_ydata(), runs[0].server_series()[0])
    assert len({ax.get_ylim() for ax in panels}) == 1
    assert {ax.get_xlabel() for ax in figure.axes} == {"time, s"}


def test_more_than_four_runs_share_the_upper_axes_alone(runs):
    figure = plots.connections_of({str(i): runs[i % 3] for i in range(6)})
    assert len(figure.axes) == 5 and len(figure.axes[0].get_legend().get_texts()) == 6


def test_no_runs_are_refused():
    with pytest.raises(ScenarioError, match="runs must hold at least one run"):
        plots.connections_of({})


def test_a_storm_of_two_sides_may_be_looked_at_from_near(found):
    far, near = (plots.storm(found.runs, 0, zoom=zoom).axes[1].get_xlim() for zoom in (False, True))
    assert far == (0, 10) and far[0] < near[0] < 4 < near[1] <= far[1]


def test_what_is_not_there_is_said(tmp_path, runs):
    silent = simulate(CASE.replace(traffic=[]))
    nothing = compare(silent, as_live(silent))
    for plot in (plots.agreement_cdf, plots.agreement_hops):
        assert "nothing was delivered" in plot(nothing).texts[0].get_text()
    for name, run in (("a", simulate(CASE)), ("b", runs[0])):
        run.to_json(tmp_path / name)
    saved = compare_json(tmp_path / "a", tmp_path / "b")
    assert plots.agreement_cdf(saved).texts[0].get_text() == "curves are not in the JSON of a run"
    assert len(plots.agreement_hops(saved).patches) == 10


@pytest.mark.parametrize("plot", [plots.agreement_cdf, plots.agreement_hops, lambda c: plots.connections_of(c.runs)])
def test_no_two_texts_overlap(found, plot):
    figure = plot(found)
    figure = figure if isinstance(figure, Figure) else figure.figure
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure) if text.get_visible()]
    assert [(a, b) for i, (a, one) in enumerate(boxes) for b, two in boxes[:i] if one.overlaps(two)] == []


# --- as part of a page ----------------------------------------------------------------------------------------------


class Ids(HTMLParser):
    """Ids that are given, and those that are asked for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.given: list[str] = []
        self.asked: set[str] = set(re.findall(r"url\(#([^)]*)\)", text))
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.given.append(values["id"])
        if values.get("href", "").startswith("#"):
            self.asked.add(values["href"][1:])


def test_a_figure_gives_the_same_svg_every_time_and_needs_nothing_from_elsewhere(found):
    one, two = (plots.inline_svg(plots.agreement_hops(found), "hops", 'a "b" < c') for _ in range(2))
    assert one == two and one.startswith('<svg class="plot" role="img" aria-label="a &quot;b&quot; &lt; c"')
    assert "http" not in one and "<style" not in one and "xlink" not in one
    ids = Ids(one)
    assert ids.asked <= set(ids.given) and all(name.startswith("hops-") for name in ids.given)


def test_figures_of_one_page_share_no_id(found):
    texts = [plots.inline_svg(plots.agreement_cdf(found), name, "") for name in ("a", "b")]
    assert not set(Ids(texts[0]).given) & set(Ids(texts[1]).given)


def test_colours_are_those_of_the_page_or_their_own(found):
    text = plots.inline_svg(plots.agreement_cdf(found), "cdf", "")
    assert "stroke: var(--plot-blue, #0072b2)" in text and "fill: var(--plot-paper, #ffffff)" in text
    without = re.sub(r"var\(--plot-[a-z]+, (#[0-9a-f]{6})\)", "", text)
    assert re.findall(r"#[0-9a-f]{6}\b", without) == []


def test_saved_figures_are_the_same_every_time(found, tmp_path):
    for ending in ("svg", "pdf"):
        for name in ("one", "two"):
            plots.save(plots.agreement_hops(found), tmp_path / f"{name}.{ending}")
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
