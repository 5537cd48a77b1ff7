"""A server under attack: a real process with its broker, and clients that behave well all the while."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from live.accounting import usage_of
from live.balancers.slots import reserved_slots
from live.brokers.embedded import start_broker
from live.brokers.links import open_link
from live.fleet import Fleet
from live.options import Options
from live.processes import Children
from live.server.settings import ServerSettings
from live.socketio_server.exchange import Emitter
from live.tokens import write_token
from realtime_sim import wire
from realtime_sim.scenario import Scenario
from realtime_sim.workload import draw_workload
from tests.bare_sockets import HEAD_END, WAIT_S, Socket, request, status_of, upgrade
from tests.good_clients import GOOD, GOOD_SOCKETIO, GoodClient

HEADER_TIMEOUT_S, POLL_HOLD_S = 2.0, 0.5
EVERY_S = 0.05
N_RUDE = 100
GROWTH_BYTES = 24 * 2**20
"""Memory that a server may have more after all attacks than before."""

IGNORED = {"bandwidth": "1MB/s"}
"""A network, which a cohort with a limited buffer must have; the clients here have the one of this machine."""


def scenario(broker: str, **changes: object) -> Scenario:
    """The clients of `GOOD`, and those who attack: a room for every cohort. Its traffic only sizes the logbooks."""
    limits = {name: {"policy": name, "limit": "64KiB"} for name in ("drop_newest", "disconnect")}
    cohorts = [{"name": name, "count": 1, "transport": transport} for name, transport in GOOD.items()]
    cohorts += [
        {"name": "rude", "count": N_RUDE, "keepalive": None, "resume": True},
        {"name": "dropped", "count": 2, "keepalive": None, "network": IGNORED, "overflow": limits["drop_newest"]},
        {"name": "cut", "count": 3, "keepalive": None, "network": IGNORED, "overflow": limits["disconnect"]},
        {"name": "idle", "count": 1, "transport": "long_polling", "overflow": limits["drop_newest"]},
        {"name": "frozen", "count": 1, "keepalive": {"interval": 0.3, "timeout": 0.5}},
    ]
    groups = [{"name": one["name"], "count": 1, "members": one["count"], "cohort": one["name"]} for one in cohorts]
    return Scenario(
        name="siege",
        duration=60,
        clients=cohorts,
        rooms=groups,
        broker={"kind": broker} | ({"subscription": "per_room"} if broker == "redis_pubsub" else {}),
        traffic=[{"name": "ballast", "to": "outsider", "rate": 300}],
        **changes,
    )


def scenario_socketio(**changes: object) -> Scenario:
    """The clients of `GOOD_SOCKETIO`, and those who attack; who is silent is dropped after a few seconds."""
    pings = {"interval": 2, "timeout": 2}
    cohorts = [{"name": name, "count": 1, "keepalive": pings} for name in GOOD_SOCKETIO]
    cohorts.append({"name": "rude", "count": N_RUDE, "keepalive": pings})
    return Scenario(
        name="siege",
        duration=60,
        clients=cohorts,
        rooms=[{"name": one["name"], "count": 1, "members": one["count"], "cohort": one["name"]} for one in cohorts],
        broker={"kind": "redis_pubsub"},
        servers={"stack": "socketio"} | changes,
        traffic=[{"name": "ballast", "to": "outsider", "rate": 300}],
    )


class Impatient(Fleet):
    """A fleet whose servers wait for less long, for tests to be over sooner."""

    def _settings(self, instance) -> ServerSettings:
        settings = super()._settings(instance)
        return dataclasses.replace(settings, header_timeout_s=HEADER_TIMEOUT_S, poll_hold_s=POLL_HOLD_S)


class Site:
    """One server with its broker, who publishes, and who behaves well."""

    def __init__(self, children: Children, fleet: Fleet, broker: object) -> None:
        self.children, self.fleet, self.broker = children, fleet, broker
        self.workload = fleet.workload
        self.server = fleet.instances[0]
        self.ws_port, self.http_port = self.server.websocket_port, self.server.http_port
        self.is_socketio = fleet.scenario.servers.stack == "socketio"
        self.kinds = GOOD_SOCKETIO if self.is_socketio else GOOD
        if self.is_socketio:
            self.link = Emitter(broker.url, fleet.namespace)
        else:
            self.link = open_link(broker.url, fleet.scenario.broker, "besieger", fleet.namespace)
        self.good: dict[str, GoodClient] = {}
        self.sockets: list[Socket] = []
        self._n_published = dict.fromkeys(self.kinds, 0)
        self._number = 1_000_000
        self.n_descriptors = self.memory_bytes = 0

    # Who and where.

    def client(self, cohort: str, n: int = 0) -> int:
        """The number of the nth client of a cohort."""
        return int(self.workload.clients_of(cohort)[n])

    def room(self, cohort: str) -> int:
        """The room of a cohort."""
        return int(self.workload.rooms.first[self.workload.rooms.names.index(cohort)])

    def token(self, client: int, secret: bytes | None = None, life_s: float = 60.0) -> str:
        """A token."""
        return write_token(secret or self.fleet.secret, client, int(time.time() + life_s))

    @property
    def pid(self) -> int:
        """Of the server."""
        return self.server.child.pid

    def count(self, name: str) -> int:
        """A counter of the server's page."""
        return self.server.page.get(name)

    @property
    def broker_port(self) -> int:
        """Where the broker listens."""
        return int(self.broker.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """What the server has printed."""
        return (self.children.folder / "server-0.log").read_text()

    # Life.

    async def begin(self) -> None:
        """The clients that behave well come, and somebody publishes."""
        await self.link.start(None)
        for name, kind in self.kinds.items():
            port, path = {
                "websocket": (self.ws_port, "ws"), "sse": (self.http_port, "events"),
                "long_polling": (self.http_port, "poll"),
            }.get(kind, (self.http_port, "socket.io/"))  # fmt: skip
            scheme = "ws" if path == "ws" else "http"
            token = self.token(self.client(name), life_s=3_600)
            url = f"{scheme}://127.0.0.1:{port}/{path}" + ("" if self.is_socketio else f"?token={token}")
            self.good[name] = GoodClient(name, kind, url, token)
            await asyncio.wait_for(self.good[name].welcomed.wait(), WAIT_S)
        self._publishing = asyncio.create_task(self._publish_to_good())
        await until(lambda: all(len(one.heard) > 20 for one in self.good.values()), "nobody hears anything")
        self.n_descriptors, self.memory_bytes = self.descriptors(), self.memory()

    async def _publish_to_good(self) -> None:
        while True:
            for name in self.kinds:
                self._n_published[name] += 1
                await self.publish(self.room(name), f"{name} {time.monotonic()}", seq=self._n_published[name])
            await asyncio.sleep(EVERY_S)

    async def publish(self, room: int, data: str, seq: int = 1) -> None:
        """A message from the backend."""
        self._number += 1
        await self.link.publish(room, wire.encode(wire.Message(self._number, room, seq, "", data)))

    async def end(self) -> None:
        """Nobody publishes any more, and all go."""
        tasks = [self._publishing, *(one.task for one in self.good.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.link.close()

    # Attacks.

    async def under(self, attack: Coroutine) -> None:
        """An attack, after which everything is as before, although those who attacked have not hung up."""
        try:
            await asyncio.wait_for(attack, 2 * WAIT_S)
            await self.check()
        finally:
            for one in self.sockets:
                one.hang_up()
            self.sockets.clear()

    async def check(self) -> None:
        """Who behaves well has heard everything in order and nothing else; the server holds nobody else."""
        assert self.server.child.poll() is None, self.log
        published = dict(self._n_published)
        await until(
            lambda: all(len(self.good[name].heard) >= n for name, n in published.items()),
            lambda: {name: (n, len(self.good[name].heard)) for name, n in published.items()},
        )
        for name, n in published.items():
            assert (name, self.good[name].heard[:n]) == (name, list(range(1, n + 1)))
            assert (name, self.good[name].strange) == (name, [])
        await until(
            lambda: self.count("connections") == len(self.kinds), lambda: f"{self.count('connections')} connections"
        )
        await until(
            lambda: self.descriptors() <= self.n_descriptors,
            lambda: f"{self.descriptors()} descriptors, {self.n_descriptors} before",
        )
        assert self.log == "", self.log

    def descriptors(self) -> int:
        """Open files of the server: a socket that is not closed is one."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Resident memory of the server, bytes."""
        return usage_of(self.pid).memory_bytes

    async def socket(self, port: int, data: bytes = b"", reads: bool = True) -> Socket:
        """A connection, over which something was sent; it is given back when the attack is over."""
        one = Socket(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))
        self.sockets.append(one)
        if not reads:
            one.reads(False)
        one.send(data)
        return one

    async def ask(self, port: int, data: bytes) -> bytes:
        """All that comes back until the server hangs up, or nothing more."""
        one = await self.socket(port, data)
        return await one.rest()

    async def answers(self, asked: dict[object, tuple[int, bytes]]) -> dict[object, bytes]:
        """What comes back to each of these, asked at the same time."""
        found = await asyncio.gather(*(self.ask(port, data) for port, data in asked.values()))
        return dict(zip(asked, found, strict=True))

    async def websocket(self, client: int, more: str = "", query: str = "") -> Socket:
        """A WebSocket of a client, which was let in."""
        one = await self.socket(self.ws_port, upgrade(self.token(client), more, query=query))
        head = await one.head()
        assert status_of(head) == 101, head
        return one

    async def session(self, cohort: str, n: int = 0) -> str:
        """Begin a session of polls; the path at which to go on."""
        path = f"/poll?token={self.token(self.client(cohort, n))}"
        answer = await self.ask(self.http_port, request("GET", path))
        return f"{path}&session={json.loads(answer.partition(HEAD_END)[2])[0]['session']}"

    async def stream(self, cohort: str, n: int = 0) -> Socket:
        """An event stream that was welcomed."""
        path = f"/events?token={self.token(self.client(cohort, n))}"
        one = await self.socket(self.http_port, request("GET", path))
        await one.until(b"welcome")
        return one

    async def end_session(self, cohort: str, n: int = 0) -> None:
        """The client of a session comes by another way, and goes: sessions expire only after a while."""
        one = await self.websocket(self.client(cohort, n))
        await one.said()
        one.hang_up()


class Siege:
    """A site, and the loop in which it lives as long as the tests of a module go on."""

    def __init__(self, runner: asyncio.Runner, there: Site) -> None:
        self._runner, self.site = runner, there

    def under(self, attack: Callable[[Site], Coroutine]) -> None:
        """See `Site.under`."""
        self._runner.run(self.site.under(attack(self.site)))


def besieged(runner: asyncio.Runner, case: Scenario) -> Iterator[Siege]:
    """A fixture's work; the sites of a module share its loop, so that no client of theirs stands still for long."""
    context = site(case)
    yield Siege(runner, runner.run(context.__aenter__()))
    runner.run(context.__aexit__(None, None, None))


async def as_before(there: Site) -> None:
    """After all attacks the server is as it was before."""
    assert there.memory() - there.memory_bytes < GROWTH_BYTES, there.memory() - there.memory_bytes
    assert max(one.worst_s for one in there.good.values()) < WAIT_S / 3
    assert (there.log, there.count("unwritten")) == ("", 0), there.log


async def until(condition, found) -> None:
    """Wait until something holds; what is found instead is told otherwise."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, found() if callable(found) else found
        await asyncio.sleep(0.01)


@asynccontextmanager
async def site(case: Scenario) -> AsyncIterator[Site]:
    """A server with its broker, and clients that behave well."""
    async with AsyncExitStack() as stack:
        children = stack.enter_context(Children())
        slots = stack.enter_context(reserved_slots(1))
        fleet = Impatient(draw_workload(case), children, slots, Options())
        await fleet.prepare(1)
        broker = await start_broker("auto", case.broker, children, fleet.namespace)
        stack.push_async_callback(broker.close)
        fleet.broker_url = broker.url
        server = await fleet.start()
        stack.push_async_callback(server.channel.close)
        for shared in (server.page, server.sends, server.fanouts):
            stack.callback(shared.close)
        there = Site(children, fleet, broker)
        stack.push_async_callback(there.end)
        await there.begin()
        yield there
