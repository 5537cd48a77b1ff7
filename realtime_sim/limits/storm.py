"""The reconnect storm: servers die, and the others have to take their clients in beside their usual work."""

from __future__ import annotations

import math

import numpy as np

from realtime_sim.draws import sample_ns
from realtime_sim.engines.constants import POLLING_HANDSHAKE_REQUESTS
from realtime_sim.limits.load import Load, smallest
from realtime_sim.limits.table import Storm, number, plural
from realtime_sim.policies.backoff import delay_s
from realtime_sim.scenario import Cohort
from realtime_sim.storms import handshake_cost_s, handshake_requests
from realtime_sim.transports import handshake_round_trips
from realtime_sim.units import from_ns

__all__ = ["storm"]

SLOW = 0.99
"""Quantile of the round trip whose client is taken for the last to be back."""

_DRAWS = np.append(np.linspace(0.0, 1.0, 1_001)[:-1], np.nextafter(1.0, 0.0))
"""Draws on [0, 1) over which the longest first wait is looked for."""


def storm(load: Load, n: int, lost: int) -> Storm:
    """What happens when `lost` of `n` servers die at once.

    The survivors must have room for everybody, and time left for handshakes: they never sleep meanwhile, so wake-ups
    are left out. All are back once the last has learnt of it, waited and asked again, and all have been accepted. It
    is longer where an attempt fails, for the next backoff is longer: the note says so.

    Parameters
    ----------
    load : Load
        What the servers do.
    n : int
        Servers before.
    lost : int
        How many of them die, at least 1.

    Returns
    -------
    Storm
        With its arithmetic, and the verdict on `slo.recover_within`.
    """
    clients, survivors = load.scenario.n_clients * min(lost, n) / n, max(n - lost, 0)
    lines = [f"{lost:,} of {plural(n, 'server')} lost with {number(clients)} of {load.scenario.n_clients:,} clients"]
    enough = _enough(load)
    to_survive = None if enough is None else enough + lost
    short = _room(load, survivors, lines) or _time(load, survivors, lines)
    if short:
        needed = "no number of servers can" if to_survive is None else f"{to_survive:,} servers are needed to"
        notes = [f"{short}: {needed} survive the loss of {'one' if lost == 1 else f'{lost:,}'}.", *_verdict(load, None)]
        return Storm(n, lost, clients, None, None, None, _kept(load, None), to_survive, *_texts(lines, notes))
    each, time_s = _acceptance(load, survivors, clients, lines)
    back_s = _way_back(load, time_s, lines)
    obstacles = _obstacles(load, clients / survivors, time_s)
    notes = [*_verdict(load, back_s, at_least=bool(obstacles)), *obstacles]
    return Storm(n, lost, clients, each, time_s, back_s, _kept(load, back_s), to_survive, *_texts(lines, notes))


def _texts(lines: list[str], notes: list[str]) -> tuple[str, str]:
    return "\n".join(lines), " ".join(notes)


