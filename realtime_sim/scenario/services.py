"""The services ahead of the push tier: events, how they reach the services, and the services that work on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import model_validator

from realtime_sim.profiles import PIPELINE_DEFAULTS
from realtime_sim.scenario.distributions import Constant, Distribution
from realtime_sim.scenario.quantities import (
    Broken,
    Duration,
    Index,
    Name,
    Part,
    PositiveDuration,
    Rate,
    Ratio,
    fault,
    whole_number,
)

if TYPE_CHECKING:
    from realtime_sim.scenario.clients import Traffic
    from realtime_sim.scenario.model import Scenario

__all__ = ["Event", "Flow", "Pipeline", "Service", "StopService", "flow_of", "rules_of_sources"]

MAX_WORKERS = 10_000
"""Most workers of one service, or of one producer: each is an actor of its own."""

_Workers = whole_number(high=MAX_WORKERS, too_much="simulate a part of them, with a part of the events", example=4)
_Retries = whole_number(0, 1_000, "a retry without end never becomes a dead letter", 3)


class Event(Part):
    """What happens in the business and starts work: orders placed, payments made.

    Parameters
    ----------
    name : str
        What services call them.
    rate : float or str
        Events per second, above 0.
    arrivals : str
        `poisson` at random moments, `constant` at equal steps from `start`.
    start : float or str
        When they begin, seconds from the start of the run.
    stop : float or str, optional
        When they end, seconds; with the run unless given.
    """

    name: Name
    rate: Rate
    arrivals: Literal["poisson", "constant"] = "poisson"
    start: Duration = 0.0
    stop: Duration | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Event:
        if self.stop is not None and self.stop <= self.start:
            raise fault("must be after start", "give a later stop, or remove it", at="stop")
        return self


class Pipeline(Part):
    """How events reach the services: over a bus that keeps them, or by direct calls.

    Parameters
    ----------
    coupling : str
        With `bus` the producer appends an event to a log, and every service reads it at its own pace. With `direct` a
        worker of the producer calls the services one after the other, in their order, and waits for each answer; a
        call that fails or times out ends the chain.
    append : Distribution
        With `bus`, time from an event until the log holds it, seconds.
    fetch : Distribution
        With `bus`, time from then until a service has read it, seconds.
    workers : int
        With `direct`, workers of the producer of each kind of event, 1 to 10,000.
    backlog : int
        With `direct`, events that may wait for one of these workers; those beyond are rejected.
    timeout : float or str
        With `direct`, the longest time a worker waits for an answer, seconds, above 0.
    """

    coupling: Literal["bus", "direct"] = "bus"
    append: Distribution = Constant(value=PIPELINE_DEFAULTS["append_s"].value)
    fetch: Distribution = Constant(value=PIPELINE_DEFAULTS["fetch_s"].value)
    workers: _Workers = PIPELINE_DEFAULTS["workers"].value
    backlog: Index = PIPELINE_DEFAULTS["backlog"].value
    timeout: PositiveDuration = PIPELINE_DEFAULTS["timeout_s"].value


class Service(Part):
    """A service that works on every event of one kind: `replicas` processes with `workers` each, and one queue.

    Parameters
    ----------
    name : str
        What traffic, faults and results call it.
    consumes : str
        Which events.
    service : Distribution
        Time of one attempt at one event, seconds.
    replicas : int
        Processes, 1 to 10,000; together they are one consumer group.
    workers : int
        Events that one process works on at once, 1 to 10,000; of all replicas together also at most 10,000.
    p_failure : float
        Share of the attempts that fail, 0 to 1.
    retries : int
        Further attempts at an event after a failed one, by the same worker, 0 to 1,000. After the last one it is a
        dead letter.
    retry_delay : float or str
        Time between a failed attempt and the next, seconds.
    """

    name: Name
    consumes: Name
    service: Distribution
    replicas: _Workers = 1
    workers: _Workers = 1
    p_failure: Ratio = 0.0
    retries: _Retries = PIPELINE_DEFAULTS["retries"].value
    retry_delay: Duration = PIPELINE_DEFAULTS["retry_delay_s"].value

    @model_validator(mode="after")
    def _few_enough(self) -> Service:
        if self.n_workers > MAX_WORKERS:
            step = "simulate a part of them, with as large a part of the events"
            raise fault(f"must give at most {MAX_WORKERS:_} workers with replicas", step, at="workers")
        return self

    @property
    def n_workers(self) -> int:
        """Events it works on at once."""
        return self.replicas * self.workers

    @property
    def p_dead_letter(self) -> float:
        """Share of the events whose first attempt and all retries fail, p_failure ** (retries + 1)."""
        return self.p_failure ** (self.retries + 1)

    @property
    def held_s(self) -> float:
        """Mean time an event holds a worker, retries and the delays between them included, seconds."""
        p, n = self.p_failure, self.retries + 1
        attempts = n if p == 1 else (1 - p**n) / (1 - p)
        return attempts * self.service.mean_s + (attempts - 1) * self.retry_delay


class StopService(Part):
    """A service stands still for a while: it takes up nothing and answers nobody, as if its process hung.

    With a bus, what it was working on is done again after the restart (at least once). Direct calls wait until they
    time out.

    Parameters
    ----------
    kind : str
        `stop_service`.
    at : float or str
        When, seconds from the start of the run.
    service : str
        Which one.
    lasts : float or str
        For how long, seconds, above 0.
    """

    kind: Literal["stop_service"]
    at: Duration
    service: Name
    lasts: PositiveDuration


class Flow(NamedTuple):
    """Publishes of a stream: how many a second on average, and from when to when."""

    rate: float
    start_s: float
    stop_s: float


def flow_of(scenario: Scenario, stream: Traffic) -> Flow:
    """What a stream publishes, its own rate or what follows from the service that it names.

    A service publishes what it finishes: its events less dead letters, at most what its workers manage. With `every`
    there is one publish for each interval in which it finished something.

    Parameters
    ----------
    scenario : Scenario
        With the events and services.
    stream : Traffic
        One of its streams.
    """
    service = next((service for service in scenario.services if service.name == stream.source), None)
    if service is None:
        return Flow(stream.rate, stream.start, min(stream.stop or scenario.duration, scenario.duration))
    event = next(event for event in scenario.events if event.name == service.consumes)
    capacity = service.n_workers / service.held_s if service.held_s else math.inf
    rate = min(event.rate, capacity) * (1 - service.p_dead_letter)
    if stream.every is not None:
        mean = rate * stream.every
        news = min(mean, 1.0) if event.arrivals == "constant" else -math.expm1(-mean)
        rate = news / stream.every
    return Flow(rate, event.start, min(event.stop or scenario.duration, scenario.duration))


def rules_of_sources(i: int, stream: Traffic, is_service: bool) -> Iterator[Broken]:
    """What a stream must have, and must not have, by whether a service publishes it.

    Parameters
    ----------
    i : int
        Its number.
    stream : Traffic
        As far as it is known.
    is_service : bool
        Whether its source is a service.
    """
    at = f"traffic[{i}]"
    if not is_service:
        if stream.rate is None:
            yield Broken("must be given", "add 'rate:'", f"{at}.rate")
        if stream.every is not None:
            yield Broken("must be left out unless `from` names a service", "remove it", f"{at}.every")
        return
    for field, default in (("rate", None), ("arrivals", "poisson"), ("start", 0.0), ("stop", None)):
        value = getattr(stream, field)
        if value != default and value == value:  # what is not known is NaN
            step = "remove it: it follows from the events that the service consumes"
            yield Broken("must be left out where `from` names a service", step, f"{at}.{field}")
