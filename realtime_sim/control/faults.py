"""A process for each kind of fault that a scenario names."""

from __future__ import annotations

from collections.abc import Generator
from types import MappingProxyType

from realtime_sim.control.cluster import Cluster
from realtime_sim.control.deploys import rebalance, rolling_deploy
from realtime_sim.control.environment import Environment
from realtime_sim.scenario import (
    DrainServer,
    DropClients,
    KillServer,
    Partition,
    PauseServer,
    SlowBroker,
    SlowServer,
    StopBroker,
)

__all__ = ["PROCESSES"]


def kill_server(env: Environment, cluster: Cluster, fault: KillServer) -> Generator:
    """Servers die, and are replaced if that was asked for."""
    servers = range(fault.server, fault.server + fault.count)
    yield env.until(fault.at)
    killed = [one for one in servers if cluster.kill(one, fault.notice, replaced=fault.restart_after is not None)]
    if fault.restart_after is not None:
        yield env.timeout(fault.restart_after)
        for server in killed:
            cluster.add_server(reason=f"in the place of server {server}")


def drop_clients(env: Environment, cluster: Cluster, fault: DropClients) -> Generator:
    """A share of a cohort loses its connections."""
    yield env.until(fault.at)
    cluster.drop_clients(fault.cohort, fault.share, fault.notice)


def pause_server(env: Environment, cluster: Cluster, fault: PauseServer) -> Generator:
    """One server, or every one, stops for a while, once or again and again."""
    yield env.until(fault.at)
    while True:
        alive = [instance.number for instance in cluster.observe().alive]
        for server in alive if fault.server is None else [fault.server]:
            if server in alive:
                cluster.pause(server, fault.lasts)
        if fault.every is None:
            return
        yield env.timeout(fault.every)


def slow_server(env: Environment, cluster: Cluster, fault: SlowServer) -> Generator:
    """A server is slow for a while."""
    yield env.until(fault.at)
    cluster.slow(fault.server, fault.factor)
    if fault.lasts is not None:
        yield env.timeout(fault.lasts)
        cluster.slow(fault.server, 1.0)


def drain_server(env: Environment, cluster: Cluster, fault: DrainServer) -> Generator:
    """A server is taken out of service."""
    yield env.until(fault.at)
    yield cluster.drain(fault.server, fault.over)


def partition(env: Environment, cluster: Cluster, fault: Partition) -> Generator:
    """A server is cut off from the broker for a while."""
    yield env.until(fault.at)
    cluster.partition(fault.server, fault.notice)
    if fault.lasts is not None:
        yield env.timeout(fault.lasts)
        cluster.heal(fault.server)


def stop_broker(env: Environment, cluster: Cluster, fault: StopBroker) -> Generator:
    """The broker stops, and comes back."""
    yield env.until(fault.at)
    cluster.stop_broker()
    if fault.lasts is not None:
        yield env.timeout(fault.lasts)
        cluster.start_broker()


def slow_broker(env: Environment, cluster: Cluster, fault: SlowBroker) -> Generator:
    """The broker is slow for a while."""
    yield env.until(fault.at)
    cluster.slow_broker(fault.factor)
    if fault.lasts is not None:
        yield env.timeout(fault.lasts)
        cluster.slow_broker(1.0)


PROCESSES = MappingProxyType(
    {
        "kill_server": kill_server,
        "drop_clients": drop_clients,
        "pause_server": pause_server,
        "slow_server": slow_server,
        "drain_server": drain_server,
        "rolling_deploy": rolling_deploy,
        "rebalance": rebalance,
        "partition": partition,
        "stop_broker": stop_broker,
        "slow_broker": slow_broker,
    }
)
"""Generator functions `process(env, cluster, fault)` by the kind of the fault."""
