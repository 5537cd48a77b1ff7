"""Field types of a scenario: quantities with units, distributions' and policies' short forms, and their errors.

A validator here raises `fault`, or `faults` for several at once; `realtime_sim.scenario.problems` turns them into a
`ScenarioError`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from realtime_sim import units
from realtime_sim.errors import nearest
from realtime_sim.policies import bounds

__all__ = [
    "Bandwidth",
    "Broken",
    "Count",
    "Duration",
    "Flag",
    "Index",
    "Name",
    "Part",
    "PositiveDuration",
    "Rate",
    "Ratio",
    "Size",
    "Text",
    "docstring",
    "duration_from",
    "fault",
    "faults",
    "format_field",
    "format_parameter",
    "plain_number",
    "policy_type",
    "whole_number",
    "written_name",
]

MAX_COUNT = 100_000_000
"""Most clients, rooms or members one scenario may name."""


class Part(BaseModel):
    """Base of everything a user writes: frozen, and unknown fields are refused.

    A field is described in the section Parameters of its class, for the editors that read the JSON Schema as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, validate_default=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """JSON Schema with the descriptions of the docstring, and defaults as a file has them."""
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        own["description"], texts = docstring(cls)
        defaults = cls.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
        for name, field in cls.model_fields.items():
            written = field.alias or name
            shown = own["properties"][written]
            shown.pop("title", None)
            shown["description"] = texts.get(written) or texts[name]
            if "default" in shown:
                shown["default"] = defaults[written]
            if written != name:
                own["properties"][name] = shown | {"description": f"What Python calls {written!r}."}
        return schema


def docstring(cls: type) -> tuple[str, dict[str, str]]:
    """What a class is, and what each of its parameters is, as its numpydoc docstring says it."""
    about, *sections = re.split(r"\n\n(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(cls.__doc__ or ""))
    parameters = dict(zip(sections[::2], sections[1::2], strict=True)).get("Parameters", "")
    texts: dict[str, str] = {}
    for names, text in re.findall(r"^(\w.*) : .*\n((?:    .*\n?|\n)+)", parameters, re.MULTILINE):
        texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return re.sub(r"(?<!\n)\n(?!\n)", " ", about), texts


class Broken(NamedTuple):
    """A rule that does not hold, what to do, and the path below the validated field where the fault is further down."""

    rule: str
    next_step: str
    at: str = ""


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


def faults(broken: Sequence[Broken]) -> PydanticCustomError:
    """The error a validator raises where it finds several things wrong at once."""
    if len(broken) == 1:
        return fault(*broken[0])
    return PydanticCustomError("rules", "; ".join(one.rule for one in broken), {"broken": tuple(broken)})


_OTHER_COUNT = " such as 20_000"
"""The example of a count in general: the next step has one that fits the field."""


def _field(
    kind: type,
    parse: Callable,
    write: Callable,
    low: float,
    high: float,
    above: bool,
    examples: list,
    too_much: str = "",
) -> Any:
    """Field type of a quantity from `low` (itself refused if `above`) to `high`, written in a file as `write` does."""
    next_step = f"write it like {examples[0]!r}" if isinstance(examples[0], str) else f"write it like {examples[0]:_}"
    shown = "{:_}".format if write in (int, float) else write

    def validate(value: object) -> float:
        try:
            number = parse(value)
        except ValueError as error:
            raise fault(str(error).removesuffix(_OTHER_COUNT), next_step) from None
        if number < low or (above and number == low):
            raise fault("must be above 0" if above and low == 0 else f"must be at least {shown(low)}", next_step)
        if number > high:
            raise fault(f"must be at most {shown(high)}", too_much or next_step)
        return number

    schema = _schema(parse, low, high, above) | {"examples": examples}
    return Annotated[kind, BeforeValidator(validate), PlainSerializer(write), WithJsonSchema(schema)]


def _schema(parse: Callable, low: float, high: float, above: bool) -> dict[str, Any]:
    """JSON Schema of a quantity. Of text it holds the form and the sign; an upper bound only arithmetic can check."""
    number: dict[str, Any] = {"type": "integer" if parse in (units.parse_count, units.parse_size) else "number"}
    number["exclusiveMinimum" if above else "minimum"] = low
    if math.isfinite(high):
        number["maximum"] = high
    return {"anyOf": [number, {"type": "string", "pattern": units.text_pattern(parse, above or low > 0)}]}


def duration_from(low: float = 0, above: bool = False) -> Any:
    """Field type: seconds, from `low` on."""
    return _field(
        float, units.parse_duration, units.format_duration, low, units.MAX_SECONDS, above, ["250ms", "1.5min", 0.25]
    )


def whole_number(low: int = 1, high: int = MAX_COUNT, too_much: str = "", example: int = 1_000) -> Any:
    """Field type: a whole number of things.

    Parameters
    ----------
    low, high : int
        The least and the most there may be.
    too_much : str
        The next step where there are more.
    example : int
        One for messages and editors.
    """
    return _field(int, units.parse_count, int, low, high, False, [example], too_much)


def plain_number(low: float, high: float, example: float) -> Any:
    """Field type: a number without a unit.

    Parameters
    ----------
    low, high : float
        The smallest and the largest it may be.
    example : float
        One for messages and editors.
    """
    return _field(float, units.parse_number, float, low, high, False, [example])


# Field types: what they parse and the bounds they keep; each writes what it reads back to the same number.
Duration = duration_from()
"""Seconds, 0 or more."""
PositiveDuration = duration_from(above=True)
"""Seconds, above 0."""
Size = _field(int, units.parse_size, units.format_size, 0, 2**50, False, ["10 KiB", "200B", 10_240])
"""Whole bytes, 0 or more."""
Rate = _field(float, units.parse_rate, units.format_rate, 0, 1e9, True, ["500/s", "30/min", 500])
"""Events per second, above 0."""
Bandwidth = _field(
    float, units.parse_bandwidth, units.format_bandwidth, 0, 1e15, True, ["1 Gbit/s", "12.5 MB/s", 125_000_000]
)
"""Bytes per second, above 0."""
Count = whole_number()
"""A whole number of things, at least 1."""
Index = whole_number(0, example=0)
"""A whole number, at least 0."""
Ratio = plain_number(0, 1, 0.25)
"""A share, from 0 to 1."""
Flag = Annotated[bool, Field(strict=True)]
"""True or false, and no text or number in their place."""

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
"""Signs that no file gives back as they were, tab and line break in a description apart; half of a surrogate pair."""


def _without_control(text: str, left: str = "") -> str:
    if found := re.search(f"[{_CONTROL}]", text.translate(str.maketrans("", "", left))):
        raise fault(f"must not hold the control character {found[0]!a}", "leave it out")
    return text


_LONGEST_NAME = 100
_SPACE, _SIGN = r"[^\S\x1c-\x1f]*", rf"(?![{_CONTROL}])\S"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_LONGEST_NAME, strict=True, strip_whitespace=True),
    AfterValidator(_without_control),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^{_SPACE}{_SIGN}(?:[^{_CONTROL}]{{0,{_LONGEST_NAME - 2}}}{_SIGN})?{_SPACE}$",
            "examples": ["phones"],
        }
    ),
]
"""Text that is not empty, without control characters."""
Text = Annotated[
    str,
    StringConstraints(strict=True),
    AfterValidator(lambda text: _without_control(text, left="\t\n")),
    WithJsonSchema({"type": "string", "pattern": rf"^(?:[\t\n]|[^{_CONTROL}])*$"}),
]
"""Text of any length, without control characters but tabs and line breaks."""


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
        known = {written_name(field.name): field.name for field in dataclasses.fields(cls)}
        arguments, broken = {}, []
        for key, given in fields.items():
            if key == "policy":
                continue
            if key not in known:
                step = nearest(str(key), known) if known else "it takes no parameters"
                broken.append(Broken(f"is not a parameter of {name!r}", step, str(key)))
                continue
            try:
                arguments[known[key]] = _parser(known[key])(given)
            except ValueError as error:
                broken.append(Broken(str(error), "plain numbers are SI units", str(key)))
        if broken:
            raise faults(broken)
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise fault(f"is not a valid {name!r}: {error}", f"write it like {example}") from None

    def write(policy: object) -> object:
        name = next(name for name, cls in registry.items() if type(policy) is cls)
        changed = {
            written_name(field.name): format_parameter(field.name, getattr(policy, field.name))
            for field in dataclasses.fields(policy)
            if getattr(policy, field.name) != field.default
        }
        return {"policy": name, **changed} if changed else name

    schema = {
        "anyOf": [{"enum": sorted(registry)}, *(_policy_schema(name, registry[name]) for name in sorted(registry))]
    }
    return Annotated[Any, BeforeValidator(read), PlainSerializer(write), WithJsonSchema(schema)]


