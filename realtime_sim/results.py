"""Results: what one or several traces mean. It never knows which producer made them.

Figures come with 95 % intervals: over replications where there are several; where there is one, over 32 slices of the
measured time, and over 32 groups of clients where these differ by chance.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from realtime_sim import (
    __version__,
    diagnosis,
    latency,
    objectives,
    recovery,
    services,
    states,
    stats,
    storms,
    timelines,
)  # fmt: skip
from realtime_sim.answers import Answer, figures_html, without_nan
from realtime_sim.errors import EngineError, Problem, ScenarioError
from realtime_sim.metrics import MONITORED
from realtime_sim.scenario import Scenario
from realtime_sim.stats import Estimate
from realtime_sim.trace import FAILURES, HOPS, OUTCOMES, Trace
from realtime_sim.units import from_ns

__all__ = ["Results"]


class Results(Answer):
    """Figures, frames and warnings of one scenario's runs.

    Parameters
    ----------
    traces : iterable of Trace
        One for each replication, of scenarios that differ in the seed alone.
    reason : str, optional
        Why this engine was taken.
    conditions : mapping of str to object, optional
        Under which conditions it was measured, where it was: plain data of a live run about itself and its machine.
        With `valid: false` the figures are not those of the system, and `reasons` says why not.

    Raises
    ------
    EngineError
        If there is no trace, or if the traces' scenarios differ in more than the seed.
    """

    def __init__(
        self, traces: Iterable[Trace], reason: str = "", *, conditions: Mapping[str, object] | None = None
    ) -> None:
        kept: list[Trace] = []
        for trace in traces:  # one at a time: with their parts, a hundred of them would take gigabytes
            if kept and trace.scenario.replace(seed=0) != kept[0].scenario.replace(seed=0):
                raise EngineError("replications must differ in their seed alone")
            slices = latency.slice_histogram([trace])
            self._slice_histogram = self._slice_histogram + slices if kept else slices
            kept = [_lean(held) for held in kept] if len(kept) == 1 else kept
            kept.append(_lean(trace) if kept else trace)
        if not kept:
            raise EngineError("Results need at least one trace")
        self._traces = tuple(kept)
        self._latencies: dict[tuple[str | None, str | None], dict[str, Estimate]] = {}
        self.reason = reason
        self.conditions: Mapping[str, object] = dict(conditions or {})

    @property
    def scenario(self) -> Scenario:
        """The scenario of the first replication."""
        return self._traces[0].scenario

    @property
    def engine(self) -> str:
        """Who ran it."""
        return self._traces[0].engine

    @property
    def n_replications(self) -> int:
        """Independent runs."""
        return len(self._traces)

    @property
    def trace(self) -> Trace:
        """The first replication's trace."""
        return self._traces[0]

    def latency_s(self, cohort: str | None = None, hop: str | None = None) -> dict[str, Estimate]:
        """Mean, quantiles and maximum of the delivery latency, or of one hop of it, in seconds.

        Parameters
        ----------
        cohort : str, optional
            Only this cohort's deliveries; all of them if left out.
        hop : str, optional
            One of `realtime_sim.trace.HOPS`; from publish to receipt if left out.

        Returns
        -------
        dict of str to Estimate
            `mean`, `p50`, `p90`, `p95`, `p99`, `p999`, `max`. Figures over all cohorts have intervals from one run;
            those of one cohort need replications, and so does the maximum. Replications that delivered nothing are
            left out; NaN where none did.

        Raises
        ------
        ScenarioError
            If there is no such cohort or hop.
        """
        if (cohort, hop) not in self._latencies:
            found = latency.latency_of(self._traces, self._cohort_rows(cohort), self._hop_column(hop))
            self._latencies[cohort, hop] = found
        return dict(self._latencies[cohort, hop])

    def _cohort_rows(self, cohort: str | None) -> list[int]:
        names = [part.name for part in self.scenario.clients]
        if cohort is None:
            return list(range(len(names)))
        if cohort not in names:
            raise ScenarioError(
                Problem("cohort", "must be a cohort of the scenario", cohort, f"known: {', '.join(names)}")
            )
        return [names.index(cohort)]

    def _hop_column(self, hop: str | None) -> int:
        if hop is None:
            return len(HOPS)
        if hop not in HOPS:
            raise ScenarioError(Problem("hop", "must be a hop", hop, f"known: {', '.join(HOPS)}"))
        return HOPS.index(hop)

    @cached_property
    def hops(self) -> pd.DataFrame:
        """Mean latency of each hop in seconds, with `low`, `high`, `p50`, `p99` and its `share` of the whole.

        Means of hops add up to the mean of the whole, which is the last row.
        """
        rows = []
        whole = self.latency_s()["mean"].value
        for hop in (*HOPS, None):
            figures = self.latency_s(hop=hop)
            mean = figures["mean"]
            rows.append(
                {
                    "hop": hop or "total", "mean_s": mean.value, "low_s": mean.low, "high_s": mean.high,
                    "p50_s": figures["p50"].value, "p99_s": figures["p99"].value,
                    "share": mean.value / whole if whole else 0.0,
                }
            )  # fmt: skip
        return pd.DataFrame(rows).set_index("hop").astype(float)

    @cached_property
    def latency_over_time(self) -> pd.DataFrame:
        """Latency in each of 32 slices of the measured time, by publish time, over all replications.

        `time_s` is the middle of the slice; `delivered`, `mean_s`, `p50_s`, `p99_s`. NaN where nothing was delivered.
        """
        return latency.latency_over_time(self._traces, self._slice_histogram)

    @cached_property
    def deliveries(self) -> pd.DataFrame:
        """Deliveries of messages published after the warm-up, by cohort and in all, summed over replications.

        `expected = delivered + lost + dropped`; duplicates come on top; `cancelled` counts clients that left before
        the message reached them, who are no longer expected. `lost_<cause>` splits `lost`.
        """
        totals = {name: sum(trace.deliveries[name] for trace in self._traces) for name in self.trace.deliveries}
        frame = pd.DataFrame(totals, index=[cohort.name for cohort in self.scenario.clients])
        frame.insert(0, "transport", [cohort.transport for cohort in self.scenario.clients])
        frame.loc["total"] = ["", *(frame[name].sum() for name in totals)]
        return frame.rename_axis("cohort")

    @cached_property
    def connections(self) -> dict[str, int | float | None]:
        """Connections over the whole run, means over replications: peak, attempts, failures, and the recovery time."""
        mean = {name: float(np.mean([t.counters[name] for t in self._traces])) for name in self.trace.counters}
        peak = float(np.mean([trace.counters["peak_connections"] for trace in self._traces]))
        return {"peak": peak, **mean, "recovered_at_s": recovery.recovered_at_s(self._traces)}

    @cached_property
    def recovery(self) -> pd.DataFrame:
        """For each disturbance: clients cut off, how many are back, seconds until 50, 95 and 100 % of them were, and
        until deliveries were as before; how long each client was away.

        Of several replications: means, with their intervals and the worst (see `realtime_sim.recovery`).
        """
        return recovery.recovery_of(self._traces, self._slice_histogram)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """What the control plane did in the first replication: `time_s`, `actor`, `action`, `target`, `reason`."""
        rows = [
            (float(from_ns(one.time_ns)), one.actor, one.action, one.target, one.reason) for one in self.trace.decisions
        ]
        return pd.DataFrame(rows, columns=["time_s", "actor", "action", "target", "reason"])

    @cached_property
    def services(self) -> pd.DataFrame:
        """For each service ahead of the push tier what became of its events, how busy it was, and how long it took.

        Of several replications means, with intervals (see `realtime_sim.services.services_of`).
        """
        return services.services_of(self._traces)

    @cached_property
    def catch_up(self) -> pd.DataFrame:
        """For each `stop_service`: seconds from the restart until no event waited for the service any more."""
        return services.catch_up_of(self._traces)

    @cached_property
    def service_lag(self) -> pd.DataFrame:
        """Events of each service that wait or are in work, one row for each sample, of the first replication."""
        return services.lag_of(self.trace)

    @cached_property
    def storm(self) -> pd.DataFrame:
        """For each disturbance, a fault or an act of a control process that cuts connections off: attempts and what
        became of them, their peak against the capacity, and a verdict.

        See `realtime_sim.storms` for every column, and for the rule that tells a metastable failure.
        """
        return storms.storms_of(self._traces, self._slice_histogram)

    @cached_property
    def timeseries(self) -> pd.DataFrame:
        """The run as it went, one row for each sampling interval, of the first replication.

        Per-second rates over the interval that ends at `time_s`, states at that time: connections, queue lengths and
        utilization are over all servers. `turned_away_per_s` is the sum of all failures but timeouts. `server_series`
        has them by server.
        """
        return timelines.timeseries(self.trace)

    @cached_property
    def client_states(self) -> pd.DataFrame:
        """How many clients are connected, cut off, waiting, connecting or away at each sample, of the first
        replication; every row adds up to all clients.

        See `realtime_sim.states` for every column.
        """
        return states.client_states(self.trace)

    def server_series(self, what: str = "connections") -> pd.DataFrame:
        """`"connections"`, `"queue_length"`, `"utilization"` or `"link_utilization"` of each server over time, of the
        first replication.

        Returns
        -------
        DataFrame, shape (samples, servers)
            Indexed by time, seconds; one column for each server.
        """
        return timelines.server_series(self.trace, what)

    @cached_property
    def servers(self) -> pd.DataFrame:
        """Totals of each server, means over replications; utilizations are those of the time it was alive.

        `link_utilization` counts what was handed to the link: above 1 it cannot keep up.
        """
        return timelines.server_totals(self._traces)

    @cached_property
    def host(self) -> dict[str, object] | None:
        """How busy the processes were that play clients and publish on the machine they share with the system.

        `cores`, `client_utilization` (one figure for each process) and `publisher_utilization`: share of the measured
        time at work, on a core or waiting for one, means over replications. None where no process plays the clients.
        """
        if not timelines.by_server(self.trace, "client_busy_ns").size:
            return None
        each = [timelines.host_busy(trace, self.scenario.warmup_s) for trace in self._traces]
        return {
            "cores": None if self.scenario.host is None else self.scenario.host.cores,
            "client_utilization": np.mean([clients for clients, _ in each], axis=0).tolist(),
            "publisher_utilization": float(np.mean([publisher for _, publisher in each])),
        }

    @cached_property
    def monitoring(self) -> dict[str, object]:
        """The four metrics of every monitoring page, by the keys of `realtime_sim.metrics.MONITORED`.

        `active_connections` of each instance at the end of the run, `delivery_latency` figures in seconds,
        `channel_subscribers` at the end of the run, `reconnection_rate` per second: mean and peak of a sample.
        """
        series = self.timeseries
        reconnects = series["reconnects_per_s"]
        values = {
            "active_connections": timelines.by_server(self.trace, "connections")[-1].tolist(),
            "delivery_latency": {name: figure.value for name, figure in self.latency_s().items()},
            "channel_subscribers": int(self.trace.series["subscriptions"][-1]),
            "reconnection_rate": {
                "mean": float(reconnects.mean()) if len(series) else 0.0,
                "peak": float(reconnects.max()) if len(series) else 0.0,
            },
        }
        return {key: values[key] for key in MONITORED}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The figures one quotes with their units; `low` and `high` where there are replications.

        Of one run mean, p50, p90, p95 and p99 of the latency have them.
        """
        rows = [(f"delivery latency {name}", figure, "s") for name, figure in self.latency_s().items()]
        for name in ("expected", *OUTCOMES):
            rows.append((f"deliveries {name}", self._over([t.deliveries[name].sum() for t in self._traces]), "per run"))
        lost = [_lost_ratio(trace) for trace in self._traces if trace.deliveries["expected"].any()] or [math.nan]
        rows.append(("deliveries lost or dropped", self._over(lost), "ratio"))
        per_s = [trace.deliveries["delivered"].sum() / self.measured_s for trace in self._traces]
        rows.append(("delivered rate", self._over(per_s), "1/s"))
        peaks = [trace.counters["peak_connections"] for trace in self._traces]
        rows.append(("connections peak", self._over(peaks), "per run"))
        for name in ("connected_at_start", "attempts", "reconnects", *FAILURES, "idle_drops", "never_connected"):
            figure = self._over([trace.counters[name] for trace in self._traces])
            rows.append((f"connections {name.replace('_', ' ')}", figure, "per run"))
        for what in ("utilization", "link_utilization"):
            busiest = [timelines.server_totals([trace])[what].max() for trace in self._traces]
            name = "server utilization, highest" if what == "utilization" else "link utilization, highest"
            rows.append((name, self._over(busiest), "ratio"))
        if self.host is not None:
            each = [timelines.host_busy(trace, self.scenario.warmup_s) for trace in self._traces]
            busiest = [clients.max(initial=0.0) for clients, _ in each]
            rows.append(("client process utilization, highest", self._over(busiest), "ratio"))
            rows.append(("publisher utilization", self._over([publisher for _, publisher in each]), "ratio"))
        rows += services.summary_of(self.services, self.catch_up)
        rows += recovery.summary_of(self.recovery)
        columns = {"value": [], "low": [], "high": [], "unit": []}
        for _, figure, unit in rows:
            columns["value"].append(figure.value)
            columns["low"].append(figure.low)
            columns["high"].append(figure.high)
            columns["unit"].append(unit)
        frame = pd.DataFrame(columns, index=pd.Index([name for name, _, _ in rows], name="figure"))
        return frame.astype({"value": float, "low": float, "high": float})

    @staticmethod
    def _over(each: list[float]) -> Estimate:
        """Mean over replications, with an interval where there are several; counts and shares are not below 0."""
        return stats.over_replications(each).from_0

    @property
    def measured_s(self) -> float:
        """Simulated seconds that count: the duration less the warm-up."""
        return self.scenario.duration - self.scenario.warmup_s

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know before believing the figures."""
        return diagnosis.warnings_of(self)

    def objectives(self) -> pd.DataFrame:
        """Each promise of `slo` beside its figure, in `unit`.

        `promised`, `found` (the figure), `judged_by` (the end of its interval that hurts, or the worst replication),
        `kept` (None: not decided by this run), `unit` and `note`.
        """
        return objectives.objectives_of(self)

    def to_plain(self) -> dict[str, object]:
        """The JSON of a run: plain dicts, lists and numbers; NaN is null."""
        total = self.deliveries.loc["total"]
        series = self.timeseries.reset_index()
        plain = {
            "version": __version__,
            "scenario": self.scenario.to_plain(),
            "engine": self.engine,
            "replications": self.n_replications,
            **({"conditions": self.conditions} if self.conditions else {}),
            "delivery_latency_s": {name: figure.to_plain() for name, figure in self.latency_s().items()},
            "hops_s": {hop: self.latency_s(hop=hop)["mean"].to_plain() for hop in HOPS},
            "cohorts": {
                cohort.name: {
                    "transport": cohort.transport,
                    "delivery_latency_s": {k: v.to_plain() for k, v in self.latency_s(cohort.name).items()},
                }
                for cohort in self.scenario.clients
            },
            "deliveries": {name: int(total[name]) for name in self.trace.deliveries},
            "connections": self.connections,
            "servers": self.servers.reset_index().to_dict("records"),
            "broker": {
                "kind": self.scenario.broker.kind,
                "utilization": float(self.timeseries["broker_utilization"].mean()) if len(series) else None,
                "utilization_highest": float(timelines.broker_busy(self.trace).max(initial=0.0)),
                "subscriptions": int(self.trace.series["subscriptions"][-1]),
            },
            "host": self.host,
            "services": self.services.to_dict("index"),
            "catch_up": self.catch_up.reset_index().to_dict("records"),
            "recovery": self.recovery.to_dict("records"),
            "decisions": self.decisions.to_dict("records"),
            "storm": self.storm.to_dict("records"),
            "objectives": self.objectives().reset_index().to_dict("records"),
            "summary": self.summary.to_dict("index"),
            "monitoring": self.monitoring,
            "warnings": list(self.warnings),
            "timeseries": {name: series[name].tolist() for name in series}
            | {"latency_over_time": self.latency_over_time.to_dict("list")}
            | {"service_lag": self.service_lag.reset_index().to_dict("list")},
        }
        return without_nan(plain)

    def __repr__(self) -> str:
        latency = self.latency_s()
        total = self.deliveries.loc["total"]
        return (
            f"<Results {self.scenario.name!r}: {int(total['delivered']):,} of {int(total['expected']):,} delivered, "
            f"mean {latency['mean']} s, p99 {latency['p99']} s, {self.n_replications} replication(s), {self.engine}>"
        )

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The traces of all replications."""
        return self._traces

    def _repr_html_(self) -> str:
        parts = [f"<h4>{html.escape(self.scenario.name)}</h4>"]
        parts += [f"<p><b>Note:</b> {html.escape(text)}</p>" for text in self.warnings]
        return "\n".join([*parts, figures_html(self.summary), figures_html(self.hops)])


def _lean(trace: Trace) -> Trace:
    """One of several, without slices of time, whose sum is kept, and groups of clients."""
    lean = trace.without_parts()
    return dataclasses.replace(lean, batch_histogram=lean.batch_histogram[:0].copy())


def _lost_ratio(trace: Trace) -> float:
    missing = int(trace.deliveries["lost"].sum() + trace.deliveries["dropped"].sum())
    return missing / int(trace.deliveries["expected"].sum())
