"""Control processes act at the times of the scenario, do what it says, and write down what they did."""

from __future__ import annotations

import gc
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import ScenarioError, simulate
from realtime_sim.control import Instance, Observation, start_control
from realtime_sim.control.faults import PROCESSES
from realtime_sim.control.replica_set import ReplicaSet
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.order import Phase
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.brokers import kind_of
from realtime_sim.scenario.faults import FAULTS
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.conftest import small


class Bench:
    """The least a machinery must be: servers with a number of connections, and a log of what it is told, and when."""

    def __init__(self, clock: Clock, connections: list[int]) -> None:
        self.clock, self.connections = clock, list(connections)
        self.alive, self.ready = [True] * len(connections), [True] * len(connections)
        self.is_broker_up, self.cut_off = True, set()
        self.log: list[tuple] = []

    def wait_until(self, time_ns: int, phase: str):
        return self.clock.at(time_ns, Phase[phase.upper()])

    def sample(self) -> None:
        self._did("sample")

    def observe(self) -> Observation:
        columns = zip(self.alive, self.ready, self.connections, strict=True)
        return Observation(
            self.clock.now / 1e9, tuple(Instance(i, a, r, 0.0, c, 0, 0.0, 0) for i, (a, r, c) in enumerate(columns))
        )

    def start_server(self) -> int:
        self.connections.append(0)
        self.alive.append(True)
        self.ready.append(True)
        self._did("start", len(self.alive) - 1)
        return len(self.alive) - 1

    def set_ready(self, server: int, ready: bool) -> None:
        self.ready[server] = ready
        self._did("ready" if ready else "unready", server)

    def kill(self, server: int, silent: bool, disturbance: int) -> None:
        self.alive[server], self.connections[server] = False, 0
        self._did("kill", server, silent, disturbance)

    def stop(self, server: int, disturbance: int) -> None:
        self.alive[server], self.connections[server] = False, 0
        self._did("stop", server, disturbance)

    def close_connections(self, server: int, n: int, disturbance: int) -> int:
        before = self.connections[server]
        if n:
            self.connections[server] = max(0, before - n)
            self._did("close", server, n, disturbance)
        return before

    def pause(self, server: int, pause_ns: int) -> None:
        self._did("pause", server, pause_ns)

    def set_pace(self, server: int, permille: int) -> None:
        self._did("pace", server, permille)

    def drop_clients(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        self._did("drop", cohort, share, silent, disturbance)

    def partition(self, server: int, silent: bool) -> bool:
        return self._changes(server not in self.cut_off, self.cut_off.add, server, "partition", server, silent)

    def heal(self, server: int) -> bool:
        return self._changes(server in self.cut_off, self.cut_off.discard, server, "heal", server)

    def stop_broker(self) -> bool:
        return self._changes(self.is_broker_up, self._set_broker, False, "stop broker")

    def start_broker(self) -> bool:
        return self._changes(not self.is_broker_up, self._set_broker, True, "start broker")

    def _set_broker(self, is_up: bool) -> None:
        self.is_broker_up = is_up

    def _changes(self, can: bool, change, to: object, *what: object) -> bool:
        """Do it if it is not so already."""
        if can:
            change(to)
            self._did(*what)
        return can

    def set_broker_pace(self, permille: int) -> None:
        self._did("broker pace", permille)

    def _did(self, *what: object) -> None:
        self.log.append((self.clock.now, *what))

    def acts(self, *names: str) -> list[tuple]:
        """What was done, samples left out; with names only these, times in seconds."""
        return [
            (now / 1e9, *what) for now, *what in self.log if what[0] != "sample" and (not names or what[0] in names)
        ]


def controlled(scenario: Scenario, connections: tuple[int, ...] = (10, 10, 10), control: tuple = ()) -> Bench:
    """Everything the control processes of a scenario do until the end of the run."""
    clock = Clock()
    bench = Bench(clock, list(connections))
    bench.recorder = Recorder(draw_workload(scenario), "summary")
    start_control(clock, bench, scenario, bench.recorder, control)
    while clock.peek() <= to_ns(scenario.duration):
        clock.step()
    return bench


def faulty(*faults: dict, n_servers: int = 3, **servers: object) -> Scenario:
    """A minute with faults, and samples far apart."""
    return small(
        duration=60, sample_interval=30, faults=faults, servers={"profile": "zero", "count": n_servers} | servers
    )


def with_broker(*faults: dict) -> Scenario:
    """The same with a broker."""
    return faulty().replace(broker={"kind": "redis_pubsub"}, faults=faults)


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


def test_a_server_that_is_drained_twice_goes_at_the_pace_of_the_first():
    """Thirty connections in three seconds; the second one neither closes any nor stops it, and waits for the same."""

    def chaos(env, cluster):
        yield env.timeout(10)
        first = cluster.drain(2, over=3)
        yield env.timeout(1)
        assert cluster.drain(2, over=1) is first
        yield first
        assert env.now == 13

    bench = controlled(faulty(), (10, 10, 30), control=(chaos,))
    assert [n for _, _, _, n, _ in bench.acts("close")] == [1] * 30
    assert [one.reason for one in bench.recorder.decisions if one.time_ns == 11 * 10**9] == [
        "nothing done: it is being drained"
    ]
    assert len(bench.recorder.disturbances) == 1


def test_a_drain_closes_connections_evenly():
    """Thirty in three seconds: three after 0.3 s, 30 in all, and then the server stops."""
    bench = controlled(faulty({"kind": "drain_server", "at": 10, "server": 2, "over": 3}), (10, 10, 30))
    closed = [(round(now - 10, 3), n) for now, _, _, n, _ in bench.acts("close")]
    assert bench.acts("unready") == [(10.0, "unready", 2)]
    assert closed == [(round(0.1 * i, 3), 1) for i in range(1, 31)]
    assert bench.acts("stop") == [(13.0, "stop", 2, 0)]


def test_a_deploy_replaces_every_server_within_its_limits():
    """Three servers, one more at most: start (4 s), drain (2 s), and the next starts when the first begins to go."""
    bench = controlled(faulty({"kind": "rolling_deploy", "at": 10}, startup=4, grace=2))
    assert bench.acts("start", "stop") == [
        (14.0, "start", 3), (16.0, "stop", 0, 0), (18.0, "start", 4), (20.0, "stop", 1, 0), (22.0, "start", 5),
        (24.0, "stop", 2, 0),
    ]  # fmt: skip
    assert bench.recorder.decisions[-1].reason == "3 servers replaced in 14 s"


def test_a_budget_is_the_most_that_a_deploy_closes_in_a_second():
    """Two may go at a time: each of them closes half of ten a second, so ten connections take two seconds."""
    fault = {"kind": "rolling_deploy", "at": 10, "surge": 0, "max_unavailable": 2, "budget": "10/s"}
    bench = controlled(faulty(fault, startup=1))
    assert bench.acts("stop")[:2] == [(12.0, "stop", 0, 0), (12.0, "stop", 1, 0)]
    n_closed = [sum(n for now, _, _, n, _ in bench.acts("close") if t < now <= t + 1) for t in range(10, 20)]
    assert max(n_closed) == 10


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 5), st.integers(0, 5))
def test_a_deploy_keeps_its_limits(n, surge, unavailable, startup, grace):
    if surge == unavailable == 0:
        surge = 1
    fault = {"kind": "rolling_deploy", "at": 1, "surge": surge, "max_unavailable": unavailable}
    bench = controlled(faulty(fault, n_servers=n, startup=startup, grace=grace), (7,) * n)
    n_ready = n
    for _, what, *_ in bench.acts("start", "unready"):
        n_ready += 1 if what == "start" else -1
        assert n - unavailable <= n_ready <= n + surge
    assert n_ready == n
    assert [server for _, _, server, _ in bench.acts("stop")] == list(range(n))


