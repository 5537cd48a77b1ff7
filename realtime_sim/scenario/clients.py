"""Who is connected, to which rooms, and what is published to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from realtime_sim.errors import nearest
from realtime_sim.policies import backoff, keepalive, overflow
from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import (
    Bandwidth,
    Broken,
    Count,
    Duration,
    Flag,
    Name,
    Part,
    PositiveDuration,
    Rate,
    Size,
    duration_from,
    fault,
    faults,
    plain_number,
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

    Parameters
    ----------
    rtt : Distribution
        Round trip, seconds; drawn once for each client, and it stays with it.
    jitter : Distribution
        Further time of every message, on top of half the round trip, seconds. TCP keeps messages of one connection in
        order all the same.
    bandwidth : float or str, optional
        The client's downlink, bytes per second; without it sending takes no time.
    idle_timeout : float or str, optional
        Longest time without traffic after which a proxy or balancer on the way drops a connection, seconds: 60 s at an
        AWS ALB and for nginx's `proxy_read_timeout` unless set. Messages from the server and pings are traffic, from
        when they are on their way. Client and server learn of it half a round trip later. Without it nobody drops
        idle connections.
    """

    rtt: Distribution = Constant(value=0.0)
    jitter: Distribution = Constant(value=0.0)
    bandwidth: Bandwidth | None = None
    idle_timeout: PositiveDuration | None = None


class Keepalive(Part):
    """Pings: how often, and how long an answer may take. A dead peer shows after `timeout` to `interval + timeout`.

    Parameters
    ----------
    interval : float or str
        Time between two pings, seconds, at least 10 ms.
    timeout : float or str
        Longest time from a ping until the peer counts as dead, seconds, above 0.
    """

    interval: duration_from(low=0.01)  # type: ignore[valid-type]
    timeout: PositiveDuration


_WrittenKeepalive = Literal[tuple(keepalive.REGISTRY)] | Keepalive  # type: ignore[valid-type]


