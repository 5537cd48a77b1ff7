"""What a scenario asks of a balancer, as plain data: policy, cookie, timeouts and how many connections fit.

The hashes hash the address that a client comes from. Behind loopback all of them would come from 127.0.0.1 and go to
one server, so each client binds its sockets to an address of its own (`source_address`) before it connects; to Linux
all of 127.0.0.0/8 is the machine itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from live.balancers.slots import Slot
from realtime_sim.errors import LiveError, UnsupportedFeature
from realtime_sim.proxies import LONGEST_S, Timeouts, patience_s
from realtime_sim.scenario import Scenario

__all__ = ["Settings", "connections_within", "settings", "source_address", "timeouts"]

CHECK_INTERVAL_S = 0.5
"""Time between two health checks of a server, unless the scenario says how long the balancer does not notice."""

SPARE_DESCRIPTORS = 300
"""For listeners, logs, health checks, publishers and who looks at metrics."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a configuration is written from, the port and the folder apart.

    Parameters
    ----------
    policy : str
        A name of `realtime_sim.policies.balancing`.
    sticky : bool
        Whether a cookie brings a client back to its server.
    timeouts : Timeouts
        How long to wait.
    slots : tuple of Slot
        Where servers are, or will be.
    connections : int
        Client connections to be ready for.
    """

    policy: str
    sticky: bool
    timeouts: Timeouts
    slots: tuple[Slot, ...]
    connections: int


def settings(name: str, scenario: Scenario, slots: Sequence[Slot], descriptors: int) -> Settings:
    """What a product must be told so that it does what the scenario asks.

    Parameters
    ----------
    name : str
        `nginx` or `haproxy`.
    scenario : Scenario
        What is asked.
    slots : sequence of Slot
        Where servers are, or will be, at least one.
    descriptors : int
        Files and sockets one process may have open: the hard limit.

    Raises
    ------
    UnsupportedFeature
        If the product lacks something; the message names the field.
    LiveError
        If it cannot hold so many connections.
    """
    assert slots, "a balancer needs a place for a server"
    sticky = scenario.balancer.affinity == "cookie"
    native = scenario.servers.stack == "native"  # Socket.IO has polls and WebSockets on one port
    both_ports = native and any(cohort.polling_handshake for cohort in scenario.clients)
    if name == "nginx" and scenario.balancer.policy == "consistent_hash" and both_ports and not sticky:
        # Its ring is made of host and port, so the ring of the WebSocket ports is another one: the polls of a handshake
        # would find one server and the upgrade another.
        raise UnsupportedFeature(
            "balancer.policy", "nginx", "with polling_handshake use source_hash, affinity: cookie, or balancer haproxy"
        )
    if name == "nginx" and scenario.balancer.detection:
        raise UnsupportedFeature(
            "balancer.detection",
            "nginx",
            "it has no checks and passes over whoever refuses a connection: set 0, or use balancer haproxy",
        )
    fits = connections_within(descriptors, scenario.n_clients, f"balancer {name}")
    return Settings(scenario.balancer.policy, sticky, timeouts(scenario), tuple(slots), fits)


def connections_within(descriptors: int, n_clients: int, what: str) -> int:
    """Client connections to be ready for: twice the clients, as far as descriptors go.

    Each takes two descriptors, the client's and the server's. Twice, because clients that dropped in silence leave
    theirs open and come back on new ones.

    Parameters
    ----------
    descriptors : int
        Files and sockets one process may have open.
    n_clients : int
        Clients of the scenario.
    what : str
        What a message calls the process.

    Raises
    ------
    LiveError
        If not even one connection for each client fits.

    Examples
    --------
    >>> connections_within(20_000, 1_000, "balancer"), connections_within(20_000, 9_000, "balancer")
    (2000, 9850)
    """
    most = (descriptors - SPARE_DESCRIPTORS) // 2
    if n_clients > most:
        raise LiveError(
            what,
            f"{n_clients:_} clients need {2 * n_clients + SPARE_DESCRIPTORS:_} descriptors of one process, two for "
            f"each, and the hard limit is {descriptors:_}",
            f"use balancer none, at most {max(most, 0):_} clients, or a higher limit (ulimit -Hn)",
        )
    return min(2 * n_clients, most)


def timeouts(scenario: Scenario) -> Timeouts:
    """How long a proxy waits so that it does to idle connections what the scenario says.

    A `network.idle_timeout` is the proxy's own. Without one nobody drops idle connections: the proxy has the patience
    that pings and polls ask for, and waits through the whole run where a cohort has no pings.

    Raises
    ------
    UnsupportedFeature
        If cohorts of one transport have different idle timeouts: a proxy tells requests apart by their path.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1min", clients=[{"name": "phones", "count": 100}])
    >>> timeouts(chat)
    Timeouts(websocket_s=60.0, events_s=60.0, requests_s=60.0, check_interval_s=0.5)
    >>> timeouts(chat.replace(**{"clients.phones.keepalive.interval": "60s"})).websocket_s
    120.0
    """
    check_s = min(scenario.balancer.detection or CHECK_INTERVAL_S, LONGEST_S)
    return Timeouts(*(_idle_s(scenario, one) for one in ("websocket", "sse", "long_polling")), check_s)


def _idle_s(scenario: Scenario, transport: str) -> float:
    cohorts = [(i, cohort) for i, cohort in enumerate(scenario.clients) if cohort.transport == transport]
    for i, cohort in cohorts:
        if cohort.network.idle_timeout != cohorts[0][1].network.idle_timeout:
            raise UnsupportedFeature(
                f"clients[{i}].network.idle_timeout",
                "live",
                f"a proxy has one timeout for all of {transport}: give these cohorts the same, or run them one by one",
            )
    wanted_s = cohorts[0][1].network.idle_timeout if cohorts else None
    if wanted_s is None:
        return patience_s(scenario, transport, scenario.duration + scenario.drain)
    return min(wanted_s, LONGEST_S)


def source_address(client: int) -> str:
    """Address of loopback that a client of this number binds to, its own among the first 16,646,144.

    Pass it on as `local_addr=(source_address(n), 0)`. It also gives each client all 28,232 local ports, where one
    address for all would run out of them.

    Examples
    --------
    >>> source_address(0), source_address(300)
    ('127.1.0.0', '127.1.1.44')
    """
    high, low = divmod(client, 2**16)
    return f"127.{1 + high % 254}.{low >> 8}.{low & 255}"
