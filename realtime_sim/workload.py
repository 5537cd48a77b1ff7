"""The Workload: a scenario turned into integer arrays, the one input of every producer of traces.

Everything here is decided before the run starts: who is in which room, who publishes what and when, each client's
network. What depends on the state of the system (backoff, service times) is drawn while it runs, from the same
addresses in every engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realtime_sim.draws import Stream, poisson_ns, samples_ns, uniforms
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.grouping import transposed
from realtime_sim.scenario import EVERYONE, RoomGroup, Scenario, Traffic
from realtime_sim.scenario.distributions import Constant
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

    Room 0 holds everyone. Rooms `first[g]` to `first[g + 1]` belong to the scenario's group g. Offsets are int64,
    `members` and `rooms` int32.
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

    Arrays of length n: `time_ns` (int64), and as int32 `traffic` (index of the stream), `number` (within the stream),
    `room`, `sender` (a client, or `BACKEND`).
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
        rtt_ns=_round_trips(scenario),
        connect_ns=_connect_times(scenario),
        rooms=rooms,
        publishes=_publishes(scenario, rooms, cohort),
    )


def _spans(scenario: Scenario) -> list[tuple[int, int]]:
    """First client of each cohort, and the one after its last."""
    ends = np.cumsum([cohort.count for cohort in scenario.clients]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _round_trips(scenario: Scenario) -> np.ndarray:
    """One round-trip time for each client, an even number of nanoseconds so that half of it is whole."""
    times = np.empty(scenario.n_clients, dtype=np.int64)
    for (first, end), part in zip(_spans(scenario), scenario.clients, strict=True):
        rtt = part.network.rtt
        if isinstance(rtt, Constant):
            times[first:end] = to_ns(rtt.value)
        else:
            u = uniforms(scenario.seed, Stream.RTT, 0, first, end - first)
            times[first:end] = samples_ns(rtt.sampler(), u)
    times &= ~1
    return times


def _connect_times(scenario: Scenario) -> np.ndarray:
    times = np.full(scenario.n_clients, CONNECTED, dtype=np.int64)
    for (first, end), part in zip(_spans(scenario), scenario.clients, strict=True):
        if part.ramp_up is not None:
            u = uniforms(scenario.seed, Stream.CONNECT_TIME, 0, first, end - first)
            times[first:end] = (u * to_ns(part.ramp_up)).astype(np.int64)
    return times


def _rooms(scenario: Scenario) -> Rooms:
    n_clients = scenario.n_clients
    spans = dict(zip([cohort.name for cohort in scenario.clients], _spans(scenario), strict=True))
    parts, sizes, first = [np.arange(n_clients, dtype=np.int32)], [np.array([n_clients])], [0, 1]
    for g, group in enumerate(scenario.rooms):
        eligible = spans[group.cohort] if group.cohort else (0, n_clients)
        flat, of_room = _group_members(scenario.seed, g, group, *eligible)
        parts.append(flat)
        sizes.append(of_room)
        first.append(first[-1] + len(of_room))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    members, rooms, room_offsets = parts[0], np.zeros(n_clients, dtype=np.int32), np.arange(n_clients + 1)
    if scenario.rooms:
        room_offsets, rooms = transposed(offsets, np.concatenate(parts), n_clients)
        _, members = transposed(room_offsets, rooms, len(offsets) - 1)  # ascending now
    return Rooms(
        names=(EVERYONE, *(group.name for group in scenario.rooms)),
        first=np.array(first),
        member_offsets=offsets,
        members=members,
        room_offsets=room_offsets,
        rooms=rooms,
    )


def _group_members(seed: int, g: int, group: RoomGroup, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Members room by room, in any order, and how many each room has.

    Clients are shuffled once, and rooms take them in turn, as cards are dealt. A room takes consecutive cards, so its
    members differ, and no client is in two rooms more than another.
    """
    eligible = np.arange(first, end, dtype=np.int32)
    if group.per_user:
        return eligible, np.ones(len(eligible), dtype=np.int64)
    keys = uniforms(seed, Stream.MEMBERSHIP, g, first, end - first)
    deck = eligible[np.argsort(keys, kind="stable")]
    sizes = room_sizes(group, len(eligible))
    return np.resize(deck, sizes.sum()), sizes


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
        room = _targets(scenario, rooms, index, stream, len(times))
        sender = _senders(scenario, rooms, index, stream, room, cohort)
        number = np.arange(len(times), dtype=np.int32)
        columns.append((times, np.full(len(times), index, dtype=np.int32), number, room, sender))
    if not columns:
        return Publishes(np.zeros(0, dtype=np.int64), *(np.zeros(0, dtype=np.int32) for _ in range(4)))
    if len(columns) == 1:
        return Publishes(*columns[0])  # their times ascend
    whole = [np.concatenate(column) for column in zip(*columns, strict=True)]
    order = np.argsort(whole[0], kind="stable")  # they stand by stream and number already
    return Publishes(*(column[order] for column in whole))


def _arrival_times(scenario: Scenario, index: int, stream: Traffic) -> np.ndarray:
    """Intended publish times: equal steps, or a Poisson process (exponential gaps, added up).

    All of them are before the end in whole nanoseconds: a time just before it must not be rounded up to it.
    """
    start = stream.start
    stop = min(stream.stop or scenario.duration, scenario.duration)
    if stream.arrivals == "poisson":
        return poisson_ns(scenario.seed, index, stream.rate, float(start), float(stop))
    n = int(np.ceil((stop - start) * stream.rate - 1e-9))
    due_ns = to_ns(start + np.arange(n) / stream.rate)
    return due_ns[due_ns < to_ns(stop)]


def _targets(scenario: Scenario, rooms: Rooms, index: int, stream: Traffic, n: int) -> np.ndarray:
    g = rooms.names.index(stream.to)
    first, n_rooms = rooms.first[g], rooms.first[g + 1] - rooms.first[g]
    if n_rooms == 1:
        return np.full(n, first, dtype=np.int32)
    u = uniforms(scenario.seed, Stream.TARGET, index, 0, n)
    if stream.pick == "uniform":
        return np.int32(first) + (u * n_rooms).astype(np.int32)
    weights = np.cumsum(np.diff(rooms.member_offsets)[first : first + n_rooms])
    return (first + np.searchsorted(weights, u * weights[-1], side="right")).astype(np.int32)


def _senders(
    scenario: Scenario, rooms: Rooms, index: int, stream: Traffic, room: np.ndarray, cohort: np.ndarray
) -> np.ndarray:
    """A member of the room for `from: clients`, any client of the cohort for a cohort, `BACKEND` otherwise."""
    if stream.source == "backend":
        return np.full(len(room), BACKEND, dtype=np.int32)
    u = uniforms(scenario.seed, Stream.SENDER, index, 0, len(room))
    if stream.source == "clients":
        offsets, sizes = rooms.member_offsets[room], np.diff(rooms.member_offsets)[room]
        return rooms.members[offsets + (u * sizes).astype(np.int64)]
    names = [part.name for part in scenario.clients]
    eligible = np.flatnonzero(cohort == names.index(stream.source))
    return eligible[(u * len(eligible)).astype(np.int64)].astype(np.int32)
