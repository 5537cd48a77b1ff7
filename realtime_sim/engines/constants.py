"""What every engine takes for granted, besides the order of events: figures of the model that no scenario changes."""

from __future__ import annotations

__all__ = [
    "ATTEMPT_GAP_NS", "CUT", "NORMAL_PACE", "PING_ROUNDS", "POLLING_HANDSHAKE_REQUESTS", "STALLED", "UP",
]  # fmt: skip

POLLING_HANDSHAKE_REQUESTS = 4
"""Socket.IO's default start: GET to open, POST to connect, GET to read, then the upgrade (socket.io docs)."""

ATTEMPT_GAP_NS = 1_000_000
"""Least time between two attempts of one client, 1 ms: its own event loop takes that long to come round again. Without
it a client that is turned away in no time, and tries again at once, would try for ever without time passing."""

PING_ROUNDS = 100
"""Pings of an interval are spread over this many jobs, as timers of single connections would be."""

NORMAL_PACE = 1_000
"""Thousandths of its cost that work takes a server, or the broker, that is not slow."""

UP, STALLED, CUT = range(3)
"""The connection between a server and the broker: it works; it stands, and nothing gets through; there is none."""
