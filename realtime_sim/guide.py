"""The guide: every field, profile and policy a scenario may name, as aligned tables.

All of it is read from the JSON Schema and the registries; no list is kept here. `parts`, `families` and `cost_tables`
have it as rows, for whoever sets them in another way.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from realtime_sim import units
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.policies import POLICIES
from realtime_sim.profiles import BROKER_COSTS, PIPELINE_DEFAULTS, PROFILES, Sourced, profile
from realtime_sim.scenario import Empirical, Exponential, Gamma, Lognormal, Scenario, Uniform
from realtime_sim.scenario.quantities import docstring, format_parameter, written_name

__all__ = [
    "cost_tables", "families", "fields_text", "options", "parser_of", "parts", "policies_text", "profiles_text",
    "sentence", "unit_of",
]  # fmt: skip

_Rows = list[tuple[str, ...]]

_DISTRIBUTIONS = [cls.__name__ for cls in (Uniform, Exponential, Lognormal, Gamma, Empirical)]
_QUANTITIES = {
    units.parse_duration: "time, s",
    units.parse_size: "size, B",
    units.parse_rate: "rate, 1/s",
    units.parse_bandwidth: "bandwidth, B/s",
    units.parse_count: "whole number",
    units.parse_number: "number",
}
_BY_PATTERN = {units.text_pattern(parse, above): parse for parse in _QUANTITIES for above in (False, True)}
_BY_TYPE = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "mapping",
}
_PLACES = {
    "backoff": "clients[].reconnect",
    "balancing": "balancer.policy",
    "keepalive": "clients[].keepalive",
    "overflow": "clients[].overflow",
}


def _table(rows: Iterable[tuple[str, ...]], indent: str = "  ") -> list[str]:
    """Rows with their columns aligned; the last one ends where it ends."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return [
        (indent + "".join(f"{cell:{width + 2}}" for cell, width in zip(row, widths, strict=False)) + row[-1]).rstrip()
        for row in rows
    ]


def sentence(text: str) -> str:
    """The first sentence of a text.

    Examples
    --------
    >>> sentence("How many, at least 1. They are alike.")
    'How many, at least 1.'
    """
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", text.replace("\n", " "), maxsplit=1)[0]


def fields_text(path: str = "") -> str:
    """Every field of a scenario with its unit, default and description, part by part.

    Parameters
    ----------
    path : str
        Only this part, such as `servers` or `clients.network`, one kind of it, as `faults.kill_server`, or one field.

    Raises
    ------
    ScenarioError
        If nothing of a scenario is called so.

    Examples
    --------
    >>> print(fields_text("clients.count"))
    clients[]: Clients that are alike.
      field  value         default   what it is
      count  whole number  required  How many, at least 1.
    """
    asked = [step for step in re.split(r"[.\[\]]+", path) if step and not step.isdigit()]
    sections = list(parts())
    chosen = [section for section in sections if _plain(section[0])[: len(asked)] == asked]
    if not chosen:  # a kind stands in for the part that it is a kind of
        chosen = [section for section in sections if [*_plain(section[0]), _kind_of(section[0])] == asked]
    if not chosen:
        *parents, field = asked
        chosen = [
            (place, about, [row for row in rows if row[0] == field])
            for place, about, rows in sections
            if parents in (_plain(place), [*_plain(place), _kind_of(place)]) and any(row[0] == field for row in rows)
        ]
    if not chosen:
        raise ScenarioError(Problem("path", "must be a part or a field of a scenario", path, _near(asked, sections)))
    header = ("field", "value", "default", "what it is")
    texts = ["\n".join([f"{place}: {about}", *_table([header, *rows])]) for place, about, rows in chosen]
    return "\n\n".join(texts)


def _plain(place: str) -> list[str]:
    """Steps of a part's path without brackets and kind; none for the scenario itself."""
    path = place.partition(" {")[0].replace("[]", "")
    return [] if path == "scenario" else path.split(".")


def _kind_of(place: str) -> str:
    """The kind of a part that has one."""
    return place.partition(" {kind: ")[2].removesuffix("}")


