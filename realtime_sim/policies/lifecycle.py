"""Lifecycle: the life of a client's connection as a table of states and events.

The rule: `TRANSITIONS` is all there is. What it does not list cannot happen, and an engine that tries has a defect. The
diagram and the table in the documentation are made from it.

A connection that breaks passes through `LOST` even if a reset arrives: the client learns of it by the event `noticed`,
at once after a reset and by its keepalive after a silent death.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from realtime_sim.errors import EngineError

__all__ = ["FINAL", "MEANINGS", "TRANSITIONS", "Event", "State", "mermaid", "next_state", "table"]


class State(enum.IntEnum):
    """Where a client stands. Numbers are part of recorded files: new states go to the end."""

    IDLE = 0
    CONNECTING = 1
    OPEN = 2
    LOST = 3
    BACKING_OFF = 4
    CLOSED = 5
    GAVE_UP = 6


class Event(enum.StrEnum):
    """What can happen to a client's connection."""

    ATTEMPT = "attempt"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    BACKLOG_FULL = "backlog_full"
    THROTTLED = "throttled"
    TIMED_OUT = "timed_out"
    SESSION_UNKNOWN = "session_unknown"
    NO_SERVER = "no_server"
    SERVER_DIED = "server_died"
    DROPPED = "dropped"
    OVERFLOWED = "overflowed"
    DRAINED = "drained"
    NOTICED = "noticed"
    RETRY = "retry"
    GAVE_UP = "gave_up"
    SESSION_ENDED = "session_ended"
    SESSION_STARTED = "session_started"


MEANINGS: Mapping[Event, str] = MappingProxyType(
    {
        Event.ATTEMPT: "the first connection attempt of a session",
        Event.ACCEPTED: "the handshake is done and messages flow",
        Event.REFUSED: "the server answered that it has no room (503)",
        Event.BACKLOG_FULL: "the server's accept backlog had no place",
        Event.THROTTLED: "the server turned the request away to protect itself (429)",
        Event.TIMED_OUT: "the client waited for its connect timeout",
        Event.SESSION_UNKNOWN: "a request reached a server that does not know the session",
        Event.NO_SERVER: "the balancer knows no healthy server",
        Event.SERVER_DIED: "the server died",
        Event.DROPPED: "the network dropped the connection",
        Event.OVERFLOWED: "the server cut a client too slow for its buffer",
        Event.DRAINED: "the server closed the connection to be replaced",
        Event.NOTICED: "the client learnt that its connection is gone",
        Event.RETRY: "the backoff is over and the next attempt starts",
        Event.GAVE_UP: "the backoff policy has no further attempt",
        Event.SESSION_ENDED: "the user left",
        Event.SESSION_STARTED: "the user, or the next one in the same place, came back",
    }
)
"""One line on every event."""

_FAILED_ATTEMPT = (
    Event.REFUSED,
    Event.BACKLOG_FULL,
    Event.THROTTLED,
    Event.TIMED_OUT,
    Event.SESSION_UNKNOWN,
    Event.NO_SERVER,
    Event.SERVER_DIED,
    Event.DROPPED,
)
_BROKEN = (Event.SERVER_DIED, Event.DROPPED, Event.OVERFLOWED, Event.DRAINED)
_FAILED_POLL = (Event.SESSION_UNKNOWN, Event.NO_SERVER, Event.BACKLOG_FULL)  # a long poll is a request like any other


def _frozen(rows: dict[State, dict[Event, State]]) -> Mapping[State, Mapping[Event, State]]:
    return MappingProxyType({state: MappingProxyType(row) for state, row in rows.items()})


TRANSITIONS: Mapping[State, Mapping[Event, State]] = _frozen(
    {
        State.IDLE: {
            Event.ATTEMPT: State.CONNECTING,
            Event.SESSION_ENDED: State.CLOSED,
        },
        State.CONNECTING: {
            Event.ACCEPTED: State.OPEN,
            **dict.fromkeys(_FAILED_ATTEMPT, State.BACKING_OFF),
            Event.SESSION_ENDED: State.CLOSED,
        },
        State.OPEN: {
            **dict.fromkeys((*_BROKEN, *_FAILED_POLL), State.LOST),
            Event.SESSION_ENDED: State.CLOSED,
        },
        State.LOST: {
            Event.NOTICED: State.BACKING_OFF,
            Event.SESSION_ENDED: State.CLOSED,
        },
        State.BACKING_OFF: {
            Event.RETRY: State.CONNECTING,
            Event.GAVE_UP: State.GAVE_UP,
            Event.SESSION_ENDED: State.CLOSED,
        },
        State.CLOSED: {
            Event.SESSION_STARTED: State.IDLE,
        },
        State.GAVE_UP: {
            Event.SESSION_ENDED: State.CLOSED,
        },
    }
)
"""The next state for every state and every event that can happen in it."""

FINAL = frozenset({State.CLOSED, State.GAVE_UP})
"""States in which a client makes no further attempt by itself."""


def next_state(state: State, event: Event) -> State:
    """The state after an event.

    Parameters
    ----------
    state : State
        The state before.
    event : Event
        What happened.

    Returns
    -------
    State
        The state after.

    Raises
    ------
    EngineError
        If the event cannot happen in this state; the message lists those that can.

    Examples
    --------
    >>> next_state(State.OPEN, Event.SERVER_DIED).name
    'LOST'
    >>> next_state(State.IDLE, Event.NOTICED)
    Traceback (most recent call last):
    realtime_sim.errors.EngineError: event 'noticed' cannot happen in state IDLE; possible: attempt, session_ended
    """
    row = TRANSITIONS[state]
    if event not in row:
        possible = ", ".join(row)
        raise EngineError(f"event {str(event)!r} cannot happen in state {State(state).name}; possible: {possible}")
    return row[event]


def mermaid() -> str:
    """The table as a Mermaid state diagram, one arrow for all events between the same two states.

    Returns
    -------
    str
        Text of a `stateDiagram-v2`, without a final newline.

    Examples
    --------
    >>> print(mermaid().splitlines()[2])
        IDLE --> CONNECTING: attempt
    """
    lines = ["stateDiagram-v2", "    [*] --> IDLE"]
    for state, row in TRANSITIONS.items():
        arrows: dict[State, list[str]] = {}
        for event, after in row.items():
            arrows.setdefault(after, []).append(event.value)
        lines += [f"    {state.name} --> {after.name}: {', '.join(events)}" for after, events in arrows.items()]
    return "\n".join(lines)


def table() -> list[tuple[str, str, str, str]]:
    """The table as rows of text: state, event, next state, meaning of the event.

    Returns
    -------
    list of tuple of 4 str
        One row a transition, in the order of `TRANSITIONS`.

    Examples
    --------
    >>> table()[0]
    ('IDLE', 'attempt', 'CONNECTING', 'the first connection attempt of a session')
    """
    return [
        (state.name, event.value, after.name, MEANINGS[event])
        for state, row in TRANSITIONS.items()
        for event, after in row.items()
    ]
