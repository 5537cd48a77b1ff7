"""Every registered policy is a frozen, checked value with a pure rule: same draws, same answer, within its bounds."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import re

import numpy as np
import pytest

from realtime_sim.policies import POLICIES
from realtime_sim.policies.backoff import delay_s, longest_delay_s
from realtime_sim.policies.balancing import choose
from realtime_sim.policies.keepalive import detection_delay_s
from realtime_sim.policies.overflow import DECISIONS, admit

U = np.array([0.0, 1e-9, 0.1, 0.25, 0.5, 0.75, 0.9, 1 - 2**-53])


def instance(family, name):
    entry = POLICIES[family][name]
    return entry() if isinstance(entry, type) else entry


CASES = [(family, name) for family, registry in POLICIES.items() for name in registry]
PARAMETERS = [
    (family, name, field.name) for family, name in CASES for field in dataclasses.fields(instance(family, name))
]
WRONG = {
    "_s": [-1.0, 0.0, 2e6, math.nan, math.inf, "1", True, None],
    "factor": [0.5, -2.0, math.nan, math.inf, "2", True],
    "jitter": [-0.1, 1.1, math.nan, "0.5", True],
    "_bytes": [0, -1, 1.5, math.nan, "1 KiB", True],
}


def wrong_values(field):
    """Values no parameter of this name may have; a parameter of a new kind must be added to `WRONG`."""
    return next(values for ending, values in WRONG.items() if field.endswith(ending))


def answers(family, policy):
    """What the rule says for a fixed set of questions, one scalar call each."""
    if family == "backoff":
        return [delay_s(policy, k, float(u), 1.5, float(v)) for k in range(12) for u in U for v in U[::3]]
    if family == "balancing":
        healthy = [True, False, True, True]
        return [choose(policy, [3, 0, 1, 1], healthy, (float(u), float(v)), s, s) for u in U for v in U for s in (0, 5)]
    if family == "keepalive":
        return [detection_delay_s(policy, float(u)) for u in U]
    return [admit(policy, q, m) for q in (0, 60_000, 2**21) for m in (0, 200, 2**21)]


def array_answers(family, policy):
    """The same questions in one call with arrays; None for a family that decides one at a time."""
    if family == "backoff":
        return delay_s(policy, np.arange(12)[:, None, None], U[:, None], 1.5, U[::3]).ravel().tolist()
    if family == "keepalive":
        return detection_delay_s(policy, U).tolist()
    if family == "overflow":
        return admit(policy, np.array([0, 60_000, 2**21])[:, None], np.array([0, 200, 2**21])).ravel().tolist()
    return None


def is_within_bounds(family, policy, answer):
    if family == "backoff":
        return 0 <= answer <= longest_delay_s(policy) or answer == math.inf
    if family == "balancing":
        return answer[1] in (0, 2, 3) and 0 <= answer[0] <= 5
    if family == "keepalive":
        return policy.timeout_s <= answer <= policy.timeout_s + policy.interval_s
    return answer in DECISIONS


@pytest.mark.parametrize(("family", "name"), CASES)
def test_a_policy_is_a_frozen_hashable_value(family, name):
    policy = instance(family, name)
    twin = dataclasses.replace(policy)
    assert policy == twin and hash(policy) == hash(twin) and len({policy, twin}) == 1
    assert pickle.loads(pickle.dumps(policy)) == policy == copy.deepcopy(policy)
    assert not hasattr(policy, "__dict__")
    for field in dataclasses.fields(policy):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(policy, field.name, 1)
    # CPython 3.11 says TypeError here: a slotted dataclass is a new class, and `super` still names the old one.
    with pytest.raises((AttributeError, TypeError)):
        policy.code = 1


@pytest.mark.parametrize(("family", "name"), CASES)
def test_a_policy_documents_exactly_its_parameters(family, name):
    doc = type(instance(family, name)).__doc__
    documented = re.findall(r"^ +(\w+(?:, \w+)*) : ", doc, flags=re.MULTILINE)
    listed = [part for line in documented for part in line.split(", ")]
    assert sorted(listed) == sorted(field.name for field in dataclasses.fields(instance(family, name)))


@pytest.mark.parametrize(("family", "name", "field"), PARAMETERS)
def test_a_wrong_parameter_is_refused_by_name_and_value(family, name, field):
    policy = instance(family, name)
    for value in wrong_values(field):
        with pytest.raises(ValueError) as caught:
            dataclasses.replace(policy, **{field: value})
        assert re.match(rf"{field} must .*, got {re.escape(repr(value))}$", str(caught.value))


@pytest.mark.parametrize(("family", "name"), CASES)
def test_the_same_question_has_the_same_answer_in_any_order(family, name):
    policy = instance(family, name)
    before = hash(policy)
    first = answers(family, policy)
    assert first == answers(family, dataclasses.replace(policy))
    assert hash(policy) == before


@pytest.mark.parametrize(("family", "name"), CASES)
def test_scalars_and_arrays_give_equal_results(family, name):
    policy = instance(family, name)
    together = array_answers(family, policy)
    assert together is None or together == answers(family, policy)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_every_answer_is_a_number_within_its_bounds(family, name):
    policy = instance(family, name)
    wrong = [answer for answer in answers(family, policy) if not is_within_bounds(family, policy, answer)]
    assert wrong == []


@pytest.mark.parametrize("family", ["backoff", "balancing", "overflow"])
def test_policies_with_one_code_are_the_same_rule(family):
    """EventSource is a fixed wait under its own name; every other code belongs to one class."""
    by_code: dict[int, list[str]] = {}
    for name, cls in POLICIES[family].items():
        by_code.setdefault(cls.code, []).append(name)
    shared = [names for names in by_code.values() if len(names) > 1]
    assert shared == ([["fixed", "eventsource"]] if family == "backoff" else [])
    assert sorted(by_code) == list(range(len(by_code)))
