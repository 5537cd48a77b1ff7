"""A proxy has more patience than pings and polls ask for, and its words are those of the product."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.policies import balancing
from realtime_sim.proxies import (
    HAPROXY_POLICIES,
    LONGEST_S,
    NGINX_POLICIES,
    Timeouts,
    haproxy_defaults,
    milliseconds,
    nginx_proxying,
    patience_s,
    silence_s,
)
from realtime_sim.scenario import Scenario
from realtime_sim.transports import TRANSPORTS
from tests.conftest import small
from tests.strategies import scenarios


@pytest.mark.parametrize(
    ("change", "transport", "expected_s"),
    [
        ({}, "websocket", 60),  # pings of 20 + 20 s: 60 s
        ({"keepalive": "engineio"}, "websocket", 67.5),  # 1.5 x (25 + 20)
        ({"keepalive": {"interval": "60s", "timeout": "20s"}}, "websocket", 120),
        ({"keepalive": {"interval": "5s", "timeout": "5s"}}, "websocket", 60),  # no less than proxies usually wait
        ({"keepalive": None}, "websocket", 1_500),
        ({"keepalive": {"interval": "60s", "timeout": "20s"}}, "sse", 60),  # of another transport
        ({"transport": "long_polling", "keepalive": {"interval": "5s", "timeout": "5s"}}, "long_polling", 60),
        ({"keepalive": {"interval": "100000h", "timeout": "1s"}}, "websocket", LONGEST_S),
    ],
)
def test_known_patience(change, transport, expected_s):
    case = small(clients=[{"name": "c", "count": 1} | change])
    assert patience_s(case, transport, 1_000.0) == expected_s


def test_the_longest_silence_of_several_cohorts_counts():
    slow = {"name": "slow", "count": 1, "keepalive": {"interval": "80s", "timeout": "10s"}}
    case = small(clients=[{"name": "quick", "count": 1}, slow])
    assert [silence_s(cohort, 0.0) for cohort in case.clients] == [40, 90]
    assert patience_s(case, "websocket", 0.0) == 135


@given(scenarios(), st.sampled_from(sorted(TRANSPORTS)), st.floats(0, 1e5))
def test_nobody_who_is_well_is_dropped(drawn, transport, unpinged_s):
    case = Scenario(**drawn)
    found = patience_s(case, transport, unpinged_s)
    assert found > TRANSPORTS[transport].poll_hold_s
    for cohort in case.clients:
        if cohort.transport == transport:
            assert found > silence_s(cohort, unpinged_s)


@given(st.floats(1e-9, 1e6))
def test_a_time_is_never_written_as_0_nor_shortened(seconds):
    assert milliseconds(seconds) >= max(1, seconds * 1_000)


def test_every_policy_has_a_word_in_both_products():
    assert set(NGINX_POLICIES) == set(HAPROXY_POLICIES) == set(balancing.REGISTRY)


def test_timeouts_stand_where_the_products_look_for_them():
    lines = haproxy_defaults(Timeouts(70.0, 80.0, 65.0, 1.0))
    assert {"timeout tunnel 70000ms", "timeout client 80000ms", "timeout server 65000ms"} <= set(lines)
    assert "proxy_read_timeout 65000ms; proxy_send_timeout 65000ms; send_timeout 65000ms;" in nginx_proxying(65.0)
