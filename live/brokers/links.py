"""A link for every kind of broker: `open_link` chooses it, and imports what it needs only then."""

from __future__ import annotations

import re
from importlib import import_module
from types import MappingProxyType
from typing import Any

from live.brokers.addresses import address_from
from live.brokers.base import Link
from realtime_sim.errors import LiveError

__all__ = ["NAMESPACE", "open_link"]

NAMESPACE = "realtime-sim"
"""What names of channels, streams and topics begin with, where nothing else is said."""

_LINKS = MappingProxyType(
    {
        "none": ("direct", "DirectLink"),
        "redis_pubsub": ("channels", "RedisPubSubLink"),
        "redis_streams": ("streams", "RedisStreamsLink"),
        "kafka": ("kafka", "KafkaLink"),
        "nats": ("nats", "NatsLink"),
        "nats_jetstream": ("jetstream", "NatsJetStreamLink"),
    }
)
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def open_link(url: str, broker: Any, member: str, namespace: str = NAMESPACE) -> Link:
    """A process's link to a broker, which is yet to be started.

    Parameters
    ----------
    url : str
        Where the broker is, as `RunningBroker.url` says it.
    broker : Part
        The scenario's broker, or anything with its fields.
    member : str
        Name of this process, which no other of the run has or had: letters, digits, `-` and `_`.
    namespace : str
        Name of the run, so that runs that share a broker do not hear each other; of the same letters.

    Raises
    ------
    ScenarioError
        If the URL does not fit the kind of broker.
    LiveError
        If a package that it needs is missing.

    Examples
    --------
    >>> from realtime_sim.scenario.brokers import RedisPubSub
    >>> open_link("redis://127.0.0.1:6379", RedisPubSub(kind="redis_pubsub"), "server-0").connected
    False
    """
    for name in (member, namespace):
        if not _NAME.fullmatch(name):
            raise ValueError(f"a name of letters, digits, - and _ is needed, got {name!r}")
    module, link = _LINKS[broker.kind]
    address = address_from(url, broker.kind)
    try:
        return getattr(import_module(f"live.brokers.{module}"), link)(address, broker, member, namespace)
    except ModuleNotFoundError as error:
        raise LiveError(
            f"broker {broker.kind}", f"there is no Python package {error.name!r}", "pip install 'realtime-sim[live]'"
        ) from None
