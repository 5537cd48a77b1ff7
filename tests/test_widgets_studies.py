"""Storm, transports and capacity: what they show is what the functions behind them answer."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from realtime_sim import presets, widgets
from realtime_sim.backoffs import compare_backoff
from realtime_sim.choose import choose_transport
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import docstring
from realtime_sim.sizing.growth import grown
from realtime_sim.transports import TRANSPORTS
from realtime_sim.widgets.reconnects import STORM
from tests.test_widgets import SMALL, choose, picture, yaml

STORMY = STORM.replace(
    **{
        "clients.phones.count": 100, "servers.count": 2, "duration": "20s", "faults[0].at": "3s",
        "traffic.heartbeat.rate": "0.5/s", "servers.costs.handshake": "40ms",
    }
)  # fmt: skip


def is_picture(study) -> bool:
    return min(Image.open(io.BytesIO(picture(study))).size) > 300


# --- storm -----------------------------------------------------------------------------------------------------------


def test_a_storm_compares_the_chosen_policy_with_the_other():
    study = widgets.storm(STORMY, "exponential")
    found = compare_backoff(STORMY, ["exponential", "full_jitter"])
    assert study.results.scenario == study.scenario and study.scenario.clients[0].reconnect.base_s == 1.0
    rows = re.findall(r'<th scope="row">([^<]+)</th>', study._table.value)
    assert rows == ["exponential", "full_jitter"]
    for verdict in found.frame["verdict"]:
        assert verdict in study._table.value and verdict in study._picture.value
    assert is_picture(study)


def test_sliders_of_a_policy_are_those_that_it_has_and_known_clients_keep_theirs():
    study = widgets.storm(STORMY, "fixed", against="fixed")
    assert [study.controls[name].disabled for name in ("base", "cap", "delay")] == [True, True, False]
    choose(study, "delay", "4 s")
    assert study.scenario.clients[0].reconnect.delay_s == 4.0
    study.controls["policy"].value = "equal_jitter"
    choose(study, "cap", "8 s")
    assert study.scenario.clients[0].reconnect.cap_s == 8.0
    assert not any(study.controls[name].disabled for name in ("base", "cap", "delay"))
    study.controls["policy"].value = "socketio"
    assert study.scenario.to_plain()["clients"][0]["reconnect"] == "socketio"


def test_one_policy_alone_is_one_row():
    study = widgets.storm(STORMY, "full_jitter")
    assert re.findall(r'<th scope="row">([^<]+)</th>', study._table.value) == ["full_jitter"]


def test_sliders_begin_at_the_policy_of_the_scenario():
    own = STORMY.replace(**{"clients.phones.reconnect": {"policy": "full_jitter", "base": "2s", "cap": "6s"}})
    study = widgets.storm(own)
    assert study.scenario.clients == own.clients


@pytest.mark.parametrize(
    ("happens", "kinds", "affected"),
    [("everybody is cut off", ["drop_clients"], 40), ("one server dies", ["kill_server"], 20),
     ("all servers restart", ["kill_server"], 40)],
)  # fmt: skip
def test_a_scenario_without_faults_gets_a_choice_of_some(happens, kinds, affected):
    study = widgets.storm(SMALL.replace(duration="12s"))
    study.controls["what happens"].value = happens
    assert [fault.kind for fault in study.scenario.faults] == kinds
    assert study.results.storm.loc[0, "affected"] == affected
    assert Scenario.from_yaml(yaml(study)) == study.scenario


def test_a_cap_below_the_base_is_told():
    study = widgets.storm(STORMY, "full_jitter")
    choose(study, "base", "16 s")
    choose(study, "cap", "4 s")
    assert "cap" in study.error and "must" in study.error


@pytest.mark.parametrize(
    "wrong", [{"policy": "full_jiter"}, {"against": "full_jiter"}, {"against": None}], ids=["policy", "against", "none"]
)
def test_a_policy_that_is_none_is_told(wrong):
    (argument,) = wrong
    with pytest.raises(ScenarioError, match=f"{argument} must be the name of a backoff policy"):
        widgets.storm(STORMY, **wrong)


# --- transports ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three():
    quiet = {"balancer": {"affinity": "cookie"}, "traffic.messages.rate": "5/s"}
    return widgets.transports(SMALL.replace(**quiet))


def test_transports_are_ranked_as_choose_ranks_them(three):
    per_client = 5 * 10 / 40
    choice = choose_transport(messages_per_s=per_client, rtt=SMALL.clients[0].network.rtt.mean_s)
    rows = re.findall(r'<th scope="row">\d\. ([^<]+)</th>', three._table.value)
    assert rows == [one.name for one in choice.ranked] and sorted(rows) == sorted(TRANSPORTS)
    assert choice.decided_by[0] in three._table.value
    assert three.scenario.clients[0].transport == three.results.scenario.clients[0].transport == choice.best.name
    assert is_picture(three)


def test_a_need_may_change_the_ranking(three):
    three.controls["buffering_proxies"].value = True
    assert three.scenario.clients[0].transport == "websocket" and "breaks: proxies hold events" in three._table.value
    three.controls["proxies_block_upgrade"].value = True
    assert three.scenario.clients[0].transport == "long_polling"
    assert Scenario.from_yaml(yaml(three)) == three.scenario


def test_help_of_the_needs_is_that_of_the_function(three):
    about = docstring(choose_transport)[1]
    for name in ("tabs_per_browser", "mobile", "needs_resume", "http_version"):
        assert three.controls[name].tooltip == about[name]


def test_where_clients_send_it_counts_as_both_directions():
    talking = SMALL.replace(**{"balancer.affinity": "cookie", "traffic.messages.from": "clients"})
    study = widgets.transports(talking, over=["servers.count"])
    assert study.scenario.clients[0].transport == "websocket"
    assert "clients send on the same connection" in study._table.value


# --- capacity --------------------------------------------------------------------------------------------------------


def test_capacity_has_what_limits_and_size_say():
    study = widgets.capacity(prices={"currency": "EUR", "server_per_hour": 0.1})
    limits = server_limits(study.scenario)
    twice = server_limits(grown(study.scenario, 2))
    assert f"<td>{limits.needed}</td><td>{limits.binding}</td><td>{limits.needed * 73:,}</td>" in study._table.value
    assert f"<td>200,000</td><td>{twice.needed}</td>" in study._table.value
    assert study.results is None and "nothing was simulated" in study._message.value and is_picture(study)


def test_capacity_without_prices_shows_no_costs():
    assert "a month" not in widgets.capacity(over=["servers.max_connections"])._table.value


def test_moving_a_limit_changes_the_servers_needed():
    study = widgets.capacity(over={"servers.max_connections": [10_000, 1_000]})
    before = picture(study)
    choose(study, "servers.max_connections", "1,000")
    assert "<td>100,000</td><td>100</td><td>connections</td>" in study._table.value and picture(study) != before


def test_capacity_of_every_preset():
    for name in presets.NAMES:
        assert widgets.capacity(presets.load(name)).error == ""


def test_capacity_where_nothing_binds_has_an_empty_cell():
    study = widgets.capacity(Scenario(name="few", duration=4, clients=[{"name": "phones", "count": 20}]))
    assert '<th scope="row">x0.1</th><td>2</td><td>1</td><td></td>' in study._table.value


def test_a_wrong_price_table_is_refused():
    with pytest.raises(ScenarioError, match="prices.server_per_hour"):
        widgets.capacity(prices={"currency": "EUR", "server_per_hour": -1})
