"""Limits: how many servers each limit asks for on its own, with the arithmetic written out.

The costs are those the engines charge, as mean work a second while everyone is connected and all traffic runs.
Queueing is not in it: a loop that is busy 70 % of the time still makes messages wait, and how long is for `simulate`
to say. Neither are wake-ups of an idle loop, which are rare at high load, nor faults, but for the row on reconnects.
"""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import pandas as pd

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario

__all__ = ["Claim", "Limit", "Limits", "connections_claim", "server_limits"]

MOST_SERVERS = 1_000_000
"""Where the search for enough servers ends."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what is asked for, what one server has of it, and the servers that follow.

    Parameters
    ----------
    name : str
        `"connections"`, `"memory"`, `"cpu"`, `"egress"`, `"broker"` or `"reconnect storm"`.
    servers : int or None
        Servers needed by this limit alone; None where it asks for none (not set, not met by any number, or about
        something else than servers).
    per_server_capacity : float or None
        What one server (for the broker: one thread) may be given, in `unit`; the target utilization is in it.
    demand : float or None
        What is asked of `servers` servers together, in `unit`.
    unit : str
        Unit of both.
    arithmetic : str
        How the figures come about, one step a line.
    binding : bool
        Whether this limit decides.
    note : str
        What to know about it; may be empty.
    used_ratio : float or None
        Share of the whole capacity, without target, that is used at the servers needed by all limits together.
    possible : bool
        False where no number of servers, or of brokers, is enough.
    brokers : int or None
        For the broker: Redis instances (shards by room) or Kafka partitions needed.
    """

    name: str
    servers: int | None
    per_server_capacity: float | None
    demand: float | None
    unit: str
    arithmetic: str
    binding: bool = False
    note: str = ""
    used_ratio: float | None = None
    possible: bool = True
    brokers: int | None = None


@dataclass(frozen=True)
class Limits:
    """All limits of a scenario. Printed, it is a table with the arithmetic below it.

    Parameters
    ----------
    name : str
        Of the scenario.
    given : int
        Its `servers.count`.
    target_utilization : float
        Share of time that event loops, links and the broker may be busy (dimensionless).
    needed : int or None
        Servers that satisfy every limit, without spares; None where no number does.
    rows : tuple of Limit
        One for each limit.
    """

    name: str
    given: int
    target_utilization: float
    needed: int | None
    rows: tuple[Limit, ...]

    @property
    def binding(self) -> str:
        """Name of the limit that decides: one that more servers cannot meet, else the one that needs most of them."""
        return next(row.name for row in self.rows if row.binding)

    def __getitem__(self, name: str) -> Limit:
        """The row called `name`."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row for each limit, indexed by its name."""
        columns = ["servers", "per_server_capacity", "demand", "unit", "used_ratio", "binding", "possible", "brokers"]
        frame = pd.DataFrame([asdict(row) for row in self.rows]).set_index("limit" if False else "name")
        frame = frame.astype({"servers": "Int64", "brokers": "Int64", "per_server_capacity": float, "demand": float})
        return frame[[*columns, "note"]].astype({"used_ratio": float}).rename_axis("limit")

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        needed = "no number of servers is enough" if self.needed is None else _plural(self.needed, "server") + " needed"
        return (
            f"{self.name}: {needed}, {self.given:,} given; {self.binding} decides. "
            f"Loops, links and broker may be busy {self.target_utilization:.0%} of the time."
        )

    def _cells(self) -> pd.DataFrame:
        """The table as text."""
        cells = []
        for row in self.rows:
            servers = "-" if row.servers is None else f"{row.servers:,}"
            servers = servers if row.possible else "none"
            used = "" if row.used_ratio is None else f"{row.used_ratio:.1%}"
            figures = [_number(row.per_server_capacity), _number(row.demand), row.unit]
            cells.append([row.name, servers, *figures, used, "decides" if row.binding else ""])
        columns = ["limit", "servers", "capacity each", "demand", "unit", "used", ""]
        return pd.DataFrame(cells, columns=columns).set_index("limit")

    def __str__(self) -> str:
        cells = self._cells()
        width = max(map(len, cells["unit"]))
        cells["unit"] = [text.ljust(width) for text in cells["unit"]]
        table = cells.rename_axis(None).to_string(justify="right").splitlines()
        lines = [self.headline, "", *(line.rstrip() for line in table)]
        for row in self.rows:
            lines += ["", row.name, *("  " + line for line in row.arithmetic.splitlines())]
            lines += [f"  Note: {row.note}"] if row.note else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [f"<p><b>{row.name}:</b> {html.escape(row.note)}</p>" for row in self.rows if row.note]
        sums = [f"<b>{row.name}</b>\n{html.escape(row.arithmetic)}" for row in self.rows]
        table = self._cells().to_html(border=0)
        return "\n".join(
            [f"<h4>{html.escape(self.headline)}</h4>", table, *notes, "<pre>", "\n\n".join(sums), "</pre>"]
        )

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        head = {"scenario": self.name, "given": self.given, "target_utilization": self.target_utilization}
        return {**head, "needed": self.needed, "binding": self.binding, "rows": [asdict(row) for row in self.rows]}


