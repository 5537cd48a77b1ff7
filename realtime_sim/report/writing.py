"""Writing a report: what it is about tells the page, the ending of the path tells the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime_sim.agreement import Comparison
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.files import write_whole
from realtime_sim.report.comparisons import page_of_comparison
from realtime_sim.report.hypertext import html_of
from realtime_sim.report.markdown import markdown_of
from realtime_sim.report.page import Page
from realtime_sim.report.runs import page_of_run
from realtime_sim.results import Results

__all__ = ["FORMATS", "PAGES", "check_format", "write_report"]

PAGES: dict[type, Callable[[Any], Page]] = {Comparison: page_of_comparison, Results: page_of_run}
"""What there is a page of."""

FORMATS = {".html": html_of, ".md": markdown_of}
"""What pages are written as, by the ending of the path; `.json` is what `to_json` gives."""


def write_report(obj: Comparison | Results, path: str | Path) -> None:
    """Write a report about a comparison or a run, whole or not at all; missing folders are made.

    Parameters
    ----------
    obj : Comparison or Results
        What it is about.
    path : str or Path
        `.html`: one file that needs nothing from elsewhere, for the screen and for paper. `.md`: tables and words.
        `.json`: the figures.

    Raises
    ------
    ScenarioError
        If there is no report about such a thing, the ending is another one, or the file cannot be written.
    """
    path = check_format(path)
    page_of = next((make for known, make in PAGES.items() if isinstance(obj, known)), None)
    if page_of is None:
        names = " or ".join(known.__name__ for known in PAGES)
        step = "make one with compare(...) or simulate(...)"
        raise ScenarioError(Problem("report", f"must be about a {names}", type(obj).__name__, step))
    ending = path.suffix.lower()
    if ending == ".json":
        obj.to_json(path)
        return
    write_whole(path, FORMATS[ending](page_of(obj)))


def check_format(path: str | Path) -> Path:
    """The path of a report, whose ending is one of those there are: found out before a long run, and not after it.

    Raises
    ------
    ScenarioError
        If it is another one.
    """
    path, endings = Path(path), (*FORMATS, ".json")
    ending = path.suffix.lower()
    if ending not in endings:
        rule = f"must end in {', '.join(endings[:-1])} or {endings[-1]}"
        raise ScenarioError(Problem("path", rule, str(path), nearest(ending, endings) if ending else "add one of them"))
    return path
