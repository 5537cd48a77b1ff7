"""Mean figures of single queues: M/M/1, M/M/c, M/D/1, M/G/1 and M/G/1 with an exceptional first service.

Arrivals are Poisson, buffers unbounded, service is independent of the past and first come first served.
Every function returns `QueueFigures`, where Little's law holds by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from realtime_sim.theory._inputs import at_least_zero, positive, whole

__all__ = ["QueueFigures", "erlang_c", "little", "md1", "mg1", "mg1_exceptional_first", "mm1", "mmc", "queue_figures"]


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Steady-state means of one queue.

    Parameters
    ----------
    utilization : float
        Offered work for each server (dimensionless). Of 1 or more, the queue grows for ever and the other figures are
        `inf`.
    mean_wait_s : float
        Mean time from arrival to start of service, seconds.
    mean_sojourn_s : float
        Mean time from arrival to end of service, seconds.
    mean_queue_length : float
        Mean number waiting, without those in service (customers).
    mean_in_system : float
        Mean number waiting or in service (customers).

    Examples
    --------
    >>> mm1(arrival_rate_per_s=0.5, service_s=1.0)
    QueueFigures(utilization=0.5, mean_wait_s=1.0, mean_sojourn_s=2.0, mean_queue_length=0.5, mean_in_system=1.0)
    """

    utilization: float
    mean_wait_s: float
    mean_sojourn_s: float
    mean_queue_length: float
    mean_in_system: float


def queue_figures(
    arrival_rate_per_s: float, utilization: float, mean_wait_s: float, mean_service_s: float
) -> QueueFigures:
    """Figures from a mean wait; an unstable queue has infinite ones.

    Parameters
    ----------
    arrival_rate_per_s : float
        Arrivals, per second.
    utilization : float
        Busy share of the servers, dimensionless.
    mean_wait_s, mean_service_s : float
        Seconds.
    """
    sojourn_s = mean_wait_s + mean_service_s
    if math.isinf(sojourn_s):
        return QueueFigures(utilization, math.inf, math.inf, math.inf, math.inf)
    return QueueFigures(
        utilization, mean_wait_s, sojourn_s, arrival_rate_per_s * mean_wait_s, arrival_rate_per_s * sojourn_s
    )


def little(arrival_rate_per_s: float, time_s: float) -> float:
    """Mean number present: arrivals times the time each stays.

    Holds for any stable system, whatever its distributions and order of service; callers use it for connections as for
    queues.

    Parameters
    ----------
    arrival_rate_per_s : float
        Mean arrivals per second, 0 or more.
    time_s : float
        Mean time that one arrival stays, seconds, 0 or more.

    Returns
    -------
    float
        Mean number present (customers), 0 or more.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails where no steady state exists: a service that started less than a few `time_s` ago holds fewer.

    References
    ----------
    Little, A Proof for the Queuing Formula L = lambda W, Operations Research 9 (1961).

    Examples
    --------
    AWS API Gateway: 500 new connections a second, each cut after two hours.

    >>> little(arrival_rate_per_s=500, time_s=7200)
    3600000.0
    """
    return at_least_zero("arrival_rate_per_s", arrival_rate_per_s) * at_least_zero("time_s", time_s)


def mm1(arrival_rate_per_s: float, service_s: float) -> QueueFigures:
    """Means of the queue with exponential service and one server.

    `rho s / (1 - rho)` is the mean wait, with `rho = arrival_rate_per_s * service_s`. Its quantiles are
    `mm1_wait_quantile_s` and `mm1_sojourn_quantile_s`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time, seconds, positive.

    Returns
    -------
    QueueFigures
        Means in seconds and customers; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails for bursts of arrivals (too low) and for service more regular than exponential (too high).

    References
    ----------
    Kleinrock, Queueing Systems I (1975), chapter 3.

    Examples
    --------
    >>> round(mm1(arrival_rate_per_s=900, service_s=0.001).mean_sojourn_s, 9)
    0.01
    """
    return mg1(arrival_rate_per_s, service_s, cv=1.0)


