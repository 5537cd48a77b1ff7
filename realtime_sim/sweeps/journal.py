"""The journal of a sweep: a file in which every finished run stands at once, so that none is lost or done again.

It is a CSV file with one line for each run, in the order in which they were done. A line is appended by a single write
and forced to the disk; one without its end was being written when the machine stopped, and is dropped. Every line has
the version of the package, and a fingerprint of all that its run depends on: the whole scenario with its costs, and
the number of the replication. So a file goes on being filled by whoever asks for all the runs it holds, with more
values or replications as well, and is refused, untouched, by whoever asks for others.

Parquet cannot be appended to. A sweep whose file ends in .parquet keeps its journal beside it, in a file of the same
name with .csv behind; when all runs are done, the table is written whole, and the journal removed.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from realtime_sim import __version__
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import check_writable, write_whole
from realtime_sim.scenario import Scenario

__all__ = ["Journal", "fingerprint"]

ABOUT = ("version", "run")
"""Last columns: what computed a run, and its fingerprint."""


def fingerprint(scenario: Scenario) -> str:
    """Sixteen signs that stand for all a run of this scenario depends on, but for the package.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 100}])
    >>> [fingerprint(chat) == fingerprint(chat.replace(**change)) for change in ({"duration": 1}, {"seed": 1})]
    [True, False]
    """
    costs = asdict(scenario.servers.resolved_costs)  # a profile may be a file, and the file another one by now
    said = [scenario.model_dump(mode="json", by_alias=True), costs]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


class Journal:
    """An open journal. It holds the runs that are in it, and takes more; others may not write to it meanwhile.

    Parameters
    ----------
    path : Path
        Its file, .csv or .parquet.
    columns : sequence of str
        Columns of a line before those about the run: what is swept, the replication, and figures.
    asked : sequence of str
        Fingerprints of all runs that are asked for.

    Raises
    ------
    ScenarioError
        If the file cannot be written, belongs to another sweep, or is being written by another process.
    """

    def __init__(self, path: Path, columns: Sequence[str], asked: Sequence[str]) -> None:
        _check(path)
        self.path = path if path.suffix == ".csv" else path.with_name(f"{path.name}.csv")
        self._table = None if path.suffix == ".csv" else path
        self._columns, self._asked = [*columns, *ABOUT], set(asked)
        self.finished = {} if self._table is None or not path.exists() else self._read_table()
        is_whole = self._table is not None and self._asked <= self.finished.keys()
        self._file = None if is_whole and not self.path.exists() else self._opened()

    def _opened(self) -> int:
        """The file, open for this process alone, with its half-written end cut off."""
        check_writable(self.path)
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            rule = f"must be a file that can be written ({error.strerror})"
            raise ScenarioError(Problem("file", rule, str(self.path), "choose another path")) from None
        try:
            _lock(file, self.path)
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            self._take(whole, content)
            if len(whole) < len(content):
                os.ftruncate(file, len(whole))
            if not whole:
                _append(file, _line(self._columns))
        except BaseException:
            os.close(file)
            raise
        return file

    def _take(self, whole: bytes, content: bytes) -> None:
        """Read the runs of the file, all of which must be asked for."""
        head = _line(self._columns)
        if not whole:
            if not head.startswith(content):
                raise self._refusal("it is no table of a sweep")
            return
        try:
            rows = list(csv.reader(io.StringIO(whole.decode(), newline="")))
        except (UnicodeDecodeError, csv.Error):
            raise self._refusal("it is no table of a sweep") from None
        self._check_columns(rows[0])
        for number, row in enumerate(rows[1:], 2):
            if len(row) != len(self._columns):
                raise self._refusal(f"line {number} has {len(row)} of {len(self._columns)} columns")
            self._check_run(dict(zip(self._columns, row, strict=True)), f"line {number}")
            self.finished[row[-1]] = dict(zip(self._columns, map(_number, row), strict=True))

    def _read_table(self) -> dict[str, dict[str, Any]]:
        try:
            frame = pd.read_parquet(self._table)
        except (OSError, ValueError):  # pyarrow's own errors are these
            raise self._refusal("it is no table of a sweep") from None
        self._check_columns([str(name) for name in frame.columns])
        rows = frame.to_dict("records")
        for number, row in enumerate(rows):
            self._check_run(row, f"row {number}")
        return {row["run"]: row for row in rows}

    def _check_columns(self, found: Sequence[str]) -> None:
        if tuple(found[-len(ABOUT) :]) != ABOUT:
            raise self._refusal("it is no table of a sweep")
        for name in [*found, *self._columns]:
            if (name in found) != (name in self._columns):
                raise self._refusal(f"it {'has' if name in found else 'lacks'} the column {name}")
        if list(found) != self._columns:
            raise self._refusal("its columns are in another order")

    def _check_run(self, row: Mapping[str, Any], place: str) -> None:
        if row["version"] != __version__:
            raise self._refusal(f"{place} is of version {row['version']} of this package, not {__version__}")
        if row["run"] not in self._asked:
            swept = self._columns[: self._columns.index("replication") + 1]
            what = ", ".join(f"{name}={row[name]}" for name in swept)
            raise self._refusal(f"{place} is a run of another scenario, or one that is not asked for: {what}")

    def _refusal(self, why: str) -> ScenarioError:
        step = "ask for all that is in it, or choose another file"
        path = self._table if self._table is not None and self._table.exists() else self.path
        return ScenarioError(Problem("file", f"must be a new file or one of this sweep ({why})", str(path), step))

    def append(self, row: Mapping[str, Any], run: str) -> None:
        """Write down a finished run; when this returns, it is on the disk.

        Parameters
        ----------
        row : mapping of str to object
            What stands in the columns.
        run : str
            Its fingerprint.
        """
        whole = {**row, "version": __version__, "run": run}
        assert self._file is not None
        _append(self._file, _line([whole[name] for name in self._columns]))
        self.finished[run] = whole

    def finish(self, frame: pd.DataFrame, runs: Sequence[str]) -> None:
        """All runs are done: write the table that was asked for, whole, and remove the journal beside it.

        Parameters
        ----------
        frame : DataFrame
            All runs, in the order that is wanted, with what stands in the columns.
        runs : sequence of str
            Their fingerprints.
        """
        if self._table is not None and self._file is not None:
            whole = frame.assign(version=__version__, run=runs)
            write_whole(self._table, whole.to_parquet(None, index=False))
            self.path.unlink()

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _check(path: Path) -> None:
    if path.suffix not in (".csv", ".parquet"):
        raise ScenarioError(Problem("file", "must end in .csv or .parquet", str(path), "choose one of the two"))
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        step = "pip install 'realtime-sim[parquet]', or use .csv"
        raise ScenarioError(Problem("file", "must end in .csv where pyarrow is not installed", str(path), step))
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ScenarioError(Problem("file", "must be a plain file", str(path), "choose another path"))


def _lock(file: int, path: Path) -> None:
    """Keep other processes from writing to the file, where the system can; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows keeps nobody out
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        step = "wait until it is done, or choose another file"
        raise ScenarioError(Problem("file", "must not be in use by another sweep", str(path), step)) from None


def _append(file: int, line: bytes) -> None:
    """One write, which no Ctrl-C can cut in two, and then to the disk."""
    if os.write(file, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def _line(cells: Sequence[object]) -> bytes:
    """One line of CSV; nothing for None."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue().encode()


def _number(text: str) -> object:
    """A number as it was, to the last bit; any other text stays what it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or math.nan
