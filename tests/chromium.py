"""A headless Chromium for tests of pages, driven through its DevTools protocol. None of its processes outlive a test.

async with Chromium() as browser:
    page = await browser.open(url)
    assert await page.text("h1") == "Live run"
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from live.processes import Children

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What the program is called, here and elsewhere."""

DEADLINE_S = 20.0
"""Time for anything asked of the browser; ten times what it takes on a busy machine of two cores."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


_SETTLED = """Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations < Infinity)
  .map((one) => one.finished)).then(() => 0)"""
"""Transitions that have an end are over."""


def program() -> str:
    """Where Chromium is; the test is skipped where it is not."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium on PATH (looked for {', '.join(NAMES)})")
    return found


@dataclass(slots=True)
class Console:
    """One line that a page has written to its console: `level` is `"error"`, `"warning"`, `"info"` or `"log"`."""

    level: str
    source: str
    text: str


@dataclass(slots=True)
class Page:
    """One tab: what it has written to its console, and every address it has asked for."""

    _browser: Chromium
    _session: str
    console: list[Console] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, or of the promise that it is."""
        answer = await self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    async def text(self, selector: str) -> str:
        """What a reader sees in an element, spaces put together."""
        found = await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")
        assert found is not None, f"there is no {selector!r} in the page"
        return " ".join(found.split())

    async def wait_for(self, script: str, timeout_s: float = DEADLINE_S) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + timeout_s
        while not await self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {script}"
            await asyncio.sleep(0.02)

    async def resize(self, width: int, height: int) -> None:
        """Make the window so large, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self._send("Emulation.setDeviceMetricsOverride", **metrics)
        await self._painted()

    async def prefer(self, **features: str) -> None:
        """Set what the reader prefers: `prefer(color_scheme="dark", reduced_motion="reduce")`."""
        named = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        await self._send("Emulation.setEmulatedMedia", features=named)
        await self._painted()

    async def press(self, key: str) -> None:
        """Press a key, such as `"ArrowLeft"`, wherever the focus is."""
        for kind in ("keyDown", "keyUp"):
            await self._send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def screenshot(self, path: Path, width: int, height: int, whole: bool = False) -> Path:
        """Save a picture of the window, or of the `whole` page however long it is, as PNG."""
        await self.resize(width, height)
        await self.evaluate(_SETTLED)
        answer = await self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    async def _painted(self) -> None:
        """Wait for two frames: the page has seen the change and has drawn it."""
        await self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    async def _send(self, method: str, **params: Any) -> dict:
        return await self._browser.send(method, params, self._session)

    def _hear(self, method: str, params: dict) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.console.append(Console("error", "exception", text))
        elif method == "Runtime.consoleAPICalled":
            text = " ".join(str(part.get("value", part.get("description"))) for part in params["args"])
            self.console.append(Console(params["type"], "console", text))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.console.append(Console(entry["level"], entry["source"], f"{entry['text']} {entry.get('url', '')}"))


class Chromium:
    """A browser with a profile of its own, which nothing outside loopback can be reached from."""

    def __init__(self) -> None:
        self._program = program()
        self._pages: dict[str, Page] = {}
        self._answers: dict[int, asyncio.Future] = {}
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Chromium:
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def open(self, url: str, width: int = 1280, height: int = 720) -> Page:
        """A new tab that shows an address, once the page is loaded."""
        target = await self.send("Target.createTarget", {"url": "about:blank"})
        attach = {"targetId": target["targetId"], "flatten": True}
        session = (await self.send("Target.attachToTarget", attach))["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.send(f"{domain}.enable", {}, session)
        await page.resize(width, height)
        await self.send("Page.navigate", {"url": url}, session)
        await page.wait_for(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")
        return page

    async def send(self, method: str, params: dict, session: str | None = None) -> dict:
        """Call a method of the DevTools protocol, of the browser or of one tab."""
        number = len(self._answers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(DEADLINE_S):
            found = await answer
        assert "error" not in found, f"{method}: {found['error']['message']}"
        return found["result"]

    async def _start(self) -> None:
        children = self._closing.enter_context(Children())
        home = str(children.folder)
        env = os.environ | {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
        profile = children.folder / "profile"
        browser = children.spawn(
            [self._program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], name="chromium", env=env
        )
        self.pid, self.folder = browser.pid, children.folder
        self._closing.callback(_end_session, browser.pid)  # the helpers of the browser, which are children of its own
        self._closing.callback(children.stop, browser)
        address = await _address(profile / "DevToolsActivePort", browser, children)
        self._socket: ClientConnection = await self._closing.enter_async_context(
            connect(address, proxy=None, max_size=None, compression=None)
        )
        reader = asyncio.create_task(self._read())
        self._closing.push_async_callback(_cancel, reader)

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]].set_result(message)
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]]._hear(message["method"], message["params"])


async def _address(file: Path, browser: Any, children: Children) -> str:
    """Where the browser listens, as soon as it says so."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        assert browser.poll() is None, f"Chromium has ended: {children.log_of('chromium')}"
        assert time.monotonic() < deadline, f"Chromium does not listen: {children.log_of('chromium')}"
        await asyncio.sleep(0.02)


async def _cancel(task: asyncio.Task) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _end_session(leader: int) -> None:
    """Kill, by pid, what a browser that has ended left in its session, and wait until it is gone."""
    deadline = time.monotonic() + DEADLINE_S
    while left := session_of(leader):
        assert time.monotonic() < deadline, f"processes of Chromium do not end: {left}"
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def session_of(leader: int) -> list[int]:
    """Processes of a session that run; one that has ended and was not waited for does not count."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == leader and state not in "ZX":
                    found.append(int(entry.name))
    return found
