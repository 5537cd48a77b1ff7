"""Answers: what everything that answers a question can do: be told as strict JSON, and show its tables in a notebook.

Results, plans, sweeps and the like say in `to_plain` what they found; how that becomes text stands here once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_sim.files import write_whole

__all__ = ["Answer", "figures_html", "json_text", "table_html", "without_nan"]


class Answer:
    """What is told as plain data, and therefore as JSON.

    Examples
    --------
    >>> class Found(Answer):
    ...     def to_plain(self):
    ...         return {"servers": 4}
    >>> Found().to_json()
    '{\\n "servers": 4\\n}'
    """

    __slots__ = ()

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them; NaN and infinity are null."""
        raise NotImplementedError

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text; with `path` also written there, whole or not at all.

        Raises
        ------
        ScenarioError
            If the file cannot be written.
        """
        text = json_text(self.to_plain())
        if path is not None:
            write_whole(Path(path), text)
        return text


def json_text(plain: object) -> str:
    """Strict JSON of plain data, indented; NaN or infinity in it is a mistake of ours.

    Examples
    --------
    >>> json_text(["µs", 1])
    '[\\n "µs",\\n 1\\n]'
    """
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)


def without_nan(value: object) -> object:
    """Plain data as strict JSON holds it: numbers of Python, and null for NaN and infinity.

    Examples
    --------
    >>> without_nan({"mean_s": np.float64(0.5), "delivered": np.int64(3), "never_s": (math.inf, math.nan)})
    {'mean_s': 0.5, 'delivered': 3, 'never_s': [None, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def figures_html(frame: pd.DataFrame, index: bool = True) -> str:
    """A frame as a notebook shows it: four digits, and nothing where a figure is missing."""
    return frame.to_html(index=index, float_format=lambda x: f"{x:,.4g}", na_rep="")


def table_html(rows: Sequence[Sequence[str]]) -> str:
    """The table that is also printed, its head first, as a notebook shows it."""
    head, *cells = rows
    return pd.DataFrame(cells, columns=head).to_html(index=False, border=0)
