"""A page as Markdown: tables whose columns line up in the text as well, and figures in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from realtime_sim.report.page import Cell, Code, Items, Noted, Page, Picture, Table, Text

__all__ = ["markdown_of"]


def markdown_of(page: Page) -> str:
    """The text of a Markdown file.

    Parameters
    ----------
    page : Page
        What it says. Figures are told in words.
    """
    parts = [f"# {_plain(page.title)}", _plain(page.question), f"**{_cell(page.answer)}**", _plain(page.about)]
    for section in page.sections:
        parts.append(f"## {_plain(section.title)}")
        for block in section.blocks:
            parts += _block(block)
    return "\n\n".join(parts) + "\n"


def _block(block: Text | Items | Code | Table | Picture) -> Iterator[str]:
    if isinstance(block, Text):
        yield _plain(block.text)
    elif isinstance(block, Items):
        yield "\n".join(f"- {_plain(item)}" for item in block.items)
    elif isinstance(block, Code):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
        yield _plain(block.caption)
        yield f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"
    elif isinstance(block, Picture):
        yield f"*Figure: {_plain(block.alt)}*"
    else:
        yield _plain(block.caption)
        yield _table(block)


def _plain(text: str) -> str:
    """Text that stays text: nothing in it is markup, and it has one line."""
    escaped = re.sub(r"([\\`*|\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return _plain(cell)
    if isinstance(cell, Noted):
        return _plain(cell.text) + (f" ({_plain(cell.note)})" if cell.note else "")
    return _plain(f"{cell.sign} {cell.text}") + (f" ({_plain(cell.why)})" if cell.why else "")


def _table(table: Table) -> str:
    rows: list[Sequence[str]] = [[_cell(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(table.header))]
    rule = ["-" * (width - 1) + ":" if i in table.right else "-" * width for i, width in enumerate(widths)]
    lines = []
    for row in (rows[0], rule, *rows[1:]):
        cells = (
            c.rjust(w) if i in table.right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
