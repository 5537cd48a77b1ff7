"""Alerts stand on the metrics of the one table, thresholds follow from the scenario, and they fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml
from hypothesis import given, settings
from prometheus_client.parser import text_string_to_metric_families

from live.page import Page
from live.server.monitoring import monitoring_text
from realtime_sim import deployment, presets
from realtime_sim.metrics import METRICS, MONITORED
from realtime_sim.scenario import Scenario
from tests.deployed import chat
from tests.strategies import scenarios

NAMES = {metric.name for metric in METRICS.values()}


def groups(scenario: Scenario) -> dict:
    """The rule file as Prometheus itself reads it."""
    return deployment.manifests(scenario, namespace="push")["alerts.yaml"]["spec"]


def alerts(scenario: Scenario) -> dict[str, dict]:
    return {rule["alert"]: rule for group in groups(scenario)["groups"] for rule in group["rules"] if "alert" in rule}


def recorded(scenario: Scenario) -> dict[str, str]:
    return {
        rule["record"]: rule["expr"]
        for group in groups(scenario)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def threshold(rule: dict) -> float:
    return float(rule["expr"].rpartition(" ")[2])


# Known values, worked by hand.


@pytest.mark.parametrize(
    ("changes", "alert", "expected"),
    [
        ({}, "RealtimeConnectionsNearLimit", 360),  # 90 % of servers.max_connections, 400
        ({"servers.max_connections": None, "servers.memory": None}, "RealtimeConnectionsNearLimit", 250),
        (
            {"servers.max_connections": None, "servers.memory": None, "slo.survive_servers": 2},
            "RealtimeConnectionsNearLimit",
            500,
        ),
        ({}, "RealtimeDeliveryLatencyP99", 0.25),
        ({"slo.p999": "1.5s"}, "RealtimeDeliveryLatencyP999", 1.5),
        ({}, "RealtimeLoopsBusy", 0.7),
        ({"slo.max_utilization": 1.0}, "RealtimeLoopsBusy", 0.7),
        ({}, "RealtimeConnectionsRefused", 0),
    ],
)
def test_known_thresholds(changes, alert, expected):
    assert threshold(alerts(chat(**changes))[alert]) == expected


def test_a_deploy_is_no_refusal():
    """Four pods one after the other, 10 s each to start, a drain of 30 s, and the window of 5 min."""
    assert alerts(chat())["RealtimeConnectionsRefused"]["for"] == "370s"
    paced = chat(faults=[{"at": 1, "kind": "rolling_deploy", "surge": 2, "budget": "10/s"}])  # drains of 50 s
    assert alerts(paced)["RealtimeConnectionsRefused"]["for"] == f"{2 * (10 + 50) + 50 + 300}s"


def names_in(scenario: Scenario) -> set[str]:
    """Every metric that the rules name, histograms without what Prometheus adds."""
    text = yaml.safe_dump(groups(scenario), width=10_000)
    return {one.removesuffix("_bucket") for one in re.findall(r"(?<![:\w])realtime_\w+(?={)", text)}


@pytest.mark.parametrize("scenario", [chat(), chat(slo=None, broker={"kind": "none"})], ids=["all", "few"])
def test_whatever_alerts_name_live_servers_export_or_notes_leave_to_the_application(scenario):
    """And the alert on missing metrics asks for what servers export, so that it is silent on ours."""
    page = Page()
    exported = {family.name for family in text_string_to_metric_families(monitoring_text(0, page))}
    page.close()
    exported = {name for name in NAMES if name.removesuffix("_total") in exported or name in exported}
    notes = {one.partition(":")[0]: one for one in deployment.manifests(scenario).notes}
    told = {place: dict(re.findall(r"(realtime_\w+) \((\w+)\)", notes[place])) for place in notes}
    application = set(told["monitoring.clients"])
    assert names_in(scenario) == set(told["monitoring"]) | application
    assert set(told["monitoring"]) <= exported and not application & exported
    kinds = {metric.name: metric.kind for metric in METRICS.values()}
    for name, kind in (told["monitoring"] | told["monitoring.clients"]).items():
        assert kinds[name] == kind
    missing = alerts(scenario)["RealtimeNotMeasured"]["expr"]
    assert set(re.findall(r"absent\((\w+)", missing)) == set(told["monitoring"])


def test_an_alert_that_nobody_may_measure_is_noted():
    [note] = [one for one in deployment.manifests(chat()).notes if one.startswith("monitoring.clients: ")]
    assert "a bucket that ends at 0.25 s" in note and "RealtimeDeliveryLatencyP99 never fires" in note


def test_the_quantile_is_that_of_the_promise():
    found = alerts(chat(**{"slo.p50": "100ms", "slo.p999": "1s"}))
    quantiles = {
        name: re.search(r"histogram_quantile\(([\d.]+),", rule["expr"]).group(1)
        for name, rule in found.items()
        if "Latency" in name
    }
    assert quantiles == {
        "RealtimeDeliveryLatencyP50": "0.5",
        "RealtimeDeliveryLatencyP99": "0.99",
        "RealtimeDeliveryLatencyP999": "0.999",
    }


def test_the_four_metrics_are_recorded_and_refusals_and_busy_loops():
    expressions = " ".join(recorded(chat()).values())
    for key in (*MONITORED, "refused", "utilization"):
        assert METRICS[key].name in expressions


def test_utilization_counts_the_loops_of_a_pod():
    assert "[300s])) / 3 > 0.7" in alerts(chat(**{"servers.workers": 3}))["RealtimeLoopsBusy"]["expr"]


def test_without_a_broker_nobody_subscribes():
    assert "RealtimeChannelSubscribersMissing" in alerts(chat())
    assert "RealtimeChannelSubscribersMissing" not in alerts(chat(broker={"kind": "none"}))


def test_without_promises_p99_is_recorded_all_the_same():
    quiet = chat(slo=None)
    assert not [name for name in alerts(quiet) if "Latency" in name]
    assert "namespace:realtime_delivery_latency_seconds:p99" in recorded(quiet)


# What must hold for any scenario.


@given(scenarios())
@settings(max_examples=30)
def test_rules_have_the_form_of_prometheus_and_no_metric_of_their_own(drawn):
    """Structure: Prometheus documentation, "Recording rules" and "Alerting rules"."""
    found, seen = groups(Scenario(**drawn)), set()
    assert len({group["name"] for group in found["groups"]}) == len(found["groups"])
    for group in found["groups"]:
        assert set(group) == {"name", "rules"}
        for rule in group["rules"]:
            name = rule.get("record") or rule["alert"]
            assert name not in seen
            seen.add(name)
            if "record" in rule:
                assert set(rule) == {"record", "expr"} and re.fullmatch(r"[a-z]+:[a-z0-9_]+:[a-z0-9_]+", name)
            else:
                assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
                assert re.fullmatch(r"[A-Z]\w+", name) and re.fullmatch(r"[1-9]\d*[smh]", rule["for"])
                assert rule["labels"]["severity"] in ("page", "warning") and all(rule["annotations"].values())
            assert rule["expr"].count("(") == rule["expr"].count(")")
            used = {one.removesuffix("_bucket") for one in re.findall(r"\brealtime_\w+", rule["expr"])}
            assert used and used <= NAMES
            assert rule["expr"].count('{namespace="push"}') == len(re.findall(r"\brealtime_\w+", rule["expr"]))


# Prometheus itself.

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt: prometheus)")


def checked(*words: str) -> str:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@promtool
@pytest.mark.parametrize("name", presets.NAMES)
def test_prometheus_takes_the_rules(name, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(groups(presets.load(name))))
    assert "SUCCESS" in checked("check", "rules", str(file))


def series(name: str, values: str, **labels: object) -> dict[str, str]:
    inside = ", ".join(f'{key}="{value}"' for key, value in {"namespace": "push", **labels}.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def all_well(n: int = 60) -> dict[str, list[dict[str, str]]]:
    """Four pods of 250 clients, a scrape every 30 s: 0.1 % of deliveries above 100 ms, none above 250 ms."""
    each = [f"rooms-{i}" for i in range(4)]
    of = {
        "active_connections": [series("realtime_active_connections", f"250x{n}", pod=one) for one in each],
        "channel_subscribers": [series("realtime_channel_subscribers", f"1x{n}", pod=one) for one in each],
        "refused": [series("realtime_refused_total", f"5x{n}", pod=one) for one in each],
        "utilization": [series("realtime_busy_seconds_total", f"0+12x{n}", pod=one) for one in each],
        "handshakes": [series("realtime_handshakes_total", f"250+7x{n}", pod=one) for one in each],
        "failed": [series("realtime_handshakes_failed_total", f"0x{n}", pod=one) for one in each],
        "reconnection_rate": [series("realtime_reconnections_total", f"0+30x{n}")],
    }
    steps = {0.1: 9_990, 0.25: 10_000, 0.5: 10_000, "+Inf": 10_000}
    name = "realtime_delivery_latency_seconds_bucket"
    return of | {"delivery_latency": [series(name, f"0+{step}x{n}", le=le) for le, step in steps.items()]}


def firing(tmp_path, scenario: Scenario, input_series: list[dict[str, str]], expected: list[str]) -> None:
    """Prometheus' own unit test: after 25 min these alerts fire, and no others."""
    rules = groups(scenario)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    names = "|".join(re.escape(one) for one in alerts(scenario))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "30s",
                "input_series": input_series,
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertstate="firing", alertname=~"{names}"}}) > bool 0',
                        "eval_time": "25m",
                        "exp_samples": [{"labels": f'{{alertname="{one}"}}', "value": 1} for one in expected],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    checked("test", "rules", str(tmp_path / "test.yaml"))


