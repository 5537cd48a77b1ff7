"""`simulate` checks its arguments, reports progress, and takes an engine by name."""

from __future__ import annotations

import pytest

from realtime_sim.engines import find_engine
from realtime_sim.errors import ScenarioError, UnsupportedFeature
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import expected_deliveries, simulate


def small(**changes: object) -> Scenario:
    return Scenario(
        **{
            "name": "small",
            "duration": 5,
            "clients": [{"name": "c", "count": 10}],
            "rooms": [{"name": "r", "count": 5, "members": 4}, {"name": "own", "per_user": True}],
            "traffic": [
                {"name": "all", "rate": 2},
                {"name": "r", "to": "r", "rate": 3},
                {"name": "o", "to": "own", "rate": 7},
            ],
        }
        | changes
    )


def test_expected_deliveries_count_publishes_times_members():
    """5 s: 2/s to ten, 3/s to four, 7/s to one: 100 + 60 + 35."""
    assert expected_deliveries(small()) == 195


def test_progress_goes_from_nothing_to_all_over_all_replications():
    seen: list[float] = []
    simulate(small(), replications=2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0 and min(seen) < 0.1


def test_auto_names_its_engine_and_the_reason():
    results = simulate(small())
    assert (results.engine, results.reason) == ("reference", "the only engine")
    assert find_engine("reference")[1] == "asked for"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"engine": "referense"}, "engine must be a known engine, got 'referense'; did you mean 'reference'?"),
        ({"replications": 0}, "replications must be a whole number from 1 to 10_000, got 0; use 1"),
        ({"replications": True}, "replications must be a whole number"),
        ({"replications": 2.5}, "replications must be a whole number"),
        ({"record": "everything"}, "record must be a level of recording, got 'everything'; known names: full, summary"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ScenarioError) as caught:
        simulate(small(), **arguments)
    assert str(caught.value).startswith(message)


def test_recording_everything_is_refused_above_its_limit():
    case = small(traffic=[{"name": "all", "rate": 5e4}])
    with pytest.raises(ScenarioError, match="record must be 'summary' above 2_000_000 deliveries"):
        simulate(case, record="full")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"clients": [{"name": "c", "count": 1_000_000}]}, "clients (more than 200_000 of them: 1_000_000)"),
        ({"traffic": [{"name": "all", "rate": 1e7}]}, "traffic (more than 50_000_000 deliveries: 500_000_000)"),
    ],
)
def test_what_is_too_large_for_the_engine_is_refused_at_once(changes, message):
    with pytest.raises(UnsupportedFeature) as caught:
        simulate(small(**changes))
    assert str(caught.value).startswith(f"{message} is not supported by engine 'reference'; scale the scenario down")


def test_something_else_than_a_scenario_is_refused():
    with pytest.raises(ScenarioError, match="scenario must be a Scenario, got 'dict'; make one with Scenario"):
        simulate({"name": "x"})
