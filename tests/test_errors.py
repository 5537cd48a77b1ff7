"""Errors say where, which rule, what was found and what to do, in one short line for each fault."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.errors import EngineError, Problem, RealtimeSimError, ScenarioError, UnsupportedFeature, nearest

SEED = Problem("seed", "must be at least 0", -1, "use 0")
COUNT = Problem("servers.count", "must be at least 1", 0, "give the number of servers")
ERRORS = [
    ScenarioError(SEED),
    ScenarioError([SEED, COUNT], source="chat.yaml"),
    UnsupportedFeature("broker.kind", "fast", "use engine='reference'"),
    EngineError("a message was delivered twice"),
]


class Odd:
    """Something that cannot even say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


# Known values, written by hand from the form `path rule, got value; next step`.


def test_a_problem_is_one_line_of_path_rule_value_and_next_step():
    assert str(COUNT) == "servers.count must be at least 1, got 0; give the number of servers"


def test_every_problem_of_a_scenario_has_a_line_that_opens_with_its_source():
    assert str(ScenarioError([SEED, COUNT], source="chat.yaml")) == (
        "chat.yaml: seed must be at least 0, got -1; use 0\n"
        "chat.yaml: servers.count must be at least 1, got 0; give the number of servers"
    )
    assert str(ScenarioError(SEED)) == "seed must be at least 0, got -1; use 0"
    assert ScenarioError(SEED).problems == (SEED,)


def test_a_missing_feature_names_the_field_the_engine_and_the_next_step():
    error = UnsupportedFeature("broker.kind", "fast", "use engine='reference'")
    assert str(error) == "broker.kind is not supported by engine 'fast'; use engine='reference'"
    assert error.field == "broker.kind"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(ScenarioError, ValueError), (UnsupportedFeature, NotImplementedError), (EngineError, RuntimeError)],
)
def test_each_error_is_one_of_ours_and_of_the_kind_python_has_for_it(kind, builtin):
    assert issubclass(kind, RealtimeSimError) and issubclass(kind, builtin)


@pytest.mark.parametrize(
    ("word", "known", "step"),
    [
        ("websockt", ["websocket", "sse"], "did you mean 'websocket'?"),
        ("kafak", ("redis", "kafka"), "did you mean 'kafka'?"),
        ("zzz", ["sse", "long_polling"], "known names: long_polling, sse"),
        ("", {"b": 1, "a": 2}, "known names: a, b"),
    ],
)
def test_the_nearest_name_is_offered_or_all_of_them(word, known, step):
    assert nearest(word, known) == step


# Properties.


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    )
)
def test_a_value_of_any_kind_takes_one_short_line(value):
    """80 signs of the value and the 20 around it."""
    text = str(Problem("path", "rule", value, "step"))
    assert text.startswith("path rule, got ") and text.endswith("; step")
    assert len(text.splitlines()) == 1 and len(text) <= len("path rule, got ; step") + 80


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 78, "'" + "x" * 78 + "'"),
        ("x" * 79, "'" + "x" * 78 + "…"),
        (10**5_000, "an integer of 16610 bits"),
        ([-(10**5_000)], "[an integer of 16610 bits]"),
    ],
    ids=["80 signs", "81 signs", "a long integer", "one in a list"],
)
def test_a_long_value_is_cut(value, shown):
    """Python refuses to spell an integer of more than 4,300 digits; 5,000 * log2(10) = 16,609.6 bits."""
    assert str(Problem("seed", "must be small", value, "use 0")) == f"seed must be small, got {shown}; use 0"


def test_a_value_that_cannot_be_shown_hides_no_problem():
    assert str(Problem("name", "must be text", Odd(), "quote it")).startswith(
        "name must be text, got <Odd instance at "
    )


@given(st.lists(st.text(st.characters(codec="ascii"), min_size=1), min_size=1, max_size=5))
def test_a_known_name_is_offered_as_itself(names):
    assert nearest(names[0], names) == f"did you mean {names[0]!r}?"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error):
    """Replications may run in other processes, and an error comes home pickled."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error) and str(twin) == str(error) and vars(twin) == vars(error)


# Errors.


def test_a_problem_is_frozen():
    with pytest.raises(AttributeError, match="cannot assign to field 'path'"):
        SEED.path = "x"