@promtool
def test_nothing_fires_while_all_is_well(tmp_path):
    firing(tmp_path, chat(), [one for some in all_well().values() for one in some], [])


@promtool
@pytest.mark.parametrize(
    ("key", "instead", "expected"),
    [
        ("active_connections", [series("realtime_active_connections", "390x60", pod="rooms-0")],
         "RealtimeConnectionsNearLimit"),
        ("channel_subscribers", [series("realtime_channel_subscribers", f"{n}x60", pod=f"rooms-{i}")
                                 for i, n in enumerate((9_000, 8_000, 0, 7_000))],
         "RealtimeChannelSubscribersMissing"),
        ("handshakes", [series("realtime_handshakes_total", "0+300x60", pod="rooms-0")], "RealtimeReconnectStorm"),
        ("failed", [series("realtime_handshakes_failed_total", "0+300x60", pod="rooms-0")],
         "RealtimeHandshakesFailing"),
        ("refused", [series("realtime_refused_total", "0+20x60", pod="rooms-0")], "RealtimeConnectionsRefused"),
        ("utilization", [series("realtime_busy_seconds_total", "0+27x60", pod="rooms-0")], "RealtimeLoopsBusy"),
        ("delivery_latency", [series("realtime_delivery_latency_seconds_bucket", f"0+{n}x60", le=le)
                              for le, n in {0.1: 9_000, 0.25: 9_800, 0.5: 10_000, "+Inf": 10_000}.items()],
         "RealtimeDeliveryLatencyP99"),
        ("utilization", [], "RealtimeNotMeasured"),
    ],
)  # fmt: skip
def test_an_alert_fires_when_it_should_and_no_other(key, instead, expected, tmp_path):
    found = all_well() | {key: instead}
    firing(tmp_path, chat(), [one for some in found.values() for one in some], [expected])
