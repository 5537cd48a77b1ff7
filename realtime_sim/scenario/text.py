"""Between a scenario and its text: YAML both ways, changes by dotted path, and errors a person can act on."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import yaml
from pydantic import BaseModel

from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.scenario.distributions import Constant
from realtime_sim.scenario.problems import STEP, part_at

if TYPE_CHECKING:
    from realtime_sim.scenario.model import Scenario

__all__ = ["UNREADABLE", "build", "changed", "dump", "load", "plain", "read_text", "read_value", "replace"]

MAX_TEXT_BYTES = 10_000_000

UNREADABLE = (yaml.YAMLError, RecursionError, ValueError, OverflowError, TypeError, AttributeError, LookupError)
"""What reading YAML raises, whatever the text: a tag such as !!float or !!timestamp trusts what it is put before."""


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys, of which the second would silently win, and without octal and base 60.

    YAML 1.1 reads 010 as 8 and 1:30 as 90. Both are text here, as 1_000 s is: where a number is asked for, 010 is ten
    and 1:30 is refused.
    """

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in known if tag.rpartition(":")[2] not in ("int", "float")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict:
    keys: set[object] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # what `<<` brings in gives way to the mapping's own keys
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (dict, list, set)):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
        if key in keys:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        keys.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


def _construct(loader: _Loader, node: yaml.MappingNode):
    data: dict = {}
    yield data
    data.update(_mapping(loader, node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct)


def load(cls: type[Scenario], source: str | Path) -> Scenario:
    """Read a scenario from a path or from text."""
    if not isinstance(source, (str, Path)):
        step = "give a path or YAML text; of a mapping make a scenario with Scenario(**fields)"
        raise ScenarioError(Problem("scenario", "must be a path or text", source, step))
    is_text = isinstance(source, str) and ("\n" in source or ": " in source or not source.strip())
    where = "" if is_text else str(source)
    content = source if is_text else _read(Path(source))
    try:
        node, data = _parsed(content)
    except UNREADABLE as error:
        raise ScenarioError(_unreadable(error, content), where) from None
    try:
        return build(cls, data, where)
    except ScenarioError as error:
        found = [dataclasses.replace(problem, line=_line(node, problem.path)) for problem in error.problems]
        raise ScenarioError(found, where) from None


def read_value(text: str) -> object:
    """The value that a piece of YAML stands for, read as a file is.

    Raises
    ------
    yaml.YAMLError and the others of `UNREADABLE`
        If it cannot be read.

    Examples
    --------
    >>> read_value("{median: 40ms}"), read_value("8")
    ({'median': '40ms'}, 8)
    """
    return _parsed(text)[1]


def _parsed(content: str) -> tuple[yaml.Node | None, object]:
    """The node of a text, which knows its lines, and what it stands for."""
    loader = _Loader(content)
    node = loader.get_single_node()
    return node, None if node is None else loader.construct_document(node)


def _unreadable(error: Exception, content: str) -> Problem:
    """What to tell of a text that cannot be read."""
    if isinstance(error, RecursionError):
        return Problem("the text", "must be nested less deeply", "too many levels", "a scenario needs five or six")
    if not isinstance(error, yaml.YAMLError):
        rule = f"must be plain YAML ({type(error).__name__})"
        return Problem("the text", rule, str(error)[:60], "use numbers, text, lists, mappings")
    mark = getattr(error, "problem_mark", None)
    at = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the text"
    rule = f"must be YAML ({getattr(error, 'problem', None) or 'unreadable'})"
    snippet = content.splitlines()[mark.line].strip() if mark and mark.line < len(content.splitlines()) else ""
    return Problem(at, rule, snippet, "check indentation, quotes and brackets")


def _line(node: yaml.Node | None, path: str) -> int | None:
    """Line of a field in the text, from 1; that of the part around it where the field is not written."""
    if node is None:
        return None
    line = node.start_mark.line
    for name, number in STEP.findall(path):
        if isinstance(node, yaml.SequenceNode) and number and int(number) < len(node.value):
            node = node.value[int(number)]
            line = node.start_mark.line
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == name and name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return line + 1


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return read_text(file, str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, ScenarioError):
            raise
        raise _no_file(getattr(error, "strerror", None) or "not a path", str(path)) from None


def read_text(file: BinaryIO, name: str) -> str:
    """All of an open file as text, of which no more is read than a scenario may hold: a device may never end.

    Parameters
    ----------
    file : binary file
        Opened for reading.
    name : str
        What to call it in an error.

    Raises
    ------
    ScenarioError
        If it is longer than `MAX_TEXT_BYTES`, or no UTF-8.
    """
    content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        rule = f"must be at most {MAX_TEXT_BYTES:_} bytes"
        raise ScenarioError(Problem("scenario", rule, name, "is this a scenario file?"))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise _no_file("not UTF-8 text", name) from None


def _no_file(reason: str, name: str) -> ScenarioError:
    step = "check the path; `realtime-sim presets` lists scenarios that come with the package"
    return ScenarioError(Problem("scenario", f"must be a readable YAML file ({reason})", name, step))


def build(cls: type[Scenario], data: object, source: str = "") -> Scenario:
    """A scenario from plain data, with `source` opening every message."""
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        step = "start with 'name:', 'duration:' and 'clients:'"
        raise ScenarioError(Problem("scenario", "must be a mapping of fields", data, step), source)
    try:
        return cls(**data)
    except ScenarioError as error:
        raise ScenarioError(error.problems, source) from None
    except RecursionError:
        raise ScenarioError(
            Problem("scenario", "must not contain itself", "a YAML alias", "write the part out"), source
        ) from None


def plain(scenario: Scenario) -> dict[str, Any]:
    """Dicts, lists, numbers and text; fields at their default are left out."""
    data = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"name": data.pop("name"), **data}


