"""A page: what a report says, in parts that know no format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SIGNS", "Cell", "Code", "Items", "Mark", "Noted", "Page", "Picture", "Section", "Table", "Text"]

SIGNS = {"good": "✓", "bad": "✗", "open": "–", "other": "≠"}
"""What stands before a verdict, so that it is not told by its colour alone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A verdict: its kind, a key of `SIGNS`, what it says, and why."""

    kind: str
    text: str
    why: str = ""

    @property
    def sign(self) -> str:
        """What stands before it."""
        return SIGNS[self.kind]


@dataclass(frozen=True, slots=True)
class Noted:
    """A figure with what belongs to it in smaller letters, such as its interval."""

    text: str
    note: str


Cell = str | Mark | Noted
"""What stands in a table."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be typed or saved: its language, and what it is."""

    text: str
    language: str
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below a header; the first cell of a row says what it is about, `right` are columns of numbers."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure: its name on the page, what it shows in words and numbers, and a function that draws it."""

    name: str
    alt: str
    draw: Callable[[], Any]


Block = Text | Items | Code | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """Parts of a page below one title."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """Its name in addresses within the page."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report: a title, the question, the answer before everything else, and sections."""

    title: str
    question: str
    answer: Mark
    about: str
    sections: Sequence[Section]
