"""Frames are read back as they were written, and whatever else arrives is one clear error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim import wire
from realtime_sim.wire import frames

numbers = st.integers(0, 2**62 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
from_client = st.one_of(
    st.builds(wire.Join, numbers),
    st.builds(wire.Leave, numbers),
    st.builds(wire.Publish, numbers, numbers, numbers, texts),
)
from_server = st.one_of(
    st.builds(wire.Welcome, numbers, texts, texts),
    st.builds(wire.Joined, numbers),
    st.builds(wire.Left, numbers),
    st.builds(wire.Message, numbers, numbers, numbers, texts, texts),
    st.builds(wire.Failure, texts, texts),
)


@given(from_client)
def test_what_a_client_writes_is_read_back(frame):
    assert wire.read_from_client(wire.encode(frame)) == frame


@given(from_server)
def test_what_a_server_writes_is_read_back(frame):
    assert wire.read_from_server(wire.encode(frame)) == frame


@given(st.lists(from_server, max_size=4).map(tuple))
def test_an_answer_to_a_poll_is_read_back(parts):
    assert wire.read_from_server(wire.encode(wire.Batch(parts))) == wire.Batch(parts)


@given(numbers, numbers, numbers, texts, st.integers(0, 500))
def test_a_message_is_padded_to_its_size_and_never_cut(number, room, seq, data, size):
    message = wire.Message(number, room, seq, "", data)
    text = wire.encode(message, size)
    assert len(text) == max(size, len(wire.encode(message)))
    assert wire.read_from_server(text).data.startswith(data)


@given(numbers, texts, st.text("0123456789-,", min_size=1, max_size=60))
def test_a_position_is_written_where_it_belongs(number, data, position):
    text = wire.with_position(wire.encode(wire.Message(number, 1, 2, "", data)), position)
    assert wire.read_from_server(text) == wire.Message(number, 1, 2, position, data)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_frame_error_or_a_frame(data):
    try:
        assert isinstance(wire.read_from_client(data), wire.Join | wire.Leave | wire.Publish)
    except wire.FrameError as error:
        assert error.code in ("not_json", "unknown_type", "bad_fields", "bad_field")


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("", "not_json", "one JSON object"),
        ("[" * 100_000, "not_json", "one JSON object"),
        (b"\xff\xfe", "not_json", "UTF-8"),
        ("[]", "unknown_type", "an object with a type"),
        ("7", "unknown_type", "an object with a type"),
        ('{"room":1}', "unknown_type", "an object with a type"),
        ('{"type":"message","id":1}', "unknown_type", "join, leave, publish, got 'message'"),
        ('{"type":"join"}', "bad_fields", "join has the fields room and no others"),
        ('{"type":"join","room":1,"as":"admin"}', "bad_fields", "and no others"),
        ('{"type":"join","room":-1}', "bad_field", "join.room must be a whole number from 0 on"),
        ('{"type":"join","room":true}', "bad_field", "got bool"),
        ('{"type":"join","room":4611686018427387904}', "bad_field", "whole number"),
        ('{"type":"publish","id":1,"room":1,"seq":1,"data":5}', "bad_field", "publish.data must be text, got int"),
    ],
)
def test_what_a_client_may_not_send_is_named(text, code, part):
    with pytest.raises(wire.FrameError) as caught:
        wire.read_from_client(text)
    assert caught.value.code == code
    assert part in caught.value.detail


def test_a_position_is_short():
    text = wire.encode(wire.Message(1, 2, 3, "9" * (frames.MAX_POSITION + 1), ""))
    with pytest.raises(wire.FrameError, match="at most 64 characters, got 65"):
        wire.read_from_server(text)


def test_the_least_message_holds_numbers_of_seven_digits():
    assert len(wire.encode(wire.Message(9_999_999, 999_999, 999_999, "", ""))) <= frames.LEAST_MESSAGE_BYTES
