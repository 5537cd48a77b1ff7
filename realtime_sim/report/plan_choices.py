"""What a reader of a plan may choose: other numbers, other machinery, other loads; what each kind of server costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict

from realtime_sim.agreement.words import percent
from realtime_sim.errors import ScenarioError
from realtime_sim.limits import Limits, server_limits
from realtime_sim.limits.table import plural
from realtime_sim.planning import Evaluation, Plan
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.planning.tables import chosen_text
from realtime_sim.planning.words import ruled_out
from realtime_sim.prices import HOURS_A_MONTH, Cost, Prices
from realtime_sim.report.page import Cell, Mark, Noted, Section, Table, Text
from realtime_sim.report.plan_words import DRILLS, figure_of
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import written_name
from realtime_sim.sizing import Sizing, grown
from realtime_sim.sizing.asking import brokers_of

__all__ = ["cost_sections", "cost_text", "sizing_section", "what_helps", "what_if"]

COSTLIER = (1.3, 2.0)
"""How much more CPU everything may take elsewhere: figures move by such a factor from machine to machine."""

LONGEST_NOTE = 40
"""Letters of a note that stands in a narrow column; a longer one is the reason why there is no answer."""

WORTH_TELLING = 0.01
"""Share of a limit that is used."""

MOST_SERVERS = 10_000
"""Up to which arithmetic looks; no plan takes more."""

_BY = "arithmetic"


def what_if(plan: Plan) -> Section:
    """One server less and one more, remedies, alternatives, and what other loads and costs ask for at least, of a plan
    with an answer.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    """
    rows = [*_neighbours(plan), *_remedies(plan), *_alternatives(plan), *_other_loads(plan)]
    needed = plan.limits.needed
    today = "no number of servers" if needed is None else plural(needed, "server")
    how = f"Arithmetic leaves queueing and storms out; for the scenario as it is, it says {today}."
    header = ("what if", "servers", "known by", "what follows")
    return Section("What if", [Table("Other choices", header, rows, frozenset({1})), Text(how)])


def what_helps(plan: Plan) -> Iterator[Section]:
    """What would help where no number of servers suffices, and what else was chosen among.

    Parameters
    ----------
    plan : Plan
        Without an answer.
    """
    rows = [*_remedies(plan), *_alternatives(plan)]
    if not rows:
        return
    header = ("change", "servers", "known by", "what follows")
    how = "What arithmetic says of a change leaves queueing and storms out: plan the changed scenario to know."
    yield Section("What would help", [Table("Changes", header, rows, frozenset({1})), Text(how)])


def _neighbours(plan: Plan) -> Iterator[list[Cell]]:
    if plan.below is not None:
        not_kept = [check for check in plan.below.checks if check.kept is False]
        broken = [check for check in not_kept if not check.met]
        said = "; ".join(f"{check.constraint} ({DRILLS.get(check.drill, check.drill)}) "
                         f"{figure_of(check, 'found')} of {figure_of(check, 'promised')}"
                         for check in broken or not_kept)  # fmt: skip
        mark = Mark("bad", f"breaks {said}") if broken else Mark("open", f"not shown to keep {said}")
        yield ["one server less", f"{plan.servers - 1:,}", _judged(plan.below), mark]
    more = _changed(plan.answer_scenario, {"servers.count": plan.servers + 1})
    if more is None:
        return
    shares = {row.name: row.given_used_ratio or 0.0 for row in _limits(plan, more).rows}
    used = [f"{name} {percent(share)}" for name, share in shares.items() if share >= WORTH_TELLING]
    yield ["one server more", f"{plan.servers + 1:,}", _BY, f"used: {', '.join(used) or 'nothing'}"]


def _judged(one: Evaluation) -> str:
    return f"{plural(one.replications, 'run')} of each drill" if one.results else _BY


def _limits(plan: Plan, scenario: Scenario) -> Limits:
    return server_limits(scenario, target_utilization=plan.limits.target_utilization)


def _remedies(plan: Plan) -> Iterator[list[Cell]]:
    for remedy in plan.remedies:
        yield [remedy.what, f"{remedy.servers:,}", _BY, remedy.figures]


def _alternatives(plan: Plan) -> Iterator[list[Cell]]:
    for other in plan.alternatives:
        if other.chosen == plan.chosen:
            continue
        count = "none" if other.servers is None else f"{other.servers:,}"
        how = "simulation" if other.replications else _BY
        follows = other.verdict if other.blocked is None else other.blocked.text
        yield [chosen_text(other), count, how, follows]


def _other_loads(plan: Plan) -> Iterator[list[Cell]]:
    """Costlier CPU, more clients, more messages, one more server that may be lost.

    Each asks for no less than the scenario as it is. Where that was simulated, arithmetic alone says no more than how
    many servers it takes at least: what waits decides, and nobody has looked at it.
    """
    for name, case in _harder(plan.scenario).items():
        yield [name, *(_bound(plan, case) if plan.answer.results else _calculated(plan, case))]


def _harder(asked: Scenario) -> dict[str, Scenario]:
    """Loads that ask for more, by what to call them; without those beyond what a scenario may say."""
    lost = _may_be_lost(asked)
    cases = {f"CPU costs {factor:g} times as much": _costlier(asked, factor) for factor in COSTLIER}
    with suppress(ScenarioError):
        cases["twice the clients"] = grown(asked, 2)
    rates = {f"traffic[{i}].rate": 2 * stream.rate for i, stream in enumerate(asked.traffic) if stream.rate}
    if rates and (busier := _changed(asked, rates)):
        cases["twice the messages"] = busier
    also = "" if not lost else f", not {lost:,}"
    if fewer := _changed(asked, {"slo.survive_servers": lost + 1}):
        cases[f"{plural(lost + 1, 'server')} may be lost{also}"] = fewer
    return cases


def _changed(scenario: Scenario, changes: Mapping[str, object]) -> Scenario | None:
    """The scenario with other fields; None where it may not have them."""
    try:
        return scenario.replace(**changes)
    except ScenarioError:
        return None


def _may_be_lost(scenario: Scenario) -> int:
    return (scenario.slo.survive_servers or 0) if scenario.slo else 0


def _calculated(plan: Plan, case: Scenario) -> list[Cell]:
    """What the static calculator says of a load, by the rule that the plan itself was made by."""
    found, n = _limits(plan, case), plan.servers
    if found.needed is None:
        return ["none", _BY, Mark("bad", "no number of servers is enough")]
    enough = found.needed <= n
    follows = f"{found.binding or 'nothing'} binds; {n:,} {'are' if enough else 'are not'} enough"
    return [f"{found.needed:,}", _BY, Mark("good" if enough else "bad", follows)]


def _bound(plan: Plan, case: Scenario) -> list[Cell]:
    """The least number that neither arithmetic rules out for a load nor what was found for the scenario as it is."""
    arithmetic = Arithmetic(case)
    lowest = arithmetic.lowest(MOST_SERVERS)
    if blocked := ruled_out(arithmetic, lowest, MOST_SERVERS):
        return ["none", _BY, Mark("bad", blocked.text)]
    least, known_by, why = _shown(plan, _may_be_lost(case) - _may_be_lost(plan.scenario))
    if least > lowest:
        return [f"at least {least:,}", known_by, why]
    static = _limits(plan, case)
    says = "no number" if static.needed is None else f"{static.needed:,}"
    return [f"at least {lowest:,}", _BY, f"a static calculator says {says}, by {static.binding or 'no limit'}"]


def _shown(plan: Plan, more_lost: int) -> tuple[int, str, str]:
    """The least number that what was found of the scenario as it is leaves to any that asks for more, by what that is
    known, and why.

    Where one more may be lost, as few are left of one server more as broke a promise before.
    """
    fewer = [one for one in plan.evaluations if one.servers < plan.servers and not one.kept]
    if not fewer:
        return 1, "", ""
    last = fewer[-1]
    how, names = ("break", last.broken) if last.broken else ("are not shown to keep", last.not_shown)
    why = f"{last.servers:,} {how} {names[0]} already"
    if not more_lost or {check.drill for check in last.checks if check.kept is False} == {"deploy"}:
        return last.servers + 1, _judged(last), why
    same = last.servers + more_lost
    return same + 1, _judged(last), f"{why}; of {same:,}, {more_lost:,} more of them lost, as few are left"


def _costlier(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with every CPU cost of its servers so many times as high."""
    costs = asdict(scenario.servers.resolved_costs)
    changes = {written_name(name): value * factor for name, value in costs.items() if value and name.endswith("_s")}
    return scenario.replace(**{f"servers.costs.{name}": value for name, value in changes.items()})