def _near(asked: list[str], sections: list) -> str:
    known = {".".join(_plain(place)) for place, _, _ in sections}
    known |= {".".join([*_plain(place), _kind_of(place)]) for place, _, _ in sections if _kind_of(place)}
    known |= {".".join([*_plain(place), row[0]]) for place, _, rows in sections for row in rows}
    step = nearest(".".join(asked), known)
    parts = sorted({_plain(place)[0] for place, _, _ in sections if _plain(place)})
    return step if step.startswith("did") else "known parts: " + ", ".join(parts)


def parts() -> Iterator[tuple[str, str, _Rows]]:
    """(path, what it is, rows) of every part of a scenario; a row has field, value, default and what it is.

    Examples
    --------
    >>> path, about, rows = next(parts())
    >>> path, [row[0] for row in rows[:3]]
    ('scenario', ['name', 'description', 'seed'])
    """
    schema = Scenario.json_schema()
    yield from _part(schema, schema, "scenario")
    for name in _DISTRIBUTIONS:
        yield from _part(schema, schema["$defs"][name], f"distribution {{{name.lower()}}}")


def _part(schema: Any, part: Any, path: str) -> Iterator[tuple[str, str, _Rows]]:
    fields = {
        name: field
        for name, field in part["properties"].items()
        if not field["description"].startswith("What Python calls")
    }
    kind = fields.get("kind", {}).get("const")
    required = part.get("required", ())
    rows = [(name, *_row(field, name in required)) for name, field in fields.items()]
    yield path + (f" {{kind: {kind}}}" if kind else ""), sentence(part["description"]), rows
    for name, field in fields.items():
        inner = name if path == "scenario" else f"{path}.{name}"
        inner += "[]" if field.get("type") == "array" else ""
        for option in options(field):
            reference = option.get("$ref", "").rpartition("/")[2]
            if reference and reference not in _DISTRIBUTIONS:
                yield from _part(schema, schema["$defs"][reference], inner)


def options(field: Any) -> Iterator[Any]:
    """Every way to write a field, by its JSON Schema; of a list, its entries.

    Examples
    --------
    >>> [option["type"] for option in options({"anyOf": [{"type": "integer"}, {"type": "null"}]})]
    ['integer', 'null']
    """
    nested = [*field.get("anyOf", ()), *field.get("oneOf", ()), *([field["items"]] if "items" in field else [])]
    if not nested:
        yield field
    for option in nested:
        yield from options(option)


def _row(field: Any, required: bool) -> tuple[str, str, str]:
    """Value, default and description."""
    ways = list(options(field))
    about = sentence(field["description"])
    names = [str(name) for way in ways for name in way.get("enum", ())]
    if not all(name in about for name in names):
        about += f" [{', '.join(names)}]"
    value = "list" if field.get("type") == "array" else _value(ways)
    return value, "required" if required else _default(field.get("default"), value), about


def parser_of(field: Any) -> Callable | None:
    """The parser of `units` that reads a field, by its JSON Schema; None for what is no quantity.

    Examples
    --------
    >>> parser_of(Scenario.json_schema()["properties"]["duration"])("250ms")
    0.25
    """
    return next((_BY_PATTERN[way["pattern"]] for way in options(field) if way.get("pattern") in _BY_PATTERN), None)


def unit_of(parse: Callable) -> str:
    """What a parser of `units` reads, with its unit.

    Examples
    --------
    >>> unit_of(units.parse_rate)
    'rate, 1/s'
    """
    return _QUANTITIES[parse]


def _value(ways: list[Any]) -> str:
    """What may be written, with its unit."""
    spelled = any("pattern" in option for option in ways)
    kinds = {}
    for option in ways:
        is_plain_form = spelled and option.get("type") in ("integer", "number")  # its text form tells the unit
        if option.get("type") != "null" and not is_plain_form:
            kinds[_kind(option)] = None
    if "distribution, s" in kinds:
        kinds.pop("time, s", None)  # a plain time is one of them
    return " or ".join(kinds)


