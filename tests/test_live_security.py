"""Whatever is said to a server costs whoever says it, and nobody else: a real process, attacked over its sockets.

All the while four clients that behave well hear a message every 50 ms each. After every attack they have heard all of
them, in order and nothing else, and the server has given back every connection and descriptor of those who attacked,
although these have not hung up; its log stays empty. `test_live_security_crowds` has what is done by numbers.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time

import pytest

from live.fleet import ORIGIN
from realtime_sim import wire
from tests import besieged
from tests.bare_sockets import WAIT_S, close_code, frame, request, status_of, text, upgrade
from tests.besieged import GROWTH_BYTES, HEADER_TIMEOUT_S, until
from tests.good_clients import GOOD

pytestmark = pytest.mark.live

LARGEST_BYTES = 2**16
"""Largest frame that a client may send."""


@pytest.fixture(scope="module")
def runner():
    """The loop of all sites."""
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(scope="module")
def siege(runner):
    """A server that subscribes to rooms one by one, and takes so many handshakes at a time."""
    admission = {"concurrency": besieged.N_RUDE}
    yield from besieged.besieged(runner, besieged.scenario("redis_pubsub", servers={"admission": admission}))


# Frames of WebSocket.

MALFORMED = {
    "opcode 3": (frame(3), 1002),
    "opcode 11": (frame(11), 1002),
    "compressed, although nobody agreed on it": (frame(1, b"{}", rsv=4), 1002),
    "reserved bits": (frame(1, b"{}", rsv=3), 1002),
    "not masked": (frame(1, b"{}", masked=False), 1002),
    "control frame of 126 bytes": (frame(9, bytes(126)), 1002),
    "control frame in fragments": (frame(9, fin=False), 1002),
    "continuation of nothing": (frame(0, b"x"), 1002),
    "two messages in each other": (frame(1, b"x", fin=False) + frame(1, b"x"), 1002),
    "an end within a message": (frame(1, b"x", fin=False) + frame(8, b"\x03\xe8"), 1002),
    "close frame of one byte": (frame(8, b"x"), 1002),
    **{f"close code {code}": (frame(8, code.to_bytes(2, "big")), 1002) for code in (0, 999, 1005, 1006, 1015, 5000)},
    "close reason that is not UTF-8": (frame(8, b"\x03\xe8\xff"), 1007),
    "text that is not UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "text that is not UTF-8 when whole": (frame(1, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
    "bytes": (frame(2, bytes(range(256))), 1007),
    "no JSON": (text(b"{"), 1007),
    "JSON without end": (text(b"[" * 60_000), 1007),
    "a number without end": (text(b"9" * 60_000), 1007),
    "no frame of ours": (text({"type": "message"}), 1008),
    "half a surrogate pair": (text({"type": "publish", "id": 1, "room": 5, "seq": 1, "data": "\ud800"}), 1008),
    "too large": (frame(1, bytes(LARGEST_BYTES + 1)), 1009),
    "too large in fragments": (frame(1, bytes(40_000), fin=False) + frame(0, bytes(40_000)), 1009),
    "too large by its own word": (b"\x81\xff" + (2**40).to_bytes(8, "big"), 1009),
    "length with the highest bit": (b"\x81\xff" + b"\xff" * 8, 1009),
    "fragments of nothing": (frame(1, fin=False) + frame(0, fin=False) * 200_000, 1009),
    "too many frames": (text(wire.encode(wire.Join(5))) * 400, 1008),
}
"""What a client sends, and the code with which its connection is closed."""


def test_a_malformed_frame_costs_the_connection_and_says_why(siege):
    async def attack(there):
        async def closed_with(n, data):
            one = await there.websocket(there.client("rude", n))
            one.send(data)
            return close_code(await one.rest())  # and does not hang up itself

        found = await asyncio.gather(*(closed_with(n, data) for n, (data, _) in enumerate(MALFORMED.values())))
        assert dict(zip(MALFORMED, found, strict=True)) == {name: code for name, (_, code) in MALFORMED.items()}

    siege.under(attack)


def test_pings_are_answered_and_a_flood_of_them_is_not(siege):
    """Somebody who sends pings and never reads the answers must not fill the server's memory with them."""

    async def attack(there):
        one = await there.websocket(there.client("rude"))
        assert isinstance(await one.said(), wire.Welcome)
        one.send(frame(9, b"hello"))
        assert await one.frame() == (10, b"hello")
        flood = await there.socket(there.ws_port, upgrade(there.token(there.client("rude", 1))), reads=False)
        before = there.memory()
        flood.send(frame(9, bytes(125)) * 200_000)
        await until(lambda: there.count("handshakes") >= len(GOOD) + 2, "it was not let in")
        await until(lambda: there.count("connections") == len(GOOD) + 1, "the flood goes on")
        assert there.memory() - before < GROWTH_BYTES / 4
        one.hang_up()

    siege.under(attack)


