"""Servers of the stack `socketio` are python-socketio behind the same scenario, and clients speak Socket.IO to them.

Two servers are started once for all tests that need no whole run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from types import SimpleNamespace

import aiohttp
import pytest
import socketio

import live
from live.balancers.embedded import start_balancer
from live.balancers.slots import reserved_slots
from live.brokers.embedded import start_broker
from live.clients.reception import Caller, Reception, TurnedAway
from live.clients.socketio_client import connect, hello
from live.fleet import ORIGIN, Fleet
from live.options import Options
from live.processes import Children
from live.supported import check_supported
from live.tokens import write_token
from realtime_sim.engines.services import draw
from realtime_sim.errors import UnsupportedFeature
from realtime_sim.scenario import Scenario
from realtime_sim.trace import OUTCOMES
from realtime_sim.wire import Failure, Publish, encode
from tests.conftest import small

LIMIT_S = 20.0
"""Bound on every test; all of them end far earlier."""

MOST = 6
"""Connections that one server admits."""

ANOTHER_ROOM = 9_999


def chat(**changes: object) -> Scenario:
    """Twelve clients in rooms of six, two servers."""
    return small(
        **{
            "clients": [{"name": "c", "count": 12, "keepalive": {"interval": 5, "timeout": 5}}],
            "servers": {"count": 2, "stack": "socketio", "max_connections": MOST},
            "broker": {"kind": "redis_pubsub"},
            "rooms": [{"name": "group", "count": 2, "members": 6}],
            "traffic": [{"name": "talk", "to": "group", "rate": 1, "from": "clients"}],
        }
        | changes
    )


class Ear(Reception):
    """A reception that keeps what it is told."""

    def __init__(self, client: int) -> None:
        self.ids: list[int] = []
        self.answers: list[object] = []
        super().__init__(
            client, 0, lambda *row: self.ids.append(row[0]), False, lambda _, frame: self.answers.append(frame)
        )


@pytest.fixture(scope="module")
def cluster():
    """Two servers and their broker, in one loop that all tests share."""
    scenario = chat()
    workload, _ = draw(scenario)

    async def start(children, slots):
        fleet = Fleet(workload, children, slots, Options())
        await fleet.prepare(2)
        fleet.broker_url = (await start_broker("auto", scenario.broker, children, fleet.namespace)).url
        await fleet.start()
        await fleet.start()
        return fleet

    with asyncio.Runner() as runner, Children() as children, reserved_slots(2) as slots:
        fleet = runner.run(start(children, slots))

        def run(scene) -> None:
            async def bounded() -> None:
                async with asyncio.timeout(LIMIT_S):
                    await scene
                    await until(lambda: n_connected(fleet) == [0, 0])

            runner.run(bounded())

        yield SimpleNamespace(fleet=fleet, rooms=workload.rooms, children=children, slots=slots, run=run)
        runner.run(fleet.close())


def n_connected(fleet: Fleet) -> list[int]:
    return [one.page.get("connections") for one in fleet.instances]


async def until(holds) -> None:
    """Wait until something holds; the test's own limit bounds it."""
    while not holds():
        await asyncio.sleep(0.01)


def token(fleet: Fleet, client: int, secret: bytes = b"") -> str:
    return write_token(secret or fleet.secret, client, int(time.time()) + 60)


async def enter(cluster, client: int, server: int = 0, polls: bool = False, url: str = "", caller=None):
    """A light client, connected."""
    url = url or cluster.fleet.places()[server].http_url
    auth = {"token": token(cluster.fleet, client)}
    caller = caller or Caller(ORIGIN, f"127.0.2.{1 + client}")
    return await connect(f"{url}/socket.io/", auth, caller, Ear(client), polls=polls)


def members(cluster) -> tuple[int, list[int]]:
    """A room of the group, and who is in it."""
    room = int(cluster.rooms.first[cluster.rooms.names.index("group")])
    return room, cluster.rooms.members_of(room).tolist()


# What it does for its clients.


