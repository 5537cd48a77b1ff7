"""One machine for everything: cores that all processes share, clients and a publisher that take time of their own."""

from __future__ import annotations

from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import Count, Duration, Part, whole_number

__all__ = ["Host"]

_Cores = whole_number(high=1024, too_much="model one machine", example=2)
_Processes = whole_number(high=1024, too_much="a machine has one for each core", example=1)


class Host(Part):
    """The one machine that all processes of the system share, clients included, as in a run on a laptop.

    A data centre has none of it: leave it out, and every process has a core of its own, and clients take no time. The
    rule by which processes share the cores is at the head of `realtime_sim.engines.reference.host`. Services ahead of
    the push tier are on other machines. Costs are 0 unless given: they are those of the programs that play the clients
    and publish, which no profile knows.

    Parameters
    ----------
    cores : int
        Cores of the machine, 1 to 1,024.
    client_processes : int
        Processes that play the clients, at most as many as there are clients: client i is in process i modulo
        their number.
    wakeup : Distribution
        Time until a loop of a server that is asleep takes up a message from the broker, seconds: that of the scheduler,
        drawn for each. What the loop itself costs more then is `servers.costs.wakeup`.
    fanout_wait : Distribution
        Time that a fan-out in one job waits for a core while it sends, seconds: drawn for each message at each server,
        and spread evenly over its sends.
    receive : Distribution
        CPU of a process that plays clients for one message that it receives, or for one answer to a long poll,
        whatever is in it, seconds: drawn for each, the mean for an answer that has no message.
    receive_wakeup : Distribution
        Further CPU of a message that finds its process asleep, seconds; drawn likewise.
    connect : float or str
        CPU of such a process for one connection attempt, spent before the request leaves, seconds. How long a client
        waits for an answer counts from then on.
    publish : float or str
        CPU of the backend's publisher for one message, spent before it leaves for the broker, seconds.
    teardown : float or str
        How long the kernel takes to close the connections of a server that has ended, seconds: clients hear of its
        death so much later.
    slice : int
        Sends after which a fan-out looks again who else is busy. The default is a choice: half a millisecond of sends
        at 20 us, less than Linux lets a busy process run at the least (0.75 ms, kernel/sched/fair.c).
    """

    cores: _Cores  # type: ignore[valid-type]
    client_processes: _Processes = 1  # type: ignore[valid-type]
    wakeup: Distribution = Constant(value=0.0)
    fanout_wait: Distribution = Constant(value=0.0)
    receive: Distribution = Constant(value=0.0)
    receive_wakeup: Distribution = Constant(value=0.0)
    connect: Duration = 0.0
    publish: Duration = 0.0
    teardown: Duration = 0.0
    slice: Count = 25
