"""Every kind of broker passes one battery: who hears what, and what a loss of the broker or of the network costs.

Channels lose what is published while a server is away, logs lose nothing. Each broker is started once and for all of
its tests; links have names of their own and begin at the end of a log.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from types import SimpleNamespace

import pytest

from live.brokers.base import BrokerDown
from live.brokers.embedded import start_broker
from live.processes import Children
from tests.brokers import Server, body, eventually, part, publish, servers, until_heard

pytestmark = pytest.mark.live

CHANNELS = [("redis_pubsub", "auto"), ("redis_pubsub", "redis-server"), ("nats", "auto")]
LOGS = [("redis_streams", "auto"), ("kafka", "auto"), ("nats_jetstream", "auto")]


def of(brokers: list[tuple[str, str]]):
    """A test of these brokers, each by its kind and the name that `start_broker` knows."""
    return pytest.mark.parametrize("broker", brokers, ids=lambda pair: "-".join(pair), indirect=True)


of_all, of_channels, of_logs = of(CHANNELS + LOGS), of(CHANNELS), of(LOGS)


@pytest.fixture(scope="module")
def broker(request):
    kind, name = request.param
    if name == "redis-server" and shutil.which(name) is None:
        pytest.skip("there is no redis-server on PATH")
    with Children() as children:
        running = asyncio.run(start_broker(name, part(kind), children))
        everyone = part(kind) if request.param in LOGS else part(kind, subscription="all_servers")
        yield SimpleNamespace(
            kind=kind, running=running, url=running.url, is_log=request.param in LOGS, everyone=everyone
        )


@of_all
def test_every_server_hears_everything_in_order(broker):
    async def run():
        async with servers(broker.url, broker.everyone, 3) as (three, publisher):
            assert await publish(publisher, range(20)) == list(range(20))
            await three[1].link.publish(5, body(20))
            for server in three:
                await until_heard(server, list(range(21)))
            assert {message.room for message in three[0].heard} == {5}
            assert three[2].heard[7].body == body(7)
            positions = [message.position for message in three[0].heard]
            assert positions == [message.position for message in three[2].heard]
            assert (len(set(positions)) == 21) if broker.is_log else set(positions) == {""}
            assert three[0].link.position == positions[-1]

    asyncio.run(run())


@of_all
def test_servers_hear_their_rooms(broker):
    """With a subscription per room only those, and no more after they have left; a log is read by all."""

    async def run():
        changes = {} if broker.is_log else {"subscription": "per_room"}
        async with servers(broker.url, part(broker.kind, **changes), 2) as ((first, second), publisher):
            await first.link.subscribe([1, 2])
            await second.link.subscribe([2])
            rooms = [1, 2, 3]
            for number, room in enumerate(rooms):
                await publisher.publish(room, body(number, room))
            await first.link.unsubscribe([1])
            for number, room in enumerate(rooms, 3):
                await publisher.publish(room, body(number, room))
            await first.link.subscribe([3])
            await second.link.subscribe([3])
            await publisher.publish(3, body(6, 3))
            if broker.is_log:  # in the order of each room
                for server in (first, second):
                    await eventually(lambda server=server: len(server.heard) == 7)
                    by_room = {room: [m.body for m in server.heard if m.room == room] for room in rooms}
                    assert by_room == {1: bodies(1, 0, 3), 2: bodies(2, 1, 4), 3: bodies(3, 2, 5, 6)}
            else:
                await until_heard(first, [0, 1, 4, 6])
                await until_heard(second, [1, 4, 6])

    asyncio.run(run())


def bodies(room: int, *numbers: int) -> list[bytes]:
    return [body(number, room) for number in numbers]


@of_all
def test_the_broker_counts_its_subscribers(broker):
    """Kafka does not; JetStream counts requests that wait, so a moment later."""

    async def run():
        per_room = {} if broker.is_log else {"subscription": "per_room"}
        async with servers(broker.url, part(broker.kind, **per_room), 3) as (three, publisher):
            if broker.kind == "kafka":
                assert await publisher.n_subscribers() is None
                return
            await three[0].link.subscribe([1, 2, 3])
            await three[1].link.subscribe([2])
            await until_counted(publisher, 3 if broker.is_log else 4)
            await three[0].link.unsubscribe([1])
            await three[1].link.close()
            await until_counted(publisher, 2)

    asyncio.run(run())


async def until_counted(link, n: int) -> None:
    found = None
    for _ in range(1000):
        found = await link.n_subscribers()
        if found == n:
            return
        await asyncio.sleep(0.01)
    assert found == n


@of_channels
def test_all_servers_are_one_subscription_each(broker):
    async def run():
        async with servers(broker.url, part(broker.kind, subscription="all_servers"), 2) as (_, publisher):
            await until_counted(publisher, 2)

    asyncio.run(run())


@of_all
def test_a_new_server_hears_what_comes_from_then_on(broker):
    async def run():
        async with servers(broker.url, broker.everyone, 1) as ((old,), publisher):
            await publish(publisher, [1, 2])
            await until_heard(old, [1, 2])
            await old.link.close()
            await publish(publisher, [3])
            new = await Server(broker.url, broker.everyone).start()
            try:
                await publish(publisher, [4, 5])
                await until_heard(new, [4, 5])
                assert old.numbers == [1, 2]
            finally:
                await new.link.close()

    asyncio.run(run())


@of_all
def test_a_server_in_another_process_hears_the_same(broker):
    """It is told of the scenario's broker in plain fields."""
    script = """
import asyncio, json, sys
from types import SimpleNamespace
from live.brokers.links import open_link

async def run():
    heard, over = [], asyncio.get_running_loop().create_future()
    def receive(message):
        heard.append(json.loads(message.body)["id"])
        if len(heard) == 5:
            over.set_result(None)
    link = open_link(sys.argv[1], SimpleNamespace(**json.loads(sys.argv[2])), "elsewhere")
    await link.start(receive)
    print("ready", flush=True)
    await asyncio.wait_for(over, 20)
    print(heard, flush=True)
    await link.close()

asyncio.run(run())
"""

    async def run(children):
        fields = {name: getattr(broker.everyone, name) for name in type(broker.everyone).model_fields}
        plain = json.dumps({name: value for name, value in fields.items() if isinstance(value, (str, int, float))})
        command = [sys.executable, "-c", script, broker.url, plain]
        child = children.spawn(command, name="elsewhere")
        async with servers(broker.url, broker.everyone, 1) as ((here,), publisher):
            await eventually(lambda: "ready" in children.log_of("elsewhere"), lambda: children.log_of("elsewhere"))
            await publish(publisher, range(5))
            await until_heard(here, list(range(5)))
            await eventually(lambda: child.poll() is not None)
        assert children.log_of("elsewhere") == "ready | [0, 1, 2, 3, 4]"

    with Children() as children:
        asyncio.run(run(children))


