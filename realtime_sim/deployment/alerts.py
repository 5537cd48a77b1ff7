"""Alerts: rules for Prometheus over the monitoring metrics, each with a threshold that follows from the scenario.

The metrics, their names and their units are those of `realtime_sim.metrics`. Whoever scrapes must label them with
`namespace` and `pod`, as a PodMonitor does.

References
----------
Prometheus documentation: "Defining recording rules", "Alerting rules", "Histograms and summaries".
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from realtime_sim.deployment.figures import SCRAPE_S, Deployed, Figures, promise
from realtime_sim.deployment.reasons import Because
from realtime_sim.deployment.storms import since, watch_of
from realtime_sim.latency import QUANTILES
from realtime_sim.limits.table import plural
from realtime_sim.metrics import METRICS, OF_CLIENTS
from realtime_sim.scenario import Scenario
from realtime_sim.units import format_duration

__all__ = ["BUSY_RATIO", "measured", "rules"]

ANSWER_WINDOW_S = 300
"""Window of rates that are judged, seconds, a choice: ten scrapes at the usual 30 s."""

FULL_RATIO = 0.9
"""Share of a limit at which somebody should look, a choice."""

BUSY_RATIO = 0.7
"""Busy share of loops that `limits` allows unless told otherwise."""


def rules(deployed: Deployed) -> dict[str, object]:
    """A PrometheusRule; its `spec` is a rule file of Prometheus itself."""
    target = deployed.target
    of = f'{{namespace="{target.namespace}"}}'
    groups = [
        {"name": f"{target.name}.recorded", "rules": list(_recorded(deployed.scenario, of))},
        {"name": f"{target.name}.alerts", "rules": list(_alerts(deployed.scenario, deployed.figures, of))},
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": target.metadata(),
        "spec": {"groups": groups},
    }


def measured(scenario: Scenario) -> tuple[str, ...]:
    """Keys of the metrics that the rules stand on.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.

    Examples
    --------
    >>> quiet = Scenario(name="quiet", duration="1min", clients=[{"name": "phones", "count": 1_000}])
    >>> [key for key in METRICS if key not in measured(quiet)]
    ['channel_subscribers', 'sends']
    """
    without = {"sends"} if scenario.broker.kind != "none" else {"sends", "channel_subscribers"}
    return tuple(key for key in METRICS if key not in without)


def _name(key: str) -> str:
    return METRICS[key].name


def _latency(quantile: float, of: str) -> str:
    return f"histogram_quantile({quantile:g}, sum by (le) ({_rate(_name('delivery_latency') + '_bucket', of)}))"


def _rate(series: str, of: str) -> str:
    return f"rate({series}{of}[{ANSWER_WINDOW_S}s])"


def _per_pod(key: str, of: str) -> str:
    return f"sum by (pod) ({_name(key)}{of})"


def _busy(scenario: Scenario, of: str) -> str:
    return f"sum by (pod) ({_rate(_name('utilization'), of)}) / {scenario.servers.workers}"


def _promised(scenario: Scenario) -> dict[str, float]:
    """Latency, seconds, by the name of the quantile that is promised to stay below it."""
    named = {name: promise(scenario, name) for name in QUANTILES}
    return {name: value for name, value in named.items() if value is not None}


def _recorded(scenario: Scenario, of: str) -> Iterator[dict[str, object]]:
    """The four metrics and two more, as a page shows them; names are level:metric:operation."""

    def record(name: str, expr: str, key: str) -> dict[str, object]:
        return {"record": Because(name, f"{METRICS[key].help} ({METRICS[key].unit})"), "expr": expr}

    active, latency, subscribers = (
        _name(key) for key in ("active_connections", "delivery_latency", "channel_subscribers")
    )
    yield record(f"pod:{active}:sum", _per_pod("active_connections", of), "active_connections")
    for name in _promised(scenario) or ["p99"]:
        yield record(f"namespace:{latency}:{name}", _latency(QUANTILES[name], of), "delivery_latency")
    if "channel_subscribers" in measured(scenario):
        yield record(f"namespace:{subscribers}:sum", f"sum({subscribers}{of})", "channel_subscribers")
    reconnections, refused = _name("reconnection_rate"), _name("refused")
    yield record(f"namespace:{reconnections}:rate5m", f"sum({_rate(reconnections, of)})", "reconnection_rate")
    yield record(f"pod:{refused}:rate5m", f"sum by (pod) ({_rate(refused, of)})", "refused")
    yield record(f"pod:{_name('utilization')}:busy_ratio", _busy(scenario, of), "utilization")


def _alert(name: str, expr: str, lasts: str, severity: str, summary: str, why: str) -> dict[str, object]:
    return {
        "alert": name,
        "expr": expr,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": why},
    }


def _alerts(scenario: Scenario, figures: Figures, of: str) -> Iterator[dict[str, object]]:
    yield _connections(scenario, figures, of)
    yield from _latencies(scenario, of)
    if "channel_subscribers" in measured(scenario):
        yield _alert(
            "RealtimeChannelSubscribersMissing",
            f"({_per_pod('active_connections', of)} > 0) unless ({_per_pod('channel_subscribers', of)} > 0)",
            "2m",
            "page",
            "A pod with clients hears nothing from the broker",
            f"Every pod that has clients has a subscription at least (broker.kind {scenario.broker.kind}); without one "
            "its clients get nothing, and nothing else shows it.",
        )
    yield from _storms(scenario, figures, of)
    yield _alert(
        "RealtimeConnectionsRefused",
        f"sum({_rate(_name('refused'), of)}) > 0",
        f"{math.ceil(figures.deploy.value) + ANSWER_WINDOW_S}s",
        "warning",
        "Pods turn clients away",
        f"A deploy, in which pods on their way out do so, is over by then ({figures.deploy.why}, and the window of the "
        "rate); while all is well nobody is turned away.",
    )
    yield _utilization(scenario, of)
    yield _alert(
        "RealtimeNotMeasured",
        " or ".join(f"absent({_name(key)}{of})" for key in measured(scenario) if key not in OF_CLIENTS),
        "10m",
        "warning",
        "A metric of servers that alerts stand on is not there",
        "An alert on a metric that nobody exports never fires. Only metrics that servers can know are asked for here.",
    )


def _connections(scenario: Scenario, figures: Figures, of: str) -> dict[str, object]:
    limit, free = scenario.servers.connection_limit, promise(scenario, "headroom")
    share = FULL_RATIO if free is None else 1 - free
    if limit is not None:
        threshold = max(1, math.floor(share * limit))
        promised = "a choice" if free is None else f"slo.headroom keeps {free:.0%} free"
        why = (
            f"{share:.0%} ({promised}) of the {limit:,} connections that a pod admits: servers.max_connections, or "
            "what servers.memory holds"
        )
    else:
        threshold, why = figures.spare_each.value, f"More than the answer was found for: {figures.spare_each.why}"
    expr = f"{_per_pod('active_connections', of)} > {threshold}"
    return _alert("RealtimeConnectionsNearLimit", expr, "5m", "warning", "A pod is nearly full", f"{why}.")


def _latencies(scenario: Scenario, of: str) -> Iterator[dict[str, object]]:
    for name, promised_s in _promised(scenario).items():
        expr = f"{_latency(QUANTILES[name], of)} > {promised_s:g}"
        limit = format_duration(promised_s)
        why = f"slo.{name} is {limit}. Give the histogram a bucket that ends there: it guesses between two."
        summary = f"Delivery latency {name} is above {limit}"
        yield _alert(f"RealtimeDeliveryLatency{name.capitalize()}", expr, "5m", "page", summary, why)


def _storms(scenario: Scenario, figures: Figures, of: str) -> Iterator[dict[str, object]]:
    """One that is over soon shows in whom servers let in; one that feeds itself shows in how many fail, and go on."""
    watch, window_s = watch_of(scenario, figures), figures.window.value
    opened, refused, failed = (since(_name(key), of, window_s) for key in ("handshakes", "refused", "failed"))
    larger = _alert(
        "RealtimeReconnectStorm",
        f"{opened} > {watch.threshold}",
        f"{SCRAPE_S}s",
        "page",
        "More clients come in than a planned loss brings back",
        f"{watch.arithmetic}. Servers cannot tell who has been there before, so all handshakes count.",
    )
    stuck = _alert(
        "RealtimeHandshakesFailing",
        f"{refused} + {failed} > clamp_min({opened}, {watch.fewest_failing})",
        f"{watch.failing_s}s",
        "page",
        "Clients try to come in and most of them fail",
        f"More handshakes are turned away or come to nothing than succeed, and more than {watch.fewest_failing:,} in "
        f"{window_s} s, half the clients of a pod; for longer than {watch.patience}. A storm that feeds itself looks "
        "like this: let in fewer at a time (servers.admission), or add pods.",
    )
    for rule in (larger, stuck):
        why = rule["annotations"]["description"]
        yield rule | {"alert": Because(rule["alert"], why)}


def _utilization(scenario: Scenario, of: str) -> dict[str, object]:
    promised = promise(scenario, "max_utilization")
    promised = None if promised == 1 else promised  # no loop is busy for more than all of the time
    threshold = BUSY_RATIO if promised is None else promised
    why = f"slo.max_utilization is {promised:g}" if promised is not None else f"{BUSY_RATIO:g}, what `limits` allows"
    return _alert(
        "RealtimeLoopsBusy",
        f"{_busy(scenario, of)} > {threshold:g}",
        "5m",
        "warning",
        f"The event loops of a pod are busy more than {threshold:.0%} of the time",
        f"{why}; a pod has {plural(scenario.servers.workers, 'loop')} (servers.workers). Near 1 waits have no bound.",
    )
