"""What a scenario alone decides: counts of deliveries that every run must get to the last one, simulated or live.

Timing decides the rest. Where a client may be away when a message passes, how many it misses hangs on milliseconds, and
two runs that are both right differ. What is said here holds for a system that keeps up with its load and is given the
time to finish; a simulation that does not is told by its own count (see `realtime_sim.agreement.compare`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from realtime_sim.policies import backoff, overflow
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.faults import OF_THE_BROKER
from realtime_sim.transports import TRANSPORTS

__all__ = ["COUNTS", "determined", "undetermined"]

COUNTS = ("expected", "delivered", "lost", "dropped", "duplicate")
"""Counts of deliveries that may be determined."""

SHORTEST_DRAIN_S = 1.0
"""With less time at the end, what was published last may be late in one run and lost in the next."""

LONGEST_LAG_S = 5.0
"""No server that keeps up is farther behind a log. A choice."""

_AHEAD = ("stop_service",)
"""Faults that are over before the push tier starts: its workload has them in it."""

_STICKY = ("source_hash", "consistent_hash")
"""Balancing policies that send every request of a client to the same server."""

_MANY_ATTEMPTS = 1_000
_RARE_SIGMAS = 10


def determined(scenario: Scenario) -> dict[str, str]:
    """Which of `COUNTS` the scenario and its seed decide, and why.

    Parameters
    ----------
    scenario : Scenario
        What is run.

    Returns
    -------
    dict of str to str
        The reason for each count that is determined; the others are in `undetermined`.

    Examples
    --------
    >>> calm = Scenario(name="calm", duration=10, clients=[{"name": "c", "count": 10}], broker={"kind": "redis_pubsub"},
    ...                 traffic=[{"name": "t", "rate": 5}])
    >>> list(determined(calm))
    ['expected', 'delivered', 'lost', 'dropped', 'duplicate']
    >>> broken = calm.replace(faults=[{"at": 5, "kind": "kill_server", "server": 0}])
    >>> list(determined(broken)), undetermined(broken)["lost"]
    (['expected', 'dropped', 'duplicate'], 'a fault cuts clients off or holds messages up (kill_server at 5 s)')
    """
    return {name: why for name, (is_so, why) in _answers(scenario).items() if is_so}


def undetermined(scenario: Scenario) -> dict[str, str]:
    """Which of `COUNTS` hang on timing, and on what of it.

    Parameters
    ----------
    scenario : Scenario
        What is run.
    """
    return {name: why for name, (is_so, why) in _answers(scenario).items() if not is_so}


def _answers(scenario: Scenario) -> dict[str, tuple[bool, str]]:
    """Of each count whether it is determined, and the reason why, or why not."""
    audience = _first(_audience_varies(scenario))
    loss, kept = audience or _first(_may_miss(scenario)), "nobody is ever away, and nothing limits what waits"
    if loss is not None and _first(_may_lose(scenario)) is None:
        loss, kept = None, "the broker's log keeps what clients miss, and all of them ask for it when they are back"
    return {
        "expected": _answer(audience, "members and publishes follow from the seed, and everybody stays"),
        "delivered": _answer(loss, f"all that is expected: {kept}"),
        "lost": _answer(loss, f"0: {kept}"),
        "dropped": _answer(_bounded(scenario), "0: no send buffer has a limit"),
        "duplicate": _answer(_first(_may_repeat(scenario)), "0: nothing is handed out twice"),
    }


def _first(obstacles: Iterator[str]) -> str | None:
    return next(obstacles, None)


def _answer(obstacle: str | None, why: str) -> tuple[bool, str]:
    return (True, why) if obstacle is None else (False, obstacle)


def _audience_varies(scenario: Scenario) -> Iterator[str]:
    """Why it hangs on timing who is expected to get a message."""
    for cohort in scenario.clients:
        if cohort.session is not None:
            yield f"users come and go (clients.{cohort.name}.session)"
        if cohort.ramp_up is not None:
            yield f"clients come one by one (clients.{cohort.name}.ramp_up)"
    if not _has_room(scenario):
        yield "not every server has room for the clients it may get at the start (servers.max_connections, memory)"
    if not all(scenario.from_backend(stream) for stream in scenario.traffic):
        cut = _first(_cuts(scenario))
        if cut is not None:
            yield f"clients publish, and cannot while they are away: {cut}"


def _has_room(scenario: Scenario) -> bool:
    """Whether everybody gets in at the start, wherever the balancer sends them."""
    servers, n = scenario.servers, scenario.n_clients
    even = scenario.balancer.policy in ("round_robin", "least_connections")
    return servers.connection_limit is None or servers.connection_limit >= (-(-n // servers.count) if even else n)


def _may_miss(scenario: Scenario) -> Iterator[str]:
    """Why a message may pass a client by, or not reach it before the run is over."""
    if scenario.broker.kind == "none" and scenario.servers.count > 1:
        yield "without a broker a message reaches the clients of one server only (broker.kind)"
    yield from _cuts(scenario)
    yield from _ends_early(scenario)


def _ends_early(scenario: Scenario) -> Iterator[str]:
    bounded = _bounded(scenario)
    if bounded is not None:
        yield bounded
    if scenario.drain < SHORTEST_DRAIN_S:
        yield f"the run may end before the last messages arrive (drain is {scenario.drain:g} s)"
    if _trims(scenario, LONGEST_LAG_S):
        yield "the log may be trimmed before a server has read it (broker.max_length)"


def _bounded(scenario: Scenario) -> str | None:
    """Which cohort's send buffers have a limit."""
    limited = [c.name for c in scenario.clients if not isinstance(c.overflow, overflow.Unbounded)]
    return f"a full send buffer gives messages up (clients.{limited[0]}.overflow)" if limited else None


