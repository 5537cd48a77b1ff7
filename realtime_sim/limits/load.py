"""The load of a scenario: mean work a second for the loops, the links and the broker, for any number of servers.

Everything is counted as the engines charge it, with all clients connected and all streams of traffic running.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from realtime_sim.engines.constants import PING_ROUNDS, POLLING_HANDSHAKE_REQUESTS
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Cohort, RoomGroup, Scenario, Traffic
from realtime_sim.theory import long_poll_answers_per_s, node_copies, utilization_with_wakeups
from realtime_sim.transports import TRANSPORTS, handshake_round_trips
from realtime_sim.wire import ping_bytes, wire_bytes
from realtime_sim.workload import audience, distinct_sizes, room_sizes

__all__ = ["MOST_SERVERS", "Load", "Stream", "smallest"]

MOST_SERVERS = 1_000_000
"""Where the search for enough servers ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One stream of traffic.

    Parameters
    ----------
    to : str
        Where it goes: a group of rooms, or everyone.
    rate : float
        Publishes a second.
    payload_bytes : int
        Of one message.
    sizes, weights : ndarray, shape (k,)
        Distinct room sizes in ascending order, and how likely a publish goes to a room of that size.
    recipients : ndarray, shape (cohorts,)
        Mean recipients of one publish.
    hottest_ratio : float
        Share of the publishes that goes to the largest room.
    thread_weights : ndarray, shape (threads, k)
        How likely a publish goes to a room of that size at each thread of the broker: its shards or partitions, or one.
    """

    to: str
    rate: float
    payload_bytes: int
    sizes: np.ndarray
    weights: np.ndarray
    recipients: np.ndarray
    hottest_ratio: float
    thread_weights: np.ndarray


class Load:
    """Mean work of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What to serve.

    Raises
    ------
    ScenarioError
        If sessions take no time at all, so that clients would come back without end.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.servers, self.broker = scenario, scenario.servers, scenario.broker
        self.costs = scenario.servers.resolved_costs
        self.streams = [_stream(scenario, stream) for stream in scenario.traffic]
        self.publish_rate = sum(stream.rate for stream in self.streams)
        self.ingests = sum(
            scenario.flow(stream).rate for stream in scenario.traffic if not scenario.from_backend(stream)
        )
        self.churn, self.egress = [], []
        self.pings = self.requests = 0.0
        for c, cohort in enumerate(scenario.clients):
            steps = POLLING_HANDSHAKE_REQUESTS if cohort.polling_handshake else 1
            self.churn.append(_churn_per_s(c, cohort, steps))
            self.requests += self.churn[c] * (steps - 1)
            if TRANSPORTS[cohort.transport].request_per_message:
                self.egress.append(self._polling(c, cohort))
                continue
            sizes = [wire_bytes(cohort.transport, stream.payload_bytes, cohort.tls) for stream in self.streams]
            sent = [stream.rate * stream.recipients[c] for stream in self.streams]
            self.egress.append((f"{cohort.name}, {cohort.transport}", float(sum(sent)), float(np.dot(sent, sizes))))
            if _pings(cohort):
                per_s = cohort.count / cohort.keepalive.interval
                self.pings += per_s
                n_bytes = per_s * ping_bytes(cohort.transport, cohort.tls)
                self.egress.append((f"{cohort.name}, pings", per_s, n_bytes))
        sends = [stream.rate * float(stream.recipients.sum()) for stream in self.streams]
        own_task = self.servers.fanout == "task_per_client"
        each = [self.costs.send_to_one_s(stream.payload_bytes, own_task) for stream in self.streams]
        self.sends = sum(sends)
        self.send_s = float(np.dot(sends, each)) / self.sends if self.sends else 0.0

    def _polling(self, c: int, cohort: Cohort) -> tuple[str, float, float]:
        """Answers a second to a long-polling cohort, and their bytes; its requests are added to the others."""
        per_s = float(sum(stream.rate * stream.recipients[c] for stream in self.streams)) / cohort.count
        gap_s = cohort.network.rtt.mean_s + cohort.network.jitter.mean_s + self.costs.http_request_s
        polls = long_poll_answers_per_s(per_s, gap_s, TRANSPORTS["long_polling"].poll_hold_s)
        answers, empty = polls.per_s, polls.empty_per_s
        payload = float(sum(stream.rate * stream.recipients[c] * stream.payload_bytes for stream in self.streams))
        full = cohort.count * (answers - empty)
        together = wire_bytes("long_polling", round(payload / full), cohort.tls) if full else 0
        n_bytes = full * together + cohort.count * empty * wire_bytes("long_polling", 0, cohort.tls)
        self.requests += cohort.count * answers
        return (f"{cohort.name}, answers to polls", cohort.count * answers, n_bytes)

    def copies(self, n: int, stream: Stream, size: int | None = None) -> float:
        """Servers of `n` that get a copy of one publish to a room of the stream (to one of that size)."""
        if self.broker.kind == "none":
            return 1.0
        if not self.broker.has_channels or self.broker.subscription == "all_servers":
            return float(n)
        if size is not None:
            return node_copies(n, int(size))
        each = zip(stream.weights, stream.sizes, strict=True)
        return float(sum(w * node_copies(n, int(size)) for w, size in each))

    def work(self, n: int) -> list[tuple[str, float, float]]:
        """What the loops of `n` servers do once awake: how often a second in all, and CPU seconds each."""
        costs = self.costs
        return [
            ("sends", self.sends, self.send_s),
            ("decodes", self.decodes_per_s(n), costs.event_s),
            ("from clients", self.ingests, costs.ingest_s),
            ("pings", self.pings, costs.ping_s),
            ("handshakes", sum(self.churn), costs.handshake_s),
            ("requests", self.requests, costs.http_request_s),
        ]

    def decodes_per_s(self, n: int) -> float:
        """Copies of messages that reach one of `n` servers; each is one job, all its sends included."""
        return sum(stream.rate * self.copies(n, stream) for stream in self.streams)

    def work_s(self, n: int) -> float:
        """CPU seconds a second of all `n` servers together, wake-ups left out."""
        return sum(per_s * cost_s for _, per_s, cost_s in self.work(n))

    def jobs_per_s(self, n: int) -> float:
        """Jobs a second, for all `n` servers together, that may find a loop asleep.

        Pings come in rounds: each server pings a share of a cohort at once. The tasks of a `task_per_client` fan-out
        are left out: they are queued by a loop that is awake.
        """
        pings = 0.0
        for cohort in self.scenario.clients:
            if self.costs.ping_s and _pings(cohort):
                pings += min(n * PING_ROUNDS, cohort.count) / cohort.keepalive.interval
        return self.decodes_per_s(n) + self.ingests + pings + sum(self.churn) + self.requests

    def utilization(self, n: int) -> float:
        """Busy share of the loops of `n` servers, wake-ups included."""
        jobs_per_s = self.jobs_per_s(n) / n
        return utilization_with_wakeups(self.servers.workers, self.work_s(n) / n, jobs_per_s, self.costs.wakeup_s)

    def cpu(self, n: int) -> list[tuple[str, float, float]]:
        """`work`, and the wake-ups."""
        woken_s = self.cpu_s(n) - self.work_s(n)
        cost_s = self.costs.wakeup_s
        return [*self.work(n), ("wake-ups", woken_s / cost_s if cost_s else 0.0, cost_s)]

    def cpu_s(self, n: int) -> float:
        """CPU seconds a second of all `n` servers together."""
        return self.utilization(n) * self.servers.workers * n

    @property
    def every_server_decodes(self) -> bool:
        """Whether every message goes to every server, so that more servers decode more."""
        per_room = self.broker.has_channels and self.broker.subscription == "per_room"
        return self.broker.kind != "none" and not per_room

    def publish_s(self, n: int, stream: Stream, size: int | None = None) -> float:
        """Time of a broker thread for one publish (to a room of that size), all its copies included."""
        if self.broker.has_channels:
            return self.broker.publish.mean_s + self.broker.copy_cost * self.copies(n, stream, size)
        return self.broker.append + (self.broker.read * n if self.broker.kind != "kafka" else 0.0)

    def threads_s(self, n: int) -> np.ndarray:
        """Time a second that publishes take each thread of the broker."""
        spent_s = np.zeros(max(1, self.broker.n_threads))
        for stream in self.streams:
            each_s = [self.publish_s(n, stream, size) for size in stream.sizes]
            spent_s += stream.rate * stream.thread_weights @ each_s
        return spent_s

    def hottest_room_s(self, n: int) -> float:
        """Broker time a second for the busiest single room, which no sharding by room can split."""
        by_room: dict[str, float] = {}
        for stream in self.streams:
            work = stream.rate * stream.hottest_ratio * self.publish_s(n, stream, stream.sizes[-1])
            by_room[stream.to] = by_room.get(stream.to, 0.0) + work
        return max(by_room.values(), default=0.0)

    def subscribe_s(self, n: int) -> np.ndarray:
        """Time a second of each thread of the broker for clients that come and go, where every room is a channel.

        A client's SUBSCRIBE, and its UNSUBSCRIBE later, are needed if no other member is on the same server.
        """
        commands = np.zeros(max(1, self.broker.n_threads))
        if not self.broker.has_channels or self.broker.subscription != "per_room":
            return commands
        for group in self.scenario.rooms:
            joins = [group.cohort in (None, cohort.name) for cohort in self.scenario.clients]
            eligible = int(np.dot([cohort.count for cohort in self.scenario.clients], joins))
            sizes, _ = distinct_sizes(group, eligible)
            alone = _rooms_by_thread(self.scenario, group) @ (sizes * (1 - 1 / n) ** (sizes - 1.0)) / eligible
            commands += 2 * float(np.dot(self.churn, joins)) * alone
        return commands * self.broker.subscribe


