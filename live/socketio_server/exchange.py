"""The exchange: messages between publisher and servers through Redis, by python-socketio's own Redis manager.

Every server hears one channel and passes on what is for rooms it has members of. How a server comes back to a broker it
has lost, and after what time, is the library's: after a second, then twice as long each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from socketio import AsyncRedisManager

from live.brokers.addresses import address_from
from live.brokers.base import BrokerDown, Receive
from realtime_sim.errors import LiveError

__all__ = ["EVENT", "Emitter", "Exchange", "room_name"]

EVENT = "message"
"""The one event by which frames go, in both directions."""

PROBE = "probe"
"""What a server sends itself through the broker to know that it is heard; the library takes no notice of it."""

START_S = 20.0
PROBE_EVERY_S = 0.05


def room_name(room: int) -> str:
    """A room as Socket.IO calls it."""
    return str(room)


class _Honest(AsyncRedisManager):
    """The library's manager, which tells when the broker has not taken a message: by itself it writes that to a log.

    Parameters
    ----------
    url : str
        Where the broker is, as `RunningBroker.url` says it.
    namespace : str
        Name of the run: the channel of Redis that its servers hear.
    **more
        As `AsyncRedisManager` takes it.
    """

    def __init__(self, url: str, namespace: str, **more: Any) -> None:
        super().__init__(url.partition("?")[0], channel=namespace, **more)
        self.shown = str(address_from(url, "redis_pubsub"))  # without its password

    async def _publish(self, data: dict[str, Any]) -> None:
        if await super()._publish(data) is None:
            raise BrokerDown(f"{self.shown} did not take the message")

    async def close(self) -> None:
        """Give the connections back."""
        for one in (self.pubsub, self.redis):
            if one is not None:
                with contextlib.suppress(OSError, ConnectionError):
                    await one.aclose()


class Exchange(_Honest):
    """A server's side.

    Parameters
    ----------
    url, namespace, member : str
        Where the broker is, the name of the run, and that of this process in it.
    fanned_out : callable
        Told (frame, room, time at which it was read) when the library has handed a message that came from elsewhere to
        the connections of its room.
    """

    def __init__(
        self, url: str, namespace: str, member: str, fanned_out: Callable[[dict, str, int], None]
    ) -> None:  # fmt: skip
        # Whoever counts subscriptions knows servers of every stack by the names of their connections.
        super().__init__(url, namespace, redis_options={"client_name": f"{namespace}:reads:{member}"})
        self._fanned_out = fanned_out
        self._is_listening = False
        self._heard = asyncio.Event()

    def initialize(self) -> None:
        """Listen; the server asks for it once more when its first client comes."""
        if not self._is_listening:
            self._is_listening = True
            super().initialize()

    async def start(self, patient: bool) -> None:
        """Listen; returns when a message published from now on will be heard. Raises `LiveError` if it cannot; a
        patient one returns at once, and goes on trying as one that was connected before."""
        self.initialize()
        if patient:
            return
        try:
            async with asyncio.timeout(START_S):
                while not self._heard.is_set():
                    await asyncio.sleep(PROBE_EVERY_S)
                    await self._publish({"method": PROBE, "host_id": self.host_id})
                    await asyncio.sleep(0)
        except (TimeoutError, BrokerDown):
            raise LiveError(f"broker {self.shown}", "cannot be reached", "start it, or correct its URL") from None

    async def _listen(self) -> AsyncIterator[Any]:
        """Messages of the channel, each written down when the library has done with it and asks for the next."""
        async for text in super()._listen():
            message = json.loads(text)
            if message["method"] == PROBE:
                if message["host_id"] == self.host_id:
                    self._heard.set()
                continue
            read_ns = time.monotonic_ns()
            yield message
            if message["method"] == "emit" and message["host_id"] != self.host_id:
                self._fanned_out(message["data"][0], message["room"], read_ns)

    async def close(self) -> None:
        """Listen no more."""
        self.thread.cancel()
        await asyncio.wait({self.thread})
        await super().close()


class Emitter:
    """The publisher's side, a `Link` as far as a publisher needs one: a manager that only writes.

    Parameters
    ----------
    url, namespace : str
        Where the broker is, and the name of the run.
    """

    def __init__(self, url: str, namespace: str) -> None:
        # A broker that is away is so for the publisher's schedule too: it must not wait for tries behind its back.
        options = {"retry": Retry(NoBackoff(), 0)}
        self._manager = _Honest(url, namespace, write_only=True, redis_options=options)

    async def start(self, receive: Receive | None) -> None:
        """Connect. Raises `LiveError` if the broker does not answer."""
        assert receive is None, "it only writes"
        try:
            await self._manager._publish({"method": PROBE, "host_id": self._manager.host_id})
        except BrokerDown:
            found = "cannot be reached"
            raise LiveError(f"broker {self._manager.shown}", found, "start it, or correct its URL") from None

    async def publish(self, room: int, body: bytes) -> None:
        """Publish one encoded message. Raises `BrokerDown`."""
        await self._manager.emit(EVENT, json.loads(body), room=room_name(room))

    async def close(self) -> None:
        """Give the connections back."""
        await self._manager.close()
