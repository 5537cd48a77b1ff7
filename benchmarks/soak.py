"""Ten minutes at 40 % load: does a server's memory grow, is anything lost? `make soak`, or `python -m benchmarks.soak`.

Memory is that of each server process alone, once a second; the mean of the first minute after the warm-up is held
against that of the last. More than 5 % of growth, or one lost delivery, is exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import numpy as np

import live
from benchmarks.validation import SCENARIOS, capacity_per_s
from live.accounting import usage_of

MOST_GROWTH = 0.05

EVERY_S = 1.0


class Memory:
    """A watcher that keeps the memory of every server over time, bytes."""

    def __init__(self) -> None:
        self.samples: list[list[int]] = []
        self._task: asyncio.Task | None = None

    async def __aenter__(self) -> Memory:
        return self

    async def begin(self, running) -> None:
        """Look once a second."""
        self._task = asyncio.create_task(self._watch(running.cluster.fleet.instances))

    async def _watch(self, instances) -> None:
        while True:
            found = [usage_of(one.child.pid) for one in instances]
            self.samples.append([usage.memory_bytes for usage in found if usage is not None])
            await asyncio.sleep(EVERY_S)

    async def __aexit__(self, *error) -> None:
        if self._task is not None:
            self._task.cancel()


def main() -> int:
    """Run, print the figures, and say by the exit code whether they are good."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--load", type=float, default=0.4, help="share of the measured capacity")
    parser.add_argument("--rate", type=float, help="messages a second, in the place of a share of the capacity")
    asked = parser.parse_args()
    rate = asked.rate or asked.load * capacity_per_s("websocket rooms")
    scenario = SCENARIOS["websocket rooms"](round(rate, 1)).replace(duration=asked.minutes * 60, warmup=10, drain=10)
    memory = Memory()
    results = live.run(scenario, watchers=[memory])
    total = results.deliveries.loc["total"]
    samples = np.array([row for row in memory.samples if len(row) == scenario.servers.count], dtype=float)
    n = max(1, min(60, len(samples) // 4))
    first, last = samples[10 : 10 + n].mean(axis=0), samples[-n:].mean(axis=0)
    growth = last / first - 1
    print(f"{asked.minutes:g} min at {rate:.0f} messages/s, {total['delivered']:,} deliveries, {total['lost']} lost")
    for server, (before, after, more) in enumerate(zip(first, last, growth, strict=True)):
        print(f"server {server}: {before / 1e6:.1f} MB, then {after / 1e6:.1f} MB ({more:+.1%})")
    latency = results.latency_s()
    print(f"p50 {latency['p50'].value * 1e3:.2f} ms, p99 {latency['p99'].value * 1e3:.2f} ms")
    return int(total["lost"] > 0 or growth.max() > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
