"""Sizing: what grows grows by the factor and the rest stays; every row is a plan or the arithmetic, priced by hand."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import presets, size
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.prices import Prices
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.sizing import autoscaling_lag, grown
from tests.plans import CASE as PLANNED
from tests.plans import planned

CHAT = Scenario(
    name="chat",
    duration=20,
    clients=[{"name": "phones", "count": 1_000}, {"name": "desks", "count": 3, "transport": "sse"}],
    servers={"max_connections": 300, "egress": "1 Gbit/s"},
    broker={"kind": "redis_pubsub"},
    rooms=[{"name": "group", "count": 100, "members": 10}, {"name": "inbox", "per_user": True}],
    events=[{"name": "order", "rate": "20/s"}],
    services=[{"name": "mailer", "consumes": "order", "service": "10ms", "replicas": 2}],
    traffic=[
        {"name": "words", "to": "group", "rate": "50/s"},
        {"name": "news", "rate": "1/s"},
        {"name": "alerts", "to": "inbox", "rate": "10/s"},
        {"name": "receipts", "to": "inbox", "from": "mailer"},
    ],
    faults=[{"at": "5s", "kind": "drop_clients", "cohort": "phones", "share": 0.5}],
)
PRICES = {"currency": "EUR", "server_per_hour": {"small": 0.1, "large": 0.15}, "broker_per_hour": 0.2}
SIZES = {"small": {"servers.max_connections": 100}, "large": {"servers.max_connections": 1_000}}


# --- growth ---------------------------------------------------------------------------------------------------------


def test_clients_rooms_and_what_goes_to_rooms_grow_and_nothing_else_does():
    found = grown(CHAT, 10)
    assert [cohort.count for cohort in found.clients] == [10_000, 30]
    assert [(group.count, group.members) for group in found.rooms] == [(1_000, 10), (None, None)]
    assert [stream.rate for stream in found.traffic] == [500, 1, 100, None]
    assert (found.events[0].rate, found.services[0].replicas) == (200, 20)
    same = {"clients": CHAT.clients, "rooms": CHAT.rooms, "traffic": CHAT.traffic, "events": CHAT.events,
            "services": CHAT.services}  # fmt: skip
    assert found.replace(**same) == CHAT


def test_a_member_hears_as_much_as_before():
    """Messages to one client a second: rate x members / rooms / ... = rate x members / clients."""
    for factor in (0.5, 2, 10):
        found = grown(CHAT, factor)
        heard = found.traffic[0].rate * found.rooms[0].members / found.clients[0].count
        assert heard == pytest.approx(50 * 10 / 1_000, rel=0.01)


def test_workers_of_direct_calls_grow_with_their_events():
    direct = CHAT.replace(**{"pipeline": {"coupling": "direct", "workers": 50}})
    assert grown(direct, 4).pipeline.workers == 200 and grown(CHAT, 4).pipeline == CHAT.pipeline


@given(st.integers(1, 50), st.integers(1, 20))
def test_growth_by_a_product_is_growth_twice(first, second):
    assert grown(grown(CHAT, first), second) == grown(CHAT, first * second)


def test_growth_by_one_is_the_same_scenario():
    assert grown(CHAT, 1) is CHAT
    assert grown(CHAT, 1.001).clients[1].count == 4  # rounded up


@pytest.mark.parametrize("factor", [0, -1, math.inf, math.nan, "2", True, None])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(ScenarioError, match="factor must be a number above 0"):
        grown(CHAT, factor)


def test_a_scenario_that_cannot_shrink_so_far_says_why():
    with pytest.raises(ScenarioError, match="must not exceed the clients that can join"):
        grown(CHAT.replace(**{"rooms[0].members": 900}), 0.1)


# --- the lag of an autoscaler ---------------------------------------------------------------------------------------


def test_lag_is_tolerance_and_what_comes_meanwhile():
    """20 x (1 + 0.1 + 0.5 x 25 s / 60 s) = 20 x 1.30833 = 26.17 -> 27."""
    lag = autoscaling_lag(CHAT, 20, growth_per_min=0.5)
    assert (lag.lag_s, lag.needed, lag.added) == (25, 27, 7)
    assert lag.filled_ratio == pytest.approx(20 / 27)
    assert autoscaling_lag(CHAT, 10, growth_per_min=0).needed == 11  # the tolerance alone


def test_lag_takes_the_autoscaler_of_the_scenario():
    scaled = CHAT.replace(**{"autoscaling": {
        "max_replicas": 50, "metrics": [{"name": "connections", "target": 100}], "sync_period": "5s", "tolerance": 0,
    }})  # fmt: skip
    assert autoscaling_lag(scaled, 20, growth_per_min=0.4).needed == 22  # 20 x (1 + 0.4 x 15 s / 60 s)


def test_a_simulated_autoscaler_fills_servers_as_far_as_the_arithmetic_says():
    """1,000 clients, 300 more in a minute (30 %), 20 servers' worth of target: none is ever filled beyond what the
    lag grants, and without the lag's margin some are."""
    each = 100
    lag = autoscaling_lag(CHAT, 10, growth_per_min=0.3)
    target = each * lag.filled_ratio
    case = Scenario(
        name="ramp",
        duration=60,
        warmup=0,
        sample_interval=1,
        clients=[{"name": "first", "count": 1_000}, {"name": "newcomers", "count": 300, "ramp_up": 60}],
        servers={"count": math.ceil(1_000 / target), "profile": "zero"},
        autoscaling={"max_replicas": 50, "metrics": [{"name": "connections", "target": target}]},
    )
    fullest = simulate(case).server_series().max().max()
    assert target * 1.1 < fullest <= each


