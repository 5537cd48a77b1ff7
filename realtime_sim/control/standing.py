"""What is under way or in force on a cluster, whoever began it: shared by all control processes of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from realtime_sim.trace import OWN_PACE

if TYPE_CHECKING:
    from realtime_sim.control.cluster import Cluster
    from realtime_sim.control.environment import Process
    from realtime_sim.control.machinery import Instance, Observation

__all__ = ["Standing"]

LEAST_PACE, MOST_PACE = 1, 1_000 * OWN_PACE


class Standing:
    """Servers that come and go, and what is held down, cut off or slowed by whom.

    Something that several hold is as it was when the last of them lets go. Whoever works slowly for several reasons
    works as slowly as their factors multiplied say, within the bounds of a single one.

    Attributes
    ----------
    desired : int or None
        Servers that the autoscaler asks for; None where there is none.
    drains : dict of int to Process
        Servers on their way out.
    orders : dict of object to float
        Servers on their way in, by a token of the order: when it was given, seconds.
    ordered_s : dict of int to float
        When servers that have come since the start were ordered, seconds.
    ready_changed_s : dict of int to float
        When the balancer was last told of a server, seconds.
    promised : Counter
        Servers that who has killed them replaces later, by who does.
    n_deploys : int
        Rolling deploys that see to the number of servers.
    missing : callable or None
        Told the number and the reason when a server dies or goes, so that another is ordered if it is needed.
    """

    def __init__(self) -> None:
        self.desired: int | None = None
        self.drains: dict[int, Process] = {}
        self.orders: dict[object, float] = {}
        self.ordered_s: dict[int, float] = {}
        self.ready_changed_s: dict[int, float] = {}
        self.promised: Counter[Cluster] = Counter()
        self.n_deploys = 0
        self.missing: Callable[[str], None] | None = None
        self._held: dict[Hashable, dict[Cluster, float]] = {}

    def staying(self, now: Observation) -> list[Instance]:
        """Servers that are alive and not on their way out, by number."""
        return [instance for instance in now.alive if instance.number not in self.drains]

    @property
    def n_coming(self) -> int:
        """Servers that were ordered, or that somebody has promised to order."""
        return len(self.orders) + self.promised.total()

    def hold(self, thing: Hashable, holder: Cluster, factor: float = 1.0) -> None:
        """Somebody holds a thing down, or slows it by a factor."""
        self._held.setdefault(thing, {})[holder] = factor

    def let_go(self, thing: Hashable, holder: Cluster) -> str:
        """Somebody does so no more. Returns who still does, in words.

        A process of a user that holds nothing of it is an operator, who undoes what all others did; a fault undoes only
        what it did itself.
        """
        held = self._held.get(thing, {})
        if holder not in held and not holder.is_fault:
            held.clear()
        held.pop(holder, None)
        return " and ".join(other.actor for other in held)

    def pace(self, thing: Hashable) -> int:
        """What a cost is multiplied by, in thousandths, for all who slow a thing."""
        factor = math.prod(self._held.get(thing, {}).values())
        return min(max(round(factor * OWN_PACE), LEAST_PACE), MOST_PACE)
