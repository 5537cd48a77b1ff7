"""A storm is told from a usual day and from a planned loss, by arithmetic that follows from the scenario."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings

from realtime_sim import deployment
from realtime_sim.deployment.figures import figures_of
from realtime_sim.deployment.storms import watch_of
from realtime_sim.scenario import Scenario
from tests.deployed import chat
from tests.strategies import scenarios
from tests.test_deployment_alerts import alerts, checked, groups, promtool, series, threshold

N = 40
"""Scrapes of a test, every 30 s."""


def push(**changes: object) -> Scenario:
    """40,000 browsers on four servers, of which one may die; a session takes 10 min, and the next begins 5 s later."""
    base = Scenario(
        name="push",
        duration="60s",
        clients=[{
            "name": "users", "count": 40_000, "network": {"rtt": 0},
            "session": {"length": {"mean": "10min"}, "absence": "5s"},
        }],
        servers={"count": 4},
        broker={"kind": "redis_pubsub"},
        slo={"p99": "150ms", "recover_within": "30s", "survive_servers": 1},
    )  # fmt: skip
    return base.replace(**changes) if changes else base


# Known values, worked by hand.


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        # 40,000 / 605 s x 120 s = 7,933.9; a pod of 10,000, and half of another.
        (push(), 22_933),
        (push(**{"slo.survive_servers": None}), 22_933),
        (push(**{"slo.survive_servers": 2}), 32_933),
        # Three may die, at most; half of the fourth is half of those who are left.
        (push(**{"slo.survive_servers": 9}), 42_933),
        # Nobody comes or goes: a pod of 250, and half of another.
        (chat(), 375),
        # One that dies takes everybody with it.
        (chat(**{"servers.count": 1, "servers.max_connections": None}), 500),
        # Everybody once in 100 s, too: 1,000 / 100 s x 120 s; five standard deviations are 173.2, and half a pod 125.
        (chat(**{"servers.connection_age": "100s"}), 1_200 + 250 + 173),
        # A deploy may close 3/s x 120 s.
        (chat(faults=[{"at": 1, "kind": "rolling_deploy", "budget": "3/s"}]), 360 + 125),
        # One that closes everybody in the window is as bad as a storm.
        (chat(faults=[{"at": 1, "kind": "rolling_deploy", "budget": "10/s"}]), 375),
    ],
)
def test_known_thresholds(scenario, expected):
    assert threshold(alerts(scenario)["RealtimeReconnectStorm"]) == expected


@pytest.mark.parametrize(
    ("changes", "window_s", "failing_s"),
    [
        ({}, 120, 240),  # four scrapes; without a promise a recovery may take as long
        ({"slo.recover_within": "12.5s"}, 120, 133),
        ({"slo.recover_within": "100s"}, 150, 250),  # 120 s in whole scrapes, and one
        ({"servers.admission.rate": "0.8/s"}, 150, 300),  # three let in 250 clients in 104.2 s
        ({"slo.recover_within": "2h"}, 1_800, 9_000),
    ],
)
def test_known_windows(changes, window_s, failing_s):
    found = alerts(chat(**changes))
    assert figures_of(chat(**changes)).window.value == window_s
    assert f"offset {window_s}s" in found["RealtimeReconnectStorm"]["expr"]
    assert found["RealtimeHandshakesFailing"]["for"] == f"{failing_s}s"


def test_the_arithmetic_stands_above_the_rule():
    text = re.sub(r"\n *# ", " ", deployment.manifests(push()).yaml("alerts.yaml"))
    assert (
        "In 120 s (4 scrapes at the usual 30 s): 7,934 handshakes as usual (66.12/s of clients.session) + 10,000 "
        "clients of 1 pod that may die + 5,000, half of what one pod more brings, is 22,933. All 40,000 clients at "
        "once make 47,934."
    ) in text


@given(scenarios())
@settings(max_examples=30)
def test_a_planned_loss_is_below_the_threshold_and_everybody_is_above(drawn):
    case = Scenario(**drawn)
    figures, watch = figures_of(case), watch_of(case, figures_of(case))
    usual = float(re.search(r"([\d,.]+) handshakes as usual", watch.arithmetic).group(1).replace(",", ""))
    lost = figures.clients / figures.full_pods * min(figures.full_pods - 1, 1)
    assert usual + lost - 2 < watch.threshold < usual + figures.clients + 1, "rounded to whole handshakes"


def test_a_deploy_that_looks_like_a_storm_is_noted():
    """All four pods go within two minutes. With a budget it is planned for."""
    [note] = [one for one in deployment.manifests(push()).notes if one.startswith("alerts.yaml: ")]
    assert "brings back 40,000 clients in 120 s" in note and "below 125/s" in note
    paced = push(faults=[{"at": 1, "kind": "rolling_deploy", "budget": "124/s"}])
    assert not [one for one in deployment.manifests(paced).notes if one.startswith("alerts.yaml: ")]


# Prometheus itself, with the pods of `push`: the usual 66.12 sessions/s are 496 a scrape on each of them.


def pods(name: str, values: list[str]) -> list[dict[str, str]]:
    return [series(name, one, pod=f"push-{i}") for i, one in enumerate(values)]


def steady(**instead: list[str]) -> list[dict[str, str]]:
    """All is well, except for what is given."""
    usual = {
        "realtime_handshakes_total": [f"9000+496x{N}"] * 4,
        "realtime_refused_total": [f"7x{N}"] * 4,
        "realtime_handshakes_failed_total": [f"9x{N}"] * 4,
    }
    return [one for name, values in (usual | instead).items() for one in pods(name, values)]


def jump(extra: int, at: int = 20) -> str:
    """The usual sessions, and so many clients more between two scrapes."""
    return f"9000+496x{at} {9_000 + 496 * (at + 1) + extra}+496x{N - at - 2}"


def fired(tmp_path, scenario: Scenario, input_series: list[dict[str, str]]) -> set[str]:
    """Alerts about storms that fire at any time, as Prometheus' own unit tests find them every 15 s."""
    rules = groups(scenario)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    found = set()
    for alert in ("RealtimeReconnectStorm", "RealtimeHandshakesFailing"):
        expr = f'max_over_time(count(ALERTS{{alertstate="firing", alertname="{alert}"}})[20m:15s]) > bool 0'
        for expected in ([], [{"labels": "{}", "value": 1}]):
            one = {"expr": expr, "eval_time": "20m", "exp_samples": expected}
            test = {"interval": "30s", "input_series": input_series, "promql_expr_test": [one]}
            whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [test]}
            (tmp_path / "test.yaml").write_text(yaml.safe_dump(whole))
            if holds(str(tmp_path / "test.yaml")):
                found |= {alert} if expected else set()
                break
        else:
            raise AssertionError(f"neither fired nor silent: {alert}")
    return found


