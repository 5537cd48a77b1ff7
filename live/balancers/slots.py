"""Slots: places for server instances, whose ports are kept for them during the whole run.

There are more slots than servers at the start, because the file of a balancer is written once: a server that is added
or takes another's place takes a slot that is free.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

__all__ = ["Slot", "reserved_slots"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one server instance: the ports of loopback it listens on, `/ws` on one and the rest on the other."""

    websocket_port: int
    http_port: int


@contextmanager
def reserved_slots(n: int) -> Iterator[tuple[Slot, ...]]:
    """`n` slots whose ports nobody else gets, not even as the local port of a connection, while the context lasts.

    A socket is bound to each and never listens: whoever connects to an empty slot is refused, and a server that sets
    SO_REUSEADDR before it binds, as asyncio does, listens there all the same, as often as it is started.

    Examples
    --------
    >>> with reserved_slots(2) as slots, socket.create_server(("127.0.0.1", slots[0].http_port)) as server:
    ...     len({port for slot in slots for port in (slot.websocket_port, slot.http_port)})
    4
    """
    with ExitStack() as stack:
        ports = []
        for _ in range(2 * n):
            held = stack.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            ports.append(held.getsockname()[1])
        yield tuple(Slot(*pair) for pair in zip(ports[:n], ports[n:], strict=True))
