"""The command `simulate`: one run, or variants of a scenario side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtime_sim.cli.app import MISSED, app
from realtime_sim.cli.inputs import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    give_json,
    scenario_of,
)
from realtime_sim.cli.options import assigned, check_outputs, spelled

if TYPE_CHECKING:
    from realtime_sim.scenario import Scenario

__all__: list[str] = []  # commands are found by the program


@app.command()
def simulate(
    scenario: ScenarioArgument,
    engine: Annotated[str, typer.Option(help="auto, or the name of an engine.")] = "auto",
    replications: Annotated[int, typer.Option(help="Independent runs; intervals are over them from 2 on.")] = 1,
    n_jobs: Annotated[
        int | None, typer.Option(help="Processes for them, -1 for all cores; chosen if left out.")
    ] = None,
    record: Annotated[str, typer.Option(help="summary, or full to keep every delivery.")] = "summary",
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
    json_: JsonOption = "",
    plots: Annotated[str, typer.Option(metavar="DIR", help="Write figures of the run into this folder.")] = "",
    fail_on_slo: Annotated[bool, typer.Option("--fail-on-slo", help="Exit with 1 if an objective is missed.")] = False,
    compare: Annotated[
        str, typer.Option(metavar="PATH=A,B", help="Run the values of a field with the same draws, side by side.")
    ] = "",
) -> None:
    """Simulate a scenario: latency hop by hop, deliveries, connections, recovery.

    Example: realtime-sim simulate chat --set servers.count=8 --json out/chat.json
    """
    from realtime_sim.files import file_name
    from realtime_sim.simulation import simulate as run
    from realtime_sim.tables import report_text

    asked = scenario_of(scenario, set_)
    options = {"engine": engine, "replications": replications, "n_jobs": n_jobs, "record": record}
    figure = Path(plots) / f"{file_name(asked.name)}{'-latency' if compare else ''}.png"
    storm_figure = figure.with_name(f"{file_name(asked.name)}-storm.png")
    check_outputs(json_=json_, plots=figure if plots else "")
    if plots and not compare and (asked.faults or asked.autoscaling):
        check_outputs(plots=storm_figure)
    with spelled(*options):
        if compare:
            _compare(asked, compare, json_, figure if plots else None, **options)
            return
        results = run(asked, **options)
    if json_ != "-":
        print(report_text(results))
    if plots:
        from realtime_sim import plots as faces

        drawn = {figure: faces.summary_figure(results)}
        storms = results.storm["affected"]
        if storms.any():
            drawn[storm_figure] = faces.storm(results, fault=int(storms.idxmax()))
        for path, picture in drawn.items():
            faces.save(picture, path)
            print(f"\nFigure: {path}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        give_json(results.to_json(), json_)
    if fail_on_slo and any(kept is False for kept in results.objectives()["kept"]):
        raise typer.Exit(MISSED)


def _compare(asked: Scenario, change: str, json_: str, figure: Path | None, **options: Any) -> None:
    """Variants of a scenario side by side; their JSON is a list."""
    import json

    from realtime_sim.answers import json_text
    from realtime_sim.comparison import comparison, variants
    from realtime_sim.simulation import simulate as run

    path, values = assigned("--compare", change)
    # JSON is YAML: a label can be typed again as it stands.
    labels = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    chosen = variants(asked, path, dict(zip(labels, values, strict=True)))
    runs = {label: run(variant, **options) for label, variant in chosen.items()}
    if json_ != "-":
        print(f"{asked.name}: the same draws for each {path}\n\n{comparison(runs, path)}")
        for label, results in runs.items():
            print("".join(f"\nWarning, {label}: {text}" for text in results.warnings), end="")
        print()
    if figure:
        from realtime_sim import plots as faces

        faces.save(faces.comparison_figure(runs), figure)
        print(f"\nFigure: {figure}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        plain = [results.to_plain() for results in runs.values()]
        give_json(json_text(plain), json_)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="JSON of a run, as simulate --json writes it.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="That of another, simulated or live.")],
    json_: JsonOption = "",
    report: Annotated[str, typer.Option(metavar="FILE", help="Write a page there: .html, .md or .json.")] = "",
) -> None:
    """Hold two runs against each other, figure by figure. Exits with 1 if a live run is off by more than is allowed.

    Example: realtime-sim compare out/run.json out/live.json
    """
    from realtime_sim.agreement import compare_json
    from realtime_sim.report import write_report

    check_outputs(json_=json_, report=report)
    found = compare_json(a, b)
    if json_ != "-":
        print(found)
    if report:
        write_report(found, Path(report))
        print(f"\nReport: {report}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        give_json(found.to_json(), json_)
    if found.kind == "validation" and not found.agrees:
        raise typer.Exit(MISSED)
