"""The command `realtime-sim`: a scenario in, tables and JSON out. Bad input is one message and exit code 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from realtime_sim.errors import EngineError, Problem, RealtimeSimError, ScenarioError, nearest

if TYPE_CHECKING:
    from realtime_sim.scenario import Scenario

__all__ = ["main"]

_UsageError = typer.BadParameter.__mro__[2]
"""What the command line itself finds wrong; Typer and Click keep its name in different places."""

MISSED, BAD_INPUT, INTERNAL, INTERRUPTED = 1, 2, 70, 130

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate real-time push systems: WebSocket, SSE and long polling, servers, a broker between them.",
)

ScenarioArgument = Annotated[str, typer.Argument(help="A YAML file, the name of a preset, or - for standard input.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change a field, as servers.count=8. May be repeated.")
]
JsonOption = Annotated[str, typer.Option("--json", metavar="FILE", help="Write JSON there; - for standard output.")]


def main() -> None:
    """Run the command line, and turn every expected failure into one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal may lack a letter of a name
    try:
        code = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; nothing was written", INTERRUPTED)
    except _UsageError as error:
        _fail(f"{error.format_message()} See realtime-sim --help.", BAD_INPUT)
    except EngineError as error:
        _fail(f"internal error, please report it: {error}", INTERNAL)
    except RealtimeSimError as error:
        _fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _let_go(sys.stdout)
        _fail(f"the output could not be written ({error.strerror or error}); make room, or write elsewhere", BAD_INPUT)
    if code == INTERRUPTED:  # Typer turns Ctrl-C into an exit code
        _fail("interrupted; nothing was written", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"realtime-sim: {message}", file=sys.stderr)
    sys.exit(code)


def _let_go(stream: TextIO) -> None:
    """Nothing waits in a stream any more that would fail once again when the program ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _scenario(source: str, changes: list[str]) -> Scenario:
    """The scenario a user names, with the changes of `--set`."""
    from realtime_sim import presets
    from realtime_sim.scenario import Scenario
    from realtime_sim.scenario.text import read_text

    if source == "-":
        scenario = Scenario.from_yaml(read_text(sys.stdin.buffer, "standard input") + "\n")
    elif source in presets.NAMES:
        scenario = presets.load(source)
    elif _is_a_name(source):
        raise ScenarioError(Problem("scenario", "must be a preset or a file", source, nearest(source, presets.NAMES)))
    else:
        scenario = Scenario.from_yaml(Path(source))
    values = dict(_assigned("--set", change, "{}") for change in changes)
    return scenario.replace(**values) if values else scenario


def _assigned(option: str, change: str, form: str) -> tuple[str, Any]:
    """Path and value of PATH=VALUE; `form` is what the value stands in, as YAML."""
    from realtime_sim.scenario.text import UNREADABLE, read_value

    path, equals, text = change.partition("=")
    path = path.strip()
    if not equals or not path:
        raise ScenarioError(Problem(option, "must be PATH=VALUE", change, "write it like servers.count=8"))
    try:
        return path, read_value(form.format(text))
    except UNREADABLE:
        raise ScenarioError(Problem(f"{option} {path}", "must have a YAML value", text, "check the brackets")) from None


def _is_a_name(source: str) -> bool:
    """Whether a word is meant as the name of a preset: it is no file, and does not look like a path."""
    return not (os.path.exists(source) or source.endswith((".yaml", ".yml")) or "/" in source)


def _give_json(text: str, path: str) -> None:
    import json

    from realtime_sim.files import write_whole

    if path == "-":
        print(text if _can_be_printed(text) else json.dumps(json.loads(text), indent=1))
    elif path:
        write_whole(Path(path), text)
        print(f"\nJSON: {path}")


def _can_be_printed(text: str) -> bool:
    """Whether standard output has every letter; JSON can spell those it lacks."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True


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
    from realtime_sim.files import check_writable, file_name
    from realtime_sim.simulation import simulate as run
    from realtime_sim.tables import report_text

    asked = _scenario(scenario, set_)
    options = {"engine": engine, "replications": replications, "n_jobs": n_jobs, "record": record}
    figure = Path(plots) / f"{file_name(asked.name)}{'-latency' if compare else ''}.png"
    if json_ not in ("", "-"):
        check_writable(Path(json_))
    storm_figure = figure.with_name(f"{file_name(asked.name)}-storm.png")
    if plots:
        check_writable(figure)
        if not compare and (asked.faults or asked.autoscaling):
            check_writable(storm_figure)
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
        _give_json(results.to_json(), json_)
    if fail_on_slo and any(kept is False for kept in results.objectives()["kept"]):
        raise typer.Exit(MISSED)


def _compare(asked: Scenario, change: str, json_: str, figure: Path | None, **options: Any) -> None:
    """Variants of a scenario side by side; their JSON is a list."""
    import json

    from realtime_sim.comparison import comparison, variants
    from realtime_sim.simulation import simulate as run

    path, values = _assigned("--compare", change, "[{}]")
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
        _give_json(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False), json_)


