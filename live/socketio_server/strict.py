"""Strict reading: python-socketio's server, for which a packet that makes no sense costs its connection, and a line in
no log.

By itself the library writes a traceback for each and goes on, so that whoever likes can fill a disk; and an event that
a client calls `disconnect` counts for the end of its connection, after which it hears on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import socketio
from socketio import packet

__all__ = ["UNREADABLE", "BadPacket", "StrictServer"]

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading raises where a packet is none; the library looks at nothing before it takes it apart."""

_HANDLER_FAILED = "async handler error"
"""End of the message by which Engine.IO logs that what it calls, Socket.IO and with it the door, has failed."""


class BadPacket(ValueError):
    """A packet of Socket.IO that makes no sense, or that is not a client's to send."""


class _Packet(packet.Packet):
    """A packet; frames of ours are text, so that there is none with attachments."""

    def decode(self, encoded_packet: str) -> int:
        """Take a packet apart, and hold what is in it to what it must be."""
        try:
            n_attachments = super().decode(encoded_packet)
        except UNREADABLE as error:
            raise BadPacket(str(error)) from error
        data, kind = self.data, self.packet_type
        if kind == packet.EVENT:
            is_good = isinstance(data, list) and data and isinstance(data[0], str) and data[0] not in _RESERVED
        else:
            is_good = kind == packet.DISCONNECT or kind == packet.CONNECT and isinstance(data, dict | None)
        if not is_good or n_attachments:
            raise BadPacket(f"packet of type {kind}")
        return 0


_RESERVED = socketio.AsyncServer.reserved_events


class StrictServer(socketio.AsyncServer):
    """The server.

    Parameters
    ----------
    bad : callable
        Told the name, in Engine.IO, of a connection over which something came that is no packet.
    **options
        As `socketio.AsyncServer` takes them.
    """

    def __init__(self, bad: Callable[[str], None], **options: Any) -> None:
        super().__init__(engineio_logger=_LOG, **options)
        self.packet_class = _Packet
        self._bad = bad

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            if not data:  # of which the library makes an event without a name
                raise BadPacket("an empty packet")
            await super()._handle_eio_message(eio_sid, data)
        except BadPacket:
            self._bad(eio_sid)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record of Engine.IO tells of a defect, and not of what a client has sent."""
    return record.getMessage().endswith(_HANDLER_FAILED)


_LOG = logging.getLogger("live.socketio_server.engine")
_LOG.addFilter(_is_ours)
