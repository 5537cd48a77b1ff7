"""Taking it with you: the scenario as YAML, a report of the run, and a plan, each as a file to download."""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import ipywidgets

from realtime_sim.errors import Problem, RealtimeSimError, ScenarioError
from realtime_sim.files import file_name
from realtime_sim.planning import Plan, plan
from realtime_sim.report import write_report
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.text import UNREADABLE, read_value

__all__ = ["Making", "Taking", "link", "page_of"]


class _Cancelled(Exception):
    """Somebody has pressed the button."""


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
    """The report of a run or a plan: one HTML file that needs nothing from elsewhere."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_report(found, path)
        return path.read_bytes()


class Making(ipywidgets.VBox):
    """A button that makes a page in a thread, says how far it is, can be stopped, and ends with a link.

    Parameters
    ----------
    words : str
        What the button says.
    make : callable
        ``make(progress)`` returns the bytes of the page; to `progress` it tells the share done, which ends it by an
        exception when it is to stop.
    name : callable
        The name of the file.
    """

    def __init__(self, words: str, make: Callable[[Callable[[float], None]], bytes], name: Callable[[], str]) -> None:
        self._make, self._name, self._asked = make, name, 0
        self.begin = ipywidgets.Button(description=words, layout=ipywidgets.Layout(width="auto"))
        self.cancel = ipywidgets.Button(description="Cancel", layout=ipywidgets.Layout(width="auto", display="none"))
        self.bar = ipywidgets.FloatProgress(max=1.0, layout=ipywidgets.Layout(width="12rem", display="none"))
        self.said = ipywidgets.HTML()
        self.begin.on_click(lambda _: self._begin())
        self.cancel.on_click(lambda _: self.reset())
        row = [self.begin, self.bar, self.cancel, self.said]
        super().__init__([ipywidgets.HBox(row, layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))])

    def reset(self) -> None:
        """What is being made is given up, and a page that was made is not offered any more."""
        self._asked += 1
        self._show(busy=False, said="")

    def _begin(self) -> None:
        self.reset()
        self._show(busy=True, said="Working …")
        threading.Thread(target=self._work, args=(self._asked,), name="realtime-sim-making", daemon=True).start()

    def _work(self, asked: int) -> None:
        def progress(share: float) -> None:
            if self._asked != asked:
                raise _Cancelled
            self.bar.value = share

        try:
            page = self._make(progress)
            progress(1.0)
            said = link(page, self._name(), "text/html", f"Download {self._name()} ({len(page) / 1024:.0f} KiB)")
        except _Cancelled:
            return
        except RealtimeSimError as error:
            said = f'<span role="alert">{html.escape(str(error))}</span>'
        if self._asked == asked:
            self._show(busy=False, said=said)

    def _show(self, busy: bool, said: str) -> None:
        self.begin.disabled = busy
        self.bar.value = 0.0
        self.bar.layout.display = self.cancel.layout.display = None if busy else "none"
        self.said.value = said


class Taking(ipywidgets.VBox):
    """What there is to download, of the system and the run that were shown last."""

    def __init__(self) -> None:
        self._scenario: Scenario | None = None
        self._results: Results | None = None
        self.yaml = ipywidgets.HTML()
        self.report = Making("Make a report of this run", lambda _: page_of(self._results), lambda: self._named("run"))
        self.plan = Making("Plan: how many servers?", self._planned, lambda: self._named("plan"))
        self.promises = ipywidgets.Text(
            description="Promises", placeholder="p99: 250ms, survive_servers: 1", continuous_update=False,
            layout=ipywidgets.Layout(width="100%", max_width="32rem"),
        )  # fmt: skip
        super().__init__([self.yaml, self.report, self.promises, self.plan])

    def show(self, scenario: Scenario, results: Results) -> None:
        """Offer this system and this run instead; pages of the ones before are gone."""
        before = None if self._scenario is None else self._scenario.slo
        self._scenario, self._results = scenario, results
        name = f"{file_name(scenario.name)}.yaml"
        self.yaml.value = link(scenario.to_yaml(), name, "application/yaml", f"Download {name}")
        self.report.reset()
        self.plan.reset()
        if scenario.slo != before:
            kept = scenario.to_plain().get("slo") or {}
            self.promises.value = ", ".join(f"{path}: {value}" for path, value in kept.items())

    def _named(self, what: str) -> str:
        return f"{file_name(self._scenario.name)}-{what}.html"

    def _planned(self, progress: Callable[[float], None]) -> bytes:
        # In this process, so that it can be stopped in the middle of a run.
        return page_of(plan(self._scenario, self._slo(), n_jobs=1, progress=progress))

    def _slo(self) -> object:
        try:
            return read_value(f"{{{self.promises.value}}}")
        except UNREADABLE:
            step = "write them like p99: 250ms, survive_servers: 1"
            raise ScenarioError(Problem("slo", "must be promises", self.promises.value, step)) from None