# --- sizing and cost ------------------------------------------------------------------------------------------------


def sizing_section(sizing: Sizing) -> Section:
    """The sizing table.

    Parameters
    ----------
    sizing : Sizing
        From `realtime_sim.size`.
    """
    head, *rows = sizing.cells()
    words = {i for i, name in enumerate(head) if name in ("profile", "size", "binding", "next", "")}
    head = [name or "note" for name in head]
    how = (
        "Each row is planned by simulation."
        if sizing.queueing
        else "By arithmetic: limits and a reserve. What queueing and storms add to the answer is above."
    )
    grows = (
        "With growth there are so many times the clients and rooms, and messages to these rooms; members of a room, "
        "what goes to everyone, and sessions stay as they are."
    )
    right = frozenset(range(len(head))) - words
    rows = [[*cells, Mark("bad", "no answer", note) if len(note) > LONGEST_NOTE else note] for *cells, note in rows]
    return Section("Sizes and growth", [Table(sizing.headline, head, rows, right), Text(f"{how} {grows}")])


def cost_text(plan: Plan, sizing: Sizing | None) -> str:
    """What the answer costs a month; nothing where there are no prices or no answer.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    sizing : Sizing, optional
        With its prices.
    """
    if sizing is None or plan.servers is None or not _is_priced(plan, sizing):
        return ""
    return str(_cost(plan, sizing.prices, plan.servers))


