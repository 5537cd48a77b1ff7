"""What a user writes: a frozen description of clients, servers, broker, rooms, traffic and faults. It never runs."""

from realtime_sim.scenario.admission import Admission
from realtime_sim.scenario.clients import EVERYONE, Cohort, Keepalive, Network, RoomGroup, Session, Traffic
from realtime_sim.scenario.distributions import Constant, Empirical, Exponential, Gamma, Lognormal, Uniform
from realtime_sim.scenario.model import Scenario
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
    "EVERYONE", "Admission", "Balancer", "Cohort", "Constant", "Costs", "DropClients", "Empirical", "Exponential",
    "Gamma", "Kafka", "Keepalive", "KillServer", "Lognormal", "Network", "NoBroker", "RedisPubSub", "RedisStreams",
    "RoomGroup", "Scenario", "Servers", "Session", "Slo", "Traffic", "Uniform",
]  # fmt: skip
