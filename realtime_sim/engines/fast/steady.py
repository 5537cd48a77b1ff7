"""Steady runs: nobody comes or goes, so they need no agenda, and cost a small part of what others cost.

A run is steady where everyone is connected from the start to the end, only the backend publishes, nothing can be lost
or dropped, and the broker keeps no log. Its trace is that of the general kernel and of the reference engine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import simpy

from realtime_sim.buckets import bucket
from realtime_sim.control import start_control
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.fast.steady_broker import draw_arrivals, draw_event_costs, pass_on
from realtime_sim.engines.fast.steady_copies import last_arrival, send
from realtime_sim.engines.fast.steady_places import count_subscriptions, settle
from realtime_sim.engines.fast.steady_queues import finish, free, take_up
from realtime_sim.engines.fast.steady_state import CLIENT_NETWORK, PUBLISHER_TO_BROKER, make_steady_state
from realtime_sim.engines.order import Phase
from realtime_sim.recorder import Recorder
from realtime_sim.scenario.distributions import Constant
from realtime_sim.trace import DELIVERIES, Trace
from realtime_sim.units import from_ns, to_ns
from realtime_sim.workload import Workload

__all__ = ["CALLED", "SteadyCluster"]

CALLED = (
    settle, draw_arrivals, pass_on, draw_event_costs, take_up, send, last_arrival, finish, count_subscriptions, free,
)  # fmt: skip
"""Compiled functions that are called from here."""

SERIES = (
    "changes", "change_sum_ns", "expected", "broker_queue", "broker_busy_ns", "queued", "running", "running_sum_ns",
    "link_booked_ns",
)  # fmt: skip
"""Tables of the state with what each sample is the first to see."""


class SteadyCluster:
    """One steady run, and what the monitor sees of it. There are no faults, so nothing else looks at it."""

    def __init__(self, workload: Workload, recorder: Recorder) -> None:
        self.workload, self.scenario, self.recorder = workload, workload.scenario, recorder
        self.state = make_steady_state(workload, recorder)
        self.clock = Clock()
        self._seen: dict[str, list] = {}
        self._n_samples = 0

    def run(self, progress: Callable[[float], None]) -> Trace | None:
        """From the first message to the last; None where the run turns out not to be steady."""
        try:
            return self._run(progress)
        finally:  # also where `progress` has given the run up
            free(self.state)

    def _run(self, progress: Callable[[float], None]) -> Trace | None:
        state, end_ns = self.state, to_ns(self.scenario.duration)
        if not settle(state):
            return None
        times_ns, n_taken = self.workload.publishes.time_ns, 0
        at_broker, order = self._at_broker(times_ns)
        while 0 <= n_taken < len(times_ns):
            n_taken, goes_on = pass_on(state, at_broker, order), True
            draw_event_costs(state)
            take_up(state)
            while goes_on:
                goes_on = send(state, at_broker)
                progress(from_ns(int(times_ns[n_taken - 1])))
        last_ns = max(last_arrival(state), end_ns)
        if n_taken < 0 or last_ns > end_ns + to_ns(self.scenario.drain):
            return None
        finish(state, last_ns)
        self._count()
        self._file_constants()
        self._monitor(end_ns)
        return self.recorder.trace("fast")

    def _at_broker(self, times_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """When each message reaches the broker, and their order there where it may not be that of their numbers."""
        link = self.scenario.broker.publisher_link
        if isinstance(link, Constant):
            return times_ns + to_ns(link.value) if link.value else times_ns, np.zeros(0, dtype=np.int64)
        at_broker = draw_arrivals(self.state)
        return at_broker, np.argsort(at_broker, kind="stable")

    def _count(self) -> None:
        """Totals of the run."""
        recorder, values = self.recorder, self.state.values
        for name in ("connected_at_start", "accepted", "peak_connections"):
            recorder.count(name, self.workload.n_clients)
        for name in ("expected", "delivered"):
            recorder.deliveries[DELIVERIES.index(name)] = values["delivered"]
        recorder.servers["peak_connections"][:] = values["load"]
        for name in ("jobs", "sends", "busy_ns", "link_busy_ns"):
            recorder.servers[name][:] = values[name]

    def _file_constants(self) -> None:
        """Hops that are the same for every delivery; and with one cohort, its figures are those of all slices."""
        recorder, values = self.recorder, self.state.values
        link_ns, network = to_ns(self.scenario.broker.publisher_link.mean_s), self.scenario.clients[0].network
        network_ns = to_ns(network.rtt.mean_s) // 2 + to_ns(network.jitter.mean_s)
        if recorder.batch_count.any():
            for hop in np.flatnonzero(~values["varies"]).tolist():
                ns = {PUBLISHER_TO_BROKER: link_ns, CLIENT_NETWORK: network_ns}.get(hop, 0)
                self._file_constant(hop, ns)
        if len(self.scenario.clients) == 1:
            np.sum(recorder.batch_histogram, axis=0, dtype=np.int64, out=recorder.histogram[0])
            np.sum(recorder.batch_sum_ns, axis=0, out=recorder.sum_ns[0])

    def _file_constant(self, hop: int, ns: int) -> None:
        recorder, delivered, i = self.recorder, self.state.values["delivered"], bucket(ns)
        for counts, histogram, sum_ns in (
            (delivered, recorder.histogram, recorder.sum_ns),
            (recorder.batch_count, recorder.batch_histogram, recorder.batch_sum_ns),
            (recorder.group_count, recorder.group_histogram, recorder.group_sum_ns),
        ):
            histogram[:, hop, i] += counts.astype(histogram.dtype)
            sum_ns[:, hop] += counts * ns
        recorder.min_ns[delivered > 0, hop] = recorder.max_ns[delivered > 0, hop] = ns

    def _monitor(self, end_ns: int) -> None:
        """Let the monitor look at the run, now that it is known what each sample sees."""
        self._seen = self._series()
        start_control(self.clock, self, self.scenario, self.recorder)
        while self.clock.peek() <= end_ns:
            self.clock.step()

    def _series(self) -> dict[str, np.ndarray]:
        """What each sample sees, but for what needs its time."""
        sums = {name: np.cumsum(self.state.values[name], axis=-1).T for name in SERIES}
        n_servers, kind = self.scenario.servers.count, self.scenario.broker.kind
        per_room = getattr(self.scenario.broker, "subscription", "") == "per_room"
        subscriptions = count_subscriptions(self.state) if per_room else 0 if kind == "none" else n_servers
        return {**sums, "subscriptions": int(subscriptions), "broker": kind != "none"}

    # What the monitor needs of the `Machinery` of `realtime_sim.control`; nobody else looks at a steady run.

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, for a control process."""
        return self.clock.at(time_ns, Phase[phase.upper()])

    def sample(self) -> None:
        """Record one sample."""
        i, now, seen = self._n_samples, self.clock.now, self._seen
        self._n_samples += 1
        under_way = int(seen["changes"][i])
        self.recorder.sample(
            time_ns=now,
            expected=int(seen["expected"][i]),
            connections=self.state.values["load"].tolist(),
            queue_length=seen["queued"][i].tolist(),
            busy_ns=(seen["running"][i] * now + seen["running_sum_ns"][i]).tolist(),
            link_busy_ns=seen["link_booked_ns"][i].tolist(),
            ready=[1] * self.scenario.servers.count,
            under_way=under_way,
            under_way_area_ns=under_way * now - int(seen["change_sum_ns"][i]),
            broker_busy_ns=[int(seen["broker_busy_ns"][i])] if seen["broker"] else [],
            broker_queue=int(seen["broker_queue"][i]),
            subscriptions=seen["subscriptions"],
            client_busy_ns=[],
            publisher_busy_ns=0,
        )
