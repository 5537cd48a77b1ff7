"""The load balancer: which server a request goes to, and how many clients it believes each to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime_sim.draws import Stream, uniform
from realtime_sim.policies import balancing

if TYPE_CHECKING:
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.system import System

__all__ = ["Balancer"]


class Balancer:
    """The load balancer: which server a request goes to, and how many clients it believes each to have."""

    def __init__(self, system: System) -> None:
        parameters = system.scenario.balancer
        self.system = system
        self.code = balancing.REGISTRY[parameters.policy].code
        self.sticky = parameters.affinity == "cookie"
        self.load = np.zeros(0, dtype=np.int64)
        self.healthy = np.zeros(0, dtype=np.bool_)
        self.counter = 0

    def add_server(self) -> None:
        """One more server is ready."""
        self.load, self.healthy = np.append(self.load, 0), np.append(self.healthy, True)

    def pick(self, client: Client) -> int:
        """Number of the server for a request of `client`, -1 if none is healthy."""
        seed, number = self.system.scenario.seed, client.n_requests
        client.n_requests += 1
        u1 = uniform(seed, Stream.BALANCE, client.id, number, 0)
        u2 = uniform(seed, Stream.BALANCE, client.id, number, 1)
        previous = client.last_server if self.sticky else -1
        chosen, self.counter = balancing.pick_affine(
            self.code, self.load, self.healthy, u1, u2, client.id, self.counter, previous
        )
        if self.sticky and chosen >= 0:
            client.last_server = chosen
        return chosen

    def hold(self, server: int) -> None:
        """A client has a connection to a server, or tries to get one."""
        self.load[server] += 1

    def release(self, server: int) -> None:
        """It has it no more."""
        self.load[server] -= 1