@app.command()
def limits(
    scenario: ScenarioArgument,
    target_utilization: Annotated[float, typer.Option(help="Busy share a server may reach.")] = 0.7,
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
    json_: JsonOption = "",
) -> None:
    """How many servers each limit needs on its own, with the arithmetic, and which one binds.

    Example: realtime-sim limits million --set servers.memory=8GiB
    """
    import json

    from realtime_sim.limits import server_limits

    found = server_limits(_scenario(scenario, set_), target_utilization=target_utilization)
    if json_ != "-":
        print(found)
    if json_:
        _give_json(json.dumps(found.to_plain(), indent=1, ensure_ascii=False), json_)


@app.command()
def choose(
    direction: Annotated[str, typer.Option(help="server_to_client or both.")] = "server_to_client",
    messages_per_s: Annotated[float, typer.Option(help="To one client.")] = 1.0,
    client_messages_per_s: Annotated[float, typer.Option(help="From one client.")] = 0.0,
    payload: Annotated[str, typer.Option(help="Size of a message, as 200B.")] = "200B",
    rtt: Annotated[str, typer.Option(help="Round trip between client and server, as 50ms.")] = "50ms",
    http_version: Annotated[str, typer.Option(help="1.1 or 2.")] = "1.1",
    tabs_per_browser: Annotated[int, typer.Option(help="Tabs that one browser may have open.")] = 1,
    buffering_proxies: Annotated[bool, typer.Option(help="Proxies on the way hold responses back.")] = False,
    proxies_block_upgrade: Annotated[bool, typer.Option(help="Proxies on the way let no WebSocket through.")] = False,
    mobile: Annotated[bool, typer.Option(help="Clients run on batteries.")] = False,
    needs_resume: Annotated[bool, typer.Option(help="Clients must get what they missed.")] = False,
    profile: Annotated[str, typer.Option(help="Cost profile of the servers.")] = "websockets-asyncio",
    json_: JsonOption = "",
) -> None:
    """Rank the transports for what you need, with reasons and numbers.

    Example: realtime-sim choose --direction both --messages-per-s 2
    """
    import json

    from realtime_sim.choose import choose_transport

    choice = choose_transport(
        direction=direction, messages_per_s=messages_per_s, client_messages_per_s=client_messages_per_s,
        payload=payload, rtt=rtt, http_version=http_version, tabs_per_browser=tabs_per_browser,
        buffering_proxies=buffering_proxies, proxies_block_upgrade=proxies_block_upgrade, mobile=mobile,
        needs_resume=needs_resume, profile=profile,
    )  # fmt: skip
    if json_ != "-":
        print(choice)
    if json_:
        _give_json(json.dumps(choice.to_plain(), indent=1, ensure_ascii=False), json_)


@app.command("presets")
def presets_(name: Annotated[str, typer.Argument(help="Print the YAML of this one.")] = "") -> None:
    """List the scenarios that come with the package, or print one as YAML."""
    from realtime_sim import presets

    if name:
        print(presets.text(name), end="")
        return
    for known in presets.NAMES:
        print(f"{known:12}{presets.about(known)}")


@app.command()
def schema(
    out: Annotated[str, typer.Option(metavar="FILE", help="Write it there; - for standard output.")] = "-",
) -> None:
    """The JSON Schema of a scenario file, for editors that complete and check YAML.

    Example: realtime-sim schema --out scenario.schema.json
    """
    import json

    from realtime_sim.files import write_whole
    from realtime_sim.scenario import Scenario

    text = json.dumps(Scenario.json_schema(), indent=1)
    if out == "-":
        print(text)
    else:
        write_whole(Path(out), text + "\n")
        print(f"Schema: {out}")


@app.command()
def fields(path: Annotated[str, typer.Argument(help="Only this part or field, as clients.network.")] = "") -> None:
    """Every field of a scenario with its unit, default and meaning.

    Example: realtime-sim fields clients.network
    """
    from realtime_sim.guide import fields_text

    print(fields_text(path))


@app.command()
def profiles(name: Annotated[str, typer.Argument(help="Only this profile.")] = "") -> None:
    """The profiles a scenario may name, and the broker's costs: each figure with its source."""
    from realtime_sim.guide import profiles_text

    print(profiles_text(name))


@app.command()
def policies(family: Annotated[str, typer.Argument(help="Only this family, as backoff.")] = "") -> None:
    """The policies a scenario may name, by family, with their parameters and defaults."""
    from realtime_sim.guide import policies_text

    print(policies_text(family))


@app.command()
def demo(out: Annotated[str, typer.Option(help="Folder for figures and JSON.")] = "out") -> None:
    """Limits for one million connections, and a chat under each of the three transports."""
    from realtime_sim.demo import run_demo

    run_demo(Path(out))


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Simulate real-time push systems: WebSocket, SSE and long polling, servers, a broker between them."""
    if show:
        from realtime_sim import __version__

        print(__version__)
        raise typer.Exit
