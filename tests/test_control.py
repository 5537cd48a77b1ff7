"""Control processes act at the times of the scenario, do what they are told, and write down what they did."""

from __future__ import annotations

import gc
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import ScenarioError, simulate
from realtime_sim.control import start_control
from realtime_sim.control.replica_set import ReplicaSet
from realtime_sim.engines.clock import Clock
from realtime_sim.recorder import Recorder
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.conftest import small
from tests.controlled import Bench, controlled, faulty

# Known values, worked by hand.


@pytest.mark.parametrize(
    ("duration", "interval", "times_ns"),
    [
        (2, 1, [0, 10**9, 2 * 10**9]),
        (2.5, 1, [0, 10**9, 2 * 10**9, 2_500_000_000]),  # the last interval is as long as is left
        (1, 3, [0, 10**9]),
        ("1us", "300ns", [0, 300, 600, 900, 1000]),
        ("3ns", "0.4ns", [0, 1, 2, 3]),  # no interval is shorter than the clock's step
    ],
)
def test_samples_are_taken_from_the_start_to_the_end_of_the_run(duration, interval, times_ns):
    assert controlled(small(duration=duration, sample_interval=interval)).log == [(t, "sample") for t in times_ns]


def test_the_monitor_sees_the_state_before_a_fault_of_the_same_time():
    fault = {"kind": "slow_server", "at": 3, "server": 0, "factor": 2}
    log = controlled(small(sample_interval=1, faults=[fault])).log
    assert log.index((3 * 10**9, "sample")) < log.index((3 * 10**9, "pace", 0, 2_000))


def test_the_autoscaler_is_told_when_a_server_was_taken_out_of_the_balancer():
    """Kubernetes tells a pod that was ready for long from one that never was by the time of that change."""
    seen = []

    def chaos(env, cluster):
        yield env.timeout(40)
        cluster.set_ready(0, False)
        yield env.timeout(10)
        seen.extend(ReplicaSet(env, cluster).pods())

    controlled(faulty(), control=(chaos,))
    assert [(pod.ready, pod.started_s, pod.ready_changed_s) for pod in seen] == [(False, 0, 40), *[(True, 0, 0)] * 2]


# A user's own process.


def test_a_user_writes_an_experiment_in_five_lines():
    def chaos(env, cluster):
        yield env.timeout("5s")
        first = cluster.observe().ready[0].number
        number = yield cluster.restart(first, reason="to see what happens")
        cluster.slow(number, 3)
        yield env.until(20)
        cluster.drop_clients("desks")
        yield env.timeout("1h")
        raise AssertionError("after the end of the run")

    bench = controlled(faulty(startup=2), control=(chaos,))
    assert bench.acts() == [
        (5.0, "kill", 0, False, 0), (7.0, "start", 3), (7.0, "pace", 3, 3_000), (20.0, "drop", "desks", 1.0, False, 1),
    ]  # fmt: skip
    assert bench.recorder.disturbances == [("kill_server", 5 * 10**9), ("drop_clients", 20 * 10**9)]
    assert {one.actor for one in bench.recorder.decisions} == {"chaos"}


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_what_a_user_does_is_in_the_results(engine):
    def chaos(env, cluster):
        yield env.timeout(2)
        cluster.kill(0)
        cluster.kill(0)

    results = simulate(small(servers={"count": 2, "profile": "zero"}), engine=engine, control=[chaos])
    frame = results.decisions
    assert frame["reason"].tolist() == [
        "with 5 connections, noticed by rst", "nothing done: it is dead already",
    ]  # fmt: skip
    assert results.recovery["affected"].tolist() == [5] and results.recovery["at_s"].tolist() == [2.0]


def test_an_order_that_would_be_there_after_the_end_counts_as_long_as_the_run_lasts():
    """Nobody but the order itself knows of it any more, and Python may sweep it up."""

    def chaos(env, cluster):
        yield env.timeout(1)
        cluster.add_server(startup="1h")
        yield env.timeout(1)
        gc.collect()
        assert list(cluster.standing.orders.values()) == [1.0]
        yield env.timeout(1)
        cluster.note("done", "", "")

    assert controlled(faulty(), control=(chaos,)).recorder.decisions[-1].action == "done"


def test_what_is_broken_off_too_late_or_in_the_middle_is_no_error():
    """An order that has been carried out stays a server; a drain that is broken off leaves who is still there."""

    def chaos(env, cluster):
        order = cluster.add_server(startup=1)
        yield env.timeout(2)
        order.interrupt()
        drain = cluster.drain(0, over=1)
        yield env.timeout(0.55)
        drain.interrupt()
        yield drain
        drain.interrupt()

    bench = controlled(faulty(), control=(chaos,))
    assert bench.alive == [True] * 4 and bench.connections == [5, 10, 10, 0] and bench.ready == [False, *[True] * 3]
    assert [(one.action, one.target, one.reason) for one in bench.recorder.decisions][-1] == (
        "cancel drain", "server 0", "it keeps 5 connections, and gets no new ones",
    )  # fmt: skip


