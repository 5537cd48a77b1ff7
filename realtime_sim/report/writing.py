"""Writing a report: what it is about tells the page, the ending of the path tells the format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from realtime_sim.agreement import Comparison
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.files import write_whole
from realtime_sim.planning import Plan
from realtime_sim.report.comparisons import page_of_comparison
from realtime_sim.report.hypertext import html_of
from realtime_sim.report.markdown import markdown_of
from realtime_sim.report.page import Page
from realtime_sim.report.plans import json_of_plan, page_of_plan
from realtime_sim.report.runs import page_of_run
from realtime_sim.results import Results
from realtime_sim.sizing import Sizing

__all__ = ["FORMATS", "PAGES", "check_format", "write_report"]

PAGES: dict[type, Callable[..., Page]] = {Comparison: page_of_comparison, Plan: page_of_plan, Results: page_of_run}
"""What there is a page of."""

FORMATS = {".html": html_of, ".md": markdown_of}
"""What pages are written as, by the ending of the path; `.json` holds the figures."""


def write_report(
    obj: Comparison | Plan | Results, path: str | Path, *, sizing: Sizing | None = None, asked: Sequence[str] = ()
) -> None:
    """Write a report about a comparison, a plan or a run, whole or not at all; missing folders are made.

    Parameters
    ----------
    obj : Comparison, Plan or Results
        What it is about.
    path : str or Path
        `.html`: one file that needs nothing from elsewhere, for the screen and for paper. `.md`: tables and words.
        `.json`: the figures.
    sizing : Sizing, optional
        Of a plan: other kinds of servers and levels of growth, from `realtime_sim.size`, with its prices the cost.
    asked : sequence of str
        Of a plan: the options of `realtime-sim plan` that give it again, word by word; what the plan itself knows of
        them if left out.

    Raises
    ------
    ScenarioError
        If there is no report about such a thing, the ending is another one, or the file cannot be written.
    """
    path = check_format(path)
    page_of = next((make for known, make in PAGES.items() if isinstance(obj, known)), None)
    if page_of is None:
        *first, last = (known.__name__ for known in PAGES)
        step = "make one with compare(...), plan(...) or simulate(...)"
        rule = f"must be about a {', '.join(first)} or {last}"
        raise ScenarioError(Problem("report", rule, type(obj).__name__, step))
    for name, given in (("sizing", sizing is not None), ("asked", bool(asked))):
        if given and not isinstance(obj, Plan):
            step = "leave it out, or give the plan"
            raise ScenarioError(Problem(name, "must go with a Plan", type(obj).__name__, step))
    ending = path.suffix.lower()
    if ending == ".json":
        write_whole(path, json_of_plan(obj, sizing) if isinstance(obj, Plan) else obj.to_json())
        return
    page = page_of(obj, sizing, asked) if isinstance(obj, Plan) else page_of(obj)
    write_whole(path, FORMATS[ending](page))


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
