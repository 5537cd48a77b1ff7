"""Strict reading: python-socketio held to what a client may send; what is no packet costs its connection, and a line in
no log.

By itself the library writes a traceback for each and goes on, so that whoever likes can fill a disk; and an event that
a client calls `disconnect` counts for the end of its connection, after which it hears on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import socketio
from socketio import packet

__all__ = ["ENGINE_LOG", "UNREADABLE", "BadPacket", "StrictPacket", "read_strictly"]

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading raises where a packet is none; the library looks at nothing before it takes it apart."""

RESERVED = frozenset(socketio.AsyncServer.reserved_events)
"""Events that are the library's own, and by whose names a client's would reach the handlers of those."""


class BadPacket(ValueError):
    """A packet of Socket.IO that makes no sense, or that is not a client's to send."""


class StrictPacket(packet.Packet):
    """A packet, the library's `serializer`; frames of ours are text, so that there is none with attachments."""

    def decode(self, encoded_packet: str) -> int:
        """Take a packet apart, and hold what is in it to what it must be. Raises `BadPacket`."""
        try:
            n_attachments = super().decode(encoded_packet)
        except UNREADABLE as error:
            raise BadPacket(str(error)) from error
        data, kind = self.data, self.packet_type
        if kind == packet.EVENT:
            is_good = isinstance(data, list) and data and isinstance(data[0], str) and data[0] not in RESERVED
        else:
            is_good = kind == packet.DISCONNECT or kind == packet.CONNECT and isinstance(data, dict | None)
        if not is_good or n_attachments:
            raise BadPacket(f"packet of type {kind}")
        return 0


def read_strictly(sio: socketio.AsyncServer, put_out: Callable[[str], None]) -> None:
    """Stand between Engine.IO and Socket.IO, and have those put out over whose connection comes what is no packet.

    Parameters
    ----------
    sio : AsyncServer
        A server whose `serializer` is `StrictPacket`.
    put_out : callable
        Told the name, in Engine.IO, of a connection.
    """
    handle = sio.eio.handlers["message"]

    async def message(engine: str, data: str | bytes) -> None:
        if engine not in sio.environ:  # it has ended, and what was still on its way comes too late
            return
        try:
            if not data:  # of which the library makes an event without a name
                raise BadPacket("an empty packet")
            await handle(engine, data)
        except BadPacket:
            put_out(engine)

    sio.eio.on("message", message)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record of Engine.IO tells that what it calls, Socket.IO and with it the door, has failed; all others
    tell of what a client has sent."""
    return record.getMessage().endswith("handler error") and not record.getMessage().startswith("post request")


ENGINE_LOG = logging.getLogger("live.socketio_server.engine")
ENGINE_LOG.addFilter(_is_ours)
