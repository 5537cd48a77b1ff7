"""The three transports are what their specifications say, and nobody can change them by accident."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import wire
from realtime_sim.policies import backoff
from realtime_sim.transports import TRANSPORTS, handshake_round_trips

# Known values.


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        # RFC 6455 §1.1: two-way communication over one connection; it knows no resumption.
        ("websocket", {"bidirectional": True, "resumes": False, "request_per_message": False, "poll_hold_s": 0}),
        # HTML §9.2.3: one-way, Last-Event-ID after a reconnection.
        ("sse", {"bidirectional": False, "resumes": True, "request_per_message": False, "poll_hold_s": 0}),
        # RFC 6202 §2.1: each answer ends a request; §5.5: 30 seconds is a safe time to hold one.
        ("long_polling", {"bidirectional": False, "resumes": False, "request_per_message": True, "poll_hold_s": 30}),
    ],
)
def test_each_transport_can_do_what_its_specification_says(name, facts):
    known = dataclasses.asdict(TRANSPORTS[name])
    assert {key: known[key] for key in facts} == facts


def test_browsers_open_six_connections_to_an_origin_over_http_1_but_more_websockets():
    """MDN, EventSource: six per browser and domain over HTTP/1.1. WebSockets do not count among them."""
    limits = {name: transport.max_per_browser_http1 for name, transport in TRANSPORTS.items()}
    assert limits == {"websocket": None, "sse": 6, "long_polling": 6}


@pytest.mark.parametrize(
    ("tls", "n_requests", "round_trips"),
    [
        (False, 1, 2),  # SYN and SYN-ACK (RFC 9293 §3.5), then request and answer
        (True, 1, 3),  # and one for TLS 1.3 (RFC 8446 §2, figure 1)
        (True, 4, 6),  # Socket.IO's usual start: three polls, then the upgrade
        (True, 0, 2),
    ],
)
def test_a_handshake_takes_one_round_trip_for_each_answer_it_waits_for(tls, n_requests, round_trips):
    assert handshake_round_trips(tls, n_requests) == round_trips


# Properties and agreement.


@given(st.booleans(), st.integers(0, 100))
def test_each_request_and_tls_take_one_round_trip_more(tls, n_requests):
    assert handshake_round_trips(tls, n_requests + 1) == handshake_round_trips(tls, n_requests) + 1
    assert handshake_round_trips(True, n_requests) == handshake_round_trips(False, n_requests) + 1


@pytest.mark.parametrize("name", ["websocket", "sse", "long_polling"])
def test_every_transport_is_known_under_its_own_name_to_backoff_and_wire(name):
    assert len(TRANSPORTS) == 3
    assert TRANSPORTS[name].name == name
    assert TRANSPORTS[name].reconnect_policy in backoff.REGISTRY
    assert wire.message_bytes(name, 1) > 1


def test_an_event_source_returns_after_the_three_seconds_of_chrome():
    """HTML §9.2.2 leaves the reconnection time to the browser, "probably in the region of a few seconds"."""
    policy = backoff.REGISTRY[TRANSPORTS["sse"].reconnect_policy]()
    assert backoff.delay_s(policy, 0, u=0.5) == 3.0


def test_only_polls_are_held():
    for transport in TRANSPORTS.values():
        assert (transport.poll_hold_s > 0) == transport.request_per_message


# Errors.


def test_the_table_and_its_rows_are_read_only():
    with pytest.raises(TypeError, match="does not support item assignment"):
        TRANSPORTS["sse"] = TRANSPORTS["websocket"]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'resumes'"):
        TRANSPORTS["websocket"].resumes = True
