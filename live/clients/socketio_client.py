"""Socket.IO connections by `picows`, as light as those without it: packets are told apart by their first bytes.

A packet of Engine.IO 4 is a text whose first letter is its type: 0 open, 1 close, 2 ping, 3 pong, 4 message, 5 upgrade,
6 nothing. A message is a packet of Socket.IO 5: 0 connect, 1 disconnect, 2 event, 4 refused, 5 event with attachments.

References
----------
Socket.IO protocol, revision 5, and Engine.IO protocol, revision 4 (socket.io/docs, "Internals").
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from picows import WSCloseCode, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from live.clients.http_connection import HttpConnection, connect_http
from live.clients.picows_client import READ_BUFFER_BYTES
from live.clients.reception import ABNORMAL, Caller, Reception, TurnedAway, turned_away

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SocketIOConnection", "connect"]

GOING_AWAY, POLICY = 1001, 1008
"""Close codes of RFC 6455 that say the same as the end of the transport and as being put out."""

QUERY = "EIO=4&transport="
SEPARATOR = "\x1e"
"""Between packets in the answer to a poll."""

_FRAME = b'42["message",'
_EVENT = re.compile(rb'4(?:2|5\d+-)\d*\["(?:[^"\\]|\\.)*",?')
"""An event up to its first argument, with attachments and a number to be acknowledged or without."""


class SocketIOConnection(WSListener):
    """One connection.

    Parameters
    ----------
    reception : Reception
        Where the frames that events carry go.
    auth : dict
        What the server is told of who connects.
    upgrades : bool
        Whether there is a session already, made by polls, that moves to this WebSocket.
    """

    def __init__(self, reception: Reception, auth: dict[str, Any], upgrades: bool) -> None:
        self.reception = reception
        self.upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when everything goes over the WebSocket, or it is lost."""
        if not upgrades:
            self.upgraded.set_result(None)
        self._auth = auth
        self._transport: WSTransport | None = None
        self._frozen = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The WebSocket stands; what is to be said comes next."""
        self._transport = transport
        if not self.upgraded.done():
            transport.send(WSMsgType.TEXT, b"2probe")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if self._frozen:
            return
        kind = frame.msg_type
        if kind == WSMsgType.TEXT:
            packet = frame.get_payload_as_bytes()
            if packet.startswith(_FRAME):
                self.reception.frame(packet[len(_FRAME) : -1])
            else:
                self.take(packet)
        elif kind == WSMsgType.PING:
            self.reception.heard()
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            self._end(int(frame.get_close_code().value))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is closed."""
        self._over(ABNORMAL)

    def take(self, packet: bytes) -> None:
        """One packet that is no plain message."""
        self.reception.heard()
        if packet == b"2":
            self._say(b"3")
        elif packet == b"3probe":
            self._say(b"5")
            if not self.upgraded.done():
                self.upgraded.set_result(None)
        elif packet.startswith(b"0"):
            self._say(hello(self._auth))
        elif packet.startswith(b"44"):
            self.reception.deny("refused")
            self.close()
        elif packet.startswith(b"40"):
            self.reception.stands()
        elif packet.startswith(b"41"):
            self._end(POLICY)
        elif packet.startswith(b"1"):
            self._end(GOING_AWAY)
        elif event := _EVENT.match(packet):
            self.reception.frame(packet[event.end() : -1])

    def _say(self, packet: bytes) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(WSMsgType.TEXT, packet)

    def _over(self, code: int) -> None:
        self.reception.over(code)
        if not self.upgraded.done():
            self.upgraded.set_result(None)  # whoever waits for it looks at the reception next

    def _end(self, code: int) -> None:
        self._over(code)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    def send(self, frame: bytes) -> None:
        """One frame, in an event."""
        self._say(_FRAME + frame + b"]")

    def close(self) -> None:
        """Leave Socket.IO, and the WebSocket below."""
        self._say(b"41")
        self._hang_up()

    def abort(self) -> None:
        """A reset."""
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def freeze(self) -> None:
        """Nothing is answered any more."""
        self._frozen = True


