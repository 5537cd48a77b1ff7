"""Limits: each row can be worked out by hand, and the rows together decide."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.errors import ScenarioError
from realtime_sim.limits import connections_claim, server_limits
from realtime_sim.limits.load import Load
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.theory import node_copies
from tests.limited import busy_rooms, rows, scenario
from tests.strategies import scenarios

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_connections_and_memory_divide():
    """1,000 clients at 300 a server: 4. Memory of 100 kB less 20 kB at 1 kB each holds 80: 13."""
    servers = {
        "profile": "zero", "max_connections": 300, "memory": 100_000,
        "costs": {"base_memory": 20_000, "connection_memory": 1_000},
    }  # fmt: skip
    found = rows(scenario(servers=servers))
    assert (found["connections"].servers, found["memory"].servers) == (4, 13)
    assert server_limits(scenario(servers=servers)).binding == "memory"


def test_cpu_is_work_over_the_target():
    """10/s x 1,000 x 20 us = 0.2 s/s: one server at 0.7, two at 0.1 ... and 0.1 s/s each."""
    assert rows(scenario())["cpu"].servers == 1
    assert rows(scenario(), target_utilization=0.1)["cpu"].servers == 2
    assert rows(scenario())["cpu"].demand == pytest.approx(0.2)


def test_decoding_every_message_on_every_server_can_be_too_much_for_any_number():
    servers = {"profile": "zero", "costs": {"event": "100ms"}}
    found = rows(scenario(servers=servers))["cpu"]
    assert found.servers is None and not found.possible


def test_the_claim_of_65_servers_is_taken_at_its_word():
    """1,000,000 / 20 = 50,000; / 65 = 15,385; / 10,000 = 100; / 65,000 = 15.4, so 16."""
    text = str(connections_claim())
    for figure in ("50,000", "15,385", "100", "16"):
        assert figure in text
    assert "do not agree" in text


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_more_clients_never_need_fewer_servers(a, b):
    few, many = sorted((a, b))

    def needed(count: int) -> int:
        clients = [{"name": "c", "count": count, "keepalive": None}]
        servers = {"profile": "zero", "costs": {"send": "20us"}, "max_connections": 500}
        return server_limits(scenario(clients=clients, servers=servers)).needed

    assert needed(few) <= needed(many)


def test_what_is_needed_is_the_most_that_any_limit_needs():
    limits = server_limits(scenario(servers={"profile": "zero", "costs": {"send": "20us"}, "max_connections": 77}))
    assert limits.needed == max(row.servers for row in limits.rows if row.servers is not None) == 13
    assert [row.name for row in limits.rows if row.binding] == [limits.binding] == ["connections"]


def test_wrong_arguments_are_refused():
    with pytest.raises(ScenarioError, match="target_utilization"):
        server_limits(scenario(), target_utilization=1.5)
    with pytest.raises(ScenarioError, match="scenario must be a Scenario"):
        server_limits("chat")


# --- servers that are lost ------------------------------------------------------------------------------------------


def full_servers(count: int, **slo: object) -> Scenario:
    """250 clients at 20 a server: 12.5, so 13; one of them dies."""
    return scenario(
        duration=15, warmup=1,
        clients=[{"name": "c", "count": 250, "network": {"rtt": "20ms"}}],
        servers={"count": count, "max_connections": 20},
        traffic=[{"name": "t", "rate": 1}],
        faults=[{"at": 3, "kind": "kill_server", "server": 0}],
        slo={"recover_within": "10s"} | slo,
    )  # fmt: skip


def test_survivors_without_room_never_take_everybody_in():
    """12 x 20 = 240 of 250, on 13 x 20 = 260; the simulator says the same."""
    limits = server_limits(full_servers(13))
    (storm,) = limits.storms
    assert (limits.needed, storm.servers, storm.to_survive) == (13, 13, 14)
    assert (storm.accept_s, storm.back_s, storm.kept) == (None, None, False)
    assert "12 survivors have room for 240 of 250: 14 servers are needed to survive the loss of one." in storm.note
    assert "within 10 s: missed, they never are" in storm.note
    assert simulate(full_servers(13)).recovery["p100_s"].isna().all()


def test_survivors_with_room_take_everybody_in_within_the_time_found():
    needed, given = server_limits(full_servers(14)).storms
    assert (needed.servers, given.servers, given.to_survive) == (13, 14, 14)
    recovered_s = simulate(full_servers(14)).recovery["p100_s"].max()
    assert given.accept_s < recovered_s <= given.back_s
    assert given.kept is True and "within 10 s: kept, it takes about" in given.note
    late = server_limits(full_servers(14, recover_within="0.5s")).storms[1]
    assert late.kept is False and "within 0.5 s: missed, it takes" in late.note


def test_the_verdict_is_the_simulators_for_slow_clients_too():
    """`examples/server_dies.yaml`: round trips of 40 ms in the median and 250 ms at p99."""
    case = Scenario.from_yaml(EXAMPLES / "server_dies.yaml").replace(duration=25)
    storm = server_limits(case).storms[-1]
    recovered_s = simulate(case).recovery["p100_s"].max()
    assert storm.accept_s < recovered_s <= storm.back_s <= case.slo.recover_within and storm.kept


def test_a_storm_that_fails_attempts_takes_at_least_what_is_found():
    """`examples/reconnect_storm.yaml` has a backlog of 200 for 1,000 clients, and connect timeouts of 5 s."""
    storm = server_limits(Scenario.from_yaml(EXAMPLES / "reconnect_storm.yaml")).storms[-1]
    assert "it takes at least" in storm.note and "backlog of 200" in storm.note and "give up an attempt" in storm.note


def test_memory_can_be_what_survivors_lack():
    """Of 100 kB, 20 kB for the process leave 80 connections of 1 kB: 13 servers for 1,000, and 12 hold 960."""
    costs = {"base_memory": 20_000, "connection_memory": 1_000}
    (storm,) = server_limits(
        scenario(servers={"count": 13, "profile": "zero", "memory": 100_000, "costs": costs})
    ).storms
    assert "12 survivors have room for 960 of 1,000: 14 servers" in storm.note


def test_survivors_may_have_no_time_left():
    """0.9 s/s of sends on one loop: two servers have it, and one that is left has, too; 2 s/s it has not."""
    busy = {
        "traffic": [{"name": "t", "rate": 100}],
        "servers": {"count": 2, "profile": "zero", "costs": {"send": "20us"}},
    }
    storm = server_limits(scenario(**busy), target_utilization=1.0).storms[0]
    assert "1 survivor has no time left for handshakes: 4 servers are needed to survive the loss of one" in storm.note


def test_the_last_server_leaves_nobody():
    storm = server_limits(scenario()).storms[0]
    assert storm.back_s is None and "Nobody is left to take them in: 2 servers are needed" in storm.note


def test_servers_that_may_be_lost_come_on_top_of_every_limit():
    """250 clients at 20 a server: 13 must be left of 15, and 240 of them fit on what is left of 14."""
    limits = server_limits(full_servers(14, survive_servers=2))
    row = limits.row("connections")
    assert (row.servers, row.to_survive, limits.needed, limits.lost) == (13, 15, 15, 2)
    assert "13 servers must be left when 2 are lost: 13 + 2 = 15" in row.arithmetic
    one = server_limits(full_servers(14, survive_servers=1)).row("connections")
    assert "13 servers must be left when 1 is lost: 13 + 1 = 14" in one.arithmetic
    assert row.left_used_ratio == pytest.approx(250 / 260) and row.given_left_used_ratio == pytest.approx(250 / 240)
    assert limits.exceeded == ("connections",)
    assert "Your 14 servers, 2 of them lost, do not meet every limit: connections at 104.2% of 100%." in str(limits)
    assert "15 servers needed (13 and 2 that may be lost)" in limits.headline
    assert [storm.lost for storm in limits.storms] == [2, 2] and limits.storms[0].back_s is not None


def test_servers_for_cpu_are_those_that_are_left():
    """2 s/s of sends at 0.7: 3 loops must be left, and 4 are needed."""
    case = scenario(traffic=[{"name": "t", "rate": 100}], slo={"survive_servers": 1})
    assert (server_limits(case).row("cpu").servers, server_limits(case).needed) == (3, 4)
    assert server_limits(case).row("cpu").left_used_ratio == pytest.approx(2 / 3)


def test_more_lost_than_given_leaves_none():
    limits = server_limits(full_servers(2, survive_servers=2))
    assert "Your 2 servers: none is left when 2 are lost." in str(limits)
    assert limits.row("connections").given_left_used_ratio is None


@given(st.integers(0, 5), st.integers(1, 2000))
def test_each_server_that_may_be_lost_is_one_more(lost, count):
    def needed(k: int) -> int:
        clients = [{"name": "c", "count": count, "keepalive": None}]
        servers = {"profile": "zero", "costs": {"send": "20us"}, "max_connections": 77}
        return server_limits(scenario(clients=clients, servers=servers, slo={"survive_servers": k})).needed

    assert needed(lost) == needed(0) + lost


# --- the given servers, and how it looks ----------------------------------------------------------------------------


def test_the_given_servers_have_a_column_of_their_own():
    """1,000 clients at 300: 4 are needed; the 3 given would hold 900, and 10 broadcasts a second use 0.2 of 3 loops."""
    servers = {"count": 3, "profile": "zero", "costs": {"send": "20us"}, "max_connections": 300}
    limits = server_limits(scenario(servers=servers))
    row = limits.row("connections")
    assert row.used_ratio == pytest.approx(1000 / 1200) and row.given_used_ratio == pytest.approx(1000 / 900)
    assert limits.row("cpu").given_used_ratio == pytest.approx(0.2 / 3)
    head, connections = (line for line in str(limits).splitlines() if line.startswith(("limit ", "connections  ")))
    assert "used at 4" in head and "at your 3" in head
    assert "83.3%" in connections and "111.1%!" in connections
    assert "! more than there is" in str(limits)
    assert "Your 3 servers do not meet every limit: connections at 111.1% of 100%." in str(limits)
    assert "Your 4 servers meet every limit." in str(server_limits(scenario(servers=servers | {"count": 4})))


SHARDED = {"kind": "redis_pubsub", "publish": "10us", "copy": "5us"}


@pytest.mark.parametrize(
    ("shards", "used", "full_at", "binding"),
    [(1, 1.5, 66_667, "broker"), (2, 0.75, 133_333, "broker"), (3, 0.5625, 177_778, None), (4, 0.375, 266_667, None)],
)
def test_the_busiest_shard_decides(shards, used, full_at, binding):
    """100,000/s x (10 + 5) us = 1.5 threads, in rooms 1 to 8: three of them at each of two shards of three, 3 / 8."""
    case = scenario(
        servers={"profile": "zero"}, broker=SHARDED | {"shards": shards},
        rooms=[{"name": "r", "count": 8, "members": 5}], traffic=[{"name": "t", "to": "r", "rate": 100_000}],
    )  # fmt: skip
    limits = server_limits(case)
    row = limits.row("broker")
    assert (row.demand, row.brokers, limits.binding) == (pytest.approx(1.5), 3, binding)
    assert row.used_ratio == row.given_used_ratio == pytest.approx(used)
    assert row.possible and f"Full at {full_at:,} publishes/s" in row.note
    assert (f"the busiest of {shards} shards has" in row.arithmetic) == (shards > 1)
    assert ("The busiest shard is busier than 70%." in row.note) == (shards == 2)
    assert ("Its one thread is busier than 70%." in row.note) == (shards == 1)


def test_a_room_is_at_one_shard_however_many_there_are():
    """Everyone is one room: 0.9 of a thread at one instance, and nothing at the 63 others."""
    broker = SHARDED | {"shards": 64}
    case = scenario(servers={"profile": "zero"}, broker=broker, traffic=[{"name": "t", "rate": 60_000}])
    row = server_limits(case).row("broker")
    assert row.used_ratio == pytest.approx(0.9) and not row.possible
    assert "The busiest room takes 0.9 of a thread, and a room cannot be split." in row.note


def test_rooms_of_unequal_size_load_shards_by_what_their_copies_cost():
    """Rooms of 48, 24, 16 and 12, numbered from 1, chosen by size: the first and the third are at shard 1."""
    case = scenario(
        broker=SHARDED | {"shards": 2, "subscription": "per_room"},
        rooms=[{"name": "r", "count": 4, "members": 25, "zipf": 1}],
        traffic=[{"name": "t", "to": "r", "rate": 1000, "pick": "by_size"}],
    )  # fmt: skip
    large, second, third, small = (10 * size * (10e-6 + 5e-6 * node_copies(20, size)) for size in (48, 24, 16, 12))
    load = Load(case)
    assert load.threads_s(20).tolist() == pytest.approx([second + small, large + third])
    (stream,) = load.streams
    assert load.threads_s(20).sum() == pytest.approx(1000 * load.publish_s(20, stream))


def test_an_idle_scenario_binds_nothing():
    idle = server_limits(scenario(traffic=[], servers={"profile": "zero"}))
    assert idle.binding is None and idle.headline.endswith("Nothing binds.")
    assert not any(row.binding for row in idle.rows)
    barely = scenario(servers={"profile": "zero", "max_connections": 10_000_000})
    assert server_limits(barely).binding is None
    assert server_limits(barely).to_plain()["binding"] is None


def test_storms_stand_apart_from_the_table_of_limits():
    limits = server_limits(scenario(servers={"count": 3, "profile": "zero"}))
    assert [row.name for row in limits.rows] == ["connections", "memory", "cpu", "egress", "broker"]
    assert "reconnect storm, servers needed: 1 of 1 dies" in str(limits)
    assert "reconnect storm, your servers: 1 of 3 dies" in str(limits)
    assert "reconnect storm" in limits._repr_html_()


def test_wide_figures_keep_their_columns_apart():
    clients = [{"name": "c", "count": 5_000_000, "keepalive": None}]
    servers = {"count": 10_000, "max_connections": 99_999_999, "memory": "900GiB", "egress": "999 Gbit/s"}
    traffic = [{"name": "t", "rate": 1_000_000, "payload": "10MB"}]
    limits = server_limits(scenario(clients=clients, servers=servers, traffic=traffic, slo={"survive_servers": 3}))
    table = str(limits).split("\n\n")[1].splitlines()
    cells = [re.split(r" {2,}", line) for line in table]
    assert [line[0] for line in cells[1:6]] == ["connections", "memory", "cpu", "egress", "broker"]
    ends = {match.end() for match in re.finditer(r"(capacity each|demand)", table[0])}
    assert all(line[end - 1] != " " and line[end : end + 2] == "  " for line in table[1:6] for end in ends)


def test_wakeups_that_no_number_of_servers_takes_over_are_named():
    """10,000 messages a second at 271 us: 77 % on any number of servers, and 61 would do for the work itself."""
    clients = [{"name": "c", "count": 5_000_000}]
    rooms = [{"name": "group", "count": 500_000, "members": 10}]
    traffic = [{"name": "t", "to": "group", "rate": 10_000, "from": "clients"}]
    limits = server_limits(scenario(clients=clients, servers={}, rooms=rooms, traffic=traffic))
    row = limits.row("cpu")
    assert not row.possible and row.without_wakeups == 61 == limits.frame.loc["cpu", "without_wakeups"]
    assert "Wake-ups alone keep the loops so busy. Wake-ups fade as load grows; without them 61 servers" in row.note
    assert "`plan` finds by simulation" in row.note and "none: wake-ups" in str(limits)
    assert "none by arithmetic at 70 %: wake-ups, 61 for the work alone; simulate it with plan" in limits.headline


def test_wakeups_are_not_blamed_where_work_alone_is_too_much():
    """Decoding takes 0.8 s/s on every server, and connections fit nowhere: no simulation helps."""
    decoding = scenario(servers={"costs": {"event": "80ms"}})
    assert rows(decoding)["cpu"].without_wakeups is None
    assert "no number of servers is enough" in server_limits(decoding).headline
    assert rows(busy_rooms(1))["cpu"].without_wakeups is None


@given(scenarios(), st.integers(0, 3))
@settings(max_examples=60)
def test_any_scenario_has_limits_that_add_up_and_show_themselves(drawn, lost):
    case = Scenario(**drawn, slo={"survive_servers": lost, "recover_within": "5s"})
    limits = server_limits(case)
    assert (
        json.dumps(limits.to_plain(), allow_nan=False)
        and str(limits)
        and limits._repr_html_()
        and len(limits.frame) == 5
    )
    assert limits.needed is None or limits.needed >= 1 + lost
    cpu, n = limits.row("cpu"), limits.row("cpu").servers or case.servers.count
    assert cpu.demand == pytest.approx(sum(per_s * cost_s for _, per_s, cost_s in Load(case).cpu(n)))
    for storm in limits.storms:
        short = storm.to_survive is None or storm.servers < storm.to_survive
        assert (storm.back_s is None) == short and storm.kept == (not short and storm.back_s <= 5)


def test_limits_are_plain_json():
    plain = server_limits(full_servers(14, survive_servers=1)).to_plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert [storm["servers"] for storm in plain["storms"]] == [14]
