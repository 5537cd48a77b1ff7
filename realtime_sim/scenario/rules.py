"""Rules between fields of a scenario: names that must exist, times in order, members that must be there.

They hold for a whole Scenario, and for what can be known of one in which some fields are wrong, so that a first reading
shows what is wrong between the others too. A number that cannot be known is NaN, which breaks no rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from realtime_sim.errors import nearest
from realtime_sim.scenario.autoscaling import Autoscaling
from realtime_sim.scenario.brokers import kind_of
from realtime_sim.scenario.clients import EVERYONE, Cohort, RoomGroup, Traffic
from realtime_sim.scenario.faults import FAULTS, OF_THE_BROKER, KillServer
from realtime_sim.scenario.host import Host
from realtime_sim.scenario.quantities import Broken, Part
from realtime_sim.scenario.services import Event, Service, rules_of_sources
from realtime_sim.scenario.system import Servers

__all__ = ["broken", "known"]

MOST_DECISIONS = 50_000
"""Of an autoscaler in one run; each looks at every server."""

_LISTS = {"clients": Cohort, "rooms": RoomGroup, "events": Event, "services": Service, "traffic": Traffic}
_FAULTS = {kind_of(part): part for part in FAULTS}
_SENDERS = ("backend", "clients")
_OF_CLIENTS = ("kill_server", "drop_clients")


def broken(scenario: Any) -> Iterator[Broken]:
    """Every rule between fields that a scenario, or what `known` makes of one, does not keep."""
    yield from _times(scenario)
    yield from _unique_names(scenario)
    yield from _references(scenario)
    yield from _services(scenario)
    yield from _rooms(scenario)
    yield from _faults(scenario)
    yield from _scaling(scenario)
    yield from _host(scenario)


def _times(scenario: Any) -> Iterator[Broken]:
    if scenario.warmup is not None and scenario.warmup >= scenario.duration:
        yield Broken("must be shorter than duration", "shorten it, or leave it out for a tenth", "warmup")
    if scenario.duration / scenario.sample_interval > 1_000_000:
        yield Broken("must be at most 1_000_000 times sample_interval", "lengthen that interval", "duration")
    for field in ("events", "traffic"):
        for i, stream in enumerate(getattr(scenario, field)):
            if stream.start >= scenario.duration:
                yield Broken("must be before the end of the run", "start earlier", f"{field}[{i}].start")
    for i, event in enumerate(scenario.faults):
        if event.at >= scenario.duration:
            yield Broken("must be before the end of the run", "move it earlier", f"faults[{i}].at")


def _unique_names(scenario: Any) -> Iterator[Broken]:
    for field in _LISTS:
        seen: set[str] = set()
        for i, part in enumerate(getattr(scenario, field)):
            if part.name in seen:
                yield Broken("must be unique", "rename one of them", f"{field}[{i}].name")
            if isinstance(part.name, str):
                seen.add(part.name)


def _names(parts: Any) -> list[str] | None:
    """Names of parts; None if not all of them are known."""
    names = [part.name for part in parts]
    return names if all(isinstance(name, str) for name in names) and isinstance(parts, (list, tuple)) else None


def _references(scenario: Any) -> Iterator[Broken]:
    """Where one part names another."""
    cohorts, rooms, services = _names(scenario.clients), _names(scenario.rooms), _names(scenario.services)
    senders = None if None in (cohorts, services) else [*_SENDERS, *cohorts, *services]
    heard = None if rooms is None else [*rooms, EVERYONE]
    for i, stream in enumerate(scenario.traffic):
        yield from _named(stream.to, heard, "must be a room group or 'everyone'", f"traffic[{i}].to")
        rule = "must be 'backend', 'clients', a cohort or a service"
        yield from _named(stream.source, senders, rule, f"traffic[{i}].from")
    for i, group in enumerate(scenario.rooms):
        yield from _named(group.cohort, cohorts, "must be a cohort", f"rooms[{i}].cohort")
    for i, event in enumerate(scenario.faults):
        if event.kind == "drop_clients":
            yield from _named(event.cohort, cohorts, "must be a cohort", f"faults[{i}].cohort")
        if event.kind == "stop_service":
            yield from _named(event.service, services, "must be a service", f"faults[{i}].service", "services")


def _services(scenario: Any) -> Iterator[Broken]:
    """Services consume events that exist, and what they publish follows from them."""
    events, services, cohorts = _names(scenario.events), _names(scenario.services), _names(scenario.clients)
    for i, service in enumerate(scenario.services):
        yield from _named(service.consumes, events, "must be an event", f"services[{i}].consumes", "events")
        if service.name in (*_SENDERS, *(cohorts or ())):
            rule = "must not be 'backend', 'clients' or a cohort: traffic could not tell them apart"
            yield Broken(rule, "choose another name", f"services[{i}].name")
    for i, stream in enumerate(scenario.traffic):
        if services is not None and stream.source in services:
            yield from rules_of_sources(i, stream, is_service=True)
        elif stream.source in (*_SENDERS, *(cohorts or ())):
            yield from rules_of_sources(i, stream, is_service=False)


def _named(word: object, names: list[str] | None, rule: str, at: str, place: str = "") -> Iterator[Broken]:
    """A name must be one of those there are; of a list that may be empty, `place` is where to add one."""
    if isinstance(word, str) and names is not None and word not in names:
        yield Broken(rule, nearest(word, names) if names else f"there is none: add it under {place}", at)


def _rooms(scenario: Any) -> Iterator[Broken]:
    sizes = [(cohort.name, cohort.count) for cohort in scenario.clients]
    everybody = sum(count for _, count in sizes) if isinstance(scenario.clients, (list, tuple)) else math.nan
    if everybody > 100_000_000:
        yield Broken("must be at most 100_000_000 clients in all", "reduce a count", "clients")
    counts = [group.count for group in scenario.rooms if isinstance(group.count, int)]
    if sum(counts) > 10_000_000:
        yield Broken("must be at most 10_000_000 rooms in all", "reduce a count", "rooms")
    for i, group in enumerate(scenario.rooms):
        if group.per_user is not False or None in (group.count, group.members):
            continue
        eligible = everybody if group.cohort is None else dict(sizes).get(group.cohort, math.nan)
        if group.members > eligible:
            step = f"use at most {eligible:_}, or add clients"
            yield Broken("must not exceed the clients that can join", step, f"rooms[{i}].members")
        if group.count * group.members > 1_000_000_000:
            yield Broken("must give at most 1_000_000_000 memberships", "reduce count", f"rooms[{i}].count")


def _faults(scenario: Any) -> Iterator[Broken]:
    mute = any(cohort.keepalive is None for cohort in scenario.clients)
    n_servers = scenario.servers.count
    for i, event in enumerate(scenario.faults):
        server = getattr(event, "server", None)
        if server is not None and server >= n_servers:
            yield Broken("must be the number of a server", _numbered(n_servers), f"faults[{i}].server")
        if event.kind == "kill_server" and n_servers > server > n_servers - event.count:
            yield Broken("must not reach beyond the last server", _numbered(n_servers), f"faults[{i}].count")
        if event.kind in OF_THE_BROKER and getattr(scenario.broker, "kind", None) == "none":
            step = "set broker.kind, or remove this fault"
            yield Broken("must not be given where there is no broker", step, f"faults[{i}].kind")
        if event.kind in _OF_CLIENTS and event.notice == "silent" and mute:
            step = "give every cohort a keepalive, or use notice: rst"
            yield Broken("must not be silent where a cohort has no keepalive", step, f"faults[{i}].notice")
        if event.kind == "pause_server" and event.every is not None:
            if event.every <= event.lasts:
                yield Broken("must be longer than lasts", "pause less often", f"faults[{i}].every")
            elif scenario.duration / event.every > 1_000_000:
                yield Broken("must give at most 1_000_000 pauses", "pause less often", f"faults[{i}].every")
        if event.kind == "rolling_deploy" and event.surge == 0 and event.max_unavailable == 0:
            step = "allow one more server, or one less"
            yield Broken("must not be 0 where max_unavailable is 0 too", step, f"faults[{i}].surge")


def _scaling(scenario: Any) -> Iterator[Broken]:
    scaling, count = scenario.autoscaling, scenario.servers.count
    if isinstance(scaling, Autoscaling) and scenario.duration / scaling.sync_period > MOST_DECISIONS:
        rule = f"must give at most {MOST_DECISIONS:_} decisions in duration"
        yield Broken(rule, "decide less often; 15 s is what Kubernetes does", "autoscaling.sync_period")
    if isinstance(scaling, Autoscaling) and not scaling.min_replicas <= count <= scaling.max_replicas:
        rule = (
            f"must be from autoscaling.min_replicas to max_replicas ({scaling.min_replicas} to {scaling.max_replicas})"
        )
        if count == count:  # it is known
            yield Broken(rule, "start with a count that the autoscaler allows", "servers.count")


def _host(scenario: Any) -> Iterator[Broken]:
    known = isinstance(scenario.clients, (list, tuple)) and isinstance(scenario.host, Host)
    everybody = sum(cohort.count for cohort in scenario.clients) if known else math.nan
    if known and scenario.host.client_processes > everybody:
        step = f"use at most {everybody:_}, or add clients"
        yield Broken("must not exceed the clients", step, "host.client_processes")


def _numbered(n_servers: int) -> str:
    return f"servers are numbered 0 to {n_servers - 1}"


def known(whole: type[Part], data: Mapping[str, Any]) -> Any:
    """What can be known of a scenario that was refused: fields that are right, NaN for the others.

    Parameters
    ----------
    whole : type
        The class Scenario.
    data : mapping
        As a user wrote it.
    """
    scenario = _known_part(whole, data)
    for field, part in _LISTS.items():
        left_out = None if whole.model_fields[field].is_required() else ()
        setattr(
            scenario, field, _known_list(data.get(field, left_out), lambda entry, part=part: _known_part(part, entry))
        )
    scenario.faults = _known_list(data.get("faults", ()), _known_fault)
    scenario.servers = _known_part(Servers, data.get("servers", {}))
    return scenario


class _UnknownList(frozenset):
    """Empty, and no list: nothing is said about what is in it."""


def _known_list(entries: object, read: Any) -> Any:
    return [read(entry) for entry in entries] if isinstance(entries, (list, tuple)) else _UnknownList()


def _known_fault(entry: object) -> Any:
    kind = entry.get("kind") if isinstance(entry, Mapping) else getattr(entry, "kind", None)
    part = _FAULTS.get(kind, KillServer) if isinstance(kind, str) else KillServer
    fault = _known_part(part, entry)
    return SimpleNamespace(**{"kind": None, "at": math.nan, **vars(fault)})


def _known_part(cls: type[Part], data: object) -> Any:
    fields = cls.model_fields
    if isinstance(data, cls):
        return SimpleNamespace(**{name: getattr(data, name) for name in fields})
    if not isinstance(data, Mapping):
        return SimpleNamespace(**dict.fromkeys(fields, math.nan))
    values = {}
    for name, field in fields.items():
        written = next((key for key in (field.alias, name) if key in data), None)
        if written is not None:
            values[name] = _known_value(cls, name, data[written])
        else:
            values[name] = math.nan if field.is_required() else field.default
    return SimpleNamespace(**values)


def _known_value(cls: type[Part], name: str, value: object) -> Any:
    try:
        return _adapter(cls, name).validate_python(value)
    except (ValidationError, ValueError, RecursionError):
        return math.nan


@cache
def _adapter(cls: type[Part], name: str) -> TypeAdapter:
    return TypeAdapter(cls.model_fields[name].rebuild_annotation())
