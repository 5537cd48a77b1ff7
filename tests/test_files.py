"""Files are written whole or not at all, and a path that cannot be written is known before the work, in one message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.errors import ScenarioError
from realtime_sim.files import check_writable, file_name, write_whole


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the content of files, None for folders."""
    paths = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}


# Known values.


@pytest.mark.parametrize(("content", "written"), [("µs\n", b"\xc2\xb5s\n"), (b"\x00\xff", b"\x00\xff"), ("", b"")])
def test_text_is_written_as_utf_8_and_bytes_as_they_are(tmp_path, content, written):
    """U+00B5 is C2 B5 in UTF-8 (RFC 3629 §3), and a line break stays one byte."""
    write_whole(tmp_path / "a" / "b" / "file", content)
    assert tree(tmp_path) == {"a": None, "a/b": None, "a/b/file": written}


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "run.json"
    write_whole(path, "a long first text")
    write_whole(path, "second")
    assert tree(tmp_path) == {"run.json": b"second"}


def test_checking_makes_the_folder_and_nothing_else(tmp_path):
    (tmp_path / "old").write_text("kept")
    check_writable(tmp_path / "new" / "run.json")
    check_writable(tmp_path / "old")
    assert tree(tmp_path) == {"new": None, "old": b"kept"}


def test_a_link_stays_a_link_to_what_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("there/old", "there/new"):
        link = tmp_path / name.replace("/", "-")
        link.symlink_to(name)
        if name.endswith("old"):
            (tmp_path / name).write_text("old")
        check_writable(link)
        write_whole(link, "written")
        assert link.is_symlink() and (tmp_path / name).read_text() == "written"
    assert len(tree(tmp_path)) == 5


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    check_writable(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # a writer does not wait, and a pipe holds more than this
    try:
        write_whole(fifo, "written")
        assert os.read(reader, 100) == b"written"
    finally:
        os.close(reader)
    assert fifo.is_fifo() and list(tmp_path.iterdir()) == [fifo]


def test_files_of_others_with_the_name_of_a_partial_one_are_left_alone(tmp_path):
    others = {name: b"mine" for name in ("run.json.partial", f".realtime-sim-{os.getpid()}-0.partial")}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    check_writable(tmp_path / "run.json")
    assert tree(tmp_path) == others
    write_whole(tmp_path / "run.json", "x")
    assert tree(tmp_path) == others | {"run.json": b"x"}


def test_the_longest_name_a_file_system_takes_is_taken(tmp_path):
    path = tmp_path / ("x" * 255)
    check_writable(path)
    write_whole(path, "x")
    assert tree(tmp_path) == {path.name: b"x"}


# Properties.


@given(st.binary())
def test_what_was_written_is_read_back(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "round_trip"
    write_whole(path, content)
    assert path.read_bytes() == content


@given(st.text())
def test_a_file_name_stays_in_its_folder_and_fits_any_file_system(name):
    made = file_name(name)
    assert Path(made).name == made and made not in ("", ".", "..")
    assert len(f"{made}-latency.png.partial".encode()) < 200


def test_a_name_that_no_file_system_takes_is_one_message(tmp_path):
    for act in (check_writable, lambda path: write_whole(path, "x")):
        with pytest.raises(ScenarioError, match="no name holds a NUL"):
            act(tmp_path / "a\0.html")


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    """The disk is full after three bytes."""
    monkeypatch.chdir(tmp_path)
    path = Path("run.json")
    path.write_bytes(b"old")

    def three_bytes(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", three_bytes)
    with pytest.raises(ScenarioError) as caught:
        write_whole(path, "new content")
    assert str(caught.value) == (
        "output must be a file that can be written (No space left on device), got 'run.json'; choose another path"
    )
    assert tree(tmp_path) == {"run.json": b"old"}


# Errors.


@pytest.mark.parametrize("write", [lambda path: write_whole(path, "x"), check_writable], ids=["write", "check"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Is a directory"),
        ("folder", "Is a directory"),
        ("file/run.json", "Not a directory|File exists"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_that_cannot_be_written_is_named(tmp_path, monkeypatch, write, name, reason):
    """The empty path is the folder one stands in."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").write_text("kept")
    before = tree(tmp_path)
    with pytest.raises(ScenarioError, match=rf"^output must be a file that can be written \(({reason})\), got '"):
        write(Path(name))
    assert tree(tmp_path) == before
