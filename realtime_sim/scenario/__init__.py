"""What a user writes: a frozen description of clients, servers, broker, rooms, traffic and faults. It never runs."""

from realtime_sim.scenario.clients import EVERYONE, Cohort, Keepalive, Network, RoomGroup, Session, Traffic
from realtime_sim.scenario.distributions import Constant, Empirical, Exponential, Gamma, Lognormal, Uniform
from realtime_sim.scenario.model import Scenario
from realtime_sim.scenario.services import Event, Flow, Pipeline, Service, StopService
from realtime_sim.scenario.system import (
    Balancer,
    Costs,
    DropClients,
    Kafka,
    KillServer,
    NoBroker,
    RedisPubSub,
    RedisStreams,
    Servers,
    Slo,
)

__all__ = [
    "EVERYONE", "Balancer", "Cohort", "Constant", "Costs", "DropClients", "Empirical", "Event", "Exponential", "Flow",
    "Gamma", "Kafka", "Keepalive", "KillServer", "Lognormal", "Network", "NoBroker", "Pipeline", "RedisPubSub",
    "RedisStreams", "RoomGroup", "Scenario", "Servers", "Service", "Session", "Slo", "StopService", "Traffic",
    "Uniform",
]  # fmt: skip