def test_nothing_is_ever_inflated(siege):
    async def attack(there):
        token = there.token(there.client("rude"))
        one = await there.socket(there.ws_port, upgrade(token, "Sec-WebSocket-Extensions: permessage-deflate"))
        head = await one.head()
        assert status_of(head) == 101
        assert b"Extensions" not in head
        one.hang_up()
        bomb = gzip.compress(bytes(60 * 2**20))
        assert len(bomb) < LARGEST_BYTES
        stream = await there.stream("rude")
        before = there.memory()
        post = request("POST", f"/publish?token={token}", "Content-Encoding: gzip", body=bomb)
        assert status_of(await there.ask(there.http_port, post)) == 400
        assert there.memory() - before < GROWTH_BYTES / 4
        stream.hang_up()

    siege.under(attack)


# Who is let in.


def everywhere(there, token, *headers):
    """A request to each place that wants a token."""
    return {
        "/ws": (there.ws_port, upgrade(token, *headers)),
        "/events": (there.http_port, request("GET", f"/events?token={token}", *headers)),
        "/poll": (there.http_port, request("GET", f"/poll?token={token}", *headers)),
        "/publish": (there.http_port, request("POST", f"/publish?token={token}", *headers)),
    }


def test_only_tokens_of_ones_own_that_are_signed_and_fresh_are_good(siege):
    async def attack(there):
        mine, others = there.token(there.client("rude")), there.client("rude", 1)
        bad = {
            "": "", "garbage": "a.b.c", "percent": "%ff%00%ed%a0%80", "bytes": "\xff\xfe",
            "of another client": mine.replace(f"{there.client('rude')}.", f"{others}.", 1),
            "longer": mine.replace(".", "0.", 1), "no signature": mine.rpartition(".")[0] + ".",
            "another secret": there.token(others, secret=b"x" * 32), "expired": there.token(others, life_s=-1),
            "nobody's": there.token(10**6), "before the first": there.token(-1),
        }  # fmt: skip
        asked = {(what, path): ask for what, token in bad.items() for path, ask in everywhere(there, token).items()}
        for (what, path), answer in (await there.answers(asked)).items():
            unreadable = (400, None) if what == "bytes" else ()
            assert status_of(answer) in (401, *unreadable), (what, path, answer)

    siege.under(attack)


def test_other_origins_are_turned_away_also_behind_a_good_one(siege):
    async def attack(there):
        evil, good, token = "Origin: http://evil.test", f"Origin: {ORIGIN}", there.token(there.client("rude"))
        for headers in ((evil,), ("Origin: null",), ("Origin:",), (good, evil), (evil, good), (good + ".test",)):
            for path, answer in (await there.answers(everywhere(there, token, *headers))).items():
                assert status_of(answer) == 403, (headers, path, answer)

    siege.under(attack)


def test_a_session_is_its_clients_alone(siege):
    async def attack(there):
        path = await there.session("idle")
        thief = f"/poll?token={there.token(there.client('rude'))}&session={path.rpartition('=')[2]}"
        assert status_of(await there.ask(there.http_port, request("GET", thief))) == 404
        assert status_of(await there.ask(there.http_port, request("GET", path))) == 200
        await there.end_session("idle")

    siege.under(attack)


# Requests.

PATHS = (
    "/", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/ws/../metrics", "//ws", "/ws/", "/WS", "/events/", "/ws;x",
    "/static/../../pyproject.toml", "/ws%00", "//[", "http://[/ws", "http://evil.test/ws", "*",
)  # fmt: skip

