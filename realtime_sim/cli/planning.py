"""The command `plan`: how many servers keep every promise, as a table, a report for a review, and JSON."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_sim.cli.app import MISSED, app
from realtime_sim.cli.inputs import JsonOption, ScenarioArgument, SetOption, give_json, scenario_of
from realtime_sim.cli.options import assigned, check_outputs, listed, spelled
from realtime_sim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from realtime_sim.planning import Plan
    from realtime_sim.prices import Prices
    from realtime_sim.scenario import Scenario
    from realtime_sim.sizing import Sizing

__all__: list[str] = []  # commands are found by the program

GROWTH = (1, 2, 5, 10)
"""Levels of growth of a report, where none are asked for: by arithmetic, and for every profile."""


@app.command()
def plan(
    scenario: ScenarioArgument,
    slo: Annotated[
        list[str], typer.Option("--slo", metavar="NAME=VALUE", help="A promise, as p99=200ms. May be repeated.")
    ] = [],  # noqa: B006 - typer reads the default, nothing changes it
    replications: Annotated[
        int, typer.Option(help="Runs of each drill at the answer and below it, or more, if they decide nothing.")
    ] = 3,
    queueing: Annotated[
        bool, typer.Option("--queueing/--no-queueing", help="Simulate, or leave it to arithmetic alone.")
    ] = True,
    over: Annotated[
        list[str], typer.Option("--over", metavar="PATH=A,B", help="Plan each of these, and take the fewest servers.")
    ] = [],  # noqa: B006
    growth: Annotated[
        str, typer.Option(metavar="1,2,5", help="Plan so many times the clients too, for the sizing table.")
    ] = "",
    prices: Annotated[str, typer.Option(metavar="FILE", help="A price table: currency, server_per_hour, ...")] = "",
    n_jobs: Annotated[
        int | None, typer.Option(help="Processes for the runs, -1 for all cores; chosen if left out.")
    ] = None,
    report: Annotated[str, typer.Option(metavar="FILE", help="Write a page there: .html, .md or .json.")] = "",
    set_: SetOption = [],  # noqa: B006
    json_: JsonOption = "",
) -> None:
    """How many servers keep every promise, which limit binds, and how sure that is. Exits with 1 if none suffices.

    Example: realtime-sim plan million --slo survive_servers=1 --report out/million.html
    """
    from realtime_sim.planning import plan as run
    from realtime_sim.prices import Prices
    from realtime_sim.sizing import size

    check_outputs(json_=json_, report=report)
    asked = scenario_of(scenario, set_)
    promises = {f"slo.{name}": value for name, value in (assigned("--slo", change) for change in slo)}
    asked = asked.replace(**promises) if promises else asked
    chosen = listed("--over", over)
    with spelled("replications", "n_jobs", "over", "growth", "prices"):
        levels, table = _levels(growth, asked), Prices.read(prices) if prices else None
        if table:
            _check_prices(table, asked, chosen)
        found = run(asked, replications=replications, queueing=queueing, over=chosen or None, n_jobs=n_jobs)
        sizing = None
        if levels and queueing:
            sizing = size(found.scenario, growth=levels, prices=table, replications=replications, n_jobs=n_jobs)
        elif report or table or levels:
            sizing = _by_arithmetic(found.scenario, levels or GROWTH, table)
    if json_ != "-":
        print(found)
        if sizing is not None:
            print(f"\n{sizing}")
    words = _again(set_, slo, over, growth, prices, replications if queueing else None)
    _write(found, sizing, words, report, json_)
    if found.servers is None:
        raise typer.Exit(MISSED)


def _levels(text: str, asked: Scenario) -> list[float]:
    """Levels of growth from what was typed; one that cannot be is found out before anything is planned."""
    from realtime_sim.sizing.growth import grown_to
    from realtime_sim.units import parse_number

    try:
        levels = [parse_number(part) for part in text.split(",")] if text else []
    except ValueError:
        step = "write them like 1,2,5"
        raise ScenarioError(Problem("growth", "must be numbers with commas between them", text, step)) from None
    for level in levels:
        grown_to(asked, level)
    return levels


def _check_prices(prices: Prices, asked: Scenario, over: Mapping[str, Sequence[object]]) -> None:
    """A price that is missing, of whatever may be chosen, is found out before anything is planned."""
    from realtime_sim.sizing.asking import brokers_of

    for values in itertools.product(*over.values()):
        case = asked.replace(**dict(zip(over, values, strict=True)))
        prices.monthly(1, [case.servers.profile], brokers=brokers_of(case), kind=case.broker.kind)


def _by_arithmetic(chosen: Scenario, growth: list[float] | tuple[int, ...], prices: Prices | None) -> Sizing:
    """The table of every profile that has a price, in no time."""
    from realtime_sim.profiles import PROFILES
    from realtime_sim.sizing import size

    own = chosen.servers.profile
    profiles = dict.fromkeys([own, *(name for name in PROFILES if name != "zero")])
    if prices is not None:
        profiles = [name for name in profiles if name == own or prices.has_price(name)]
    return size(chosen, profiles=list(profiles), growth=growth, prices=prices, queueing=False)


def _again(
    set_: list[str], slo: list[str], over: list[str], growth: str, prices: str, replications: int | None
) -> list[str]:
    """The options that give the same plan again: what decides it and its tables, and neither files nor processes."""
    words = [word for name, changes in (("--set", set_), ("--slo", slo), ("--over", over)) for change in changes
             for word in (name, change)]  # fmt: skip
    words += ["--growth", growth] if growth else []
    words += ["--prices", Path(prices).name] if prices else []
    return words + (["--no-queueing"] if replications is None else ["--replications", str(replications)])


def _write(found: Plan, sizing: Sizing | None, words: list[str], report: str, json_: str) -> None:
    from realtime_sim.report import write_report
    from realtime_sim.report.plans import json_of_plan

    if report:
        write_report(found, Path(report), sizing=sizing, asked=words)
        print(f"\nReport: {report}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        give_json(json_of_plan(found, sizing), json_)
