"""Limits: each row can be worked out by hand, and the rows together decide."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim import presets
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import connections_claim, server_limits
from realtime_sim.limits.load import Load
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.theory import node_copies
from realtime_sim.timelines import broker_busy
from tests.strategies import scenarios

EXAMPLES = Path(__file__).parent.parent / "examples"


def scenario(**changes: object) -> Scenario:
    """A thousand clients, ten broadcasts a second, 20 us a send: 0.2 s of CPU a second."""
    return Scenario(
        **{
            "name": "case",
            "duration": 10,
            "clients": [{"name": "c", "count": 1000, "keepalive": None}],
            "servers": {"profile": "zero", "costs": {"send": "20us"}},
            "broker": {"kind": "redis_pubsub", "publish": "10us", "copy": "5us"},
            "traffic": [{"name": "t", "rate": 10}],
        }
        | changes
    )


def rows(case: Scenario, **options: float) -> dict:
    return {row.name: row for row in server_limits(case, **options).rows}


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


# --- agreement with the simulator -----------------------------------------------------------------------------------


def busy_rooms(servers: int, source: str = "backend", rate: int = 2500, **more: object) -> Scenario:
    """1,000 clients in 100 rooms of 10, 2,500 messages a second: many small jobs, most of which wake a loop."""
    return scenario(
        duration=5, warmup=1,
        clients=[{"name": "c", "count": 1000, "network": {"rtt": "40ms"}}],
        servers={"count": servers} | more,
        broker={"kind": "redis_pubsub"},
        rooms=[{"name": "group", "count": 100, "members": 10}],
        traffic=[{"name": "t", "to": "group", "rate": rate, "payload": "200B", "from": source}],
    )  # fmt: skip


@pytest.mark.parametrize(
    "case, predicted",
    [
        (busy_rooms(1), 0.758),
        (busy_rooms(1, "clients"), 0.859),
        (busy_rooms(4), 0.512),
        (busy_rooms(4, "clients"), 0.567),
        (busy_rooms(1, workers=2), 0.517),
        (busy_rooms(4, "clients", workers=2), 0.419),
        (busy_rooms(1, rate=800, fanout="task_per_client"), 0.466),
        (presets.load("chat").replace(duration=30), 0.046),
        (presets.load("dashboard"), 0.046),
        (presets.load("fallback").replace(duration=30), 0.080),
        (Scenario.from_yaml(EXAMPLES / "million_scaled.yaml").replace(duration=10), 0.362),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else str(value),
)
def test_the_busy_share_is_that_of_the_simulator(case, predicted):
    """Within 3 points, and an eighth of small figures; standard errors are below a fifth of that."""
    assert Load(case).utilization(case.servers.count) == pytest.approx(predicted, abs=6e-4)
    simulated = simulate(case).servers["utilization"].mean()
    assert simulated == pytest.approx(predicted, abs=min(0.03, predicted / 8))


def test_egress_is_what_the_links_of_the_simulator_carry_and_the_pings_beside_it():
    """Ten publishes a second at a constant gap, of 20 s: 200 or one less or more, an interval of 0.5 %. Pings by hand:
    300 / 1.5 s of 80 B and 200 / 4 s of 55 B, which is 18,750 B/s; of long polls there are none."""
    case = scenario(
        duration=20, warmup=0,
        clients=[
            {"name": "sockets", "count": 300, "keepalive": {"interval": 1.5, "timeout": 20}},
            {"name": "events", "count": 200, "transport": "sse", "tls": False,
             "keepalive": {"interval": 4, "timeout": 9}},
        ],
        servers={"count": 2, "profile": "zero", "costs": {"ping": "5us"}, "egress": "1 Gbit/s"},
        traffic=[{"name": "t", "rate": 10, "payload": 300, "arrivals": "constant"}],
    )  # fmt: skip
    load, row = Load(case), rows(case)["egress"]
    pings = {label: (per_s, n_bytes) for label, per_s, n_bytes in load.egress if label.endswith("pings")}
    assert pings == {"sockets, pings": (200, 16_000), "events, pings": (50, 2_750)}
    assert "sockets, pings        200/s  x   80 B  = 16,000 B/s" in row.arithmetic
    trace = simulate(case).trace
    carried = trace.servers["link_busy_ns"].sum() / 1e9 * case.servers.egress / 20
    assert row.demand - 18_750 == pytest.approx(carried, rel=1 / 200)
    assert "TCP acknowledgements" in row.note and "TLS handshakes" in row.note
    assert "Links of a simulation carry no pings." in row.note


def test_the_busy_share_of_each_shard_is_that_of_the_simulator():
    """Some 33,000 publishes at each shard, and 2,300 commands of 2 ms: standard errors of both together are 1.5 %,
    and 4.9 of them are allowed, a chance of 10**-6."""
    case = busy_rooms(8).replace(
        duration=102, warmup=2, balancer={"policy": "random"},
        clients=[{"name": "c", "count": 1000, "session": {"length": {"mean": "8s"}, "absence": 0}}],
        broker={"kind": "redis_pubsub", "shards": 3, "subscription": "per_room", "copy": "40us", "subscribe": "2ms"},
        rooms=[{"name": "group", "count": 100, "members": 10, "zipf": 0.5}],
        traffic=[{"name": "t", "to": "group", "rate": 1000, "pick": "by_size"}],
    )  # fmt: skip
    load = Load(case)
    predicted = load.threads_s(8) + load.subscribe_s(8)
    assert load.subscribe_s(8).min() > predicted.min() / 3
    simulated = broker_busy(simulate(case, engine="fast").trace, case.warmup_s)
    assert simulated.tolist() == pytest.approx(predicted.tolist(), rel=0.074)


def test_tasks_that_wake_further_loops_are_said_to_be_left_out():
    told = server_limits(busy_rooms(1, workers=4, fanout="task_per_client")).row("cpu").note
    assert "Tasks of a fan-out wake further loops" in told
    assert "further loops" not in server_limits(busy_rooms(1, fanout="task_per_client")).row("cpu").note


def test_the_cores_of_a_host_are_said_to_be_left_out():
    case = busy_rooms(1)
    told = server_limits(case.replace(host={"cores": 2})).row("cpu")
    assert (
        "Every loop is taken to have a core of its own; the 2 cores of host are left out: ask `simulate`." in told.note
    )
    plain = server_limits(case).row("cpu")
    assert "host" not in plain.note and plain.demand == told.demand


def test_wakeups_are_a_line_of_the_arithmetic():
    """By hand: 545 + 42.5 + 5.9 ms of work, 2,505 jobs; (0.5934 + 2,505 x 271 us) / (1 + 0.6789) = 75.8 %."""
    case = busy_rooms(1)
    row = server_limits(case, target_utilization=0.8).row("cpu")
    assert row.servers == 1 and row.demand == pytest.approx(0.7578, abs=1e-4)
    assert "each server: rho = (0.5934 + 2,505/s x 271 us) / (1 + 0.6789) = 75.8%" in row.arithmetic
    assert any(line.startswith("wake-ups") and line.endswith("CPU s/s") for line in row.arithmetic.splitlines())


@pytest.mark.parametrize("workers", [1, 2])
def test_the_busy_share_at_your_servers_can_be_recomputed(workers):
    """One server is enough at 0.8. Of the five given each decodes all 2,500 messages, and is woken more often: the
    demand of one server, shared out among five, would be far less."""
    case = busy_rooms(5, workers=workers)
    row = server_limits(case, target_utilization=0.8).row("cpu")
    assert row.servers == 1
    (line,) = (line for line in row.arithmetic.splitlines() if line.startswith("with 5 servers: "))
    pattern = r"with 5 servers: (\S+) of work \+ (\S+) of wake-ups = (\S+) CPU s/s / (\d+) loops = (\S+)%"
    work, woken, busy, loops, share = map(float, re.fullmatch(pattern, line).groups())
    assert work + woken == pytest.approx(busy, abs=1e-3) and loops == 5 * workers
    assert busy / loops * 100 == pytest.approx(share, abs=0.06) and share / 100 == pytest.approx(
        row.given_used_ratio, abs=6e-4
    )
    assert row.given_used_ratio > 1.5 * row.demand / loops


def test_a_busy_share_without_wakeups_is_work_over_loops():
    """0.2 s/s of sends on three loops, one at least for the connections: 6.7 %."""
    case = scenario(servers={"count": 3, "profile": "zero", "costs": {"send": "20us"}, "max_connections": 500})
    arithmetic = rows(case)["cpu"].arithmetic
    assert arithmetic.endswith(
        "with 2 servers: 0.2 CPU s/s / 2 loops = 10.0%\nwith 3 servers: 0.2 CPU s/s / 3 loops = 6.7%"
    )
    assert "with " not in rows(case.replace(**{"servers.count": 1, "servers.max_connections": 1000}))["cpu"].arithmetic


def test_the_servers_needed_are_those_that_the_simulator_confirms():
    """86 % on one server, and below the target on the two that are asked for."""
    needed = server_limits(busy_rooms(1, "clients")).needed
    assert needed == 2
    busy = [simulate(busy_rooms(n, "clients")).servers["utilization"].max() for n in (needed - 1, needed)]
    assert busy[0] > 0.7 >= busy[1]
