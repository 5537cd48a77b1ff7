"""Many clients, clients that do not read and clients that are sent away cost their own connections and nobody else's.

As in `test_live_security`: four clients that behave well miss nothing meanwhile, and everything is given back.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from realtime_sim import wire
from tests import besieged
from tests.bare_sockets import HEAD_END, WAIT_S, close_code, request, status_of, text, upgrade
from tests.besieged import GROWTH_BYTES, N_RUDE, until
from tests.good_clients import GOOD

pytestmark = pytest.mark.live

MOST = 40
"""Connections that the first of the servers admits."""

LARGE = "x" * 60_000
"""Text of a message of which a few hundred fill every buffer there is."""


@pytest.fixture(scope="module")
def runner():
    """The loop of all sites."""
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(scope="module")
def siege(runner):
    """A server that subscribes to rooms one by one, and has room for some."""
    yield from besieged.besieged(runner, besieged.scenario("redis_pubsub", servers={"max_connections": MOST}))


@pytest.fixture(scope="module")
def logged(runner):
    """A server that reads a log, so that clients name positions, and that has a task for every client."""
    yield from besieged.besieged(runner, besieged.scenario("redis_streams", servers={"fanout": "task_per_client"}))


@pytest.fixture(params=["siege", "logged"])
def either(request):
    """Each of them."""
    return request.getfixturevalue(request.param)


async def silent(there, cohort, n=0):
    """A WebSocket whose client reads nothing, once it stands."""
    n_before = there.count("handshakes")
    one = await there.socket(there.ws_port, upgrade(there.token(there.client(cohort, n))), reads=False)
    await until(lambda: there.count("handshakes") > n_before, "it was not let in")
    return one


# Rooms.


def test_nobody_hears_or_says_anything_in_a_room_of_others(siege):
    """By frames over a WebSocket and over HTTP; in one's own room it works, and whoever is outside hears nothing."""

    async def attack(there):
        foreign, own = there.room("outsider"), there.room("rude")
        one, other = [await there.websocket(there.client("rude", n)) for n in range(2)]
        assert [type(await each.said()) for each in (one, other)] == [wire.Welcome] * 2
        attempts = [wire.Join(foreign), wire.Leave(foreign), wire.Publish(1, foreign, 1, "spam"), wire.Join(2**62 - 1)]
        for attempt in attempts:
            one.send(text(wire.encode(attempt)))
            assert await one.said() == wire.Failure("not_a_member", f"room {attempt.room}")
        one.send(text(wire.encode(wire.Publish(7, own, 1, "spam"))))
        assert [(await each.said()).data for each in (one, other)] == ["spam", "spam"]
        stream, path = await there.stream("rude", 2), f"/publish?token={there.token(there.client('rude', 2))}"
        for attempt in attempts:
            answer = await there.ask(there.http_port, request("POST", path, body=wire.encode(attempt)))
            assert status_of(answer) == 204
            await stream.until(b"not_a_member")
        for each in (one, other, stream):
            each.hang_up()

    siege.under(attack)


def test_who_leaves_is_given_back_at_once(siege):
    """The page's counter and the broker's subscriptions, for a stream and for a WebSocket."""

    async def attack(there):
        before = await there.link.n_subscribers()
        for come in (lambda: there.stream("rude"), lambda: there.websocket(there.client("rude"))):
            one = await come()
            await until(lambda: there.count("subscriptions") == before + 1, "it has no room")
            assert there.count("connections") == len(GOOD) + 1
            assert await there.link.n_subscribers() == before + 1
            one.hang_up()
            await until(lambda: there.count("connections") == len(GOOD), "it is not given back")
            await until(lambda: there.count("subscriptions") == before, "its room is not given back")
            deadline = time.monotonic() + WAIT_S
            while await there.link.n_subscribers() != before:
                assert time.monotonic() < deadline

    siege.under(attack)


def test_a_client_that_connects_anew_takes_the_place_of_itself(siege):
    async def attack(there):
        for _ in range(10):
            ones = await asyncio.gather(*(there.websocket(there.client("rude")) for _ in range(10)))
            # Who has its upgrade is registered a moment later.
            await until(lambda: there.count("connections") == len(GOOD) + 1, "it has no place")
        stream = await there.stream("rude")
        assert [close_code(await one.rest()) for one in ones] == [1008] * 10
        await there.publish(there.room("rude"), "only once")
        await stream.until(b"only once")
        stream.hang_up()

    siege.under(attack)


