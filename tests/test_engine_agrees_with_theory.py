"""The reference engine agrees with queueing theory: means and p99 of waits lie in the run's interval.

Seeds are fixed (the number of the case; none was searched for). A 95 % interval misses the truth for one correct run
in twenty, so each case is held to the interval at 1 - 10**-6 of the same run (Student's t with 31 degrees of freedom:
3.0 times as wide), and all cases together to their number inside the 95 % intervals.
"""

from __future__ import annotations

from functools import cache

import pytest
from scipy import stats

from realtime_sim import theory
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.stats import Estimate

SERVICE_S = 1e-3
N_CUSTOMERS = {0.5: 40_000, 0.8: 80_000, 0.9: 160_000}
"""More at a high utilization, where waits are correlated for longer."""

WIDER = stats.t.ppf(1 - 0.5e-6, 31) / stats.t.ppf(0.975, 31)


@cache
def queue(utilization: float, seed: int, cv: float = 0.0, workers: int = 1) -> Results:
    """A single queue: one member, no network, so that the hop `server_wait` is the wait and nothing else is there."""
    rate = utilization / SERVICE_S * workers
    duration = N_CUSTOMERS[utilization] / rate
    cost = {0.0: SERVICE_S, 1.0: {"mean": SERVICE_S}}.get(cv, {"mean": SERVICE_S, "cv": cv})
    scenario = Scenario(
        name="queue",
        seed=seed,
        duration=duration,
        warmup=duration / 20,
        sample_interval=duration / 200,
        clients=[{"name": "client", "count": 1, "keepalive": None}],
        servers={"profile": "zero", "workers": workers, "costs": {"event": cost}},
        broker={"kind": "none", "publisher_link": 0},
        traffic=[{"name": "customers", "rate": rate}],
    )
    return simulate(scenario)


CASES = [
    (f"{model}, utilization {utilization}", utilization, seed, cv, workers)
    for seed, (model, cv, workers, utilization) in enumerate(
        (*model, utilization)
        for model in [
            ("M/D/1", 0.0, 1),
            ("M/G/1 cv 0.5", 0.5, 1),
            ("M/G/1 cv 1", 1.0, 1),
            ("M/G/1 cv 2", 2.0, 1),
            ("M/M/2", 1.0, 2),
            ("M/M/4", 1.0, 4),
        ]
        for utilization in (0.5, 0.8, 0.9)
    )
]


def truth(utilization: float, cv: float, workers: int) -> tuple[float, float | None]:
    """Mean wait and its 99th percentile by theory, seconds; None where there is no closed form."""
    rate = utilization / SERVICE_S * workers
    if cv == 0:
        p99 = theory.md1_wait_quantile_s(rate, SERVICE_S, 0.99)
        return theory.md1(rate, SERVICE_S).mean_wait_s, p99
    if cv == 1:
        p99 = theory.mmc_wait_quantile_s(rate, SERVICE_S, workers, 0.99)
        return theory.mmc(rate, SERVICE_S, workers).mean_wait_s, p99
    return theory.mg1(rate, SERVICE_S, cv).mean_wait_s, None


def holds(estimate: Estimate, value: float, wider: float = 1.0) -> bool:
    """Whether a value lies in an interval, made `wider` around the estimate."""
    return (estimate.low - estimate.value) * wider <= value - estimate.value <= (estimate.high - estimate.value) * wider


@pytest.mark.parametrize("name, utilization, seed, cv, workers", CASES, ids=[case[0] for case in CASES])
def test_wait_of_a_queue_is_that_of_theory(name, utilization, seed, cv, workers):
    mean, p99 = truth(utilization, cv, workers)
    wait = queue(utilization, seed, cv, workers).latency_s(hop="server_wait")
    assert holds(wait["mean"], mean, WIDER), f"{name}: mean {wait['mean']}, theory {mean:.4g}"
    if p99 is not None:
        assert holds(wait["p99"], p99, WIDER), f"{name}: p99 {wait['p99']}, theory {p99:.4g}"


def test_theory_is_inside_nearly_all_95_percent_intervals():
    """Each of 30 figures misses with probability 0.05; nine misses and more happen once in 40,000 correct programs,
    13 and more less than once in 10**6 ... even where the intervals are a little too narrow (0.92)."""
    inside = []
    for _, utilization, seed, cv, workers in CASES:
        wait = queue(utilization, seed, cv, workers).latency_s(hop="server_wait")
        for name, value in zip(("mean", "p99"), truth(utilization, cv, workers), strict=True):
            if value is not None:
                inside.append(holds(wait[name], value))
    misses = len(inside) - sum(inside)
    assert len(inside) == 30
    assert misses < stats.binom.isf(1e-6, len(inside), 0.08) + 1


def test_utilization_is_offered_load():
    """800/s of 1 ms: busy 0.8 of the time. Standard error of the offered load over 100 s is 0.0028; seven of them."""
    results = queue(0.8, 1, 0.0, 1)
    assert results.servers["utilization"][0] == pytest.approx(0.8, abs=0.02)