@pytest.mark.live
def test_a_message_reaches_the_room_across_servers_and_nobody_else(cluster):
    """The first polls at the beginning, the others do not; one is in another room."""

    async def scene() -> None:
        room, (first, second, third, *_) = members(cluster)
        (stranger, *_) = set(range(12)) - set(members(cluster)[1])
        joined = [
            await enter(cluster, first, 0, polls=True), await enter(cluster, second, 1),
            await enter(cluster, third, 1, polls=True), await enter(cluster, stranger, 1),
        ]  # fmt: skip
        assert [one.reception.server for one in joined] == [0, 1, 1, 1]
        assert n_connected(cluster.fleet) == [1, 3]
        joined[0].send(encode(Publish(7, room, 1, "hello"), 200))
        await until(lambda: all(one.reception.ids == [7] for one in joined[:3]))
        joined[3].send(encode(Publish(8, room, 2, "from outside")))
        await until(lambda: joined[3].reception.answers)
        assert joined[3].reception.answers == [Failure("not_a_member", f"room {room}")]
        assert [one.reception.ids for one in joined] == [[7], [7], [7], []]
        for one in joined:
            one.close()

    cluster.run(scene())


@pytest.mark.live
def test_the_client_of_python_socketio_itself_is_served_and_heard(cluster):
    async def scene() -> None:
        room, (first, second, *_) = members(cluster)
        light = await enter(cluster, second, 1)
        heard: list[dict] = []
        theirs = socketio.AsyncClient(reconnection=False)
        theirs.on("message", heard.append)
        await theirs.connect(cluster.fleet.places()[0].http_url, auth={"token": token(cluster.fleet, first)})
        assert theirs.transport() == "websocket"
        await until(lambda: heard)
        assert heard == [{"type": "welcome", "server": 0, "session": "", "pos": ""}]
        await theirs.emit("message", json.loads(encode(Publish(3, room, 1, "theirs"))))
        light.send(encode(Publish(4, room, 2, "ours")))
        await until(lambda: sorted(light.reception.ids) == [3, 4] and len(heard) == 3)
        assert sorted((one["id"], one["data"]) for one in heard[1:]) == [(3, "theirs"), (4, "ours")]
        await theirs.disconnect()
        light.close()

    cluster.run(scene())


@pytest.mark.live
@pytest.mark.parametrize("polls", [False, True])
def test_forged_tokens_and_other_origins_are_turned_away(cluster, polls):
    async def outcome(auth: dict, origin: str) -> str:
        caller = Caller(origin, "127.0.3.1")
        with pytest.raises(TurnedAway) as away:
            await connect(f"{cluster.fleet.places()[0].http_url}/socket.io/", auth, caller, Ear(0), polls=polls)
        return away.value.outcome

    async def scene() -> None:
        page = cluster.fleet.instances[0].page
        good, before = {"token": token(cluster.fleet, 0)}, (page.get("handshakes"), page.get("failed"))
        forged = {"token": token(cluster.fleet, 0, b"another")}
        assert await outcome(good, "http://elsewhere.test") == "refused"
        assert [await outcome(auth, ORIGIN) for auth in (forged, {}, {"token": 7})] == ["refused"] * 3
        await until(lambda: (page.get("handshakes"), page.get("failed")) == (before[0], before[1] + 4))
        assert cluster.fleet.instances[0].page.get("connections") == 0
        async with aiohttp.ClientSession() as session:  # and without any client of ours: neither cookie nor token
            url = f"{cluster.fleet.places()[0].http_url}/socket.io/?EIO=4&transport=polling"
            async with session.get(url, headers={"Origin": "http://elsewhere.test"}) as answer:
                assert answer.status == 400

    cluster.run(scene())


@pytest.mark.live
def test_a_full_server_answers_that_there_is_no_room(cluster):
    async def scene() -> None:
        joined = [await enter(cluster, client) for client in range(MOST)]
        for polls in (False, True):
            with pytest.raises(TurnedAway, match="refused"):
                await enter(cluster, MOST, polls=polls)
        joined[0].close()
        await until(lambda: n_connected(cluster.fleet)[0] == MOST - 1)
        joined[0] = await enter(cluster, MOST)
        for one in joined:
            one.close()

    cluster.run(scene())


