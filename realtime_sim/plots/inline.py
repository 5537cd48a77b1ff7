"""A figure as part of a page: SVG that needs nothing from elsewhere and takes the colours of the page."""

from __future__ import annotations

import html
import io
import math
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from realtime_sim.plots._style import COLOURS

__all__ = ["PAGE_COLOURS", "inline_svg", "page_colour"]

_DATA = ("blue", "vermilion", "green", "purple", "orange", "sky", "ink")
PAGE_COLOURS = {colour.lower(): f"--plot-{name}" for colour, name in zip(COLOURS, _DATA, strict=True)} | {
    "#ffffff": "--plot-paper", "#dddddd": "--plot-grid", "#555555": "--plot-muted", "#777777": "--plot-rule",
}  # fmt: skip
"""CSS variables that a page may set, by the colours that stand where it does not."""


def inline_svg(figure: Figure | Axes, name: str, alt: str) -> str:
    """An `svg` element for an HTML page. The same figure always gives the same text.

    Letters are drawn as shapes, so that it looks the same everywhere, and there are no links. Ids begin with `name`, so
    that several figures stand on one page. Its width in points is `--points`, so that a page draws none too small.

    Parameters
    ----------
    figure : Figure or Axes
        What to draw.
    name : str
        Letters, digits and dashes; another one for each figure of a page.
    alt : str
        What it shows, for who does not see it.
    """
    while not isinstance(figure, Figure):
        figure = figure.figure
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>\s*", "", text, flags=re.DOTALL)  # it would hold for the whole page
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: page_colour(found.group()), text)
    size = re.search(r'viewBox="([^"]*)"', text).group(1)
    inside = text[text.index(">") + 1 :]
    about = f'role="img" aria-label="{html.escape(alt)}" style="--points: {math.ceil(float(size.split()[2]))}"'
    return f'<svg class="plot" {about} viewBox="{size}">{inside}'.rstrip()


def page_colour(colour: str) -> str:
    """A colour as SVG and CSS have it, `#` and six digits: that of the page where it sets one.

    Examples
    --------
    >>> page_colour("#0072B2"), page_colour("#123456")
    ('var(--plot-blue, #0072b2)', '#123456')
    """
    name = PAGE_COLOURS.get(colour.lower())
    return colour if name is None else f"var({name}, {colour.lower()})"
