"""`choose_transport` ranks by its written rule, and every number behind it can be worked out by hand."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.choose import choose_transport
from realtime_sim.errors import ScenarioError
from realtime_sim.limits.load import Load
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate


def by_name(**needs):
    return {one.name: one for one in choose_transport(**needs).ranked}


def test_numbers_of_long_polling_are_those_of_rfc_6202():
    """Half of 100 ms, and up to three halves; at one message a second a poll after a gap and 0.90 s of waiting."""
    polls = by_name(rtt="100ms", messages_per_s=1)["long_polling"]
    assert polls.max_latency_s == pytest.approx(0.150)
    gap_s = 0.1 + 415e-6  # the work of a request comes on top of the round trip
    assert polls.requests_per_s == pytest.approx(1 / (gap_s + math.exp(-gap_s)))
    assert 0.050 < polls.mean_latency_s < 0.060


def polling(rate: float, rtt: str) -> Scenario:
    """Four long-polling clients with a stream of their own each."""
    clients = [{"name": "c", "count": 4, "transport": "long_polling", "network": {"rtt": rtt}}]
    return Scenario(
        name="polls", duration=200, clients=clients, servers={"costs": {"wakeup": 0}}, broker={"kind": "redis_pubsub"},
        rooms=[{"name": "own", "per_user": True}], traffic=[{"name": "t", "to": "own", "rate": 4 * rate}],
    )  # fmt: skip


@pytest.mark.parametrize("rate, rtt, measured", [(10, "50ms", 9.1), (50, "50ms", 19.2), (10, "100ms", 7.3)])
def test_polls_are_those_of_the_simulator_and_of_the_limits(rate, rtt, measured):
    """A poll that finds something is answered at once. The time between two polls spreads by at most 0.83 of its mean,
    and there are at least 5,800 of them: 5.5 % is 5 standard errors."""
    found = by_name(messages_per_s=rate, rtt=rtt)["long_polling"].requests_per_s
    assert found == pytest.approx(measured, abs=0.1)
    assert simulate(polling(rate, rtt)).connections["polls"] / 800 == pytest.approx(found, rel=0.055)
    assert Load(polling(rate, rtt)).requests == pytest.approx(4 * found, rel=1e-12)


def test_a_transport_that_streams_takes_half_a_round_trip():
    for name in ("websocket", "sse"):
        assert by_name(rtt="80ms")[name].mean_latency_s == 0.040
        assert by_name(rtt="80ms")[name].connect_s == pytest.approx(0.240)  # TCP, TLS, HTTP


@pytest.mark.parametrize(
    "needs, best, broken",
    [
        ({"direction": "both", "client_messages_per_s": 1}, "websocket", ()),
        ({"needs_resume": True, "http_version": "2"}, "sse", ()),
        ({"tabs_per_browser": 6}, "websocket", ("sse", "long_polling")),
        ({"buffering_proxies": True}, "websocket", ("sse",)),
        ({"buffering_proxies": True, "proxies_block_upgrade": True}, "long_polling", ("sse", "websocket")),
    ],
)
def test_needs_decide(needs, best, broken):
    choice = choose_transport(**needs)
    assert choice.best.name == best
    assert {one.name for one in choice.ranked if not one.suitable} == set(broken)


@given(st.floats(0, 100), st.floats(0, 10), st.integers(1, 20), st.booleans(), st.booleans())
def test_what_breaks_a_requirement_never_comes_before_what_breaks_none(rate, up, tabs, buffering, blocking):
    choice = choose_transport(
        messages_per_s=rate, client_messages_per_s=up, tabs_per_browser=tabs,
        buffering_proxies=buffering, proxies_block_upgrade=blocking,
    )  # fmt: skip
    counts = [len(one.broken) for one in choice.ranked]
    assert counts == sorted(counts) and len(counts) == 3
    assert all(one.advantages for one in choice.ranked)


def test_every_wrong_argument_is_reported_at_once():
    with pytest.raises(ScenarioError) as caught:
        choose_transport(direction="up", http_version="3", payload="-1B", tabs_per_browser=0, mobile="yes")
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["direction", "http_version", "payload", "tabs_per_browser", "mobile"]
    assert "direction must be one of server_to_client, both, got 'up'" in str(caught.value)


def test_a_choice_shows_itself():
    choice = choose_transport(messages_per_s=2)
    assert str(choice).splitlines()[1].startswith("1. sse")
    assert choice.to_plain()["best"] == "sse"
    assert list(choice.frame.index) == [one.name for one in choice.ranked]
    assert "<pre>" in choice._repr_html_()


@pytest.mark.parametrize(
    "needs, first, second",
    [
        (
            {},
            "sse before websocket: the simpler one",
            "websocket before long_polling: server CPU for each client, 0.0022%",
        ),
        (
            {"client_messages_per_s": 1},
            "websocket before sse: one connection for both directions",
            "sse before long_polling: server CPU",
        ),
        (
            {"messages_per_s": 50, "rtt": "100ms"},
            "sse before websocket: the simpler one",
            "websocket before long_polling: mean latency, 50.0 ms against 99.9 ms, in steps of 10 ms",
        ),
        (
            {"buffering_proxies": True},
            "websocket before long_polling: server CPU",
            "long_polling before sse: fewer broken requirements, 0 against 1",
        ),
    ],
)
def test_the_ranking_says_what_decided(needs, first, second):
    choice = choose_transport(**needs)
    assert choice.decided_by[0].startswith(first) and choice.decided_by[1].startswith(second)
    assert choice.to_plain()["decided_by"] == list(choice.decided_by)
    lines = str(choice).splitlines()
    assert lines[lines.index("decided by") + 1 :][:2] == [f"  {text}" for text in choice.decided_by]


def test_clients_that_send_make_the_direction_both():
    """5 messages a second from each client are so many requests more where there is no way back."""
    told = choose_transport(direction="both", client_messages_per_s=5)
    inferred = choose_transport(client_messages_per_s=5)
    assert inferred.ranked == told.ranked and told.notes == ()
    assert inferred.notes == ("clients send 5/s each, so the direction is taken as both",)
    against = {one.name: one.drawbacks for one in inferred.ranked}
    for name in ("sse", "long_polling"):
        assert "clients send by separate POST requests, 5/s each" in against[name]
    assert not any("POST" in text for text in against["websocket"])
    silent = choose_transport(direction="both")
    assert silent.notes == ("clients send, but nobody said how often: give client_messages_per_s to count it",)


def test_a_round_trip_of_seconds_is_asked_about():
    assert choose_transport(rtt=5).notes == ()
    choice = choose_transport(rtt=50)
    assert choice.notes == ("a round trip of 50 s is hardly possible: did you mean 50ms?",)
    assert "Note: a round trip of 50 s" in str(choice) and choice.to_plain()["notes"] == list(choice.notes)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.integers(0, 10**9), st.floats(0, 1e4))
def test_columns_never_collide(rate, up, payload, rtt):
    choice = choose_transport(messages_per_s=rate, client_messages_per_s=up, payload=payload, rtt=rtt)
    table = str(choice).split("\n\n")[0].splitlines()
    assert len({len(line) for line in table}) == 1
    assert all(len(re.split(r" {2,}", line.strip())) == 7 for line in table)


def test_an_unknown_profile_is_reported_with_the_others():
    with pytest.raises(ScenarioError) as caught:
        choose_transport(direction="up", profile="websocket-asyncio")
    assert [problem.path for problem in caught.value.problems] == ["direction", "profile"]
    assert "did you mean 'websockets-asyncio'?" in str(caught.value)


def test_the_profile_is_what_cpu_costs():
    assert by_name(profile="centrifugo")["sse"].server_cpu_ratio == pytest.approx(64e-6)
