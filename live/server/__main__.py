"""A server process, started by a run: `python -m live.server CHANNEL_FD PAGE_FD SENDS_FD FANOUTS_FD`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from typing import Any

from websockets.asyncio.server import Server
from websockets.frames import CloseCode

from live.brokers.links import open_link
from live.channel import Channel, ChannelClosed
from live.logbook import Logbook
from live.page import Page
from live.server.frontdoor import FrontDoor
from live.server.gate import Gate
from live.server.http import HttpFace
from live.server.hub import Hub, Membership
from live.server.settings import FANOUTS, SENDS, ServerSettings
from live.server.websocket import serve_websockets

FAREWELL_S = 1.0
"""Time clients have to say goodbye when the server ends; whoever ends it waits for twice as long."""


async def main() -> None:
    """Set up, say so, and do what the run asks until it hangs up."""
    channel = await Channel.open(socket.socket(fileno=int(sys.argv[1])))
    told = await channel.receive()
    settings = ServerSettings.from_plain(told["settings"])
    arrays, page = told["arrays"], Page(int(sys.argv[2]))
    gate = Gate(settings, arrays["cohort_of"])
    sends = Logbook(SENDS, settings.n_sends, int(sys.argv[3]))
    fanouts = Logbook(FANOUTS, settings.n_fanouts, int(sys.argv[4]))
    membership = Membership(arrays["room_offsets"], arrays["rooms"])
    hub = Hub(membership, arrays["skipped"], gate.takes, page, sends, fanouts, settings.slice)
    member = f"server-{settings.number}"
    link = open_link(settings.broker_url, settings.broker_part, member, settings.namespace)  # type: ignore[arg-type]
    await link.start(hub.receive, patient=settings.is_late)
    hub.position = link.position
    door = FrontDoor(settings, hub, gate, link)
    ports = Ports(door)
    await ports.open()
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    gc.freeze()
    channel.send({"is": "ready"})
    orders = asyncio.create_task(_obey(channel, door, ports))
    await asyncio.wait({orders, asyncio.create_task(leaving.wait())}, return_when=asyncio.FIRST_COMPLETED)
    gate.is_draining = True
    _send_away(door, len(hub.connections), CloseCode.SERVICE_RESTART)
    await ports.close()
    await link.close()
    await channel.close()
    orders.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await orders  # an order that could not be done ends the process, and its log says why


class Ports:
    """Where the server listens; it can stop to, and begin again, while its connections go on."""

    def __init__(self, door: FrontDoor) -> None:
        self._door, self._face = door, HttpFace(door)
        self._websockets: Server | None = None
        self._shut: list[Server] = []

    async def open(self) -> None:
        """Listen."""
        if self._websockets is None:
            self._websockets = await serve_websockets(self._door)
            await self._face.listen()

    async def shut(self) -> None:
        """Refuse new connections."""
        if self._websockets is not None:
            self._websockets.close(close_connections=False)
            self._shut.append(self._websockets)
            self._websockets = None
            await self._face.shut()

    async def close(self) -> None:
        """End everything, once those who are sent away have said goodbye or their time is over."""
        await self.shut()
        closing = [self._face.stop(), *(server.wait_closed() for server in self._shut)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await asyncio.gather(*closing)


async def _obey(channel: Channel, door: FrontDoor, ports: Ports) -> None:
    """Do what the run asks, one thing after the other."""
    while True:
        try:
            order = await channel.receive()
        except ChannelClosed:
            return
        if order["do"] == "drain" and door.settings.shuts_when_draining:
            await (ports.shut() if order["draining"] else ports.open())
        _do(order, door)


def _do(order: dict[str, Any], door: FrontDoor) -> None:
    match order["do"]:
        case "drain":
            door.gate.is_draining = bool(order["draining"])
        case "close":
            _send_away(door, order["n"], CloseCode.GOING_AWAY)
        case "pace":
            door.hub.pace = order["factor"]
        case "cut":
            door.link.cut(order["silent"])
        case "heal":
            door.link.heal()


def _send_away(door: FrontDoor, n: int, code: int) -> None:
    """Close so many connections, those of the lowest client numbers."""
    for _, subscriber in sorted(door.hub.connections.items())[:n]:
        subscriber.close(code, "going away")


if __name__ == "__main__":
    asyncio.run(main())
