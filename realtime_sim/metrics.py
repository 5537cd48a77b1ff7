"""The monitoring metrics: one table of names, units and kinds for results, endpoints and dashboards.

Names follow the Prometheus conventions: base units, `_total` for counters.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["METRICS", "Metric"]


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
        }.items()
    }
)  # fmt: skip
"""The four metrics every real-time service watches, by the name used in `Results.monitoring`."""