@pytest.mark.parametrize("dies_at", [10, 11, 15, 17])
@pytest.mark.parametrize("victim", [0, 2, 3])
@pytest.mark.parametrize("limits", [{"surge": 1}, {"surge": 0, "max_unavailable": 1}], ids=["one more", "one less"])
@pytest.mark.parametrize("restart_after", [None, 1])
def test_a_deploy_comes_to_its_end_whoever_dies_meanwhile(dies_at, victim, limits, restart_after):
    """Three new servers are there in the end, those in the place of old ones that died included."""

    def chaos(env, cluster):
        yield env.timeout(dies_at)
        if victim < len(cluster.observe().instances) and cluster.kill(victim) and restart_after:
            yield env.timeout(restart_after)
            cluster.add_server()

    bench = controlled(faulty({"kind": "rolling_deploy", "at": 10} | limits, startup=4, grace=2), control=(chaos,))
    assert "deployed" in [one.action for one in bench.recorder.decisions]
    assert bench.alive[:3] == [False] * 3 and 3 <= sum(bench.alive) <= 4


def test_a_deploy_replaces_servers_that_are_out_of_the_balancer_first():
    """One is taken out while the first drain goes on: it goes next, though one less is all that may be missing."""

    def cordon(env, cluster):
        yield env.timeout(11)
        cluster.set_ready(2, False)

    fault = {"kind": "rolling_deploy", "at": 10, "surge": 0, "max_unavailable": 1}
    bench = controlled(faulty(fault, startup=4, grace=2), control=(cordon,))
    assert [server for _, _, server, _ in bench.acts("stop")] == [0, 2, 1] and bench.alive == [False] * 3 + [True] * 3