def _policy_schema(name: str, cls: type) -> dict[str, Any]:
    """JSON Schema of the long form of one policy."""
    about, texts = docstring(cls)
    fields: dict[str, Any] = {"policy": {"const": name, "description": about}}
    for field in dataclasses.fields(cls):
        held = bounds(field.name)
        shown = format_parameter(field.name, field.default)
        fields[written_name(field.name)] = {
            "description": texts[field.name],
            **_schema(_parser(field.name), held.low, held.high, held.above),
            "default": shown,
            "examples": [shown],
        }
    return {"type": "object", "properties": fields, "required": ["policy"], "additionalProperties": False}


def written_name(field: str) -> str:
    """The name of a parameter in a file: without the unit that its name in Python ends with.

    Examples
    --------
    >>> written_name("base_s"), written_name("limit_bytes"), written_name("factor")
    ('base', 'limit', 'factor')
    """
    return field.removesuffix("_s").removesuffix("_bytes")


def _parser(field: str) -> Callable:
    if field.endswith("_s"):
        return units.parse_duration
    return units.parse_size if field.endswith("_bytes") else units.parse_number


def format_field(field: FieldInfo, value: Any) -> object:
    """The value of a part's field as a file has it.

    Parameters
    ----------
    field : FieldInfo
        One of `model_fields`.
    value : object
        In SI units, or as a file has it.

    Examples
    --------
    >>> class Link(Part):
    ...     delay: Duration = 0.0
    >>> format_field(Link.model_fields["delay"], 0.25)
    '250ms'
    """
    adapter = TypeAdapter(Annotated[field.annotation, "as written", *field.metadata])
    return adapter.dump_python(adapter.validate_python(value), mode="json")


def format_parameter(field: str, value: Any) -> object:
    """The value of a parameter as a file has it: with the unit that its name in Python ends with.

    Examples
    --------
    >>> format_parameter("base_s", 0.25), format_parameter("limit_bytes", 1024), format_parameter("factor", 2)
    ('250ms', '1KiB', 2)
    """
    if field.endswith("_s") and math.isfinite(value):
        return units.format_duration(value)
    return units.format_size(value) if field.endswith("_bytes") else value
