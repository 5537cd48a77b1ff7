"""`teaching` of outages, stickiness and storms: each wrong idea is told from the others, and every right way passes."""

from __future__ import annotations

import pytest

from realtime_sim import teaching

AGE = {"servers.connection_age": {"low": "1min", "high": "2min"}}
NO_COOKIE = {"balancer.affinity": "none"}
NO_POLLS = {"clients.users.polling_handshake": False}
REBALANCE = {"faults": [{"at": "70s", "kind": "rebalance", "rate": "5/s"}]}


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (4 * 5 * 100 + 50 * 25, "nobody is connected to it yet"),
        (4 * 7 * 100, "the log is too short"),
        (4 * 7 * 100 + 80 * 25, "get what the log still holds"),
        (50 * 25, "what never reached the broker is in no log"),
        (4 * 7 * 100 + 50 * 100, "only the readers of the server that died"),
        (4_051, "reckon each accident for itself"),
    ],
)
def test_each_way_to_miscount_an_outage_has_its_own_hint(answer, hint):
    """Worked by hand: 4 messages a second, 5 s and 2 s more for 100 readers; 20 s for 25 readers, and a log of 30."""
    verdict = teaching.check("outage", answer)
    assert not verdict.passed and hint in verdict.text


@pytest.mark.parametrize("answer", [4 * 7 * 100 + (4 * 20 - 30) * 25, "4_050", 4050.0])
def test_the_right_count_passes_however_it_is_written(answer):
    assert teaching.check("outage", answer).passed


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (AGE, "where do their cookies lead"),
        (NO_COOKIE, "0% of an even share: nobody moves"),
        (NO_COOKIE | AGE, "session is unknown: the handshake takes four requests"),
        ({"servers.count": 4}, "as many as they were"),
    ],
)
def test_a_server_that_idles_still_is_told_why(answer, hint):
    verdict = teaching.check("stickiness", answer)
    assert not verdict.passed and hint in verdict.text


@pytest.mark.parametrize("move", [AGE, REBALANCE], ids=["age", "rebalance"])
def test_both_ways_to_move_connections_pass(move):
    assert teaching.check("stickiness", NO_COOKIE | NO_POLLS | move).passed


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ("socketio", "Over how many seconds"),
        ("signalr", "gave up for good"),
        ({"policy": "full_jitter", "base": "40s", "cap": "40s"}, "servers have nothing to do for a while"),
        ("sockettio", "policies['yours'].policy must be a known policy"),
    ],
)
def test_a_backoff_that_is_not_good_enough_is_told_why(answer, hint):
    verdict = teaching.check("storm", answer)
    assert not verdict.passed and hint in verdict.text


@pytest.mark.parametrize("base", ["25s", "29s"])
def test_a_base_between_the_least_time_and_the_promise_passes(base):
    """20,000 clients at 800 handshakes a second take 25 s at least; promised are 30 s."""
    assert teaching.check("storm", {"policy": "full_jitter", "base": base, "cap": base}).passed
