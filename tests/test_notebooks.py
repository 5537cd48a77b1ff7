"""Every notebook runs from the top to the bottom, says what it said when it was saved, and its exercise can tell apart
a blank, a typical mistake, and its own solution."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from realtime_sim.simulation import simulate
from realtime_sim.teaching import EXERCISES, scenario
from tests.test_live_run import children_of
from tests.test_live_shared import is_running, wait_until

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST_CELL = 10
SLOWEST_CELL_S = 90

MISTAKES = {
    "hops": ('{"servers.count": 8}', r"mean latency is 40\.8 ms.*on the network.*how far away"),
    "knee": ('"333/s"', r"67 % busy.*waits 4 ms on average.*if all cost the same.*1 \+ cv²"),
    "transports": ('"150ms"', r"takes up to 225 ms\. You have counted two transits.*back with the next request"),
    "fanout": (
        '{"clients.train.overflow": {"policy": "drop_newest", "limit": "1MiB"}}',
        r"31\.4 s old: a buffer of 1,048,576 bytes takes 131\.1 s to read.*no help",
    ),
    "outage": ("3_250", r"not 3,250: .*nobody is connected to it yet"),
    "stickiness": (
        '{"balancer.affinity": "none", "servers.connection_age": {"low": "1min", "high": "2min"}}',
        r"session is unknown.*four requests",
    ),
    "storm": (
        '{"policy": "full_jitter", "base": "1s", "cap": "30s"}',
        r"not everybody comes back.*Over how many seconds",
    ),
    "autoscaling": (
        '{"autoscaling.max_replicas": 50}',
        r"p99 is 46\.\d+ s.*4 servers are ready.*fullest has 2\.0 times.*whoever is connected stays",
    ),
    "proof": ('{"servers": 11, "binds": "cpu"}', r"cpu asks for 13 servers.*no core changes.*most decides"),
}
"""Of each exercise an answer that is easily given, and what its hint must say."""

NOTHING = re.compile(r"|<[\w.]+ .*>|<\w+Axes: .*>|<\w*Figure .*>", re.DOTALL)
"""What stands in for a picture where there are only letters, or is left of a progress bar."""


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def written(cell: nbformat.NotebookNode) -> str:
    """All text that a code cell has put out."""
    return "".join(texts(cell))


def texts(cell: nbformat.NotebookNode) -> Iterator[str]:
    for output in cell.outputs:
        assert output.output_type != "error", output.evalue
        if output.output_type == "stream":
            yield output.text
        elif (text := output.data.get("text/plain")) and not NOTHING.fullmatch(text):  # bars leave an empty one
            yield text + "\n"


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def exercise_of(notebook: nbformat.NotebookNode) -> tuple[nbformat.NotebookNode, str]:
    """The cell with the exercise, and its name."""
    (cell,) = [cell for cell in code_of(notebook) if "exercise" in tags(cell)]
    return cell, re.search(r'^teaching\.check\("(\w+)", answer\)$', cell.source, re.MULTILINE)[1]


def solution_of(notebook: nbformat.NotebookNode) -> str:
    """Code of the solution that a reader may unfold."""
    (cell,) = [cell for cell in notebook.cells if "<summary>Solution</summary>" in cell.source]
    return re.search(r"```python\n(.*?)```", cell.source, re.DOTALL)[1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rules_of_the_house(path):
    notebook = read(path)
    title, *_ = notebook.cells[0].source.splitlines()
    code, (exercise, name) = code_of(notebook), exercise_of(notebook)
    assert title == f"# {EXERCISES[name]}" and title[2:4] == path.name[:2]
    assert exercise is code[-1] and exercise.source.startswith("answer = ...\n")
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    for heading in ("## Predict", "## Key points", "## Exercise"):
        assert any(heading in text for text in prose), heading
    for cell in code:
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source
        assert cell.execution_count is not None and not cell.source.startswith("%"), cell.source
        assert "Traceback" not in written(cell) and str(FOLDER.parent) not in str(cell.outputs)
    for link in re.findall(r"\]\((\w[^)]*\.ipynb)\)", "\n".join(prose)):
        assert (FOLDER / link).exists(), link


def test_every_exercise_has_its_notebook_and_a_mistake():
    names = [exercise_of(read(path))[1] for path in NOTEBOOKS]
    assert names == list(EXERCISES) == list(MISTAKES)


@pytest.fixture(scope="module")
def compiled():
    """Both ways through the compiled engine are compiled: the first time that takes longer than a cell may."""
    coming = scenario("autoscaling").replace(duration="1s")
    for case in (coming, coming.replace(autoscaling=None, **{"clients.crowd.ramp_up": None})):
        simulate(case, engine="fast")


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_exercise_tells_right_from_wrong(path, tmp_path):
    """What is printed and how many pictures there are is compared; cells tagged `varies` show what is measured. No file
    and no process is left."""
    saved = read(path)
    notebook = copy.deepcopy(saved)
    client = NotebookClient(notebook, timeout=SLOWEST_CELL_S, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        for i, cell in enumerate(notebook.cells):
            client.execute_cell(cell, i)
        for was, cell in zip(code_of(saved), code_of(notebook), strict=True):
            assert pictures(cell) == pictures(was), cell.source
            if "varies" not in tags(cell):
                assert written(cell) == written(was), cell.source

        cell, name = exercise_of(notebook)
        place = notebook.cells.index(cell)

        def said(answer: str) -> str:
            cell.source = f'{answer}\nteaching.check("{name}", answer)'
            client.execute_cell(cell, place)
            return written(cell)

        assert said("answer = ...").startswith("Not yet. There is no answer")
        mistake, hint = MISTAKES[name]
        assert re.match(rf"Not yet\. .*{hint}", said(f"answer = {mistake}"), re.DOTALL)
        assert said(solution_of(notebook)).startswith("Right. ")
        started = children_of(client.km.provisioner.pid)
    assert wait_until(lambda: not any(map(is_running, started)))
    assert not list(tmp_path.iterdir())