def _cuts(scenario: Scenario) -> Iterator[str]:
    """What takes connections away, or holds up what is on them."""
    for event in scenario.faults:
        if event.kind not in _AHEAD:
            yield f"a fault cuts clients off or holds messages up ({event.kind} at {event.at:g} s)"
    yield from _wear(scenario)
    for cohort in scenario.clients:
        if isinstance(cohort.overflow, overflow.Disconnect):
            yield f"slow clients are cut off (clients.{cohort.name}.overflow)"


def _wear(scenario: Scenario) -> Iterator[str]:
    """What ends connections though nothing goes wrong."""
    if scenario.autoscaling is not None:
        yield "servers come and go (autoscaling)"
    if scenario.servers.connection_age is not None:
        yield "servers close connections that are old (servers.connection_age)"
    for cohort in scenario.clients:
        if cohort.idles_out:
            yield f"a proxy drops idle connections (clients.{cohort.name}.network.idle_timeout)"
        if not TRANSPORTS[cohort.transport].request_per_message:
            continue
        if not _sticky(scenario):
            yield f"polls may reach a server that does not know the session (clients.{cohort.name}, balancer.affinity)"
        if scenario.servers.backlog < scenario.n_clients:
            yield f"polls may find the accept queue full (clients.{cohort.name}, servers.backlog)"


def _sticky(scenario: Scenario) -> bool:
    """Whether all requests of a client reach the same server, as long as that lives."""
    balancer = scenario.balancer
    return scenario.servers.count == 1 or balancer.affinity == "cookie" or balancer.policy in _STICKY


def _may_lose(scenario: Scenario) -> Iterator[str]:
    """Why something may be lost though servers die, or connections break, with a reset and nothing else goes wrong.

    Nothing is where the broker has a log, every client resumes and is let in again, and clients publish nothing: what
    they send dies with the server that has it.
    """
    broker, limit = scenario.broker, scenario.servers.connection_limit
    yield from _audience_varies(scenario)
    yield from _ends_early(scenario)
    yield from _wear(scenario)
    if not broker.has_log:
        yield "the broker has no log"
    if not all(scenario.from_backend(stream) for stream in scenario.traffic):
        yield "clients publish"
    for event in scenario.faults:
        if event.kind not in (*_AHEAD, "kill_server", "drop_clients") or getattr(event, "notice", "rst") != "rst":
            yield f"{event.kind} at {event.at:g} s is no reset"
    for cohort in scenario.clients:
        gives_up = math.isinf(backoff.delay_s(cohort.backoff, _MANY_ATTEMPTS, 0.5, 1.0))
        shut_out = cohort.polling_handshake and not _sticky(scenario)
        if not cohort.resumes or cohort.resume_within is not None or gives_up or shut_out:
            yield f"clients.{cohort.name} may not come back, or not resume"
    left = scenario.servers.count - sum(event.count for event in scenario.faults if event.kind == "kill_server")
    if left < 1 or (limit is not None and left * limit < scenario.n_clients):
        yield "the servers left have no room for everybody"
    if _trims(scenario, scenario.duration):
        yield "the log may be trimmed while clients are away (broker.max_length)"


def _trims(scenario: Scenario, lag_s: float) -> bool:
    """Whether a log may be too short for what is published in so many seconds, with a margin for chance."""
    mean = 0.0
    for stream in scenario.traffic:
        rate, start_s, stop_s = scenario.flow(stream)
        mean += rate * min(lag_s, stop_s - start_s)
    most = mean + _RARE_SIGMAS * math.sqrt(mean) + _RARE_SIGMAS
    return getattr(scenario.broker, "max_length", None) is not None and scenario.broker.max_length < most


def _may_repeat(scenario: Scenario) -> Iterator[str]:
    """Why a client may get a message twice."""
    if scenario.broker.has_log:
        for cut in _cuts(scenario):
            yield f"what a log replays may come twice: {cut}"
        return
    for event in scenario.faults:
        if event.kind in OF_THE_BROKER and getattr(scenario.broker, "when_down", "lose") == "retry":
            yield f"a publish that is tried again may come twice ({event.kind} at {event.at:g} s)"
