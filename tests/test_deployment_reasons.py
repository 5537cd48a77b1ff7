"""A value keeps its reason through a structure, and the YAML has it as a comment right above the value."""

from __future__ import annotations

import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.deployment.reasons import Because, comment, commented, plain, reasons

WHY = st.text(string.ascii_letters + " :#'\"{}[]-&*!|>%@`", min_size=1, max_size=300).filter(str.strip)
KEYS = st.sampled_from(["replicas", "on", "null", "a b", "1", "x: y", "-"])
SCALARS = st.one_of(st.integers(), st.booleans(), st.none(), st.text(max_size=30), st.floats(allow_nan=False))


def structures():
    def grown(inner):
        told = st.builds(Because, inner, WHY)
        either = st.one_of(inner, told)
        return st.one_of(st.lists(either, max_size=4), st.dictionaries(KEYS, either, max_size=4))

    return st.dictionaries(KEYS, st.recursive(SCALARS, grown, max_leaves=12), min_size=1, max_size=4)


def test_comments_stand_right_above_what_they_are_about():
    told = {
        "spec": {
            "replicas": Because(4, "servers.count"),
            "rules": [Because({"alert": "Full", "expr": Because("a > 1", "slo.p99")}, "a choice"), {"alert": "Busy"}],
        }
    }
    assert commented(told).splitlines() == [
        "spec:",
        "  # servers.count",
        "  replicas: 4",
        "  rules:",
        "  # a choice",
        "  - alert: Full",
        "    # slo.p99",
        "    expr: a > 1",
        "  - alert: Busy",
    ]
    assert reasons(told) == {
        ("spec", "replicas"): "servers.count",
        ("spec", "rules", 0): "a choice",
        ("spec", "rules", 0, "expr"): "slo.p99",
    }


@given(structures())
def test_comments_change_nothing(told):
    """Keys are text, as in every object of Kubernetes."""
    assert yaml.safe_load(commented(told)) == plain(told)


@given(structures())
def test_a_reason_leads_to_a_value(told):
    for path, why in reasons(told).items():
        inner = plain(told)
        for step in path:
            inner = inner[step]
        assert why


@given(WHY, st.integers(20, 120))
def test_a_comment_is_all_there_and_no_line_is_anything_else(why, width):
    lines = comment(why, width)
    assert all(line.startswith("# ") for line in lines)
    assert " ".join(line[2:] for line in lines).split() == why.split()


@pytest.mark.parametrize("value", [4, "text", None, [1, 2], {"a": 1}])
def test_a_value_without_reasons_is_as_it_was(value):
    assert plain(value) == value and reasons(value) == {}
