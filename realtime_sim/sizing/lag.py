"""Lag: servers that it takes on top where an autoscaler has to bring them while clients come.

A plan gives a fixed count, which is there before the clients are. An autoscaler sees them first: it leaves a metric
alone within its tolerance, it looks once in a sync period, and a server that it orders takes its time to start. Until
then the servers that are there carry the newcomers too, so each must be filled that much less.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Real

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Autoscaling, Scenario

__all__ = ["GROWTH_PER_MIN", "Lag", "autoscaling_lag"]

GROWTH_PER_MIN = 0.1
"""How fast clients come unless told: a tenth more in a minute. A choice; a launch or a kick-off is faster."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What an autoscaler's lag adds to a number of servers.

    Parameters
    ----------
    servers : int
        Servers that carry all clients where each is there in time.
    needed : int
        Servers it takes where an autoscaler brings them.
    growth_per_min : float
        Share of the clients that comes in a minute (dimensionless).
    tolerance : float
        Share by which the metric may be over its target before the autoscaler acts (dimensionless).
    lag_s : float
        From when it should act until the server is ready, at the latest, seconds.
    arithmetic : str
        How the figures come about, one step a line.
    """

    servers: int
    needed: int
    growth_per_min: float
    tolerance: float
    lag_s: float
    arithmetic: str

    @property
    def added(self) -> int:
        """Servers on top."""
        return self.needed - self.servers

    @property
    def filled_ratio(self) -> float:
        """Share of what a server can carry to which the autoscaler's target may fill it (dimensionless)."""
        return self.servers / self.needed

    def to_plain(self) -> dict[str, object]:
        """Plain dicts and numbers, as JSON holds them."""
        return {**asdict(self), "added": self.added, "filled_ratio": self.filled_ratio}


def autoscaling_lag(scenario: Scenario, servers: int, growth_per_min: float = GROWTH_PER_MIN) -> Lag:
    """What it takes to leave a number of servers to the Horizontal Pod Autoscaler of Kubernetes.

    Parameters
    ----------
    scenario : Scenario
        Whose `servers.startup` counts, and whose `autoscaling` where it has one, else the defaults of Kubernetes.
    servers : int
        Servers that carry all clients, at least 1.
    growth_per_min : float
        Share of the clients that comes in a minute (dimensionless), 0 or more.

    Returns
    -------
    Lag
        Servers needed, and the arithmetic.

    Raises
    ------
    ScenarioError
        If a number is out of its range.

    Notes
    -----
    The autoscaler fills each server to a target T. It acts once the mean is above T (1 + tolerance), up to a sync
    period later, and what it orders is ready after the start-up: by then growth x lag more have come. Each server
    carries at most C = clients / servers, so T = C / (1 + tolerance + growth x lag), and clients / T servers are
    needed. How fast it may add servers (`scale_up`), and how old its metrics are, is left out.

    References
    ----------
    Kubernetes documentation, "Horizontal Pod Autoscaling": sync period 15 s, tolerance 0.1.

    Examples
    --------
    >>> case = Scenario(name="x", duration=60, clients=[{"name": "c", "count": 1_000}], servers={"startup": "15s"})
    >>> lag = autoscaling_lag(case, servers=20)
    >>> lag.needed, round(lag.filled_ratio, 2)
    (23, 0.87)
    >>> print(lag.arithmetic)
    15 s until it looks + 15 s to start = 30 s, in which 10 % a minute are 5 % more clients
    20 x (1 + 0.1 of tolerance + 0.05 of growth) = 23 -> 23 servers, each filled to 87 %
    """
    if not isinstance(servers, int) or isinstance(servers, bool) or servers < 1:
        raise ScenarioError(Problem("servers", "must be a whole number of at least 1", servers, "use a plan's answer"))
    is_number = isinstance(growth_per_min, Real) and not isinstance(growth_per_min, bool)
    if not is_number or not 0 <= growth_per_min < math.inf:
        step = "use 0.1 for a tenth more clients in a minute"
        raise ScenarioError(Problem("growth_per_min", "must be a number from 0 on", growth_per_min, step))
    sync_s, tolerance = _of_the_autoscaler(scenario)
    startup_s = scenario.servers.startup
    lag_s = sync_s + startup_s
    more = growth_per_min * lag_s / 60
    exact = round(servers * (1 + tolerance + more), 6)
    needed = math.ceil(exact)
    lines = [
        f"{sync_s:g} s until it looks + {startup_s:g} s to start = {lag_s:g} s, in which {growth_per_min * 100:.3g} % "
        f"a minute are {more * 100:.3g} % more clients",
        f"{servers:,} x (1 + {tolerance:g} of tolerance + {more:.3g} of growth) = {exact:,.4g} -> {needed:,} servers, "
        f"each filled to {servers / needed:.0%}".replace("%", " %"),
    ]
    return Lag(servers, needed, float(growth_per_min), tolerance, lag_s, "\n".join(lines))


def _of_the_autoscaler(scenario: Scenario) -> tuple[float, float]:
    """Sync period in seconds, and tolerance."""
    scaling = scenario.autoscaling
    if scaling is not None:
        return scaling.sync_period, scaling.tolerance
    fields = Autoscaling.model_fields
    return fields["sync_period"].default, fields["tolerance"].default
