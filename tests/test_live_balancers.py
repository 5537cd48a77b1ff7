"""nginx and HAProxy do as the scenario says: who goes where, what is cut and when; a dead server is passed over."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from live.balancers import config, embedded
from live.balancers.embedded import RunningBalancer, start_balancer, start_program
from live.balancers.settings import Slot, connections_within, milliseconds, settings, source_address, timeouts
from live.processes import Children
from realtime_sim.errors import LiveError, ScenarioError, UnsupportedFeature
from realtime_sim.policies import balancing
from realtime_sim.scenario import Scenario
from tests.conftest import small
from tests.small_servers import SmallServer, Visitor, free_slots, small_servers
from tests.strategies import scenarios
from tests.test_docstrings import drift, public_members, run_examples

LIMIT_S = 30.0
"""Bound on every test that waits for a process; all of them end far earlier."""

PRODUCTS = ["nginx", "haproxy"]
POLICIES = sorted(balancing.REGISTRY)
SLOTS = [Slot(7001, 8001), Slot(7002, 8002), Slot(7003, 8003)]
N_SLOTS, N_SERVERS = 5, 3


def chat(
    policy: str = "least_connections", affinity: str = "none", detection: object = 0, **cohort: object
) -> Scenario:
    """One cohort of 60."""
    clients = [{"name": "c", "count": 60} | cohort]
    return small(clients=clients, balancer={"policy": policy, "affinity": affinity, "detection": detection})


def text(product: str, case: Scenario, slots: list[Slot] = SLOTS) -> str:
    """The configuration in /run, for clients on port 9000."""
    write = {"nginx": config.nginx, "haproxy": config.haproxy}[product]
    return write(settings(product, case, slots, 20_000), 9000, Path("/run"))


# --- settings and text, no process ----------------------------------------------------------------------------------


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
    assert POLICIES == sorted(config._NGINX_POLICIES) == sorted(config._HAPROXY_POLICIES)


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


@pytest.mark.parametrize("name", ["config", "embedded", "settings"])
def test_docstrings_do_not_drift(name):
    module = import_module(f"live.balancers.{name}")
    assert [found for member in public_members(module) if (found := drift(*member))] == []
    assert run_examples(module)[1] == ""


# --- real processes -------------------------------------------------------------------------------------------------


def run(scene) -> None:
    """A scene, and an end to it."""

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S):
            await scene

    asyncio.run(bounded())


@pytest.fixture(params=PRODUCTS)
def product(request):
    """Each product that is installed."""
    return installed(request.param)


def installed(product: str) -> str:
    if product == "haproxy" and not shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("haproxy is not installed")
    return product


@asynccontextmanager
async def cluster(
    product: str, case: Scenario, check: object = "100ms", **servers: float
) -> AsyncIterator[tuple[list[SmallServer], RunningBalancer]]:
    """Servers in some of the slots, and a balancer in front of all; with checks that are frequent it starts sooner."""
    if product == "haproxy":
        case = case.replace(**{"balancer.detection": check})
    with Children() as children:
        slots = free_slots(N_SLOTS)
        async with small_servers(slots, N_SERVERS, **servers) as started:
            balancer = await start_balancer(product, case, slots, children)
            try:
                yield started, balancer
            finally:
                await balancer.stop()


@pytest.mark.live
def test_a_cookie_holds_over_polls_streams_and_websockets(product):
    """Sixty clients, five requests each, all on fresh connections; without it each would go to the next server."""

    async def scene() -> None:
        async with cluster(product, chat("round_robin", "cookie")) as (_, balancer):
            met = await asyncio.gather(*(Visitor(i, balancer.url).round_of_requests() for i in range(60)))
            assert [servers for servers in met if len(set(servers)) > 1] == []
            assert set(Counter(servers[0] for servers in met)) == {0, 1, 2}

    run(scene())


@pytest.mark.live
def test_without_a_cookie_a_polling_session_meets_a_server_that_does_not_know_it(product):
    """Round robin: the second poll of a session goes to the next server, as good as always."""

    async def session(visitor: Visitor) -> list[int]:
        status, words = await visitor.poll()
        again = [await visitor.poll(f"session={words.split()[1]}") for _ in range(2)]
        return [status, *(status for status, _ in again)]

    async def scene() -> None:
        async with cluster(product, chat("round_robin", transport="long_polling")) as (_, balancer):
            answers = [await session(Visitor(i, balancer.url)) for i in range(12)]
            assert all(first == 200 for first, *_ in answers)
            assert sum(404 in again for _, *again in answers) >= 9
        async with cluster(product, chat("round_robin", "cookie", transport="long_polling")) as (_, balancer):
            assert all([await session(Visitor(i, balancer.url)) == [200] * 3 for i in range(12)])

    run(scene())


@pytest.mark.live
@pytest.mark.parametrize(
    ("product", "policy"), [(p, "source_hash") for p in PRODUCTS] + [("haproxy", "consistent_hash")]
)
def test_a_hash_brings_an_address_to_one_server_without_a_cookie(product, policy):
    async def scene() -> None:
        async with cluster(installed(product), chat(policy)) as (_, balancer):
            visitors = [Visitor(i, balancer.url, keeps_cookies=False) for i in range(30)]
            met = await asyncio.gather(*(visitor.round_of_requests() for visitor in visitors))
            assert [servers for servers in met if len(set(servers)) > 1] == []
            assert set(Counter(servers[0] for servers in met)) == {0, 1, 2}

    run(scene())


@pytest.mark.live
def test_servers_see_the_address_and_the_host_of_a_client(product):
    async def scene() -> None:
        async with cluster(product, chat()) as (_, balancer):
            _, words = await Visitor(300, balancer.url).poll()
            assert words.split()[2:] == ["127.1.1.44", balancer.url.removeprefix("http://")]

    run(scene())


@pytest.mark.live
def test_least_connections_balances_within_one_and_passes_over_empty_slots(product):
    async def scene() -> None:
        async with cluster(product, chat()) as (servers, balancer), AsyncExitStack() as stack:
            for i in range(31):
                websocket = await stack.enter_async_context(Visitor(i, balancer.url).websocket())
                await websocket.recv()
            assert sorted(server.n_websockets for server in servers) == [10, 10, 11]

    run(scene())


@pytest.mark.live
@pytest.mark.parametrize("affinity", ["none", "cookie"])
def test_a_dead_server_is_passed_over_and_gets_clients_again_when_it_is_back(product, affinity):
    """Nobody needs a second try, with a cookie of the dead server or without; it is back within a few seconds."""

    async def scene() -> None:
        async with cluster(product, chat("round_robin", affinity), check=0) as (servers, balancer):
            visitors = [Visitor(i, balancer.url) for i in range(12)]
            before = [await visitor.websocket_server() for visitor in visitors]
            assert set(before) == {0, 1, 2}
            await servers[0].stop()
            after = await asyncio.gather(*(visitor.websocket_server() for visitor in visitors))
            assert set(after) == {1, 2}
            polls = [await visitor.poll() for visitor in visitors]
            assert {(status, words[0]) for status, words in polls} == {(200, "1"), (200, "2")}
            if affinity == "cookie":  # whoever had another server has it still, the others have found a new one
                assert all(now in (then, 1, 2) for then, now in zip(before, after, strict=True) if then)
                assert [int(words[0]) for _, words in polls] == list(after)
            await servers[0].start()
            await until_met(0, balancer.url)

    run(scene())


@pytest.mark.live
def test_a_slot_that_was_empty_gets_clients_when_a_server_takes_it(product):
    async def scene() -> None:
        async with cluster(product, chat()) as (servers, balancer):
            [slot] = {find_slot(balancer, 4)} - {server.slot for server in servers}
            added = SmallServer(4, slot)
            await added.start()
            try:
                await until_met(4, balancer.url)
            finally:
                await added.stop()

    run(scene())


def find_slot(balancer: RunningBalancer, number: int) -> Slot:
    """A slot as it stands in the configuration."""
    written = next(balancer.children.folder.glob("*.conf")).read_text()
    ports = [int(port) for port in re.findall(r"server (?:s\d+ )?127.0.0.1:(\d+)", written)]
    first, second = ports[:N_SLOTS], ports[N_SLOTS:]
    if "backend http" in written:  # HAProxy's group of HTTP ports is first
        first, second = second, first
    return Slot(first[number], second[number])


async def until_met(server: int, url: str, within_s: float = 10.0) -> None:
    """New clients come until one of them meets a server."""
    deadline = time.monotonic() + within_s
    for number in count(1_000):
        if await Visitor(number, url).websocket_server() == server:
            return
        assert time.monotonic() < deadline, f"nobody met server {server}"
        await asyncio.sleep(0.02)


@pytest.mark.live
def test_a_hash_of_haproxy_goes_on_once_a_check_has_found_the_dead_server():
    """Its map names the server until then: the one case in which a client has to come again."""

    async def scene() -> None:
        async with cluster(installed("haproxy"), chat("source_hash"), check="300ms") as (servers, balancer):
            visitors = [Visitor(i, balancer.url) for i in range(6)]
            before = [await visitor.websocket_server() for visitor in visitors]
            await servers[0].stop()
            deadline = time.monotonic() + 10
            for visitor in (visitor for visitor, server in zip(visitors, before, strict=True) if server == 0):
                while time.monotonic() < deadline:
                    try:
                        assert await visitor.websocket_server() in (1, 2)
                        break
                    except InvalidStatus as error:
                        assert error.response.status_code == 503
                        await asyncio.sleep(0.05)
                else:
                    raise AssertionError("it was never found dead")

    run(scene())


# --- streams --------------------------------------------------------------------------------------------------------


async def event_delays_s(url: str, n: int) -> list[float]:
    """Time from an event's writing to its reading, of the first `n` events of a stream."""
    delays: list[float] = []
    async with Visitor(0, url).get("/events") as answer:
        async for line in answer.content:
            if line.startswith(b"data:") and len(line) > 15:
                delays.append((time.monotonic_ns() - int(line.split()[1])) / 1e9)
            if len(delays) == n:
                return delays
    raise AssertionError("the stream has ended")


