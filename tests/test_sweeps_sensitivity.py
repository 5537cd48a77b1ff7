"""Sensitivity finds what moves a figure: known swings, effects and shares of variance where a run is arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from realtime_sim import stats
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.plots import save, sensitivity_bars
from realtime_sim.profile_files import find_profile
from realtime_sim.simulation import simulate
from realtime_sim.sweeps import influence, sensitivity, sweep
from realtime_sim.sweeps.combinations import written
from realtime_sim.sweeps.inputs import Input, inputs_of
from realtime_sim.units import format_duration
from tests.conftest import small

FREE = small(
    duration=4,
    clients=[{"name": "phones", "count": 4, "network": {"rtt": "100ms", "jitter": "20ms"}}],
    traffic=[{"name": "news", "rate": 5, "arrivals": "constant"}],
)
"""Where nothing costs anything, a message takes half a round trip, its jitter, and a tenth of a millisecond to us."""

RTT, JITTER, IDLE = "clients.phones.network.rtt", "clients.phones.network.jitter", "servers.backlog"
INPUTS = {JITTER: ("0ms", "50ms"), IDLE: (10, 20), RTT: ("0ms", "200ms")}

BUSY = small(
    duration=8,
    clients=[{"name": "phones", "count": 20}],
    servers={"costs": {"send": "1ms", "event": "1ms"}},
    traffic=[{"name": "news", "rate": 25}],
)


# --- known values ---------------------------------------------------------------------------------------------------


def test_a_tornado_has_the_figures_at_both_ends():
    found = sensitivity(FREE, INPUTS, of="mean_s")
    assert found.frame.index.tolist() == [RTT, JITTER, IDLE]
    row = found.frame.loc[RTT]
    assert (row["low"], row["base"], row["high"]) == (0.0, 0.1, 0.2)
    assert row[["at_low", "at_base", "at_high"]].tolist() == pytest.approx([0.0201, 0.0701, 0.1201], abs=1e-9)
    assert found.frame["swing"].tolist() == pytest.approx([0.1, 0.05, 0.0], abs=1e-9)
    expected = f"small: mean_s moves most with {RTT}: 20.1ms at 0s, 120.1ms at 200ms, and 70.1ms as it is"
    assert found.headline == expected


def test_sobol_splits_a_sum_by_the_squares_of_its_ranges():
    """y = rtt / 2 + jitter has ranges of 100 and 50 ms: shares of 100² / (100² + 50²) = 0.8 and of 0.2, nothing
    together. With 64 draws of a scrambled Sobol sequence the estimates are within a tenth of that."""
    found = sensitivity(FREE, INPUTS, of="mean_s", method="sobol", samples=64)
    for name in ("S1", "ST"):
        assert found.frame[name].tolist() == pytest.approx([0.8, 0.2, 0.0], abs=0.08)
        assert (found.frame[f"{name}_low"] <= found.frame[name]).all()
        assert (found.frame[name] <= found.frame[f"{name}_high"]).all()
    assert found.points == 64 * 5 and len(found.runs.frame) < found.points
    alone, together = (round(found.frame.loc[RTT, name] * 100) for name in ("S1", "ST"))
    assert f"most with {RTT}: {alone} % of its variance alone, {together} % with what it makes" in found.headline


def test_sobol_tells_what_inputs_make_together_from_what_they_make_alone():
    """y = bytes / bandwidth is a product of independent factors x = bytes and z = 1 / bandwidth. With squared
    coefficients of variation a and b, S1 = a / (a + b + ab) for x, and ST = (a + ab) / (a + b + ab)."""
    sizes, links = [2_000, 6_000], ["100 kB/s", "300 kB/s"]
    case = FREE.replace(**{RTT: 0, JITTER: 0})
    found = sensitivity(
        case,
        {"traffic.news.payload": [*sizes, 3_000, 5_000], "clients.phones.network.bandwidth": [*links, "200 kB/s"]},
        of="mean_s", method="sobol", samples=256,
    ).frame  # fmt: skip
    overhead = bytes_on_the_wire(case, 2_000) - 2_000
    x = np.array([*sizes, 3_000, 5_000]) + overhead
    z = 1 / np.array([100e3, 300e3, 200e3])
    a, b = x.var() / x.mean() ** 2, z.var() / z.mean() ** 2
    whole = a + b + a * b
    expected = {"S1": (a / whole, b / whole), "ST": ((a + a * b) / whole, (b + a * b) / whole)}
    for name, (of_size, of_link) in expected.items():
        assert found.loc["traffic.news.payload", name] == pytest.approx(of_size, abs=0.1)
        assert found.loc["clients.phones.network.bandwidth", name] == pytest.approx(of_link, abs=0.1)
    assert (found["ST"] > found["S1"]).all()


def bytes_on_the_wire(case, payload: int) -> float:
    """What the client's downlink carries of one message: at 1 MB/s its time beyond the constant way."""
    changes = {"traffic.news.payload": payload, "clients.phones.network.bandwidth": "1 MB/s"}
    return (simulate(case.replace(**changes)).latency_s()["mean"].value - 1e-4) * 1e6


