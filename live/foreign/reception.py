"""What a client makes of messages that are not ours: they count, and some say when they were sent."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

from live.clients.reception import Reception
from realtime_sim.errors import LiveError
from realtime_sim.units import NS_PER_S

__all__ = ["AHEAD", "UNKNOWN", "ForeignReception", "sent_ns"]

UNKNOWN, AHEAD = -1, -2
"""In the place of a latency: the message does not say when it was sent; or it says a time that is yet to come, so that
two clocks differ."""

_IN_MS = 10**11
"""Seconds of the year 5138, and milliseconds of 1973: from here on a number counts milliseconds."""

_TOO_LARGE = 10**14
_DECODER = json.JSONDecoder()


def sent_ns(body: bytes, path: list[str]) -> int | None:
    """When a message was sent, nanoseconds since 1970; None where it does not say.

    Parameters
    ----------
    body : bytes
        The message. JSON is read up to the end of its first value.
    path : list of str
        Names of fields, each in the one before.

    Examples
    --------
    >>> sent_ns(b'{"meta":{"at":1700000000123}}', ["meta", "at"])
    1700000000123000000
    >>> sent_ns(b'{"at":1700000000.5},"more"', ["at"])
    1700000000500000000
    >>> sent_ns(b"tick", ["at"]), sent_ns(b'{"at":true}', ["at"])
    (None, None)
    """
    try:
        found, _ = _DECODER.raw_decode(body.decode())
    except (ValueError, RecursionError):  # no text, or no JSON
        return None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < _TOO_LARGE:
        return None
    return math.floor(found * (NS_PER_S if found < _IN_MS else NS_PER_S // 1_000))


class ForeignReception(Reception):
    """What has come over one connection.

    Parameters
    ----------
    client, number : int
        Whose it is, and the client's how manyth connection.
    log : callable
        Takes (latency in ns, client, connection, time in ns) for every message.
    time_field : str
        Where messages say when they were sent, names with dots between them; empty if they do not.
    failed : callable
        Told when the log takes no more.
    """

    __slots__ = ("_failed", "_path")

    def __init__(
        self, client: int, number: int, log: Callable[[int, int, int, int], None], time_field: str,
        failed: Callable[[LiveError], None],
    ) -> None:  # fmt: skip
        super().__init__(client, number, log, False, lambda *_: None)
        self._path = time_field.split(".") if time_field else []
        self._failed = failed

    def stands(self) -> None:
        """The transport is there; nothing more is known to come."""
        if not self.welcomed.done():
            self.welcomed.set_result(None)

    def frame(self, body: bytes) -> None:
        """One message."""
        now_ns = self.heard_ns = time.monotonic_ns()
        latency_ns = UNKNOWN
        if self._path:
            then_ns = sent_ns(body, self._path)
            if then_ns is not None:
                latency_ns = time.time_ns() - then_ns
                latency_ns = latency_ns if latency_ns >= 0 else AHEAD
        try:
            self._log(latency_ns, self.client, self.number, now_ns)
        except LiveError as error:
            self._failed(error)
