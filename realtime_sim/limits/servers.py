"""Servers needed: each limit on its own row, from the load of the scenario and what one server can take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from realtime_sim.engines.reference.clients import POLLING_HANDSHAKE_REQUESTS
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits.load import Load
from realtime_sim.limits.table import Limit, Limits, aligned, number, plural
from realtime_sim.scenario import Scenario

__all__ = ["MOST_SERVERS", "server_limits"]

MOST_SERVERS = 1_000_000
"""Where the search for enough servers ends."""

WORTH_A_NOTE = 0.05
"""Share of a server's CPU that decoding takes, whatever the number of servers, before a note says so."""


def server_limits(scenario: Scenario, target_utilization: float = 0.7) -> Limits:
    """Servers that each limit asks for on its own, and the limit that decides.

    Connections and memory are filled to the limit; loops, links and the broker only to `target_utilization`. Clients
    are spread evenly, and all of them are connected.

    Parameters
    ----------
    scenario : Scenario
        What to serve. Its `servers.count` is only compared with.
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
        If an argument is wrong, or if sessions take no time at all.

    Notes
    -----
    Queueing is not in it: that is `simulate`'s. Left out are also first connections and spare servers for failures.
    Streams of traffic that never run together are added up all the same. Long polls are counted as for Poisson
    messages. A job that finds its loop asleep wakes it, as `theory.utilization_with_wakeups` has it for Poisson jobs;
    bursts, such as polls that come back together after a broadcast, wake it less often.

    References
    ----------
    Welch, Operations Research 12 (1964), for wake-ups.

    Examples
    --------
    >>> scenario = Scenario(name="news", duration=60, clients=[{"name": "phones", "count": 100_000}],
    ...                     servers={"max_connections": 10_000}, broker={"kind": "redis_pubsub"},
    ...                     traffic=[{"name": "headlines", "rate": "2/s"}])
    >>> limits = server_limits(scenario)
    >>> limits.needed, limits.binding, [(row.name, row.servers) for row in limits.rows[:3]]
    (10, 'connections', [('connections', 10), ('memory', None), ('cpu', 8)])
    """
    _check(scenario, target_utilization)
    load, servers, target = Load(scenario), scenario.servers, float(target_utilization)
    rows = [
        _connections(load, servers.max_connections),
        _memory(load),
        _cpu(load, target),
        _egress(load, target),
    ]
    needed = max(row.servers or 1 for row in rows) if all(row.possible for row in rows) else None
    n = needed or servers.count
    rows = [replace(row, used_ratio=_used(row, load, n)) for row in rows]
    broker = _broker(load, n, target)
    decides = next((row for row in (*rows, broker) if not row.possible), None)
    if decides is None:
        overloaded = broker.used_ratio is not None and broker.used_ratio > target
        decides = broker if overloaded else max(rows, key=_pressure)
    marked = [replace(row, binding=row is decides) for row in (*rows, broker)]
    return Limits(scenario.name, servers.count, target, needed, (*marked, _storm(load, max(n, 2))))


def _pressure(row: Limit) -> tuple[int, float]:
    """Which of two limits decides: the one that needs more servers, of equals the one that fills them further."""
    return (row.servers or 0, row.demand / row.per_server_capacity if row.per_server_capacity else 0.0)