@pytest.mark.live
def test_a_wrong_frame_costs_its_connection_and_no_other(cluster):
    async def scene() -> None:
        good, bad, worse = [await enter(cluster, client) for client in range(3)]
        bad.send(b'{"type":"nonsense"}')
        worse.send(b'{"type":"join","room":0},{"type":"join","room":0}')
        assert await bad.reception.closed == await worse.reception.closed == 1008
        assert [frame.code for frame in bad.reception.answers] == ["unknown_type"]
        again = await enter(cluster, 0)  # an older connection of the same client gives way
        assert await good.reception.closed == 1008
        again.close()

    cluster.run(scene())


GARBAGE = [
    "",
    "9",
    "4",
    "4{",
    "42[",
    '42["message"',
    '42["other",{}]',
    "451-[",
    '40/admin,{"token":1}',
    "44",
    "3",
    "x" * 9_000,
]
"""What is no Socket.IO, or not what this server takes."""


@pytest.mark.live
def test_garbage_keeps_nobody_from_being_served(cluster):
    """Bytes to the port, and packets from somebody who was let in and from somebody who was not."""

    async def scene() -> None:
        room, (first, second, *_) = members(cluster)
        speaker, hearer = await enter(cluster, first), await enter(cluster, second)
        url, port = cluster.fleet.places()[0].http_url, cluster.fleet.instances[0].http_port
        for n in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(hashlib.sha512(b"%d" % n).digest() * (n + 1))
            writer.close()
        async with aiohttp.ClientSession() as session:
            for auth in (None, hello({"token": token(cluster.fleet, members(cluster)[1][2])}).decode()):
                for words in GARBAGE:
                    async with session.ws_connect(f"{url}/socket.io/?EIO=4&transport=websocket") as socket:
                        for packet in [auth, words, words] if auth else [words, words]:
                            await socket.send_str(packet)
        speaker.send(encode(Publish(5, room, 1, "still here")))
        await until(lambda: hearer.reception.ids == speaker.reception.ids == [5])
        speaker.close()
        hearer.close()

    cluster.run(scene())


@pytest.mark.live
def test_a_server_sends_clients_away_and_lets_nobody_in_while_it_drains(cluster):
    async def scene() -> None:
        channel = cluster.fleet.instances[0].channel
        joined = [await enter(cluster, 0), await enter(cluster, 1, polls=True), await enter(cluster, 2)]
        channel.send({"do": "drain", "draining": True})
        channel.send({"do": "close", "n": 2})
        assert [await one.reception.closed for one in joined[:2]] == [1001, 1001]
        assert not joined[2].reception.closed.done()
        with pytest.raises(TurnedAway, match="refused"):
            await enter(cluster, 0)
        joined[2].close()
        channel.send({"do": "drain", "draining": False})
        while True:  # until it has heard
            try:
                (await enter(cluster, 0)).close()
                return
            except TurnedAway:
                await asyncio.sleep(0.01)

    cluster.run(scene())


@pytest.mark.live
def test_polls_need_a_balancer_that_keeps_a_client_at_its_server(cluster):
    """Round robin of nginx: each request of a handshake meets the other server, which knows no such session."""

    async def outcomes(affinity: str) -> list[str]:
        scenario = chat(balancer={"policy": "round_robin", "affinity": affinity})
        balancer = await start_balancer("nginx", scenario, cluster.slots, cluster.children)
        found = []
        for client in range(4):
            try:
                one = await enter(cluster, client, polls=True, url=balancer.url, caller=Caller(ORIGIN, ""))
                found.append(f"server {one.reception.server}")
                one.close()
            except TurnedAway as away:
                found.append(away.outcome)
        await balancer.stop()
        return found

    async def scene() -> None:
        assert await outcomes("none") == ["session_unknown"] * 4
        assert sorted(await outcomes("cookie")) == ["server 0", "server 0", "server 1", "server 1"]

    cluster.run(scene())


