"""One connection of redis-py: commands of many tasks go out at once, and a loss is known when it happens.

redis-py packs, reads and logs in. Its client has one command at a time on a connection, tells of a loss when it is next
used, and connects again by itself, which is not what a link does; so this holds the connection below that client, with
a task that always reads from it and one that writes. What has arrived together is handed over in one turn of the loop.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from redis.asyncio import Connection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from live.brokers.addresses import Address
from live.brokers.reconnecting import Refused

__all__ = ["RedisConnection", "connect"]

_PUBLISHED = frozenset({b"message", b"pmessage"})
"""First words of what a subscribed connection hears."""

_ANSWERS_TO_SUBSCRIPTIONS = frozenset({b"subscribe", b"psubscribe", b"unsubscribe", b"punsubscribe"})
_LOGIN = ("WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH")

Taken = Callable[[object], None]
"""What gets a reply as soon as it is read; `Refused` if it is an error."""


class RedisConnection:
    """Commands out, replies and published messages in.

    Parameters
    ----------
    redis : redis.asyncio.Connection
        Connected and logged in.
    heard : callable, optional
        Gets each published message as the list that Redis sends.
    lost : callable
        Called when the connection is gone, unless `drop` let it go.
    """

    def __init__(self, redis: Connection, heard: Callable[[list], None] | None, lost: Callable[[], None]) -> None:
        self._redis, self._heard, self._lost = redis, heard, lost
        self._waiting: deque[asyncio.Future | Taken | None] = deque()
        self._flows = asyncio.Event()
        self._flows.set()
        self._over = False
        self._unwritten: list[bytes] = []
        self._more = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = (loop.create_task(self._read()), loop.create_task(self._write()))

    def ask(self, *command: str | bytes | int) -> asyncio.Future:
        """Send a command; the future is its reply. `Refused` if that is an error, `ConnectionError` if none comes."""
        answer = asyncio.get_running_loop().create_future()
        self.send((command,), answer)
        return answer

    def send(
        self, commands: tuple[tuple[str | bytes | int, ...], ...], *waiting: asyncio.Future | Taken | None
    ) -> None:
        """Send commands in one piece; `waiting` has who gets their replies, in order, and None for nobody.

        Subscriptions have no replies of that kind. Only futures hear that none will come.
        """
        self._waiting.extend(waiting)
        if self._over or not self._redis.is_connected:  # it would connect again
            self._lose(ConnectionResetError("the connection to the broker is gone"))
            return
        for command in commands:
            self._unwritten += self._redis.pack_command(*command)
        self._more.set()

    def hold(self, held: bool) -> None:
        """Hand over nothing and read nothing more, so that the kernel's buffers fill; or read on."""
        (self._flows.clear if held else self._flows.set)()

    def drop(self) -> tuple[asyncio.Task, ...]:
        """Let the connection go at once; the tasks end with its socket closed."""
        self._over = True
        self._fail(ConnectionResetError("the connection to the broker was let go"))
        for task in self._tasks:
            task.cancel()
        return self._tasks

    async def _write(self) -> None:
        try:
            while not self._over:
                await self._more.wait()
                self._more.clear()
                packed, self._unwritten = self._unwritten, []
                await self._redis.send_packed_command(packed, check_health=False)
        except RedisError as error:
            self._lose(_meaning(error))

    async def _read(self) -> None:
        try:
            while not self._over:
                reply = await self._next()
                if not self._flows.is_set():
                    await self._flows.wait()
                self._hand_over(reply)
        except RedisError as error:
            await self._flows.wait()
            self._lose(_meaning(error))
        except Exception:
            self._lose(ConnectionResetError("what came over the connection was not taken"))
            raise
        finally:
            await self._redis.disconnect(nowait=True)

    async def _next(self) -> object:
        try:
            return await self._redis.read_response(timeout=math.inf, disconnect_on_error=False)
        except RedisError as error:
            if _is_reply(error):
                return _meaning(error)
            raise

    def _hand_over(self, reply: object) -> None:
        if self._heard is not None and type(reply) is list and reply:
            if reply[0] in _PUBLISHED:
                self._heard(reply)
                return
            if reply[0] in _ANSWERS_TO_SUBSCRIPTIONS:
                return
        waiter = self._waiting.popleft()
        if isinstance(waiter, asyncio.Future):
            _settle(waiter, reply)
        elif waiter is not None:
            waiter(reply)

    def _lose(self, error: Exception) -> None:
        self._fail(error)
        if not self._over:
            self._over = True
            self._lost()

    def _fail(self, error: Exception) -> None:
        """Nobody will answer any more."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if isinstance(waiter, asyncio.Future):
                _settle(waiter, error)


def _settle(future: asyncio.Future, value: object) -> None:
    if not future.done():
        (future.set_exception if isinstance(value, Exception) else future.set_result)(value)


def _is_reply(error: RedisError) -> bool:
    """Whether Redis has said it, and not the network: redis-py counts some answers among the errors of both."""
    return isinstance(error, ResponseError) or error.status_code is not None


def _meaning(error: RedisError) -> Exception:
    """What an error of redis-py means for the user, or for the link."""
    if isinstance(error, InvalidResponse):
        return Refused("what listens there does not speak Redis's protocol", "correct the address")
    if _is_reply(error):
        answer = f"{error.status_code} {error}" if error.status_code else str(error)
        login = answer.startswith(_LOGIN)
        return Refused(
            answer, "correct user and password in its URL" if login else "see what Redis says, or choose another broker"
        )
    cause = error.__context__  # the error of the operating system, if there is one
    return cause if isinstance(cause, OSError) else ConnectionResetError(str(error))


async def connect(
    address: Address, name: str, heard: Callable[[list], None] | None, lost: Callable[[], None]
) -> RedisConnection:
    """A connection that is logged in.

    Parameters
    ----------
    address : Address
        Where Redis is, and who we are.
    name : str
        What `CLIENT LIST` calls the connection.
    heard, lost : callable
        See `RedisConnection`.

    Raises
    ------
    OSError, Refused
        If it cannot be reached, or says no.
    """
    redis = Connection(
        host=address.host,
        port=address.port,
        username=address.user or None,
        password=address.password or None,
        db=int(address.path or 0),
        client_name=name,
        protocol=2,  # which every Redis since 1.2 and every copy of it speaks
        driver_info=None,
        socket_timeout=None,
        socket_connect_timeout=None,
    )
    try:
        await redis.connect()
        await redis.send_command("PING")  # refused while a log is being read in, unlike what stands above
        await redis.read_response()
    except RedisError as error:
        await redis.disconnect(nowait=True)
        raise _meaning(error) from None
    except BaseException:
        await redis.disconnect(nowait=True)
        raise
    return RedisConnection(redis, heard, lost)
