"""What everybody wrote down in a live run becomes the stamps, fates and counters that a simulation would give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.clients.settings import Happening
from live.cluster import Cut, History
from live.collecting.fates import Witness, expected_keys
from live.collecting.happenings import NEVER_NS, Histories, counters_at, follow
from live.collecting.stamps import (
    Copies,
    Fanouts,
    _in_order,
    arrivals,
    copies_of,
    copies_that_came,
    fanouts_of,
    stamps_of,
)
from live.collecting.trace import _area
from live.logbook import Logbook
from live.tally import Tally, places_in_rooms
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.trace import FAILURES, STAMPS
from realtime_sim.workload import draw_workload

BEGUN = 1_000_000

SCENARIO = Scenario(
    name="x", duration=10, warmup=0,
    clients=[{"name": "a", "count": 2, "network": {"rtt": "20ns"}}, {"name": "b", "count": 1}],
    servers={"count": 2}, broker={"kind": "redis_streams"},
    rooms=[{"name": "pair", "count": 1, "members": 2, "cohort": "a"}],
    traffic=[{"name": "all", "rate": 1, "arrivals": "constant"},
             {"name": "two", "to": "pair", "rate": 0.5, "arrivals": "constant", "echo": False, "from": "clients"}],
)  # fmt: skip
"""Ten messages to all three, five from one of the pair to the other."""

WORKLOAD = draw_workload(SCENARIO)


def told(*happened):
    """A logbook of (time, client, what, value), times from the beginning of the run."""
    rows = np.array([(time_ns + BEGUN, *rest) for time_ns, *rest in happened], dtype=np.int64).reshape(-1, 4)
    return {name: rows[:, i] for i, name in enumerate(("time_ns", "client", "what", "value"))}


def followed(*happened, cuts=()):
    recorder = Recorder(WORKLOAD, "summary")
    for _ in range(4):
        recorder.disturbed("kill_server", 0)
    return follow([told(*happened)], BEGUN, WORKLOAD.cohort, ["a", "b"], cuts, recorder), recorder


H = Happening


def test_a_client_is_followed_from_connection_to_connection():
    found, recorder = followed(
        (-500, 0, H.CONNECTED_AT_START, 1), (-500, 0, H.SESSION_BEGUN, 0), (100, 0, H.BROKE, 1006),
        (100, 0, H.NOTICED, 0),
        (150, 0, H.ATTEMPT, 0), (160, 0, H.FAILED, FAILURES.index("refused")), (200, 0, H.ATTEMPT, 0),
        (210, 0, H.ACCEPTED, 0), (300, 0, H.SESSION_ENDED, 0),
        cuts=[Cut(90, 1, "", 2)],
    )  # fmt: skip
    assert found.connections == [(0, 1, 0, 100), (0, 0, 210, 300)]
    assert found.sessions == [(0, 0, 300)]
    assert recorder.affected == [0, 0, 1, 0]
    assert recorder.recovery[2] == [210]
    (final,) = counters_at(found.counted, [10**9])
    nonzero = {name: n for name, n in final.items() if n}
    assert nonzero == {
        "connected_at_start": 1, "accepted": 2, "attempts": 2, "refused": 1, "reconnects": 1, "lost_connections": 1,
        "closed_abnormal": 1, "closed_normal": 1, "peak_connections": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cut", "blamed"),
    [
        (Cut(90, 1, "", 3), True),  # its server
        (Cut(90, 0, "", 3), False),  # another one
        (Cut(90, -1, "a", 3), True),  # its cohort
        (Cut(90, -1, "b", 3), False),
        (Cut(101, 1, "", 3), False),  # later
        (Cut(100 - 91 * 10**9, 1, "", 3), False),  # too long ago
    ],
)
def test_a_broken_connection_is_blamed_on_what_was_done_to_it(cut, blamed):
    _, recorder = followed((-1, 0, H.CONNECTED_AT_START, 1), (100, 0, H.BROKE, 1006), cuts=[cut])
    assert recorder.affected[3] == int(blamed)


def test_who_leaves_before_coming_back_need_not_recover():
    _, recorder = followed(
        (-1, 0, H.CONNECTED_AT_START, 1), (-1, 0, H.SESSION_BEGUN, 0), (100, 0, H.BROKE, 1006),
        (150, 0, H.SESSION_ENDED, 0), cuts=[Cut(90, 1, "", 0)],
    )  # fmt: skip
    assert recorder.affected[0] == 0


def test_who_never_got_in_is_counted():
    found, _ = followed((5, 0, H.ATTEMPT, 0), (6, 0, H.FAILED, 0), (5, 1, H.ATTEMPT, 0), (7, 1, H.ACCEPTED, 0))
    assert found.never_connected == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.just("attempts"), st.integers(1, 3)), max_size=20))
def test_counters_only_grow_and_end_with_their_sum(counted):
    counted.sort()
    found = [row["attempts"] for row in counters_at(counted, range(0, 60, 7))]
    assert found == sorted(found)
    assert found[-1] == sum(n for _, _, n in counted)


# Who was to get what.


def present(*clients, until=NEVER_NS):
    return Histories(sessions=[(client, 0, until) for client in clients])


def test_everybody_who_is_there_is_expected_to_get_what_backend_and_others_publish():
    histories = present(0, 1, 2)
    publishes = WORKLOAD.publishes
    two = np.flatnonzero(publishes.traffic == 1)
    histories.sent_ns = {int(message): 1 for message in two[:-1]}
    histories.unsent = {int(two[-1])}
    expected = expected_keys(WORKLOAD, histories)
    per_message = np.bincount(expected // 3, minlength=len(publishes))
    assert per_message[publishes.traffic == 0].tolist() == [3] * 10
    assert per_message[two].tolist() == [1, 1, 1, 1, 0]  # without echo the sender waits for nothing
    got = expected[np.isin(expected // 3, two)]
    assert not set(zip((got // 3).tolist(), (got % 3).tolist(), strict=True)) & set(
        zip(two.tolist(), publishes.sender[two].tolist(), strict=True)
    )


def test_who_has_left_or_not_come_yet_is_not_expected():
    histories = Histories(sessions=[(0, 0, 5 * 10**9), (1, 5 * 10**9, NEVER_NS)])
    expected = expected_keys(WORKLOAD, histories)
    message, client = expected // 3, expected % 3
    time_ns = WORKLOAD.publishes.time_ns[message]
    assert (time_ns[client == 0] < 5 * 10**9).all()
    assert (time_ns[client == 1] >= 5 * 10**9).all()
    assert len(expected) == 10


# Why somebody got nothing.


def cause(message, client, connections, *, sessions=(), history=None, died=(-1, -1), sent=(), refused=()):
    histories = Histories(connections=list(connections), sessions=list(sessions))
    copies = Copies(np.array(sorted(m * 3 + c for m, c in sent)), np.zeros(len(sent)), np.zeros(len(sent)))
    none = np.zeros(0, dtype=np.int64)
    witness = Witness(
        WORKLOAD, histories, history or History(), list(died), Fanouts(none, none, none, none), copies, set(refused), 0
    )
    return witness.loss(message, client).cause


FIFTH = int(np.flatnonzero(WORKLOAD.publishes.time_ns == 5 * 10**9)[0])
"""A message published after five seconds."""

S = 10**9


@pytest.mark.parametrize(
    ("why", "facts"),
    [
        ("offline", {"connections": []}),
        ("offline", {"connections": [(0, 1, 0, 4 * S), (0, 1, 6 * S, NEVER_NS)]}),
        ("cancelled", {"connections": [(0, 1, 0, 6 * S)], "sessions": [(0, 0, 6 * S)]}),
        ("connection_lost", {"connections": [(0, 1, 0, 6 * S)], "sent": [(FIFTH, 0)]}),
        ("server_died", {"connections": [(0, 1, 0, 6 * S)], "sent": [(FIFTH, 0)], "died": (-1, 5 * S)}),
        ("server_died", {"connections": [(0, 1, 0, 6 * S)], "died": (-1, 5 * S)}),
        ("unfinished", {"connections": [(0, 1, 0, NEVER_NS)]}),
        ("broker_down", {"connections": [(0, 1, 0, NEVER_NS)], "refused": [FIFTH]}),
        ("broker_down", {"connections": [(0, 1, 0, NEVER_NS)], "history": History(broker_down=[(4 * S, 6 * S)])}),
        ("server_away", {"connections": [(0, 1, 0, NEVER_NS)], "history": History(away=[(1, 4 * S, -1)])}),
        ("unfinished", {"connections": [(0, 1, 0, NEVER_NS)], "history": History(away=[(0, 4 * S, -1)])}),
    ],
)
def test_every_loss_has_its_cause(why, facts):
    assert cause(FIFTH, 0, **facts) == why


# Stamps.


def books(columns, *rows):
    table = np.array(rows, dtype=np.int64).reshape(-1, len(columns))
    return {name: table[:, i] for i, name in enumerate(columns)}


RECEIVED = ("message", "client", "connection", "time_ns")


def test_stamps_come_from_publisher_server_and_client_and_ascend():
    found = arrivals(WORKLOAD, [books(RECEIVED, (0, 0, 0, BEGUN + 900), (0, 2, 0, BEGUN + 800))], BEGUN)
    fanouts = fanouts_of(
        [books(("message", "read_ns", "started_ns", "ended_ns"), (0, BEGUN + 200, BEGUN + 300, BEGUN + 700))],
        len(WORKLOAD.publishes), BEGUN,
    )  # fmt: skip
    copies = copies_of([books(("message", "client", "sent_ns"), (0, 0, BEGUN + 400), (0, 2, BEGUN + 500))], 3, BEGUN)
    handed = np.full(len(WORKLOAD.publishes), 100)
    stamps, server = stamps_of(WORKLOAD, found, handed, fanouts, copies)
    assert server.tolist() == [0, 0]
    assert found["client"].tolist() == [2, 0]
    assert stamps.tolist() == [
        [0, 100, 200, 200, 300, 500, 500, 500, 800],
        [0, 100, 200, 200, 300, 400, 400, 400, 910],  # half of a round trip of 20 ns that loopback does not have
    ]


def test_what_is_sent_after_the_fan_out_has_waited_for_its_client():
    found = arrivals(WORKLOAD, [books(RECEIVED, (0, 2, 1, BEGUN + 5_000))], BEGUN)
    book = books(("message", "read_ns", "started_ns", "ended_ns"), (0, BEGUN + 2, BEGUN + 3, BEGUN + 9))
    fanouts = fanouts_of([book], len(WORKLOAD.publishes), BEGUN)
    copies = copies_of([books(("message", "client", "sent_ns"), (0, 2, BEGUN + 4_000))], 3, BEGUN)
    (stamps,), _ = stamps_of(WORKLOAD, found, np.ones(len(WORKLOAD.publishes)), fanouts, copies)
    hops = dict(zip(("to", "b", "c", "wait", "fanout", "away", "egress", "net"), np.diff(stamps).tolist(), strict=True))
    assert (hops["away"], hops["net"]) == (3_997, 1_000)


def test_an_arrival_that_no_server_wrote_down_is_as_late_as_it_can_be_everywhere():
    found = arrivals(WORKLOAD, [books(RECEIVED, (0, 2, 0, BEGUN + 800))], BEGUN)
    none = np.zeros(0, dtype=np.int64)
    stamps, server = stamps_of(
        WORKLOAD, found, np.full(len(WORKLOAD.publishes), 5), Fanouts(none, none, none, none), Copies(none, none, none)
    )
    assert server.tolist() == [-1]
    assert stamps.tolist() == [[0, 5, *[800] * (len(STAMPS) - 2)]]


def test_the_second_arrival_of_a_message_is_a_duplicate():
    rows = [(0, 2, 0, BEGUN + 800), (0, 2, 1, BEGUN + 900), (0, 1, 0, BEGUN + 850)]
    found = arrivals(WORKLOAD, [books(RECEIVED, *rows)], BEGUN)
    assert found["is_again"].tolist() == [False, False, True]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 50)), max_size=30))
def test_nothing_overtakes_on_one_connection(rows):
    connection = np.array([c for c, _ in rows], dtype=np.int64)
    time_ns = np.array([t for _, t in rows], dtype=np.int64)
    found = _in_order(time_ns, connection)
    for c in set(connection.tolist()):
        assert found[connection == c].tolist() == np.maximum.accumulate(time_ns[connection == c]).tolist()


@given(st.lists(st.integers(0, 100), max_size=20), st.lists(st.integers(0, 200), min_size=1, max_size=10))
def test_time_under_way_is_the_sum_over_all_that_began(begun, at):
    at.sort()
    expected = [sum(max(0, t - b) for b in begun) for t in at]
    assert _area(np.sort(np.array(begun, dtype=np.int64)), np.array(at)).tolist() == expected


# The tally of a run that goes on.


def test_the_numbering_in_a_room_shows_what_was_missed():
    two = np.flatnonzero(WORKLOAD.publishes.traffic == 1).tolist()
    assert places_in_rooms(WORKLOAD)[two].tolist() == [1, 2, 3, 4, 5]
    received, happened = Logbook(RECEIVED, 10), Logbook(("time_ns", "client", "what", "value"), 10)
    tally = Tally(WORKLOAD, 0, [received], [happened])
    for message in (two[0], two[3], two[1], two[4]):  # 2 and 3 are missing, and one of them comes late
        received.append(message, 0, 0, 20 * S)
        tally.update()
    assert tally.missed == 2
    assert tally.latency.sum() == 4
    for what in (H.CONNECTED_AT_START, H.SESSION_BEGUN, H.ACCEPTED):
        happened.append(0, 0, what, 0)
    tally.update()
    assert tally.reconnects == 1
    received.close(), happened.close()


def test_a_copy_that_no_server_wrote_down_came_from_the_server_of_its_connection():
    """Client 0 moves from server 1 to server 0, client 2 has one connection, and of client 1 none is known."""
    connections = [(0, 1, 0, 100), (2, 1, 50, NEVER_NS), (0, 0, 100, NEVER_NS)]
    rows = [(4, 0, 20), (5, 0, 100), (4, 2, 60), (4, 1, 70), (6, 2, 40)]
    found = dict(zip(("message", "client", "time_ns"), np.array(rows, dtype=np.int64).T, strict=True))
    copies = copies_that_came(found, connections, n_clients=3)
    assert copies.key.tolist() == [4 * 3, 4 * 3 + 2, 5 * 3]
    assert copies.server.tolist() == [1, 1, 0]
    assert copies.sent_ns.tolist() == [20, 60, 100]
    assert len(copies_that_came(found, [], n_clients=3).key) == 0
