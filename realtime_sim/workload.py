"""The Workload: a scenario turned into integer arrays, the one input of every producer of traces.

Everything here is decided before the run starts: who is in which room, who publishes what and when, each client's
network. What depends on the state of the system (backoff, service times) is drawn while it runs, from the same
addresses in every engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realtime_sim.draws import Stream, samples_ns, uniforms
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import EVERYONE, RoomGroup, Scenario, Traffic
from realtime_sim.units import to_ns

__all__ = [
    "MAX_PUBLISHES",
    "Publishes",
    "Rooms",
    "Workload",
    "audience",
    "distinct_sizes",
    "draw_workload",
    "room_sizes",
]

MAX_PUBLISHES = 50_000_000
"""Most publishes one run may hold; their arrays would take 2 GB."""

CONNECTED = -1
"""`connect_ns` of a client that is connected when the run starts."""

BACKEND = -1
"""`sender` of a message that comes from the backend."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """Rooms and their members, in both directions, as offsets into flat arrays.

    Room 0 holds everyone. Rooms `first[g]` to `first[g + 1]` belong to the scenario's group g.
    """

    names: tuple[str, ...]
    first: np.ndarray
    member_offsets: np.ndarray
    members: np.ndarray
    room_offsets: np.ndarray
    rooms: np.ndarray

    @property
    def n_rooms(self) -> int:
        """Rooms of all groups, the one that holds everyone included."""
        return len(self.member_offsets) - 1

    def members_of(self, room: int) -> np.ndarray:
        """Clients in `room`, ascending."""
        return self.members[self.member_offsets[room] : self.member_offsets[room + 1]]

    def rooms_of(self, client: int) -> np.ndarray:
        """Rooms that `client` is in, ascending; the one that holds everyone first."""
        return self.rooms[self.room_offsets[client] : self.room_offsets[client + 1]]


@dataclass(frozen=True, slots=True)
class Publishes:
    """Messages in the order of their intended publish time; ties by stream, then by number.

    Arrays of length n: `time_ns`, `traffic` (index of the stream), `number` (within the stream), `room`, `sender`
    (a client, or `BACKEND`).
    """

    time_ns: np.ndarray
    traffic: np.ndarray
    number: np.ndarray
    room: np.ndarray
    sender: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True, slots=True)
class Workload:
    """Inputs of one run. Arrays over clients have length n: `cohort`, `rtt_ns`, `connect_ns` (`CONNECTED` at once)."""

    scenario: Scenario
    cohort: np.ndarray
    rtt_ns: np.ndarray
    connect_ns: np.ndarray
    rooms: Rooms
    publishes: Publishes

    @property
    def n_clients(self) -> int:
        """Clients of all cohorts."""
        return len(self.cohort)

    def clients_of(self, name: str) -> np.ndarray:
        """Clients of the cohort called `name`, ascending."""
        index = [cohort.name for cohort in self.scenario.clients].index(name)
        return np.flatnonzero(self.cohort == index)


def draw_workload(scenario: Scenario) -> Workload:
    """The inputs of a run, drawn from the scenario and its seed.

    Raises
    ------
    ScenarioError
        If the run would hold more than `MAX_PUBLISHES` publishes.

    Examples
    --------
    >>> scenario = Scenario(name="x", duration=10, clients=[{"name": "c", "count": 4}],
    ...                     traffic=[{"name": "t", "rate": 1, "arrivals": "constant"}])
    >>> draw_workload(scenario).publishes.time_ns[:3].tolist()
    [0, 1000000000, 2000000000]
    """
    cohort = np.repeat(np.arange(len(scenario.clients), dtype=np.int32), [c.count for c in scenario.clients])
    rooms = _rooms(scenario)
    return Workload(
        scenario=scenario,
        cohort=cohort,
        rtt_ns=_round_trips(scenario, cohort),
        connect_ns=_connect_times(scenario, cohort),
        rooms=rooms,
        publishes=_publishes(scenario, rooms, cohort),
    )


def _round_trips(scenario: Scenario, cohort: np.ndarray) -> np.ndarray:
    """One round-trip time for each client, an even number of nanoseconds so that half of it is whole."""
    u = uniforms(scenario.seed, Stream.RTT, 0, 0, len(cohort))
    parts = [samples_ns(part.network.rtt.sampler(), u[cohort == c]) for c, part in enumerate(scenario.clients)]
    return np.concatenate(parts) // 2 * 2


def _connect_times(scenario: Scenario, cohort: np.ndarray) -> np.ndarray:
    u = uniforms(scenario.seed, Stream.CONNECT_TIME, 0, 0, len(cohort))
    times = np.full(len(cohort), CONNECTED, dtype=np.int64)
    for c, part in enumerate(scenario.clients):
        if part.ramp_up is not None:
            times[cohort == c] = (u[cohort == c] * to_ns(part.ramp_up)).astype(np.int64)
    return times


def _rooms(scenario: Scenario) -> Rooms:
    n_clients = scenario.n_clients
    starts = np.cumsum([0] + [cohort.count for cohort in scenario.clients])
    spans = {c.name: np.arange(starts[i], starts[i + 1]) for i, c in enumerate(scenario.clients)}
    everyone = np.arange(n_clients)
    lists, first = [[everyone]], [0, 1]
    for g, group in enumerate(scenario.rooms):
        eligible = spans[group.cohort] if group.cohort else everyone
        lists.append(_group_members(scenario.seed, g, group, eligible))
        first.append(first[-1] + len(lists[-1]))
    members = [room for group in lists for room in group]
    sizes = np.array([len(room) for room in members])
    flat = np.concatenate(members)
    owner = np.repeat(np.arange(len(members)), sizes)
    order = np.lexsort((owner, flat))
    return Rooms(
        names=(EVERYONE, *(group.name for group in scenario.rooms)),
        first=np.array(first),
        member_offsets=np.concatenate([[0], np.cumsum(sizes)]),
        members=flat,
        room_offsets=np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n_clients))]),
        rooms=owner[order],
    )


def _group_members(seed: int, g: int, group: RoomGroup, eligible: np.ndarray) -> list[np.ndarray]:
    """Members of each room: clients are shuffled once, and rooms take them in turn, as cards are dealt.

    A room takes consecutive cards, so its members differ, and no client is in two rooms more than another.
    """
    if group.per_user:
        return [eligible[i : i + 1] for i in range(len(eligible))]
    keys = uniforms(seed, Stream.MEMBERSHIP, g, int(eligible[0]), len(eligible))
    deck = eligible[np.argsort(keys, kind="stable")]
    ends = np.cumsum(room_sizes(group, len(eligible)))
    starts = np.concatenate([[0], ends[:-1]])
    return [np.sort(deck[np.arange(a, b) % len(deck)]) for a, b in zip(starts, ends, strict=True)]


def room_sizes(group: RoomGroup, n_eligible: int) -> np.ndarray:
    """Members of each room of a group: equal, or falling as 1/rank**zipf with the mean `members`.

    Sizes are at least 1 and at most the clients that can join; what the bounds take away is not handed on.

    Examples
    --------
    >>> room_sizes(RoomGroup(name="r", count=4, members=25, zipf=1), 1000).tolist()
    [48, 24, 16, 12]
    """
    weights = np.arange(1, group.count + 1, dtype=float) ** -group.zipf
    sizes = np.rint(weights / weights.sum() * group.count * group.members)
    return np.clip(sizes, 1, n_eligible).astype(np.int64)


def distinct_sizes(group: RoomGroup | None, n_eligible: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct sizes of the rooms of a group (None: everyone), ascending, and how many rooms have each.

    Examples
    --------
    >>> [part.tolist() for part in distinct_sizes(RoomGroup(name="r", count=4, members=25), 1000)]
    [[25], [4]]
    """
    if group is None or group.per_user or not group.zipf:
        size = n_eligible if group is None else 1 if group.per_user else group.members
        return np.array([size]), np.array([1 if group is None else n_eligible if group.per_user else group.count])
    return np.unique(room_sizes(group, n_eligible), return_counts=True)


