"""A broker is started and stopped for a run, or is there already; what is wrong is one error with a next step."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from live.brokers import embedded
from live.brokers.base import BrokerDown
from live.brokers.embedded import start_broker
from live.brokers.links import open_link
from live.processes import Children, free_ports, wait_for_port
from realtime_sim.errors import LiveError, ScenarioError
from tests.brokers import Server, body, eventually, part, publish, servers, until_heard

VALKEY, STREAMS, KAFKA, NATS, JETSTREAM = "redis_pubsub", "redis_streams", "kafka", "nats", "nats_jetstream"


@pytest.fixture
def children():
    with Children() as children:
        yield children


# --- brokers of our own ---------------------------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "scheme", "about"),
    [
        (VALKEY, "redis://127.0.0.1:", "Valkey 9."),
        (KAFKA, "kafka://127.0.0.1:", "Kafka (mock cluster of librdkafka 2."),
        (NATS, "nats://127.0.0.1:", "NATS 2."),
    ],
)
def test_it_says_where_and_what_it_is_and_is_gone_in_the_end(children, kind, scheme, about):
    async def run():
        running = await start_broker("auto", part(kind), children)
        assert running.url.startswith(scheme)
        assert running.about.startswith(about)
        assert running.embedded
        assert ("mock" in running.warning) == (kind == KAFKA)
        (pid,) = running.pids
        assert Path(f"/proc/{pid}").exists()
        await running.close()
        assert running.pids == ()
        assert not Path(f"/proc/{pid}").exists()

    asyncio.run(run())


@pytest.mark.live
def test_a_port_that_is_taken_meanwhile_is_not_the_end(children, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [[taken.getsockname()[1]], *(free_ports(1) for _ in range(3))]
        monkeypatch.setattr(embedded, "free_ports", lambda n: ports.pop(0))

        async def run():
            running = await start_broker("auto", part(VALKEY), children)
            assert str(taken.getsockname()[1]) not in running.url
            await running.close()

        asyncio.run(run())
    assert len(ports) == 2


@pytest.mark.live
def test_a_program_that_cannot_run_is_one_error_with_what_it_said(children, monkeypatch):
    monkeypatch.setattr(embedded, "PROGRAMS", {("auto", VALKEY): embedded.Program("redis", lambda *_: ["false"])})
    with pytest.raises(LiveError, match=r"broker redis://127.*: it ended with exit code 1 \(and said nothing\); see"):
        asyncio.run(start_broker("auto", part(VALKEY), children))


@pytest.mark.live
def test_fakeredis_fans_out_and_is_warned_of(children):
    async def run():
        running = await start_broker("fakeredis", part(VALKEY), children)
        assert running.about.startswith("fakeredis 2.")
        assert "its latency is its own" in running.warning
        async with servers(running.url, part(VALKEY), 3) as (three, publisher):
            await publish(publisher, range(5))
            for server in three:
                await until_heard(server, list(range(5)))
            assert await publisher.n_subscribers() is None

    asyncio.run(run())


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (VALKEY, {"output_buffer": {"hard": "1MiB", "soft": 0, "soft_for": 0}}),
        (NATS, {"max_pending": "1MiB", "subscription": "all_servers"}),
    ],
)
def test_a_server_that_takes_nothing_is_cut_off_at_the_scenarios_limit(children, kind, changes):
    """The kernel holds some megabytes more than the broker does; what it had is still read, the rest is lost."""

    async def run():
        broker = part(kind, **changes)
        running = await start_broker("auto", broker, children)
        async with servers(running.url, broker, 2) as ((there, away), publisher):
            away.link.cut(silent=True)
            n, size = 1500, 10_000
            for number in range(n):
                await publisher.publish(5, body(number, 5, size))
            await until_heard(there, list(range(n)))
            if kind == VALKEY:  # NATS ends the connection when it takes something again
                assert await publisher.n_subscribers() == 1
            away.link.heal()
            await eventually(lambda: not away.link.connected)
            await eventually(lambda: away.link.connected)
            assert 0 < len(away.heard) < n
            assert away.numbers == list(range(len(away.heard)))
            had = len(away.heard)
            await publish(publisher, [n])
            await until_heard(away, [*range(had), n])

    asyncio.run(run())


@pytest.mark.live
def test_a_broker_that_reads_in_a_long_log_is_waited_for(children):
    """Redis listens meanwhile, and refuses everything with `LOADING`."""

    async def run():
        broker = part(STREAMS, when_down="retry")
        running = await start_broker("auto", broker, children)
        async with servers(running.url, broker, 1) as ((server,), publisher):
            for first in range(0, 600, 50):
                await asyncio.gather(*(publisher.publish(5, body(first + n, 5, 100_000)) for n in range(50)))
            await running.stop()
            waiting = [asyncio.create_task(publisher.publish(5, body(number))) for number in range(600, 650)]
            await running.start()
            await asyncio.gather(*waiting)
            await until_heard(server, list(range(650)))

    asyncio.run(run())


# --- no broker ------------------------------------------------------------------------------------------------------


@pytest.mark.live
def test_without_a_broker_each_message_goes_to_one_server_in_turn(children):
    async def run():
        none = part("none")
        running = await start_broker("auto", none, children)
        assert (running.about, running.pids, running.embedded) == ("none", (), False)
        async with servers(running.url, none, 3) as (three, publisher):
            await publish(publisher, range(9))
            assert [server.numbers for server in three] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
            await three[1].link.publish(5, body(100))
            assert three[1].numbers == [1, 4, 7, 100]
            await three[0].link.close()
            await publish(publisher, range(9, 13))
            assert [server.numbers[3:] for server in three] == [[], [100, 10, 12], [9, 11]]
            late = await Server(running.url, none).start()
            await publish(publisher, [15, 16, 17])
            assert late.numbers == [17]
            await late.link.close()
            large = body(18, 5, 300_000)
            await publisher.publish(5, large)
            assert large in [server.heard[-1].body for server in three]
            for server in three:
                await server.link.close()
            with pytest.raises(BrokerDown, match="no server listens"):
                await publisher.publish(5, body(19))

    asyncio.run(run())


@pytest.mark.live
def test_a_server_that_is_taken_out_of_the_folder_gets_nothing_more(children):
    async def run():
        running = await start_broker("auto", part("none"), children)
        async with servers(running.url, part("none"), 2) as ((first, second), publisher):
            await publish(publisher, [0, 1])
            Path(running.url.removeprefix("none://"), first.link.member).unlink()
            await publish(publisher, [2, 3])
            assert (first.numbers, second.numbers) == ([0], [1, 2, 3])
            with pytest.raises(LiveError, match="no connection to cut"):
                first.link.cut(silent=True)

    asyncio.run(run())


# --- brokers of others ----------------------------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("kind", [VALKEY, KAFKA, NATS])
def test_a_broker_that_is_there_already_is_used_and_left_alone(children, kind):
    async def run():
        own = await start_broker("auto", part(kind), children)
        other = await start_broker(own.url, part(kind), children)
        assert (other.url, other.about, other.pids, other.embedded) == (own.url, own.about, (), False)
        async with servers(other.url, part(kind, subscription="all_servers") if kind == NATS else part(kind), 1) as (
            (server,),
            publisher,
        ):
            await publish(publisher, [1])
            await until_heard(server, [1])
            for act in (other.stop, other.start):
                with pytest.raises(LiveError, match="it is not for this run to be"):
                    await act()
            await other.close()
            await publish(publisher, [2])
            await until_heard(server, [1, 2])

    asyncio.run(run())


@pytest.mark.live
@pytest.mark.parametrize("kind", [VALKEY, STREAMS, NATS, JETSTREAM])
def test_runs_that_share_a_broker_do_not_hear_each_other(children, kind):
    async def run():
        running = await start_broker("auto", part(kind), children)
        broker = part(kind, subscription="all_servers") if kind == NATS else part(kind)
        heard = {name: [] for name in ("one", "two")}
        links = {name: open_link(running.url, broker, "server-0", name) for name in heard}
        for name, link in links.items():
            await link.start(heard[name].append)
        for name, link in links.items():
            await link.publish(5, name.encode())
        await eventually(lambda: all(heard.values()))
        assert {name: [message.body for message in messages] for name, messages in heard.items()} == {
            "one": [b"one"],
            "two": [b"two"],
        }
        assert [await link.n_subscribers() for link in links.values()] in ([1, 1], [1, 0], [0, 1], [0, 0])
        for link in links.values():
            await link.close()

    asyncio.run(run())


@pytest.fixture
def guarded(children):
    """A Redis and a NATS that ask for a password, by kind."""
    return lambda kind: _guarded(children, kind)


def _guarded(children: Children, kind: str) -> str:
    from live.brokers.programs import PROGRAMS

    (port,) = free_ports(1)
    command = PROGRAMS["auto", kind].command(port, children.folder, part(kind), "x", "monitor=0")
    if kind == VALKEY:
        command += ["--requirepass", "s3cret"]
    else:
        command = [command[0], "-a", "127.0.0.1", "-p", str(port), "--user", "me", "--pass", "s3cret"]
    assert wait_for_port(port, children.spawn(command, name="guarded"))
    return f"127.0.0.1:{port}"


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "url", "said"),
    [
        (VALKEY, "redis://:wrong@{}/0", "WRONGPASS"),
        (VALKEY, "redis://{}/0", "NOAUTH"),
        (NATS, "nats://me:wrong@{}", "Authorization Violation"),
        (NATS, "nats://{}", "Authorization Violation"),
    ],
)
def test_a_wrong_password_is_one_error_that_does_not_tell_it(children, guarded, kind, url, said):
    where = guarded(kind)
    for act in (
        lambda: start_broker(url.format(where), part(kind), children),
        lambda: started(url.format(where), part(kind)),
    ):
        with pytest.raises(LiveError, match=f"{where}: {said}.*; correct user and password in its URL") as caught:
            asyncio.run(act())
        assert "wrong@" not in str(caught.value)


async def started(url: str, broker) -> None:
    link = open_link(url, broker, "server-0")
    try:
        await link.start(lambda message: None)
    finally:
        await link.close()


@pytest.mark.live
def test_what_a_user_may_not_publish_is_one_error(children):
    """Core NATS answers the ping behind the message all the same."""
    from live.brokers.programs import PROGRAMS

    (port,) = free_ports(1)
    command = PROGRAMS["auto", NATS].command(port, children.folder, part(NATS), "x", "monitor=0")
    may = '{publish: "_INBOX.>", subscribe: ">"}'
    with Path(command[-1]).open("a") as file:
        file.write(f"authorization {{ users: [{{user: me, password: s3cret, permissions: {may}}}] }}\n")
    assert wait_for_port(port, children.spawn(command, name="guarded"))

    async def run():
        async with servers(f"nats://me:s3cret@127.0.0.1:{port}", part(NATS), 1) as (_, publisher):
            with pytest.raises(LiveError, match=r"permissions violation for publish.*; see the broker's configuration"):
                await publisher.publish(5, body(1))

    asyncio.run(run())


@pytest.mark.live
@pytest.mark.parametrize(("kind", "url"), [(VALKEY, "redis://:s3cret@{}/3"), (NATS, "nats://me:s3cret@{}")])
def test_the_right_password_lets_us_in(children, guarded, kind, url):
    where = url.format(guarded(kind))

    async def run():
        assert (await start_broker(where, part(kind), children)).url == where
        async with servers(where, part(kind), 1) as ((server,), publisher):
            await server.link.subscribe([5])
            await publish(publisher, [1])
            await until_heard(server, [1])

    asyncio.run(run())


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "url"), [(VALKEY, "redis"), (STREAMS, "redis"), (KAFKA, "kafka"), (NATS, "nats"), (JETSTREAM, "nats")]
)
def test_a_broker_that_is_not_there_is_one_error(children, kind, url):
    url = f"{url}://127.0.0.1:{free_ports(1)[0]}"
    expected = rf"^broker {url}: cannot be reached \(.+\); start it, or correct its address$"
    for act in (lambda: start_broker(url, part(kind), children), lambda: started(url, part(kind))):
        with pytest.raises(LiveError, match=expected):
            asyncio.run(act())


@pytest.mark.live
def test_what_listens_there_must_be_the_broker(children):
    async def run():
        nats = await start_broker("auto", part(NATS), children)
        where = nats.url.partition("?")[0].removeprefix("nats://")
        with pytest.raises(LiveError, match="does not speak Redis's protocol; correct the address"):
            await start_broker(f"redis://{where}", part(VALKEY), children)
        with pytest.raises(LiveError, match="JetStream is not enabled there; start nats-server with -js"):
            await started(nats.url, part(JETSTREAM))

    asyncio.run(run())


@pytest.mark.live
def test_a_topic_with_other_partitions_is_one_error(children):
    async def run():
        kafka = await start_broker("auto", part(KAFKA, partitions=4), children)
        with pytest.raises(LiveError, match="has 4 partitions, broker.partitions is 6; delete the topic, or set"):
            await started(kafka.url, part(KAFKA, partitions=6))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("kafka://localhost:9092", STREAMS, r"broker must be a URL redis://… for kind redis_streams, got 'kafka://"),
        ("redis://localhost", KAFKA, r"broker must be a URL kafka://… for kind kafka, got 'redis://localhost'; write"),
        ("nats://", NATS, "broker must name a host, got 'nats://'"),
        ("redis://host:port", VALKEY, "broker must be a URL .*got 'redis://host:port'"),
        ("redis://host/zero", VALKEY, "broker must end in the number of a database"),
        ("redis://host?tls=1", VALKEY, "broker must have counts behind the question mark, each a whole number"),
        ("kafka://me:s3cret@host", KAFKA, "broker must be a Kafka that asks for no password, got 'kafka://…@host'"),
        ("redis-server", KAFKA, r"broker must be auto or a URL kafka://… for kind kafka, got 'redis-server'"),
        ("fakeredis", STREAMS, "broker must be auto, redis-server or a URL redis://… for kind redis_streams"),
        ("mosquitto", "none", "broker must be auto or a URL none://… for kind none, got 'mosquitto'"),
    ],
)
def test_a_name_or_url_that_does_not_fit_the_kind_is_refused(children, name, kind, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        asyncio.run(start_broker(name, part(kind), children))
    assert "s3cret" not in str(caught.value)


def test_a_position_has_no_room_for_many_partitions():
    with pytest.raises(ScenarioError, match="broker.partitions must be at most 13 in a live run"):
        open_link("kafka://localhost", part(KAFKA, partitions=14), "server-0")


@pytest.mark.parametrize("name", ["", "server 1", "a.b", "x\nQUIT", "*"])
def test_names_cannot_say_anything_else_to_a_broker(name):
    with pytest.raises(ValueError, match="a name of letters, digits"):
        open_link("redis://localhost", part(VALKEY), name)


def test_what_is_missing_is_named(children, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(LiveError, match="there is no program 'redis-server' on PATH; install it, or use broker auto"):
        asyncio.run(start_broker("redis-server", part(VALKEY), children))