@pytest.mark.live
def test_events_are_not_delayed(product):
    async def scene() -> None:
        async with cluster(product, chat(transport="sse")) as (_, balancer):
            assert statistics.quantiles(await event_delays_s(balancer.url, 40), n=20)[-1] < 0.1

    run(scene())


@pytest.mark.live
def test_events_are_delayed_without_the_option_that_forbids_it():
    """The kernel holds back what HAProxy says is not all: 116 ms at the median and 208 ms at p95, 0.2 ms with it."""

    async def scene() -> None:
        slots = free_slots(1)
        with Children() as children:
            asked = settings(installed("haproxy"), chat(transport="sse"), slots, 20_000)
            async with small_servers(slots, 1):
                balancer = await start_program(
                    "haproxy",
                    lambda port: config.haproxy(asked, port, children.folder).replace("option http-no-delay", ""),
                    children,
                )
                assert statistics.median(await event_delays_s(balancer.url, 30)) > 0.03
                await balancer.stop()

    run(scene())


@pytest.mark.live
def test_a_server_learns_at_once_that_a_stream_or_a_poll_has_lost_its_client(product):
    """Nothing is sent meanwhile that could find out."""

    async def scene() -> None:
        async with cluster(product, chat(), event_every_s=LIMIT_S) as (servers, balancer):
            for path in ("/events", f"/poll?hold={LIMIT_S}"):
                visitor = Visitor(0, balancer.url)
                waiting = asyncio.create_task(read_all(visitor, path))
                await until(lambda: sum(server.held for server in servers) == 1)
                waiting.cancel()
                await until(lambda: sum(server.held for server in servers) == 0)

    run(scene())


