"""Queues in Cimba, a library whose processes are compiled.

A process for each client would take 13 KB, and 30,000 of them end the interpreter, so queues are all that it does here.
"""

import cimba
from cimba import inputs

from benchmarks import rules as r
from benchmarks.simpy_models import wait_figures

__all__ = ["md1", "mm1"]

GAP_S, SERVICE_S = r.SERVICE_S / r.UTILIZATION, r.SERVICE_S


class _MM1(cimba.Model):
    """Customers come one by one; their times of arrival wait in a store for the server."""

    gap: cimba.Input[float] = inputs.dist.exponential(mean=GAP_S)
    service: cimba.Input[float] = inputs.dist.exponential(mean=SERVICE_S)
    line: cimba.Store[float] = cimba.Store()
    waits: cimba.Dataset = cimba.Dataset()

    @cimba.process
    def arrive(self):
        while True:
            cimba.hold(self.gap.next())
            self.line.put(cimba.now())

    @cimba.process
    def serve(self):
        while True:
            arrived = self.line.get()
            self.waits.record(cimba.now() - arrived)
            cimba.hold(self.service.next())


class _MD1(cimba.Model):
    """The same with a constant service; an input that is drawn cannot be constant."""

    gap: cimba.Input[float] = inputs.dist.exponential(mean=GAP_S)
    line: cimba.Store[float] = cimba.Store()
    waits: cimba.Dataset = cimba.Dataset()

    @cimba.process
    def arrive(self):
        while True:
            cimba.hold(self.gap.next())
            self.line.put(cimba.now())

    @cimba.process
    def serve(self):
        while True:
            arrived = self.line.get()
            self.waits.record(cimba.now() - arrived)
            cimba.hold(SERVICE_S)


def mm1(n_customers: int, seed: int) -> dict[str, float]:
    """Two processes, arrivals and the server."""
    return _simulate(_MM1(), n_customers, seed)


def md1(n_customers: int, seed: int) -> dict[str, float]:
    """The same with a constant service."""
    return _simulate(_MD1(), n_customers, seed)


def _simulate(model: cimba.Model, n_customers: int, seed: int) -> dict[str, float]:
    model.waits.capture()
    done = cimba.Experiment(model, window=cimba.Window(duration=n_customers * GAP_S), seed=seed).run(workers=1)
    _, waits = done[model].waits.trial(0, 0)
    return wait_figures(waits)
