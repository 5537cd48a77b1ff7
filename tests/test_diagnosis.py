"""Warnings come exactly where a figure misleads, with the numbers one needs; promises are judged as written."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from realtime_sim.diagnosis import warnings_of
from realtime_sim.recorder import Recorder
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import DELIVERIES, N_BATCHES
from realtime_sim.workload import draw_workload
from tests.conftest import small

SECONDS = 32
SERVERS = {"count": 2, "profile": "zero"}
FAULTS = [{"at": 1, "kind": "drop_clients", "cohort": "desks", "share": 0.5}]
NEVER = math.nan
LEVELS = ("subscriptions", "broker_queue", "under_way")


def results(
    scenario: Scenario | None = None,
    busy: tuple[float, float] = (0.5, 0.5),
    busy_until_s: int = SECONDS,
    broker_busy: tuple[float, ...] = (0.0,),
    clients_busy: tuple[float, ...] = (),
    publisher_busy: float = 0.0,
    under_way: float = 1.0,
    means_s: object = 1.0,
    **deliveries: int,
) -> Results:
    """32 s in 32 slices, one sample a second; each slice holds one delivery, of its `means_s` seconds."""
    scenario = scenario or small(duration=SECONDS, servers=SERVERS, broker={"kind": "redis_pubsub"})
    recorder = Recorder(draw_workload(scenario), "summary")
    for second in range(SECONDS + 1):
        time_ns = second * 10**9
        recorder.sample(
            time_ns=time_ns,
            connections=np.array([5, 5]),
            ready=np.array([1, 1]),
            queue_length=np.array([0, 0]),
            busy_ns=np.array([int(share * min(time_ns, busy_until_s * 10**9)) for share in busy]),
            link_busy_ns=np.array([0, 0]),
            broker_busy_ns=np.array([int(share * time_ns) for share in broker_busy]),
            under_way_area_ns=int(under_way * time_ns),
            client_busy_ns=[int(share * time_ns) for share in clients_busy],
            publisher_busy_ns=int(publisher_busy * time_ns),
            **dict.fromkeys(LEVELS, 0),
        )
    for name, n in deliveries.items():
        recorder.deliveries[DELIVERIES.index(name)] = [n, 0]
    trace = recorder.trace("reference")
    sums = np.zeros_like(trace.batch_sum_ns)
    sums[:, -1] = np.broadcast_to(means_s, N_BATCHES) * 1e9
    return Results([dataclasses.replace(trace, batch_count=np.ones_like(trace.batch_count), batch_sum_ns=sums)])


# Warnings: known values, worked by hand.


@pytest.mark.parametrize(
    ("faults", "warmup", "words"),
    [
        ([{"at": 4, "kind": "drop_clients", "cohort": "desks"}], 5, "What drop_clients at 4s did"),
        ([{"at": 4, "kind": "drop_clients", "cohort": "desks"}], 4, ""),
        ([{"at": 1, "kind": "stop_broker", "lasts": 4}], 5, "What stop_broker at 1s did"),
        ([{"at": 1, "kind": "stop_broker", "lasts": 4.1}], 5, ""),  # its end is measured
        ([{"at": 1, "kind": "stop_broker"}], 5, ""),
        ([{"at": 0, "kind": "pause_server", "lasts": "10ms", "every": 2}], 5, ""),
        ([{"at": 0, "kind": "kill_server", "server": 0}, {"at": 2, "kind": "kill_server", "server": 1}], 5,
         "What kill_server at 0s, kill_server at 2s did"),
    ],
)  # fmt: skip
def test_a_fault_that_is_over_before_the_warm_up_is_warned_of(faults, warmup, words):
    case = small(duration=20, warmup=warmup, servers=SERVERS, broker={"kind": "redis_pubsub"}, faults=faults)
    found = [text for text in simulate(case).warnings if "is in no figure" in text]
    assert [text.startswith(words) for text in found] == [True] * bool(words)


@pytest.mark.parametrize(("lasts", "warned"), [("10s", False), ("10.001s", True), ("1min", True)])
def test_a_pause_that_keepalives_would_not_outlast_is_warned_of(lasts, warned):
    """Pings every 5 s that are waited for as long: a server that is silent for longer is given up."""
    cohorts = [{"name": "phones", "count": 4, "keepalive": None},
               {"name": "desks", "count": 6, "keepalive": {"interval": "5s", "timeout": "5s"}}]  # fmt: skip
    fault = {"at": 2, "kind": "pause_server", "lasts": lasts}
    found = [text for text in simulate(small(clients=cohorts, faults=[fault])).warnings if "pause_server" in text]
    assert len(found) == warned
    if warned:
        assert "clients.desks gives a silent connection up after at most 10s" in found[0]


def test_a_warm_up_that_was_left_out_swallows_no_fault_in_silence():
    """The tenth of 300 s that is left out by default is longer than the 20 s until the fault."""
    fault = {"at": 20, "kind": "drop_clients", "cohort": "desks"}
    text = next(t for t in simulate(small(duration=300, warmup=None, faults=[fault])).warnings if "no figure" in t)
    assert text == (
        "What drop_clients at 20s did to deliveries is in no figure: the warm-up of 30s is left out. Set warmup to 20s "
        "or less, or let the faults come later."
    )


def test_a_run_without_fault_has_no_warnings():
    assert warnings_of(results()) == ()


@pytest.mark.parametrize(("share", "warned"), [(0.94, False), (0.96, True)])
def test_a_server_that_is_busy_for_95_percent_of_the_time_is_named(share, warned):
    found = warnings_of(results(busy=(0.3, share)))
    assert found == (
        "Offered load at or above capacity: server 1 is busy 96% of the time; its queue grows and latencies depend on "
        "how long the run is. Add servers, or lower the traffic.",
    ) * warned  # fmt: skip


def test_work_of_the_warm_up_is_no_overload():
    """Both are busy for 31 of 32 seconds, all of them before what is measured."""
    case = small(duration=SECONDS, warmup=31, servers=SERVERS, broker={"kind": "redis_pubsub"})
    assert warnings_of(results(case, busy=(1, 1), busy_until_s=31)) == ()


@pytest.mark.parametrize(
    ("busy", "warned"),
    [((0.96,), True), ((0.94,), False), ((0.5,) * 12, False), ((*(0.0,) * 11, 0.96), True)],
)
def test_a_broker_is_busy_by_its_busiest_thread(busy, warned):
    """One partition of twelve that is full makes its rooms wait, whatever the others do."""
    found = warnings_of(results(broker_busy=busy))
    assert ["a thread of the broker is busy all the time" in text for text in found] == [True] * warned


def test_a_start_that_is_still_settling_is_measured():
    """Four slices of 10 s, then 28 of 1 s: 68 / 32 = 2.125 s on average, of which 1.125 s is the start's."""
    means_s = [10.0] * 4 + [0.99, 1.01] * 14
    (text,) = warnings_of(results(means_s=means_s, under_way=2.125))
    assert text == (
        "Warm-up too short: MSER would leave out the first 4s, not 0s; the mean moves by 52.9%. Set warmup, or run "
        "longer."
    )  # fmt: skip


