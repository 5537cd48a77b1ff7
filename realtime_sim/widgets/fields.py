"""Fields of a scenario as something to choose from: label, unit, help and choices, all read from the JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realtime_sim import units
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.guide import options, parser_of, unit_of
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.problems import STEP

__all__ = ["Field", "field_of", "shown", "usual_fields"]

_WRITERS: Mapping[Callable, Callable] = {
    units.parse_duration: units.format_duration,
    units.parse_size: units.format_size,
    units.parse_rate: units.format_rate,
    units.parse_bandwidth: units.format_bandwidth,
    units.parse_count: int,
    units.parse_number: float,
}
"""What writes a number as a file has it, by what reads it."""

STEPS = (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9)
"""Of each decade: about a tenth apart, which is as fine as a slider is moved, and round, so that a file reads well."""

SPAN = 16
"""A slider goes from a sixteenth of the scenario's value to sixteen times as much, within what the field may be."""

LISTS = ("clients", "rooms", "events", "services", "traffic", "faults")
TAGS = ("kind", "policy")
"""What tells which of several parts, or policies, a mapping is."""

NOT_SET = "not set"
MOST_PARTS = 2
"""Cohorts, groups of rooms and streams that have sliders of their own unless fields are named."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a scenario, and what it may be set to.

    Parameters
    ----------
    path : str
        Dotted, as `Scenario.replace` takes it.
    at : str
        The path that is replaced: that of the part around it, where the field tells what kind the part is.
    label, unit, help : str
        What to call it, what it is measured in, and what it is.
    choices : tuple of (str, object)
        As it is shown, and as it is written at `at`; quantities in their order.
    chosen : int
        The choice that the scenario has.
    is_quantity : bool
        Whether choices have an order, as on a slider.
    """

    path: str
    at: str
    label: str
    unit: str
    help: str
    choices: tuple[tuple[str, Any], ...]
    chosen: int
    is_quantity: bool


def field_of(scenario: Scenario, path: str, values: Sequence[Any] | None = None) -> Field:
    """A field of a scenario.

    Parameters
    ----------
    scenario : Scenario
        Around whose value the choices are.
    path : str
        Dotted; of lists, parts go by name or number.
    values : sequence, optional
        What there is to choose from, as a file has it; chosen around the scenario's value if left out.

    Raises
    ------
    ScenarioError
        If there is no such field, or none that can be chosen from a row of values.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 100}])
    >>> count = field_of(chat, "clients.phones.count")
    >>> count.label, count.unit, count.help, count.choices[count.chosen]
    ('phones: count', 'whole number', 'How many, at least 1.', ('100', 100))
    """
    schema, value, parent = _found(scenario, path)
    at, current, about = path, value, schema["description"]
    if "const" in schema:  # the kind of a part: another kind is another part
        at, current = path.rpartition(".")[0], parent
        about = _found(scenario, at)[0]["description"]
        choices = [(kind, {"kind": kind}) for kind in _kinds(scenario, at)]
        choices = [(kind, parent if kind == value else part) for kind, part in choices]
    else:
        choices = list(_choices(schema, value, path))
    if values is not None:
        choices = [(shown(given), given) for given in values]
        if not any(given == current for _, given in choices):
            choices.append((shown(current), current))
    parse = parser_of(schema)
    chosen = next(i for i, (_, given) in enumerate(choices) if given == current)
    return Field(
        path, at, _label(path), "" if parse is None else unit_of(parse), about, tuple(choices), chosen,
        parse is not None,
    )  # fmt: skip


def _found(scenario: Scenario, path: str) -> tuple[Any, Any, Any]:
    """Schema and value of a field, and the value of the part that it is in, all as a file has them."""
    whole = Scenario.json_schema()
    schema: Any = whole
    value: Any = scenario.model_dump(mode="json", by_alias=True)
    parent: Any = None
    for name, number in STEP.findall(path):
        parent = value
        if isinstance(value, list):
            names = [part.get("name", str(i)) for i, part in enumerate(value)]
            i = int(number) if number else names.index(name) if name in names else -1
            if not 0 <= i < len(value):
                raise ScenarioError(Problem(path, "must name a part that exists", name or number, nearest(name, names)))
            value = value[i]
            continue
        part = _part_with(whole, schema, name, value)
        if part is None:
            known = _names(whole, schema)
            raise ScenarioError(Problem(path, "must be a field of the scenario", name or number, nearest(name, known)))
        schema = part
        written = value if isinstance(value, Mapping) else {}
        value = written.get(name, schema.get("default"))  # of a list, parts come without what is at its default
    return schema, value, parent


def _parts(whole: Any, schema: Any) -> Iterator[Any]:
    """The parts, with properties, that a field may be."""
    if "properties" in schema:
        yield schema
    for option in options(schema):
        if "properties" in option and option is not schema:
            yield option
        if "$ref" in option:
            yield whole["$defs"][option["$ref"].rpartition("/")[2]]


def _names(whole: Any, schema: Any) -> list[str]:
    return [name for part in _parts(whole, schema) for name in part["properties"]] or ["none"]


def _part_with(whole: Any, schema: Any, name: str, value: Any) -> Any | None:
    """The property `name` of that part of a field which the value is."""
    for part in _parts(whole, schema):
        properties = part["properties"]
        tag = next((tag for tag in TAGS if "const" in properties.get(tag, {})), None)
        kind = value.get(tag) if isinstance(value, Mapping) else value  # a policy without parameters is its name
        if name in properties and (tag is None or properties[tag]["const"] == kind):
            return properties[name]
    return None


