"""`simulate` checks its arguments, reports progress, and takes an engine by name."""

from __future__ import annotations

import pytest

from realtime_sim.engines import find_engine
from realtime_sim.errors import ScenarioError, UnsupportedFeature
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import engine_for, expected_deliveries, simulate


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


@pytest.mark.parametrize("pick", ["uniform", "by_size"])
@pytest.mark.parametrize("echo", [True, False])
def test_expected_deliveries_are_those_of_the_run(pick, echo):
    """Sizes 48, 24, 16 and 12: 25 members on average, 32.3 of a room that is picked by its size."""
    case = small(
        duration=100,
        clients=[{"name": "c", "count": 100}],
        rooms=[{"name": "r", "count": 4, "members": 25, "zipf": 1}],
        traffic=[{"name": "t", "to": "r", "rate": 20, "pick": pick, "echo": echo, "from": "clients"}],
        servers={"profile": "zero"},
        warmup=0,
    )
    mean = {"uniform": 25, "by_size": (48**2 + 24**2 + 16**2 + 12**2) / 100}[pick] - (not echo)
    assert expected_deliveries(case) == pytest.approx(2_000 * mean)
    # 2,000 publishes by a Poisson process, to rooms whose size varies by 15 at most: 5 standard errors.
    error = 5 * (mean**2 + 15**2) ** 0.5 / 2_000**0.5 / mean
    assert simulate(case).deliveries.loc["total", "expected"] == pytest.approx(2_000 * mean, rel=error)


def test_progress_goes_from_nothing_to_all_over_all_replications():
    seen: list[float] = []
    simulate(small(), replications=2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0 and min(seen) < 0.1


def test_auto_names_its_engine_and_the_reason():
    results = simulate(small())
    assert (results.engine, results.reason) == ("reference", "fast enough for a small run")
    assert (
        find_engine("auto", 2_000_001)[:2]
        == find_engine("auto", 0, 30_001)[:2]
        == ("fast", "compiled, for a large run")
    )
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
        (
            {
                "clients": [{"name": "c", "count": 200_000}],
                "rooms": [{"name": "r", "count": 10_000, "members": 100, "zipf": 2}],
                "traffic": [{"name": "t", "to": "r", "rate": 300, "pick": "by_size"}],
            },
            "traffic (more than 50_000_000 deliveries: ",  # 150_000 to rooms of mean size
        ),
        (
            {"rooms": [{"name": "r", "count": 2_000_000, "members": 1}], "traffic": []},
            "rooms (more than 1_000_000 of them: 2_000_000)",
        ),
        (
            {
                "clients": [{"name": "c", "count": 200_000}],
                "rooms": [{"name": g, "per_user": True} for g in "abcdef"],
                "traffic": [],
            },
            "rooms (more than 1_000_000 of them: 1_200_000)",
        ),
        (
            {
                "clients": [{"name": "c", "count": 200_000}],
                "rooms": [{"name": "r", "count": 900, "members": 100_000}],
                "traffic": [],
            },
            "rooms (more than 20_000_000 memberships: 90_000_000)",
        ),
        ({"traffic": [{"name": "all", "rate": 1e7}]}, "traffic (more than 50_000_000 deliveries: 500_000_000)"),
    ],
)
def test_what_is_too_large_for_the_engine_is_refused_at_once(changes, message):
    with pytest.raises(UnsupportedFeature) as caught:
        simulate(small(**changes), engine="reference")
    text = str(caught.value)
    assert text.startswith(message) and " is not supported by engine 'reference'; scale the scenario down" in text


@pytest.mark.parametrize(
    ("changes", "replications", "message"),
    [
        ({"sample_interval": "0.1ms"}, 1, "at most 200_000 samples (here: 350_000)"),
        ({"drain": 1e9}, 1, "at most 200_000 samples (here: 1_000_000_005)"),
        ({"sample_interval": "5ms"}, 1_000, "at most 5_000_000 samples times servers (here: 7_000_000)"),
        (
            {"sample_interval": "10ms", "servers": {"count": 10_000}},
            1,
            "at most 5_000_000 samples times servers (here: 35_000_000)",
        ),
    ],
)
def test_more_samples_than_memory_holds_are_refused_at_once(changes, replications, message):
    with pytest.raises(ScenarioError) as caught:
        simulate(small(**changes), replications=replications)
    assert str(caught.value).startswith(f"sample_interval must give {message}, got ")
    assert str(caught.value).endswith("; lengthen it, or shorten duration, drain or the number of replications")


def test_something_else_than_a_scenario_is_refused():
    with pytest.raises(ScenarioError, match="scenario must be a Scenario, got 'dict'; make one with Scenario"):
        simulate({"name": "x"})


@pytest.mark.parametrize(
    ("fault", "engine"),
    [
        ({"kind": "drop_clients", "at": 1, "cohort": "c", "share": 0.5}, "reference"),
        ({"kind": "drop_clients", "at": 1, "cohort": "c"}, "fast"),
        ({"kind": "kill_server", "at": 1, "server": 0}, "reference"),
        ({"kind": "kill_server", "at": 1, "server": 0, "count": 4}, "fast"),
    ],
)
def test_auto_takes_the_compiled_engine_for_a_storm_of_ten_thousand(fault, engine):
    """Nothing is published, so deliveries say nothing of the work; retries do."""
    storm = small(clients=[{"name": "c", "count": 10_000}], servers={"count": 4}, rooms=[], traffic=[], faults=[fault])
    assert engine_for(storm)[0] == engine
