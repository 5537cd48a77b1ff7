"""Is the model right, and how far? `python -m benchmarks.validation` runs six scenarios for real at several loads.

The capacity of each is measured first: what is delivered when more is published than can be. Then the scenario is
simulated and run for real at shares of it, and held against each other as `realtime-sim validate` does. With six
scenarios and three loads it takes some twenty-five minutes on two cores, which nobody else should use meanwhile.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import live
from realtime_sim.report import write_report
from realtime_sim.scenario import Scenario

QUICK = {"policy": "full_jitter", "base": "500ms", "cap": "5s"}

ROOMS = [{"name": "group", "count": 40, "members": 10}]


def _scenario(name: str, transport: str, *, rooms: bool, rate: float, **changes: object) -> Scenario:
    stream = {"name": "messages", "rate": rate, "payload": "200B"} | ({"to": "group"} if rooms else {})
    plain = {
        "name": name, "seed": 1, "duration": 8, "warmup": 1, "drain": 6,
        "clients": [{"name": "clients", "count": 400, "transport": transport, "resume": True, "reconnect": QUICK}],
        "servers": {"count": 2, "startup": 0.5}, "broker": {"kind": "redis_pubsub"}, "rooms": ROOMS if rooms else [],
        "traffic": [stream],
    }  # fmt: skip
    return Scenario(**plain | changes)


KILL = [{"at": 3, "kind": "kill_server", "server": 0, "restart_after": 1}]

SCENARIOS: dict[str, Callable[[float], Scenario]] = {
    "websocket rooms": lambda rate: _scenario("websocket-rooms", "websocket", rooms=True, rate=rate),
    "broadcast": lambda rate: _scenario("broadcast", "websocket", rooms=False, rate=rate),
    "sse": lambda rate: _scenario("sse", "sse", rooms=False, rate=rate),
    "long polling": lambda rate: _scenario(
        "long-polling", "long_polling", rooms=True, rate=rate, balancer={"affinity": "cookie"}
    ),
    "streams": lambda rate: _scenario(
        "streams", "websocket", rooms=True, rate=rate, broker={"kind": "redis_streams"}
    ),
    "server dies": lambda rate: _scenario(
        "server-dies", "websocket", rooms=True, rate=rate, broker={"kind": "redis_streams"}, faults=KILL
    ),
}  # fmt: skip
"""By name: the scenario that publishes so many messages a second."""

FLOOD = {"broadcast": 150.0, "sse": 150.0, "long polling": 600.0}
"""Messages a second that no run can keep up with; 3,000 unless said here."""


def capacity_per_s(name: str) -> float:
    """Messages a second that are delivered to all when more are published than can be."""
    flood = SCENARIOS[name](FLOOD.get(name, 3_000.0)).replace(faults=[], drain=0.1, duration=6)
    results = live.run(flood, progress=lambda _: None)
    total = results.deliveries.loc["total"]
    recipients = 10 if flood.rooms else flood.n_clients
    return float(total["delivered"]) / recipients / results.measured_s


def main() -> None:
    """Run what was asked for, print a row for each, and leave the reports in a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__.splitlines()[0])
    parser.add_argument("--loads", default="0.2,0.4,0.6", help="shares of the measured capacity")
    parser.add_argument("--only", default=",".join(SCENARIOS), help="names of scenarios, with commas between them")
    parser.add_argument("--runs", type=int, default=3, help="live runs of each")
    parser.add_argument("--out", default="out/validation", help="folder for the reports")
    asked = parser.parse_args()
    print(f"{'scenario':16}{'load':>6}{'msg/s':>7}  p50, p95, p99: simulated / live ms (deviation)        verdict")
    for name in asked.only.split(","):
        capacity = capacity_per_s(name)
        for load in map(float, asked.loads.split(",")):
            scenario = SCENARIOS[name](round(load * capacity, 1))
            found = live.validate(scenario, runs=asked.runs, progress=lambda _: None)
            print(f"{name:16}{load:6.0%}{load * capacity:7.0f}  {_figures(found)}", flush=True)
            write_report(found, Path(asked.out) / f"{scenario.name}-{load * 100:.0f}.html")


def _figures(found) -> str:
    cells = []
    for figure in ("p50", "p95", "p99"):
        row = found.figures.loc[f"delivery latency {figure}"]
        cells.append(f"{row['a'] * 1e3:.2f} / {row['b'] * 1e3:.2f} ({row['a'] / row['b'] - 1:+.0%})")
    for name, row in found.figures.iterrows():
        if str(name).startswith("recovery"):
            cells.append(f"recovery {row['a']:.2f} / {row['b']:.2f} s")
    lost = found.figures.loc["deliveries lost"]
    return (
        ", ".join(cells)
        + f", lost {lost['a']:.0f} / {lost['b']:.0f}   "
        + ("agrees" if found.agrees else found.verdict)
    )


if __name__ == "__main__":
    sys.exit(main())
