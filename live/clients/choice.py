"""Which server a client asks, where no balancer stands before them: the scenario's policy, with the workload's draws.

Each client process knows the connections of its own clients alone. With one process that is exact; with several each
of them spreads its share, so that servers differ by a connection for each process at most.
"""

from __future__ import annotations

import numpy as np

from live.clients.settings import Place
from realtime_sim.draws import Stream, uniform
from realtime_sim.policies import balancing
from realtime_sim.scenario import Scenario

__all__ = ["Choice"]


class Choice:
    """The balancer of one client process.

    Parameters
    ----------
    scenario : Scenario
        With its policy and affinity.
    assigns : bool
        Whether it chooses at all; otherwise there is one place, a balancer.
    """

    def __init__(self, scenario: Scenario, assigns: bool) -> None:
        self._seed = scenario.seed
        self._code = balancing.REGISTRY[scenario.balancer.policy].code
        self._sticky = scenario.balancer.affinity == "cookie"
        self._assigns = assigns
        self._counter = 0
        self._load = np.zeros(0, dtype=np.int64)
        self._healthy = np.zeros(0, dtype=np.bool_)
        self._last: dict[int, int] = {}
        self.places: list[Place] = []

    def update(self, places: list[Place]) -> None:
        """What servers there are now; a number stays with its server."""
        self._load = np.append(self._load, np.zeros(len(places) - len(self.places), dtype=np.int64))
        self.places = places
        self._healthy = np.array([place.is_healthy for place in places])

    def pick(self, client: int, request: int) -> int:
        """Number of the place for a client's request with this number; -1 if none is healthy."""
        if not self._assigns:
            return 0
        u1 = uniform(self._seed, Stream.BALANCE, client, request, 0)
        u2 = uniform(self._seed, Stream.BALANCE, client, request, 1)
        previous = self._last.get(client, -1) if self._sticky else -1
        chosen, self._counter = balancing.pick_affine(
            self._code, self._load, self._healthy, u1, u2, client, self._counter, previous
        )
        if chosen >= 0:
            self._last[client] = int(chosen)
        return int(chosen)

    def hold(self, place: int) -> None:
        """A client has a connection there, or tries to get one."""
        self._load[place] += 1

    def release(self, place: int) -> None:
        """It has it no more."""
        self._load[place] -= 1
