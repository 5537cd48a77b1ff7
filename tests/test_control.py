"""Control processes call a cluster at the times of the scenario, with what it says, and touch nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.control import start_control
from realtime_sim.engines.order import Phase
from realtime_sim.scenario import Scenario
from realtime_sim.units import to_ns
from tests.conftest import small

PHASES = [phase.name.lower() for phase in Phase]


class Recording:
    """The least a cluster must be: it writes down what it is told, and when."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.log: list[tuple] = []
        self.waits: list[tuple[int, str]] = []

    def kill(self, server: int, silent: bool, fault: int) -> None:
        self.log.append((self.env.now, "kill", server, silent, fault))

    def drop_clients(self, cohort: str, share: float, silent: bool, fault: int) -> None:
        self.log.append((self.env.now, "drop", cohort, share, silent, fault))

    def observe(self) -> None:
        self.log.append((self.env.now, "observe"))

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        self.waits.append((time_ns, phase))
        return self.env.timeout(time_ns - self.env.now)


def controlled(scenario: Scenario) -> Recording:
    """Everything the control processes of a scenario do until nothing is left to do."""
    env = simpy.Environment()
    cluster = Recording(env)
    start_control(env, cluster, scenario)
    env.run()
    return cluster


def kill(at: object, server: int = 0, **fields: object) -> dict:
    return {"at": at, "kind": "kill_server", "server": server} | fields


def drop(at: object, cohort: str = "phones", **fields: object) -> dict:
    return {"at": at, "kind": "drop_clients", "cohort": cohort} | fields


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
    cluster = controlled(small(duration=duration, sample_interval=interval))
    assert cluster.log == [(t, "observe") for t in times_ns]
    assert cluster.waits == [(t, "sample") for t in times_ns]


def test_faults_happen_at_their_times_with_what_the_scenario_says():
    """Faults keep their number in the scenario, whatever order they come in."""
    faults = [kill("7s", 1), drop("2.5s", share=0.25, notice="silent"), drop("8s", "desks"), kill(1, notice="silent")]
    cluster = controlled(small(servers={"count": 2}, sample_interval=10, faults=faults))
    assert cluster.log == [
        (0, "observe"),
        (1_000_000_000, "kill", 0, True, 3),
        (2_500_000_000, "drop", "phones", 0.25, True, 1),
        (7_000_000_000, "kill", 1, False, 0),
        (8_000_000_000, "drop", "desks", 1.0, False, 2),
        (10_000_000_000, "observe"),
    ]
    assert {wait for wait in cluster.waits if wait[1] == "fault"} == {
        (7 * 10**9, "fault"), (2_500_000_000, "fault"), (8 * 10**9, "fault"), (10**9, "fault"),
    }  # fmt: skip


# Properties.


@given(st.floats(0.1, 100), st.floats(0.01, 100))
def test_samples_are_one_interval_apart_but_for_the_last_at_the_end(duration, interval):
    times = [entry[0] for entry in controlled(small(duration=duration, sample_interval=interval)).log]
    step_ns = to_ns(interval)
    assert times[0] == 0 and times[-1] == to_ns(duration)
    assert all(b - a == step_ns for a, b in pairwise(times[:-1]))
    assert 0 < times[-1] - times[-2] <= step_ns


@given(st.lists(st.floats(0, 9.999), max_size=6))
def test_every_fault_happens_once_at_its_time(times):
    faults = [kill(at) if i % 2 else drop(at) for i, at in enumerate(times)]
    log = [entry for entry in controlled(small(faults=faults)).log if entry[1] != "observe"]
    assert sorted((entry[-1], entry[0]) for entry in log) == [(i, to_ns(at)) for i, at in enumerate(times)]
    assert [entry[0] for entry in log] == sorted(entry[0] for entry in log)


def test_phases_are_those_of_the_written_order():
    """The monitor sees the state before a fault of the same time does away with it."""
    cluster = controlled(small(sample_interval=1, faults=[kill("3s")]))
    assert {phase for _, phase in cluster.waits} == {"sample", "fault"}
    assert PHASES.index("sample") < PHASES.index("fault")


# Errors.


def test_an_error_of_the_cluster_ends_the_run():
    """Nothing is swallowed on the way: a defect of an engine must show."""

    class Broken(Recording):
        def observe(self) -> None:
            raise RuntimeError("no more samples")

    env = simpy.Environment()
    start_control(env, Broken(env), small())
    with pytest.raises(RuntimeError, match="^no more samples$"):
        env.run()
