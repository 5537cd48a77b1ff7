"""Theory agrees with itself, with other ways to the same figure and with plain simulations."""

import dataclasses
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from realtime_sim import theory

UTILIZATIONS = st.floats(0.0, 0.999)
SERVICES_S = st.floats(1e-6, 1e3)
PROBABILITIES = st.floats(0.001, 0.999)

Z = 5.0
"""Half-width of an interval in standard errors: outside with probability 6e-7 (normal approximation)."""


# --- agreement ------------------------------------------------------------------------------------------------------


@given(UTILIZATIONS, SERVICES_S, PROBABILITIES)
def test_special_cases_are_the_simpler_queues(utilization, service_s, p):
    rate = utilization / service_s
    same = lambda one, two: dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(two), rel=1e-9)  # noqa: E731
    mm1, md1 = theory.mm1(rate, service_s), theory.md1(rate, service_s)
    assert same(theory.mmc(rate, service_s, servers=1), mm1)
    assert same(theory.mg1(rate, service_s, cv=1), mm1)
    assert same(theory.mg1(rate, service_s, cv=0), md1)
    assert same(theory.mxm1(rate, service_s, mean_batch=1), mm1)
    assert same(theory.mg1_exceptional_first(rate, service_s, 0.0, service_s, 0.0), md1)
    fanout = theory.fanout_md1(rate, n_members=1, send_s=service_s)
    assert (fanout.mean_wait_s, fanout.mean_delay_s) == (md1.mean_wait_s, md1.mean_wait_s + service_s)
    alone_s = theory.fanout_md1_delay_quantile_s(rate, 1, service_s, p)
    assert alone_s == pytest.approx(theory.md1_wait_quantile_s(rate, service_s, p) + service_s, rel=1e-9)


def erlang_md1_cdf(utilization: Decimal, services: Decimal) -> Decimal:
    """Erlang's alternating sum for M/D/1 with 400 digits, which no cancellation here uses up."""
    total = Decimal(0)
    for j in range(int(services) + 1):
        ahead = utilization * (j - services)
        total += (ahead**j if j else 1) / Decimal(math.factorial(j)) * (-ahead).exp()
    return (1 - utilization) * total


@pytest.mark.parametrize("utilization", [1e-6, 0.01, 0.1, 0.5, 0.8, 0.95, 0.999, 0.99999])
def test_the_md1_tail_is_erlangs_formula_to_eleven_digits(utilization):
    """Another formula than the one in the package: Erlang (1909), on both sides of every kind of kink."""
    services = [0.0, 0.3, 0.999, 1.0, 1.5, 2.0, 7.25, 30.0, 63.5, 64.0, 66.6, 100.0, 150.0]
    with localcontext() as context:
        context.prec = 400
        expected = [float(1 - erlang_md1_cdf(Decimal(utilization), Decimal(x))) for x in services]
    tails = theory.md1_wait_tail(utilization / 0.25, 0.25, np.array(services) * 0.25)
    assert tails.tolist() == pytest.approx(expected, rel=1e-11, abs=1e-290)


def test_nobody_waits_for_ever_unless_overloaded():
    assert theory.md1_wait_cdf(0.8, 1.0, math.inf) == 1
    assert theory.fanout_md1_delay_cdf(0.8, 4, 0.25, math.inf) == 1


@pytest.mark.parametrize("utilization", [0.1, 0.5, 0.8, 0.95])
def test_inversion_gives_the_exponential_tail_of_mm1(utilization):
    """`rho exp(-(1 - rho) t)`; the aliases of the inversion are 1e-8."""
    t = np.concatenate([[-1.0, 0.0], np.geomspace(1e-3, 20 / (1 - utilization), 50)])
    exact = np.where(t < 0, 1.0, utilization * np.exp(-(1 - utilization) * t))
    assert theory.mg1_wait_tail(utilization, 1.0, 1.0, t) == pytest.approx(exact, abs=3e-8)
    for p in (0.96, 0.99, 0.9999):  # the error of a tail of 1e-4 is a ten-thousandth of it
        exact = theory.mm1_wait_quantile_s(utilization / 2, 2.0, p)
        assert theory.mg1_wait_quantile_s(utilization / 2, 2.0, 1.0, p) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("cv", [0.3, 0.5, 2.0, 4.0])
def test_the_inverted_tail_of_mg1_integrates_to_its_mean(cv):
    """Trapezia on steps of 0.1 % of the time: their error is below 1e-5."""
    t = np.concatenate([[0.0], np.geomspace(1e-6, 2_000 * (1 + cv**2), 20_000)])
    area = np.trapezoid(theory.mg1_wait_tail(0.8, 1.0, cv, t), t)
    assert area == pytest.approx(theory.mg1(0.8, 1.0, cv).mean_wait_s, rel=1e-5)


def test_inversion_knows_idle_and_overloaded_queues():
    assert theory.mg1_wait_quantile_s(0.0, 1.0, 2.0, 0.99) == theory.mg1_wait_quantile_s(0.5, 1.0, 2.0, 0.4) == 0.0
    assert theory.mg1_wait_quantile_s(1.0, 1.0, 2.0, 0.99) == math.inf
    assert theory.mg1_wait_tail(1.0, 1.0, 2.0, 5.0) == 1.0


