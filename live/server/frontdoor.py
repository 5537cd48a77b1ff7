"""What every transport does with a connection: subscribe, welcome, catch up, take what the client sends, and let go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from websockets.frames import CloseCode

from live.brokers.base import BrokerDown, Delivered, Link
from live.server.gate import Allowance, Gate, Refused
from live.server.hub import Hub, Subscriber
from live.server.settings import ServerSettings
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
    number_of,
    read_from_client,
    with_position,
)

__all__ = ["TOO_MANY_FRAMES", "Entry", "FrontDoor", "Misbehaved"]

TOO_MANY_FRAMES = "too many frames"
"""Why a client loses its connection that sends more than it may."""


class Misbehaved(Exception):
    """A client has sent what costs it its connection: a close code of RFC 6455, and why."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code} {reason}")


class Entry:
    """A handshake that was let in: it takes a place from then on, and is under way until it is over.

    Its end must be said, whatever that was; it does no harm to say it twice.
    """

    __slots__ = ("_door", "_is_arriving", "_is_over", "_is_welcome")

    def __init__(self, door: FrontDoor) -> None:
        self._door = door
        self._is_arriving, self._is_over, self._is_welcome = True, False, False
        door.n_arriving += 1

    def stands(self) -> None:
        """The connection is registered: it counts among the others from now on, and no more as one that comes."""
        if self._is_arriving:
            self._is_arriving = False
            self._door.n_arriving -= 1

    def welcomed(self) -> None:
        """The client has its connection."""
        self._is_welcome = True
        self._door.hub.page.add("handshakes")

    def over(self) -> None:
        """The client has been welcomed, or there will be no connection."""
        self.stands()
        if not self._is_over:
            self._is_over = True
            self._door.gate.handshake_over()
            if not self._is_welcome:
                self._door.hub.page.add("failed")


