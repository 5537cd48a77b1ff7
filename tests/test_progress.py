"""`progress`: a bar for work that takes over two seconds, a line each half minute in a log, and silence otherwise."""

import io
import sys
import threading

import nbformat
import pytest
from nbclient import NotebookClient

from realtime_sim import progress
from realtime_sim.progress import progress_bar


class Terminal(io.StringIO):
    """Text that a terminal would show."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves: its only entry is the time, seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(monkeypatch: pytest.MonkeyPatch, clock: list[float], stream: io.StringIO, after_s: float) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with progress_bar("Simulating chat", simulated_s=60) as report:
        report(0.1)
        clock[0] += after_s
        report(0.5)
    return stream.getvalue()


def test_a_bar_says_how_far_the_run_is_and_how_fast(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """Half of 60 simulated seconds in 3 seconds: 30 s simulated, at 10 s/s."""
    text = shown(monkeypatch, clock, Terminal(), after_s=3.0)
    assert "Simulating chat" in text
    assert "30.0 of 60 s simulated, 10 s/s" in text


@pytest.mark.parametrize(("share", "text"), [(0.0, "starting"), (0.5, "30.0 of 60 s")])
def test_real_seconds_have_no_speed(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], share: float, text: str
) -> None:
    """A live run takes as long as it says; before its time 0 servers start and clients connect."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with progress_bar("Running chat", simulated_s=60, wall_clock=True) as report:
        clock[0] += 3
        report(share)
    assert text in stream.getvalue()
    assert "simulated" not in stream.getvalue()
    assert "s/s" not in stream.getvalue()


def test_before_anything_is_simulated_it_is_said_why(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "200")
        with progress_bar("Simulating chat", simulated_s=60) as report:
            clock[0] += 31
            report(0.0)
        assert "0.0 of 60 s simulated; an engine that is new here is compiled first" in stream.getvalue()


def test_short_work_shows_no_bar(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    assert shown(monkeypatch, clock, Terminal(), after_s=1.9) == ""


def test_a_bar_shows_though_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes are at their first replications; here after no time at all."""
    stream, begun = Terminal(), threading.Event()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PROGRESS_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "_bar", lambda title, make=progress._bar: (make(title), begun.set())[0])
    with progress_bar("Simulating chat", simulated_s=60, silent=True):
        assert begun.wait(60)
    assert "Simulating chat" in stream.getvalue()


def test_a_log_says_nothing_of_work_under_half_a_minute(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    assert shown(monkeypatch, clock, io.StringIO(), after_s=29.9) == ""


def test_a_log_has_a_line_each_half_minute(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """A report each ten seconds for 95 s: three lines, without a bar and its control characters."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("Planning chat", simulated_s=0) as report:
        for i in range(1, 10):
            clock[0] += 10
            report(i / 10)
        clock[0] += 5
    lines = [f"Planning chat: {3 * i}0 % done after {3 * i}0 s" for i in (1, 2, 3)]
    assert stream.getvalue().splitlines() == lines


def test_a_log_has_its_lines_though_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here each after no time at all."""

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            said.append(text)
            if len(said) >= 4:
                enough.set()
            return len(text)

    said, enough = [], threading.Event()
    monkeypatch.setattr(sys, "stderr", Log())
    monkeypatch.setattr(progress, "PROGRESS_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.001)
    with progress_bar("Planning chat", simulated_s=0, silent=True):
        assert enough.wait(60)
    assert "".join(said).splitlines()[:2] == ["Planning chat: 0 % done after 0 s"] * 2


def test_the_bar_goes_when_the_work_is_interrupted(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """Ctrl-C leaves no half-drawn line: the transient bar is erased and the cursor comes back."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt), progress_bar("Simulating chat", simulated_s=60) as report:
        clock[0] += 3
        report(0.5)
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\x1b[2K") or "\x1b[?25h" in stream.getvalue()[-30:]


CELL = """
import sys
from realtime_sim import progress
progress.PROGRESS_AFTER_S = progress.CELL_EVERY_S = 0.0
with progress.progress_bar("Simulating <chat>", simulated_s=60) as report:
    report(0.25)
    {then}
"""


class Watching(NotebookClient):
    """Keeps whatever a cell has put out, what was replaced since too."""

    def process_message(self, message: dict, cell: dict, cell_index: int) -> object:
        told.append(message["content"].get("data", {}))
        return super().process_message(message, cell, cell_index)


told: list[dict[str, str]] = []


@pytest.mark.parametrize("then", ["pass", "raise KeyboardInterrupt"])
def test_a_bar_below_a_cell_of_a_notebook_is_gone_in_the_end(then: str) -> None:
    """Nor does it leave a widget, which the saved notebook would show as broken."""
    told.clear()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(then=then))])
    Watching(notebook, timeout=60, allow_errors=True).execute()
    left = [output.data for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert left == [{"text/plain": ""}]
    bars = [data for data in told if "25 % 15.0 of 60 s" in data.get("text/plain", "")]
    assert bars and all("Simulating &lt;chat&gt;" in data["text/html"] for data in bars)
