"""Arithmetic rules out what cannot be, and without queueing it is the usual static calculator."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.limits import server_limits
from realtime_sim.planning import plan
from realtime_sim.planning.arithmetic import Arithmetic, first_fit, least
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.theory import mg1_wait_quantile_s

EVENT_S, SEND_S, PER_BYTE_S, LOOPS = 10e-6, 20e-6, 1e-9, 2
PROCESS, CONNECTION = 1_000_000, 15_000
FRAME = 4
"""RFC 6455: 2 bytes of a frame, 4 with the length of more than 125 bytes; 20 of IP and 20 of TCP come on top, and 12 of
TCP's timestamps."""


def written(clients, rate, payload, max_connections, memory, egress, **slo) -> Scenario:
    """Each message to one client: every figure of the load is known by heart."""
    costs = {"event": EVENT_S, "send": SEND_S, "send_per_byte": PER_BYTE_S}
    costs |= {"base_memory": PROCESS, "connection_memory": 10_000, "kernel_memory": CONNECTION - 10_000}
    servers = {"profile": "zero", "costs": costs, "workers": LOOPS}
    limits = {"max_connections": max_connections, "memory": memory, "egress": egress}
    return Scenario(
        name="calculator",
        duration=10,
        clients=[{"name": "c", "count": clients, "keepalive": None, "tls": False}],
        servers=servers | {name: limit for name, limit in limits.items() if limit is not None},
        broker={"kind": "nats", "publish": 0, "copy": 0},
        rooms=[{"name": "own", "per_user": True}],
        traffic=[{"name": "t", "to": "own", "rate": rate, "payload": payload}] if rate else [],
        slo={name: value for name, value in slo.items() if value is not None} | {"p99": "1s"},
    )


def calculated(clients, rate, payload, max_connections, memory, egress, headroom, max_utilization, survive_servers):
    """The tightest of sockets, memory, bandwidth and CPU, each filled as far as may be, and those that may be lost."""
    free, busy = headroom or 0.0, max_utilization or 0.7
    needed = [1.0]
    if max_connections is not None:
        needed.append(clients / math.floor(max_connections * (1 - free) + 1e-9))
    if memory is not None:
        needed.append(clients / ((math.floor(memory * (1 - free)) - PROCESS) // CONNECTION))
    if egress is not None:
        needed.append(rate * (payload + FRAME + 52) / (busy * egress))
    needed.append(rate * (EVENT_S + SEND_S + payload * PER_BYTE_S) / (LOOPS * busy))
    return math.ceil(max(needed) - 1e-9) + (survive_servers or 0)


@settings(max_examples=150)
@given(
    clients=st.sampled_from([1_000, 50_000, 333_333]),
    rate=st.sampled_from([0, 100, 2_000, 30_000]),
    payload=st.sampled_from([200, 1_000]),
    max_connections=st.sampled_from([None, 1_000, 7_777]),
    memory=st.sampled_from([None, 2**28, 2**30]),
    egress=st.sampled_from([None, 1_000_000, 100_000_000]),
    headroom=st.sampled_from([None, 0.1, 0.25, 0.5]),
    max_utilization=st.sampled_from([None, 0.5, 0.9]),
    survive_servers=st.sampled_from([None, 0, 1, 3]),
)
def test_without_queueing_a_plan_is_the_static_calculator(**case):
    promises = ("headroom", "max_utilization", "survive_servers")
    found = plan(written(**case), queueing=False)
    expected = calculated(**case)
    assert found.servers == (expected if expected <= 1_000 else None)
    assert found.servers is None or found.limits.needed == found.servers
    assert found.replications == 0 and found.confident == (found.servers is not None), promises


def test_a_number_that_arithmetic_rules_out_says_by_what():
    """50 clients of 20 a server: three must be left of four, and 3 hold 16.7 each; 2 would have to hold 25."""
    case = written(50, 0, 200, 20, None, None, survive_servers=1)
    broken = Arithmetic(case).checks(3)[0]
    assert (broken.constraint, broken.drill, broken.promised, broken.found) == ("connections", "loss", 20, 25)
    assert (broken.kept, broken.sure, broken.decided_by) == (False, True, "arithmetic")
    assert Arithmetic(case).lowest(1_000) == 4


def test_where_all_may_be_lost_nobody_is_left():
    (check,) = Arithmetic(written(50, 0, 200, 20, None, None, survive_servers=2)).checks(2)
    assert (check.constraint, check.kept) == ("survivors", False) and "none would be left" in check.note
    none = plan(written(50, 9, 200, 20, None, None, survive_servers=2), queueing=False, at_most=2)
    assert none.servers is None and none.binding == "survivors" and none.limits.given == 2


@pytest.mark.parametrize(("busy", "kept"), [(0.89, True), (0.91, None), (0.92, None), (0.94, False)])
def test_what_is_within_three_points_is_left_to_simulation(busy, kept):
    rate = busy * LOOPS / (EVENT_S + SEND_S + 200 * PER_BYTE_S)
    found = Arithmetic(written(50, rate, 200, None, None, None, max_utilization=0.9)).checks(1)
    assert {check.constraint: check.kept for check in found}["utilization"] is kept


def test_a_network_that_takes_longer_than_is_promised_rules_every_number_out():
    case = written(50, 10, 200, None, None, None).replace(**{"clients.c.network.rtt": "300ms", "slo.p99": "140ms"})
    check = Arithmetic(case).checks(9)[-1]
    assert (check.constraint, check.promised, check.found, check.kept) == ("p99", 140, pytest.approx(150), False)
    assert Arithmetic(case.replace(**{"slo.p99": "160ms"})).lowest(1_000) == 1


def test_the_network_of_a_quantile_counts_deliveries_and_not_clients():
    """Nine in ten clients are near, but all messages go to those that are far."""
    near, far = ({"name": name, "count": n, "network": {"rtt": rtt}, "keepalive": None}
                 for name, n, rtt in (("near", 900, "2ms"), ("far", 100, "200ms")))  # fmt: skip
    case = written(50, 10, 200, None, None, None).replace(clients=[near, far])
    everybody = Arithmetic(case)
    only_far = Arithmetic(case.replace(rooms=[{"name": "own", "per_user": True, "cohort": "far"}]))
    assert everybody.latency_s(4, 0.5) < 0.01 < 0.1 <= only_far.latency_s(4, 0.5)


def test_a_loop_is_the_queue_that_its_costs_make_it():
    """1,000 messages a second to single clients, on four servers: 250/s, gamma work of 2 ms and no sends."""
    case = written(5_000, 1_000, 200, None, None, None).replace(
        **{"servers.costs": {"event": {"mean": "2ms", "cv": 0.5}}, "servers.workers": 1}
    )
    rate, service_s, cv = Arithmetic(case).loop(4)
    assert (rate, service_s, cv) == (pytest.approx(250), pytest.approx(0.002), pytest.approx(0.5))
    theory_s = mg1_wait_quantile_s(250, 0.002, 0.5, 0.99) + 0.002
    links_s = case.broker.publisher_link.mean_s + case.broker.server_link.mean_s
    assert Arithmetic(case).latency_s(4, 0.99) == pytest.approx(theory_s + links_s)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 500))
