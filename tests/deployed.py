"""A scenario that is deployed, and where to find its figures in the manifests."""

from __future__ import annotations

from realtime_sim import deployment
from realtime_sim.scenario import Scenario


def example(name: str) -> Scenario:
    return Scenario.from_yaml(f"examples/{name}.yaml")


def chat(**changes: object) -> Scenario:
    """1,000 clients on four servers."""
    base = Scenario(
        name="chat",
        duration="1min",
        clients=[{"name": "phones", "count": 1_000}],
        servers={"count": 4, "memory": "1GiB", "max_connections": 400},
        broker={"kind": "redis_pubsub"},
        slo={"p99": "250ms"},
    )
    return base.replace(**changes) if changes else base


def spec(scenario: Scenario, file: str = "deployment.yaml") -> dict:
    return deployment.manifests(scenario)[file]["spec"]


def pod(scenario: Scenario) -> dict:
    return spec(scenario)["template"]["spec"]


def container(scenario: Scenario) -> dict:
    [one] = pod(scenario)["containers"]
    return one


def seconds_to_drain(scenario: Scenario) -> int:
    return pod(scenario)["terminationGracePeriodSeconds"]
