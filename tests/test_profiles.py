"""No default stands without its source, and figures that are derived can be derived again."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from realtime_sim import profiles
from realtime_sim.costs import CostProfile
from realtime_sim.errors import ScenarioError


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_every_figure_of_a_profile_has_a_source(name):
    figures = profiles.PROFILES[name].figures
    assert set(figures) == {field.name for field in fields(CostProfile)}
    for figure in figures.values():
        assert len(figure.source) >= 20
        assert re.search(r"\d|by definition|no split|published figure", figure.source)


def test_every_cost_of_a_broker_has_a_source():
    for figure in profiles.BROKER_COSTS.values():
        assert re.search(r"\d{4}|redis|apache/kafka|nats|^assumption: ", figure.source) and figure.value > 0


def test_every_default_of_services_has_a_source():
    assert all(len(figure.source) >= 20 for figure in profiles.PIPELINE_DEFAULTS.values())
    append, fetch = (profiles.PIPELINE_DEFAULTS[name].value for name in ("append_s", "fetch_s"))
    assert append + fetch == 0.002


def test_no_number_stands_in_the_module_outside_a_pair_with_its_source():
    tree = ast.parse(Path(profiles.__file__).read_text(encoding="utf-8"))
    sourced = set()
    for node in ast.walk(tree):
        is_pair = isinstance(node, ast.Tuple) and len(node.elts) == 2
        is_call = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Sourced" and len(node.args) == 2
        if is_pair or is_call:
            number, source = node.elts if is_pair else node.args
            if not isinstance(source, ast.Constant) or isinstance(source.value, str):
                sourced |= {id(inner) for inner in ast.walk(number)}
    bare = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and id(node) not in sourced
    ]
    assert bare == []


def test_derived_figures_follow_from_what_is_cited():
    centrifugo, websockets = profiles.profile("centrifugo").costs, profiles.profile("websockets-asyncio").costs
    assert centrifugo.send_s == pytest.approx((40 - 10) / 467e3, rel=0.01)
    assert centrifugo.ping_s == pytest.approx(4.7e-6 * 25, rel=0.01)
    assert websockets.task_s == pytest.approx(41.2e-6 - 21.8e-6)
    assert websockets.event_s + websockets.wakeup_s == pytest.approx(288e-6)
    costs = profiles.BROKER_COSTS
    assert costs["redis_copy_s"].value == pytest.approx(1 / 650e3, rel=0.01)
    assert costs["kafka_append_s"].value == pytest.approx(1 / 821_557, rel=0.01)


def test_an_unknown_profile_is_refused_with_the_nearest_name():
    with pytest.raises(ScenarioError, match="servers.profile must be a known profile, got 'centrifug'; did you mean"):
        profiles.profile("centrifug")
