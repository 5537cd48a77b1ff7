"""The door: who is let in, which rooms they hear, and what becomes of what they send, by the rules of every stack."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import socketio
from aiohttp import web
from socketio.exceptions import ConnectionRefusedError as Denied

from live.brokers.base import BrokerDown
from live.logbook import Logbook
from live.page import Page
from live.server.gate import Allowance, Gate, Refused
from live.server.hub import Membership
from live.server.settings import ServerSettings
from live.socketio_server.exchange import EVENT, Exchange, room_name
from live.socketio_server.strict import ENGINE_LOG, StrictPacket, read_strictly
from realtime_sim.errors import LiveError
from realtime_sim.wire import (
    Failure,
    FrameError,
    Join,
    Joined,
    Leave,
    Left,
    Message,
    Publish,
    Welcome,
    encode,
    read_from_client,
)

__all__ = ["Connected", "Door"]

NAMESPACE = "/"

LINGER_S = 0.5
"""Time a client has to hang up after it was told to; then its socket is closed."""

NEVER_NS = 2**62
"""When the last copy of a message was sent: the library does not say."""


@dataclass(slots=True, eq=False)
class Connected:
    """One client's connection, by its names in Socket.IO (`sid`) and in Engine.IO below (`engine`)."""

    client: int
    cohort: int
    sid: str
    engine: str
    rooms: set[int]
    allowance: Allowance
    websocket: web.Request | None
    """The request that became its WebSocket; None as long as it polls."""


