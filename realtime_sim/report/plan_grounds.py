"""What a plan rests on: limits with their arithmetic, assumptions with their sources, and what may go wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from realtime_sim.agreement.words import percent, value_text
from realtime_sim.diagnosis import warnings_of
from realtime_sim.limits import Limit, Storm, server_limits
from realtime_sim.limits.table import number, plural
from realtime_sim.planning import Plan
from realtime_sim.profile_files import FILE_ENDINGS, find_profile
from realtime_sim.profiles import BROKER_COSTS
from realtime_sim.report import parts
from realtime_sim.report.page import Cell, Code, Items, Picture, Section, Table, Text
from realtime_sim.report.plan_words import DRILLS, figure_of
from realtime_sim.scenario import Cohort, Scenario
from realtime_sim.scenario.quantities import written_name
from realtime_sim.sizing.shares import LimitShare, limit_shares, share_of_promise
from realtime_sim.transports import TRANSPORTS

__all__ = ["assumptions", "limits_section", "risks"]

CLOSE = 0.9
"""Share of a promise, or of what a limit may be used, from which on it is a risk."""

_GIVEN = "given in the scenario"

_BROKER_FIGURES = {
    "redis_pubsub": {"publish": "redis_publish_s", "copy_cost": "redis_copy_s", "subscribe": "redis_subscribe_s"},
    "redis_streams": {"append": "streams_append_s", "read": "streams_read_s"},
    "kafka": {"append": "kafka_append_s", "read": "kafka_read_s"},
    "nats": {"publish": "nats_publish_s", "copy_cost": "nats_copy_s", "subscribe": "nats_subscribe_s"},
    "nats_jetstream": {"append": "jetstream_append_s", "read": "jetstream_read_s"},
}
"""Costs of each kind of broker, by the field that holds them, and where their defaults stand with their sources."""

_NOT_MODELLED = (
    "Not modelled: compression, packet loss below TCP, more than one region, load that changes with the hour of the "
    "day, and whatever the costs below leave out."
)


# --- limits ---------------------------------------------------------------------------------------------------------


def limits_section(plan: Plan) -> Section:
    """Every limit: what it asks for on its own, how far it is used, and the arithmetic; where there is no answer, with
    the largest number that was looked at.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    plan = _at_the_largest(plan) if plan.servers is None else plan
    limits, (servers, shares) = plan.limits, limit_shares(plan)
    by_name = {share.name: share for share in shares}
    header = ["limit", "servers needed", "one has", "demand", "unit", f"used with {servers:,}"]
    header += [f"{limits.lost:,} lost"] if limits.lost else []
    rows = [[*_limit_cells(row, by_name.get(row.name), limits.lost), _binds(row)] for row in limits.rows]
    right = frozenset({1, 2, 3, *range(5, len(header))})
    told = ", ".join(f"{share.name} {percent(share.used)}" for share in shares)
    alt = f"How far each limit is used with {plural(servers, 'server')}, by arithmetic: {told or 'nothing is limited'}."
    blocks = [
        Picture("limits", alt, lambda: parts.drawing().limits_used(plan)),
        Table("Limits, each on its own, by arithmetic", [*header, "note"], rows, right),
        Text(
            "What is used of connections and memory is a share of what need not stay free. Servers needed are those "
            f"whose loops and links, and whose broker, are busy {percent(limits.target_utilization)} of the time."
        ),
        Code("\n\n".join(_sum(row) for row in limits.rows), "text", "The arithmetic"),
    ]
    if storms := [_storm_sum(storm) for storm in limits.storms]:
        caption = "The reconnect storm, by arithmetic: what the servers left accept beside their usual work"
        blocks.append(Code("\n\n".join(storms), "text", caption))
    return Section("Which limit binds", blocks)


def _at_the_largest(plan: Plan) -> Plan:
    """A plan without an answer as if the largest number looked at were one: its limits, and what binds there."""
    most, target = plan.evaluations[-1].servers, plan.limits.target_utilization
    limits = server_limits(plan.scenario.replace(**{"servers.count": most, "faults": []}), target)
    binds = "cpu" if plan.binding == "utilization" else plan.binding
    rows = tuple(dataclasses.replace(row, binding=row.name == binds) for row in limits.rows)
    return dataclasses.replace(plan, servers=most, limits=dataclasses.replace(limits, rows=rows))


def _limit_cells(row: Limit, share: LimitShare | None, lost: int) -> list[Cell]:
    needed = "none is enough" if not row.possible else "-" if row.servers is None else f"{row.servers:,}"
    cells: list[Cell] = [row.name, needed, number(row.per_server_capacity), number(row.demand), row.unit]
    cells.append("-" if share is None else percent(share.used))
    if lost:
        cells.append("-" if share is None or share.left is None else percent(share.left))
    return cells


def _binds(row: Limit) -> Cell:
    return "; ".join(filter(None, ("binds by arithmetic", row.note))) if row.binding else row.note


def _sum(row: Limit) -> str:
    return f"{row.name}\n{_indented(row.arithmetic)}"


def _storm_sum(storm: Storm) -> str:
    return f"{storm.lost:,} of {plural(storm.servers, 'server')} lost\n{_indented(storm.arithmetic, storm.note)}"


def _indented(*texts: str) -> str:
    return "\n".join(f"  {line}" for text in texts for line in text.splitlines())


# --- risks ----------------------------------------------------------------------------------------------------------