def test_morris_finds_the_slopes_of_a_straight_line():
    """Each input moves the figure by its whole range, wherever one starts: no spread, and no interval."""
    found = sensitivity(FREE, INPUTS, of="mean_s", method="morris", samples=6).frame
    assert found.index.tolist() == [RTT, JITTER, IDLE]
    for name in ("mu_star", "mu_star_low", "mu_star_high", "mu"):
        assert found[name].tolist() == pytest.approx([0.1, 0.05, 0.0], abs=1e-8)
    assert found["sigma"].tolist() == pytest.approx([0, 0, 0], abs=1e-8)


def test_morris_moves_what_has_two_values_the_whole_way():
    """A step of two thirds takes one of two values to the other: one more server to spare is one more server."""
    case = FREE.replace(**{"slo.survive_servers": 0, "servers.max_connections": 4})
    found = sensitivity(case, {"slo.survive_servers": (6, 7)}, of="servers", method="morris", samples=6).frame
    figures = found.loc["slo.survive_servers", ["mu_star", "mu", "sigma"]]
    assert figures.tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-9)


def test_morris_sees_that_one_effect_depends_on_another_input():
    found = sensitivity(
        FREE,
        {"traffic.news.payload": (20_000, 60_000), "clients.phones.network.bandwidth": ("100 kB/s", "1 MB/s")},
        of="mean_s", method="morris",
    )  # fmt: skip
    assert (found.frame["sigma"] > 0.05).all()
    assert (found.frame["sigma_low"] < found.frame["sigma"]).all()
    assert (found.frame["sigma"] < found.frame["sigma_high"]).all()
    assert "on average over its range" in found.headline


def test_servers_are_those_of_the_limits():
    """10,000 clients, 2,000 a server: five, and 2.5 to 10 for a half and twice of either."""
    case = FREE.replace(**{"clients.phones.count": 10_000, "servers.max_connections": 2_000})
    ranges = {"clients.phones.count": (5_000, 20_000), "servers.max_connections": (1_000, 4_000)}
    found = sensitivity(case, ranges, of="servers").frame
    assert found.loc["clients.phones.count", ["at_low", "at_base", "at_high"]].tolist() == [2.5, 5.0, 10.0]
    assert found.loc["servers.max_connections", ["at_low", "at_base", "at_high"]].tolist() == [10.0, 5.0, 2.5]


@pytest.mark.parametrize("rate", [1, 10, 40, 100])
@pytest.mark.parametrize("survive", [0, 2])
def test_servers_in_parts_are_the_whole_number_rounded_up(rate, survive):
    case = BUSY.replace(**{"traffic.news.rate": rate, "clients.phones.count": 3_000, "slo.survive_servers": survive})
    case = case.replace(**{"broker.kind": "redis_pubsub", "servers.max_connections": 700})
    assert np.ceil(influence._servers(case)) == server_limits(case).needed


# --- properties and agreement ---------------------------------------------------------------------------------------


def test_a_swing_is_paired_by_the_draws():
    """The interval is that of the difference between runs with the same draws."""
    found = sensitivity(BUSY, {"servers.costs.send": ("800us", "1200us")}, of="p99_s", replications=4)
    low, high = (
        np.array([simulate(BUSY.replace(**{"servers.costs.send": us, "seed": i})).latency_s()["p99"].value
                  for i in range(4)])
        for us in ("800us", "1200us")
    )  # fmt: skip
    expected = stats.over_replications(high - low)
    row = found.frame.iloc[0]
    assert row["swing"] == pytest.approx(expected.value) and row["swing_high"] == pytest.approx(expected.high)
    assert row["at_low"] == pytest.approx(low.mean()) and row["at_high"] == pytest.approx(high.mean())


