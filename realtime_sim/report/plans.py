"""The page of a plan: the answer, what decides it, what a static calculator would have said, and every drill."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from realtime_sim.agreement.words import percent, value_text
from realtime_sim.answers import json_text, without_nan
from realtime_sim.errors import ScenarioError
from realtime_sim.limits.table import plural
from realtime_sim.planning import Check, Evaluation, Plan
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.report import parts
from realtime_sim.report.page import Cell, Code, Mark, Noted, Page, Picture, Section, Table, Text
from realtime_sim.report.plan_choices import cost_sections, cost_text, sizing_section, what_helps, what_if
from realtime_sim.report.plan_grounds import assumptions, limits_section, risks
from realtime_sim.report.plan_words import DRILLS, drill_cell, figure_of, found_cell, promises_in_words, verdict_mark
from realtime_sim.report.runs import hop_blocks
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.sizing import Sizing, autoscaling_lag, lag_of, share_of_promise, steps_of
from realtime_sim.sizing.shares import drill_of_both

__all__ = ["json_of_plan", "page_of_plan"]

MOST_DECISIONS = 12
"""Rows of what the control plane did in a drill."""

GROWTH_PER_MIN = (0.02, 0.1, 0.5)
"""For which growth a minute the lag of an autoscaler is told."""

_SMALL_PRINT = "Small print is the 95 % interval over replications. A promise is kept for sure if all of it is."


def page_of_plan(plan: Plan, sizing: Sizing | None = None, asked: Sequence[str] = ()) -> Page:
    """Everything a review asks about a number of servers, the answer first.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    sizing : Sizing, optional
        Other kinds of servers and levels of growth, and by its prices the cost.
    asked : sequence of str
        Options of the command line that give the plan again; what the plan itself knows of them if left out.
    """
    scenario = plan.scenario
    title = "no number of servers is enough" if plan.servers is None else plural(plan.servers, "server")
    question = f"How many servers does “{scenario.name}” need, so that {promises_in_words(scenario.slo)}?"
    simulated = plan.answer is not None and bool(plan.answer.results)
    kind = "bad" if plan.servers is None else "good" if plan.confident and simulated else "open"
    answer = Mark(kind, f"{plan.headline} {_how_sure(plan)}".rstrip())
    return Page(f"{scenario.name}: {title}", question, answer, _about(plan), [*_sections(plan, sizing, asked)])


def json_of_plan(plan: Plan, sizing: Sizing | None = None) -> str:
    """JSON of a plan with its steps, the lag of an autoscaler, and the sizing table.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    sizing : Sizing, optional
        Other kinds of servers and levels of growth.
    """
    lag = lag_of(plan)
    more = {
        "steps": [step.to_plain() for step in steps_of(plan)],
        "autoscaling_lag": None if lag is None else lag.to_plain(),
        "sizing": None if sizing is None else sizing.to_plain(),
    }
    return json_text(without_nan({**plan.to_plain(), **more}))


def _how_sure(plan: Plan) -> str:
    """How sure the answer is; where there is none, where to read what would help."""
    if plan.servers is not None:
        return plan.verdict
    return "Changes that would help are below." if plan.remedies else ""


def _about(plan: Plan) -> str:
    scenario = plan.scenario
    runs = max((one.replications for one in plan.evaluations), default=0)
    how = f"up to {plural(runs, 'run')} of each drill" if runs else "arithmetic alone, queueing left out"
    looked_at = plural(len(plan.evaluations), "number")
    return f"{scenario.n_clients:,} clients; {looked_at} of servers looked at, {how}; seed {scenario.seed}."


def _sections(plan: Plan, sizing: Sizing | None, asked: Sequence[str]) -> Iterator[Section]:
    yield _answer(plan, sizing)
    if plan.servers is None:
        yield from what_helps(plan)
    yield from _promises(plan)
    yield from _steps(plan)
    yield limits_section(plan)
    yield from _latency(plan)
    yield from _drills(plan)
    if plan.servers is not None:
        yield what_if(plan)
    if sizing is not None and sizing.frame["servers"].notna().any():
        yield sizing_section(sizing)
        yield from cost_sections(plan, sizing)
    yield risks(plan)
    yield from assumptions(plan)
    yield parts.scenario_section(plan.scenario)
    yield _origin(plan, sizing, asked)


# --- the answer, and every promise ----------------------------------------------------------------------------------


def _answer(plan: Plan, sizing: Sizing | None) -> Section:
    rows: list[list[Cell]] = [["servers", "none is enough" if plan.servers is None else f"{plan.servers:,}"]]
    if plan.servers is None and plan.evaluations:
        rows.append(["the largest number looked at", f"{plan.evaluations[-1].servers:,}"])
    rows.append(["what binds", plan.binding or "nothing"])
    if plan.servers is not None:
        rows.append(["what would bind next", plan.next_binding or "nothing"])
        rows.append(["clients on each", f"{plan.scenario.n_clients / plan.servers:,.0f}"])
        rows.append(["confident", _confident(plan)])
    if plan.limits.needed is not None:
        rows.append(["what a static calculator says", plural(plan.limits.needed, "server")])
    if cost := cost_text(plan, sizing):
        rows.append(["cost", cost])
    about = " ".join(plan.scenario.description.split())
    told = [Text(about)] if about else []
    return Section("The answer", [*told, Table("The answer in figures", ("question", "answer"), rows)])


def _confident(plan: Plan) -> Mark:
    if not plan.answer.results:
        return Mark("open", "nothing was simulated")
    return Mark("good", "yes") if plan.confident else Mark("open", "no")


def _columns(plan: Plan) -> list[Evaluation]:
    """What the table of promises shows: one server less, and the answer; the last one tried where there is none."""
    if plan.answer is None:
        return list(plan.evaluations[-1:])
    return [one for one in (plan.below, plan.answer) if one is not None]


def _promises(plan: Plan) -> Iterator[Section]:
    shown = _columns(plan)
    if not shown:
        return
    last = shown[-1]
    found = [{(check.constraint, check.drill, check.decided_by): check for check in one.checks} for one in shown]
    rows = []
    for key, check in sorted((found[0] | found[-1]).items(), key=lambda item: _order(item[1])):
        cells = [found_cell(one.get(key)) for one in found]
        name = f"{check.constraint}, {drill_cell(check, plan.scenario.slo)}"
        verdict = verdict_mark(check) if key in found[-1] else Mark("open", "not looked at")
        rows.append([name, figure_of(check, "promised"), *cells, _share(found[-1].get(key)), verdict])
    header = ["promise", "promised", *(f"with {one.servers:,}" for one in shown), "of what may be",
              f"verdict with {last.servers:,}"]  # fmt: skip
    right = frozenset(range(1, len(header) - 1))
    picture = Picture("promises", _promises_alt(shown, plan.binding), lambda: parts.drawing().promises_by_servers(plan))
    blocks: list[Picture | Table | Text] = [
        *([picture] if any(one.results for one in plan.evaluations) else []),
        Table("Every promise and limit, in every drill", header, rows, right),
        *([Text(_SMALL_PRINT)] if any(one.results for one in shown) else []),
        *([Text(plan.outage.text)] if plan.outage else []),
        _looked_at(plan),
    ]
    yield Section("Every promise", blocks)


def _order(check: Check) -> tuple[bool, int]:
    """Arithmetic first, then drill by drill."""
    return check.decided_by == "simulation", [*DRILLS].index(check.drill)


def _share(check: Check | None) -> str:
    return "-" if check is None else percent(share_of_promise(check)[0])


def _promises_alt(shown: list[Evaluation], binding: str | None) -> str:
    told = []
    for one in shown:
        drawn = [check for check in one.checks if check.decided_by == "simulation" or check.constraint == binding]
        shares = [f"{check.constraint} ({DRILLS.get(check.drill, check.drill)}) {_share(check)}" for check in drawn]
        told.append(f"with {plural(one.servers, 'server')}: {', '.join(shares) or 'ruled out by arithmetic'}")
    return f"What was found of each promise as a share of what is promised, against servers: {'; '.join(told)}."


def _looked_at(plan: Plan) -> Table:
    rows = []
    for one in sorted(plan.evaluations, key=lambda one: one.first_look):
        drills = ", ".join(DRILLS.get(drill, drill) for drill in one.results)
        how = f"{plural(one.replications, 'run')} of: {drills}" if one.results else "arithmetic"
        rows.append([f"{one.servers:,}", _verdict(one), how])
    return Table("Numbers of servers that were looked at", ("servers", "verdict", "judged by"), rows)


def _verdict(one: Evaluation) -> Mark:
    if one.first_look:
        figures = f"figures miss {', '.join(one.broken)}" if one.broken else "figures meet all"
        return Mark("open", figures, "a first look, which decides nothing")
    if not one.results:
        return Mark("bad", f"breaks {', '.join(one.broken)}") if one.broken else Mark("open", "meets every limit")
    doubt = "" if one.sure else "not for sure"
    if one.broken:
        return Mark("open" if doubt else "bad", f"breaks {', '.join(one.broken)}", doubt)
    if one.not_shown:
        return Mark("open", f"not shown to keep {', '.join(one.not_shown)}")
    return Mark("open" if doubt else "good", "keeps all", doubt)


# --- what a static calculator leaves out ----------------------------------------------------------------------------


def _steps(plan: Plan) -> Iterator[Section]:
    steps = steps_of(plan)
    if not steps:
        return
    rows = []
    for step in steps:
        doubt = "" if step.exact else "at most"
        rows.append([step.name, f"{step.added:+,}", Noted(f"{step.servers:,}", doubt), step.why])
    told = "; ".join(f"{step.name} {step.added:+,}, {step.servers:,} in all" for step in steps)
    lags = [autoscaling_lag(plan.scenario, plan.servers, growth) for growth in GROWTH_PER_MIN]
    lag_rows = [[f"{percent(lag.growth_per_min)} a minute", f"{lag.lag_s:g} s", f"{lag.added:+,}", f"{lag.needed:,}",
                 percent(lag.filled_ratio)] for lag in lags]  # fmt: skip
    header = ("step", "adds", "servers", "what it is")
    yield Section(
        "What queueing, storms and lag add",
        [
            Picture("steps", f"Servers step by step: {told}.", lambda: parts.drawing().servers_by_step(plan)),
            Table("From the static answer to the plan", header, rows, frozenset({1, 2})),
            Text(
                "A static calculator takes the tightest of connections, memory, CPU and bandwidth, filled to "
                f"{percent(plan.limits.target_utilization)} where time is spent, and a reserve. “At most”: fewer were "
                "not looked at in that drill."
            ),
            Text(
                "The plan is for a fixed number of servers, which stand there before the clients come. An autoscaler "
                "sees them first, and takes its time: leaving the number to one takes servers on top."
            ),
            Table(
                "If an autoscaler had to bring the servers while clients come",
                ("growth of the clients", "lag", "adds", "servers", "fill each to"), lag_rows, frozenset(range(1, 5)),
            ),
            Code(lag_of(plan).arithmetic, "text", "The arithmetic of the lag, for a tenth more clients a minute"),
        ],
    )  # fmt: skip


# --- runs -----------------------------------------------------------------------------------------------------------


def _latency(plan: Plan) -> Iterator[Section]:
    if plan.answer is None or "normal" not in plan.answer.results:
        return
    drill = drill_of_both(plan)
    run, below = plan.answer.results[drill], plan.below.results.get(drill) if plan.below else None
    told = (
        f"{DRILLS[drill]}, {plural(plan.servers, 'server')}: p50 {_quantile(run, 'p50')}, p99 {_quantile(run, 'p99')}"
    )
    if below is not None:
        told += f"; one less: p50 {_quantile(below, 'p50')}, p99 {_quantile(below, 'p99')}"
    alt = f"Share of deliveries within a latency: {told}."
    yield Section(
        f"What clients see with {plural(plan.servers, 'server')}",
        [Picture("cdf", alt, lambda: parts.drawing().latency_around(plan)), *hop_blocks(plan.answer.results["normal"])],
    )


def _quantile(run: Results, name: str) -> str:
    return value_text(run.latency_s()[name].value, "s")


def _drills(plan: Plan) -> Iterator[Section]:
    if plan.answer is None:
        return
    for drill in filter(plan.answer.results.__contains__, DRILLS):
        label = {plural(plan.servers, "server"): plan.answer.results[drill]}
        storms = parts.storms(label, lambda fault, label=label: parts.drawing().storm(label, fault, zoom=True), drill)
        for section in storms:
            yield Section(f"{section.title}: {DRILLS[drill]}", section.blocks)
        yield from parts.decisions(label, f"What the control plane did: {DRILLS[drill]}", MOST_DECISIONS)


# --- how to get it again --------------------------------------------------------------------------------------------


def _origin(plan: Plan, sizing: Sizing | None, asked: Sequence[str]) -> Section:
    """The commands, and what they read besides the scenario."""
    same = parts.origin(_commands(plan, asked or _known(plan)), plan.scenario)
    if "--prices" not in asked or sizing is None or sizing.prices is None:
        return same
    fields = sizing.prices.model_dump(mode="json", exclude_defaults=True)
    table = "\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())
    return Section(same.title, [*same.blocks, Code(table, "yaml", asked[[*asked].index("--prices") + 1])])


def _known(plan: Plan) -> Iterator[str]:
    """What a plan knows of how it was asked for: what was chosen among, and how often drills were to be run."""
    chosen = [dict(one["chosen"]) for one in plan.to_plain()["alternatives"]]
    for path in chosen[0] if chosen else ():
        values = dict.fromkeys(json.dumps(one[path]) for one in chosen)
        yield from ("--over", f"{path}={','.join(values)}")
    if plan.replications:
        yield from ("--replications", str(plan.replications))
    elif plan.evaluations[-1].checks != Arithmetic(plan.scenario).checks(plan.evaluations[-1].servers):
        yield "--no-queueing"  # else a plan that would have simulated had nothing left to simulate


def _commands(plan: Plan, asked: Iterable[str]) -> list[list[str]]:
    file, runs = parts.file_of(plan.scenario), plan.replications
    lines = [["realtime-sim", "plan", file, *asked, "--report", "plan.html"]]
    if plan.servers is None or not runs:
        return lines
    for servers in (plan.servers, plan.servers - 1)[: 2 if plan.servers > 1 else 1]:
        again = ["--replications", str(plan.at(servers).replications or runs)]
        for drill, case in _runnable(plan, servers).items():
            engine = _engine(plan, servers, drill)
            lines.append(["realtime-sim", "simulate", file, *engine, *again, *_changes(plan.scenario, case)])
    if plan.outage:
        run = plan.outage.results
        once = ["--engine", run.engine, "--replications", "1"]
        lines.append(["realtime-sim", "simulate", file, *once, *_changes(plan.scenario, run.scenario)])
    return lines


def _runnable(plan: Plan, servers: int) -> dict[str, Scenario]:
    """Its drills; none of a number with which the scenario cannot be, as where a fault names a server beyond it."""
    try:
        return plan.drills(servers)
    except ScenarioError:
        return {}


def _engine(plan: Plan, servers: int, drill: str) -> list[str]:
    run = next(
        (one.results[drill] for one in plan.evaluations if one.servers == servers and drill in one.results), None
    )
    return [] if run is None else ["--engine", run.engine]


def _changes(scenario: Scenario, case: Scenario) -> Iterator[str]:
    """What turns the scenario into one of its drills."""
    whole = case.model_dump(mode="json", by_alias=True)
    for path, value in _differences(scenario.to_plain(), case.to_plain(), whole):
        if path not in ("name", "description"):
            yield from ("--set", f"{path}={value if isinstance(value, str) else json.dumps(value)}")


def _differences(before: object, after: object, whole: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Path and new value of every field that differs; lists are one value, and defaults are read from the whole."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        if before != after:
            yield path, whole if after is None else after
        return
    for name in dict.fromkeys([*before, *after]):
        inner = f"{path}.{name}".lstrip(".")
        yield from _differences(before.get(name), after.get(name), whole[name], inner)