def _read_keepalive(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in keepalive.REGISTRY:
        raise fault("must be a known keepalive or {interval, timeout}", nearest(value, keepalive.REGISTRY))
    known = keepalive.REGISTRY[value]
    return {"interval": known.interval_s, "timeout": known.timeout_s}


class Session(Part):
    """How long a user stays, and how long until the next one takes the place.

    Parameters
    ----------
    length : Distribution
        Time from arriving to leaving, seconds.
    absence : Distribution
        Time from leaving until the next user arrives, seconds.
    """

    length: Distribution
    absence: Distribution = Constant(value=0.0)


def _read_session(value: object) -> object:
    if isinstance(value, dict) and "length" not in value and "absence" not in value:
        return {"length": value}
    return {"length": value} if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


class Cohort(Part):
    """Clients that are alike.

    Parameters
    ----------
    name : str
        What rooms, traffic, faults and results call them.
    count : int
        How many, at least 1.
    transport : str
        How messages reach them: `websocket`, `sse` or `long_polling`.
    network : Network or dict
        The path between a client and the servers.
    tls : bool
        Whether a handshake includes that of TLS 1.3.
    reconnect : Backoff, str or dict, optional
        How long a client waits before it tries to connect again; that of the transport's usual client unless given.
    connect_timeout : float or str
        Longest time of one attempt to connect, seconds, above 0.
    keepalive : Keepalive, str or dict, optional
        Pings that find a dead peer, or the name of a product that has them; null for none.
    session : Session, Distribution or dict, optional
        How long a user stays; a time alone is its length. Without it users stay for the whole run.
    ramp_up : float or str, optional
        Time over which the first attempts to connect spread evenly, seconds; without it all are connected at time 0.
    polling_handshake : bool
        Start a WebSocket as Socket.IO does by default: several polls first, then the upgrade.
    resume : bool, optional
        Whether a returning client names the last message it saw; what the transport can do unless given.
    resume_within : float or str, optional
        Longest time from the loss of a connection to the next one after which missed messages are replayed, seconds,
        above 0 (Socket.IO: maxDisconnectionDuration, 2 min); who is away longer gets what comes from then on. Without
        it there is no limit.
    overflow : Overflow, str or dict
        What a server does with a message for a client whose send buffer is full; needs `network.bandwidth`.
    """

    name: Name
    count: Count
    transport: Literal["websocket", "sse", "long_polling"] = "websocket"
    network: Network = Network()
    tls: Flag = True
    reconnect: Backoff | None = None
    connect_timeout: PositiveDuration = 20.0  # Socket.IO's connect timeout (socket.io-client, manager.ts)
    keepalive: Annotated[
        Keepalive | None, BeforeValidator(_read_keepalive, json_schema_input_type=_WrittenKeepalive | None)
    ] = Keepalive(interval=20.0, timeout=20.0)  # websockets: ping_interval 20 s, ping_timeout 20 s
    session: Annotated[
        Session | None, BeforeValidator(_read_session, json_schema_input_type=Session | Distribution | None)
    ] = None
    ramp_up: Duration | None = None
    polling_handshake: Flag = False
    resume: Flag | None = None
    resume_within: PositiveDuration | None = None
    overflow: Overflow = overflow.Unbounded()

    @model_validator(mode="after")
    def _consistent(self) -> Cohort:
        if self.polling_handshake and self.transport != "websocket":
            raise fault("must be false unless transport is websocket", "remove it", at="polling_handshake")
        if self.resume_within is not None and not self.resumes:
            raise fault(
                "must be left out where clients do not resume", "set resume: true, or remove it", at="resume_within"
            )
        streams = not TRANSPORTS[self.transport].request_per_message  # what waits for a poll needs no slow network
        if streams and not isinstance(self.overflow, overflow.Unbounded) and self.network.bandwidth is None:
            raise fault(
                "has a limit but the client's network has no bandwidth, so no buffer can fill",
                "set network.bandwidth, or remove overflow",
                at="overflow",
            )
        held_s, idle_s = TRANSPORTS[self.transport].poll_hold_s, self.network.idle_timeout
        if idle_s is not None and idle_s <= held_s:
            raise fault(
                f"must be longer than a poll is held, {held_s:g} s",
                "raise the proxy's timeout, or leave it out",
                at="network.idle_timeout",
            )
        return self

    @property
    def idles_out(self) -> bool:
        """Whether a proxy drops connections over which no message comes: pings are not more frequent than its timeout.

        A poll is held for less than that, and each is a request of its own.
        """
        idle_s, pings = self.network.idle_timeout, self.keepalive
        if idle_s is None or TRANSPORTS[self.transport].request_per_message:
            return False
        return pings is None or not keepalive.survives_idle_timeout(
            keepalive.Keepalive(pings.interval, pings.timeout), idle_s
        )

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


def _either_kind() -> dict[str, Any]:
    """JSON Schema of the rule that a group has `count` and `members`, or `per_user`."""
    sizes = ("count", "members")
    personal = {"properties": {"per_user": {"const": True}}, "required": ["per_user"]}
    left_out = {"properties": dict.fromkeys(sizes, {"type": "null"})}
    given = {"properties": dict.fromkeys(sizes, {"not": {"type": "null"}}), "required": list(sizes)}
    return {"if": personal, "then": left_out, "else": given}


class RoomGroup(Part):
    """Rooms of one kind: `count` rooms of `members` clients, or one personal room for each client (`per_user`).

    Parameters
    ----------
    name : str
        What traffic calls them.
    count : int, optional
        How many rooms, at least 1; must be given unless `per_user`.
    members : int, optional
        Clients in a room, at least 1, their mean where sizes differ; must be given unless `per_user`.
    per_user : bool
        One personal room for each client, without `count` and `members`.
    zipf : float
        Exponent s of sizes that fall as 1/rank**s, 0 to 5; at 0 all rooms have one size.
    cohort : str, optional
        Whose clients are in; everybody's unless given.
    """

    model_config = ConfigDict(json_schema_extra=_either_kind())
    name: Annotated[Name, Field(json_schema_extra={"not": {"const": EVERYONE}})]
    count: Count | None = None
    members: Count | None = None
    per_user: Flag = False
    zipf: plain_number(0, 5, 1.0) = 0.0  # type: ignore[valid-type]
    cohort: Name | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> RoomGroup:
        if self.name == EVERYONE:
            raise fault(f"must not be {EVERYONE!r}: that room exists already", "choose another name", at="name")
        if broken := list(self._wrong_sizes()):
            raise faults(broken)
        return self

    def _wrong_sizes(self) -> Iterator[Broken]:
        for field in ("count", "members"):
            if self.per_user and getattr(self, field) is not None:
                yield Broken("must be left out of a group with per_user: true", "remove it", field)
            elif not self.per_user and getattr(self, field) is None:
                yield Broken("must be given", "write both count and members, or per_user: true", field)
        if self.per_user and self.zipf:
            yield Broken("must be 0 in a group with per_user: true", "remove it", "zipf")


class Traffic(Part):
    """Messages published to one room of a group at a time, or to everyone.

    Parameters
    ----------
    name : str
        What results call them.
    to : str
        A group of rooms, or `everyone`.
    rate : float or str, optional
        Publishes of the whole stream per second, above 0; must be given unless a service publishes.
    payload : int or str
        Size of a message without its framing, bytes.
    source : str
        Who publishes, in a file `from`: `backend`, `clients` (a member of the room), a cohort, or a service, which
        publishes each event that it has finished.
    every : float or str, optional
        Of a service: publish once in so many seconds, if there is news, instead of once for each event.
    arrivals : str
        `poisson` publishes at random moments, `constant` at equal steps from `start`.
    pick : str
        Which room of the group is next: `uniform`, or `by_size`, the more members the more often.
    echo : bool
        Whether the sender gets its own message.
    start : float or str
        When it begins, seconds from the start of the run.
    stop : float or str, optional
        When it ends, seconds; with the run unless given.
    """

    name: Name
    to: Name = EVERYONE
    rate: Rate | None = None
    payload: Size = 200
    source: Annotated[Name, Field(alias="from")] = "backend"
    every: PositiveDuration | None = None
    arrivals: Literal["poisson", "constant"] = "poisson"
    pick: Literal["uniform", "by_size"] = "uniform"
    echo: Flag = True
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
