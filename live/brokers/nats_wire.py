"""One connection that speaks the protocol of NATS: lines of text, and messages of a stated size.

Whatever has arrived is worked off in the turn of the loop that read it: no task and no queue in between.

References
----------
https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from live.brokers.addresses import Address
from live.brokers.reconnecting import Refused

__all__ = ["Heard", "NatsConnection", "connect"]

Heard = Callable[[bytes, bytes, bytes, bytes], None]
"""What a subscription calls with subject, reply subject, header (empty without one) and body of each message."""

_INBOX = b"0"
"""Number of the subscription that gets the answers to requests."""

_REFUSALS = ("authorization", "authentication", "permissions", "maximum payload", "secure connection")


class NatsConnection(asyncio.Protocol):
    """Subscriptions, messages, and requests with one answer.

    Parameters
    ----------
    login : dict
        What the client says of itself in CONNECT.
    lost : callable
        Called when the connection is gone, unless `drop` let it go.
    worked_off : callable, optional
        Called when everything that had arrived at one time has been handed over.
    """

    def __init__(self, login: dict, lost: Callable[[], None], worked_off: Callable[[], None] | None) -> None:
        self.info: dict = {}
        self.inbox = b""
        self._login, self._lost, self._worked_off = login, lost, worked_off
        self._rest = b""
        self._hears: dict[bytes, Heard] = {_INBOX: self._answer}
        self._pongs: deque[asyncio.Future] = deque()
        self._requests: dict[bytes, asyncio.Future] = {}
        self._promises: set[asyncio.Future] = set()
        self._n_requests = 0
        self._transport: asyncio.Transport | None = None
        self._dropped = False
        self.ready = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # whoever waits for it
        self._pongs.append(self.ready)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Everything that has arrived, in one go."""
        buffer = self._rest + data if self._rest else data
        at, hears, heard_any = 0, self._hears, False
        while (end := buffer.find(b"\r\n", at)) >= 0:
            if buffer.startswith((b"MSG ", b"HMSG "), at):
                words = buffer[at:end].split(b" ")
                start = end + 2
                stop = start + int(words[-1])
                if len(buffer) < stop + 2:
                    break
                at = stop + 2
                heard = hears.get(words[2])
                if heard is None:
                    continue  # it was under way when we had enough of it
                heard_any = True
                if words[0] == b"MSG":
                    heard(words[1], words[3] if len(words) == 5 else b"", b"", buffer[start:stop])
                else:
                    body = start + int(words[-2])
                    heard(words[1], words[3] if len(words) == 6 else b"", buffer[start:body], buffer[body:stop])
            else:
                line, at = buffer[at:end], end + 2
                self._control(line)
        self._rest = buffer[at:]
        if heard_any and self._worked_off is not None:
            self._worked_off()

    def _control(self, line: bytes) -> None:
        if line == b"PONG":
            _settle(self._pongs.popleft(), None)
        elif line == b"PING":
            self.write(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            text = line[4:].decode(errors="replace").strip(" '")
            self._fail(_error(text))
            self.abort()
        elif line.startswith(b"INFO "):
            self.info = json.loads(line[5:])
            if not self.inbox:
                self._log_in()
        elif line != b"+OK":
            self._fail(Refused("what listens there does not speak the protocol of NATS", "correct the address"))
            self.abort()

    def _log_in(self) -> None:
        if self.info.get("tls_required"):
            self._fail(Refused("it asks for TLS, which links of a live run do not have", "use one without TLS"))
            self.abort()
            return
        self.inbox = f"_INBOX.{self.info['server_id']}.{self.info.get('client_id', 0)}".encode()
        self.write(b"CONNECT %s\r\nSUB %s.* %s\r\nPING\r\n" % (json.dumps(self._login).encode(), self.inbox, _INBOX))

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio says that it is gone."""
        self._lose()

    def write(self, data: bytes) -> None:
        """Send as it is. Who waits for an answer must be known before: it fails if the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            self._lose()  # asyncio has seen it, and will say so in its next turn
        else:
            self._transport.write(data)

    def ping(self, before: bytes = b"") -> asyncio.Future:
        """Send `before` and a ping; the future is done when the broker has read both."""
        pong = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self.write(before + b"PING\r\n")
        return pong

    def hear(self, number: bytes, heard: Heard) -> None:
        """What the subscription of this number gets goes there."""
        self._hears[number] = heard

    def forget(self, number: bytes) -> None:
        """That subscription is no more."""
        self._hears.pop(number, None)

    def request(self, subject: bytes, body: bytes) -> asyncio.Future:
        """Ask; the future is the JSON object of the answer. `ConnectionError` if nobody is there to answer."""
        self._n_requests += 1
        token = b"%d" % self._n_requests
        answer = self._requests[token] = asyncio.get_running_loop().create_future()
        self.write(b"PUB %s %s.%s %d\r\n%s\r\n" % (subject, self.inbox, token, len(body), body))
        return answer

    def promise(self) -> asyncio.Future:
        """A future that somebody else settles, and that breaks with the connection; to be followed by a `write`."""
        promise = asyncio.get_running_loop().create_future()
        self._promises.add(promise)
        promise.add_done_callback(self._promises.discard)
        return promise

    def hold(self, held: bool) -> None:
        """Read nothing, or read on."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    def drop(self) -> None:
        """Let the connection go at once."""
        self._dropped = True
        self._fail(ConnectionResetError("the connection to the broker was let go"))
        self.abort()

    def abort(self) -> None:
        """Close without waiting."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        answer = self._requests.pop(subject.rpartition(b".")[2], None)
        if answer is None:
            return  # who asked has gone
        if header.startswith(b"NATS/1.0 503"):
            _settle(answer, ConnectionRefusedError("nobody answers at the broker"))
        else:
            _settle(answer, json.loads(body))

    def _lose(self) -> None:
        self._fail(ConnectionResetError("the connection to the broker is gone"))
        if not self._dropped:
            self._dropped = True
            self._lost()

    def _fail(self, error: Exception) -> None:
        """Nobody will answer any more."""
        waiting = [*self._pongs, *self._requests.values(), *self._promises]
        self._pongs.clear()
        self._requests.clear()
        for future in waiting:
            _settle(future, error)


def _settle(future: asyncio.Future, value: Any) -> None:
    if not future.done():
        (future.set_exception if isinstance(value, Exception) else future.set_result)(value)


def _error(text: str) -> Exception:
    """What `-ERR` means: a no, or the end of this connection."""
    if text.lower().startswith(_REFUSALS):
        login = "authorization" in text.lower() or "authentication" in text.lower()
        return Refused(text, "correct user and password in its URL" if login else "see the broker's configuration")
    return ConnectionResetError(text)


async def connect(
    address: Address, name: str, lost: Callable[[], None], worked_off: Callable[[], None] | None = None
) -> NatsConnection:
    """A connection that is logged in.

    Parameters
    ----------
    address : Address
        Where NATS is, and who we are: a user without a password is a token.
    name : str
        What its monitoring calls the connection.
    lost, worked_off : callable
        See `NatsConnection`.

    Raises
    ------
    OSError, Refused
        If it cannot be reached, or says no.
    """
    login: dict = {"name": name, "lang": "python", "version": "1", "protocol": 1, "verbose": False}
    login |= {"headers": True, "no_responders": True}
    if address.password:
        login |= {"user": address.user, "pass": address.password}
    elif address.user:
        login |= {"auth_token": address.user}
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: NatsConnection(login, lost, worked_off), address.host, address.port
    )
    try:
        await connection.ready
    except BaseException:
        connection.drop()
        raise
    return connection
