"""The command `app`: the explorer as a web page. It needs the extra `notebook`."""

from __future__ import annotations

import threading
import webbrowser
from importlib.util import find_spec
from typing import Annotated

import typer

from realtime_sim.cli.app import app
from realtime_sim.cli.inputs import SetOption, scenario_of
from realtime_sim.cli.options import spelled
from realtime_sim.errors import LiveError, Problem, ScenarioError

__all__: list[str] = []  # commands are found by the program


@app.command("app")
def app_(
    scenario: Annotated[
        str,
        typer.Argument(help="A YAML file, the name of a preset, or - for standard input; chosen there if left out."),
    ] = "",
    port: Annotated[int, typer.Option(help="Port of the page, 0 for any that is free.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address, and open nothing.")] = False,
    set_: SetOption = [],  # noqa: B006 - typer reads the default, nothing changes it
) -> None:
    """Describe a system on a web page and move its figures: servers, latency, storms, a report. Ctrl-C ends it.

    Example: realtime-sim app chat --set servers.count=8
    """
    missing = [name for name in ("ipywidgets", "voila") if find_spec(name) is None]
    if missing:
        raise LiveError("app", f"needs the package {missing[0]}", "pip install 'realtime-sim[notebook]'")
    if set_ and not scenario:
        raise ScenarioError(Problem("--set", "must go with a scenario", set_[0], "name one before it, such as chat"))
    asked = scenario_of(scenario, set_) if scenario else None
    from realtime_sim.app import serve

    def announce(url: str) -> None:
        print(f"The page is at {url} until Ctrl-C", flush=True)
        if not no_browser:  # in a thread, as a browser of the terminal returns when it is left
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    with spelled("port"):
        serve(asked, port, announce)