def md1(arrival_rate_per_s: float, service_s: float) -> QueueFigures:
    """Means of the queue with constant service and one server.

    Half the wait of M/M/1: `rho s / (2 (1 - rho))`. Its distribution is `md1_wait_cdf`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Service time of every customer, seconds, positive.

    Returns
    -------
    QueueFigures
        Means in seconds and customers; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails where service varies at all, as with garbage collection pauses: use `mg1`.

    References
    ----------
    Gross, Shortle, Thompson, Harris, Fundamentals of Queueing Theory, on M/G/1 (no variance).

    Examples
    --------
    >>> round(md1(arrival_rate_per_s=0.9, service_s=1.0).mean_wait_s, 9)
    4.5
    """
    return mg1(arrival_rate_per_s, service_s, cv=0.0)


def mg1(arrival_rate_per_s: float, service_s: float, cv: float) -> QueueFigures:
    """Means of the queue with any service time and one server (Pollaczek-Khinchine).

    The wait is `rho s (1 + cv^2) / (2 (1 - rho))`: two moments of the service decide it.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time, seconds, positive.
    cv : float
        Standard deviation of the service time over its mean (dimensionless), 0 or more. Not its square.

    Returns
    -------
    QueueFigures
        Means in seconds and customers; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    The mean wait does not depend on the shape of the service beyond `cv`, but its percentiles do. Fails where service
    times follow each other in kind (a pause that slows many in a row) or where the second moment does not exist (heavy
    tails).

    References
    ----------
    Kleinrock, Queueing Systems I (1975), chapter 5.

    Examples
    --------
    >>> round(mg1(arrival_rate_per_s=0.8, service_s=1.0, cv=2.0).mean_wait_s, 9)
    10.0
    """
    rate = at_least_zero("arrival_rate_per_s", arrival_rate_per_s)
    service_s = positive("service_s", service_s)
    cv = at_least_zero("cv", cv)
    utilization = rate * service_s
    if utilization >= 1:
        return queue_figures(rate, utilization, math.inf, service_s)
    return queue_figures(rate, utilization, utilization * service_s * (1 + cv * cv) / 2 / (1 - utilization), service_s)


def mg1_exceptional_first(
    arrival_rate_per_s: float, service_s: float, cv: float, first_service_s: float, first_cv: float
) -> QueueFigures:
    """Means of the M/G/1 queue whose first service of a busy period differs, as when an idle loop must be woken.

    A customer who finds the server idle takes `first_service_s` on average, every other one `service_s`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second, 0 or more.
    service_s : float
        Mean service time of a customer who had to wait, seconds, positive.
    cv : float
        Standard deviation of that time over its mean (dimensionless), 0 or more.
    first_service_s : float
        Mean service time of a customer who finds the server idle, seconds, positive.
    first_cv : float
        Standard deviation of that time over its mean (dimensionless), 0 or more.

    Returns
    -------
    QueueFigures
        Means in seconds and customers. `utilization` is the share of time the server is busy while the queue is stable,
        and the offered work `arrival_rate_per_s * service_s` when it is not (1 or more, waits `inf`).

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Only `service_s` decides stability: a costly first service cannot overload a queue, for a loaded one has few of
    them. With `p0 = (1 - rho) / (1 - rho + rho_first)` idle, the wait is `lam (p0 E[S_first^2] + (1 - p0) E[S^2]) / (2
    (1 - rho))`. Fails where the wake-up depends on how long the idle time was.

    References
    ----------
    Welch, On a Generalized M/G/1 Queuing Process in Which the First Customer of Each Busy Period Receives Exceptional
    Service, Operations Research 12 (1964).

    Examples
    --------
    Waking the loop adds 0.1 ms to a send of 0.1 ms; half load.

    >>> figures = mg1_exceptional_first(5000, 1e-4, 0.0, first_service_s=2e-4, first_cv=0.0)
    >>> round(figures.mean_wait_s * 1e3, 6), round(figures.utilization, 6)
    (0.1, 0.666667)
    """
    rate = at_least_zero("arrival_rate_per_s", arrival_rate_per_s)
    service_s = positive("service_s", service_s)
    second_s2 = service_s**2 * (1 + at_least_zero("cv", cv) ** 2)
    first_service_s = positive("first_service_s", first_service_s)
    first_second_s2 = first_service_s**2 * (1 + at_least_zero("first_cv", first_cv) ** 2)
    rho = rate * service_s
    if rho >= 1:
        return queue_figures(rate, rho, math.inf, service_s)
    p_idle = (1 - rho) / (1 - rho + rate * first_service_s)
    wait_s = rate * (p_idle * first_second_s2 + (1 - p_idle) * second_s2) / 2 / (1 - rho)
    return queue_figures(rate, 1 - p_idle, wait_s, p_idle * first_service_s + (1 - p_idle) * service_s)


