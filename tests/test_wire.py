"""Wire sizes are those of the specifications, byte for byte: frame, event, answer, TLS record, TCP segment."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_sim.wire import SEGMENT_BYTES, message_bytes, ping_bytes, websocket_header_bytes, wire_bytes

NAMES = ("websocket", "sse", "long_polling")
PAYLOADS = st.one_of(st.integers(0, 300), st.integers(0, 200_000))


def frame(payload: bytes, masked: bool) -> bytes:
    """A binary WebSocket frame, written bit by bit from RFC 6455 §5.2; the mask is zero."""
    n, mask_bit = len(payload), 0x80 if masked else 0
    if n <= 125:
        head = struct.pack("!BB", 0x82, mask_bit | n)
    elif n < 2**16:
        head = struct.pack("!BBH", 0x82, mask_bit | 126, n)
    else:
        head = struct.pack("!BBQ", 0x82, mask_bit | 127, n)
    return head + (bytes(4) if masked else b"") + payload


def pieces(n_bytes: int, longest: int) -> list[int]:
    """Lengths of the pieces that a stream is cut into."""
    return [min(longest, n_bytes - start) for start in range(0, n_bytes, longest)]


# Known values.


@pytest.mark.parametrize(
    ("payload_bytes", "masked", "header"),
    [
        (5, False, 2),  # RFC 6455 §5.7: "Hello" is 0x81 0x05 and five bytes
        (5, True, 6),  # §5.7: the same masked, with a key of four bytes
        (256, False, 4),  # §5.7: 256 bytes of binary data, 0x82 0x7E 0x0100
        (65_536, False, 10),  # §5.7: 64 KiB of binary data, 0x82 0x7F and eight bytes of length
        (0, False, 2), (125, False, 2), (126, False, 4), (65_535, False, 4), (65_535, True, 8),  # §5.2
    ],
)  # fmt: skip
def test_websocket_headers_are_those_of_the_examples_in_the_rfc(payload_bytes, masked, header):
    assert websocket_header_bytes(payload_bytes, masked) == header


@pytest.mark.parametrize(
    ("transport", "text"),
    [
        (
            "sse",
            "id: 0123456789\ndata: {}\n\n",
        ),  # HTML §9.2.5: field, colon, space, value, line feed; a blank line ends
        (
            "long_polling",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 00005\r\n\r\n{}",
        ),  # RFC 9112 §2
    ],
)
def test_a_message_is_as_long_as_it_is_written_out(transport, text):
    assert message_bytes(transport, 5) == len(text.format("Hello").encode())


@pytest.mark.parametrize(
    ("transport", "written"),
    [
        ("websocket", b"\x89\x04abcd"),  # RFC 6455 §5.5.2: opcode 9, not masked, four bytes
        ("sse", b":\n\n"),  # HTML §9.2.6: a line that starts with a colon is a comment, and a blank line after it
    ],
)
def test_a_ping_is_as_long_as_it_is_written_out(transport, written):
    assert ping_bytes(transport, tls=False) == len(written) + 52
    assert ping_bytes(transport) == len(written) + 22 + 52
    assert ping_bytes("long_polling") == 0


@pytest.mark.parametrize(
    ("payload_bytes", "tls", "on_the_wire"),
    [
        # 1,500 less 20 (IP), 20 (TCP) and 12 (timestamps) leaves 1,448 for one segment.
        (1_444, False, 1_500),  # 4 + 1,444 fills it
        (1_445, False, 1_553),  # one byte more opens a second segment: 1,449 + 2 * 52
        (1_422, True, 1_500),  # 4 + 1,422 + 22 of the TLS record: 5 header, 1 type, 16 tag (RFC 8446 §5.2)
        (1_423, True, 1_553),
        # A record holds 2**14 bytes: 16,380 + 4 fill one, 16,384 + 22 bytes in 12 segments.
        (16_380, True, 16_384 + 22 + 12 * 52),
        (16_381, True, 16_385 + 2 * 22 + 12 * 52),
        (0, False, 2 + 52),
    ],
)
def test_a_websocket_message_fills_records_and_segments_as_worked_by_hand(payload_bytes, tls, on_the_wire):
    assert wire_bytes("websocket", payload_bytes, tls) == on_the_wire


# Properties.


@given(st.sampled_from(NAMES), PAYLOADS, PAYLOADS, st.booleans())
def test_a_longer_message_never_takes_fewer_bytes(transport, a, b, tls):
    short, long = sorted((a, b))
    assert message_bytes(transport, short) <= message_bytes(transport, long)
    assert wire_bytes(transport, short, tls) <= wire_bytes(transport, long, tls)


@given(st.sampled_from(NAMES), PAYLOADS)
def test_each_layer_adds_to_the_one_above(transport, payload_bytes):
    message = message_bytes(transport, payload_bytes)
    assert payload_bytes < message < wire_bytes(transport, payload_bytes, False) < wire_bytes(transport, payload_bytes)


# Agreement with frames, records and segments that are really built.


@given(PAYLOADS, st.booleans())
@example(65_535, True)
@example(65_536, True)
def test_headers_are_as_long_as_a_real_frame_s(payload_bytes, masked):
    assert websocket_header_bytes(payload_bytes, masked) == len(frame(bytes(payload_bytes), masked)) - payload_bytes


@given(st.sampled_from(NAMES), PAYLOADS, st.booleans())
@example("websocket", 2 * 16_384 - 4, True)
def test_the_whole_is_the_sum_over_its_records_and_segments(transport, payload_bytes, tls):
    n_bytes = message_bytes(transport, payload_bytes)
    if tls:
        n_bytes = sum(5 + piece + 1 + 16 for piece in pieces(n_bytes, 2**14))
    assert wire_bytes(transport, payload_bytes, tls) == sum(20 + 20 + 12 + piece for piece in pieces(n_bytes, 1_448))
    assert SEGMENT_BYTES == 1_448


# Errors.


@pytest.mark.parametrize("size", [message_bytes, wire_bytes])
def test_an_unknown_transport_is_refused(size):
    with pytest.raises(ValueError) as caught:
        size("websockets", 200)
    assert str(caught.value) == "transport must be 'websocket', 'sse' or 'long_polling', got 'websockets'"


def test_sizes_beyond_64_bits_are_counted_too():
    """10**30 B of payload, and at least as much on the wire."""
    assert wire_bytes("websocket", 10**30) > 10**30