async def read_all(visitor: Visitor, path: str) -> bytes:
    async with visitor.get(path) as answer:
        return await answer.read()


async def until(true, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


# --- idle connections -----------------------------------------------------------------------------------------------


@pytest.mark.live
def test_an_idle_websocket_is_cut_and_one_with_pings_is_not(product):
    async def scene() -> None:
        async with AsyncExitStack() as stack:
            case = chat(network={"idle_timeout": "1.5s"})
            _, balancer = await stack.enter_async_context(cluster(product, case))
            idle = await stack.enter_async_context(Visitor(0, balancer.url).websocket())
            pinged = await stack.enter_async_context(Visitor(1, balancer.url).websocket())
            await idle.recv(), await pinged.recv()
            start = time.monotonic()
            cut = asyncio.create_task(idle.wait_closed())
            while not cut.done() or time.monotonic() - start < 2:
                await (await pinged.ping())
                await asyncio.wait([cut], timeout=0.2)
            assert idle.close_code == 1006
            await pinged.send("still here")
            assert await pinged.recv() == "still here"
            with pytest.raises(ConnectionClosed):
                await idle.recv()

    run(scene())


@pytest.mark.live
def test_an_idle_stream_is_cut_and_a_poll_is_held_on(product):
    async def scene() -> None:
        case = chat(transport="sse", network={"idle_timeout": "500ms"})
        async with cluster(product, case, event_every_s=LIMIT_S) as (_, balancer):
            start = time.monotonic()
            async with Visitor(0, balancer.url).get("/events") as answer:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
            assert 0.4 < time.monotonic() - start < 5
            assert (await Visitor(0, balancer.url).poll("hold=1"))[0] == 200

    run(scene())


# --- starting and stopping ------------------------------------------------------------------------------------------


@pytest.mark.live
def test_it_says_what_it_is_and_leaves_nothing_behind(product, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scene() -> None:
        async with cluster(product, chat()) as (_, balancer):
            assert re.match(r"(nginx|HAProxy) \d+\.\d+", balancer.about)
            os.kill(balancer.pid, 0)
            await balancer.stop()
            await balancer.stop()
            with pytest.raises(ProcessLookupError):
                os.kill(balancer.pid, 0)
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", int(balancer.url.rpartition(":")[2]))) != 0
        assert not balancer.children.folder.exists()

    run(scene())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.live
def test_what_is_wrong_with_a_configuration_is_told(product):
    async def scene() -> None:
        told = rf"balancer {product}: ended at its start with code 1: .*nonsense"
        with Children() as children, pytest.raises(LiveError, match=told):
            await start_program(product, lambda port: "nonsense 1;\n", children)

    run(scene())


@pytest.mark.live
def test_another_port_is_tried_when_one_is_taken(product):
    async def scene() -> None:
        slots = free_slots(1)
        with Children() as children, socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            ports = []

            def write(port: int) -> str:
                ports.append(port if ports else other.getsockname()[1])
                return embedded.PROGRAMS[product].write(asked, ports[-1], children.folder)

            asked = settings(product, chat(), slots, 20_000)
            balancer = await start_program(product, write, children)
            assert len(ports) == 2 and balancer.url.endswith(str(ports[1]))
            await balancer.stop()

    run(scene())


@pytest.mark.live
def test_one_that_was_killed_is_started_again_in_the_same_folder(product):
    async def scene() -> None:
        slots = free_slots(1)
        with Children() as children:
            first = await start_balancer(product, chat(), slots, children)
            children.kill(first.child)
            second = await start_balancer(product, chat(), slots, children)
            assert second.pid != first.pid
            await first.stop()
            await second.stop()

    run(scene())


@pytest.mark.live
def test_a_program_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with Children() as children, pytest.raises(LiveError, match="balancer haproxy: there is no program 'haproxy'"):
        asyncio.run(start_balancer("haproxy", chat(), SLOTS, children))


@pytest.mark.live
def test_without_a_balancer_nothing_is_started():
    with Children() as children:
        balancer = asyncio.run(start_balancer("none", chat(), SLOTS, children))
        assert (balancer.url, balancer.pid, balancer.about[:5]) == ("", None, "none:")
        asyncio.run(balancer.stop())
        with pytest.raises(
            ScenarioError, match="balancer must be one of none, nginx, haproxy, got 'ngnix'; did you mean"
        ):
            asyncio.run(start_balancer("ngnix", chat(), SLOTS, children))
