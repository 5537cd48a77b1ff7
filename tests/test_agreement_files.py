"""Files that are no runs, or are cut short: `compare` names them, and says what they hold."""

from __future__ import annotations

import json
import math
import re
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sim import compare
from realtime_sim.agreement import compare_json
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import server_limits
from realtime_sim.planning import plan
from realtime_sim.simulation import simulate
from realtime_sim.sweeps import sweep
from tests.compared import DYING, base, noisy, ticking
from tests.conftest import as_live

READ = ("scenario", "engine", "replications", "summary", "hops_s", "recovery")
"""What is read of the JSON of a simulated run."""


@cache
def run_json() -> str:
    """The JSON of a run, as far as it is read."""
    plain = simulate(noisy(**DYING)).to_plain()
    return json.dumps({key: plain[key] for key in READ}, indent=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be a file that can be read, got 'No such file or directory'; give a file that `realtime-sim"),
        ("{]}", "must be JSON, got 'Expecting property name"),
        ("", "must be JSON to its end, and is cut short, got 'Expecting value: line 1"),
        ("[1, 2]", "must hold one run, got 'a list of 2'; give the runs as two files"),
        ("3", "must be the JSON of a run, got 3"),
        ('{"scenario": {}}', "scenario: name must be given"),
        ('{"engine": "x"}', "must be the JSON of a run, got \"no 'scenario'\""),
        ('{"scenario": 3}', "must be the JSON of a run, got "),
    ],
)
def test_a_file_that_is_no_run_is_one_clear_message(text, message, tmp_path):
    path, good = tmp_path / "bad.json", tmp_path / "good.json"
    simulate(ticking()).to_json(good)
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        compare_json(good, path)
    assert message in str(error.value) and str(path) in str(error.value)


@given(data=st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_a_file_of_a_run_ends_early_the_message_names_it(data, tmp_path):
    path, good = tmp_path / "cut.json", tmp_path / "good.json"
    good.write_text(run_json())
    path.write_text(run_json()[: data.draw(st.integers(0, len(run_json().rstrip()) - 1))])
    with pytest.raises(ScenarioError) as error:
        compare_json(good, path)
    told = rf"^{re.escape(str(path))} must be JSON( to its end, and is cut short)?, got .+; give a file that "
    assert re.match(told, str(error.value)), str(error.value)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_with_something_else_in_one_place_is_compared_or_refused_by_its_name(data, tmp_path):
    """A number, a text, a list, a mapping or nothing where a run has something else."""
    path, good = tmp_path / "other.json", tmp_path / "good.json"
    good.write_text(run_json())
    plain = node = json.loads(run_json())
    while isinstance(node, (dict, list)) and node:
        parent, key = node, data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node))))
        node = node[key]
        if data.draw(st.booleans()):
            break
    parent[key] = data.draw(st.sampled_from([None, True, -1, 10**30, 0.5, math.nan, "x", [], [1], {}, {"x": 1}]))
    path.write_text(json.dumps(plain))
    try:
        compare_json(good, path)
    except ScenarioError as error:
        assert str(error).startswith(str(path)), str(error)


@pytest.mark.parametrize("kind", ["plan", "limits", "sweep", "comparison", "scenario"])
def test_json_of_something_else_is_told_from_that_of_a_run(kind, tmp_path):
    other = {
        "plan": lambda: plan(ticking(), {"p99": "1s"}, queueing=False).to_json(),
        "limits": lambda: json.dumps(server_limits(ticking()).to_plain()),
        "sweep": lambda: sweep(ticking(), {"seed": [1, 2]}).to_json(),
        "comparison": lambda: compare(base(), base()).to_json(),
        "scenario": lambda: json.dumps(ticking().to_plain()),
    }
    path, good = tmp_path / f"{kind}.json", tmp_path / "good.json"
    base().to_json(good)
    path.write_text(other[kind]())
    with pytest.raises(ScenarioError) as error:
        compare_json(path, good)
    assert str(error.value).startswith(f"{path} must be the JSON of a run, got "), str(error.value)


def test_files_that_do_not_fit_together_are_told_by_their_names(tmp_path):
    files = {"live": as_live(simulate(noisy())), "short": as_live(simulate(noisy(duration=9))), "base": base()}
    paths = {name: tmp_path / f"{name}.json" for name in files}
    for name, run in files.items():
        run.to_json(paths[name])
    with pytest.raises(ScenarioError, match=rf"^{paths['live']} must be the simulated side, got 'a live run'; swap"):
        compare_json(paths["live"], paths["base"])
    with pytest.raises(ScenarioError, match=rf"^{paths['short']} must be of the same scenario \(duration differs\)"):
        compare_json(paths["base"], paths["short"])
