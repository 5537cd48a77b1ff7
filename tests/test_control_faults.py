"""Faults happen once at their times, last as long as they say, and what several hold is held by the last of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.control.faults import PROCESSES
from realtime_sim.scenario.brokers import kind_of
from realtime_sim.scenario.faults import FAULTS
from realtime_sim.units import to_ns
from tests.conftest import small
from tests.controlled import controlled, faulty, with_broker


def test_every_kind_of_fault_has_a_process():
    assert set(PROCESSES) == {kind_of(part) for part in FAULTS} - {"stop_service"}  # services have run before


def test_servers_die_and_are_replaced_at_their_times():
    """Faults keep their number in the scenario, whatever order they come in. A replacement takes its time to start."""
    bench = controlled(
        faulty(
            {"kind": "kill_server", "at": 7, "server": 1, "count": 2, "restart_after": 3},
            {"kind": "drop_clients", "at": "2.5s", "cohort": "phones", "share": 0.25, "notice": "silent"},
            startup=4,
        )
    )
    assert bench.acts() == [
        (2.5, "drop", "phones", 0.25, True, 1),
        (7.0, "kill", 1, False, 0),
        (7.0, "kill", 2, False, 0),
        (14.0, "start", 3),
        (14.0, "start", 4),
    ]
    assert bench.recorder.disturbances == [("kill_server", 7 * 10**9), ("drop_clients", 2_500_000_000)]
    assert [(one.time_ns, one.actor, one.action) for one in bench.recorder.decisions][:2] == [
        (2_500_000_000, "drop_clients 1", "drop clients"), (7 * 10**9, "kill_server 0", "kill"),
    ]  # fmt: skip


def test_pauses_repeat_and_find_the_servers_that_live():
    bench = controlled(
        faulty(
            {"kind": "pause_server", "at": 10, "lasts": "50ms", "every": 20},
            {"kind": "kill_server", "at": 20, "server": 0},
        )
    )
    assert bench.acts("pause") == [
        *((10.0, "pause", i, 50_000_000) for i in range(3)), *((30.0, "pause", i, 50_000_000) for i in (1, 2)),
        *((50.0, "pause", i, 50_000_000) for i in (1, 2)),
    ]  # fmt: skip


def test_a_slow_server_finds_its_own_pace_again():
    bench = controlled(faulty({"kind": "slow_server", "at": 10, "server": 1, "factor": 2.5, "lasts": 5}))
    assert bench.acts() == [(10.0, "pace", 1, 2_500), (15.0, "pace", 1, 1_000)]


def test_a_server_is_cut_off_from_the_broker_for_a_while():
    fault = {"kind": "partition", "at": 10, "server": 1, "lasts": 5, "notice": "silent"}
    bench = controlled(with_broker(fault))
    assert bench.acts() == [(10.0, "partition", 1, True), (15.0, "heal", 1)]


def test_a_broker_stops_and_slows_down_for_a_while():
    bench = controlled(
        with_broker(
            {"kind": "stop_broker", "at": 10, "lasts": 5}, {"kind": "slow_broker", "at": 20, "factor": 2.5, "lasts": 1},
            {"kind": "stop_broker", "at": 30},
        )
    )  # fmt: skip
    assert bench.acts() == [
        (10.0, "stop broker"), (15.0, "start broker"), (20.0, "broker pace", 2_500), (21.0, "broker pace", 1_000),
        (30.0, "stop broker"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more", "begins", "ends"),
    [
        ("stop_broker", {}, ("stop broker",), ("start broker",)),
        ("partition", {"server": 1}, ("partition", 1, False), ("heal", 1)),
    ],
)
@pytest.mark.parametrize(("at", "lasts", "end_s"), [(2, 0.2, 6), (3, 5, 8), (2, None, None)])
def test_what_two_faults_hold_down_comes_back_when_the_last_is_over(kind, more, begins, ends, at, lasts, end_s):
    """From 1 to 6 s, and a second one within that, beyond it, or to the end of the run."""
    first, second = ({"kind": kind, "at": a, "lasts": b} | more for a, b in ((1, 5), (at, lasts)))
    bench = controlled(with_broker(first, second))
    assert bench.acts() == [(1.0, *begins), *([(float(end_s), *ends)] if end_s else [])]
    for one in bench.recorder.decisions:
        assert (one.time_ns in (10**9, (end_s or 0) * 10**9)) != one.reason.startswith("nothing done: ")


@pytest.mark.parametrize(
    ("kind", "more", "act"), [("slow_server", {"server": 1}, ("pace", 1)), ("slow_broker", {}, ("broker pace",))]
)
def test_factors_of_several_faults_are_multiplied_as_long_as_each_lasts(kind, more, act):
    """Twice as long from 10 to 20 s, three times from 12 to 14 s, and a thousand times is the most."""
    times = [(10, 2, 10), (12, 3, 2), (18, 1_000, 4)]
    bench = controlled(with_broker(*({"kind": kind, "at": a, "factor": f, "lasts": b} | more for a, f, b in times)))
    paces = [(10, 2_000), (12, 6_000), (14, 2_000), (18, 1_000_000), (20, 1_000_000), (22, 1_000)]
    assert bench.acts() == [(float(at), *act, pace) for at, pace in paces]


def test_a_process_of_ones_own_mends_what_faults_broke_and_faults_do_not_mend_it_again():
    def operator(env, cluster):
        yield env.timeout(2)
        cluster.start_broker()
        cluster.slow(0, 1)
        yield env.timeout(2)
        cluster.stop_broker()

    stop, slow = (
        {"kind": "stop_broker", "at": 1, "lasts": 5},
        {"kind": "slow_server", "at": 1, "server": 0, "factor": 2},
    )
    bench = controlled(with_broker(stop, slow), control=(operator,))
    assert bench.acts() == [
        (1.0, "stop broker"), (1.0, "pace", 0, 2_000), (2.0, "start broker"), (2.0, "pace", 0, 1_000),
        (4.0, "stop broker"),
    ]  # fmt: skip
    last = bench.recorder.decisions[-1]
    assert (last.actor, last.reason) == ("stop_broker 0", "nothing done: it is down for operator")


def test_a_server_is_replaced_once_however_often_it_is_killed():
    kill = {"kind": "kill_server", "at": 7, "server": 1, "restart_after": 3}

    def chaos(env, cluster):
        yield env.timeout(20)
        assert (yield cluster.restart(1)) is None

    bench = controlled(faulty(kill, kill, startup=4), control=(chaos,))
    assert bench.acts() == [(7.0, "kill", 1, False, 0), (14.0, "start", 3)]


# Properties.


@given(st.lists(st.floats(0, 9.999), max_size=6))
def test_every_fault_happens_once_at_its_time(times):
    faults = [{"kind": "drop_clients", "at": at, "cohort": "phones"} for at in times]
    log = [(now, what[-1]) for now, *what in controlled(small(faults=faults)).log if what[0] == "drop"]
    assert sorted((number, now) for now, number in log) == [(i, to_ns(at)) for i, at in enumerate(times)]
    assert [now for now, _ in log] == sorted(now for now, _ in log)
