"""Between a scenario and its text: YAML both ways, changes by dotted path, and errors a person can act on."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from realtime_sim.errors import Problem, ScenarioError, nearest

if TYPE_CHECKING:
    from realtime_sim.scenario.model import Scenario

__all__ = ["dump", "load", "plain", "replace", "scenario_error"]

MAX_TEXT_BYTES = 10_000_000


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys: the second of two would silently win."""


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
    is_text = isinstance(source, str) and ("\n" in source or ": " in source or not source.strip())
    where = "" if is_text else str(source)
    content = source if is_text else _read(Path(source))
    try:
        data = yaml.load(content, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the text"
        rule = f"must be YAML ({getattr(error, 'problem', None) or 'unreadable'})"
        snippet = content.splitlines()[mark.line].strip() if mark and mark.line < len(content.splitlines()) else ""
        raise ScenarioError(Problem(at, rule, snippet, "check indentation, quotes and brackets"), where) from None
    except RecursionError:
        problem = Problem("the text", "must be nested less deeply", "too many levels", "a scenario needs five or six")
        raise ScenarioError(problem, where) from None
    except (ValueError, OverflowError, TypeError, AttributeError) as error:
        rule = f"must be plain YAML ({type(error).__name__})"
        raise ScenarioError(
            Problem("the text", rule, str(error)[:60], "use numbers, text, lists, mappings"), where
        ) from None
    return build(cls, data, where)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            rule = f"must be at most {MAX_TEXT_BYTES:_} bytes"
            raise ScenarioError(Problem(str(path), rule, path.stat().st_size, "is this a scenario file?"))
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ScenarioError):
            raise
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        step = "check the path; `realtime-sim presets` lists scenarios that come with the package"
        raise ScenarioError(Problem("scenario", f"must be a readable YAML file ({reason})", str(path), step)) from None


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


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def replace(scenario: Scenario, changes: Mapping[str, object]) -> Scenario:
    """A new scenario with values changed by dotted path."""
    return build(type(scenario), changed(scenario, changes))


def changed(scenario: Scenario, changes: Mapping[str, object]) -> dict[str, Any]:
    """Plain data of a scenario with values changed by dotted path, not yet checked."""
    data = copy.deepcopy(plain(scenario))
    for path, value in changes.items():
        steps = [name or int(number) for name, number in _STEP.findall(path)]
        if not steps or "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in steps) != f".{path}":
            raise ScenarioError(Problem(path, "must be a dotted path", path, "write it like servers.count"))
        node: Any = data
        for step in steps[:-1]:
            node = _enter(node, step, path)
        _set(node, steps[-1], value, path)
    return data


def _enter(node: Any, step: str | int, path: str) -> Any:
    if isinstance(node, list):
        return node[_position(node, step, path)]
    if isinstance(step, int) or not isinstance(node, dict):
        raise ScenarioError(Problem(path, f"has no part {step!r}", node, "replace the whole value instead"))
    if node.get(step) is None:
        node[step] = {}
    elif step in ("reconnect", "overflow", "broker") and isinstance(node[step], str):
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
    return (
        value.model_dump(mode="json", by_alias=True, exclude_defaults=True) if isinstance(value, BaseModel) else value
    )


def _position(parts: list, step: str | int, path: str) -> int:
    names = [part.get("name", str(i)) if isinstance(part, dict) else str(i) for i, part in enumerate(parts)]
    if isinstance(step, str) and step.isdigit():
        step = int(step)
    if isinstance(step, int) and step < len(parts):
        return step
    if step in names:
        return names.index(step)
    raise ScenarioError(Problem(path, "must name a part that exists", step, nearest(str(step), names)))


def scenario_error(error: ValidationError, cls: type[BaseModel]) -> ScenarioError:
    """One problem for each thing pydantic found, in this package's words."""
    items = error.errors(include_url=False)
    # A list with a wrong entry is also reported as too short: only the entry is news.
    inner = {item["loc"][:1] for item in items if len(item["loc"]) > 1}
    items = [item for item in items if item["type"] != "too_short" or item["loc"] not in inner]
    return ScenarioError([_problem(item, cls) for item in items])


