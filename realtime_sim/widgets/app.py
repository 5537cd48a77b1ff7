"""The app: one page from a description of a system to servers, latency, a storm, and a report to take away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as ipw

from realtime_sim.engines import compile_engine
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import engine_for
from realtime_sim.widgets import capacity, explore, storm, transports
from realtime_sim.widgets.choosing import Choosing
from realtime_sim.widgets.controls import WIDE
from realtime_sim.widgets.page import STYLE
from realtime_sim.widgets.section import Section, heading
from realtime_sim.widgets.study import RUNS, Study
from realtime_sim.widgets.taking import Taking

__all__ = ["App", "app"]

TITLE = "<h1>realtime-sim</h1><p>What will your push system do, before you build it? Move a slider and look.</p>"

RESTLESS = Scenario(
    name="restless",
    duration=10,
    clients=[{"name": "clients", "count": 1}],
    servers={"count": 2},
    faults=[{"at": 5, "kind": "kill_server", "server": 0}],
)
"""Needs what a compiled engine has beyond runs in which nobody comes or goes."""

LOOK = """<style>
.realtime-sim-app h1, .realtime-sim-app h2, .realtime-sim-app h3 {margin: .4em 0 0; line-height: 1.3}
.realtime-sim-app h2 {margin-top: 1.2em; padding-top: .6em; border-top: 1px solid var(--jp-border-color2, #bbb)}
.realtime-sim-app p {margin: .2em 0; line-height: 1.5; max-width: 48rem}
.realtime-sim-app select, .realtime-sim-app textarea {max-width: 100%; box-sizing: border-box; min-height: 28px}
.realtime-sim-app .widget-inline-hbox {margin-left: 0; margin-right: 0}
.realtime-sim-app a {color: var(--jp-content-link-color, #0072B2); text-decoration: underline}
.realtime-sim-app table {line-height: 1.4}
.realtime-sim-app .widget-html, .realtime-sim-app .widget-html-content {min-width: 0; max-width: 100%; overflow-x: auto}
.realtime-sim-yaml textarea {font-family: monospace}
@media (max-width: 600px) {
  .realtime-sim-app .widget-inline-hbox {flex-wrap: wrap; height: auto}
  .realtime-sim-app .widget-inline-hbox > .widget-label {width: 100% !important; text-align: left}
  .realtime-sim-app .widget-checkbox > .widget-label {display: none}
}
</style>"""
"""Beyond that of its studies; on a narrow screen names stand above what they name."""


def _nothing(scenario: Scenario) -> None:
    """Compile nothing, for arithmetic."""


def _as_it_is(scenario: Scenario) -> None:
    """Compile what runs of the scenario itself need."""
    compile_engine(engine_for(scenario, beside=RUNS)[0], scenario, "summary")


def _restless(scenario: Scenario) -> None:
    """Compile what runs of it need in which clients come and go, whatever for."""
    compile_engine(engine_for(scenario, beside=RUNS)[0], RESTLESS, "summary")


SECTIONS: dict[str, tuple[str, str, Callable[[Scenario], None], Callable[[Scenario], Study]]] = {
    "servers": ("2 Servers", "How many, which limit binds first, and what that follows from.", _nothing, capacity),
    "latency": (
        "3 Latency",
        "How long a message takes by each transport. Where the time goes, the figure at the top says.",
        _restless,
        transports,
    ),
    "storm": (
        "4 When everybody comes back at once",
        "All connections are lost in one moment: who gets in, and when.",
        _restless,
        partial(storm, against="fixed"),  # by itself a client has full jitter
    ),
}
"""Title, sentence, what is compiled before, and study of the sections after the first, in the order of the page."""


class App(ipw.VBox):
    """The page. Sections after the first keep the system that they began with, until they are told to follow.

    Parameters
    ----------
    scenario : Scenario, optional
        What it begins with; one that is answered at once if left out.

    Attributes
    ----------
    choosing : Choosing
        Which system.
    explorer : Section
        Its sliders.
    sections : dict of str to Section
        The others, by the keys of `SECTIONS`.
    taking : Taking
        What can be downloaded.
    """

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.choosing = Choosing(scenario, self._chosen)
        self.explorer = Section("", _as_it_is, explore)
        self.sections = {
            key: Section(heading(title, sentence), prepare, make)
            for key, (title, sentence, prepare, make) in SECTIONS.items()
        }
        self.taking = Taking()
        system = heading(
            "1 Your system",
            "Start from one that is like yours, or from your own YAML; then move it. "
            "Sections 2 to 4 keep the system that they began with, until you tell them to follow.",
        )
        take = heading("5 Take it with you", "Files about the system and the run at the top, which need nothing else.")
        parts = [
            LOOK + STYLE + TITLE + system, self.choosing, self.explorer, *self.sections.values(), take, self.taking
        ]  # fmt: skip
        super().__init__([ipw.HTML(part, layout=WIDE) if isinstance(part, str) else part for part in parts])
        self.add_class("realtime-sim")
        self.add_class("realtime-sim-app")
        self._chosen(self.choosing.scenario)

    def _chosen(self, scenario: Scenario) -> None:
        """Begin anew with another system: the sliders first, then section by section."""
        self.explorer.show(scenario, self._explored)

    def _explored(self) -> None:
        """There is a first figure, or it is clear why not."""
        study = self.explorer.study
        if study is not None:
            study.on_update(self._updated)
            self._updated(study)
            self._make(study.scenario, list(self.sections.values()))

    def _updated(self, study: Study) -> None:
        if study.results is not None:
            self.taking.show(study.results)
        for section in self.sections.values():
            section.compare(study.scenario)

    def _make(self, scenario: Scenario, left: list[Section]) -> None:
        """One after the other, so that each is there as soon as can be."""
        if left:
            left[0].show(scenario, lambda: self._make(scenario, left[1:]))


def app(scenario: Scenario | str | None = None) -> App:
    """The page that `realtime-sim app` shows, for a notebook as well.

    Parameters
    ----------
    scenario : Scenario or str, optional
        What it begins with; a string is YAML.

    Raises
    ------
    ScenarioError
        If the YAML is no scenario.

    Examples
    --------
    >>> page = app("name: tiny\\nduration: 2s\\nclients: [{name: phones, count: 9}]")
    >>> page.explorer.study.results.scenario.n_clients, list(page.sections)
    (9, ['servers', 'latency', 'storm'])
    """
    return App(Scenario.from_yaml(scenario + "\n") if isinstance(scenario, str) else scenario)