def _kinds(scenario: Scenario, path: str) -> list[str]:
    """Every kind that a part may be of."""
    whole = Scenario.json_schema()
    schema = _found(scenario, path)[0]
    return [part["properties"]["kind"]["const"] for part in _parts(whole, schema)]


def _choices(schema: Any, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a field may be set to, its own value included."""
    ways = list(options(schema))
    names = [name for way in ways for name in way.get("enum", ())]
    parse = parser_of(schema)
    if value is None:
        yield NOT_SET, None
    if isinstance(value, Mapping) and parse is not None:
        yield from _scaled(value)
    elif parse is not None:
        yield from ((shown(written), written) for written in _quantities(schema, parse, value))
    elif names:
        yield from ((name, name) for name in names)
        if value is not None and value not in names:
            yield shown(value), value
    elif any(way.get("type") == "boolean" for way in ways):
        yield from (("no", False), ("yes", True))
    else:
        step = "name a quantity, a choice between names, or yes or no"
        raise ScenarioError(Problem(path, "must be a field that can be chosen from a row of values", value, step))


def _quantities(schema: Any, parse: Callable, value: Any) -> list[Any]:
    """Values of a quantity around that of the scenario, or around its example where it has none, as written."""
    bounds = [way for way in options(schema) if "type" in way and way["type"] in ("integer", "number")]
    low = min((way.get("minimum", way.get("exclusiveMinimum", 0.0)) for way in bounds), default=0.0)
    high = max((way.get("maximum", math.inf) for way in bounds), default=math.inf)
    held = parse(value) if value is not None else None
    centre = held or parse(_examples(schema)[0])
    found = {number for number in _round_numbers(centre, parse) if low < number <= high}
    found |= {held} if held is not None else set()
    found |= {low} if any(way.get("minimum") == low for way in bounds) and (low == 0 or low > centre / SPAN) else set()
    written = {number: _WRITERS[parse](number) for number in sorted(found)}
    return [value if number == held else text for number, text in written.items()]


def _examples(schema: Any) -> list[Any]:
    """Examples of a field; of a part of it where it has none."""
    return schema.get("examples") or next((found for way in schema.get("anyOf", ()) if (found := _examples(way))), [])


def _round_numbers(centre: float, parse: Callable) -> Iterator[float]:
    """Round numbers around one; of bandwidths those that are round in bits."""
    unit = 0.125 if parse is units.parse_bandwidth else 1.0
    low, high = centre / SPAN / unit, centre * SPAN / unit
    whole = parse in (units.parse_count, units.parse_size)
    for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in STEPS:
            number = float(f"{step * 10.0**decade:.2g}")
            if low * (1 - 1e-9) <= number <= high * (1 + 1e-9) and not (whole and number % 1):
                yield int(number) if whole else number * unit


def _scaled(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A distribution of times that is longer or shorter as a whole, by the first of its times."""
    times = {key: units.parse_duration(text) for key, text in value.items() if isinstance(text, str)}
    if not times or not all(times.values()):
        yield shown(value), dict(value)
        return
    key, first = next(iter(times.items()))
    for number in sorted({first, *_round_numbers(first, units.parse_duration)}):
        longer = {key: units.format_duration(float(f"{time * number / first:.3g}")) for key, time in times.items()}
        written = dict(value) if number == first else dict(value) | longer
        yield f"{key} {shown(written[key])}", written


def shown(value: Any) -> str:
    """A value of a file as people read it.

    Examples
    --------
    >>> shown(100_000), shown("2500/s"), shown("40ms"), shown({"median": "40ms", "p99": "250ms"}), shown(None)
    ('100,000', '2,500/s', '40 ms', 'median 40 ms, p99 250 ms', 'not set')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    if isinstance(value, int | float):
        return f"{value:,}"
    if value is None:
        return NOT_SET
    parts = re.fullmatch(r"(\d+)(\.\d+)?(/?)([A-Za-zµ/]*)", str(value))
    if parts is None:
        return str(value)
    whole, fraction, slash, unit = parts.groups("")
    return f"{int(whole):,}{fraction}{slash or ' ' * bool(unit)}{unit}"


def _label(path: str) -> str:
    """What a field is called: whose it is, and its name."""
    steps = [name or number for name, number in STEP.findall(path)]
    if len(steps) > 1:
        owner, *names = steps[1:] if steps[0] in LISTS else steps
        return f"{owner}: {' '.join(names)}".replace("_", " ")
    return steps[0].replace("_", " ")


def usual_fields(scenario: Scenario) -> list[str]:
    """Paths of what one moves first in a scenario: how many there are of what it has, how fast, and how far away.

    Examples
    --------
    >>> usual_fields(Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 100}],
    ...                       traffic=[{"name": "news", "rate": "2/s"}]))[:3]
    ['clients.phones.count', 'clients.phones.network.rtt', 'servers.count']
    """
    cohorts, streams = scenario.clients[:MOST_PARTS], scenario.traffic[:MOST_PARTS]
    paths = [f"clients.{cohort.name}.{name}" for cohort in cohorts for name in ("count", "network.rtt")]
    paths += ["servers.count", "servers.profile", "broker.kind"]
    paths += [f"events.{event.name}.rate" for event in scenario.events[:MOST_PARTS]]
    for stream in streams:
        paths += [f"traffic.{stream.name}.rate"] * (stream.rate is not None) + [f"traffic.{stream.name}.payload"]
    shared = [group for group in scenario.rooms if not group.per_user][:MOST_PARTS]
    return paths + [f"rooms.{group.name}.members" for group in shared]