def test_rebalancing_stops_when_all_are_level():
    """A mean of ten: the one with 20 closes ten, at five a second, and nobody else anything."""
    bench = controlled(faulty({"kind": "rebalance", "at": 10, "rate": "5/s"}), (20, 5, 5))
    assert {server for _, _, server, _, _ in bench.acts("close")} == {0}
    assert bench.recorder.decisions[-1].action == "level"
    seconds = [now for now, *_ in bench.acts("close")]
    assert all(b - a >= 0.2 - 1e-9 for a, b in pairwise(seconds))


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


# Properties.


@given(st.floats(0.1, 100), st.floats(0.01, 100))
def test_samples_are_one_interval_apart_but_for_the_last_at_the_end(duration, interval):
    times = [now for now, *_ in controlled(small(duration=duration, sample_interval=interval)).log]
    step_ns = to_ns(interval)
    assert times[0] == 0 and times[-1] == to_ns(duration)
    assert all(b - a == step_ns for a, b in pairwise(times[:-1]))
    assert 0 < times[-1] - times[-2] <= step_ns


@given(st.lists(st.floats(0, 9.999), max_size=6))
def test_every_fault_happens_once_at_its_time(times):
    faults = [{"kind": "drop_clients", "at": at, "cohort": "phones"} for at in times]
    log = [(now, what[-1]) for now, *what in controlled(small(faults=faults)).log if what[0] == "drop"]
    assert sorted((number, now) for now, number in log) == [(i, to_ns(at)) for i, at in enumerate(times)]
    assert [now for now, _ in log] == sorted(now for now, _ in log)


def test_the_monitor_sees_the_state_before_a_fault_of_the_same_time():
    fault = {"kind": "slow_server", "at": 3, "server": 0, "factor": 2}
    log = controlled(small(sample_interval=1, faults=[fault])).log
    assert log.index((3 * 10**9, "sample")) < log.index((3 * 10**9, "pace", 0, 2_000))


# Errors.


def nobody():
    yield


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


def nothing_again(env):
    return
    yield


def again_and_again(env):
    yield env.process(again_and_again(env))


@pytest.mark.parametrize(
    ("waits", "what"),
    [
        (lambda env: env.timeout(0), "a process has gone on"),
        (lambda env: env.all_of([]), "a process has gone on"),
        (lambda env: env.event().succeed(), "a process has gone on"),
        (lambda env: env.process(nothing_again(env)), "a process has gone on"),
        (lambda env: env.process(again_and_again(env)), "processes were started"),
    ],
    ids=["no time", "nothing", "an event of its own", "processes that end at once", "processes without end"],
)
def test_a_process_that_lets_no_time_pass_is_one_clear_message(waits, what):
    def chaos(env, cluster):
        yield env.timeout(1)
        while True:
            yield waits(env)

    with pytest.raises(ScenarioError) as caught:
        controlled(faulty(), control=(chaos,))
    assert f"control must let time pass ({what} 100_000 times without), got '1 s'; wait " in str(caught.value)


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


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (lambda env, cluster: None, "control must be a list of processes, got 'function'; "),
        ([nobody], "control[0] must take two arguments, the environment and the cluster, got '()'; "),
        ([lambda env, cluster: None], "control[0] must be a generator function, with at least one yield, got "),
    ],
)
def test_what_is_no_process_is_refused(control, message):
    with pytest.raises(ScenarioError) as caught:
        simulate(small(), control=control)
    assert str(caught.value).startswith(message)