def test_what_is_done_to_a_dead_server_is_nothing_and_is_written_down():
    def chaos(env, cluster):
        yield env.timeout(1)
        cluster.kill(0)
        cluster.pause(0, 1)
        cluster.slow(0, 2)
        cluster.close_connections(0, 1)
        cluster.set_ready(0, True)
        yield cluster.drain(0)

    bench = controlled(faulty(), control=(chaos,))
    assert bench.acts() == [(1.0, "kill", 0, False, 0)]
    assert [one.reason for one in bench.recorder.decisions[1:]] == ["nothing done: it is dead already"] * 5


# Properties.


@given(st.floats(0.1, 100), st.floats(0.01, 100))
def test_samples_are_one_interval_apart_but_for_the_last_at_the_end(duration, interval):
    times = [now for now, *_ in controlled(small(duration=duration, sample_interval=interval)).log]
    step_ns = to_ns(interval)
    assert times[0] == 0 and times[-1] == to_ns(duration)
    assert all(b - a == step_ns for a, b in pairwise(times[:-1]))
    assert 0 < times[-1] - times[-2] <= step_ns


# Errors.


def test_an_error_of_the_machinery_ends_the_run():
    """Nothing is swallowed on the way: a defect of an engine must show."""

    class Broken(Bench):
        def sample(self) -> None:
            raise RuntimeError("no more samples")

    clock, scenario = Clock(), small()
    recorder = Recorder(draw_workload(scenario), "summary")
    start_control(clock, Broken(clock, [1]), scenario, recorder)
    with pytest.raises(RuntimeError, match="^no more samples$"):
        clock.run()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: c.kill(7), "server must be the number of a server, got 7; servers are numbered 0 to 2 so far"),
        (lambda c: c.kill(0, "quietly"), "notice must be one of rst, silent, got 'quietly'; known names: rst, silent"),
        (
            lambda c: c.partition(0, "loudly"),
            "notice must be one of rst, silent, got 'loudly'; known names: rst, silent",
        ),
        (lambda c: c.stop_broker(), "broker.kind must not be none for stop_broker, got 'none'; set broker.kind"),
        (lambda c: c.slow(0, 0), "factor must be from 0.001 to 1_000, got 0; use 1 for its own pace"),
        (lambda c: c.kill(True), "server must be the number of a server, got True; servers are numbered 0 to 2 so far"),
        (lambda c: c.slow(0, "fast"), "factor must be a number such as 0.25, got 'fast'; use 1 for its own pace"),
        (lambda c: c.pause(0, "-1s"), "duration must be from 0 to 1e+09 s, got '-1s'; write it like '250ms'"),
        (lambda c: c.add_server("soon"), "startup must be a duration such as '250ms' or 0.25, got 'soon'; "),
        (lambda c: c.drain(0, rate=0), "rate must be from 1e-6 to 1e9 a second, got 0; write it like '50/s'"),
        (lambda c: c.drain(0, over=1, rate=1), "rate must be left out where over is given, got 1; give one of them"),
        (lambda c: c.close_connections(0, -5), "n must be a whole number of connections, got -5; use 0 or more"),
        (lambda c: c.close_connections(0, 2.5), "n must be a whole number of connections, got 2.5; use 0 or more"),
        (lambda c: c.set_ready(0, "no"), "ready must be True or False, got 'no'; pass one of them"),
        (lambda c: c.drop_clients("phones", 2), "share must be from 0 to 1, got 2; use 1 for all of them"),
        (lambda c: c.drop_clients("phones", math.nan), "share must be a finite number such as 0.25, got nan; "),
        (lambda c: c.drop_clients("phones", notice="loud"), "notice must be one of rst, silent, got 'loud'; "),
        (lambda c: c.env.timeout(None), "delay must be a duration such as '250ms' or 0.25, got None; "),
        (lambda c: c.env.at_ns(0), "time_ns must be a whole number from 1000000000 ns on, got 0; "),
        (lambda c: c.env.at_ns(-1), "time_ns must be a whole number from 1000000000 ns on, got -1; "),
        (lambda c: c.env.at_ns(math.nan), "time_ns must be a whole number from 1000000000 ns on, got nan"),
        (lambda c: c.env.sample_at(-1), "time_ns must be a whole number from 1000000000 ns on, got -1; "),
        (lambda c: c.drop_clients("phone"), "cohort must be a cohort, got 'phone'; did you mean 'phones'?"),
    ],
)
def test_a_wrong_act_is_one_clear_message(act, message):
    def chaos(env, cluster):
        yield env.timeout(1)
        act(cluster)

    with pytest.raises(ScenarioError) as caught:
        controlled(faulty(), control=(chaos,))
    assert str(caught.value).startswith(f"control[0] (chaos), at 1 s: {message}")
