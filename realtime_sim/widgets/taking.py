"""Taking it with you: the scenario as YAML, a report of the run, and a plan, each as a file to download."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import ipywidgets

from realtime_sim.errors import Problem, RealtimeSimError, ScenarioError
from realtime_sim.files import file_name
from realtime_sim.planning import Plan, plan
from realtime_sim.report import write_report
from realtime_sim.results import Results
from realtime_sim.scenario.text import UNREADABLE, read_value
from realtime_sim.simulation import engine_for
from realtime_sim.widgets.running import Newest
from realtime_sim.widgets.study import RUNS

__all__ = ["Making", "Taking", "link", "page_of"]


def link(text: str | bytes, name: str, kind: str, words: str) -> str:
    """An HTML link that holds a file, which asks nothing of the server that made it.

    Parameters
    ----------
    text : str or bytes
        What is in the file.
    name : str
        Of the file.
    kind : str
        Its media type.
    words : str
        What the link says.

    Examples
    --------
    >>> link("a: 1", "a.yaml", "application/yaml", "a<b")
    '<a download="a.yaml" href="data:application/yaml;base64,YTogMQ==">a&lt;b</a>'
    """
    plain = text.encode() if isinstance(text, str) else text
    data = base64.b64encode(plain).decode()
    return f'<a download="{html.escape(name)}" href="data:{kind};base64,{data}">{html.escape(words)}</a>'


def page_of(found: Results | Plan) -> bytes:
    """The report of a run or a plan: one HTML file that needs nothing from elsewhere.

    Examples
    --------
    >>> from realtime_sim import Scenario, simulate
    >>> page_of(simulate(Scenario(name="x", duration=1, clients=[{"name": "c", "count": 1}])))[:15]
    b'<!doctype html>'
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_report(found, path)
        return path.read_bytes()


class Making(ipywidgets.HBox):
    """A button that makes a page, says how far it is, can be stopped, and ends with a link.

    Parameters
    ----------
    words : str
        What the button says.
    make : callable
        ``make(progress)`` returns the bytes of the page; it tells `progress` the share done, 0 to 1, which ends it by
        an exception when the page is not wanted any more.
    name : callable
        Gives the name of the file.

    Examples
    --------
    >>> making = Making("Make", lambda progress: b"<p>", lambda: "x.html")
    >>> making.begin.click()
    >>> making.said.value
    '<a download="x.html" href="data:text/html;base64,PHA+">Download x.html (1 KiB)</a>'
    """

    def __init__(self, words: str, make: Callable[[Callable[[float], None]], bytes], name: Callable[[], str]) -> None:
        self._name = name
        self._newest = Newest(lambda _, progress: make(progress), self._made, self._told)
        as_wide_as_needed = {"width": "auto", "flex": "0 0 auto"}
        self.begin = ipywidgets.Button(description=words, layout=ipywidgets.Layout(**as_wide_as_needed))
        self.cancel = ipywidgets.Button(description="Cancel", layout=ipywidgets.Layout(**as_wide_as_needed))
        self.bar = ipywidgets.FloatProgress(max=1.0, layout=ipywidgets.Layout(width="12rem"))
        self.said = ipywidgets.HTML()
        super().__init__(
            [self.begin, self.bar, self.cancel, self.said],
            layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self.reset()
        self.begin.on_click(lambda _: self._begin())
        self.cancel.on_click(lambda _: self.reset())

    def reset(self) -> None:
        """What is being made is given up, and a page that was made is not offered any more."""
        self._newest.cancel()
        self._show(busy=False, said="")

    def _begin(self) -> None:
        self._show(busy=True, said="Working …")
        self._newest.ask(None)

    def _told(self, share: float | None) -> None:
        self.bar.value = share or 0.0

    def _made(self, _: object, page: bytes | None, error: BaseException | None) -> None:
        if page is not None:
            said = link(page, self._name(), "text/html", f"Download {self._name()} ({math.ceil(len(page) / 1024)} KiB)")
        else:
            ours = (
                ""
                if isinstance(error, RealtimeSimError)
                else f"internal error, please report it: {type(error).__name__}: "
            )
            said = f'<span role="alert">{html.escape(f"{ours}{error}")}</span>'
        self._show(busy=False, said=said)

    def _show(self, busy: bool, said: str) -> None:
        self.begin.disabled, self.bar.value, self.said.value = busy, 0.0, said
        self.bar.layout.display = self.cancel.layout.display = None if busy else "none"


class Taking(ipywidgets.VBox):
    """What there is to download, of the system and the run that were shown last."""

    def __init__(self) -> None:
        self._results: Results | None = None
        self.yaml = ipywidgets.HTML()
        self.report = Making("Make a report of this run", lambda _: page_of(self._results), lambda: self._named("run"))
        self.plan = Making("Plan: how many servers?", self._planned, lambda: self._named("plan"))
        self.promises = ipywidgets.Text(
            description="Promises", placeholder="p99: 250ms, survive_servers: 1", continuous_update=False,
            layout=ipywidgets.Layout(width="100%", max_width="32rem"),
        )  # fmt: skip
        super().__init__([self.yaml, self.report, self.promises, self.plan])
        self.layout.display = "none"  # until there is something

    def show(self, results: Results) -> None:
        """Offer this run and its system instead; pages of those before are gone."""
        before, scenario = None if self._results is None else self._results.scenario.slo, results.scenario
        self._results = results
        self.layout.display = None
        name = f"{file_name(scenario.name)}.yaml"
        self.yaml.value = link(scenario.to_yaml(), name, "application/yaml", f"Download {name}")
        self.report.reset()
        self.plan.reset()
        if scenario.slo != before:
            kept = scenario.to_plain().get("slo") or {}
            self.promises.value = ", ".join(f"{path}: {value}" for path, value in kept.items())

    def _named(self, what: str) -> str:
        return f"{file_name(self._results.scenario.name)}-{what}.html"

    def _planned(self, progress: Callable[[float], None]) -> bytes:
        # In this process, so that it can be stopped in the middle of a run.
        scenario, engine = self._results.scenario, engine_for(self._results.scenario, beside=RUNS)[0]
        return page_of(plan(scenario, self._slo(), engine=engine, n_jobs=1, progress=progress))

    def _slo(self) -> object:
        try:
            return read_value(f"{{{self.promises.value}}}")
        except UNREADABLE:
            step = "write them like p99: 250ms, survive_servers: 1"
            raise ScenarioError(Problem("slo", "must be promises", self.promises.value, step)) from None