def hello(auth: dict[str, Any]) -> bytes:
    """The packet that asks to be let in.

    Examples
    --------
    >>> hello({"token": "7.100.abc"})
    b'40{"token":"7.100.abc"}'
    """
    return b"40" + (json.dumps(auth, separators=(",", ":")).encode() if auth else b"")


async def connect(
    url: str, auth: dict[str, Any], caller: Caller, reception: Reception, *, polls: bool = False, pause_s: float = 0.0
) -> SocketIOConnection:
    """Connect, and wait until the server has let the client in.

    Parameters
    ----------
    url : str
        Of HTTP: `http://127.0.0.1:80/socket.io/`.
    auth : dict
        What the server is told of who connects.
    caller : Caller
        Who connects.
    reception : Reception
        Where frames go.
    polls : bool
        Begin with three polls, as Socket.IO does unless told otherwise; each may meet another server.
    pause_s : float
        Between two requests, seconds: the round trip that loopback does not have.

    Raises
    ------
    TurnedAway
        If the server is not there, does not want it, or knows nothing of the session that polls have begun.
    """
    connection = SocketIOConnection(reception, auth, polls)
    query = f"{QUERY}websocket"
    try:
        if polls:
            query += f"&sid={await _poll(connection, url, auth, caller, pause_s)}"
        transport, _ = await ws_connect(
            lambda: connection,
            f"ws{url.removeprefix('http')}?{query}",
            extra_headers=caller.headers(),
            enable_auto_pong=False,
            read_buffer_init_size=READ_BUFFER_BYTES,
            websocket_handshake_timeout=None,
            max_redirects=0,
            local_addr=caller.address,
        )
        caller.remember(transport.response.headers.get("Set-Cookie"))
        await reception.welcomed
        await connection.upgraded
        if reception.closed.done():
            raise TurnedAway("server_died")
    except WSHandshakeError as error:
        if error.response is None:
            raise TurnedAway("server_died") from error
        raise _turned_away(int(error.response.status), error.response.headers.get("Retry-After"), polls) from None
    except (ConnectionError, OSError) as error:
        raise TurnedAway("server_died") from error
    except asyncio.CancelledError:
        connection.abort()
        raise
    return connection


async def _poll(
    connection: SocketIOConnection, url: str, auth: dict[str, Any], caller: Caller, pause_s: float
) -> str:  # fmt: skip
    """Open a session, ask to be let in, and read the answer. Returns the session's name."""
    http = await connect_http(url, lambda: None, caller.source)
    try:
        (opened, *_) = await _ask(http, "GET", url, "", caller)
        try:
            session = str(json.loads(opened[1:])["sid"])
        except (ValueError, KeyError, TypeError, RecursionError):  # whoever this is, it does not speak Engine.IO
            raise TurnedAway("refused") from None
        await asyncio.sleep(pause_s)
        await _ask(http, "POST", url, session, caller, hello(auth))
        await asyncio.sleep(pause_s)
        for packet in await _ask(http, "GET", url, session, caller):
            connection.take(packet.encode())
        await asyncio.sleep(pause_s)
        return session
    finally:
        http.close()


async def _ask(
    http: HttpConnection, method: str, url: str, session: str, caller: Caller, body: bytes = b""
) -> Sequence[str]:  # fmt: skip
    """One request of a session that polls; the packets of its answer."""
    query = f"{QUERY}polling" + (f"&sid={session}" if session else "")
    headers = caller.headers() | ({"Content-Type": "text/plain;charset=UTF-8"} if body else {})
    answer = await http.ask(method, f"{urlsplit(url).path}?{query}", headers, body)
    caller.remember(answer.headers.get("set-cookie"))
    if answer.status != 200:
        raise _turned_away(answer.status, answer.headers.get("retry-after"), bool(session))
    return answer.body.decode(errors="replace").split(SEPARATOR)


def _turned_away(status: int, retry_after: str | None, knows_session: bool) -> TurnedAway:
    """As `turned_away`; a server that does not know a session answers 400 here."""
    return TurnedAway("session_unknown") if status == 400 and knows_session else turned_away(status, retry_after)