@pytest.mark.parametrize(
    ("servers", "growth", "path"),
    [(0, 0.1, "servers"), (True, 0.1, "servers"), (2, -1, "growth_per_min"), (2, "x", "growth_per_min")],
)
def test_wrong_arguments_of_a_lag_are_named(servers, growth, path):
    with pytest.raises(ScenarioError, match=f"^{path} must be"):
        autoscaling_lag(CHAT, servers, growth)


# --- the table ------------------------------------------------------------------------------------------------------


def test_by_arithmetic_each_row_is_that_of_the_limits():
    table = size(CHAT, growth=(1, 3), sizes=SIZES, profiles=["websockets-asyncio", "centrifugo"], queueing=False)
    assert len(table.frame) == 8
    for row in table.frame.itertuples():
        changes = {"servers.profile": row.profile, **SIZES[row.size]}
        limits = server_limits(grown(CHAT, row.growth).replace(**changes))
        assert (row.servers, row.by_arithmetic, row.binding) == (limits.needed, limits.needed, limits.binding)
        assert row.connections_per_server == row.clients / row.servers
        assert row.egress_bytes_per_s == limits.row("egress").demand


def test_costs_are_those_of_the_price_table_and_the_cheapest_row_is_marked():
    table = size(CHAT, growth=(1, 3), sizes=SIZES, prices=PRICES, queueing=False)
    for row in table.frame.itertuples():
        assert row.cost_servers == pytest.approx(row.servers * PRICES["server_per_hour"][row.size] * 730)
        assert row.cost_broker == pytest.approx(0.2 * 730)
        assert row.cost == pytest.approx(row.cost_servers + row.cost_broker + row.cost_egress)
        assert row.cost_per_1000_clients == pytest.approx(row.cost / row.clients * 1_000)
    for growth, rows in table.frame.groupby("growth"):
        assert table.best.set_index("growth").loc[growth, "cost"] == rows["cost"].min()
    assert str(table).count("best") == 2 and "EUR a month" in table.headline


def test_all_rows_that_tie_are_best():
    """1,003 clients fit on two servers of 700 as on two of 703; a hundred times as many need one more of the former."""
    sizes = {"a": {"servers.max_connections": 700}, "b": {"servers.max_connections": 703},
             "c": {"servers.max_connections": 100}}  # fmt: skip
    case = CHAT.replace(**{"servers.profile": "zero"})
    for prices in (None, PRICES | {"server_per_hour": 0.1}):
        table = size(case, growth=(1, 100), sizes=sizes, prices=prices, queueing=False)
        assert table.frame["servers"].tolist()[:3] == [2, 2, 11]
        assert list(zip(table.best["growth"], table.best["size"], strict=True)) == [(1, "a"), (1, "b"), (100, "b")]
        assert str(table).count("best") == 3


OVERLOADED = {"append": "30ms"}
"""81 messages a second of CHAT keep 2.43 threads busy, 3.5 at 70 %: four, and five where readers cost something."""


