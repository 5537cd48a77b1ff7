"""How long one waits before the first result: importing, the command, and compiling in a new environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.works import Bar

__all__ = ["FIRST", "LATER", "seconds"]

_COMMAND = [sys.executable, "-m", "realtime_sim", "simulate"]
_SMALL = [*_COMMAND, "chat", "--set", "duration=5s", "--set", "warmup=1s"]

LATER = {
    "import realtime_sim": ([sys.executable, "-c", "import realtime_sim"], Bar("seconds", most=0.5)),
    "realtime-sim simulate chat, 5 s, until it has printed": (_SMALL, Bar("seconds", most=3.0)),
    "the same with the compiled engine": ([*_SMALL, "--engine", "fast"], Bar("seconds", most=3.0)),
}
"""What every process pays, by what it does: the command, and its bar."""

_COMPILED = ["--engine", "fast"]

FIRST = {
    "first run in a new environment: chat, 5 s, reference engine": _SMALL,
    "first run in a new environment: textbook_queue, compiled engine, steady kernel": [
        *_COMMAND, "examples/textbook_queue.yaml", *_COMPILED,
    ],
    "first run in a new environment: chat, 5 s, compiled engine, general kernel": [*_SMALL, *_COMPILED],
}  # fmt: skip
"""What is paid once, as everything is compiled that is needed."""


def seconds(command: list[str], new: bool = False) -> float:
    """Wall time of a command from the start of its process to its end; `new` with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | ({"NUMBA_CACHE_DIR": folder} if new else {})
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - begun
