"""What a scenario says of services is checked as a whole; the rate of what they publish follows from their events."""

from __future__ import annotations

import math

import pytest

from realtime_sim import simulate
from realtime_sim.errors import ScenarioError, UnsupportedFeature
from realtime_sim.limits import server_limits
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.services import Service, flow_of
from realtime_sim.simulation import expected_deliveries
from realtime_sim.workload import draw_workload
from tests.conftest import small

GOOD = """
name: orders
duration: 60s
clients: [{name: buyers, count: 100}, {name: admins, count: 5}]
rooms: [{name: inbox, per_user: true, cohort: buyers}]
events: [{name: order, rate: 50/s, start: 5s, stop: 25s}]
pipeline: {coupling: direct, timeout: 2s}
services:
  - {name: mail, consumes: order, service: {mean: 10ms}, p_failure: 0.5, retries: 1}
  - {name: numbers, consumes: order, service: 5ms}
traffic:
  - {name: push, to: inbox, from: mail}
  - {name: board, from: numbers, every: 1s}
  - {name: news, rate: 2/s}
faults: [{at: 30s, kind: stop_service, service: mail, lasts: 5s}]
"""

BROKEN = [
    ("services.mail.consumes", "oder", "services[0].consumes must be an event, got 'oder'; did you mean 'order'?"),
    ("services.mail.name", "numbers", "services[1].name must be unique, got 'numbers'; rename one of them"),
    ("services.mail.name", "buyers", "services[0].name must not be 'backend', 'clients' or a cohort"),
    ("services.mail.service", -1, "services[0].service"),
    ("services.mail.servise", 1, "services[0].servise is not a known field, got 1; did you mean 'service'?"),
    ("services.mail.replicas", 0, "services[0].replicas must be at least 1, got 0"),
    ("services.mail.replicas", 20_000, "services[0].replicas must be at most 10_000, got 20000; simulate a part"),
    ("services.mail", {"name": "m", "consumes": "order", "service": 1, "replicas": 200, "workers": 200},
     "services[0].workers must give at most 10_000 workers with replicas, got 200"),
    ("services.mail.retries", 10**6, "services[0].retries must be at most 1_000, got 1000000; a retry without end"),
    ("services.mail.p_failure", 2, "services[0].p_failure must be at most 1, got 2"),
    ("events.order.rate", 0, "events[0].rate must be above 0, got 0"),
    ("events.order.stop", "1s", "events[0].stop must be after start, got '1s'"),
    ("events.order.start", "2min", "events[0].start must be before the end of the run, got '2min'; start earlier"),
    ("events.order.start", "2min", "events[0].stop must be after start"),
    ("pipeline.coupling", "buss", "pipeline.coupling must be one of bus, direct, got 'buss'; did you mean 'bus'?"),
    ("pipeline.timeout", 0, "pipeline.timeout must be above 0, got 0"),
    ("pipeline.workrs", 3, "pipeline.workrs is not a known field, got 3; did you mean 'workers'?"),
    ("traffic.push.from", "male", "traffic[0].from must be 'backend', 'clients', a cohort or a service, got 'male'"),
    ("traffic.push.rate", "5/s", "traffic[0].rate must be left out where `from` names a service, got '5/s'; remove it"),
    ("traffic.push.arrivals", "constant", "traffic[0].arrivals must be left out where `from` names a service"),
    ("traffic.push.start", "1s", "traffic[0].start must be left out where `from` names a service"),
    ("traffic.push.stop", "1s", "traffic[0].stop must be left out where `from` names a service"),
    ("traffic.news.every", "1s", "traffic[2].every must be left out unless `from` names a service, got '1s'"),
    ("traffic.news.rate", None, "traffic[2].rate must be given"),
    ("traffic.push.from", "backend", "traffic[0].rate must be given"),
    ("faults[0].service", "mial", "faults[0].service must be a service, got 'mial'; did you mean 'mail'?"),
    ("faults[0].lasts", 0, "faults[0].lasts must be above 0, got 0"),
    ("faults[0].kind", "stop_servic", "faults[0] must have a known kind"),
]  # fmt: skip


def good(**changes: object) -> Scenario:
    return Scenario.from_yaml(GOOD).replace(**changes)


