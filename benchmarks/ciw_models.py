"""Queues in Ciw, a library for networks of queues; of connections, brokers and copies it knows nothing."""

from __future__ import annotations

import ciw
import numpy as np

from benchmarks import rules as r
from benchmarks.simpy_models import wait_figures

__all__ = ["md1", "mm1"]


def mm1(n_customers: int, seed: int) -> dict[str, float]:
    """A network of one node."""
    return _simulate(n_customers, seed, ciw.dists.Exponential(1 / r.SERVICE_S))


def md1(n_customers: int, seed: int) -> dict[str, float]:
    """The same with a constant service."""
    return _simulate(n_customers, seed, ciw.dists.Deterministic(r.SERVICE_S))


def _simulate(n_customers: int, seed: int, service: object) -> dict[str, float]:
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(r.UTILIZATION / r.SERVICE_S)],
        service_distributions=[service],
        number_of_servers=[1],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(n_customers, method="Finish")
    records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
    return wait_figures(np.array([record.waiting_time for record in records]))
