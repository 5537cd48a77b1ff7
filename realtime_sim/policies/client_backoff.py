"""Backoff of named clients, as their source code has it, quirks included.

None of them is jittered well: most spread the first waits only, and some not even those. What that does after a server
has died is one of the first things worth simulating. All names are exported by `realtime_sim.policies.backoff` too.

References
----------
Each class cites the file it follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from realtime_sim.policies import _backoff_kernel, _checks

__all__ = ["EventSource", "Phoenix", "ReconnectingWebSocket", "SignalR", "SocketIO", "WebsocketsPython"]


@dataclass(frozen=True, slots=True)
class SocketIO:
    """Socket.IO's client. The cap comes after the jitter, so from the fifth attempt on everybody waits exactly the cap.

    Parameters
    ----------
    delay_s : float
        First wait before jitter, seconds, above 0.
    cap_s : float
        Longest wait, seconds, at least `delay_s`.
    factor : float
        Growth from one attempt to the next, dimensionless, at least 1.
    jitter : float
        Largest deviation as a share of the wait, on [0, 1]. Its size and its sign come from one random number.

    Notes
    -----
    Where `delay * factor**attempt` overflows a double, the sum of infinities is no number and JavaScript's `| 0` makes
    it 0: with the defaults half of all waits are 0 from the 1,016th attempt on, some 85 minutes into an outage.

    References
    ----------
    socketio/socket.io, packages/socket.io-client/lib/contrib/backo2.ts, `duration`; lib/manager.ts for the defaults.
    """

    delay_s: float = 1.0
    cap_s: float = 5.0
    factor: float = 2.0
    jitter: float = 0.5
    code: ClassVar[int] = _backoff_kernel.SOCKETIO

    def __post_init__(self) -> None:
        _checks.parameters(self)
        _checks.not_below("cap_s", self.cap_s, "delay_s", self.delay_s)

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.cap_s, self.delay_s, self.factor, self.jitter)


@dataclass(frozen=True, slots=True)
class Phoenix:
    """Phoenix's JavaScript client: nine steps from 10 ms to 2 s, then 5 s for ever, without jitter.

    References
    ----------
    phoenixframework/phoenix, assets/js/phoenix/socket.js, `reconnectAfterMs`.
    """

    code: ClassVar[int] = _backoff_kernel.PHOENIX

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(5.0)


@dataclass(frozen=True, slots=True)
class SignalR:
    """SignalR's `withAutomaticReconnect()`: 0, 2, 10 and 30 s, then it gives up; without jitter.

    References
    ----------
    dotnet/aspnetcore, src/SignalR/clients/ts/signalr/src/DefaultReconnectPolicy.ts.
    """

    code: ClassVar[int] = _backoff_kernel.SIGNALR

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(_backoff_kernel.SIGNALR_S[-1])


@dataclass(frozen=True, slots=True)
class EventSource:
    """A browser's EventSource: the same reconnection time after every loss.

    Parameters
    ----------
    reconnection_time_s : float
        Wait, seconds, above 0. Browsers choose their own until the server sends `retry:`; the default is Chrome's.

    References
    ----------
    WHATWG HTML, section 9.2: "probably in the region of a few seconds"; a user agent may add backoff of its own.
    """

    reconnection_time_s: float = 3.0
    code: ClassVar[int] = _backoff_kernel.FIXED

    def __post_init__(self) -> None:
        _checks.parameters(self)

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.reconnection_time_s)


@dataclass(frozen=True, slots=True)
class WebsocketsPython:
    """Python's websockets: `u * initial` first, then `min(cap, base * factor**(attempt - 1))`, without jitter.

    Parameters
    ----------
    initial_s : float
        Upper end of the first wait, seconds, above 0.
    base_s : float
        Second wait, seconds, above 0.
    cap_s : float
        Longest wait, seconds, at least `initial_s` and `base_s`.
    factor : float
        Growth from the second attempt on, dimensionless, at least 1.

    Notes
    -----
    The library's `async for` loop tries once at once when a working connection ends, and waits only after failed
    attempts. Programs that call `backoff()` themselves wait after the loss too; this is their series.

    References
    ----------
    python-websockets/websockets, src/websockets/client.py, `backoff`, and its BACKOFF_* constants.
    """

    initial_s: float = 5.0
    base_s: float = 3.1
    cap_s: float = 90.0
    factor: float = 1.618
    code: ClassVar[int] = _backoff_kernel.WEBSOCKETS

    def __post_init__(self) -> None:
        _checks.parameters(self)
        _checks.not_below("cap_s", self.cap_s, "initial_s", self.initial_s)
        _checks.not_below("cap_s", self.cap_s, "base_s", self.base_s)

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.cap_s, self.initial_s, self.base_s, self.factor)


@dataclass(frozen=True, slots=True)
class ReconnectingWebSocket:
    """The npm package reconnecting-websocket: `min(cap, first * factor**attempt)`, with `first` drawn once a client.

    Parameters
    ----------
    low_s : float
        Lower end of the first wait, seconds, above 0.
    high_s : float
        Upper end of the first wait, seconds, at least `low_s`.
    cap_s : float
        Longest wait, seconds, at least `high_s`.
    factor : float
        Growth from one attempt to the next, dimensionless, at least 1.

    References
    ----------
    pladaria/reconnecting-websocket, reconnecting-websocket.ts, `DEFAULT` and `_getNextDelay`.
    """

    low_s: float = 1.0
    high_s: float = 5.0
    cap_s: float = 10.0
    factor: float = 1.3
    code: ClassVar[int] = _backoff_kernel.RECONNECTING

    def __post_init__(self) -> None:
        _checks.parameters(self)
        _checks.not_below("high_s", self.high_s, "low_s", self.low_s)
        _checks.not_below("cap_s", self.cap_s, "high_s", self.high_s)

    def params(self) -> np.ndarray:
        """Parameters as the compiled code reads them, float64, shape (4,)."""
        return _backoff_kernel.pack(self.cap_s, self.low_s, self.high_s, self.factor)
