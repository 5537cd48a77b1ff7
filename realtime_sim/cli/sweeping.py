"""Commands that run a scenario many times: `sweep` over values of its fields, and `sensitivity` to its inputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from realtime_sim.cli.app import INTERRUPTED, app, fail
from realtime_sim.cli.inputs import JsonOption, ScenarioArgument, SetOption, give_json, scenario_of
from realtime_sim.cli.options import check_outputs, listed, spelled
from realtime_sim.errors import Problem, ScenarioError

__all__: list[str] = []  # commands are found by the program

EngineOption = Annotated[str, typer.Option(help="auto, or the name of an engine.")]
JobsOption = Annotated[int | None, typer.Option(help="Processes for the runs, -1 for all cores; chosen if left out.")]
FileOption = Annotated[
    str, typer.Option(metavar="FILE", help="Keep every finished run there, .csv or .parquet; the same command goes on.")
]


@app.command()
def sweep(
    scenario: ScenarioArgument,
    over: Annotated[
        list[str], typer.Option(metavar="PATH=A,B", help="Values of a field. Of several all combinations are run.")
    ],
    replications: Annotated[int, typer.Option(help="Runs of each; intervals are over them from 2 on.")] = 1,
    n_jobs: JobsOption = None,
    engine: EngineOption = "auto",
    figures: Annotated[str, typer.Option(metavar="A,B", help="What to keep of a run, as p99_s,lost_ratio.")] = "",
    file: FileOption = "",
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
    json_: JsonOption = "",
) -> None:
    """Run every combination of values with the same draws, and keep each finished run.

    Example: realtime-sim sweep chat --over servers.count=2,4,8 --replications 5 --file out/sweep.csv
    """
    from realtime_sim.sweeps import sweep as run

    check_outputs(json_=json_)
    asked, chosen, kept = scenario_of(scenario, set_), listed("--over", over), _words(figures)
    with _interruptible(), spelled("over", "replications", "n_jobs", "engine", "figures", "file", output="--file"):
        found = run(
            asked, chosen, replications=replications, n_jobs=n_jobs, engine=engine, figures=kept, file=file or None
        )
    if json_ != "-":
        print(found)
        if file:
            print(f"\nRuns: {file}")
    if json_:
        give_json(found.to_json(), json_)


@app.command()
def sensitivity(
    scenario: ScenarioArgument,
    input_: Annotated[
        list[str],
        typer.Option("--input", metavar="PATH=LOW,HIGH", help="Two numbers are a range, all else a list of values."),
    ],
    of: Annotated[str, typer.Option(help="A figure of a run, or servers: those that the limits need.")] = "p99_s",
    method: Annotated[str, typer.Option(help="tornado, morris or sobol.")] = "tornado",
    samples: Annotated[int | None, typer.Option(help="Trajectories of morris, draws of sobol.")] = None,
    replications: Annotated[int, typer.Option(help="Runs at each point.")] = 1,
    n_jobs: JobsOption = None,
    engine: EngineOption = "auto",
    file: FileOption = "",
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
    json_: JsonOption = "",
    plot: Annotated[str, typer.Option(metavar="FILE", help="Write a figure there.")] = "",
) -> None:
    """Which input moves a figure most.

    Example: realtime-sim sensitivity million --of servers --input servers.memory=1GiB,4GiB --input servers.workers=1,4
    """
    from realtime_sim.sweeps import sensitivity as ask

    check_outputs(json_=json_, plot=plot)
    asked, chosen = scenario_of(scenario, set_), listed("--input", input_, least=2)
    names = ("of", "method", "samples", "replications", "n_jobs", "engine", "file")
    with _interruptible(), spelled(*names, inputs="--input", over="--input", output="--file"):
        found = ask(
            asked, chosen, of=of, method=method, samples=samples, replications=replications, n_jobs=n_jobs,
            engine=engine, file=file or None,
        )  # fmt: skip
    if json_ != "-":
        print(found)
    if plot:
        from realtime_sim import plots

        plots.save(plots.sensitivity_bars(found).figure, Path(plot))
        print(f"\nFigure: {plot}", file=sys.stderr if json_ == "-" else sys.stdout)
    if json_:
        give_json(found.to_json(), json_)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A Ctrl-C ends the command with what the sweep says of the runs that are done."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not str(stopped):
            raise
        fail(str(stopped), INTERRUPTED)


def _words(text: str) -> list[str] | None:
    """Names with commas between them; None where nothing was written."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if text and not words:
        raise ScenarioError(
            Problem("--figures", "must name a figure or more", text, "write them like p99_s,lost_ratio")
        )
    return words or None
