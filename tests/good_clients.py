"""Clients that behave well, and remember what they have heard."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp
from websockets.asyncio.client import connect

from live.clients.reception import Caller, Reception
from live.clients.socketio_client import connect as connect_socketio
from live.clients.socketio_client import hello
from live.fleet import ORIGIN
from realtime_sim import wire

GOOD = {"chatty": "websocket", "reader": "sse", "poller": "long_polling", "outsider": "websocket"}
"""Clients that behave well, one of each, each in a room of its own."""

GOOD_SOCKETIO = {"chatty": "socketio", "poller": "socketio_polls", "outsider": "socketio"}
"""And those of Socket.IO: one of them polls, and never has a WebSocket."""


class GoodClient:
    """A client that behaves well, and what it has heard."""

    def __init__(self, name: str, kind: str, url: str, token: str) -> None:
        self.name, self._url, self._token = name, url, token
        self.welcomed = asyncio.Event()
        self.heard: list[int] = []
        self.strange: list[object] = []
        self.worst_s = 0.0
        self.task = asyncio.create_task(getattr(self, f"_{kind}")())

    def _take(self, frame: object) -> None:
        if isinstance(frame, wire.Welcome):
            self.welcomed.set()
        elif isinstance(frame, wire.Message) and frame.data.startswith(self.name):
            self.heard.append(frame.seq)
            self.worst_s = max(self.worst_s, time.monotonic() - float(frame.data.split()[1]))
        else:
            self.strange.append(frame)

    async def _websocket(self) -> None:
        async with connect(self._url, origin=ORIGIN, compression=None, proxy=None, close_timeout=1.0) as websocket:
            async for text in websocket:
                self._take(wire.read_from_server(text))

    async def _sse(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(self._url) as answer:
            async for line in answer.content:
                if line.startswith(b"data: "):
                    self._take(wire.read_from_server(line[6:]))

    async def _long_polling(self) -> None:
        async with aiohttp.ClientSession() as http:
            url = self._url
            while True:
                async with http.get(url) as answer:
                    if answer.status == 410:
                        return
                    for frame in wire.read_from_server(await answer.read()).frames:
                        self._take(frame)
                        if isinstance(frame, wire.Welcome):
                            url = f"{self._url}&session={frame.session}"

    async def _socketio(self) -> None:
        ear = Ear(self._take)
        connection = await connect_socketio(self._url, {"token": self._token}, Caller(ORIGIN, ""), ear)
        try:
            self.strange.append(await ear.closed)
        finally:
            connection.abort()

    async def _socketio_polls(self) -> None:
        async with aiohttp.ClientSession() as http:
            url = f"{self._url}?EIO=4&transport=polling"
            async with http.get(url) as answer:
                url += f"&sid={json.loads((await answer.text())[1:])['sid']}"
            await http.post(url, data=hello({"token": self._token}))
            while True:
                async with http.get(url) as answer:
                    packets = (await answer.text()).split("\x1e")
                for packet in packets:
                    if packet.startswith('42["message",'):
                        self._take(wire.read_from_server(packet[13:-1]))
                    elif packet == "2":
                        await http.post(url, data=b"3")
                    elif not packet.startswith("40{"):
                        self.strange.append(packet)
                        return


class Ear(Reception):
    """What comes to a light client of Socket.IO, told to somebody frame by frame."""

    def __init__(self, take: Callable[[object], None]) -> None:
        super().__init__(0, 0, lambda *_: None, False, lambda *_: None)
        self._tell = take

    def frame(self, body: bytes) -> None:
        """One frame of the server."""
        frame = wire.read_from_server(body)
        if isinstance(frame, wire.Welcome):
            self.welcomed.set_result(None)
        self._tell(frame)