class Door:
    """One server's dealings with its clients.

    Parameters
    ----------
    settings : ServerSettings
        What it was told.
    membership : Membership
        Who may hear what.
    skipped : ndarray of int32
        For each message the client that does not get it back, -1 for none.
    gate : Gate
        Admission.
    page : Page
        Where it counts.
    fanouts : Logbook
        Where every message is written down. There is none of copies: their sending cannot be seen from outside.
    """

    def __init__(
        self, settings: ServerSettings, membership: Membership, skipped: np.ndarray, gate: Gate, page: Page,
        fanouts: Logbook,
    ) -> None:  # fmt: skip
        self.settings, self.membership, self.gate, self.page = settings, membership, gate, page
        self.connections: dict[int, Connected] = {}
        member = f"server-{settings.number}"
        self.exchange = Exchange(settings.broker_url, settings.namespace, member, self._fanned_out)
        rules = settings.cohorts[0]  # pings are the server's, the same for all
        self.sio = socketio.AsyncServer(
            async_mode="aiohttp",
            client_manager=self.exchange,
            cors_allowed_origins=list(settings.origins),
            ping_interval=rules.ping_interval_s,
            ping_timeout=rules.ping_timeout_s,
            max_http_buffer_size=settings.max_message_bytes,
            serializer=StrictPacket,
            engineio_logger=ENGINE_LOG,
        )
        read_strictly(self.sio, self.put_out)
        self._begin = self.sio.eio.handlers["connect"]
        self.sio.eio.on("connect", self._begun)
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        self.sio.on(EVENT, self._message)
        self.sio.on("*", self._anything_else)
        self._skipped, self._log_fanout = skipped, fanouts.append
        self._by_sid: dict[str, Connected] = {}
        self._by_engine: dict[str, Connected] = {}
        self._n_hearing: Counter[int] = Counter()
        self._tasks: set[asyncio.Task] = set()

    # Coming and going.

    async def _begun(self, engine: str, environ: Mapping[str, Any]) -> None:
        """A connection in Engine.IO, of somebody who has not said yet who it is."""
        environ["aiohttp.request"]["engine"] = engine
        await self._begin(engine, environ)

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        """A client asks to be let in, by the token of its `auth`; its rooms are joined before it hears that it is."""
        request: web.Request = environ["aiohttp.request"]
        engine = self.sio.manager.eio_sid_from_sid(sid, NAMESPACE)
        websocket = request if request.query.get("transport") == "websocket" else None
        try:
            token = auth.get("token") if isinstance(auth, dict) else None
            client = self.gate.identify(token if isinstance(token, str) else "", ())
            request["handshake"].welcomed()
        except Refused as refused:
            self.start(self._turn_out(engine, websocket))
            raise Denied(refused.reason) from None
        finally:
            request["handshake"].over()
        if client in self.connections:
            self.start(self.cut_off(self.connections[client]))  # an older connection of the same client gives way
        allowance = Allowance(self.settings.client_rate_per_s, self.settings.client_burst)
        connected = Connected(client, self.gate.cohort_of(client), sid, engine, set(), allowance, websocket)
        self.connections[client] = self._by_sid[sid] = self._by_engine[engine] = connected
        for room in self.membership.rooms_of(client):
            await self._join(connected, room)
        self.page.add("handshakes")
        self._count()
        self.start(self._welcome(connected))  # behind the library's own answer

    async def _welcome(self, connected: Connected) -> None:
        await self._answer(connected, Welcome(self.settings.number, "", ""))

    async def _disconnect(self, sid: str, reason: str) -> None:
        """A connection is over; the library leaves the rooms. Who says so itself must not stay on below Socket.IO."""
        connected = self._by_sid.pop(sid, None)
        if connected is None:
            return
        del self._by_engine[connected.engine]
        self._n_hearing.subtract(connected.rooms)
        if self.connections.get(connected.client) is connected:
            del self.connections[connected.client]
        self._count()
        if reason == self.sio.reason.CLIENT_DISCONNECT:
            self.start(self.hang_up(connected.engine, connected.websocket))

    def _count(self) -> None:
        n = len(self.connections)
        self.page.set("connections", n)
        self.page.set("peak_connections", max(n, self.page.get("peak_connections")))

    def upgrades(self, engine: str, request: web.Request) -> None:
        """A request is about to become the WebSocket of somebody who has polled so far."""
        if engine in self._by_engine:
            self._by_engine[engine].websocket = request

    def has_ended(self, engine: str) -> None:
        """A WebSocket is over, or has not come about, and polls go on. A session whose end the library has not noticed,
        as after an empty packet, is ended now."""
        if engine in self._by_engine:
            self._by_engine[engine].websocket = None
            if self.has_websocket(engine):
                self.start(self.hang_up(engine, None))

    def has_websocket(self, engine: str) -> bool:
        """Whether a connection goes over a WebSocket by now, as far as the library knows."""
        try:
            return self.sio.eio.transport(engine) == "websocket"
        except KeyError:  # it has ended, or is ending
            return False

    async def _join(self, connected: Connected, room: int) -> None:
        await self.sio.enter_room(connected.sid, room_name(room))
        if room not in connected.rooms:
            connected.rooms.add(room)
            self._n_hearing[room] += 1

    async def _leave(self, connected: Connected, room: int) -> None:
        await self.sio.leave_room(connected.sid, room_name(room))
        if room in connected.rooms:
            connected.rooms.discard(room)
            self._n_hearing[room] -= 1

    # Sending away.

    def start(self, work: Coroutine) -> None:
        """Do something beside all else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _turn_out(self, engine: str, websocket: web.Request | None) -> None:
        """Somebody was not let in; who polls has time to read why."""
        await asyncio.sleep(LINGER_S)
        await self.hang_up(engine, websocket)

    async def cut_off(self, connected: Connected) -> None:
        """A client is put out, and told so: clients of Socket.IO do not come back by themselves then."""
        await self.sio.disconnect(connected.sid)
        await self.hang_up(connected.engine, connected.websocket)

    async def send_away(self, connected: Connected) -> None:
        """A client's transport is closed in order, after which it connects anew, here or elsewhere."""
        await self.hang_up(connected.engine, connected.websocket)

    def put_out(self, engine: str) -> None:
        """Something came over a connection that is no packet."""
        connected = self._by_engine.get(engine)
        if connected is not None:
            self.start(self.hang_up(engine, connected.websocket))
        elif engine in self.sio.environ:
            self.turn_away(self.sio.environ[engine]["aiohttp.request"])

    def turn_away(self, request: web.Request) -> None:
        """Somebody with whose request a connection has begun, and who was not let in, has to go."""
        websocket = request if request.query.get("transport") == "websocket" else None
        self.start(self.hang_up(request["engine"], websocket))

    async def hang_up(self, engine: str, websocket: web.Request | None) -> None:
        """Close below Socket.IO; whoever does not hang up in turn loses the socket."""
        try:
            async with asyncio.timeout(LINGER_S):
                await self.sio.eio.disconnect(engine)
        except TimeoutError:
            pass  # it takes nothing any more
        if websocket is not None:
            await asyncio.sleep(LINGER_S)
            if websocket.transport is not None:
                websocket.transport.abort()

    # What clients send.

    async def _anything_else(self, event: str, sid: str, *arguments: object) -> None:
        """There is one event here."""
        await self._message(sid)

    async def _message(self, sid: str, *arguments: object) -> None:
        """One frame of a client; what is wrong costs this connection, and only this one."""
        connected = self._by_sid.get(sid)
        if connected is None:
            return
        if not connected.allowance.takes(time.monotonic_ns()):
            await self.cut_off(connected)
            return
        try:
            frame = _read(arguments)
        except FrameError as error:
            await self._answer(connected, Failure(error.code, error.detail))
            await self.cut_off(connected)
            return
        if not self._allows(connected, frame):
            await self._answer(connected, Failure("not_a_member", f"room {frame.room}"))
        elif isinstance(frame, Join):
            await self._join(connected, frame.room)
            await self._answer(connected, Joined(frame.room))
        elif isinstance(frame, Leave):
            await self._leave(connected, frame.room)
            await self._answer(connected, Left(frame.room))
        else:
            await self._publish(connected, frame)

    def _allows(self, connected: Connected, frame: Join | Leave | Publish) -> bool:
        """Members do as they like in their rooms; some cohorts publish to rooms of others as well."""
        if self.membership.allows(connected.client, frame.room):
            return True
        return isinstance(frame, Publish) and self.settings.cohorts[connected.cohort].may_publish(frame.room)

    async def _publish(self, connected: Connected, frame: Publish) -> None:
        """To the members here first, then to the other servers: that is the library's order."""
        read_ns = time.monotonic_ns()
        message = _plain(Message(frame.id, frame.room, frame.seq, "", frame.data))
        is_own = frame.id < len(self._skipped) and self._skipped[frame.id] == connected.client
        skip = connected.sid if is_own else None
        try:
            await self.sio.emit(EVENT, message, room=room_name(frame.room), skip_sid=skip)
        except BrokerDown:
            await self._answer(connected, Failure("broker_down", f"message {frame.id} was not published"))
        self._fanned_out(message, room_name(frame.room), read_ns)

    async def _answer(self, connected: Connected, frame: Welcome | Joined | Left | Failure) -> None:
        await self.sio.emit(EVENT, _plain(frame), to=connected.sid, ignore_queue=True)

    def _fanned_out(self, frame: Mapping[str, Any], room: str, read_ns: int) -> None:
        """A message is with the connections of its room here; the library sends it from there."""
        self.page.add("jobs")
        self.page.add("sends", self._n_hearing[int(room)])
        try:
            self._log_fanout(frame["id"], read_ns, read_ns, NEVER_NS)
        except LiveError:
            self.page.add("unwritten")


def _plain(frame: Message | Welcome | Joined | Left | Failure) -> dict[str, Any]:
    """A frame as a JSON object, which is what an event carries."""
    return json.loads(encode(frame))


def _read(arguments: tuple[object, ...]) -> Join | Leave | Publish:
    """The frame that an event carries. Raises `FrameError`."""
    if len(arguments) != 1:
        raise FrameError("bad_fields", "an event carries one frame")
    try:
        return read_from_client(json.dumps(arguments[0]))
    except (TypeError, RecursionError):  # an attachment of bytes, which JSON does not have
        raise FrameError("not_json", "a frame must be one JSON object in UTF-8") from None
