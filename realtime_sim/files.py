"""Files: written whole, or not at all."""

from __future__ import annotations

import re
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

    Raises
    ------
    ScenarioError
        If the folder or the file cannot be written.
    """
    try:
        partial = _prepared(path)
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(path)
        except OSError:
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
        partial = _prepared(path)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


def _prepared(path: Path) -> Path:
    """The name to write under first, in a folder that is there; the path itself must not be a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(0, "Is a directory")
    return path.with_name(path.name + ".partial")


def _unwritable(path: Path, error: OSError) -> ScenarioError:
    rule = f"must be a file that can be written ({error.strerror})"
    return ScenarioError(Problem("output", rule, str(path), "choose another path"))