@of_all
def test_a_server_that_was_cut_off_has_missed_that_from_channels_and_nothing_from_logs(broker):
    async def run():
        async with servers(broker.url, broker.everyone, 2) as ((there, away), publisher):
            await publish(publisher, range(5))
            await until_heard(away, list(range(5)))
            away.link.cut(silent=False)
            assert not away.link.connected
            with pytest.raises(BrokerDown):
                await away.link.publish(5, body(99))
            await publish(publisher, range(5, 10))
            await until_heard(there, list(range(10)))
            assert away.numbers == list(range(5))
            away.link.heal()
            await eventually(lambda: away.link.connected)
            await publish(publisher, range(10, 13))
            await until_heard(there, list(range(13)))
            expected = list(range(13)) if broker.is_log else [*range(5), *range(10, 13)]
            await until_heard(away, expected)

    asyncio.run(run())


@of_all
def test_what_a_silent_network_held_up_arrives_in_order_when_it_flows_again(broker):
    async def run():
        async with servers(broker.url, broker.everyone, 2) as ((there, away), publisher):
            await publish(publisher, range(5))
            await until_heard(away, list(range(5)))
            away.link.cut(silent=True)
            assert not away.link.connected
            with pytest.raises(BrokerDown):
                await away.link.publish(5, body(99))
            await publish(publisher, range(5, 60))
            await until_heard(there, list(range(60)))
            assert away.numbers == list(range(5))
            away.link.heal()
            assert away.link.connected
            await publish(away.link, [60])
            await until_heard(away, list(range(61)))
            await until_heard(there, list(range(61)))

    asyncio.run(run())


