"""Choosing a system: a preset, or YAML, typed or uploaded. What is wrong in it is said, and nothing is lost."""

from __future__ import annotations

import html
import io
from collections.abc import Callable

import ipywidgets

from realtime_sim import presets
from realtime_sim.errors import ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.text import read_text
from realtime_sim.widgets.explorer import LIVE_UPDATES

__all__ = ["OWN", "Choosing"]

OWN = "your own, as YAML below"
"""The choice that is none of the known systems."""

KNOWN = {LIVE_UPDATES.name: LIVE_UPDATES.to_yaml()} | {name: presets.text(name) for name in presets.NAMES}
"""YAML of each, by its name; the first is answered at once."""


class Choosing(ipywidgets.VBox):
    """The system that a page is about.

    Parameters
    ----------
    scenario : Scenario, optional
        What it begins with; the first of `KNOWN` if left out.
    on_choice : callable
        Told the scenario when another one is chosen.

    Examples
    --------
    >>> chosen = []
    >>> choosing = Choosing(None, chosen.append)
    >>> choosing.preset.value = "ticker"
    >>> choosing.yaml.value = choosing.yaml.value.replace("count: 5_000", "count: -5")
    >>> choosing.use.click()
    >>> choosing.scenario.n_clients, "clients[0].count must be at least 1, got -5" in choosing.said.value, len(chosen)
    (5000, True, 1)
    """

    def __init__(self, scenario: Scenario | None, on_choice: Callable[[Scenario], None]) -> None:
        known = {name: Scenario.from_yaml(text) for name, text in KNOWN.items()}
        first = next(iter(known))
        self.scenario = scenario or known[first]
        self._known, self._on_choice = known, on_choice
        wide = ipywidgets.Layout(width="100%", max_width="48rem")
        named = [(f"{name}: {one.description.splitlines()[0]}", name) for name, one in known.items()]
        self.preset = ipywidgets.Dropdown(
            options=[*named, (OWN, OWN)],
            value=OWN if scenario else first,
            description="System",
            layout=wide,
        )
        self._placed = scenario.to_yaml() if scenario else KNOWN[first]
        self.yaml = ipywidgets.Textarea(
            value=self._placed,
            rows=16,
            layout=ipywidgets.Layout(width="100%", max_width="48rem", height="20rem"),
        )
        self.yaml.add_class("realtime-sim-yaml")
        self.use = ipywidgets.Button(description="Use this YAML", button_style="primary")
        self.upload = ipywidgets.FileUpload(accept=".yaml,.yml", multiple=False, description="Upload a file")
        self.said = ipywidgets.HTML()
        own = ipywidgets.VBox([self.yaml, ipywidgets.HBox([self.use, self.upload]), self.said])
        super().__init__([self.preset, ipywidgets.Accordion([own], titles=["The same as YAML, to be changed"])])
        self.preset.observe(self._preset_chosen, "value")
        self.upload.observe(self._uploaded, "value")
        self.use.on_click(lambda _: self._read())

    def _preset_chosen(self, change: dict) -> None:
        if change["new"] == OWN:
            return
        if self.yaml.value == self._placed:  # what somebody has typed stays
            self._placed = self.yaml.value = KNOWN[change["new"]]
        self._chosen(self._known[change["new"]])

    def _uploaded(self, change: dict) -> None:
        if not change["new"]:
            return
        file = change["new"][0]
        self.upload.value = ()  # the same file may come again, after a change
        try:
            self.yaml.value = read_text(io.BytesIO(file["content"]), file["name"])
        except ScenarioError as error:
            self._refused(error)
        else:
            self._read()

    def _read(self) -> None:
        """Take what stands in the field, if it is a scenario; a name of a file it never is."""
        try:
            scenario = Scenario.from_yaml(self.yaml.value + "\n")
        except ScenarioError as error:
            self._refused(error)
        else:
            self.preset.value = OWN
            self._chosen(scenario)

    def _refused(self, error: ScenarioError) -> None:
        lines = html.escape(str(error)).replace("\n", "<br>")
        self.said.value = f'<div role="alert" class="realtime-sim-wrong">Not used, as it stands:<br>{lines}</div>'

    def _chosen(self, scenario: Scenario) -> None:
        self.said.value = ""
        self.scenario = scenario
        self._on_choice(scenario)