def fanout(duration: float, seed: int, rate: float, n_members: int, send: float) -> Results:
    return simulate(
        Scenario(
            name="fan-out",
            seed=seed,
            duration=duration,
            warmup=duration / 20,
            sample_interval=duration / 200,
            clients=[{"name": "members", "count": n_members, "keepalive": None}],
            servers={"profile": "zero", "costs": {"send": send}},
            broker={"kind": "none", "publisher_link": 0},
            traffic=[{"name": "events", "rate": rate}],
        )
    )


def test_fanout_to_1000_members_has_the_mean_delay_of_a_batch_queue():
    """80 publishes/s to 1,000 members at 10 us: 20 ms of wait and 5.005 ms in the batch, 25.005 ms in all."""
    results = fanout(12, 600, rate=80, n_members=1000, send=10e-6)
    expected = theory.fanout_md1(80, 1000, 10e-6)
    assert expected.mean_delay_s == pytest.approx(25.005e-3)
    assert holds(results.latency_s()["mean"], expected.mean_delay_s, WIDER)
    in_batch = results.latency_s(hop="fanout")["mean"].value
    assert in_batch == pytest.approx(5.005e-3, rel=1e-12)


def test_fanout_has_the_p99_of_a_batch_queue():
    results = fanout(300, 601, rate=80, n_members=20, send=500e-6)
    p99 = theory.fanout_md1_delay_quantile_s(80, 20, 500e-6, 0.99)
    assert holds(results.latency_s()["p99"], p99, WIDER)


def test_last_of_30000_copies_leaves_after_900_ms():
    """Discord (2017): 30,000 sessions at 30 us a send is 0.9 s."""
    scenario = Scenario(
        name="guild",
        duration=1,
        warmup=0,
        clients=[{"name": "members", "count": 30_000, "keepalive": None}],
        servers={"profile": "zero", "costs": {"send": "30us"}},
        broker={"kind": "none", "publisher_link": 0},
        traffic=[{"name": "event", "rate": 1, "arrivals": "constant"}],
    )
    results = simulate(scenario)
    assert results.latency_s()["max"].value == pytest.approx(0.9, abs=1e-12)
    assert results.latency_s()["mean"].value == pytest.approx(30e-6 * 30_001 / 2, abs=1e-12)


@pytest.mark.parametrize("rate", [0.5, 5.0])
def test_long_polling_delay_is_that_of_rfc_6202(rate):
    """Mean d + (R/2) aR/(aR + exp(-aR)), and never more than three transits."""
    n_clients = 50
    scenario = Scenario(
        name="polls",
        seed=700,
        duration=60,
        warmup=2,
        clients=[
            {"name": "c", "count": n_clients, "transport": "long_polling", "keepalive": None, "network": {"rtt": 0.1}}
        ],
        servers={"profile": "zero"},
        broker={"kind": "none", "publisher_link": 0},
        rooms=[{"name": "inbox", "per_user": True}],
        traffic=[{"name": "mail", "to": "inbox", "rate": rate * n_clients}],
    )
    latency = simulate(scenario).latency_s()
    expected = theory.long_poll_delay_s(0.05, rate)
    assert holds(latency["mean"], expected.mean_s, WIDER)
    assert latency["max"].value <= expected.max_s + 1e-9


@pytest.mark.parametrize(
    ("engine", "record", "more"), [("reference", "summary", 1), ("fast", "summary", 10), ("fast", "full", 5)]
)
@pytest.mark.parametrize("cv", [0.0, 1.0])
@pytest.mark.parametrize("utilization", [0.2, 0.5, 0.8])
def test_wakeup_is_an_exceptional_first_service(engine, record, more, cv, utilization):
    """A job that finds the loop asleep pays more (Welch 1964): 0.5 ms on top of 1 ms, constant or exponential. The mean
    wait is held to the interval at 1 - 10**-6 of the same run. Full records take the general kernel of the compiled
    engine, the others its kernel for steady runs; both run for longer, for they can."""
    rate, first_s = utilization / SERVICE_S, 1.5 * SERVICE_S
    duration = more * {0.2: 20_000, 0.5: 20_000, 0.8: 40_000}[utilization] / rate
    scenario = Scenario(
        name="wakeup",
        seed=800,
        duration=duration,
        warmup=duration / 20,
        sample_interval=duration / 200,
        clients=[{"name": "client", "count": 1, "keepalive": None}],
        servers={"profile": "zero", "costs": {"event": {"mean": SERVICE_S} if cv else SERVICE_S, "wakeup": 0.5e-3}},
        broker={"kind": "none", "publisher_link": 0},
        traffic=[{"name": "customers", "rate": rate}],
    )
    wait = simulate(scenario, engine=engine, record=record).latency_s(hop="server_wait")["mean"]
    figures = theory.mg1_exceptional_first(rate, SERVICE_S, cv, first_s, cv * SERVICE_S / first_s)
    assert holds(wait, figures.mean_wait_s, WIDER)
