"""One message to many: the serial fan-out loop as a queue, batches of arrivals, and how many servers need a copy.

A server that publishes to N members does N sends in a row. Each publish is one job of constant length for it, so
publishes queue as in M/D/1, and inside a job the copy in place j leaves after j sends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from realtime_sim.theory._inputs import at_least_one, at_least_zero, positive, probability, whole
from realtime_sim.theory.queues import QueueFigures, md1, queue_figures
from realtime_sim.theory.waits import md1_wait_tail, smallest_time_with_tail

__all__ = [
    "FanoutFigures",
    "fanout_md1",
    "fanout_md1_delay_cdf",
    "fanout_md1_delay_quantile_s",
    "mxm1",
    "node_copies",
    "serial_fanout_s",
]


@dataclass(frozen=True, slots=True)
class FanoutFigures:
    """Steady-state means of one serial fan-out loop.

    Parameters
    ----------
    utilization : float
        Share of time the loop must work (dimensionless); of 1 or more, all times below that include a wait are `inf`.
    mean_wait_s : float
        Mean time a publish waits for earlier publishes, seconds.
    mean_in_batch_s : float
        Mean time from the start of a publish's own work to the end of one copy's send, seconds.
    mean_delay_s : float
        Mean time from publish to the end of one copy's send, seconds: the two above together.
    mean_last_copy_s : float
        Mean time from publish to the end of its last send, seconds.
    mean_copies_in_system : float
        Mean number of copies published and not yet sent (Little's law over copies).

    Examples
    --------
    >>> fanout_md1(publish_rate_per_s=1.0, n_members=2, send_s=0.25).mean_in_batch_s
    0.375
    """

    utilization: float
    mean_wait_s: float
    mean_in_batch_s: float
    mean_delay_s: float
    mean_last_copy_s: float
    mean_copies_in_system: float


def serial_fanout_s(n_recipients: int, send_s: float) -> float:
    """Time until the last recipient is served when one loop sends one copy after the other.

    The idle-loop case of `fanout_md1`: no earlier publish is in the way.

    Parameters
    ----------
    n_recipients : int
        Copies to send, 0 or more.
    send_s : float
        Time of one send, seconds, 0 or more.

    Returns
    -------
    float
        Seconds, 0 or more.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails where sends run on several threads or are handed over in groups, one for each remote node.

    References
    ----------
    Discord, How Discord Scaled Elixir to 5,000,000 Concurrent Users (2017): 30,000 sessions at 30 to 70 us.

    Examples
    --------
    >>> round(serial_fanout_s(n_recipients=30_000, send_s=30e-6), 9)
    0.9
    """
    return whole("n_recipients", n_recipients, low=0) * at_least_zero("send_s", send_s)


def fanout_md1(publish_rate_per_s: float, n_members: int, send_s: float, decode_s: float = 0.0) -> FanoutFigures:
    """Means of a loop that sends every publish to all members, one after the other (M^[N]/D/1).

    A publish is a job of `decode_s + n_members * send_s`. It waits as in M/D/1; its copies then leave one send apart.

    Parameters
    ----------
    publish_rate_per_s : float
        Poisson publishes per second, 0 or more.
    n_members : int
        Copies of each publish, at least 1.
    send_s : float
        Time of one send, seconds, positive.
    decode_s : float
        Work once for each publish, before its first send, seconds, 0 or more.

    Returns
    -------
    FanoutFigures
        Means in seconds and copies; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Counts neither network nor broker. Fails for rooms that share a loop but differ in size (service then varies: `mg1`)
    and for publishes that come in bursts.

    References
    ----------
    Tijms, A First Course in Stochastic Models (2003), chapter 9 (batch arrivals), with M/D/1 for the batches.

    Examples
    --------
    80 publishes a second to 1,000 members at 10 us a send: 20 ms of wait and 5.005 ms inside the batch.

    >>> round(fanout_md1(publish_rate_per_s=80, n_members=1000, send_s=10e-6).mean_delay_s * 1e3, 6)
    25.005
    """
    rate, n, send_s, decode_s = _fanout_inputs(publish_rate_per_s, n_members, send_s, decode_s)
    job_s = decode_s + n * send_s
    queue = md1(rate, job_s)
    in_batch_s = decode_s + send_s * (n + 1) / 2
    delay_s = queue.mean_wait_s + in_batch_s
    copies = math.inf if math.isinf(delay_s) else rate * n * delay_s
    return FanoutFigures(queue.utilization, queue.mean_wait_s, in_batch_s, delay_s, queue.mean_wait_s + job_s, copies)


def fanout_md1_delay_cdf(
    publish_rate_per_s: float, n_members: int, send_s: float, t_s: float, decode_s: float = 0.0
) -> float:
    """Probability that a copy of a random publish, to a random member, has been sent within `t_s` of the publish.

    The mean over places j of `P(W <= t - decode_s - j send_s)`, W being the wait in M/D/1.

    Parameters
    ----------
    publish_rate_per_s : float
        Poisson publishes per second, 0 or more.
    n_members : int
        Copies of each publish, at least 1; time and memory grow in proportion.
    send_s : float
        Time of one send, seconds, positive.
    t_s : float
        Time since the publish, seconds.
    decode_s : float
        Work once for each publish, before its first send, seconds, 0 or more.

    Returns
    -------
    float
        Probability on [0, 1]; 0 from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    The delay jumps at each `decode_s + j send_s`, where the loop was idle; at a jump itself, rounding decides.
    Copies of one publish share its wait, so they are not independent: the last copy is not the maximum of `n_members`
    such delays. It is the wait in M/D/1 plus the whole job. Fails as `fanout_md1` does.

    References
    ----------
    Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters 29 (2001).

    Examples
    --------
    >>> round(fanout_md1_delay_cdf(publish_rate_per_s=80, n_members=1000, send_s=10e-6, t_s=0.1), 6)
    0.985425
    """
    rate, n, send_s, decode_s = _fanout_inputs(publish_rate_per_s, n_members, send_s, decode_s)
    return 1 - _delay_tail(rate, n, send_s, decode_s, float(t_s))


def fanout_md1_delay_quantile_s(
    publish_rate_per_s: float, n_members: int, send_s: float, p: float, decode_s: float = 0.0
) -> float:
    """Time within which a share `p` of all copies has been sent.

    The inverse of `fanout_md1_delay_cdf`, by bisection to 13 digits.

    Parameters
    ----------
    publish_rate_per_s : float
        Poisson publishes per second, 0 or more.
    n_members : int
        Copies of each publish, at least 1; time grows in proportion.
    send_s : float
        Time of one send, seconds, positive.
    p : float
        Probability (dimensionless), strictly between 0 and 1.
    decode_s : float
        Work once for each publish, before its first send, seconds, 0 or more.

    Returns
    -------
    float
        Seconds, positive; `inf` from utilization 1 on.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Over copies, not over publishes: for the last copy take `md1_wait_quantile_s` of the job and add the job.
    Fails as `fanout_md1` does.

    References
    ----------
    Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters 29 (2001).

    Examples
    --------
    >>> round(fanout_md1_delay_quantile_s(publish_rate_per_s=80, n_members=1000, send_s=10e-6, p=0.99), 6)
    0.108743
    """
    rate, n, send_s, decode_s = _fanout_inputs(publish_rate_per_s, n_members, send_s, decode_s)
    p = probability("p", p)
    if rate * (decode_s + n * send_s) >= 1:
        return math.inf
    return send_s * smallest_time_with_tail(lambda x: _delay_tail(rate, n, send_s, decode_s, x * send_s), 1 - p)


def mxm1(batch_rate_per_s: float, service_s: float, mean_batch: float, batch_cv: float = 0.0) -> QueueFigures:
    """Means of the queue where customers come in batches, with exponential service and one server.

    The wait is averaged over all customers, whatever their place in the batch; Little's law uses the customers' rate,
    `batch_rate_per_s * mean_batch`.

    Parameters
    ----------
    batch_rate_per_s : float
        Poisson batches per second, 0 or more.
    service_s : float
        Mean service time of one customer, seconds, positive.
    mean_batch : float
        Mean batch size (customers), at least 1.
    batch_cv : float
        Standard deviation of the batch size over its mean (dimensionless), 0 or more: 0 for a fixed size,
        `sqrt(1 - 1 / mean_batch)` for a geometric one.

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
    `Wq = rho s / (1 - rho) + s (E[X^2] - E[X]) / (2 E[X] (1 - rho))`. Batch sizes are whole numbers; a `batch_cv` that
    none can have, such as 0 with a mean of 1.5, is not detected. The wait depends on the place in the batch: compare
    only with averages over arrivals.

    References
    ----------
    Tijms, A First Course in Stochastic Models (2003), chapter 9; LINE solver, `qsys_mxm1`.

    Examples
    --------
    >>> round(mxm1(batch_rate_per_s=0.08, service_s=1.0, mean_batch=10).mean_wait_s, 9)
    26.5
    >>> round(mxm1(batch_rate_per_s=0.08, service_s=1.0, mean_batch=10, batch_cv=0.9**0.5).mean_wait_s, 9)
    49.0
    """
    batch_rate = at_least_zero("batch_rate_per_s", batch_rate_per_s)
    service_s = positive("service_s", service_s)
    mean_batch = at_least_one("mean_batch", mean_batch)
    batch_cv = at_least_zero("batch_cv", batch_cv)
    rate = batch_rate * mean_batch
    utilization = rate * service_s
    if utilization >= 1:
        return queue_figures(rate, utilization, math.inf, service_s)
    before_in_batch = (mean_batch * (1 + batch_cv * batch_cv) - 1) / 2
    return queue_figures(rate, utilization, (utilization + before_in_batch) * service_s / (1 - utilization), service_s)


def node_copies(n_servers: int, n_members: int) -> float:
    """Mean number of servers that hold at least one of `n_members` placed at random.

    `n (1 - (1 - 1/n)^m)`: the copies that a broker sends for one message.

    Parameters
    ----------
    n_servers : int
        Servers, at least 1.
    n_members : int
        Connected members of the room, 0 or more.

    Returns
    -------
    float
        Servers, from 0 to the smaller of both arguments.

    Raises
    ------
    ScenarioError
        A `ValueError`, if an argument is out of its domain.

    Notes
    -----
    Fails for placement by room (1 copy) and for brokers that send every message to every server (`n_servers` copies),
    as the classic Socket.IO Redis adapter does.

    References
    ----------
    Feller, An Introduction to Probability Theory and Its Applications I, occupancy problems.

    Examples
    --------
    >>> round(node_copies(n_servers=20, n_members=10), 2)
    8.03
    """
    n = whole("n_servers", n_servers, low=1)
    m = whole("n_members", n_members, low=0)
    if n == 1 or m == 0:
        return float(min(m, 1))
    return -n * math.expm1(m * math.log1p(-1 / n))


def _fanout_inputs(rate: float, n_members: int, send_s: float, decode_s: float) -> tuple[float, int, float, float]:
    return (
        at_least_zero("publish_rate_per_s", rate),
        whole("n_members", n_members, low=1),
        positive("send_s", send_s),
        at_least_zero("decode_s", decode_s),
    )


def _delay_tail(rate: float, n: int, send_s: float, decode_s: float, t_s: float) -> float:
    """Share of copies sent later than `t_s`: the mean over places in the batch."""
    slack_s = (t_s - decode_s) - send_s * np.arange(1, n + 1)
    return float(np.mean(md1_wait_tail(rate, decode_s + n * send_s, slack_s)))