def _enough(load: Load) -> int | None:
    """The least number of survivors with room for everybody and time for handshakes; None if there is none."""
    limit = load.servers.connection_limit
    if limit == 0:
        return None
    for_room = 1 if limit is None else -(-load.scenario.n_clients // limit)
    for_work = smallest(lambda n: _idle_loops(load, n) > 0)
    return None if for_work is None else max(for_room, for_work)


def _idle_loops(load: Load, survivors: int) -> float:
    """Loops of one survivor that its usual work leaves."""
    return load.servers.workers - load.work_s(survivors) / survivors


def _room(load: Load, survivors: int, lines: list[str]) -> str:
    """What the survivors lack to hold everybody; nothing if they do not."""
    n_clients = load.scenario.n_clients
    if not survivors:
        return "Nobody is left to take them in"
    each = load.servers.connection_limit
    if each is None:
        return ""
    room, who = survivors * each, plural(survivors, "survivor")
    lines.append(f"{who} x {each:,} connections = {room:,}, for {n_clients:,} clients")
    if room >= n_clients:
        return ""
    return f"{who} {_have(survivors)} room for {room:,} of {n_clients:,}"


def _time(load: Load, survivors: int, lines: list[str]) -> str:
    """What the survivors lack to accept anybody; nothing if they do not."""
    busy = load.work_s(survivors) / survivors / load.servers.workers
    who = plural(survivors, "survivor")
    lines.append(f"each of {who} is busy {busy:,.1%} without handshakes of the storm and wake-ups")
    if busy < 1:
        return ""
    return f"{who} {_have(survivors)} no time left for handshakes"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _acceptance(load: Load, survivors: int, clients: float, lines: list[str]) -> tuple[float | None, float]:
    """Clients a second that one survivor accepts (None: any number), and seconds until it has accepted its share."""
    workers = load.servers.workers
    requests, cost_s = handshake_requests(load.scenario), handshake_cost_s(load.scenario)
    if not cost_s:
        lines.append("a handshake costs nothing")
        each = _let_in(load, math.inf, requests, lines)
        return (each, clients / (survivors * each)) if math.isfinite(each) else (None, 0.0)
    idle = _idle_loops(load, survivors)
    each = idle / cost_s
    loops = plural(workers, "loop")
    lines.append(f"{loops} x {idle / workers:.4g} / {cost_s * 1e6:,.4g} us a client = {number(each)} clients/s each")
    each = _let_in(load, each, requests, lines)
    time_s = clients / (survivors * each)
    lines.append(f"{number(clients)} / ({survivors:,} x {number(each)}/s) = {time_s:,.3g} s to accept them")
    return each, time_s


def _let_in(load: Load, each: float, requests: float, lines: list[str]) -> float:
    """Clients a second that one survivor accepts, no more than its rate lets in."""
    rate = load.servers.admission.rate
    if rate is None or rate / requests >= each:
        return each
    lines.append(f"servers.admission.rate of {number(rate)}/s lets in {number(rate / requests)} clients/s each")
    return rate / requests


def _way_back(load: Load, accept_s: float, lines: list[str]) -> float:
    """Seconds until all are back, if each first attempt is accepted in its turn."""
    cohorts = load.scenario.clients
    wait_s, trips_s = max(((_first_wait_s(cohort), _trips_s(cohort)) for cohort in cohorts), key=sum)
    back_s = wait_s + trips_s + accept_s
    lines.append(
        f"{wait_s:,.3g} s of backoff at most + {trips_s:,.3g} s of round trips + {accept_s:,.3g} s = {back_s:,.3g} s "
        "until all are back"
    )
    return back_s


def _first_wait_s(cohort: Cohort) -> float:
    """The longest wait before the first attempt."""
    policy = cohort.backoff
    return max(float(np.max(delay_s(policy, 0, _DRAWS, u_client=u_client))) for u_client in (0.0, _DRAWS[-1]))


def _trips_s(cohort: Cohort) -> float:
    """Half a round trip to learn of a reset, and those of a handshake, for the client that is slower than 99 %."""
    steps = POLLING_HANDSHAKE_REQUESTS if cohort.polling_handshake else 1
    rtt_s = from_ns(int(sample_ns(cohort.network.rtt.sampler(), SLOW)))
    return rtt_s * (0.5 + handshake_round_trips(cohort.tls, steps))


def _kept(load: Load, back_s: float | None) -> bool | None:
    """Whether the promised recovery is kept; None where none is promised."""
    slo = load.scenario.slo
    if slo is None or slo.recover_within is None:
        return None
    return back_s is not None and back_s <= slo.recover_within


def _verdict(load: Load, back_s: float | None, at_least: bool = False) -> list[str]:
    """The promise of `slo.recover_within` with its verdict."""
    kept = _kept(load, back_s)
    if kept is None:
        return []
    when = "they never are" if back_s is None else f"it takes {'at least' if at_least else 'about'} {back_s:,.3g} s"
    word = "kept" if kept else "missed"
    return [f"Promised that all are back within {load.scenario.slo.recover_within:g} s: {word}, {when}."]


def _obstacles(load: Load, at_once: float, time_s: float) -> list[str]:
    """What makes the storm last longer than the arithmetic says."""
    notes = []
    if at_once > load.servers.backlog:
        notes.append(
            f"Without jitter {number(at_once)} requests meet a backlog of {load.servers.backlog:,} on each survivor."
        )
    protected = load.servers.admission
    most = min((n for n in (protected.burst if protected.rate else None, protected.concurrency) if n), default=math.inf)
    if at_once > most:
        notes.append(
            f"Each survivor throttles what comes beyond {number(most)} requests at once, and they back off anew."
        )
    patience_s = min(cohort.connect_timeout for cohort in load.scenario.clients)
    if time_s > patience_s:
        notes.append(f"Clients give up an attempt after {patience_s:g} s, and handshakes are wasted: ask `simulate`.")
    return notes
