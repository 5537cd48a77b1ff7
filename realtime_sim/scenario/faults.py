"""What goes wrong, or is done on purpose, and when: each entry is one process of the control plane."""

from __future__ import annotations

from typing import Literal

from realtime_sim.scenario.brokers import by_kind, kind_of
from realtime_sim.scenario.quantities import (
    Count,
    Duration,
    Index,
    Name,
    Part,
    PositiveDuration,
    Rate,
    Ratio,
    plain_number,
)
from realtime_sim.scenario.services import StopService

__all__ = [
    "FAULTS",
    "OF_THE_BROKER",
    "DrainServer",
    "DropClients",
    "Fault",
    "KillServer",
    "Partition",
    "PauseServer",
    "Rebalance",
    "RollingDeploy",
    "SlowBroker",
    "SlowServer",
    "StopBroker",
]

_Factor = plain_number(1, 1_000, 3.0)


class KillServer(Part):
    """Servers die at once.

    Parameters
    ----------
    kind : str
        `kill_server`.
    at : float or str
        When, seconds from the start of the run.
    server : int
        Which one, counted from 0.
    count : int
        How many: this one and those with the numbers after it.
    notice : str
        Clients see a reset (`rst`), or nothing until their keepalive fails (`silent`).
    restart_after : float or str, optional
        So long after its death a replacement begins to start, which takes `servers.startup`, seconds. It is a new
        instance and has a new number. Left out, there is none, but with `autoscaling`, where it begins at once.
    """

    kind: Literal["kill_server"]
    at: Duration
    server: Index
    count: Count = 1
    notice: Literal["rst", "silent"] = "rst"
    restart_after: Duration | None = None


class DropClients(Part):
    """A share of a cohort loses its connections at the same moment; the servers stay up.

    Parameters
    ----------
    kind : str
        `drop_clients`.
    at : float or str
        When, seconds from the start of the run.
    cohort : str
        Whose clients.
    share : float
        How many of them, 0 to 1.
    notice : str
        Clients see a reset (`rst`), or nothing until their keepalive fails (`silent`).
    """

    kind: Literal["drop_clients"]
    at: Duration
    cohort: Name
    share: Ratio = 1.0
    notice: Literal["rst", "silent"] = "rst"


class PauseServer(Part):
    """A server stops, as for garbage collection: its loops do nothing for a while, once or again and again.

    A pause begins when a loop is done with the job it has. Clients wait for the server, however long it takes: that
    their keepalive would give it up is not modelled.

    Parameters
    ----------
    kind : str
        `pause_server`.
    at : float or str
        When, seconds from the start of the run.
    server : int, optional
        Which one, counted from 0; left out, every server that is alive then.
    lasts : float or str
        How long, seconds, above 0.
    every : float or str, optional
        Time from one pause to the next, seconds; left out, there is one.
    """

    kind: Literal["pause_server"]
    at: Duration
    server: Index | None = None
    lasts: PositiveDuration
    every: PositiveDuration | None = None


class SlowServer(Part):
    """A server works more slowly for a while: a noisy neighbour, a throttled CPU.

    Parameters
    ----------
    kind : str
        `slow_server`.
    at : float or str
        When, seconds from the start of the run.
    server : int
        Which one, counted from 0.
    factor : float
        How many times as long everything takes that its loops do, 1 to 1,000, in thousandths. Factors of several at a
        time are multiplied, up to 1,000.
    lasts : float or str, optional
        How long, seconds; left out, to the end of the run.
    """

    kind: Literal["slow_server"]
    at: Duration
    server: Index
    factor: _Factor  # type: ignore[valid-type]
    lasts: PositiveDuration | None = None


class Partition(Part):
    """A server and the broker cannot reach each other; clients and servers still can.

    Parameters
    ----------
    kind : str
        `partition`.
    at : float or str
        When, seconds from the start of the run.
    server : int
        Which one, counted from 0.
    lasts : float or str, optional
        How long, seconds; left out, to the end of the run. Of several partitions of a server the last to end counts.
    notice : str
        The connection is gone at once on both sides (`rst`), or stays and takes nothing (`silent`): what the broker has
        for the server waits in its output buffer.
    """

    kind: Literal["partition"]
    at: Duration
    server: Index
    lasts: PositiveDuration | None = None
    notice: Literal["rst", "silent"] = "rst"


