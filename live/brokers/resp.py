"""One connection that speaks Redis's protocol: hiredis reads and writes it, asyncio carries it.

Whatever has arrived is worked off in the turn of the loop that read it, and a reply goes straight to who waits for it:
no task and no queue in between. Protocol version 2, which every Redis since 1.2 and every copy of it speaks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import hiredis

from live.brokers.addresses import Address
from live.brokers.reconnecting import Refused

__all__ = ["PUBLISHED", "RespConnection", "connect"]

PUBLISHED = frozenset({b"message", b"pmessage"})
"""First words of what a subscribed connection hears."""

_ANSWERS_TO_SUBSCRIPTIONS = frozenset({b"subscribe", b"psubscribe", b"unsubscribe", b"punsubscribe"})
_NOTHING = object()
_LOGIN = ("WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH")

Answered = Callable[[object], None]


class RespConnection(asyncio.Protocol):
    """Commands out, replies and published messages in.

    Parameters
    ----------
    heard : callable, optional
        Gets each published message as the list that Redis sends.
    lost : callable
        Called when the connection is gone, unless `drop` let it go.
    """

    def __init__(self, heard: Callable[[list], None] | None, lost: Callable[[], None]) -> None:
        self._heard, self._lost = heard, lost
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._waiting: deque[Answered | asyncio.Future] = deque()
        self._transport: asyncio.Transport | None = None
        self._dropped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Everything that has arrived, in one go."""
        self._reader.feed(data)
        next_reply, heard = self._reader.gets, self._heard
        try:
            while (reply := next_reply()) is not _NOTHING:
                if heard is not None and type(reply) is list and reply:
                    if reply[0] in PUBLISHED:
                        heard(reply)
                        continue
                    if reply[0] in _ANSWERS_TO_SUBSCRIPTIONS:
                        continue
                self._answer(reply)
        except hiredis.ProtocolError:
            self._fail(Refused("what listens there does not speak Redis's protocol", "correct the address"))
            self._abort()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio says that it is gone."""
        self._lose()

    def ask(self, *command: str | bytes | int) -> asyncio.Future:
        """Send a command; the future is its reply. `Refused` if that is an error, `ConnectionError` if none comes."""
        answer = asyncio.get_running_loop().create_future()
        self.send((command,), answer)
        return answer

    def send(self, commands: tuple[tuple[str | bytes | int, ...], ...], *waiting: Answered | asyncio.Future) -> None:
        """Send commands in one piece; `waiting` has who gets their replies, in order."""
        self._waiting.extend(waiting)
        if self._transport is None or self._transport.is_closing():
            self._lose()  # asyncio has seen it, and will say so in its next turn
            return
        packed = [hiredis.pack_command(command) for command in commands]
        self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))

    def hold(self, held: bool) -> None:
        """Read nothing, or read on."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    def drop(self) -> None:
        """Let the connection go at once."""
        self._dropped = True
        self._fail(ConnectionResetError("the connection to the broker was let go"))
        self._abort()

    def _lose(self) -> None:
        self._fail(ConnectionResetError("the connection to the broker is gone"))
        if not self._dropped:
            self._dropped = True
            self._lost()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, reply: object) -> None:
        waiter = self._waiting.popleft()
        if not isinstance(waiter, asyncio.Future):
            waiter(reply)
        elif not waiter.done():
            if isinstance(reply, hiredis.ReplyError):
                waiter.set_exception(refused(str(reply)))
            else:
                waiter.set_result(reply)

    def _fail(self, error: Exception) -> None:
        """Nobody will answer any more. Who waits by a callable hears of it by `lost`."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if isinstance(waiter, asyncio.Future) and not waiter.done():
                waiter.set_exception(error)


def refused(answer: str) -> Refused:
    """What an error of Redis means for the user."""
    if answer.startswith(_LOGIN):
        return Refused(answer, "correct user and password in its URL")
    return Refused(answer, "see what Redis says about it, or choose another broker")


async def connect(
    address: Address, name: str, heard: Callable[[list], None] | None, lost: Callable[[], None]
) -> RespConnection:
    """A connection that is logged in.

    Parameters
    ----------
    address : Address
        Where Redis is, and who we are.
    name : str
        What `CLIENT LIST` calls the connection.
    heard, lost : callable
        See `RespConnection`.

    Raises
    ------
    OSError, Refused
        If it cannot be reached, or says no.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: RespConnection(heard, lost), address.host, address.port)
    try:
        if address.password:
            await connection.ask(*(word for word in ("AUTH", address.user, address.password) if word))
        if address.path not in ("", "0"):
            await connection.ask("SELECT", address.path)
        await connection.ask("CLIENT", "SETNAME", name)
        await connection.ask("PING")  # refused while a log is being read in, unlike what stands above
    except BaseException:
        connection.drop()
        raise
    return connection
