"""Field types of a scenario: quantities with units, distributions' and policies' short forms, and their errors.

A validator here raises `fault(rule, next_step)`; `realtime_sim.scenario.text` turns it into a `ScenarioError`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from realtime_sim import units
from realtime_sim.errors import nearest

__all__ = [
    "Bandwidth",
    "Count",
    "Duration",
    "Index",
    "Name",
    "Part",
    "PositiveDuration",
    "Rate",
    "Ratio",
    "Size",
    "fault",
    "policy_type",
]

MAX_COUNT = 100_000_000
"""Most clients, rooms or members one scenario may name."""


class Part(BaseModel):
    """Base of everything a user writes: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, validate_default=True)


def fault(rule: str, next_step: str, at: str = "") -> PydanticCustomError:
    """The error a validator raises.

    Parameters
    ----------
    rule, next_step : str
        What must hold, and what to do.
    at : str
        Path below the validated field, where the fault is further down.
    """
    return PydanticCustomError("rule", rule, {"next_step": next_step, "at": at})


def _quantity(parse: Callable, format_: Callable, low: float, high: float, above: bool, example: str) -> Callable:
    """A validator that reads a quantity and holds it between `low` (exclusive if `above`) and `high`."""

    def validate(value: object) -> float:
        next_step = f"write it like {example}"
        try:
            number = parse(value)
        except ValueError as error:
            raise fault(str(error), next_step) from None
        if number < low or (above and number == low):
            raise fault("must be above 0" if above and low == 0 else f"must be at least {format_(low)}", next_step)
        if number > high:
            raise fault(f"must be at most {format_(high)}", next_step)
        return number

    return validate


def _field(kind: type, parse, format_, low, high, above, example, dump=None) -> Any:
    dump = dump or format_
    schema = {"anyOf": [{"type": "number"}, {"type": "string"}], "examples": [example]}
    if kind is int and parse is units.parse_count:
        schema = {"anyOf": [{"type": "integer", "minimum": low}, {"type": "string", "pattern": r"^[0-9_]+$"}]}
    return Annotated[
        kind,
        BeforeValidator(_quantity(parse, format_, low, high, above, example)),
        PlainSerializer(dump),
        WithJsonSchema(schema),
    ]


_LONG = units.MAX_SECONDS

# Field types: what they parse and the bounds they keep; each writes what it reads back to the same number.
Duration = _field(float, units.parse_duration, units.format_duration, 0, _LONG, False, "'250ms'")
"""Seconds, 0 or more."""
PositiveDuration = _field(float, units.parse_duration, units.format_duration, 0, _LONG, True, "'250ms'")
"""Seconds, above 0."""
Size = _field(int, units.parse_size, units.format_size, 0, 2**50, False, "'10 KiB'")
"""Whole bytes, 0 or more."""
Rate = _field(float, units.parse_rate, units.format_rate, 0, 1e9, True, "'500/s'")
"""Events per second, above 0."""
Bandwidth = _field(float, units.parse_bandwidth, units.format_bandwidth, 0, 1e15, True, "'1 Gbit/s'")
"""Bytes per second, above 0."""
Count = _field(int, units.parse_count, lambda n: f"{n:_}", 1, MAX_COUNT, False, "20_000", dump=int)
"""A whole number of things, at least 1."""
Index = _field(int, units.parse_count, lambda n: f"{n:_}", 0, MAX_COUNT, False, "0", dump=int)
"""A whole number, at least 0."""


def _parse_ratio(value: object) -> float:
    number = units.parse_number(value)
    if not 0 <= number <= 1:
        raise ValueError("must be a share between 0 and 1")
    return number


Ratio = Annotated[
    float,
    BeforeValidator(_quantity(_parse_ratio, str, 0, 1, False, "0.25")),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
"""A share, from 0 to 1."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, strict=True, strip_whitespace=True)]
"""Text that is not empty."""


def policy_type(registry: Mapping[str, type], example: str) -> Any:
    """Field type for one family of policies: a name, or a mapping with `policy` and the policy's parameters.

    Parameters are written without the unit suffix of the class (`base` for `base_s`) and with a unit ("1s").
    """

    def read(value: object) -> object:
        if any(type(value) is cls for cls in registry.values()):
            return value
        fields = {"policy": value} if isinstance(value, str) else value
        if not isinstance(fields, Mapping) or "policy" not in fields:
            raise fault("must be the name of a policy, or a mapping with 'policy'", f"write it like {example}")
        name = fields["policy"]
        if not isinstance(name, str) or name not in registry:
            raise fault("must be a known policy", nearest(str(name), registry), at="policy")
        cls = registry[name]
        known = {_short(field.name): field.name for field in dataclasses.fields(cls)}
        arguments = {}
        for key, given in fields.items():
            if key == "policy":
                continue
            if key not in known:
                step = nearest(str(key), known) if known else "it takes no parameters"
                raise fault(f"is not a parameter of {name!r}", step, at=str(key))
            arguments[known[key]] = _parameter(known[key], given, str(key))
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise fault(f"is not a valid {name!r}: {error}", f"write it like {example}") from None

    def write(policy: object) -> object:
        name = next(name for name, cls in registry.items() if type(policy) is cls)
        changed = {
            _short(field.name): _written(field.name, getattr(policy, field.name))
            for field in dataclasses.fields(policy)
            if getattr(policy, field.name) != field.default
        }
        return {"policy": name, **changed} if changed else name

    names = {"enum": sorted(registry)}
    schema = {"anyOf": [names, {"type": "object", "properties": {"policy": names}, "required": ["policy"]}]}
    return Annotated[Any, BeforeValidator(read), PlainSerializer(write), WithJsonSchema(schema)]


def _short(field: str) -> str:
    return field.removesuffix("_s").removesuffix("_bytes")


def _parameter(field: str, value: object, at: str) -> object:
    try:
        if field.endswith("_s"):
            return units.parse_duration(value)
        if field.endswith("_bytes"):
            return units.parse_size(value)
        return units.parse_number(value)
    except ValueError as error:
        raise fault(str(error), "plain numbers are SI units", at=at) from None


def _written(field: str, value: float) -> object:
    if field.endswith("_s") and math.isfinite(value):
        return units.format_duration(value)
    return units.format_size(value) if field.endswith("_bytes") else value
