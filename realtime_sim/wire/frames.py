"""Frames: the messages that servers and clients exchange, whatever transport carries them. JSON text, one object each.

A client asks to join and leave rooms and publishes; a server welcomes, answers, and passes messages on. Whoever reads
a frame checks all of it: fields, types and bounds; what is wrong is a `FrameError` with a code that can be sent back.
No I/O here.

The message that goes through the broker is the very text that clients get, so that servers copy bytes and encode
nothing; where a log gives it a position, the server writes that in (`with_position`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

__all__ = [
    "LEAST_MESSAGE_BYTES",
    "MAX_POSITION",
    "Batch",
    "Failure",
    "FrameError",
    "Join",
    "Joined",
    "Leave",
    "Left",
    "Message",
    "Publish",
    "Welcome",
    "encode",
    "number_of",
    "read_from_client",
    "read_from_server",
    "with_position",
]

MAX_POSITION = 64
"""Longest text of a position in a broker's log, characters."""

_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Join:
    """A client asks to hear a room."""

    room: int


@dataclass(frozen=True, slots=True)
class Leave:
    """A client does not want to hear a room any more."""

    room: int


@dataclass(frozen=True, slots=True)
class Publish:
    """A client publishes: the number of the message, its room, its place there, and its text."""

    id: int
    room: int
    seq: int
    data: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first frame of a connection: which server it is, the session's name where polls need one, and the position
    of the last message before."""

    server: int
    session: str
    pos: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A server says that a client hears a room now."""

    room: int


@dataclass(frozen=True, slots=True)
class Left:
    """A server says that a client hears a room no more."""

    room: int


@dataclass(frozen=True, slots=True)
class Message:
    """What was published: its number, its room, its place among the room's messages from 1 on, the position in the
    broker's log (empty without one), and its text."""

    id: int
    room: int
    seq: int
    pos: str
    data: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A server says what was wrong with a frame; the connection goes on unless it closes it."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer to a long poll: frames of the server, oldest first; empty when the poll was held for too long."""

    frames: tuple[Welcome | Message | Joined | Left | Failure, ...]


