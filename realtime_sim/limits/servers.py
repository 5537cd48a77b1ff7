"""Servers needed: each limit on its own row, from the load of the scenario and what one server can take."""

from __future__ import annotations

import math
from dataclasses import replace

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits.load import MOST_SERVERS, Load, smallest
from realtime_sim.limits.storm import storm
from realtime_sim.limits.table import Limit, Limits, aligned, number, plural
from realtime_sim.scenario import Scenario

__all__ = ["server_limits", "used_by"]

NOTHING = 0.0005
"""Share that shows as 0.0 %: a limit used no further does not bind."""

NOT_SENT = (
    "Not counted: TCP acknowledgements and retransmissions, TLS handshakes and upgrades of clients that come (back)."
)
"""What leaves a server beside messages, answers to polls and pings."""

WORTH_A_NOTE = 0.05
"""Share of a server's CPU that decoding takes, whatever the number of servers, before a note says so."""


def server_limits(scenario: Scenario, target_utilization: float = 0.7) -> Limits:
    """Servers that each limit asks for on its own, and the limit that decides.

    Connections and memory are filled to the limit, or as far as `slo.headroom` lets them be; loops, links and the
    broker only to `target_utilization`. Clients are spread evenly, and all of them are connected. Where
    `slo.survive_servers` is set, so many more servers are needed: those that are left must meet every limit.

    Parameters
    ----------
    scenario : Scenario
        What to serve. What is needed does not depend on its `servers.count`, which has columns of its own.
    target_utilization : float
        Share of time that an event loop, a server's link and a broker thread may be busy (dimensionless), above 0 and
        at most 1.

    Returns
    -------
    Limits
        One row for each limit, and the storms when servers are lost.

    Raises
    ------
    ScenarioError
        If an argument is wrong, or if sessions take no time at all.

    Notes
    -----
    Queueing is not in it: that is `simulate`'s. Left out are also first connections.
    Streams of traffic that never run together are added up all the same. Long polls are counted as for Poisson
    messages. A job that finds its loop asleep wakes it, as `theory.utilization_with_wakeups` has it for Poisson jobs;
    bursts, such as polls that come back together after a broadcast, wake it less often. Egress is messages, answers to
    polls and pings; pings are not on the links of a simulation, which has them as work of the loops alone.

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
    lost = 0 if scenario.slo is None else scenario.slo.survive_servers or 0
    rows = [
        _connections(load, servers.max_connections, _headroom(scenario)),
        _memory(load, _headroom(scenario)),
        _cpu(load, target),
        _egress(load, target),
    ]
    left = max(row.servers or 1 for row in rows) if all(row.possible for row in rows) else None
    needed = None if left is None else left + lost
    rows = [_spared(row, lost) for row in rows] + [_broker(load, needed or servers.count, target)]
    rows = [_with_use(row, load, needed, servers.count, lost) for row in rows]
    decides = _decides(rows, target)
    marked = tuple(replace(row, binding=row is decides) for row in rows)
    counts = dict.fromkeys([needed or servers.count, servers.count])
    storms = tuple(storm(load, n, max(lost, 1)) for n in counts)
    return Limits(scenario.name, servers.count, target, needed, marked, lost, storms)


def used_by(load: Load, n: int) -> dict[str, float | None]:
    """Share of each limit that `n` servers use, all of them alive, by its name; None where nothing is limited.

    Parameters
    ----------
    load : Load
        Of the scenario.
    n : int
        Servers, at least 1.

    Examples
    --------
    >>> news = Scenario(name="news", duration=60, clients=[{"name": "phones", "count": 100_000}],
    ...                 servers={"max_connections": 10_000}, traffic=[{"name": "headlines", "rate": "2/s"}])
    >>> {name: None if share is None else round(share, 2) for name, share in used_by(Load(news), 8).items()}
    {'connections': 1.25, 'memory': None, 'cpu': 0.62, 'egress': None, 'broker': None}
    """
    free, unlimited = _headroom(load.scenario), (None, None, None, "", "")
    rows = [_connections(load, load.servers.max_connections, free), _memory(load, free), Limit("cpu", *unlimited)]
    rows += [_egress(load, 1.0), Limit("broker", *unlimited)]
    return {row.name: _used(row, load, n) for row in rows}


def _spared(row: Limit, lost: int) -> Limit:
    """The row with the servers to be had, so that those it needs are left when `lost` die."""
    if not lost or row.servers is None:
        return row
    total = row.servers + lost
    when = f"{lost:,} {'is' if lost == 1 else 'are'} lost"
    text = f"{plural(row.servers, 'server')} must be left when {when}: {row.servers:,} + {lost:,} = {total:,}"
    return replace(row, arithmetic=f"{row.arithmetic}\n{text}", to_survive=total)


def _with_use(row: Limit, load: Load, needed: int | None, given: int, lost: int) -> Limit:
    """The row with how far it is used by the needed and the given servers, all alive and with `lost` dead."""
    if row.name == "cpu":
        shown = dict.fromkeys(n for n in (needed, given) if n and n != (row.servers or given))
        row = replace(row, arithmetic="\n".join([row.arithmetic, *(_cpu_line(load, n) for n in shown)]))
    return replace(
        row,
        used_ratio=None if needed is None else _used(row, load, needed),
        left_used_ratio=_used(row, load, needed - lost) if needed and lost else None,
        given_used_ratio=_used(row, load, given),
        given_left_used_ratio=_used(row, load, given - lost) if lost else None,
    )


def _cpu_line(load: Load, n: int) -> str:
    """How busy the loops of `n` servers are: the demand of the row is that on another number of servers."""
    work_s, all_s, loops = load.work_s(n), load.cpu_s(n), n * load.servers.workers
    woken = f" of work + {number(all_s - work_s)} of wake-ups = {number(all_s)}" if all_s > work_s else ""
    sums = f"{number(work_s)}{woken} CPU s/s / {plural(loops, 'loop')} = {load.utilization(n):.1%}"
    return f"with {plural(n, 'server')}: {sums}"


def _decides(rows: list[Limit], target: float) -> Limit | None:
    """The limit that more servers do not meet, else the one that needs most of them; None if all are next to unused."""
    *limits, broker = rows
    stuck = next((row for row in rows if not row.possible), None)
    if stuck is not None:
        return stuck
    if (broker.used_ratio or 0.0) > target:
        return broker
    most = max(limits, key=_pressure)
    return most if (most.left_used_ratio or most.used_ratio or 0.0) >= NOTHING else None


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


def _headroom(scenario: Scenario) -> float:
    """Share of connections and memory that must stay free."""
    return 0.0 if scenario.slo is None else scenario.slo.headroom or 0.0


def _connections(load: Load, each: int | None, free: float = 0.0) -> Limit:
    """So many connections in all, so many a server."""
    if each is None:
        step = "not limited: set servers.max_connections, such as 10_000, for a limit on file descriptors"
        return Limit("connections", None, None, float(load.scenario.n_clients), "connections", step)
    usable = _usable(each, free)
    row = _divided(load, usable, "connections")
    kept = f"{each:,} connections, {free:.3g} of them free -> {usable:,} a server\n" if free else ""
    return replace(row, arithmetic=kept + row.arithmetic)


def _usable(whole: int, free: float) -> int:
    """What may be used of a whole if a share of it must stay free; 0.2 of 10 leave 8, whatever floats make of it."""
    return math.floor(whole * (1 - free) * (1 + 1e-12))


def _divided(load: Load, each: int, name: str) -> Limit:
    n = load.scenario.n_clients
    if not each:
        return Limit(name, None, 0.0, float(n), "connections", "none fits into what is left", possible=False)
    servers = -(-n // each)
    text = f"{n:,} clients / {each:,} a server = {n / each:,.2f} -> {plural(servers, 'server')}"
    return Limit(name, servers, float(each), float(n), "connections", text)


def _memory(load: Load, free: float = 0.0) -> Limit:
    costs, memory = load.costs, load.servers.memory
    base = costs.memory_bytes(0)
    own = costs.memory_bytes(1) - base
    usable = 0 if memory is None else _usable(memory, free)
    fits = None if memory is None else costs.connections_in(usable)
    if fits is None:
        step = "set servers.memory, such as 2GiB" if memory is None else "a connection takes no memory in this profile"
        text = f"not limited: {step}"
        return Limit("memory", None, None, float(load.scenario.n_clients), "connections", text)
    row = _divided(load, fits, "memory")
    text = f"({usable:,} B - {base:,} B of the process) / {own:,} B a connection -> {fits:,} connections a server"
    kept = f"{memory:,} B, {free:.3g} of them free -> {usable:,} B\n" if free else ""
    return replace(row, arithmetic=f"{kept}{text}\n{row.arithmetic}")


def _cpu(load: Load, target: float) -> Limit:
    workers = load.servers.workers
    capacity = target * workers
    servers = smallest(lambda n: load.utilization(n) <= target)
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
    awake = smallest(lambda n: load.work_s(n) <= capacity * n)
    note, possible = " ".join(_cpu_notes(load, target, servers, awake)), servers is not None
    row = Limit("cpu", servers, capacity, work_s, "CPU s/s", "\n".join(lines), note=note, possible=possible)
    return row if possible else replace(row, without_wakeups=awake)


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


def _cpu_notes(load: Load, target: float, servers: int | None, awake: int | None) -> list[str]:
    """What more servers cannot change."""
    notes = [] if servers is not None else [f"No number of servers up to {MOST_SERVERS:,} is enough."]
    if load.scenario.host is not None:
        cores = plural(load.scenario.host.cores, "core")
        notes.append(
            f"Every loop is taken to have a core of its own; the {cores} of host are left out: ask `simulate`."
        )
    own = load.publish_rate * load.costs.event_s
    if load.every_server_decodes and own >= WORTH_A_NOTE * target * load.servers.workers:
        about = f"Every server decodes all {number(load.publish_rate)} messages/s"
        notes.append(f"{about}: {number(own)} CPU s/s on each, which no other server can take over.")
    if awake is not None and awake != servers:
        only = "" if servers is not None else "Wake-ups alone keep the loops so busy. "
        ask = "" if servers is not None else " Whether they do, `plan` finds by simulation."
        notes.append(f"{only}Wake-ups fade as load grows; without them {plural(awake, 'server')} would do.{ask}")
    several = load.servers.workers > 1 and load.servers.fanout == "task_per_client"
    if several and load.costs.wakeup_s and load.sends:
        notes.append(
            "Tasks of a fan-out wake further loops; that is left out, so it is more than this: ask `simulate`."
        )
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
    note = NOT_SENT if demand else ""
    link = load.servers.egress
    if link is None:
        lines.append("not limited: set servers.egress, such as 1 Gbit/s")
        return Limit("egress", None, None, demand, "B/s", "\n".join(lines), note=note)
    capacity = target * link
    servers = max(1, math.ceil(demand / capacity))
    one = f"{target:g} x {link:,.0f} B/s = {capacity:,.0f} B/s a server"
    lines.append(f"{one}: {demand:,.0f} / {capacity:,.0f} = {demand / capacity:,.2f} -> {plural(servers, 'server')}")
    note += " Links of a simulation carry no pings." if load.pings else ""
    return Limit("egress", servers, capacity, demand, "B/s", "\n".join(lines), note=note)


def _used(row: Limit, load: Load, n: int) -> float | None:
    """Share of what `n` servers have that is used; None where nothing is limited, or no server is left."""
    if n < 1:
        return None
    if row.name == "cpu":
        return load.utilization(n)
    if row.name == "broker":
        return None if load.broker.kind == "none" else float((load.threads_s(n) + load.subscribe_s(n)).max())
    if row.per_server_capacity is None:
        return None
    if not row.per_server_capacity:
        return math.inf
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
        return Limit("broker", None, target, 0.0, unit, "nothing is published", brokers=1)
    publishes_s, commands_s, hottest = load.threads_s(n), load.subscribe_s(n), load.hottest_room_s(n)
    publishing, subscribing = float(publishes_s.sum()), float(commands_s.sum())
    total, used = publishing + subscribing, float((publishes_s + commands_s).max())
    lines = [f"{number(rate)} publishes/s x {_publish_text(load, n)} = {number(publishing)} thread s/s"]
    lines += [f"subscriptions of clients that come and go: {number(subscribing)} thread s/s"] if subscribing else []
    what = "partition" if kind == "kafka" else "NATS server" if kind.startswith("nats") else "Redis instance"
    one = {"kafka": "partition", "redis_pubsub": "shard"}.get(kind, "")
    alone = load.broker.n_threads == 1 and kind != "kafka"
    if not alone:
        lines.append(f"the busiest of {plural(load.broker.n_threads, one)} has {number(used)} of it")
    brokers = max(1, math.ceil(total / target))
    lines.append(
        f"{number(total)} / {target:g} = {total / target:,.2f} -> {plural(brokers, what)}, if rooms spread evenly"
    )
    times = [(1 - command) / publish for publish, command in zip(publishes_s, commands_s, strict=True) if publish]
    note = f"Full at {number(rate * max(0.0, min(times)))} publishes/s of this mix." if times else ""
    if hottest > target:
        note += f" The busiest room takes {number(hottest)} of a thread, and a room cannot be split."
    elif used > target:
        note += f" {'Its one thread' if alone else f'The busiest {one}'} is busier than {target:.0%}."
    text, possible = "\n".join(lines), hottest <= target
    return Limit("broker", None, target, total, unit, text, note=note.strip(), possible=possible, brokers=brokers)


def _publish_text(load: Load, n: int) -> str:
    """What one publish costs the broker, for the arithmetic."""
    broker = load.broker
    if broker.has_channels:
        copies = sum(stream.rate * load.copies(n, stream) for stream in load.streams) / load.publish_rate
        costs = f"{broker.publish.mean_s * 1e6:.4g} us + {broker.copy_cost * 1e6:.4g} us x {number(copies)} "
        return f"({costs}{'copy' if copies == 1 else 'copies'})"
    append = f"{broker.append * 1e6:.4g} us"
    return append if broker.kind == "kafka" else f"({append} + {broker.read * 1e6:.4g} us x {plural(n, 'reader')})"
