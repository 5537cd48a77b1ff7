"""A section of a page: a heading, a sentence, and a study that is made when its turn comes, in sight of the reader."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

import ipywidgets as ipw

from realtime_sim.errors import RealtimeSimError
from realtime_sim.scenario import Scenario
from realtime_sim.widgets.controls import WIDE
from realtime_sim.widgets.running import Newest
from realtime_sim.widgets.study import Study

__all__ = ["Section", "heading"]

COMPILING = "Getting ready: the simulator is compiled, once on a new machine, which takes a minute or two"

CHANGED = "The system at the top has been changed since."


def heading(title: str, sentence: str) -> str:
    """What stands above a section, as HTML.

    Parameters
    ----------
    title : str
        Of the section.
    sentence : str
        What it answers.

    Examples
    --------
    >>> heading("Servers", "How many?")
    '<h2>Servers</h2><p>How many?</p>'
    """
    return f"<h2>{html.escape(title)}</h2><p>{html.escape(sentence)}</p>"


class Section(ipw.VBox):
    """A part of a page whose study is about the page's system.

    Parameters
    ----------
    above : str
        HTML.
    prepare : callable
        ``prepare(scenario)`` compiles what the study will need; it runs in a thread where an event loop runs.
    make : callable
        ``make(scenario)`` makes the study.

    Attributes
    ----------
    study : Study or None
        What is shown.
    """

    def __init__(self, above: str, prepare: Callable[[Scenario], None], make: Callable[[Scenario], Study]) -> None:
        self.study: Study | None = None
        self._make, self._then, self._begun_s = make, lambda: None, 0.0
        self._scenario: Scenario | None = None
        self._newer: Scenario | None = None
        self._preparing = Newest(lambda scenario, _: prepare(scenario), self._prepared, self._told)
        self.said = ipw.HTML("<p>Waits for what stands above.</p>", layout=WIDE)
        self.follow = ipw.Button(description="Use it here", tooltip="Make this section anew, for the system at the top")
        self.follow.on_click(lambda _: self.show(self._newer))
        row = ipw.Layout(flex_flow="row wrap", align_items="center", display="none")
        self.changed = ipw.HBox([ipw.Label(CHANGED), self.follow], layout=row)
        self._place = ipw.VBox()
        super().__init__([ipw.HTML(above, layout=WIDE), self.said, self.changed, self._place])

    def show(self, scenario: Scenario, then: Callable[[], None] | None = None) -> None:
        """Have a study of a system made.

        Parameters
        ----------
        scenario : Scenario
            What it is about.
        then : callable, optional
            Called when there is something to see, or it is clear that there will not be.
        """
        if self.study is not None:
            self.study.close()
            self.study = None
        self._place.children = ()
        self._scenario, self._then, self._begun_s = scenario, then or (lambda: None), time.monotonic()
        self.compare(scenario)
        self.said.value = '<p role="status">Getting ready …</p>'
        self._preparing.ask(scenario)

    def compare(self, scenario: Scenario) -> None:
        """The system at the top is this one now: if it is another one, what is shown stays, and can be made anew."""
        self._newer = scenario
        self.changed.layout.display = "none" if self._scenario in (None, scenario) else None

    def _told(self, share: float | None) -> None:
        if share is not None:
            spent_s = time.monotonic() - self._begun_s
            self.said.value = f'<p role="status">{COMPILING}; {spent_s:.0f} s so far.</p>'

    def _prepared(self, scenario: Scenario, _: None, error: BaseException | None) -> None:
        if error is None:
            try:
                self.study = self._make(scenario)
            except Exception as found:  # the other sections are not to miss what follows
                error = found
        if error is not None:
            ours = "" if isinstance(error, RealtimeSimError) else "internal error, please report it: "
            self.said.value = f'<p role="alert" class="realtime-sim-wrong">{html.escape(f"{ours}{error}")}</p>'
            self._go_on()
            return
        self.said.value = ""
        self._place.children = (self.study,)
        self.study.on_update(lambda _: self._go_on())
        if not self.study.running:
            self._go_on()

    def _go_on(self) -> None:
        """Once for each system."""
        then, self._then = self._then, lambda: None
        then()
