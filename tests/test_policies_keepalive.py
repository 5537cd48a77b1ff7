"""Keepalive notices a silent death from the timeout to one interval more, and says which idle timeouts it outlives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies.keepalive import (
    IDLE,
    REGISTRY,
    Keepalive,
    detection_delay_kernel,
    detection_delay_s,
    idle_check,
    survives_idle_timeout,
)

TIMES = st.floats(1e-3, 1e5)
DRAWS = st.floats(0, 1, exclude_max=True)


# Known values.


@pytest.mark.parametrize(
    ("name", "earliest_s", "latest_s"),
    [
        ("engineio", 20, 45),  # ping 25 s, timeout 20 s
        ("phoenix", 30, 60),  # heartbeat 30 s, the server's timeout is 60 s
        ("signalr", 15, 30),  # keepalive 15 s, the client's timeout is 30 s
        ("websockets", 20, 40),  # ping 20 s, timeout 20 s
        ("centrifugo", 8, 33),  # ping 25 s, pong timeout 8 s
    ],
)
def test_named_keepalives_notice_a_death_within_their_published_times(name, earliest_s, latest_s):
    policy = REGISTRY[name]
    assert detection_delay_s(policy, 0.0) == earliest_s
    assert policy.interval_s + policy.timeout_s == latest_s
    assert detection_delay_s(policy, 0.5) == (earliest_s + latest_s) / 2


def test_every_named_keepalive_is_checked_above():
    assert set(REGISTRY) == {"engineio", "phoenix", "signalr", "websockets", "centrifugo"}


@pytest.mark.parametrize(
    ("interval_s", "idle_timeout_s", "survives"),
    [
        (60.0, 60.0, False),  # Mattermost issue 8929: equal times race
        (60.0, 90.0, True),  # the same servers behind nginx with 90 s
        (25.0, 60.0, True),  # Socket.IO behind the default of nginx and AWS ALB
        (120.0, 100.0, False),  # behind Cloudflare's 100 s
    ],
)
def test_a_connection_outlives_only_a_longer_idle_timeout(interval_s, idle_timeout_s, survives):
    assert survives_idle_timeout(Keepalive(interval_s, 20.0), idle_timeout_s) is survives


def test_the_delay_follows_from_pings_at_fixed_times():
    """A peer dies at x after a ping: the next ping goes out interval - x later and is overdue timeout after that."""
    interval, timeout = 25.0, 20.0
    died = np.arange(0.5, 25.0, 0.5)
    noticed_after = (interval - died) + timeout
    drawn = detection_delay_s(Keepalive(interval, timeout), 1 - died / interval)
    assert np.max(np.abs(drawn - noticed_after)) < 1e-12


@pytest.mark.parametrize(
    ("now", "opened", "last", "interval", "u", "again"),
    [
        (60, 0, 0, 0, 0.0, IDLE),  # no pings, and nothing came
        (60, 0, 1, 0, 0.0, 61),  # a message came at 1
        (60, 0, 60, 0, 0.0, 120),  # one that comes at the very time still counts
        (60, 0, 90, 0, 0.0, 150),  # one is on its way
        (60, 0, 0, 25, 0.9, 110),  # the last ping came at 50
        (60, 0, 0, 60, 0.49, 120),  # ping and timeout race, and the ping wins
        (60, 0, 0, 60, 0.5, IDLE),  # and loses
        (60, 0, 10, 60, 0.5, 70),  # and does not matter
        (60, 0, 0, 70, 0.0, IDLE),  # pings are rarer
        (80, 0, 20, 70, 0.9, 130),  # and yet one came in time, at 70
        (40, -20, 0, 0, 0.0, IDLE),  # open before the run, and nothing came
        (40, -20, 0, 60, 0.5, IDLE),  # nor the ping at 40 in time
    ],
)
def test_a_proxy_drops_what_has_been_silent_for_its_timeout(now, opened, last, interval, u, again):
    """With a timeout of 60."""
    assert idle_check(now, opened, last, interval, 60, u) == again


# Properties and agreement.


@settings(deadline=None, max_examples=100)
@given(TIMES, TIMES, DRAWS)
def test_the_delay_lies_between_the_timeout_and_one_interval_more(interval_s, timeout_s, u):
    assert timeout_s <= detection_delay_s(Keepalive(interval_s, timeout_s), u) <= interval_s + timeout_s


@settings(deadline=None, max_examples=100)
@given(TIMES, TIMES, st.lists(DRAWS, min_size=1, max_size=10))
def test_arrays_and_the_compiled_function_agree_with_scalars(interval_s, timeout_s, draws):
    policy = Keepalive(interval_s, timeout_s)
    scalars = [detection_delay_s(policy, u) for u in draws]
    assert detection_delay_s(policy, draws).tolist() == scalars
    assert [detection_delay_kernel(interval_s, timeout_s, u) for u in draws] == scalars


@given(st.integers(1, 1_000), st.integers(0, 500), st.integers(1, 300), st.integers(1, 300), st.floats(0, 0.999))
def test_a_proxy_drops_nothing_that_is_pinged_more_often_than_its_timeout(now, last, interval, more, u):
    assert idle_check(now, 0, last, interval, interval + more, u) > now


# Errors.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Keepalive(0.0, 20.0), "interval_s must be positive, got 0.0"),
        (lambda: Keepalive(20.0, -1), "timeout_s must be positive, got -1"),
        (lambda: Keepalive(20.0, math.inf), "timeout_s must be a finite number, got inf"),
        (lambda: detection_delay_s(REGISTRY["phoenix"], 1.0), "u must lie on [0, 1), got 1.0"),
        (lambda: survives_idle_timeout(REGISTRY["phoenix"], 0), "idle_timeout_s must be positive, got 0"),
    ],
)
def test_a_wrong_value_is_named_and_shown(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