def dump(scenario: Scenario) -> str:
    """YAML text of a scenario."""
    return yaml.safe_dump(plain(scenario), sort_keys=False, allow_unicode=True, width=100)


def replace(scenario: Scenario, changes: Mapping[str, object]) -> Scenario:
    """A new scenario with values changed by dotted path."""
    return build(type(scenario), changed(scenario, changes))


def changed(scenario: Scenario, changes: Mapping[str, object]) -> dict[str, Any]:
    """Plain data of a scenario with values changed by dotted path, not yet checked."""
    data = copy.deepcopy(plain(scenario))
    for path, value in changes.items():
        steps = [name or int(number) for name, number in STEP.findall(path)]
        if not steps or "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in steps) != f".{path}":
            raise ScenarioError(Problem(path, "must be a dotted path", path, "write it like servers.count"))
        node: Any = data
        place: list[str | int] = []
        for step in steps[:-1]:
            place.append(_position(node, step, path) if isinstance(node, list) else step)
            node = _enter(node, step, path, _default(type(scenario), place))
        _set(node, steps[-1], value, path)
    return data


def _default(cls: type[Scenario], place: list[str | int]) -> dict[str, Any]:
    """What a part holds that is not written: its default as plain data, or nothing yet."""
    fields = part_at(cls, tuple(place[:-1])).model_fields
    default = fields[place[-1]].default if place[-1] in fields else None
    if isinstance(default, BaseModel) and not isinstance(default, Constant):
        return default.model_dump(mode="json", by_alias=True)
    return {}


def _enter(node: Any, step: str | int, path: str, default: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return node[_position(node, step, path)]
    if isinstance(step, int) or not isinstance(node, dict):
        raise ScenarioError(Problem(path, f"has no part {step!r}", node, "replace the whole value instead"))
    if node.get(step) is None:
        node[step] = {} if step in node else default
    elif step in ("reconnect", "overflow") and isinstance(node[step], str):
        node[step] = {"policy": node[step]}
    return node[step]


def _set(node: Any, step: str | int, value: object, path: str) -> None:
    if isinstance(node, list):
        node[_position(node, step, path)] = _as_plain(value)
    elif isinstance(node, dict) and isinstance(step, str):
        node[step] = _as_plain(value)
    else:
        raise ScenarioError(Problem(path, f"has no part {step!r}", node, "replace the whole value instead"))


def _as_plain(value: object) -> object:
    """A part as plain data, which later changes can enter; a constant is written without the name of its field."""
    if not isinstance(value, BaseModel) or isinstance(value, Constant):
        return value
    return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _position(parts: list, step: str | int, path: str) -> int:
    names = [part.get("name", str(i)) if isinstance(part, dict) else str(i) for i, part in enumerate(parts)]
    if isinstance(step, str) and step in names:
        return names.index(step)
    if isinstance(step, str) and step.isdecimal() and len(step) < 10:
        step = int(step)
    if isinstance(step, int) and step < len(parts):
        return step
    raise ScenarioError(Problem(path, "must name a part that exists", step, nearest(str(step), names)))
