"""Limits: what is said of busy loops, links and shards is what the simulator finds, and what is left out is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realtime_sim import presets
from realtime_sim.limits import server_limits
from realtime_sim.limits.load import Load
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.timelines import broker_busy
from tests.limited import busy_rooms, rows, scenario

EXAMPLES = Path(__file__).parent.parent / "examples"


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
