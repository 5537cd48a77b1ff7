"""What a user reads about a wrong scenario: each finding of pydantic as path, rule, value and next step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from realtime_sim.errors import Problem, ScenarioError, close_to, nearest
from realtime_sim.scenario.quantities import Broken, docstring

__all__ = ["STEP", "part_at", "problems_of", "scenario_error"]

STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,9})\]")
"""One step of a dotted path: a name, or a number in brackets, which no list is long enough to need ten digits for."""


def scenario_error(error: ValidationError, whole: type[BaseModel], data: Mapping[str, Any]) -> ScenarioError:
    """One problem for each thing pydantic found, and for each rule broken between the fields that are right.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    whole : type
        The class that was to be made.
    data : mapping
        Its fields as a user wrote them.
    """
    from realtime_sim.scenario import rules

    problems = problems_of(error, whole)
    if any(item["loc"] for item in error.errors(include_url=False)):
        found = rules.broken(rules.known(whole, data))
        problems += [Problem(rule.at, rule.rule, _value_at(data, rule.at), rule.next_step) for rule in found]
    return ScenarioError(problems)


def problems_of(error: ValidationError, whole: type[BaseModel], name: str = "") -> list[Problem]:
    """One problem for each thing pydantic found.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    whole : type
        The class that was to be made.
    name : str
        What stands before every path; nothing for a scenario.
    """
    items = error.errors(include_url=False)
    # A list with a wrong entry is also reported as too short: only the entry is news.
    inner = {item["loc"][:length] for item in items for length in range(1, len(item["loc"]))}
    items = [item for item in items if item["type"] != "too_short" or item["loc"] not in inner]
    found = [problem for item in items for problem in _problems(item, whole)]
    return [replace(problem, path=f"{name}.{problem.path}") for problem in found] if name else found


def _problems(item: Mapping[str, Any], cls: type[BaseModel]) -> Iterator[Problem]:
    loc = [step for step in item["loc"] if not (isinstance(step, str) and step.startswith("<"))]
    if loc and loc[-1] == "value":
        loc = loc[:-1]  # a plain value is written without naming the field of a constant
    if item["type"] not in ("rule", "rules"):
        rule, step = _pydantic_rule(item, loc, cls)
        yield Problem(_path(loc) or "scenario", rule, _shown(item["input"]), step)
        return
    context = item["ctx"]
    for broken in context.get("broken") or [Broken(item["msg"], context["next_step"], context["at"])]:
        path = _path(loc) + (f".{broken.at}" if broken.at and loc else broken.at)
        yield Problem(path, broken.rule, _shown(_value_at(item["input"], broken.at)), broken.next_step)


def _pydantic_rule(item: Mapping[str, Any], loc: list, cls: type[BaseModel]) -> tuple[str, str]:
    """Rule and next step for the errors that pydantic itself reports."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a known field", _nearest_field(str(loc[-1]), part_at(cls, item["loc"][:-1]), loc[:-1])
    if kind == "missing":
        return "must be given", f"add '{loc[-1]}:'"
    if kind in ("literal_error", "enum"):
        names = re.findall(r"'([^']*)'", context.get("expected", ""))
        step = nearest(str(item["input"]), names) if close_to(str(item["input"]), names) else "choose one of them"
        return "must be one of " + ", ".join(names), step
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        names = re.findall(r"<([^<>]*)>", context.get("expected_tags", ""))
        return "must have a known kind", _next_step_of_kind(item["input"], names, loc)
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


def _next_step_of_kind(value: object, names: list[str], loc: list) -> str:
    """What to write for a part that is told by its kind."""
    if isinstance(value, dict):
        if "kind" in value:
            return nearest(str(value["kind"]), names)
        return "add 'kind:', one of " + ", ".join(sorted(names))
    start = "write it like" if isinstance(loc[-1], int) else f"write {loc[-1]}:"
    close = close_to(value, names) if isinstance(value, str) else []
    if len(close) == 1:
        return f"{start} {{kind: {close[0]}}}"
    return f"{start} {{kind: …}} with one of " + ", ".join(sorted(close or names))


def _nearest_field(word: str, part: type[BaseModel], loc: list) -> str:
    """The field that is near in its name, or else in its description; or all of them, and where they are described."""
    names = [field.alias or name for name, field in part.model_fields.items()]
    if close_to(word, names):
        return nearest(word, names)
    _, texts = docstring(part)
    about = [name for name in names if re.search(rf"\b{re.escape(word)}\b", texts.get(name, ""), re.IGNORECASE)]
    if 0 < len(about) <= 2 < len(word):
        return "did you mean " + " or ".join(f"{name!r} ({texts[name].rstrip('.')})" for name in about) + "?"
    if not part.__module__.startswith(__package__):  # a table of prices, say
        return nearest(word, names)
    path = ".".join(step for step in loc if isinstance(step, str))
    return f"{nearest(word, names)}; `realtime-sim fields{' ' + path if path else ''}` describes them"


def part_at(cls: type[BaseModel], loc: tuple) -> type[BaseModel]:
    """The class whose fields may stand at `loc`."""
    from realtime_sim.scenario import admission, autoscaling, brokers, clients, faults, host, model, services, system

    parts: dict[str, type[BaseModel]] = {
        "clients": clients.Cohort, "rooms": clients.RoomGroup, "traffic": clients.Traffic, "network": clients.Network,
        "keepalive": clients.Keepalive, "session": clients.Session, "servers": system.Servers, "costs": system.Costs,
        "balancer": system.Balancer, "slo": model.Slo, "autoscaling": autoscaling.Autoscaling,
        "metrics": autoscaling.ScaleMetric, "policies": autoscaling.ScalingPolicy,
        "scale_up": autoscaling.ScalingRules, "scale_down": autoscaling.ScalingRules,
        "events": services.Event, "pipeline": services.Pipeline, "services": services.Service,
        "output_buffer": brokers.OutputBuffer, "admission": admission.Admission, "host": host.Host,
        **{f"<{brokers.kind_of(part)}>": part for part in (*brokers.BROKERS, *faults.FAULTS)},
    }  # fmt: skip
    words = [step for step in loc if isinstance(step, str)]
    return parts.get(words[-1], cls) if words else cls


def _path(loc: list) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")


def _value_at(value: object, path: str) -> object:
    for name, number in STEP.findall(path):
        value = _get(value, name or int(number))
    return value


def _get(value: object, key: str | int) -> object:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, (list, tuple)) and isinstance(key, int) and key < len(value):
        return value[key]
    return getattr(value, "source" if key == "from" else key, value) if isinstance(key, str) else value


def _shown(value: object) -> object:
    """The value as the user wrote it, as far as it can be known."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return value
