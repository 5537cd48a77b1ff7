"""What a live run may be told besides its scenario."""

from __future__ import annotations

from dataclasses import dataclass

from live.foreign.target import Target
from realtime_sim.errors import Problem, ScenarioError, nearest

__all__ = ["BALANCERS", "BROKERS", "LIBRARIES", "Options"]

BROKERS = ("auto", "redis-server", "fakeredis")
"""Brokers by name; a URL (`redis://`, `kafka://`, `nats://`) is one as well."""

BALANCERS = ("none", "nginx", "haproxy")
"""What stands before the servers; with `none` clients choose by the scenario's policy."""

LIBRARIES = ("picows", "websockets")
"""What opens WebSockets on the clients' side."""

MOST_CLIENTS_OF_ONE_PROCESS = 10_000
"""One loop reads what comes for all of them, and a process has 20,000 descriptors on many machines."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a scenario is run on this machine.

    Parameters
    ----------
    broker : str
        One of `BROKERS`, or the URL of one that runs already.
    balancer : str
        One of `BALANCERS`.
    client_library : str
        One of `LIBRARIES`.
    client_processes : int, optional
        Processes that play the clients; one for each ten thousand unless given.
    slice : int
        Sends after which a server's fan-out lets its loop do something else.
    target : Target, optional
        Somebody's own cluster that clients connect to; nothing else is started then.

    Raises
    ------
    ScenarioError
        If one of them is wrong.

    Examples
    --------
    >>> Options(balancer="nginz")
    Traceback (most recent call last):
    realtime_sim.errors.ScenarioError: balancer must be a known balancer, got 'nginz'; did you mean 'nginx'?
    """

    broker: str = "auto"
    balancer: str = "none"
    client_library: str = "picows"
    client_processes: int | None = None
    slice: int = 25
    target: Target | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("balancer", self.balancer, BALANCERS),
            ("client_library", self.client_library, LIBRARIES),
        ):
            if value not in known:
                rule = f"must be a known {name.replace('_', ' ')}"
                raise ScenarioError(Problem(name, rule, value, nearest(str(value), known)))
        if "://" not in str(self.broker) and self.broker not in BROKERS:
            step = nearest(str(self.broker), BROKERS) + ", or a URL such as redis://127.0.0.1:6379"
            raise ScenarioError(Problem("broker", "must be a known broker or a URL", self.broker, step))
        for name, value in (("client_processes", self.client_processes), ("slice", self.slice)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000):
                rule = "must be a whole number from 1 to 1_000"
                raise ScenarioError(Problem(name, rule, value, "leave it out, or give a number"))
        if self.target is not None:
            for name, value, left_out in (("broker", self.broker, "auto"), ("balancer", self.balancer, "none")):
                if value != left_out:
                    raise ScenarioError(
                        Problem(name, "must be left out with a target", value, "the target has its own")
                    )

    def n_client_processes(self, n_clients: int) -> int:
        """Processes for so many clients."""
        wanted = self.client_processes or -(-n_clients // MOST_CLIENTS_OF_ONE_PROCESS)
        return min(wanted, n_clients)
