"""Files: written whole, or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from pathlib import Path

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["check_writable", "file_name", "write_whole"]

_LONGEST_NAME_BYTES = 100
"""Of a file system's 255 at most, so that an ending always fits."""


def file_name(name: str) -> str:
    """A short file name for what a user has named: no folders, no signs but dots, dashes, underscores and spaces.

    Examples
    --------
    >>> file_name("chat"), file_name("../../etc/x"), file_name("a/b: 50 %"), file_name("..")
    ('chat', 'etc-x', 'a-b- 50', 'scenario')
    """
    plain = re.sub(r"[^\w. -]+", "-", name).lstrip(". -")
    # A character cut in the middle is left out.
    return plain.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore").rstrip(". -") or "scenario"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole, or not at all; missing folders are made.

    A link stays a link to the file that is written. A pipe or a device is written to as it is.

    Raises
    ------
    ScenarioError
        If the folder or the file cannot be written.
    """
    plain = content.encode() if isinstance(content, str) else content
    try:
        file = _file_behind(path)
        if file is None:
            path.write_bytes(plain)
            return
        partial = _made_beside(file)
        try:
            partial.write_bytes(plain)
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def check_writable(path: Path) -> None:
    """Find out before a long run that a file cannot be written after it; missing folders are made.

    Raises
    ------
    ScenarioError
        If the folder or the file cannot be written.
    """
    try:
        file = _file_behind(path)
        if file is not None:
            _made_beside(file).unlink()
        elif not os.access(path, os.W_OK):  # to open a pipe would wait for its reader
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(path, error) from None


def _file_behind(path: Path) -> Path | None:
    """The file that a path leads to, over links, in a folder that is there; None where there is something else."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "no name holds a NUL")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        return None
    file = Path(os.path.realpath(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _made_beside(file: Path) -> Path:
    """A new empty file in the same folder, under a name that nothing had."""
    for number in itertools.count():
        partial = file.with_name(f".realtime-sim-{os.getpid()}-{number}.partial")
        try:
            partial.touch(exist_ok=False)
        except FileExistsError:
            continue
        return partial
    raise AssertionError("numbers do not end")


def _unwritable(path: Path, error: OSError) -> ScenarioError:
    rule = f"must be a file that can be written ({error.strerror})"
    return ScenarioError(Problem("output", rule, str(path), "choose another path"))
