"""What is written for nginx and HAProxy follows from the scenario, and what they cannot do is named. No processes."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.balancers import config
from live.balancers.settings import connections_within, settings, source_address, timeouts
from live.balancers.slots import Slot
from realtime_sim.errors import LiveError, UnsupportedFeature
from realtime_sim.policies import balancing
from realtime_sim.proxies import HAPROXY_POLICIES, NGINX_POLICIES, milliseconds
from realtime_sim.scenario import Scenario
from tests.small_servers import chat
from tests.strategies import scenarios
from tests.test_docstrings import drift, public_members, run_examples

POLICIES = sorted(balancing.REGISTRY)
SLOTS = [Slot(7001, 8001), Slot(7002, 8002), Slot(7003, 8003)]


def text(product: str, case: Scenario, slots: list[Slot] = SLOTS) -> str:
    """The configuration in /run, for clients on port 9000."""
    write = {"nginx": config.nginx, "haproxy": config.haproxy}[product]
    return write(settings(product, case, slots, 20_000), 9000, Path("/run"))


@pytest.mark.parametrize(
    ("policy", "of_nginx", "of_haproxy"),
    [
        ("round_robin", [], ["balance roundrobin"]),
        ("least_connections", ["least_conn;"], ["balance leastconn"]),
        ("random", ["random;"], ["balance random(1)"]),
        ("power_of_two", ["random two least_conn;"], ["balance random(2)"]),
        ("source_hash", ["hash $remote_addr;"], ["balance source", "hash-type map-based"]),
        ("consistent_hash", ["hash $remote_addr consistent;"], ["balance source", "hash-type consistent"]),
    ],
)
def test_a_policy_is_written_in_the_words_of_the_product_for_both_groups(policy, of_nginx, of_haproxy):
    known = r"(least_conn|random|hash \$|ip_hash|balance |hash-type ).*"
    for product, words in (("nginx", of_nginx), ("haproxy", of_haproxy)):
        lines = [line.strip() for line in text(product, chat(policy)).splitlines()]
        assert [line for line in lines if re.fullmatch(known, line)] == words * 2


def test_every_policy_of_the_scenario_is_known():
    assert POLICIES == sorted(NGINX_POLICIES) == sorted(HAPROXY_POLICIES)


@given(st.integers(1, 30), st.sampled_from(POLICIES), st.sampled_from(["none", "cookie"]))
def test_a_slot_is_in_both_groups_under_one_name(n, policy, affinity):
    slots = [Slot(7000 + i, 8000 + i) for i in range(n)]
    servers = re.findall(r"server s(\d+) 127.0.0.1:(\d+) id (\d+)( cookie \S+)?", text("haproxy", chat(policy), slots))
    assert [(int(i), int(port), int(number)) for i, port, number, _ in servers] == [
        (i, base + i, i + 1) for base in (8000, 7000) for i in range(n)
    ]
    sticky = text("nginx", chat(policy, affinity), slots)
    assert re.findall(r"server 127.0.0.1:(\d+) max_fails=1", sticky) == [
        str(base + i) for base in (7000, 8000) for i in range(n)
    ]
    names = [f"s{i}" for i in range(n)] * 2 if affinity == "cookie" else []
    assert re.findall(r"route=(\S+);", sticky) == names
    assert re.findall(r" id \d+ cookie (\S+)", text("haproxy", chat(policy, affinity), slots)) == names


@pytest.mark.parametrize(
    ("product", "line"),
    [
        ("nginx", "sticky cookie SRV path=/ httponly;"),
        ("haproxy", "cookie SRV insert indirect nocache httponly"),
    ],
)
def test_a_cookie_is_set_only_where_it_is_asked_for(product, line):
    assert text(product, chat(affinity="cookie")).count(line) == 2
    assert "SRV" not in text(product, chat())


@pytest.mark.parametrize(
    ("product", "lines"),
    [
        ("nginx", ["master_process off;", "daemon off;", "access_log off;", "proxy_buffering off;",
                   "proxy_http_version 1.1;", "proxy_next_upstream error timeout;",
                   "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header X-Forwarded-For $remote_addr;"]),
        ("haproxy", ["option http-no-delay", "option redispatch 1", "retries 2", "option abortonclose", "nbthread 1",
                     "http-request set-header X-Forwarded-For %[src]", "maxconn 120"]),
    ],
)  # fmt: skip
def test_what_was_found_to_matter_stands_in_the_text(product, lines):
    written = [line.strip() for line in text(product, chat()).splitlines()]
    assert [line for line in lines if line not in written] == []


@pytest.mark.parametrize(
    ("change", "websocket_s", "events_s", "requests_s", "check_s"),
    [
        ({}, 60, 60, 60, 0.5),
        ({"detection": "3s"}, 60, 60, 60, 3),
        ({"keepalive": {"interval": "60s", "timeout": "20s"}}, 120, 60, 60, 0.5),
        ({"keepalive": None}, 60, 60, 60, 0.5),  # the run and its drain: 10 + 30 s
        ({"network": {"idle_timeout": "500ms"}}, 0.5, 60, 60, 0.5),
        ({"network": {"idle_timeout": "500ms"}, "transport": "sse"}, 60, 0.5, 60, 0.5),
        ({"network": {"idle_timeout": "31s"}, "transport": "long_polling"}, 60, 60, 31, 0.5),
    ],
)
def test_known_timeouts(change, websocket_s, events_s, requests_s, check_s):
    found = timeouts(chat(**change))
    assert (found.websocket_s, found.events_s, found.requests_s) == (websocket_s, events_s, requests_s)
    assert found.check_interval_s == check_s


@given(scenarios())
def test_a_proxy_waits_for_longer_than_pings_and_polls_unless_the_scenario_says_otherwise(drawn):
    case = Scenario(**drawn)
    wanted = {}
    for cohort in case.clients:
        wanted.setdefault(cohort.transport, set()).add(cohort.network.idle_timeout)
    if any(len(values) > 1 for values in wanted.values()):
        with pytest.raises(UnsupportedFeature, match=r"clients\[1\].network.idle_timeout"):
            timeouts(case)
        return
    found = timeouts(case)
    assert found.requests_s > 30
    waits_s = {"websocket": found.websocket_s, "sse": found.events_s, "long_polling": found.requests_s}
    for cohort in case.clients:
        if cohort.network.idle_timeout is not None:
            assert waits_s[cohort.transport] == cohort.network.idle_timeout
        elif cohort.keepalive is None:
            assert waits_s[cohort.transport] > case.duration + case.drain
        else:
            assert waits_s[cohort.transport] > cohort.keepalive.interval + cohort.keepalive.timeout
    assert f"timeout tunnel {milliseconds(found.websocket_s)}ms" in text("haproxy", case)


@given(st.floats(1e-9, 1e6))
def test_a_timeout_is_never_written_as_0_nor_shortened(seconds):
    assert milliseconds(seconds) >= max(1, seconds * 1_000)


@pytest.mark.parametrize(
    ("product", "change", "message"),
    [
        ("nginx", {"policy": "consistent_hash", "polling_handshake": True}, "balancer.policy is not supported by"),
        ("nginx", {"detection": "5s"}, "balancer.detection is not supported by engine 'nginx'; it has no checks"),
    ],
)
def test_what_a_product_lacks_is_named(product, change, message):
    with pytest.raises(UnsupportedFeature, match=re.escape(message)):
        text(product, chat(**change))
    text("haproxy", chat(**change))
    text(product, chat(**(change | {"affinity": "cookie", "detection": 0})))


def test_more_clients_than_descriptors_are_refused():
    assert connections_within(20_000, 9_850, "balancer nginx") == 9_850
    with pytest.raises(LiveError, match="20_000 clients need 40_300 descriptors .* hard limit is 20_000; use balancer"):
        text("haproxy", chat(count=20_000))


def test_clients_have_addresses_of_their_own():
    addresses = {source_address(n) for n in range(70_000)}
    assert len(addresses) == 70_000
    assert all(address.startswith("127.") and address != "127.0.0.1" for address in addresses)


@pytest.mark.parametrize("name", ["config", "embedded", "settings", "slots"])
def test_docstrings_do_not_drift(name):
    module = import_module(f"live.balancers.{name}")
    assert [found for member in public_members(module) if (found := drift(*member))] == []
    assert run_examples(module)[1] == ""
