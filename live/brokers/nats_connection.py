"""One connection of nats-py that does not come back by itself, says at once that it is gone, and can be held.

nats-py reads as long as it is connected, and has no word to stop it. It does wait for its callback for errors before it
reads on, and a message to a subscription without room for it is such an error: `hold` sends one to itself, and the
callback returns when the connection flows again. Until then nothing is read, and the kernel's buffers fill.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from live.brokers.addresses import Address
from live.brokers.reconnecting import ANSWER_S, Refused

__all__ = ["FOREVER_S", "Heard", "NatsConnection"]

FOREVER_S = 10**9
"""A silent network may last: whoever waits is told by `unless_lost` when there is nothing to wait for."""

Answer = TypeVar("Answer")
Heard = Callable[[Msg], Awaitable[None]]
"""What a subscription calls with each message, one after the other."""

_REFUSALS = ("authorization", "authentication", "permissions", "maximum payload", "secure connection")


class NatsConnection:
    """A client of nats-py, in `client`, that ends when its connection does.

    Parameters
    ----------
    lost : callable
        Called when the connection is gone, unless `drop` let it go.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self.client = Client()
        self._lost = lost
        self._logged_in = False
        self._over: Exception | None = None
        self._waiting: set[asyncio.Future] = set()
        self._unread: list[asyncio.Future] = []
        self._asking: asyncio.Task | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._valve = ""
        self._closing: asyncio.Task | None = None

    async def connect(self, address: Address, name: str) -> None:
        """Connect and log in.

        Parameters
        ----------
        address : Address
            Where NATS is, and who we are: a user without a password is a token.
        name : str
            What its monitoring calls the connection.

        Raises
        ------
        OSError, Refused
            If it cannot be reached, or says no.
        """
        login = {"user": address.user, "password": address.password} if address.password else {}
        if address.user and not login:
            login = {"token": address.user}
        host = f"[{address.host}]" if ":" in address.host else address.host
        try:
            await self.client.connect(
                f"nats://{host}:{address.port}",
                name=name,
                allow_reconnect=False,
                connect_timeout=ANSWER_S,
                ping_interval=FOREVER_S,
                pending_size=0,  # with this and the next one nobody waits for a write, only for answers
                flusher_queue_size=0,
                error_cb=self._went_wrong,
                disconnected_cb=self._disconnected,
                **login,
            )
            self._logged_in = True
            self._valve = self.client.new_inbox()
            await self.client.subscribe(self._valve, pending_bytes_limit=1)
        except nats.errors.Error as error:
            raise _meaning(error) from None

    async def hear(self, subject: str, heard: Heard) -> Subscription:
        """Subscribe; messages of one subscription come in order, none while the connection is held or after its end.

        Raises `ConnectionError`.
        """

        async def take(message: Msg) -> None:
            if not self._flows.is_set():
                await self._flows.wait()
            if self._over is None:
                await heard(message)

        try:
            return await self.client.subscribe(subject, cb=take, pending_msgs_limit=0, pending_bytes_limit=0)
        except nats.errors.Error as error:
            raise self.failed(error) from None

    async def forget(self, subscription: Subscription) -> None:
        """Hear it no more. Raises `ConnectionError`."""
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as error:
            raise self.failed(error) from None

    async def read(self) -> None:
        """Returns when the broker has read what was sent before. Raises `ConnectionError` and `Refused`."""
        answer = asyncio.get_running_loop().create_future()
        self._unread.append(answer)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        await self.unless_lost(answer)

    async def _ask(self) -> None:
        """One ping for all who wait; who comes meanwhile is for the next one.

        A ping of nats-py overtakes what it has not written yet: it has its turn, or the first of two pings to do that.
        """
        while self._unread:
            await asyncio.sleep(0)
            covered, self._unread = self._unread, []
            try:
                if self.client.pending_data_size:
                    await self.client.flush(FOREVER_S)
                await self.client.flush(FOREVER_S)
            except nats.errors.Error as error:
                self.failed(error)
                return
            for answer in covered:
                if not answer.done():
                    answer.set_result(None)

    async def unless_lost(self, wanted: Awaitable[Answer]) -> Answer:
        """What it comes to. Raises `ConnectionError` or `Refused` if the connection ends before: nats-py would wait."""
        future = asyncio.ensure_future(wanted)
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        if self._over is not None:
            future.cancel()
        try:
            return await future
        except asyncio.CancelledError:
            if self._over is None or asyncio.current_task().cancelling():
                raise
            raise self._over from None
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError) as error:
            raise self.failed(error) from None

    async def send(self, subject: str, body: bytes, reply: str = "") -> None:
        """Publish a message: written before the first wait. Raises `ConnectionError` and `Refused`."""
        try:
            await self.client.publish(subject, body, reply)
        except nats.errors.Error as error:
            raise self.failed(error) from None

    def failed(self, error: nats.errors.Error) -> Exception:
        """What an error of nats-py means. It knows of a connection's end some turns before it tells of it."""
        found = _meaning(error)
        if isinstance(found, ConnectionError):
            self._lose(found)
        return found

    def hold(self, held: bool) -> None:
        """Hand over nothing and read nothing more, or read on."""
        if held:
            self._flows.clear()
            stop = asyncio.ensure_future(self.client.publish(self._valve, b"."))
            stop.add_done_callback(lambda stop: stop.cancelled() or stop.exception())
            self._waiting.add(stop)
            stop.add_done_callback(self._waiting.discard)
        else:
            self._flows.set()

    def drop(self) -> asyncio.Task:
        """Let the connection go at once; the task ends with its socket closed."""
        self._end(ConnectionResetError("the connection to the broker was let go"))
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        with contextlib.suppress(OSError):
            await self.client.close()

    async def _went_wrong(self, error: Exception) -> None:
        """nats-py waits for this before it reads on; while it connects, to raise the error keeps it from more tries."""
        if not self._logged_in:
            raise error
        if isinstance(error, nats.errors.SlowConsumerError):
            await self._flows.wait()
            return
        await asyncio.sleep(0)  # what was read before is handed over first
        self._lose(_meaning(error) if isinstance(error, nats.errors.Error) else error)
        if not isinstance(error, (OSError, nats.errors.Error)):
            raise error

    async def _disconnected(self) -> None:
        self._lose(ConnectionResetError("the connection to the broker is gone"))

    def _lose(self, error: Exception) -> None:
        if self._over is None:
            self._end(error)
            self._lost()

    def _end(self, error: Exception) -> None:
        """Nobody will answer any more."""
        if self._over is None:
            self._over = error
            for one in list(self._waiting):
                one.cancel()


def _meaning(error: nats.errors.Error) -> Exception:
    """What an error of nats-py means for the user, or for the link."""
    text = str(error).removeprefix("nats: ").strip("'")
    low = text.lower()
    if "expecting info" in low:
        return Refused("what listens there does not speak the protocol of NATS", "correct the address")
    if low.startswith(_REFUSALS):
        login = "authorization" in low or "authentication" in low
        return Refused(text, "correct user and password in its URL" if login else "see the broker's configuration")
    return ConnectionResetError(text)
