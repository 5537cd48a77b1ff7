"""The services give what theory and arithmetic give, and with a bus no service feels another one's outage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from realtime_sim import Scenario, theory
from realtime_sim.engines.services import draw, run_services
from realtime_sim.pipeline import (
    DEAD_LETTER,
    DONE,
    FATES,
    NEVER_NS,
    NOT_CALLED,
    REJECTED,
    TIMED_OUT,
    UNFINISHED,
    PipelineRun,
    Served,
)
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.conftest import small

ONE_IN_A_MILLION = 1e-6
AT_ONCE = {"append": 0, "fetch": 0}


def order(rate: float = 10, arrivals: str = "constant", **changes: object) -> dict:
    return {"name": "order", "rate": rate, "arrivals": arrivals} | changes


def service(name: str = "mail", time: object = "10ms", **changes: object) -> dict:
    return {"name": name, "consumes": "order", "service": time} | changes


def ran(*services: dict, event: dict | None = None, **changes: object) -> PipelineRun:
    fields = {"duration": 10, "pipeline": AT_ONCE, "events": [event or order()], "services": list(services)}
    return run_services(small(**fields | changes))


def alone(*arguments: dict, **changes: object) -> Served:
    (served,) = ran(*arguments, **changes).services
    return served


def interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean of independent values; a correct program misses it once in a million runs."""
    half = stats.t.ppf(1 - ONE_IN_A_MILLION / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


# Known values.


@pytest.mark.parametrize(
    ("replicas", "workers", "time", "utilization", "seed", "wait_s"),
    [
        (1, 1, {"mean": 0.01}, 0.7, 1, theory.mm1(70, 0.01).mean_wait_s),
        (1, 1, 0.01, 0.8, 2, theory.md1(80, 0.01).mean_wait_s),
        (2, 2, {"mean": 0.01}, 0.8, 3, theory.mmc(320, 0.01, 4).mean_wait_s),
        (1, 3, {"mean": 0.01}, 0.7, 4, theory.mmc(210, 0.01, 3).mean_wait_s),
    ],
    ids=["M/M/1", "M/D/1", "M/M/4", "M/M/3"],
)
def test_a_consumer_group_waits_as_theory_says(replicas, workers, time, utilization, seed, wait_s):
    """Means of 32 slices of 180,000 events, the first of which are left out."""
    rate = utilization * replicas * workers / 0.01
    one = service(time=time, replicas=replicas, workers=workers)
    served = alone(one, event=order(rate, "poisson"), duration=180_000 / rate, seed=seed, drain=10)
    waits_s = (served.started_ns - served.event_ns)[3_200:] / 1e9
    low, high = interval(waits_s[: len(waits_s) // 32 * 32].reshape(32, -1).mean(axis=1))
    assert low <= wait_s <= high
    assert high - low < wait_s / 2


def test_an_outage_is_worked_off_in_the_time_worked_by_hand():
    """Ten events a second, 50 ms each. The stop at 10.01 s interrupts the event of 10 s, so 101 wait at 20.01 s; the
    service that begins 199 services later, at 29.96 s, is the first to leave nobody behind. As a fluid: 10 s."""
    fault = {"kind": "stop_service", "service": "mail", "at": 10.01, "lasts": 10}
    served = alone(service(time="50ms"), duration=40, faults=[fault])
    assert (served.caught_up_ns - to_ns(20.01)).tolist() == [to_ns(9.95)]
    assert served.n_redelivered == 1 and served.attempts[100] == 2
    assert served.ended_ns[100] == to_ns(20.06) and (served.fate == DONE).all()
    assert theory.catch_up_s(10, 10, 20) == 10.0


def test_the_mean_time_to_catch_up_is_that_of_theory():
    """From n customers, M/M/1 is down to one after (n - 1) / (mu - lam) on average. At half load one is there when it
    stops, so the mean is exactly the fluid's T lam / (mu - lam)."""
    fault = {"kind": "stop_service", "service": "mail", "at": 10, "lasts": 10}
    each = []
    for seed in range(40):
        served = alone(
            service(time={"mean": 1 / 60}), event=order(30, "poisson"), duration=40, faults=[fault], seed=seed
        )
        each.append(served.caught_up_ns[0] / 1e9 - 20)
    low, high = interval(np.array(each))
    assert low <= theory.catch_up_s(10, 30, 60) <= high
    assert high - low < 4


@pytest.mark.parametrize(("p", "retries"), [(0.5, 2), (0.3, 0), (0.9, 9)])
def test_the_share_of_dead_letters_is_that_of_all_attempts_failing(p, retries):
    one = service(time=0, p_failure=p, retries=retries)
    served = alone(one, event=order(2_000), duration=10)
    n, share = len(served.fate), p ** (retries + 1)
    low, high = stats.binom.interval(1 - ONE_IN_A_MILLION, n, share)
    assert low <= (served.fate == DEAD_LETTER).sum() <= high
    assert set(served.fate) == {DONE, DEAD_LETTER}
    assert served.attempts[served.fate == DEAD_LETTER].tolist() == [retries + 1] * (served.fate == DEAD_LETTER).sum()


def test_attempts_and_delays_between_them_add_up():
    """Three attempts of 10 ms, two delays of 100 ms; the worker is held all the while."""
    one = service(p_failure=1, retries=2, retry_delay="100ms")
    served = alone(one, event=order(1))
    assert (served.ended_ns - served.event_ns).tolist() == [to_ns(0.23)] * 10
    assert served.busy_ns == 10 * to_ns(0.23)


def test_a_bus_delivers_to_each_service_and_calls_go_down_a_chain():
    """A bus: 2 + 3 ms, then each at once. Calls: one after the other, and no way between."""
    both = (service("a", "10ms"), service("b", "20ms"))
    times = {}
    for pipeline in ({"append": "2ms", "fetch": "3ms"}, {"coupling": "direct"}):
        run = ran(*both, event=order(1), pipeline=pipeline)
        times[pipeline.get("coupling", "bus")] = [set(s.ended_ns - s.event_ns) for s in run.services]
    assert times == {"bus": [{to_ns(0.015)}, {to_ns(0.025)}], "direct": [{to_ns(0.01)}, {to_ns(0.03)}]}


def test_a_call_that_is_not_answered_times_out_and_holds_its_worker():
    """One worker, no room. Orders of 0, 0.5, 1 ... s; b stands still. The order of 0 s holds the worker to 1.01 s, so
    those of 0.5 and 1 s are rejected, that of 1.5 s is taken; and so on."""
    pipeline = {"coupling": "direct", "workers": 1, "backlog": 0, "timeout": "1s"}
    fault = {"kind": "stop_service", "service": "b", "at": 0, "lasts": 100}
    run = ran(service("a"), service("b"), service("c"), event=order(2), duration=3, pipeline=pipeline, faults=[fault])
    fates = [[FATES[fate] for fate in served.fate] for served in run.services]
    assert fates[0] == ["done", "rejected", "rejected", "done", "rejected", "rejected"]
    assert fates[1] == ["timed_out", "rejected", "rejected", "timed_out", "rejected", "rejected"]
    assert fates[2] == ["not_called", "rejected", "rejected", "not_called", "rejected", "rejected"]
    assert run.services[1].ended_ns[[0, 3]].tolist() == [to_ns(1.01), to_ns(2.51)]


def test_an_answer_at_the_end_of_the_patience_still_counts():
    pipeline = {"coupling": "direct", "timeout": "10ms"}
    assert set(alone(service(time="10ms"), pipeline=pipeline).fate) == {DONE}
    assert set(alone(service(time=0.010000001), pipeline=pipeline).fate) == {TIMED_OUT}


def test_a_failed_call_ends_the_chain():
    run = ran(service("a", p_failure=1, retries=1), service("b"), pipeline={"coupling": "direct"})
    assert set(run.services[0].fate) == {DEAD_LETTER} and set(run.services[0].attempts) == {2}
    assert set(run.services[1].fate) == {NOT_CALLED} and run.services[1].attempts.sum() == 0


def test_a_call_that_nobody_waits_for_is_not_begun_and_one_begun_is_worked_on_in_vain():
    """Calls of 0 and 0.1 s, 3 s of work, patience of 2 s: the first is worked on to 3 s for nobody, the other never."""
    pipeline = {"coupling": "direct", "timeout": "2s"}
    served = alone(service(time="3s"), event=order(10, stop=0.2), pipeline=pipeline)
    assert served.fate.tolist() == [TIMED_OUT, TIMED_OUT] and served.attempts.tolist() == [1, 0]
    assert served.busy_ns == to_ns(3)


def test_what_the_drain_is_too_short_for_is_unfinished():
    served = alone(service(time="4s"), event=order(1), duration=10, drain=2)
    assert served.fate.tolist() == [DONE] * 3 + [UNFINISHED] * 7
    assert served.busy_ns == to_ns(10) and served.ended_ns[-1] == NEVER_NS


# Properties.


TIMES = st.sampled_from([0, "1ms", {"mean": "20ms"}, {"low": "1ms", "high": "80ms"}])


@st.composite
def pipelines(draw_, coupling: str | None = None) -> dict:
    """Two services on one event, with failures, retries and stops."""
    two = [
        service(
            name, draw_(TIMES), replicas=draw_(st.integers(1, 2)), workers=draw_(st.integers(1, 3)),
            p_failure=draw_(st.sampled_from([0, 0.3, 1])), retries=draw_(st.integers(0, 2)),
            retry_delay=draw_(st.sampled_from([0, "5ms"])),
        )
        for name in ("a", "b")
    ]  # fmt: skip
    stops = draw_(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.integers(1, 4)), max_size=3))
    return {
        "duration": 5,
        "drain": draw_(st.sampled_from([0, 60])),
        "seed": draw_(st.integers(0, 2**63 - 1)),
        "events": [order(draw_(st.integers(1, 60)), draw_(st.sampled_from(["poisson", "constant"])))],
        "pipeline": {
            "coupling": coupling or draw_(st.sampled_from(["bus", "direct"])), "append": draw_(TIMES),
            "fetch": draw_(TIMES), "workers": draw_(st.integers(1, 5)), "backlog": draw_(st.integers(0, 5)),
            "timeout": draw_(st.sampled_from(["10ms", "1s"])),
        },
        "services": two,
        "faults": [{"kind": "stop_service", "service": name, "at": at, "lasts": lasts} for name, at, lasts in stops],
    }  # fmt: skip


@given(pipelines())
@settings(max_examples=100)
def test_every_event_has_one_fate_and_times_in_order(fields):
    scenario = small(**fields)
    run = run_services(scenario)
    for one, served in zip(scenario.services, run.services, strict=True):
        known = served.fate != UNFINISHED
        assert ((served.ended_ns < NEVER_NS) == known).all()
        assert (served.entered_ns >= served.event_ns).all()
        done = served.fate == DONE
        assert (served.started_ns[done] >= served.entered_ns[done]).all()
        assert (served.ended_ns[done] >= served.started_ns[done]).all()
        assert (served.attempts[done] >= 1).all()
        assert served.attempts[np.isin(served.fate, [REJECTED, NOT_CALLED])].sum() == 0
        assert 0 <= served.busy_ns <= one.n_workers * to_ns(scenario.duration)
        if scenario.pipeline.coupling == "bus":
            assert not np.isin(served.fate, [TIMED_OUT, REJECTED, NOT_CALLED]).any()
        books = run.books()[one.name]
        assert books["fates"].sum() == len(served.fate)
        assert books["lag"].max(initial=0) <= books["highest_lag"]


@given(pipelines("bus"))
@settings(max_examples=50)
def test_a_bus_loses_nothing_and_no_service_feels_another_one_s_stops(fields):
    fields |= {"drain": 1_000}
    first = run_services(small(**fields)).services
    assert all((served.fate != UNFINISHED).all() for served in first)
    kept = [fault for fault in fields["faults"] if fault["service"] == "a"]
    second = run_services(small(**fields | {"faults": kept})).services
    assert np.array_equal(first[0].ended_ns, second[0].ended_ns)


@given(pipelines())
@settings(max_examples=25)
def test_the_same_scenario_gives_the_same_run(fields):
    first, second = (run_services(small(**fields)).books() for _ in range(2))
    assert str(first) == str(second)


def test_another_seed_gives_another_run():
    first, second = (alone(service(), event=order(10, "poisson"), seed=seed).event_ns for seed in (0, 1))
    assert first.tolist() != second.tolist()


# Into the push tier.


def test_a_scenario_without_services_is_drawn_as_ever():
    case = small(traffic=[{"name": "t", "rate": 5}, {"name": "u", "rate": 5}])
    (workload, services), plain = draw(case), draw_workload(case)
    assert services == {} and workload.publishes.time_ns.tolist() == plain.publishes.time_ns.tolist()
    assert workload.publishes.intended_ns is workload.publishes.time_ns


def test_what_a_service_finishes_is_published_then_and_counts_from_its_event():
    case = Scenario(
        name="x", duration=10, clients=[{"name": "c", "count": 3}], rooms=[{"name": "inbox", "per_user": True}],
        events=[order(10, "poisson")], pipeline=AT_ONCE, services=[service(time={"mean": "50ms"}, p_failure=0.5)],
        traffic=[{"name": "push", "to": "inbox", "from": "mail"}, {"name": "other", "rate": 3}],
    )  # fmt: skip
    (served,), (workload, _) = run_services(case).services, draw(case)
    publishes = workload.publishes
    mine = publishes.traffic == 0
    done = np.flatnonzero(served.fate == DONE)
    assert sorted(publishes.time_ns[mine]) == sorted(served.ended_ns[done])
    assert (served.event_ns[publishes.number[mine]] == publishes.intended_ns[mine]).all()
    assert (publishes.intended_ns[~mine] == publishes.time_ns[~mine]).all() and (~mine).any()
    assert (np.diff(publishes.time_ns) >= 0).all() and (publishes.sender == -1).all()
