"""The works in plain SimPy, as a careful user writes them: a process for each customer, client and delivery.

Random numbers come from `random`, waits go into a list, figures from NumPy at the end. The rules are those of our
scenarios; nothing of our package is used but the sizes of the works.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from math import exp, log

import numpy as np
import simpy

from benchmarks import rules as r

__all__ = ["broadcast", "md1", "mm1", "storm"]

_SIGMA = log(r.RTT_P99_S / r.RTT_MEDIAN_S) / 2.3263478740408408
"""Of the logarithm of a round trip: the p99 of a normal variable is 2.326 standard deviations out."""


def mm1(n_customers: int, seed: int) -> dict[str, float]:
    """A process for each customer, who requests the server and holds it for an exponential time."""
    rng = random.Random(seed)
    return _queue(n_customers, rng, lambda: rng.expovariate(1 / r.SERVICE_S))


def md1(n_customers: int, seed: int) -> dict[str, float]:
    """The same with a constant service."""
    return _queue(n_customers, random.Random(seed), lambda: r.SERVICE_S)


def _queue(n_customers: int, rng: random.Random, service_s: Callable[[], float]) -> dict[str, float]:
    env = simpy.Environment()
    server, waits = simpy.Resource(env), []

    def customer() -> Generator:
        arrived = env.now
        with server.request() as turn:
            yield turn
            waits.append(env.now - arrived)
            yield env.timeout(service_s())

    def arrivals() -> Generator:
        for _ in range(n_customers):
            yield env.timeout(rng.expovariate(r.UTILIZATION / r.SERVICE_S))
            env.process(customer())

    env.process(arrivals())
    env.run()
    return wait_figures(waits)


def wait_figures(waits: list[float]) -> dict[str, float]:
    """Mean and p99 without the first tenth, which is the warm-up of our scenarios too."""
    measured = np.array(waits[len(waits) // 10 :])
    return {"mean_s": float(measured.mean()), "p99_s": float(np.quantile(measured, 0.99))}


def broadcast(n_clients: int, seed: int) -> dict[str, float]:
    """A broker with one thread, 50 servers that send to one client after the other, a process for each delivery."""
    env, rng = simpy.Environment(), random.Random(seed)
    one_way_s = [r.RTT_MEDIAN_S * exp(_SIGMA * rng.gauss(0, 1)) / 2 for _ in range(n_clients)]
    broker, loops = simpy.Resource(env), [simpy.Resource(env) for _ in range(r.N_SERVERS)]
    latencies = []

    def publish(published: float) -> Generator:
        yield env.timeout(r.LINK_S)
        with broker.request() as turn:
            yield turn
            yield env.timeout(r.COPY_S)
            for server in range(r.N_SERVERS):
                yield env.timeout(r.COPY_S)
                env.process(fan_out(server, published))

    def fan_out(server: int, published: float) -> Generator:
        yield env.timeout(r.LINK_S)
        with loops[server].request() as turn:
            yield turn
            for client in range(server, n_clients, r.N_SERVERS):
                yield env.timeout(r.SEND_S)
                env.process(deliver(client, published))

    def deliver(client: int, published: float) -> Generator:
        yield env.timeout(one_way_s[client])
        latencies.append(env.now - published)

    def publisher() -> Generator:
        for _ in range(r.N_PUBLISHES):
            env.process(publish(env.now))
            yield env.timeout(1.0)

    env.process(publisher())
    env.run()
    return latency_figures(latencies)


def latency_figures(latencies: list[float]) -> dict[str, float]:
    """Mean, p99 and number of deliveries."""
    found = np.array(latencies)
    return {"mean_s": float(found.mean()), "p99_s": float(np.quantile(found, 0.99)), "n": float(len(found))}


def storm(n_clients: int, seed: int) -> dict[str, float]:
    """A process for each client that backs off and tries, and one for each handshake, which is done in any case."""
    env, rng = simpy.Environment(), random.Random(seed)
    servers = [simpy.Resource(env) for _ in range(r.N_STORM_SERVERS)]
    back, n_attempts = [], 0

    def handshake(server: simpy.Resource) -> Generator:
        with server.request() as turn:
            yield turn
            yield env.timeout(r.HANDSHAKE_S)

    def client() -> Generator:
        nonlocal n_attempts
        retry = 0
        while True:
            yield env.timeout(rng.uniform(0, min(r.CAP_S, r.BASE_S * 2**retry)))
            retry += 1
            n_attempts += 1
            server = rng.choice(servers)
            if len(server.queue) >= r.BACKLOG:
                continue
            done = env.process(handshake(server))
            yield done | env.timeout(r.TIMEOUT_S)
            if done.processed:
                back.append(env.now)
                return

    for _ in range(n_clients):
        env.process(client())
    env.run()
    return comeback_figures(back, n_attempts)


def comeback_figures(back: list[float], n_attempts: int) -> dict[str, float]:
    """When half and all of the clients were back, and how often each tried."""
    half = float(np.quantile(np.array(back), 0.5))
    return {"half_back_s": half, "attempts_each": n_attempts / len(back), "all_back_s": max(back)}