@of_channels
def test_rooms_joined_and_left_behind_a_silent_network_are_made_good_for(broker):
    async def run():
        async with servers(broker.url, part(broker.kind, subscription="per_room"), 1) as ((server,), publisher):
            await server.link.subscribe([1, 2])
            for silent in (True, False):
                server.link.cut(silent)
                await server.link.subscribe([3])
                await server.link.unsubscribe([2])
                server.link.heal()
                await eventually(lambda: server.link.connected)
                await until_counted(publisher, 2)
                server.heard.clear()
                for room in (1, 2, 3):
                    await publisher.publish(room, body(room, room))
                await until_heard(server, [1, 3])
                await server.link.unsubscribe([3])
                await server.link.subscribe([2])

    asyncio.run(run())


@of_all
def test_links_come_back_after_a_crash_of_the_broker(broker):
    """Killed by SIGKILL, down for half a second, same port: what is published then is refused, or kept by publishers
    that try again; what is published later is heard by all. A log has kept what it had."""

    async def run():
        loses, retries = broker.everyone, broker.everyone.model_copy(update={"when_down": "retry"})
        async with (
            servers(broker.url, loses, 3) as (three, publisher),
            servers(broker.url, retries, 0) as (_, stubborn),
        ):
            begin = three[0].link.position
            links = [*(server.link for server in three), publisher, stubborn]
            await publish(publisher, range(5))
            for server in three:
                await until_heard(server, list(range(5)))
            await broker.running.stop()
            await eventually(lambda: not any(link.connected for link in links))
            assert await publish(publisher, [5, 6]) == []
            with pytest.raises(BrokerDown):
                await publisher.n_subscribers()
            kept = [asyncio.create_task(stubborn.publish(5, body(number))) for number in (7, 8, 9)]
            await asyncio.sleep(0.5)  # the time it is down
            assert not any(task.done() for task in kept)
            await broker.running.start()
            await eventually(lambda: all(link.connected for link in links))
            await asyncio.gather(*kept)
            assert await publish(publisher, [10, 11]) == [10, 11]
            await eventually(lambda: all(server.numbers[-1:] == [11] for server in three))
            for server in three:
                if broker.is_log:
                    assert server.numbers == [*range(5), *range(7, 12)]
                else:  # the publisher was back first
                    assert [n for n in server.numbers if n not in (7, 8, 9)] == [*range(5), 10, 11]
            if broker.is_log:
                log = await publisher.read_between(begin, "")
                assert [message.body for message in log] == [body(n) for n in (*range(5), *range(7, 12))]

    asyncio.run(run())


@of_all
def test_a_link_that_is_patient_waits_for_a_broker_that_is_down(broker):
    async def run():
        await broker.running.stop()
        server = Server(broker.url, broker.everyone)
        await server.link.start(server.heard.append, patient=True)
        try:
            assert not server.link.connected
            await broker.running.start()
            await eventually(lambda: server.link.connected)
            async with servers(broker.url, broker.everyone, 0) as (_, publisher):
                await publish(publisher, [1])
            await until_heard(server, [1])
        finally:
            await server.link.close()

    asyncio.run(run())


