"""What the tests of the dashboard share: three servers at work, and a dashboard that is served and closed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from live.dashboard import Dashboard, Snapshot

PATIENCE_S = 30.0
"""Bound of every test that waits; a hundred times what it takes."""

CALM = Snapshot(
    time_s=12.0,
    duration_s=60.0,
    scenario="chat",
    broker="redis_pubsub",
    connections=(4000, 4000, 4000),
    ready=(True, True, True),
    latency_p50_s=0.0061,
    latency_p95_s=0.0214,
    latency_p99_s=0.0437,
    channel_subscribers=750,
    reconnects_per_s=0.0,
    delivered_per_s=8000.0,
    lost=0,
)
"""Three servers at work."""


def run(body: Coroutine) -> None:
    asyncio.run(asyncio.wait_for(body, PATIENCE_S))


@asynccontextmanager
async def serving(dashboard: Dashboard, port: int = 0) -> AsyncIterator[str]:
    try:
        yield await dashboard.start(port)
    finally:
        await dashboard.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].strip("/"))