def _problem(item: Mapping[str, Any], cls: type[BaseModel]) -> Problem:
    context, value = item.get("ctx", {}), item["input"]
    loc = [step for step in item["loc"] if not (isinstance(step, str) and step.startswith("<"))]
    if loc and loc[-1] == "value":
        loc = loc[:-1]  # a plain value is written without naming the field of a constant
    if item["type"] == "rule":
        at = context["at"]
        path = _path(loc) + (f".{at}" if at and loc else at)
        for step in _STEP.findall(at):
            key = step[0] or int(step[1])
            value = _get(value, key)
        return Problem(path, item["msg"], _shown(value), context["next_step"])
    path = _path(loc) or "scenario"
    rule, step = _pydantic_rule(item, loc, cls)
    return Problem(path, rule, _shown(value), step)


def _pydantic_rule(item: Mapping[str, Any], loc: list, cls: type[BaseModel]) -> tuple[str, str]:
    """Rule and next step for the errors that pydantic itself reports."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a known field", nearest(str(loc[-1]), _fields_at(cls, item["loc"][:-1]))
    if kind == "missing":
        return "must be given", f"add '{loc[-1]}:'"
    if kind in ("literal_error", "enum"):
        names = re.findall(r"'([^']*)'", context.get("expected", ""))
        return "must be one of " + ", ".join(names), nearest(str(item["input"]), names)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        names = re.findall(r"<([^<>]*)>", context.get("expected_tags", ""))
        given = item["input"].get("kind") if isinstance(item["input"], dict) else item["input"]
        return "must have a known kind", nearest(str(given), names) if names else "add 'kind:'"
    if kind == "too_short":
        return f"must have at least {context.get('min_length', 1)} entry", "add one"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a mapping of fields", "write it like {name: value}"
    if kind == "bool_type":
        return "must be true or false", "write true or false without quotes"
    if kind in ("string_type", "string_unicode"):
        return "must be text", "put it in quotes"
    if kind in ("tuple_type", "list_type"):
        return "must be a list", "start each entry with '- '"
    message = item["msg"][0].lower() + item["msg"][1:]
    return message.replace("input should", "must").replace("string should", "must"), "see the field's description"


def _fields_at(cls: type[BaseModel], loc: tuple) -> list[str]:
    """Names of the fields that may stand at `loc`, to offer the nearest one."""
    names = _fields(cls)
    return sorted(_all_parts().get(_part_name(loc), names)) if loc else sorted(names)


def _part_name(loc: tuple) -> str:
    words = [step for step in loc if isinstance(step, str)]
    return words[-1] if words else ""


def _all_parts() -> dict[str, list[str]]:
    from realtime_sim.scenario import clients, model, system

    named = {
        "clients": clients.Cohort, "rooms": clients.RoomGroup, "traffic": clients.Traffic, "network": clients.Network,
        "keepalive": clients.Keepalive, "session": clients.Session, "servers": system.Servers, "costs": system.Costs,
        "balancer": system.Balancer, "slo": model.Slo,
        "<none>": system.NoBroker, "<redis_pubsub>": system.RedisPubSub, "<redis_streams>": system.RedisStreams,
        "<kafka>": system.Kafka, "<kill_server>": system.KillServer, "<drop_clients>": system.DropClients,
    }  # fmt: skip
    return {key: _fields(part) for key, part in named.items()}


def _fields(part: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in part.model_fields.items()]


def _path(loc: list) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")


def _get(value: object, key: str | int) -> object:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, (list, tuple)) and isinstance(key, int) and key < len(value):
        return value[key]
    return getattr(value, "source" if key == "from" else key, value) if isinstance(key, str) else value


def _shown(value: object) -> object:
    """The value as the user wrote it, as far as it can be known."""
    return plain_value(value) if isinstance(value, BaseModel) else value


def plain_value(part: BaseModel) -> object:
    """A part as plain data, for messages."""
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
