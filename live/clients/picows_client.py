"""WebSocket connections by `picows`, which adds 15 us of CPU to a message: the client is hardly measured."""

from __future__ import annotations

import asyncio

from picows import WSCloseCode, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from live.clients.reception import ABNORMAL, Caller, Reception, TurnedAway, turned_away

__all__ = ["connect"]

READ_BUFFER_BYTES = 1_024
"""Kept small: with the default of 16 KiB thousands of connections take twice the memory."""


class PicowsConnection(WSListener):
    """One connection."""

    def __init__(self, reception: Reception) -> None:
        self.reception = reception
        self._transport: WSTransport | None = None
        self._frozen = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done; the server's welcome comes next."""
        self._transport = transport
        self.reception.stands()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        kind = frame.msg_type
        if self._frozen:
            return
        if kind == WSMsgType.TEXT:
            self.reception.frame(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PING:
            self.reception.heard()
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            self.reception.over(int(frame.get_close_code().value))
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is closed."""
        self.reception.over(ABNORMAL)

    def send(self, frame: bytes) -> None:
        """One text frame."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        """Normal closure."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    def abort(self) -> None:
        """A reset."""
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def freeze(self) -> None:
        """Nothing is answered any more."""
        self._frozen = True


async def connect(
    url: str, caller: Caller, reception: Reception, kind: type[PicowsConnection] = PicowsConnection
) -> PicowsConnection:
    """Connect, and wait for the server's welcome.

    Parameters
    ----------
    url : str
        With token and position in its query.
    caller : Caller
        Who connects.
    reception : Reception
        Where frames go.
    kind : type
        What the connection is made of.

    Raises
    ------
    TurnedAway
        If the server is not there, or does not want it.
    """
    connection = kind(reception)
    try:
        transport, _ = await ws_connect(
            lambda: connection,
            url,
            extra_headers=caller.headers(),
            enable_auto_pong=False,
            read_buffer_init_size=READ_BUFFER_BYTES,
            websocket_handshake_timeout=None,
            max_redirects=0,
            local_addr=caller.address,
        )
        caller.remember(transport.response.headers.get("Set-Cookie"))
        await reception.welcomed
    except WSHandshakeError as error:
        if error.response is None:
            raise TurnedAway("server_died") from error
        raise turned_away(int(error.response.status), error.response.headers.get("Retry-After")) from None
    except (ConnectionError, OSError) as error:
        raise TurnedAway("server_died") from error
    except asyncio.CancelledError:
        connection.abort()
        raise
    return connection