def test_of_times_that_are_not_the_users_nothing_is_to_be_set():
    """A drill dies before its warm-up is over by intent; how long a start takes to settle is worth knowing still."""
    means_s = [10.0] * 4 + [0.99, 1.01] * 14
    (text,) = warnings_of(results(means_s=means_s, under_way=2.125), own_times=False)
    assert text.startswith("Warm-up too short: ") and text.endswith("the mean moves by 52.9%.")
    fault = {"at": 2, "kind": "drop_clients", "cohort": "desks"}
    drill = simulate(small(duration=20, warmup=5, faults=[fault]))
    assert any("is in no figure" in text for text in warnings_of(drill))
    assert not any("is in no figure" in text for text in warnings_of(drill, own_times=False))
    short = simulate(small(duration=20, warmup=5, traffic=[{"name": "t", "rate": 0.1, "arrivals": "constant"}]))
    (own,) = (text for text in warnings_of(short) if text.startswith("No interval"))
    (others,) = (text for text in warnings_of(short, own_times=False) if text.startswith("No interval"))
    assert own.endswith("hold deliveries. Run longer, or use more replications.")
    assert others.endswith("hold deliveries. Use more replications.")


@pytest.mark.parametrize(("first", "warned"), [(1.5, False), (1.9, True)])
def test_a_start_that_moves_the_mean_by_less_than_2_percent_is_let_pass(first, warned):
    """One slice of 32 that is 0.5 off moves the mean by 1.6 %, one that is 0.9 off by 2.8 %."""
    found = warnings_of(results(means_s=[first] + [1.0] * 31))
    assert [text[:17] for text in found] == ["Warm-up too short"] * warned