def _is_priced(plan: Plan, sizing: Sizing) -> bool:
    """Whether the servers that were planned have a price: of a table for other sizes the sizing table alone tells."""
    return sizing.prices is not None and sizing.prices.has_price(plan.scenario.servers.profile)


def _cost(plan: Plan, prices: Prices, servers: int) -> Cost:
    scenario, egress = plan.scenario, plan.limits.row("egress").demand or 0.0
    return prices.monthly(
        servers, [scenario.servers.profile], brokers=brokers_of(scenario), kind=scenario.broker.kind,
        egress_bytes_per_s=egress,
    )  # fmt: skip


def cost_sections(plan: Plan, sizing: Sizing) -> Iterator[Section]:
    """What the answer costs a month, by the prices of the sizing table.

    Parameters
    ----------
    plan : Plan
        From `realtime_sim.plan`.
    sizing : Sizing
        With its prices.
    """
    prices = sizing.prices
    if plan.servers is None or not _is_priced(plan, sizing):
        return
    cost, brokers = _cost(plan, sizing.prices, plan.servers), brokers_of(plan.scenario)
    more = _cost(plan, sizing.prices, plan.servers + 1).total - cost.total
    egress = (plan.limits.row("egress").demand or 0.0) / 1e6
    rows: list[list[Cell]] = [
        ["servers", plural(plan.servers, "server"), f"{cost.servers:,.0f}"],
        ["broker", plural(brokers, "instance"), f"{cost.broker:,.0f}"],
        ["egress", f"{egress:,.4g} MB/s", f"{cost.egress:,.0f}"],
        ["in all", Noted(f"{cost.total / plan.scenario.n_clients * 1000:,.2f}", "per 1,000 clients"),
         f"{cost.total:,.0f}"],
    ]  # fmt: skip
    source = f" Source of the prices: {prices.source}." if prices.source else " The price table names no source."
    told = (
        f"A month has {HOURS_A_MONTH} hours, with the load of the scenario all the time; one server more costs "
        f"{more:,.0f} {prices.currency}.{source}"
    )
    header = ("what", "how much", f"{prices.currency} a month")
    yield Section("Cost", [Table("Cost of the answer", header, rows, frozenset({1, 2})), Text(told)])
