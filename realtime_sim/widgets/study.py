"""A study: controls at the left, and at the right the figure and the table that follow from them."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import ipywidgets as ipw

from realtime_sim.errors import RealtimeSimError, ScenarioError
from realtime_sim.files import file_name
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.widgets.controls import WIDE
from realtime_sim.widgets.page import COPY, STYLE
from realtime_sim.widgets.running import Newest

__all__ = ["RUNS", "Answer", "Study"]

FIRST_WAIT_S = 2.0
"""So long who makes a study waits for its first figure; one that takes longer appears when it is there."""

RUNS = 100
"""Runs that one study is thought to make: what compiling an engine saves counts for all of them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run has to show.

    Parameters
    ----------
    results : Results or None
        Of the run, or of the main one of several; None where nothing was run.
    picture : bytes
        PNG.
    alt : str
        What the picture shows, in words.
    table : str
        HTML.
    """

    results: Results | None
    picture: bytes
    alt: str
    table: str


class Study(ipw.VBox):
    """A widget whose figure and table follow its controls.

    Parameters
    ----------
    title : str
        What is studied.
    controls : mapping of str to Widget
        By the path of the field that each sets, or what else it is; they ask anew when their `value` changes.
    asked : callable
        ``asked() -> (scenario, more)``: the scenario that the controls stand for, and what else a run needs; a
        `ScenarioError` is shown, and what was shown before stays.
    answer : callable
        ``answer(scenario, more, progress) -> Answer``; it runs in a thread where an event loop runs.

    Attributes
    ----------
    controls : dict of str to Widget
        As given.
    scenario : Scenario
        What the controls stand for.
    results : Results or None
        Of the run that is shown.
    error : str
        Why there is nothing newer to show; empty where it is the newest.
    """

    def __init__(
        self,
        title: str,
        controls: Mapping[str, ipw.DOMWidget],
        asked: Callable[[], tuple[Scenario, Any]],
        answer: Callable[[Scenario, Any, Callable[[float], None]], Answer],
    ) -> None:
        self.scenario: Scenario
        self.results: Results | None = None
        self.error = ""
        self.controls = dict(controls)
        self._asked, self._answer = asked, answer
        self._hearers: list[Callable[[Study], None]] = []
        self._runs = Newest(self._work, self._answered, self._told)
        self._picture, self._table, self._message, self._yaml = (ipw.HTML(layout=WIDE) for _ in range(4))
        self._bar = ipw.FloatProgress(min=0, max=1, description="Simulating", layout=ipw.Layout(width="20em"))
        self._cancel = ipw.Button(description="Cancel", tooltip="Give up this run; what is shown stays")
        self._cancel.on_click(lambda button: self.cancel())
        self._progress = ipw.HBox([self._bar, self._cancel], layout=ipw.Layout(visibility="hidden"))
        copy = ipw.Accordion([self._yaml], titles=("This scenario as YAML",), selected_index=None)
        left = ipw.VBox(
            [*controls.values(), self._progress, copy], layout=ipw.Layout(flex="1 1 26em", min_width="22em")
        )
        right = ipw.VBox(
            [self._message, self._picture, self._table], layout=ipw.Layout(flex="2 1 40em", padding="0 0 0 1em")
        )
        row = ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", width="100%"))
        super().__init__([ipw.HTML(f"{STYLE}<h3>{html.escape(title)}</h3>"), row])
        self.add_class("realtime-sim")
        self._message.add_class("realtime-sim-message")
        for control in controls.values():
            control.observe(self._moved, "value")
        self._ask(FIRST_WAIT_S)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._runs.running

    def on_update(self, hear: Callable[[Study], None]) -> None:
        """Have a function called, with this study, each time that something new is shown: an answer or an error."""
        self._hearers.append(hear)

    def cancel(self) -> None:
        """Give up the run that is under way; what is shown stays."""
        if self.running:
            self._runs.cancel()
            self._wrong("Cancelled. The figure is of the values before.")

    def close(self) -> None:
        """Take the widget away; nothing of it goes on running."""
        self._runs.close()
        super().close()

    def _moved(self, change: object) -> None:
        self._ask()

    def _ask(self, wait_s: float = 0.0) -> None:
        try:
            self.scenario, more = self._asked()
        except ScenarioError as error:
            self._runs.cancel()
            self._wrong(str(error))
            return
        self._show_yaml()
        self._runs.ask((self.scenario, more), wait_s)

    def _work(self, question: tuple[Scenario, Any], progress: Callable[[float], None]) -> tuple[Answer, float]:
        begun_s = time.perf_counter()
        answer = self._answer(*question, progress)
        return answer, time.perf_counter() - begun_s

    def _answered(self, question: tuple[Scenario, Any], found: Any, error: BaseException | None) -> None:
        if isinstance(error, RealtimeSimError):
            self._wrong(str(error))
            return
        if error is not None:
            self._wrong(f"{type(error).__name__}: {error}")
            raise error
        answer, took_s = found
        self.results, self.error = answer.results, ""
        picture = base64.b64encode(answer.picture).decode()
        # Decoded at once: otherwise the page shows nothing for a moment, and the figure flickers.
        self._picture.value = (
            f'<img decoding="sync" alt="{html.escape(answer.alt)}" src="data:image/png;base64,{picture}">'
        )
        self._table.value = answer.table
        self._message.value = f'<div role="status">{html.escape(self._status(answer.results, took_s))}</div>'
        for part in (self._picture, self._table):
            part.remove_class("realtime-sim-old")
        self._tell()

    def _status(self, results: Results | None, took_s: float) -> str:
        if results is None:
            return f"Reckoned and drawn in {took_s:.2f} s; nothing was simulated."
        run = results.scenario
        return f"{run.duration:g} s of {run.n_clients:,} clients, simulated and drawn in {took_s:.2f} s."

    def _told(self, share: float | None) -> None:
        self._progress.layout.visibility = "hidden" if share is None else "visible"
        self._bar.value = share or 0.0

    def _wrong(self, text: str) -> None:
        """Say why there is nothing newer; what is there stays, in grey."""
        self.error = text
        self._message.value = f'<div role="alert" class="realtime-sim-wrong">{html.escape(text)}</div>'
        for part in (self._picture, self._table):
            part.add_class("realtime-sim-old")
        self._tell()

    def _tell(self) -> None:
        for hear in self._hearers:
            hear(self)

    def _show_yaml(self) -> None:
        text = self.scenario.to_yaml()
        name = f"{file_name(self.scenario.name)}.yaml"
        self._yaml.value = (
            f'<textarea readonly rows="14" aria-label="This scenario as YAML">{html.escape(text)}</textarea>'
            f'<button type="button" onclick="{html.escape(COPY)}">Copy as YAML</button> '
            f'<a download="{html.escape(name)}" href="data:text/yaml;charset=utf-8,{quote(text)}">Save as a file</a>'
        )
