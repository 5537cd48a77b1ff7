"""Snapshot: what a dashboard shows of one moment of a live run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

__all__ = ["Snapshot"]

_RATES = ("time_s", "duration_s", "reconnects_per_s", "delivered_per_s", "lost")
_LATENCIES = ("latency_p50_s", "latency_p95_s", "latency_p99_s")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A live run at one moment: the four monitoring metrics, and how far it is.

    Parameters
    ----------
    time_s, duration_s : float
        Time since the start of the run, and how long it lasts, seconds.
    scenario : str
        Name of the scenario.
    broker : str
        Which broker is between the servers.
    connections : tuple of int or None
        Open client connections of each server, by its number; None for one whose process is gone.
    ready : tuple of bool
        Whether new connections are sent to a server.
    latency_p50_s, latency_p95_s, latency_p99_s : float, optional
        Percentiles of the delivery latency over the last few seconds; None when nothing was delivered.
    channel_subscribers : int, optional
        Subscriptions of servers to broker channels; None when the broker does not answer.
    reconnects_per_s, delivered_per_s : float
        Connections re-established, and messages received by clients, since the snapshot before.
    lost : int
        Deliveries known to be lost so far.
    invalid : str
        Why the figures of this run are not to be trusted; empty as long as nothing speaks against it.

    Raises
    ------
    ValueError
        If a figure is negative or not finite, or `connections` and `ready` differ in length.
    """

    time_s: float
    duration_s: float
    scenario: str
    broker: str
    connections: tuple[int | None, ...]
    ready: tuple[bool, ...]
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    channel_subscribers: int | None
    reconnects_per_s: float
    delivered_per_s: float
    lost: int
    invalid: str = ""

    def __post_init__(self) -> None:
        if len(self.connections) != len(self.ready):
            raise ValueError(
                f"connections and ready must be of the same servers, got {len(self.connections)} and {len(self.ready)}"
            )
        known = {name: getattr(self, name) for name in (*_RATES, *_LATENCIES, "channel_subscribers")}
        known |= {f"connections[{server}]": n for server, n in enumerate(self.connections)}
        for name, value in known.items():
            absent = value is None and name not in _RATES
            if not absent and (value is None or not math.isfinite(value) or value < 0):
                raise ValueError(f"{name} must be a number from 0 on, got {value!r}")

    def to_json(self) -> str:
        """One JSON object on one line; the monitoring metrics by their keys in `realtime_sim.metrics.MONITORED`.

        Examples
        --------
        >>> shot = Snapshot(2.0, 60.0, "chat", "nats", (5, None), (True, False), 0.004, 0.01, 0.02, 2, 0.0, 9.5, 0)
        >>> plain = json.loads(shot.to_json())
        >>> plain["active_connections"], plain["delivery_latency"]["p99"]
        ([5, None], 0.02)
        """
        plain = {
            "time_s": self.time_s,
            "duration_s": self.duration_s,
            "scenario": self.scenario,
            "broker": self.broker,
            "ready": self.ready,
            "active_connections": self.connections,
            "delivery_latency": {"p50": self.latency_p50_s, "p95": self.latency_p95_s, "p99": self.latency_p99_s},
            "channel_subscribers": self.channel_subscribers,
            "reconnection_rate": self.reconnects_per_s,
            "delivered_per_s": self.delivered_per_s,
            "lost": self.lost,
            "invalid": self.invalid,
        }
        return json.dumps(plain, ensure_ascii=False, allow_nan=False)
