"""Whatever is said to a server of the stack `socketio` costs whoever says it: the same siege, over its own port.

As in `test_live_security`: clients that behave well hear everything meanwhile, and everything is given back.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from live.fleet import ORIGIN
from realtime_sim import wire
from tests import besieged
from tests.bare_sockets import HEAD_END, WAIT_S, frame, request, status_of, text, upgrade
from tests.besieged import GROWTH_BYTES, N_RUDE, until
from tests.test_live_security import SMUGGLED, SMUGGLING, noise

pytestmark = pytest.mark.live

PATH = "/socket.io/?EIO=4&transport="
LARGEST_BYTES = 2**16


@pytest.fixture(scope="module")
def siege():
    """A server and its broker."""
    with asyncio.Runner() as runner:
        yield from besieged.besieged(runner, besieged.scenario_socketio())


def packet(words):
    """A packet of Engine.IO in a WebSocket frame."""
    return frame(1, words if isinstance(words, bytes) else words.encode())


def said(content):
    """An event with a frame of the wire, or with anything else."""
    return packet(f'42["message",{content.decode() if isinstance(content, bytes) else json.dumps(content)}]')


def asks(*headers, more=""):
    """The request for a WebSocket."""
    return upgrade("", *headers, path=f"{PATH}websocket{more}&x").replace(b"?token=", b"=", 1)


async def hello(there, client, *headers):
    """A WebSocket of a client that was let in and has read its welcome."""
    one = await there.socket(there.http_port, asks(*headers))
    assert status_of(await one.head()) == 101
    assert (await one.frame())[1].startswith(b"0")
    one.send(packet("40" + json.dumps({"token": there.token(client)})))
    await one.until(b'"welcome"')
    return one


async def session(there):
    """Begin to poll; the path at which to go on."""
    answer = await there.ask(there.http_port, request("GET", f"{PATH}polling"))
    opened = json.loads(answer.partition(HEAD_END)[2][1:])
    return f"{PATH}polling&sid={opened['sid']}"


PACKETS = {
    "nothing": b"", "an unknown type": b"9", "a ping, which is the server's": b"2", "an upgrade": b"5",
    "no packet inside": b"4", "half a packet": b"4{", "half an event": b'42["message"',
    "an event of nobody": b'42["x",1]',
    "no list": b'42{"a":1}', "an empty list": b"42[]", "no name": b"42[1]", "another namespace": b"40/admin,",
    "a connect of nothing": b"40null", "a connect of a number": b"407", "a connect of a list": b"40[]",
    "an acknowledgement of nothing": b"43[]", "an acknowledgement out of range": b"43" + b"9" * 400 + b"[]",
    "a refusal, which is the server's": b'44{"message":"x"}',
    "attachments that do not come": b'452-["message",{"_placeholder":true,"num":0}]',
    "attachments without number": b"45-[]", "a number of attachments": b"45" + b"9" * 300 + b"-[]",
    "an attachment of nothing": b"bAAAA", "not base64": b"b!", "JSON without end": b"42" + b"[" * 60_000,
    "a number without end": b'42["message",' + b"9" * 60_000 + b"]", "a long name": b'42["' + b"x" * 60_000 + b'"]',
    "a name of ours": b'42["connect",{}]', "another name of ours": b'42["disconnect",{}]',
    "half a surrogate pair": b'42["message",{"type":"publish","id":1,"room":5,"seq":1,"data":"\\ud800"}]',
    "a frame that goes back": b'42["message",{"type":"welcome","server":1,"session":"","pos":""}]',
    "two frames": b'42["message",{"type":"join","room":1},{"type":"join","room":1}]',
}  # fmt: skip
"""What is no Socket.IO, or not what this server takes."""


def test_packets_that_make_no_sense_cost_their_connection_at_most(siege):
    """From somebody who was let in, and from somebody who was not."""

    async def attack(there):
        for n, words in enumerate(PACKETS.values()):
            one = await hello(there, there.client("rude", n))
            other = await there.socket(there.http_port, asks())
            for each in (one, other):
                each.send(packet(words))
                each.send(packet(words))

    siege.under(attack)


RAW = {
    "opcode 3": frame(3), "compressed": frame(1, b"{}", rsv=4), "not masked": frame(1, b"3", masked=False),
    "control frame of 126 bytes": frame(9, bytes(126)), "not UTF-8": frame(1, b"\xff\xfe"),
    "bytes": frame(2, bytes(range(256))), "close frame of one byte": frame(8, b"x"),
    "too large": frame(1, b"4" + bytes(LARGEST_BYTES)), "too large in fragments": frame(1, bytes(40_000), fin=False)
    + frame(0, bytes(40_000)), "too large by its own word": b"\x81\xff" + (2**40).to_bytes(8, "big"),
    "fragments of nothing": frame(1, fin=False) + frame(0, fin=False) * 10_000,
    "too many events": said({"type": "join", "room": 5}) * 2_000, "many attachments": packet('451-["message"]') * 2_000,
    "many pongs": packet("3") * 3_000, "many connects": packet("40{}") * 2_000,
}  # fmt: skip


def test_frames_that_are_none_or_too_many_or_too_large_cost_their_connection(siege):
    async def attack(there):
        before = there.memory()
        for n, data in enumerate(RAW.values()):
            one = await hello(there, there.client("rude", n))
            one.send(data)
        for data in RAW.values():
            one = await there.socket(there.http_port, asks() + data, reads=False)
        await until(lambda: there.count("connections") == len(there.kinds), "they are still there")
        assert there.memory() - before < GROWTH_BYTES

    siege.under(attack)


def test_one_connection_that_says_it_is_two_clients_leaves_nobody_behind(siege):
    async def attack(there):
        for n in range(5):
            one = await hello(there, there.client("rude", 2 * n))
            one.send(packet("40" + json.dumps({"token": there.token(there.client("rude", 2 * n + 1))})))
            await asyncio.sleep(0.1)
            if n % 2:
                one.hang_up()

    siege.under(attack)


def test_forged_tokens_and_other_origins_are_turned_away(siege):
    async def attack(there):
        mine, others = there.token(there.client("rude")), there.client("rude", 1)
        bad = [
            "", "a.b.c", mine.replace(f"{there.client('rude')}.", f"{others}.", 1), mine.rpartition(".")[0] + ".",
            there.token(others, secret=b"x" * 32), there.token(others, life_s=-1), there.token(10**6), there.token(-1),
            None, 7, [mine], {"token": mine}, "\ud800", "x" * 50_000,
        ]  # fmt: skip
        for token in bad:
            one = await there.socket(there.http_port, asks())
            await one.until(b'"sid"')
            one.send(packet("40" + json.dumps({"token": token})))
            await one.until(b"44")
            path = await session(there)
            body = b"40" + json.dumps({"token": token}).encode()
            await there.ask(there.http_port, request("POST", path, body=body))
            assert b"44" in await there.ask(there.http_port, request("GET", path)), token
        assert there.count("connections") == len(there.kinds)
        for origin in ("http://evil.test", "null", f"{ORIGIN}.test", f"{ORIGIN}, http://evil.test"):
            asked = {
                "websocket": (there.http_port, asks(f"Origin: {origin}")),
                "polling": (there.http_port, request("GET", f"{PATH}polling", f"Origin: {origin}")),
                "post": (there.http_port, request("POST", f"{PATH}polling", f"Origin: {origin}", body=b"40")),
            }
            for what, answer in (await there.answers(asked)).items():
                assert status_of(answer) in (400, 403), (what, origin, answer)
                assert b'"sid"' not in answer

    siege.under(attack)


def test_other_origins_are_turned_away_also_behind_a_good_one(siege):
    async def attack(there):
        evil, good = "Origin: http://evil.test", f"Origin: {ORIGIN}"
        for headers in ((good, evil), (evil, good)):
            for ask in asks(*headers), request("GET", f"{PATH}polling", *headers):
                answer = await there.ask(there.http_port, ask)
                assert status_of(answer) in (400, 403), (headers, answer)

    siege.under(attack)


def test_nobody_hears_or_says_anything_in_a_room_of_others(siege):
    async def attack(there):
        foreign, own = there.room("outsider"), there.room("rude")
        one, other = [await hello(there, there.client("rude", n)) for n in range(2)]
        for attempt in (wire.Join(foreign), wire.Leave(foreign), wire.Publish(1, foreign, 1, "spam"), wire.Join(9_999)):
            one.send(said(wire.encode(attempt)))
            await one.until(b"not_a_member")
        one.send(said(wire.encode(wire.Publish(7, own, 1, "in our own"))))
        for each in (one, other):
            await each.until(b"in our own")
            each.hang_up()

    siege.under(attack)


def test_what_is_posted_is_bounded_in_size_and_time(siege):
    async def attack(there):
        paths = [await session(there) for _ in range(4)]
        chunk = b"20000\r\n" + bytes(2**17) + b"\r\n0\r\n\r\n"
        posts = [
            request("POST", paths[0], body=bytes(2 * LARGEST_BYTES)),
            request("POST", paths[1], "Transfer-Encoding: chunked") + chunk,
            request(
                "POST", paths[2], body=b"\x1e".join([b"40"] * 1_000)
            ),  # which the library answers, and takes none of
        ]
        before = there.memory()
        found = await there.answers({n: (there.http_port, post) for n, post in enumerate(posts)})
        # The session of the first is over at once; the library waits for a poll to say so, for as long as it may.
        assert [status_of(answer) for answer in found.values()] in ([400, 411, 200], [408, 411, 200])
        assert there.memory() - before < GROWTH_BYTES / 4
        slow = await there.socket(there.http_port, request("POST", paths[3], "Content-Length: 1000"))
        assert status_of(await slow.rest()) in (400, 408)  # its session may be over first

    siege.under(attack)


def test_sessions_that_come_to_nothing_are_given_back(siege):
    """Polls that begin and are not gone on with, WebSockets that never say who they are, upgrades of nobody."""

    async def attack(there):
        for _ in range(3):
            await asyncio.gather(*(session(there) for _ in range(N_RUDE)))
        for _ in range(N_RUDE):
            await there.socket(there.http_port, asks())
        asked = {n: (there.http_port, asks(more=f"&sid={'x' * n}")) for n in range(0, 100, 10)}
        for answer in (await there.answers(asked)).values():
            assert status_of(answer) in (400, 101), answer
        path = await session(there)
        sid = path.rpartition("=")[2]
        for _ in range(20):
            await there.socket(there.http_port, asks(more=f"&sid={sid}"))

    siege.under(attack)


def test_a_client_that_connects_anew_takes_the_place_of_itself(siege):
    async def attack(there):
        for _ in range(5):
            await asyncio.gather(*(hello_quietly(there, there.client("rude")) for _ in range(10)))
        await until(lambda: there.count("connections") <= len(there.kinds) + 1, lambda: there.count("connections"))

    async def hello_quietly(there, client):
        one = await there.socket(there.http_port, asks())
        one.send(packet("40" + json.dumps({"token": there.token(client)})))

    siege.under(attack)


def test_slow_senders_are_dropped_when_their_time_is_over(siege):
    async def attack(there):
        head = f"GET {PATH}websocket HTTP/1.1\r\nHost: x\r\nX: ".encode()
        slow = [await there.socket(there.http_port, head) for _ in range(100)]
        slow += [await there.socket(there.http_port) for _ in range(100)]
        rests = [asyncio.create_task(one.rest()) for one in slow]
        async with asyncio.timeout(WAIT_S):
            while not all(rest.done() for rest in rests):
                for one, rest in zip(slow[:100], rests, strict=False):
                    if not rest.done():
                        one.send(b"x")
                await asyncio.sleep(0.2)

    siege.under(attack)


def test_no_request_is_smuggled_in_the_body_of_another(siege):
    async def attack(there):
        asked = {}
        for what, rest in SMUGGLING.items():
            head = f"POST {await session(there)} HTTP/1.1\r\nHost: x\r\n".encode()
            asked["post", what] = there.http_port, head + rest + SMUGGLED
            asked["health", what] = there.http_port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + rest + SMUGGLED
        for what, answer in (await there.answers(asked)).items():
            assert answer.count(b"HTTP/1.") <= 1, (what, answer)

    siege.under(attack)


def test_random_strings_change_nothing(siege):
    async def attack(there):
        post = request("POST", await session(there), "Transfer-Encoding: chunked")
        begins = (b"", b"GET ", f"GET {PATH}".encode(), asks()[:-2], asks(), asks() + packet("40{}"), post)
        turns = asyncio.Semaphore(20)

        async def throw(n):
            async with turns:
                one = await there.socket(there.http_port, begins[n % len(begins)] + noise(n))
                if not one.writer.is_closing():
                    one.writer.write_eof()
                await one.rest()
                one.hang_up()
                there.sockets.remove(one)

        await asyncio.gather(*(throw(n) for n in range(700)))

    siege.under(attack)


def test_a_packet_of_random_bytes_changes_nothing(siege):
    async def attack(there):
        for n in range(60):
            one = await hello(there, there.client("rude", n))
            one.send(frame(1 + n % 2, noise(n)) + text(noise(n).hex()))

    siege.under(attack)


def test_after_all_of_it_the_server_is_as_it_was(siege):
    siege.under(besieged.as_before)
