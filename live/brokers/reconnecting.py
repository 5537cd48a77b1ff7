"""What all links have in common: they come back after a loss, can be cut, and hold back what waits to be published.

A loss is answered as the model has it: the link looks every `PROBE_S` whether the broker listens, and is connected
`reconnect_delay` after the first time that it does. A publisher that reads nothing comes back at once.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from live.brokers.addresses import Address
from live.brokers.base import BrokerDown, Delivered, Receive
from realtime_sim.errors import LiveError, RealtimeSimError

__all__ = ["ANSWER_S", "PROBE_S", "ReconnectingLink", "Refused", "as_live_error"]

PROBE_S = 0.02
"""Time between two looks at whether the broker listens again."""

ANSWER_S = 10.0
"""Longest time a broker may take to let a link in."""


class Refused(RealtimeSimError):
    """The broker answers, and the answer is no.

    Parameters
    ----------
    answer : str
        What it says.
    next_step : str
        What to do.
    """

    def __init__(self, answer: str, next_step: str) -> None:
        self.answer, self.next_step = answer, next_step
        super().__init__(answer, next_step)


def as_live_error(address: Address, error: Exception) -> LiveError:
    """What the user reads when a broker cannot be reached, or says no."""
    if isinstance(error, Refused):
        return LiveError(f"broker {address}", error.answer, error.next_step)
    why = (error.strerror if isinstance(error, OSError) else None) or str(error) or "no answer"
    return LiveError(f"broker {address}", f"cannot be reached ({why})", "start it, or correct its address")


class ReconnectingLink:
    """A link without its protocol: what is below `Protocols` is for each kind of broker to say.

    Parameters
    ----------
    address : Address
        Where the broker is.
    broker : Part
        The scenario's broker, or anything with its fields.
    member : str
        Name of this process among those of the run.
    namespace : str
        What the names of channels, streams and topics begin with.
    """

    def __init__(self, address: Address, broker: Any, member: str, namespace: str) -> None:
        self.address, self.broker, self.member, self.namespace = address, broker, member, namespace
        self.receive: Receive | None = None
        self.return_delay_s = float(getattr(broker, "reconnect_delay", 0.0))
        self._retries = getattr(broker, "when_down", "lose") == "retry"
        self._patience_s = float(getattr(broker, "delivery_timeout", 0.0))
        self._up = self._silent = self._partitioned = self._closed = self._was_up = self._fell = False
        self._why = ""
        self._return: asyncio.Task | None = None
        self._left: set[asyncio.Task] = set()
        self._tickets = itertools.count()
        self._turns: list[tuple[int, asyncio.Event]] = []

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached now."""
        return self._up and not self._silent

    @property
    def position(self) -> str:
        """Up to where the log has been read; there is none."""
        return ""

    async def start(self, receive: Receive | None, *, patient: bool = False) -> None:
        """Connect; see `Link.start`."""
        self.receive = receive
        try:
            await self._try_to_open()
        except (OSError, TimeoutError, Refused) as error:
            if not patient or isinstance(error, Refused):
                raise as_live_error(self.address, error) from None
            self._come_back_later()

    async def publish(self, room: int, body: bytes) -> None:
        """Publish one message; see `Link.publish`."""
        ticket, deadline = next(self._tickets), asyncio.get_running_loop().time() + self._patience_s
        while True:
            if self._turns or not self.connected:
                await self._wait_for_turn(ticket, deadline)
            try:
                return await self.send(room, body)
            except Refused as no:
                raise as_live_error(self.address, no) from None
            except ConnectionError as error:
                if not self._retries:
                    raise BrokerDown(f"{self.address} went away before it answered ({error})") from None
                assert not self.connected, "a link whose connection broke knows it"

    async def read_between(self, after: str, until: str) -> list[Delivered]:
        """Part of the log; see `Link.read_between`."""
        with self._clear_errors():
            return await self.replay(after, until)

    async def n_subscribers(self) -> int | None:
        """Subscriptions as the broker counts them; see `Link.n_subscribers`."""
        with self._clear_errors():
            return await self.count()

    async def subscribe(self, rooms: Iterable[int]) -> None:
        """Hear these rooms: every server hears all."""

    async def unsubscribe(self, rooms: Iterable[int]) -> None:
        """Hear these rooms no more: every server hears all."""

    def cut(self, silent: bool) -> None:
        """The network to the broker fails."""
        self._partitioned = True
        if silent and self._up:
            self._silent = True
            self.hold(True)
        elif not silent or not self._silent:
            self._silent = self._up = False
            self._stop_coming_back()
            self.drop()

    def heal(self) -> None:
        """The network works again."""
        self._partitioned = False
        if self._silent and self._up:
            self._silent = False
            self.hold(False)
            self._next_turn()
        elif not self._up:
            self._silent = False
            self._come_back_later()

    def broken(self) -> None:
        """The connection is gone, as the protocol has noticed."""
        self._fell = True
        if self._up:
            self._up = self._silent = False
            self.drop()
            self._come_back_later()

    async def close(self) -> None:
        """Give the connection back."""
        self._closed = True
        self._stop_coming_back()
        if self._return is not None:
            await asyncio.wait({self._return})
        for _, turn in self._turns:
            turn.set()
        if self._up and not self._silent:
            with contextlib.suppress(OSError, TimeoutError, Refused):  # it is over anyway
                async with asyncio.timeout(1.0):
                    await self.say_goodbye()
        self._up = False
        self.drop()
        if self._left:
            _, hanging = await asyncio.wait(self._left, timeout=1.0)
            for task in hanging:
                task.cancel()  # its broker takes nothing
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    def leave(self, *tasks: asyncio.Task) -> None:
        """Let tasks come to their end by themselves; `close` waits for them."""
        for task in tasks:
            self._left.add(task)
            task.add_done_callback(self._left.discard)

    # Protocols.

    async def open(self, first: bool) -> None:
        """Connect, and subscribe anew or read on; `first` says that this link was never connected before.

        Raises `OSError` if the broker cannot be reached, and `Refused`.
        """
        raise NotImplementedError

    def drop(self) -> None:
        """Let go of what `open` has made, also half of it."""
        raise NotImplementedError

    def hold(self, held: bool) -> None:
        """Read nothing from the connection, or read on."""
        raise NotImplementedError

    async def send(self, room: int, body: bytes) -> None:
        """Publish over the connection: written before the first wait. Raises `ConnectionError` and `Refused`."""
        raise NotImplementedError

    async def say_goodbye(self) -> None:
        """What the broker must be told at the end."""

    async def replay(self, after: str, until: str) -> list[Delivered]:
        """What stands in the log between two positions; there is none. Raises `ConnectionError` and `Refused`."""
        return []

    async def count(self) -> int | None:
        """Subscriptions as the broker counts them. Raises `ConnectionError` and `Refused`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Only ask a broker that can be reached, and say it in the words of `Link` if something goes wrong."""
        self._require()
        try:
            yield
        except Refused as no:
            raise as_live_error(self.address, no) from None
        except ConnectionError as error:
            raise BrokerDown(f"{self.address} went away before it answered ({error})") from None

    def _require(self) -> None:
        if not self.connected:
            raise BrokerDown(f"{self.address} cannot be reached{self._why}")

    # Coming back.

    async def _try_to_open(self) -> None:
        self._fell = False
        try:
            async with asyncio.timeout(ANSWER_S):
                await self.open(first=not self._was_up)
            if self._fell:
                raise ConnectionResetError("the connection was gone at once")
        except BaseException:
            self.drop()
            raise
        self._up = self._was_up = True
        self._why = ""
        self._next_turn()

    def _come_back_later(self) -> None:
        under_way = self._return is not None and not self._return.done() and not self._return.cancelling()
        if not (under_way or self._partitioned or self._closed):
            self._return = asyncio.get_running_loop().create_task(self._come_back(self._return))

    def _stop_coming_back(self) -> None:
        if self._return is not None:
            self._return.cancel()

    async def _come_back(self, before: asyncio.Task | None) -> None:
        if before is not None:
            await asyncio.wait({before})  # it may still be letting go of what it had
        while not self._up:
            await self._until_it_listens()
            if self.receive is not None:
                await asyncio.sleep(self.return_delay_s)
            try:
                await self._try_to_open()
            except (OSError, TimeoutError, Refused) as error:  # a broker that starts may say no for a while
                self._why = f" ({error.answer if isinstance(error, Refused) else error})"
                await asyncio.sleep(PROBE_S)

    async def _until_it_listens(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    _, writer = await asyncio.open_connection(self.address.host, self.address.port)
                writer.transport.abort()
                return
            await asyncio.sleep(PROBE_S)

    # Publishers in the order they came.

    async def _wait_for_turn(self, ticket: int, deadline: float) -> None:
        """Wait for the broker and for all who came before, those among them whose connection broke included."""
        if not self._retries:
            self._require()
        place = (ticket, asyncio.Event())
        bisect.insort(self._turns, place)
        try:
            async with asyncio.timeout_at(deadline):
                while not (self.connected and self._turns[0] is place) and not self._closed:
                    place[1].clear()
                    await place[1].wait()
        except TimeoutError:
            raise BrokerDown(f"{self.address} was away for longer than delivery_timeout{self._why}") from None
        finally:
            self._turns.remove(place)
            self._next_turn()
        self._require()

    def _next_turn(self) -> None:
        """The one that came first goes first; as it goes, it calls the next."""
        if self._turns and self.connected:
            self._turns[0][1].set()
