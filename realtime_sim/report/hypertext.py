"""A page as HTML: one file with its styles and figures inside."""

from __future__ import annotations

from pathlib import Path

import jinja2

from realtime_sim.agreement.words import tight
from realtime_sim.report.page import Page, Picture

__all__ = ["html_of"]

_FOLDER = Path(__file__).parent
WORDY = 24
"""Letters from which on a cell is a text, which keeps a width to be read in on a narrow screen."""


def html_of(page: Page) -> str:
    """The text of an HTML file that needs nothing from elsewhere.

    Parameters
    ----------
    page : Page
        What it says. Whatever stands in it is text, and never markup.
    """
    loader = jinja2.FileSystemLoader(_FOLDER)
    templates = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["tight"] = tight
    templates.globals["kind"] = lambda block: type(block).__name__.lower()
    templates.globals["drawn"] = _drawn
    templates.globals["WORDY"] = WORDY
    return templates.get_template("page.html.j2").render(page=page)


def _drawn(picture: Picture) -> str:
    """The SVG of a figure. Its text for those who do not see it is escaped where it is made."""
    from realtime_sim import plots

    return plots.inline_svg(picture.draw(), picture.name, picture.alt)
