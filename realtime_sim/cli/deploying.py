"""The command `manifests`: what Kubernetes, Prometheus, HAProxy and nginx need to run a scenario."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from realtime_sim.cli.app import app
from realtime_sim.cli.inputs import ScenarioArgument, SetOption, scenario_of
from realtime_sim.cli.options import spelled

__all__: list[str] = []  # commands are found by the program


@app.command()
def manifests(
    scenario: ScenarioArgument,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Write the files into this folder.")],
    servers: Annotated[int | None, typer.Option(help="How many, as `plan` found; servers.count if left out.")] = None,
    image: Annotated[str, typer.Option(help="What the pods run; a placeholder if left out.")] = "",
    namespace: Annotated[str, typer.Option(help="Where the objects are.")] = "default",
    name: Annotated[str, typer.Option(help="Of the objects; made from the scenario's name if left out.")] = "",
    port: Annotated[int, typer.Option(help="Where the server listens.")] = 8080,
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
) -> None:
    """Kubernetes manifests, Prometheus rules, and snippets for HAProxy and nginx, with reasons and notes.

    Example: realtime-sim manifests million --servers 24 --out out/million
    """
    from realtime_sim import deployment
    from realtime_sim.deployment.target import IMAGE
    from realtime_sim.files import write_whole

    asked = scenario_of(scenario, set_)
    if servers is not None:
        with spelled(**{"servers.count": "--servers"}):
            asked = asked.replace(**{"servers.count": servers})
    places = {"namespace": namespace, "name": name or None, "port": port}
    with spelled(*places, "image", output="--out"):
        made = deployment.manifests(asked, image=image or IMAGE, planned=servers is not None, **places)
        snippets = {
            "haproxy.cfg": deployment.haproxy_snippet(asked, **places),
            "nginx.conf": deployment.nginx_snippet(asked, **places),
        }
        written = made.write(out)
        for file, text in snippets.items():
            write_whole(Path(out) / file, text)
            written.append(Path(out) / file)
    if made.short:
        print(f"realtime-sim: {made.short}", file=sys.stderr)
    print(f"{made.about}\n")
    for path in written:
        print(f"File: {path}")
    print("\nLeft to others, as notes.md has it:")
    for note in made.notes:
        print(f"- {note}")
