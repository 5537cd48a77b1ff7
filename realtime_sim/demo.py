"""The demonstration: limits for one million connections, and one chat under each of the three transports."""

from __future__ import annotations

import time
from pathlib import Path

from realtime_sim import plots, presets
from realtime_sim.limits import connections_claim, server_limits
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.trace import HOPS

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
    print()
    print(connections_claim(1_000_000))
    chat = scenario or presets.load("chat")
    print(f"\nThe scenario '{chat.name}' under each transport, {chat.duration:g} s simulated\n")
    runs = {transport: simulate(with_transport(chat, transport)) for transport in TRANSPORTS}
    print(comparison(runs))
    for transport, results in runs.items():
        for text in results.warnings:
            print(f"Warning, {transport}: {text}")
    written = []
    for transport, results in runs.items():
        results.to_json(out / f"{chat.name}-{transport}.json")
        plots.save(plots.summary_figure(results), out / f"{chat.name}-{transport}.png")
        written += [out / f"{chat.name}-{transport}.json", out / f"{chat.name}-{transport}.png"]
    axes = plots.latency_cdf(runs)
    plots.save(axes.figure, out / f"{chat.name}-latency.png")
    written.append(out / f"{chat.name}-latency.png")
    print(f"\nDone in {time.monotonic() - begun:.0f} s. Files:")
    for path in written:
        print(f"  {path}")
    return written


def with_transport(scenario: Scenario, transport: str) -> Scenario:
    """The same scenario with every cohort on one transport; only a WebSocket starts with polls."""
    changes: dict[str, object] = {}
    for i, cohort in enumerate(scenario.clients):
        changes[f"clients[{i}].transport"] = transport
        changes[f"clients[{i}].polling_handshake"] = transport == "websocket" and cohort.polling_handshake
    return scenario.replace(**changes)


def comparison(runs: dict[str, Results]) -> str:
    """Mean of every hop with its interval, transports side by side, milliseconds."""
    width = 30
    lines = [f"{'mean, ms [95 % interval]':24}" + "".join(f"{name:>{width}}" for name in runs)]
    for hop in (*HOPS, None):
        row = f"{hop or 'total':24}"
        for results in runs.values():
            mean = results.latency_s(hop=hop)["mean"]
            text = f"{mean.value * 1e3:,.3f}"
            if mean.low is not None:
                text += f" [{mean.low * 1e3:,.3f}, {mean.high * 1e3:,.3f}]"
            row += f"{text:>{width}}"
        lines.append(row)
    for name in ("p50", "p99"):
        row = f"{name:24}"
        for results in runs.values():
            figure = results.latency_s()[name]
            text = f"{figure.value * 1e3:,.1f}"
            if figure.low is not None:
                text += f" [{figure.low * 1e3:,.1f}, {figure.high * 1e3:,.1f}]"
            row += f"{text:>{width}}"
        lines.append(row)
    lost = "".join(f"{results.deliveries.loc['total', 'lost']:>{width},}" for results in runs.values())
    lines.append(f"{'lost deliveries':24}{lost}")
    return "\n".join(lines)