@of_all
def test_messages_that_wait_for_the_broker_keep_their_order_and_give_up_in_time(broker):
    async def run():
        retries = broker.everyone.model_copy(update={"when_down": "retry", "delivery_timeout": 60.0})
        async with servers(broker.url, retries, 1) as ((server,), publisher):
            publisher.cut(silent=False)
            waiting = [asyncio.create_task(publisher.publish(5, body(number))) for number in range(50)]
            await asyncio.sleep(0)  # now they wait
            publisher.heal()
            late = [asyncio.create_task(publisher.publish(5, body(number))) for number in range(50, 60)]
            await asyncio.gather(*waiting, *late)
            await until_heard(server, list(range(60)))
        soon_over = retries.model_copy(update={"delivery_timeout": 0.05})
        async with servers(broker.url, soon_over, 0) as (_, publisher):
            publisher.cut(silent=True)
            with pytest.raises(BrokerDown, match="longer than delivery_timeout"):
                await publisher.publish(5, body(1))

    asyncio.run(run())


@of_all
def test_a_server_is_connected_again_reconnect_delay_after_it_can_be(broker):
    async def run():
        loop = asyncio.get_running_loop()
        async with servers(broker.url, part(broker.kind, reconnect_delay=0.3), 1) as ((server,), _):
            server.link.cut(silent=False)
            begun_s = loop.time()
            server.link.heal()
            await eventually(lambda: server.link.connected)
            assert loop.time() - begun_s >= 0.3

    asyncio.run(run())


@of_logs
def test_part_of_a_log_is_exactly_what_was_missed(broker):
    async def run():
        async with servers(broker.url, part(broker.kind), 1) as ((server,), publisher):
            begin = server.link.position
            for number in range(30):
                await publisher.publish(number % 3, body(number, number % 3))
            await eventually(lambda: len(server.heard) == 30)
            for first, last in ((0, 29), (4, 4), (7, 20)):
                after, until = server.heard[first].position, server.heard[last].position
                missed = await server.link.read_between(after, until)
                assert sorted(m.body for m in missed) == sorted(m.body for m in server.heard[first + 1 : last + 1])
                for room in range(3):
                    of_room = [m.body for m in server.heard[first + 1 : last + 1] if m.room == room]
                    assert [m.body for m in missed if m.room == room] == of_room
            everything = await publisher.read_between(begin, "")
            assert len(everything) == 30
            assert everything[-1].position == server.link.position
            for nonsense in ("x", "1-", "+5", "0.0", "9" * 80, "* MAXLEN 0", "1-1\r\nFLUSHALL"):
                with pytest.raises(ValueError, match="a position of"):
                    await server.link.read_between(nonsense, "")

    asyncio.run(run())


@of_logs
def test_a_long_log_is_read_in_parts(broker):
    async def run():
        async with servers(broker.url, part(broker.kind), 1) as ((server,), publisher):
            begin = server.link.position
            await asyncio.gather(*(publisher.publish(5, body(number)) for number in range(2500)))
            await eventually(lambda: len(server.heard) == 2500)
            assert server.numbers == list(range(2500))
            log = await server.link.read_between(begin, "")
            assert [message.body for message in log] == [body(number) for number in range(2500)]

    asyncio.run(run())


@of([("redis_streams", "auto"), ("nats_jetstream", "auto")])
def test_a_stream_keeps_its_newest_messages(broker):
    async def run(children):
        running = await start_broker("auto", part(broker.kind, max_length=10), children)
        async with servers(running.url, part(broker.kind, max_length=10), 1) as ((server,), publisher):
            begin = server.link.position
            await publish(publisher, range(25))
            await until_heard(server, list(range(25)))
            kept = await server.link.read_between(begin, "")
            assert [message.body for message in kept] == [body(number) for number in range(15, 25)]

    with Children() as children:
        asyncio.run(run(children))


@of_all
def test_large_messages_and_many_at_once_arrive_whole_and_in_order(broker):
    async def run():
        async with servers(broker.url, broker.everyone, 1) as ((server,), publisher):
            large = [body(number, 5, 200_000 + number) for number in range(20)]
            await asyncio.gather(*(publisher.publish(5, one) for one in large))
            await eventually(lambda: len(server.heard) == 20)
            assert [message.body for message in server.heard] == large

    asyncio.run(run())