def audience(scenario: Scenario, stream: Traffic) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Who hears a publish of a stream, on average, with all clients connected.

    Returns
    -------
    sizes, rooms, weights : ndarray, shape (k,)
        Distinct room sizes in ascending order, how many rooms have each, and how likely a publish goes to one of them.
    recipients : ndarray of float, shape (cohorts,)
        Mean recipients of one publish.

    Examples
    --------
    >>> chat = Scenario(name="x", duration=1, clients=[{"name": "c", "count": 9}],
    ...                 rooms=[{"name": "r", "count": 2, "members": 3, "zipf": 1}],
    ...                 traffic=[{"name": "t", "to": "r", "rate": 1, "pick": "by_size"}])
    >>> sizes, rooms, weights, recipients = audience(chat, chat.traffic[0])
    >>> sizes.tolist(), rooms.tolist(), recipients.round(3).tolist()
    ([2, 4], [1, 1], [3.333])
    """
    group = next((group for group in scenario.rooms if group.name == stream.to), None)
    cohorts = [cohort.name for cohort in scenario.clients]
    joins = [group is None or group.cohort in (None, name) for name in cohorts]
    eligible = np.array([cohort.count for cohort in scenario.clients], float) * joins
    n = int(eligible.sum())
    sizes, rooms = distinct_sizes(group, n)
    weights = rooms * (sizes if stream.pick == "by_size" else 1.0)
    weights = weights / weights.sum()
    mean = float(weights @ sizes)
    recipients = mean * eligible / n
    if not stream.echo and stream.source == "clients":
        recipients *= (mean - 1) / mean
    elif not stream.echo and stream.source in cohorts:
        sender = cohorts.index(stream.source)
        recipients[sender] -= recipients[sender] / scenario.clients[sender].count
    return sizes, rooms, weights, recipients


def _publishes(scenario: Scenario, rooms: Rooms, cohort: np.ndarray) -> Publishes:
    expected = sum(t.rate * (min(t.stop or scenario.duration, scenario.duration) - t.start) for t in scenario.traffic)
    if expected > MAX_PUBLISHES:
        rule = f"must give at most {MAX_PUBLISHES:_} publishes in all"
        raise ScenarioError(Problem("traffic", rule, round(expected), "lower the rates or shorten duration"))
    columns: list[tuple[np.ndarray, ...]] = []
    for index, stream in enumerate(scenario.traffic):
        times = _arrival_times(scenario, index, stream)
        number = np.arange(len(times))
        room = _targets(scenario, rooms, index, stream, len(times))
        columns.append(
            (times, np.full(len(times), index), number, room, _senders(scenario, rooms, index, stream, room, cohort))
        )
    if not columns:
        return Publishes(*(np.zeros(0, dtype=np.int64) for _ in range(5)))
    time, traffic, number, room, sender = (
        np.concatenate(column).astype(np.int64) for column in zip(*columns, strict=True)
    )
    order = np.lexsort((number, traffic, time))
    return Publishes(time[order], traffic[order], number[order], room[order], sender[order])


def _arrival_times(scenario: Scenario, index: int, stream: Traffic) -> np.ndarray:
    """Intended publish times: equal steps, or a Poisson process (exponential gaps, added up).

    All of them are before the end in whole nanoseconds: a time just before it must not be rounded up to it.
    """
    start = stream.start
    stop = min(stream.stop or scenario.duration, scenario.duration)
    if stream.arrivals == "constant":
        n = int(np.ceil((stop - start) * stream.rate - 1e-9))
        due_ns = to_ns(start + np.arange(n) / stream.rate)
        return due_ns[due_ns < to_ns(stop)]
    times = np.zeros(0)
    chunk = int((stop - start) * stream.rate * 1.05) + 100
    drawn, last = 0, start
    while last < stop:
        gaps = -np.log1p(-uniforms(scenario.seed, Stream.ARRIVAL, index, drawn, chunk)) / stream.rate
        later = last + np.cumsum(gaps)
        times = np.concatenate([times, later])
        drawn, last = drawn + chunk, later[-1]
    due_ns = to_ns(times)
    return due_ns[due_ns < to_ns(stop)]


def _targets(scenario: Scenario, rooms: Rooms, index: int, stream: Traffic, n: int) -> np.ndarray:
    g = rooms.names.index(stream.to)
    first, n_rooms = rooms.first[g], rooms.first[g + 1] - rooms.first[g]
    u = uniforms(scenario.seed, Stream.TARGET, index, 0, n)
    if stream.pick == "uniform":
        return first + (u * n_rooms).astype(np.int64)
    weights = np.cumsum(np.diff(rooms.member_offsets)[first : first + n_rooms])
    return first + np.searchsorted(weights, u * weights[-1], side="right")


def _senders(
    scenario: Scenario, rooms: Rooms, index: int, stream: Traffic, room: np.ndarray, cohort: np.ndarray
) -> np.ndarray:
    """A member of the room for `from: clients`, any client of the cohort for a cohort, `BACKEND` otherwise."""
    if stream.source == "backend":
        return np.full(len(room), BACKEND)
    u = uniforms(scenario.seed, Stream.SENDER, index, 0, len(room))
    if stream.source == "clients":
        offsets, sizes = rooms.member_offsets[room], np.diff(rooms.member_offsets)[room]
        return rooms.members[offsets + (u * sizes).astype(np.int64)]
    names = [part.name for part in scenario.clients]
    eligible = np.flatnonzero(cohort == names.index(stream.source))
    return eligible[(u * len(eligible)).astype(np.int64)]