def erlang_c(servers: int, offered_load: float) -> float:
    """Probability that an arrival must wait in M/M/c.

    Found from Erlang's loss probability, whose recursion over servers adds only positive numbers: no factorial, no
    overflow, relative error near the machine's for 10,000 servers and more. Time grows in proportion to `servers`.

    Parameters
    ----------
    servers : int
        Number of servers, at least 1.
    offered_load : float
        Arrival rate times mean service time (erlang, dimensionless), 0 or more.

    Returns
    -------
    float
        Probability on [0, 1]; 1 when `offered_load` is `servers` or more.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Assumes exponential service and one common queue; one queue for each server makes far more arrivals wait.

    References
    ----------
    Gross, Shortle, Thompson, Harris, Fundamentals of Queueing Theory, on M/M/c.

    Examples
    --------
    >>> round(erlang_c(servers=10, offered_load=9.0), 6)
    0.668732
    >>> round(erlang_c(servers=10_000, offered_load=9_900.0), 6)
    0.222777
    """
    servers = whole("servers", servers, low=1)
    load = at_least_zero("offered_load", offered_load)
    if load >= servers:
        return 1.0
    loss = 1.0
    for busy in range(1, servers + 1):
        loss = load * loss / (busy + load * loss)
    return loss / (1 - load / servers * (1 - loss))


def mmc(arrival_rate_per_s: float, service_s: float, servers: int) -> QueueFigures:
    """Means of the queue with exponential service and several servers behind one line.

    The wait is `erlang_c / (c mu - lam)`. Its quantile is `mmc_wait_quantile_s`.

    Parameters
    ----------
    arrival_rate_per_s : float
        Poisson arrivals per second to all servers together, 0 or more.
    service_s : float
        Mean service time at one server, seconds, positive.
    servers : int
        Number of servers, at least 1.

    Returns
    -------
    QueueFigures
        Means in seconds and customers, `utilization` for each server; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails for servers with a line each, as behind a load balancer: then each one is an M/M/1 or worse.

    References
    ----------
    Gross, Shortle, Thompson, Harris, Fundamentals of Queueing Theory, on M/M/c.

    Examples
    --------
    >>> round(mmc(arrival_rate_per_s=1.6, service_s=1.0, servers=2).mean_wait_s, 6)
    1.777778
    """
    rate = at_least_zero("arrival_rate_per_s", arrival_rate_per_s)
    service_s = positive("service_s", service_s)
    servers = whole("servers", servers, low=1)
    utilization = rate * service_s / servers
    if utilization >= 1:
        return queue_figures(rate, utilization, math.inf, service_s)
    p_wait = erlang_c(servers, rate * service_s)
    return queue_figures(rate, utilization, p_wait * service_s / servers / (1 - utilization), service_s)
