"""WebSocket connections: the `websockets` server, with the gate before the upgrade and the front door behind it."""

from __future__ import annotations

import asyncio
import http
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

from live.server.frontdoor import TOO_MANY_FRAMES, Entry, FrontDoor, Misbehaved
from live.server.gate import Allowance, Refused

__all__ = ["WebSocketSubscriber", "serve_websockets"]

CLOSE_TIMEOUT_S = 2.0
"""Time a client has for its part of the closing handshake."""

_NEVER = 2**62
"""Bytes in a send buffer from which the library waits before it pings or closes: a client that does not read would
never time out, nor be closed. What a buffer may hold is for the overflow policy to say."""


class Connection(ServerConnection):
    """A connection of the library, who is at its other end, and two things that the library leaves open."""

    client = cohort = -1
    after = ""
    entry: Entry | None = None
    pings: Allowance | None = None
    _abort: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """As in the library; but a client that broke the protocol has its end also if it does not hang up."""
        super().data_received(data)
        if self._abort is None and self.protocol.close_expected():
            self._abort = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def process_event(self, event: Event) -> None:
        """As in the library, which answers every ping, also those of a client that never reads the answers."""
        if isinstance(event, Frame) and event.opcode is Opcode.PING and self.protocol.state is State.OPEN:
            assert self.pings is not None
            if not self.pings.takes(time.monotonic_ns()):
                self.protocol.fail(CloseCode.POLICY_VIOLATION, TOO_MANY_FRAMES)
                self.send_data()
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """As in the library; a handshake that came to nothing is over."""
        super().connection_lost(exc)
        if self._abort is not None:
            self._abort.cancel()
        if self.entry is not None:
            self.entry.over()


class WebSocketSubscriber:
    """One WebSocket connection."""

    __slots__ = ("_closing", "_connection", "_transport", "allowance", "client", "cohort", "held")

    def __init__(self, connection: Connection) -> None:
        self.client, self.cohort = connection.client, connection.cohort
        self.allowance: Allowance | None = None
        self.held: list[tuple[bytes, str]] | None = None
        self._connection = connection
        self._transport = connection.transport
        self._closing: asyncio.Task | None = None

    @property
    def is_open(self) -> bool:
        """Whether the closing handshake has not begun."""
        return self._closing is None and self._connection.protocol.state is State.OPEN

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
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._connection.close(code, reason))


class TaskSubscriber(WebSocketSubscriber):
    """One WebSocket connection with a queue and a task of its own, which the loop interleaves with all others."""

    __slots__ = ("_has_left", "_queue", "_queued_bytes", "_task")

    def __init__(self, connection: Connection, has_left: Callable[[int, int], None]) -> None:
        super().__init__(connection)
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

    def check(connection: Connection, request: Request) -> Response | None:
        """Before the upgrade: the client's token and origin, and whether there is room."""
        path, _, text = request.path.partition("?")
        if path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        query = {name: values[0] for name, values in parse_qs(text).items()}
        try:
            if path != "/ws":
                raise Refused(404, "WebSockets are at /ws")
            client = door.gate.identify(query.get("token", ""), request.headers.get_all("Origin"))
            connection.entry = door.admit()
        except Refused as refused:
            response = connection.respond(http.HTTPStatus(refused.status), f"{refused.reason}\n")
            response.headers.update(refused.headers)
            return response
        connection.client, connection.cohort = client, door.gate.cohort_of(client)
        connection.after = query.get("after", "")
        connection.pings = Allowance(settings.client_rate_per_s, settings.client_burst)
        rules = settings.cohorts[connection.cohort]
        connection.ping_interval, connection.ping_timeout = rules.ping_interval_s, rules.ping_timeout_s
        return None

    def answer(connection: Connection, request: Request, response: Response) -> None:
        """After `check`: a request that is no good handshake is over, also if its client does not hang up."""
        if connection.entry is not None and response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            connection.entry.over()

    async def converse(connection: Connection) -> None:
        """The life of one connection."""
        assert connection.entry is not None
        if settings.task_per_client:
            subscriber: WebSocketSubscriber = TaskSubscriber(connection, door.hub.has_left)
        else:
            subscriber = WebSocketSubscriber(connection)
        try:
            await door.open(subscriber, connection.entry, "", connection.after)
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
        process_response=answer,
        compression=None,
        max_size=settings.max_message_bytes,
        open_timeout=settings.header_timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        write_limit=_NEVER,
        backlog=settings.backlog,
        server_header=None,
        create_connection=Connection,
    )