class StopBroker(Part):
    """The broker stops: what it was doing is lost, and so are subscriptions; logs are not.

    Parameters
    ----------
    kind : str
        `stop_broker`.
    at : float or str
        When, seconds from the start of the run.
    lasts : float or str, optional
        How long until it runs again, seconds; left out, to the end of the run. Of several stops the last to end counts.
    """

    kind: Literal["stop_broker"]
    at: Duration
    lasts: PositiveDuration | None = None


class SlowBroker(Part):
    """The broker works more slowly for a while: a command that takes long, a noisy neighbour.

    Parameters
    ----------
    kind : str
        `slow_broker`.
    at : float or str
        When, seconds from the start of the run.
    factor : float
        How many times as long all of its work takes, 1 to 1,000, in thousandths. Factors of several at a time are
        multiplied, up to 1,000.
    lasts : float or str, optional
        How long, seconds; left out, to the end of the run.
    """

    kind: Literal["slow_broker"]
    at: Duration
    factor: _Factor  # type: ignore[valid-type]
    lasts: PositiveDuration | None = None


class DrainServer(Part):
    """A server is taken out of service on purpose: no new connections, its clients sent away one by one, then stopped.

    Parameters
    ----------
    kind : str
        `drain_server`.
    at : float or str
        When, seconds from the start of the run.
    server : int
        Which one, counted from 0.
    over : float or str, optional
        Time in which its connections are closed, evenly, seconds; `servers.grace` if left out.
    """

    kind: Literal["drain_server"]
    at: Duration
    server: Index
    over: Duration | None = None


class RollingDeploy(Part):
    """Every server is replaced by a new one, a few at a time, as a Kubernetes Deployment does it.

    An old server that is to go gets no new connections; its clients are told to go (close code 1001, going away) over
    `servers.grace`, or no faster than `budget`; what is left then is cut off.

    It ends when none of the servers it found is left and there are as many others; those that die meanwhile, and those
    that somebody else starts in their place, are reckoned with. With `autoscaling` the number is what that asks for.

    Parameters
    ----------
    kind : str
        `rolling_deploy`.
    at : float or str
        When, seconds from the start of the run.
    surge : int
        Servers there may be beyond the number wanted (maxSurge), which is that at the start without `autoscaling`.
    max_unavailable : int
        Servers that may be missing from that number (maxUnavailable).
    budget : float or str, optional
        Most connections that are closed a second, over all servers that go at a time; a drain then takes as long as it
        takes.
    """

    kind: Literal["rolling_deploy"]
    at: Duration
    surge: Index = 1
    max_unavailable: Index = 0
    budget: Rate | None = None


class Rebalance(Part):
    """Servers with more connections than the mean close the surplus, at a steady rate, so that clients spread anew.

    Parameters
    ----------
    kind : str
        `rebalance`.
    at : float or str
        When, seconds from the start of the run.
    rate : float or str
        Connections closed a second, over all servers.
    lasts : float or str, optional
        How long, seconds; left out, until no server has more than one above the mean.
    """

    kind: Literal["rebalance"]
    at: Duration
    rate: Rate
    lasts: PositiveDuration | None = None


FAULTS = (
    KillServer, DropClients, PauseServer, SlowServer, DrainServer, RollingDeploy, Rebalance, Partition, StopBroker,
    SlowBroker, StopService,
)  # fmt: skip
"""Every kind of fault; `control.faults` has a process for each, but for that of a service, which has run before."""

OF_THE_BROKER = tuple(kind_of(part) for part in (Partition, StopBroker, SlowBroker))
"""Kinds of faults that need a broker."""

Fault = by_kind(*FAULTS)
"""Field type: one of the faults, told apart by `kind`."""
