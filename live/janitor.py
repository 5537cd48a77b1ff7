"""The janitor: waits until the run that started it is over or dead, then kills what is left and removes its folder.

It runs as a program of its own, `python janitor.py FOLDER`, with the standard library alone. On its input `+PID` says
that a process was started, `-PID` that it is gone; the end of the input says that the run is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Read until the end of the input, then clean up."""
    running: set[int] = set()
    for line in sys.stdin:
        (running.add if line[0] == "+" else running.discard)(int(line[1:]))
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
