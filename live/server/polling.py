"""Long polling: a session whose messages wait until its client asks, and go out together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.frames import CloseCode

from live.server.gate import Allowance

__all__ = ["PollSubscriber"]

SESSION_TIMEOUT_S = 20.0
"""A session without a poll for so long is over. Clients ask again as soon as they have an answer."""


class PollSubscriber:
    """One session.

    Parameters
    ----------
    client, cohort : int
        Whose it is.
    forget : callable
        Called when it is over.
    has_left : callable
        Told the number and the client of each message that goes out with an answer.
    """

    __slots__ = (
        "_buffered_bytes", "_forget", "_frames", "_has_left", "_more", "_n_polls", "_timer", "allowance", "client",
        "cohort", "held", "is_open",
    )  # fmt: skip

    def __init__(
        self, client: int, cohort: int, forget: Callable[[], None], has_left: Callable[[int, int], None]
    ) -> None:
        self.client, self.cohort = client, cohort
        self.allowance: Allowance | None = None
        self.held: list[tuple[bytes, str]] | None = None
        self.is_open = True
        self._forget, self._has_left = forget, has_left
        self._frames: list[tuple[bytes, int]] = []
        self._buffered_bytes = self._n_polls = 0
        self._more: asyncio.Future | None = None
        self._timer = self._expire_later()

    @property
    def buffered_bytes(self) -> int:
        """What waits for the next poll."""
        return self._buffered_bytes

    def send(self, body: bytes, position: str, number: int = -1) -> bool:
        """Into the buffer; a poll that is parked is answered."""
        self._frames.append((body, number))
        self._buffered_bytes += len(body)
        self._wake()
        return False

    def close(self, code: int, reason: str) -> None:
        """The session is over; the poll that is parked hears of it."""
        if self.is_open:
            self.is_open = False
            self._timer.cancel()
            self._wake()
            self._forget()

    async def answer_within(self, hold_s: float) -> bytes | None:
        """A batch of what there is, as soon as there is something, empty after `hold_s` seconds; None at the end.

        A client that asks again without waiting for its answer has the first one at once. Time until the session
        expires runs while nobody asks.
        """
        self._timer.cancel()
        self._n_polls += 1
        try:
            if not self._frames and self.is_open and hold_s > 0:
                await self._wait(hold_s)
            if not self.is_open and not self._frames:
                return None
            frames, self._frames, self._buffered_bytes = self._frames, [], 0
            for _, number in frames:
                if number >= 0:
                    self._has_left(number, self.client)
            return b"[" + b",".join(body for body, _ in frames) + b"]"
        finally:
            self._n_polls -= 1
            if self.is_open and not self._n_polls:
                self._timer = self._expire_later()

    async def _wait(self, hold_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._wake()
        more = self._more = loop.create_future()
        timer = loop.call_later(hold_s, _settle, more)
        try:
            await more
        finally:
            timer.cancel()
            if self._more is more:
                self._more = None

    def _wake(self) -> None:
        if self._more is not None:
            _settle(self._more)

    def _expire_later(self) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(SESSION_TIMEOUT_S, self.close, CloseCode.GOING_AWAY, "nobody has asked for too long")


def _settle(future: asyncio.Future) -> None:
    if not future.done():
        future.set_result(None)