# Polls.


def test_of_two_polls_at_a_time_the_first_is_answered(siege):
    async def attack(there):
        poll = request("GET", await there.session("idle"))
        first = await there.socket(there.http_port, poll)
        await asyncio.sleep(0.1)  # so that it is the first
        second = await there.socket(there.http_port, poll)
        assert (await first.rest()).endswith(HEAD_END + b"[]")
        await there.publish(there.room("idle"), "for the second")
        assert b"for the second" in await second.rest()
        line = await there.socket(there.http_port, poll.replace(b"Connection: close\r\n", b"") * 500)
        await line.until(b"[]")  # each waits for the one before, and nobody else does
        line.hang_up()
        for _ in range(4):
            await there.publish(there.room("idle"), "x" * 30_000)  # 64 KiB are kept
        kept = wire.read_from_server((await there.ask(there.http_port, poll)).partition(HEAD_END)[2])
        assert len(kept.frames) <= 2
        await there.end_session("idle")

    siege.under(attack)


# Numbers.


def test_there_is_room_for_so_many_and_no_more_however_they_come(siege):
    """A hundred at once by three transports; what they have taken is given back, and it is as before."""

    async def attack(there):
        def ask(n):
            path = f"?token={there.token(there.client('rude', n))}"
            if n % 3 == 0:
                return there.ws_port, upgrade(path.partition("=")[2])
            return there.http_port, request("GET", ("/events", "/poll")[n % 3 - 1] + path)

        for _ in range(2):
            ones = await asyncio.gather(*(there.socket(*ask(n)) for n in range(N_RUDE)))
            statuses = [status_of(head) for head in await asyncio.gather(*(one.head() for one in ones))]
            n_let_in = sum(status in (101, 200) for status in statuses)
            assert (n_let_in, statuses.count(503)) == (MOST - len(GOOD), N_RUDE - n_let_in)
            await until(lambda: there.count("connections") == MOST, lambda: there.count("connections"))
            for one in ones:
                one.hang_up()
            await until(lambda: there.count("connections") < MOST, "no place is given back")
            for n in range(2, N_RUDE, 3):
                if statuses[n] == 200:
                    await there.end_session("rude", n)
            await until(lambda: there.count("connections") == len(GOOD), "not all places are given back")

    siege.under(attack)


def test_connections_that_come_to_nothing_cost_nothing(siege):
    async def attack(there):
        for port in (there.ws_port, there.http_port):
            for _ in range(5):
                for one in await asyncio.gather(*(there.socket(port) for _ in range(200))):
                    one.hang_up()

    siege.under(attack)


# Positions.

GARBAGE = (
    "x", "-", "1-", "1-1-1", "9" * 50 + "-0", "%ff", "%00", "+", "(1-1", "1-1%20COUNT%201", "x" * 4_000,
)  # fmt: skip


def test_a_position_that_is_none_costs_that_connection(logged):
    async def attack(there):
        async def websocket(n, garbage):
            one = await there.websocket(there.client("rude", n), query=f"&after={garbage}")
            return close_code(await one.rest())

        found = await asyncio.gather(*(websocket(n, garbage) for n, garbage in enumerate(GARBAGE)))
        assert dict(zip(GARBAGE, found, strict=True)) == dict.fromkeys(GARBAGE, 1008)
        for n, garbage in enumerate(GARBAGE):
            query = f"?token={there.token(there.client('rude', n))}&after={garbage}"
            assert status_of(await there.ask(there.http_port, request("GET", f"/poll{query}"))) == 400
            assert (await there.ask(there.http_port, request("GET", f"/events{query}"))).endswith(b"0" + HEAD_END)
        for header in ("x", "\xff\xfe", "1" * 5_000):
            path = f"/events?token={there.token(there.client('rude'))}"
            ask = request("GET", path, f"Last-Event-ID: {header}")
            assert (await there.ask(there.http_port, ask)).endswith(b"0" + HEAD_END)

    logged.under(attack)


