"""Steps: a picture that explains itself step by step, as HTML that needs nothing from elsewhere.

Under all steps lies one drawing; what is special about a step lies over it, and stands below it in words. In print and
where no scripts run, the drawing and the words are there all the same.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from realtime_sim.agreement.words import tight
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import write_whole

__all__ = ["MOST_TOLD", "Step", "Steps", "drawing_name"]

MOST_TOLD = 12
"""Steps that are told one after the other where they cannot be played; of more the drawing alone is shown."""

_FOLDER = Path(__file__).parent
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body>
{player}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Parameters
    ----------
    caption : str
        What happens, in a sentence or two.
    alt : str
        What the picture shows then, for who does not see it.
    layer : str
        What lies over the drawing: the inside of an `svg` element with the drawing's coordinates, points from its upper
        left corner.
    figures : tuple of (str, str, str)
        What is counted or measured then: its name, its value with its unit, and the CSS colour it has in the drawing,
        or nothing.
    """

    caption: str
    alt: str
    layer: str
    figures: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """A picture in steps, which shows itself in a notebook: a slider, buttons, and the words of each step.

    Parameters
    ----------
    title : str
        What it is about.
    drawing : str
        The `svg` element under all steps, from `inline_svg`; what stands there where nothing can be played.
    frames : tuple of Step
        In their order, at least one.
    pace_s : float
        Time that each is shown while it plays, seconds.

    Raises
    ------
    ScenarioError
        If there is no step.

    Examples
    --------
    >>> drawing = '<svg class="plot" role="img" aria-label="a dot" viewBox="0 0 9 9"></svg>'
    >>> steps = Steps("Growth", drawing, (Step("small", "a dot", '<circle r="1"/>'), Step("large", "a disc", "")))
    >>> len(steps), "<p>small</p>" in steps._repr_html_()
    (2, True)
    """

    title: str
    drawing: str
    frames: tuple[Step, ...]
    pace_s: float = 1.5

    def __post_init__(self) -> None:
        if not self.frames:
            raise ScenarioError(Problem("frames", "must hold at least one step", self.frames, "add one"))

    def __len__(self) -> int:
        return len(self.frames)

    def _repr_html_(self) -> str:
        css, script = ((_FOLDER / f"steps.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
        title, many = html.escape(self.title), " many" if len(self) > MOST_TOLD else ""
        size = self.drawing.partition('viewBox="')[2].partition('"')[0]
        layers = [
            f'<svg class="layer" display="none" aria-hidden="true" viewBox="{size}">{step.layer}</svg>'
            for step in self.frames
        ]
        return "\n".join([
            f'<div class="realtime-steps{many}" role="group" aria-label="{title}" data-pace="{self.pace_s:g}">',
            f"<style>\n{css}</style>",
            f'<p class="title">{title}</p>',
            f'<div class="stage" tabindex="0"><div>\n{self.drawing}', *layers, "</div></div>",
            '<div class="controls" hidden>',
            '<button type="button" class="back" aria-label="previous step">‹</button>',
            '<button type="button" class="play">Play</button>',
            '<button type="button" class="on" aria-label="next step">›</button>',
            f'<input type="range" min="0" max="{len(self) - 1}" value="0" aria-label="step"><output></output>',
            "</div>",
            "<ol>", *map(_told, self.frames), "</ol>",
            f"<script>\n{script}</script>",
            "</div>",
        ])  # fmt: skip

    def write(self, path: str | Path) -> None:
        """Write a page of its own, which a browser shows; whole, or not at all.

        Parameters
        ----------
        path : str or Path
            Where to, with the ending .html.

        Raises
        ------
        ScenarioError
            If the ending is another one, or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".html":
            raise ScenarioError(Problem("path", "must end in .html", str(path), "add it"))
        write_whole(Path(path), _PAGE.format(title=html.escape(self.title), player=self._repr_html_()))


def drawing_name(*texts: str) -> str:
    """What ids of a drawing begin with: the same for the same texts, another one for others.

    Examples
    --------
    >>> drawing_name("a") == drawing_name("a") != drawing_name("b")
    True
    """
    return "steps-" + hashlib.blake2s("\n".join(texts).encode(), digest_size=6).hexdigest()


def _told(step: Step) -> str:
    caption = html.escape(tight(step.caption))
    return f'<li data-alt="{html.escape(step.alt)}"><p>{caption}</p>{"".join(_figures(step))}</li>'


def _figures(step: Step) -> Iterator[str]:
    if not step.figures:
        return
    yield "<dl>"
    for name, value, colour in step.figures:
        swatch = f'<i style="background: {html.escape(colour)}"></i>' if colour else ""
        yield f"<div><dt>{swatch}{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
    yield "</dl>"
