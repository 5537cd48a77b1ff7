"""Plots show the figures of Results, with units on their axes, and say so where there is nothing to show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from realtime_sim import plots, presets
from realtime_sim.errors import ScenarioError
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS
from tests.conftest import small


@pytest.fixture(scope="module")
def run() -> Results:
    faults = [{"at": "4s", "kind": "kill_server", "server": 0}]
    return simulate(presets.load("chat").replace(duration="10s", warmup="1s", faults=faults))


def ticks(axis) -> list:
    """Labels of the ticks that show, once drawn."""
    if not axis.get_visible():
        return []
    low, high = sorted(axis.get_view_interval())
    label = "label2" if axis.get_ticks_position() == "right" else "label1"
    return [getattr(mark, label) for mark in axis.get_major_ticks() if low <= mark.get_loc() <= high]


def texts_of(figure: Figure) -> list:
    """Every text that shows, ticks included."""
    figure.draw_without_rendering()
    found = []
    for ax in figure.axes:
        legend = ax.get_legend()
        found += [*ax.texts, *(legend.get_texts() if legend else ())]
        found += [*ticks(ax.xaxis), *ticks(ax.yaxis)]
    return [text for text in found if text.get_text().strip()]


def storm() -> Results:
    scenario = Scenario.from_yaml(Path(__file__).parent.parent / "examples" / "reconnect_storm.yaml")
    return simulate(scenario.replace(**{"clients.phones.count": 600, "duration": 20, "servers.backlog": 50}))


QUEUE = Scenario.from_yaml(Path(__file__).parent.parent / "examples" / "textbook_queue.yaml").replace(duration="5s")


def queue() -> Results:
    return simulate(QUEUE)


def test_the_cdf_ends_at_the_maximum_and_marks_p50_and_p99(run):
    ax = plots.latency_cdf(run)
    curve, p50, p99 = ax.get_lines()
    assert curve.get_ydata()[-1] == pytest.approx(100)
    assert curve.get_xdata()[-1] == pytest.approx(run.latency_s()["max"].value * 1e3, rel=0.005)
    assert p50.get_xdata()[0] == pytest.approx(run.latency_s()["p50"].value * 1e3)
    assert p99.get_ydata()[0] == 99
    ax.figure.draw_without_rendering()
    assert "%" in ax.get_ylabel() and {text.get_text().split()[1] for text in ticks(ax.xaxis)} == {"ms"}


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
    assert np.array_equal(ax.get_lines()[1].get_ydata()[1:], run.timeseries["reconnects_per_s"])
    assert "kill server" in [text.get_text() for text in ax.texts]


def test_several_runs_share_axes_and_differ_in_colour_and_style(run):
    ax = plots.latency_cdf({"a": run, "b": run})
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) > 1]
    assert len({line.get_color() for line in curves}) == len({line.get_linestyle() for line in curves}) == 2


def test_runs_are_compared_cohort_by_cohort(run):
    """Only one of them has desks, whom nothing is sent to."""
    case = {"traffic": [{"name": "t", "rate": 5, "to": "r"}],
            "rooms": [{"name": "r", "count": 1, "members": 4, "cohort": "phones"}]}  # fmt: skip
    figure = plots.comparison_figure({"a": run, "b": simulate(small(**case))})
    phones, desks = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Delivery latency, phones", "Delivery latency, desks"]
    assert len(phones.get_legend().get_texts()) == 2 and [text.get_text() for text in desks.texts] == [
        "nothing was delivered"
    ]
    (alone,) = plots.comparison_figure({"a": run, "b": run}).axes
    assert alone.get_title(loc="left") == "Delivery latency"


def test_nothing_delivered_is_said_in_the_axes():
    empty = simulate(Scenario(name="empty", duration=2, clients=[{"name": "c", "count": 1}]))
    for ax in (plots.latency_cdf(empty), plots.hop_waterfall(empty), plots.latency_over_time(empty)):
        assert "nothing was delivered" in [text.get_text() for text in ax.texts]
    assert plots.summary_figure(empty)


def test_latency_over_time_is_that_of_the_results_in_milliseconds(run):
    slices, ax = run.latency_over_time, plots.latency_over_time(run)
    for line, name in zip(ax.get_lines(), ("p50", "p99"), strict=False):
        assert line.get_label() == name
        assert line.get_xydata().tolist() == np.stack([slices["time_s"], slices[f"{name}_s"] * 1e3], axis=1).tolist()
    assert "kill server" in [text.get_text() for text in ax.texts]
    ax.figure.draw_without_rendering()
    assert ax.get_yscale() == "log" and {text.get_text().split()[1] for text in ticks(ax.yaxis)} <= {"ms", "s"}


def test_several_runs_have_a_line_of_p99_each(run):
    legend = plots.latency_over_time({"a": run, "b": run}).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a: p99", "b: p99"]


def outage() -> Results:
    scenario = Scenario.from_yaml(Path(__file__).parent.parent / "examples" / "slow_analytics.yaml")
    return simulate(scenario.replace(duration=60))


def test_each_service_has_a_line_of_its_lag_and_a_stop_is_shaded_in_its_colour():
    results = outage()
    ax = plots.lag(results)
    notifications, analytics, _ = ax.get_lines()
    assert analytics.get_ydata().tolist() == results.service_lag["analytics"].tolist()
    assert analytics.get_ydata().max() > 1_000 > 20 > notifications.get_ydata().max()
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (20, 50)
    assert to_hex(shade.get_facecolor()) == to_hex(analytics.get_color())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["notifications", "analytics"]


def test_no_services_are_said_in_words(run):
    assert [text.get_text() for text in plots.lag(run).texts] == ["no services"]


def test_axes_are_saved_as_their_figure(run, tmp_path):
    for name in ("latency_cdf", "hop_waterfall", "connections_per_server", "reconnect_rate", "lag"):
        plots.save(getattr(plots, name)(run), tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_cohort_that_is_not_there_is_refused_as_results_refuse_it(run):
    with pytest.raises(ScenarioError) as of_plot:
        plots.latency_cdf(run, cohort="nobody")
    with pytest.raises(ScenarioError) as of_results:
        run.latency_s("nobody")
    assert str(of_plot.value) == str(of_results.value)
    assert "phones" in plots.latency_cdf(run, cohort="phones").get_title(loc="left")


def test_no_runs_are_refused():
    with pytest.raises(ScenarioError, match="results must hold at least one run, got {}; give Results"):
        plots.latency_cdf({})
    with pytest.raises(ScenarioError, match="results must hold at least one run"):
        plots.latency_over_time({})


def test_the_curve_of_a_share_of_none_is_named_in_the_legend(run):
    empty = simulate(Scenario(name="empty", duration=2, clients=[{"name": "c", "count": 1}]))
    legend = plots.latency_cdf({"a": run, "b": empty}).get_legend()
    assert legend.get_texts()[1].get_text() == "b: nothing was delivered"


def titles(results: Results) -> list[str]:
    return [ax.get_title(loc="left") for ax in plots.summary_figure(results).axes if ax.get_title(loc="left")]


def test_what_is_done_to_the_broker_is_marked_and_what_ends_it():
    """A fault that lasts, and a process of one's own; none of it cuts a client off."""

    def parts(env, cluster):
        yield env.timeout(5)
        cluster.partition(0)
        yield env.timeout(2)
        cluster.heal(0)

    stop = {"at": 1, "kind": "stop_broker", "lasts": 2}
    ax = plots.connections_per_server(simulate(small(broker={"kind": "nats"}, faults=[stop]), control=[parts]))
    marks = {text.get_text(): text.xy[0] for text in ax.texts}
    assert marks == {"stop broker": 1, "start broker": 3, "partition": 5, "heal": 7}


