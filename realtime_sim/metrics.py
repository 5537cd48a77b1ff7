"""The monitoring metrics: one table of names, units and kinds for results, endpoints and dashboards.

Names follow the Prometheus conventions: base units, `_total` for counters.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["METRICS", "MONITORED", "OF_CLIENTS", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One monitored quantity.

    Parameters
    ----------
    name : str
        Prometheus name.
    kind : str
        `"gauge"`, `"counter"` or `"histogram"`.
    unit : str
        SI unit, or what is counted.
    labels : tuple of str
        Label names.
    help : str
        What it tells the person on call.
    """

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    help: str


METRICS = MappingProxyType(
    {
        key: Metric(*row)
        for key, row in {
            "active_connections": (
                "realtime_active_connections", "gauge", "connections", ("server",),
                "Open client connections of each instance",
            ),
            "delivery_latency": (
                "realtime_delivery_latency_seconds", "histogram", "seconds", ("cohort", "transport"),
                "From the intended publish time to the receipt by the client",
            ),
            "channel_subscribers": (
                "realtime_channel_subscribers", "gauge", "subscriptions", (),
                "Subscriptions of servers to broker channels",
            ),
            "reconnection_rate": (
                "realtime_reconnections_total", "counter", "connections", (),
                "Connections re-established after a loss; its rate shows a storm",
            ),
            "refused": (
                "realtime_refused_total", "counter", "handshakes", ("server",),
                "Handshakes that an instance turned away: no room, throttled, or on its way out",
            ),
            "failed": (
                "realtime_handshakes_failed_total", "counter", "handshakes", ("server",),
                "Handshakes that an instance let in and that came to nothing: their clients had gone by then, for one",
            ),
            "utilization": (
                "realtime_busy_seconds_total", "counter", "seconds", ("server",),
                "CPU time of an instance; its rate over the number of its loops is their busy share",
            ),
            "sends": (
                "realtime_sends_total", "counter", "copies", ("server",),
                "Copies of messages that an instance sent to clients",
            ),
            "handshakes": (
                "realtime_handshakes_total", "counter", "connections", ("server",),
                "Connections that an instance accepted",
            ),
        }.items()
    }
)  # fmt: skip
"""Every metric by its key."""

MONITORED = ("active_connections", "delivery_latency", "channel_subscribers", "reconnection_rate")
"""Keys of the four that every real-time service watches: those of `Results.monitoring` and of the dashboard."""

OF_CLIENTS = ("delivery_latency", "reconnection_rate")
"""Keys of those that no server can know: frames do not say when they were published, receipt is elsewhere, and only the
client itself knows that it has been there before, on whatever server. Live servers export all others."""
