"""WebSocket connections: the `websockets` server, with the gate before the upgrade and the front door behind it."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from live.server.frontdoor import FrontDoor, Misbehaved
from live.server.gate import Allowance, Refused

__all__ = ["WebSocketSubscriber", "serve_websockets"]

_WRITE_LIMIT = 2**20
"""Bytes in a send buffer from which a client's own reads wait; what the overflow policy allows may be more."""


class WebSocketSubscriber:
    """One WebSocket connection."""

    __slots__ = ("_connection", "_transport", "allowance", "client", "cohort", "held")

    def __init__(self, client: int, cohort: int, connection: ServerConnection) -> None:
        self.client, self.cohort = client, cohort
        self.allowance: Allowance | None = None
        self.held: list[bytes] | None = None
        self._connection = connection
        self._transport = connection.transport

    @property
    def is_open(self) -> bool:
        """Whether the closing handshake has not begun."""
        return self._connection.protocol.state is State.OPEN

    @property
    def buffered_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def send(self, body: bytes, position: str, number: int = -1) -> bool:
        """One text frame."""
        broadcast((self._connection,), body, text=True)
        return True

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        asyncio.get_running_loop().create_task(self._connection.close(code, reason))


class TaskSubscriber(WebSocketSubscriber):
    """One WebSocket connection with a queue and a task of its own, which the loop interleaves with all others."""

    __slots__ = ("_has_left", "_queue", "_queued_bytes", "_task")

    def __init__(
        self, client: int, cohort: int, connection: ServerConnection, has_left: Callable[[int, int], None]
    ) -> None:
        super().__init__(client, cohort, connection)
        self._has_left = has_left
        self._queue: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()
        self._queued_bytes = 0
        self._task = asyncio.get_running_loop().create_task(self._pass_on())

    @property
    def buffered_bytes(self) -> int:
        """What the task has not sent yet, and what the kernel has not taken."""
        return self._queued_bytes + super().buffered_bytes

    def send(self, body: bytes, position: str, number: int = -1) -> bool:
        """Into the queue."""
        self._queued_bytes += len(body)
        self._queue.put_nowait((body, number))
        return False

    async def _pass_on(self) -> None:
        try:
            while True:
                body, number = await self._queue.get()
                self._queued_bytes -= len(body)
                await self._connection.send(body, text=True)
                if number >= 0:
                    self._has_left(number, self.client)
        except ConnectionClosed:
            return

    def stop(self) -> None:
        """The connection is over."""
        self._task.cancel()


async def serve_websockets(door: FrontDoor) -> Server:
    """Listen for WebSockets at `/ws`.

    Parameters
    ----------
    door : FrontDoor
        What to do with them.
    """
    settings = door.settings

    async def check(connection: ServerConnection, request: Request) -> Response | None:
        """Before the upgrade: the client's token and origin, and whether there is room."""
        url = urlsplit(request.path)
        if url.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            if url.path != "/ws":
                raise Refused(404, "WebSockets are at /ws")
            client = door.gate.identify(query.get("token", ""), request.headers.get("Origin"))
            cohort = door.gate.cohort_of(client)
            door.gate.admit(len(door.hub.connections))
        except Refused as refused:
            response = connection.respond(http.HTTPStatus(refused.status), f"{refused.reason}\n")
            response.headers.update(refused.headers)
            return response
        rules = settings.cohorts[cohort]
        connection.ping_interval, connection.ping_timeout = rules.ping_interval_s, rules.ping_timeout_s
        connection.identity = (client, cohort, query.get("after", ""))  # type: ignore[attr-defined]
        return None

    async def converse(connection: ServerConnection) -> None:
        """The life of one connection."""
        client, cohort, after = connection.identity  # type: ignore[attr-defined]
        if settings.task_per_client:
            subscriber = TaskSubscriber(client, cohort, connection, door.hub.has_left)
        else:
            subscriber = WebSocketSubscriber(client, cohort, connection)
        try:
            try:
                await door.open(subscriber, "", after)
            finally:
                door.gate.handshake_over()
            async for frame in connection:
                await door.take(subscriber, frame)
        except Misbehaved as error:
            await connection.close(error.code, error.reason)
        except ConnectionClosed:
            pass  # its end is what matters, and that comes next
        finally:
            if isinstance(subscriber, TaskSubscriber):
                subscriber.stop()
            await door.leave(subscriber)

    return await serve(
        converse,
        "127.0.0.1",
        settings.websocket_port,
        process_request=check,
        compression=None,
        max_size=settings.max_message_bytes,
        open_timeout=settings.header_timeout_s,
        close_timeout=2.0,
        write_limit=_WRITE_LIMIT,
        backlog=settings.backlog,
        server_header=None,
    )