@pytest.mark.parametrize("path, value, message", BROKEN, ids=[f"{i}-{row[0]}" for i, row in enumerate(BROKEN)])
def test_a_wrong_value_is_named_with_its_rule_and_the_next_step(path, value, message):
    with pytest.raises(ScenarioError) as caught:
        good(**{path: value})
    assert message in str(caught.value)


def test_a_wrong_field_hides_no_rule_between_the_others():
    with pytest.raises(ScenarioError) as caught:
        good(**{"seed": -1, "services.mail.consumes": "oder", "traffic.news.rate": None})
    assert [problem.path for problem in caught.value.problems] == ["seed", "services[0].consumes", "traffic[2].rate"]


def test_it_is_written_as_it_was_read():
    assert Scenario.from_yaml(good().to_yaml()) == good()
    assert "lasts: 5s" in good().to_yaml()


def test_a_stream_of_a_service_flows_as_its_event_does():
    """50 a second from 5 to 25 s; a quarter are dead letters; the dashboard hears once a second."""
    case = good()
    push, board, news = (flow_of(case, stream) for stream in case.traffic)
    assert push == pytest.approx((50 * (1 - 0.5**2), 5, 25))
    assert board == pytest.approx((-math.expm1(-50), 5, 25))
    assert news == (2, 0, 60)
    constant = good(**{"events.order.rate": "30/min", "events.order.arrivals": "constant"})
    assert constant.flow(constant.traffic[1]).rate == 0.5


def test_a_service_that_cannot_keep_up_publishes_what_it_manages():
    slow = good(**{"services.numbers.service": "50ms", "traffic.board.every": None})
    assert slow.flow(slow.traffic[1]).rate == pytest.approx(20)


def test_the_time_an_event_holds_a_worker_counts_retries():
    """One attempt, a retry in half the cases, a second one in a quarter; 100 ms before each."""
    fields = {"name": "x", "consumes": "e", "service": "10ms", "p_failure": 0.5, "retries": 2, "retry_delay": "100ms"}
    assert Service(**fields).held_s == pytest.approx(1.75 * 0.01 + 0.75 * 0.1)
    assert Service(**fields | {"p_failure": 1}).held_s == pytest.approx(3 * 0.01 + 2 * 0.1)


def test_planning_reads_the_rate_that_follows_from_the_events():
    """Deliveries expected, and the load that `limits` sees: as of backend streams with the rates written out."""
    case = good(faults=[])
    written = [
        {"name": "push", "to": "inbox", "rate": 37.5, "start": 5, "stop": 25},
        {"name": "board", "rate": -math.expm1(-50), "start": 5, "stop": 25}, {"name": "news", "rate": 2},
    ]  # fmt: skip
    plain = good(faults=[], events=[], services=[], traffic=written)
    assert expected_deliveries(case) == pytest.approx(37.5 * 20 + 20 * 105 + 2 * 60 * 105)
    assert expected_deliveries(case) == pytest.approx(expected_deliveries(plain))
    first, second = (server_limits(one).to_plain() for one in (case, plain))
    assert first["rows"] == second["rows"] and first["rows"]


def test_too_many_events_are_refused_at_once():
    with pytest.raises(UnsupportedFeature, match=r"events \(more than 5_000_000 for all services together: 40_000_000"):
        simulate(good(**{"events.order.rate": 1_000_000}))


def test_too_many_publishes_are_counted_by_their_flow():
    big = good(**{"events.order.rate": 1e8, "services.mail.service": 0})
    with pytest.raises(ScenarioError, match="must give at most 50_000_000 publishes in all"):
        draw_workload(big)


def test_where_there_is_none_to_name_the_step_is_to_add_one():
    """The known names of an empty list would be none at all."""
    with pytest.raises(ScenarioError) as caught:
        small(faults=[{"at": 1, "kind": "stop_service", "service": "mail", "lasts": 1}])
    assert str(caught.value) == (
        "faults[0].service must be a service, got 'mail'; there is none: add it under services"
    )
    with pytest.raises(ScenarioError) as caught:
        small(services=[{"name": "mail", "consumes": "order", "service": 0}])
    assert str(caught.value).endswith("must be an event, got 'order'; there is none: add it under events")