def test_shards_that_a_broker_needs_are_counted_and_paid_for():
    """At 30 ms a publish four shards have room for 2.43 threads of work; each of them is paid for."""
    case = CHAT.replace(**{"broker.publish": "30ms"})
    table = size(case, growth=(1,), prices=PRICES | {"server_per_hour": 0}, queueing=False)
    (row,) = table.frame.itertuples()
    assert (row.binding, row.brokers, row.note) == ("broker", 4, "4 shards needed, not 1")
    assert row.cost_broker == pytest.approx(4 * 0.2 * 730)
    enough = size(
        case.replace(**{"broker.shards": 4}), growth=(1,), prices=PRICES | {"server_per_hour": 0}, queueing=False
    )
    assert enough.frame.loc[0, ["brokers", "note"]].tolist() == [4, ""]
    assert enough.frame.loc[0, "cost"] == row.cost


def test_rooms_of_unequal_size_need_more_shards_than_their_work_alone():
    """Everyone's room takes 0.6 of a thread, each of 20 more 0.045: 1.5 / 0.7 asks for three shards. Beside the first,
    number 0, two others fit at most, every seventh of them: seven shards."""
    case = Scenario(
        name="uneven", duration=10, clients=[{"name": "c", "count": 100}], servers={"profile": "zero"},
        broker={"kind": "redis_pubsub", "publish": "10ms", "copy": 0},
        rooms=[{"name": "small", "count": 20, "members": 5}],
        traffic=[{"name": "all", "rate": 60}, {"name": "words", "to": "small", "rate": 90}],
    )  # fmt: skip
    row = size(case, growth=(1,), queueing=False).frame.loc[0]
    assert (server_limits(case).row("broker").brokers, row["brokers"]) == (3, 7)
    used = {n: server_limits(case.replace(**{"broker.shards": n})).row("broker").used_ratio for n in (3, 6, 7)}
    assert used == pytest.approx({3: 0.87, 6: 0.735, 7: 0.69})


@pytest.mark.parametrize(
    ("broker", "note"),
    [
        ({"kind": "redis_streams"} | OVERLOADED, "none: broker, 4 threads of redis_streams needed, and it has one"),
        ({"kind": "nats", "publish": "30ms"}, "none: broker, 4 threads of nats needed, and it has one"),
        ({"kind": "redis_pubsub", "publish": "800ms"},
         "none: broker, one room alone keeps a thread of redis_pubsub busier than 70%"),
    ],
)  # fmt: skip
def test_a_broker_that_cannot_do_it_leaves_no_answer_and_is_never_best(broker, note):
    """News of 1/s go to one room, everyone's: at 800 ms a publish no number of shards takes any of it away."""
    table = size(CHAT.replace(broker=broker), growth=(1, 2), sizes=SIZES, prices=PRICES, queueing=False)
    first = table.frame.iloc[0]
    assert first["servers"] is pd.NA and first["binding"] == "broker" and first["note"] == note
    assert len(table.best) == 0 and "best" not in str(table) and table.frame["cost"].isna().all()


def test_kafka_has_more_partitions_in_the_same_cluster():
    table = size(CHAT.replace(broker={"kind": "kafka", "partitions": 2} | OVERLOADED), growth=(1,), queueing=False)
    assert table.frame.loc[0, ["brokers", "note"]].tolist() == [1, "4 partitions needed, not 2"]


@pytest.mark.parametrize(
    ("broker", "brokers"),
    [({"kind": "redis_pubsub", "shards": 3}, 3), ({"kind": "kafka"}, 1), ({"kind": "none"}, 0)],
)
def test_a_broker_is_paid_for_each_of_its_shards(broker, brokers):
    (row,) = size(CHAT.replace(broker=broker), growth=(1,), prices=PRICES | {"server_per_hour": 0}, queueing=False
                  ).frame.itertuples()  # fmt: skip
    assert row.brokers == brokers and row.cost_broker == pytest.approx(brokers * 0.2 * 730)


def test_a_row_without_an_answer_says_why():
    case = CHAT.replace(**{"servers.costs.event": "1s"})
    table = size(case, growth=(1,), queueing=False, prices=PRICES | {"server_per_hour": 1})
    assert table.frame["servers"].isna().all() and math.isnan(table.frame.loc[0, "cost"])
    assert "no number of servers is enough" in str(table) and len(table.best) == 0


