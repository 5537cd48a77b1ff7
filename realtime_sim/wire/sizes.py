"""Bytes on the wire: what each transport adds to a payload, from the text of its specification.

Used for egress links and for the bandwidth rows of the limits. Compression is not modelled: payloads are sent as given.

References
----------
RFC 6455 §5.2 (WebSocket frame), WHATWG HTML §9.2 (event stream), RFC 9112 (HTTP/1.1 message), RFC 8446 §5.2 (TLS 1.3
record), RFC 791 and RFC 9293 (IP and TCP header), RFC 7323 (TCP timestamps).
"""

from __future__ import annotations

from numba import njit

__all__ = ["POLL_HEADER_BYTES", "link_bytes", "message_bytes", "ping_bytes", "websocket_header_bytes", "wire_bytes"]

IP_TCP_HEADER_BYTES = 20 + 20 + 12
"""IPv4 header, TCP header and the timestamps option of one segment."""

SEGMENT_BYTES = 1500 - IP_TCP_HEADER_BYTES
"""Payload of a full TCP segment on an Ethernet MTU of 1,500 bytes."""

TLS_RECORD_BYTES = 5 + 1 + 16
"""Record header, inner content type and the 16-byte AEAD tag of one TLS 1.3 record."""

TLS_RECORD_PAYLOAD_BYTES = 2**14

_EVENT_STREAM = "id: 0000000000\ndata: \n\n"

_PINGS = {"websocket": 2 + 4, "sse": len(":\n\n")}
"""A ping frame with the 4 bytes that the library websockets puts into it (others put none to 2), and an SSE comment."""

POLL_HEADER_BYTES = len("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 00000\r\n\r\n")
"""The least header of the answer to a long poll."""


def websocket_header_bytes(payload_bytes: int, masked: bool = False) -> int:
    """Header of one WebSocket frame: 2, 4 or 10 bytes, and 4 more from client to server (RFC 6455 §5.2).

    Examples
    --------
    >>> [websocket_header_bytes(n) for n in (125, 126, 65_535, 65_536)]
    [2, 4, 4, 10]
    """
    header = 2 if payload_bytes <= 125 else 4 if payload_bytes <= 65_535 else 10
    return header + (4 if masked else 0)


def message_bytes(transport: str, payload_bytes: int) -> int:
    """Application bytes of one message from server to client, before TLS and TCP.

    An SSE event carries an id, so that it can be resumed; a long-poll answer carries the least header HTTP/1.1 allows.

    Examples
    --------
    >>> [message_bytes(name, 200) for name in ("websocket", "sse", "long_polling")]
    [204, 223, 268]
    """
    if transport == "websocket":
        return payload_bytes + websocket_header_bytes(payload_bytes)
    if transport == "sse":
        return payload_bytes + len(_EVENT_STREAM)
    if transport == "long_polling":
        return payload_bytes + POLL_HEADER_BYTES
    raise ValueError(f"transport must be 'websocket', 'sse' or 'long_polling', got {transport!r}")


def wire_bytes(transport: str, payload_bytes: int, tls: bool = True) -> int:
    """Bytes one message takes on the link from server to client, TLS, TCP and IP included.

    Parameters
    ----------
    transport : str
        `"websocket"`, `"sse"` or `"long_polling"`.
    payload_bytes : int
        Size of the message, bytes.
    tls : bool
        Whether the connection is encrypted.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> wire_bytes("websocket", 200), wire_bytes("websocket", 200, tls=False)
    (278, 256)
    """
    return link_bytes.py_func(message_bytes(transport, payload_bytes), tls)  # of any size, as Python counts


def ping_bytes(transport: str, tls: bool = True) -> int:
    """Bytes that one ping from server to client takes on the link, TLS, TCP and IP included; 0 for long polling.

    Of a WebSocket it is a ping frame (RFC 6455 §5.5.2), of SSE a comment (HTML §9.2.7). The client's answer comes in.

    Examples
    --------
    >>> [ping_bytes(name) for name in ("websocket", "sse", "long_polling")], ping_bytes("sse", tls=False)
    ([80, 77, 0], 55)
    """
    return link_bytes.py_func(_PINGS.get(transport, 0), tls)


@njit(cache=True)
def link_bytes(n_bytes, tls):
    """Bytes that `n_bytes` of an application take on a link, TLS, TCP and IP included.

    Examples
    --------
    >>> link_bytes(204, True), link_bytes(204, False)
    (278, 256)
    """
    if tls:
        n_bytes += -(-n_bytes // TLS_RECORD_PAYLOAD_BYTES) * TLS_RECORD_BYTES
    return n_bytes + -(-n_bytes // SEGMENT_BYTES) * IP_TCP_HEADER_BYTES
