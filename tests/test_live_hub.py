"""The hub sends each message once to every member that may hear it, in order; the gate lets in whom it should."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from live.brokers.base import BrokerDown, Delivered
from live.logbook import Logbook
from live.page import Page
from live.server.frontdoor import FrontDoor, Misbehaved
from live.server.gate import Allowance, Gate, Refused
from live.server.history import History
from live.server.hub import Hub, Membership
from live.server.polling import PollSubscriber
from live.server.settings import FANOUTS, SENDS, CohortRules, ServerSettings
from live.tokens import write_token
from realtime_sim import wire

SECRET = b"s" * 32

RULES = CohortRules("websocket", None, None, "unbounded", 0, True, ())

SETTINGS = ServerSettings(
    number=3, websocket_port=0, http_port=0, secret=SECRET.hex(), origins=("http://good.test",), broker_url="",
    broker={"subscription": "per_room"}, namespace="run", is_late=False, cohorts=(RULES,), max_connections=None,
    admission={"rate": None, "burst": 1, "concurrency": None, "retry_after": 0.0}, task_per_client=False, backlog=10,
    poll_hold_s=0.05, slice=2, shuts_when_draining=False, max_message_bytes=1_000, client_rate_per_s=100.0,
    client_burst=3, header_timeout_s=1.0, n_sends=1_000, n_fanouts=1_000,
)  # fmt: skip


class Ear:
    """A subscriber that keeps what it hears."""

    def __init__(self, client, cohort=0):
        self.client, self.cohort, self.held, self.allowance = client, cohort, None, None
        self.is_open, self.buffered_bytes, self.heard, self.closed = True, 0, [], None

    def send(self, body, position, number=-1):
        self.heard.append(wire.read_from_server(body))
        return True

    def close(self, code, reason):
        self.is_open, self.closed = False, code

    @property
    def ids(self):
        return [frame.id for frame in self.heard if isinstance(frame, wire.Message)]


class Log:
    """A link to a broker whose log is a list; what it is told is kept."""

    def __init__(self, messages=()):
        self.messages, self.asked, self.published = list(messages), [], []
        self.is_down = False

    async def subscribe(self, rooms):
        self.asked.append(("subscribe", sorted(rooms)))

    async def unsubscribe(self, rooms):
        self.asked.append(("unsubscribe", sorted(rooms)))

    async def publish(self, room, body):
        if self.is_down:
            raise BrokerDown("it is down")
        self.published.append((room, wire.read_from_server(body)))

    async def read_between(self, after, until):
        return [one for one in self.messages if int(after) < int(one.position) <= int(until)]


def membership(rooms):
    """Who is in which rooms, by client."""
    offsets = np.cumsum([0, *map(len, rooms)])
    return Membership(offsets, np.array([room for mine in rooms for room in mine], dtype=np.int32))


def message(number, room, position=""):
    return Delivered(room, wire.encode(wire.Message(number, room, 1, "", "")), position)


def serve(work, rooms, skipped=(), **changes):
    """Run `work(hub, door, log)` on a server whose clients are in these rooms; returns what it wrote down."""

    async def run():
        settings = dataclasses.replace(SETTINGS, **changes)
        page, sends, fanouts = Page(), Logbook(SENDS, 1_000), Logbook(FANOUTS, 1_000)
        gate, log = Gate(settings, [0] * len(rooms)), Log()
        hub = Hub(
            membership(rooms), np.array(skipped, dtype=np.int32), gate.takes, page, sends, fanouts, settings.slice
        )
        await work(hub, FrontDoor(settings, hub, gate, log), log)
        books = page, sends.read(), fanouts.read()
        for shared in (page, sends, fanouts):
            shared.close()
        return books

    return asyncio.run(run())


async def enter(door, ear, after=""):
    """A client connects, as every transport has it."""
    await door.open(ear, door.admit(), "", after)


async def turns(n=20):
    for _ in range(n):
        await asyncio.sleep(0)


def test_members_hear_their_rooms_and_nobody_else_does():
    ears = [Ear(n) for n in range(3)]

    async def work(hub, door, log):
        for ear in ears:
            hub.register(ear)
        for number, room in ((0, 1), (1, 2), (2, 0)):
            hub.receive(message(number, room))
        await turns()

    page, sends, fanouts = serve(work, [[0, 1], [0, 1, 2], [0, 2]])
    assert [ear.ids for ear in ears] == [[0, 2], [0, 1, 2], [1, 2]]
    assert sends["message"].tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert sends["client"].tolist() == [0, 1, 1, 2, 0, 1, 2]
    assert page.get("sends") == 7
    for name in ("read_ns", "started_ns"):
        assert (np.diff(fanouts[name]) >= 0).all()
    assert (fanouts["read_ns"] <= fanouts["started_ns"]).all()
    assert (fanouts["started_ns"] <= fanouts["ended_ns"]).all()


def test_messages_never_overtake_each_other_whatever_the_slice():
    ears = [Ear(n) for n in range(7)]

    async def work(hub, door, log):
        for ear in ears:
            hub.register(ear)
        for number in range(5):
            hub.receive(message(number, 0))
            await turns(number)
        await turns(60)

    for slice in (1, 2, 7, 100):
        for ear in ears:
            ear.heard.clear()
        serve(work, [[0]] * 7, slice=slice)
        assert all(ear.ids == [0, 1, 2, 3, 4] for ear in ears)


def test_who_sent_a_message_without_echo_does_not_get_it_back():
    ears = [Ear(0), Ear(1)]

    async def work(hub, door, log):
        for ear in ears:
            hub.register(ear)
        hub.receive(message(0, 0))
        hub.receive(message(1, 0))
        await turns()

    serve(work, [[0], [0]], skipped=[1, -1])
    assert [ear.ids for ear in ears] == [[0, 1], [1]]


def test_who_leaves_during_a_fan_out_gets_no_more_of_it():
    ears = [Ear(n) for n in range(4)]

    async def work(hub, door, log):
        for ear in ears:
            hub.register(ear)
        hub.receive(message(0, 0))
        await turns(1)  # a slice of two
        ears[3].close(1000, "")
        await turns()

    serve(work, [[0]] * 4)
    assert [ear.ids for ear in ears] == [[0], [0], [0], []]


def test_an_older_connection_of_the_same_client_gives_way():
    old, new = Ear(0), Ear(0)

    async def work(hub, door, log):
        hub.register(old)
        hub.register(new)
        assert hub.unregister(old) == []
        hub.receive(message(0, 0))
        await turns()

    page, *_ = serve(work, [[0]])
    assert (old.closed, old.ids, new.ids) == (1008, [], [0])
    assert (page.get("connections"), page.get("peak_connections")) == (1, 1)


def test_rooms_are_subscribed_once_and_given_back_by_the_last_to_leave():
    async def work(hub, door, log):
        one, other = Ear(0), Ear(1)
        await enter(door, one)
        await enter(door, other)
        await door.leave(one)
        await door.leave(other)
        assert log.asked == [
            ("subscribe", [0, 1]), ("subscribe", [0, 2]), ("unsubscribe", [1]), ("unsubscribe", [0, 2]),
        ]  # fmt: skip

    serve(work, [[0, 1], [0, 2]])


@pytest.mark.parametrize("remembers", [True, False])
def test_a_returning_client_gets_what_it_missed_once_and_in_order(remembers):
    ear = Ear(0)

    async def work(hub, door, log):
        log.messages = [message(n, n % 3, str(n)) for n in range(1, 8)]
        for one in log.messages:
            hub.receive(one)
        await turns(40)
        if not remembers:
            hub.history = History(1, 10**6)
        opening = asyncio.create_task(enter(door, ear, "2"))
        await turns(1)
        hub.receive(message(9, 0, "9"))  # comes while it catches up
        await opening
        await turns()

    serve(work, [[0, 1]])
    assert ear.ids == [3, 4, 6, 7, 9]
    assert [frame.pos for frame in ear.heard[1:]] == ["3", "4", "6", "7", "9"]


def test_the_history_forgets_the_oldest():
    history = History(3, 10**6)
    for n in range(5):
        history.append(message(n, 0, str(n)))
    assert history.after("1") is None
    assert [one.position for one in history.after("2")] == ["3", "4"]
    assert history.after("4") == []
    small = History(3, 2 * len(message(0, 0).body))
    for n in range(3):
        small.append(message(n, 0, str(n)))
    assert small.after("0") is None
    assert [one.position for one in small.after("1")] == ["2"]


# The gate.


def gate(**changes):
    return Gate(dataclasses.replace(SETTINGS, **changes), [0, 0])


def test_a_good_token_from_a_good_origin_or_none_is_let_in():
    token = write_token(SECRET, 1, 2**40)
    assert gate().identify(token, []) == gate().identify(token, ["http://good.test"]) == 1


@pytest.mark.parametrize(
    ("token", "origins", "status"),
    [
        (write_token(SECRET, 1, 2**40), ["http://evil.test"], 403),
        (write_token(SECRET, 1, 2**40), ["http://good.test", "http://evil.test"], 403),
        (write_token(SECRET, 1, 2**40), [""], 403),
        (write_token(SECRET, 1, 2**40), ["null"], 403),
        (write_token(b"other", 1, 2**40), [], 401),
        (write_token(SECRET, 1, 1), [], 401),
        (write_token(SECRET, 2, 2**40), [], 401),
        (write_token(SECRET, -1, 2**40), [], 401),
        ("", [], 401),
        ("\ud800.\ud800", [], 401),
    ],
)
def test_nobody_else_is(token, origins, status):
    with pytest.raises(Refused) as caught:
        gate().identify(token, origins)
    assert caught.value.status == status


def test_a_full_and_a_draining_server_refuse():
    full = gate(max_connections=2)
    full.admit(1)
    with pytest.raises(Refused, match="503"):
        full.admit(2)
    full.is_draining = True
    with pytest.raises(Refused, match="going away"):
        full.admit(0)


def test_handshakes_beyond_concurrency_are_throttled_and_told_when_to_come_back():
    busy = gate(admission={"rate": None, "burst": 1, "concurrency": 1, "retry_after": 2.5})
    busy.admit(0)
    with pytest.raises(Refused) as caught:
        busy.admit(0)
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "2.5"})
    busy.handshake_over()
    busy.admit(0)


def test_handshakes_beyond_the_rate_are_throttled():
    slow = gate(admission={"rate": 0.001, "burst": 2, "concurrency": None, "retry_after": 0.0})
    slow.admit(0)
    slow.admit(0)
    with pytest.raises(Refused, match="429"):
        slow.admit(0)


@pytest.mark.parametrize(("policy", "taken", "closed"), [("drop_newest", False, None), ("disconnect", False, 1008)])
def test_a_full_send_buffer_costs_the_message_or_the_connection(policy, taken, closed):
    rules = dataclasses.replace(RULES, overflow=policy, limit_bytes=100)
    ear = Ear(0)
    ear.buffered_bytes = 60
    strict = gate(cohorts=(rules,))
    assert strict.takes(ear, 40)
    assert strict.takes(ear, 41) is taken
    assert ear.closed == closed


# What clients send.


def said(ear, *texts, **changes):
    """What a client that says this is answered, and what is published."""
    found = []

    async def work(hub, door, log):
        await enter(door, ear)
        for text in texts:
            await door.take(ear, text)
        found.extend(log.published)

    serve(work, [[0, 1], [0, 2]], **changes)
    return ear.heard[1:], found


def test_members_join_leave_and_publish():
    ear = Ear(0)
    heard, published = said(
        ear, wire.encode(wire.Leave(1)), wire.encode(wire.Join(1)), wire.encode(wire.Publish(5, 1, 2, "hello"))
    )
    assert heard == [wire.Left(1), wire.Joined(1)]
    assert published == [(1, wire.Message(5, 1, 2, "", "hello"))]


@pytest.mark.parametrize("frame", [wire.Join(2), wire.Leave(2), wire.Publish(0, 2, 1, "")])
def test_who_is_no_member_can_do_nothing_in_a_room(frame):
    heard, published = said(Ear(0), wire.encode(frame))
    assert [answer.code for answer in heard] == ["not_a_member"]
    assert published == []


def test_some_cohorts_publish_to_rooms_of_others():
    rules = dataclasses.replace(RULES, publishes=((2, 3),))
    _, published = said(Ear(0), wire.encode(wire.Publish(0, 2, 1, "")), cohorts=(rules,))
    assert [room for room, _ in published] == [2]


@pytest.mark.parametrize(("text", "code"), [(b"\xff", 1007), ("{", 1007), ("{}", 1008), ('{"type":"join"}', 1008)])
def test_a_bad_frame_costs_the_connection_and_says_why(text, code):
    ear = Ear(0)
    with pytest.raises(Misbehaved) as caught:
        said(ear, text)
    assert caught.value.code == code
    assert isinstance(ear.heard[-1], wire.Failure)


def test_too_many_frames_cost_the_connection():
    frames = [wire.encode(wire.Join(1))] * 4
    with pytest.raises(Misbehaved, match="too many"):
        said(Ear(0), *frames, client_rate_per_s=0.001)
    assert [Allowance(10.0, 2).takes(0) for _ in range(3)] == [True, True, True]  # each has its own bucket


def test_what_the_broker_does_not_take_is_told():
    ear = Ear(0)

    async def work(hub, door, log):
        await enter(door, ear)
        log.is_down = True
        await door.take(ear, wire.encode(wire.Publish(5, 1, 1, "")))

    serve(work, [[0, 1]])
    assert ear.heard[-1] == wire.Failure("broker_down", "message 5 was not published")


# Long polling.


def test_what_waits_goes_out_together_and_an_empty_poll_is_held():
    left = []

    async def work():
        session = PollSubscriber(0, 0, lambda: None, lambda *copy: left.append(copy))
        session.send(b"1", "", 7)
        session.send(b"2", "")
        assert left == []
        assert await session.answer_within(1.0) == b"[1,2]"
        assert left == [(7, 0)]
        held = asyncio.create_task(session.answer_within(5.0))
        await asyncio.sleep(0)
        session.send(b"3", "")
        assert await held == b"[3]"
        assert await session.answer_within(0.01) == b"[]"
        session.close(1001, "")

    asyncio.run(work())


def test_the_end_of_a_session_answers_the_poll_that_is_held_and_is_told_once():
    ends = []

    async def work():
        session = PollSubscriber(0, 0, lambda: ends.append(1), print)
        held = asyncio.create_task(session.answer_within(5.0))
        await asyncio.sleep(0)
        session.close(1001, "")
        session.close(1001, "")
        assert await held is None
        assert await session.answer_within(1.0) is None

    asyncio.run(work())
    assert ends == [1]