class FrameError(ValueError):
    """A frame breaks a rule.

    Parameters
    ----------
    code : str
        `not_json`, `unknown_type`, `bad_field` or `bad_fields`: what a server answers.
    detail : str
        One line for a person.

    Examples
    --------
    >>> read_from_client('{"type":"join","room":"lobby"}')
    Traceback (most recent call last):
    realtime_sim.wire.frames.FrameError: bad_field: join.room must be a whole number from 0 on, got str
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")


_FROM_CLIENT = MappingProxyType({"join": Join, "leave": Leave, "publish": Publish})
_FROM_SERVER = MappingProxyType(
    {"welcome": Welcome, "joined": Joined, "left": Left, "message": Message, "error": Failure}
)
_NAMES = MappingProxyType({kind: name for table in (_FROM_CLIENT, _FROM_SERVER) for name, kind in table.items()})

_NO_POSITION = b'"pos":""'

_NUMBER_AT = len(b'{"type":"message","id":')

Frame = Join | Leave | Publish | Welcome | Joined | Left | Message | Failure | Batch


def encode(frame: Frame, size_bytes: int = 0) -> bytes:
    """A frame as compact UTF-8 JSON, padded in its `data` to `size_bytes` where it is a message that is shorter.

    Examples
    --------
    >>> encode(Join(7))
    b'{"type":"join","room":7}'
    >>> len(encode(Message(id=1, room=2, seq=3, pos="", data=""), size_bytes=200))
    200
    >>> encode(Batch((Joined(1), Left(2))))
    b'[{"type":"joined","room":1},{"type":"left","room":2}]'
    """
    if isinstance(frame, Batch):
        return b"[" + b",".join(encode(part) for part in frame.frames) + b"]"
    plain = {"type": _NAMES[type(frame)]} | {part.name: getattr(frame, part.name) for part in fields(frame)}
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()
    missing = size_bytes - len(text)
    if missing > 0 and "data" in plain:
        text = text[:-2] + b"x" * missing + b'"}'  # `data` is the last field
    return text


LEAST_MESSAGE_BYTES = len(encode(Message(id=10**7, room=10**6, seq=10**6, pos="", data="")))
"""Size of a message without text, numbers of seven digits."""


def with_position(message: bytes, position: str) -> bytes:
    """The encoded message with the place that a log has given it.

    Examples
    --------
    >>> with_position(encode(Message(1, 2, 3, "", "hello")), "17-0")
    b'{"type":"message","id":1,"room":2,"seq":3,"pos":"17-0","data":"hello"}'
    """
    return message.replace(_NO_POSITION, b'"pos":"' + position.encode() + b'"', 1)


def number_of(message: bytes) -> int:
    """The number of an encoded message, without reading the rest of it.

    Examples
    --------
    >>> number_of(encode(Message(id=123, room=2, seq=3, pos="", data="hello")))
    123
    """
    return int(message[_NUMBER_AT : message.index(b",", _NUMBER_AT)])


def read_from_client(text: str | bytes) -> Join | Leave | Publish:
    """What a client has sent.

    Parameters
    ----------
    text : str or bytes
        One JSON object.

    Raises
    ------
    FrameError
        If it is not what `encode` writes for a client.

    Examples
    --------
    >>> read_from_client(encode(Publish(id=1, room=2, seq=3, data="hello")))
    Publish(id=1, room=2, seq=3, data='hello')
    """
    return _frame(_parsed(text), _FROM_CLIENT)


def read_from_server(text: str | bytes) -> Welcome | Joined | Left | Message | Failure | Batch:
    """What a server has sent.

    Parameters
    ----------
    text : str or bytes
        One JSON object, or an array of them, which is the answer to a poll.

    Raises
    ------
    FrameError
        If it is not what `encode` writes for a server.

    Examples
    --------
    >>> read_from_server(encode(Batch((Joined(1), Left(2))))).frames
    (Joined(room=1), Left(room=2))
    """
    plain = _parsed(text)
    if isinstance(plain, list):
        return Batch(tuple(_frame(part, _FROM_SERVER) for part in plain))
    return _frame(plain, _FROM_SERVER)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise FrameError("not_json", f"a frame must be one JSON object in UTF-8 ({type(error).__name__})") from None


def _frame(plain: Any, table: MappingProxyType) -> Any:
    if not isinstance(plain, dict) or not isinstance(plain.get("type"), str):
        raise FrameError("unknown_type", "a frame must be an object with a type")
    kind = table.get(plain["type"])
    if kind is None:
        raise FrameError("unknown_type", f"type must be one of {', '.join(table)}, got {plain['type'][:40]!r}")
    known = {part.name: part.type for part in fields(kind)}
    if plain.keys() - {"type"} != known.keys():
        raise FrameError("bad_fields", f"{plain['type']} has the fields {', '.join(known)} and no others")
    for name, of_type in known.items():
        _check(f"{plain['type']}.{name}", plain[name], of_type)
    return kind(**{name: plain[name] for name in known})


def _check(name: str, value: Any, of_type: str) -> None:
    if of_type == "int":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
            raise FrameError("bad_field", f"{name} must be a whole number from 0 on, got {type(value).__name__}")
    elif not isinstance(value, str):
        raise FrameError("bad_field", f"{name} must be text, got {type(value).__name__}")
    elif not _is_unicode(value):
        raise FrameError("bad_field", f"{name} must be text that UTF-8 can write, got half a surrogate pair")
    elif name.endswith(".pos") and len(value) > MAX_POSITION:
        raise FrameError("bad_field", f"{name} must have at most {MAX_POSITION} characters, got {len(value)}")


def _is_unicode(text: str) -> bool:
    """Whether it can be written: JSON lets half a surrogate pair through (RFC 8259, section 8.2)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
