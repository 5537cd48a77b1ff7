"""Targets: somebody's own cluster, as the user names it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import SplitResult, quote, urlsplit

from realtime_sim.errors import Problem, ScenarioError, nearest

__all__ = ["TRANSPORTS", "Target"]

TRANSPORTS = MappingProxyType(
    {"ws": "websocket", "wss": "websocket", "socketio": "websocket", "http": "sse", "https": "sse"}
)
"""Transport of the clients, by the scheme of the URL: what a scenario's cohorts must have."""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster that runs already.

    Parameters
    ----------
    url : str
        `ws://` or `wss://` for WebSocket, `http://` or `https://` for Server-Sent Events, `socketio://` for Socket.IO.
    token : str
        What clients show: `token` in the query, for Socket.IO in `auth`.
    time_field : str
        Field of a JSON message that holds when it was sent, seconds or milliseconds since 1970; dots lead into objects.

    Raises
    ------
    ScenarioError
        If the URL is none of these.

    Examples
    --------
    >>> Target("wss://chat.example/live?v=2", token="abc").request_url
    'wss://chat.example/live?v=2&token=abc'
    >>> Target("socketio://127.0.0.1:3000", token="abc").request_url
    'http://127.0.0.1:3000/socket.io/'
    >>> Target("ftp://chat.example")
    Traceback (most recent call last):
    realtime_sim.errors.ScenarioError: target must be a URL of a known scheme, got 'ftp://chat.example'; known names: \
http, https, socketio, ws, wss
    """

    url: str
    token: str = ""
    time_field: str = ""

    def __post_init__(self) -> None:
        def wrong(rule: str, step: str) -> ScenarioError:
            return ScenarioError(Problem("target", rule, self.url, step))

        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError as error:
            raise wrong(f"must be a URL ({error})", "write it as ws://127.0.0.1:8000/ws") from None
        if parts.scheme not in TRANSPORTS:
            raise wrong("must be a URL of a known scheme", nearest(parts.scheme, TRANSPORTS))
        if not parts.hostname or port == 0 or not self.url.isprintable() or " " in self.url:
            raise wrong("must name a host", "write it as ws://127.0.0.1:8000/ws")
        if parts.username is not None or parts.fragment:
            raise wrong("must have neither user nor fragment", "give what it asks for as target_token")

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def transport(self) -> str:
        """Transport of its clients."""
        return TRANSPORTS[self._parts.scheme]

    @property
    def is_socketio(self) -> bool:
        """Whether it speaks Socket.IO."""
        return self._parts.scheme == "socketio"

    @property
    def shown(self) -> str:
        """The URL without its query, in which secrets may stand."""
        return self._parts._replace(query="").geturl()

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, as its name says."""
        host = self._parts.hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def source(self) -> str:
        """Address that sockets to it have: one of loopback's many where it is there, the system's choice elsewhere."""
        return "127.0.1.1" if self.is_here and (self._parts.hostname or "").startswith("127.") else ""

    @property
    def request_url(self) -> str:
        """What clients ask for."""
        parts = self._parts
        if self.is_socketio:
            return parts._replace(scheme="http", path=parts.path.strip("/") and parts.path or "/socket.io/").geturl()
        query = "&".join(part for part in (parts.query, self.token and f"token={quote(self.token)}") if part)
        return parts._replace(path=parts.path or "/", query=query).geturl()