def test_a_page_has_what_happened_and_no_room_for_what_did_not(run):
    """Attempts, servers that come and go, and services only where there are any."""
    every = ["Delivery latency", "Mean latency, hop by hop", "Connections per server"]
    assert titles(run) == [*every, "Connection attempts"]
    assert titles(outage()) == [*every, "Events that wait for a service, or are in work"]
    assert titles(queue()) == every
    scaled = {"max_replicas": 3, "metrics": [{"name": "connections", "target": 100}]}
    assert titles(simulate(small(autoscaling=scaled))) == [*every, "Servers against load"]
    replaced = [{"at": 2, "kind": "kill_server", "server": 0, "restart_after": 0}]
    page = titles(simulate(small(servers={"count": 2, "startup": "1s"}, faults=replaced)))
    assert page == [*every, "Connection attempts", "Servers against load"]


def test_no_attempts_are_said_in_words():
    ax = plots.reconnect_rate(queue())
    assert [text.get_text() for text in ax.texts] == ["no attempts"]
    assert len(ax.get_yticks()) == len(ax.get_lines()) == 0


def test_a_full_queue_counts_as_turned_away(run):
    results = storm().trace.series
    drawn = plots.reconnect_rate(storm()).get_lines()[2].get_ydata()[1:]
    assert (
        drawn.sum()
        == sum(results[name][-1] for name in ("refused", "backlog_full", "throttled", "no_server", "timeouts"))
        > 0
    )