# A whole run.


@pytest.mark.live
def test_a_run_delivers_everything_and_clients_come_back_from_a_dead_server():
    """All traffic is over when the server is killed, so that everything arrives exactly once."""
    back = {"policy": "full_jitter", "base": 0.2, "cap": 0.5}
    pings = {"interval": 5, "timeout": 5}
    direct = {"name": "direct", "count": 20, "keepalive": pings, "reconnect": back}
    traffic = [
        {"name": "news", "rate": 4, "payload": 1_000},
        {"name": "talk", "to": "group", "rate": 20, "from": "polling", "echo": False},
    ]
    scenario = chat(
        duration=4, drain=4,
        clients=[direct, direct | {"name": "polling", "polling_handshake": True}],
        rooms=[{"name": "group", "count": 5, "members": 8}],
        servers={"count": 2, "stack": "socketio", "profile": "zero"}, balancer={"affinity": "cookie"},
        traffic=[stream | {"stop": 1.5} for stream in traffic],
        faults=[{"at": 2, "kind": "kill_server", "server": 0}],
    )  # fmt: skip
    results = live.run(scenario, record="full")
    totals = results.deliveries.loc["total"]
    assert totals["delivered"] == totals["expected"] > 40 * 4
    assert (totals["lost"], totals["duplicate"]) == (0, 0)
    (killed,) = results.recovery.to_dict("records")
    assert (killed["affected"], killed["recovered"]) == (20, 20)
    assert results.connections["reconnects"] == 20
    assert results.conditions["unknown"][0].startswith("hops")
    assert results.servers["sends"].sum() == totals["delivered"]
    assert set(results.trace.rows["server"].tolist()) == {0, 1}


@pytest.mark.live
def test_deliveries_come_back_after_a_stop_of_the_broker():
    """A server hears again a second after it has noticed, and then after two: that is the library's schedule."""
    scenario = chat(
        duration=8, drain=2, servers={"count": 2, "stack": "socketio", "profile": "zero"},
        traffic=[{"name": "news", "rate": 20}], faults=[{"at": 1.5, "kind": "stop_broker", "lasts": 1}],
    )  # fmt: skip
    results = live.run(scenario, record="full")
    totals = results.deliveries.loc["total"]
    assert totals["expected"] == totals["delivered"] + totals["lost"]
    assert 0.1 * totals["expected"] < totals["lost"] < 0.8 * totals["expected"]
    assert totals["duplicate"] == 0
    rows = results.trace.rows
    assert rows["published_ns"][rows["outcome"] == OUTCOMES.index("delivered")].max() > 7 * 10**9


# What cannot be.


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"broker": {"kind": "redis_streams"}}, "broker.kind: redis_streams"),
        ({"broker": {"kind": "none"}}, "broker.kind: none"),
        ({"broker.subscription": "per_room"}, "broker.subscription: per_room"),
        ({"clients.c.transport": "sse"}, "clients.c.transport: sse"),
        ({"clients.c.keepalive": None}, "clients.c.keepalive: null"),
        ({"faults": [{"at": 1, "kind": "slow_server", "server": 0, "factor": 2}]}, r"faults\[0\].kind: slow_server"),
        ({"faults": [{"at": 1, "kind": "partition", "server": 0}]}, r"faults\[0\].kind: partition"),
    ],
)
def test_what_the_library_cannot_do_is_named(change, field):
    with pytest.raises(UnsupportedFeature, match=f"{field} with servers.stack: socketio is not supported"):
        check_supported(chat().replace(**change), Options())


def test_polls_first_are_for_this_stack_alone():
    polling = {"clients.c.polling_handshake": True}
    check_supported(chat(balancer={"affinity": "cookie"}).replace(**polling), Options())
    with pytest.raises(UnsupportedFeature, match="clients.c.polling_handshake.*servers.stack to socketio"):
        check_supported(chat(servers={"count": 2}).replace(**polling), Options())


def test_hello_without_anything_to_say_is_the_bare_packet():
    assert hello({}) == b"40"
