"""Commands that run a scenario for real: `live`, `validate` and `calibrate`. They need the extra `live`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from realtime_sim.cli.app import INVALID, MISSED, app
from realtime_sim.cli.inputs import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    give_json,
    scenario_of,
)
from realtime_sim.cli.options import check_outputs, spelled
from realtime_sim.errors import LiveError, Problem, ScenarioError

__all__: list[str] = []  # commands are found by the program

BrokerOption = Annotated[
    str, typer.Option(help="auto starts one; redis-server, fakeredis, or a URL: redis://, kafka://, nats://.")
]
BalancerOption = Annotated[str, typer.Option(help="none (clients choose, as the scenario says), nginx or haproxy.")]
LibraryOption = Annotated[str, typer.Option(help="What opens WebSockets: picows or websockets.")]
TargetOption = Annotated[
    str,
    typer.Option(
        metavar="URL", help="Your own cluster, which clients alone meet: ws, wss, http, https or socketio://."
    ),
]
TokenOption = Annotated[str, typer.Option(metavar="TOKEN", help="What clients show to the target, in query or auth.")]
TimeFieldOption = Annotated[
    str, typer.Option(metavar="FIELD", help="Of the target's JSON messages: when they were sent, s or ms since 1970.")
]
ProcessesOption = Annotated[int | None, typer.Option(help="Processes that play clients; chosen if left out.")]


def _live(module: str) -> ModuleType:
    """A module of the live cluster, whose packages come with an extra."""
    missing = [name for name in ("aiohttp", "picows", "redis", "websockets") if find_spec(name) is None]
    if missing:
        raise LiveError("live", f"needs the package {missing[0]}", "pip install 'realtime-sim[live]'")
    return import_module(f"live.{module}")


@app.command()
def live(
    scenario: ScenarioArgument,
    broker: BrokerOption = "auto",
    balancer: BalancerOption = "none",
    client_library: LibraryOption = "picows",
    client_processes: ProcessesOption = None,
    target: TargetOption = "",
    target_token: TokenOption = "",
    target_time_field: TimeFieldOption = "",
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard", help="Show the run as it goes, on a page that keeps its last figures while it is open."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="Port of that page, 0 for any.")] = 0,
    record: Annotated[str, typer.Option(help="summary, or full to keep every delivery.")] = "summary",
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
    json_: JsonOption = "",
    plots: Annotated[str, typer.Option(metavar="DIR", help="Write a figure of the run into this folder.")] = "",
) -> None:
    """Run a scenario on real sockets, on this machine. Exits with 3 if clients or others were what was measured.

    Example: realtime-sim live examples/server_dies.yaml --dashboard --json out/live.json
    """
    from realtime_sim.files import file_name
    from realtime_sim.tables import report_text

    asked = scenario_of(scenario, set_)
    if port and not dashboard:
        raise ScenarioError(Problem("--port", "must be left out without a page", port, "add --dashboard"))
    figure = Path(plots) / f"{file_name(asked.name)}-live.png"
    check_outputs(json_=json_, plots=figure if plots else "")
    options = {
        "broker": broker, "balancer": balancer, "client_library": client_library, "client_processes": client_processes,
        "target": target, "target_token": target_token, "target_time_field": target_time_field, "record": record,
    }  # fmt: skip
    watchers = []
    with spelled(*options, "port"):
        if dashboard:
            watchers.append(_live("dashboard").Watching(port, _announce))
        results = _live("running").run(asked, **options, watchers=watchers)
    if json_ == "-":
        for reason in results.conditions["reasons"]:  # elsewhere a warning has them
            print(f"NOT VALID: {reason}", file=sys.stderr)
    else:
        print(report_text(results))
        _print_conditions(results.conditions)
    if plots:
        from realtime_sim import plots as faces

        faces.save(faces.summary_figure(results), figure)
        print(f"\nFigure: {figure}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        give_json(results.to_json(), json_)
    if not results.conditions["valid"]:
        raise typer.Exit(INVALID)


def _announce(url: str) -> None:
    """Where the dashboard is, as soon as it is there."""
    print(
        f"Dashboard: {url} until the run is over; a page that is open keeps its last figures",
        file=sys.stderr,
        flush=True,
    )


def _print_conditions(conditions: dict) -> None:
    """Under what conditions a run was measured; if it is not valid, a warning has said why."""
    if "target" in conditions:
        print(f"\nMeasured against {conditions['target']}, by its clients alone.")
    else:
        print(f"\nMeasured with {conditions['broker']}, balancer {conditions['balancer']}.")
    for what in conditions["unknown"]:
        print(f"NOT KNOWN: {what}")


@app.command()
def validate(
    scenario: ScenarioArgument,
    broker: BrokerOption = "auto",
    balancer: BalancerOption = "none",
    runs: Annotated[int, typer.Option(help="Live runs; their median is compared.")] = 3,
    profile: Annotated[str, typer.Option(metavar="FILE", help="What calibrate wrote; measured anew if left out.")] = "",
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
    json_: JsonOption = "",
    report: Annotated[str, typer.Option(metavar="FILE", help="Write a page there: .html, .md or .json.")] = "",
) -> None:
    """Is the model right? Calibrate, simulate, run for real, and compare. Exits with 1 if they do not agree.

    Example: realtime-sim validate examples/chat.yaml --report out/validation.html
    """
    check_outputs(json_=json_, report=report)
    asked = scenario_of(scenario, set_)
    with spelled("broker", "balancer", "runs", "profile"):
        found = _live("validation").validate(
            asked, broker=broker, balancer=balancer, runs=runs, profile=profile or None
        )
    if json_ != "-":
        print(found)
    if report:
        from realtime_sim.report import write_report

        write_report(found, Path(report))
        print(f"\nReport: {report}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        give_json(found.to_json(), json_)
    if not found.agrees:
        raise typer.Exit(MISSED)


@app.command()
def calibrate(
    out: Annotated[str, typer.Option(metavar="FILE", help="Write the profile there.")] = "",
    repeats: Annotated[int, typer.Option(help="Repeats of every measurement; intervals are over them.")] = 3,
) -> None:
    """Measure what this machine's servers cost, with intervals: a profile that a scenario can name.

    Example: realtime-sim calibrate --out out/here.yaml
    """
    check_outputs(out=out)
    with spelled("repeats"):
        found = _live("calibration").measure(repeats=repeats)
    print(found)
    if out:
        found.write(Path(out))
        print(f"\nProfile: {out}; name it in a scenario as servers: {{profile: {out}}}")
