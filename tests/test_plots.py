"""Plots show the figures of Results, with units on their axes, and say so where there is nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_sim import plots, presets
from realtime_sim.errors import ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS


@pytest.fixture(scope="module")
def run() -> Results:
    faults = [{"at": "4s", "kind": "kill_server", "server": 0}]
    return simulate(presets.load("chat").replace(duration="10s", warmup="1s", faults=faults))


def test_the_cdf_ends_at_the_maximum_and_marks_p50_and_p99(run):
    ax = plots.latency_cdf(run)
    curve, p50, p99 = ax.get_lines()
    assert curve.get_ydata()[-1] == pytest.approx(100)
    assert curve.get_xdata()[-1] == pytest.approx(run.latency_s()["max"].value * 1e3, rel=0.005)
    assert p50.get_xdata()[0] == pytest.approx(run.latency_s()["p50"].value * 1e3)
    assert p99.get_ydata()[0] == 99
    assert "ms" in ax.get_xlabel() and "%" in ax.get_ylabel()


def test_bars_of_the_waterfall_add_up_to_the_last_one(run):
    widths = [bar.get_width() for bar in plots.hop_waterfall(run).patches]
    assert len(widths) == len(HOPS) + 1
    assert sum(widths[:-1]) == pytest.approx(widths[-1])
    assert widths[-1] == pytest.approx(run.latency_s()["mean"].value * 1e3)


def test_each_server_has_a_line_and_many_have_a_range(run):
    lines = [line for line in plots.connections_per_server(run).get_lines() if len(line.get_xdata()) > 2]
    assert len(lines) == 4
    assert np.array_equal(lines[0].get_ydata(), run.server_series()[0])
    many = simulate(presets.load("chat").replace(duration="2s", warmup=0, **{"servers.count": 20}))
    assert [text.get_text() for text in plots.connections_per_server(many).get_legend().get_texts()] == [
        "range",
        "median",
    ]


def test_the_reconnect_rate_is_that_of_the_time_series(run):
    ax = plots.reconnect_rate(run)
    assert np.array_equal(ax.get_lines()[1].get_ydata(), run.timeseries["reconnects_per_s"])
    assert "kill server" in [text.get_text() for text in ax.texts]


def test_several_runs_share_axes_and_differ_in_colour_and_style(run):
    ax = plots.latency_cdf({"a": run, "b": run})
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) > 1]
    assert len({line.get_color() for line in curves}) == len({line.get_linestyle() for line in curves}) == 2


def test_nothing_delivered_is_said_in_the_axes():
    empty = simulate(Scenario(name="empty", duration=2, clients=[{"name": "c", "count": 1}]))
    for ax in (plots.latency_cdf(empty), plots.hop_waterfall(empty)):
        assert "nothing was delivered" in [text.get_text() for text in ax.texts]
    assert plots.summary_figure(empty)


def test_a_figure_is_saved_whole_or_not_at_all(run, tmp_path):
    plots.save(plots.summary_figure(run), tmp_path / "new" / "run.png")
    assert (tmp_path / "new" / "run.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ScenarioError, match="path must end in .png, .svg or .pdf, got"):
        plots.save(plots.summary_figure(run), tmp_path / "run.jpeg")
    with pytest.raises(ScenarioError, match="output must be a file that can be written"):
        plots.save(plots.summary_figure(run), tmp_path / "new" / "run.png" / "x.png")
