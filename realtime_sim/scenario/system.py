"""The machinery: servers, balancer, and the objectives it is held to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema, model_validator

from realtime_sim.costs import CostProfile
from realtime_sim.errors import ScenarioError
from realtime_sim.policies import balancing
from realtime_sim.profile_files import find_profile
from realtime_sim.profiles import PROFILES
from realtime_sim.scenario.admission import Admission
from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import (
    Bandwidth,
    Count,
    Duration,
    Flag,
    Index,
    Part,
    Ratio,
    Size,
    fault,
    plain_number,
    whole_number,
)

__all__ = ["Balancer", "Costs", "Servers", "Slo"]


class Costs(Part):
    """Changes to the figures of the profile; what is left out keeps the profile's value.

    Parameters
    ----------
    handshake : Distribution, optional
        CPU to accept one WebSocket or SSE connection, TLS excluded, seconds.
    http_request : float or str, optional
        CPU to answer one plain HTTP request (a poll, a POST, one step of a polling handshake), seconds.
    event : Distribution, optional
        CPU to read and decode one message from the broker, before any send, seconds.
    send : float or str, optional
        CPU to send one message to one recipient, apart from its bytes, seconds.
    send_per_byte : float or str, optional
        Further CPU per payload byte and recipient, seconds per byte.
    task : float or str, optional
        Further CPU per recipient where every client has a task of its own, seconds.
    ingest : float or str, optional
        CPU to take one message from a client and publish it, seconds.
    ping : float or str, optional
        CPU for one ping and its pong on one connection, seconds.
    wakeup : float or str, optional
        Further CPU of a job that finds the loop asleep, seconds.
    base_memory : int or str, optional
        Memory of the idle process, bytes.
    connection_memory : int or str, optional
        Memory of one connection in the process, bytes.
    kernel_memory : int or str, optional
        Memory of one connection in the kernel, bytes.
    """

    handshake: Distribution | None = None
    http_request: Duration | None = None
    event: Distribution | None = None
    send: Duration | None = None
    send_per_byte: Duration | None = None
    task: Duration | None = None
    ingest: Duration | None = None
    ping: Duration | None = None
    wakeup: Duration | None = None
    base_memory: Size | None = None
    connection_memory: Size | None = None
    kernel_memory: Size | None = None


def _read_profile(name: str) -> str:
    try:
        find_profile(name)
    except ScenarioError as error:
        (problem,) = error.problems
        inside = problem.path != "servers.profile"  # what is wrong in a file is told with its place there
        rule = f"must be a profile ({problem.path} {problem.rule}, got {problem.value!r})" if inside else problem.rule
        raise fault(rule, problem.next_step) from None
    return name


ProfileName = Annotated[
    str,
    AfterValidator(_read_profile),
    WithJsonSchema(
        {"anyOf": [{"enum": list(PROFILES)}, {"type": "string", "pattern": r"\.ya?ml$", "examples": ["here.yaml"]}]}
    ),
]


class Servers(Part):
    """Server processes, all alike: one FIFO queue each, served by `workers` event loops.

    Parameters
    ----------
    count : int
        How many, 1 to 10,000.
    profile : str
        What they cost: a name of `realtime_sim.profiles`, or a file that `realtime-sim calibrate` has written.
    costs : Costs or dict
        Changes to these figures.
    workers : int
        Event loops of one server, 1 to 1,024.
    stack : str
        What servers of a live run are made of: `native` has websockets and aiohttp, `socketio` is python-socketio with
        its Redis manager, to clients that speak Socket.IO. A simulation takes no notice: what it costs is in `costs`.
    fanout : str
        `broadcast` sends to all local members in one job; `task_per_client` queues one task for each, so that the loop
        interleaves them with other work.
    max_connections : int, optional
        Connections one server admits (file descriptors); beyond them it refuses.
    memory : int or str, optional
        Memory of one server, bytes; it refuses connections that it cannot hold.
    egress : float or str, optional
        Link of one server to its clients, bytes per second.
    backlog : int
        Length of the accept queue (Linux: somaxconn).
    startup : float or str
        Time from the order to start one more server until it is ready for connections, seconds. The default is a
        choice: image pull, process start and readiness probe of a small service.
    connection_age : Distribution, optional
        Age at which a server closes a connection in order, seconds, so that clients spread anew (gRPC:
        MAX_CONNECTION_AGE); of those that are open at the start a part is over. Left out, connections live on.
    grace : float or str
        Time a server that is to stop has for sending its clients away, seconds; the default is that of Kubernetes
        (terminationGracePeriodSeconds).
    admission : Admission or dict
        Which handshakes it turns away to protect itself; none unless given.
    """

    count: whole_number(high=10_000, too_much="model one region at a time", example=4) = 1  # type: ignore[valid-type]
    profile: ProfileName = "websockets-asyncio"
    costs: Costs = Costs()
    workers: whole_number(high=1024, too_much="a server has one loop for each core", example=2) = 1  # type: ignore[valid-type]
    stack: Literal["native", "socketio"] = "native"
    fanout: Literal["broadcast", "task_per_client"] = "broadcast"
    max_connections: Count | None = None
    memory: Size | None = None
    egress: Bandwidth | None = None
    backlog: Count = 4096
    startup: Duration = 10.0
    connection_age: Distribution | None = None
    grace: Duration = 30.0
    admission: Admission = Admission()

    @model_validator(mode="after")
    def _roomy(self) -> Servers:
        if self.memory is not None and self.memory < self.resolved_costs.memory_bytes(1):
            raise fault(
                f"must hold the process and one connection ({self.resolved_costs.memory_bytes(1):_} B)",
                "give more memory",
                at="memory",
            )
        return self

    @property
    def resolved_costs(self) -> CostProfile:
        """The profile with the changes applied; a distribution stands as its mean."""
        plain = {}
        for field in CostProfile.__dataclass_fields__:
            changed = getattr(self.costs, field.removesuffix("_s").removesuffix("_bytes"))
            if changed is not None:
                plain[field] = changed if isinstance(changed, (int, float)) else changed.mean_s
        costs = find_profile(self.profile).costs
        base = {field: getattr(costs, field) for field in CostProfile.__dataclass_fields__}
        return CostProfile(**(base | plain))

    @property
    def event_cost(self) -> Any:
        """Distribution of the CPU to decode one message."""
        return self.costs.event or Constant(value=self.resolved_costs.event_s)

    @property
    def handshake_cost(self) -> Any:
        """Distribution of the CPU of one handshake."""
        return self.costs.handshake or Constant(value=self.resolved_costs.handshake_s)

    @property
    def connection_limit(self) -> int | None:
        """Connections one server admits: the least of `max_connections` and what its memory holds."""
        limits = [self.max_connections]
        if self.memory is not None:
            limits.append(self.resolved_costs.connections_in(self.memory))
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None


class Balancer(Part):
    """How a new request finds a server.

    Parameters
    ----------
    policy : str
        The rule that picks one of the servers.
    affinity : str
        `cookie` sends a client back to the server it had, whatever the policy.
    detection : float or str
        How long the balancer goes on sending requests to a server that has died, seconds.
    """

    policy: Literal[tuple(balancing.REGISTRY)] = "least_connections"  # type: ignore[valid-type]
    affinity: Literal["none", "cookie"] = "none"
    detection: Duration = 0.0


class Slo(Part):
    """What the service promises.

    Parameters
    ----------
    p50 : float or str, optional
        Latency that half of the deliveries stay below, seconds.
    p90 : float or str, optional
        Latency that 90 in 100 deliveries stay below, seconds.
    p95 : float or str, optional
        Latency that 95 in 100 deliveries stay below, seconds.
    p99 : float or str, optional
        Latency that 99 in 100 deliveries stay below, seconds.
    p999 : float or str, optional
        Latency that 999 in 1,000 deliveries stay below, seconds.
    max_lost_ratio : float, optional
        Largest share of deliveries that may be lost, 0 to 1.
    recover_within : float or str, optional
        Longest time after a fault until the clients it cut off are back, seconds; after one that cuts nobody off, as
        when the broker stops, until deliveries are as before.
    max_utilization : float, optional
        Largest busy share of any server's event loops, and of any thread of the broker, mean over the measured time,
        0.01 to 1.
    headroom : float, optional
        Share of every server's `max_connections`, and of its `memory`, that must stay free at the peak, 0 to 1.
    survive_servers : int, optional
        How many servers may die at once with all of this kept from when recovery is due (`recover_within`, or 30 s) on;
        `plan` tries it, `limits` reckons it, a run does not.
    survive_deploy : bool
        Whether a rolling deploy must keep all of this; `plan` tries it, a run does not.
    """

    p50: Duration | None = None
    p90: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None
    p999: Duration | None = None
    max_lost_ratio: Ratio | None = None
    recover_within: Duration | None = None
    max_utilization: plain_number(0.01, 1, 0.7) | None = None  # type: ignore[valid-type]
    headroom: Ratio | None = None
    survive_servers: Index | None = None
    survive_deploy: Flag = False