def server_limits(scenario: Scenario, target_utilization: float = 0.7) -> Limits:
    """Servers that each limit asks for on its own, and the one that decides.

    Connections and memory are filled to the limit; loops, links and the broker only to `target_utilization`. Clients
    are spread evenly, and all of them are connected.

    Parameters
    ----------
    scenario : Scenario
        What to serve. `servers.count` is not used, but to be compared with.
    target_utilization : float
        Share of time that an event loop, a server's link and a broker thread may be busy (dimensionless), above 0 and
        at most 1.

    Returns
    -------
    Limits
        One row for each limit.

    Raises
    ------
    ScenarioError
        If an argument is wrong, or a session of a client takes no time at all.

    Notes
    -----
    Leaves out queueing (see `simulate`), wake-ups, first connections, and spare servers for failures. Streams of
    traffic that never run together are added up all the same. Long polls are counted as for Poisson messages.

    Examples
    --------
    >>> scenario = Scenario(name="news", duration=60, clients=[{"name": "phones", "count": 100_000}],
    ...                     servers={"max_connections": 10_000}, traffic=[{"name": "headlines", "rate": "2/s"}])
    >>> limits = server_limits(scenario)
    >>> limits.needed, limits.binding, [(row.name, row.servers) for row in limits.rows[:3]]
    (10, 'connections', [('connections', 10), ('memory', None), ('cpu', 8)])
    """
    problems = []
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        problems.append(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    is_number = isinstance(target_utilization, (int, float)) and not isinstance(target_utilization, bool)
    if not is_number or not 0 < target_utilization <= 1:
        rule, step = "must be above 0 and at most 1", "use 0.7 for loops that are busy 70 % of the time"
        problems.append(Problem("target_utilization", rule, target_utilization, step))
    if problems:
        raise ScenarioError(problems)
    load = _Load(scenario)
    servers, target = scenario.servers, float(target_utilization)
    fits = servers.resolved_costs.connections_in(servers.memory) if servers.memory is not None else None
    base = servers.resolved_costs.memory_bytes(0)
    each = servers.resolved_costs.memory_bytes(1) - base
    held = f"({servers.memory or 0:,} B - {base:,} B of the process) / {each:,} B a connection = {fits or 0:,}"
    free = "a connection takes no memory in this profile" if servers.memory else "set servers.memory, such as 2GiB"
    rows = [
        _counted("connections", load, servers.max_connections, "", "set servers.max_connections, such as 10_000"),
        _counted("memory", load, fits, held, free),
        _cpu(load, target),
        _egress(load, target),
    ]
    needed = max(row.servers or 1 for row in rows) if all(row.possible for row in rows) else None
    n = needed or servers.count
    rows = [replace(row, used_ratio=_used(row, load, n)) for row in rows]
    rows.append(_broker(load, n, target))
    decides = next((row for row in rows if not row.possible), None)
    if decides is None:
        overloaded = rows[-1].used_ratio is not None and rows[-1].used_ratio > target
        decides = rows[-1] if overloaded else max(rows[:-1], key=lambda row: row.servers or 0)
    rows = [replace(row, binding=row is decides) for row in rows]
    return Limits(scenario.name, servers.count, target, needed, (*rows, _storm(load, max(n, 2))))


@dataclass(frozen=True, slots=True)
class _Stream:
    """One stream of traffic: room sizes and how likely each is, mean recipients of each cohort, its hottest room."""

    rate: float
    payload_bytes: int
    sizes: np.ndarray
    weights: np.ndarray
    recipients: np.ndarray
    hottest_ratio: float


def _stream(scenario: Scenario, stream: Traffic) -> _Stream:
    group = next((group for group in scenario.rooms if group.name == stream.to), None)
    cohorts = [cohort.name for cohort in scenario.clients]
    joins = [group is None or group.cohort in (None, name) for name in cohorts]
    eligible = np.array([cohort.count for cohort in scenario.clients], float) * joins
    n = int(eligible.sum())
    if group is None or group.per_user or not group.zipf:
        sizes = np.array([n if group is None else 1 if group.per_user else group.members])
        rooms = np.array([1 if group is None else n if group.per_user else group.count])
    else:
        sizes, rooms = np.unique(room_sizes(group, n), return_counts=True)
    weights = rooms * (sizes if stream.pick == "by_size" else 1.0)
    weights = weights / weights.sum()
    mean = float(weights @ sizes)
    recipients = mean * eligible / n
    if not stream.echo and stream.source == "clients":
        recipients *= (mean - 1) / mean
    elif not stream.echo and stream.source in cohorts:
        sender = cohorts.index(stream.source)
        recipients[sender] -= recipients[sender] / scenario.clients[sender].count
    return _Stream(stream.rate, stream.payload, sizes, weights, recipients, float(weights[-1] / rooms[-1]))


class _Load:
    """Mean work a second of a scenario: over all servers, for any number of them."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.servers, self.broker = scenario, scenario.servers, scenario.broker
        self.costs = scenario.servers.resolved_costs
        self.streams = [_stream(scenario, stream) for stream in scenario.traffic]
        self.rate = sum(stream.rate for stream in self.streams)
        self.ingests = sum(stream.rate for stream in scenario.traffic if stream.source != "backend")
        self.pings = self.requests = 0.0
        self.churn, self.egress = [], []
        for c, cohort in enumerate(scenario.clients):
            steps = POLLING_HANDSHAKE_REQUESTS if cohort.polling_handshake else 1
            self.churn.append(_churn_per_s(c, cohort, steps))
            self.requests += self.churn[c] * (steps - 1)
            if TRANSPORTS[cohort.transport].request_per_message:
                self.egress.append(self._polling(c, cohort))
                continue
            if cohort.keepalive is not None:
                self.pings += cohort.count / cohort.keepalive.interval
            sizes = [wire_bytes(cohort.transport, stream.payload_bytes, cohort.tls) for stream in self.streams]
            sent = [stream.rate * stream.recipients[c] for stream in self.streams]
            self.egress.append((f"{cohort.name}, {cohort.transport}", sum(sent), float(np.dot(sent, sizes))))
        sends = [stream.rate * float(stream.recipients.sum()) for stream in self.streams]
        own = self.servers.fanout == "task_per_client"
        each = [self.costs.send_to_one_s(stream.payload_bytes, own) for stream in self.streams]
        self.sends, self.send_s = sum(sends), float(np.dot(sends, each)) / max(sum(sends), 1e-300)

    def _polling(self, c: int, cohort: Cohort) -> tuple[str, float, float]:
        """Requests and answers of a long-polling cohort.

        From one answer to the next request there is a gap; a poll that finds messages from the gap is answered at
        once, any other at the next message or after the hold time.
        """
        per_s = sum(stream.rate * stream.recipients[c] for stream in self.streams) / cohort.count
        gap_s = cohort.network.rtt.mean_s + cohort.network.jitter.mean_s + self.costs.http_request_s
        answers, empty = _answers_per_s(per_s, gap_s, TRANSPORTS["long_polling"].poll_hold_s)
        payload = sum(stream.rate * stream.recipients[c] * stream.payload_bytes for stream in self.streams)
        full = cohort.count * (answers - empty)
        together = wire_bytes("long_polling", round(payload / full), cohort.tls) if full else 0
        self.requests += cohort.count * answers
        n_bytes = full * together + cohort.count * empty * wire_bytes("long_polling", 0, cohort.tls)
        return (f"{cohort.name}, answers to polls", cohort.count * answers, n_bytes)

    def copies(self, n: int, of: _Stream | None = None, hottest: bool = False) -> float:
        """Copies a second that `n` servers get from the broker; of one stream, copies of one publish."""
        if of is None:
            return sum(stream.rate * self.copies(n, stream) for stream in self.streams)
        if self.broker.kind == "none":
            return 1.0
        if self.broker.kind != "redis_pubsub" or self.broker.subscription == "all_servers":
            return float(n)
        if hottest:
            return node_copies(n, int(of.sizes[-1]))
        return sum(w * node_copies(n, int(size)) for w, size in zip(of.weights, of.sizes, strict=True))

    def cpu(self, n: int) -> list[tuple[str, float, float]]:
        """What the loops of `n` servers do: how often a second in all, and CPU seconds each."""
        costs = self.costs
        return [
            ("sends", self.sends, self.send_s),
            ("decodes", self.copies(n), costs.event_s),
            ("from clients", self.ingests, costs.ingest_s),
            ("pings", self.pings, costs.ping_s),
            ("handshakes", sum(self.churn), costs.handshake_s),
            ("requests", self.requests, costs.http_request_s),
        ]

    def work_s(self, n: int) -> float:
        """CPU seconds a second of all `n` servers."""
        return sum(count * cost_s for _, count, cost_s in self.cpu(n))

    def publish_s(self, n: int, stream: _Stream, hottest: bool = False) -> float:
        """Time of the broker for one publish."""
        if self.broker.kind == "redis_pubsub":
            return self.broker.publish.mean_s + self.broker.copy_cost * self.copies(n, stream, hottest)
        return self.broker.append + (self.broker.read * n if self.broker.kind == "redis_streams" else 0.0)

    def subscribe_s(self, n: int) -> float:
        """Broker time a second for SUBSCRIBE and UNSUBSCRIBE of clients that come and go, where rooms are channels."""
        if self.broker.kind != "redis_pubsub" or self.broker.subscription != "per_room":
            return 0.0
        total = 0.0
        for group in self.scenario.rooms:
            joins = [group.cohort in (None, cohort.name) for cohort in self.scenario.clients]
            eligible = sum(cohort.count for cohort, join in zip(self.scenario.clients, joins, strict=True) if join)
            size, rooms = (1, eligible) if group.per_user else (group.members, group.count)
            alone = (1 - 1 / n) ** (size - 1)
            total += float(np.dot(self.churn, joins)) * rooms * size / eligible * alone
        return 2 * total * self.broker.subscribe


def _answers_per_s(messages_per_s: float, gap_s: float, hold_s: float) -> tuple[float, float]:
    """Answers a second to one long-polling client, and how many of them are empty."""
    quiet = math.exp(-messages_per_s * gap_s)
    waits_s = -math.expm1(-messages_per_s * hold_s) / messages_per_s if messages_per_s else hold_s
    answers = 1 / (gap_s + quiet * waits_s)
    return answers, answers * quiet * math.exp(-messages_per_s * hold_s)


def _churn_per_s(c: int, cohort: Cohort, n_requests: int) -> float:
    if cohort.session is None:
        return 0.0
    connect_s = cohort.network.rtt.mean_s * handshake_round_trips(cohort.tls, n_requests)
    cycle_s = cohort.session.length.mean_s + cohort.session.absence.mean_s + connect_s
    if not cycle_s:
        step = "give it a length, or leave it out"
        raise ScenarioError(Problem(f"clients[{c}].session.length", "must not be 0 without absence and rtt", 0, step))
    return cohort.count / cycle_s


def _counted(name: str, load: _Load, each: int | None, held: str, step: str) -> Limit:
    """A limit on connections: each server holds so many."""
    n = load.scenario.n_clients
    if each is None:
        return Limit(name, None, None, float(n), "connections", f"not limited: {step}")
    servers = -(-n // each)
    lines = [held] if held else []
    lines.append(f"{n:,} clients / {each:,} a server = {n / each:,.2f} -> {_plural(servers, 'server')}")
    return Limit(name, servers, float(each), float(n), "connections", "\n".join(lines))


def _cpu(load: _Load, target: float) -> Limit:
    workers, capacity = load.servers.workers, target * load.servers.workers
    servers = _smallest(lambda n: load.work_s(n) <= capacity * n)
    n = servers or load.servers.count
    lines = _table([(label, count, _time(cost), count * cost) for label, count, cost in load.cpu(n) if count * cost])
    work_s = load.work_s(n)
    loops = f"{_plural(workers, 'loop')} busy {target:.0%}"
    lines.append(f"{work_s:,.4g} CPU s/s for {_plural(n, 'server')}; each has {capacity:,.4g} ({loops})")
    note, every = "", load.copies(2) == 2 * load.rate and load.rate * load.costs.event_s > 0
    if every:
        own = load.rate * load.costs.event_s
        note = f"Every server decodes all {_number(load.rate)} messages/s, {own:.3g} CPU s/s that no other server takes off it."
    if servers is None:
        note = f"No number of servers up to {MOST_SERVERS:,} is enough. {note}".rstrip()
        return Limit("cpu", None, capacity, work_s, "CPU s/s", "\n".join(lines), note=note, possible=False)
    lines.append(f"{work_s:,.4g} / {capacity:,.4g} = {work_s / capacity:,.2f} -> {_plural(servers, 'server')}")
    return Limit("cpu", servers, capacity, work_s, "CPU s/s", "\n".join(lines), note=note)


def _egress(load: _Load, target: float) -> Limit:
    demand = sum(n_bytes for _, _, n_bytes in load.egress)
    rows = [(label, count, f"{n_bytes / count:,.4g} B", n_bytes) for label, count, n_bytes in load.egress if count]
    lines = _table(rows) or ["nothing is sent"]
    lines[1:] = [*lines[1:], f"{demand:,.0f} B/s, headers, TLS and TCP/IP included"]
    link = load.servers.egress
    if link is None:
        return Limit(
            "egress",
            None,
            None,
            demand,
            "B/s",
            "\n".join([*lines, "not limited: set servers.egress, such as 1 Gbit/s"]),
        )
    capacity = target * link
    servers = max(1, math.ceil(demand / capacity))
    lines.append(
        f"{demand:,.0f} / ({target:g} x {link:,.0f}) = {demand / capacity:,.2f} -> {_plural(servers, 'server')}"
    )
    return Limit("egress", servers, capacity, demand, "B/s", "\n".join(lines))
