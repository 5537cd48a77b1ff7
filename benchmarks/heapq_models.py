"""The works as hand-written event loops in plain Python: one heap of tuples, no processes, no library.

What one writes who knows the work in advance and wants speed without a compiler. Same rules as `simpy_models`.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from math import exp, inf

from benchmarks import rules as r
from benchmarks.simpy_models import _SIGMA, comeback_figures, latency_figures, wait_figures

__all__ = ["broadcast", "md1", "mm1", "storm"]


def mm1(n_customers: int, seed: int) -> dict[str, float]:
    """Arrivals and departures on a heap, waiting customers in a queue."""
    rng = random.Random(seed)
    return _queue(n_customers, rng, lambda: rng.expovariate(1 / r.SERVICE_S))


def md1(n_customers: int, seed: int) -> dict[str, float]:
    """The same with a constant service."""
    return _queue(n_customers, random.Random(seed), lambda: r.SERVICE_S)


def _queue(n_customers: int, rng: random.Random, service_s: Callable[[], float]) -> dict[str, float]:
    rate = r.UTILIZATION / r.SERVICE_S
    heap, waits, line, busy, n_arrived = [(rng.expovariate(rate), True)], [], deque(), False, 0
    while heap:
        now, is_arrival = heapq.heappop(heap)
        if is_arrival:
            n_arrived += 1
            if n_arrived < n_customers:
                heapq.heappush(heap, (now + rng.expovariate(rate), True))
            if busy:
                line.append(now)
                continue
            waits.append(0.0)
        elif line:
            waits.append(now - line.popleft())
        else:
            busy = False
            continue
        busy = True
        heapq.heappush(heap, (now + service_s(), False))
    return wait_figures(waits)


def broadcast(n_clients: int, seed: int) -> dict[str, float]:
    """Broker and servers are scalars, as all they do is first come, first served; each delivery is an event."""
    rng = random.Random(seed)
    one_way_s = [r.RTT_MEDIAN_S * exp(_SIGMA * rng.gauss(0, 1)) / 2 for _ in range(n_clients)]
    heap = [(float(second), -1, float(second)) for second in range(r.N_PUBLISHES)]
    broker_free, server_free, latencies = 0.0, [0.0] * r.N_SERVERS, []
    while heap:
        now, client, published = heapq.heappop(heap)
        if client >= 0:
            latencies.append(now - published)
            continue
        at_broker = max(now + r.LINK_S, broker_free) + r.COPY_S
        for server in range(r.N_SERVERS):
            at_broker += r.COPY_S
            sent = max(at_broker + r.LINK_S, server_free[server])
            for recipient in range(server, n_clients, r.N_SERVERS):
                sent += r.SEND_S
                heapq.heappush(heap, (sent + one_way_s[recipient], recipient, published))
            server_free[server] = sent
        broker_free = at_broker
    return latency_figures(latencies)


def storm(n_clients: int, seed: int) -> dict[str, float]:
    """Retries and completions on a heap; a client that timed out is found when its handshake is done."""
    rng = random.Random(seed)
    retries, deadline, n_attempts, back = [0] * n_clients, [inf] * n_clients, 0, []
    lines: list[deque] = [deque() for _ in range(r.N_STORM_SERVERS)]

    def backoff_s(client: int) -> float:
        delay_s = rng.uniform(0, min(r.CAP_S, r.BASE_S * 2 ** retries[client]))
        retries[client] += 1
        return delay_s

    heap = [(backoff_s(client), client, -1) for client in range(n_clients)]  # time, client, server that is done
    heapq.heapify(heap)
    while heap:
        now, client, server = heapq.heappop(heap)
        if server >= 0:
            line = lines[server]
            line.popleft()
            if line:
                heapq.heappush(heap, (now + r.HANDSHAKE_S, line[0], server))
            if now <= deadline[client]:
                back.append(now)
            else:
                heapq.heappush(heap, (max(now, deadline[client] + backoff_s(client)), client, -1))
            continue
        n_attempts += 1
        server = rng.randrange(r.N_STORM_SERVERS)
        line = lines[server]
        if len(line) > r.BACKLOG:  # one of them is in service
            heapq.heappush(heap, (now + backoff_s(client), client, -1))
            continue
        deadline[client] = now + r.TIMEOUT_S
        line.append(client)
        if len(line) == 1:
            heapq.heappush(heap, (now + r.HANDSHAKE_S, client, server))
    return comeback_figures(back, n_attempts)