def holds(file: str) -> bool:
    """Whether a unit test passes; a file that cannot be read is no answer."""
    try:
        checked("test", "rules", file)
    except AssertionError as error:
        assert "expr:" in str(error) and "got:" in str(error), error
        return False
    return True


@promtool
def test_a_usual_day_is_silent(tmp_path):
    assert fired(tmp_path, push(), steady()) == set()


@promtool
def test_a_pod_that_dies_is_silent(tmp_path):
    """Its 10,000 clients go to three others within a scrape, and another pod takes its place."""
    others = [jump(3_334)] * 3 + [f"9000+496x20 stale _x{N - 22}", f"_x23 0+496x{N - 24}"]
    assert fired(tmp_path, push(), steady(realtime_handshakes_total=others)) == set()


@promtool
def test_a_pod_that_dies_is_silent_though_its_clients_are_turned_away_at_first(tmp_path):
    """Each of them three times, in a minute."""
    others = [jump(3_334)] * 3 + [f"9000+496x20 stale _x{N - 22}"]
    refused = [f"7x20 5007 10007x{N - 22}"] * 3
    turned = steady(realtime_handshakes_total=others, realtime_refused_total=refused)
    assert fired(tmp_path, push(), turned) == set()


@promtool
@pytest.mark.parametrize("seconds", ["5s", "1min", "2min"])
def test_everybody_at_once_is_a_storm(tmp_path, seconds):
    """10,000 a pod within one scrape, two, or four."""
    n = {"5s": 1, "1min": 2, "2min": 4}[seconds]
    each = f"9000+496x20 {9_000 + 496 * 21 + 10_000 // n}+{10_000 // n + 496}x{n - 1} "
    values = each + f"{9_000 + 496 * (21 + n) + 10_000}+496x{N - 22 - n}"
    assert fired(tmp_path, push(), steady(realtime_handshakes_total=[values] * 4)) == {"RealtimeReconnectStorm"}


@promtool
def test_everybody_at_once_on_pods_that_are_new_is_a_storm(tmp_path):
    """What a pod counted before its first scrape counts too, also where it has started anew under its old name."""
    renamed = [f"9000+496x20 stale _x{N - 22}"] * 4 + [f"_x22 10000+496x{N - 23}"] * 4
    assert fired(tmp_path, push(), steady(realtime_handshakes_total=renamed)) == {"RealtimeReconnectStorm"}
    restarted = [f"20000+496x20 _ 10000+496x{N - 23}"] * 4
    assert fired(tmp_path, push(), steady(realtime_handshakes_total=restarted)) == {"RealtimeReconnectStorm"}


@promtool
def test_a_scrape_after_a_long_pause_is_no_storm(tmp_path):
    """Prometheus was away for seven minutes, or is new; pods have counted all the time."""
    away = [f"900000+496x10 stale _x13 912000+496x{N - 25}"] * 4
    assert fired(tmp_path, push(), steady(realtime_handshakes_total=away)) == set()


@promtool
@pytest.mark.parametrize("counter", ["realtime_refused_total", "realtime_handshakes_failed_total"])
def test_a_storm_that_feeds_itself_fires_though_hardly_anybody_gets_in(tmp_path, counter):
    """40,000 clients every 15 s on average, each turned away or gone before it is served: 20,000 a scrape a pod."""
    none_in = [f"9000+496x10 {9_000 + 496 * 11}+2x{N - 12}"] * 4
    failing = {"realtime_handshakes_total": none_in, counter: [f"7x10 7+20000x{N - 12}"] * 4}
    assert fired(tmp_path, push(), steady(**failing)) == {"RealtimeHandshakesFailing"}