def test_a_row_that_wakeups_alone_leave_without_an_answer_sends_to_the_simulation():
    """What is said of any number of servers by arithmetic at 70 % is not that no number would do."""
    case = Scenario(
        name="push", duration=10, clients=[{"name": "c", "count": 5_000_000}], broker={"kind": "kafka"},
        rooms=[{"name": "group", "count": 500_000, "members": 10}],
        traffic=[{"name": "t", "to": "group", "rate": 10_000, "from": "clients"}],
    )  # fmt: skip
    table = size(case, growth=(1,), queueing=False)
    expected = "none by arithmetic at 70 %: wake-ups, 61 for the work alone; simulate it with plan"
    assert table.frame["servers"].isna().all() and table.frame.loc[0, "note"] == expected


def test_a_row_without_the_name_of_a_size_is_priced_by_its_profile():
    prices = Prices(currency="EUR", server_per_hour={"centrifugo": 1.0})
    table = size(CHAT, growth=(1,), profiles=["centrifugo"], prices=prices, queueing=False)
    assert table.frame.loc[0, "cost_servers"] == pytest.approx(730 * table.frame.loc[0, "servers"])


def test_where_nothing_binds_at_some_sizes_the_table_has_a_dash():
    """A missing name is None in the frame, beside names as well."""
    few = Scenario(name="few", duration=4, clients=[{"name": "phones", "count": 2}])
    found = size(few, growth=[1, 100], queueing=False)
    assert found.frame["binding"].tolist() == [None, "cpu"] and found.frame["next_binding"].isna().sum() == 1
    assert [row[4] for row in found.cells()] == ["binding", "-", "cpu"] and "nan" not in str(found)


def test_text_html_and_json_say_the_same():
    table = size(CHAT, growth=(1, 2), prices=PRICES, sizes=SIZES, queueing=False)
    html, plain = table._repr_html_(), json.loads(table.to_json())
    assert plain == table.to_plain() and plain["prices"]["currency"] == "EUR"
    for row, said in zip(table.frame.itertuples(), plain["rows"], strict=True):
        assert said["servers"] == row.servers and f"{row.servers:,}" in str(table) and said["confident"] is None
        assert f"<td>{row.servers:,}</td>" in html


def test_a_million_is_sized_at_once():
    table = size(presets.load("million"), growth=(1, 2), queueing=False)
    assert table.frame["servers"].tolist() == [server_limits(presets.load("million")).needed,
                                               server_limits(grown(presets.load("million"), 2)).needed]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": ()}, "growth must have a level"),
        ({"growth": (1, 0)}, "growth must be a number above 0, got 0; use 2"),
        ({"growth": (1e300,)}, r"growth must leave every field within its rules \(clients\[0\].count must be at most"),
        ({"growth": range(1, 1_002)}, "growth must give at most 1_000 rows"),
        ({"profiles": ["nginx"]}, "servers.profile must be"),
        ({"sizes": {"x": {"servers.disk": 1}}}, "servers.disk is not a known field"),
        ({"prices": PRICES}, "prices.server_per_hour must have a price for 'websockets-asyncio'"),
        ({"prices": {"currency": "EUR"}}, "prices.server_per_hour must be given"),
    ],
)
def test_what_is_wrong_is_one_clear_message(options, message):
    with pytest.raises(ScenarioError, match=message):
        size(CHAT, **({"growth": (1,), "queueing": False} | options))


def test_a_scenario_is_needed():
    with pytest.raises(ScenarioError, match="scenario must be a Scenario, got 'str'"):
        size("chat", queueing=False)


def test_the_frame_has_types():
    frame = size(CHAT, growth=(1,), queueing=False).frame
    assert isinstance(frame["servers"].dtype, pd.Int64Dtype) and frame["growth"].dtype == float


def test_by_simulation_each_row_is_a_plan():
    """What queueing and storms add stands beside the arithmetic."""
    table, found = size(PLANNED, growth=(1,), prices=PRICES | {"server_per_hour": 0.1}), planned()
    (row,) = table.frame.itertuples()
    assert (row.servers, row.confident) == (found.servers, found.confident)
    assert (row.binding, row.next_binding) == (found.binding, found.next_binding)
    assert row.by_arithmetic == found.limits.needed < row.servers
    assert row.cost_servers == pytest.approx(found.servers * 0.1 * 730)
    assert "by arithmetic" in str(table) and table.to_plain()["rows"][0]["confident"] is found.confident


def test_a_row_that_no_number_serves_has_the_reason_of_its_plan():
    table = size(PLANNED, {"p99": "5ms"}, growth=(1,))
    assert table.frame["servers"].isna().all()
    assert "half a round trip alone takes" in table.frame.loc[0, "note"]