def test_scalar_and_array_times_give_the_same_probabilities():
    times = np.array([[-1.0, 0.0, 0.5], [1.0, 7.3, 80.0]])
    for probability in (theory.md1_wait_cdf, theory.md1_wait_tail):
        whole = probability(0.7, 1.0, times)
        assert whole.shape == times.shape
        assert [probability(0.7, 1.0, float(t)) for t in times.ravel()] == whole.ravel().tolist()


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_the_md1_wait_integrates_to_its_mean(utilization):
    """The mean is the integral of the tail; the trapezoid's error on this grid is far below the bound."""
    t_s = np.linspace(0, 200, 200_001)
    mean_s = np.trapezoid(theory.md1_wait_tail(utilization, 1.0, t_s), t_s)
    assert mean_s == pytest.approx(theory.md1(utilization, 1.0).mean_wait_s, rel=1e-5)


def lindley(rng, n_chains, n_steps, rate_per_s, service_of):
    """Waits of the last customer in independent queues that start empty; `service_of(idle)` gives service times."""
    wait_s = np.zeros(n_chains)
    for _ in range(n_steps):
        sojourn_s = wait_s + service_of(wait_s == 0)
        wait_s = np.maximum(sojourn_s - rng.exponential(1 / rate_per_s, n_chains), 0.0)
    return wait_s


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_simulated_constant_service_has_the_quantiles_of_theory(p):
    """20,000 independent queues after 1,500 customers; the count below a quantile is binomial, error 1e-6."""
    waits_s = lindley(np.random.default_rng(7), 20_000, 1500, 0.8, lambda idle: 1.0)
    below = int((waits_s <= theory.md1_wait_quantile_s(0.8, 1.0, p)).sum())
    assert binom.ppf(5e-7, 20_000, p) <= below <= binom.isf(5e-7, 20_000, p)


def test_simulated_exceptional_first_service_has_the_mean_of_theory():
    """Exponential first service of mean 2, uniform others of mean 0.6 on (0, 1.2); error 6e-7."""
    rng = np.random.default_rng(11)
    waits_s = lindley(
        rng, 40_000, 600, 1.0, lambda idle: np.where(idle, rng.exponential(2.0, 40_000), rng.uniform(0, 1.2, 40_000))
    )
    figures = theory.mg1_exceptional_first(1.0, 0.6, 1 / math.sqrt(3), first_service_s=2.0, first_cv=1.0)
    half_width_s = Z * waits_s.std() / math.sqrt(waits_s.size)
    assert waits_s.mean() - half_width_s <= figures.mean_wait_s <= waits_s.mean() + half_width_s
    waited = int((waits_s > 0).sum())
    assert binom.ppf(5e-7, 40_000, figures.utilization) <= waited <= binom.isf(5e-7, 40_000, figures.utilization)


def test_simulated_batches_have_the_mean_of_theory():
    """Batches of 3 to one exponential server: Lindley over batches, plus the members ahead in the batch; error 6e-7."""
    rng = np.random.default_rng(13)
    waits_s = lindley(rng, 40_000, 600, 0.2, lambda idle: rng.gamma(3, 1.0, 40_000))
    ahead = rng.integers(0, 3, 40_000)
    waits_s = waits_s + np.where(ahead > 0, rng.gamma(np.maximum(ahead, 1), 1.0), 0.0)
    half_width_s = Z * waits_s.std() / math.sqrt(waits_s.size)
    expected_s = theory.mxm1(0.2, 1.0, 3).mean_wait_s
    assert waits_s.mean() - half_width_s <= expected_s <= waits_s.mean() + half_width_s


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
def test_simulated_fanout_has_the_quantiles_of_theory(p):
    """One random copy of the last publish in 20,000 independent loops; at a jump the CDF is above p. Error 1e-6."""
    rng = np.random.default_rng(17)
    rate, n, send_s, decode_s = 80.0, 100, 90e-6, 1e-3
    waits_s = lindley(rng, 20_000, 1500, rate, lambda idle: decode_s + n * send_s)
    delays_s = waits_s + decode_s + send_s * rng.integers(1, n + 1, 20_000)
    t_s = theory.fanout_md1_delay_quantile_s(rate, n, send_s, p, decode_s) * (1 + 1e-9)
    p_below = theory.fanout_md1_delay_cdf(rate, n, send_s, t_s, decode_s)
    assert p <= p_below <= p + 0.2 / n + 1e-6
    below = int((delays_s <= t_s).sum())
    assert binom.ppf(5e-7, 20_000, p_below) <= below <= binom.isf(5e-7, 20_000, p_below)


def test_simulated_long_polling_has_the_mean_of_theory():
    """Cycles of one gap: messages in the gap wait for its end, else the next one leaves at once; error 6e-7."""
    rng = np.random.default_rng(19)
    one_way_s, rate, n = 0.05, 5.0, 200_000
    in_gap = rng.poisson(rate * 2 * one_way_s, n)
    waited_s = np.array([rng.uniform(0, 2 * one_way_s, k).sum() for k in in_gap])
    messages = np.maximum(in_gap, 1)
    extra_s = theory.long_poll_delay_s(one_way_s, rate).mean_s - one_way_s
    residual_s = waited_s - extra_s * messages
    assert abs(residual_s.mean()) <= Z * residual_s.std() / math.sqrt(n)
