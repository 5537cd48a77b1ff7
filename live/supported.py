"""What a live run cannot do, said before anything is started: each is named by its field, with a next step."""

from __future__ import annotations

from collections.abc import Iterator

from live.foreign.target import Target
from live.options import Options
from realtime_sim.errors import UnsupportedFeature
from realtime_sim.scenario import Cohort, Scenario
from realtime_sim.wire.frames import LEAST_MESSAGE_BYTES

__all__ = ["check_supported"]

MOST_CLIENTS = 30_000
"""Held on two cores with room to spare; a process has 20,000 descriptors on many machines."""

MOST_SERVERS = 64

MOST_DURATION_S = 3_600.0


def check_supported(scenario: Scenario, options: Options, others: bool = False) -> None:
    """Raise `UnsupportedFeature` for the first thing in a scenario that cannot be done for real here.

    Parameters
    ----------
    scenario : Scenario
        What is to be run.
    options : Options
        How.
    others : bool
        Whether the user's own processes or watchers are to take part.
    """
    for field, step in _all(scenario, options, others):
        raise UnsupportedFeature(field, "live", step)


def _all(scenario: Scenario, options: Options, others: bool) -> Iterator[tuple[str, str]]:
    if options.target is not None:
        return _beyond_a_target(scenario, options.target, others)
    return _missing(scenario, options)


def _too_much(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Every live run is bounded in time and count."""
    if scenario.n_clients > MOST_CLIENTS:
        yield f"clients (more than {MOST_CLIENTS:_}: {scenario.n_clients:_})", "scale the scenario down"
    if scenario.duration > MOST_DURATION_S:
        yield f"duration (more than {MOST_DURATION_S:g} s)", "a live run takes as long as it says"


def _missing(scenario: Scenario, options: Options) -> Iterator[tuple[str, str]]:
    yield from _too_much(scenario)
    if scenario.servers.count > MOST_SERVERS:
        yield f"servers.count (more than {MOST_SERVERS})", "scale the scenario down"
    for cohort in scenario.clients:
        if cohort.network.bandwidth is not None:
            yield f"clients.{cohort.name}.network.bandwidth", "remove it; loopback has no slow links"
        if cohort.network.idle_timeout is not None and options.balancer == "none":
            yield f"clients.{cohort.name}.network.idle_timeout", "use a balancer, which has one: nginx or haproxy"
        if cohort.polling_handshake and scenario.servers.stack == "native":
            yield f"clients.{cohort.name}.polling_handshake", "set it to false, or servers.stack to socketio"
        if _needs_stickiness(scenario, cohort) and options.balancer == "none":
            yield (
                f"balancer.affinity: none for the polls of clients.{cohort.name}, without a balancer",
                "a client keeps its server then: set it to cookie, or use nginx or haproxy, which part them",
            )
    if scenario.servers.stack == "socketio":
        yield from _beyond_socketio(scenario, options)
    if scenario.broker.kind == "redis_pubsub" and scenario.broker.shards > 1:
        yield "broker.shards (more than 1)", "a live run has one instance of the broker: set it to 1, or simulate it"
    if scenario.servers.workers > 1:
        yield "servers.workers (more than 1)", "a live server has one loop: raise servers.count instead"
    if scenario.servers.egress is not None:
        yield "servers.egress", "remove it; loopback has no slow links"
    if scenario.servers.connection_age is not None:
        yield "servers.connection_age", "remove it, or use the fault rebalance"
    for stream in scenario.traffic:
        if stream.payload < LEAST_MESSAGE_BYTES:
            yield (
                f"traffic.{stream.name}.payload (less than {LEAST_MESSAGE_BYTES} B)",
                "a frame takes that much: raise it",
            )
    for number, fault in enumerate(scenario.faults):
        if fault.kind == "slow_broker":
            yield f"faults[{number}].kind: slow_broker", "use stop_broker or partition, or simulate it"
        elif fault.kind in ("stop_broker", "start_broker") and "://" in options.broker:
            yield f"faults[{number}].kind: {fault.kind} of a broker that is not ours", "use an embedded broker"


def _needs_stickiness(scenario: Scenario, cohort: Cohort) -> bool:
    """Whether requests of one session may reach several servers, as the scenario has it."""
    several = scenario.servers.count > 1 or scenario.autoscaling is not None
    polls = cohort.transport == "long_polling" or cohort.polling_handshake
    return several and polls and scenario.balancer.affinity == "none" and "hash" not in scenario.balancer.policy


def _beyond_socketio(scenario: Scenario, options: Options) -> Iterator[tuple[str, str]]:
    """What python-socketio cannot do, or cannot be made to without replacing parts of it."""
    broker = scenario.broker
    if broker.kind != "redis_pubsub":
        step = "its Redis manager publishes to a channel: use redis_pubsub"
        yield f"broker.kind: {broker.kind} with servers.stack: socketio", step
    elif broker.subscription != "all_servers":
        step = "all servers hear one channel: use all_servers"
        yield f"broker.subscription: {broker.subscription} with servers.stack: socketio", step
    if options.client_library != "picows":
        yield f"client_library: {options.client_library} with servers.stack: socketio", "use picows"
    first = scenario.clients[0].keepalive
    for cohort in scenario.clients:
        if cohort.transport != "websocket":
            yield (
                f"clients.{cohort.name}.transport: {cohort.transport} with servers.stack: socketio",
                "use websocket, with polling_handshake if it is to begin with polls",
            )
        if cohort.keepalive is None:
            yield (
                f"clients.{cohort.name}.keepalive: null with servers.stack: socketio",
                "it always pings: give both times",
            )
        elif cohort.keepalive != first:
            yield f"clients.{cohort.name}.keepalive unlike others with servers.stack: socketio", "give all the same"
    for number, fault in enumerate(scenario.faults):
        if fault.kind in ("slow_server", "partition"):
            yield f"faults[{number}].kind: {fault.kind} with servers.stack: socketio", "use servers.stack: native"


def _beyond_a_target(scenario: Scenario, target: Target, others: bool) -> Iterator[tuple[str, str]]:
    """What cannot be done with somebody else's cluster: it is not ours to break, and shows its outside alone."""
    yield from _too_much(scenario)
    for cohort in scenario.clients:
        if cohort.transport != target.transport:
            yield (
                f"clients.{cohort.name}.transport: {cohort.transport} with a target {target.shown}",
                f"set it to {target.transport}, or name another URL",
            )
        if cohort.polling_handshake and not target.is_socketio:
            yield f"clients.{cohort.name}.polling_handshake with a target {target.shown}", "set it to false"
    for number, fault in enumerate(scenario.faults):
        if fault.kind != "drop_clients":
            yield (
                f"faults[{number}].kind: {fault.kind} with a target",
                "remove it; clients alone are ours: drop_clients",
            )
    if scenario.autoscaling is not None:
        yield "autoscaling with a target", "remove it; its servers are not ours"
    if scenario.services:
        yield "services with a target", "remove them; nothing is published"
    if others:
        yield "control or a dashboard with a target", "leave them out; they are about servers of ours"