def _check(scenario: object, target_utilization: object) -> None:
    problems = []
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        problems.append(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    is_number = isinstance(target_utilization, (int, float)) and not isinstance(target_utilization, bool)
    if not is_number or not 0 < target_utilization <= 1:
        step = "use 0.7 for loops that are busy 70 % of the time"
        problems.append(Problem("target_utilization", "must be above 0 and at most 1", target_utilization, step))
    if problems:
        raise ScenarioError(problems)


def _connections(load: Load, each: int | None, name: str = "connections") -> Limit:
    """So many connections in all, so many a server."""
    n = load.scenario.n_clients
    if each is None:
        step = "not limited: set servers.max_connections, such as 10_000, for a limit on file descriptors"
        return Limit(name, None, None, float(n), "connections", step)
    servers = -(-n // each)
    text = f"{n:,} clients / {each:,} a server = {n / each:,.2f} -> {plural(servers, 'server')}"
    return Limit(name, servers, float(each), float(n), "connections", text)


def _memory(load: Load) -> Limit:
    costs, memory = load.costs, load.servers.memory
    base = costs.memory_bytes(0)
    own = costs.memory_bytes(1) - base
    fits = None if memory is None else costs.connections_in(memory)
    row = _connections(load, fits, "memory")
    if fits is None:
        step = "set servers.memory, such as 2GiB" if memory is None else "a connection takes no memory in this profile"
        return replace(row, arithmetic=f"not limited: {step}")
    text = f"({memory:,} B - {base:,} B of the process) / {own:,} B a connection -> {fits:,} connections a server"
    return replace(row, arithmetic=f"{text}\n{row.arithmetic}")


def _smallest(fits: Callable[[int], bool]) -> int | None:
    """The least number of servers that fits, where more always fit too; None if there is none."""
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


def _cpu(load: Load, target: float) -> Limit:
    workers = load.servers.workers
    capacity = target * workers
    servers = _smallest(lambda n: load.utilization(n) <= target)
    n = servers or load.servers.count
    work_s = load.cpu_s(n)
    parts = [
        [label, f"{number(per_s)}/s", "x", f"{cost_s * 1e6:,.4g} us", f"= {number(per_s * cost_s)} CPU s/s"]
        for label, per_s, cost_s in load.cpu(n)
        if per_s * cost_s
    ]
    lines = [
        *(aligned(parts, left={0, 4}) if parts else []),
        f"{number(work_s)} CPU s/s on {plural(n, 'server')} in all",
        *_wakeup_lines(load, n),
    ]
    one = f"{target:g} x {plural(workers, 'loop')} = {capacity:,.4g} CPU s/s a server"
    needs = "" if servers is None else f": {number(work_s)} / {capacity:,.4g} = {work_s / capacity:,.2f} -> "
    lines.append(one + needs + ("" if servers is None else plural(servers, "server")))
    note, possible = " ".join(_cpu_notes(load, target, servers)), servers is not None
    return Limit("cpu", servers, capacity, work_s, "CPU s/s", "\n".join(lines), note=note, possible=possible)


def _wakeup_lines(load: Load, n: int) -> list[str]:
    """How the wake-ups follow from the busy share of a loop, and it from them."""
    work, jobs, cost_s = load.work_s(n) / n, load.jobs_per_s(n) / n, load.costs.wakeup_s
    workers = load.servers.workers
    if not jobs * cost_s or work >= workers:
        return []
    sum_s = f"{number(work)} + {number(jobs)}/s x {cost_s * 1e6:,.4g} us"
    share = f"{load.utilization(n):.1%}"
    if workers == 1:
        chance, solved = "1 - rho", f"rho = ({sum_s}) / (1 + {number(jobs * cost_s)}) = {share}"
    else:
        chance = "1 - C, all loops busy with C (Erlang C)"
        solved = f"{workers:,} rho = {sum_s} x (1 - C), so rho = {share}"
    return [f"wake-ups: a job finds a loop asleep with {chance} (Welch 1964; jobs Poisson)", f"each server: {solved}"]


def _cpu_notes(load: Load, target: float, servers: int | None) -> list[str]:
    """What more servers cannot change."""
    notes = [] if servers is not None else [f"No number of servers up to {MOST_SERVERS:,} is enough."]
    own = load.publish_rate * load.costs.event_s
    if load.every_server_decodes and own >= WORTH_A_NOTE * target * load.servers.workers:
        about = f"Every server decodes all {number(load.publish_rate)} messages/s"
        notes.append(f"{about}: {number(own)} CPU s/s on each, which no other server can take over.")
    awake = _smallest(lambda n: load.work_s(n) <= target * load.servers.workers * n)
    if awake is not None and awake != servers:
        notes.append(f"Wake-ups fade as load grows; without them {plural(awake, 'server')} would do.")
    if load.servers.fanout == "task_per_client" and load.costs.wakeup_s and load.sends:
        notes.append("Loops that the tasks of a fan-out wake are left out, so it is more than this: ask `simulate`.")
    return notes


def _egress(load: Load, target: float) -> Limit:
    demand = sum(n_bytes for _, _, n_bytes in load.egress)
    parts = [
        [label, f"{number(per_s)}/s", "x", f"{number(n_bytes / per_s)} B", f"= {n_bytes:,.0f} B/s"]
        for label, per_s, n_bytes in load.egress
        if per_s
    ]
    lines = [
        *(aligned(parts, left={0, 4}) if parts else []),
        f"{demand:,.0f} B/s in all, TLS and TCP/IP headers included",
    ]
    link = load.servers.egress
    if link is None:
        lines.append("not limited: set servers.egress, such as 1 Gbit/s")
        return Limit("egress", None, None, demand, "B/s", "\n".join(lines))
    capacity = target * link
    servers = max(1, math.ceil(demand / capacity))
    one = f"{target:g} x {link:,.0f} B/s = {capacity:,.0f} B/s a server"
    lines.append(f"{one}: {demand:,.0f} / {capacity:,.0f} = {demand / capacity:,.2f} -> {plural(servers, 'server')}")
    return Limit("egress", servers, capacity, demand, "B/s", "\n".join(lines))


def _used(row: Limit, load: Load, n: int) -> float | None:
    """Share of what `n` servers have that is used."""
    if row.name == "cpu":
        return load.utilization(n)
    if row.per_server_capacity is None:
        return None
    each = load.servers.egress if row.name == "egress" else row.per_server_capacity
    return row.demand / (n * each)


def _broker(load: Load, n: int, target: float) -> Limit:
    """Broker threads that the scenario keeps busy with `n` servers."""
    kind, rate = load.broker.kind, load.publish_rate
    unit = "thread s/s"
    if kind == "none":
        lost = f"Without one a message reaches the clients of one server only; those of the other {n - 1:,} miss it."
        note = f"{lost} Set broker.kind." if n > 1 and rate else ""
        return Limit("broker", None, None, None, unit, "no broker", note=note)
    if not rate:
        return Limit("broker", None, target, 0.0, unit, "nothing is published", used_ratio=0.0, brokers=1)
    publishing = sum(stream.rate * load.publish_s(n, stream) for stream in load.streams)
    subscribing = load.subscribe_s(n)
    total, hottest = publishing + subscribing, load.hottest_room_s(n)
    lines = [f"{number(rate)} publishes/s x {_publish_text(load, n)} = {number(publishing)} thread s/s"]
    lines += [f"subscriptions of clients that come and go: {number(subscribing)} thread s/s"] if subscribing else []
    used, what = total, "Redis instance"
    if kind == "kafka":
        shares = sum(stream.rate * load.publish_s(n, stream) * stream.partition_ratios for stream in load.streams)
        used, what = float(shares.max()), "partition"
        lines.append(f"the busiest of {plural(load.broker.partitions, 'partition')} has {number(used)} of it")
    brokers = max(1, math.ceil(total / target))
    lines.append(
        f"{number(total)} / {target:g} = {total / target:,.2f} -> {plural(brokers, what)}, if rooms spread evenly"
    )
    most = None if not publishing else rate / used if kind == "kafka" else rate * max(0.0, 1 - subscribing) / publishing
    note = "" if most is None else f"Full at {number(most)} publishes/s of this mix."
    if hottest > target:
        note += f" The busiest room takes {number(hottest)} of a thread, and a room cannot be split."
    elif used > target:
        note += f" {'The busiest partition' if kind == 'kafka' else 'Its one thread'} is busier than {target:.0%}."
    text, possible = "\n".join(lines), hottest <= target
    return Limit("broker", None, target, total, unit, text, False, note.strip(), used, possible, brokers)


def _publish_text(load: Load, n: int) -> str:
    """What one publish costs the broker, for the arithmetic."""
    broker = load.broker
    if broker.kind == "redis_pubsub":
        copies = sum(stream.rate * load.copies(n, stream) for stream in load.streams) / load.publish_rate
        costs = f"{broker.publish.mean_s * 1e6:.4g} us + {broker.copy_cost * 1e6:.4g} us x {number(copies)} "
        return f"({costs}{'copy' if copies == 1 else 'copies'})"
    append = f"{broker.append * 1e6:.4g} us"
    return append if broker.kind == "kafka" else f"({append} + {broker.read * 1e6:.4g} us x {plural(n, 'reader')})"


def _storm(load: Load, n: int) -> Limit:
    """One of `n` servers dies, and the others accept its clients beside their usual work. For information."""
    clients, workers = load.scenario.n_clients / n, load.servers.workers
    costs = load.costs
    polling = sum(cohort.count for cohort in load.scenario.clients if cohort.polling_handshake)
    polls = (POLLING_HANDSHAKE_REQUESTS - 1) * polling / load.scenario.n_clients
    cost_s = costs.handshake_s + polls * costs.http_request_s
    busy = load.cpu_s(n - 1) / ((n - 1) * workers)
    name, unit = "reconnect storm", "clients, clients/s each"
    lines = [f"1 of {n:,} servers dies with {load.scenario.n_clients:,} / {n:,} = {number(clients)} clients"]
    lines.append(f"each of {plural(n - 1, 'survivor')} is busy {busy:.1%} without handshakes of the storm")
    if busy >= 1:
        note = "Survivors have no time left for handshakes; clients come back slowly or never."
        return Limit(name, None, 0.0, clients, unit, "\n".join(lines), note=note)
    if not cost_s:
        return Limit(name, None, None, clients, unit, "\n".join([*lines, "a handshake costs nothing"]), time_s=0.0)
    each = workers * (1 - busy) / cost_s
    time_s = clients / (n - 1) / each
    lines.append(
        f"{plural(workers, 'loop')} x {1 - busy:.4g} / {cost_s * 1e6:,.4g} us a client = {number(each)} clients/s each"
    )
    lines.append(
        f"{number(clients)} / ({n - 1:,} x {number(each)}/s) = {time_s:,.3g} s, before backoff and round trips"
    )
    notes = []
    slo, at_once = load.scenario.slo, clients / (n - 1)
    if at_once > load.servers.backlog:
        notes.append(
            f"Without jitter {number(at_once)} requests meet a backlog of {load.servers.backlog:,} on each survivor."
        )
    if slo is not None and slo.recover_within is not None:
        notes.append(f"Promised within {slo.recover_within:g} s.")
    return Limit(name, None, each, clients, unit, "\n".join(lines), note=" ".join(notes), time_s=time_s)