def test_a_long_replay_keeps_nobody_waiting_and_nothing_is_missed_or_twice(logged):
    """Every message there is, from the beginning of the log, while more come."""

    async def attack(there):
        for n in range(1, 1_001):
            await there.publish(there.room("rude"), f"message {n}.")
        one = await there.websocket(there.client("rude"), query="&after=0-1")
        assert isinstance(await one.said(), wire.Welcome)
        for n in range(1_001, 1_021):
            await there.publish(there.room("rude"), f"message {n}.")
        found = [await one.said() for _ in range(1_020)]
        assert [frame.data for frame in found] == [f"message {n}." for n in range(1, 1_021)]
        positions = [tuple(map(int, frame.pos.split("-"))) for frame in found]
        assert positions == sorted(set(positions))
        one.hang_up()

    logged.under(attack)


# Those who do not read.


def test_who_does_not_read_costs_its_limit_and_no_more(either):
    """With `drop_newest` the connection stays, with `disconnect` it is closed (1008), also if nothing gets through."""

    async def attack(there):
        dropped = await silent(there, "dropped")
        for n in range(2):
            await silent(there, "cut", n)
        ask = f"GET /events?token={there.token(there.client('cut', 2))} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        await there.socket(there.http_port, ask, reads=False)
        await until(lambda: there.count("connections") == len(GOOD) + 4, "they are not there")
        before = there.memory()
        for _ in range(250):
            await there.publish(there.room("dropped"), LARGE)
            await there.publish(there.room("cut"), LARGE)
        assert there.memory() - before < GROWTH_BYTES
        await until(lambda: there.count("connections") == len(GOOD) + 1, lambda: there.count("connections"))
        dropped.reads(True)
        heard = asyncio.create_task(dropped.until(b"the end"))
        while not heard.done():
            await there.publish(there.room("dropped"), "the end")
        assert 0 < heard.result().count(LARGE.encode()) < 250
        dropped.hang_up()

    either.under(attack)


def test_who_was_too_slow_is_told_so_if_it_reads_after_all(either):
    async def attack(there):
        slow = await silent(there, "cut")
        n_connections = there.count("connections")
        for _ in range(250):
            await there.publish(there.room("cut"), LARGE)
        slow.reads(True)
        assert close_code((await slow.rest()).partition(HEAD_END)[2]) == 1008
        assert n_connections == len(GOOD) + 1

    either.under(attack)


def test_a_frozen_client_times_out_however_much_waits_for_it(either):
    """Without a limit its buffer grows; its pings time out all the same."""

    async def attack(there):
        await silent(there, "frozen")
        for _ in range(150):
            await there.publish(there.room("frozen"), LARGE)

    either.under(attack)


# The end.


def test_after_all_of_it_the_server_is_as_it_was(either):
    either.under(besieged.as_before)


def test_who_is_sent_away_is_told_by_every_transport_in_its_own_way():
    """A close code, 1001 and at the end 1012; the end of a stream; an answer of 410 to the poll that is held."""

    async def scene(there, send_away, code):
        one, stream = await there.websocket(there.client("rude")), await there.stream("rude", 1)
        poll = await there.socket(there.http_port, request("GET", await there.session("idle")))
        assert isinstance(await one.said(), wire.Welcome)
        await asyncio.sleep(0.1)  # the poll is held
        begun = time.monotonic()
        send_away()
        assert close_code(await one.rest()) == code
        assert (await stream.rest()).endswith(b"0" + HEAD_END)
        assert status_of(await poll.rest()) == 410
        assert time.monotonic() - begun < WAIT_S / 3
        for each in there.sockets:
            each.hang_up()

    async def both():
        async with besieged.site(besieged.scenario("redis_pubsub")) as there:
            order = {"do": "close", "n": 1_000}
            await scene(there, lambda: there.server.channel.send(order), 1001)
            await asyncio.wait([one.task for one in there.good.values()], timeout=WAIT_S)
            assert all(one.task.done() for one in there.good.values())
            await until(lambda: there.count("connections") == 0, lambda: there.count("connections"))
            await scene(there, lambda: there.fleet.stop(there.server), 1012)
            assert await asyncio.to_thread(there.server.child.wait, WAIT_S) == 0
            assert there.log == ""

    asyncio.run(both())
