"""Backoff gives the waits that its sources give, never above the cap, the same for scalars, arrays and the engines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies import _backoff_kernel, backoff
from realtime_sim.policies.backoff import (
    DecorrelatedJitter,
    EqualJitter,
    EventSource,
    Exponential,
    Fixed,
    FullJitter,
    NoBackoff,
    Phoenix,
    ReconnectingWebSocket,
    SignalR,
    SocketIO,
    WebsocketsPython,
    delay_kernel,
    delay_s,
    longest_delay_s,
)

DRAWS = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(0, 1_000)
GRID = (np.arange(400_000) + 0.5) / 400_000

ceilings = st.tuples(st.floats(1e-3, 100), st.floats(1, 1_000)).map(lambda pair: (pair[0], pair[0] * pair[1]))


def waits(policy, attempts, u=0.5, u_client=0.0):
    return delay_s(policy, np.asarray(attempts), u, 0.0, u_client).tolist()


# Known values: Brooker (2015), worked by hand for a base of 1 s and a cap of 30 s.


@pytest.mark.parametrize(
    ("policy", "u", "expected"),
    [
        (NoBackoff(), 0.5, [0, 0, 0, 0, 0, 0, 0]),
        (Fixed(2.5), 0.5, [2.5] * 7),
        (EventSource(), 0.5, [3.0] * 7),
        (Exponential(1.0, 30.0), 0.5, [1, 2, 4, 8, 16, 30, 30]),
        (Exponential(1.0, 30.0, factor=3.0), 0.5, [1, 3, 9, 27, 30, 30, 30]),
        (FullJitter(1.0, 30.0), 0.5, [0.5, 1, 2, 4, 8, 15, 15]),
        (FullJitter(1.0, 30.0), 0.0, [0, 0, 0, 0, 0, 0, 0]),
        (EqualJitter(1.0, 30.0), 0.5, [0.75, 1.5, 3, 6, 12, 22.5, 22.5]),
        (EqualJitter(1.0, 30.0), 0.0, [0.5, 1, 2, 4, 8, 15, 15]),
    ],
)
def test_general_rules_give_the_waits_of_the_paper(policy, u, expected):
    assert waits(policy, range(7), u) == expected


def test_decorrelated_jitter_draws_between_the_base_and_three_times_the_wait_before():
    policy, series, previous = DecorrelatedJitter(1.0, 30.0), [], 0.0
    for attempt in range(6):
        previous = delay_s(policy, attempt, 0.5, previous)
        series.append(previous)
    assert series == [2.0, 3.5, 5.75, 9.125, 14.1875, 21.78125]
    assert delay_s(policy, 6, 0.75, 29.0) == 30.0


def test_the_aws_simulator_waits_ten_first_because_it_counts_before_it_waits():
    """aws-arch-backoff-simulator: base 5, cap 2000, and the attempt is already 1 at the first wait."""
    assert delay_s(Exponential(base_s=5.0, cap_s=2_000.0), 1, 0.0) == 10.0


# Known values: named clients.


@pytest.mark.parametrize(
    ("attempt", "u", "expected_ms"),
    [
        (0, 0.05, 975), (0, 0.1, 1050), (0, 0.25, 875), (0, 0.85, 575), (0, 0.999, 1499),
        (1, 0.0, 2000), (1, 0.45, 1550), (1, 0.55, 2550), (1, 0.85, 1150), (1, 0.999, 2999),
        (2, 0.05, 3900), (2, 0.35, 4700), (2, 0.55, 5000), (2, 0.85, 2300),
        (3, 0.65, 5000), (3, 0.85, 4600), (4, 0.85, 5000),
        (1014, 0.25, 5000), (1015, 0.25, 0), (1015, 0.35, 5000), (1016, 0.0, 0),
    ],
)  # fmt: skip
def test_socketio_gives_what_its_javascript_gives(attempt, u, expected_ms):
    """backo2.ts evaluated with these values in place of Math.random()."""
    assert delay_s(SocketIO(), attempt, u) == expected_ms / 1000


@pytest.mark.parametrize(
    ("attempt", "mean", "lowest", "highest", "at_the_cap"),
    [
        (0, 1.025, 0.551, 1.499, 0.0),
        (1, 2.050, 1.101, 2.999, 0.0),
        (2, 3.950, 2.201, 5.000, 0.3),
        (3, 4.960, 4.401, 5.000, 0.9),
        (4, 5.000, 5.000, 5.000, 1.0),
        (5, 5.000, 5.000, 5.000, 1.0),
    ],
)
def test_socketio_waits_spread_as_published_and_no_longer_from_the_fifth_attempt(
    attempt, mean, lowest, highest, at_the_cap
):
    """Means by hand: the odd tenths of u are above the wait, the even ones below; rounding down shifts them < 1 ms."""
    drawn = delay_s(SocketIO(), attempt, GRID)
    assert drawn.min() == lowest and drawn.max() == highest
    assert np.mean(drawn == 5.0) == pytest.approx(at_the_cap, abs=1 / GRID.size)
    assert mean - 1e-3 <= drawn.mean() <= mean + 1e-3


def test_phoenix_follows_its_table_and_then_waits_five_seconds():
    table_ms = [10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000, 5000]
    assert waits(Phoenix(), range(11)) == [ms / 1000 for ms in table_ms]


def test_signalr_gives_up_after_four_attempts():
    assert waits(SignalR(), range(6)) == [0.0, 2.0, 10.0, 30.0, math.inf, math.inf]


def test_websockets_waits_as_its_generator_yields():
    listed = [3.10, 5.02, 8.12, 13.13, 21.25, 34.38, 55.62, 89.99, 90.00, 90.00]
    assert [round(wait, 2) for wait in waits(WebsocketsPython(), range(1, 11))] == listed
    first = delay_s(WebsocketsPython(), 0, GRID)
    assert first.min() >= 0 and first.max() < 5.0


def test_websockets_multiplies_as_its_generator_does():
    """The generator multiplies step by step; a power differs from that by rounding only, a few parts in 10**16."""
    delay, series = 3.1, []
    while delay < 90.0:
        series.append(delay)
        delay *= 1.618
    got = np.array(waits(WebsocketsPython(), range(1, len(series) + 1)))
    assert np.all(np.abs(got / series - 1) < 1e-14)


def test_reconnecting_websocket_grows_from_one_draw_for_each_client():
    assert waits(ReconnectingWebSocket(), range(3), u_client=0.0) == [1.0, 1.3, pytest.approx(1.69, rel=1e-15)]
    assert delay_s(ReconnectingWebSocket(), 0, 0.1, 0.0, 0.5) == 3.0
    assert delay_s(ReconnectingWebSocket(), 9, 0.1, 0.0, 0.0) == 10.0
    assert len(set(delay_s(ReconnectingWebSocket(), 1, GRID[:10], 0.0, 0.5))) == 1


# Properties.


@settings(deadline=None, max_examples=100)
@given(ceilings, ATTEMPTS, DRAWS)
def test_jittered_waits_stay_under_the_plain_exponential(bounds, attempt, u):
    base, cap = bounds
    plain = delay_s(Exponential(base, cap), attempt, u)
    full, equal = delay_s(FullJitter(base, cap), attempt, u), delay_s(EqualJitter(base, cap), attempt, u)
    assert 0 <= full <= equal <= plain <= cap
    assert equal >= plain / 2


@settings(deadline=None, max_examples=100)
@given(ceilings, st.floats(1, 10), st.integers(0, 300))
def test_plain_waits_never_shrink_and_end_at_the_cap(bounds, factor, attempt):
    base, cap = bounds
    policy = Exponential(base, cap, factor)
    assert delay_s(policy, attempt, 0.0) <= delay_s(policy, attempt + 1, 0.0)
    if factor > 1.1:
        assert delay_s(policy, 1_000, 0.0) == cap


@settings(deadline=None, max_examples=100)
@given(ceilings, DRAWS, st.floats(0, 1e5))
def test_decorrelated_waits_lie_between_base_and_cap(bounds, u, previous):
    base, cap = bounds
    assert base <= delay_s(DecorrelatedJitter(base, cap), 3, u, previous) <= cap


@settings(deadline=None, max_examples=100)
@given(st.integers(4, 1_014), DRAWS)
def test_socketio_clients_all_wait_the_cap_from_the_fifth_attempt(attempt, u):
    assert delay_s(SocketIO(), attempt, u) == 5.0


@settings(deadline=None, max_examples=50)
@given(ATTEMPTS, DRAWS)
def test_socketio_without_jitter_is_exponential_in_whole_milliseconds(attempt, u):
    assert delay_s(SocketIO(jitter=0.0), attempt, u) == min(5.0, 2.0**attempt)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**9), DRAWS)
def test_very_many_attempts_overflow_nothing(attempt, u):
    for cls in backoff.REGISTRY.values():
        wait = delay_s(cls(), attempt, u)
        assert 0 <= wait <= longest_delay_s(cls()) or wait == math.inf


# Agreement.


@pytest.mark.parametrize("name", backoff.REGISTRY)
def test_the_compiled_function_and_the_readable_one_agree(name):
    policy = backoff.REGISTRY[name]()
    p = policy.params()
    for attempt in range(12):
        for u in (0.0, 0.31, 0.999):
            one = delay_kernel(policy.code, p, attempt, u, 2.0, 0.4)
            assert one == delay_s(policy, attempt, u, 2.0, 0.4)


def test_arguments_broadcast():
    grid = delay_s(FullJitter(), np.arange(3)[:, None], [0.0, 0.5])
    assert grid.tolist() == [[0.0, 0.5], [0.0, 1.0], [0.0, 2.0]]
    assert delay_s(FullJitter(), np.arange(0), 0.5).shape == (0,)


def test_parameter_arrays_have_one_length_and_start_with_the_longest_wait():
    for cls in backoff.REGISTRY.values():
        p = cls().params()
        assert p.shape == (_backoff_kernel.N_PARAMS,) and p.dtype == np.float64 and p[0] == longest_delay_s(cls())


# Errors.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0.0), "delay_s must be positive, got 0.0"),
        (lambda: FullJitter(base_s=-1.0), "base_s must be positive, got -1.0"),
        (lambda: FullJitter(cap_s=2e6), "cap_s must be at most 1e+06 s, got 2000000.0"),
        (lambda: Exponential(base_s=2.0, cap_s=1.0), "cap_s must be at least base_s (2.0), got 1.0"),
        (lambda: Exponential(factor=0.5), "factor must be at least 1, got 0.5"),
        (lambda: Exponential(base_s=math.nan), "base_s must be a finite number, got nan"),
        (lambda: SocketIO(jitter=1.5), "jitter must lie between 0 and 1, got 1.5"),
        (lambda: SocketIO(cap_s=0.5), "cap_s must be at least delay_s (1.0), got 0.5"),
        (lambda: WebsocketsPython(cap_s=4.0), "cap_s must be at least initial_s (5.0), got 4.0"),
        (lambda: ReconnectingWebSocket(high_s=0.5), "high_s must be at least low_s (1.0), got 0.5"),
        (lambda: ReconnectingWebSocket(cap_s=3.0), "cap_s must be at least high_s (5.0), got 3.0"),
        (lambda: EventSource("3s"), "reconnection_time_s must be a finite number, got '3s'"),
        (lambda: delay_s(Fixed(), -1, 0.5), "attempt must be whole and at least 0, got -1"),
        (lambda: delay_s(Fixed(), [1, -3], 0.5), "attempt must be whole and at least 0, got -3"),
        (lambda: delay_s(Fixed(), 0.5, 0.5), "attempt must be whole and at least 0, got 0.5"),
        (lambda: delay_s(Fixed(), 0, 1.0), "u must lie on [0, 1), got 1.0"),
        (lambda: delay_s(Fixed(), 0, math.nan), "u must lie on [0, 1), got nan"),
        (lambda: delay_s(Fixed(), 0, 0.5, -2.0), "previous_s must be at least 0, got -2.0"),
        (lambda: delay_s(Fixed(), 0, 0.5, 0.0, -0.1), "u_client must lie on [0, 1), got -0.1"),
        (lambda: delay_kernel(99, np.zeros(4), 0, 0.0, 0.0, 0.0), "no backoff rule has this code"),
    ],
)
def test_a_wrong_value_is_named_and_shown(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
