"""The demonstration: limits for one million connections, and one chat under each of the three transports."""

from __future__ import annotations

import time
from pathlib import Path

from realtime_sim import plots, presets
from realtime_sim.comparison import comparison
from realtime_sim.files import file_name
from realtime_sim.limits import connections_claim, server_limits
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

__all__ = ["run_demo"]

TRANSPORTS = ("websocket", "sse", "long_polling")


def run_demo(out: Path, scenario: Scenario | None = None) -> list[Path]:
    """Print the demonstration, and leave its figures and JSON in a folder.

    Parameters
    ----------
    out : Path
        Folder; made if it is missing.
    scenario : Scenario, optional
        What to simulate instead of the preset `chat`.

    Returns
    -------
    list of Path
        What was written.
    """
    begun = time.monotonic()
    print("One million connections\n")
    print(server_limits(presets.load("million")))
    print("\nOften claimed: 20 to 65 servers, at 10,000 to 65,000 connections each. Do the two go together?\n")
    print(connections_claim(1_000_000))
    chat = scenario or presets.load("chat")
    print(f"\nThe scenario '{chat.name}' under each transport, {chat.duration:g} s simulated\n")
    runs = {transport: simulate(with_transport(chat, transport)) for transport in TRANSPORTS}
    print(comparison(runs, "transport"))
    for transport, results in runs.items():
        for text in results.warnings:
            print(f"Warning, {transport}: {text}")
    written, stem = [], file_name(chat.name)
    for transport, results in runs.items():
        results.to_json(out / f"{stem}-{transport}.json")
        plots.save(plots.summary_figure(results), out / f"{stem}-{transport}.png")
        written += [out / f"{stem}-{transport}.json", out / f"{stem}-{transport}.png"]
    plots.save(plots.latency_cdf(runs), out / f"{stem}-latency.png")
    written.append(out / f"{stem}-latency.png")
    print(f"\nDone in {time.monotonic() - begun:.0f} s. Files:")
    for path in written:
        print(f"  {path}")
    print("\nNext: `make lab` opens the notebooks, the first of which asks where these milliseconds go;")
    print("`.venv/bin/realtime-sim app` opens a page with sliders.")
    return written


def with_transport(scenario: Scenario, transport: str) -> Scenario:
    """The same scenario with every cohort on one transport: only a WebSocket starts with polls, which need a cookie."""
    changes: dict[str, object] = (
        {"balancer.affinity": "cookie"} if transport == "long_polling" else {}
    )  # or most are lost
    for i, cohort in enumerate(scenario.clients):
        changes[f"clients[{i}].transport"] = transport
        changes[f"clients[{i}].polling_handshake"] = transport == "websocket" and cohort.polling_handshake
    return scenario.replace(**changes)
