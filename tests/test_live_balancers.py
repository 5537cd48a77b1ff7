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
from itertools import count

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from live.balancers import config, embedded
from live.balancers.embedded import RunningBalancer, start_balancer, start_program
from live.balancers.settings import settings
from live.balancers.slots import Slot, reserved_slots
from live.processes import Children
from realtime_sim.errors import LiveError, ScenarioError
from realtime_sim.scenario import Scenario
from tests.small_servers import SmallServer, Visitor, chat, small_servers

LIMIT_S = 30.0
"""Bound on every test that waits for a process; all of them end far earlier."""

PRODUCTS = ["nginx", "haproxy"]
N_SLOTS, N_SERVERS = 5, 3
NOBODY = [Slot(9, 9)]
"""A slot that stays empty."""


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
    """Servers, the first three of them started, and a balancer that checks them often, which lets it start sooner."""
    if product == "haproxy":
        case = case.replace(**{"balancer.detection": check})
    with Children() as children, reserved_slots(N_SLOTS) as slots:
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
            assert sorted(server.n_websockets for server in servers) == [0, 0, 10, 10, 11]

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
            await servers[4].start()
            await until_met(4, balancer.url)

    run(scene())


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
        with Children() as children, reserved_slots(1) as slots:
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
        with Children() as children, socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            ports = []

            def write(port: int) -> str:
                ports.append(port if ports else other.getsockname()[1])
                return embedded.PROGRAMS[product].write(asked, ports[-1], children.folder)

            asked = settings(product, chat(), NOBODY, 20_000)
            balancer = await start_program(product, write, children)
            assert len(ports) == 2 and balancer.url.endswith(str(ports[1]))
            await balancer.stop()

    run(scene())


@pytest.mark.live
def test_one_that_was_killed_is_started_again_in_the_same_folder(product):
    async def scene() -> None:
        with Children() as children:
            first = await start_balancer(product, chat(), NOBODY, children)
            children.kill(first.child)
            second = await start_balancer(product, chat(), NOBODY, children)
            assert second.pid != first.pid
            await first.stop()
            await second.stop()

    run(scene())


@pytest.mark.live
def test_a_program_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with Children() as children, pytest.raises(LiveError, match="balancer haproxy: there is no program 'haproxy'"):
        asyncio.run(start_balancer("haproxy", chat(), NOBODY, children))


@pytest.mark.live
def test_without_a_balancer_nothing_is_started():
    with Children() as children:
        balancer = asyncio.run(start_balancer("none", chat(), NOBODY, children))
        assert (balancer.url, balancer.pid, balancer.about[:5]) == ("", None, "none:")
        asyncio.run(balancer.stop())
        with pytest.raises(
            ScenarioError, match="balancer must be one of none, nginx, haproxy, got 'ngnix'; did you mean"
        ):
            asyncio.run(start_balancer("ngnix", chat(), NOBODY, children))