def risks(plan: Plan) -> Section:
    """What may make the answer wrong, or a server short; without an answer, what the arithmetic rests on.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    doubts = [] if plan.servers is None else [*_doubts(plan), *_near_the_ceiling(plan)]
    items = [*doubts, *_of_the_costs(plan), *_warnings(plan)]
    return Section("Risks", [Items(items)] if items else [Text("None was found.")])


def _doubts(plan: Plan) -> Iterator[str]:
    if not plan.confident:
        yield f"The answer is not certain: {plan.verdict}"
    for check in plan.answer.checks:
        what = f"{check.constraint} ({DRILLS.get(check.drill, check.drill)})"
        if check.kept is None:
            yield f"Not decided: {what}" + (f": {check.note}." if check.note else ".")
        elif not check.sure:
            span = f"{figure_of(check, 'low')} to {figure_of(check, 'high')}"
            yield f"{what} is {'kept' if check.kept else 'broken'}, but not for sure: the interval is {span}."
    if plan.answer.results and plan.answer.replications == 1:
        yield "Each drill was run once: intervals are those of a single run, and some figures have none."
    if not plan.answer.results:
        yield "Nothing was simulated: queueing, storms and deploys are not in the answer."


def _near_the_ceiling(plan: Plan) -> Iterator[str]:
    for check in plan.answer.checks:
        share = share_of_promise(check)[0]
        if CLOSE <= share <= 1 and check.decided_by == "simulation":
            what = f"{check.constraint} ({DRILLS.get(check.drill, check.drill)})"
            yield f"{what} takes {percent(share)} of what is promised: {figure_of(check, 'found')}."
    lost = plan.limits.lost
    when = f" when {plural(lost, 'server')} {'is' if lost == 1 else 'are'} lost" if lost else ""
    for share in limit_shares(plan)[1]:
        used = share.used if share.left is None else share.left
        if used >= CLOSE * share.allowed:
            yield f"{share.name} is used to {percent(used)}{when}, of {percent(share.allowed)} that it may be."


def _of_the_costs(plan: Plan) -> Iterator[str]:
    profile = plan.scenario.servers.profile
    if not profile.endswith(FILE_ENDINGS):
        yield (
            f"Costs are those of the profile {profile}, measured or published elsewhere: they move by a factor of 1.3 "
            "to 2 from machine to machine. Calibrate before a launch depends on them: realtime-sim calibrate."
        )


def _warnings(plan: Plan) -> Iterator[str]:
    """What the runs at the answer say of themselves, each once, with the drills it is of; of how long they are nothing
    that only the plan could change: it runs none but a scenario with its own hour as written."""
    said: dict[str, list[str]] = {}
    for drill, run in (plan.answer.results if plan.answer else {}).items():
        for text in warnings_of(run, own_times=drill == "normal" and plan.lengths.timed):
            said.setdefault(text, []).append(DRILLS.get(drill, drill))
    yield from (f"{', '.join(drills)}: {text}" for text, drills in said.items())


# --- assumptions ----------------------------------------------------------------------------------------------------


def assumptions(plan: Plan) -> Iterator[Section]:
    """What the answer takes for granted, each figure with its source.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    scenario = plan.scenario
    clients = [_client_cells(cohort) for cohort in scenario.clients]
    header = ("cohort", "clients", "transport", "round trip, mean", "stays", "comes back by", "pings every")
    blocks = [
        Items([*plan.assumptions, _NOT_MODELLED]),
        Table("Clients", header, clients, frozenset({1, 3})),
        Table(f"Costs of one server, profile {scenario.servers.profile}", ("cost", "figure", "source"),
              [*_server_figures(scenario)], frozenset({1})),
    ]  # fmt: skip
    if broker := [*_broker_figures(scenario)]:
        caption = f"Costs of the broker, {scenario.broker.kind}"
        blocks.append(Table(caption, ("cost", "figure", "source"), broker, frozenset({1})))
    yield Section("Assumptions and their sources", blocks)


def _client_cells(cohort: Cohort) -> list[Cell]:
    stays = "for the whole run" if cohort.session is None else f"{value_text(cohort.session.length.mean_s, 's')}, mean"
    pings = "never" if cohort.keepalive is None else value_text(cohort.keepalive.interval, "s")
    rtt = value_text(cohort.network.rtt.mean_s, "s") if cohort.network.rtt.mean_s else "none"
    policy = cohort.model_dump(mode="json")["reconnect"] or TRANSPORTS[cohort.transport].reconnect_policy
    text = (
        policy if isinstance(policy, str) else ", ".join(f"{k} {v}" if k != "policy" else v for k, v in policy.items())
    )
    return [cohort.name, f"{cohort.count:,}", cohort.transport, rtt, stays, text, pings]


def _server_figures(scenario: Scenario) -> Iterator[list[Cell]]:
    costs, sources = scenario.servers.resolved_costs, find_profile(scenario.servers.profile).figures
    for field in dataclasses.fields(costs):
        name = written_name(field.name)
        source = sources[field.name].source if getattr(scenario.servers.costs, name) is None else _GIVEN
        yield [name.replace("_", " "), _cost_text(field.name, getattr(costs, field.name)), source]


def _broker_figures(scenario: Scenario) -> Iterator[list[Cell]]:
    for field, key in _BROKER_FIGURES.get(scenario.broker.kind, {}).items():
        value = getattr(scenario.broker, field)
        seconds = value if isinstance(value, float | int) else value.mean_s
        known = BROKER_COSTS[key]
        source = known.source if math.isclose(seconds, known.value) else _GIVEN
        yield [field.removesuffix("_cost"), _cost_text(key, seconds), source]


def _cost_text(name: str, value: float) -> str:
    return f"{value:,.0f} B" if name.endswith("_bytes") else value_text(value, "s")
