"""The broker of a run: one that is started for it, or one that is there already.

Both are used by the same code, over an address. Only a broker that the run has started can be stopped by it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from live.brokers.addresses import FORMS, SCHEMES, Address, address_from
from live.brokers.links import NAMESPACE
from live.brokers.programs import PROGRAMS, Program, ask_about
from live.brokers.reconnecting import Refused, as_live_error
from live.processes import Children, free_ports
from realtime_sim.errors import LiveError, Problem, ScenarioError

__all__ = ["RunningBroker", "start_broker"]

_TRIES = 5
"""Ports that are tried: another program may take one before the broker does."""

_READY_S = 20.0
"""Longest time until a broker answers; a Python program on a busy machine takes seconds."""

_LOOK_S = 0.02

_LISTEN = "0A"
"""State of a socket in `/proc/net/tcp`."""


class RunningBroker:
    """A broker that answers.

    Parameters
    ----------
    url : str
        For `open_link`.
    about : str
        Name and version, as the broker itself says.
    warning : str
        What a report must say about it; empty if nothing.
    """

    embedded = False
    """Whether this run has started it, and may stop it."""

    def __init__(self, url: str, about: str, warning: str = "") -> None:
        self.url, self.about, self.warning = url, about, warning

    @property
    def pids(self) -> tuple[int, ...]:
        """Its processes, as far as the run has started them and they live."""
        return ()

    async def stop(self) -> None:
        """Crash: its connections break at once, and nobody listens. A log stays, but that of `fakeredis`."""
        raise self._not_ours("stopped")

    async def start(self) -> None:
        """It runs again, on the same port. Returns when it answers."""
        raise self._not_ours("started")

    async def close(self) -> None:
        """The run is over."""

    def _not_ours(self, done: str) -> LiveError:
        what = f"broker {self.about}"
        return LiveError(what, f"it is not for this run to be {done}", "use broker auto where a fault stops the broker")


class _Embedded(RunningBroker):
    """A broker that is a child of this run."""

    embedded = True

    def __init__(self, program: Program, children: Children, folder: Path, broker: Any, namespace: str) -> None:
        super().__init__("", "", program.warning)
        self._program, self._children, self._folder = program, children, folder
        self._broker, self._namespace = broker, namespace
        self._child: subprocess.Popen | None = None
        self._address = Address(program.scheme, "127.0.0.1", 0)
        self._command: list[str] = []
        self._turn = asyncio.Lock()

    @property
    def pids(self) -> tuple[int, ...]:
        """Its process, if it lives."""
        return () if self._child is None else (self._child.pid,)

    async def start_first(self) -> None:
        """On any port that is free."""
        for left in reversed(range(_TRIES)):
            port, options = free_ports(1)[0], self._program.options()
            self._command = self._program.command(port, self._folder, self._broker, self._namespace, options)
            self._address = Address(self._program.scheme, "127.0.0.1", port)
            self.url = f"{self._address}?{options}" if options else str(self._address)
            try:
                return await self._spawn()
            except LiveError as error:
                if not left or "in use" not in error.found:
                    raise

    async def _spawn(self) -> None:
        self._child = self._children.spawn(self._command, name="broker")
        self.about = await self._until_it_answers()

    async def _until_it_answers(self) -> str:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_S
        error: Exception = TimeoutError("it does not listen")
        while loop.time() < deadline:
            if self._child.poll() is not None:
                raise self._ended()
            if _listens(self._child.pid, self._address.port):  # and not somebody else, who was faster
                try:
                    async with asyncio.timeout_at(deadline):
                        return await ask_about(self._address)
                except (OSError, TimeoutError, Refused) as caught:  # one that starts may say no for a while
                    error = caught
            await asyncio.sleep(_LOOK_S)
        raise as_live_error(self._address, error)

    def _ended(self) -> LiveError:
        code, said = self._child.returncode, self._children.log_of("broker")
        self._child = None
        self._children.ended()
        found = f"it ended with exit code {code} ({said or 'and said nothing'})"
        return LiveError(f"broker {self._address}", found, "see what it said, or run again")

    async def stop(self) -> None:
        """Crash by SIGKILL; the mock of Kafka by the signal that it takes for one."""
        async with self._turn:
            assert self._child is not None
            if self._program.is_mock:
                self._child.send_signal(signal.SIGUSR1)
                while _listens(self._child.pid, self._address.port):
                    await asyncio.sleep(_LOOK_S)
            else:
                self._children.kill(self._child)
                self._child = None

    async def start(self) -> None:
        """The same command on the same port and folder."""
        async with self._turn:
            if self._program.is_mock:
                self._child.send_signal(signal.SIGUSR2)
                await self._until_it_answers()
            else:
                await self._spawn()

    async def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._children.stop(self._child)
            self._child = None


def _listens(pid: int, port: int) -> bool:
    """Whether a process of ours listens on a port of loopback; see proc(5), `net/tcp` and `fd`."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == _LISTEN}
    try:
        return any(os.readlink(one) in sockets for one in Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False  # it closed one, or has ended


async def start_broker(name: str, broker: Any, children: Children, namespace: str = NAMESPACE) -> RunningBroker:
    """A broker for a run, that answers.

    Parameters
    ----------
    name : str
        `auto` for the embedded one of the scenario's kind (Valkey, librdkafka's mock of Kafka, nats-server, or none),
        `redis-server` for the one on PATH, `fakeredis`, or the URL of one that is there already.
    broker : Part
        The scenario's broker.
    children : Children
        Where its process belongs.
    namespace : str
        Name of the run, as links have it.

    Raises
    ------
    ScenarioError
        If the name or the URL does not fit the kind of broker.
    LiveError
        If it cannot be started or reached, or does not let us in.
    """
    scheme = SCHEMES[broker.kind]
    if "://" in name:
        return await _external(address_from(name, broker.kind), name)
    if scheme == "none" and name == "auto":
        folder = children.folder / "servers"
        folder.mkdir()
        return RunningBroker(f"none://{folder}", "none")
    program = PROGRAMS.get((name, broker.kind))
    if program is None:
        known = [known for known, kind in PROGRAMS if kind == broker.kind] or ["auto"]
        rule = f"must be {', '.join(known)} or a URL {scheme}://… for kind {broker.kind}"
        raise ScenarioError(Problem("broker", rule, name, f"write one of them ({FORMS[scheme]})"))
    folder = children.folder / "broker"
    folder.mkdir(exist_ok=True)
    running = _Embedded(program, children, folder, broker, namespace)
    await running.start_first()
    return running


async def _external(address: Address, url: str) -> RunningBroker:
    if address.scheme == "none":
        return RunningBroker(url, "none")
    try:
        async with asyncio.timeout(10.0):
            return RunningBroker(url, await ask_about(address))
    except (OSError, TimeoutError, Refused) as error:
        raise as_live_error(address, error) from None