def test_littles_law_is_held_against_the_deliveries():
    """One delivery of 1 s every second is one under way; two were counted."""
    (text,) = warnings_of(results(under_way=2.0))
    assert text == (
        "Little's law is off by more than its interval: 2 deliveries were under way on average, 1 by arrival rate "
        "times latency. The system is not in a steady state."
    )
    assert warnings_of(results(under_way=1.009)) == ()


def test_a_run_with_faults_is_in_no_steady_state_by_intent():
    case = small(duration=SECONDS, servers=SERVERS, broker={"kind": "redis_pubsub"}, faults=FAULTS)
    assert warnings_of(results(case, under_way=2.0, means_s=[10.0] * 4 + [1.0] * 28)) == ()


@pytest.mark.parametrize(
    ("deliveries", "text"),
    [
        (
            {"lost": 8, "lost_offline": 5, "lost_trimmed": 3, "dropped": 1_002},
            "10.100% of expected deliveries did not arrive (lost: offline 5, trimmed 3; dropped 1,002).",
        ),
        ({"dropped": 2}, "0.020% of expected deliveries did not arrive (lost: none; dropped 2)."),
        ({"lost": 1, "lost_no_route": 1}, "0.010% of expected deliveries did not arrive (lost: no_route 1)."),
    ],
)
def test_losses_are_told_with_their_share_and_causes(deliveries, text):
    assert warnings_of(results(expected=10_000, **deliveries)) == (text,)


def test_servers_without_a_broker_are_pointed_out_where_something_is_published():
    case = small(duration=SECONDS, servers=SERVERS, traffic=[{"name": "t", "rate": 1}])
    assert warnings_of(results(case)) == (
        "No broker between several servers: a message reaches only the clients of the server that publishes it. "
        "Set broker.kind.",
    )
    assert warnings_of(results(case.replace(traffic=[]))) == ()


def test_the_most_fundamental_warning_comes_first():
    case = small(duration=SECONDS, servers=SERVERS, traffic=[{"name": "t", "rate": 1}])
    load = {"busy": (1, 1), "under_way": 9, "means_s": [9] * 4 + [1] * 28}
    found = warnings_of(results(case, **load, expected=9, lost=9, delivered=1))
    starts = (
        "No interval", "Offered load", "Warm-up too short", "Little's law", "100.000% of", "No broker", "No network",
    )  # fmt: skip
    assert [text.startswith(start) for text, start in zip(found, starts, strict=True)] == [True] * 7


# Warnings of whole runs.


