"""A workload is a pure function of scenario and seed: who, where, when, with the distributions that were asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import RoomGroup
from realtime_sim.units import to_ns
from realtime_sim.workload import BACKEND, CONNECTED, Workload, draw_workload, room_sizes
from tests.conftest import small
from tests.strategies import scenarios

ONE_IN_A_MILLION = 1e-6


def drawn(**changes: object) -> Workload:
    return draw_workload(small(**changes))


def stream(**fields: object) -> dict:
    return {"name": "t", "rate": 1, "arrivals": "constant"} | fields


# Known values, worked by hand.


@pytest.mark.parametrize(
    ("fields", "duration", "times_s"),
    [
        ({"rate": 2}, 2, [0, 0.5, 1, 1.5]),
        ({"rate": 2, "start": 0.25, "stop": 1}, 2, [0.25, 0.75]),
        ({"rate": 1, "stop": 9}, 2.5, [0, 1, 2]),
        ({"rate": 3}, 1, [0, 1 / 3, 2 / 3]),
        ({"rate": 10, "start": 0.1, "stop": 0.4}, 1, [0.1, 0.2, 0.3]),  # 0.4 - 0.1 is a little more than 0.3
    ],
)
def test_constant_arrivals_come_at_equal_steps_from_start_until_before_stop(fields, duration, times_s):
    publishes = drawn(duration=duration, traffic=[stream(**fields)]).publishes
    assert publishes.time_ns.tolist() == [round(t * 1e9) for t in times_s]
    assert publishes.number.tolist() == list(range(len(times_s)))
    assert publishes.room.tolist() == [0] * len(times_s)
    assert publishes.sender.tolist() == [BACKEND] * len(times_s)


@pytest.mark.parametrize(
    ("fields", "n_eligible", "sizes"),
    [
        ({"count": 3, "members": 2}, 10, [2, 2, 2]),
        ({"count": 4, "members": 25, "zipf": 1}, 1_000, [48, 24, 16, 12]),  # 100 / (1 + 1/2 + 1/3 + 1/4) = 48
        ({"count": 4, "members": 25, "zipf": 1}, 20, [20, 20, 16, 12]),
        ({"count": 2, "members": 17, "zipf": 4}, 100, [32, 2]),  # 34 split as 16 to 1
        ({"count": 3, "members": 1, "zipf": 5}, 10, [3, 1, 1]),  # nobody is alone in a room without members
    ],
)
def test_sizes_of_rooms_fall_by_rank_within_their_bounds(fields, n_eligible, sizes):
    assert room_sizes(RoomGroup(name="r", **fields), n_eligible).tolist() == sizes


def test_clients_are_numbered_by_cohort_and_everyone_is_in_room_0():
    workload = drawn(rooms=[{"name": "inbox", "per_user": True, "cohort": "desks"}])
    assert workload.cohort.tolist() == [0] * 4 + [1] * 6
    assert workload.clients_of("desks").tolist() == list(range(4, 10))
    assert workload.rooms.n_rooms == 7 and workload.rooms.first.tolist() == [0, 1, 7]
    assert workload.rooms.members_of(0).tolist() == list(range(10))
    assert [workload.rooms.members_of(room).tolist() for room in range(1, 7)] == [[c] for c in range(4, 10)]
    assert workload.rooms.rooms_of(0).tolist() == [0] and workload.rooms.rooms_of(9).tolist() == [0, 6]


def test_publishes_at_one_time_stand_in_the_order_of_their_streams():
    publishes = drawn(duration=2, traffic=[stream(name="a"), stream(name="b", rate=2)]).publishes
    assert [*zip(publishes.time_ns, publishes.traffic, publishes.number, strict=True)] == [
        (0, 0, 0), (0, 1, 0), (500_000_000, 1, 1), (10**9, 0, 1), (10**9, 1, 2), (1_500_000_000, 1, 3),
    ]  # fmt: skip


def test_connect_times_lie_in_the_ramp_or_are_at_once():
    clients = [{"name": "a", "count": 50}, {"name": "b", "count": 50, "ramp_up": "2s"}]
    times = drawn(clients=clients).connect_ns
    assert (times[:50] == CONNECTED).all()
    assert (times[50:] >= 0).all() and (times[50:] < 2 * 10**9).all() and len(set(times[50:])) == 50


# Properties.


@settings(max_examples=60)
@given(scenarios())
def test_every_workload_is_sound_and_drawn_again_the_same(fields):
    scenario = small(**fields)
    workload, again = draw_workload(scenario), draw_workload(scenario)
    rooms, publishes = workload.rooms, workload.publishes
    members = [set(rooms.members_of(room).tolist()) for room in range(rooms.n_rooms)]
    for room, inside in enumerate(members):
        assert rooms.members_of(room).tolist() == sorted(inside)
        assert [c for c in range(workload.n_clients) if room in rooms.rooms_of(c)] == sorted(inside)
    for client in range(workload.n_clients):
        assert rooms.rooms_of(client).tolist() == sorted(set(rooms.rooms_of(client).tolist()))
    assert (workload.rtt_ns >= 0).all() and (workload.rtt_ns % 2 == 0).all()
    rows = zip(publishes.traffic, publishes.room, publishes.sender, publishes.time_ns, strict=True)
    for t, room, sender, time_ns in rows:
        asked = scenario.traffic[t]
        group = rooms.names.index(asked.to)
        assert rooms.first[group] <= room < rooms.first[group + 1]
        assert to_ns(asked.start) <= time_ns < to_ns(asked.stop or scenario.duration)
        if asked.source == "clients":
            assert sender in members[room]
        elif asked.source != "backend":
            assert scenario.clients[workload.cohort[sender]].name == asked.source
    for name in ("cohort", "rtt_ns", "connect_ns"):
        assert getattr(workload, name).tolist() == getattr(again, name).tolist()
    for part in (rooms, publishes):
        twin = again.rooms if part is rooms else again.publishes
        for field in dataclasses.fields(part):
            assert np.array_equal(getattr(part, field.name), getattr(twin, field.name)), field.name


@given(st.integers(1, 8), st.integers(1, 10), st.floats(0, 3), st.integers(0, 2**63 - 1))
def test_no_client_is_in_two_rooms_more_than_another(count, members, zipf, seed):
    group = {"name": "r", "count": count, "members": members, "zipf": zipf}
    rooms = drawn(seed=seed, rooms=[group]).rooms
    assert np.diff(rooms.member_offsets)[1:].tolist() == room_sizes(RoomGroup(**group), 10).tolist()
    joined = np.diff(rooms.room_offsets) - 1
    assert joined.max() - joined.min() <= 1


@given(st.sampled_from(["constant", "poisson"]), st.floats(0.1, 1), st.floats(1e-9, 1), st.floats(1, 2_000))
@example("constant", 0.5, 0.5000000004, 1_000)
def test_no_publish_is_at_or_after_the_end(arrivals, start, length, rate):
    """The 501st of 1,000 a second is due 0.4 ns before the end, which is the end in nanoseconds."""
    stop = start + length
    traffic = [stream(arrivals=arrivals, start=start, rate=rate)]
    times = drawn(duration=stop, traffic=traffic).publishes.time_ns
    assert (times >= to_ns(start)).all() and (times < to_ns(stop)).all()


def test_a_change_of_one_thing_leaves_every_other_draw():
    """Common random numbers: two scenarios that differ in one field can be compared draw by draw."""
    base = {"rooms": [{"name": "r", "count": 3, "members": 4}], "traffic": [stream(to="r", arrivals="poisson", rate=9)]}
    network = {"rtt": {"mean": "40ms"}}
    base["clients"] = [{"name": "phones", "count": 4, "network": network}, {"name": "desks", "count": 6}]
    first = drawn(**base)
    second = drawn(**base | {"servers": {"count": 5}, "traffic": [*base["traffic"], stream(name="more", rate=5)]})
    assert first.rtt_ns.tolist() == second.rtt_ns.tolist()
    assert first.rooms.members.tolist() == second.rooms.members.tolist()
    old = second.publishes.traffic == 0
    assert first.publishes.time_ns.tolist() == second.publishes.time_ns[old].tolist()
    assert first.publishes.room.tolist() == second.publishes.room[old].tolist()
    assert first.rtt_ns.tolist() != drawn(seed=1, **base).rtt_ns.tolist()


# Agreement with the distributions that were asked for; a correct program fails for one seed in a million.


def test_poisson_arrivals_are_a_poisson_process():
    """10,000 are expected; their number lies in the Poisson interval, and given that they are uniform in time."""
    times = drawn(traffic=[stream(arrivals="poisson", rate=1_000)]).publishes.time_ns
    low, high = stats.poisson(10_000).interval(1 - ONE_IN_A_MILLION)
    assert low <= len(times) <= high
    assert stats.kstest(times / 10e9, "uniform").pvalue > ONE_IN_A_MILLION
    gaps = np.diff(times) / 1e9
    assert stats.kstest(gaps, stats.expon(scale=1 / 1_000).cdf).pvalue > ONE_IN_A_MILLION


@pytest.mark.parametrize(("pick", "weights"), [("uniform", [1, 1, 1, 1]), ("by_size", [10, 7, 4, 3])])
def test_rooms_are_picked_evenly_or_by_their_size(pick, weights):
    """28 memberships split as 1/rank are 13.4, 6.7, 4.5 and 3.4, and no room can hold more than the ten clients."""
    group = {"name": "r", "count": 4, "members": 7, "zipf": 1}
    workload = drawn(rooms=[group], traffic=[stream(to="r", rate=4_000, pick=pick)])
    found = np.bincount(workload.publishes.room - 1, minlength=4)
    expected = np.array(weights) / np.sum(weights) * 40_000
    assert stats.chisquare(found, expected).pvalue > ONE_IN_A_MILLION


def test_members_senders_and_round_trips_are_drawn_evenly():
    clients = [{"name": "c", "count": 2_000, "network": {"rtt": {"low": 0, "high": "2s"}}}]
    rooms = [{"name": "half", "count": 1, "members": 1_000}]
    workload = drawn(clients=clients, rooms=rooms, traffic=[stream(to="half", rate=2_000, **{"from": "clients"})])
    assert stats.kstest(workload.rtt_ns / 2e9, "uniform").pvalue > ONE_IN_A_MILLION
    low_half = int((workload.rooms.members_of(1) < 1_000).sum())
    low, high = stats.hypergeom(2_000, 1_000, 1_000).interval(1 - ONE_IN_A_MILLION)
    assert low <= low_half <= high
    counts = np.bincount(workload.publishes.sender, minlength=2_000)[workload.rooms.members_of(1)]
    assert counts.sum() == 20_000 and stats.chisquare(counts).pvalue > ONE_IN_A_MILLION


def test_who_sends_does_not_depend_on_where_to():
    """Two rooms of five share the ten clients, so that each of the ten sends a tenth of the messages."""
    rooms = [{"name": "r", "count": 2, "members": 5}]
    workload = drawn(rooms=rooms, traffic=[stream(to="r", rate=2_000, **{"from": "clients"})])
    assert stats.chisquare(np.bincount(workload.publishes.sender, minlength=10)).pvalue > ONE_IN_A_MILLION


# Errors.


def test_a_run_of_too_many_publishes_is_refused_before_they_are_drawn():
    """6 million a second for 10 s, and a second for 1 s."""
    traffic = [stream(rate=6e6), stream(name="u", rate=6e6, start=2, stop=3)]
    with pytest.raises(ScenarioError) as caught:
        drawn(traffic=traffic)
    assert str(caught.value) == (
        "traffic must give at most 50_000_000 publishes in all, got 66000000; lower the rates or shorten duration"
    )
