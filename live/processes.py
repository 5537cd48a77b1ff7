"""Children: every process of a live run, none of which outlives it, and a folder that is gone afterwards.

Three things see to that. Each child asks the kernel to be killed when the thread that started it ends
(`prctl(PR_SET_PDEATHSIG)`, Linux). A janitor process holds the other end of a pipe: when the pipe closes, because the
run is over or its process was killed, it kills what is left and removes the folder. And `close` does it all in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from realtime_sim.errors import LiveError

__all__ = ["Children", "free_ports", "wait_for_port"]

PR_SET_PDEATHSIG = 1
"""From `<sys/prctl.h>`; see prctl(2)."""

GRACE_S = 2.0
"""Time a child has between SIGTERM and SIGKILL."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """In the child, before its program starts."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Children:
    """Processes started for one run, and a folder for their files.

    Use it as a context: at the end, in order or by an exception, all of them are gone and so is the folder. Processes
    are addressed by their pid alone. To be used from one thread, which must live until the end.

    Examples
    --------
    >>> with Children() as children:
    ...     child = children.spawn(["sleep", "60"], name="sleeper")
    ...     folder = children.folder
    >>> child.returncode is not None, folder.exists()
    (True, False)
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="realtime-sim-"))
        self._running: dict[int, tuple[str, subprocess.Popen]] = {}
        script = Path(__file__).with_name("janitor.py")
        # In a session of its own, so that Ctrl-C does not end it before its work.
        self._janitor = subprocess.Popen(
            [sys.executable, "-S", str(script), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # whoever waits for the end of our output must not wait for it
            start_new_session=True,
        )

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def spawn(
        self,
        command: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        output: int | None = None,
    ) -> subprocess.Popen:
        """Start a program.

        Parameters
        ----------
        command : sequence of str
            The program and its arguments.
        name : str
            What messages call it. What it prints goes to `<name>.log` in the folder.
        env : mapping of str to str, optional
            Environment, in the place of this process's.
        pass_fds : sequence of int
            Descriptors that it inherits.
        output : int, optional
            Where its output goes instead, as `subprocess` takes it.

        Raises
        ------
        LiveError
            If it cannot be started.
        """
        log = (self.folder / f"{name.replace(' ', '-')}.log").open("ab")
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=subprocess.STDOUT if output is None else log,
                env=None if env is None else dict(env),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise LiveError(
                name, f"cannot start {command[0]!r} ({error.strerror})", "check that it is installed"
            ) from None
        finally:
            log.close()
        self._running[child.pid] = (name, child)
        self._tell(f"+{child.pid}")
        return child

    def log_of(self, name: str, lines: int = 5) -> str:
        """The last lines that a child has printed, in one."""
        path = self.folder / f"{name.replace(' ', '-')}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return " | ".join(text.strip().splitlines()[-lines:])

    def ended(self) -> dict[str, int]:
        """Names and exit codes of children that are not there any more, each told once."""
        over = {pid: child for pid, (_, child) in self._running.items() if child.poll() is not None}
        return {self._forget(pid): child.returncode for pid, child in over.items()}

    def stop(self, child: subprocess.Popen, grace_s: float = GRACE_S) -> int:
        """End a child: SIGTERM, and after `grace_s` seconds SIGKILL. Returns its exit code."""
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)  # a stopped process would not hear the next
                child.terminate()
            try:
                child.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.kill(child)
        self._forget(child.pid)
        return child.returncode

    def kill(self, child: subprocess.Popen) -> None:
        """End a child at once, by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait()
        self._forget(child.pid)

    def close(self) -> None:
        """End every child, all of them at the same time, and remove the folder."""
        children = [child for _, child in self._running.values() if child.poll() is None]
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._running.clear()
        if self._janitor.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._janitor.stdin.close()
        self._janitor.wait()

    def _forget(self, pid: int) -> str:
        name, _ = self._running.pop(pid, ("", None))
        self._tell(f"-{pid}")
        return name

    def _tell(self, line: str) -> None:
        assert self._janitor.stdin is not None
        try:
            self._janitor.stdin.write(f"{line}\n".encode())
            self._janitor.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise LiveError("janitor", "the process that cleans up has ended", "run again") from None


def free_ports(n: int) -> list[int]:
    """`n` different TCP ports of loopback that nobody listens on now.

    Another program may take one before it is used: who listens must be ready to try again.

    Examples
    --------
    >>> len(set(free_ports(5)))
    5
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for_port(port: int, child: subprocess.Popen | None = None, timeout_s: float = 10.0) -> bool:
    """Wait until somebody listens on a port of loopback: True then, False if `child` ends before or time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        if child is not None and child.poll() is not None:
            return False
        time.sleep(0.005)
    return False
