"""Servers that protect themselves turn away what is too much, at once and at no CPU; clients wait as they are asked."""

from __future__ import annotations

import re

import pytest

from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from tests.conftest import small


def storm(n: int, admission: dict, cohort: dict | None = None, **servers: object) -> Scenario:
    """All clients drop at 1 s, and try again every 10 s; no network, one server."""
    fields = {"name": "c", "count": n, "keepalive": None, "reconnect": {"policy": "fixed", "delay": "10s"}}
    return small(
        duration=60,
        clients=[fields | {"connect_timeout": "1s"} | (cohort or {})],
        servers={"profile": "zero", "admission": admission, **servers},
        faults=[{"at": "1s", "kind": "drop_clients", "cohort": "c"}],
    )


def back_s(results: Results) -> list[float]:
    """When clients were connected again, seconds."""
    return (results.trace.recovery[0] / 1e9).tolist()


# Known values, worked by hand.


def test_a_burst_gets_in_and_the_rest_is_throttled():
    """Ten at 11 s and a bucket of three, full again each time: three, three, three and one, 10 s apart."""
    results = simulate(storm(10, {"rate": "2/s", "burst": 3}))
    assert back_s(results) == [11.0] * 3 + [21.0] * 3 + [31.0] * 3 + [41.0]
    assert results.connections["throttled"] == 7 + 4 + 1
    assert results.connections["attempts"] == 22
    assert results.trace.servers["handshakes"].tolist() == [10]


def test_a_throttled_client_waits_as_asked_and_its_own_backoff_besides():
    results = simulate(storm(10, {"rate": "2/s", "burst": 3, "retry_after": "2s"}))
    assert back_s(results) == [11.0] * 3 + [23.0] * 3 + [35.0] * 3 + [47.0]


def test_a_semaphore_wastes_no_handshake():
    """Handshakes of 0.4 s and patience of 1 s: of five without it three were wasted at the first try alone."""
    without = simulate(storm(5, {}, costs={"handshake": "400ms"}))
    assert without.connections["wasted_handshakes"] == 4
    results = simulate(storm(5, {"concurrency": 2}, costs={"handshake": "400ms"}))
    assert back_s(results) == [11.4, 11.8, 21.4, 21.8, 31.4]
    assert results.connections["wasted_handshakes"] == results.connections["timeouts"] == 0
    assert results.connections["throttled"] == 3 + 1


def test_each_server_has_a_bucket_of_its_own():
    results = simulate(storm(10, {"rate": "0.1/s", "burst": 3}, count=2))
    assert back_s(results)[:6] == [11.0] * 6


def test_every_request_of_a_polling_handshake_takes_a_token():
    """A bucket of four is full again after 10 s; one of three never lets the upgrade through."""
    cohort = {"polling_handshake": True}
    assert back_s(simulate(storm(1, {"rate": "1/s", "burst": 4}, cohort))) == [11.0]
    assert back_s(simulate(storm(1, {"rate": "0.1/s", "burst": 3}, cohort))) == []


def test_polls_of_an_open_session_are_let_through():
    """A message a second ends a poll a second, and the server takes one handshake in a thousand seconds."""
    case = storm(1, {"rate": "0.001/s"}, {"transport": "long_polling"}).replace(
        faults=(), traffic=({"name": "t", "rate": 1},)
    )
    results = simulate(case)
    assert results.connections["throttled"] == 0
    assert results.deliveries.loc["total", "lost"] == 0
    assert results.connections["polls"] > 40


def test_throttled_attempts_are_a_rate_over_time_and_a_line_of_the_summary():
    results = simulate(storm(10, {"rate": "2/s", "burst": 3}))
    assert results.timeseries["throttled_per_s"].sum() == results.summary.loc["connections throttled", "value"] == 12
    assert results.timeseries["turned_away_per_s"].sum() == 12


def test_limits_know_the_rate():
    """The survivor of two has CPU for a thousand a second and lets in ten: fifty are accepted after 5 s."""
    case = storm(100, {"rate": "10/s", "burst": 20}, count=2, costs={"handshake": "1ms"})
    found = server_limits(case).storms[-1]
    assert (found.servers, found.accepted_per_s, found.accept_s) == (2, 10.0, 5.0)
    assert "servers.admission.rate of 10/s lets in 10 clients/s each" in found.arithmetic
    assert "throttles what comes beyond 20 requests at once" in found.note


# Errors.


@pytest.mark.parametrize(
    ("admission", "message"),
    [
        ({"burst": 5}, "servers.admission.burst must be left out where there is no rate"),
        ({"retry_after": "5s"}, "servers.admission.retry_after must be 0 where nobody is turned away"),
        ({"rate": 0}, "servers.admission.rate must be above 0"),
        ({"concurrency": 0}, "servers.admission.concurrency must be at least 1"),
        ({"rat": 3}, "servers.admission.rat"),
    ],
)
def test_a_wrong_protection_is_named(admission, message):
    with pytest.raises(ScenarioError, match=re.escape(message)):
        storm(1, admission)