def deploy() -> Results:
    scenario = Scenario.from_yaml(Path(__file__).parent.parent / "examples" / "rolling_deploy.yaml")
    return simulate(scenario.replace(**{"clients.apps.count": 400, "traffic[0].rate": 10}))


@pytest.mark.parametrize("make", [storm, queue, outage, deploy])
def test_no_number_has_an_exponent_and_no_two_texts_overlap(make):
    figure = plots.summary_figure(make())
    texts = texts_of(figure)
    assert [text.get_text() for text in texts if "e+" in text.get_text() or "^" in text.get_text()] == []
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    clashes = [(a, b) for i, (a, one) in enumerate(boxes) for b, two in boxes[:i] if one.overlaps(two)]
    assert clashes == []


@pytest.mark.parametrize("make", [storm, queue, outage])
def test_a_label_stays_in_its_panel_and_clear_of_the_whisker(make):
    figure = plots.summary_figure(make())
    figure.draw_without_rendering()
    for ax in figure.axes[:2]:
        assert all(text.get_window_extent().x1 <= ax.get_window_extent().x1 for text in ax.texts)
    waterfall = figure.axes[1]
    (whisker,) = (line for line in waterfall.collections[0].get_segments())
    total = waterfall.texts[-1].get_window_extent()
    assert waterfall.transData.transform(whisker)[:, 0].max() <= total.x0


def test_legends_stand_above_the_axes(run):
    figure = plots.summary_figure(run)
    figure.draw_without_rendering()
    for ax in figure.axes[2:]:
        assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1


def test_one_of_several_replications_is_called_so():
    runs = simulate(presets.load("chat").replace(duration="2s", warmup=0), replications=2)
    for plot in (plots.latency_cdf, plots.connections_per_server, plots.reconnect_rate):
        assert plot(runs).get_title(loc="left").endswith("(first of 2 replications)")


def test_a_figure_is_saved_whole_or_not_at_all(run, tmp_path):
    plots.save(plots.summary_figure(run), tmp_path / "new" / "run.png")
    assert (tmp_path / "new" / "run.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ScenarioError, match="path must end in .png, .svg or .pdf, got"):
        plots.save(plots.summary_figure(run), tmp_path / "run.jpeg")
    with pytest.raises(ScenarioError, match="output must be a file that can be written"):
        plots.save(plots.summary_figure(run), tmp_path / "new" / "run.png" / "x.png")


def test_a_name_with_dollar_signs_is_no_formula(tmp_path):
    case = small(duration=4, traffic=[{"name": "t", "rate": 5}]).replace(name="a$b^{$c")
    plots.save(plots.summary_figure(simulate(case)), tmp_path / "run.png")
    assert (tmp_path / "run.png").exists()


def test_a_first_replication_without_deliveries_is_said_so(tmp_path):
    case = small(duration=4, traffic=[{"name": "t", "rate": 5}])
    silent = simulate(case.replace(traffic=[])).trace
    full = simulate(case.replace(seed=case.seed + 1)).trace
    several = Results([dataclasses.replace(silent, scenario=case), full])
    plots.save(plots.summary_figure(several), tmp_path / "run.png")
    (line,) = plots.latency_cdf(several).lines
    assert line.get_label() == f"{case.name}: nothing was delivered in the first replication"


def test_servers_against_load_shows_what_was_wanted_what_was_ready_and_how_full_they_are():
    """A server more from 4 s on: two wanted all the time, as nobody asked an autoscaler, and three ready."""

    def grow(env, cluster):
        yield env.timeout(4)
        cluster.add_server(0)

    results = simulate(small(servers={"count": 2, "profile": "zero"}), control=[grow])
    ax = plots.replicas(results)
    (wanted, ready), (mean, fullest) = ([held(line) for line in part.get_lines()[:2]] for part in both(ax))
    assert set(wanted.values()) == {2} and ready == {t: 2 for t in range(5)} | {t: 3 for t in range(5, 11)}
    assert (mean[1], fullest[1]) == (5, 5) and (round(mean[10], 3), fullest[10]) == (3.333, 5)


def both(ax) -> tuple:
    """The axes at the left and those at the right."""
    right = next(other for other in ax.figure.axes if other is not ax)
    return ax, right


def held(line) -> dict[float, float]:
    """What a line in steps shows just before each time."""
    assert line.get_drawstyle() == "steps-pre"
    return dict(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True))