def smallest(fits: Callable[[int], bool]) -> int | None:
    """The least number of servers that fits, where more always fit too; None if there is none.

    Examples
    --------
    >>> smallest(lambda n: n >= 13), smallest(lambda n: False)
    (13, None)
    """
    high = 1
    while not fits(high):
        if high >= MOST_SERVERS:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _stream(scenario: Scenario, stream: Traffic) -> Stream:
    group = next((group for group in scenario.rooms if group.name == stream.to), None)
    sizes, rooms, weights, recipients = audience(scenario, stream)
    hottest, by_thread = float(weights[-1] / rooms[-1]), _rooms_by_thread(scenario, group) * (weights / rooms)
    rate = scenario.flow(stream).rate
    return Stream(stream.to, rate, stream.payload, sizes, weights, recipients, hottest, by_thread)


def _rooms_by_thread(scenario: Scenario, group: RoomGroup | None) -> np.ndarray:
    """How many rooms of a group, of each distinct size, are at each thread of the broker: rooms are dealt out in turn,
    everyone is room 0."""
    threads = max(1, scenario.broker.n_threads)
    counts = {cohort.name: cohort.count for cohort in scenario.clients}
    first = 0
    for part in (None, *scenario.rooms):
        eligible = scenario.n_clients if part is None or part.cohort is None else counts[part.cohort]
        n_rooms = 1 if part is None else eligible if part.per_user else part.count
        if part is group:
            break
        first += n_rooms
    sizes, _ = distinct_sizes(group, eligible)
    if len(sizes) == 1:
        found = np.full((threads, 1), float(n_rooms // threads))
        found[(first + np.arange(n_rooms % threads)) % threads] += 1
        return found
    found = np.zeros((threads, len(sizes)))
    places = (first + np.arange(n_rooms)) % threads, np.searchsorted(sizes, room_sizes(group, eligible))
    np.add.at(found, places, 1)
    return found


def _pings(cohort: Cohort) -> bool:
    """Whether servers ping the clients of a cohort."""
    return cohort.keepalive is not None and not TRANSPORTS[cohort.transport].request_per_message


def _churn_per_s(c: int, cohort: Cohort, n_requests: int) -> float:
    """Sessions that start in a second, once the first have ended: one for each session, absence and handshake."""
    if cohort.session is None:
        return 0.0
    connect_s = cohort.network.rtt.mean_s * handshake_round_trips(cohort.tls, n_requests)
    cycle_s = cohort.session.length.mean_s + cohort.session.absence.mean_s + connect_s
    if not cycle_s:
        rule, step = "must not be 0 where absence and rtt are 0 too", "give it a length, or leave it out"
        raise ScenarioError(Problem(f"clients[{c}].session.length", rule, 0, step))
    return cohort.count / cycle_s
