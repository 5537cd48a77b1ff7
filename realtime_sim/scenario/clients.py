"""Who is connected, to which rooms, and what is published to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from realtime_sim.errors import nearest
from realtime_sim.policies import backoff, keepalive, overflow
from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import (
    Bandwidth,
    Count,
    Duration,
    Name,
    Part,
    PositiveDuration,
    Rate,
    Size,
    fault,
    policy_type,
)
from realtime_sim.transports import TRANSPORTS

__all__ = ["EVERYONE", "Cohort", "Keepalive", "Network", "RoomGroup", "Traffic"]

EVERYONE = "everyone"
"""The room every client is in: a message to it is a broadcast."""

Backoff = policy_type(backoff.REGISTRY, "{policy: full_jitter, base: 1s, cap: 30s}")
Overflow = policy_type(overflow.REGISTRY, "{policy: drop_newest, limit: 1MiB}")


class Network(Part):
    """The path between a client and the servers.

    `rtt` is drawn once for each client and stays with it. `jitter` is drawn for every message on top of half of it;
    TCP keeps messages of one connection in order all the same. `bandwidth` is the client's downlink.
    """

    rtt: Distribution = Constant(value=0.0)
    jitter: Distribution = Constant(value=0.0)
    bandwidth: Bandwidth | None = None


class Keepalive(Part):
    """Pings: how often, and how long an answer may take. A dead peer shows after `timeout` to `interval + timeout`."""

    interval: PositiveDuration
    timeout: PositiveDuration

    @model_validator(mode="after")
    def _not_too_often(self) -> Keepalive:
        if self.interval < 0.01:
            raise fault("must be at least 10ms", "ping less often", at="interval")
        return self


def _read_keepalive(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in keepalive.REGISTRY:
        raise fault("must be a known keepalive or {interval, timeout}", nearest(value, keepalive.REGISTRY))
    known = keepalive.REGISTRY[value]
    return {"interval": known.interval_s, "timeout": known.timeout_s}


class Session(Part):
    """How long a user stays, and how long until the next one takes the place."""

    length: Distribution
    absence: Distribution = Constant(value=0.0)


def _read_session(value: object) -> object:
    if isinstance(value, dict) and "length" not in value and "absence" not in value:
        return {"length": value}
    return {"length": value} if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


class Cohort(Part):
    """Clients that are alike.

    `ramp_up` spreads their first connection attempts evenly over that time; without it they are connected at time 0.
    `polling_handshake` starts a WebSocket as Socket.IO does by default: several polls first, then the upgrade.
    `reconnect` defaults to the usual client of the transport, `resume` to what the transport can do.
    """

    name: Name
    count: Count
    transport: Literal["websocket", "sse", "long_polling"] = "websocket"
    network: Network = Network()
    tls: bool = True
    reconnect: Backoff | None = None
    connect_timeout: PositiveDuration = 20.0  # Socket.IO's connect timeout (socket.io-client, manager.ts)
    keepalive: Annotated[Keepalive | None, BeforeValidator(_read_keepalive)] = Keepalive(
        interval=20.0, timeout=20.0  # websockets: ping_interval 20 s, ping_timeout 20 s
    )  # fmt: skip
    session: Annotated[Session | None, BeforeValidator(_read_session)] = None
    ramp_up: Duration | None = None
    polling_handshake: bool = False
    resume: bool | None = None
    overflow: Overflow = overflow.Unbounded()

    @model_validator(mode="after")
    def _consistent(self) -> Cohort:
        if self.polling_handshake and self.transport != "websocket":
            raise fault("must be false unless transport is websocket", "remove it", at="polling_handshake")
        if not isinstance(self.overflow, overflow.Unbounded) and self.network.bandwidth is None:
            raise fault(
                "has a limit but the client's network has no bandwidth, so no buffer can fill",
                "set network.bandwidth, or remove overflow",
                at="overflow",
            )
        return self

    @property
    def backoff(self) -> Any:
        """The reconnect policy, the transport's own where none is written."""
        if self.reconnect is not None:
            return self.reconnect
        return backoff.REGISTRY[TRANSPORTS[self.transport].reconnect_policy]()

    @property
    def resumes(self) -> bool:
        """Whether a returning client names the last message it saw."""
        return TRANSPORTS[self.transport].resumes if self.resume is None else self.resume


class RoomGroup(Part):
    """Rooms of one kind: `count` rooms of `members` clients, or one personal room for each client (`per_user`).

    With `zipf` s above 0, sizes fall as 1/rank**s and `members` is their mean. `cohort` names whose clients are in.
    """

    name: Name
    count: Count | None = None
    members: Count | None = None
    per_user: bool = False
    zipf: float = Field(default=0.0, ge=0, le=5, allow_inf_nan=False)
    cohort: Name | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> RoomGroup:
        if self.name == EVERYONE:
            raise fault(f"must not be {EVERYONE!r}: that room exists already", "choose another name", at="name")
        if self.per_user:
            for field in ("count", "members"):
                if getattr(self, field) is not None:
                    raise fault("must be left out of a group with per_user: true", "remove it", at=field)
            if self.zipf:
                raise fault("must be 0 in a group with per_user: true", "remove it", at="zipf")
        else:
            for field in ("count", "members"):
                if getattr(self, field) is None:
                    raise fault("must be given", "write both count and members, or per_user: true", at=field)
        return self


class Traffic(Part):
    """Messages published to one room of a group at a time, or to everyone.

    `rate` counts publishes of the whole stream. `from` is `backend`, `clients` (a member of the room sends) or a
    cohort. `arrivals: constant` publishes at equal steps from `start`. `echo` says whether the sender gets its own
    message.
    """

    name: Name
    to: Name = EVERYONE
    rate: Rate
    payload: Size = 200
    source: Annotated[Name, Field(alias="from")] = "backend"
    arrivals: Literal["poisson", "constant"] = "poisson"
    pick: Literal["uniform", "by_size"] = "uniform"
    echo: bool = True
    start: Duration = 0.0
    stop: Duration | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Traffic:
        if self.stop is not None and self.stop <= self.start:
            raise fault("must be after start", "give a later stop, or remove it", at="stop")
        return self


def _plain(values: tuple) -> list:
    return [value.model_dump(by_alias=True, exclude_defaults=True) for value in values]


def listed(part: Any, minimum: int = 0) -> Any:
    """Field type: a list of parts, kept as a tuple."""
    return Annotated[
        tuple[part, ...],
        Field(min_length=minimum),
        PlainSerializer(_plain),
    ]