def test_the_fullest_server_is_one_that_was_there_and_the_mean_that_of_those_that_are_ready():
    """While servers drain their connections count for the fullest, and for no mean: the curve peaked at 1,942 before,
    where no server ever had more than 1,000."""
    deploy = {"at": 2, "kind": "rolling_deploy", "surge": 2, "max_unavailable": 0}
    case = small(
        clients=[{"name": "c", "count": 200, "reconnect": {"policy": "fixed", "delay": "1s"}}], duration=20,
        servers={"count": 2, "profile": "zero", "startup": "1s", "grace": "4s"}, faults=[deploy],
    )  # fmt: skip
    results = simulate(case)
    series, _, right = results.server_series(), *both(plots.replicas(results))
    mean, fullest = (held(line) for line in right.get_lines()[:2])
    assert list(fullest.values()) == series.max(axis=1).tolist()
    assert all(mean[t] <= fullest[t] for t in fullest)
    right.figure.draw_without_rendering()


def test_a_change_shows_at_its_time_and_large_numbers_have_their_commas():
    """The autoscaler orders at 4 s, after the sample of that time: the line steps there, and not at the next one."""
    case = small(
        clients=[{"name": "c", "count": 3_000}], servers={"count": 1, "profile": "zero", "startup": "2s"},
        autoscaling={"max_replicas": 3, "sync_period": 4, "metrics": [{"name": "connections", "target": 1_000}]},
    )  # fmt: skip
    ax = plots.replicas(simulate(case))
    wanted, ready = (held(line) for line in ax.get_lines()[:2])
    assert [wanted[t] for t in (4, 5)] == [1, 3] and [ready[t] for t in (6, 7)] == [1, 3]
    _, right = both(ax)
    right.figure.draw_without_rendering()
    assert "3,000" in [text.get_text() for text in ticks(right.yaxis)]


def test_a_kill_is_a_step(run):
    """Server 0 dies at 4 s; a ramp to the next sample would have it die slowly."""
    first = held(plots.connections_per_server(run).get_lines()[0])
    assert first[4] > 0 == first[5]


def test_utilization_has_a_point_for_each_run_with_its_interval_and_the_curves_of_theory():
    runs = [simulate(QUEUE.replace(**{"traffic.customers.rate": rate})) for rate in (500, 200)]
    ax = plots.utilization_curve(runs, {"mean": lambda u: u * 5e-3})
    mean, p99 = ax.containers
    for points, figure in ((mean, "mean"), (p99, "p99")):
        x, y = points.lines[0].get_data()
        found = [run.latency_s(hop="server_wait")[figure] for run in reversed(runs)]  # the least busy is the first
        assert x.tolist() == [run.servers["utilization"].max() * 100 for run in reversed(runs)]
        assert y.tolist() == [estimate.value * 1e3 for estimate in found]
        ends = [segment[:, 1].tolist() for segment in points.lines[2][0].get_segments()]
        known = [(e.value, e.value) if e.low is None else (e.low, e.high) for e in found]  # without one: no whisker
        np.testing.assert_allclose(ends, np.array(known) * 1e3)
    (curve,) = [line for line in ax.get_lines() if line.get_label() == "mean, theory"]
    np.testing.assert_allclose(curve.get_ydata(), curve.get_xdata() / 100 * 5)  # milliseconds over per cent
    labels = [text.get_text() for text in plots.utilization_curve({"a": runs, "b": runs}).get_legend().get_texts()]
    assert labels == ["a, mean", "a, p99", "b, mean", "b, p99"]


def test_utilization_needs_runs_known_figures_and_curves_that_belong_to_points(run):
    for arguments, message in (
        (([],), "runs must hold at least one run"),
        (({"a": []},), "runs must hold at least one run"),
        (([run], {"men": abs}), "curves must belong to a row of points, got 'men'; did you mean 'mean'"),
    ):
        with pytest.raises(ScenarioError, match=message):
            plots.utilization_curve(*arguments)
    with pytest.raises(ScenarioError, match="figures must be those of a latency, got 'p98'"):
        plots.utilization_curve([run], figures=["p98"])
    with pytest.raises(ScenarioError, match="hop must be a hop"):
        plots.utilization_curve([run], hop="nowhere")