def test_the_least_is_found_by_halves(low, high, needed):
    low, high = sorted((low, high))
    found = least(low, high, lambda n: n >= needed)
    assert found == (None if needed > high else max(low, needed))


@given(st.integers(1, 100), st.integers(1, 900), st.integers(0, 100))
def test_the_first_that_fits_is_found_though_still_more_do_not(low, first, more):
    """A range that is an eighth of its beginning wide, or wider."""
    last = first + first // 8 + more
    found = first_fit(low, 1_000, lambda n: first <= n <= last)
    assert found == (max(low, first) if low <= last else None)


def test_limits_leave_the_headroom_free():
    limits = server_limits(written(1_000, 0, 200, 100, None, None, headroom=0.2))
    assert limits.row("connections").servers == 13 and limits.row("connections").per_server_capacity == 80
    assert "100 connections, 0.2 of them free -> 80 a server" in limits.row("connections").arithmetic


def test_no_server_fits_where_everything_must_stay_free():
    limits = server_limits(written(1_000, 0, 200, 100, None, None, headroom=1))
    assert limits.needed is None and not limits.row("connections").possible


def test_what_arithmetic_rules_out_a_run_shows_too():
    """Loops that are 130 % busy: the queue grows, and every client waits longer than the one before."""
    rate = 1.3 * LOOPS / (EVENT_S + SEND_S + 200 * PER_BYTE_S)
    case = written(500, rate, 200, None, None, None).replace(duration=3, warmup=1)
    assert [check.constraint for check in Arithmetic(case).checks(1) if check.kept is False] == ["cpu"]
    each = simulate(case, engine="fast").latency_over_time["p50_s"]
    assert each.iloc[-1] > 2 * each.iloc[0] > 0.1


# What is not always there is for simulation to judge.


def test_streams_that_take_turns_are_not_added_up():
    """Each alone is 30/s times 1,000 sends of 20 us, 60 % of a loop; both at a time would be 120 %."""
    half = {"rate": 30, "arrivals": "constant"}
    turns = Scenario(
        name="turns", duration=8, warmup=1, clients=[{"name": "c", "count": 1_000, "keepalive": None}],
        servers={"profile": "zero", "costs": {"send": "20us"}}, slo={"p99": "200ms"},
        traffic=[half | {"name": "a", "stop": "4s"}, half | {"name": "b", "start": "4s"}],
    )  # fmt: skip
    found = plan(turns)
    assert found.servers == 1 and found.answer.check("cpu").kept is None
    both = turns.replace(**{"traffic.a.stop": None, "traffic.b.start": 0})
    assert Arithmetic(both).checks(1)[0].kept is False


def test_users_who_are_mostly_away_load_no_server_meanwhile():
    """6 s of a minute: a tenth of them is there, and arithmetic, which takes all of them, decides nothing but room."""
    away = Scenario(
        name="away", duration=20, warmup=5, slo={"max_utilization": 0.7}, traffic=[{"name": "t", "rate": 20}],
        servers={"profile": "zero", "costs": {"send": "100us"}}, clients=[
            {"name": "c", "count": 500, "keepalive": None, "session": {"length": "6s", "absence": "54s"}}],
    )  # fmt: skip
    assert [check.kept for check in Arithmetic(away).checks(1) if check.constraint == "utilization"] == [None]
    assert plan(away).servers == 1


def test_few_clients_have_no_tail_of_round_trips():
    """Twenty draws of a round trip that is 250 ms at p99 have none of a thousandth; a hundred thousand do."""
    network = {"network": {"rtt": {"median": "40ms", "p99": "250ms"}}}
    few = Scenario(name="few", duration=5, clients=[{"name": "c", "count": 20} | network], slo={"p999": "100ms"})
    assert not any(check.constraint == "p999" for check in Arithmetic(few).checks(1))
    many = few.replace(**{"clients.c.count": 100_000})
    (check,) = [check for check in Arithmetic(many).checks(1) if check.constraint == "p999"]
    assert check.kept is False and check.found > 120
