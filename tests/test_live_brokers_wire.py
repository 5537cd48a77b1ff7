"""What stands at the broker is what its other clients understand; positions keep their form; examples run."""

from __future__ import annotations

import asyncio
import doctest
from importlib import import_module
from pathlib import Path

import nats
import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

import live.brokers
from live.brokers.embedded import start_broker
from live.brokers.offsets import MOST_PARTITIONS, Offsets, offsets_from
from live.processes import Children
from realtime_sim.errors import LiveError
from tests.brokers import body, eventually, part, publish, servers, until_heard

MODULES = sorted(path.stem for path in Path(live.brokers.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    tested = doctest.testmod(import_module(f"live.brokers.{module}"))
    assert tested.failed == 0


# --- other clients of the broker ------------------------------------------------------------------------------------


@pytest.mark.live
def test_another_client_of_redis_hears_a_link_and_is_heard():
    async def run(children):
        running = await start_broker("auto", part("redis_pubsub"), children)
        other = redis.asyncio.from_url(running.url)
        async with servers(running.url, part("redis_pubsub"), 1) as ((server,), publisher), other.pubsub() as ear:
            await ear.subscribe("realtime-sim:5")
            await ear.get_message(timeout=10)
            await publisher.publish(5, body(1))
            assert (await ear.get_message(timeout=10))["data"] == body(1)
            assert await other.publish("realtime-sim:5", body(2)) == 2
            await until_heard(server, [1, 2])
        await other.aclose()

    with Children() as children:
        asyncio.run(run(children))


@pytest.mark.live
def test_a_stream_has_a_group_for_each_server_and_nothing_pending():
    async def run(children):
        running = await start_broker("auto", part("redis_streams"), children)
        other = redis.asyncio.from_url(running.url)
        async with servers(running.url, part("redis_streams"), 2) as ((first, second), publisher):
            await publish(publisher, range(10))
            await until_heard(first, list(range(10)))
            await until_heard(second, list(range(10)))
            stream = "realtime-sim:log"
            assert [fields for _, fields in await other.xrange(stream)][3] == {b"r": b"5", b"m": body(3)}
            groups = await other.xinfo_groups(stream)
            assert {group["name"].decode() for group in groups} == {first.link.member, second.link.member}
            assert [(group["pending"], group["lag"]) for group in groups] == [(0, 0), (0, 0)]
        assert await other.xinfo_groups(stream) == []
        await other.aclose()

    with Children() as children:
        asyncio.run(run(children))


@pytest.mark.live
def test_what_was_handed_out_over_a_connection_that_broke_is_claimed_once():
    """Another consumer of the group takes entries, as a reply does that never arrives."""

    async def run(children):
        running = await start_broker("auto", part("redis_streams"), children)
        other = redis.asyncio.from_url(running.url)
        async with servers(running.url, part("redis_streams"), 1) as ((server,), publisher):
            await publish(publisher, range(3))
            await until_heard(server, [0, 1, 2])
            server.link.cut(silent=False)
            await publish(publisher, range(3, 10))
            group, stream = server.link.member, "realtime-sim:log"
            await other.xgroup_setid(stream, group, server.heard[0].position)  # 1 and 2 count as not acknowledged
            taken = await other.xreadgroup(group, group, {stream: ">"}, count=6)
            assert len(taken[stream.encode()][0] if isinstance(taken, dict) else taken[0][1]) == 6
            server.link.heal()
            await until_heard(server, list(range(10)))
            await eventually_none_pending(other, stream, group)
        await other.aclose()

    with Children() as children:
        asyncio.run(run(children))


async def eventually_none_pending(client, stream: str, group: str) -> None:
    for _ in range(1000):
        pending = (await client.xpending(stream, group))["pending"]
        if not pending:
            return
        await asyncio.sleep(0.01)
    assert pending == 0


@pytest.mark.live
def test_a_stream_that_was_deleted_is_read_from_its_new_beginning():
    async def run(children):
        running = await start_broker("auto", part("redis_streams"), children)
        other = redis.asyncio.from_url(running.url)
        async with servers(running.url, part("redis_streams"), 1) as ((server,), publisher):
            await publish(publisher, range(3))
            await until_heard(server, [0, 1, 2])
            await other.delete("realtime-sim:log")
            await eventually(lambda: not server.link.connected)
            await publish(publisher, [3])
            await until_heard(server, [0, 1, 2, 3])
        await other.aclose()

    with Children() as children:
        asyncio.run(run(children))


@pytest.mark.live
def test_another_client_of_nats_hears_a_link_and_is_heard():
    async def run(children):
        running = await start_broker("auto", part("nats"), children)
        other = await nats.connect(running.url.partition("?")[0])
        ear = await other.subscribe("realtime-sim.5")
        await other.flush()
        async with servers(running.url, part("nats", subscription="all_servers"), 1) as ((server,), publisher):
            await publisher.publish(5, body(1))
            assert (await ear.next_msg(timeout=10)).data == body(1)
            await other.publish("realtime-sim.5", body(2), headers={"kind": "one with a header"})
            await until_heard(server, [1, 2])
        await other.close()

    with Children() as children:
        asyncio.run(run(children))


@pytest.mark.live
def test_jetstream_knows_what_a_link_has_acknowledged():
    async def run(children):
        running = await start_broker("auto", part("nats_jetstream"), children)
        other = await nats.connect(running.url.partition("?")[0])
        stream = other.jetstream()
        async with servers(running.url, part("nats_jetstream", pull_batch=4), 1) as ((server,), publisher):
            await publish(publisher, range(30))
            await until_heard(server, list(range(30)))
            assert (await stream.get_msg("realtime-sim-log", 4)).data == body(3)
            for _ in range(1000):
                consumer = await stream.consumer_info("realtime-sim-log", server.link.member)
                if consumer.ack_floor.stream_seq == 30:
                    break
                await asyncio.sleep(0.01)
            assert (consumer.ack_floor.stream_seq, consumer.num_ack_pending, consumer.num_pending) == (30, 0, 0)
            await stream.delete_consumer("realtime-sim-log", server.link.member)
            await publish(publisher, [30])
            await until_heard(server, list(range(31)))
        await other.close()

    with Children() as children:
        asyncio.run(run(children))


# --- positions ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 64**4 - 1), min_size=1, max_size=MOST_PARTITIONS))
def test_offsets_come_back_from_their_text(offsets):
    assert offsets_from(Offsets(offsets).text, len(offsets)) == offsets


def test_offsets_that_are_too_large_for_a_position_are_one_error():
    with pytest.raises(LiveError, match="do not fit into a position of 64 characters; take fewer partitions"):
        _ = Offsets([64**5] * MOST_PARTITIONS).text
