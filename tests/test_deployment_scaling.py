"""An autoscaler is the scenario's own, or never goes below the answer."""

from __future__ import annotations

from realtime_sim.metrics import METRICS
from tests.deployed import chat, seconds_to_drain, spec


def test_the_autoscaler_of_an_answer_never_goes_below_it():
    found = spec(chat(), "autoscaler.yaml")
    assert (found["minReplicas"], found["maxReplicas"]) == (4, 8)
    [metric] = found["metrics"]
    assert metric["pods"]["metric"]["name"] == METRICS["active_connections"].name == "realtime_active_connections"
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "250"}
    [step] = found["behavior"]["scaleDown"]["policies"]
    assert step["value"] == 1 and step["periodSeconds"] >= seconds_to_drain(chat())


def test_an_autoscaler_of_the_scenario_is_written_as_it_is():
    scaling = {
        "min_replicas": 3,
        "max_replicas": 9,
        "metrics": [
            {"name": "connections", "target": 333.5},
            {"name": "cpu", "target": 70},
            {"name": "messages_per_s", "target": 1_000},
        ],
        "scale_up": {"stabilization": "30s", "policies": [{"kind": "percent", "value": 50, "period": "1min"}]},
    }
    found = spec(chat(autoscaling=scaling), "autoscaler.yaml")
    assert (found["minReplicas"], found["maxReplicas"]) == (3, 9)
    connections, cpu, messages = found["metrics"]
    assert connections["pods"]["target"]["averageValue"] == "333500m"
    assert cpu["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    assert messages["pods"]["metric"]["name"] == "realtime_sends_per_second"
    assert found["behavior"]["scaleUp"] == {
        "stabilizationWindowSeconds": 30,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    }
    # The defaults of Kubernetes: 100 % every 15 s, after 5 min.
    assert found["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert found["behavior"]["scaleDown"]["policies"] == [{"type": "Percent", "value": 100, "periodSeconds": 15}]
