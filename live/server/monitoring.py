"""What a server tells Prometheus: those metrics that a server can know, by their one table of names."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from live.page import Page
from realtime_sim.metrics import METRICS

__all__ = ["monitoring_text"]

_COUNTERS = {
    "active_connections": "connections",
    "channel_subscribers": "subscriptions",
    "refused": "refused",
    "failed": "failed",
    "sends": "sends",
    "handshakes": "handshakes",
}
"""Counter of the page for each metric; of `utilization` the process itself knows."""

_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


class _OnePage:
    """A collector in the sense of `prometheus_client`, over the counters of one server."""

    def __init__(self, number: int, page: Page) -> None:
        self._number, self._page = str(number), page

    def collect(self):
        """Every metric with its value now."""
        values = {key: self._page.get(counter) for key, counter in _COUNTERS.items()}
        for key, value in (values | {"utilization": time.process_time()}).items():
            metric = METRICS[key]
            family = _FAMILIES[metric.kind](metric.name, metric.help, labels=["server"])
            family.add_metric([self._number], value)
            yield family


def monitoring_text(number: int, page: Page) -> str:
    """The exposition text of one server.

    Parameters
    ----------
    number : int
        Its number.
    page : Page
        Its counters.

    Examples
    --------
    >>> page = Page()
    >>> page.set("connections", 12)
    >>> [line for line in monitoring_text(3, page).splitlines() if not line.startswith("#")][0]
    'realtime_active_connections{server="3"} 12.0'
    >>> page.close()
    """
    registry = CollectorRegistry()
    registry.register(_OnePage(number, page))
    return generate_latest(registry).decode()
