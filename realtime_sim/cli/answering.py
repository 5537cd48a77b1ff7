"""Commands that answer without a run: limits, the choice of a transport, and what a scenario may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realtime_sim.cli.app import app
from realtime_sim.cli.inputs import JsonOption, ScenarioArgument, SetOption, give_json, scenario_of
from realtime_sim.cli.options import spelled

__all__: list[str] = []  # commands are found by the program


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

    asked = scenario_of(scenario, set_)
    with spelled("target_utilization"):
        found = server_limits(asked, target_utilization=target_utilization)
    if json_ != "-":
        print(found)
    if json_:
        give_json(json.dumps(found.to_plain(), indent=1, ensure_ascii=False), json_)


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

    needs = {
        "direction": direction, "messages_per_s": messages_per_s, "client_messages_per_s": client_messages_per_s,
        "payload": payload, "rtt": rtt, "http_version": http_version, "tabs_per_browser": tabs_per_browser,
        "buffering_proxies": buffering_proxies, "proxies_block_upgrade": proxies_block_upgrade, "mobile": mobile,
        "needs_resume": needs_resume, "profile": profile,
    }  # fmt: skip
    with spelled(*needs):
        choice = choose_transport(**needs)
    if json_ != "-":
        print(choice)
    if json_:
        give_json(json.dumps(choice.to_plain(), indent=1, ensure_ascii=False), json_)


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
        with spelled(output="--out"):
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
