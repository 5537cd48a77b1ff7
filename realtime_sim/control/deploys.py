"""Work done on purpose that moves connections: rolling deploys, and spreading clients anew.

References
----------
Kubernetes documentation, Deployments, "Rolling Update Deployment": at most `maxSurge` pods beyond the number wanted, at
most `maxUnavailable` below it. Pod termination: the pod leaves the endpoints at once and has
terminationGracePeriodSeconds to finish.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator

from realtime_sim.control.cluster import DRAIN_STEP_NS, Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.scenario import Rebalance, RollingDeploy
from realtime_sim.units import NS_PER_S

__all__ = ["rebalance", "rolling_deploy"]

WAIT_S = 1.0
"""How often a deploy that cannot go on looks again."""


def rolling_deploy(env: Environment, cluster: Cluster, fault: RollingDeploy) -> Generator:
    """Replace every server there is when it begins, within `surge` and `max_unavailable`.

    It ends when none of them is left and there are as many others as there were, or as the autoscaler asks for.

    Parameters
    ----------
    env : Environment
        The clock.
    cluster : Cluster
        What it acts on.
    fault : RollingDeploy
        What the scenario says.
    """
    yield env.until(fault.at)
    standing = cluster.standing
    standing.n_deploys += 1
    before = {instance.number for instance in cluster.observe().alive}
    old = deque(instance.number for instance in cluster.observe().ready)
    wanted, at_once = len(old), max(1, fault.surge + fault.max_unavailable)
    rate = None if fault.budget is None else fault.budget / at_once
    going, coming = [], []
    while True:
        # What was wanted, and what there is, may have changed meanwhile: servers die, others order or drain some.
        wanted = wanted if standing.desired is None else standing.desired
        is_ready = {instance.number: instance.ready for instance in standing.staying(cluster.observe())}
        old = deque(sorted((server for server in old if server in is_ready), key=is_ready.__getitem__))
        new = [server for server in is_ready if server not in before]
        n_ready, n_new = sum(is_ready[server] for server in (*old, *new)), len(new)
        # Who gets no new connections goes first, as nobody misses it.
        while old and not (is_ready[old[0]] and n_ready <= wanted - fault.max_unavailable):
            if rate is not None and len(going) >= at_once:
                break
            n_ready -= is_ready[old[0]]
            going.append(cluster.drain(old.popleft(), rate=rate, reason=f"the old version; {len(old)} more to go"))
        while n_new + standing.n_coming < min(wanted, wanted + fault.surge - len(old)):
            n_left = wanted - n_new - standing.n_coming - 1
            coming.append(cluster.add_server(reason=f"the new version; {n_left} more to start"))
        if not (old or going or coming) and n_new + standing.n_coming >= wanted:
            break
        # Where servers have died meanwhile there may be nothing to do but wait for others to replace them.
        yield env.any_of([*coming, *going]) if coming or going else env.timeout(WAIT_S)
        coming = [process for process in coming if process.is_alive]
        going = [process for process in going if process.is_alive]
    standing.n_deploys -= 1
    cluster.note("deployed", "", f"{wanted} servers replaced in {env.now - fault.at:g} s")


def rebalance(env: Environment, cluster: Cluster, fault: Rebalance) -> Generator:
    """Close what the fullest servers have above the mean, at a steady rate, until they are level or time is over.

    Parameters
    ----------
    env : Environment
        The clock.
    cluster : Cluster
        What it acts on.
    fault : Rebalance
        What the scenario says.
    """
    yield env.until(fault.at)
    step_s = max(DRAIN_STEP_NS / NS_PER_S, 1 / fault.rate)
    until = math.inf if fault.lasts is None else env.now + fault.lasts
    n_due = 0.0
    while env.now < until:
        ready = cluster.observe().ready
        mean = sum(instance.connections for instance in ready) / max(1, len(ready))
        surplus = {one.number: math.floor(one.connections - mean) for one in ready if one.connections - mean > 1}
        if not surplus and fault.lasts is None:
            cluster.note("level", "", f"no server has more than one connection above the mean of {mean:,.1f}")
            return
        n_due += fault.rate * step_s
        n_now = min(math.floor(n_due), sum(surplus.values()))
        n_due -= math.floor(n_due)
        for server, share in _shares(surplus, n_now).items():
            cluster.close_connections(server, share, f"{surplus[server]:,} above the mean of {mean:,.1f}")
        yield env.timeout(step_s)


def _shares(surplus: dict[int, int], n: int) -> dict[int, int]:
    """`n` connections spread over the servers, those with the most above the mean first."""
    shares: dict[int, int] = dict.fromkeys(surplus, 0)
    for _ in range(n):
        fullest = max(surplus, key=lambda server: (surplus[server] - shares[server], -server))
        shares[fullest] += 1
    return {server: share for server, share in shares.items() if share}