def busy(**changes: object) -> Scenario:
    """Twenty clients, 20 ms away, with ten messages a second to all of them."""
    cohort = {"name": "c", "count": 20, "network": {"rtt": "40ms"}, "keepalive": None}
    return Scenario(
        **{
            "name": "busy",
            "duration": 40,
            "warmup": 4,
            "clients": [cohort | changes.pop("cohort", {})],
            "servers": {"profile": "zero"},
            "traffic": [{"name": "t", "rate": 10, "payload": "1kB"}],
        }
        | changes
    )


def test_a_run_that_is_sound_has_no_warnings():
    assert simulate(busy()).warnings == ()


def test_clients_who_never_got_in_come_first():
    """15 of 20 never found room, neither at the start nor at 5, 10 … 35 s and half a handshake: 15 * 8 refusals."""
    case = busy(
        servers={"profile": "zero", "max_connections": 5},
        cohort={"reconnect": {"policy": "fixed", "delay": "5s"}},
        slo={"max_lost_ratio": 0},
    )
    results = simulate(case)
    assert results.warnings[0] == (
        "15 of 20 clients were never connected: every server was full (120 times). They got nothing, and none of it "
        "counts as lost. Add servers, or raise servers.max_connections or servers.memory."
    )
    assert results.deliveries.loc["total", "lost"] == 0
    assert results.objectives()["kept"].to_dict() == {"lost ratio": False}


def test_first_attempts_that_are_under_way_at_the_end_are_no_warning():
    """Until the last moment clients come: some wait for their answer when the run ends, and nobody was refused."""
    case = busy(warmup=4, cohort={"count": 400, "ramp_up": "40s", "network": {"rtt": "1s"}}, traffic=[])
    results = simulate(case)
    assert results.connections["never_connected"] > 0
    assert not any("never connected" in text for text in results.warnings)


@pytest.mark.parametrize(("egress", "warned"), [("300kB/s", False), ("205kB/s", True)])
def test_a_link_that_is_full_is_named_as_a_loop_is(egress, warned):
    """10 messages of about 1,080 B to 20 clients are some 216 kB/s: 72 % of one link, 105 % of the other."""
    results = simulate(busy(servers={"profile": "zero", "egress": egress}))
    texts = [text for text in results.warnings if "link" in text]
    assert len(texts) == warned and all("Offered load at or above capacity: what server 0 sends" in t for t in texts)
    assert (results.servers["link_utilization"][0] > 0.95) == warned
    assert not any("Warm-up too short" in text for text in results.warnings)


def test_a_saturated_downlink_is_named_and_not_called_a_start():
    """Downlinks of 9 kB/s for 10.8 kB/s: copies queue for them, and more so the longer the run is."""
    texts = simulate(busy(cohort={"network": {"rtt": "40ms", "bandwidth": "9kB/s"}})).warnings
    assert any("Backlog grows" in text and "network.bandwidth" in text for text in texts)
    assert not any("Warm-up too short" in text for text in texts)


@pytest.mark.parametrize(
    ("transport", "affinity", "warned"), [("long_polling", "none", True), ("long_polling", "cookie", False)]
)
def test_sessions_over_several_requests_need_stickiness(transport, affinity, warned):
    case = busy(
        cohort={"transport": transport},
        servers={"profile": "zero", "count": 3},
        broker={"kind": "redis_pubsub"},
        balancer={"policy": "round_robin", "affinity": affinity},
    )
    texts = [text for text in simulate(case).warnings if "did not know the session" in text]
    assert len(texts) == warned and all(text.endswith("Set balancer.affinity: cookie.") for text in texts)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cohort": {"network": {"rtt": 40}}}, "clients.c.network.rtt is 40 s on average: did you mean 40ms?"),
        ({"slo": {"p99": 250}}, "slo.p99 is 250s, which is no promise: did you mean 250ms?"),
        ({"cohort": {"network": {}}}, "No network: latencies of c end at the server's door"),
    ],
)
def test_a_figure_without_its_unit_or_without_a_network_is_questioned(changes, text):
    assert any(warning.startswith(text) for warning in simulate(busy(**changes)).warnings)