class FrontDoor:
    """One server's dealings with its clients, whatever carries them.

    Parameters
    ----------
    settings : ServerSettings
        What it was told.
    hub : Hub
        Connections and rooms.
    gate : Gate
        Admission.
    link : Link
        To the broker.
    """

    def __init__(self, settings: ServerSettings, hub: Hub, gate: Gate, link: Link) -> None:
        self.settings, self.hub, self.gate, self.link = settings, hub, gate, link
        self.n_arriving = 0
        self._replaying = asyncio.Lock()
        self._subscribes_rooms = settings.broker.get("subscription") == "per_room"
        self._count_subscriptions()

    def admit(self) -> Entry:
        """One more handshake is let in, or `Refused`. Those let in before count, also if they do not stand yet."""
        try:
            self.gate.admit(len(self.hub.connections) + self.n_arriving)
        except Refused:
            self.hub.page.add("refused")
            raise
        return Entry(self)

    async def open(self, subscriber: Subscriber, entry: Entry, session: str, after: str) -> None:
        """A connection stands: hear its rooms, welcome it, and send what it missed.

        `after` is the position of the last message it has had, empty for a client that does not resume. Raises
        `Misbehaved` if that is no position.

        The client is in its rooms before the broker is asked for them, so that nobody who leaves meanwhile gives them
        back; what comes before the welcome waits for it.
        """
        hub = self.hub
        subscriber.held = []
        subscriber.allowance = Allowance(self.settings.client_rate_per_s, self.settings.client_burst)
        hub.register(subscriber)
        entry.stands()
        until = hub.position
        replays = bool(after and until and self.settings.cohorts[subscriber.cohort].resumes)
        known = hub.history.after(after) if replays else []
        try:
            await self._tell_broker(self.link.subscribe, hub.membership.rooms_of(subscriber.client))
            if subscriber.is_open:
                entry.welcomed()
                subscriber.send(encode(Welcome(self.settings.number, session, until)), "")
        finally:
            entry.over()
        missed = await self._read_log(subscriber, after, until) if known is None else self._due(subscriber, known)
        await self._catch_up(subscriber, missed)

    async def leave(self, subscriber: Subscriber) -> None:
        """A connection is over: give back subscriptions that nobody here needs any more."""
        empty = self.hub.unregister(subscriber)
        if empty:
            await self._tell_broker(self.link.unsubscribe, empty)

    async def _tell_broker(self, act: Callable[[list[int]], Awaitable[None]], rooms: list[int]) -> None:
        """A broker that cannot be reached keeps nobody out; the link makes up for it when it can."""
        try:
            await act(rooms)
        except BrokerDown:
            return
        finally:
            self._count_subscriptions()

    def _count_subscriptions(self) -> None:
        """For `/metrics`: each room where these are subscribed one by one, else the one of this server."""
        has_broker = self.settings.broker.get("kind") != "none"
        self.hub.page.set("subscriptions", len(self.hub.rooms) if self._subscribes_rooms else int(has_broker))

    async def take(self, subscriber: Subscriber, text: str | bytes) -> None:
        """One frame of a client. Raises `Misbehaved` for what costs the connection, and only that one."""
        if subscriber.allowance is None or not subscriber.allowance.takes(time.monotonic_ns()):
            raise Misbehaved(CloseCode.POLICY_VIOLATION, TOO_MANY_FRAMES)
        try:
            frame = read_from_client(text)
        except FrameError as error:
            self.hub.answer(subscriber, Failure(error.code, error.detail))
            code = CloseCode.INVALID_DATA if error.code == "not_json" else CloseCode.POLICY_VIOLATION
            raise Misbehaved(code, error.code) from None
        if not self._allows(subscriber, frame):
            self.hub.answer(subscriber, Failure("not_a_member", f"room {frame.room}"))
        elif isinstance(frame, Join):
            self.hub.join(subscriber, frame.room)
            await self._tell_broker(self.link.subscribe, [frame.room])
            self.hub.answer(subscriber, Joined(frame.room))
        elif isinstance(frame, Leave):
            self.hub.leave(subscriber, frame.room)
            if frame.room not in self.hub.rooms:
                await self._tell_broker(self.link.unsubscribe, [frame.room])
            self.hub.answer(subscriber, Left(frame.room))
        else:
            await self._publish(subscriber, frame)

    def _allows(self, subscriber: Subscriber, frame: Join | Leave | Publish) -> bool:
        """Members do as they like in their rooms; some cohorts publish to rooms of others as well."""
        if self.hub.membership.allows(subscriber.client, frame.room):
            return True
        rules = self.settings.cohorts[subscriber.cohort]
        return isinstance(frame, Publish) and rules.may_publish(frame.room)

    async def _publish(self, subscriber: Subscriber, frame: Publish) -> None:
        message = Message(frame.id, frame.room, frame.seq, "", frame.data)
        try:
            await self.link.publish(frame.room, encode(message))
        except BrokerDown:
            self.hub.answer(subscriber, Failure("broker_down", f"message {frame.id} was not published"))

    async def _read_log(self, subscriber: Subscriber, after: str, until: str) -> list[Delivered]:
        """What a client missed of which this server knows nothing any more; none while the log is out of reach, and it
        is lost to the client. One read after the other: each may be as large as the log."""
        async with self._replaying:
            if not subscriber.is_open:
                return []
            try:
                return self._due(subscriber, await self.link.read_between(after, until))
            except BrokerDown:
                return []
            except ValueError:
                raise Misbehaved(CloseCode.POLICY_VIOLATION, "no such position") from None

    def _due(self, subscriber: Subscriber, missed: list[Delivered]) -> list[Delivered]:
        """What of the log is for this client."""
        rooms, client, skipped = (
            set(self.hub.membership.rooms_of(subscriber.client)),
            subscriber.client,
            self.hub.skipped,
        )
        return [one for one in missed if one.room in rooms and client != skipped(number_of(one.body))]

    async def _catch_up(self, subscriber: Subscriber, missed: list[Delivered]) -> None:
        """Send what the client missed, oldest first, then what has come meanwhile; in slices, as a fan-out does."""
        for n, delivered in enumerate(missed, 1):
            body = with_position(delivered.body, delivered.position)
            self.hub.send(subscriber, number_of(delivered.body), body, delivered.position)
            if n % self.hub.slice == 0:
                await asyncio.sleep(0)
        held, subscriber.held = subscriber.held or [], None
        for body, position in held:
            self.hub.send(subscriber, number_of(body), body, position)
