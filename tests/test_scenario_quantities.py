"""Field types read what people write, keep their bounds, write it back the same, and say what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from realtime_sim.policies import backoff, overflow
from realtime_sim.scenario import quantities as q
from realtime_sim.scenario.quantities import MAX_COUNT, Part, fault, policy_type

FIELDS = {
    name: TypeAdapter(getattr(q, name))
    for name in (
        "Duration", "PositiveDuration", "Size", "Rate", "Bandwidth", "Count", "Index", "Ratio", "Name",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Wait:
    """A policy with a parameter of each kind; the least a registry needs.

    Parameters
    ----------
    delay_s, limit_bytes, factor : float
        One of each kind.
    """

    delay_s: float = 1.0
    limit_bytes: int = 1_024
    factor: float = 2.0

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")


@dataclass(frozen=True)
class Nothing:
    """A policy without parameters."""


LIKE = "write it like {policy: wait, delay: 1s}"
NO_DURATION = "must be a duration with unit ns, us, ms, s, min, h or d"
SI = "plain numbers are SI units"
NO_POLICY = "must be the name of a policy, or a mapping with 'policy'"
POLICY = TypeAdapter(policy_type(MappingProxyType({"wait": Wait, "nothing": Nothing}), "{policy: wait, delay: 1s}"))


def refusal(field: TypeAdapter, value: object) -> tuple[str, str, str]:
    """Path below the field, rule and next step of the one error that `value` raises."""
    with pytest.raises(ValidationError) as caught:
        field.validate_python(value)
    (error,) = caught.value.errors()
    assert error["type"] == "rule"
    return error["ctx"]["at"], error["msg"], error["ctx"]["next_step"]


# Known values.


@pytest.mark.parametrize(
    ("name", "written", "read", "back"),
    [
        ("Duration", "250ms", 0.25, "250ms"), ("Duration", 0, 0.0, "0s"), ("Duration", 90, 90.0, "1.5min"),
        ("PositiveDuration", "1ns", 1e-9, "1ns"), ("Size", "10 KiB", 10_240, "10KiB"), ("Size", 2_000, 2_000, "2kB"),
        ("Rate", "30/min", 0.5, "0.5/s"), ("Bandwidth", "1 MB/s", 1e6, "8Mbit/s"), ("Count", "20_000", 20_000, 20_000),
        ("Index", 0, 0, 0), ("Ratio", 0.25, 0.25, 0.25), ("Ratio", "0.25", 0.25, 0.25),
        ("Name", " chat ", "chat", "chat"),
    ],
)  # fmt: skip
def test_a_field_reads_what_is_written_and_writes_it_in_short(name, written, read, back):
    found = FIELDS[name].validate_python(written)
    assert found == read and type(found) is type(read)
    assert FIELDS[name].dump_python(found) == back


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("wait", Wait()),
        ({"policy": "wait"}, Wait()),
        ({"policy": "wait", "delay": "250ms", "limit": "2KiB", "factor": 3}, Wait(0.25, 2_048, 3.0)),
        (Wait(5.0), Wait(5.0)),
        ("nothing", Nothing()),
    ],
)
def test_a_policy_is_read_from_its_name_its_parameters_or_itself(written, read):
    assert POLICY.validate_python(written) == read


@pytest.mark.parametrize(
    ("policy", "written"),
    [
        (Wait(), "wait"),
        (Nothing(), "nothing"),
        (POLICY.validate_python({"policy": "wait", "delay": "1000ms"}), "wait"),
        (Wait(delay_s=0.25), {"policy": "wait", "delay": "250ms"}),
        (Wait(limit_bytes=4_096, factor=1.5), {"policy": "wait", "limit": "4KiB", "factor": 1.5}),
    ],
)
def test_a_policy_is_written_as_its_name_and_what_differs_from_its_defaults(policy, written):
    assert POLICY.dump_python(policy) == written


# Properties and agreement.


BOUNDS = {
    "Duration": (0, 1e9, False), "PositiveDuration": (0, 1e9, True), "Size": (0, 2**50, False), "Rate": (0, 1e9, True),
    "Bandwidth": (0, 1e15, True), "Count": (1, MAX_COUNT, False), "Index": (0, MAX_COUNT, False),
    "Ratio": (0, 1, False),
}  # fmt: skip
"""Lowest and highest value, and whether the lowest itself is too low."""

WHOLE = ("Size", "Count", "Index")


@pytest.mark.parametrize("name", BOUNDS)
@given(data=st.data())
def test_what_lies_within_the_bounds_is_read_and_comes_back_the_same(name, data):
    low, high, above = BOUNDS[name]
    values = st.integers(low, high) if name in WHOLE else st.floats(low, high, exclude_min=above)
    value = data.draw(values)
    read = FIELDS[name].validate_python(value)
    assert read == value
    assert FIELDS[name].validate_python(FIELDS[name].dump_python(read)) == value


@pytest.mark.parametrize("name", BOUNDS)
@given(data=st.data())
def test_what_lies_outside_the_bounds_is_refused(name, data):
    low, high, above = BOUNDS[name]
    if name in WHOLE:
        values = st.integers(-(10**30), low - 1) | st.integers(high + 1, 10**30)
    else:
        below = st.floats(max_value=low, exclude_max=not above, allow_infinity=False)
        values = below | st.floats(min_value=high, exclude_min=True, allow_infinity=False)
    _, rule, next_step = refusal(FIELDS[name], data.draw(values))
    assert rule.startswith("must be ") and next_step.startswith("write it like ")


@pytest.mark.parametrize("registry", [backoff.REGISTRY, overflow.REGISTRY], ids=["backoff", "overflow"])
def test_every_registered_policy_comes_back_from_its_name(registry):
    field = TypeAdapter(policy_type(registry, "x"))
    for name, cls in registry.items():
        assert field.validate_python(name) == cls()
        assert field.dump_python(cls()) == name


@given(st.floats(1e-3, 1e3), st.floats(0, 1e3), st.floats(1, 10))
def test_a_policy_with_any_parameters_is_read_back_the_same(base_s, more_s, factor):
    field = TypeAdapter(policy_type(backoff.REGISTRY, "x"))
    policy = backoff.Exponential(base_s=base_s, cap_s=base_s + more_s, factor=factor)
    assert field.validate_python(field.dump_python(policy)) == policy


# Errors.


@pytest.mark.parametrize(
    ("name", "value", "rule", "next_step"),
    [
        ("Duration", -1, "must be at least 0s", "write it like '250ms'"),
        ("Duration", "32a", NO_DURATION, "write it like '250ms'"),
        ("Duration", 1e10, "must be at most 1000000000s", "write it like '250ms'"),
        ("PositiveDuration", 0, "must be above 0", "write it like '250ms'"),
        ("Size", 2**51, "must be at most 1048576GiB", "write it like '10 KiB'"),
        ("Rate", 0, "must be above 0", "write it like '500/s'"),
        ("Rate", "2/ns", "must be at most 1000000000/s", "write it like '500/s'"),
        ("Bandwidth", 1e16, "must be at most 8000000Gbit/s", "write it like '1 Gbit/s'"),
        ("Count", 0, "must be at least 1", "write it like 1_000"),
        ("Count", 10**9, "must be at most 100_000_000", "write it like 1_000"),
        ("Index", -1, "must be at least 0", "write it like 0"),
        ("Ratio", 1.5, "must be at most 1", "write it like 0.25"),
        ("Ratio", "half", "must be a number such as 0.25", "write it like 0.25"),
        ("Ratio", "30/min", "must be a number such as 0.25", "write it like 0.25"),
    ],
)
def test_a_wrong_quantity_is_told_its_rule_and_what_to_write(name, value, rule, next_step):
    assert refusal(FIELDS[name], value) == ("", rule, next_step)


@pytest.mark.parametrize(
    ("value", "at", "rule", "next_step"),
    [
        (3, "", NO_POLICY, LIKE),
        ({"delay": 1}, "", NO_POLICY, LIKE),
        ("wiat", "policy", "must be a known policy", "did you mean 'wait'?"),
        ({"policy": ["wait"]}, "policy", "must be a known policy", "did you mean 'wait'?"),
        ({"policy": "wait", "dealy": 1}, "dealy", "is not a parameter of 'wait'", "did you mean 'delay'?"),
        ({"policy": "nothing", "delay": 1}, "delay", "is not a parameter of 'nothing'", "it takes no parameters"),
        ({"policy": "wait", "delay": "1 parsec"}, "delay", NO_DURATION, SI),
        ({"policy": "wait", "factor": "2/s"}, "factor", "must be a number such as 0.25", SI),
        ({"policy": "wait", "factor": 0.5}, "", "is not a valid 'wait': factor must be at least 1, got 0.5", LIKE),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_told_its_rule_and_what_to_write(value, at, rule, next_step):
    assert refusal(POLICY, value) == (at, rule, next_step)


def test_a_rule_may_hold_braces():
    """pydantic fills {names} in, but leaves alone what it has no value for."""
    error = fault("must be {mean} or {}", "write {mean}", at="rtt")
    assert error.message() == "must be {mean} or {}"
    assert error.context == {"next_step": "write {mean}", "at": "rtt"}


@pytest.mark.parametrize("value", ["", "   ", "x" * 101, 7, None])
def test_a_name_is_text_of_1_to_100_signs(value):
    with pytest.raises(ValidationError, match="should be a valid string|should have at (least 1|most 100) character"):
        FIELDS["Name"].validate_python(value)


def test_a_part_is_frozen_and_knows_its_fields():
    class Example(Part):
        n: Any = 1

    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Example(m=2)
    with pytest.raises(ValidationError, match="Instance is frozen"):
        Example().n = 2
