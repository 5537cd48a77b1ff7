"""Addresses of brokers: which URL fits which kind, and how one is shown without its password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["SCHEMES", "Address", "address_from"]

SCHEMES = MappingProxyType(
    {
        "none": "none",
        "redis_pubsub": "redis",
        "redis_streams": "redis",
        "kafka": "kafka",
        "nats": "nats",
        "nats_jetstream": "nats",
    }
)
"""How the URL of a broker of each kind begins."""

FORMS = MappingProxyType(
    {
        "none": "none:///folder",
        "redis": "redis://[user:password@]host:port[/db]",
        "kafka": "kafka://host:port",
        "nats": "nats://[user:password@ or token@]host:port[?monitor=port]",
    }
)
"""What a URL looks like."""

_SECRETS = re.compile("//[^/@]*@")
_PORTS = MappingProxyType({"none": 0, "redis": 6379, "kafka": 9092, "nats": 4222})
_OPTIONS = MappingProxyType(
    {
        "none": frozenset(),
        "redis": frozenset({"counts"}),
        "kafka": frozenset({"fetch_wait_ms"}),
        "nats": frozenset({"monitor"}),
    }
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is.

    Parameters
    ----------
    scheme : str
        One of the values of `SCHEMES`.
    host, port : str, int
        Where it listens.
    user, password : str
        Who we are; empty if nobody asks.
    path : str
        What stands behind: the number of a database, or a folder.
    options : mapping of str to int
        What stands behind the question mark.
    """

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""
    path: str = ""
    options: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Without the password, for messages."""
        return f"{self.scheme}://{self.path}" if self.scheme == "none" else f"{self.scheme}://{self.host}:{self.port}"


def address_from(url: str, kind: str) -> Address:
    """The address in a URL, if it fits the kind of broker.

    Parameters
    ----------
    url : str
        Such as `redis://127.0.0.1:6379/0`.
    kind : str
        A key of `SCHEMES`.

    Raises
    ------
    ScenarioError
        If it is no URL of such a broker.

    Examples
    --------
    >>> str(address_from("redis://me:secret@10.0.0.7:6380/2", "redis_streams"))
    'redis://10.0.0.7:6380'
    >>> address_from("kafka://localhost:9092", "redis_streams")
    Traceback (most recent call last):
    realtime_sim.errors.ScenarioError: broker must be a URL redis://… for kind redis_streams, got \
'kafka://localhost:9092'; write redis://[user:password@]host:port[/db], or choose another broker.kind
    """
    scheme, shown = SCHEMES[kind], _SECRETS.sub("//…@", url)
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[scheme]
    except ValueError as error:
        raise _wrong(shown, f"must be a URL ({error})", scheme) from None
    if parts.scheme != scheme:
        raise _wrong(shown, f"must be a URL {scheme}://… for kind {kind}", scheme, ", or choose another broker.kind")
    if scheme != "none" and not parts.hostname:
        raise _wrong(shown, "must name a host", scheme)
    if scheme == "kafka" and parts.username:
        raise _wrong(shown, "must be a Kafka that asks for no password", scheme)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - _OPTIONS[scheme])
    if unknown or not all(value.isdecimal() for value in options.values()):
        known = ", ".join(sorted(_OPTIONS[scheme])) or "nothing"
        raise _wrong(shown, f"must have {known} behind the question mark, each a whole number", scheme)
    database = parts.path.removeprefix("/")
    if scheme == "redis" and not (database or "0").isdecimal():
        raise _wrong(shown, "must end in the number of a database", scheme)
    return Address(
        scheme,
        parts.hostname or "",
        port,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.path if scheme == "none" else database,
        MappingProxyType({name: int(value) for name, value in options.items()}),
    )


def _wrong(url: str, rule: str, scheme: str, more: str = "") -> ScenarioError:
    return ScenarioError(Problem("broker", rule, url, f"write {FORMS[scheme]}{more}"))
