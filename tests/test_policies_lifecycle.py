"""Lifecycle allows exactly the transitions of its table, and draws its diagram from it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.errors import EngineError
from realtime_sim.policies.lifecycle import FINAL, MEANINGS, TRANSITIONS, Event, State, mermaid, next_state, table

# Known values: lives written by hand.


@pytest.mark.parametrize(
    ("events", "states"),
    [
        (
            ["attempt", "accepted", "session_ended", "session_started", "attempt"],
            ["CONNECTING", "OPEN", "CLOSED", "IDLE", "CONNECTING"],
        ),
        (
            ["attempt", "accepted", "server_died", "noticed", "retry", "refused", "retry", "accepted"],
            ["CONNECTING", "OPEN", "LOST", "BACKING_OFF", "CONNECTING", "BACKING_OFF", "CONNECTING", "OPEN"],
        ),
        (
            ["attempt", "timed_out", "gave_up", "session_ended"],
            ["CONNECTING", "BACKING_OFF", "GAVE_UP", "CLOSED"],
        ),
        (["attempt", "accepted", "dropped", "session_ended"], ["CONNECTING", "OPEN", "LOST", "CLOSED"]),
    ],
)
def test_a_life_passes_through_the_states_one_expects(events, states):
    state, passed = State.IDLE, []
    for event in events:
        state = next_state(state, Event(event))
        passed.append(state.name)
    assert passed == states


@pytest.mark.parametrize(
    "event",
    ["refused", "backlog_full", "throttled", "timed_out", "session_unknown", "no_server", "server_died", "dropped"],
)
def test_every_failed_attempt_leads_to_backoff(event):
    assert next_state(State.CONNECTING, Event(event)) is State.BACKING_OFF


@pytest.mark.parametrize(
    "event", ["server_died", "dropped", "overflowed", "drained", "session_unknown", "no_server", "backlog_full"]
)
def test_a_broken_connection_is_lost_until_it_is_noticed(event):
    assert next_state(State.OPEN, Event(event)) is State.LOST
    assert next_state(State.LOST, Event.NOTICED) is State.BACKING_OFF


# Properties.


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(State), st.sampled_from(Event))
def test_an_event_is_in_the_table_or_refused(state, event):
    if event in TRANSITIONS[state]:
        assert next_state(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(EngineError):
            next_state(state, event)


def test_every_state_has_a_row_and_every_event_an_arrow_and_a_meaning():
    assert set(TRANSITIONS) == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event) == set(MEANINGS)


def test_every_state_can_be_reached_and_left():
    reached, frontier = {State.IDLE}, [State.IDLE]
    while frontier:
        new = set(TRANSITIONS[frontier.pop()].values()) - reached
        reached |= new
        frontier += new
    assert reached == set(State)
    assert all(TRANSITIONS[state] for state in State)


def test_a_user_may_leave_at_any_time():
    for state in set(State) - {State.CLOSED}:
        assert next_state(state, Event.SESSION_ENDED) is State.CLOSED


def test_no_attempt_starts_from_a_final_state():
    for state in FINAL:
        assert State.CONNECTING not in TRANSITIONS[state].values()


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TRANSITIONS[State.OPEN] = {}
    with pytest.raises(TypeError):
        TRANSITIONS[State.OPEN][Event.RETRY] = State.OPEN


# Agreement: text with table.


def test_the_diagram_holds_the_table_and_nothing_else():
    lines = mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> IDLE"]
    drawn = set()
    for line in lines[2:]:
        before, after, events = re.fullmatch(r"    ([A-Z_]+) --> ([A-Z_]+): ([a-z_, ]+)", line).groups()
        drawn |= {(before, event, after) for event in events.split(", ")}
    assert drawn == {row[:3] for row in table()}
    assert drawn == {(s.name, e.value, a.name) for s, row in TRANSITIONS.items() for e, a in row.items()}


def test_state_numbers_stay_as_recorded():
    assert [(state.name, int(state)) for state in State] == [
        ("IDLE", 0),
        ("CONNECTING", 1),
        ("OPEN", 2),
        ("LOST", 3),
        ("BACKING_OFF", 4),
        ("CLOSED", 5),
        ("GAVE_UP", 6),
    ]


# Errors.


def test_an_impossible_event_names_the_possible_ones():
    with pytest.raises(EngineError) as caught:
        next_state(State.LOST, Event.ACCEPTED)
    assert str(caught.value) == "event 'accepted' cannot happen in state LOST; possible: noticed, session_ended"
