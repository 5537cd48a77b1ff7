"""Watching: shows a run that goes on, twice a second, on a dashboard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from live.dashboard.feed import Dashboard
from live.dashboard.snapshot import Snapshot
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.stats import histogram_quantile_ns
from realtime_sim.units import NS_PER_S

if TYPE_CHECKING:
    from live.running import Running

__all__ = ["Watching"]

EVERY_S = 0.5

WINDOW = 6
"""Snapshots that latency percentiles are over: three seconds."""

OVER = "this page keeps its last figures while it stays open; those of the whole run are where it was started"
STOPPED = "it was stopped before its end, and where it was started stands why; this page keeps its last figures"
"""What the page says at the end."""

HIGHEST_PORT = 65_535


class Watching:
    """A watcher of a live run: its page can be opened from the start, and keeps what it shows when the run is over.

    Parameters
    ----------
    port : int
        Where the page is; 0 for any.
    announce : callable
        Takes the address of the page as soon as it is there, before anything else is started.

    Raises
    ------
    ScenarioError
        If there is no such port.
    """

    def __init__(self, port: int, announce: Callable[[str], None]) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= HIGHEST_PORT:
            rule = f"must be a whole number from 0 to {HIGHEST_PORT:_}"
            raise ScenarioError(Problem("port", rule, port, "use 0 for any that is free"))
        self._port, self._announce = port, announce
        self._dashboard = Dashboard()
        self._task: asyncio.Task | None = None

    async def __aenter__(self) -> Watching:
        self._announce(await self._dashboard.start(self._port))
        return self

    async def begin(self, running: Running) -> None:
        """All are connected, and the run begins."""
        self._task = asyncio.create_task(self._watch(running))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._dashboard.finish(OVER if error is None else STOPPED)
        await self._dashboard.close()

    async def _watch(self, running: Running) -> None:
        tally = running.cluster.crowd.tally(running.cluster.begun_ns)
        seen: deque[np.ndarray] = deque([tally.latency.copy()], maxlen=WINDOW + 1)
        n_decisions, reconnects = 0, 0
        while True:
            await asyncio.sleep(EVERY_S)
            decisions = running.recorder.decisions
            for one in decisions[n_decisions:]:
                text = " ".join(part for part in (one.actor + ":", one.action, one.target) if part)
                self._dashboard.log(one.time_ns / NS_PER_S, f"{text} ({one.reason})" if one.reason else text)
            n_decisions = len(decisions)
            tally.update()
            seen.append(tally.latency.copy())
            self._dashboard.show(_snapshot(running, seen, (tally.reconnects - reconnects) / EVERY_S, tally.missed))
            reconnects = tally.reconnects


def _snapshot(running: Running, seen: deque[np.ndarray], reconnects_per_s: float, missed: int) -> Snapshot:
    cluster, scenario = running.cluster, running.scenario
    instances = cluster.observe().instances
    recent = seen[-1] - seen[0]
    quantile_s = [histogram_quantile_ns(recent, p) / NS_PER_S if recent.any() else None for p in (0.5, 0.95, 0.99)]
    return Snapshot(
        time_s=max(0.0, cluster.now_ns() / NS_PER_S),
        duration_s=scenario.duration,
        scenario=scenario.name,
        broker=running.about["broker"],
        connections=tuple(one.connections if one.alive else None for one in instances),
        ready=tuple(one.ready for one in instances),
        latency_p50_s=quantile_s[0],
        latency_p95_s=quantile_s[1],
        latency_p99_s=quantile_s[2],
        channel_subscribers=cluster.subscriptions if cluster.is_broker_up else None,
        reconnects_per_s=reconnects_per_s,
        delivered_per_s=float((seen[-1] - seen[-2]).sum() / EVERY_S),
        lost=missed,
    )
