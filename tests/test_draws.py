"""Draws are pure functions of their address: the published vectors, the right distributions, no state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from realtime_sim.draws import Stream, normal_quantile, philox4x32, sample, sample_ns, samples_ns, uniform, uniforms
from realtime_sim.scenario import Constant, Empirical, Exponential, Gamma, Lognormal, Uniform

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    "counter, key, words",
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, words):
    assert tuple(int(word) for word in philox4x32(*counter, *key)) == words


def test_a_draw_depends_on_its_address_alone():
    first = uniform(0, Stream.RTT, 1, 2, 3)
    others = [
        uniform(1, Stream.RTT, 1, 2, 3), uniform(0, Stream.JITTER, 1, 2, 3), uniform(0, Stream.RTT, 2, 2, 3),
        uniform(0, Stream.RTT, 1, 3, 3), uniform(0, Stream.RTT, 1, 2, 4), uniform(2**32, Stream.RTT, 1, 2, 3),
    ]  # fmt: skip
    assert len({first, *others}) == 7
    assert uniform(0, Stream.RTT, 1, 2, 3) == first
    assert uniforms(0, Stream.RTT, 1, 2, 3).tolist() == [uniform(0, Stream.RTT, 1, j, 0) for j in (2, 3, 4)]


def test_streams_have_numbers_of_their_own():
    numbers = [value for name, value in vars(Stream).items() if name.isupper()]
    assert len(numbers) == len(set(numbers)) > 15


def test_draws_are_uniform():
    """Kolmogorov and Smirnov on 100,000 draws; a correct generator fails for one seed in a million."""
    u = uniforms(7, Stream.ARRIVAL, 0, 0, 100_000)
    assert 0 <= u.min() and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-6


def test_the_normal_quantile_is_that_of_scipy():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 5001), 10.0 ** -np.arange(1, 300, 7)])
    ours = np.array([normal_quantile(x) for x in p])
    assert ours == pytest.approx(special.ndtri(p), rel=2e-14, abs=1e-15)


FAMILIES = [
    (Constant(value=2.0), None),
    (Uniform(low=1.0, high=3.0), stats.uniform(1, 2)),
    (Exponential(mean=0.5), stats.expon(scale=0.5)),
    (Lognormal(median=0.04, p99=0.25), stats.lognorm(np.log(0.25 / 0.04) / special.ndtri(0.99), scale=0.04)),
    (Gamma(mean=0.01, cv=2.0), stats.gamma(0.25, scale=0.04)),
    (Gamma(mean=0.01, cv=0.5), stats.gamma(4, scale=0.0025)),
    (Empirical(quantiles={0: 1.0, 0.5: 2.0, 1: 6.0}), None),
]


@pytest.mark.parametrize(
    "distribution, known", FAMILIES, ids=[f"{type(d).__name__}-{i}" for i, (d, _) in enumerate(FAMILIES)]
)
def test_a_sampler_has_the_quantiles_and_moments_of_its_distribution(distribution, known):
    sampler = distribution.sampler()
    u = (np.arange(400_000) + 0.5) / 400_000
    values = samples_ns(sampler, u) / 1e9
    assert values.mean() == pytest.approx(distribution.mean_s, rel=2e-4)
    assert values.var() / values.mean() ** 2 == pytest.approx(distribution.cv2, rel=0.02, abs=1e-9)
    if known is not None:
        for p in (0.01, 0.5, 0.9, 0.99, 0.999, 0.999999):
            assert sample(sampler, p) == pytest.approx(known.ppf(p), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("distribution", [d for d, _ in FAMILIES], ids=lambda d: type(d).__name__)
def test_the_least_and_the_greatest_draw_give_a_time(distribution):
    for u in (0.0, 1 - 2.0**-53):
        assert sample_ns(distribution.sampler(), u) >= 0
        assert np.isfinite(sample(distribution.sampler(), u))