def _kind(option: Any) -> str:
    if "$ref" in option:
        return "distribution, s" if option["$ref"].rpartition("/")[2] in _DISTRIBUTIONS else "mapping"
    if "const" in option:
        return option["const"]
    if "enum" in option:
        return "name"
    parse = _BY_PATTERN.get(option.get("pattern"))
    return _BY_TYPE[option["type"]] if parse is None else unit_of(parse)


def _default(value: Any, written: str) -> str:
    """A default as a file has it; of a part, whose own fields have theirs, only what tells its kind."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        shown = value if written != "mapping" else {key: value[key] for key in ("kind",) if key in value}
        return ", ".join(f"{key}: {inner}" for key, inner in shown.items())
    if value in (None, "", []):
        return "-"
    return f"{value:_}" if isinstance(value, int) else str(value)


def policies_text(family: str = "") -> str:
    """Every policy by family: its name as a scenario spells it, what it does, its parameters with their defaults.

    Parameters
    ----------
    family : str
        Only this one.

    Raises
    ------
    ScenarioError
        If there is no such family.

    Examples
    --------
    >>> print(policies_text("overflow").splitlines()[0])
    overflow, written in clients[].overflow
    """
    if family and family not in POLICIES:
        raise ScenarioError(Problem("family", "must be a family of policies", family, nearest(family, POLICIES)))
    chosen = [found for found in families() if family in ("", found[0])]
    return "\n\n".join("\n".join([f"{name}, written in {place}", *_table(rows)]) for name, place, rows in chosen)


def families() -> Iterator[tuple[str, str, _Rows]]:
    """(family, where a scenario names its policies, rows) of every family; a row has name and what it does.

    Examples
    --------
    >>> [(family, place) for family, place, _ in families()][0]
    ('backoff', 'clients[].reconnect')
    """
    for name, registry in POLICIES.items():
        yield name, _PLACES[name], [(policy, _about_policy(entry)) for policy, entry in registry.items()]


def _about_policy(entry: Any) -> str:
    """One line on a policy: of a ready-made one its parameters, of a class what it does and its defaults."""
    fields = dataclasses.fields(entry)
    values = [field.default if isinstance(entry, type) else getattr(entry, field.name) for field in fields]
    pairs = [(field.name, value) for field, value in zip(fields, values, strict=True)]
    listed = ", ".join(f"{written_name(name)} {format_parameter(name, value)}" for name, value in pairs)
    if not isinstance(entry, type):
        return listed
    return sentence(docstring(entry)[0]) + (f" [{listed}]" if listed else "")


def profiles_text(name: str = "") -> str:
    """Every profile of costs, the broker's, and the defaults of services: each figure with its source.

    Parameters
    ----------
    name : str
        Only this profile.

    Raises
    ------
    ScenarioError
        If there is no such profile.

    Examples
    --------
    >>> print("\\n".join(profiles_text("zero").splitlines()[:2]))
    zero: Nothing costs anything: set the costs you want to study
      handshake          0s    zero by definition: this profile isolates the queueing model from costs
    """
    if name:
        known = profile(name)
        chosen = [(known.name, known.about, _figures(known.figures))]
    else:
        chosen = list(cost_tables())
    return "\n\n".join("\n".join([f"{title}: {about}", *_table(rows)]) for title, about, rows in chosen)


def cost_tables() -> Iterator[tuple[str, str, _Rows]]:
    """(name, what it is, rows) of every profile, of the broker and of the pipeline; a row has name, figure and source.

    Examples
    --------
    >>> [name for name, _, _ in cost_tables()][-2:]
    ['broker', 'pipeline']
    """
    for known in PROFILES.values():
        yield known.name, known.about, _figures(known.figures)
    yield "broker", "CPU of the broker for each kind of work, and times of its clients", _figures(BROKER_COSTS)
    yield "pipeline", "defaults of the pipeline and of services", _figures(PIPELINE_DEFAULTS)


def _figures(figures: Mapping[str, Sourced]) -> _Rows:
    return [
        (written_name(name), str(format_parameter(name, figure.value)), figure.source)
        for name, figure in figures.items()
    ]
