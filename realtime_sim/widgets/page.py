"""Pieces of a page: the style of a study, what its browser does, and tables."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["COPY", "STYLE", "table"]

_NAMES = (
    "const root = this.closest('.realtime-sim'); "
    "const say = (handle, name, text) => {"
    "if (text && handle.getAttribute(name) !== text) handle.setAttribute(name, text)}; "
    "const tell = () => root.querySelectorAll('.widget-hslider').forEach((slider) => {"
    "const handle = slider.querySelector('[role=slider]'); if (!handle) return; "
    "say(handle, 'aria-label', slider.querySelector('.widget-label').textContent); "
    "say(handle, 'aria-valuetext', slider.querySelector('.widget-readout').textContent)}); "
    "new MutationObserver(tell).observe(root, {subtree: true, childList: true, characterData: true, "
    "attributes: true, attributeFilter: ['aria-valuetext']}); tell()"
)
"""What the browser does to have sliders read out by name and value; by themselves they say the number of the choice."""

STYLE = (
    f"""<style onload="{html.escape(_NAMES)}">"""
    + """
.realtime-sim table {border-collapse: collapse; font-size: 13px; margin: 4px 0}
.realtime-sim caption {text-align: left; font-weight: 600; padding: 2px 0}
.realtime-sim th, .realtime-sim td {text-align: left; padding: 2px 14px 2px 0; border: 0; border-bottom: 1px solid #bbb;
  vertical-align: top; background: none}
.realtime-sim th {font-weight: 600}
.realtime-sim th[scope=row], .realtime-sim td:not(:last-child) {white-space: nowrap}
.realtime-sim img {max-width: 100%; height: auto; background: #fff; display: block}
.realtime-sim-old {opacity: .45; filter: grayscale(1)}
.realtime-sim-message {min-height: 1.6em; line-height: 1.4}
.realtime-sim-wrong {border-left: 4px solid #D55E00; padding-left: 8px; white-space: pre-wrap}
.realtime-sim textarea {width: 100%; font-family: monospace; font-size: 12px; box-sizing: border-box}
</style>"""
)
"""What a study looks like; colours are seldom all that tells one thing from another."""

COPY = (
    "const text = this.parentNode.querySelector('textarea'); text.focus(); text.select(); "
    "const done = () => {this.textContent = 'Copied'; setTimeout(() => {this.textContent = 'Copy as YAML'}, 2000)}; "
    "const older = () => {document.execCommand('copy'); done()}; "
    "navigator.clipboard ? navigator.clipboard.writeText(text.value).then(done, older) : older()"
)
"""What the button does, in the browser: only there is a clipboard. The text stays selected for who copies by keys."""


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as HTML: the first cell of each row, and the row at the head, are headings to who hears it read out.

    Parameters
    ----------
    caption : str
        What it is.
    head : sequence of str
        Of each column.
    rows : sequence of sequence of str
        Cells.

    Examples
    --------
    >>> table("Servers", ("server", "busy"), [("0", "40 %")])[:60]
    '<table><caption>Servers</caption><tr><th scope="col">server<'
    """
    heads = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in head)
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in others)
        lines.append(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>')
    return f"<table><caption>{html.escape(caption)}</caption><tr>{heads}</tr>{''.join(lines)}</table>"