def test_of_a_list_the_ends_are_where_the_figure_is_least_and_greatest():
    found = sensitivity(FREE, {RTT: ["40ms", "200ms", "10ms"], "clients.phones.transport": ["sse", "websocket"]})
    assert found.frame.loc[RTT, ["low", "high"]].tolist() == [0.01, 0.2]
    assert found.frame.loc["clients.phones.transport", "base"] == "websocket"
    assert found.of == "p99_s"


def test_every_point_runs_once(tmp_path):
    """The scenario as it is is an end of one of the inputs; Morris comes by most of its points more than once."""
    file = tmp_path / "points.csv"
    found = sensitivity(FREE, {RTT: ("100ms", "200ms"), IDLE: (10, 20)}, of="mean_s", file=file)
    assert found.points == 5 and len(found.runs.frame) == 4 == len(pd.read_csv(file))
    again = sensitivity(
        FREE,
        {RTT: ("100ms", "200ms"), IDLE: (10, 20)},
        of="mean_s",
        file=file,
        progress=lambda _: pytest.fail("it ran"),
    )
    pd.testing.assert_frame_equal(again.frame, found.frame)
    morris = sensitivity(FREE, {RTT: (0, 1), IDLE: (1, 2)}, of="mean_s", method="morris")
    assert morris.points == 30 and len(morris.runs.frame) <= 8


