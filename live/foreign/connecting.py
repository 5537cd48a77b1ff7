"""The ways to connect to a target: those of our own clients, tolerant of what other servers may say."""

from __future__ import annotations

from picows import WSFrame, WSMsgType, WSTransport

from live.clients import picows_client, socketio_client
from live.clients.event_stream import EventStreamConnection
from live.clients.event_stream import connect as connect_stream
from live.clients.reception import Caller, Connection, Reception, TurnedAway
from live.foreign.target import Target

__all__ = ["connect"]


class ForeignWebSocket(picows_client.PicowsConnection):
    """A WebSocket whose messages may be binary, and may come in fragments (RFC 6455, section 5.4)."""

    def __init__(self, reception: Reception) -> None:
        super().__init__(reception)
        self._fragments: list[bytes] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            super().on_ws_frame(transport, frame)
        elif not self._frozen:
            self._fragments.append(frame.get_payload_as_bytes())
            if frame.fin:
                whole, self._fragments = b"".join(self._fragments), []
                self.reception.frame(whole)


class ForeignStream(EventStreamConnection):
    """A stream of events as WHATWG HTML, section 9.2.6, has it: lines may end in two ways, data may have several."""

    _data: tuple[bytes, ...] = ()

    def _body(self, data: bytes) -> None:
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        for line in whole.split(b"\n") if end else ():
            self._line(line.removesuffix(b"\r"))

    def _line(self, line: bytes) -> None:
        self.reception.heard()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += (value,)
        elif name == b"id":
            self.reception.position = value.decode(errors="replace")
        elif not line and self._data:
            whole, self._data = b"\n".join(self._data), ()
            self.reception.frame(whole)


async def connect(target: Target, caller: Caller, reception: Reception, polls: bool) -> Connection:
    """Connect to a target.

    Parameters
    ----------
    target : Target
        Where it is.
    caller : Caller
        Who connects.
    reception : Reception
        Where messages go.
    polls : bool
        Whether Socket.IO begins with polls.

    Raises
    ------
    TurnedAway
        If nobody is there, or does not want it.
    """
    url = target.request_url
    if target.is_socketio:
        auth = {"token": target.token} if target.token else {}
        return await socketio_client.connect(url, auth, caller, reception, polls=polls)
    try:
        if target.transport == "sse":
            return await connect_stream(url, caller, reception, ForeignStream)
        return await picows_client.connect(url, caller, reception, ForeignWebSocket)
    except TurnedAway as away:
        if away.outcome == "session_unknown":  # what 404 means to our own polls; here nothing is at this path
            raise TurnedAway("refused", away.retry_after_s) from None
        raise