METHODS = (
    ("POST", "/events"), ("HEAD", "/events"), ("HEAD", "/poll"), ("DELETE", "/poll"), ("GET", "/publish"),
    ("PUT", "/publish"), ("TRACE", "/events"), ("OPTIONS", "/metrics"), ("CONNECT", "/events"), ("BREW", "/events"),
)  # fmt: skip


def test_unknown_paths_and_methods_lead_nowhere(siege):
    async def attack(there):
        token, ports = there.token(there.client("rude")), (there.ws_port, there.http_port)
        asked = {(path, port): (port, upgrade(token, path=path)) for path in PATHS for port in ports}
        for method, path in METHODS:
            asked[method, path] = there.http_port, request(method, f"{path}?token={token}")
        for method in (b"POST", b"HEAD", b"PUT", b"CONNECT"):
            asked[method] = there.ws_port, upgrade(token).replace(b"GET", method, 1)
        for what, answer in (await there.answers(asked)).items():
            assert status_of(answer) in (400, 404, 405) or isinstance(what, bytes) and not answer, (what, answer)
        old = f"GET /events?token={token} HTTP/1.0\r\nHost: x\r\n\r\n".encode()
        assert status_of(await there.ask(there.http_port, old)) == 505

    siege.under(attack)


def test_a_handshake_that_comes_to_nothing_does_not_count_for_ever(siege):
    """The gate has let them in; then it shows that they want no WebSocket. More do so than it takes at a time."""

    async def attack(there):
        good = upgrade(there.token(there.client("rude")))
        for name in (b"Sec-WebSocket-Key", b"Upgrade: ", b"Connection: ", b"Sec-WebSocket-Version"):
            ask = there.ws_port, good.replace(name, b"X-" + name, 1)
            found = await there.answers(dict.fromkeys(range(besieged.N_RUDE // 2), ask))
            assert {status_of(answer) for answer in found.values()} <= {400, 426}

    siege.under(attack)


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

SMUGGLING = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    "length with a sign": b"Content-Length: +%d\r\n\r\n" % len(SMUGGLED),
    "length in hex": b"Content-Length: 0x10\r\n\r\n",
    "length with an underscore": b"Content-Length: 1_0\r\n\r\n",
    "length below zero": b"Content-Length: -1\r\n\r\n",
    "encoding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "encoding of another name": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "encoding that is not the last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a header folded": b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a header with a zero": b"X: \x00\r\n\r\n",
    "a header with a carriage return": b"X: y\rTransfer-Encoding: chunked\r\n\r\n",
    "a header without a colon": b"nonsense\r\n\r\n",
    "chunk of a strange size": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "chunk with a sign": b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
    "chunk without end": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n",
}


def test_no_request_is_smuggled_in_the_body_of_another(siege):
    """Where two servers may disagree on the end of a request, it is refused and the connection with it."""

    async def attack(there):
        publish = b"POST /publish?token=%b HTTP/1.1\r\nHost: x\r\n" % there.token(there.client("rude")).encode()
        health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
        asked = {}
        for what, rest in SMUGGLING.items():
            asked["publish", what] = there.http_port, publish + rest + SMUGGLED
            asked["health", what] = there.http_port, health + rest + SMUGGLED
            asked["ws", what] = there.ws_port, health + rest + SMUGGLED
        for what, answer in (await there.answers(asked)).items():
            assert answer.count(b"HTTP/1.") <= 1, (what, answer)
            assert status_of(answer) == 400 or what[0] != "publish", (what, answer)

    siege.under(attack)


def test_what_is_too_large_is_refused(siege):
    async def attack(there):
        token = there.token(there.client("rude"))
        stream = await there.stream("rude")
        path = f"/publish?token={token}"
        chunked = (
            request("POST", path, "Transfer-Encoding: chunked")
            + b"10000\r\n"
            + bytes(2**16)
            + b"\r\n1\r\nx\r\n0\r\n\r\n"
        )
        for post in (request("POST", path, body=bytes(2**20)), chunked):
            assert status_of(await there.ask(there.http_port, post)) == 413
        stream.hang_up()
        asked = {}
        for headers in [f"X: {'y' * 100_000}"], [f"{'x' * 100_000}: y"], [f"X-{n}: y" for n in range(10_000)]:
            asked["http", headers[0][:10]] = there.http_port, request("GET", "/healthz", *headers)
            asked["ws", headers[0][:10]] = there.ws_port, upgrade(token, *headers)
        for port in (there.http_port, there.ws_port):
            asked[port] = port, request("GET", f"/{'x' * 100_000}")
        for what, answer in (await there.answers(asked)).items():
            assert status_of(answer) in (400, 414, 431), (what, answer)

    siege.under(attack)


def test_a_frame_over_http_is_as_good_as_any(siege):
    """It needs a connection; a wrong one, one that cannot be read and one too many are answered, and it goes on."""

    async def attack(there):
        path = f"/publish?token={there.token(there.client('rude'))}"

        async def post(body, *headers):
            return status_of(await there.ask(there.http_port, request("POST", path, *headers, body=body)))

        good = wire.encode(wire.Publish(1, there.room("rude"), 1, "hello"))
        assert await post(good) == 409
        stream = await there.stream("rude")
        assert await post(good) == 204
        await stream.until(b"hello")
        assert [await post(body) for body in (b"", b"\xff", b"{}", b'{"type":"join"}')] == [400] * 4
        broken = request("POST", path, "Transfer-Encoding: chunked") + b"zz\r\n"
        assert status_of(await there.ask(there.http_port, broken)) == 400
        found = await asyncio.gather(*(post(good) for _ in range(150)))
        assert set(found) == {204, 429}
        stream.hang_up()

    siege.under(attack)


# Slow ones, and noise.


def test_slow_senders_are_dropped_when_their_time_is_over(siege):
    """Hundreds that send a byte now and then, or nothing at all; from the start, after a request, or within a body."""

    async def attack(there):
        token = there.token(there.client("rude"))
        head = f"GET /ws?token={token} HTTP/1.1\r\nHost: x\r\nX: ".encode()
        kinds = [(port, head) for port in (there.ws_port, there.http_port) for _ in range(150)]
        kinds += [(there.http_port, b"GET /none HTTP/1.1\r\nHost: x\r\n\r\nGET /")] * 20
        kinds += [(there.http_port, request("POST", f"/publish?token={token}", "Content-Length: 1000"))] * 20
        dripping = [await there.socket(*kind) for kind in kinds]
        silent = [await there.socket(port) for port in (there.ws_port, there.http_port) for _ in range(50)]
        begun = time.monotonic()
        rests = {one: asyncio.create_task(one.rest()) for one in (*silent, *dripping)}
        while not all(rest.done() for rest in rests.values()):
            for one in dripping:
                if not rests[one].done():
                    one.send(b"x")
            await asyncio.sleep(0.2)
        assert time.monotonic() - begun < HEADER_TIMEOUT_S + WAIT_S / 3
        assert {status_of(rests[one].result()) for one in dripping[-20:]} == {408}

    siege.under(attack)


def noise(n):
    """The nth string of random bytes, up to 1,023 of them."""
    length = int.from_bytes(hashlib.sha256(b"length %d" % n).digest()[:2], "big") % 1_024
    return hashlib.shake_256(b"string %d" % n).digest(length)


def test_a_thousand_random_strings_change_nothing(siege):
    """To every port, as they are and after beginnings that make sense; the broker's port is one too."""

    async def attack(there):
        token = there.token(there.client("rude", 9))
        poll, publish = request("GET", f"/poll?token={token}"), f"/publish?token={token}"
        chunked = request("POST", publish, "Transfer-Encoding: chunked")
        begins = {
            there.ws_port: (b"", b"GET ", b"GET /ws?token=", upgrade(token)[:-2], upgrade(token)),
            there.http_port: (b"", b"GET ", b"GET /events?token=", poll[:-2], chunked),
            there.broker_port: (b"",),
        }
        turns = asyncio.Semaphore(20)

        async def throw(port, n):
            async with turns:
                one = await there.socket(port, begins[port][n % len(begins[port])] + noise(n))
                if not one.writer.is_closing():
                    one.writer.write_eof()
                await one.rest()
                one.hang_up()
                there.sockets.remove(one)

        await asyncio.gather(*(throw(port, n) for n in range(1_000) for port in begins))

    siege.under(attack)


def test_after_all_of_it_the_server_is_as_it_was(siege):
    siege.under(besieged.as_before)
