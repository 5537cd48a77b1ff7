"""WebSocket connections by `websockets`: what many services use, and what adds its own queueing to what is measured."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from live.clients.reception import ABNORMAL, Caller, Reception, TurnedAway, turned_away

__all__ = ["connect"]


class WebsocketsConnection:
    """One connection, read by a task of its own."""

    def __init__(self, reception: Reception, connection: ClientConnection) -> None:
        self.reception = reception
        self._connection = connection
        self._tasks = {asyncio.get_running_loop().create_task(self._read())}

    async def _read(self) -> None:
        code = ABNORMAL
        try:
            async for frame in self._connection:
                self.reception.frame(frame.encode() if isinstance(frame, str) else frame)
        except ConnectionClosed:
            pass  # its code is read below
        if self._connection.close_code is not None:
            code = self._connection.close_code
        self.reception.over(code)

    def _start(self, coroutine) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, frame: bytes) -> None:
        """One text frame."""
        self._start(self._send(frame))

    async def _send(self, frame: bytes) -> None:
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed:
            return  # the message is lost with it, as a user's would be

    def close(self) -> None:
        """Normal closure."""
        self._start(self._connection.close())

    def abort(self) -> None:
        """A reset."""
        self._connection.transport.abort()

    def freeze(self) -> None:
        """Nothing is read any more."""
        self._connection.transport.pause_reading()


async def connect(url: str, caller: Caller, reception: Reception) -> WebsocketsConnection:
    """As `live.clients.picows_client.connect`."""
    try:
        opened = await open_websocket(
            url,
            additional_headers=caller.headers(),
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=2.0,
            local_addr=caller.address,
        )
    except InvalidStatus as error:
        raise turned_away(error.response.status_code, error.response.headers.get("Retry-After")) from None
    except (InvalidHandshake, ConnectionError, OSError, EOFError) as error:
        raise TurnedAway("server_died") from error
    if opened.response is not None:
        caller.remember(opened.response.headers.get("Set-Cookie"))
    connection = WebsocketsConnection(reception, opened)
    try:
        await reception.welcomed
    except asyncio.CancelledError:
        connection.abort()
        raise
    return connection
