"""What a user writes: a frozen description of clients, servers, broker, rooms, traffic and faults. It never runs."""

from realtime_sim.scenario.admission import Admission
from realtime_sim.scenario.autoscaling import Autoscaling
from realtime_sim.scenario.brokers import (
    Kafka,
    Nats,
    NatsJetStream,
    NoBroker,
    OutputBuffer,
    RedisPubSub,
    RedisStreams,
)
from realtime_sim.scenario.clients import EVERYONE, Cohort, Keepalive, Network, RoomGroup, Session, Traffic
from realtime_sim.scenario.distributions import Constant, Empirical, Exponential, Gamma, Lognormal, Uniform
from realtime_sim.scenario.faults import (
    DrainServer,
    DropClients,
    KillServer,
    Partition,
    PauseServer,
    Rebalance,
    RollingDeploy,
    SlowBroker,
    SlowServer,
    StopBroker,
)
from realtime_sim.scenario.host import Host
from realtime_sim.scenario.model import Scenario
from realtime_sim.scenario.services import Event, Flow, Pipeline, Service, StopService
from realtime_sim.scenario.system import Balancer, Costs, Servers, Slo

__all__ = [
    "EVERYONE", "Admission", "Autoscaling", "Balancer", "Cohort", "Constant", "Costs", "DrainServer", "DropClients",
    "Empirical", "Event", "Exponential", "Flow", "Gamma", "Host", "Kafka", "Keepalive", "KillServer", "Lognormal",
    "Nats", "NatsJetStream", "Network", "NoBroker", "OutputBuffer", "Partition", "PauseServer", "Pipeline",
    "Rebalance", "RedisPubSub", "RedisStreams", "RollingDeploy", "RoomGroup", "Scenario", "Servers", "Service",
    "Session", "Slo", "SlowBroker", "SlowServer", "StopBroker", "StopService", "Traffic", "Uniform",
]  # fmt: skip
