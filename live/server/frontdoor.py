"""What every transport does with a connection: subscribe, welcome, catch up, take what the client sends, and let go."""

from __future__ import annotations

import time

from live.brokers.base import BrokerDown, Delivered, Link
from live.server.gate import Allowance, Gate
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

__all__ = ["FrontDoor", "Misbehaved"]


class Misbehaved(Exception):
    """A client has sent what costs it its connection: a close code of RFC 6455, and why."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code} {reason}")


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

    async def open(self, subscriber: Subscriber, session: str, after: str) -> None:
        """A connection stands: subscribe where its rooms are new here, let it in, and send what it missed.

        `after` is the position of the last message it has had, empty for a client that does not resume.
        """
        rooms = self.hub.membership.rooms_of(subscriber.client)
        new = [room for room in rooms if room not in self.hub.rooms]
        if new:
            await self._tell_broker(self.link.subscribe, new)
        replays = bool(after and self.hub.position and self.settings.cohorts[subscriber.cohort].resumes)
        subscriber.held = [] if replays else None
        subscriber.allowance = Allowance(self.settings.client_rate_per_s, self.settings.client_burst)
        self.hub.register(subscriber)
        self.hub.page.add("handshakes")
        subscriber.send(encode(Welcome(self.settings.number, session, self.hub.position)), "")
        if replays:
            await self._catch_up(subscriber, after, set(rooms))

    async def leave(self, subscriber: Subscriber) -> None:
        """A connection is over: give back subscriptions that nobody here needs any more."""
        empty = self.hub.unregister(subscriber)
        if empty:
            await self._tell_broker(self.link.unsubscribe, empty)

    async def _tell_broker(self, act, rooms: list[int]) -> None:
        """A broker that cannot be reached keeps nobody out; the link makes up for it when it can."""
        try:
            await act(rooms)
        except BrokerDown:
            return

    async def take(self, subscriber: Subscriber, text: str | bytes) -> None:
        """One frame of a client. Raises `Misbehaved` for what costs the connection, and only that one."""
        if subscriber.allowance is None or not subscriber.allowance.takes(time.monotonic_ns()):
            raise Misbehaved(1008, "too many frames")
        try:
            frame = read_from_client(text)
        except FrameError as error:
            self.hub.answer(subscriber, Failure(error.code, error.detail))
            raise Misbehaved(1007 if error.code == "not_json" else 1008, error.code) from None
        if not self._allows(subscriber, frame):
            self.hub.answer(subscriber, Failure("not_a_member", f"room {frame.room}"))
        elif isinstance(frame, Join):
            if frame.room not in self.hub.rooms:
                await self._tell_broker(self.link.subscribe, [frame.room])
            self.hub.join(subscriber, frame.room)
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

    async def _catch_up(self, subscriber: Subscriber, after: str, rooms: set[int]) -> None:
        """Send what the client missed, oldest first, then what has come meanwhile."""
        try:
            missed = await self._missed(after, self.hub.position)
        except BrokerDown:
            missed = []
        held, subscriber.held = subscriber.held or [], None
        for delivered in missed:
            if delivered.room in rooms:
                body = with_position(delivered.body, delivered.position)
                self.hub.pass_on(subscriber, number_of(delivered.body), body, delivered.position)
        for body in held:
            self.hub.pass_on(subscriber, number_of(body), body, "")

    async def _missed(self, after: str, until: str) -> list[Delivered]:
        """Messages behind a position, from this server's memory where that goes back far enough, else from the log."""
        known = self.hub.history.after(after)
        return await self.link.read_between(after, until) if known is None else known
