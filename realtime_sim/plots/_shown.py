"""Figures that show themselves: as they are no business of pyplot's, a notebook would not know of them."""

from __future__ import annotations

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["ShownAxes", "new_figure"]

SHARPNESS = 1.5
"""Points of the picture for one of the page: enough for lines and letters on today's screens."""


class ShownFigure(Figure):
    """A figure that shows itself."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return picture_of(self)


class ShownAxes(Axes):
    """Axes that show the figure they are in."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return picture_of(self.get_figure(root=True))


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches with a canvas of its own, so that none of it is in the state of pyplot."""
    figure = ShownFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture_of(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """PNG of a figure, and how wide and high a page is to show it."""
    picture, (width, height) = BytesIO(), figure.get_size_inches() * figure.dpi
    figure.savefig(picture, format="png", dpi=figure.dpi * SHARPNESS, metadata={"Software": None})
    return picture.getvalue(), {"width": round(width), "height": round(height)}