@pytest.mark.parametrize("method", ["morris", "sobol"])
def test_points_are_those_of_the_seed_and_nobody_elses_draws_change(method):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    options = {"of": "servers", "method": method, "samples": 4}
    ranges = {"clients.phones.count": (1_000, 9_000), "servers.max_connections": (100, 900)}
    first, again, other = (sensitivity(FREE.replace(seed=seed), ranges, **options).frame for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
    assert (np.random.get_state()[1] == before).all()


def test_whole_numbers_and_words_have_equal_parts():
    count, kind = inputs_of(FREE, {"servers.count": (1, 4), "broker.kind": ["none", "nats", "redis_pubsub"]})
    shares = (np.arange(1200) + 0.5) / 1200
    assert np.unique([count.at(share) for share in shares], return_counts=True)[1].tolist() == [300] * 4
    assert [kind.at(share) for share in (0, 0.34, 1)] == ["none", "nats", "redis_pubsub"]
    assert Input("x", (1.0, 2.0), (1.0, 2.0), 1.5, True).at(0.25) == 1.25


def test_what_moves_nothing_is_said_to():
    for method in ("tornado", "morris", "sobol"):
        found = sensitivity(FREE, {IDLE: (10, 20), "seed": (1, 9)}, of="mean_s", method=method)
        assert found.headline == f"small: mean_s does not move with any of {IDLE}, seed"


def test_it_shows_itself_and_is_plain_data(tmp_path):
    found = sensitivity(FREE, INPUTS, of="mean_s")
    lines = str(found).splitlines()
    assert lines[0] == found.headline and lines[2].split()[:4] == ["input", "low", "base", "high"]
    assert found._repr_html_().count("<tr") == 4
    plain = json.loads(found.to_json(tmp_path / "found.json"))
    assert plain["headline"] == found.headline and plain["inputs"][0]["input"] == RTT
    assert plain["inputs"][0]["swing"] == found.frame.loc[RTT, "swing"]


def test_values_and_times_stand_with_their_units_and_the_profiles_own_value_as_the_base():
    """`servers.costs.send` is left to the profile; memory and a count, times and a figure below zero."""
    case = small(servers={"profile": "websockets-asyncio", "memory": "1GiB"}, clients=[{"name": "c", "count": 20_000}])
    ranges = {"servers.costs.send": ("10us", "60us"), "servers.memory": ("512MiB", "2GiB"),
              "clients.c.count": (10_000, 40_000), "clients.c.transport": ["sse", "websocket"]}  # fmt: skip
    found = sensitivity(case, ranges, of="servers")
    assert find_profile("websockets-asyncio").costs.send_s == found.frame.loc["servers.costs.send", "base"]
    cells = {line.split()[0]: line.split()[1:4] for line in str(found).splitlines()[3:]}
    assert cells == {
        "servers.costs.send": ["10us", format_duration(found.frame.loc["servers.costs.send", "base"]), "60us"],
        "servers.memory": ["512MiB", "1GiB", "2GiB"],
        "clients.c.count": ["10,000", "20,000", "40,000"],
        "clients.c.transport": ["sse", "websocket", "sse"],
    }
    times = sensitivity(FREE, INPUTS, of="mean_s")
    assert [times.shown(value) for value in (0.0201, -0.5, 1e-13, np.nan)] == ["20.1ms", "-500ms", "0s", "nan"]
    texts = {text.get_text() for text in sensitivity_bars(times).texts}
    assert {"0s", "200ms", "50ms", "10", "20"} <= texts


def test_a_value_of_a_field_that_is_not_there_has_no_unit():
    assert [written(FREE, path, 2.5) for path in ("broker.partitions", "clients.desks.network.rtt", "warmup")] == [
        "2.5", "2.5", "2.5s",
    ]  # fmt: skip
    policy = FREE.replace(**{"clients.phones.reconnect": {"policy": "full_jitter", "base": "2s"}})
    assert written(policy, "clients.phones.reconnect.base", 2.5) == "2.5s"
    assert written(FREE, "seed", True) == "True" and written(FREE, "warmup", None) == "-"


# --- its picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "bars"), [("tornado", 2), ("morris", 1), ("sobol", 2)])
def test_there_is_a_bar_for_every_input(tmp_path, method, bars):
    samples = {} if method == "tornado" else {"samples": 4}
    found = sensitivity(FREE, INPUTS, of="mean_s", method=method, **samples)
    ax = sensitivity_bars(found)
    assert [text.get_text() for text in ax.get_yticklabels()] == found.frame.index.tolist()[::-1]
    assert len(ax.patches) == bars * 3
    if method == "tornado":
        ends = sorted(round(bar.get_x() + bar.get_width(), 6) for bar in ax.patches if bar.get_y() > 1)
        assert ends == [20.1, 120.1]  # of the round trip, milliseconds
    save(ax.figure, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 5_000


def test_bars_of_counts_are_drawn_as_they_are():
    found = sensitivity(FREE, {"servers.max_connections": (1, 4)}, of="servers")
    ends = sorted(bar.get_x() + bar.get_width() for bar in sensitivity_bars(found).patches)
    assert ends == [1.0, 4.0]


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "inputs must be a dict of ranges by path, got {}"),
        ([1], "inputs must be a dict of ranges by path, got [1]"),
        ({"servers.count": 3}, "inputs['servers.count'] must be two values or more, got 3"),
        ({"servers.count": [3]}, "inputs['servers.count'] must be two values or more, got [3]"),
        ({"servers.count": (8, 2)}, "inputs['servers.count'] must be a range with its lower end first, got (8, 2)"),
        ({"warmup": (1, "1s")}, "inputs['warmup'] must differ, got (1, '1s')"),
        ({"servers.count": (0, 2), "broker.kind": ["x", "none"]}, "servers.count must be at least 1, got 0"),
        ({"servers.count": (0, 2), "broker.kind": ["x", "none"]}, "broker must have a known kind"),
    ],
)
def test_wrong_inputs_are_named(inputs, message):
    with pytest.raises(ScenarioError) as caught:
        sensitivity(FREE, inputs, progress=lambda _: pytest.fail("it ran"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "p98_s"}, "of must be a figure of a run, got 'p98_s'; did you mean"),
        ({"method": "tornados"}, "method must be a known method, got 'tornados'; did you mean 'tornado'?"),
        ({"samples": 4}, "samples must be left out for a tornado, got 4"),
        ({"method": "sobol", "samples": 100}, "samples must be a power of two, got 100; use 64"),
        ({"method": "morris", "samples": 1}, "samples must be a whole number from 2, got 1; use 10"),
        ({"of": "servers", "replications": 2}, "replications must be left out for servers, which need no run, got 2"),
        ({"of": "servers", "file": "x.csv"}, "file must be left out for servers, which need no run, got 'x.csv'"),
        ({"of": "recovery_s"}, "of must have a value at every point, and has none at the scenario as it is"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ScenarioError) as caught:
        sensitivity(FREE, INPUTS, **options)
    assert message in str(caught.value)


def test_methods_of_salib_need_it_and_say_so(monkeypatch):
    monkeypatch.setattr(influence, "find_spec", lambda name: None)
    with pytest.raises(ScenarioError, match=r"method must be 'tornado' where SALib is not installed, got 'sobol'"):
        sensitivity(FREE, INPUTS, method="sobol")
    assert sensitivity(FREE, INPUTS, of="servers").method == "tornado"


def test_its_runs_are_a_sweep():
    found = sensitivity(FREE, {RTT: (0.0, 0.2)}, of="mean_s")
    over = [{}, {RTT: 0.0}, {RTT: 0.2}]
    pd.testing.assert_frame_equal(found.runs.frame, sweep(FREE, over, figures=["mean_s"]).frame)
