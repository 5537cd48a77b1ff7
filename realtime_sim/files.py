"""Files: written whole, or not at all."""

from __future__ import annotations

from pathlib import Path

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole, or not at all; missing folders are made.

    Raises
    ------
    ScenarioError
        If the folder or the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        if partial.is_file():
            partial.unlink()
        rule = f"must be a file that can be written ({error.strerror})"
        raise ScenarioError(Problem("output", rule, str(path), "choose another path")) from None
